"""Which records share a key, in a file of its own: a cache, made again where it is missing or of another edition."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import apsw

from catalog.errors import StoreError
from catalog.stores._database import BUSY_MILLISECONDS, safe

MOST_OF_A_KEY = 200
"""Records that share a key beyond which it says nothing."""

LEAST_LIKELY = 3
"""Keys that two records share at least where none of them identifies: of five rare words of a title, three."""

_ALL = frozenset({""})
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE records (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL);
CREATE TABLE keys (key INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;
CREATE INDEX keys_by_record ON keys (number);
CREATE TABLE waiting (number INTEGER PRIMARY KEY);  -- records that were not judged since they changed
CREATE TABLE grouped (id TEXT PRIMARY KEY) WITHOUT ROWID;  -- records that were tied once; the store knows whether still
"""


@dataclass(frozen=True, slots=True)
class Near:
    """The records that share keys with one.

    Args:
        others: Ids of records of other sources, those that share most keys first.
        twins: Ids of records of its own source that share an identifying key.
        sources: By key, the sources of which more than one record has it; "" where all of them do.
    """

    others: tuple[str, ...]
    twins: tuple[str, ...]
    sources: Mapping[str, frozenset[str]]

    def crowded(self, *sources: str) -> frozenset[str]:
        """Return the keys that more than one record of one of these sources has."""
        wanted = {"", *sources}
        return frozenset(key for key, found in self.sources.items() if wanted & found)


class Candidates:
    """The keys of records, by which those that may be one dataset are found; used by one thread.

    Args:
        path: The file; one of another edition, or that is damaged, is made anew.
        edition: What made the keys.
    """

    def __init__(self, path: Path, edition: str) -> None:
        safe(apsw.sqlitelibversion())
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        if not self._is_open(edition):
            self._connection.close()
            path.unlink(missing_ok=True)
            self._is_open(edition)

    def _is_open(self, edition: str) -> bool:
        """Open the file, and tell whether it can be used: not one that is damaged, or of another edition."""
        self._connection = apsw.Connection(str(self._path))
        self._connection.set_busy_timeout(BUSY_MILLISECONDS)
        try:
            with self._write() as connection:
                if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").get:
                    connection.execute(_SCHEMA)
                    connection.execute("INSERT INTO meta VALUES ('edition', ?), ('mark', 0)", (edition,))
                return bool(connection.execute("SELECT value FROM meta WHERE key = 'edition'").get == edition)
        except StoreError as error:
            if isinstance(error.__cause__, apsw.NotADBError | apsw.CorruptError | apsw.SQLError):
                return False
            raise

    @contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise self._unusable(error) from error

    def _rows(self, question: str, *given: str | int) -> list[Any]:
        try:
            rows: list[Any] = self._connection.execute(question, given).fetchall()
        except apsw.Error as error:
            raise self._unusable(error) from error
        return rows

    def _unusable(self, error: apsw.Error) -> StoreError:
        hint = "it is a cache: where it is damaged, delete it, and it is made again"
        return StoreError(f"{self._path.name}: {error}", hint=hint, details={"sqlite": type(error).__name__})

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def known(self, name: str) -> str | int | None:
        """Return what was remembered under a name; `mark` is where the store's changes were read up to."""
        found: tuple[str | int | None] = next(
            iter(self._rows("SELECT value FROM meta WHERE key = ?", name)), (None,)
        )
        return found[0]

    def remember(self, name: str, value: str | int) -> None:
        """Remember a value under a name."""
        with self._write() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def note(self, mark: int, found: Iterable[tuple[str, str, Collection[str]]]) -> None:
        """Keep records that changed up to a mark (id, source, keys), in one transaction; they wait to be judged."""
        with self._write() as connection:
            for record_id, source, keys in found:
                number = self._number(record_id)
                if number is None:
                    connection.execute("INSERT INTO records (id, source) VALUES (?, ?)", (record_id, source))
                    number = connection.last_insert_rowid()
                else:
                    connection.execute("DELETE FROM keys WHERE number = ?", (number,))
                connection.executemany(
                    "INSERT OR IGNORE INTO keys VALUES (?, ?)", [(_hashed(key), number) for key in keys]
                )
                connection.execute("INSERT OR IGNORE INTO waiting VALUES (?)", (number,))
            connection.execute("UPDATE meta SET value = ? WHERE key = 'mark'", (mark,))

    def _number(self, record_id: str) -> int | None:
        found: int | None = self._connection.execute(
            "SELECT number FROM records WHERE id = ?", (record_id,)
        ).get
        return found

    def waiting(self, limit: int) -> tuple[str, ...]:
        """Return ids of records that wait to be judged."""
        rows = self._rows("SELECT id FROM waiting JOIN records USING (number) ORDER BY number LIMIT ?", limit)
        return tuple(record_id for (record_id,) in rows)

    def judge_again(self) -> None:
        """Let every record wait to be judged again."""
        with self._write() as connection:
            connection.execute("INSERT OR IGNORE INTO waiting SELECT number FROM records")

    def done(self, ids: Iterable[str], tied: Iterable[str] = ()) -> None:
        """Note that records were judged, and which are in a group."""
        with self._write() as connection:
            connection.executemany(
                "DELETE FROM waiting WHERE number = (SELECT number FROM records WHERE id = ?)",
                [(record_id,) for record_id in ids],
            )
            connection.executemany("INSERT OR IGNORE INTO grouped VALUES (?)", [(one,) for one in tied])

    def grouped(self) -> tuple[str, ...]:
        """Return ids of records that were tied, by id; the store knows whether they still are."""
        return tuple(record_id for (record_id,) in self._rows("SELECT id FROM grouped ORDER BY id"))

    def ungroup(self, ids: Iterable[str]) -> None:
        """Forget that records were tied."""
        with self._write() as connection:
            connection.executemany("DELETE FROM grouped WHERE id = ?", [(one,) for one in ids])

    def forget(self, record_id: str) -> None:
        """Forget a record that is no more."""
        with self._write() as connection:
            for table in ("keys", "waiting", "records"):
                connection.execute(
                    f"DELETE FROM {table} WHERE number = (SELECT number FROM records WHERE id = ?)",  # noqa: S608
                    (record_id,),
                )
            connection.execute("DELETE FROM grouped WHERE id = ?", (record_id,))

    def near(
        self, record_id: str, source: str, keys: Collection[str], likely: Collection[str], most: int
    ) -> Near:
        """Return the records that share keys with one.

        Args:
            record_id: The record.
            source: Its source.
            keys: Its keys that identify: one that is shared is enough.
            likely: Its keys that identify nothing: `LEAST_LIKELY` of them are to be shared, or all there are. They are
                never crowded, and say nothing where many records have them.
            most: How many others.
        """
        shared: dict[str, int] = {}
        twins: set[str] = set()
        crowds: dict[str, frozenset[str]] = {}
        for key in sorted(keys):
            rows = [row for row in self._having(key) if row[0] != record_id]
            places = [source, *(place for _, place in rows)]
            is_known = len(rows) < MOST_OF_A_KEY - 1
            crowds[key] = (
                frozenset(place for place in places if places.count(place) > 1) if is_known else _ALL
            )
            twins |= {other for other, place in rows if place == source}
            for other, place in rows if is_known else ():
                if place != source:
                    shared[other] = shared.get(other, 0) + LEAST_LIKELY
        for key in sorted(likely):
            rows = self._having(key)
            for other, place in rows if len(rows) < MOST_OF_A_KEY else ():
                if place != source:
                    shared[other] = shared.get(other, 0) + 1
        least = min(LEAST_LIKELY, max(1, len(likely)))
        ranked = sorted(
            (other for other, count in shared.items() if count >= least), key=lambda one: (-shared[one], one)
        )
        return Near(tuple(ranked[:most]), tuple(sorted(twins)), crowds)

    def _having(self, key: str) -> list[tuple[str, str]]:
        """Ids and sources of records that have a key, as many as still say something."""
        return self._rows(
            "SELECT id, source FROM keys JOIN records USING (number) WHERE key = ? LIMIT ?",
            _hashed(key),
            MOST_OF_A_KEY,
        )


def _hashed(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)


__all__ = ["LEAST_LIKELY", "MOST_OF_A_KEY", "Candidates", "Near"]
