"""Sources, their runs, and what an operator makes of them: what runs did to a catalog over time."""

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.completeness import SourceAppraisal
from catalog.errors import BadRequest, NotFound
from catalog.instant import canonical, now, seconds
from catalog.record import Model
from catalog.source import Source
from catalog.stores import Diff, Run, Store


class SourceSummary(Model):
    """A source, configured or once harvested: its records, how well they are described, and its last run."""

    id: str
    protocol: str | None = None
    url: str | None = None
    title: str = ""
    licence_note: str = ""
    enabled: bool = False
    records: int = 0
    last_run: Run | None = None
    quality: SourceAppraisal | None = None


class Histories:
    """The runs of a store's sources, the configured ones first.

    Args:
        store: Where the runs are.
        sources: The configured sources.
    """

    def __init__(self, store: Store, sources: Sequence[Source] = ()) -> None:
        self._store = store
        self._sources = tuple(sources)

    def sources(self) -> tuple[SourceSummary, ...]:
        """Return the sources, configured ones first in their order, then others that the store has records of."""
        counts = self._store.sources()
        configured = {source.id: source for source in self._sources}
        return tuple(
            self._summary(name, configured.get(name), counts)
            for name in dict.fromkeys((*configured, *counts))
        )

    def _summary(self, name: str, source: Source | None, counts: Mapping[str, int]) -> SourceSummary:
        run = next(iter(self._store.runs(name, limit=1, quarantine=0)), None)
        known: dict[str, Any] = {}
        if source is not None:
            local = source.protocol == "files"
            known = {
                "protocol": source.protocol,
                "url": None if local else source.url,
                "title": source.title,
                "licence_note": source.licence_note,
                "enabled": source.enabled,
            }
        return SourceSummary(id=name, records=counts.get(name, 0), last_run=run, **known)

    def runs(self, source: str | None = None, *, limit: int = 50) -> tuple[Run, ...]:
        """Return runs, newest first. Raises NotFound for a source that is neither configured nor harvested."""
        if source is not None and source not in {known.id for known in self.sources()}:
            raise NotFound(f"there is no source {source[:60]!r}", hint="see /api/sources for those there are")
        return self._store.runs(source, limit=limit)

    def diff(self, earlier: int, later: int, *, limit: int | None = None, offset: int = 0) -> Diff:
        """Return what became of the records of two runs' sources between the ends of the runs (`Store.diff`).

        Raises:
            NotFound: There is no such run.
            BadRequest: A run has not ended, or the earlier ended after the later.
            TooBusy: Too much has changed between them, or other questions about the past are being answered.
        """
        return self._store.diff(earlier, later, limit=limit, offset=offset)

    def rollback(self, run: int) -> Run:
        """Bring a source's records back to what they were as a run started. Raises NotFound or LeaseHeld."""
        return self._store.rollback(run)

    def release(self, run: int) -> Run:
        """Withdraw what a held run missed and none saw since. Raises NotFound, BadRequest or LeaseHeld."""
        return self._store.release(run)

    def drop(self, run: int) -> Run:
        """Let a held run withdraw nothing. Raises NotFound or BadRequest."""
        return self._store.drop(run)


def past(asof: str | None) -> str | None:
    """Return an instant that has been, in canonical form; None stays None.

    Raises:
        BadRequest: It is no instant, or lies in the future: what will be then is not known.
    """
    if asof is None:
        return None
    moment = canonical(asof)
    if seconds(moment) > seconds(now()):
        raise BadRequest(f"asof={moment} lies in the future", hint="leave asof out for what is there now")
    return moment


__all__ = ["Histories", "SourceSummary", "past"]
