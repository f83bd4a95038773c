"""A question, what it means, and a page of answers.

`matches` is the slow obvious meaning of search: every store must agree with it. A record's words are folded (NFKD, no
diacritics, lower case, đ→d) on both sides, so "nhiet do", "nhiệt độ" and "NHIỆT ĐỘ" ask the same; the vocabulary adds
to a record the Vietnamese and English names of its variables, so a question in one language finds data in the other.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints, ValidationError

from catalog import vocabulary
from catalog.errors import BadRequest
from catalog.instant import Instant, canonical, interval, seconds
from catalog.record import BBox, Kind, Model, Record
from catalog.words import exact_tokens, fold, tokens

MAX_TERMS = 32
MAX_LIMIT = 1_000
FACETS = ("source", "organisation", "theme", "kind", "format", "variable")
Sort = Literal["relevance", "title", "-title", "modified", "-modified", "id", "-id"]
Short = Annotated[str, StringConstraints(max_length=500)]


class Query(Model):
    """A question to the catalog; every condition must hold (AND).

    Args:
        q: Words, all of which must occur; "words in quotes" must follow one another.
        bbox: Shares a point with a box of the record.
        time: First and last instant (None: open), shares an instant with the record's time range.
        variable: A standard name, a variable's name or a word for it in Vietnamese or English.
        organisation: Name of a party. source: Source id. theme: Theme id. kind: Kind. format: Distribution format.
        sort: `relevance` (id where there are no words) or a field, `-` for descending; ties by id.
        lang: Language of labels and of the title sort.
        asof: Ask the records as they were at this instant; None: as they are.
    """

    q: Annotated[str, StringConstraints(max_length=10_000)] = ""
    bbox: BBox | None = None
    time: tuple[str | None, str | None] | None = None
    variable: Short | None = None
    organisation: Short | None = None
    source: Short | None = None
    theme: Short | None = None
    kind: Kind | None = None
    format: Short | None = None
    sort: Sort = "relevance"
    limit: int = Field(default=20, ge=0, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0, le=10_000_000)
    lang: Literal["vi", "en"] = "vi"
    asof: Instant | None = None

    def terms(self, split: Callable[[str], tuple[str, ...]] = tokens) -> tuple[tuple[str, ...], ...]:
        """Return the terms of `q`, each a tuple of folded words that follow one another; at most 32 words in all."""
        return terms(self.q, split)


class Hit(Model):
    """One value of a facet: what it is called, and how many of the matching records have it."""

    value: str
    count: int
    label: str


class Page(Model):
    """A page of answers: how many records match, this page of them, and the facets of all that match."""

    matched: int
    items: tuple[Record, ...]
    facets: Mapping[str, tuple[Hit, ...]]


_HINTS = {
    "bbox": "write bbox=west,south,east,north in degrees, for example bbox=105.5,17,110,22",
    "time": "write time=2019-01-01/2019-12-31, or .. for an open end",
    "kind": "one of: " + ", ".join(get_args(Kind)),
    "sort": "one of: " + ", ".join(get_args(Sort)),
    "limit": f"a whole number from 0 to {MAX_LIMIT}",
    "lang": "vi or en",
}


def parse(parameters: Mapping[str, str]) -> Query:
    """Read the parameters of an address or command as a query; empty ones do not count.

    Raises:
        BadRequest: A parameter is unknown or cannot be read; the error names it and says how to write it.
    """
    fields: dict[str, object] = {}
    for name, value in parameters.items():
        if name not in Query.model_fields:
            known = ", ".join(Query.model_fields)
            raise BadRequest(f"there is no parameter {name[:60]!r}", hint=f"parameters: {known}")
        if value == "":
            continue
        fields[name] = _READERS[name](value) if name in _READERS else value
    try:
        return Query(**fields)  # type: ignore[arg-type]
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        name = str(where[0]) if where else ""
        raise BadRequest(
            f"{name}={str(parameters.get(name, ''))[:80]!r} cannot be read",
            hint=_HINTS.get(name, ""),
        ) from error


def read_bbox(value: str) -> BBox:
    """Read `west,south,east,north`; 0…360 longitudes and boxes across the antimeridian are fine.

    Raises:
        BadRequest: It is not four finite numbers within the poles.
    """
    parts = value.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise _no_box(value, "a number cannot be read") from error
    if len(numbers) != 4:  # noqa: PLR2004
        raise _no_box(value, f"it has {len(numbers)} number{'s' * (len(numbers) != 1)}, and a box has four")
    west, south, east, north = numbers
    if not all(map(math.isfinite, numbers)):
        raise _no_box(value, "a number is not finite")
    if max(abs(south), abs(north)) > 90:  # noqa: PLR2004
        raise _no_box(value, "a latitude lies beyond ±90")
    if south > north:
        raise _no_box(value, f"its south, {south:g}, lies north of its north, {north:g}")
    return BBox.of(west, south, east, north)


def _no_box(value: str, why: str) -> BadRequest:
    return BadRequest(f"bbox={value[:80]!r} is not a box: {why}", hint=_HINTS["bbox"])


_READERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"bbox": read_bbox, "time": interval, "asof": canonical}
)
_QUOTED = re.compile(r'"([^"]*)"|(\S+)')


def terms(q: str, split: Callable[[str], tuple[str, ...]] = tokens) -> tuple[tuple[str, ...], ...]:
    """Return the terms of a question, at most 32 words in all; an unpaired quote is no quote.

    Args:
        q: The question.
        split: What makes words of a text: `tokens`, or `exact_tokens` for the terms as they are written.
    """
    flat: list[tuple[str, ...]] = []
    for quoted, plain in _QUOTED.findall(q):
        flat.extend([split(quoted)] if quoted else [(word,) for word in split(plain)])
    kept: list[tuple[str, ...]] = []
    room = MAX_TERMS
    for words in dict.fromkeys(words for words in flat if words):
        kept += [words[:room]] if room else []
        room -= len(words[:room])
    return tuple(kept)


def texts(record: Record) -> Iterator[str]:
    """Yield every text by which the record is found, the title first; phrases do not cross from one to the next."""
    yield from record.title.words.values()
    for keyword in record.keywords:
        yield from keyword.words.values()
    for variable in record.variables:
        yield variable.name
        if variable.standard_name:
            yield variable.standard_name
        if variable.title:
            yield from variable.title.words.values()
    for concept in vocabulary.concepts(record.variables):
        yield from concept.words()
    for party in record.parties:
        yield party.name
    yield record.id
    yield record.native_id
    if record.summary:
        yield from record.summary.words.values()


def facets_of(record: Record) -> Mapping[str, tuple[str, ...]]:
    """Return the record's values for each facet, each value once, in the record's order."""
    found = vocabulary.concepts(record.variables)
    return {
        "source": (record.source,),
        "organisation": tuple(dict.fromkeys(party.name for party in record.parties if party.organisation)),
        "theme": tuple(dict.fromkeys((*record.themes, *(concept.theme for concept in found)))),
        "kind": (record.kind,),
        "format": tuple(dict.fromkeys(d.format for d in record.distributions)),
        "variable": tuple(dict.fromkeys(concept.standard_name for concept in found)),
    }


def variable_names(record: Record) -> frozenset[str]:
    """Return the folded names by which a variable of the record may be asked for."""
    names = [variable.name for variable in record.variables]
    names += [variable.standard_name for variable in record.variables if variable.standard_name]
    for concept in vocabulary.concepts(record.variables):
        names += concept.words()
    return frozenset(" ".join(tokens(name)) for name in names) - {""}


def matches(record: Record, query: Query) -> bool:
    """Tell whether a record answers a query: the meaning of search, and the oracle of every store."""
    return answers((record,), query)


def answers(group: Sequence[Record], query: Query) -> bool:
    """Tell whether records that are one dataset answer a query: each condition holds for at least one of them.

    The words of the query are one condition: one record has them all.
    """
    return all(any(map(holds, group)) for holds in _conditions(query))


def _conditions(query: Query) -> Iterator[Callable[[Record], bool]]:
    """What a query asks of a record, the words last."""
    for name in ("organisation", "source", "theme", "kind", "format"):
        wanted = getattr(query, name)
        if wanted is not None:
            yield partial(_has_value, name, wanted)
    if query.variable is not None:
        yield partial(_has_variable, " ".join(tokens(query.variable)))
    if query.bbox is not None:
        yield partial(_meets, query.bbox)
    if query.time is not None:
        yield partial(_overlaps, query.time)
    if query.terms():
        yield partial(_says, query.terms())


def _has_value(facet: str, value: str, record: Record) -> bool:
    return value in facets_of(record)[facet]


def _has_variable(name: str, record: Record) -> bool:
    return name in variable_names(record)


def _meets(bbox: BBox, record: Record) -> bool:
    return any(bbox.intersects(box) for box in record.extent.boxes)


def _says(terms: Sequence[tuple[str, ...]], record: Record) -> bool:
    words = [tokens(text) for text in texts(record)]
    return all(any(_follows(term, text) for text in words) for term in terms)


def _overlaps(time: tuple[str | None, str | None], record: Record) -> bool:
    if record.extent.time is None:
        return False
    first, last = record.extent.time.bounds()
    start, end = time
    return (start is None or seconds(start) <= last) and (end is None or first <= seconds(end))


def _follows(term: tuple[str, ...], words: tuple[str, ...]) -> bool:
    size = len(term)
    return any(words[at : at + size] == term for at in range(len(words) - size + 1))


__all__ = [
    "FACETS", "MAX_LIMIT", "MAX_TERMS", "Hit", "Page", "Query", "Sort", "answers", "exact_tokens", "facets_of", "fold",
    "matches", "parse", "read_bbox", "terms", "texts", "tokens", "variable_names",
]  # fmt: skip
