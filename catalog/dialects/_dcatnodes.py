"""Values of DCAT nodes (JSON-LD with whole names, as `_rdf` gives them): words, names, addresses, places and times."""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._contexts import PREFIXES
from catalog.dialects._extent import Notes, box, boxes, note, spanned, time_range
from catalog.dialects._languages import UNKNOWN, language
from catalog.dialects._shapes import geojson_boxes, joined_boxes, wkt_boxes
from catalog.record import BBox, Role, Text, TimeRange

Node = Mapping[str, Any]
NOWHERE = "https://document.invalid/"
"""The base of relative names in a document that does not say where it comes from."""

ROLES: Mapping[str, Role] = {
    "dct:publisher": "publisher", "dct:creator": "creator", "dcat:contactPoint": "pointOfContact",
    "dct:contributor": "contributor", "dct:rightsHolder": "owner",
}  # fmt: skip
"""Properties of a dataset whose values are people and organisations; other roles are said by an attribution."""

SERVICES = frozenset({"opendap", "griddap", "tabledap", "wms"})
"""Protocols of services, which have no file to download."""

_LABELS = (
    "skos:prefLabel", "rdfs:label", "foaf:name", "vcard:fn", "vcard:organization-name", "dct:title", "rdf:value",
    "skos:notation", "dct:identifier", "vcard:hasValue", "schema:name",
)  # fmt: skip
_GEOMETRIES = ("dcat:bbox", "locn:geometry", "geosparql:asWKT", "geosparql:asGeoJSON")
_STARTS = ("dcat:startDate", "schema:startDate", "time:hasBeginning")
_ENDS = ("dcat:endDate", "schema:endDate", "time:hasEnd")
_INSTANTS = ("time:inXSDDateTimeStamp", "time:inXSDDateTime", "time:inXSDDate", "time:inXSDgYear")
_SIDES = 4


def whole(name: str) -> str:
    """Return the whole name of a prefixed one."""
    prefix, _, rest = name.partition(":")
    return PREFIXES[prefix] + rest


def each(node: Node, *names: str) -> Iterator[Any]:
    """Yield the values of properties by their prefixed names."""
    for name in names:
        found = node.get(whole(name))
        if found is not None:
            yield from found if isinstance(found, list) else [found]


def nodes(node: Node, *names: str) -> Iterator[Node]:
    """Yield those values that are no literals."""
    return (value for value in each(node, *names) if isinstance(value, dict) and "@value" not in value)


def literal(value: Any) -> Any:
    """Return what a literal says; None of a node."""
    return value.get("@value") if isinstance(value, dict) else value


def address(value: Any) -> str | None:
    """Return a web address: a node's name, or the words of a literal; None of a name that was relative to nothing."""
    inner = value.get("@id", value.get("@value")) if isinstance(value, dict) else value
    found = clean.address(inner)
    return None if found and found.startswith(NOWHERE) else found


def label(value: Any) -> str | None:
    """Return the words that stand for a value: a literal's, a node's label, else its name."""
    if not isinstance(value, dict) or "@value" in value:
        return clean.words(literal(value))
    labels = (clean.words(literal(inner)) for inner in each(value, *_LABELS))
    return next((said for said in labels if said), None) or clean.words(value.get("@id"))


def words(node: Node, *names: str) -> str | None:
    """Return the label of the first value of some properties that has one."""
    return next((said for value in each(node, *names) if (said := label(value))), None)


def last(name: str | None) -> str:
    """Return what stands behind the last slash or hash of a name (`DAILY` of an EU authority's frequency)."""
    return (name or "").rstrip("/#").replace("#", "/").rpartition("/")[2]


def text(node: Node, *names: str) -> Text | None:
    """Return the words of the first of some properties that has any, by language."""
    for name in names:
        said: dict[str, Any] = {}
        for value in each(node, name):
            tongue = (
                language(value["@language"]) if isinstance(value, dict) and "@language" in value else UNKNOWN
            )
            said.setdefault(tongue, label(value))
        found = clean.text(said)
        if found:
            return found
    return None


def places(dataset: Node) -> tuple[tuple[BBox, ...], Notes]:
    """Read the boxes of `dct:spatial`: bbox, geometry or centroid in WKT or GeoJSON, or DCAT-US's four numbers."""
    found: list[BBox] = []
    notes: Notes = ()
    for place in each(dataset, "dct:spatial"):
        for legal, said in _place(place):
            found += legal
            notes += said
    kept, gathered = boxes(sorted(_sides(one) for one in set(found)))
    return joined_boxes(kept), (*notes, *gathered)


def _sides(found: BBox) -> list[float]:
    return [found.west, found.south, found.east, found.north]


def _place(place: Any) -> Iterator[tuple[tuple[BBox, ...], Notes]]:
    if not isinstance(place, dict) or "@value" in place:
        yield _geometry(literal(place))
        return
    several = [_geometry(literal(value)) for value in each(place, *_GEOMETRIES)]
    inner = [
        _geometry(literal(value)) for part in nodes(place, *_GEOMETRIES) for value in each(part, *_GEOMETRIES)
    ]
    read = [found for found in (*several, *inner) if found[0]]
    if read:
        yield read[0]  # the same place, written several ways
        return
    yield from (_geometry(literal(value)) for value in each(place, "dcat:centroid"))
    if any(each(place, *_GEOMETRIES)) and not any(notes for _, notes in several):
        yield (), (note("extent-unreadable", "a geometry is neither well-known text nor GeoJSON"),)
    yield from several


def _geometry(value: Any) -> tuple[tuple[BBox, ...], Notes]:
    said = clean.words(value) or ""
    if said[:1] == "{":
        return geojson_boxes(said)
    sides = said.split(",")
    if len(sides) == _SIDES and all(clean.number(side.strip()) is not None for side in sides):
        legal, notes = box(*(side.strip() for side in sides))  # DCAT-US: west, south, east, north
        return ((legal,) if legal else ()), notes
    return wkt_boxes(said)


def times(dataset: Node) -> tuple[TimeRange | None, Notes]:
    """Read `dct:temporal`: from the first start to the last end of all its periods."""
    ranges: list[TimeRange] = []
    notes: Notes = ()
    for period in each(dataset, "dct:temporal"):
        if isinstance(period, dict) and "@value" not in period:
            found, said = time_range(_moment(period, _STARTS), _moment(period, _ENDS))
        else:
            first, solidus, final = (clean.words(literal(period), 200) or "").partition("/")
            found, said = time_range(first, final if solidus else first)
        ranges += [found] if found else []
        notes += said
    return spanned(ranges), notes


def _moment(period: Node, names: tuple[str, ...]) -> str | None:
    for value in each(period, *names):
        inner = [literal(one) for one in each(value, *_INSTANTS)] if isinstance(value, dict) else []
        said = clean.words(next(iter(inner), literal(value)), 100)
        if said:
            return None if said == ".." else said
    return None
