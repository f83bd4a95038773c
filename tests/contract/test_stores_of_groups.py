"""One dataset from several portals, and health, held by every store: a group is one answer, whatever happens to it."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catalog.errors import NotFound
from catalog.record import BBox, Distribution, Extent, Record, Text, TimeRange, Variable
from catalog.search import FACETS, Query, answers, facets_of
from catalog.stores import Entry, Health, Store, Tie
from catalog.uniting import united
from contract.test_stores import KINDS, QUERIES, entry, every_store, found_entries, harvest, ids, opened

NAMES = [f"{source}-d{number}" for source, number in product(("here", "there"), range(4))]
STATES = ("fresh", "stale", "broken", "moved")


def moment(day: int) -> str:
    return f"2026-01-{day % 28 + 1:02}T00:00:00Z"


def tie(leader: str, member: str, by: str = "doi") -> Tie:
    return Tie(leader=leader, member=member, by=by, score=1.0, evidence=("so it is",), since=moment(0))


def ways(*addresses: str) -> tuple[Distribution, ...]:
    return tuple(Distribution(protocol="http", address=address) for address in addresses)


def put(store: Store, *made: Entry) -> None:
    store.put(made)


def delete(store: Store, source: str, *native_ids: str, shrink_hold: float = 1) -> None:
    """A run of changes in which the source says that it has deleted some datasets."""
    lease, _ = store.begin(source, holder="test", lease_seconds=60, incremental=True)
    store.put([gone(source, native_id) for native_id in native_ids], lease=lease)
    store.finish(lease, "complete", missed_runs=3, shrink_hold=shrink_hold)


def gone(source: str, native_id: str) -> Entry:
    document = entry(native_id, source=source).document
    return Entry(document=document.model_copy(update={"content": b"", "deleted": True}), record=None)


class Grouped(RuleBasedStateMachine):
    """Every store, and a plain model of groups: who leads whom, pairs that are apart, states by address."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.stores = [self.closing.enter_context(opened(kind)) for kind in KINDS]
        self.current: dict[str, Record] = {}
        self.leaders: dict[str, str] = {}
        self.apart: set[frozenset[str]] = set()
        self.health: dict[tuple[str, str], Health] = {}
        self.marks = [0] * len(self.stores)
        self.changed: set[str] = set()
        self.day = 0

    def teardown(self) -> None:
        self.closing.close()

    def group(self, name: str) -> list[str]:
        """The ids of a record's group, the leader first, then by id."""
        leader = self.leaders.get(name, name)
        return [leader, *sorted(one for one, its in self.leaders.items() if its == leader)]

    def lead(self, names: Sequence[str], leader: str) -> None:
        for name in names:
            self.leaders.pop(name, None)
        self.leaders.update({name: leader for name in names if name != leader})

    def leave(self, name: str) -> list[str]:
        group = self.group(name)
        rest = sorted(one for one in group if one != name)
        self.lead(group, name)
        for one in rest:
            self.leaders.pop(one)
        if rest:
            self.lead(rest, rest[0] if group[0] == name else group[0])
        return rest

    @initialize(made=found_entries())
    def begun(self, made: list[Entry]) -> None:
        self.kept(made)

    @rule(made=found_entries())
    def changed_or_back(self, made: list[Entry]) -> None:
        self.kept(made)

    def kept(self, made: list[Entry]) -> None:
        """Records are new, change, or come back; what is known of addresses that they have no more is forgotten."""
        for store in self.stores:
            store.put([spread(one) for one in made])
        for one in made:
            record = spread(one).record
            assert record is not None
            if self.current.get(record.id) != record:
                self.changed.add(record.id)
            self.current[record.id] = record
            for address in {address for name, address in self.health if name == record.id}:
                if all(way.address != address for way in record.distributions):
                    del self.health[record.id, address]

    @rule(source=st.sampled_from(["here", "there"]), numbers=st.sets(st.integers(0, 6), max_size=2))
    def deleted(self, source: str, numbers: set[int]) -> None:
        for store in self.stores:
            delete(store, source, *(f"d{number}" for number in numbers))
        for name in sorted({f"{source}-d{number}" for number in numbers} & self.current.keys()):
            self.leave(name)
            del self.current[name]
            self.changed.discard(name)
            self.health = {key: one for key, one in self.health.items() if key[0] != name}

    @rule(
        pairs=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=3),
        by=st.sampled_from(["doi", "likeness", "operator"]),
    )
    def tied(self, pairs: list[tuple[str, str]], by: str) -> None:
        new = 0
        for leader, member in pairs:
            if leader not in self.current or member not in self.current:
                continue
            inside, outside = self.group(leader), self.group(member)
            crossing = {frozenset(pair) for pair in product(inside, outside)}
            if leader in outside or (crossing & self.apart and by != "operator"):
                continue
            self.apart -= crossing
            self.lead([*inside, *outside], leader)
            new += 1
        for store in self.stores:
            assert store.tie([tie(leader, member, by) for leader, member in pairs]) == new

    @rule(name=st.sampled_from(NAMES), forever=st.booleans())
    def untied(self, name: str, forever: bool) -> None:
        told = [kept_or_error(store, name, forever=forever) for store in self.stores]
        before = self.group(name)
        if len(before) > 1:
            ends = before[1:] if before[0] == name else [name]
            assert {tuple(one.member for one in ties) for ties in told} == {tuple(ends)}
            others = self.leave(name)
            self.apart |= {frozenset({name, other}) for other in others} if forever else set()
        else:
            assert all(not ties for ties in told)

    @rule(
        name=st.sampled_from(NAMES),
        address=st.sampled_from(["x", "y0", "y1", "elsewhere"]),
        state=st.sampled_from(["broken", *STATES]),
    )
    def probed(self, name: str, address: str, state: str) -> None:
        self.day += 1
        one = Health(id=name, address=address, state=state, since=moment(self.day), checked=moment(self.day))
        for store in self.stores:
            store.note_health([one])
        record = self.current.get(name)
        if record and any(way.address == address for way in record.distributions):
            before = self.health.get((name, address))
            since = before.since if before and before.state == state else one.since
            self.health[name, address] = one.model_copy(update={"since": since})

    def broken(self, group: Sequence[str]) -> bool:
        return {one.state for (name, _), one in self.health.items() if name in group} == {"broken"}

    @rule(query=QUERIES, size=st.integers(1, 3))
    def asked(self, query: Query, size: int) -> None:
        """A search answers with whole groups; pages lose and repeat nothing, and what is broken comes last."""
        groups = [self.group(name) for name in self.current if name not in self.leaders]
        found = [group for group in groups if answers([self.current[name] for name in group], query)]
        for store in self.stores:
            page = store.search(query)
            assert page.matched == len(found)
            assert {one.id: one for one in page.items} == {group[0]: self.whole(group) for group in found}
            for facet in FACETS:
                counted = Counter(
                    value
                    for group in found
                    for value in {v for name in group for v in facets_of(self.current[name])[facet]}
                )
                assert {hit.value: hit.count for hit in page.facets[facet]} == counted
            if query.sort == "relevance":
                last = [self.broken(self.group(one.id)) for one in page.items]
                assert last == sorted(last)
            paged = [
                one
                for offset in range(0, len(found), size)
                for one in store.search(query.model_copy(update={"offset": offset, "limit": size})).items
            ]
            assert paged == list(page.items)
        if query.sort != "relevance" or not query.terms():
            first, *others = [[one.id for one in store.search(query).items] for store in self.stores]
            assert all(other == first for other in others)

    def whole(self, group: Sequence[str]) -> Record:
        leader, *members = [self.current[name] for name in group]
        return united(leader, members)

    @invariant()
    def groups_are_what_they_should_be(self) -> None:
        told = []
        for store in self.stores:
            assert ids(store) == {name for name in self.current if name not in self.leaders}
            for name in self.current:
                group = self.group(name)
                assert [(one.leader, one.member) for one in store.ties(name)] == [
                    (group[0], member) for member in group[1:]
                ]
                led = group if group[0] == name else [name]
                record = self.whole(led)
                assert store.get(name) == record
                addresses = list(dict.fromkeys(way.address for way in record.distributions))
                known = [
                    next((self.health[one, address] for one in led if (one, address) in self.health), None)
                    for address in addresses
                ]
                assert store.health(name) == tuple(one for one in known if one)
                states = {one.state for (its, _), one in self.health.items() if its in led}
                assert store.conditions([name, "nowhere"]) == ({name: states} if states else {})
            told.append([store.ties(name) for name in sorted(self.current)])
        assert all(one == told[0] for one in told), "the same ties, with the same evidence"

    @rule(limit=st.integers(1, 4))
    def changes_are_told_once(self, limit: int) -> None:
        for at, store in enumerate(self.stores):
            seen: list[Record] = []
            while True:
                mark, found = store.changed_after(self.marks[at], limit=limit)
                if not found:
                    assert mark == self.marks[at]
                    break
                assert len(found) <= limit
                self.marks[at] = mark
                seen += found
            assert sorted(one.id for one in seen) == sorted(self.changed)
            assert all(self.current[one.id] == one for one in seen), "as their sources gave them"
        self.changed.clear()

    @rule(day=st.integers(0, 60), limit=st.integers(1, 9))
    def those_probed_longest_ago_come_first(self, day: int, limit: int) -> None:
        probed = {
            name: max((one.checked for (its, _), one in self.health.items() if its == name), default="")
            for name in self.current
        }
        due = [name for name, last in probed.items() if not last or last < moment(day)]
        wanted = sorted(due, key=lambda name: (probed[name], name))[:limit]
        for store in self.stores:
            assert list(store.to_probe(moment(day), limit=limit)) == wanted


def spread(made: Entry) -> Entry:
    """An entry with a second address, which some records share."""
    assert made.record is not None
    second = ways(f"y{len(made.record.keywords) % 2}")
    record = made.record.model_copy(update={"distributions": (*made.record.distributions, *second)})
    return made.model_copy(update={"record": record})


def kept_or_error(store: Store, name: str, *, forever: bool) -> tuple[Tie, ...]:
    try:
        return store.untie(name, forever=forever)
    except NotFound:
        return ()


TestGrouped = Grouped.TestCase
TestGrouped.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)


# --- what the machine does not meet


@every_store
def test_a_group_is_found_by_conditions_that_hold_for_different_records_of_it(kind: str) -> None:
    """Words by the one, a facet and a variable by the other: one answer, the leader, counted once."""
    with opened(kind) as store:
        put(store, entry("a", "typhoon", kind="grid", distributions=ways("x")))
        put(
            store,
            entry("b", "bão", source="there", variables=(Variable(name="hs"),), distributions=ways("y")),
        )
        asked = Query(q="typhoon", source="there", variable="hs")
        assert store.search(asked).matched == 0
        assert store.tie([tie("here-a", "there-b")]) == 1
        page = store.search(asked)
        assert [record.id for record in page.items] == ["here-a"]
        assert [way.address for way in page.items[0].distributions] == ["x", "y"]
        assert {hit.value: hit.count for hit in page.facets["source"]} == {"here": 1, "there": 1}
        assert store.search(Query(q="typhoon bão")).matched == 0, "all words are one record's"
        assert store.get("there-b").distributions == ways("y")
        for word in (store.ties, store.untie, store.health):
            with pytest.raises(NotFound):
                word("here-nothing")


@every_store
def test_a_group_is_found_by_where_and_when_any_of_its_records_is(kind: str) -> None:
    here, when = (
        BBox.of(105, 17, 110, 22),
        TimeRange(start="2019-01-01T00:00:00Z", end="2019-12-31T00:00:00Z"),
    )
    with opened(kind) as store:
        put(store, entry("a"), entry("b", source="there", extent=Extent(boxes=(here,))))
        put(store, entry("c", source="yonder", extent=Extent(time=when)))
        asked = Query(bbox=here, time=("2019-02-23T00:00:00Z", None))
        assert store.search(asked).matched == 0
        store.tie([tie("here-a", "there-b"), tie("here-a", "yonder-c")])
        assert [record.id for record in store.search(asked).items] == ["here-a"]


@every_store
def test_what_changes_of_a_record_changes_its_group(kind: str) -> None:
    """A value that the leader or a member loses is still the group's while another has it, and no longer."""
    waves, none = {"themes": ("waves",)}, {}
    with opened(kind) as store:
        put(store, entry("a", **waves), entry("b", source="there", **waves))
        store.tie([tie("here-a", "there-b")])
        for leads, follows, found in ((none, waves, 1), (waves, none, 1), (none, none, 0), (waves, waves, 1)):
            for one in (entry("a", **leads), entry("b", source="there", **follows)):
                store.search(Query())
                put(store, one)
            page = store.search(Query(theme="waves"))
            assert (page.matched, [hit.count for hit in page.facets["theme"]]) == (found, [1] * found)


@every_store
def test_the_past_knows_no_groups_and_no_health(kind: str) -> None:
    with opened(kind) as store:
        run = harvest(store, [entry("a", distributions=ways("x")), entry("b", distributions=ways("x"))])
        then = Query(q="nhiet do", asof=str(run.ended))
        before = store.search(then)
        store.tie([tie("here-b", "here-a")])
        store.note_health(
            [Health(id="here-a", address="x", state="broken", since=moment(1), checked=moment(1))]
        )
        assert store.search(then) == before
        assert store.get("here-b", asof=str(run.ended)).distributions == ways("x")
        assert [version.record for version in store.history("here-b")] == [before.items[1]]


@every_store
def test_what_an_operator_took_apart_stays_apart_through_withdrawal_and_new_ties(kind: str) -> None:
    with opened(kind) as store:
        put(store, *(entry("d", source=source) for source in ("a", "b", "c")))
        assert store.tie([tie("a-d", "b-d"), tie("a-d", "c-d")]) == 2
        assert [one.member for one in store.untie("b-d")] == ["b-d"]
        delete(store, "b", "d")
        put(store, entry("d", "again", source="b"))
        assert store.tie([tie("a-d", "b-d"), tie("b-d", "c-d"), tie("c-d", "b-d")]) == 0
        assert store.tie([tie("c-d", "b-d", "operator")]) == 1, "who joins a member joins its group"
        assert {(one.leader, one.member) for one in store.ties("a-d")} == {("c-d", "a-d"), ("c-d", "b-d")}
        assert store.tie([tie("a-d", "b-d")]) == 0, "they are one group already"


@every_store
def test_an_operator_who_ties_what_was_apart_ends_that(kind: str) -> None:
    with opened(kind) as store:
        put(store, *(entry("d", source=source) for source in ("a", "b")))
        store.tie([tie("a-d", "b-d")])
        store.untie("a-d")
        assert store.tie([tie("a-d", "b-d")]) == 0
        assert store.tie([tie("a-d", "b-d", "operator")]) == 1
        delete(store, "b", "d")
        assert store.ties("a-d") == ()
        put(store, entry("d", source="b"))
        assert store.tie([tie("a-d", "b-d")]) == 1, "what a withdrawal ended is not apart"


@every_store
def test_a_tie_that_is_turned_keeps_why_it_was_made(kind: str) -> None:
    with opened(kind) as store:
        put(store, *(entry("d", source=source) for source in ("a", "b", "c")))
        first = tie("a-d", "b-d").model_copy(update={"evidence": ("the DOI",), "score": 0.9})
        second = tie("c-d", "b-d", "uuid").model_copy(update={"evidence": ("the UUID",), "since": moment(3)})
        store.tie([first, second])
        assert store.ties("a-d") == (
            first.model_copy(update={"leader": "c-d", "member": "a-d"}),
            second,
        )


@every_store
def test_records_with_broken_data_come_last_by_relevance_only(kind: str) -> None:
    with opened(kind) as store:
        put(store, *(entry(f"d{n}", "tide", distributions=ways("x", "y")) for n in range(3)))

        def order(**asked: str) -> str:
            return "".join(record.native_id[1] for record in store.search(Query(**asked)).items)

        def note(address: str, state: str) -> None:
            store.note_health(
                [Health(id="here-d0", address=address, state=state, since=moment(1), checked=moment(1))]
            )

        note("x", "broken")
        assert (order(), order(q="tide"), order(sort="title"), order(sort="id")) == (
            "120",
            "120",
            "012",
            "012",
        )
        note("y", "stale")
        assert (order(), order(q="tide")) == ("012", "012")
        note("y", "broken")
        put(store, entry("d0", "tide", distributions=ways("z")))
        assert (order(), store.health("here-d0")) == ("012", ())


@every_store
def test_a_state_is_known_since_it_was_found_first(kind: str) -> None:
    with opened(kind) as store:
        put(store, entry("a", distributions=ways("x")))
        for day, state in enumerate(("broken", "broken", "fresh", "fresh"), start=1):
            one = Health(id="here-a", address="x", state=state, since=moment(day), checked=moment(day))
            store.note_health([one])
            since = moment({"broken": 1, "fresh": 3}[state])
            assert store.health("here-a") == (one.model_copy(update={"since": since}),)


@every_store
def test_a_title_in_two_languages_ranks_by_the_best_of_the_group(kind: str) -> None:
    """Words as they are written, or a better score, in a member lift its leader."""
    with opened(kind) as store:
        put(store, entry("a", "do son"), entry("b", "do son"))
        put(store, entry("c", "Đồ Sơn", source="there"))
        assert store.search(Query(q="đồ sơn")).items[0].id == "there-c"
        store.tie([tie("here-b", "there-c")])
        assert [one.id for one in store.search(Query(q="đồ sơn")).items] == ["here-b", "here-a"]


# --- deletions


@every_store
def test_what_a_source_says_it_deleted_is_withdrawn_as_a_complete_run_ends(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        for state in ("incomplete", "failed"):
            assert harvest(store, [gone("here", "d1")], state=state, incremental=True).withdrawn == 0
        assert harvest(store, [], incremental=True).withdrawn == 0, (
            "what an unfinished run was told is not known"
        )
        run = harvest(store, [gone("here", "d1"), gone("here", "never")], incremental=True)
        assert (run.state, run.seen, run.missing, run.withdrawn) == ("complete", 0, 1, 1)
        assert store.history("here-d1")[-1].run == run.id
        full = harvest(store, [*listed[2:], gone("here", "d0")])
        assert (full.state, full.seen, full.missing, full.withdrawn) == ("complete", 8, 1, 1)
        assert harvest(store, listed[:2], incremental=True).restored == 2


@every_store
def test_of_what_a_run_is_told_of_a_dataset_the_last_counts(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        run = harvest(store, [gone("here", "d1"), *listed], incremental=True)
        assert (run.state, run.withdrawn, len(ids(store))) == ("complete", 0, 10)
        run = harvest(store, [*listed, gone("here", "d1")], incremental=False)
        assert (run.state, run.withdrawn, len(ids(store))) == ("complete", 1, 9)


@every_store
@pytest.mark.parametrize("incremental", [False, True])
def test_too_many_deletions_are_held_for_an_operator(kind: str, incremental: bool) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    told = [gone("here", f"d{number}") for number in range(3)]
    with opened(kind) as store:
        harvest(store, listed)
        held = harvest(store, told if incremental else [*told, *listed[3:]], incremental=incremental)
        assert (held.state, held.held, held.withdrawn, len(ids(store))) == ("held", 3, 0, 10)
        harvest(store, listed[:1], incremental=True)
        released = store.release(held.id)
        assert (released.withdrawn, len(ids(store))) == (2, 8), "what was seen since stays"


@every_store
def test_what_was_withdrawn_since_is_not_withdrawn_twice_by_a_release(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        held = harvest(store, listed[:6])
        assert harvest(store, [gone("here", "d9")], incremental=True).withdrawn == 1
        assert store.release(held.id).withdrawn == 3
        assert [version.record is None for version in store.history("here-d9")] == [False, True]


@every_store
def test_a_listing_of_nothing_but_deletions_withdraws_nothing_by_itself(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        run = harvest(store, [gone("here", "d1")], shrink_hold=1)
        assert (run.state, run.withdrawn, run.missing) == ("suspect", 0, 10)
        run = harvest(store, [gone("here", f"d{number}") for number in range(10)])
        assert (run.state, run.held) == ("held", 10)


@every_store
def test_a_deletion_outlives_a_harvest_that_was_cut_off(kind: str) -> None:
    listed = [entry(f"d{number}") for number in range(10)]
    with opened(kind) as store:
        harvest(store, listed)
        lease, first = store.begin("here", holder="dead", lease_seconds=60, incremental=True)
        store.put([gone("here", "d1")], lease=lease, page="1")
        store.renew(lease, 0)
        lease, run = store.begin("here", holder="next", lease_seconds=60, incremental=True)
        assert (run.id, run.checkpoint) == (first.id, "1")
        assert store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2).withdrawn == 1


@every_store
def test_titles_of_groups_are_those_of_their_leaders(kind: str) -> None:
    with opened(kind) as store:
        put(store, entry("a", "zebra"), entry("b", "middle"), entry("c", "alpha", source="there"))
        store.tie([tie("here-a", "there-c")])
        found = store.search(Query(sort="title")).items
        assert [one.title for one in found] == [Text.of("middle", "vi"), Text.of("zebra", "vi")]
