"""A store in memory, of plain dicts: the reference that shows what the others mean."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from catalog.errors import NotFound
from catalog.instant import Instant
from catalog.record import Record
from catalog.search import Page, Query
from catalog.source import Document
from catalog.stores import (
    MAX_QUARANTINE_SHOWN,
    Counts,
    Diff,
    Entry,
    Health,
    Lease,
    Quarantined,
    Run,
    State,
    Tie,
    Version,
    What,
    _answers,
    _changes,
    _rules,
)
from catalog.stores._bonds import Bonds
from catalog.stores._rows import Row, Sightings
from catalog.uniting import united


class MemoryStore:
    """Keeps everything in this process, and forgets it at its end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[tuple[str, str], Row] = {}
        self._by_id: dict[str, Row] = {}
        self._documents: dict[str, Document] = {}
        self._runs: dict[int, Run] = {}
        self._sightings: dict[int, Sightings] = {}
        self._holds: dict[str, _rules.Hold] = {}
        self._held: dict[
            str, set[str]
        ] = {}  # by source: what its newest held run missed, and no run saw since
        self._last: str | None = None
        self._bonds = Bonds()
        self._mark = 0

    def _moment(self) -> str:
        """The moment of a write, later than all before it."""
        self._last = _rules.later(self._last)
        return self._last

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and what was seen. Raises LeaseLost."""
        with self._lock:
            if lease is not None:
                self._live(lease)
            moment, run = self._moment(), lease.run if lease else None
            there = [entry for entry in entries if not entry.document.deleted]
            done = [self._keep(entry, run, moment) for entry in there]
            if lease is not None:
                moves = [self._see(lease.run, entry, what) for entry, what in zip(there, done, strict=True)]
                told = self._sightings[lease.run].deleted
                for entry in entries:
                    (told.add if entry.document.deleted else told.discard)(entry.document.native_id)
                self._runs[lease.run] = _rules.tallied(self._runs[lease.run], moves, page)
            return _rules.counts(done)

    def _keep(self, entry: Entry, run: int | None, moment: str) -> _rules.Outcome:
        document = entry.document
        self._held.get(document.source, set()).discard(document.native_id)
        row = self._rows.get((document.source, document.native_id))
        if row is not None:
            row.misses = 0
        if entry.record is None:
            self._keep_document(document)
            return "quarantined"
        record = _rules.identified(entry, row.id if row else None, self._by_id.__contains__)
        what = _rules.outcome(record, row.record if row else None, known=row is not None)
        if row is None:
            row = Row(id=record.id, source=document.source, native_id=document.native_id)
            self._rows[document.source, document.native_id] = self._by_id[record.id] = row
        if what != "unchanged":
            self._keep_document(document)
            self._turn(row, record, moment, run)
        return what

    def _turn(self, row: Row, record: Record | None, moment: str, run: int | None) -> None:
        self._mark += 1
        row.mark = self._mark
        row.turn(record, moment, run)
        self._bonds.turned(row.id, record)

    def _keep_document(self, document: Document) -> None:
        if document.content:
            self._documents.setdefault(document.hash, document)

    def _see(
        self, run: int, entry: Entry, what: _rules.Outcome
    ) -> tuple[_rules.Outcome | None, _rules.Outcome]:
        sightings, native_id = self._sightings[run], entry.document.native_id
        before = sightings.outcomes.get(native_id)
        after = sightings.outcomes[native_id] = _rules.greater(before, what)
        sightings.quarantine.pop(native_id, None)
        if after == "quarantined":
            sightings.quarantine[native_id] = Quarantined(
                native_id=native_id, reason=_rules.reason(entry), url=entry.document.url
            )
        return before, after

    def get(self, record_id: str, *, asof: Instant | None = None) -> Record:
        """Return the current record, or the one at an instant. Raises NotFound or Withdrawn."""
        with self._lock:
            version = self._row(record_id).at(asof)
            if version is None:
                raise _rules.unknown(record_id, asof)
            if version.record is None:
                raise _rules.withdrawn(record_id, version.valid_from)
            return version.record if asof else united(version.record, self._led(record_id))

    def _led(self, record_id: str) -> list[Record]:
        """The members that a record leads, by id."""
        found = [
            self._by_id[tie.member].record for tie in self._bonds.group(record_id) if tie.leader == record_id
        ]
        return [record for record in found if record]

    def _row(self, record_id: str) -> Row:
        with self._lock:
            if record_id not in self._by_id:
                raise _rules.unknown(record_id)
            return self._by_id[record_id]

    def search(self, query: Query) -> Page:
        """Return the page of records that `search.matches` says, and the facet counts of all."""
        with self._lock:
            if query.asof is not None:
                then = [row.record_at(query.asof) for row in self._rows.values()]
                return _answers.page([(record,) for record in then if record], query)
            groups = list(self._groups())
            broken = [leader.id for leader, *_ in groups if self._bonds.broken(leader.id)]
            return _answers.page(groups, query, broken)

    def _groups(self) -> Iterator[tuple[Record, ...]]:
        """Every current record that no other leads, each with those that it leads."""
        for row in self._rows.values():
            if row.record is not None and self._bonds.leader(row.id) == row.id:
                yield row.record, *self._led(row.id)

    def history(self, record_id: str, *, limit: int = 100) -> tuple[Version, ...]:
        """Return the newest `limit` versions, oldest first. Raises NotFound."""
        versions = self._row(record_id).versions
        return tuple(versions[max(0, len(versions) - limit) :])

    def document(self, document_hash: str) -> Document:
        """Return a document as it was given. Raises NotFound."""
        with self._lock:
            if document_hash not in self._documents:
                raise NotFound(f"there is no document {document_hash[:80]!r}")
            return self._documents[document_hash]

    def sources(self) -> Mapping[str, int]:
        """Return the number of current records by source id."""
        with self._lock:
            return dict(sorted(Counter(row.source for row in self._rows.values() if row.record).items()))

    def begin(
        self, source: str, *, holder: str, lease_seconds: float, incremental: bool = False
    ) -> tuple[Lease, Run]:
        """Take the source's lease, and begin a run or take up an unfinished one. Raises LeaseHeld."""
        with self._lock:
            clock = time.time()
            _rules.free(source, self._holds.get(source), holder, clock)
            moment = self._moment()
            run = self._unfinished(source, moment, incremental=incremental)
            if run is None:
                run = Run(
                    id=len(self._runs) + 1,
                    source=source,
                    state="running",
                    started=moment,
                    incremental=incremental,
                )
                self._sightings[run.id] = Sightings()
            self._runs[run.id] = run
            self._holds[source] = _rules.Hold(run.id, holder, clock + lease_seconds, lease_seconds)
            return Lease(source=source, run=run.id, holder=holder), self._whole(run)

    def _unfinished(self, source: str, moment: str, *, incremental: bool) -> Run | None:
        for run in self._runs.values():
            if run.source == source and run.state == "running":
                if run.incremental == incremental:
                    return run
                self._runs[run.id] = _rules.abandoned(run, moment)
        return None

    def renew(self, lease: Lease, lease_seconds: float) -> None:
        """Give a sign of life. Raises LeaseLost."""
        with self._lock:
            self._live(lease, lease_seconds)

    def _live(self, lease: Lease, length: float | None = None) -> None:
        """Pass the fence, and give a sign of life."""
        clock = time.time()
        hold = _rules.fence(lease, self._holds.get(lease.source), clock)
        length = hold.length if length is None else length
        self._holds[lease.source] = hold._replace(until=clock + length, length=length)

    def finish(
        self, lease: Lease, state: State, *, missed_runs: int, shrink_hold: float, note: str = ""
    ) -> Run:
        """End the run and the lease, and retire what is gone. Raises LeaseLost."""
        with self._lock:
            self._live(lease)
            moment = self._moment()
            rows = {row.native_id: row for row in self._rows.values() if row.source == lease.source}
            gone = _rules.retire(
                _rules.ended(self._runs[lease.run], state, note, moment),
                {native_id: row.misses for native_id, row in rows.items() if row.record is not None},
                self._sightings[lease.run].outcomes.keys(),
                self._sightings[lease.run].deleted,
                missed_runs=missed_runs,
                shrink_hold=shrink_hold,
            )
            for native_id, misses in gone.misses.items():
                rows[native_id].misses = misses
            for native_id in gone.withdrawn:
                self._turn(rows[native_id], None, moment, lease.run)
            if gone.held:
                self._held[lease.source] = set(gone.held)
            self._runs[lease.run] = gone.run
            del self._holds[lease.source]
            return self._whole(gone.run)

    def _whole(self, run: Run, shown: int = MAX_QUARANTINE_SHOWN) -> Run:
        lines = sorted(self._sightings[run.id].quarantine.values(), key=lambda line: line.native_id)
        return run.model_copy(update={"quarantine": tuple(lines[:shown])})

    def runs(
        self, source: str | None = None, *, limit: int = 50, quarantine: int = MAX_QUARANTINE_SHOWN
    ) -> tuple[Run, ...]:
        """Return runs, newest first, each with the first `quarantine` lines of its quarantine."""
        with self._lock:
            found = [run for run in reversed(self._runs.values()) if source in {None, run.source}]
            return tuple(self._whole(run, quarantine) for run in found[:limit])

    def last_complete(self, source: str) -> str | None:
        """Return when the source's last complete run started; None if there was none."""
        with self._lock:
            return _changes.last_complete(
                run for run in reversed(self._runs.values()) if run.source == source
            )

    def _run(self, number: int) -> Run:
        if number not in self._runs:
            raise _changes.no_run(number)
        return self._runs[number]

    def diff(self, earlier: int, later: int, *, limit: int | None = None, offset: int = 0) -> Diff:
        """Return what became of the records of two runs' sources. Raises NotFound or BadRequest."""
        with self._lock:
            first, second = self._run(earlier), self._run(later)
            since, until = _changes.ends(first, second)
            rows = [row for row in self._rows.values() if row.source in {first.source, second.source}]
            changes = [change for row in rows if (change := row.changed(since, until))]
            return _changes.difference(first, second, changes, limit, offset)

    def rollback(self, number: int) -> Run:
        """Bring a source's records back to what they were before a run. Raises NotFound or LeaseHeld."""
        with self._lock:
            run = self._run(number)
            _rules.free(run.source, self._holds.get(run.source), "", time.time())
            started, moment, number = self._moment(), self._moment(), len(self._runs) + 1
            done: list[What] = []
            for row in [row for row in self._rows.values() if row.source == run.source]:
                row.misses = 0
                then = row.record_at(run.started)
                if what := _changes.became(row.record, then, known=True):
                    self._turn(row, then, moment, number)
                    done.append(what[0])
            self._undo(run, number, moment)
            self._sightings[number] = Sightings()
            self._runs[number] = _changes.rolledback(number, run, (started, moment), done)
            return self._runs[number]

    def _undo(self, run: Run, number: int, moment: str) -> None:
        """End the source's unfinished runs, and drop the held ones that a rollback undoes."""
        for other in [other for other in self._runs.values() if other.source == run.source]:
            if other.state == "running":
                self._runs[other.id] = _rules.abandoned(other, moment, f"run {number} rolled back")
            elif other.state == "held" and other.id >= run.id:
                self._runs[other.id] = _changes.dropped(other, f"rolled back by run {number}")
                self._held.pop(run.source, None)

    def release(self, number: int) -> Run:
        """Withdraw what a held run missed. Raises NotFound, BadRequest or LeaseHeld."""
        with self._lock:
            run = self._run(number)
            if _changes.held(run, self._newest_held(run.source), "released"):
                _rules.free(run.source, self._holds.get(run.source), "", time.time())
                moment = self._moment()
                rows = [self._rows[run.source, name] for name in self._held.pop(run.source, set())]
                gone = [row for row in rows if row.record is not None]
                for row in gone:
                    self._turn(row, None, moment, number)
                self._runs[number] = _changes.released(run, len(gone), moment)
            return self._whole(self._runs[number])

    def drop(self, number: int) -> Run:
        """Mark a held run as dropped. Raises NotFound or BadRequest."""
        with self._lock:
            run = self._run(number)
            if _changes.held(run, self._newest_held(run.source), "dropped"):
                self._held.pop(run.source, None)
                self._runs[number] = _changes.dropped(run, "by an operator")
            return self._whole(self._runs[number])

    def _newest_held(self, source: str) -> Run | None:
        runs = (run for run in reversed(self._runs.values()) if run.source == source)
        return next((run for run in runs if run.state in _changes.HELD), None)

    def _current(self) -> Mapping[str, Record]:
        return {row.id: row.record for row in self._rows.values() if row.record is not None}

    def tie(self, ties: Sequence[Tie]) -> int:
        """Tie records together, and return how many ties are new."""
        with self._lock:
            return self._bonds.tie(ties, self._current().__contains__)

    def untie(self, record_id: str, *, forever: bool = True) -> tuple[Tie, ...]:
        """Take a record out of its group, for ever or not. Raises NotFound."""
        with self._lock:
            return self._bonds.untie(self._row(record_id).id, forever=forever)

    def ties(self, record_id: str) -> tuple[Tie, ...]:
        """Return the ties of the record's group, by member. Raises NotFound."""
        with self._lock:
            return self._bonds.group(self._row(record_id).id)

    def changed_after(self, mark: int, *, limit: int = 1_000) -> tuple[int, tuple[Record, ...]]:
        """Return current records that changed after a mark, and the next mark."""
        with self._lock:
            rows = sorted((row for row in self._rows.values() if row.mark > mark), key=lambda row: row.mark)
            found = [(row.mark, row.record) for row in rows if row.record is not None][:limit]
        return (found[-1][0] if found else mark), tuple(record for _, record in found)

    def note_health(self, found: Sequence[Health]) -> None:
        """Keep what probes found of current records."""
        with self._lock:
            self._bonds.note(found, self._current())

    def health(self, record_id: str) -> tuple[Health, ...]:
        """Return what is known of a record's distributions, in their order. Raises NotFound."""
        with self._lock:
            record = self._row(record_id).record
            known = self._bonds.health(record_id)
            return _rules.in_order(united(record, self._led(record_id)), known) if record else ()

    def conditions(self, record_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the states of what was probed of records and of those that they lead, by id."""
        with self._lock:
            found = {name: frozenset(one.state for one in self._bonds.health(name)) for name in record_ids}
        return {name: states for name, states in found.items() if states}

    def to_probe(self, before: Instant, *, limit: int = 100) -> tuple[str, ...]:
        """Return ids of current records not probed since an instant, those never probed first."""
        with self._lock:
            return self._bonds.to_probe(self._current(), before, limit)

    def close(self) -> None:
        """Nothing to give up."""


def open_store(home: Path) -> MemoryStore:  # noqa: ARG001 - the protocol's form; memory has no home
    """Open an empty store."""
    return MemoryStore()
