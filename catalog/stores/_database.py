"""An SQLite file for many threads and processes: the version guard, the schema, and transactions."""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from catalog.errors import StoreError, TooBusy

WAL_RESET_FIXED = (3, 51, 3)
"""The first SQLite without the WAL-reset bug, which can corrupt a database that several processes write.

3.7.0 to 3.51.2 have it (docs/decisions/0001-sqlite-through-apsw.md).
"""

BUSY_MILLISECONDS = 30_000
_WRITERS_CACHE = "PRAGMA cache_size=-16000"
"""Kilobytes of pages that a connection which writes keeps: rows by hash and words come to pages all over the file."""
_LOG_PAGES = 4_000
"""Pages of the write-ahead log (4 kB each) after which they go to the file: those of indexes change again and again."""
_STEPS = 1_000  # of SQLite's virtual machine, from one look at the clock to the next

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 0), ('index', '');

CREATE TABLE records (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, native_id TEXT NOT NULL,
  version INTEGER,            -- versions.version of the current record; NULL: withdrawn
  misses INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL,  -- meta 'generation' of the last change
  modified REAL, title_vi TEXT, title_en TEXT,
  first REAL, last REAL,      -- seconds since 1970; NULL: no time range
  UNIQUE (source, native_id));
CREATE INDEX records_by_generation ON records (generation);
CREATE INDEX records_by_time ON records (first, last);

CREATE TABLE versions (
  version INTEGER PRIMARY KEY, number INTEGER NOT NULL REFERENCES records,
  valid_from TEXT NOT NULL, valid_to TEXT, run INTEGER, json BLOB);    -- NULL: withdrawn
CREATE INDEX versions_by_record ON versions (number);

CREATE TABLE documents (
  hash TEXT PRIMARY KEY, content BLOB NOT NULL, media_type TEXT NOT NULL, url TEXT NOT NULL,
  source TEXT NOT NULL, native_id TEXT NOT NULL,
  name TEXT NOT NULL, page TEXT NOT NULL, fetched_at TEXT NOT NULL) WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5 (
  title, body, exact_title, exact_body, content='', contentless_delete=1, tokenize="ascii tokenchars '_'");
CREATE VIRTUAL TABLE boxes USING rtree (box, w, e, s, n, +number, +west, +east, +south, +north);
CREATE TABLE record_boxes (
  number INTEGER NOT NULL, box INTEGER NOT NULL, PRIMARY KEY (number, box)) WITHOUT ROWID;
CREATE TABLE facets (number INTEGER NOT NULL, facet TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (number, facet, value)) WITHOUT ROWID;
CREATE TABLE names (
  name TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE INDEX names_by_record ON names (number);

CREATE TABLE runs (run INTEGER PRIMARY KEY, source TEXT NOT NULL, state TEXT NOT NULL, started TEXT NOT NULL,
  json BLOB NOT NULL);
CREATE INDEX runs_by_source ON runs (source, run);
CREATE TABLE leases (source TEXT PRIMARY KEY, run INTEGER NOT NULL, holder TEXT NOT NULL, until REAL NOT NULL,
  length REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE sightings (
  run INTEGER NOT NULL, native_id TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, url TEXT,
  PRIMARY KEY (run, native_id)) WITHOUT ROWID;
CREATE INDEX quarantine ON sightings (run) WHERE outcome = 'quarantined';
"""

_PADDED = (
    "substr(substr({0}, 1, length({0}) - 1) || iif(length({0}) = 20, '.', '') || '000000', 1, 26) || 'Z'"
)
_SECOND = f"""
UPDATE versions SET valid_from = {_PADDED.format("valid_from")}, valid_to = {_PADDED.format("valid_to")};
CREATE INDEX versions_by_start ON versions (valid_from, number);
CREATE INDEX versions_by_end ON versions (valid_to, valid_from) WHERE valid_to IS NOT NULL;
INSERT INTO meta SELECT 'moment', max(valid_from) FROM versions;

CREATE TABLE held (              -- what the newest held run of a source missed, and no run saw since
  source TEXT NOT NULL, native_id TEXT NOT NULL, PRIMARY KEY (source, native_id)) WITHOUT ROWID;
CREATE TABLE past (              -- what versions that are no more are found by: nothing that their json does not say
  version INTEGER PRIMARY KEY, id TEXT NOT NULL, said TEXT NOT NULL, written TEXT, names TEXT NOT NULL,
  facets BLOB NOT NULL, boxes BLOB NOT NULL, south REAL, north REAL, first REAL, last REAL,
  modified REAL, title_vi TEXT, title_en TEXT);
CREATE TABLE unread (version INTEGER PRIMARY KEY);  -- versions that have no row there yet
INSERT INTO unread SELECT version FROM versions WHERE valid_to IS NOT NULL AND json IS NOT NULL;
UPDATE runs SET state = 'dropped', json = CAST(json_set(CAST(json AS TEXT), '$.state', 'dropped',
  '$.note', 'held by an older program, which did not keep what the run missed') AS BLOB) WHERE state = 'held';
UPDATE runs SET json = CAST(json_set(CAST(json AS TEXT), '$.ended', last) AS BLOB) FROM (
  SELECT run AS ender, max(valid_from) AS last FROM versions WHERE json IS NULL GROUP BY run)
  WHERE run = ender AND state = 'complete';
"""  # noqa: S608 - names of our own
"""Truth over time: moments whose order as text is that of time, and what held runs missed.

Of runs that were held before, what they missed was not kept: they count as dropped. A run's withdrawals came a little
after its end, which is now theirs.
"""

_THIRD = """
CREATE TABLE ties (               -- members, and who leads them
  member INTEGER PRIMARY KEY REFERENCES records, leader INTEGER NOT NULL REFERENCES records,
  rule TEXT NOT NULL, score REAL NOT NULL, evidence TEXT NOT NULL, since TEXT NOT NULL);
CREATE INDEX ties_by_leader ON ties (leader);
CREATE TABLE apart (              -- ids of records that an operator took apart, the lower first
  one TEXT NOT NULL, other TEXT NOT NULL, PRIMARY KEY (one, other)) WITHOUT ROWID;
CREATE TABLE health (
  number INTEGER NOT NULL REFERENCES records, address TEXT NOT NULL, state TEXT NOT NULL, since TEXT NOT NULL,
  checked TEXT NOT NULL, newest TEXT, reason TEXT NOT NULL, PRIMARY KEY (number, address)) WITHOUT ROWID;
CREATE TABLE deletions (          -- what a running run was told to be deleted, of what is current
  run INTEGER NOT NULL, native_id TEXT NOT NULL, PRIMARY KEY (run, native_id)) WITHOUT ROWID;
"""
"""One dataset from several portals, whether its data are there, and what sources say that they deleted."""

_FOURTH = """
ALTER TABLE documents RENAME TO by_hash;
CREATE TABLE documents (
  hash TEXT NOT NULL UNIQUE, content BLOB NOT NULL, media_type TEXT NOT NULL, url TEXT NOT NULL,
  source TEXT NOT NULL, native_id TEXT NOT NULL,
  name TEXT NOT NULL, page TEXT NOT NULL, fetched_at TEXT NOT NULL);
INSERT INTO documents (hash, content, media_type, url, source, native_id, name, page, fetched_at)
  SELECT hash, content, media_type, url, source, native_id, name, page, fetched_at FROM by_hash;
DROP TABLE by_hash;
"""
"""Documents in the order in which they came: in that of their hashes each is written to a page of its own."""

_SCHEMAS = (_FIRST, _SECOND, _THIRD, _FOURTH)
SCHEMA_VERSION = len(_SCHEMAS)
"""The schema that this program writes; an older file is brought to it as it is opened, whole or not at all."""


def safe(version: str) -> None:
    """Pass if an SQLite version is safe to write with.

    Raises:
        StoreError: It has the WAL-reset bug, or is older than WAL itself.
    """
    if tuple(int(part) for part in version.split(".")) < WAL_RESET_FIXED:
        raise StoreError(
            f"SQLite {version} has the WAL-reset bug, which can corrupt the catalog",
            hint="install apsw >= 3.51.3 from its wheel, which carries its own SQLite",
            details={"version": version, "fixed_in": ".".join(map(str, WAL_RESET_FIXED))},
        )


class Database:
    """One SQLite file; a connection for each thread that uses it.

    Args:
        path: The file; made where it is not there.

    Raises:
        StoreError: The SQLite library is unsafe, the file is none, or a newer program wrote it.
    """

    def __init__(self, path: Path) -> None:
        safe(apsw.sqlitelibversion())
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the data home cannot be made: {error.strerror}", hint="see --home") from error
        with self.write() as connection:
            _migrate(connection, path)

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            _enter_wal(connection)
            connection.execute(
                f"PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint={_LOG_PAGES}"
            )
            with self._lock:
                self._open.add(connection)
            self._local.connection = connection
        return connection

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Give a connection in a transaction that sees one state of the database."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """Give a connection in a transaction that is written whole at its end, or not at all."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute(_WRITERS_CACHE)
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[apsw.Connection]:
        if self._closed:
            raise StoreError("the store is closed")
        try:
            connection = self._connection()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise StoreError(
                f"{self._path.name}: {error}", details={"sqlite": type(error).__name__}
            ) from error

    def close(self) -> None:
        """Close every connection; what is written stays."""
        with self._lock:
            self._closed = True
            connections = list(self._open)
        for connection in connections:
            connection.close()


@contextmanager
def limited(
    connection: apsw.Connection,
    seconds: float,
    hint: str = "ask for fewer words, or for a smaller box or time",
) -> Iterator[None]:
    """Let a connection ask for so many seconds at most; `hint` says how to ask for less.

    Raises:
        TooBusy: The time is over; the question was broken off.
    """
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() >= end, _STEPS)
    try:
        yield
    except apsw.InterruptError as error:
        raise TooBusy(
            f"the question was broken off after {seconds:g} s",
            hint=f"{hint}, or try again",
            details={"seconds": seconds, "retry_after": 1},
        ) from error
    finally:
        connection.set_progress_handler(None)


def _migrate(connection: apsw.Connection, path: Path) -> None:
    version = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path.name} has schema {version}; this program knows schemas up to {SCHEMA_VERSION}",
            hint="run a newer bienmo, or another data home",
        )
    for step in _SCHEMAS[version:]:
        connection.execute(step)
    if version < SCHEMA_VERSION:
        connection.pragma("user_version", SCHEMA_VERSION)


def _enter_wal(connection: apsw.Connection) -> None:
    """Put the database into WAL mode; SQLite does not wait for others here by itself (two first openings at once)."""
    end = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
