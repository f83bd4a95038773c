"""Stores keep records, their history and their documents, and answer searches; a file is a kind of store.

Every file without a leading underscore has `open_store(home: Path) -> Store`. The law: a store agrees with
`search.matches` on any records and any query, and paging loses and repeats nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from catalog.instant import Instant
from catalog.record import Model, Record
from catalog.search import Page, Query
from catalog.source import Document


class Version(Model):
    """A record as it was from `valid_from` until `valid_to` (None: still); record None: withdrawn in that time."""

    record: Record | None
    valid_from: Instant
    valid_to: Instant | None
    run: int | None


class Lease(Model):
    """The right to write for a source, held by one run; it ends `lease_seconds` after its last sign of life."""

    source: str
    run: int
    holder: str


class Entry(Model):
    """A document and the record read from it, or why there is none (`reason`, shown in quarantine)."""

    document: Document
    record: Record | None
    reason: str | None = None


class Counts(Model):
    """What a write did: new, changed, unchanged, quarantined."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0


MAX_QUARANTINE_SHOWN = 100
"""Lines of a run's quarantine that a store gives with it; `counts.quarantined` says how many there are."""

State = Literal["running", "complete", "incomplete", "suspect", "held", "failed"]


class Quarantined(Model):
    """A document that gave no record, by its native id, and the reason."""

    native_id: str
    reason: str
    url: str = ""


class Run(Model):
    """A harvest of one source: its state, its counts, its seconds, and the first lines of its quarantine."""

    id: int
    source: str
    state: State
    started: Instant
    ended: Instant | None = None
    incremental: bool = False
    checkpoint: str | None = None
    seen: int = 0
    counts: Counts = Counts()
    missing: int = 0
    held: int = 0
    withdrawn: int = 0
    restored: int = 0
    seconds: float = 0.0
    note: str = ""
    quarantine: tuple[Quarantined, ...] = ()


class Store(Protocol):
    """What a store does. Reads may come from any thread; a write is one transaction, whole or not at all."""

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and, under a lease, what was seen and the page reached, in one transaction.

        A record that says the same as the one kept (`Record.same`) is unchanged, and nothing of it is kept: the old
        one stays, with the document it was read from, though the new document's bytes may differ. Else the old
        version's `valid_to` is set and a new one begins. A withdrawn record that comes back is restored under its
        id. An id in use by another native id of any source is made distinct (`slug(…, distinct_by=native_id)`); a
        known (source, native_id) keeps its id for ever.

        Raises:
            LeaseLost: The lease ended or another run holds it; nothing was written.
        """

    def get(self, record_id: str) -> Record:
        """Return the current record. Raises NotFound, or Withdrawn for a record that is no more."""

    def search(self, query: Query) -> Page:
        """Return the page of current records that `search.matches` says, and the facet counts of all of them.

        Raises:
            TooBusy: A store that limits the time of a search broke it off.
        """

    def history(self, record_id: str, *, limit: int = 100) -> tuple[Version, ...]:
        """Return the newest `limit` versions, oldest first. Raises NotFound."""

    def document(self, document_hash: str) -> Document:
        """Return a document as it was given, by the hash that records carry. Raises NotFound."""

    def sources(self) -> Mapping[str, int]:
        """Return the number of current records by source id."""

    # --- runs: the runner's memory, in the same transactions

    def begin(
        self, source: str, *, holder: str, lease_seconds: float, incremental: bool = False
    ) -> tuple[Lease, Run]:
        """Take the source's lease, and begin a run or take up an unfinished one at its checkpoint.

        An unfinished run is one whose holder died (its lease ended while it was `running`): the new lease goes on with
        the same run id's checkpoint, seen set and counts.

        Raises:
            LeaseHeld: Another holder's lease lives; says who, and until when.
        """

    def renew(self, lease: Lease, lease_seconds: float) -> None:
        """Give a sign of life. Raises LeaseLost."""

    def finish(
        self, lease: Lease, state: State, *, missed_runs: int, shrink_hold: float, note: str = ""
    ) -> Run:
        """End the run and the lease, and retire what is gone, in one transaction.

        Only a run that ends `complete`, not incremental, and saw at least one dataset counts misses: a current record
        of the source not seen gets one miss more, a seen one none. If more than `shrink_hold` of the source's current
        records were not seen, the run becomes `held` and nothing is withdrawn or counted; a run that saw nothing of a
        source that has records becomes `suspect`. A record with `missed_runs` misses is withdrawn (kept in history).

        Raises:
            LeaseLost: The lease ended; nothing was written.
        """

    def runs(
        self, source: str | None = None, *, limit: int = 50, quarantine: int = MAX_QUARANTINE_SHOWN
    ) -> tuple[Run, ...]:
        """Return runs, newest first, each with the first `quarantine` lines of its quarantine (0: without)."""

    def last_complete(self, source: str) -> str | None:
        """Return when the source's last complete run, full or incremental, started; None if there was none."""

    def close(self) -> None:
        """Give up connections and files."""


def records(store: Store, query: Query) -> Iterator[Record]:
    """Yield every record that answers a query, page by page."""
    offset = 0
    while True:
        page = store.search(query.model_copy(update={"offset": offset, "limit": 500}))
        yield from page.items
        offset += len(page.items)
        if not page.items or offset >= page.matched:
            return


__all__ = [
    "MAX_QUARANTINE_SHOWN", "Counts", "Entry", "Lease", "Quarantined", "Run", "State", "Store", "Version", "records",
]  # fmt: skip
