"""What the catalog was at an instant, from SQLite: searches of the past, and what became of records between two.

A record that has not changed since is found by the index, as always. The others' versions of that time are read, and
`search.matches` decides: that costs what was changed since, and no search or write of the present pays for it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import apsw
from pyroaring import BitMap

from catalog.record import Record
from catalog.search import FACETS, Query, exact_tokens, facets_of, matches, texts
from catalog.stores import Change, Run, _changes, _index, _rules

_AT = "SELECT json FROM versions WHERE number = ? AND valid_from <= ? ORDER BY version DESC LIMIT 1"


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


def search(connection: apsw.Connection, query: Query, facets: _index.Facets) -> Found:
    """Return what answers a query as of its instant; by relevance, those with the words as written come first."""
    assert query.asof is not None
    moment = _rules.sortable(query.asof)
    since = connection.execute("SELECT number FROM versions WHERE valid_from > ?", (moment,))
    still = _index.find(connection, query, facets) - BitMap(number for (number,) in since)
    if query.terms():
        still = _index.worded(connection, query, still)
    hits = [_Hit(*row) for row in _index.keys(connection, query, still)]
    counts = {facet: Counter(counted) for facet, counted in facets.counted(still).items()}
    for version, record in _versions(connection, query, moment):
        if matches(record, query):
            hits.append(_Hit(_rank(record, query), record.id, version))
            for facet, values in facets_of(record).items():
                counts.setdefault(facet, Counter()).update(values)
    page = _ordered(hits, query)[query.offset : query.offset + query.limit]
    return Found(len(hits), [hit.version for hit in page], {facet: counts.get(facet, {}) for facet in FACETS})


def _versions(connection: apsw.Connection, query: Query, moment: str) -> Iterator[tuple[int, Record]]:
    """The versions of a moment that are no more."""
    rows = connection.execute(
        "SELECT versions.version, json FROM versions JOIN records USING (number)"
        " WHERE valid_to > ? AND valid_from <= ? AND json IS NOT NULL AND source = ifnull(?, source)",
        (moment, moment, query.source),
    )
    for version, text in rows:
        yield version, Record.model_validate_json(text)


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
