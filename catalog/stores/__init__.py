"""Stores keep records, their history and their documents, and answer searches; a file is a kind of store.

Every file without a leading underscore has `open_store(home: Path) -> Store`. The law: a store agrees with
`search.matches` on any records and any query, at any instant, and paging loses and repeats nothing.

Time: every write that changes records has one moment, later than every moment before it, whatever the clock does; the
versions of a record follow one another without a gap, and none is ever changed or deleted but for its end.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from pydantic import Field

from catalog.instant import Instant
from catalog.record import Address, Model, Record, RecordId
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
    """A document and the record read from it, or why there is none (`reason`, shown in quarantine).

    One of a `document.deleted` says that its source has deleted the dataset. `text` is the record's JSON, if at hand.
    """

    document: Document
    record: Record | None
    reason: str | None = None
    text: bytes | None = Field(default=None, repr=False)


class Counts(Model):
    """What a write did: new, changed, unchanged, quarantined."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0


MAX_QUARANTINE_SHOWN = 100
"""Lines of a run's quarantine that a store gives with it; `counts.quarantined` says how many there are."""

State = Literal[
    "running", "complete", "incomplete", "suspect", "held", "failed", "released", "dropped", "rolledback"
]
"""How a harvest ended; `released` and `dropped` were held, `rolledback` is the run that a rollback itself is."""

What = Literal["new", "changed", "withdrawn", "restored"]


class Quarantined(Model):
    """A document that gave no record, by its native id, and the reason."""

    native_id: str
    reason: str
    url: str = ""


class Run(Model):
    """A harvest of one source: its state, its counts, its seconds, and the first lines of its quarantine.

    A rollback is a run, too: `undoes` is the run before which it brought the source's records back.
    """

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
    undoes: int | None = None
    quarantine: tuple[Quarantined, ...] = ()


class Change(Model):
    """What became of a record between two moments; `fields` are those of a changed one that say something else."""

    id: str
    source: str
    native_id: str
    what: What
    fields: tuple[str, ...] = ()


class Diff(Model):
    """What became of the records of two runs' sources from the end of the one to the end of the other.

    Args:
        earlier: The run that ended first.
        later: The other.
        since: When the earlier ended.
        until: When the later did.
        counts: How many records are new, changed, withdrawn, restored; all of them.
        changes: Those asked for, by id.
    """

    earlier: int
    later: int
    since: Instant
    until: Instant
    counts: Mapping[What, int]
    changes: tuple[Change, ...]


class Tie(Model):
    """Two records of different sources that are one dataset, and why: the member is found and given with the leader.

    Args:
        leader: Id of the record that is shown for both; no leader is a member of another.
        member: Id of the other.
        by: The strongest rule that says so; `operator` where a person does.
        score: How sure it is, 0 to 1.
        evidence: Why, a sentence each, the strongest first.
        since: When they were tied.
    """

    leader: RecordId
    member: RecordId
    by: Literal["doi", "uuid", "native-id", "address", "likeness", "operator"]
    score: float
    evidence: tuple[str, ...]
    since: Instant


class Health(Model):
    """What probing one distribution of a record found: one real cell of it was read, or why not.

    Args:
        id: The record's id.
        address: The distribution's address.
        state: `fresh`; `stale` (it reads, and its newest data are older than what its rhythm promises); `broken`;
            `moved` (it reads at another address).
        since: When it was first found in this state.
        checked: When it was last probed.
        newest: The newest time of its data; None where they have no time.
        reason: Why it is not fresh, in a sentence; "" where it is.
    """

    id: RecordId
    address: Address
    state: Literal["fresh", "stale", "broken", "moved"]
    since: Instant
    checked: Instant
    newest: Instant | None = None
    reason: str = ""


class Store(Protocol):
    """What a store does. Reads may come from any thread; a write is one transaction, whole or not at all."""

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and, under a lease, what was seen and the page reached, in one transaction.

        A record that says the same as the one kept (`Record.same`) is unchanged, and nothing of it is kept: the old
        one stays, with the document it was read from, though the new document's bytes may differ. Else the old
        version's `valid_to` is set and a new one begins. A withdrawn record that comes back is restored under its
        id. An id in use by another native id of any source is made distinct (`slug(…, distinct_by=native_id)`); a
        known (source, native_id) keeps its id for ever. What is deleted at its source is only noted: of what a run is
        told of a dataset, the last counts.

        Raises:
            LeaseLost: The lease ended or another run holds it; nothing was written.
        """

    def get(self, record_id: str, *, asof: Instant | None = None) -> Record:
        """Return the current record, or the one that was current at an instant.

        A version is current from its `valid_from`, included, to its `valid_to`, not included. A record that leads
        others (`tie`) is given with their distributions (`catalog.uniting.united`), unless an instant is asked for; a
        member is given as its source gave it.

        Raises:
            NotFound: There is no such record, or there was none yet.
            Withdrawn: It is no more, or was withdrawn at that instant.
        """

    def search(self, query: Query) -> Page:
        """Return the page of current records that `search.matches` says, and the facet counts of all of them.

        Records that are tied are one answer, their leader as `get` gives it: each condition holds if it does for one
        of them (`search.answers`), and a facet counts it once for each value of any of them. By relevance, records of
        which all probed distributions are broken come last. Ties and health are those of now, and do not count where
        `query.asof` asks the past.

        With `query.asof` it is about the records that were current at that instant, as `get` says; their names and
        words are those that today's vocabulary gives them.

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
        of the source not seen gets one miss more, a seen one none. A record with `missed_runs` misses is withdrawn
        (kept in history), and so is one that the source says it has deleted, at the end of any complete run. If more
        than `shrink_hold` of the source's current records were not seen or are deleted, the run becomes `held` and
        nothing is withdrawn or counted, until an operator releases or drops it; a full run that saw nothing of a
        source that has records, not all of them deleted, becomes `suspect`.

        Raises:
            LeaseLost: The lease ended; nothing was written.
        """

    def runs(
        self, source: str | None = None, *, limit: int = 50, quarantine: int = MAX_QUARANTINE_SHOWN
    ) -> tuple[Run, ...]:
        """Return runs, newest first, each with the first `quarantine` lines of its quarantine (0: without)."""

    def last_complete(self, source: str) -> str | None:
        """Return when the source's last complete run, full or incremental, started; None if there was none.

        A run that a rollback undid does not count.
        """

    # --- what runs did, and what an operator makes of it

    def diff(self, earlier: int, later: int, *, limit: int | None = None, offset: int = 0) -> Diff:
        """Return what became of the records of the two runs' sources from the end of one run to that of the other.

        Both ends are those that `get` and `search` show as of the runs' `ended`: `new` was never there at the first,
        `restored` was withdrawn; `changed` says something else (`Record.same`); what came and went between is nothing.

        Args:
            earlier: A run.
            later: A run that ended no sooner.
            limit: Changes to give, by id; None for all. `counts` counts all.
            offset: Changes to leave out at the start.

        Raises:
            NotFound: There is no such run.
            BadRequest: A run has not ended, or the earlier ended after the later.
            TooBusy: A store that limits the time of a question broke it off.
        """

    def rollback(self, number: int) -> Run:
        """Bring the records of a run's source back to what they were as it started, in one transaction.

        Whatever that run and later ones did to them ends: each record that is another now gets a new version that
        says what the old one said, and one that was not there then is withdrawn. Nothing of the history goes. It is a
        run of its own, `rolledback`. Misses are counted from nought again; unfinished runs of the source end as
        failed, and held ones that are undone as dropped. The next harvest may change everything again, and
        `last_complete` no longer counts the undone runs, so that an incremental one asks for all that changed since.

        Raises:
            NotFound: There is no such run.
            LeaseHeld: A harvest of the source is running.
        """

    def release(self, number: int) -> Run:
        """Withdraw what a held run missed and no run has seen since, in one transaction; the run is then `released`.

        Only the newest held run of a source can be released; a released one stays as it is.

        Raises:
            NotFound: There is no such run.
            BadRequest: It is not held, or not the newest held one of its source.
            LeaseHeld: A harvest of the source is running, and may yet see what was missed.
        """

    def drop(self, number: int) -> Run:
        """Mark the newest held run of a source as `dropped`: nothing is withdrawn; a dropped one stays as it is.

        Raises:
            NotFound: There is no such run.
            BadRequest: It is not held, or not the newest held one of its source.
        """

    # --- one dataset from several portals

    def tie(self, ties: Sequence[Tie]) -> int:
        """Tie records together, in one transaction, and return how many ties are new.

        Groups are one deep: where a leader becomes a member, its members follow it; where a member gets another
        leader, the two groups become one, led by the given leader. Left out are pairs of which a record is not
        current, of one group already, or whose groups hold two records that an operator took apart (unless `by` is
        `operator`, which ends that). Changes no version of any record. The ties of a record that is withdrawn end; the
        rest of its group goes on as in `untie`, and it may be tied again when it is back.
        """

    def untie(self, record_id: str, *, forever: bool = True) -> tuple[Tie, ...]:
        """Take a record out of its group, and return the ties that end; none where it had no group.

        Where it is `forever`, the record and each other one of the group are apart from then on: `tie` leaves such
        pairs out; else they may be tied again. A leader's group is led by its member of the lowest id from then on.

        Raises:
            NotFound: There is no such record.
        """

    def ties(self, record_id: str) -> tuple[Tie, ...]:
        """Return the ties of the record's group, by member; none where it stands alone. Raises NotFound."""

    def changed_after(self, mark: int, *, limit: int = 1_000) -> tuple[int, tuple[Record, ...]]:
        """Return current records that changed after a mark (0: all), as their sources gave them, and the next mark.

        The next mark is `mark` where there are none. Every change comes after some mark once.
        """

    # --- whether the data are there

    def note_health(self, found: Sequence[Health]) -> None:
        """Keep what probes found, one a distribution; `since` stays the kept one's while the state is the same.

        What is known of an address goes with the address: none of a record that no longer has it, or is withdrawn; a
        leader's own distributions are the leader's, its members' are theirs.
        """

    def health(self, record_id: str) -> tuple[Health, ...]:
        """Return what is known of a record's distributions, in the order of those that `get` gives, its members' too.

        Raises:
            NotFound: There is no such record.
        """

    def conditions(self, record_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the states of what was probed of records and of those that they lead, by id; none of the others."""

    def to_probe(self, before: Instant, *, limit: int = 100) -> tuple[str, ...]:
        """Return ids of current records not probed since an instant: those never probed first, then the oldest.

        A record counts as probed when its last probed distribution was; one without distributions is left out.
        """

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
    "MAX_QUARANTINE_SHOWN", "Change", "Counts", "Diff", "Entry", "Health", "Lease", "Quarantined", "Run", "State",
    "Store", "Tie", "Version", "What", "records",
]  # fmt: skip
