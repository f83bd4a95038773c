"""Runs, leases and sightings in SQLite; each function works in the caller's transaction."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from catalog.stores import MAX_QUARANTINE_SHOWN, Entry, Lease, Quarantined, Run, State, _changes, _rules


def moment(connection: apsw.Connection) -> str:
    """Return the moment of a write, later than all before it."""
    given = _rules.later(connection.execute("SELECT value FROM meta WHERE key = 'moment'").get)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'moment'", (given,))
    return given


def hold(connection: apsw.Connection, source: str) -> _rules.Hold | None:
    """Return who holds a source's lease, be it alive or not."""
    rows = connection.execute("SELECT run, holder, until, length FROM leases WHERE source = ?", (source,))
    return next((_rules.Hold(*row) for row in rows), None)


def live(connection: apsw.Connection, lease: Lease, length: float | None = None) -> None:
    """Pass the fence, and give a sign of life: the lease ends its length from now.

    Raises:
        LeaseLost: The lease ended, or another run holds it.
    """
    clock = time.time()
    held = _rules.fence(lease, hold(connection, lease.source), clock)
    length = held.length if length is None else length
    connection.execute(
        "UPDATE leases SET until = ?, length = ? WHERE source = ?", (clock + length, length, lease.source)
    )


def begin(
    connection: apsw.Connection, source: str, holder: str, length: float, *, incremental: bool
) -> tuple[Lease, Run]:
    """Take a source's lease, and begin a run or take up an unfinished one. Raises LeaseHeld."""
    clock = time.time()
    _rules.free(source, hold(connection, source), holder, clock)
    started = moment(connection)
    run = _unfinished(connection, source, started, incremental=incremental)
    if run is None:
        number = next_number(connection)
        run = Run(id=number, source=source, state="running", started=started, incremental=incremental)
    save(connection, run)
    connection.execute(
        "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
        (source, run.id, holder, clock + length, length),
    )
    return Lease(source=source, run=run.id, holder=holder), whole(connection, run)


def next_number(connection: apsw.Connection) -> int:
    """Return the number of a run that begins."""
    number: int = connection.execute("SELECT ifnull(max(run), 0) + 1 FROM runs").get
    return number


def _of_state(connection: apsw.Connection, source: str, *states: State) -> list[Run]:
    """A source's runs of some states, newest first."""
    rows = connection.execute(
        f"SELECT json FROM runs WHERE source = ? AND state IN ({', '.join('?' * len(states))})"  # noqa: S608
        " ORDER BY run DESC",
        (source, *states),
    )
    return [Run.model_validate_json(text) for (text,) in rows]


def _unfinished(connection: apsw.Connection, source: str, started: str, *, incremental: bool) -> Run | None:
    for run in _of_state(connection, source, "running"):
        if run.incremental == incremental:
            return run
        save(connection, _rules.abandoned(run, started))
        forget(connection, run.id)
    return None


def undo(connection: apsw.Connection, run: Run, number: int, ended: str) -> list[Run]:
    """End a source's unfinished runs, and drop the held ones that a rollback undoes; return these."""
    for other in _of_state(connection, run.source, "running"):
        save(connection, _rules.abandoned(other, ended, f"run {number} rolled back"))
        forget(connection, other.id)
    held = [other for other in _of_state(connection, run.source, "held") if other.id >= run.id]
    for other in held:
        save(connection, _changes.dropped(other, f"rolled back by run {number}"))
    return held


def newest_held(connection: apsw.Connection, source: str) -> Run | None:
    """Return the newest of a source's runs that were held once."""
    return next(iter(_of_state(connection, source, *_changes.HELD)), None)


def ends_of(connection: apsw.Connection, source: str) -> Iterator[Run]:
    """Yield a source's complete runs and rollbacks, newest first."""
    rows = connection.execute(
        "SELECT json FROM runs WHERE source = ? AND state IN ('complete', 'rolledback') ORDER BY run DESC",
        (source,),
    )
    return (Run.model_validate_json(text) for (text,) in rows)


def save(connection: apsw.Connection, run: Run) -> None:
    """Keep a run as it is now, without its quarantine, which has rows of its own."""
    text = run.model_dump_json(exclude={"quarantine"}).encode()
    connection.execute(
        "INSERT OR REPLACE INTO runs (run, source, state, started, json) VALUES (?, ?, ?, ?, ?)",
        (run.id, run.source, run.state, run.started, text),
    )


def load(connection: apsw.Connection, number: int) -> Run:
    """Return a run, without its quarantine. Raises NotFound."""
    text = connection.execute("SELECT json FROM runs WHERE run = ?", (number,)).get
    if text is None:
        raise _changes.no_run(number)
    return Run.model_validate_json(text)


def whole(connection: apsw.Connection, run: Run, shown: int = MAX_QUARANTINE_SHOWN) -> Run:
    """Return the run with the first lines of its quarantine."""
    rows = connection.execute(
        "SELECT native_id, reason, url FROM sightings WHERE run = ? AND outcome = 'quarantined'"
        " ORDER BY native_id LIMIT ?",
        (run.id, shown),
    )
    quarantine = tuple(Quarantined(native_id=name, reason=reason, url=url) for name, reason, url in rows)
    return run.model_copy(update={"quarantine": quarantine})


def see(
    connection: apsw.Connection,
    number: int,
    entries: Sequence[Entry],
    done: Sequence[_rules.Outcome],
    page: str | None,
) -> None:
    """Note what a run saw and did, and the page it reached."""
    moves = []
    for entry, what in zip(entries, done, strict=True):
        key = (number, entry.document.native_id)
        before = connection.execute("SELECT outcome FROM sightings WHERE run = ? AND native_id = ?", key).get
        after = _rules.greater(before, what)
        why = (_rules.reason(entry), entry.document.url) if after == "quarantined" else (None, None)
        connection.execute("INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?, ?)", (*key, after, *why))
        moves.append((before, after))
    save(connection, _rules.tallied(load(connection, number), moves, page))


def seen(connection: apsw.Connection, number: int) -> frozenset[str]:
    """Return the native ids that a run saw."""
    rows = connection.execute("SELECT native_id FROM sightings WHERE run = ?", (number,))
    return frozenset(native_id for (native_id,) in rows)


def delete(connection: apsw.Connection, lease: Lease, entries: Sequence[Entry]) -> None:
    """Note which current records a source says that it has deleted, and which of them are there after all."""
    told = "SELECT EXISTS (SELECT 1 FROM deletions WHERE run = ?)"
    if not any(one.document.deleted for one in entries) and not connection.execute(told, (lease.run,)).get:
        return
    for one in entries:
        connection.execute(
            "INSERT OR IGNORE INTO deletions SELECT ?, native_id FROM records"
            " WHERE native_id = ? AND source = ? AND version IS NOT NULL"
            if one.document.deleted
            else "DELETE FROM deletions WHERE run = ? AND native_id = ?",
            (lease.run, one.document.native_id, *([lease.source] if one.document.deleted else [])),
        )


def deleted(connection: apsw.Connection, number: int) -> frozenset[str]:
    """Return the native ids of current records of which a run was told last that they are deleted."""
    rows = connection.execute("SELECT native_id FROM deletions WHERE run = ?", (number,))
    return frozenset(native_id for (native_id,) in rows)


def forget(connection: apsw.Connection, number: int) -> None:
    """Forget what an ended run saw, but for its quarantine."""
    connection.execute("DELETE FROM deletions WHERE run = ?", (number,))
    connection.execute("DELETE FROM sightings WHERE run = ? AND outcome != 'quarantined'", (number,))


def runs(connection: apsw.Connection, source: str | None, limit: int, shown: int) -> tuple[Run, ...]:
    """Return runs, newest first, each with the first `shown` lines of its quarantine."""
    rows = connection.execute(
        "SELECT json FROM runs WHERE source = ifnull(?, source) ORDER BY run DESC LIMIT ?", (source, limit)
    )
    found: list[Any] = rows.fetchall()
    return tuple(whole(connection, Run.model_validate_json(text), shown) for (text,) in found)
