"""Whether the data are there, in SQLite: what probes found; each function works in the caller's transaction."""

from collections.abc import Iterable
from typing import Any

import apsw
import orjson
from pyroaring import BitMap

from catalog.instant import Instant, canonical
from catalog.record import Record
from catalog.stores import Health, _rules

_COLUMNS = "address, state, since, checked, newest, reason"
_NEVER = (
    "SELECT id FROM records WHERE version IS NOT NULL"
    " AND EXISTS (SELECT 1 FROM facets WHERE facets.number = records.number AND facet = 'format')"
    " AND NOT EXISTS (SELECT 1 FROM health WHERE health.number = records.number) ORDER BY id LIMIT ?"
)
_LONGEST_AGO = (
    "SELECT id FROM records JOIN (SELECT number, max(checked) AS probed FROM health GROUP BY number) USING (number)"
    " WHERE probed < ? ORDER BY probed, id LIMIT ?"
)


def note(connection: apsw.Connection, found: Iterable[Health], generation: int) -> bool:
    """Keep what probes found, and tell whether it changed which records are broken."""
    changed = [_noted(connection, one, generation) for one in found]
    return any(changed)


def _noted(connection: apsw.Connection, one: Health, generation: int) -> bool:
    rows: list[Any] = connection.execute(
        "SELECT records.number, json FROM records JOIN versions USING (version) WHERE id = ?", (one.id,)
    ).fetchall()
    if not rows or all(way["address"] != one.address for way in orjson.loads(rows[0][1])["distributions"]):
        return False
    number = rows[0][0]
    before = _verdict(connection, number)
    connection.execute(
        f"INSERT INTO health (number, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - names of our own
        " ON CONFLICT (number, address) DO UPDATE SET state = excluded.state, checked = excluded.checked,"
        " newest = excluded.newest, reason = excluded.reason,"
        " since = iif(state = excluded.state, since, excluded.since)",
        (
            number,
            one.address,
            one.state,
            one.since,
            _rules.sortable(one.checked),
            one.newest,
            one.reason,
        ),
    )
    if before == _verdict(connection, number):
        return False
    connection.execute("UPDATE records SET generation = ? WHERE number = ?", (generation, number))
    return True


def _verdict(connection: apsw.Connection, number: int) -> tuple[Any, ...]:
    """Whether a record has broken distributions, and others that are not; of those that were probed."""
    rows = connection.execute(
        "SELECT max(state = 'broken'), max(state != 'broken') FROM health WHERE number = ?", (number,)
    )
    return next(iter(rows))


def prune(connection: apsw.Connection, number: int, record: Record | None) -> None:
    """Forget the health of addresses that a record, now as given (None: withdrawn), has no more."""
    kept = [] if record is None else [way.address for way in record.distributions]
    connection.execute(
        "DELETE FROM health WHERE number = ? AND address NOT IN (SELECT value FROM json_each(?))",
        (number, orjson.dumps(kept).decode()),
    )


def of(connection: apsw.Connection, number: int) -> list[Health]:
    """Return what is known of the distributions of a record, and of the members that it leads after it."""
    rows = connection.execute(
        f"SELECT id, {_COLUMNS} FROM health JOIN records USING (number) "  # noqa: S608 - names of our own
        " WHERE number IN (SELECT ?1 UNION SELECT member FROM ties WHERE leader = ?1) ORDER BY number != ?1, id",
        (number,),
    )
    return [
        Health(
            id=record_id,
            address=address,
            state=state,
            since=since,
            checked=canonical(checked),
            newest=newest,
            reason=reason,
        )
        for record_id, address, state, since, checked, newest, reason in rows
    ]


def conditions(connection: apsw.Connection, record_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the states of what was probed of records, given by id, and of their members."""
    rows: Iterable[Any] = connection.execute(
        "WITH asked AS MATERIALIZED (SELECT id, number FROM records WHERE id IN (SELECT value FROM json_each(?)))"
        " SELECT id, state FROM asked CROSS JOIN health USING (number)"
        " UNION SELECT id, state FROM asked CROSS JOIN ties ON ties.leader = asked.number"
        " CROSS JOIN health ON health.number = ties.member",
        (orjson.dumps(list(record_ids)).decode(),),
    )
    found: dict[str, frozenset[str]] = {}
    for record_id, state in rows:
        found[record_id] = found.get(record_id, frozenset()) | {state}
    return found


def to_probe(connection: apsw.Connection, before: Instant, limit: int) -> tuple[str, ...]:
    """Return ids of records not probed since an instant, those never probed first."""
    never = connection.execute(_NEVER, (limit,)).fetchall()
    rows = connection.execute(_LONGEST_AGO, (_rules.sortable(before), limit - len(never)))
    return tuple(record_id for (record_id,) in (*never, *rows))


def at(connection: apsw.Connection, since: int) -> tuple[BitMap, BitMap]:
    """Return the records of generations later than `since` with broken distributions, and those with others."""
    rows: Iterable[Any] = connection.execute(
        "SELECT number, state = 'broken' FROM health"
        if since < 0
        else "SELECT number, state = 'broken' FROM records CROSS JOIN health USING (number) WHERE generation > ?",
        () if since < 0 else (since,),
    )
    told = set(rows)
    return BitMap([number for number, is_broken in told if is_broken]), BitMap(
        [number for number, is_broken in told if not is_broken]
    )
