"""Places as GeoJSON has them (RFC 7946): the boxes of a geometry, and of a `bbox` of four or six numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, box, parted, vertical_range
from catalog.record import BBox, VerticalRange

_DEPTH = 8
_FLAT, _TALL = 4, 6


def geometry_boxes(geometry: Any) -> tuple[tuple[BBox, ...], Notes]:
    """Return the boxes of a geometry (§3.1), one for each of its parts, and what was repaired."""
    return parted(list(_bounds(geometry, _DEPTH)))


def read_bbox(value: Any) -> tuple[tuple[BBox, ...], VerticalRange | None, Notes]:
    """Read a `bbox` (§5): west, south, [lowest,] east, north[, highest]; heights are metres, up."""
    sides = value if isinstance(value, list) else []
    if len(sides) not in {_FLAT, _TALL}:
        return (), None, ()
    half = len(sides) // 2
    found, notes = box(sides[0], sides[1], sides[half], sides[half + 1])
    vertical = vertical_range(sides[2], sides[5], up=True)[0] if len(sides) == _TALL else None
    return ((found,) if found else ()), vertical, notes


def around(found: Sequence[BBox]) -> list[float]:
    """Return the four sides of the box around boxes; all longitudes where one crosses the antimeridian.

    Of none it is the whole world.
    """
    if not found:
        return [-180.0, -90.0, 180.0, 90.0]
    if len(found) == 1:
        return [found[0].west, found[0].south, found[0].east, found[0].north]
    crossing = any(one.west > one.east for one in found)
    return [
        -180.0 if crossing else min(one.west for one in found),
        min(one.south for one in found),
        180.0 if crossing else max(one.east for one in found),
        max(one.north for one in found),
    ]


def _bounds(geometry: Any, depth: int) -> Iterator[list[float]]:
    """[west, south, east, north] of each part of a geometry."""
    shape: Mapping[str, Any] = clean.mapping(geometry)
    if depth == 0:
        return
    inner = (shape.get("geometry"), *clean.objects(shape.get("geometries")))
    for part in inner:
        yield from _bounds(part, depth - 1)
    coordinates = shape.get("coordinates")
    if isinstance(coordinates, list):
        several = clean.name(shape.get("type")) in {"MultiPolygon", "MultiPoint"}
        for part in coordinates if several else [coordinates]:
            points = list(_points(part, depth))
            if points:
                along, up = zip(*points, strict=True)
                yield [min(along), min(up), max(along), max(up)]


def _points(value: Any, depth: int) -> Iterator[tuple[float, float]]:
    """The (longitude, latitude) of every position in nested lists of coordinates."""
    if not isinstance(value, list) or depth == 0:
        return
    match [clean.number(part) for part in value[:2] if not isinstance(part, list)]:
        case [float() as along, float() as up]:
            yield along, up
        case _:
            for part in value:
                yield from _points(part, depth - 1)
