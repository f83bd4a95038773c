"""A store in memory, of plain dicts: the reference that shows what the others mean."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.errors import NotFound
from catalog.instant import now
from catalog.record import Record
from catalog.search import FACETS, Page, Query, exact_tokens, facets_of, matches, texts
from catalog.source import Document
from catalog.stores import (
    MAX_QUARANTINE_SHOWN,
    Counts,
    Entry,
    Lease,
    Quarantined,
    Run,
    State,
    Version,
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

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and what was seen. Raises LeaseLost."""
        with self._lock:
            if lease is not None:
                self._live(lease)
            done = [self._keep(entry, lease.run if lease else None) for entry in entries]
            if lease is not None:
                moves = [self._see(lease.run, entry, what) for entry, what in zip(entries, done, strict=True)]
                self._runs[lease.run] = _rules.tallied(self._runs[lease.run], moves, page)
            return _rules.counts(done)

    def _keep(self, entry: Entry, run: int | None) -> _rules.Outcome:
        document = entry.document
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
            row.turn(record, now(), run)
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

    def get(self, record_id: str) -> Record:
        """Return the current record. Raises NotFound or Withdrawn."""
        row = self._row(record_id)
        if row.record is None:
            raise _rules.withdrawn(record_id, row.versions[-1].valid_from)
        return row.record

    def _row(self, record_id: str) -> _Row:
        with self._lock:
            if record_id not in self._by_id:
                raise NotFound(f"there is no dataset {record_id[:100]!r}")
            return self._by_id[record_id]

    def search(self, query: Query) -> Page:
        """Return the page of current records that `search.matches` says, and the facet counts of all."""
        with self._lock:
            records = [row.record for row in self._rows.values() if row.record is not None]
        found = _ordered([record for record in records if matches(record, query)], query)
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
            run = self._unfinished(source, incremental=incremental)
            if run is None:
                run = Run(
                    id=len(self._runs) + 1,
                    source=source,
                    state="running",
                    started=now(),
                    incremental=incremental,
                )
                self._sightings[run.id] = _Sightings()
            self._runs[run.id] = run
            self._holds[source] = _rules.Hold(run.id, holder, clock + lease_seconds, lease_seconds)
            return Lease(source=source, run=run.id, holder=holder), self._whole(run)

    def _unfinished(self, source: str, *, incremental: bool) -> Run | None:
        for run in self._runs.values():
            if run.source == source and run.state == "running":
                if run.incremental == incremental:
                    return run
                self._runs[run.id] = _rules.abandoned(run)
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
            rows = {row.native_id: row for row in self._rows.values() if row.source == lease.source}
            gone = _rules.retire(
                _rules.ended(self._runs[lease.run], state, note),
                {native_id: row.misses for native_id, row in rows.items() if row.record is not None},
                self._sightings[lease.run].outcomes.keys(),
                missed_runs=missed_runs,
                shrink_hold=shrink_hold,
            )
            for native_id, misses in gone.misses.items():
                rows[native_id].misses = misses
            for native_id in gone.withdrawn:
                rows[native_id].turn(None, now(), lease.run)
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
            started = [
                run.started for run in self._runs.values() if (run.source, run.state) == (source, "complete")
            ]
        return started[-1] if started else None

    def close(self) -> None:
        """Nothing to give up."""


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
