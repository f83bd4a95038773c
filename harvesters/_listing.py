"""The listing of a run: where it begins, what it gives, read into entries, and gathered into batches."""

import logging
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, takewhile

from catalog.errors import IncompleteListing
from catalog.instant import canonical, now, seconds
from catalog.source import Document, Source
from catalog.stores import Entry, Run, Store
from harvesters import Fetch as Door
from harvesters import Harvester
from harvesters._ahead import ahead
from harvesters._limits import Limits, number
from harvesters._polite import Stop
from harvesters._reading import Readers, Reading, entered

BATCH = 500
_MANY = 2_000
"""Entries of a listing up to which each page is kept by itself; of a long one several are, at a tenth less cost."""
_BATCH_BYTES = 16_000_000
_BATCH_SECONDS = 2.0
_OVERLAP_SECONDS = 600  # clocks differ, and a portal's index lags behind its changes
_DAY = 86_400
_FULL_EVERY_DAYS = 7
_RUNS_LOOKED_BACK = 400
_LOG = logging.getLogger(__name__)


def changed_since(source: Source, store: Store, *, incremental: bool) -> str | None:
    """Return since when changes are asked for; None for a full listing. Raises BadSource."""
    days = number(source, "full_every_days", _FULL_EVERY_DAYS)
    last = store.last_complete(source.id)
    if not incremental or last is None:
        return None
    runs = store.runs(source.id, limit=_RUNS_LOOKED_BACK, quarantine=0)
    if runs[0].state == "running" and not runs[0].incremental:
        return None  # a full listing was cut off: it goes on
    full = [run.started for run in runs if run.state == "complete" and not run.incremental]
    if not full or seconds(now()) - seconds(full[0]) > days * _DAY:
        return None
    moment = datetime.fromtimestamp(seconds(last) - _OVERLAP_SECONDS, UTC)
    return canonical(moment.isoformat())


def carried_on(run: Run, runs: Sequence[Run]) -> str | None:
    """Return the page at which a run carries on the listing that broke in the run before it; None for a new listing.

    A page at which the listing broke twice is not carried on a third time: what comes before it is due.
    """
    earlier = [other for other in runs if other.id < run.id]
    if run.incremental or not earlier or earlier[0].incremental or earlier[0].state != "incomplete":
        return None
    page = earlier[0].checkpoint
    if not page or seconds(run.started) - seconds(earlier[0].started) > _DAY:
        return None
    twice = len(earlier) > 1 and earlier[1].state == "incomplete" and earlier[1].checkpoint == page
    return None if twice else page


class Listing:
    """What a source lists, read into entries while the source is asked for what comes next.

    A listing that was carried on is listed from its start, too, up to where it began.

    Args:
        harvester: The protocol.
        source: The source, as this run asks it.
        door: The network, for this source.
        limits: How much it may give.
        stop: Ends the listing; it is set when the listing is left before its end.
        readers: Read the documents.
        carried: The page that was carried on, None for a listing from the start.
    """

    def __init__(  # noqa: PLR0913 - options by name
        self,
        harvester: Harvester,
        source: Source,
        door: Door,
        limits: Limits,
        stop: Stop,
        *,
        readers: Readers,
        carried: str | None = None,
    ) -> None:
        self._harvester, self._source, self._door = harvester, source, door
        self._limits, self._stop, self._carried = limits, stop, carried
        self._readers = readers
        self.deleted = 0

    def _documents(self) -> Generator[Document]:
        documents = _forward(self._harvester.harvest(self._source, self._door))
        if self._carried is not None:
            whole = self._source.model_copy(update={"resume": None})
            before = _forward(self._harvester.harvest(whole, self._door))
            documents = chain(documents, takewhile(lambda document: document.page != self._carried, before))
        yield from self._limits.within(documents)

    def entries(self) -> Iterator[Entry]:
        """Yield what was read, and what its source has deleted, which is counted.

        Raises:
            Stopped: `stop` was set.
        """
        for readings in ahead(self._readings(), lambda reading: len(reading.document.content), self._stop):
            for reading in readings:
                self.deleted += reading.document.deleted
                yield entered(reading)

    def _readings(self) -> Generator[Reading]:
        groups = ahead(self._documents(), lambda document: len(document.content), self._stop)
        yield from self._readers.read(self._harvester, groups)


def _forward(documents: Iterable[Document]) -> Iterator[Document]:
    """Let documents through while their pages go on: a page that comes back would come for ever."""
    left: set[str] = set()
    page = ""
    for document in documents:
        if document.page != page:
            left.add(page)
            page = document.page
            if page in left and page:
                raise IncompleteListing(f"the listing came back to its page {page[:200]!r}")
        yield document


def batches(entries: Iterator[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Gather entries into batches, each with the page of its last; what came before a fault comes out before it."""
    batch: list[Entry] = []
    page, size, begun = "", 0, time.monotonic()
    try:
        for count, entry in enumerate(entries):
            slow = time.monotonic() - begun > _BATCH_SECONDS
            full = len(batch) >= BATCH or size >= _BATCH_BYTES or slow
            if batch and (full or (count <= _MANY and entry.document.page != page)):
                yield page, batch
                batch, size, begun = [], 0, time.monotonic()
            page = entry.document.page
            batch.append(entry)
            size += len(entry.document.content)
    except Exception:
        if batch:
            yield page, batch
        raise
    if batch:
        yield page, batch
