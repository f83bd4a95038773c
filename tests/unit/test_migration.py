"""A catalog of an older program is brought to this one's schema whole or not at all: FAULTS row 28."""

import hashlib
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from catalog.errors import BadRequest
from catalog.instant import canonical, seconds
from catalog.record import Record, Text
from catalog.search import Query
from catalog.source import Document
from catalog.stores import Entry, Tie, Version, _rules, sqlite
from catalog.stores._database import SCHEMA_VERSION

KILLED_AFTER = """
import os, signal, sys
from pathlib import Path
import apsw
from catalog.stores import sqlite
left = int(sys.argv[2])
def tick():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
apsw.connection_hooks.append(lambda connection: connection.set_progress_handler(tick, 50))
sqlite.open_store(Path(sys.argv[1])).close()
"""


def entry(number: int, title: str) -> Entry:
    document = Document(source="here", native_id=f"d{number}", content=f"{number} {title}".encode())
    record = Record(
        id=document.id,
        source="here",
        native_id=document.native_id,
        title=Text.of(title),
        document_hash=document.hash,
    )
    return Entry(document=document, record=record)


@pytest.fixture
def old(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, tuple[Version, ...]]:
    """A home with a catalog of an older schema, 1 if not told: history, a withdrawal, a held run.

    In schema 1 withdrawals come after their run's end.
    """
    with closing(sqlite.open_store(tmp_path)) as store:
        for title, count in [("one", 60), *[("two", 57)] * 3, ("two", 10)]:
            lease, _ = store.begin("here", holder="x", lease_seconds=60)
            store.put([entry(number, title) for number in range(count)], lease=lease)
            store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)
        assert [run.state for run in store.runs()] == ["held", *["complete"] * 4]
        histories = {f"here-d{number}": store.history(f"here-d{number}") for number in range(60)}
    with closing(apsw.Connection(str(tmp_path / sqlite.FILE))) as connection:
        connection.execute(
            "ALTER TABLE documents RENAME TO new;"
            "CREATE TABLE documents (hash TEXT PRIMARY KEY, content BLOB NOT NULL, media_type TEXT NOT NULL,"
            " url TEXT NOT NULL, source TEXT NOT NULL, native_id TEXT NOT NULL, name TEXT NOT NULL,"
            " page TEXT NOT NULL, fetched_at TEXT NOT NULL) WITHOUT ROWID;"
            "INSERT INTO documents SELECT * FROM new; DROP TABLE new; PRAGMA user_version = 3"
        )
        if getattr(request, "param", 1) == 3:
            return histories
        connection.execute(
            "DROP TABLE ties; DROP TABLE apart; DROP TABLE health; DROP TABLE deletions; PRAGMA user_version = 2"
        )
        if getattr(request, "param", 1) == 2:
            return histories
        rows: list[Any] = connection.execute("SELECT version, valid_from, valid_to FROM versions").fetchall()
        connection.executemany(
            "UPDATE versions SET valid_from = ?, valid_to = ? WHERE version = ?",
            [(canonical(first), last and canonical(last), version) for version, first, last in rows],
        )
        connection.execute(
            "UPDATE runs SET json = CAST(json_set(CAST(json AS TEXT), '$.ended', started) AS BLOB) WHERE run = 4;"
            "DROP INDEX versions_by_start; DROP INDEX versions_by_end; DROP TABLE held;"
            "DROP TABLE past; DROP TABLE unread;"
            "DELETE FROM meta WHERE key = 'moment'; PRAGMA user_version = 1"
        )
    return histories


def state(home: Path) -> tuple[int, str]:
    """The schema's version, and a hash of everything in the file."""
    with closing(apsw.Connection(str(home / sqlite.FILE))) as connection:
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema ORDER BY 1")]
        digest = hashlib.sha256(repr(tables).encode())
        for table in ("meta", "records", "versions", "runs"):
            digest.update(repr(connection.execute(f"SELECT * FROM {table}").fetchall()).encode())
        digest.update(repr(connection.execute("SELECT * FROM documents ORDER BY hash").fetchall()).encode())
        return connection.pragma("user_version"), digest.hexdigest()


@pytest.mark.parametrize("old", [1, 2, 3], indirect=True)
def test_a_killed_migration_leaves_the_old_or_the_new(
    tmp_path: Path, old: dict[str, tuple[Version, ...]]
) -> None:
    before = state(tmp_path)
    assert before[0] < SCHEMA_VERSION
    path = os.pathsep.join(part for part in sys.path if part)
    killed, ticks = 0, 0
    while True:
        ran = subprocess.run(
            [sys.executable, "-c", KILLED_AFTER, str(tmp_path), str(ticks)],
            env=os.environ | {"PYTHONPATH": path},
            timeout=60,
            check=False,
        )
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL
        assert state(tmp_path) == before
        killed, ticks = killed + 1, ticks * 2 + 1
    assert killed >= 4
    assert state(tmp_path)[0] == SCHEMA_VERSION
    with closing(sqlite.open_store(tmp_path)) as store:
        assert {name: store.history(name) for name in old} == old


def test_an_old_catalog_tells_its_past(tmp_path: Path, old: dict[str, tuple[Version, ...]]) -> None:
    with closing(sqlite.open_store(tmp_path)) as store:
        held, *complete = store.runs()
        for run, titles in zip(reversed(complete), ([60, 0], [3, 57], [3, 57], [0, 57]), strict=True):
            found = [store.search(Query(q=q, asof=run.ended)).matched for q in ("one", "two")]
            assert found == titles, "a run's withdrawals are there at its end"
        assert store.diff(1, 4).counts == {"new": 0, "changed": 57, "withdrawn": 3, "restored": 0}
        assert (held.state, held.held) == ("dropped", 47)
        assert "older program" in held.note
        with pytest.raises(BadRequest, match="is dropped, not held"):
            store.release(held.id)
        assert store.rollback(2).counts.changed == 60


@pytest.mark.parametrize("old", [2, 3], indirect=True)
def test_a_catalog_of_schema_2_or_3_is_the_same_and_takes_ties_and_deletions(
    tmp_path: Path, old: dict[str, tuple[Version, ...]]
) -> None:
    with closing(sqlite.open_store(tmp_path)) as store:
        assert {name: store.history(name) for name in old} == old
        for record in (version.record for history in old.values() for version in history):
            if record is not None:
                document = store.document(record.document_hash)
                assert (document.hash, document.native_id) == (record.document_hash, record.native_id)
        held = store.runs(limit=1)[0]
        assert (held.state, store.search(Query()).matched) == ("held", 57)
        tie = Tie(leader="here-d1", member="here-d0", by="doi", score=1, evidence=(), since=held.started)
        assert store.tie([tie, tie]) == 1
        assert store.search(Query()).matched == 56
        assert store.release(held.id).withdrawn == 47
        assert store.ties("here-d0") == (tie,)


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("2019-02-23T00:00:00Z", "2019-02-23T00:00:00.5Z"),
        ("2019-02-23T00:00:00.5Z", "2019-02-23T00:00:00.51Z"),
        ("-0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "+10000-01-01T00:00:00Z"),
    ],
)
def test_sortable_text_is_in_the_order_of_time(early: str, late: str) -> None:
    assert seconds(early) < seconds(late)
    assert _rules.sortable(early) < _rules.sortable(late)
