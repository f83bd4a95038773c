"""Unattended harvests: many at once, events, schedules in a process that is told to end, resting and robots."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import paged
from catalog.errors import StoreError
from catalog.instant import now
from catalog.search import Query
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores import Counts, Entry, Run, Tie, memory, sqlite
from harvesters._events import Event
from harvesters._listing import batches
from harvesters._polite import Stop
from harvesters._run import harvest_all, harvest_safely, harvest_source
from harvesters._watch import Watch, due_now, next_times
from journey.command import bienmo
from portals import Asked, Piece, answer, listing, portal

ENDS_WITHIN = 10.0


def numbered(count: int) -> list[str]:
    return [f"d{number:04}" for number in range(count)]


def sources(url: str, *names: str, schedule: str = "") -> list[Source]:
    return [paged.source(url).model_copy(update={"id": name, "schedule": schedule}) for name in names]


def slowly(seconds: float, names: list[str]) -> Callable[[Asked], Iterator[Piece]]:
    def answering(asked: Asked) -> Iterator[Piece]:
        yield seconds
        yield from listing(lambda: names)(asked)

    return answering


# --- many sources at once


def test_sources_are_harvested_at_once_within_the_bound_and_reported_in_order(tmp_path: Path) -> None:
    store = sqlite.open_store(tmp_path)
    active, most, lock = [0], [0], threading.Lock()

    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        for number in range(20):
            time.sleep(0.005)
            yield Document(source=source.id, native_id=f"d{number}", content=b'"name"', page=str(number // 5))
        with lock:
            active[0] -= 1

    known = {"paged": SimpleNamespace(harvest=harvest, read=paged.read)}
    names = [f"s{number}" for number in range(7)]
    limits = paged.settings(tmp_path, harvests=3)
    with closing(store):
        runs = harvest_all(sources("http://x/", *names), store, limits, workers=None, known=known)
        assert [(run.source, run.state, run.seen) for run in runs] == [
            (name, "complete", 20) for name in names
        ]
        assert dict(store.sources()) == dict.fromkeys(names, 20)
    assert most[0] == 3


def test_a_page_is_fetched_while_the_one_before_is_read(tmp_path: Path) -> None:
    """Ten pages of 50 ms at the source and 50 ms of reading take about half of both."""

    def read(document: Document) -> object:
        time.sleep(0.005)
        return paged.read(document)

    store = memory.open_store(tmp_path)
    known = {"paged": SimpleNamespace(harvest=paged.harvest, read=read)}
    with portal(slowly(0.05, numbered(100))) as running:
        begun = time.monotonic()
        run = harvest_source(
            paged.source(running.url), store, paged.settings(tmp_path), workers=None, known=known
        )
        assert time.monotonic() - begun < 0.9
    assert (run.state, run.seen) == ("complete", 100)


def test_what_a_listing_gave_before_it_broke_is_kept_in_order(tmp_path: Path) -> None:
    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        for number in range(1_234):
            yield Document(
                source=source.id, native_id=f"d{number}", content=b'"name"', page=str(number // 100 * 100)
            )
        raise KeyError("a fault")

    pages: list[str] = []
    store = memory.open_store(tmp_path)
    run = harvest_source(
        paged.source("http://x/"), store, paged.settings(tmp_path), workers=None,
        known={"paged": SimpleNamespace(harvest=harvest, read=paged.read)},
        tell=lambda event: pages.append(event.page or "") if event.event == "page" else None,
    )  # fmt: skip
    assert (run.state, run.seen, run.checkpoint) == ("incomplete", 1_234, "1200")
    assert pages == [str(start) for start in range(0, 1_234, 100)]


def test_of_a_long_listing_several_pages_are_written_together(tmp_path: Path) -> None:
    """What was written says the page of its last dataset, at which the next harvest would go on."""
    entries = (
        Entry(
            document=Document(source="a", native_id=f"d{number}", page=str(number // 100 * 100)), record=None
        )
        for number in range(3_234)
    )
    found = [(page, len(batch)) for page, batch in batches(entries)]
    assert found[:20] == [(str(start), 100) for start in range(0, 2_000, 100)]
    assert found[20:] == [("2400", 500), ("2900", 500), ("3200", 234)]


def test_a_store_that_breaks_ends_the_listing_too(tmp_path: Path) -> None:
    """Nobody goes on asking a source whose answers cannot be kept."""
    store = memory.open_store(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    store.put = full
    with portal(slowly(0.02, numbered(1_000))) as running:
        run = harvest_source(
            paged.source(running.url), store, paged.settings(tmp_path), workers=None, known=paged.KNOWN
        )
        asked = len(running.asked)
        time.sleep(0.3)
        assert len(running.asked) <= asked + 1
    assert (run.state, "disk is full" in run.note) == ("failed", True)
    assert asked < 20


def test_what_a_source_has_deleted_is_withdrawn_and_told(tmp_path: Path) -> None:
    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        for name in numbered(10):
            yield Document(
                source=source.id, native_id=name, content=b'"name"', deleted=gone and name == "d0003"
            )

    known = {"paged": SimpleNamespace(harvest=harvest, read=paged.read)}
    store = memory.open_store(tmp_path)
    limits = paged.settings(tmp_path, missed_runs=3)
    gone = False
    harvest_source(paged.source("http://x/"), store, limits, workers=None, known=known)
    gone = True
    run = harvest_source(paged.source("http://x/"), store, limits, workers=None, known=known, dry_run=True)
    assert (run.seen, run.missing, run.counts.unchanged) == (9, 1, 9)
    run = harvest_source(paged.source("http://x/"), store, limits, workers=None, known=known)
    assert (run.state, run.seen, run.withdrawn, run.note) == ("complete", 9, 1, "1 deleted at the source")


def test_a_rehearsal_knows_records_that_others_lead(tmp_path: Path) -> None:
    """They are not found by themselves, and what leads is given with their distributions: neither is a change."""
    store = memory.open_store(tmp_path)
    with portal(listing(lambda: numbered(4))) as running:
        settings = paged.settings(tmp_path)

        def harvest(name: str, *, dry_run: bool) -> Run:
            source = paged.source(running.url).model_copy(update={"id": name})
            return harvest_source(source, store, settings, workers=None, known=paged.KNOWN, dry_run=dry_run)

        for name in ("one", "two"):
            harvest(name, dry_run=False)
        ids = [record.id for record in store.search(Query(source="one", sort="id")).items]
        pairs = [(leader, leader.replace("one", "two")) for leader in ids[:2]]
        ties = [
            Tie(leader=one, member=two, by="doi", score=1, evidence=(), since=now()) for one, two in pairs
        ]
        assert store.tie(ties) == 2
        for name in ("one", "two"):
            run = harvest(name, dry_run=True)
            assert (run.seen, run.missing, run.counts) == (4, 0, Counts(unchanged=4))


# --- events


def test_events_tell_of_what_happens(tmp_path: Path) -> None:
    events: list[Event] = []
    store = memory.open_store(tmp_path)
    with portal(listing(lambda: [*numbered(15), "bad"])) as running:
        (source,) = sources(running.url, "portal")
        lease, _ = store.begin("held", holder="another", lease_seconds=60)
        held = source.model_copy(update={"id": "held"})
        for _ in range(2):
            harvest_all(
                [source], store, paged.settings(tmp_path), workers=None, known=paged.KNOWN, tell=events.append
            )
        harvest_all(
            [held], store, paged.settings(tmp_path), workers=None, known=paged.KNOWN, tell=events.append
        )
    said = [(each.event, each.expected, each.page, each.seen, each.new, each.quarantined) for each in events]
    assert said[:4] == [
        ("started", 0, None, None, None, None),
        ("page", None, "0", 10, 10, 0),
        ("page", None, "10", 16, 15, 1),
        ("finished", None, None, None, None, None),
    ]
    assert said[4][:2] == ("started", 15)
    assert events[3].run == store.runs("portal")[1]
    assert (events[-1].event, events[-1].source) == ("skipped", "held")
    assert "is being harvested by another" in (events[-1].reason or "")
    assert lease


# --- schedules


@contextmanager
def watching(
    load: Callable[[], list[Source]], store: object, settings: Settings, events: list[Event], stamp: list[int]
) -> Iterator[Stop]:
    stop = Stop()

    def harvest(source: Source) -> Run:
        return harvest_safely(
            source, store, settings, tell=events.append, stop=stop, workers=None, known=paged.KNOWN
        )

    watch = Watch(load, lambda: stamp[0], harvest, store, settings, stop=stop, tell=events.append)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield stop
    finally:
        begun = time.monotonic()
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert time.monotonic() - begun < ENDS_WITHIN


def until(what: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def finished(events: list[Event]) -> list[str]:
    return [event.source for event in events if event.event == "finished"]


def test_a_watch_harvests_what_is_due_and_survives_every_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvesters._watch._LOOK", 0.1)
    store, events, stamp = memory.open_store(tmp_path), list[Event](), [1]
    with portal(listing(lambda: numbered(15))) as running:
        yearly = "0 0 1 1 *"
        good = sources(running.url, "good", "bad", "never", schedule=yearly)
        odd = good[1].model_copy(update={"protocol": "nosuch"})
        silent = good[2].model_copy(update={"schedule": ""})
        down = good[0].model_copy(update={"id": "down", "url": "http://127.0.0.2:9/"})
        given: list[list[Source]] = [[odd, down, good[0], silent]]

        def load() -> list[Source]:
            if not given[0]:
                from catalog.errors import BadSource  # noqa: PLC0415

                raise BadSource("it is no TOML")
            return given[0]

        with watching(load, store, paged.settings(tmp_path), events, stamp):
            until(lambda: len(finished(events)) == 3)
            assert sorted(finished(events)) == ["bad", "down", "good"]
            given[0] = []
            stamp[0] += 1  # a sources.toml half written: what was read before stands
            time.sleep(0.4)
            given[0] = [good[0], *sources(running.url, "added", schedule=yearly)]
            stamp[0] += 1
            until(lambda: "added" in finished(events))
            time.sleep(0.5)
        assert sorted(finished(events)) == ["added", "bad", "down", "good"], (
            "each once; nothing again at once"
        )
    assert dict(store.sources()) == {"good": 15, "added": 15}


def test_what_is_due_is_told_and_a_source_that_fails_rests(tmp_path: Path) -> None:
    store = memory.open_store(tmp_path)
    limits = paged.settings(tmp_path, fetch_tries=1)
    (hourly,) = sources("http://127.0.0.1:9/", "portal", schedule="0 * * * *")
    events: list[Event] = []
    runs = []
    for _ in range(3):
        assert next_times([hourly], store, limits)["portal"] == "now" or runs
        runs += harvest_all([hourly], store, limits, workers=None, known=paged.KNOWN)
    assert [run.state for run in runs] == ["failed"] * 3
    assert ["failed 3 times in a row: not due before 20" in run.note for run in runs] == [False, False, True]
    assert due_now([hourly], store, limits, events.append) == []
    assert (events[0].event, events[0].reason) == ("skipped", "it failed 3 times in a row")
    assert next_times([hourly], store, limits)["portal"].startswith("rests until 20")
    with portal(listing(lambda: numbered(5))) as running:
        well = hourly.model_copy(update={"url": running.url})
        assert harvest_all([well], store, limits, workers=None, known=paged.KNOWN)[0].state == "complete"
    assert not next_times([hourly], store, limits)["portal"].startswith("rests")


# --- the command


def written(home: Path, url: str, *names: str, schedule: str = "@daily") -> Path:
    path = home / "sources.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = [
        f'[[source]]\nid = "{name}"\nprotocol = "ckan"\nurl = "{url}"\nschedule = "{schedule}"\n'
        for name in names
    ]
    path.write_text("\n".join(tables), "utf-8")
    return path


def ckan(pause: float, count: int) -> Callable[[Asked], Iterator[Piece]]:
    def answering(asked: Asked) -> Iterator[Piece]:
        given = json.loads(asked.body)
        start, rows = given.get("start", 0), given.get("rows", 10)
        packages = [
            {"id": f"{n:05}", "name": f"d{n:05}", "title": f"Data {n}"}
            for n in range(start, min(start + rows, count))
        ]
        yield pause
        yield answer(json.dumps({"success": True, "result": {"count": count, "results": packages}}).encode())

    return answering


@contextmanager
def running_watch(home: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "catalog", "harvest", "--watch", "--json", *words, "--home", str(home)]
    environment = os.environ | {"BIENMO_ALLOW_HOSTS": "127.0.0.1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_event(process: subprocess.Popen[bytes], event: str) -> dict[str, object]:
    for line in process.stdout or ():
        said: dict[str, object] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"no {event}: {process.stderr.read() if process.stderr else ''!r}")


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
def test_a_watch_ends_cleanly_in_seconds_and_goes_on_at_its_page(signalled: int, tmp_path: Path) -> None:
    with portal(ckan(0.2, 800)) as asked:
        written(tmp_path, asked.url, "portal")
        with running_watch(tmp_path) as process:
            assert next_event(process, "started")["source"] == "portal"
            page = next_event(process, "page")
            begun = time.monotonic()
            process.send_signal(signalled)
            _, errors = process.communicate(timeout=30)
            assert time.monotonic() - begun < ENDS_WITHIN
        assert (process.returncode, b"Traceback" in errors) == (0, False)
        with closing(sqlite.open_store(tmp_path)) as store:
            (left,) = store.runs("portal")
            assert left.state == "running"
            assert int(left.checkpoint or 0) >= int(str(page["page"]))
        asked.asked.clear()
        with running_watch(tmp_path) as process:
            run = next_event(process, "finished")["run"]
        assert isinstance(run, dict)
        assert (run["id"], run["state"], run["seen"]) == (left.id, "complete", 800)
        starts = [json.loads(each.body)["start"] for each in asked.asked]
        assert starts[0] == max(0, int(left.checkpoint or 0) - 100)


def test_due_harvests_what_is_due_and_says_what_is_not(tmp_path: Path) -> None:
    with portal(ckan(0.0, 10)) as asked:
        written(tmp_path, asked.url, "one", "two", schedule="0 0 1 1 *")
        allowed = {"BIENMO_ALLOW_HOSTS": "127.0.0.1"}
        for expected in (["finished", "finished"], ["skipped", "skipped"]):
            printed = bienmo("harvest", "--due", "--json", home=tmp_path, **allowed).stdout.splitlines()
            events = [json.loads(line) for line in printed]
            assert (
                sorted(each["event"] for each in events if each["event"] in {"finished", "skipped"})
                == expected
            )
        assert all(each["reason"] == "it is not due" and each["until"] for each in events)


def test_a_watch_of_wrong_sources_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text("[[source]]\n", "utf-8")
    ran = bienmo("harvest", "--watch", home=tmp_path, check=False)
    assert (ran.returncode, b"bad-source" in ran.stderr, b"Traceback" in ran.stderr) == (1, True, False)
    ran = bienmo("harvest", "sample", "--watch", home=tmp_path, check=False)
    assert (ran.returncode, b"bad-request" in ran.stderr) == (1, True)
