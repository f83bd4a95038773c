"""One dataset from several portals: finding the records of a store that are one, and what an operator makes of them.

After each harvest the records that changed are compared with those of other sources that share a key with them
(`catalog.matching`); what is one is tied in the store (`Store.tie`). The keys are kept in an index in the data home, a
cache: where it is missing, every record is looked at again. What an operator says stays: records that were taken apart
are never tied again by themselves, and whom an operator joined stays. A tie that was found ends when a record changed
and nothing speaks for it any more.
"""

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from catalog import matching
from catalog.data.ways import openables
from catalog.errors import BadRequest, CatalogError, NotFound
from catalog.instant import now
from catalog.matching import Judgement, judged
from catalog.record import Model, Record
from catalog.stores import Run, Store, Tie
from catalog.stores._candidates import Candidates

_LOG = logging.getLogger(__name__)
FILE = "candidates.sqlite"
_LOCK = "candidates.lock"
_PAGE = 500  # records whose keys are read at once
_BATCH = 100  # records that are judged between two notes of how far it came
_OTHERS = 50  # records that one is compared with, those that share most keys
_TWINS = 20  # records of its own source that are looked at, whether they are still there


class Group(Model):
    """Records that are one dataset: the leader is shown for all.

    Args:
        leader: Its id.
        ties: One for each other record, by its id.
    """

    leader: str
    ties: tuple[Tie, ...]


class Passed(Model):
    """What a pass over the changed records did: how many were compared, and how many ties are new."""

    judged: int = 0
    tied: int = 0


class Tying:
    """Finds records that are one dataset, and lets an operator join and part them.

    Args:
        store: Where the records are.
        home: The data home, for the index of candidates.
    """

    def __init__(self, store: Store, home: Path) -> None:
        self._store = store
        self._home = home

    @contextmanager
    def _index(self) -> Iterator[Candidates]:
        index = Candidates(self._home / FILE, matching.EDITION)
        try:
            yield index
        finally:
            index.close()

    @contextmanager
    def _alone(self) -> Iterator[Candidates]:
        """The index, while passes of other threads and processes wait until this one ended."""
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._index() as index:
                yield index

    def look(self, *, again: bool = False, is_ended: Callable[[], bool] = lambda: False) -> Passed:
        """Compare the records that changed since the last pass with others, and tie those that are one dataset.

        Args:
            again: Compare all records.
            is_ended: Asked between records; where it is so the rest waits for the next pass.
        """
        passed = Passed()
        with self._alone() as index:
            self._check(index)
            if again:
                index.judge_again()
            self._read(index, is_ended)
            while not is_ended() and (ids := index.waiting(_BATCH)):
                found = [(record_id, self._judge(record_id, index)) for record_id in ids]
                tied = [tie for _, ties in found for tie in ties]
                index.done(ids, (one for tie in tied for one in (tie.leader, tie.member)))
                passed = Passed(judged=passed.judged + len(ids), tied=passed.tied + len(tied))
        return passed

    def follow(self, run: Run, is_ended: Callable[[], bool] = lambda: False) -> None:
        """Look at what a run changed; that it cannot be done now is logged, and the next pass does it."""
        if not run.counts.new + run.counts.changed + run.restored:
            return
        try:
            self.look(is_ended=is_ended)
        except (CatalogError, OSError):
            _LOG.exception("records of one dataset were not looked for after run %d", run.id)

    def _check(self, index: Candidates) -> None:
        """Begin anew where the index is that of another store, as the runs tell."""
        newest = next(iter(self._store.runs(limit=1, quarantine=0)), None)
        last = index.known("run")
        if isinstance(last, int) and (newest is None or not self._had(last, newest.id, index.known("began"))):
            index.remember("mark", 0)
        if newest is not None:
            index.remember("run", newest.id)
            index.remember("began", newest.started)

    def _had(self, run: int, newest: int, began: str | int | None) -> bool:
        if run > newest:
            return False
        found = self._store.runs(limit=newest - run + 1, quarantine=0)
        return any(each.id == run and each.started == began for each in found)

    def _read(self, index: Candidates, is_ended: Callable[[], bool]) -> None:
        """Keep the keys of all that changed, before anything is judged: keys that many have are known by then."""
        mark = int(index.known("mark") or 0)
        while not is_ended():
            mark, changed = self._store.changed_after(mark, limit=_PAGE)
            if not changed:
                return
            index.note(mark, ((record.id, record.source, matching.keys(record)) for record in changed))

    def _judge(self, record_id: str, index: Candidates) -> list[Tie]:
        """Tie a record to those that are the same dataset, the surest first."""
        record = self._given(record_id)
        if record is None:
            index.forget(record_id)
            return []
        ties = [tie for name in self._parted(record) if name != record_id for tie in self._judge(name, index)]
        found = self._found(record, index)
        for verdict, other in sorted(found, key=lambda pair: (-pair[0].score, pair[1].id)):
            rivals = [one for one in found if one[1].source == other.source]
            if verdict.rule == "likeness" and (len(rivals) > 1 or self._has_rival(record, other, index)):
                continue
            tie = self._tie(record, other, verdict)
            ties += [tie] if tie is not None else []
        return ties

    def _parted(self, record: Record) -> list[str]:
        """Take out of a changed record's group whom nothing joins to its leader any more; return their ids.

        What joins two is a rule that holds between them, or an operator, or others between which it does. Who leaves
        may be tied again.
        """
        group = self.group(record.id)
        there = {one.id: one for one in self.members(group)} if group else {}
        if group is None or group.leader not in there:
            return []
        said = {frozenset((tie.leader, tie.member)) for tie in group.ties if tie.by == "operator"}
        joined, near = {group.leader}, [group.leader]
        while near:
            name = near.pop()
            more = [
                other
                for other in there.keys() - joined
                if {name, other} in said or judged(there[name], there[other])
            ]
            joined.update(more)
            near += more
        left = sorted(there.keys() - joined)
        for name in left:
            _LOG.info("%s left the group of %s: nothing joins them any more", name, group.leader)
            self._store.untie(name, forever=False)
        return left

    def _has_rival(self, record: Record, other: Record, index: Candidates) -> bool:
        """Tell whether another record of a record's source is the same dataset as a third one, too."""
        return any(
            rival.source == record.source and rival.id != record.id for _, rival in self._found(other, index)
        )

    def _found(self, record: Record, index: Candidates) -> list[tuple[Judgement, Record]]:
        """The records that are the same dataset as one, by what is said of these two alone."""
        keys = matching.keys(record)
        likely = {key for key in keys if key.startswith(matching.LIKELY)}
        while True:
            near = index.near(record.id, record.source, keys - likely, likely, _OTHERS)
            others = [self._given(one) for one in near.others]
            gone = [one for one, other in zip(near.others, others, strict=True) if other is None]
            gone += [one for one in near.twins[:_TWINS] if self._given(one) is None]
            for one in gone:
                index.forget(one)
            if not gone:
                break
        pairs = ((judged(record, one, near.crowded(record.source, one.source)), one) for one in others if one)
        return [(verdict, other) for verdict, other in pairs if verdict is not None]

    def _given(self, record_id: str) -> Record | None:
        """A current record as its source gave it; None where it is no more."""
        try:
            versions = self._store.history(record_id, limit=1)
        except NotFound:
            return None
        return versions[-1].record if versions else None

    def _tie(self, a: Record, b: Record, verdict: Judgement) -> Tie | None:
        """Tie two records, or their groups, unless records of both cannot be one; None where nothing was tied."""
        ours, theirs = self._members(a), self._members(b)
        if {one.id for one in ours} & {other.id for other in theirs}:
            return None
        for one in ours:
            for other in theirs:
                if one.source == other.source or matching.contradiction(one, other) is not None:
                    return None
        leader, member = _led(ours, theirs)
        through = () if {leader.id, member.id} == {a.id, b.id} else (f"found between {a.id} and {b.id}",)
        tie = Tie(
            leader=leader.id,
            member=member.id,
            by=verdict.rule,
            score=verdict.score,
            evidence=(*verdict.evidence, *through),
            since=now(),
        )
        return tie if self._store.tie([tie]) else None

    def _members(self, record: Record) -> tuple[Record, ...]:
        """The records of a record's group, its leader first; itself where it stands alone."""
        group = self.group(record.id)
        return self.members(group) if group else (record,)

    # --- what an operator asks and says

    def group(self, record_id: str) -> Group | None:
        """Return the group that a record is in; None where it stands alone. Raises NotFound."""
        ties = self._store.ties(record_id)
        return Group(leader=ties[0].leader, ties=ties) if ties else None

    def members(self, group: Group) -> tuple[Record, ...]:
        """Return the records of a group as their sources gave them, the leader first."""
        ids = (group.leader, *(tie.member for tie in group.ties))
        return tuple(found for found in map(self._given, ids) if found is not None)

    def groups(self) -> Iterator[Group]:
        """Yield every group, by the id of its leader."""
        with self._index() as index:
            ids = index.grouped()
        alone = []
        for record_id in ids:
            try:
                group = self.group(record_id)
            except NotFound:
                group = None
            if group is None:
                alone.append(record_id)
            elif group.leader == record_id:
                yield group
        if alone:
            with self._index() as index:
                index.ungroup(alone)

    def merge(self, leader: str, member: str) -> Group:
        """Tie two records because a person says so; their groups become one, and the leader is shown for all.

        Raises:
            NotFound, Withdrawn: There is no such record, or no more.
            BadRequest: It is one record.
        """
        if leader == member:
            raise BadRequest(f"{leader} is one record", hint="bienmo merge LEADER MEMBER")
        for record_id in (leader, member):
            self._store.get(record_id)
        said = "an operator says that they are one dataset"
        tie = Tie(leader=leader, member=member, by="operator", score=1.0, evidence=(said,), since=now())
        self._store.tie([tie])
        with self._index() as index:
            index.done((), (leader, member))
        found = self.group(leader)
        assert found is not None, "two records that were just tied are a group"
        return found

    def unmerge(self, record_id: str) -> tuple[Tie, ...]:
        """Take a record out of its group for ever, and return the ties that ended. Raises NotFound."""
        ended = self._store.untie(record_id)
        with self._index() as index:
            index.done((), (one for tie in ended for one in (tie.leader, tie.member)))
        return ended


def _led(ours: Sequence[Record], theirs: Sequence[Record]) -> tuple[Record, Record]:
    """The leader and the member of two groups that become one, of each of which the leader stands first.

    A group keeps its leader; of two groups or two records it is the one that can be cut, else the lower id.
    """
    if (len(ours) > 1) != (len(theirs) > 1):
        return (ours[0], theirs[0]) if len(ours) > 1 else (theirs[0], ours[0])
    leader, member = sorted((ours[0], theirs[0]), key=lambda record: (not openables(record), record.id))
    return leader, member


__all__ = ["FILE", "Group", "Passed", "Tying"]
