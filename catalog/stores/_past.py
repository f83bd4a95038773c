"""What the catalog was at an instant, from SQLite: searches of the past, and what became of records between two.

A record that has not changed since is found by the index, as always. The others' versions of that time are looked
through, one by one: by what `fill` noted of them after the run that ended them, or by reading them, where
`search.matches` decides. That costs what was changed since, and no search or write of the present pays for it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import apsw
import orjson
from pyroaring import BitMap

from catalog.instant import seconds
from catalog.record import BBox, Record
from catalog.search import (
    FACETS,
    Query,
    exact_tokens,
    facets_of,
    matches,
    texts,
    tokens,
    variable_names,
)  # fmt: skip
from catalog.stores import Change, Run, _changes, _index, _rules
from catalog.stores._facets import Values

_AT = "SELECT json FROM versions WHERE number = ? AND valid_from <= ? ORDER BY version DESC LIMIT 1"


_FACETED = ("organisation", "source", "theme", "kind", "format")
_NOTED_RANK = {"title": "title_{lang}", "modified": "modified"}


class Found(NamedTuple):
    """What answered a question: how many, the versions of its page, and the count of each value of each facet."""

    matched: int
    versions: list[int]
    counts: Mapping[str, Mapping[str, int]]


class _Hit(NamedTuple):
    """What a hit is ordered by."""

    rank: Any
    id: str
    version: int


def search(connection: apsw.Connection, query: Query, values: Values) -> Found:
    """Return what answers a query as of its instant; by relevance, those with the words as written come first."""
    assert query.asof is not None
    moment = _rules.sortable(query.asof)
    since = connection.execute("SELECT number FROM versions WHERE valid_from > ?", (moment,))
    still = _index.find(connection, query, values) - BitMap(number for (number,) in since)
    if query.terms():
        still &= _index.worded(connection, query)
    hits = [_Hit(*row) for row in _index.keys(connection, query, still)]
    counts = {facet: Counter(counted) for facet, counted in values.counted(still).items()}
    alike: Counter[bytes] = Counter()
    for hit, found in chain(_noted(connection, query, moment), _read(connection, query, moment)):
        hits.append(hit)
        alike[found] += 1
    for found, count in alike.items():
        for facet, told in orjson.loads(found).items():
            counts.setdefault(facet, Counter()).update(dict.fromkeys(told, count))
    page = _ordered(hits, query)[query.offset : query.offset + query.limit]
    return Found(len(hits), [hit.version for hit in page], {facet: counts.get(facet, {}) for facet in FACETS})


def _read(connection: apsw.Connection, query: Query, moment: str) -> Iterator[tuple[_Hit, bytes]]:
    """What answers of the versions of a moment that are no more, and of which nothing was noted yet."""
    rows = connection.execute(
        "SELECT versions.version, json FROM unread JOIN versions USING (version)"
        " WHERE valid_to > ? AND valid_from <= ?",
        (moment, moment),
    )
    for version, text in rows:
        record = Record.model_validate_json(text)
        if matches(record, query):
            yield _Hit(_rank(record, query), record.id, version), _faceted(record)


def _noted(connection: apsw.Connection, query: Query, moment: str) -> Iterator[tuple[_Hit, bytes]]:
    """What answers of the versions of a moment that are no more, by what was noted of them."""
    conditions, values = _conditions(query)
    rows = connection.execute(
        f"SELECT past.version, id, {_NOTED_RANK.get(query.sort.removeprefix('-'), '0').format(lang=query.lang)},"  # noqa: S608
        " facets, boxes, ifnull(written, said) FROM versions JOIN past USING (version)"
        " WHERE valid_to > :moment AND valid_from <= :moment" + conditions,
        values | {"moment": moment},
    )
    wanted = tuple((name, value) for name in _FACETED if (value := getattr(query, name)) is not None)
    exact = [_framed(term) for term in _rules.exact_terms(query)]
    by_words = query.sort == "relevance" and query.terms()
    for version, record_id, rank, facets, boxes, written in rows:
        if wanted and not _has(facets, wanted):
            continue
        if query.bbox and not any(query.bbox.intersects(BBox(**box)) for box in orjson.loads(boxes)):
            continue
        place = not all(term in written for term in exact) if by_words else rank
        yield _Hit(place, record_id, version), facets


def _has(facets: bytes, wanted: Iterable[tuple[str, str]]) -> bool:
    found = orjson.loads(facets)
    return all(value in found[name] for name, value in wanted)


def _conditions(query: Query) -> tuple[str, dict[str, Any]]:
    """What SQL may ask of the notes: words, a variable's name, a time, the latitudes of a box."""
    asked: dict[str, tuple[str, Any]] = {}
    for number, term in enumerate(query.terms()):
        asked[f"term{number}"] = (f"instr(said, :term{number})", _framed(term))
    if query.variable is not None:
        asked["name"] = ("instr(names, :name)", f"\n{' '.join(tokens(query.variable))}\n")
    if query.time is not None:
        first, last = query.time
        asked["opening"] = ("last >= :opening", seconds(first) if first else -math.inf)
        asked["closing"] = ("first <= :closing", seconds(last) if last else math.inf)
    if query.bbox is not None:
        asked["south"] = ("north >= :south", query.bbox.south)
        asked["north"] = ("south <= :north", query.bbox.north)
    text = "".join(f" AND {condition}" for condition, _ in asked.values())
    return text, {name: value for name, (_, value) in asked.items()}


def _framed(term: Iterable[str]) -> str:
    return f" {' '.join(term)} "


def fill(connection: apsw.Connection, most: int) -> int:
    """Note what versions that are no more are found by, so many at most, and return how many."""
    rows: list[Any] = connection.execute(
        "SELECT version, json FROM unread JOIN versions USING (version) LIMIT ?", (most,)
    ).fetchall()
    notes = [(version, *_note(Record.model_validate_json(text))) for version, text in rows]
    connection.executemany("INSERT INTO past VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", notes)
    connection.executemany("DELETE FROM unread WHERE version = ?", [(version,) for version, _ in rows])
    return len(rows)


def _faceted(record: Record) -> bytes:
    """A record's facets, in a form in which those of many records are counted at once."""
    return orjson.dumps(dict(facets_of(record)))


def _note(record: Record) -> tuple[Any, ...]:
    said, written = (
        _framed(_index.BETWEEN.join(" ".join(split(text)) for text in texts(record)).split(" "))
        for split in (tokens, exact_tokens)
    )
    boxes = record.extent.boxes
    first, last = record.extent.time.bounds() if record.extent.time else (None, None)
    return (
        record.id,
        said,
        None if written == said else written,
        "\n" + "".join(f"{name}\n" for name in sorted(variable_names(record))),
        _faceted(record),
        orjson.dumps([dict(box) for box in boxes]),
        min((box.south for box in boxes), default=None),
        max((box.north for box in boxes), default=None),
        first,
        last,
        _rules.modified_key(record),
        _rules.title_key(record, "vi"),
        _rules.title_key(record, "en"),
    )


def _rank(record: Record, query: Query) -> Any:
    match query.sort.removeprefix("-"):
        case "title":
            return _rules.title_key(record, query.lang)
        case "modified":
            return _rules.modified_key(record)
        case "relevance" if query.terms():
            words = [f" {' '.join(exact_tokens(text))} " for text in texts(record)]
            wanted = [f" {' '.join(term)} " for term in _rules.exact_terms(query)]
            return not all(any(term in text for text in words) for term in wanted)
        case _:
            return 0


def _ordered(hits: list[_Hit], query: Query) -> list[_Hit]:
    down = query.sort.startswith("-")
    by_id = sorted(hits, key=lambda hit: hit.id, reverse=query.sort == "-id")
    return sorted(by_id, key=lambda hit: hit.rank, reverse=down)


def at(connection: apsw.Connection, number: int, moment: str) -> tuple[Record | None, bool]:
    """Return a record as it was at a moment (sortable), and whether it had been there at all by then."""
    rows: list[Any] = connection.execute(_AT, (number, moment)).fetchall()
    if not rows:
        return None, False
    text = rows[0][0]
    return Record.model_validate_json(text) if text else None, True


def touched(connection: apsw.Connection, source: str, since: str, until: str) -> list[tuple[int, str, str]]:
    """Return (number, id, native id) of a source's records that got a version after one instant and up to another."""
    rows: list[Any] = connection.execute(
        "SELECT DISTINCT number, id, native_id FROM versions JOIN records USING (number)"
        " WHERE valid_from > ? AND valid_from <= ? AND source = ?",
        (_rules.sortable(since), _rules.sortable(until), source),
    ).fetchall()
    return rows


def changes(connection: apsw.Connection, earlier: Run, later: Run) -> Iterator[Change]:
    """Yield what became of the records of two runs' sources between their ends. Raises BadRequest."""
    since, until = _changes.ends(earlier, later)
    for source in {earlier.source, later.source}:
        for number, record_id, native_id in touched(connection, source, since, until):
            before, known = at(connection, number, _rules.sortable(since))
            after, _ = at(connection, number, _rules.sortable(until))
            if what := _changes.became(before, after, known=known):
                yield Change(id=record_id, source=source, native_id=native_id, what=what[0], fields=what[1])
