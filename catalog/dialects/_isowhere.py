"""Where and when, said in the elements of ISO 19115 (EX_Extent, MD_Dimension), the same in both encodings."""

import re
from datetime import datetime
from decimal import Decimal

from catalog.dialects import _words as clean
from catalog.dialects._isoextent import CALENDAR, DEPTHS
from catalog.dialects._isotree import Node, code, missing, node
from catalog.record import Extent, Resolution


def extent_of(extent: Extent) -> Node | None:
    """Return the extent element, or None where nothing is known; a box across the antimeridian is two."""
    places = [node("geographicElement", _box(*part)) for one in extent.boxes for part in one.parts()]
    time, depths = extent.time, extent.vertical
    when = deep = None
    if time and (time.start or time.end):
        frame = None if time.calendar == "standard" else clean.name(time.calendar)
        frame = CALENDAR + frame if frame else None
        begin = _position("beginPosition", time.start, "unknown", frame)
        period = node("TimePeriod", begin, _position("endPosition", time.end, "now", frame), gml_id="time")
        when = node("temporalElement", node("EX_TemporalExtent", node("extent", period)))
    if depths:
        least, most = (node("Real", repr(end)) for end in (depths.minimum, depths.maximum))
        reference = node("verticalCRS", xlink_href=DEPTHS)
        deep = node(
            "verticalElement",
            node("EX_VerticalExtent", node("minimumValue", least), node("maximumValue", most), reference),
        )
    return node("extent", node("EX_Extent", *places, when, deep)) if places or when or deep else None


def _box(west: float, south: float, east: float, north: float) -> Node:
    sides = {
        "westBoundLongitude": west, "eastBoundLongitude": east,
        "southBoundLatitude": south, "northBoundLatitude": north,
    }  # fmt: skip
    return node(
        "EX_GeographicBoundingBox",
        *(node(name, node("Decimal", format(Decimal(repr(value)), "f"))) for name, value in sides.items()),
    )


def _position(name: str, moment: str | None, otherwise: str, frame: str | None) -> Node:
    return (
        node(name, _written(moment), frame=frame) if moment else node(name, indeterminatePosition=otherwise)
    )


def _written(moment: str) -> str:
    """A time as XML Schema has it; of another calendar, or of the year 0, in ISO 8601's basic form."""
    if not moment[0].isdecimal():
        return moment.removeprefix("+")
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return re.sub("[-:]", "", moment[:19]) + "Z"
    return moment


def grid_of(resolution: Resolution | None) -> Node | None:
    """Return the axes of a grid with their spacing; how many cells they have is not said."""
    steps = resolution.model_dump(exclude_none=True) if resolution else {}
    axes = [
        node("axisDimensionProperties", _axis(name, steps[key], unit))
        for key, name, unit in (
            ("longitude", "column", "degree"), ("latitude", "row", "degree"), ("depth", "vertical", "m"),
            ("time", "time", "s"),
        ) if key in steps
    ]  # fmt: skip
    if not axes:
        return None
    return node(
        "spatialRepresentationInfo",
        node(
            "MD_GridSpatialRepresentation",
            node("numberOfDimensions", node("Integer", str(len(axes)))),
            *axes,
            node("cellGeometry", code("MD_CellGeometryCode", "area")),
            node("transformationParameterAvailability", node("Boolean", "false")),
        ),
    )


def _axis(name: str, step: float, unit: str) -> Node:
    spacing = node("resolution", node("Measure", repr(step), uom=unit))
    kind = node("dimensionName", code("MD_DimensionNameTypeCode", name))
    return node("MD_Dimension", kind, missing("dimensionSize"), spacing)
