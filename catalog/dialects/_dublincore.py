"""Unqualified Dublin Core as OAI-PMH and CSW serve it: fifteen elements, each any number of times, in any order.

DCMI Metadata Terms (https://www.dublincore.org/specifications/dublin-core/dcmi-terms/). What a `coverage` is, its words
say: a DCMI Box or Period (`northlimit=22; …`), PANGAEA's form of them (`SOUTH-BOUND LATITUDE: 17 * …`), an ISO 8601
interval, or the name of a place, which becomes a keyword.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._extent import Notes, box, time_range
from catalog.dialects._languages import language
from catalog.dialects._licences import licence
from catalog.dialects._notes import titled
from catalog.dialects._parties import joined
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.dialects._texts import first
from catalog.dialects._ways import FORMATS, way
from catalog.record import BBox, Extent, Licence, Party, Record, Role, Text, TimeRange
from catalog.source import Document

_MANY = 10_000
_ROLES: Mapping[str, Role] = {"creator": "creator", "publisher": "publisher", "contributor": "contributor"}
_PAIR = re.compile(r"\s*([A-Za-z][A-Za-z /_-]{2,40}?)\s*[:=]\s*([^;*\n]{1,100})(?:[;*\n]|$)")
_SIDES = (
    ("westlimit", "westboundlongitude"), ("southlimit", "southboundlatitude"),
    ("eastlimit", "eastboundlongitude"), ("northlimit", "northboundlatitude"),
)  # fmt: skip
_POINT = (("longitude", "medianlongitude", "east"), ("latitude", "medianlatitude", "north"))
_TIMES = (("start", "datetimestart"), ("end", "datetimeend"))
_INTERVAL = re.compile(r"([0-9]{4}[0-9T:.Z+-]*)\s*/\s*([0-9]{4}[0-9T:.Z+-]*|\.\.)?")
Words = Sequence[tuple[str, str]]


def read_dc(document: Document, element: xml.Element) -> Record:
    """Read the elements of Dublin Core that are children of an element, as the record of a document.

    Raises:
        BadDocument: No valid record can be made of them.
    """
    given: dict[str, list[tuple[str, str]]] = {}
    for child in list(element)[:_MANY]:
        if said := clean.words(xml.text(child)):
            given.setdefault(xml.local(child), []).append((said, language(xml.attribute(child, "lang"))))
    title, untitled = titled(_text(given.get("title", ())), document.name, document.native_id)
    places, boxes, time, odd = _coverage(given.get("coverage", ()))
    links = [*_words(given, "identifier"), *_words(given, "relation"), *_words(given, "source")]
    ways, lost = distributions(_ways(given))
    return _record(
        document,
        {
            "title": title,
            "summary": _text(given.get("description", ())),
            "keywords": tuple(dict.fromkeys((*_subjects(given), *map(Text.of, places)))),
            "extent": Extent(boxes=boxes, time=time),
            "parties": joined(_parties(given)),
            "licence": _licence(_words(given, "rights")),
            "doi": clean.doi(*_words(given, "identifier")),
            "created": next((when for said in _words(given, "date") if (when := clean.moment(said))), None),
            "distributions": ways,
            "landing_page": next((link for said in links if (link := clean.address(said))), None),
            "quality": tuple(dict.fromkeys((*untitled, *odd, *lost))),
        },
    )


def _words(given: Mapping[str, Words], name: str) -> list[str]:
    return [said for said, _ in given.get(name, ())]


def _text(items: Words) -> Text | None:
    return first((code, words) for words, code in items)


def _subjects(given: Mapping[str, Words]) -> Iterator[Text]:
    """Subjects; one that is a list separated by semicolons is several."""
    for said, code in given.get("subject", ()):
        for part in said.split(";"):
            if word := clean.words(part):
                yield Text.of(word, code)


def _parties(given: Mapping[str, Words]) -> Iterator[Party]:
    """People are written "Family, Given" (DCMI, Using Dublin Core §4.2); others are organisations."""
    for kind, role in _ROLES.items():
        for said in _words(given, kind):
            if called := clean.name(said):
                person = role != "publisher" and "," in called
                yield Party(name=called, roles=(role,), organisation=not person)


def _licence(rights: Sequence[str]) -> Licence | None:
    """The first rights that are known terms, else the first that say anything."""
    found = [terms for said in rights if (terms := licence(said))]
    return next((terms for terms in found if terms.spdx), found[0] if found else None)


def _ways(given: Mapping[str, Words]) -> Iterator[Mapping[str, Any]]:
    """Links of identifiers, relations and sources that are files or services by themselves."""
    for name in ("identifier", "relation", "source"):
        for said in _words(given, name):
            if clean.address(said):
                found = way(said)
                if found["protocol"] != "http" or found["format"] in FORMATS.values():
                    yield found


def _coverage(items: Words) -> tuple[list[str], tuple[BBox, ...], TimeRange | None, Notes]:
    """The places that are named, the boxes and the first time of some coverages, and what was odd."""
    places: list[str] = []
    boxes: list[BBox] = []
    time: TimeRange | None = None
    notes: Notes = ()
    for said, _ in items:
        pairs = _pairs(said)
        sides, ends = _sides(pairs), [_first(pairs, names) for names in _TIMES]
        interval = _INTERVAL.fullmatch(said)
        if interval:
            ends = [interval[1], (interval[2] or "").strip(".")]
        if sides:
            legal, odd = box(*sides)
            boxes += [legal] if legal else []
            notes += odd
        if any(ends) and time is None:
            time, odd = time_range(*ends)
            notes += odd
        if not pairs and not interval:
            places.append(said)
    return places, tuple(dict.fromkeys(boxes)), time, notes


def _pairs(said: str) -> Mapping[str, str]:
    """`name=value` pairs, separated by semicolons or asterisks; names in small letters only."""
    found: dict[str, str] = {}
    at = 0
    while (pair := _PAIR.match(said, at)) is not None:
        found.setdefault(re.sub(r"[^a-z]", "", pair[1].lower()), pair[2].strip())
        at = pair.end()
    return found


def _first(pairs: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((pairs[name] for name in names if name in pairs), None)


def _sides(pairs: Mapping[str, str]) -> tuple[Any, Any, Any, Any] | None:
    west, south, east, north = (_first(pairs, names) for names in _SIDES)
    if any((west, south, east, north)):
        return west, south, east, north
    lon, lat = (_first(pairs, names) for names in _POINT)
    return (lon, lat, lon, lat) if lon and lat else None
