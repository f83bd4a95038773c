"""Truth over time, held by every store: what was is found as it was, and an operator's word undoes and decides."""

import time
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from catalog.errors import BadRequest, CatalogError, LeaseHeld, LeaseLost, NotFound, Withdrawn
from catalog.instant import now, of_seconds, seconds
from catalog.record import Record, Variable
from catalog.search import Query
from catalog.stores import Entry, Run, Store
from contract.test_stores import KINDS, QUERIES, bad, check, entry, every_store, harvest, ids, opened

SOURCES = ("here", "there")
TITLES = ("wind", "wave", "đồ sơn")


def run_of(store: Store, listed: list[Entry], source: str) -> Run:
    lease, _ = store.begin(source, holder="test", lease_seconds=60)
    store.put(listed, lease=lease)
    return store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)


class OverTime(RuleBasedStateMachine):
    """Both stores and a plain model of them: whatever happens, they say the same of every instant."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.stores = [self.closing.enter_context(opened(kind)) for kind in KINDS]
        self.stores.append(self.closing.enter_context(opened("sqlite")))
        self.stores[-1]._note_past = lambda: None  # its past is read, not looked up
        self.current: dict[tuple[str, str], Record] = {}
        self.misses: dict[tuple[str, str], int] = {}
        self.ever: set[tuple[str, str]] = set()
        self.missed: dict[
            str, set[str]
        ] = {}  # by source: what its newest held run missed, and none saw since
        self.moments: list[tuple[list[str], dict[tuple[str, str], Record], frozenset[Any]]] = []
        self.runs: list[dict[str, Any]] = []

    def teardown(self) -> None:
        self.closing.close()

    @initialize()
    def empty(self) -> None:
        self.note([now()] * len(self.stores))

    def note(self, moments: list[str]) -> None:
        """Remember the state as of a moment that each store gave."""
        self.moments.append((moments, dict(self.current), frozenset(self.ever)))

    def seen(self, source: str, names: dict[int, str | None]) -> None:
        """What a put does."""
        for number, title in names.items():
            key = (source, f"d{number}")
            self.misses[key] = 0
            self.missed.get(source, set()).discard(key[1])
            if title is not None:
                record = made(source, number, title).record
                assert record is not None
                self.ever.add(key)
                self.current[key] = record

    @rule(
        source=st.sampled_from(SOURCES),
        names=st.dictionaries(st.integers(0, 6), st.none() | st.sampled_from(TITLES)),
        state=st.sampled_from(["complete", "complete", "complete", "incomplete", "failed"]),
        incremental=st.sampled_from([False, False, False, True]),
    )
    def harvested(self, source: str, names: dict[int, str | None], state: str, incremental: bool) -> None:
        """A harvest of some datasets, some of them bad, that ended in some way."""
        before = {key: record for key, record in self.current.items() if key[0] == source}
        started, ended = [], []
        for store in self.stores:
            lease, run = store.begin(source, holder="test", lease_seconds=60, incremental=incremental)
            started.append(run.started)
            listed = [made(source, number, title) for number, title in names.items()]
            store.put(listed[:3], lease=lease, page="1")
            store.put(listed[3:], lease=lease, page="2")
            ended.append(store.finish(lease, state, missed_runs=2, shrink_hold=0.4))
        kept = dict(self.current)
        self.note(started)
        self.seen(source, names)
        here = {key for key in self.current if key[0] == source}
        missing = {key for key in here if int(key[1][1:]) not in names}
        told, gone = state, set()
        if state == "complete" and not incremental:
            if not names:
                told = "suspect" if here else "complete"
            elif len(missing) > 0.4 * len(here):
                told = "held"
                self.missed[source] = {name for _, name in missing}
            else:
                for key in missing:
                    self.misses[key] = self.misses.get(key, 0) + 1
                gone = {key for key in missing if self.misses[key] >= 2}
        for key in gone:
            del self.current[key]
        assert {run.state for run in ended} == {told}
        assert {run.withdrawn for run in ended} == {len(gone)}
        assert {run.held for run in ended} == {len(missing) if told == "held" else 0}
        self.runs.append({"source": source, "state": told, "started": kept, "ended": dict(self.current)})
        self.runs[-1] |= {
            "known": set(self.ever),
            "incremental": incremental,
            "undoes": None,
            "before": before,
        }
        self.note([str(run.ended) for run in ended])

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 100))
    def rolledback(self, which: int) -> None:
        """Back to before a run; nothing but its source's records changes."""
        number = which % len(self.runs) + 1
        run = self.runs[number - 1]
        source, then = run["source"], run["started"]
        done = [store.rollback(number) for store in self.stores]
        started = dict(self.current)
        others = {key: record for key, record in self.current.items() if key[0] != source}
        here = {key: record for key, record in then.items() if key[0] == source}
        gone = [key for key in self.current if key[0] == source and key not in here]
        back = [key for key in here if key not in self.current]
        changed = [key for key in here if key in self.current and self.current[key] != here[key]]
        for one in done:
            assert (one.id, one.state, one.undoes, one.source) == (
                len(self.runs) + 1, "rolledback", number, source,
            )  # fmt: skip
            assert (one.withdrawn, one.restored, one.counts.changed) == (
                len(gone), len(back), len(back) + len(changed),
            )  # fmt: skip
        self.current = others | here
        self.misses = {key: 0 if key[0] == source else misses for key, misses in self.misses.items()}
        for later in self.runs[number - 1 :]:
            if later["source"] == source and later["state"] == "held":
                later["state"] = "dropped"
                self.missed.pop(source, None)
        self.runs.append({"source": source, "state": "rolledback", "started": started, "undoes": number})
        self.runs[-1] |= {"ended": dict(self.current), "known": set(self.ever), "incremental": False}
        self.note([str(one.ended) for one in done])

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 100), newest=st.booleans(), word=st.sampled_from(["release", "drop"]))
    def decided(self, which: int, newest: bool, word: str) -> None:
        """An operator releases or drops a run, the newest held one or any."""
        held = [n for n, run in enumerate(self.runs, 1) if run["state"] == "held"]
        number = held[-1] if newest and held else which % len(self.runs) + 1
        run = self.runs[number - 1]
        wanted = {"release": "released", "drop": "dropped"}[word]
        once = [
            n
            for n, other in enumerate(self.runs, 1)
            if other["source"] == run["source"] and other["state"] in {"held", "released", "dropped"}
        ]
        if run["state"] != wanted and (run["state"] != "held" or number != once[-1]):
            for store in self.stores:
                with pytest.raises(BadRequest):
                    getattr(store, word)(number)
            return
        done = [getattr(store, word)(number) for store in self.stores]
        assert {one.state for one in done} == {wanted}
        if run["state"] == wanted:
            return
        missed = self.missed.pop(run["source"], set())
        if word == "release":
            gone = [key for key in self.current if key[0] == run["source"] and key[1] in missed]
            assert {one.withdrawn for one in done} == {len(gone)}
            for key in gone:
                del self.current[key]
        run["state"] = wanted
        self.note([now()] * len(self.stores))

    @invariant()
    def the_present_is_what_it_should_be(self) -> None:
        for store in self.stores:
            check(store, list(self.current.values()), Query(limit=100))
            assert store.sources() == {
                source: count
                for source in SOURCES
                if (count := sum(key[0] == source for key in self.current))
            }

    @precondition(lambda self: self.moments)
    @rule(which=st.integers(0, 1_000), query=QUERIES)
    def the_past_is_what_it_was(self, which: int, query: Query) -> None:
        moments, records, ever = self.moments[which % len(self.moments)]
        for store, moment in zip(self.stores, moments, strict=True):
            check(store, list(records.values()), query.model_copy(update={"asof": moment}))
            for key in ever | self.ever:
                wanted = records.get(key) or (Withdrawn if key in ever else NotFound)
                assert got(store, f"{key[0]}-{key[1]}", moment) == wanted

    @precondition(lambda self: self.runs)
    @rule(first=st.integers(0, 100), second=st.integers(0, 100))
    def a_diff_is_what_the_ends_show(self, first: int, second: int) -> None:
        one, other = sorted((first % len(self.runs) + 1, second % len(self.runs) + 1))
        before, after = self.runs[one - 1], self.runs[other - 1]
        wanted = {}
        for key in before["ended"].keys() | after["ended"].keys():
            old, new = before["ended"].get(key), after["ended"].get(key)
            if key[0] not in {before["source"], after["source"]} or old == new:
                continue
            what = "changed" if old and new else "withdrawn" if old else None
            wanted[f"{key[0]}-{key[1]}"] = what or ("restored" if key in before["known"] else "new")
        for store in self.stores:
            diff = store.diff(one, other)
            assert {change.id: change.what for change in diff.changes} == wanted
            assert [change.id for change in diff.changes] == sorted(wanted)
            assert {what: list(wanted.values()).count(what) for what in diff.counts} == diff.counts
            assert all((change.what == "changed") == (change.fields == ("title",)) for change in diff.changes)
            assert store.diff(one, other, limit=2, offset=1).changes == diff.changes[1:3]

    @invariant()
    def history_has_no_gap_and_both_stores_tell_the_same(self) -> None:
        told = []
        for store in self.stores:
            histories = {key: store.history(f"{key[0]}-{key[1]}") for key in sorted(self.ever)}
            for versions in histories.values():
                assert all(before.valid_to == after.valid_from for before, after in pairwise(versions))
                assert all(
                    seconds(one.valid_from) < seconds(two.valid_from) for one, two in pairwise(versions)
                )
                assert versions[-1].valid_to is None
            told.append(
                {key: [(one.record, one.run) for one in versions] for key, versions in histories.items()}
            )
        assert all(one == told[0] for one in told)

    @invariant()
    def runs_are_told_alike(self) -> None:
        for store in self.stores:
            assert [run.state for run in reversed(store.runs(limit=1_000))] == [
                run["state"] for run in self.runs
            ]
        for source in SOURCES:
            complete = [store.last_complete(source) is None for store in self.stores]
            undone: set[int] = set()
            counted = []
            for number in range(len(self.runs), 0, -1):
                run = self.runs[number - 1]
                if run["source"] != source or number in undone:
                    continue
                if run["undoes"]:
                    undone |= set(range(run["undoes"], number))
                elif run["state"] == "complete":
                    counted.append(number)
            assert complete == [not counted] * len(self.stores)
            for store in self.stores:
                started = [run.started for run in store.runs(limit=1_000) if run.id in counted[:1]]
                assert [store.last_complete(source)] == (started or [None])


def got(store: Store, record_id: str, moment: str) -> Record | type[CatalogError]:
    try:
        return store.get(record_id, asof=moment)
    except CatalogError as error:
        return type(error)


def made(source: str, number: int, title: str | None) -> Entry:
    if title is None:
        return bad(f"d{number}").model_copy(
            update={"document": bad(f"d{number}").document.model_copy(update={"source": source})}
        )
    return entry(f"d{number}", title, source=source, variables=(Variable(name="SST"),))


TestOverTime = OverTime.TestCase
TestOverTime.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)


# --- what the machine does not meet


@every_store
def test_a_harvest_under_way_refuses_a_rollback_and_a_release(kind: str) -> None:
    with opened(kind) as store:
        harvest(store, [entry(f"d{number}") for number in range(10)])
        held = harvest(store, [entry("d0")])
        lease, run = store.begin("here", holder="another", lease_seconds=60)
        for word in (store.rollback, store.release):
            with pytest.raises(LeaseHeld, match=f"harvested by another .run {run.id}."):
                word(held.id)
        assert store.rollback(run_of(store, [entry("a", source="there")], "there").id).withdrawn == 1, (
            "another source's is not held up"
        )
        assert store.runs("here")[0] == run
        assert store.drop(held.id).state == "dropped", "this writes no record"
        store.put([entry("d1")], lease=lease)
        store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)
        assert len(ids(store)) == 10


@every_store
def test_a_rollback_ends_what_a_dead_harvest_left_unfinished(kind: str) -> None:
    """Taken up at its page, it would leave out the pages that the rollback undid."""
    with opened(kind) as store:
        first = harvest(store, [entry("a", "one")])
        dead, run = store.begin("here", holder="dead", lease_seconds=0.05)
        store.put([entry("a", "two")], lease=dead, page="p1")
        time.sleep(0.06)
        rolled = store.rollback(run.id)
        assert store.get("here-a").title.best("vi") == "one"
        assert store.get("here-a", asof=str(first.ended)).title.best("vi") == "one"
        with pytest.raises(LeaseLost):
            store.put([entry("a", "late")], lease=dead)
        lease, fresh = store.begin("here", holder="next", lease_seconds=60)
        assert (fresh.id, fresh.checkpoint) == (rolled.id + 1, None)
        assert [one.state for one in store.runs()] == ["running", "rolledback", "failed", "complete"]
        store.put([entry("a", "two")], lease=lease)
        assert store.get("here-a").title.best("vi") == "two", "the next harvest may change it again"


@every_store
def test_undone_runs_do_not_count_as_misses_nor_as_complete(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        first = harvest(store, listed)
        missing = [harvest(store, listed[:9]) for _ in range(2)]
        assert store.last_complete("here") == missing[-1].started
        store.rollback(missing[0].id)
        assert store.last_complete("here") == first.started
        assert [harvest(store, listed[:9]).withdrawn for _ in range(3)] == [0, 0, 1]
        store.rollback(first.id)
        assert store.last_complete("here") is None
        assert not ids(store)


@every_store
def test_a_release_withdraws_only_what_no_run_saw_since(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        held = harvest(store, listed[:5])
        harvest(store, [*listed[:5], listed[7]], state="incomplete")
        harvest(store, [bad("d8")], incremental=True)
        released = store.release(held.id)
        assert (released.state, released.held, released.withdrawn) == ("released", 5, 3)
        assert "3 of 5 withdrawn" in released.note
        assert store.release(held.id) == released
        assert ids(store) == {f"here-d{number}" for number in (0, 1, 2, 3, 4, 7, 8)}
        assert store.history("here-d9")[-1].run == held.id
        with pytest.raises(BadRequest, match="is released, not held"):
            store.drop(held.id)
        assert harvest(store, listed).restored == 3


@every_store
def test_only_the_newest_held_run_is_decided(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        older, newer = harvest(store, listed[:4]), harvest(store, listed[:5])
        for word in (store.release, store.drop):
            with pytest.raises(BadRequest, match=f"run {newer.id} is, and it is held"):
                word(older.id)
        assert (store.drop(newer.id), len(ids(store))) == (store.drop(newer.id), 10)
        with pytest.raises(BadRequest, match=f"run {newer.id} is, and it is dropped"):
            store.release(older.id)
        for word in (store.release, store.drop, store.rollback):
            with pytest.raises(NotFound, match="no run 99"):
                word(99)
        for word in (store.release, store.drop):
            with pytest.raises(BadRequest, match="is complete, not held"):
                word(1)


@every_store
def test_a_diff_of_what_has_no_end_or_ended_the_other_way_round_is_refused(kind: str) -> None:
    with opened(kind) as store:
        first, second = harvest(store, [entry("a")]), harvest(store, [entry("b")])
        assert not store.diff(first.id, first.id).changes
        with pytest.raises(BadRequest, match="after run 1"):
            store.diff(second.id, first.id)
        _, running = store.begin("here", holder="x", lease_seconds=60)
        with pytest.raises(BadRequest, match="has not ended"):
            store.diff(first.id, running.id)
        with pytest.raises(NotFound):
            store.diff(first.id, 99)


@every_store
def test_moments_go_on_though_the_clock_goes_back(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator sets the clock right: versions still follow one another, and a run still ends after it began."""
    with opened(kind) as store:
        harvest(store, [entry("a", "one")])
        monkeypatch.setattr("catalog.stores._rules.now", lambda: "2001-01-01T00:00:00Z")
        for title in ("two", "three"):
            run = harvest(store, [entry("a", title)])
            assert store.get("here-a", asof=str(run.ended)).title.best("vi") == title
            assert seconds(run.started) < seconds(str(run.ended))
        versions = store.history("here-a")
        assert all(seconds(one.valid_from) < seconds(two.valid_from) for one, two in pairwise(versions))


@every_store
@pytest.mark.parametrize("noted", [True, False])
def test_a_version_ends_as_the_next_begins(kind: str, noted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At that moment the next is there alone, be the old one found by what was noted of it, or read."""
    with opened(kind) as store:
        if not noted:
            monkeypatch.setattr(store, "_note_past", lambda: None, raising=False)
        for listed in ([entry("a", "wave one")], [entry("a", "wave two")]):
            harvest(store, [entry("b", "wave"), *listed])
        for _ in range(3):
            harvest(store, [entry("b", "wave")], shrink_hold=0.5)
        versions = store.history("here-a")
        assert [version.record is None for version in versions] == [False, False, True]
        for version in versions:
            found = store.search(Query(q="wave", asof=version.valid_from))
            wanted = [version.record] if version.record else []
            assert [record for record in found.items if record.id == "here-a"] == wanted
            assert found.matched == found.facets["source"][0].count == 1 + len(wanted)


@every_store
def test_any_instant_may_be_asked(kind: str) -> None:
    with opened(kind) as store:
        run = harvest(store, [entry("a")])
        began = store.history("here-a")[0].valid_from
        for asof, found in {
            "-0001-01-01T00:00:00Z": 0,
            "0000-01-01T00:00:00Z": 0,
            of_seconds(seconds(began) - 1e-6): 0,
            began: 1,
            str(run.ended): 1,
            "9999-12-31T23:59:59Z": 1,
            "+10000-01-01T00:00:00Z": 1,
        }.items():
            assert store.search(Query(asof=asof)).matched == found
            if not found:
                with pytest.raises(NotFound, match="there was no dataset"):
                    store.get("here-a", asof=asof)
