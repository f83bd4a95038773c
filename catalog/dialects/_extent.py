"""Where and when, as strangers write it, brought to a legal extent; every repair is told as a quality note.

Each function gives what it could make of the values, and the notes to keep.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from catalog import instant
from catalog.dialects._words import mapping, moment, name, number
from catalog.record import MOST, BBox, Extent, QualityNote, Resolution, TimeRange, VerticalRange

Notes = tuple[QualityNote, ...]
MAX_LONGITUDE = 1080.0
MAX_BOXES = 10_000
"""Boxes of a list that are looked at."""

_HALF, _WHOLE, _POLE = 180.0, 360.0, 90.0
_LEEWAY = 0.1
_DAY = 86_400.0
_DURATION = re.compile(
    r"P(?:([0-9]{1,6})Y)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)S)?)?"
)
_SPANS = (31_556_952, 2_629_746, 604_800, 86_400, 3_600, 60, 1)  # a year and a month of mean length
_DEGREES = re.compile(
    r"([0-9.]{1,20}(?:[eE][+-]?[0-9]{1,2})?) ?(?:°|deg(?:ree)?s?(?:[_ ](?:east|north|[EN]))?)", re.IGNORECASE
)


def note(code: str, text: str) -> QualityNote:
    """Make a quality note."""
    return QualityNote(code=code, text=text)


def box(west: Any, south: Any, east: Any, north: Any) -> tuple[BBox | None, Notes]:
    """Make a legal box of four values in degrees, longitudes in −180…180, 0…360 or beyond.

    West beyond east crosses the antimeridian where that makes a box of at most 180° (ACDD 1.3,
    geospatial_lon_min); a wider one may as well be a mistake, so all longitudes are taken and the note says
    so. Latitudes beyond a pole are cut there; south and north in the wrong order change places.
    """
    values = [number(value) for value in (west, south, east, north)]
    if None in values:
        if any(value is not None for value in (west, south, east, north)):
            return None, (
                note("extent-unreadable", f"the box {_said(west, south, east, north)} is not four numbers"),
            )
        return None, ()
    w, s, e, n = (value for value in values if value is not None)
    if max(abs(w), abs(e)) > MAX_LONGITUDE or (abs(s) > _POLE and abs(n) > _POLE and s * n > 0):
        return None, (note("extent-unreadable", f"the box {_said(w, s, e, n)} lies nowhere on Earth"),)
    notes: Notes = ()
    if s > n:
        s, n = n, s
        notes += (
            note("extent-swapped", f"the south {n:g} was north of the north {s:g}; they changed places"),
        )
    if s < -_POLE or n > _POLE:
        notes += (note("latitude-beyond-pole", f"latitudes {s:g} to {n:g} were cut at the poles"),)
        s, n = max(s, -_POLE), min(n, _POLE)
    if w > e and (e - w) % _WHOLE > _HALF:
        notes += (note("longitudes-ambiguous", f"longitudes {w:g} to {e:g} may be swapped; all are taken"),)
        w, e = -_HALF, _HALF
    return BBox.of(w, s, e, n), notes


def _said(*values: Any) -> str:
    return ", ".join((name(value) or "nothing")[:30] for value in values)


def boxes(value: Any) -> tuple[tuple[BBox, ...], Notes]:
    """Read a list of [west, south, east, north]; a legal box is taken as it is, others are repaired.

    Those after 10,000 are left out; what a record has no room for is gathered into one box around all.
    """
    found: list[BBox] = []
    notes: list[QualityNote] = []
    items = value if isinstance(value, list) else []
    if len(items) > MAX_BOXES:
        notes.append(
            note("boxes-left-out", f"{len(items) - MAX_BOXES:,} of {len(items):,} boxes were left out")
        )
    for item in items[:MAX_BOXES]:
        legal, said = _as_it_is(item)
        if legal is None and isinstance(item, list) and len(item) == 4:  # noqa: PLR2004
            legal, said = box(*item)
        found += [legal] if legal else []
        notes += said
    kept, gathering = _gathered(tuple(dict.fromkeys(found)))
    return kept, (*notes, *gathering)


def parted(parts: list[list[float]]) -> tuple[tuple[BBox, ...], Notes]:
    """Make legal boxes of the [west, south, east, north] of a shape's parts, none of which crosses the antimeridian.

    What a record has no room for is gathered into one box around all.
    """
    if len(parts) <= MOST["boxes"]:
        return boxes(parts)
    west, south, east, north = zip(*parts, strict=True)
    found, notes = boxes([[min(west), min(south), max(east), max(north)]])
    return found, (
        note("boxes-gathered", f"{len(parts):,} boxes were gathered into the one around them"),
        *notes,
    )


def _gathered(found: tuple[BBox, ...]) -> tuple[tuple[BBox, ...], Notes]:
    """The boxes, or the one around them all, with a note, where they are more than a record has room for."""
    if len(found) <= MOST["boxes"]:
        return found, ()
    parts = [part for one in found for part in one.parts()]
    west, south, east, north = zip(*parts, strict=True)
    around = BBox(west=min(west), south=min(south), east=max(east), north=max(north))
    return (around,), (
        note("boxes-gathered", f"{len(found):,} boxes were gathered into the one around them"),
    )


def _as_it_is(item: Any) -> tuple[BBox | None, Notes]:
    try:
        return BBox.model_validate(item), ()
    except ValidationError:
        return None, (note("extent-unreadable", "a box is not four numbers"),)


def time_range(start: Any, end: Any, calendar: Any = None) -> tuple[TimeRange | None, Notes]:
    """Make a time range of two liberally written times; an end that is only a date is its last moment."""
    first, last = moment(start), moment(end, end=True)
    notes: Notes = tuple(
        note("time-unreadable", f"{name(given)[:60]!r} is not a time")  # type: ignore[index]
        for given, read in ((start, first), (end, last))
        if read is None and name(given)
    )
    if first is None and last is None:
        return None, notes
    if first and last and instant.seconds(first) > instant.seconds(last):
        first, last = last, first
        notes += (note("time-reversed", f"the time range ended ({first}) before it began ({last})"),)
    return TimeRange(start=first, end=last, calendar=name(calendar) or "standard"), notes


def spanned(ranges: Sequence[TimeRange]) -> TimeRange | None:
    """Return the range around all ranges; None where there is none, or nothing is left of it but open ends."""
    if len(ranges) < 2:  # noqa: PLR2004
        return ranges[0] if ranges else None
    starts, ends = [one.start for one in ranges], [one.end for one in ranges]
    start = min((at for at in starts if at), key=instant.seconds) if all(starts) else None
    end = max((at for at in ends if at), key=instant.seconds) if all(ends) else None
    return TimeRange(start=start, end=end, calendar=ranges[0].calendar) if start or end else None


def vertical_range(first: Any, last: Any, *, up: bool = False) -> tuple[VerticalRange | None, Notes]:
    """Make a depth range in metres of two numbers; `up` says that they are heights."""
    ends = [number(value) for value in (first, last)]
    found = sorted(-value if up else value for value in ends if value is not None)
    if not found:
        return None, ()
    return VerticalRange(minimum=found[0] + 0.0, maximum=found[-1] + 0.0), ()


def duration(value: Any) -> float | None:
    """Return the seconds of a duration (ISO 8601, `P1D`), its years and months of mean length; None for none."""
    found = _DURATION.fullmatch((name(value) or "").strip())
    parts = found.groups() if found else ()
    return sum(float(part or 0) * size for part, size in zip(parts, _SPANS, strict=False)) or None


def _degrees(value: Any) -> Any:
    """The number of degrees in a text (`0.05 degree`); other values as they are."""
    found = _DEGREES.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[1] if found else value


def resolution(value: Any) -> Resolution | None:
    """Read mean spacings; what is not a positive number is none."""
    given = mapping(value)
    found = {key: number(given.get(key)) for key in Resolution.model_fields}
    steps = {key: step for key, step in found.items() if step is not None and step > 0}
    return Resolution(**steps) if steps else None


def from_coverage(coverage: Mapping[str, Any]) -> tuple[Extent, Notes]:
    """Read the extent that the coordinate variables say (`coverage` of a header document)."""
    found, notes = boxes(coverage.get("boxes"))
    depth = coverage.get("vertical")
    vertical = vertical_range(*depth)[0] if isinstance(depth, list) and len(depth) == 2 else None  # noqa: PLR2004
    given = mapping(coverage.get("time"))
    when, said = time_range(given.get("start"), given.get("end"), given.get("calendar"))
    return Extent(
        boxes=found, vertical=vertical, time=when, resolution=resolution(coverage.get("resolution"))
    ), (notes + said)


def from_attributes(attributes: Mapping[str, Any]) -> tuple[Extent, Notes]:
    """Read the extent that ACDD 1.3 attributes claim (geospatial_*, time_coverage_*; keys in lower case)."""
    sides = ("lon_min", "lat_min", "lon_max", "lat_max")
    found, notes = box(*(attributes.get(f"geospatial_{side}") for side in sides))
    up = (name(attributes.get("geospatial_vertical_positive")) or "").lower() == "up"
    ends = (attributes.get("geospatial_vertical_min"), attributes.get("geospatial_vertical_max"))
    when, said = time_range(attributes.get("time_coverage_start"), attributes.get("time_coverage_end"))
    spacing = {
        key: _degrees(attributes.get(f"geospatial_{key[:3]}_resolution")) for key in ("longitude", "latitude")
    }
    step = duration(attributes.get("time_coverage_resolution"))
    return Extent(
        boxes=(found,) if found else (),
        vertical=vertical_range(*ends, up=up)[0],
        time=when,
        resolution=resolution({**spacing, "time": step}),
    ), notes + said


def agreed(said: Extent, claimed: Extent) -> tuple[Extent, Notes]:
    """Join what the coordinates say with what the attributes claim, which only fills gaps."""
    notes: Notes = ()
    if said.boxes and claimed.boxes and not _same_place(said, claimed.boxes[0]):
        notes += (
            _differ("extent-differs", _box_text(claimed.boxes[0]), "; ".join(map(_box_text, said.boxes[:3]))),
        )
    if said.time and claimed.time and not _same_time(said.time, claimed.time):
        notes += (_differ("time-differs", _time_text(claimed.time), _time_text(said.time)),)
    joined = Extent(
        boxes=said.boxes or claimed.boxes,
        vertical=said.vertical or claimed.vertical,
        time=said.time or claimed.time,
        resolution=_filled(said.resolution, claimed.resolution),
    )
    return joined, notes


def _filled(said: Resolution | None, claimed: Resolution | None) -> Resolution | None:
    """The spacings that coordinates say, and of the axes that they say nothing of what is claimed."""
    if said is None or claimed is None:
        return said or claimed
    return claimed.model_copy(update=said.model_dump(exclude_none=True))


def _differ(code: str, claim: str, fact: str) -> QualityNote:
    return note(code, f"the attributes say {claim}, the coordinates {fact}; the coordinates are used")


def _box_text(found: BBox) -> str:
    return f"{found.west:g} to {found.east:g}° E, {found.south:g} to {found.north:g}° N"


def _time_text(found: TimeRange) -> str:
    return f"{found.start or 'an open start'} to {found.end or 'an open end'}"


def _same_place(said: Extent, claim: BBox) -> bool:
    """Whether attributes agree with coordinates to one cell (bounds are often those of the cells' edges)."""
    step = said.resolution or Resolution()
    along, up = (step.longitude or 0) + _LEEWAY, (step.latitude or 0) + _LEEWAY
    if len(said.boxes) > 1:
        return all(part.intersects(claim) for part in said.boxes)
    fact = said.boxes[0]
    if abs(fact.south - claim.south) > up or abs(fact.north - claim.north) > up:
        return False
    if min(_width(fact), _width(claim)) >= _WHOLE - 2 * along:
        return True
    return all(_apart(a, b) <= along for a, b in ((fact.west, claim.west), (fact.east, claim.east)))


def _width(found: BBox) -> float:
    return found.east - found.west + (_WHOLE if found.west > found.east else 0)


def _apart(one: float, other: float) -> float:
    gap = abs(one - other) % _WHOLE
    return min(gap, _WHOLE - gap)


def _same_time(fact: TimeRange, claim: TimeRange) -> bool:
    pairs = ((fact.start, claim.start), (fact.end, claim.end))
    return all(
        a is None or b is None or abs(instant.seconds(a) - instant.seconds(b)) <= _DAY for a, b in pairs
    )
