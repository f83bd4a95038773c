"""Variables and axes as STAC's datacube extension has them, read and written.

https://github.com/stac-extensions/datacube v2.2.0: `cube:dimensions` are the axes, `cube:variables` what lies along
them. Servers add `attrs` (the NetCDF attributes, as xstac writes them) and `shape`, or a `standardName` (Copernicus
Marine); CF names also come as `cf:parameter` (https://github.com/stac-extensions/cf).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note, resolution, time_range, vertical_range
from catalog.dialects._geojson import around
from catalog.dialects._texts import by_language, text
from catalog.record import BBox, Extent, Record, Text, Variable

SCHEMA = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
_UP = ("elevation", "height", "altitude")
_AXES = {"longitude": "x", "latitude": "y", "time": "t", "depth": "z", "lon": "x", "lat": "y"}
_SPACING = {"x": "longitude", "y": "latitude"}


def axes(dimensions: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return the described axes by x, y, z and t; the first of each kind."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, given in clean.mapping(dimensions).items():
        axis = clean.mapping(given)
        kind = clean.name(axis.get("type")) or ""
        letter = (
            "t" if kind == "temporal" else (clean.name(axis.get("axis")) or "") if kind == "spatial" else ""
        )
        if letter in {"x", "y", "z", "t"}:
            found.setdefault(letter, {**axis, "name": name})
    return found


def _ends(axis: Mapping[str, Any]) -> tuple[Any, Any]:
    """The first and last place on an axis, of its extent or its values."""
    extent, values = axis.get("extent"), axis.get("values")
    if isinstance(extent, list) and len(extent) == 2:  # noqa: PLR2004
        return extent[0], extent[1]
    return (values[0], values[-1]) if isinstance(values, list) and values else (None, None)


def cube_extent(dimensions: Any) -> tuple[Extent, Notes]:
    """Return where and when the axes lie; a z axis counts where its name says which way it goes."""
    found = axes(dimensions)
    ends = {letter: _ends(axis) for letter, axis in found.items()}
    boxes: tuple[BBox, ...] = ()
    if _in_degrees(found.get("x")) and _in_degrees(found.get("y")):
        sides = [clean.number(end) for letter in "xy" for end in ends[letter]]
        west, east, south, north = (value if value is not None else 1e9 for value in sides)
        if west <= east <= west + 360 and -90 <= min(south, north) <= max(south, north) <= 90:  # noqa: PLR2004
            boxes = (BBox.of(west, min(south, north), east, max(south, north)),)
    height = (clean.name(found.get("z", {}).get("name")) or "").lower()
    up = height in _UP
    vertical = vertical_range(*ends["z"], up=up)[0] if up or "depth" in height else None
    when, notes = time_range(*ends["t"]) if "t" in found else (None, ())
    steps = {_SPACING[letter]: abs(step) for letter, axis in found.items()
             if letter in _SPACING and (step := clean.number(axis.get("step"))) is not None}  # fmt: skip
    return Extent(boxes=boxes, vertical=vertical, time=when, resolution=resolution(steps)), notes


def _in_degrees(axis: Mapping[str, Any] | None) -> bool:
    """Whether a horizontal axis is in degrees: EPSG:4326 is what stands where no system is named."""
    if axis is None:
        return False
    system = axis.get("reference_system", 4326)
    return str(system).lower().rpartition(":")[2].rpartition("/")[2] in {"4326", "4979", "crs84"}


def cube_variables(given: Mapping[str, Any]) -> tuple[tuple[Variable, ...], Notes]:
    """Return the variables, and the axes as coordinate variables; else what `cf:parameter` names."""
    dimensions = clean.mapping(given.get("cube:dimensions"))
    listed = clean.mapping(given.get("cube:variables"))
    named = {
        key: {"unit": item.get("unit"), "attrs": {"standard_name": item.get("name")}}
        for item in clean.objects(given.get("cf:parameter"))
        if (key := clean.name(item.get("name")))
    }
    items: dict[str, Any] = {**(listed or named), **{k: v for k, v in dimensions.items() if k not in listed}}
    found: dict[str, Variable] = {}
    notes: list[Any] = []
    for key, value in items.items():
        called = clean.name(key)
        if called is None or called in found:
            notes.append(note("variable-left-out", f"a variable {called or 'without a name'} was left out"))
            continue
        found[called] = _variable(called, clean.mapping(value), axis=key not in listed and key in dimensions)
    return tuple(found.values()), tuple(notes)


def _variable(called: str, item: Mapping[str, Any], *, axis: bool) -> Variable:
    attributes = clean.mapping(item.get("attrs"))
    names = [called] if axis and "dimensions" not in item else item.get("dimensions")
    dimensions = tuple(name for name in map(clean.name, names if isinstance(names, list) else ()) if name)
    sizes = [clean.whole(size) for size in item["shape"]] if isinstance(item.get("shape"), list) else []
    shape = tuple(size for size in sizes if size is not None)
    said = (attributes.get("standard_name"), item.get("standard_name"), item.get("standardName"))
    return Variable(
        name=called,
        standard_name=next((name for value in said if (name := clean.name(value))), None),
        title=_title(item, attributes),
        units=clean.words(item.get("unit"), 1_000) or clean.words(attributes.get("units"), 1_000),
        dtype=clean.words(item.get("data_type"), 100),
        dimensions=dimensions,
        shape=shape if len(shape) == len(dimensions) == len(sizes) else (),
        coordinate=axis or clean.name(item.get("type")) == "auxiliary",
    )


def _title(item: Mapping[str, Any], attributes: Mapping[str, Any]) -> Text | None:
    """What a variable is called, alone or by language."""
    return by_language(item.get("name")) or text(attributes.get("long_name") or item.get("description"))


def write_cube(record: Record) -> dict[str, Any]:
    """Return `cube:variables` and, of the axes whose place is known, `cube:dimensions`."""
    written = dict(_written_axes(record))
    others = {v.name: _said(v) for v in record.variables if v.name not in written}
    return ({"cube:dimensions": written} if written else {}) | ({"cube:variables": others} if others else {})


def _written_axes(record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
    extent = record.extent
    used: set[str] = set()
    for variable in record.variables:
        letter = _AXES.get(variable.standard_name or variable.name.lower())
        if (
            not variable.coordinate
            or letter is None
            or letter in used
            or variable.dimensions != (variable.name,)
        ):
            continue
        place = _place(letter, extent)
        if place:
            used.add(letter)
            plain = {key: value for key, value in _said(variable).items() if key != "type"}
            yield variable.name, {**plain, **place}


def _place(letter: str, extent: Extent) -> dict[str, Any] | None:
    """Type, axis and ends of an axis; None where the record does not tell its ends."""
    if letter == "t":
        ends = [extent.time.start, extent.time.end] if extent.time else None
        return {"type": "temporal", "extent": ends} if ends else None
    if letter == "z":
        depth = extent.vertical
        return {"type": "spatial", "axis": "z", "extent": [depth.minimum, depth.maximum]} if depth else None
    if not extent.boxes:
        return None
    west, south, east, north = around(extent.boxes)
    sides = [west, east + (360 if west > east else 0)] if letter == "x" else [south, north]
    return {"type": "spatial", "axis": letter, "extent": sides}


def _said(variable: Variable) -> dict[str, Any]:
    attributes = {
        key: value
        for key, value in (
            ("standard_name", variable.standard_name),
            ("long_name", variable.title.best("en") if variable.title else None),
            ("units", variable.units),
        )
        if value is not None
    }
    several = variable.title is not None and set(variable.title.words) != {"und"}
    return {
        "type": "auxiliary" if variable.coordinate else "data",
        "dimensions": list(variable.dimensions),
        **({"unit": variable.units} if variable.units else {}),
        **({"description": attributes["long_name"]} if variable.title else {}),
        **({"name": dict(variable.title.words)} if variable.title and several else {}),
        **({"data_type": variable.dtype} if variable.dtype else {}),
        **({"shape": list(variable.shape)} if variable.shape else {}),
        **({"attrs": attributes} if attributes else {}),
    }
