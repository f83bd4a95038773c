"""Tying: what is one dataset is one answer in every store, in any order, once; what a person says stays."""

import contextlib
import importlib
import pkgutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

import apsw
import pytest

from catalog import stores, tying
from catalog.errors import BadRequest, NotFound, StoreError, Withdrawn
from catalog.record import BBox, Distribution, Extent, Party, Record, Text, TimeRange
from catalog.search import Query
from catalog.source import Document
from catalog.stores import Counts, Entry, Run, Store, _candidates, memory
from catalog.stores._candidates import MOST_OF_A_KEY, Candidates
from catalog.tying import FILE, Tying
from labelled import labelled_pairs, labelled_records

KINDS = [module.name for module in pkgutil.iter_modules(stores.__path__) if not module.name.startswith("_")]
every_store = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def opened(kind: str) -> Iterator[tuple[Store, Tying]]:
    with tempfile.TemporaryDirectory() as home:
        store = importlib.import_module(f"catalog.stores.{kind}").open_store(Path(home))
        try:
            yield store, Tying(store, Path(home) / "index")
        finally:
            store.close()


def entry(source: str, name: str = "sst", title: str = "Tonkin SST", **fields: object) -> Entry:
    document = Document(source=source, native_id=name, content=f"{source} {name} {title} {fields}".encode())
    given = {
        "id": document.id,
        "source": source,
        "native_id": name,
        "document_hash": document.hash,
        "doi": "10.1234/x",
    }
    return Entry(document=document, record=Record(**(given | {"title": Text.of(title)} | fields)))


def groups(tied: Tying) -> list[tuple[str, ...]]:
    return [(group.leader, *(tie.member for tie in group.ties)) for group in tied.groups()]


def ids(store: Store, **asked: object) -> list[str]:
    return [record.id for record in store.search(Query(sort="id", **asked)).items]


@every_store
def test_one_dataset_of_three_portals_is_one_answer(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b"), entry("c"), entry("c", "other", "Waves", doi=None)])
        assert ids(store) == ["a-sst", "b-sst", "c-other", "c-sst"]
        assert (tied.look().tied, ids(store)) == (2, ["a-sst", "c-other"])
        assert groups(tied) == [("a-sst", "b-sst", "c-sst")]
        assert tied.look().tied == 0
        assert tied.look().judged == 0, "nothing changed"
        assert tied.look(again=True).tied == 0


@every_store
def test_the_leader_can_be_cut_and_stays_the_leader(kind: str) -> None:
    way = Distribution(protocol="opendap", address="https://b.example/thredds/dodsC/x", format="opendap")
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b", distributions=(way,))])
        tied.look()
        assert groups(tied) == [("b-sst", "a-sst")]
        store.put([entry("0")])
        tied.look()
        assert groups(tied) == [("b-sst", "0-sst", "a-sst")]


@every_store
def test_a_group_keeps_its_leader(kind: str) -> None:
    way = Distribution(protocol="opendap", address="https://c.example/thredds/dodsC/x", format="opendap")
    with opened(kind) as (store, tied):
        store.put([entry("b"), entry("d")])
        tied.look()
        store.put([entry("a"), entry("c", distributions=(way,))])
        tied.look()
        assert groups(tied) == [("b-sst", "a-sst", "c-sst", "d-sst")]


@every_store
def test_a_group_has_no_two_records_of_a_source(kind: str) -> None:
    """b says that it is both records of a, by two identifiers: it is only the one of them."""
    ids = [f"9d0c6b2e-7c55-4b5e-9f0a-1234567890a{at}" for at in range(2)]
    with opened(kind) as (store, tied):
        store.put([entry("a", name, doi=None) for name in ids])
        store.put([entry("b", ids[0], doi=None, landing_page=f"https://b.example/m/{ids[1]}")])
        tied.look()
        ((leader, member),) = groups(tied)
        assert {leader.partition("-")[0], member.partition("-")[0]} == {"a", "b"}


@every_store
def test_two_groups_become_one_where_something_is_both(kind: str) -> None:
    same = {"doi": None, "extent": Extent(boxes=(BBox.of(105, 17, 110, 22),))}
    uuid, other = "9d0c6b2e-7c55-4b5e-9f0a-1234567890aa", "9d0c6b2e-7c55-4b5e-9f0a-1234567890ab"
    with opened(kind) as (store, tied):
        store.put([entry("a", uuid, **same), entry("b", landing_page=f"https://b.example/m/{uuid}", **same)])
        store.put(
            [entry("c", other, **same), entry("d", landing_page=f"https://d.example/m/{other}", **same)]
        )
        tied.look()
        assert len(groups(tied)) == 2
        store.put([entry("e", uuid, landing_page=f"https://e.example/m/{other}", **same)])
        tied.look()
        assert [len(group) for group in groups(tied)] == [5]


@every_store
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_group_has_one_record_of_a_source_and_none_that_contradicts(
    kind: str, order: tuple[int, ...]
) -> None:
    """b is like a and like c, which contradict each other: only one of them is tied to it, whatever comes first."""
    ranges = [("2001", "2010"), ("2001", "2019"), ("2011", "2019")]
    times = [
        TimeRange(start=f"{first}-01-01T00:00:00Z", end=f"{last}-12-31T00:00:00Z") for first, last in ranges
    ]
    entries = [entry(name, extent=Extent(time=time)) for name, time in zip("abc", times, strict=True)]
    with opened(kind) as (store, tied):
        for at in order:
            store.put([entries[at]])
            tied.look()
        (group,) = groups(tied)
        assert len(group) == 2
        assert "b-sst" in group


@every_store
def test_what_several_records_of_a_source_have_says_nothing_until_one_is_left(kind: str) -> None:
    with opened(kind) as (store, tied):
        lease, _ = store.begin("b", holder="me", lease_seconds=60)
        store.put([entry("b"), entry("b", "sst2")], lease=lease)
        store.finish(lease, "complete", missed_runs=1, shrink_hold=1)
        store.put([entry("a")])
        assert tied.look().tied == 0
        lease, _ = store.begin("b", holder="me", lease_seconds=60)
        store.put([entry("b")], lease=lease)
        assert store.finish(lease, "complete", missed_runs=1, shrink_hold=1).withdrawn == 1
        assert tied.look().tied == 0, "nothing changed"
        store.put([entry("a", summary=Text.of("changed"))])
        assert tied.look().tied == 1, "the twin that is no more is forgotten as it is met"
        assert groups(tied) == [("a-sst", "b-sst")]


@every_store
def test_several_that_are_only_alike_are_none(kind: str) -> None:
    extent = Extent(
        boxes=(BBox.of(105, 17, 110, 22),),
        time=TimeRange(start="2001-01-01T00:00:00Z", end="2010-12-31T00:00:00Z"),
    )
    known = {"doi": None, "extent": extent, "parties": (Party(name="Viện Hải dương học"),)}
    with opened(kind) as (store, tied):
        store.put(
            [entry("a", **known), entry("b", **known), entry("b", "sst2", **known), entry("c", **known)]
        )
        tied.look()
        assert groups(tied) == [("a-sst", "c-sst")]


@every_store
def test_taken_apart_stays_apart_until_an_operator_joins_again(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b"), entry("c")])
        tied.look()
        assert len(tied.unmerge("b-sst")) == 1
        assert groups(tied) == [("a-sst", "c-sst")]
        store.put([entry("b", summary=Text.of("changed")), entry("c", summary=Text.of("changed"))])
        store.put([entry("d")])
        assert tied.look(again=True).tied == 1
        assert groups(tied) == [("a-sst", "c-sst", "d-sst")]
        assert ids(store) == ["a-sst", "b-sst"]
        assert tied.merge("b-sst", "c-sst").leader == "b-sst"
        assert groups(tied) == [("b-sst", "a-sst", "c-sst", "d-sst")]
        assert tied.unmerge("d-sst")
        assert tied.look(again=True).tied == 0


@every_store
def test_merging_what_is_not_there(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a")])
        with pytest.raises(BadRequest):
            tied.merge("a-sst", "a-sst")
        with pytest.raises(NotFound):
            tied.merge("a-sst", "b-sst")
        with pytest.raises(NotFound):
            tied.unmerge("b-sst")
        with pytest.raises(NotFound):
            tied.group("b-sst")
        assert tied.unmerge("a-sst") == ()


@every_store
def test_a_group_loses_what_is_withdrawn(kind: str) -> None:
    with opened(kind) as (store, tied):
        lease, _ = store.begin("a", holder="me", lease_seconds=60)
        store.put([entry("a"), entry("a", "other", "Waves", doi=None)], lease=lease)
        store.finish(lease, "complete", missed_runs=1, shrink_hold=1)
        store.put([entry("b"), entry("c")])
        tied.look()
        lease, _ = store.begin("a", holder="me", lease_seconds=60)
        store.put([entry("a", "other", "Waves", doi=None)], lease=lease)
        store.finish(lease, "complete", missed_runs=1, shrink_hold=1)
        assert groups(tied) == [("b-sst", "c-sst")]
        with pytest.raises(Withdrawn):
            tied.merge("b-sst", "a-sst")
        tied.look(again=True)
        assert groups(tied) == [("b-sst", "c-sst")]


@every_store
def test_a_record_that_became_another_leaves_its_group_and_may_come_back(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b"), entry("c")])
        tied.look()
        assert groups(tied) == [("a-sst", "b-sst", "c-sst")]
        store.put([entry("b", title="Waves off Đà Nẵng", doi="10.1234/waves")])
        tied.look()
        assert groups(tied) == [("a-sst", "c-sst")]
        assert ids(store) == ["a-sst", "b-sst"]
        store.put([entry("a", title="Salinity", doi="10.1234/salinity")])
        tied.look()
        assert groups(tied) == [], "the leader left, and one alone is no group"
        store.put([entry("a"), entry("b")])
        tied.look()
        assert sorted(map(sorted, groups(tied))) == [["a-sst", "b-sst", "c-sst"]]


@every_store
def test_a_leader_that_became_another_leaves_the_others_together(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b"), entry("c")])
        tied.look()
        store.put([entry("a", title="Salinity", doi="10.1234/salinity")])
        tied.look()
        assert groups(tied) == [("b-sst", "c-sst")]


@every_store
def test_what_an_operator_joined_stays_whatever_it_becomes(kind: str) -> None:
    with opened(kind) as (store, tied):
        store.put([entry("a"), entry("b"), entry("c"), entry("d", title="Typhoons", doi="10.1234/typhoons")])
        tied.look()
        tied.merge("a-sst", "d-sst")
        store.put([entry("d", title="Waves", doi=None), entry("a", title="Currents", doi=None)])
        tied.look()
        assert groups(tied) == [("a-sst", "d-sst"), ("b-sst", "c-sst")]
        tied.unmerge("d-sst")
        tied.look(again=True)
        assert groups(tied) == [("b-sst", "c-sst")]


def test_the_index_is_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, damaged, of another edition or of another catalog: it is made again, and nothing is lost or doubled."""
    store = memory.open_store(tmp_path)
    lease, _ = store.begin("a", holder="me", lease_seconds=60)
    store.put([entry("a")], lease=lease)
    store.finish(lease, "complete", missed_runs=3, shrink_hold=1)
    store.put([entry("b")])
    tied = Tying(store, tmp_path)
    assert (tied.look().judged, tied.look().judged) == (2, 0)
    (tmp_path / FILE).unlink()
    assert tied.look().judged == 2
    (tmp_path / FILE).write_bytes(b"no database " * 1_000)
    assert tied.look().judged == 2
    monkeypatch.setattr(tying.matching, "EDITION", "another")
    assert (tied.look().judged, tied.look().judged) == (2, 0)
    other = memory.open_store(tmp_path)
    lease, _ = other.begin("z", holder="me", lease_seconds=60)
    other.put([entry("z")], lease=lease)
    other.finish(lease, "complete", missed_runs=3, shrink_hold=1)
    assert Tying(other, tmp_path).look().judged == 1


def test_candidates_share_an_identifier_or_three_rare_words(tmp_path: Path) -> None:
    index = Candidates(tmp_path / FILE, "1")
    index.note(
        1,
        [("b", "here", {"doi:x"}), ("c", "here", {"like:1"}), ("d", "here", {"like:1", "like:2", "like:3"})],
    )
    likely = {f"like:{at}" for at in range(1, 5)}
    assert index.near("a", "there", {"doi:x"}, likely, 10).others == ("b", "d")
    assert index.near("a", "there", {"doi:x"}, likely, 1).others == ("b",)
    assert index.near("a", "there", set(), {"like:1"}, 10).others == ("c", "d"), "it has no more"
    assert index.near("a", "here", {"doi:x"}, likely, 10).twins == ("b",)
    index.note(2, [(f"e{at}", "everywhere", {"doi:x", "like:1"}) for at in range(MOST_OF_A_KEY)])
    crowd = index.near("a", "there", {"doi:x"}, {"like:1"}, 10)
    assert (crowd.others, crowd.crowded("nowhere")) == ((), {"doi:x"})
    index.close()


def test_an_index_that_is_busy_or_damaged_within_ends_no_harvest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is only locked is not thrown away; the next pass does what this one could not."""
    store = memory.open_store(tmp_path)
    store.put([entry("a"), entry("b")])
    tied = Tying(store, tmp_path)
    run = Run(id=1, source="a", state="complete", started="2026-01-01T00:00:00Z", counts=Counts(new=1))
    tied.look()
    store.put([entry("c")])
    monkeypatch.setattr(_candidates, "BUSY_MILLISECONDS", 20)
    with contextlib.closing(apsw.Connection(str(tmp_path / FILE))) as other:
        other.execute("BEGIN EXCLUSIVE")
        tied.follow(run)
    assert "records of one dataset were not looked for" in caplog.text
    tied.follow(run.model_copy(update={"counts": Counts()}))
    assert groups(tied) == [("a-sst", "b-sst")], "the run changed nothing"
    tied.follow(run)
    assert groups(tied) == [("a-sst", "b-sst", "c-sst")]
    with contextlib.closing(apsw.Connection(str(tmp_path / FILE))) as other:
        other.execute("DROP TABLE keys")
    with pytest.raises(StoreError, match="no such table"):
        tied.look(again=True)


def test_a_pass_that_is_broken_off_goes_on(tmp_path: Path) -> None:
    store = memory.open_store(tmp_path)
    store.put([entry(f"s{at}", doi=None, title=f"Trạm {at}") for at in range(1_200)])
    store.put([entry("a"), entry("b")])
    tied = Tying(store, tmp_path)
    asked = iter([False] * 2 + [True] * 10)
    assert tied.look(is_ended=lambda: next(asked)).judged < 1_202
    assert groups(tied) == []
    tied.look()
    assert groups(tied) == [("a-sst", "b-sst")]


@every_store
def test_the_labelled_records_as_a_catalog(kind: str) -> None:
    """Harvested portal by portal: every pair that ends in one group is one that a person calls the same."""
    labelled = {frozenset((pair.a.id, pair.b.id)): pair.is_same for pair in labelled_pairs()}
    records: list[Record] = list(labelled_records().values())
    with opened(kind) as (store, tied):
        for source in sorted({record.source for record in records}):
            store.put(
                [
                    Entry(document=Document(source=r.source, native_id=r.native_id, name=r.id), record=r)
                    for r in records
                    if r.source == source
                ]
            )
            tied.look()
        joined = {frozenset(pair) for group in groups(tied) for pair in permutations(group, 2)}
    wrong = [sorted(pair) for pair in joined if not labelled.get(pair, True)]
    found = [pair for pair, is_same in labelled.items() if is_same and pair in joined]
    assert not wrong
    assert len(found) / sum(labelled.values()) >= 0.85
