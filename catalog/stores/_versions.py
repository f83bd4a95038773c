"""The versions of records in SQLite, written in the caller's transaction: kept, ended, withdrawn, brought back."""

import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw

from catalog import vocabulary
from catalog.record import Record
from catalog.source import Document
from catalog.stores import Entry, Lease, Run, What, _changes, _health, _index, _past, _rules, _runs, _ties

_LEVEL = 1  # half the time of zlib's own choice, for a tenth more room
DOCUMENT = ("media_type", "url", "source", "native_id", "name", "page", "fetched_at")


class Stamp(NamedTuple):
    """A write: the run that made it, its moment, and its generation, by which readers know what changed."""

    run: int | None
    moment: str
    generation: int


def stamp(connection: apsw.Connection, run: int | None) -> Stamp:
    """Return the stamp of a write that begins."""
    generation: int = connection.execute("SELECT value + 1 FROM meta WHERE key = 'generation'").get
    return Stamp(run, _runs.moment(connection), generation)


def turned(connection: apsw.Connection, stamped: Stamp) -> None:
    """Let readers know that records changed, and all groups that they belong to."""
    _ties.spread(connection, stamped.generation)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (stamped.generation,))


def keep_all(connection: apsw.Connection, entries: Sequence[Entry], stamped: Stamp) -> list[_rules.Outcome]:
    """Keep entries and their documents, and return what that did; what was held as missing and is seen is no more."""
    if connection.execute("SELECT EXISTS (SELECT 1 FROM held)").get:
        connection.executemany(
            "DELETE FROM held WHERE source = ? AND native_id = ?",
            [(entry.document.source, entry.document.native_id) for entry in entries],
        )
    done = [_keep(connection, entry, stamped) for entry in entries]
    if not {"new", "changed", "restored"}.isdisjoint(done):
        turned(connection, stamped)
    return done


def _keep(connection: apsw.Connection, entry: Entry, stamped: Stamp) -> _rules.Outcome:
    document = entry.document
    rows: list[Any] = connection.execute(
        "SELECT number, id, misses FROM records WHERE source = ? AND native_id = ?",
        (document.source, document.native_id),
    ).fetchall()
    number, known, misses = rows[0] if rows else (None, None, 0)
    if misses:
        connection.execute("UPDATE records SET misses = 0 WHERE number = ?", (number,))
    if entry.record is None:
        _keep_document(connection, document)
        return "quarantined"
    record = _rules.identified(entry, known, lambda wanted: _taken(connection, wanted))
    text = entry.text if entry.text and record is entry.record else record.model_dump_json().encode()
    kept = _text(connection, number) if known is not None else None
    if kept == text:
        return "unchanged"
    what = _rules.outcome(record, Record.model_validate_json(kept) if kept else None, known=known is not None)
    if what == "unchanged":
        return what
    _keep_document(connection, document)
    if number is None:
        connection.execute(
            "INSERT INTO records (id, source, native_id, generation) VALUES (?, ?, ?, ?)",
            (record.id, document.source, document.native_id, stamped.generation),
        )
        number = connection.last_insert_rowid()
        _begin(connection, number, text, stamped)
        _index.add(connection, number, record, fresh=True)
    else:
        _turn(connection, number, record, text, stamped)
    return what


def _keep_document(connection: apsw.Connection, document: Document) -> None:
    if document.content:
        facts: list[Any] = [getattr(document, name) for name in DOCUMENT]
        names = ", ".join(DOCUMENT)
        connection.execute(
            f"INSERT OR IGNORE INTO documents (hash, content, {names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (document.hash, zlib.compress(document.content, _LEVEL), *facts),
        )


def _taken(connection: apsw.Connection, record_id: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM records WHERE id = ?", (record_id,)).get)


def number(connection: apsw.Connection, record_id: str) -> int:
    """Return the number of a record, be it withdrawn. Raises NotFound."""
    found: int | None = connection.execute("SELECT number FROM records WHERE id = ?", (record_id,)).get
    if found is None:
        raise _rules.unknown(record_id)
    return found


def newest(connection: apsw.Connection, number: int, limit: int, asof: str | None = None) -> list[Any]:
    """Return a record's newest versions (that began by an instant) as rows (json, from, to, run)."""
    rows: list[Any] = connection.execute(
        "SELECT json, valid_from, valid_to, run FROM versions WHERE number = ? AND valid_from <= ?"
        " ORDER BY version DESC LIMIT ?",
        (number, _rules.sortable(asof) if asof else "~", limit),
    ).fetchall()
    return rows


def begun_after(connection: apsw.Connection, version: int, limit: int) -> list[Any]:
    """Return the current versions that came after one, as rows (version, json), in the order in which they came."""
    rows: list[Any] = connection.execute(
        "SELECT versions.version, json FROM versions CROSS JOIN records"
        " ON records.number = versions.number AND records.version = versions.version"
        " WHERE versions.version > ? ORDER BY versions.version LIMIT ?",
        (version, limit),
    ).fetchall()
    return rows


def current(connection: apsw.Connection, number: int | None) -> Record | None:
    """Return the current record of a number; None: it was withdrawn."""
    text = _text(connection, number)
    return Record.model_validate_json(text) if text else None


def _text(connection: apsw.Connection, number: int | None) -> bytes | None:
    text: bytes | None = connection.execute(
        "SELECT json FROM records JOIN versions USING (version) WHERE records.number = ?", (number,)
    ).get
    return text


def _turn(
    connection: apsw.Connection, number: int, record: Record | None, text: bytes | None, stamped: Stamp
) -> None:
    """End the version of a record, and begin the next, with its JSON; None withdraws it, and ends its ties."""
    _end(connection, number, stamped)
    _begin(connection, number, text, stamped)
    if record is None:
        _index.remove(connection, number)
        _ties.end(connection, number, stamped.generation)
    else:
        _index.add(connection, number, record)
    _health.prune(connection, number, record)


def _end(connection: apsw.Connection, number: int, stamped: Stamp) -> None:
    """End the version of a record."""
    connection.execute(
        "INSERT INTO unread SELECT version FROM records WHERE number = ? AND version IS NOT NULL", (number,)
    )
    connection.execute(
        "UPDATE versions SET valid_to = ? WHERE number = ? AND valid_to IS NULL",
        (_rules.sortable(stamped.moment), number),
    )


def _begin(connection: apsw.Connection, number: int, text: bytes | None, stamped: Stamp) -> None:
    """Begin a version of a record, which has none under way; None withdraws it."""
    connection.execute(
        "INSERT INTO versions (number, valid_from, run, json) VALUES (?, ?, ?, ?)",
        (number, _rules.sortable(stamped.moment), stamped.run, text),
    )
    version = connection.last_insert_rowid() if text else None
    connection.execute(
        "UPDATE records SET version = ?, generation = ? WHERE number = ?",
        (version, stamped.generation, number),
    )


def _withdraw(connection: apsw.Connection, source: str, native_ids: Iterable[str], stamped: Stamp) -> int:
    """Withdraw those of a source's records that are current, and return how many they were."""
    numbers = []
    for native_id in native_ids:
        number = connection.execute(
            "SELECT number FROM records WHERE source = ? AND native_id = ? AND version IS NOT NULL",
            (source, native_id),
        ).get
        numbers += [] if number is None else [number]
    for number in numbers:
        _turn(connection, number, None, None, stamped)
    if numbers:
        turned(connection, stamped)
    return len(numbers)


def retire(connection: apsw.Connection, lease: Lease, gone: _rules.Retirement, stamped: Stamp) -> None:
    """Write what the end of a run does."""
    connection.executemany(
        "UPDATE records SET misses = ? WHERE source = ? AND native_id = ?",
        [(misses, lease.source, native_id) for native_id, misses in gone.misses.items()],
    )
    _withdraw(connection, lease.source, gone.withdrawn, stamped)
    if gone.held:
        _forget_held(connection, lease.source)
        connection.executemany(
            "INSERT INTO held VALUES (?, ?)", [(lease.source, native_id) for native_id in gone.held]
        )
    _runs.save(connection, gone.run)
    _runs.forget(connection, lease.run)
    connection.execute("DELETE FROM leases WHERE source = ?", (lease.source,))


def _forget_held(connection: apsw.Connection, source: str) -> None:
    connection.execute("DELETE FROM held WHERE source = ?", (source,))


def rollback(connection: apsw.Connection, run: Run) -> Run:
    """Bring a source's records back to what they were as a run started, as a run of its own. Raises LeaseHeld."""
    _rules.free(run.source, _runs.hold(connection, run.source), "", time.time())
    started, stamped = _runs.moment(connection), stamp(connection, _runs.next_number(connection))
    assert stamped.run is not None
    connection.execute("UPDATE records SET misses = 0 WHERE source = ? AND misses != 0", (run.source,))
    done: list[What] = []
    for number, _, _ in _past.touched(connection, run.source, run.started, stamped.moment):
        then, _ = _past.at(connection, number, _rules.sortable(run.started))
        if what := _changes.became(current(connection, number), then, known=True):
            text = then.model_dump_json().encode() if then else None
            _turn(connection, number, then, text, stamped)
            done.append(what[0])
    turned(connection, stamped)
    if any(other.id >= run.id for other in _runs.undo(connection, run, stamped.run, stamped.moment)):
        _forget_held(connection, run.source)
    rolled = _changes.rolledback(stamped.run, run, (started, stamped.moment), done)
    _runs.save(connection, rolled)
    return rolled


def release(connection: apsw.Connection, run: Run) -> Run:
    """Withdraw what a held run missed and none saw since. Raises LeaseHeld."""
    _rules.free(run.source, _runs.hold(connection, run.source), "", time.time())
    stamped = stamp(connection, run.id)
    rows: list[Any] = connection.execute(
        "SELECT native_id FROM held WHERE source = ? ORDER BY native_id", (run.source,)
    ).fetchall()
    count = _withdraw(connection, run.source, (name for (name,) in rows), stamped)
    _forget_held(connection, run.source)
    done = _changes.released(run, count, stamped.moment)
    _runs.save(connection, done)
    return done


def drop(connection: apsw.Connection, run: Run) -> Run:
    """Let a held run withdraw nothing."""
    _forget_held(connection, run.source)
    done = _changes.dropped(run, "by an operator")
    _runs.save(connection, done)
    return done


def reindex(connection: apsw.Connection) -> None:
    """Index every current record anew where the index was made with another vocabulary or another edition.

    Versions that are no more are read again little by little, as `_past.fill` goes.
    """
    edition = f"{_index.EDITION} {vocabulary.fingerprint()}"
    if connection.execute("SELECT value FROM meta WHERE key = 'index'").get == edition:
        return
    stamped = stamp(connection, None)
    turned(connection, stamped)
    rows: list[Any] = connection.execute(
        "SELECT records.number, json FROM records JOIN versions USING (version)"
    ).fetchall()
    for number, text in rows:
        _index.add(connection, number, Record.model_validate_json(text))
        connection.execute("UPDATE records SET generation = ? WHERE number = ?", (stamped.generation, number))
    connection.execute("INSERT INTO unread SELECT version FROM past; DELETE FROM past")
    connection.execute("UPDATE meta SET value = ? WHERE key = 'index'", (edition,))
