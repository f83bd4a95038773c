"""A store in one SQLite file, `catalog.sqlite`, for many threads and processes: the default."""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import apsw

from catalog import vocabulary
from catalog.errors import NotFound
from catalog.instant import now
from catalog.record import Record
from catalog.search import Page, Query
from catalog.source import Document
from catalog.stores import (
    MAX_QUARANTINE_SHOWN,
    Counts,
    Entry,
    Lease,
    Run,
    State,
    Version,
    _index,
    _rules,
    _runs,
)
from catalog.stores._database import WAL_RESET_FIXED, Database, limited

FILE = "catalog.sqlite"
SEARCH_SECONDS = 0.5
_MOST_READ = 256  # records whose text is not read again while it is the same
_DOCUMENT = ("media_type", "url", "source", "native_id", "name", "page", "fetched_at")


class SqliteStore:
    """Keeps records, history, documents and runs in one file; every write is one transaction.

    Args:
        home: The folder of the file; made where it is not there.
        search_seconds: How long finding the answer to one query may take.

    Raises:
        StoreError: The SQLite library is unsafe, the file is no catalog, or a newer program wrote it.
    """

    def __init__(self, home: Path, *, search_seconds: float = SEARCH_SECONDS) -> None:
        self._search_seconds = search_seconds
        self._database = Database(home / FILE)
        self._lock = threading.Lock()
        self._facets = _index.NO_FACETS
        self._read = lru_cache(_MOST_READ)(Record.model_validate_json)
        with self._database.write() as connection:
            _reindex(connection)

    def put(self, entries: Sequence[Entry], *, lease: Lease | None = None, page: str | None = None) -> Counts:
        """Keep entries, their documents and what was seen, in one transaction. Raises LeaseLost."""
        with self._database.write() as connection:
            if lease is not None:
                _runs.live(connection, lease)
            generation = _next_generation(connection)
            done = [_keep(connection, entry, lease.run if lease else None, generation) for entry in entries]
            if not {"new", "changed", "restored"}.isdisjoint(done):
                _turn_generation(connection, generation)
            if lease is not None:
                _runs.see(connection, lease.run, entries, done, page)
        return _rules.counts(done)

    def get(self, record_id: str) -> Record:
        """Return the current record. Raises NotFound or Withdrawn."""
        text, since, _, _ = self._versions(record_id, 1)[0]
        if text is None:
            raise _rules.withdrawn(record_id, since)
        return self._read(text)

    def _versions(self, record_id: str, limit: int) -> list[Any]:
        """The newest versions of a record as rows (json, from, to, run), newest first. Raises NotFound."""
        with self._database.read() as connection:
            number = connection.execute("SELECT number FROM records WHERE id = ?", (record_id,)).get
            if number is None:
                raise NotFound(f"there is no dataset {record_id[:100]!r}")
            return connection.execute(
                "SELECT json, valid_from, valid_to, run FROM versions WHERE number = ?"
                " ORDER BY version DESC LIMIT ?",
                (number, limit),
            ).fetchall()

    def history(self, record_id: str, *, limit: int = 100) -> tuple[Version, ...]:
        """Return the newest `limit` versions, oldest first. Raises NotFound."""
        return tuple(
            Version(
                record=Record.model_validate_json(text) if text else None,
                valid_from=first,
                valid_to=last,
                run=run,
            )
            for text, first, last, run in reversed(self._versions(record_id, limit))
        )

    def document(self, document_hash: str) -> Document:
        """Return a document as it was given. Raises NotFound."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT content, {', '.join(_DOCUMENT)} FROM documents WHERE hash = ?",  # noqa: S608 - our names
                (document_hash,),
            ).fetchall()
        if not rows:
            raise NotFound(f"there is no document {document_hash[:80]!r}")
        content, *facts = rows[0]
        return Document(content=zlib.decompress(content), **dict(zip(_DOCUMENT, facts, strict=True)))

    def sources(self) -> Mapping[str, int]:
        """Return the number of current records by source id."""
        with self._database.read() as connection:
            return dict(
                connection.execute(
                    "SELECT source, count(*) FROM records WHERE version IS NOT NULL GROUP BY 1 ORDER BY 1"
                )
            )

    def search(self, query: Query) -> Page:
        """Return the page of current records that `search.matches` says, and the facet counts of all.

        Raises:
            TooBusy: Finding them took longer than `search_seconds`.
        """
        with self._snapshot() as (connection, facets):
            with limited(connection, self._search_seconds):
                found = _index.find(connection, query, facets)
                if query.terms():
                    found = _index.worded(connection, query, found)
                by_rank = query.terms() and query.sort == "relevance"
                numbers = (_index.best if by_rank else _index.ordered)(connection, query, found)
            items = tuple(record for number in numbers if (record := _current(connection, number)))
        return Page(
            matched=len(found),
            items=items,
            facets={
                facet: _rules.hits(facet, counted, query.lang)
                for facet, counted in facets.counted(found).items()
            },
        )

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[apsw.Connection, _index.Facets]]:
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
            current = connection.execute(
                "SELECT native_id, misses FROM records WHERE source = ? AND version IS NOT NULL",
                (lease.source,),
            )
            gone = _rules.retire(
                _rules.ended(_runs.load(connection, lease.run), state, note),
                dict(current),
                _runs.seen(connection, lease.run),
                missed_runs=missed_runs,
                shrink_hold=shrink_hold,
            )
            _retire(connection, lease, gone)
            return _runs.whole(connection, gone.run)

    def runs(
        self, source: str | None = None, *, limit: int = 50, quarantine: int = MAX_QUARANTINE_SHOWN
    ) -> tuple[Run, ...]:
        """Return runs, newest first, each with the first `quarantine` lines of its quarantine."""
        with self._database.read() as connection:
            return _runs.runs(connection, source, limit, quarantine)

    def last_complete(self, source: str) -> str | None:
        """Return when the source's last complete run started; None if there was none."""
        with self._database.read() as connection:
            started: str | None = connection.execute(
                "SELECT started FROM runs WHERE source = ? AND state = 'complete' ORDER BY run DESC LIMIT 1",
                (source,),
            ).get
        return started

    def close(self) -> None:
        """Close the file's connections."""
        self._database.close()


def _next_generation(connection: apsw.Connection) -> int:
    """The generation that a write makes, by which readers know what changed since they looked."""
    number: int = connection.execute("SELECT value + 1 FROM meta WHERE key = 'generation'").get
    return number


def _turn_generation(connection: apsw.Connection, generation: int) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (generation,))


def _keep(connection: apsw.Connection, entry: Entry, run: int | None, generation: int) -> _rules.Outcome:
    document = entry.document
    rows: list[Any] = connection.execute(
        "SELECT number, id, misses FROM records WHERE source = ? AND native_id = ?",
        (document.source, document.native_id),
    ).fetchall()
    number, known, misses = rows[0] if rows else (None, None, 0)
    if misses:
        connection.execute("UPDATE records SET misses = 0 WHERE number = ?", (number,))
    if entry.record is None:
        _keep_document(connection, document)
        return "quarantined"
    record = _rules.identified(entry, known, lambda wanted: _taken(connection, wanted))
    what = _rules.outcome(record, _current(connection, number), known=known is not None)
    if what == "unchanged":
        return what
    _keep_document(connection, document)
    if number is None:
        connection.execute(
            "INSERT INTO records (id, source, native_id, generation) VALUES (?, ?, ?, ?)",
            (record.id, document.source, document.native_id, generation),
        )
        number = connection.last_insert_rowid()
    _turn(connection, number, record, run, generation)
    return what


def _keep_document(connection: apsw.Connection, document: Document) -> None:
    if document.content:
        facts: list[Any] = [getattr(document, name) for name in _DOCUMENT]
        names = ", ".join(_DOCUMENT)
        connection.execute(
            f"INSERT OR IGNORE INTO documents (hash, content, {names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (document.hash, zlib.compress(document.content), *facts),
        )


def _taken(connection: apsw.Connection, record_id: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM records WHERE id = ?", (record_id,)).get)


def _current(connection: apsw.Connection, number: int | None) -> Record | None:
    text = connection.execute(
        "SELECT json FROM records JOIN versions USING (version) WHERE records.number = ?", (number,)
    ).get
    return Record.model_validate_json(text) if text else None


def _turn(
    connection: apsw.Connection, number: int, record: Record | None, run: int | None, generation: int
) -> None:
    """End the version of a record, and begin the next; None withdraws it."""
    moment = now()
    connection.execute(
        "UPDATE versions SET valid_to = ? WHERE number = ? AND valid_to IS NULL", (moment, number)
    )
    connection.execute(
        "INSERT INTO versions (number, valid_from, run, json) VALUES (?, ?, ?, ?)",
        (number, moment, run, record.model_dump_json().encode() if record else None),
    )
    version = connection.last_insert_rowid() if record else None
    connection.execute(
        "UPDATE records SET version = ?, generation = ? WHERE number = ?", (version, generation, number)
    )
    if record is None:
        _index.remove(connection, number)
    else:
        _index.add(connection, number, record)


def _retire(connection: apsw.Connection, lease: Lease, gone: _rules.Retirement) -> None:
    """Write what the end of a run does."""
    connection.executemany(
        "UPDATE records SET misses = ? WHERE source = ? AND native_id = ?",
        [(misses, lease.source, native_id) for native_id, misses in gone.misses.items()],
    )
    if gone.withdrawn:
        generation = _next_generation(connection)
        _turn_generation(connection, generation)
        for native_id in gone.withdrawn:
            number = connection.execute(
                "SELECT number FROM records WHERE source = ? AND native_id = ?", (lease.source, native_id)
            ).get
            _turn(connection, number, None, lease.run, generation)
    _runs.save(connection, gone.run)
    _runs.forget(connection, lease.run)
    connection.execute("DELETE FROM leases WHERE source = ?", (lease.source,))


def _reindex(connection: apsw.Connection) -> None:
    """Index every current record anew where the index was made with another vocabulary or another edition."""
    edition = f"{_index.EDITION} {vocabulary.fingerprint()}"
    if connection.execute("SELECT value FROM meta WHERE key = 'index'").get == edition:
        return
    generation = _next_generation(connection)
    _turn_generation(connection, generation)
    rows: list[Any] = connection.execute(
        "SELECT records.number, json FROM records JOIN versions USING (version)"
    ).fetchall()
    for number, text in rows:
        _index.add(connection, number, Record.model_validate_json(text))
        connection.execute("UPDATE records SET generation = ? WHERE number = ?", (generation, number))
    connection.execute("UPDATE meta SET value = ? WHERE key = 'index'", (edition,))


def open_store(home: Path) -> SqliteStore:
    """Open the store in a data home, made where it is not there.

    Raises:
        StoreError: The SQLite library is unsafe, the file is no catalog, or a newer program wrote it.
    """
    return SqliteStore(home)


__all__ = ["FILE", "SEARCH_SECONDS", "WAL_RESET_FIXED", "SqliteStore", "open_store"]
