"""The runner over real HTTP and both stores: FAULTS rows 3, 4, 5, 6, 7 and 13."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import paged
import portals
from catalog.errors import BadDocument, BadSource, LeaseHeld, LeaseLost, NotFound, Withdrawn
from catalog.instant import now, seconds
from catalog.record import Record
from catalog.search import Query
from catalog.source import Document, Source, slug
from catalog.stores import MAX_QUARANTINE_SHOWN, Run, Store, memory, records, sqlite
from harvesters._run import harvest_all, harvest_source, protocols
from portals import FAULTS, Piece, answer, listing, portal


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kind: ModuleType = {"memory": memory, "sqlite": sqlite}[request.param]
    opened: Store = kind.open_store(tmp_path)
    yield opened
    opened.close()


def numbered(count: int) -> list[str]:
    return [f"d{number:04}" for number in range(count)]


class Shop:
    """A portal whose names and faults a test changes between and during runs."""

    def __init__(self, home: Path, store: Store, *, size: int = 10) -> None:
        self.names: list[str] = []
        self.spoil: portals.Spoiling = lambda _start, _whole: None
        self.home, self.store = home, store
        self.answering = listing(lambda: self.names, size=size, spoil=self._spoil)
        self.url = ""

    def _spoil(self, start: int, whole: bytes) -> object:
        return self.spoil(start, whole)

    def harvest(
        self, *, known: Mapping[str, object] = paged.KNOWN, dry_run: bool = False, **limits: object
    ) -> Run:
        source = paged.source(self.url)
        quick = {"fetch_tries": 1, "fetch_seconds": 20.0, "fetch_stall_seconds": 3.0, **limits}
        return harvest_source(
            source, self.store, paged.settings(self.home, **quick), workers=None, known=known, dry_run=dry_run
        )

    def kept(self) -> set[str]:
        return {record.native_id for record in records(self.store, Query())}


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path, store)
    with portal(opened.answering) as running:
        opened.url = running.url
        yield opened


def test_protocols_are_the_modules_without_an_underscore() -> None:
    folder = Path(sys.modules["harvesters"].__file__ or "").parent
    assert set(protocols()) == {path.stem for path in folder.glob("[!_]*.py")}
    assert all(callable(known.harvest) and callable(known.read) for known in protocols().values())


def test_a_protocol_that_cannot_be_loaded_fails_its_sources_only(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "brokenone.py").write_text("import nosuchmodule", "utf-8")
    (tmp_path / "wellone.py").write_text("from paged import harvest, read", "utf-8")
    monkeypatch.setattr("harvesters.__path__", [str(tmp_path), *sys.modules["harvesters"].__path__])
    shop.names = numbered(5)
    sources = [
        paged.source(shop.url).model_copy(update={"id": name, "protocol": name})
        for name in ("brokenone", "wellone")
    ]
    broken, well = harvest_all(sources, shop.store, paged.settings(shop.home), workers=None)
    assert (broken.state, "nosuchmodule" in broken.note) == ("failed", True)
    assert (well.state, well.seen) == ("complete", 5)


def test_a_harvest_keeps_what_it_reads_and_says_so(shop: Shop) -> None:
    shop.names = [*numbered(25), "bad one", "bug two"]
    first = shop.harvest()
    assert (first.state, first.seen, first.counts.new, first.counts.quarantined) == ("complete", 27, 25, 2)
    reasons = {line.native_id: line.reason for line in first.quarantine}
    assert reasons == {"bad one": "bad one is bad", "bug two": "KeyError: 'bug two'"}
    shop.names[0] = "d0000"
    second = shop.harvest()
    assert (second.counts.new, second.counts.changed, second.counts.unchanged) == (0, 0, 25)


def test_a_record_carries_the_id_of_its_document(shop: Shop) -> None:
    def read(document: Document) -> Record:
        return paged.read(document).model_copy(update={"id": "portal-another"})

    shop.names = numbered(3)
    run = shop.harvest(known={"paged": SimpleNamespace(harvest=paged.harvest, read=read)})
    assert (run.state, run.counts.quarantined) == ("complete", 3)
    assert "does not carry the id" in run.quarantine[0].reason


def test_a_rehearsal_writes_nothing(shop: Shop) -> None:
    shop.names = numbered(12)
    shop.harvest()
    shop.names = [*numbered(14)[2:], "bad"]
    before = (shop.kept(), shop.store.runs())
    run = shop.harvest(dry_run=True)
    assert (run.id, run.state, run.seen, run.missing) == (0, "complete", 13, 2)
    assert run.counts.model_dump() == {"new": 2, "changed": 0, "unchanged": 10, "quarantined": 1}
    assert [line.native_id for line in run.quarantine] == ["bad"]
    assert (shop.kept(), shop.store.runs()) == before


def test_a_rehearsal_knows_a_dataset_by_its_native_id(shop: Shop) -> None:
    """An id made distinct, or a dataset withdrawn, is no new one."""
    shop.names = ["ab", "AB", "aB", *numbered(9)]
    shop.harvest(missed_runs=1)
    shop.names = shop.names[:-1]
    assert shop.harvest(missed_runs=1).withdrawn == 1
    shop.names = [*shop.names, "d0008"]
    run = shop.harvest(dry_run=True)
    assert run.counts.model_dump() == {"new": 0, "changed": 1, "unchanged": 11, "quarantined": 0}


def test_a_rehearsal_keeps_few_lines_of_its_quarantine(shop: Shop) -> None:
    shop.names = [f"bad {number}" for number in range(MAX_QUARANTINE_SHOWN + 50)]
    run = shop.harvest(dry_run=True)
    assert run.counts.quarantined == MAX_QUARANTINE_SHOWN + 50
    assert len(run.quarantine) == MAX_QUARANTINE_SHOWN


# --- limits of one source


@pytest.mark.parametrize(
    ("option", "seen"), [({"most_datasets": 7}, 7), ({"most_hours": 0.25 / 3_600}, None)]
)
def test_a_source_that_goes_on_is_ended(option: Mapping[str, float], seen: int | None, shop: Shop) -> None:
    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        for number in range(50):
            time.sleep(0.01)
            yield Document(source=source.id, native_id=f"d{number}", content=b'"name"')

    source = paged.source(shop.url).model_copy(update={"options": option})
    known = {"paged": SimpleNamespace(harvest=harvest, read=paged.read)}
    run = harvest_source(source, shop.store, paged.settings(shop.home), workers=None, known=known)
    assert run.state == "incomplete"
    assert next(iter(option)) in run.note
    assert run.seen == seen if seen else 0 < run.seen < 50


@pytest.mark.parametrize("wrong", ["many", -1, "nan", []])
def test_a_limit_that_is_no_number_is_refused(wrong: object, shop: Shop) -> None:
    source = paged.source(shop.url).model_copy(update={"options": {"most_hours": wrong}})
    with pytest.raises(BadSource, match="most_hours"):
        harvest_source(source, shop.store, paged.settings(shop.home), workers=None, known=paged.KNOWN)


# --- what everybody may read


def test_notes_and_reasons_name_no_path_of_this_machine(shop: Shop) -> None:
    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        yield Document(source=source.id, native_id="d1", content=b'"name"')
        (shop.home / "secret").read_bytes()

    def read(_document: Document) -> Record:
        (shop.home / "secret").read_bytes()
        raise AssertionError

    run = shop.harvest(known={"paged": SimpleNamespace(harvest=harvest, read=read)})
    said = "FileNotFoundError: No such file or directory"
    assert (run.note, run.quarantine[0].reason) == (said, said)


def test_reasons_that_are_no_unicode_are_kept(shop: Shop) -> None:
    def harvest(source: Source, _fetch: object) -> Iterator[Document]:
        yield Document(source=source.id, native_id="d1", problem="x\udce9at.nc is bad")
        yield Document(source=source.id, native_id="d2", content=b"[]")
        raise KeyError("\udce9")

    def read(_document: Document) -> Record:
        raise BadDocument("\udce9t\udce9 is bad")

    run = shop.harvest(known={"paged": SimpleNamespace(harvest=harvest, read=read)})
    assert (run.state, run.note) == ("incomplete", r"KeyError: '\udce9'")
    reasons = [line.reason for line in run.quarantine]
    assert reasons == [r"x\udce9at.nc is bad", r"\udce9t\udce9 is bad"]


# --- row 3


@pytest.mark.parametrize("pairs", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_of_two_harvests_at_once_one_is_refused(pairs: int, shop: Shop) -> None:
    shop.names = numbered(30)
    shop.spoil = lambda _start, whole: [0.02, whole]
    for _ in range(pairs):
        outcomes: list[str] = []
        gate = threading.Barrier(2)

        def one(outcomes: list[str] = outcomes, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                outcomes.append(shop.harvest().state)
            except LeaseHeld as held:
                outcomes.append(held.code if "is being harvested by" in held.message else held.message)

        both = [threading.Thread(target=one) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert sorted(outcomes) == ["complete", "lease-held"]
    assert len(shop.kept()) == 30


def test_a_slow_page_keeps_the_lease(shop: Shop) -> None:
    shop.names = numbered(20)
    shop.spoil = lambda start, whole: [1.2, whole] if start else None
    run = shop.harvest(lease_seconds=0.4, fetch_stall_seconds=2.0)
    assert (run.state, run.seen) == ("complete", 20)


def test_a_late_write_of_an_old_holder_is_refused(shop: Shop) -> None:
    """The holder sleeps beyond its lease (a laptop's lid), another takes over; the sleeper's writes are refused."""
    shop.names = numbered(30)
    asleep: list[Run] = []

    def harvest(source: Source, fetch: object) -> Iterator[object]:
        for document in paged.harvest(source, fetch):
            if document.native_id == "d0015" and not asleep:
                lease_ends()
                asleep.append(shop.harvest())
            yield document

    def lease_ends() -> None:
        renew = shop.store.renew
        shop.store.renew = lambda *_: None  # the whole process sleeps, the thread that renews too
        time.sleep(0.5)
        shop.store.renew = renew

    sleepy = SimpleNamespace(harvest=harvest, read=paged.read)
    with pytest.raises(LeaseLost):
        shop.harvest(known={"paged": sleepy}, lease_seconds=0.3)
    assert (asleep[0].state, asleep[0].seen) == ("complete", 30)
    assert shop.store.runs()[0].seen == 30


def test_the_lease_of_a_dead_holder_ends_within_a_minute(store: Store, tmp_path: Path) -> None:
    """Whatever the setting says."""
    asked: list[float] = []
    begin = store.begin
    store.begin = lambda *args, **named: asked.append(named["lease_seconds"]) or begin(*args, **named)
    with portal(listing(lambda: ["one"])) as running:
        limits = paged.settings(tmp_path, lease_seconds=3_600)
        harvest_source(paged.source(running.url), store, limits, workers=None, known=paged.KNOWN)
    assert asked == [60]


# --- rows 4 and 5


def test_a_source_that_answers_nothing_loses_nothing(shop: Shop) -> None:
    shop.names = numbered(100)
    shop.harvest()
    shop.names = []
    runs = [shop.harvest() for _ in range(3)]
    assert [(run.state, run.withdrawn) for run in runs] == [("suspect", 0)] * 3
    assert len(shop.kept()) == 100


def test_a_source_that_shrinks_is_held_or_retired_after_three_runs(shop: Shop) -> None:
    shop.names = numbered(100)
    shop.harvest()
    shop.names = numbered(70)
    runs = [shop.harvest() for _ in range(4)]
    assert [(run.state, run.withdrawn, run.held) for run in runs] == [("held", 0, 30)] * 4
    shop.names = numbered(95)
    runs = [shop.harvest() for _ in range(3)]
    assert [(run.state, run.missing, run.withdrawn) for run in runs] == [
        ("complete", 5, 0),
        ("complete", 5, 0),
        ("complete", 5, 5),
    ]
    with pytest.raises(Withdrawn):
        shop.store.get("portal-d0099")
    shop.names = numbered(100)
    back = shop.harvest()
    assert (back.restored, back.counts.new) == (5, 0)
    assert shop.store.get("portal-d0099").native_id == "d0099"
    assert len(shop.store.history("portal-d0099")) == 3


@pytest.mark.slow
def test_a_thousand_that_shrink(tmp_path: Path) -> None:
    store = memory.open_store(tmp_path)
    shop = Shop(tmp_path, store, size=100)
    with portal(shop.answering) as running:
        shop.url = running.url
        shop.names = numbered(1_000)
        shop.harvest()
        shop.names = []
        assert [shop.harvest().state for _ in range(3)] == ["suspect"] * 3
        shop.names = numbered(700)
        assert (shop.harvest().held, len(shop.kept())) == (300, 1_000)
        shop.names = numbered(950)
        assert [shop.harvest().withdrawn for _ in range(3)] == [0, 0, 50]
        shop.names = numbered(1_000)
        assert (shop.harvest().restored, len(shop.kept())) == (50, 1_000)


# --- row 6


def cut(fraction: float, whole: bytes) -> list[Piece]:
    return [whole[: int(len(whole) * fraction)]]


@pytest.mark.parametrize("point", range(12))
def test_a_cut_page_is_never_a_miss_and_nothing_of_it_is_kept(point: int, shop: Shop) -> None:
    """Twelve points of a listing of three pages, from the first byte of the first to the last byte of the last."""
    shop.names = numbered(30)
    shop.harvest()
    shop.names = ["n" + name for name in numbered(30)]
    page, fraction = point // 4 * 10, (0.0, 0.3, 0.7, 0.999)[point % 4]
    shop.spoil = lambda start, whole: cut(fraction, whole) if start == page else None
    for _ in range(4):
        run = shop.harvest(missed_runs=1, shrink_hold=1.0)
        assert (run.state, run.missing, run.withdrawn) == ("incomplete" if run.seen else "failed", 0, 0)
    assert shop.kept() == {*numbered(30), *shop.names[:page]}


@pytest.mark.parametrize(
    "spoiled",
    [
        b'{"count": 30, "results": []}',
        b'{"count": 30, "results": ["n0010", "n0011"',
        b'{"count": 30}',
        b"[" * 100_000,
        b'{"count": NaN, "results": []}',
        b"<html>",
    ],
)
def test_a_page_of_nonsense_is_never_a_miss(spoiled: bytes, shop: Shop) -> None:
    shop.names = numbered(30)
    shop.harvest()
    shop.spoil = lambda start, _whole: [answer(spoiled)] if start == 10 else None
    run = shop.harvest(missed_runs=1, shrink_hold=1.0)
    assert (run.state, run.missing, run.seen) == ("incomplete", 0, 10)
    assert run.note
    assert len(shop.kept()) == 30


STEPS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from(["well", "well", "cut", "error", "short", "hole"])),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_only_complete_runs_count_misses(steps: list[tuple[int, str]], tmp_path: Path) -> None:
    """Whatever the listings do: a record is withdrawn only after two complete runs without it."""
    store = memory.open_store(tmp_path)
    shop = Shop(tmp_path, store, size=4)
    misses = dict.fromkeys(numbered(12), 0)
    bodies = {
        "cut": lambda whole: cut(0.8, whole),
        "error": lambda _: [answer(b"", 500)],
        "short": lambda whole: [answer(whole.split(b"\r\n\r\n")[1], Content_Length="9999")],
        "hole": lambda _: [answer(b'{"count": 12, "results": []}')],
    }
    with portal(shop.answering) as running:
        shop.url = running.url
        shop.names = numbered(12)
        shop.harvest()
        for left, fault in steps:
            shop.names = numbered(left)
            shop.spoil = lambda start, whole, fault=fault: (
                bodies[fault](whole) if start and fault in bodies else None
            )
            run = shop.harvest(missed_runs=2, shrink_hold=1.0)
            assert run.state != "complete" or fault == "well" or left <= 4
            if run.state == "complete":
                misses = {name: 0 if name in shop.names else count + 1 for name, count in misses.items()}
            assert all(count >= 2 or is_kept(store, name) for name, count in misses.items())


def is_kept(store: Store, name: str) -> bool:
    try:
        return store.get(slug("portal", name)) is not None
    except (Withdrawn, NotFound):
        return False


def test_a_listing_that_turns_in_a_circle_ends(shop: Shop) -> None:
    def harvest(source: Source, fetch: object) -> Iterator[object]:
        while True:
            yield from paged.harvest(source, fetch)

    shop.names = numbered(30)
    run = shop.harvest(known={"paged": SimpleNamespace(harvest=harvest, read=paged.read)})
    assert (run.state, run.seen) == ("incomplete", 30)
    assert "came back" in run.note


# --- row 7


@pytest.mark.parametrize("fault", FAULTS)
def test_a_misbehaving_source_is_left_and_the_next_goes_on(fault: str, store: Store, tmp_path: Path) -> None:
    limits = paged.settings(
        tmp_path, fetch_seconds=1.5, fetch_stall_seconds=1.0, fetch_tries=1, fetch_bytes=20_000_000
    )
    with portal(FAULTS[fault]) as bad, portal(listing(lambda: numbered(5))) as good:
        sources = [paged.source(bad.url).model_copy(update={"id": "bad"}), paged.source(good.url)]
        begun = time.monotonic()
        runs = harvest_all(sources, store, limits, workers=None, known=paged.KNOWN)
        assert time.monotonic() - begun <= 1.5 + 1
    assert [(run.source, run.state, run.seen) for run in runs] == [
        ("bad", "failed", 0),
        ("portal", "complete", 5),
    ]
    assert runs[0].note
    assert dict(store.sources()) == {"portal": 5}


def test_a_source_that_cannot_begin_does_not_stop_the_next(shop: Shop) -> None:
    def broken(source: Source, fetch: object) -> Iterator[object]:
        raise KeyError("a bug in a protocol")

    shop.names = numbered(5)
    known = {**paged.KNOWN, "broken": SimpleNamespace(harvest=broken, read=paged.read)}
    good = paged.source(shop.url)
    sources = [
        good.model_copy(update={"id": "one", "protocol": "nosuch"}),
        good.model_copy(update={"id": "two", "protocol": "broken"}),
        good.model_copy(update={"id": "three", "options": {"full_every_days": "weekly"}}),
        good.model_copy(update={"id": "four", "url": "http://127.0.0.2:9/"}),
        good,
    ]
    runs = harvest_all(sources, shop.store, paged.settings(shop.home), workers=None, known=known)
    assert [run.state for run in runs] == ["failed"] * 4 + ["complete"]
    notes = ["has the protocol 'nosuch'", "KeyError", "full_every_days", "address-refused"]
    assert all(said in run.note for said, run in zip(notes, runs, strict=False))
    with pytest.raises(BadSource) as caught:
        harvest_source(sources[0], shop.store, paged.settings(shop.home), workers=None, known=known)
    assert caught.value.hint == "protocols: paged, broken"


# --- row 13


def test_a_listing_that_broke_is_carried_on_at_its_page(store: Store, tmp_path: Path) -> None:
    shop = Shop(tmp_path, store)
    with portal(shop.answering) as running:
        shop.url = running.url
        shop.names = numbered(50)
        shop.spoil = lambda start, _whole: [answer(b"", 404)] if start == 30 else None
        assert (shop.harvest().state, len(shop.kept())) == ("incomplete", 30)
        shop.spoil = lambda _start, _whole: None
        running.asked.clear()
        run = shop.harvest()
        assert [asked.query["start"] for asked in running.asked] == ["20", "30", "40", "0", "10", "20"]
        assert (run.state, run.seen, run.missing) == ("complete", 50, 0)
        running.asked.clear()
        shop.harvest()
        assert running.asked[0].query["start"] == "0"


def test_a_page_that_breaks_again_is_not_carried_on_for_ever(store: Store, tmp_path: Path) -> None:
    shop = Shop(tmp_path, store)
    with portal(shop.answering) as running:
        shop.url = running.url
        shop.names = numbered(50)
        shop.spoil = lambda start, _whole: [answer(b"", 404)] if start == 30 else None
        firsts = []
        for _ in range(4):
            running.asked.clear()
            assert shop.harvest().state == "incomplete"
            firsts.append(running.asked[0].query["start"])
        assert firsts == ["0", "20", "0", "0"]


def test_a_listing_carried_on_and_killed_misses_nothing(store: Store, tmp_path: Path) -> None:
    """The run that is taken up began in the middle: what was seen only before it is listed, not missed."""
    shop = Shop(tmp_path, store)

    def harvest(source: Source, fetch: object) -> Iterator[object]:
        for document in paged.harvest(source, fetch):
            if document.native_id == "d0035":
                raise LeaseLost("the process dies here: its run stays as it is")
            yield document

    with portal(shop.answering) as running:
        shop.url = running.url
        shop.names = numbered(50)
        shop.harvest()
        shop.spoil = lambda start, _whole: [answer(b"", 404)] if start == 30 else None
        assert shop.harvest().state == "incomplete"
        shop.spoil = lambda _start, _whole: None
        with pytest.raises(LeaseLost):
            shop.harvest(
                known={"paged": SimpleNamespace(harvest=harvest, read=paged.read)}, lease_seconds=0.2
            )
        time.sleep(0.3)
        run = shop.harvest(missed_runs=1, shrink_hold=1.0)
    assert (run.id, run.state, run.seen, run.missing) == (3, "complete", 50, 0)
    assert len(shop.kept()) == 50


# --- increments


def test_increments_ask_for_what_changed_and_never_count_misses(shop: Shop) -> None:
    since: list[str | None] = []

    def harvest(source: Source, fetch: object) -> Iterator[object]:
        since.append(source.changed_since)
        for document in paged.harvest(source, fetch):
            if source.changed_since is None or document.native_id == "d0003":
                yield document

    known = {"paged": SimpleNamespace(harvest=harvest, read=paged.read, INCREMENTAL=True)}
    shop.names = numbered(20)
    full = shop.harvest(known=known)
    runs = [shop.harvest(known=known, missed_runs=1, shrink_hold=1.0) for _ in range(2)]
    assert [(run.incremental, run.seen, run.missing, run.state) for run in runs] == [
        (True, 1, 0, "complete")
    ] * 2
    assert since[0] is None
    assert since[1] is not None
    assert seconds(full.started) - seconds(since[1]) == pytest.approx(600)
    assert seconds(since[2] or now()) > seconds(since[1])
    assert len(shop.kept()) == 20
    weekly = paged.source(shop.url).model_copy(update={"options": {"full_every_days": 0}})
    run = harvest_source(weekly, shop.store, paged.settings(shop.home), workers=None, known=known)
    assert (run.incremental, run.seen) == (False, 20)


def test_an_interrupted_harvest_gives_its_lease_back(shop: Shop) -> None:
    def harvest(source: Source, fetch: object) -> Iterator[object]:
        for document in paged.harvest(source, fetch):
            if document.native_id == "d0015":
                raise KeyboardInterrupt
            yield document

    shop.names = numbered(30)
    with pytest.raises(KeyboardInterrupt):
        shop.harvest(known={"paged": SimpleNamespace(harvest=harvest, read=paged.read)})
    left = shop.store.runs()[0]
    assert (left.state, left.checkpoint) == ("running", "0")
    run = shop.harvest()
    assert (run.id, run.state, run.seen) == (left.id, "complete", 30)
