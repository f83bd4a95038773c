"""What SQLite finds records by: words, boxes, times, facet values and variable names; kept, and asked.

The answer to a condition is a bitmap of record numbers, and conditions are joined by `&`. Words are
indexed as Python splits them, folded and as written; a text never reaches the FTS query language unquoted.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

import apsw
from pyroaring import BitMap

from catalog.instant import seconds
from catalog.record import BBox, Record
from catalog.search import Query, exact_tokens, facets_of, texts, tokens, variable_names
from catalog.stores import _rules
from catalog.stores._facets import Facets, Values
from catalog.stores._ties import ALONE, Groups

EDITION = 1
"""Edition of the index: raise it when what is indexed of a record changes."""

_FOLDED, _EXACT = "{title body}", "{exact_title exact_body}"
BETWEEN = " _ "
"""A word that no text has (`_` separates words): phrases do not cross from one text to the next."""
_WEIGHTS = "10.0, 1.0, 0.0, 0.0"
_RELEVANT = (
    f"SELECT rowid, bm25(words, {_WEIGHTS}) FROM words"  # noqa: S608 - a constant
    " WHERE words MATCH ? AND +rowid IN (SELECT value FROM json_each(?))"
)
"""`+` has SQLite find the words first, and then look whether the number is wanted."""


def add(connection: apsw.Connection, number: int, record: Record, *, fresh: bool = False) -> None:
    """Index a record under its number; what the number had before is replaced (it had nothing where it is `fresh`)."""
    if not fresh:
        remove(connection, number)
    titles, said = len(record.title.words), tuple(texts(record))
    folded = [" ".join(tokens(text)) for text in said]
    written = [
        plain if text.isascii() else " ".join(exact_tokens(text))
        for text, plain in zip(said, folded, strict=True)
    ]
    columns = [BETWEEN.join(part) for words in (folded, written) for part in (words[:titles], words[titles:])]
    connection.execute(
        "INSERT INTO words (rowid, title, body, exact_title, exact_body) VALUES (?, ?, ?, ?, ?)",
        (number, *columns),
    )
    for part in dict.fromkeys(part for box in record.extent.boxes for part in box.parts()):
        west, south, east, north = part
        connection.execute(
            "INSERT INTO boxes (w, e, s, n, number, west, east, south, north)"
            " VALUES (:w, :e, :s, :n, :number, :w, :e, :s, :n)",
            {"w": west, "e": east, "s": south, "n": north, "number": number},
        )
        connection.execute("INSERT INTO record_boxes VALUES (?, ?)", (number, connection.last_insert_rowid()))
    facets = [(number, facet, value) for facet, values in facets_of(record).items() for value in values]
    connection.executemany("INSERT INTO facets VALUES (?, ?, ?)", facets)
    connection.executemany(
        "INSERT INTO names VALUES (?, ?)", [(name, number) for name in variable_names(record)]
    )
    first, last = record.extent.time.bounds() if record.extent.time else (None, None)
    connection.execute(
        "UPDATE records SET modified = ?, title_vi = ?, title_en = ?, first = ?, last = ? WHERE number = ?",
        (
            _rules.modified_key(record),
            _rules.title_key(record, "vi"),
            _rules.title_key(record, "en"),
            first,
            last,
            number,
        ),
    )


def remove(connection: apsw.Connection, number: int) -> None:
    """Take a record out of the index."""
    connection.execute("DELETE FROM words WHERE rowid = ?", (number,))
    connection.execute(
        "DELETE FROM boxes WHERE box IN (SELECT box FROM record_boxes WHERE number = ?)", (number,)
    )
    for table in ("record_boxes", "facets", "names"):
        connection.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608 - names of our own


def find(connection: apsw.Connection, query: Query, values: Values, groups: Groups = ALONE) -> BitMap:
    """Return the numbers of the answers that meet every condition of a query but its words.

    Args:
        connection: The database.
        query: The question.
        values: The facets' values by the numbers of answers.
        groups: Who leads whom: what is found of a member is found of its leader.
    """
    found = values.current
    for name in ("organisation", "source", "theme", "kind", "format"):
        wanted = getattr(query, name)
        if wanted is not None:
            found = found & values.facets[name].get(wanted, BitMap())
    if query.variable is not None:
        name = " ".join(tokens(query.variable))
        rows = connection.execute("SELECT number FROM names WHERE name = ?", (name,))
        found = found & groups.led(_numbers(rows))
    if query.bbox is not None:
        found = found & groups.led(_within(connection, query.bbox))
    if query.time is not None:
        first, last = query.time
        rows = connection.execute(
            "SELECT number FROM records WHERE first <= ? AND last >= ?",
            (seconds(last) if last else float("inf"), seconds(first) if first else float("-inf")),
        )
        found = found & groups.led(_numbers(rows))
    return found


def _numbers(rows: Iterable[tuple[int]]) -> BitMap:
    return BitMap(number for (number,) in rows)


def _listed(numbers: Iterable[int]) -> str:
    """Numbers as JSON, which SQL takes as one argument."""
    return str(list(numbers))


def _within(connection: apsw.Connection, bbox: BBox) -> BitMap:
    """The records whose box shares a point with `bbox`: by the R*Tree (float32, outwards), then exactly."""
    found = BitMap()
    for west, south, east, north in _spelled(bbox):
        rows = connection.execute(
            "SELECT number FROM boxes WHERE w <= :e AND e >= :w AND s <= :n AND n >= :s"
            " AND west <= :e AND east >= :w AND south <= :n AND north >= :s",
            {"w": west, "e": east, "s": south, "n": north},
        )
        found |= _numbers(rows)
    return found


def _spelled(bbox: BBox) -> Iterable[tuple[float, float, float, float]]:
    """The plain boxes that a box is, and its edges on the antimeridian under that meridian's other name."""
    for west, south, east, north in bbox.parts():
        yield west, south, east, north
        if east == 180:  # noqa: PLR2004
            yield -180.0, south, -180.0, north
        if west == -180:  # noqa: PLR2004
            yield 180.0, south, 180.0, north


def _match(terms: Iterable[tuple[str, ...]], columns: str) -> str:
    return " AND ".join(f'{columns} : "{" ".join(term)}"' for term in terms)


def worded(connection: apsw.Connection, query: Query) -> BitMap:
    """Return the records that have all words of a query."""
    rows = connection.execute(
        "SELECT rowid FROM words WHERE words MATCH ?", (_match(query.terms(), _FOLDED),)
    )
    return _numbers(rows)


def _exactly(connection: apsw.Connection, query: Query) -> BitMap:
    """The records that have all words of a query as they are written."""
    written = _rules.exact_terms(query)
    if not written:
        return BitMap()
    return _numbers(
        connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (_match(written, _EXACT),))
    )


def _ranked(
    connection: apsw.Connection, query: Query, found: BitMap, facets: Facets
) -> list[tuple[int, float, int]]:
    """Return (rank, bm25, number) of the answers that the found records are or belong to, best first.

    Answers of which all data are broken come last; then those that have the words with the diacritics they were
    asked with come first. BM25 (Robertson and Walker; FTS5 gives it negated, the better the lower) weighs a word in
    the title ten times; the best record of a group counts.
    """
    exact = facets.groups.led(_exactly(connection, query))
    scores: Iterable[Any] = connection.execute(_RELEVANT, (_match(query.terms(), _FOLDED), _listed(found)))
    if found & facets.groups.members:
        scores = facets.groups.best(scores)
    if facets.broken:
        return sorted(
            (2 * (number in facets.broken) + (number not in exact), score, number) for number, score in scores
        )
    return sorted((number not in exact, score, number) for number, score in scores)


_KEYS = "SELECT {0}, id, version FROM records WHERE number IN (SELECT value FROM json_each(?1))"
_ORDERS = {
    "id": "id",
    "-id": "id DESC",
    "modified": "modified, id",
    "-modified": "modified DESC, id",
    "title": "title_{lang}, id",
    "-title": "title_{lang} DESC, id",
}


def ordered(connection: apsw.Connection, query: Query, found: BitMap, facets: Facets) -> list[int]:
    """Return the numbers of a page of the found answers in the order of the query's sort, ties by id.

    Without words the most relevant are those of which not all data are broken.
    """
    order = _ORDERS.get(query.sort, "id").format(lang=query.lang)
    last = facets.broken & found if query.sort == "relevance" else BitMap()
    first = "number IN (SELECT value FROM json_each(?4)), " if last else ""
    rows = connection.execute(
        "SELECT number FROM records WHERE number IN (SELECT value FROM json_each(?1))"  # noqa: S608 - names of our own
        f" ORDER BY {first}{order} LIMIT ?2 OFFSET ?3",
        (_listed(found), query.limit, query.offset, *([_listed(last)] if last else [])),
    )
    return [number for (number,) in rows]


def keys(connection: apsw.Connection, query: Query, found: BitMap) -> Iterable[tuple[Any, str, int]]:
    """Return (rank, id, version) of the found records: what they are ordered by, where others join them."""
    match query.sort.removeprefix("-"):
        case "title":
            rank = f"title_{query.lang}"
        case "modified":
            rank = "modified"
        case "relevance" if query.terms():
            exact = _exactly(connection, query)
            rank = "number NOT IN (SELECT value FROM json_each(?2))"
            return connection.execute(_KEYS.format(rank), (_listed(found), _listed(exact & found)))
        case _:
            rank = "0"
    return connection.execute(_KEYS.format(rank), (_listed(found),))


def best(connection: apsw.Connection, query: Query, found: BitMap, facets: Facets) -> list[int]:
    """Return the numbers of a page of answers, the most relevant first, ties by id.

    `found` are the records, of answers that meet every condition, that have all words of the query. Ids are asked for
    only where ranks tie on the page.
    """
    ranking = _ranked(connection, query, found, facets)
    page = ranking[query.offset : query.offset + query.limit]
    if not page:
        return []
    start = bisect_left(ranking, page[0][:2], key=lambda hit: hit[:2])
    end = bisect_right(ranking, page[-1][:2], key=lambda hit: hit[:2])
    tied = ranking[start:end]
    rows = connection.execute(
        "SELECT number, id FROM records WHERE number IN (SELECT value FROM json_each(?))",
        (_listed(number for _, _, number in tied),),
    )
    ids = dict(rows)
    tied.sort(key=lambda hit: (*hit[:2], ids[hit[2]]))
    return [number for _, _, number in tied[query.offset - start :][: query.limit]]
