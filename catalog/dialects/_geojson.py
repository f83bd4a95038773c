"""Places as GeoJSON has them (RFC 7946): the boxes of a geometry, and of a `bbox` of four or six numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, box, parted, time_range, vertical_range
from catalog.record import BBox, Extent, VerticalRange

_DEPTH = 8
_FLAT, _TALL = 4, 6
_MOST_BOXES = 1_000


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


def read_extent(value: Any) -> tuple[Extent, Notes]:
    """Read the extent of a collection: boxes and intervals of time, of several the first is around the others.

    OGC API - Common §8.3, STAC Collection specification: `..` and null are open ends.
    """
    given = clean.mapping(value)
    listed = clean.mapping(given.get("spatial")).get("bbox")
    items = listed if isinstance(listed, list) else []
    if items and not isinstance(items[0], list):
        items = [items]
    found = [read_bbox(item) for item in items[min(1, len(items) - 1) : _MOST_BOXES]]
    start, end = first_interval(given.get("temporal"))
    when, odd = time_range(*(None if side == ".." else side for side in (start, end)))
    return Extent(
        boxes=tuple(dict.fromkeys(one for item in found for one in item[0])),
        vertical=next((item[1] for item in found if item[1]), None),
        time=when,
    ), (*dict.fromkeys(said for item in found for said in item[2]), *odd)


def first_interval(value: Any) -> tuple[Any, Any]:
    """Return the ends of the first `interval` of an extent; of the only one, where it is not in a list."""
    intervals = clean.mapping(value).get("interval")
    first = intervals[0] if isinstance(intervals, list) and intervals else None
    pair = first if isinstance(first, list) else intervals
    return (pair[0], pair[1]) if isinstance(pair, list) and len(pair) == 2 else (None, None)  # noqa: PLR2004


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
    if value and isinstance(value[0], list):
        for part in value:
            yield from _points(part, depth - 1)
        return
    match [clean.number(part) for part in value[:2] if not isinstance(part, list)]:
        case [float() as along, float() as up]:
            yield along, up
        case _:
            for part in value:
                yield from _points(part, depth - 1)
