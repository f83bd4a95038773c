"""Places as well-known text (OGC 06-103r4 §7) and as GeoJSON (RFC 7946): read as boxes, and boxes drawn."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, boxes, note, parted
from catalog.dialects._geojson import geometry_boxes
from catalog.dialects._json import read_json
from catalog.errors import BadDocument
from catalog.record import BBox

_GROUP = re.compile(r"\(([^()]*)\)")
_TYPE = re.compile(
    r"\s*(?:<([^<>\s]{0,300})>|SRID=(\d{1,6});)?\s*(ENVELOPE|BBOX|(?:MULTI)?(?:POINT|LINESTRING|POLYGON)|"
    r"GEOMETRYCOLLECTION|POLYHEDRALSURFACE|TIN)\b\s*[ZM]{0,2}\s*\(",
    re.IGNORECASE,
)
_LATITUDE_FIRST = re.compile(r"/EPSG/[\w.]*/4326$|:EPSG:[\w.]*:4326$", re.IGNORECASE)
_POLE, _FAR, _HALF = 90.0, 95.0, 180.0
_SIDES = 4


def wkt_boxes(text: Any) -> tuple[tuple[BBox, ...], Notes]:
    """Read the boxes of a geometry in well-known text, one for each of its parts.

    Positions are longitude, latitude, unless the text names EPSG:4326 by its address (GeoSPARQL §8.5.1.2); where every
    second number is beyond a pole and no first one is, they are taken the other way round, with a note.
    """
    said = clean.words(text) or ""
    kind = _TYPE.match(said)
    if kind is None:
        return (), ()
    if kind[3].upper() in {"ENVELOPE", "BBOX"}:
        return _envelope(said, corners=kind[3].upper() == "BBOX")
    parts = [part for group in _GROUP.finditer(said) if (part := _bounds(group[1]))]
    if kind[1] and _LATITUDE_FIRST.search(kind[1]):
        parts = [_turned(part) for part in parts]
    elif parts and all(map(is_turned, parts)):
        turned, notes = parted([_turned(part) for part in parts])
        return joined_boxes(turned), (
            *notes,
            note("axes-swapped", "latitudes came before longitudes in the geometry"),
        )
    found, notes = parted(_outer(parts))
    return joined_boxes(found), notes


def is_turned(part: Sequence[float]) -> bool:
    """Tell whether [west, south, east, north] must be the other way round: its latitudes are far beyond a pole."""
    return max(abs(part[1]), abs(part[3])) > _FAR and max(abs(part[0]), abs(part[2])) <= _POLE


def _turned(part: Sequence[float]) -> list[float]:
    return [part[1], part[0], part[3], part[2]]


def _bounds(group: str) -> list[float]:
    """[west, south, east, north] of positions separated by commas; empty where there is none."""
    points = [position.split()[:2] for position in group.split(",")]
    numbers = [(clean.number(point[0]), clean.number(point[1])) for point in points if len(point) == 2]  # noqa: PLR2004
    legal = [(x, y) for x, y in numbers if x is not None and y is not None]
    if not legal:
        return []
    along, up = zip(*legal, strict=True)
    return [min(along), min(up), max(along), max(up)]


def _outer(parts: Sequence[list[float]]) -> list[list[float]]:
    """Parts without those that lie in the part before them: the holes of a polygon."""
    kept: list[list[float]] = []
    for part in parts:
        last = kept[-1] if kept else None
        inside = (
            last and last[0] <= part[0] and last[1] <= part[1] and part[2] <= last[2] and part[3] <= last[3]
        )
        kept += [] if inside else [part]
    return kept


def _envelope(said: str, *, corners: bool) -> tuple[tuple[BBox, ...], Notes]:
    """ENVELOPE(west, east, north, south) of CQL; BBOX(west, south, east, north)."""
    group = _GROUP.search(said)
    inner = group[1].split(",") if group else []
    if len(inner) != _SIDES:
        return (), (note("extent-unreadable", f"{said[:80]!r} is no geometry"),)
    first, second, third, fourth = (clean.number(side.strip()) for side in inner)
    order = [first, second, third, fourth] if corners else [first, fourth, second, third]
    return boxes([order])


def geojson_boxes(value: Any) -> tuple[tuple[BBox, ...], Notes]:
    """Read the boxes of a GeoJSON geometry, feature or collection, as values or as JSON in a string."""
    if isinstance(value, str):
        try:
            value = read_json(value.encode("utf-8", "replace"))
        except BadDocument:
            return (), ()
    features = clean.objects(clean.mapping(value).get("features"))
    gathered = {"geometries": [feature.get("geometry") for feature in features]} if features else value
    found, notes = geometry_boxes(gathered)
    return joined_boxes(found), notes


def joined_boxes(found: tuple[BBox, ...]) -> tuple[BBox, ...]:
    """Return two boxes that meet at the antimeridian as the one that was cut there (RFC 7946 §3.1.9)."""
    match found:
        case (one, other) if (one.south, one.north) == (other.south, other.north):
            west, east = (one, other) if one.east == _HALF else (other, one)
            if west.east == _HALF and east.west == -_HALF and west.west > east.east:
                return (BBox(west=west.west, south=one.south, east=east.east, north=one.north),)
    return found


def geojson(found: Iterable[BBox]) -> dict[str, Any] | None:
    """Draw boxes as a geometry; one that crosses the antimeridian is cut there, one without area is a point or line."""
    parts = [_drawn(*part) for box in found for part in box.parts()]
    if len(parts) <= 1:
        return parts[0] if parts else None
    if all(part["type"] == "Polygon" for part in parts):
        return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}
    return {"type": "GeometryCollection", "geometries": parts}


def _drawn(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west == east or south == north:
        return {"type": "LineString", "coordinates": [[west, south], [east, north]]}
    return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    """Counterclockwise, closed (RFC 7946 §3.1.6)."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def wkt(box: BBox) -> str:
    """Draw a box as well-known text; one that crosses the antimeridian is cut there."""
    parts = [
        "((" + ", ".join(f"{x!r} {y!r}" for x, y in _ring(*part)) + "))" for part in box.parts()
    ]  # fmt: skip
    return f"POLYGON {parts[0]}" if len(parts) == 1 else f"MULTIPOLYGON ({', '.join(parts)})"
