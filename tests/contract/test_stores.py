"""The laws of a store, held by every store that there is: a new file in catalog/stores is found by itself."""

import importlib
import pkgutil
import random
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import stores
from catalog.errors import LeaseHeld, LeaseLost, NotFound, Withdrawn
from catalog.record import BBox, Distribution, Extent, Party, Record, Text, TimeRange, Variable
from catalog.search import FACETS, Query, facets_of, matches
from catalog.source import Document
from catalog.stores import Entry, Lease, Run, Store

KINDS = [module.name for module in pkgutil.iter_modules(stores.__path__) if not module.name.startswith("_")]
every_store = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def opened(kind: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as home:
        store = importlib.import_module(f"catalog.stores.{kind}").open_store(Path(home))
        try:
            yield store
        finally:
            store.close()


def entry(native_id: str, title: str = "Nhiệt độ", source: str = "here", **fields: object) -> Entry:
    document = Document(
        source=source, native_id=native_id, content=f"{native_id} {title}".encode(), url="made:up"
    )
    record = Record(
        id=document.id,
        source=source,
        native_id=native_id,
        title=Text.of(title, "vi"),
        document_hash=document.hash,
        **fields,
    )
    return Entry(document=document, record=record)


def entries(numbers: Sequence[int]) -> list[Entry]:
    return [entry(f"d{number}") for number in numbers]


def bad(native_id: str) -> Entry:
    document = Document(source="here", native_id=native_id, content=b"{", url="made:up")
    return Entry(document=document, record=None, reason="no JSON")


# --- search means what search.matches says

WORDS = [
    "nhiệt",
    "độ",
    "NHIỆT",
    "do",
    "đồ",
    "Sơn",
    "biển",
    "sea",
    "sst",
    "sea_surface",
    "x",
    "x-y",
    "2019",
    "ﬁ",
    "ß",
    "İ",
]
JOINS = [" ", "  ", "-", "_", '"', " OR ", "*", "(", "\u0301", "\x00"]


@st.composite
def texts(draw: st.DrawFn) -> str:
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))
    text = draw(st.sampled_from(JOINS)).join(words)
    return unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text)


LONGITUDES = st.sampled_from(
    [-180.0, 180.0, -179.99999999999997, 179.99999999999997, 0.0, -0.0, 105.5, 107.1]
) | st.floats(-180, 180)
LATITUDES = st.sampled_from([-90.0, 90.0, 0.0, 20.123456789]) | st.floats(-90, 90)


@st.composite
def boxes(draw: st.DrawFn) -> BBox:
    south, north = sorted([draw(LATITUDES), draw(LATITUDES)])
    west = draw(LONGITUDES)
    east = west if draw(st.booleans()) else draw(LONGITUDES)
    return BBox(west=west, south=south, east=east, north=north)


INSTANTS = st.sampled_from(
    ["-0001-01-01T00:00:00Z", "0000-01-16T06:00:00Z", "0000-02-30T00:00:00Z", "2019-02-23T00:00:00Z",
     "2019-02-23T00:00:00.000001Z", "2019-02-22T23:59:59Z", "99999-12-31T00:00:00Z"]
)  # fmt: skip


@st.composite
def times(draw: st.DrawFn) -> tuple[str | None, str | None]:
    first, last = sorted([draw(INSTANTS), draw(INSTANTS)], key=lambda text: TimeRange(start=text).bounds()[0])
    return (first if draw(st.booleans()) else None, last if draw(st.booleans()) else None)


VARIABLES = [
    Variable(name="SST", title=Text.of("SEA SURFACE TEMPERATURE")),
    Variable(name="thetao", standard_name="sea_water_potential_temperature"),
    Variable(name="Độ", title=Text.of("đồ sơn")),
    Variable(name="TIME", standard_name="sea_water_salinity", coordinate=True),
]


@st.composite
def found_entries(draw: st.DrawFn) -> list[Entry]:
    made = []
    for number in range(draw(st.integers(0, 7))):
        start, end = draw(times())
        title = draw(texts())
        made.append(
            entry(
                f"d{number}",
                title,
                source=draw(st.sampled_from(["here", "there"])),
                keywords=tuple(Text.of(text) for text in draw(st.lists(texts(), max_size=2))),
                summary=Text.of(draw(texts())) if draw(st.booleans()) else None,
                themes=tuple(draw(st.lists(st.sampled_from(["waves", "climate"]), max_size=2))),
                kind=draw(st.sampled_from(["grid", "profile"])),
                variables=tuple(
                    draw(st.lists(st.sampled_from(VARIABLES), max_size=3, unique_by=lambda v: v.name))
                ),
                extent=Extent(
                    boxes=tuple(draw(st.lists(boxes(), max_size=2))),
                    time=TimeRange(start=start, end=end) if draw(st.booleans()) else None,
                ),
                parties=tuple(
                    Party(name=name, organisation=name != "Ann")
                    for name in draw(st.lists(st.sampled_from(["IMER", "Viện", "Ann"]), max_size=2))
                ),
                distributions=(
                    Distribution(protocol="file", address="x", format=draw(st.sampled_from(["nc", "csv"]))),
                ),
                modified=draw(st.none() | INSTANTS),
            )
        )
    return made


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | st.none() | values


QUERIES = st.builds(
    Query,
    q=st.just("") | texts() | texts().map(lambda text: f'"{text}"'),
    bbox=maybe(boxes()),
    time=maybe(times()),
    variable=maybe(
        st.sampled_from(["sst", "nhiet do mat bien", "Sea surface temperature", "DO", "time", "--", "đ"])
    ),
    organisation=maybe(st.sampled_from(["IMER", "Viện", "Ann", "imer"])),
    source=maybe(st.sampled_from(["here", "nowhere"])),
    theme=maybe(st.sampled_from(["waves", "ocean-physics"])),
    kind=maybe(st.sampled_from(["grid", "mesh"])),
    format=maybe(st.sampled_from(["nc", "zarr"])),
    sort=st.sampled_from(["relevance", "title", "-title", "modified", "-modified", "id", "-id"]),
    lang=st.sampled_from(["vi", "en"]),
    limit=st.just(100),
)


def check(store: Store, records: Sequence[Record], query: Query) -> None:
    wanted = [record for record in records if matches(record, query)]
    page = store.search(query)
    assert page.matched == len(wanted)
    assert sorted(page.items, key=lambda record: record.id) == sorted(wanted, key=lambda record: record.id)
    assert set(page.facets) == set(FACETS)
    for facet, hits in page.facets.items():
        values = [value for record in wanted for value in facets_of(record)[facet]]
        assert {hit.value: hit.count for hit in hits} == {value: values.count(value) for value in set(values)}
        assert [-hit.count for hit in hits] == sorted(-hit.count for hit in hits)


@every_store
@given(made=found_entries(), queries=st.lists(QUERIES, min_size=1, max_size=6))
def test_search_is_what_matches_says(kind: str, made: list[Entry], queries: list[Query]) -> None:
    with opened(kind) as store:
        store.put(made)
        records = [one.record for one in made if one.record]
        check(store, records, Query(limit=100))
        for query in queries:
            check(store, records, query)


@every_store
@pytest.mark.parametrize("many", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_box_is_missed(kind: str, many: int) -> None:
    """FAULTS row 10: queries over random boxes agree with brute force."""
    dice = random.Random(10)
    edges = [-180.0, 180.0, 179.99999999999997, 0.0, 105.123456789]

    def box() -> BBox:
        west, east = (dice.choice(edges) if dice.random() < 0.3 else dice.uniform(-180, 180) for _ in "we")
        if dice.random() < 0.5:
            east = min(180.0, west + dice.uniform(0, 3) * dice.choice([0, 1]))
        south = dice.choice([-90.0, 90.0, dice.uniform(-90, 90)])
        return BBox(west=west, south=south, east=east, north=min(90.0, south + dice.choice([0, 0.5, 40])))

    made = [entry(f"d{n}", extent=Extent(boxes=tuple(box() for _ in range(n % 3)))) for n in range(150)]
    with opened(kind) as store:
        store.put(made)
        for _ in range(many if kind != "memory" else min(many, 300)):
            asked = box()
            records = [one.record for one in made if one.record]
            wanted = {r.id for r in records if any(asked.intersects(part) for part in r.extent.boxes)}
            assert {record.id for record in store.search(Query(bbox=asked, limit=200)).items} == wanted


HOSTILE = ['"', '" OR "', "*", "a*", "NEAR(a b)", "title : a", "-a", "^a", "'; DROP TABLE records", "%", "\\", "a AND",
           "{title} : a", "(((", "+a", "\x00", "a\x00b", "\ufffe", "𝔘𝔫𝔦", "ﷺ",
           " ".join(f"t{n}" for n in range(1_500))]  # fmt: skip


@every_store
@pytest.mark.parametrize("many", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_search_text_is_never_syntax(kind: str, many: int) -> None:
    """FAULTS row 20: any text is searched for, none is an error."""
    dice = random.Random(20)
    pieces = [
        *HOSTILE[:-1],
        "a",
        "nhiệt",
        " ",
        "độ",
        ":",
        "OR",
        "NOT",
        "_",
        "|",
        "é",
        "e\u0301",
        ".",
        "0x",
        "\n",
    ]
    made = [entry("a", "a b nhiệt độ"), entry("b", "OR AND NOT near title"), entry("c", "𝔘𝔫𝔦 é")]
    records = [one.record for one in made if one.record]
    with opened(kind) as store:
        store.put(made)
        asked = [*HOSTILE, *("".join(dice.choices(pieces, k=dice.randint(1, 12))) for _ in range(many))]
        for text in asked:
            check(store, records, Query(q=text))


@every_store
def test_paging_loses_and_repeats_nothing(kind: str) -> None:
    made = [
        entry(
            f"d{number}",
            ["biển", "Biển", "bien sea", "nhiệt độ biển"][number % 4],
            modified=[None, "2019-02-23T00:00:00Z", "0000-01-16T06:00:00Z"][number % 3],
        )
        for number in range(23)
    ]
    with opened(kind) as store:
        store.put(made)
        for sort in ("relevance", "title", "-title", "modified", "-modified", "id", "-id"):
            for words in ("", "biển"):
                whole = [record.id for record in store.search(Query(q=words, sort=sort, limit=100)).items]
                paged = [
                    record.id
                    for offset in range(0, 30, 4)
                    for record in store.search(Query(q=words, sort=sort, limit=4, offset=offset)).items
                ]
                assert paged == whole
                assert len(set(paged)) == 23
        assert len(list(stores.records(store, Query(q="sea")))) == 6
        assert not store.search(Query(limit=0)).items


@every_store
def test_a_phrase_does_not_cross_texts_and_is_no_bag_of_words(kind: str) -> None:
    made = [entry("a", "sea level", keywords=(Text.of("rise"), Text.of("of tides"))), entry("b", "level sea")]
    with opened(kind) as store:
        store.put(made)
        for words in ('"sea level"', '"level sea"', '"level rise"', '"rise of"', '"of tides" "sea level"'):
            check(store, [one.record for one in made if one.record], Query(q=words))


@every_store
def test_what_changes_is_found_by_what_it_is_now(kind: str) -> None:
    before = [entry("a", "wind", kind="grid"), entry("b", "wind", kind="grid")]
    after = [entry("a", "wave", kind="mesh", variables=(Variable(name="hs"),)), before[1]]
    with opened(kind) as store:
        for made in (before, after, before):
            store.put(made)
            for query in (
                Query(),
                Query(q="wind"),
                Query(kind="grid"),
                Query(variable="hs"),
                Query(theme="waves"),
            ):
                check(store, [one.record for one in made if one.record], query)


@every_store
def test_words_that_a_record_had_do_not_find_it(kind: str) -> None:
    """An index that keeps words of an earlier version would find the record by them, and by old and new at once."""
    with opened(kind) as store:
        harvest(store, [entry("a", "typhoon"), entry("b", "typhoon")])
        harvest(store, [entry("a", "estuary"), entry("b", "typhoon")])
        for _ in range(3):
            harvest(store, [entry("b", "typhoon")], shrink_hold=0.5)
        assert [store.search(Query(q=q)).matched for q in ("typhoon", "estuary")] == [1, 0]
        harvest(store, [entry("a", "mangrove"), entry("b", "typhoon")])
        for words in ("typhoon", "estuary", "mangrove", "typhoon mangrove"):
            check(store, [store.get("here-a"), store.get("here-b")], Query(q=words))


@every_store
def test_order_and_ties_by_id(kind: str) -> None:
    made = [
        entry(name, title)
        for name, title in [("b", "Đồ Sơn"), ("a", "do son"), ("c", "Cát Bà"), ("d", "Đồ Sơn 2")]
    ]
    with opened(kind) as store:
        store.put(made)

        def order(**asked: object) -> str:
            return "".join(record.native_id for record in store.search(Query(**asked)).items)

        assert order() == "abcd"
        assert order(sort="-id") == "dcba"
        assert order(sort="title") == "cabd"
        assert order(sort="-title") == "dabc"
        assert order(sort="-modified") == "abcd"
        assert order(q="do son")[0] == "a"
        assert order(q="đồ sơn")[-1] == "a", "records with the words as written come first"


# --- history


@every_store
def test_history_is_kept_and_a_withdrawn_record_comes_back_under_its_id(kind: str) -> None:
    with opened(kind) as store:
        assert store.put([entry("a", "one"), entry("b", "other")]).new == 2
        assert store.put([entry("a", "one")]).unchanged == 1
        assert store.put([entry("a", "two")]).changed == 1
        for _ in range(3):
            harvest(store, [entry("b", "other")], shrink_hold=0.5)
        with pytest.raises(Withdrawn):
            store.get("here-a")
        assert store.sources() == {"here": 1}
        assert store.search(Query(q="two")).matched == 0
        run = harvest(store, [entry("a", "two"), entry("b", "other")])
        assert (run.restored, run.counts.changed, run.counts.unchanged) == (1, 1, 1)
        assert store.get("here-a").title.best("vi") == "two"
        versions = store.history("here-a")
        titles = [version.record.title.best("vi") if version.record else None for version in versions]
        assert titles == ["one", "two", None, "two"]
        assert all(before.valid_to == after.valid_from for before, after in pairwise(versions))
        assert versions[-1].valid_to is None
        assert versions[-1].run == run.id
        for ask in (store.get, store.history, store.document):
            with pytest.raises(NotFound):
                ask("here-nothing")


@every_store
def test_a_document_of_other_bytes_that_says_the_same_is_unchanged(kind: str) -> None:
    """A date that a file's header carries, say: no version, and the first document stays."""
    first = entry("a", "one")
    assert first.record
    other = first.document.model_copy(update={"content": b"touched"})
    again = Entry(document=other, record=first.record.model_copy(update={"document_hash": other.hash}))
    assert again.record != first.record
    with opened(kind) as store:
        store.put([first])
        assert store.put([again]) == stores.Counts(unchanged=1)
        assert store.get("here-a") == first.record
        assert len(store.history("here-a")) == 1
        assert store.document(first.document.hash) == first.document
        with pytest.raises(NotFound):
            store.document(other.hash)


@every_store
def test_history_gives_the_newest_versions_oldest_first(kind: str) -> None:
    with opened(kind) as store:
        for number in range(105):
            store.put([entry("a", f"t{number}")])
        titles = [v.record.title.best("vi") for v in store.history("here-a") if v.record]
        assert titles == [f"t{number}" for number in range(5, 105)]
        assert [v.valid_to for v in store.history("here-a", limit=1)] == [None]
        assert len(store.history("here-a", limit=1_000)) == 105


@every_store
@given(
    content=st.binary(min_size=1, max_size=300),
    page=st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
def test_a_document_is_given_back_as_it_was(kind: str, content: bytes, page: str) -> None:
    document = Document(
        source="here", native_id="ngày\x00", content=content, page=page, name="n", media_type="a/b"
    )
    with opened(kind) as store:
        store.put([Entry(document=document, record=None, reason="not read")])
        assert store.document(document.hash) == document


@every_store
def test_ids_are_distinct_and_stable(kind: str) -> None:
    names = ["Sóng Biển", "song bien", "SONG-BIEN", "../../etc/passwd", "a\x00b", "x" * 10_000]
    with opened(kind) as store:
        for _ in range(2):
            store.put([entry(name) for name in names])
        records = store.search(Query(limit=100)).items
        assert {record.native_id for record in records} == set(names)
        ids = {record.native_id: record.id for record in records}
        assert len(set(ids.values())) == len(names)
        store.put([entry(name, "changed") for name in reversed(names)])
        assert {record.native_id: record.id for record in store.search(Query(limit=100)).items} == ids
        clash = entry("other")
        assert clash.record
        taken = clash.record.model_copy(update={"id": ids["song bien"]})
        store.put([clash.model_copy(update={"record": taken})])
        assert store.search(Query(limit=100)).matched == len(names) + 1


# --- runs and leases


def harvest(
    store: Store,
    listed: Sequence[Entry],
    *,
    state: str = "complete",
    incremental: bool = False,
    shrink_hold: float = 0.2,
) -> Run:
    lease, _ = store.begin("here", holder="test", lease_seconds=60, incremental=incremental)
    for start in range(0, len(listed), 100):
        store.put(listed[start : start + 100], lease=lease, page=str(start))
    return store.finish(lease, state, missed_runs=3, shrink_hold=shrink_hold)


@every_store
def test_one_holder_at_a_time_and_late_writes_are_refused(kind: str) -> None:
    """FAULTS row 3: the second is refused with a reason, a dead holder's lease ends, and its late write with it."""
    with opened(kind) as store:
        dead, run = store.begin("here", holder="dead", lease_seconds=0.2)
        store.put([entry("a"), bad("b")], lease=dead, page="p1")
        with pytest.raises(LeaseHeld, match="dead") as refused:
            store.begin("here", holder="next", lease_seconds=60)
        assert refused.value.details["until"] - time.time() <= 0.2
        other, _ = store.begin("there", holder="next", lease_seconds=60)
        store.renew(other, 60)
        time.sleep(0.25)
        with pytest.raises(LeaseLost):
            store.put([entry("late")], lease=dead)
        lease, taken_up = store.begin("here", holder="next", lease_seconds=60)
        assert (taken_up.id, taken_up.checkpoint, taken_up.seen) == (run.id, "p1", 2)
        assert taken_up.counts == stores.Counts(new=1, quarantined=1)
        assert [one.native_id for one in taken_up.quarantine] == ["b"]
        for late in (
            lambda: store.put([entry("late")], lease=dead, page="p2"),
            lambda: store.renew(dead, 60),
            lambda: store.finish(dead, "complete", missed_runs=3, shrink_hold=0.2),
        ):
            with pytest.raises(LeaseLost):
                late()
        assert store.search(Query(q="late")).matched == 0
        store.put([entry("a"), entry("b"), entry("c")], lease=lease, page="p2")
        ended = store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)
        assert (ended.seen, ended.counts, ended.quarantine) == (3, stores.Counts(new=3), ())
        with pytest.raises(LeaseLost):
            store.put([entry("late")], lease=lease)


@every_store
def test_an_unfinished_run_of_the_other_sort_is_not_taken_up(kind: str) -> None:
    with opened(kind) as store:
        store.begin("here", holder="dead", lease_seconds=0.01, incremental=True)
        time.sleep(0.02)
        _, run = store.begin("here", holder="next", lease_seconds=60)
        assert [(one.id, one.state) for one in store.runs("here")] == [
            (run.id, "running"),
            (run.id - 1, "failed"),
        ]


@every_store
def test_runs_are_told_newest_first(kind: str) -> None:
    with opened(kind) as store:
        assert store.last_complete("here") is None
        first = harvest(store, [entry("a"), bad("b")])
        assert first.quarantine[0].reason == "no JSON"
        assert first.ended is not None
        second = harvest(store, [entry("a")], state="incomplete")
        assert store.runs() == (second, first)
        assert store.runs("there") == ()
        assert store.runs(limit=1) == (second,)
        assert store.last_complete("here") == first.started


@every_store
def test_a_run_gives_the_first_lines_of_its_quarantine(kind: str) -> None:
    with opened(kind) as store:
        names = [f"d{number:03}" for number in range(150)]
        run = harvest(store, [bad(name) for name in reversed(names)])
        assert run.counts.quarantined == 150
        assert [line.native_id for line in run.quarantine] == names[: stores.MAX_QUARANTINE_SHOWN]
        assert store.runs() == (run,)
        assert [len(one.quarantine) for count in (0, 3) for one in store.runs(quarantine=count)] == [0, 3]


# --- retirement


def ids(store: Store) -> set[str]:
    return {record.id for record in stores.records(store, Query(sort="id"))}


@every_store
def test_an_empty_answer_withdraws_nothing(kind: str) -> None:
    """FAULTS row 4: 1,000 → 0, three runs long."""
    with opened(kind) as store:
        assert harvest(store, entries(range(1_000))).counts.new == 1_000
        before = ids(store)
        for _ in range(3):
            run = harvest(store, [])
            assert (run.state, run.withdrawn, run.missing) == ("suspect", 0, 1_000)
        assert ids(store) == before
        assert all(len(store.history(one)) == 1 for one in sorted(before)[:20])


@every_store
def test_shrinking_is_held_or_withdrawn_and_undone(kind: str) -> None:
    """FAULTS row 5: 1,000 → 700 held; 1,000 → 950 three times: exactly 50; back again: the same ids."""
    with opened(kind) as store:
        harvest(store, entries(range(1_000)))
        before = ids(store)
        for _ in range(4):
            run = harvest(store, entries(range(700)))
            assert (run.state, run.held, run.withdrawn) == ("held", 300, 0)
        assert ids(store) == before
        runs = [harvest(store, entries(range(950))) for _ in range(3)]
        assert [run.withdrawn for run in runs] == [0, 0, 50]
        assert [run.state for run in runs] == ["complete"] * 3
        assert len(ids(store)) == 950
        assert harvest(store, entries(range(1_000))).restored == 50
        assert ids(store) == before


@every_store
def test_a_document_gone_bad_is_not_missing(kind: str) -> None:
    with opened(kind) as store:
        harvest(store, entries(range(10)))
        for _ in range(4):
            run = harvest(store, [*entries(range(9)), bad("d9")])
            assert (run.missing, run.counts.quarantined, run.seen) == (0, 1, 10)
        assert len(ids(store)) == 10


RUNS = st.lists(
    st.tuples(
        st.sampled_from(["complete", "complete", "complete", "incomplete", "failed", "suspect"]),
        st.sampled_from([False, False, True]),
        st.sets(st.integers(0, 5)),
        st.sets(st.integers(0, 5), max_size=1),
    ),
    max_size=9,
)


@every_store
@given(runs=RUNS)
def test_only_three_complete_misses_in_a_row_withdraw(
    kind: str, runs: list[tuple[str, bool, set[int], set[int]]]
) -> None:
    """FAULTS row 6: whatever the order of runs, a run that is not complete and full never counts as a miss."""
    misses: dict[int, int] = {}
    with opened(kind) as store:
        for state, incremental, seen, spoilt in runs:
            listed = [bad(f"d{n}") if n in spoilt else entry(f"d{n}") for n in sorted(seen)]
            run = harvest(store, listed, state=state, incremental=incremental, shrink_hold=0.5)
            for number in seen:
                if number in misses or number not in spoilt:
                    misses[number] = 0
            missing = misses.keys() - seen
            if state == "complete" and not incremental and seen and len(missing) <= 0.5 * len(misses):
                for number in missing:
                    misses[number] += 1
            elif state == "complete" and not incremental and misses:
                assert run.state == ("held" if seen else "suspect")
            else:
                assert run.state == state
            gone = {number for number, missed in misses.items() if missed >= 3}
            assert run.withdrawn == len(gone)
            for number in gone:
                del misses[number]
            assert ids(store) == {f"here-d{number}" for number in misses}


@every_store
@pytest.mark.parametrize("again", [entry("d9"), entry("d9", "changed"), bad("d9")])
def test_a_dataset_seen_again_is_missed_from_nought(kind: str, again: Entry) -> None:
    """Whatever sees it, be it a run of changes, or one that breaks off, or its document has gone bad."""
    with opened(kind) as store:
        harvest(store, entries(range(10)))
        for state, incremental in (("complete", False), ("complete", True), ("incomplete", False)):
            missed = [harvest(store, entries(range(9))) for _ in range(2)]
            assert [(run.missing, run.withdrawn) for run in missed] == [(1, 0)] * 2
            harvest(store, [*entries(range(9)), again], state=state, incremental=incremental)
        assert [harvest(store, entries(range(9))).withdrawn for _ in range(3)] == [0, 0, 1]


@every_store
def test_a_refused_write_leaves_nothing(kind: str) -> None:
    with opened(kind) as store:
        lost = Lease(source="here", run=7, holder="nobody")
        with pytest.raises(LeaseLost):
            store.put([entry("a")], lease=lost)
        assert store.search(Query()).matched == 0
        assert store.sources() == {}
        with pytest.raises(NotFound):
            store.document(entry("a").document.hash)
