"""Where and when of schema.org: Place, GeoShape, GeoCoordinates, temporalCoverage, depth; read and written.

https://schema.org/GeoShape: points are latitude, longitude; a box is its lower and its upper corner. What schema.org
has no term for is a PropertyValue: a geometry in well-known text (Science-on-Schema.org 1.3, Spatial Coverage), a
depth.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, box, boxes, note, spanned, time_range, vertical_range
from catalog.dialects._jsonld import Graph, Node, literal
from catalog.dialects._shapes import geojson_boxes, is_turned, joined_boxes, wkt_boxes
from catalog.record import BBox, Extent, TimeRange, VerticalRange

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_MOST_LETTERS = 2_000_000
_MOST_PLACES = 10_000
_METRES = 111_320.0  # of a degree of latitude
_POLE, _HALF = 90.0, 180.0
_SIDES, _CIRCLE = 4, 3
_OPEN = {"", "..", "present", "now", "ongoing", "today", "current"}
_NO_SHAPE = (None, ())
Found = tuple[BBox | None, Notes]


def extent(graph: Graph, dataset: Node) -> tuple[Extent, Notes]:
    """Read the extent of a Dataset."""
    found, misplaced = _places(graph, dataset)
    when, mistimed = _time(graph, dataset)
    return Extent(boxes=found, vertical=_vertical(graph, dataset), time=when), (*misplaced, *mistimed)


def _places(graph: Graph, dataset: Node) -> tuple[tuple[BBox, ...], Notes]:
    found: list[BBox] = []
    notes: Notes = ()
    for place in graph.each(dataset, "spatialCoverage", "spatial"):
        for legal, said in _place(graph, place):
            found += [legal] if legal else []
            notes += said
            if len(found) > _MOST_PLACES:
                break
    if not found:
        found, notes = _geometries(graph, dataset, notes)
    kept, gathered = boxes([one.model_dump() for one in dict.fromkeys(found)])
    return joined_boxes(kept), (*notes, *gathered)


def _geometries(graph: Graph, dataset: Node, notes: Notes) -> tuple[list[BBox], Notes]:
    """Boxes of geometries in well-known text or GeoJSON, of the dataset or its places."""
    found: list[BBox] = []
    for owner in (dataset, *graph.nodes(dataset, "spatialCoverage", "spatial")):
        for shape in graph.nodes(
            owner, "geosparql:hasGeometry", "geosparql:hasBoundingBox", "additionalProperty"
        ):
            for value in graph.each(shape, "geosparql:asWKT", "value"):
                legal, said = wkt_boxes(literal(value))
                found, notes = [*found, *legal], (*notes, *said)
            for value in graph.each(shape, "geosparql:asGeoJSON"):
                legal, said = geojson_boxes(literal(value))
                found, notes = [*found, *legal], (*notes, *said)
    return found, notes


def _place(graph: Graph, place: Any) -> Iterator[Found]:
    if not isinstance(place, dict) or "@value" in place:
        legal, notes = wkt_boxes(literal(place))
        yield from ((one, ()) for one in legal)
        yield None, notes
        return
    for shape in (place, *graph.nodes(place, "geo")):
        for key, reading in (("box", _box), ("polygon", _polygon), ("line", _polygon), ("circle", _circle)):
            for value in graph.each(shape, key):
                said = clean.words(literal(value), _MOST_LETTERS) or ""
                if "(" in said:
                    legal, notes = wkt_boxes(said)
                    yield from ((one, ()) for one in legal)
                    yield None, notes
                else:
                    yield reading([float(number) for number in _NUMBER.findall(said)])
        if "latitude" in shape or "longitude" in shape:
            latitude, longitude = (graph.words(shape, key) for key in ("latitude", "longitude"))
            yield box(longitude, latitude, longitude, latitude)


def _box(sides: Sequence[float]) -> Found:
    """South, west, north, east; the other way round where only that is on Earth, with a note."""
    if len(sides) != _SIDES:
        return None, (note("extent-unreadable", f"a box of {len(sides)} numbers is none"),)
    south, west, north, east = sides
    if is_turned((west, south, east, north)):
        found, notes = box(south, west, north, east)
        return found, (*notes, note("axes-swapped", "longitudes came before latitudes in the box"))
    return box(west, south, east, north)


def _polygon(numbers: Sequence[float]) -> Found:
    """The box around points of latitude and longitude."""
    if not numbers or len(numbers) % 2:
        return None, (note("extent-unreadable", f"a shape of {len(numbers)} numbers is none"),)
    up, along = numbers[::2], numbers[1::2]
    return _box((min(up), min(along), max(up), max(along)))


def _circle(numbers: Sequence[float]) -> Found:
    """The box around a circle: latitude and longitude of its centre, and its radius in metres."""
    if len(numbers) != _CIRCLE:
        return None, (note("extent-unreadable", f"a circle of {len(numbers)} numbers is none"),)
    latitude, longitude, radius = numbers
    up = min(abs(radius) / _METRES, _HALF)
    nearest = min(abs(latitude) + up, _POLE)
    along = min(up / max(math.cos(math.radians(nearest)), 1e-6), _HALF)
    south, north = max(latitude - up, -_POLE), min(latitude + up, _POLE)
    return box(longitude - along, south, longitude + along, north)


def _time(graph: Graph, dataset: Node) -> tuple[TimeRange | None, Notes]:
    """The time from the first start to the last end of all that is said."""
    ranges: list[TimeRange] = []
    notes: Notes = ()
    for value in graph.each(dataset, "temporalCoverage", "temporal"):
        found, said = time_range(*_ends(graph, value))
        ranges += [found] if found else []
        notes += said
    return spanned(ranges), notes


def _ends(graph: Graph, value: Any) -> tuple[str, str]:
    """Start and end as they are written; an interval of ISO 8601 has a solidus, one moment is its whole length."""
    if isinstance(value, dict) and {"startDate", "endDate"} & value.keys():
        return graph.words(value, "startDate") or "", _closed(graph.words(value, "endDate"))
    first, solidus, last = (clean.words(literal(value), 200) or "").partition("/")
    return _closed(first), _closed(last if solidus else first)


def _closed(end: str | None) -> str:
    said = (end or "").strip()
    return "" if said.lower() in _OPEN else said


def _vertical(graph: Graph, dataset: Node) -> VerticalRange | None:
    for item in graph.nodes(dataset, "additionalProperty"):
        if (graph.words(item, "name") or "").lower() == "depth":
            return vertical_range(graph.words(item, "minValue"), graph.words(item, "maxValue"))[0]
    return None


def write_extent(found: Extent) -> dict[str, Any]:
    """Write an extent; a box that crosses the antimeridian is cut there, since readers differ about it."""
    shapes = [_shape(*part) for one in found.boxes for part in one.parts()]
    places = [{"@type": "Place", "geo": shape} for shape in shapes]
    when = found.time
    said: dict[str, Any] = {"spatialCoverage": places} if places else {}
    if when and (when.start or when.end):
        said["temporalCoverage"] = f"{when.start or '..'}/{when.end or '..'}"
    return said


def _shape(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    if west == east and south == north:
        return {"@type": "GeoCoordinates", "latitude": south, "longitude": west}
    return {"@type": "GeoShape", "box": f"{south!r} {west!r} {north!r} {east!r}"}


def write_depth(found: Extent) -> list[dict[str, Any]]:
    """Write a depth as a PropertyValue; none where there is none."""
    if found.vertical is None:
        return []
    return [
        {
            "@type": "PropertyValue",
            "name": "depth",
            "minValue": found.vertical.minimum,
            "maxValue": found.vertical.maximum,
            "unitText": "m",
            "unitCode": "MTR",
        }
    ]
