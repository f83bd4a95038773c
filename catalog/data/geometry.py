"""Places as people write them, WKT or GeoJSON: points, lines and areas in degrees of longitude and latitude.

Sources: OGC 06-103r4 §7 (well-known text), RFC 7946 §3.1 (GeoJSON geometries). Both write x before y; a third number
is a depth in metres, positive down, as everywhere in this catalog. An edge of an area is straight in degrees, as
RFC 7946 §3.1.9 says; an area across the antimeridian goes on beyond it (170…190) or comes in two parts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import shapely

from catalog.errors import BadRequest

MAX_TEXT = 1_000_000
MAX_VERTICES = 10_000
MAX_POINTS = 1_000

Floats = npt.NDArray[np.float64]
Kind = Literal["point", "points", "line", "area"]
_KINDS: dict[str, Kind] = {
    "POINT": "point", "MULTIPOINT": "points", "LINESTRING": "line", "POLYGON": "area", "MULTIPOLYGON": "area"
}  # fmt: skip
_DEPTHS = {"POINT": 0, "MULTIPOINT": 1, "LINESTRING": 1, "POLYGON": 2, "MULTIPOLYGON": 3}
"""How deep the positions of a GeoJSON geometry lie in its lists."""

_WKT = re.compile(
    r"(?:SRID=4326;)?\s*(?P<type>[A-Z]+)\s*(?:Z\s*)?(?P<body>\([-+0-9.eE,()\s]+\))", re.IGNORECASE
)
_HINT = (
    "write coords=POINT(107.5 20.5), MULTIPOINT((107 20),(108 21)), LINESTRING(105 18,110 18), "
    "POLYGON((105 17,110 17,110 22,105 17)), or the same as a GeoJSON geometry"
)
_MOST_LONGITUDE = 540.0
_POLE = 90.0
_CIRCLE = 360.0


@dataclass(frozen=True)
class Shape:
    """A place.

    Args:
        kind: One point, several points, a line, or an area (one polygon or several, with their holes).
        longitudes: Of every vertex, degrees as they were written, float64.
        latitudes: Of every vertex, degrees, float64.
        depths: Of every vertex, metres, positive down; None where no third number was written.
        geometry: The place as shapely has it.
    """

    kind: Kind
    longitudes: Floats
    latitudes: Floats
    depths: Floats | None
    geometry: Any

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north, degrees as they were written."""
        x, y = self.longitudes, self.latitudes
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def edges_at(self, latitudes: Floats) -> npt.NDArray[np.intp]:
        """Return how many edges of the area reach each latitude: what telling inside from outside costs there."""
        rings = shapely.get_rings(shapely.get_parts(self.geometry))
        vertices, ring = shapely.get_coordinates(rings, return_index=True)
        pairs = np.sort(np.stack((vertices[:-1, 1], vertices[1:, 1])), axis=0)[:, ring[1:] == ring[:-1]]
        low, high = np.sort(pairs, axis=1)
        begun = np.searchsorted(low, latitudes, "right")
        found: npt.NDArray[np.intp] = begun - np.searchsorted(high, latitudes, "left")
        return found

    def covers(self, longitudes: Floats, latitudes: Floats) -> npt.NDArray[np.bool_]:
        """Tell which positions lie in the area or on its edge, whatever turn their longitudes are written in."""
        west, south, east, north = self.bounds
        shapely.prepare(self.geometry)
        found = np.zeros(np.broadcast_shapes(longitudes.shape, latitudes.shape), bool)
        for turn in _CIRCLE * np.arange(-3, 4):
            near = (longitudes + turn >= west) & (longitudes + turn <= east)
            near = near & (latitudes >= south) & (latitudes <= north)
            if near.any():
                x = np.broadcast_to(longitudes + turn, near.shape)[near]
                y = np.broadcast_to(latitudes, near.shape)[near]
                found[near] |= shapely.intersects_xy(self.geometry, x, y)
        return found


def parse(text: str) -> Shape:
    """Read a place.

    Raises:
        BadRequest: The text is neither WKT nor GeoJSON of a known type, or has a position that is none, an area that
            crosses itself, or more than 10,000 vertices or 1,000 points.
    """
    if len(text) > MAX_TEXT:
        raise BadRequest(f"coords= is longer than {MAX_TEXT} letters", hint=_HINT)
    stripped = text.strip()
    found = _geojson(stripped) if stripped.startswith("{") else _wkt(stripped)
    kind = _KINDS[found.geom_type.upper()]
    numbers = shapely.get_coordinates(found, include_z=True)
    _check(kind, numbers, text)
    if kind == "area" and not shapely.is_valid(found):
        why = re.sub(r"\[.*", "", str(shapely.is_valid_reason(found))).strip()
        raise BadRequest(f"the area of coords= is not valid: {why}", hint="draw it without crossing itself")
    z = None if np.isnan(numbers[:, 2]).any() else numbers[:, 2]
    if z is not None and kind in {"line", "area"}:
        raise BadRequest(
            "coords= of lines and areas has two numbers a position", hint="add depth=0/50 instead"
        )
    return Shape(kind, numbers[:, 0], numbers[:, 1], z, found)


def _wkt(text: str) -> Any:
    match = _WKT.fullmatch(text)
    if match is None or match["type"].upper() not in _KINDS:
        raise BadRequest(f"coords={text[:60]!r} is no place", hint=_HINT)
    try:
        with np.errstate(all="ignore"):  # a number beyond float64 is infinite, and refused as such
            found = shapely.from_wkt(f"{match['type'].upper()} {match['body']}")
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise BadRequest(
            f"coords={text[:60]!r} cannot be read as a {match['type'].upper()}: {_why(match['body'])}",
            hint=_HINT,
        ) from error
    return found


def _why(body: str) -> str:
    """What is likely wrong with the positions of a text that looks like a place."""
    if body.count("(") != body.count(")"):
        return "its brackets do not match"
    positions = [part.split() for part in re.split(r"[(),]+", body) if part.strip()]
    if any(len(position) not in {2, 3} for position in positions):
        return "a position is two numbers, longitude and latitude, and a comma parts it from the next"
    if any(
        re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", n, re.IGNORECASE) is None
        for p in positions
        for n in p
    ):
        return "a number cannot be read"
    return "a line has two positions, and a ring of an area four, with the first again at its end"


def _geojson(text: str) -> Any:
    try:
        read = orjson.loads(text)
        if isinstance(read, dict) and read.get("type") == "Feature":
            read = read.get("geometry")
        kind = str(read["type"]).upper()
        return _made(kind, read["coordinates"])
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RecursionError,
        shapely.errors.ShapelyError,
    ) as error:
        raise BadRequest(f"coords={text[:60]!r} is no GeoJSON geometry", hint=_HINT) from error


def _made(kind: str, coordinates: Any) -> Any:
    """A shapely geometry of GeoJSON's lists. Raises what numpy and shapely raise for lists that are none."""
    depth = _DEPTHS[kind]
    if kind == "POINT":
        return shapely.Point(_positions([coordinates])[0])
    if depth == 1:
        positions = _positions(coordinates)
        return shapely.MultiPoint(positions) if kind == "MULTIPOINT" else shapely.LineString(positions)
    if kind == "POLYGON":
        return _polygon(coordinates)
    return shapely.MultiPolygon([_polygon(rings) for rings in coordinates])


def _polygon(rings: Sequence[Any]) -> Any:
    first, *holes = map(_positions, rings)
    return shapely.Polygon(first, holes)


def _positions(items: Sequence[Any]) -> Floats:
    """Positions of two or three numbers. Raises ValueError or TypeError for what is none."""
    if not isinstance(items, list) or not items or len(items) > MAX_VERTICES:
        raise ValueError("no list of positions, or too long a one")
    if not all(isinstance(item, list) and all(type(n) in {int, float} for n in item) for item in items):
        raise TypeError("a position is a list of numbers")
    found = np.array(items, np.float64)
    if found.ndim != 2 or found.shape[1] not in {2, 3}:  # noqa: PLR2004
        raise ValueError("a position has two or three numbers")
    return found


def _check(kind: Kind, numbers: Floats, text: str) -> None:
    """Refuse what is empty, too much, not finite, beyond a pole, or wider than the Earth."""
    x, y, z = numbers.T
    if not len(numbers):
        raise BadRequest(f"coords={text[:60]!r} is empty", hint=_HINT)
    most = MAX_POINTS if kind == "points" else MAX_VERTICES
    if len(numbers) > most:
        raise BadRequest(
            f"coords= has {len(numbers)} positions, and {most} are allowed", hint="ask for fewer"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and not np.isinf(z).any()):
        raise BadRequest("coords= has a number that is not finite", hint=_HINT)
    if np.abs(y).max() > _POLE or np.abs(x).max() > _MOST_LONGITUDE:
        raise BadRequest(
            "coords= has a latitude beyond ±90 or a longitude beyond ±540",
            hint="longitude comes first: POINT(107.5 20.5)",
        )
    if kind == "area" and x.max() - x.min() > _CIRCLE:
        raise BadRequest("the area of coords= is wider than the Earth", hint="keep it within 360 degrees")
