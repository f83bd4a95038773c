"""A store in one SQLite file, `catalog.sqlite`, for many threads and processes: the default."""

import contextlib
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import apsw
from pyroaring import BitMap

from catalog.errors import NotFound, StoreError, TooBusy
from catalog.instant import Instant, canonical
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
    Run,
    State,
    Tie,
    Version,
    _changes,
    _health,
    _index,
    _past,
    _rules,
    _runs,
    _ties,
    _versions,
)
from catalog.stores._database import WAL_RESET_FIXED, Database, limited
from catalog.stores._facets import NO_FACETS, Facets
from catalog.uniting import united

FILE = "catalog.sqlite"
SEARCH_SECONDS = 0.5
PAST_SECONDS = 5.0
"""How long a question about the past may take: what has changed since is read, not looked up."""

_NOTING_SECONDS = 30.0
_NOTED_AT_ONCE = 500
_EARLIER = "ask for a later instant, or for one source"
_MOST_READ = 256  # records whose text is not read again while it is the same


class SqliteStore:
    """Keeps records, history, documents and runs in one file; every write is one transaction.

    Args:
        home: The folder of the file; made where it is not there.
        search_seconds: How long finding the answer to one query may take.
        past_seconds: How long finding the answer to one question about the past may take; one is asked at a time.

    Raises:
        StoreError: The SQLite library is unsafe, the file is no catalog, or a newer program wrote it.
    """

    def __init__(
        self, home: Path, *, search_seconds: float = SEARCH_SECONDS, past_seconds: float = PAST_SECONDS
    ) -> None:
        self._search_seconds = search_seconds
        self._past_seconds = past_seconds
        self._past = threading.Lock()
        self._database = Database(home / FILE)
        self._lock = threading.Lock()
        self._facets = NO_FACETS
        self._read = lru_cache(_MOST_READ)(Record.model_validate_json)
        with self._database.write() as connection:
            _versions.reindex(connection)

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and what was seen, in one transaction. Raises LeaseLost."""
        with self._database.write() as connection:
            if lease is not None:
                _runs.live(connection, lease)
            stamped = _versions.stamp(connection, lease.run if lease else None)
            there = [entry for entry in entries if not entry.document.deleted]
            done = _versions.keep_all(connection, there, stamped)
            if lease is not None:
                _runs.see(connection, lease.run, there, done, page)
                _runs.delete(connection, lease, entries)
        return _rules.counts(done)

    def get(self, record_id: str, *, asof: Instant | None = None) -> Record:
        """Return the current record, or the one at an instant. Raises NotFound or Withdrawn."""
        with self._database.read() as connection:
            number = _versions.number(connection, record_id)
            rows = _versions.newest(connection, number, 1, asof)
            members = [] if asof else _ties.members(connection, number)
        if not rows:
            raise _rules.unknown(record_id, asof)
        text, since, _, _ = rows[0]
        if text is None:
            raise _rules.withdrawn(record_id, canonical(since))
        return united(self._read(text), [self._read(member) for member in members])

    def history(self, record_id: str, *, limit: int = 100) -> tuple[Version, ...]:
        """Return the newest `limit` versions, oldest first. Raises NotFound."""
        with self._database.read() as connection:
            rows = _versions.newest(connection, _versions.number(connection, record_id), limit)
        return tuple(
            Version(
                record=Record.model_validate_json(text) if text else None,
                valid_from=canonical(first),
                valid_to=last and canonical(last),
                run=run,
            )
            for text, first, last, run in reversed(rows)
        )

    def document(self, document_hash: str) -> Document:
        """Return a document as it was given. Raises NotFound."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT content, {', '.join(_versions.DOCUMENT)} FROM documents WHERE hash = ?",  # noqa: S608 - our names
                (document_hash,),
            ).fetchall()
        if not rows:
            raise NotFound(f"there is no document {document_hash[:80]!r}")
        content, *facts = rows[0]
        return Document(content=zlib.decompress(content), **dict(zip(_versions.DOCUMENT, facts, strict=True)))

    def sources(self) -> Mapping[str, int]:
        """Return the number of current records by source id."""
        with self._database.read() as connection:
            return dict(
                connection.execute(
                    "SELECT source, count(*) FROM records WHERE version IS NOT NULL GROUP BY 1 ORDER BY 1"
                )
            )

    def search(self, query: Query) -> Page:
        """Return the page of records that `search.matches` says, and the facet counts of all.

        Raises:
            TooBusy: Finding them took longer than `search_seconds`, or than `past_seconds` where it asks the past.
        """
        if query.asof is not None:
            return self._search_past(query)
        with self._snapshot() as (connection, facets):
            with limited(connection, self._search_seconds):
                found, numbers = _found(connection, query, facets)
            items = [_versions.current(connection, number) for number in numbers]
            led = [_ties.members(connection, number) if facets.groups.members else [] for number in numbers]
        answers = [
            united(leader, [self._read(member) for member in members])
            for leader, members in zip(items, led, strict=True)
            if leader
        ]
        return _page(query, len(found), answers, facets.led.counted(found))

    def _search_past(self, query: Query) -> Page:
        """Search as of an instant, one question at a time."""
        with self._asking(), self._snapshot() as (connection, facets):
            with limited(connection, self._past_seconds, _EARLIER):
                found = _past.search(connection, query, facets.own)
            texts = [
                connection.execute("SELECT json FROM versions WHERE version = ?", (version,)).get
                for version in found.versions
            ]
        return _page(query, found.matched, tuple(map(Record.model_validate_json, texts)), found.counts)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Wait for the questions about the past that came before. Raises TooBusy."""
        if not self._past.acquire(timeout=self._past_seconds):
            raise TooBusy(
                "other questions about the past are being answered",
                hint="try again in a few seconds",
                details={"retry_after": math.ceil(self._past_seconds)},
            )
        try:
            yield
        finally:
            self._past.release()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[apsw.Connection, Facets]]:
        """Give a reading transaction, and the facets of the very state that it sees.

        The state is pinned under the lock, so no thread meets facets newer than what it reads.
        """
        with self._database.read() as connection:
            with self._lock:
                self._facets = facets = self._facets.at(connection)
            yield connection, facets

    def begin(
        self, source: str, *, holder: str, lease_seconds: float, incremental: bool = False
    ) -> tuple[Lease, Run]:
        """Take the source's lease, and begin a run or take up an unfinished one. Raises LeaseHeld."""
        with self._database.write() as connection:
            return _runs.begin(connection, source, holder, lease_seconds, incremental=incremental)

    def renew(self, lease: Lease, lease_seconds: float) -> None:
        """Give a sign of life. Raises LeaseLost."""
        with self._database.write() as connection:
            _runs.live(connection, lease, lease_seconds)

    def finish(
        self, lease: Lease, state: State, *, missed_runs: int, shrink_hold: float, note: str = ""
    ) -> Run:
        """End the run and the lease, and retire what is gone. Raises LeaseLost."""
        with self._database.write() as connection:
            _runs.live(connection, lease)
            stamped = _versions.stamp(connection, lease.run)
            current = connection.execute(
                "SELECT native_id, misses FROM records WHERE source = ? AND version IS NOT NULL",
                (lease.source,),
            )
            gone = _rules.retire(
                _rules.ended(_runs.load(connection, lease.run), state, note, stamped.moment),
                dict(current),
                _runs.seen(connection, lease.run),
                _runs.deleted(connection, lease.run),
                missed_runs=missed_runs,
                shrink_hold=shrink_hold,
            )
            _versions.retire(connection, lease, gone, stamped)
            ended = _runs.whole(connection, gone.run)
        self._note_past()
        return ended

    def _note_past(self) -> None:
        """Make questions about the past quick, for a while, in small writes; what is left is done another time."""
        end = time.monotonic() + _NOTING_SECONDS
        with contextlib.suppress(StoreError):
            while time.monotonic() < end:
                with self._database.write() as connection:
                    if _past.fill(connection, _NOTED_AT_ONCE) < _NOTED_AT_ONCE:
                        return

    def runs(
        self, source: str | None = None, *, limit: int = 50, quarantine: int = MAX_QUARANTINE_SHOWN
    ) -> tuple[Run, ...]:
        """Return runs, newest first, each with the first `quarantine` lines of its quarantine."""
        with self._database.read() as connection:
            return _runs.runs(connection, source, limit, quarantine)

    def last_complete(self, source: str) -> str | None:
        """Return when the source's last complete run started; None if there was none."""
        with self._database.read() as connection:
            return _changes.last_complete(_runs.ends_of(connection, source))

    def diff(self, earlier: int, later: int, *, limit: int | None = None, offset: int = 0) -> Diff:
        """Return what became of the records of two runs' sources. Raises NotFound, BadRequest or TooBusy."""
        with self._asking(), self._database.read() as connection:
            first, second = _runs.load(connection, earlier), _runs.load(connection, later)
            with limited(connection, self._past_seconds, "compare runs that are nearer to each other"):
                changes = list(_past.changes(connection, first, second))
        return _changes.difference(first, second, changes, limit, offset)

    def rollback(self, number: int) -> Run:
        """Bring a source's records back to what they were before a run. Raises NotFound or LeaseHeld."""
        with self._database.write() as connection:
            rolled = _versions.rollback(connection, _runs.load(connection, number))
        self._note_past()
        return rolled

    def release(self, number: int) -> Run:
        """Withdraw what a held run missed. Raises NotFound, BadRequest or LeaseHeld."""
        return self._decide(number, "released", _versions.release)

    def drop(self, number: int) -> Run:
        """Mark a held run as dropped. Raises NotFound or BadRequest."""
        return self._decide(number, "dropped", _versions.drop)

    def _decide(self, number: int, state: State, done: Callable[[apsw.Connection, Run], Run]) -> Run:
        with self._database.write() as connection:
            run = _runs.load(connection, number)
            if _changes.held(run, _runs.newest_held(connection, run.source), state):
                run = done(connection, run)
            return _runs.whole(connection, run)

    def tie(self, ties: Sequence[Tie]) -> int:
        """Tie records together, in one transaction, and return how many ties are new."""
        with self._database.write() as connection:
            stamped = _versions.stamp(connection, None)
            count = _ties.tie(connection, ties, stamped.generation)
            if count:
                _versions.turned(connection, stamped)
        return count

    def untie(self, record_id: str, *, forever: bool = True) -> tuple[Tie, ...]:
        """Take a record out of its group, for ever or not. Raises NotFound."""
        with self._database.write() as connection:
            stamped, number = _versions.stamp(connection, None), _versions.number(connection, record_id)
            ended = _ties.untie(connection, number, record_id, stamped.generation, forever=forever)
            _versions.turned(connection, stamped)
        return ended

    def ties(self, record_id: str) -> tuple[Tie, ...]:
        """Return the ties of the record's group, by member. Raises NotFound."""
        with self._database.read() as connection:
            return _ties.of(connection, _versions.number(connection, record_id))

    def changed_after(self, mark: int, *, limit: int = 1_000) -> tuple[int, tuple[Record, ...]]:
        """Return current records that changed after a mark, and the next mark."""
        with self._database.read() as connection:
            rows = _versions.begun_after(connection, mark, limit)
        return (rows[-1][0] if rows else mark), tuple(Record.model_validate_json(text) for _, text in rows)

    def note_health(self, found: Sequence[Health]) -> None:
        """Keep what probes found of current records, in one transaction."""
        with self._database.write() as connection:
            stamped = _versions.stamp(connection, None)
            if _health.note(connection, found, stamped.generation):
                _versions.turned(connection, stamped)

    def health(self, record_id: str) -> tuple[Health, ...]:
        """Return what is known of a record's distributions, in their order. Raises NotFound."""
        with self._database.read() as connection:
            number = _versions.number(connection, record_id)
            record, known = _versions.current(connection, number), _health.of(connection, number)
            members = _ties.members(connection, number)
        if record is None:
            return ()
        return _rules.in_order(united(record, [self._read(member) for member in members]), known)

    def conditions(self, record_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Return the states of what was probed of records and of those that they lead, by id."""
        with self._database.read() as connection:
            return _health.conditions(connection, record_ids)

    def to_probe(self, before: Instant, *, limit: int = 100) -> tuple[str, ...]:
        """Return ids of current records not probed since an instant, those never probed first."""
        with self._database.read() as connection:
            return _health.to_probe(connection, before, limit)

    def close(self) -> None:
        """Close the file's connections."""
        self._database.close()


def _found(connection: apsw.Connection, query: Query, facets: Facets) -> tuple[BitMap, list[int]]:
    """The numbers of all answers to a query of the present, and those of its page in order."""
    found = _index.find(connection, query, facets.led, facets.groups)
    if not query.terms():
        return found, _index.ordered(connection, query, found, facets)
    worded = _index.worded(connection, query)
    found = found & facets.groups.led(worded)
    if query.sort != "relevance":
        return found, _index.ordered(connection, query, found, facets)
    return found, _index.best(connection, query, facets.groups.of(worded, found), facets)


def _page(
    query: Query, matched: int, items: Iterable[Record], counts: Mapping[str, Mapping[str, int]]
) -> Page:
    facets = {facet: _rules.hits(facet, counted, query.lang) for facet, counted in counts.items()}
    return Page(matched=matched, items=tuple(items), facets=facets)


def open_store(home: Path) -> SqliteStore:
    """Open the store in a data home, made where it is not there.

    Raises:
        StoreError: The SQLite library is unsafe, the file is no catalog, or a newer program wrote it.
    """
    return SqliteStore(home)


__all__ = ["FILE", "SEARCH_SECONDS", "WAL_RESET_FIXED", "SqliteStore", "open_store"]
