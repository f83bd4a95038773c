"""What is known of whether a record's data are there, as people and machines are told."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from catalog.record import MOST, QualityNote, Record
from catalog.stores import Health, Store

STATES = ("fresh", "moved", "stale", "broken")
"""The states, the best first."""

_WELL = frozenset({"fresh"})
_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "moved": "{address} has moved: {reason}",
        "stale": "{address} has no new data: {reason}",
        "broken": "{address} cannot be read since {since}: {reason}",
    }
)


class Healths:
    """What probes of a store's records found.

    Args:
        store: Where it is kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, record_id: str) -> tuple[Health, ...]:
        """Return what is known of a record's distributions, in their order, as it is shown.

        Raises:
            NotFound: There is no such record. Withdrawn: It is no more.
        """
        self._store.get(record_id)
        return tuple(map(shown, self._store.health(record_id)))

    def states(self, records: Sequence[Record]) -> dict[str, str]:
        """Return the best state of each record of which something was probed, by id."""
        found = self._store.conditions([record.id for record in records])
        return {record_id: min(states, key=STATES.index) for record_id, states in found.items()}

    def noted(self, record: Record) -> Record:
        """Return a record with a note of quality for each distribution that is not fresh."""
        if self._store.conditions([record.id]).get(record.id, _WELL) <= _WELL:
            return record
        found = [shown(one) for one in self._store.health(record.id) if one.state != "fresh"]
        notes = tuple(
            QualityNote(
                code=f"data-{one.state}",
                text=_NOTES[one.state].format(address=one.address, since=one.since[:10], reason=one.reason),
            )
            for one in found
        )
        return record.model_copy(update={"quality": (*record.quality, *notes)[: MOST["quality"]]})


def overall(found: Sequence[Health]) -> str | None:
    """Return the best of some states: one way that can be read is enough; None where there is none."""
    return min((one.state for one in found), key=STATES.index, default=None)


def shown(found: Health) -> Health:
    """Return what was found without this machine's folders: of a local file its name alone is told."""
    if not found.address.startswith(("/", "file://")):
        return found
    return found.model_copy(update={"address": found.address.rstrip("/").rpartition("/")[2]})


__all__ = ["STATES", "Healths", "overall", "shown"]
