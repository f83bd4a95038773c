"""Where and when, as ISO 19115 says it (EX_Extent, MD_Dimension), read as a legal extent with notes.

ISO 19115-1:2014 §6.7. A box that crosses the antimeridian is two, side by side. Times are GML 3.2.1 §14.2.2.
"""

import re
from collections.abc import Iterator, Sequence

from catalog.dialects import _isotext as iso
from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._extent import MAX_BOXES, Notes, box, boxes, note, spanned, time_range, vertical_range
from catalog.dialects._xml import Element
from catalog.record import BBox, Extent, Resolution, TimeRange, VerticalRange

CALENDAR = "cf-calendar:"
"""How the `frame` of a time position names a calendar other than the standard one."""

DEPTHS = "http://www.opengis.net/def/crs/EPSG/0/5715"
"""Mean sea level depth."""

_SIDES = ("west", "south", "east", "north")
_BOUNDS = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
_DOWN = re.compile(r"\b(?:5715|5831|5861|5866|5336)\b|depth|down", re.IGNORECASE)
_UP = re.compile(
    r"\b(?:5714|5773|5829|5703|3855|5621|5710|5776)\b|height|elevation|altitude|\bup\b", re.IGNORECASE
)
_LATITUDE_FIRST = re.compile(
    r"urn:(?:x-)?ogc:def:crs:EPSG|opengis\.net/(?:def/crs/EPSG|gml/srs/epsg)", re.IGNORECASE
)
_BEGIN = ("beginPosition", "begin/TimeInstant/timePosition")
_END = ("endPosition", "end/TimeInstant/timePosition")
_NUMBERS = 100_000
_AXES = {"column": "longitude", "row": "latitude", "vertical": "depth", "time": "time"}
_UNITS = {
    "degree": 1.0, "degrees": 1.0, "deg": 1.0, "decimal degrees": 1.0, "decimaldegrees": 1.0, "degrees_east": 1.0,
    "degrees_north": 1.0, "degree_east": 1.0, "degree_north": 1.0, "°": 1.0, "m": 1.0, "metre": 1.0, "meter": 1.0,
    "metres": 1.0, "meters": 1.0, "s": 1.0, "second": 1.0, "seconds": 1.0, "minute": 60.0, "minutes": 60.0,
    "hour": 3_600.0, "hours": 3_600.0, "h": 3_600.0, "day": 86_400.0, "days": 86_400.0, "d": 86_400.0,
}  # fmt: skip
_ANGLES = {name for name in _UNITS if name.startswith(("deg", "dec", "°"))}
_LENGTHS = {"m", "metre", "meter", "metres", "meters"}


def read_extent(root: Element, resource: Element | None) -> tuple[Extent, Notes]:
    """Read the extents of a resource's identification, and the spacing of the metadata's grids."""
    extents = list(xml.each(resource, "extent/*")) if resource is not None else []
    found, placed = _boxes(extents)
    when, timed = _time(extents)
    depths, deep = _vertical(extents)
    return Extent(
        boxes=found, vertical=depths, time=when, resolution=_resolution(root)
    ), placed + timed + deep


def places(resource: Element | None) -> Iterator[str]:
    """Yield the names of places that extents give (EX_GeographicDescription)."""
    for extent in xml.each(resource, "extent/*") if resource is not None else ():
        for holder in xml.each(extent, "geographicElement/EX_GeographicDescription/geographicIdentifier"):
            said = iso.words(holder, "*/code")
            if said and clean.address(said) is None:
                yield said


def _boxes(extents: Sequence[Element]) -> tuple[tuple[BBox, ...], Notes]:
    found: list[BBox] = []
    notes: Notes = ()
    for sides in [*_bounding(extents)][:MAX_BOXES] or [*_around(extents)][:MAX_BOXES]:
        legal, said = box(*sides)
        found += [legal] if legal else []
        notes += said
    kept, gathering = boxes(list(_whole(tuple(found))))
    return kept, (*dict.fromkeys(notes), *gathering)


def _geographic(extents: Sequence[Element], kind: str) -> Iterator[Element]:
    """The geographic elements of a kind, but for those that say where the data are not."""
    for extent in extents:
        for path in ("geographicElement", "temporalElement/EX_SpatialTemporalExtent/spatialExtent"):
            for found in xml.each(extent, f"{path}/{kind}"):
                if xml.text(found, "extentTypeCode") not in {"0", "false"}:
                    yield found


def _bounding(extents: Sequence[Element]) -> Iterator[tuple[str | None, ...]]:
    for found in _geographic(extents, "EX_GeographicBoundingBox"):
        sides = tuple(xml.text(found, side) for side in _BOUNDS)
        if any(sides):
            yield sides


def _around(extents: Sequence[Element]) -> Iterator[tuple[float, ...]]:
    """The boxes around polygons; latitude comes first where the name of the reference system says so."""
    for polygon in _geographic(extents, "EX_BoundingPolygon"):
        named = " ".join(said for one in polygon.iter() if (said := xml.attribute(one, "srsName")))
        numbers: list[float] = []
        for one in polygon.iter("{*}posList", "{*}pos", "{*}coordinates"):
            parts = (xml.text(one) or "").replace(",", " ").split()[:_NUMBERS]
            numbers += [number for part in parts if (number := clean.number(part)) is not None]
        first, second = numbers[0::2], numbers[1::2]
        if second:
            across, up = (second, first) if _LATITUDE_FIRST.search(named) else (first, second)
            yield min(across), min(up), max(across), max(up)


def _whole(found: tuple[BBox, ...]) -> tuple[BBox, ...]:
    """The boxes, each once; two side by side that meet at the antimeridian are one that crosses it."""
    before: tuple[BBox, ...] = ()
    while found != before:
        before, kept = found, list[BBox]()
        for one in found:
            if kept and _meet(kept[-1], one):
                last = kept.pop()
                kept.append(BBox(west=last.west, south=last.south, east=one.east, north=last.north))
            else:
                kept.append(one)
        found = tuple(dict.fromkeys(kept))
    return found


def _meet(one: BBox, other: BBox) -> bool:
    at_the_edge = one.east == 180 and other.west == -180  # noqa: PLR2004 - the antimeridian
    same = (one.south, one.north) == (other.south, other.north)
    return at_the_edge and same and one.west > other.east


def _time(extents: Sequence[Element]) -> tuple[TimeRange | None, Notes]:
    """The range from the first to the last moment of all times; a `frame` may name the calendar."""
    found: list[TimeRange] = []
    notes: Notes = ()
    for extent in extents:
        for when in xml.each(extent, "temporalElement/*/extent/*"):
            alone = xml.local(when) == "TimeInstant"
            start = _position(when, "timePosition") if alone else _position(when, *_BEGIN)
            end = start if alone else _position(when, *_END)
            one, odd = time_range(start[0], end[0], start[1] or end[1])
            found += [one] if one else []
            notes += odd
    return spanned(found), notes


def _position(period: Element, *paths: str) -> tuple[str | None, str | None]:
    """A time and its calendar; no time where it is `now` or `unknown` (`indeterminatePosition`)."""
    said = xml.first(period, *paths)
    frame = xml.attribute(said, "frame") or ""
    calendar = frame.removeprefix(CALENDAR) if frame.startswith(CALENDAR) else None
    return (None if said is None else xml.text(said)), calendar


def _vertical(extents: Sequence[Element]) -> tuple[VerticalRange | None, Notes]:
    """The first vertical range, by its reference system; where none is named, values below zero are heights."""
    for extent in extents:
        for found in xml.each(extent, "verticalElement/EX_VerticalExtent"):
            ends = [clean.number(xml.text(found, f"{end}Value")) for end in ("minimum", "maximum")]
            numbers = [end for end in ends if end is not None]
            if not numbers:
                continue
            named = " ".join(
                part for one in found.iter() if "value" not in xml.local(one).lower()
                for part in (str(one.text or ""), xml.attribute(one, "href") or "")
            )  # fmt: skip
            if _DOWN.search(named) or _UP.search(named):
                return vertical_range(*ends, up=not _DOWN.search(named))
            up = -min(numbers) > max(numbers)
            which = "heights above" if up else "depths below"
            said = note(
                "vertical-direction-unsaid", f"no vertical reference is named; {which} the sea are assumed"
            )
            return vertical_range(*ends, up=up)[0], (said,)
    return None, ()


def _resolution(root: Element) -> Resolution | None:
    """The spacing of a grid's axes (MD_Dimension), where its unit is known."""
    steps: dict[str, float] = {}
    for axis in xml.each(root, "spatialRepresentationInfo/*/axisDimensionProperties/MD_Dimension"):
        name = _AXES.get(iso.code(xml.first(axis, "dimensionName/MD_DimensionNameTypeCode")) or "")
        measure = xml.first(axis, "resolution/*")
        unit = (xml.attribute(measure, "uom") or "").rpartition("#")[2].strip().lower()
        size = clean.number(xml.text(measure))
        if name and name not in steps and size and size > 0 and _fits(name, unit):
            steps[name] = size * _UNITS[unit]
    finite = {name: step for name, step in steps.items() if 0 < step < clean.MAX_NUMBER}
    return Resolution(**finite) if finite else None


def _fits(axis: str, unit: str) -> bool:
    """Tell whether a unit is one of the axis: degrees of longitude, metres of depth, seconds of time."""
    kind = (
        "angle" if unit in _ANGLES else "length" if unit in _LENGTHS else "time" if unit in _UNITS else None
    )
    return kind == {"longitude": "angle", "latitude": "angle", "depth": "length", "time": "time"}[axis]
