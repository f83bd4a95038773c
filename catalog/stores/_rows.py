"""What a store in memory keeps of a dataset and of a run."""

from dataclasses import dataclass, field

from catalog.record import Record
from catalog.stores import Change, Quarantined, Version, _changes, _rules


@dataclass
class Row:
    """A dataset for ever: its id, its versions, and how often complete runs missed it."""

    id: str
    source: str
    native_id: str
    versions: list[Version] = field(default_factory=list)
    misses: int = 0
    mark: int = 0

    @property
    def record(self) -> Record | None:
        return self.versions[-1].record

    def at(self, asof: str | None) -> Version | None:
        """The version that was current at an instant; None: the record was not there yet."""
        if asof is None:
            return self.versions[-1]
        moment = _rules.sortable(asof)
        begun = [version for version in self.versions if _rules.sortable(version.valid_from) <= moment]
        return begun[-1] if begun else None

    def record_at(self, asof: str | None) -> Record | None:
        version = self.at(asof)
        return version.record if version else None

    def turn(self, record: Record | None, moment: str, run: int | None) -> None:
        if self.versions:
            self.versions[-1] = self.versions[-1].model_copy(update={"valid_to": moment})
        self.versions.append(Version(record=record, valid_from=moment, valid_to=None, run=run))

    def changed(self, since: str, until: str) -> Change | None:
        """What became of the dataset between two instants; None: nothing."""
        before, after = self.at(since), self.at(until)
        what = _changes.became(
            before.record if before else None, after.record if after else None, known=before is not None
        )
        if what is None:
            return None
        return Change(id=self.id, source=self.source, native_id=self.native_id, what=what[0], fields=what[1])


@dataclass
class Sightings:
    """What a run saw: outcomes by native id, what is in quarantine, and what its source says that it deleted."""

    outcomes: dict[str, _rules.Outcome] = field(default_factory=dict)
    quarantine: dict[str, Quarantined] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
