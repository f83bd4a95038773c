"""What only the SQLite store has: a version guard, a schema, an index, threads and processes."""

import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue

import apsw
import pytest

from catalog import vocabulary
from catalog.errors import LeaseHeld, StoreError, TooBusy
from catalog.record import Record, Text, Variable
from catalog.search import Query
from catalog.source import Document
from catalog.stores import Entry, sqlite


def entry(native_id: str, title: str = "Nhiệt độ") -> Entry:
    document = Document(source="here", native_id=native_id, content=b"{}")
    record = Record(
        id=document.id,
        source="here",
        native_id=native_id,
        title=Text.of(title, "vi"),
        variables=(Variable(name="SST"),),
        document_hash=document.hash,
    )
    return Entry(document=document, record=record)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[sqlite.SqliteStore]:
    opened = sqlite.open_store(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("version", "safe"),
    [("3.7.0", False), ("3.40.1", False), ("3.51.2", False), ("3.51.3", True), ("4.0", True)],
)
def test_an_sqlite_with_the_wal_reset_bug_is_refused(
    version: str, safe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlitelibversion", lambda: version)
    if safe:
        sqlite.open_store(tmp_path).close()
        return
    with pytest.raises(StoreError, match="WAL-reset"):
        sqlite.open_store(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_newer_schema_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    sqlite.open_store(tmp_path).close()
    connection = apsw.Connection(str(tmp_path / sqlite.FILE))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        sqlite.open_store(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / sqlite.FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        sqlite.open_store(tmp_path / "other")
    with pytest.raises(StoreError):
        sqlite.open_store(tmp_path / "other" / sqlite.FILE)


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    first = sqlite.open_store(tmp_path)
    first.put([entry("a")])
    second = sqlite.open_store(tmp_path)
    assert second.get("here-a") == first.get("here-a")
    assert second.search(Query()).matched == 1
    first.put([entry("b")])
    assert second.search(Query(variable="sst")).facets["source"][0].count == 2
    first.close()
    second.close()
    with pytest.raises(StoreError, match="closed"):
        first.get("here-a")


def test_the_current_record_is_read_without_its_history(store: sqlite.SqliteStore, tmp_path: Path) -> None:
    for number in range(3):
        store.put([entry("a", f"t{number}")])
    other = apsw.Connection(str(tmp_path / sqlite.FILE))
    other.execute("UPDATE versions SET json = x'00' WHERE valid_to IS NOT NULL")
    other.close()
    assert store.get("here-a").title.best("vi") == "t2"


def test_what_a_run_was_told_is_deleted_goes_with_it(store: sqlite.SqliteStore, tmp_path: Path) -> None:
    store.put([entry("a")])
    other = apsw.Connection(str(tmp_path / sqlite.FILE))
    for state in ("incomplete", "complete"):
        lease, _ = store.begin("here", holder="x", lease_seconds=60, incremental=True)
        gone = entry("a").document.model_copy(update={"deleted": True})
        never = gone.model_copy(update={"native_id": "never"})
        store.put([Entry(document=document, record=None) for document in (gone, never)], lease=lease)
        assert other.execute("SELECT native_id FROM deletions").fetchall() == [("a",)]
        store.finish(lease, state, missed_runs=3, shrink_hold=1)
        assert other.execute("SELECT count(*) FROM deletions").get == 0
    other.close()


@pytest.mark.parametrize("word", ["rollback", "release", "drop"])
def test_what_a_held_run_missed_goes_with_what_is_decided(
    word: str, store: sqlite.SqliteStore, tmp_path: Path
) -> None:
    other = apsw.Connection(str(tmp_path / sqlite.FILE))
    for names in ("ab", "a"):
        lease, run = store.begin("here", holder="x", lease_seconds=60)
        store.put([entry(name) for name in names], lease=lease)
        store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)
    assert other.execute("SELECT native_id FROM held").fetchall() == [("b",)]
    getattr(store, word)(run.id)
    assert other.execute("SELECT count(*) FROM held").get == 0
    other.close()


def test_a_search_is_broken_off_at_its_time(tmp_path: Path) -> None:
    """FAULTS row 20: a question that takes too long is refused with a sentence, and the store goes on."""
    store = sqlite.SqliteStore(tmp_path, search_seconds=0)
    store.put([entry(f"d{number}") for number in range(300)])
    for query in (Query(q="nhiet do"), Query(sort="title"), Query(variable="sst", q="nhiet", sort="id")):
        with pytest.raises(TooBusy, match="broken off after 0 s") as refused:
            store.search(query)
        assert refused.value.details["retry_after"] == 1
    assert store.get("here-d0").native_id == "d0"
    store.put([entry("more")])
    store.close()
    store = sqlite.open_store(tmp_path)
    assert store.search(Query(q="nhiet do")).matched == 301
    store.close()


def test_an_index_of_another_vocabulary_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "fingerprint", lambda: "another")
        patch.setattr(vocabulary, "concepts", lambda variables: ())
        store = sqlite.open_store(tmp_path)
        store.put([entry("a")])
        assert store.search(Query(q="temperature")).matched == 0
        store.close()
    store = sqlite.open_store(tmp_path)
    page = store.search(Query(q="temperature"))
    assert (page.matched, page.facets["variable"][0].value) == (1, "sea_surface_temperature")
    store.close()


def test_threads_read_and_write_at_once(store: sqlite.SqliteStore) -> None:
    wrong: Queue[object] = Queue()

    def work(worker: int) -> None:
        try:
            for number in range(10):
                store.put([entry(f"w{worker}-{number}")])
                page = store.search(Query(q="nhiet do", limit=1))
                assert page.matched == page.facets["source"][0].count
        except Exception as error:  # noqa: BLE001 - told to the test
            wrong.put(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong.empty(), wrong.get()
    assert store.search(Query()).matched == 60


def begin_many(
    home: Path, barrier: Barrier, holder: str, rounds: int, said: "multiprocessing.Queue[list[bool]]"
) -> None:
    store = sqlite.open_store(home)
    won = []
    for number in range(rounds):
        barrier.wait(30)
        try:
            store.begin(f"s{number}", holder=holder, lease_seconds=60)
            won.append(True)
        except LeaseHeld:
            won.append(False)
    store.close()
    said.put(won)


def test_of_two_processes_one_begins(tmp_path: Path) -> None:
    """FAULTS row 3: 50 pairs at once, 50 refused; the file itself is made by two at once, too."""
    rounds = 50
    context = multiprocessing.get_context("spawn")
    barrier, said = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=begin_many, args=(tmp_path, barrier, holder, rounds, said))
        for holder in ("one", "two")
    ]
    for worker in workers:
        worker.start()
    first, second = said.get(timeout=60), said.get(timeout=60)
    for worker in workers:
        worker.join(30)
    assert len(first) == rounds
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_first_opening_waits_for_another(tmp_path):
    other = apsw.Connection(str(tmp_path / "catalog.sqlite"))
    other.execute("CREATE TABLE t (x); BEGIN IMMEDIATE")
    release = threading.Timer(0.4, other.execute, ["ROLLBACK; DROP TABLE t"])
    release.start()
    sqlite.open_store(tmp_path).close()
    release.join()
    other.close()


def test_a_question_about_the_past_is_broken_off_at_its_time(tmp_path: Path) -> None:
    store = sqlite.SqliteStore(tmp_path, past_seconds=0)
    for title in ("one", "two"):
        lease, _ = store.begin("here", holder="x", lease_seconds=60)
        store.put([entry(f"d{number}", title) for number in range(300)], lease=lease)
        store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)
    asof = store.runs()[1].ended
    for ask in (lambda: store.search(Query(q="one", asof=asof)), lambda: store.diff(1, 2)):
        with pytest.raises(TooBusy, match="broken off after 0 s"):
            ask()
    assert store.get("here-d0", asof=asof).title.best("vi") == "one"
    store.close()
    store = sqlite.open_store(tmp_path)
    assert store.search(Query(q="one", asof=asof)).matched == 300
    with store._past, pytest.raises(TooBusy, match="other questions"):
        sqlite_past(store, asof)
    store.close()


def sqlite_past(store: sqlite.SqliteStore, asof: str | None) -> None:
    store._past_seconds = 0.05
    store.search(Query(asof=asof))
