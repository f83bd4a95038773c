"""A store in memory, of plain dicts: the reference that shows what the others mean."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.errors import NotFound
from catalog.instant import Instant
from catalog.record import Record
from catalog.search import FACETS, Page, Query, exact_tokens, facets_of, matches, texts
from catalog.source import Document
from catalog.stores import (
    MAX_QUARANTINE_SHOWN,
    Change,
    Counts,
    Diff,
    Entry,
    Lease,
    Quarantined,
    Run,
    State,
    Version,
    What,
    _changes,
    _rules,
)


@dataclass
class _Row:
    """A dataset for ever: its id, its versions, and how often complete runs missed it."""

    id: str
    source: str
    native_id: str
    versions: list[Version] = field(default_factory=list)
    misses: int = 0

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


@dataclass
class _Sightings:
    """What a run saw: outcomes by native id, and what is in quarantine."""

    outcomes: dict[str, _rules.Outcome] = field(default_factory=dict)
    quarantine: dict[str, Quarantined] = field(default_factory=dict)


class MemoryStore:
    """Keeps everything in this process, and forgets it at its end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[tuple[str, str], _Row] = {}
        self._by_id: dict[str, _Row] = {}
        self._documents: dict[str, Document] = {}
        self._runs: dict[int, Run] = {}
        self._sightings: dict[int, _Sightings] = {}
        self._holds: dict[str, _rules.Hold] = {}
        self._held: dict[
            str, set[str]
        ] = {}  # by source: what its newest held run missed, and no run saw since
        self._last: str | None = None

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
            done = [self._keep(entry, run, moment) for entry in entries]
            if lease is not None:
                moves = [self._see(lease.run, entry, what) for entry, what in zip(entries, done, strict=True)]
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
            row = _Row(id=record.id, source=document.source, native_id=document.native_id)
            self._rows[document.source, document.native_id] = self._by_id[record.id] = row
        if what != "unchanged":
            self._keep_document(document)
            row.turn(record, moment, run)
        return what

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
        version = self._row(record_id).at(asof)
        if version is None:
            raise _rules.unknown(record_id, asof)
        if version.record is None:
            raise _rules.withdrawn(record_id, version.valid_from)
        return version.record

    def _row(self, record_id: str) -> _Row:
        with self._lock:
            if record_id not in self._by_id:
                raise _rules.unknown(record_id)
            return self._by_id[record_id]

    def search(self, query: Query) -> Page:
        """Return the page of records that `search.matches` says, and the facet counts of all."""
        with self._lock:
            records = [row.record_at(query.asof) for row in self._rows.values()]
        found = _ordered([record for record in records if record and matches(record, query)], query)
        counted: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
        for record in found:
            for facet, values in facets_of(record).items():
                counted[facet].update(values)
        return Page(
            matched=len(found),
            items=tuple(found[query.offset : query.offset + query.limit]),
            facets={facet: _rules.hits(facet, counted[facet], query.lang) for facet in FACETS},
        )

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
                self._sightings[run.id] = _Sightings()
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
                missed_runs=missed_runs,
                shrink_hold=shrink_hold,
            )
            for native_id, misses in gone.misses.items():
                rows[native_id].misses = misses
            for native_id in gone.withdrawn:
                rows[native_id].turn(None, moment, lease.run)
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
            changes = [change for row in rows if (change := _changed(row, since, until))]
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
                    row.turn(then, moment, number)
                    done.append(what[0])
            self._undo(run, number, moment)
            self._sightings[number] = _Sightings()
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
                    row.turn(None, moment, number)
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

    def close(self) -> None:
        """Nothing to give up."""


def _changed(row: _Row, since: str, until: str) -> Change | None:
    before, after = row.at(since), row.at(until)
    what = _changes.became(
        before.record if before else None, after.record if after else None, known=before is not None
    )
    if what is None:
        return None
    return Change(id=row.id, source=row.source, native_id=row.native_id, what=what[0], fields=what[1])


def _ordered(found: Iterable[Record], query: Query) -> list[Record]:
    by_id = sorted(found, key=lambda record: record.id)
    match query.sort.removeprefix("-"):
        case "title":
            return _stable(by_id, {r.id: _rules.title_key(r, query.lang) for r in by_id}, query)
        case "modified":
            return _stable(by_id, {r.id: _rules.modified_key(r) for r in by_id}, query)
        case "relevance" if query.terms():
            return sorted(by_id, key=lambda record: not _has_exactly(record, query))
        case _:
            return by_id[::-1] if query.sort == "-id" else by_id


def _stable(by_id: list[Record], keys: Mapping[str, Any], query: Query) -> list[Record]:
    return sorted(by_id, key=lambda record: keys[record.id], reverse=query.sort.startswith("-"))


def _has_exactly(record: Record, query: Query) -> bool:
    words = [f" {' '.join(exact_tokens(text))} " for text in texts(record)]
    return all(any(f" {' '.join(term)} " in text for text in words) for term in _rules.exact_terms(query))


def open_store(home: Path) -> MemoryStore:  # noqa: ARG001 - the protocol's form; memory has no home
    """Open an empty store."""
    return MemoryStore()
