"""Which records are one dataset, in SQLite; each function works in the caller's transaction.

Whatever changes of a group, all its records count as changed (their `generation`), so that readers take it up whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import apsw
import orjson
from pyroaring import BitMap

from catalog.stores import Tie, _groups

_TIE = (
    "SELECT leads.id, follows.id, rule, score, evidence, since FROM ties"
    " JOIN records AS leads ON leads.number = ties.leader JOIN records AS follows ON follows.number = ties.member"
    " WHERE ties.leader = ? ORDER BY follows.id"
)
_FIELDS = ("leader", "member", "by", "score", "evidence", "since")


@dataclass(frozen=True)
class Groups:
    """The leaders of members by their numbers, at one generation of the database; never changed."""

    leaders: Mapping[int, int]
    members: BitMap

    def led(self, found: BitMap) -> BitMap:
        """Return found records with the leader in the place of each member."""
        inside = found & self.members
        return (found - inside) | BitMap([self.leaders[number] for number in inside]) if inside else found

    def of(self, found: BitMap, leaders: BitMap) -> BitMap:
        """Return those of the found records that stand alone or lead, or whose leader does, among `leaders`."""
        inside = found & self.members
        kept = found & leaders
        return kept | BitMap([one for one in inside if self.leaders[one] in leaders]) if inside else kept

    def best(self, scores: Iterable[tuple[int, float]]) -> Iterable[tuple[int, float]]:
        """Return the lowest score of each answer, of those of its records."""
        lowest: dict[int, float] = {}
        for number, score in scores:
            leader = self.leaders.get(number, number)
            lowest[leader] = min(score, lowest.get(leader, score))
        return lowest.items()

    def at(self, connection: apsw.Connection, since: int, changed: BitMap) -> "Groups":
        """Return the groups as the transaction sees them; `changed` are the records of later generations."""
        rows: list[Any] = connection.execute(
            "SELECT member, leader FROM ties"
            if since < 0
            else "SELECT member, leader FROM records CROSS JOIN ties ON member = number WHERE generation > ?",
            () if since < 0 else (since,),
        ).fetchall()
        if not rows and not self.members & changed:
            return self
        leaders = {member: leader for member, leader in self.leaders.items() if member not in changed}
        leaders.update(rows)
        return Groups(MappingProxyType(leaders), BitMap(leaders))


ALONE = Groups(MappingProxyType({}), BitMap())


def of(connection: apsw.Connection, number: int) -> _groups.Group:
    """Return the ties of a record's group, by member."""
    rows = connection.execute(
        _TIE, (connection.execute("SELECT leader FROM ties WHERE member = ?", (number,)).get or number,)
    )
    return tuple(
        Tie(**dict(zip(_FIELDS, (*row[:4], orjson.loads(row[4]), row[5]), strict=True))) for row in rows
    )


def members(connection: apsw.Connection, number: int) -> list[bytes]:
    """Return what the members of a record are, as JSON, by id."""
    rows = connection.execute(
        "SELECT json FROM ties JOIN records ON records.number = member JOIN versions USING (version)"
        " WHERE leader = ? ORDER BY records.id",
        (number,),
    )
    return [text for (text,) in rows]


def _number(connection: apsw.Connection, record_id: str) -> int | None:
    """The number of a current record."""
    number: int | None = connection.execute(
        "SELECT number FROM records WHERE id = ? AND version IS NOT NULL", (record_id,)
    ).get
    return number


def tie(connection: apsw.Connection, wanted: Iterable[Tie], generation: int) -> int:
    """Tie records together, and return how many ties are new."""
    return sum(_tied(connection, one, generation) for one in wanted)


def _tied(connection: apsw.Connection, one: Tie, generation: int) -> bool:
    leader, member = _number(connection, one.leader), _number(connection, one.member)
    if leader is None or member is None:
        return False
    first, second = of(connection, leader), of(connection, member)
    inside, outside = _groups.names(one.leader, first), _groups.names(one.member, second)
    if inside & outside:
        return False
    kept_apart = [pair for pair in _groups.pairs(inside, outside) if _apart(connection, pair)]
    if kept_apart and one.by != "operator":
        return False
    connection.executemany("DELETE FROM apart WHERE one = ? AND other = ?", kept_apart)
    _write(connection, inside | outside, _groups.joined(first, second, one), generation)
    return True


def _apart(connection: apsw.Connection, pair: tuple[str, str]) -> bool:
    return bool(connection.execute("SELECT 1 FROM apart WHERE one = ? AND other = ?", pair).get)


def _write(
    connection: apsw.Connection, changed: Iterable[str], group: Sequence[Tie], generation: int
) -> None:
    """Write the ties of records that were one group or two, in the place of those that they had."""
    rows: list[Any] = connection.execute(
        "UPDATE records SET generation = ? WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, number",
        (generation, orjson.dumps(sorted(changed)).decode()),
    ).fetchall()
    numbers = dict(rows)
    connection.executemany("DELETE FROM ties WHERE member = ?", [(number,) for number in numbers.values()])
    connection.executemany(
        "INSERT INTO ties (member, leader, rule, score, evidence, since) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                numbers[one.member],
                numbers[one.leader],
                one.by,
                one.score,
                orjson.dumps(one.evidence).decode(),
                one.since,
            )
            for one in group
        ],
    )


def untie(
    connection: apsw.Connection, number: int, record_id: str, generation: int, *, forever: bool
) -> tuple[Tie, ...]:
    """Take a record out of its group, for ever or not, and return its ties, which end."""
    group = of(connection, number)
    if forever:
        apart = _groups.pairs({record_id}, _groups.names(record_id, group))
        connection.executemany("INSERT OR IGNORE INTO apart VALUES (?, ?)", sorted(apart))
    return _leave(connection, record_id, group, generation)


def end(connection: apsw.Connection, number: int, generation: int) -> None:
    """End the ties of a record that is withdrawn."""
    group = of(connection, number)
    if group:
        record_id: str = connection.execute("SELECT id FROM records WHERE number = ?", (number,)).get
        _leave(connection, record_id, group, generation)


def _leave(
    connection: apsw.Connection, record_id: str, group: _groups.Group, generation: int
) -> tuple[Tie, ...]:
    if group:
        _write(connection, _groups.names(record_id, group), _groups.without(group, {record_id}), generation)
    return tuple(one for one in group if record_id in {one.leader, one.member})


def spread(connection: apsw.Connection, generation: int) -> None:
    """Let the whole groups of the records that a generation changed count as changed."""
    if not connection.execute("SELECT EXISTS (SELECT 1 FROM ties)").get:
        return
    connection.execute(
        "WITH changed AS (SELECT number FROM records WHERE generation = ?1),"
        " leads AS (SELECT leader FROM ties WHERE member IN changed UNION SELECT number FROM changed)"
        " UPDATE records SET generation = ?1 WHERE generation != ?1 AND number IN"
        " (SELECT leader FROM leads UNION SELECT member FROM ties WHERE leader IN leads)",
        (generation,),
    )
