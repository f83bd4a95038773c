"""What THREDDS catalogs and NetCDF Subset Services say of a dataset, as parts of a header document (`catalog.data`).

"THREDDS Client Catalog Specification" 1.0.7, threddsMetadata elements; "NetCDF Subset Service", dataset description.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects._xml import Element, attribute, each, first, local, read_xml, text
from catalog.errors import BadDocument, BadRequest

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+?)s?", re.IGNORECASE)
_SECONDS = {
    "second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3_600, "hr": 3_600, "day": 86_400, "week": 604_800,
}  # fmt: skip
_METRES = {"m": 1.0, "meter": 1.0, "metre": 1.0, "km": 1_000.0, "cm": 0.01}
_NUMBERS = {
    "byte": "int8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
}
_GROUPS = ("geospatial_", "time_coverage_", "creator_", "publisher_", "contributor_")


def attributes(dataset: Element) -> dict[str, Any]:
    """Return the metadata of a dataset as ACDD attributes."""
    said = {
        "title": dataset.get("name"),
        "id": dataset.get("ID"),
        "summary": _documentation(dataset, "summary", "abstract") or _documentation(dataset, ""),
        "license": _documentation(dataset, "rights"),
        "history": _documentation(dataset, "history", "process_step"),
        "keywords": [text(one) for one in each(dataset, "keyword")],
        "cdm_data_type": text(dataset, "dataType") or dataset.get("dataType"),
        "date_created": _date(dataset, "created", "issued"),
        "date_modified": _date(dataset, "modified", "metadataCreated"),
        "contributor_name": [text(one) for one in each(dataset, "contributor")],
        "contributor_role": [one.get("role") for one in each(dataset, "contributor")],
        **_parties(dataset, "creator"),
        **_parties(dataset, "publisher"),
        **_place(first(dataset, "geospatialCoverage")),
        **_time(first(dataset, "timeCoverage")),
    }
    return {key: value for key, value in said.items() if value not in (None, "", [])}


def filled(told: Mapping[str, Any], spare: Mapping[str, Any], coverage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that the data have, and where they say nothing those of the catalog.

    What belongs together (a box, a person's name and address) is of one of them; a catalog says where a whole
    collection is, so its word does not count where coordinates are known.
    """
    known = {key.lower() for key, value in told.items() if clean.words(value)}
    shut = {group for group in _GROUPS if any(key.startswith(group) for key in known)}
    shut |= {"geospatial_"} if coverage.get("boxes") else set()
    shut |= {"time_coverage_"} if coverage.get("time") else set()
    kept = {
        key: value for key, value in spare.items() if key not in known and not key.startswith(tuple(shut))
    }
    return {**kept, **told}


def variables(dataset: Element) -> list[dict[str, Any]]:
    """Return the variables that a catalog names."""
    found = []
    for group in each(dataset, "variables"):
        cf = (group.get("vocabulary") or "").upper().startswith("CF")
        for one in each(group, "variable"):
            said = {
                "standard_name": one.get("vocabulary_name") if cf else None,
                "long_name": text(one),
                "units": one.get("units"),
            }
            known = {key: value for key, value in said.items() if value}
            found.append({"name": one.get("name"), "attributes": known})
    return found


def _documentation(dataset: Element, *kinds: str) -> str | None:
    """The words of the first documentation of a kind; one that is only a link has none."""
    for kind in kinds:
        for one in each(dataset, "documentation"):
            said = text(one)
            if (one.get("type") or "").lower() == kind and said and not attribute(one, "href"):
                return said
    return None


def _date(dataset: Element, *kinds: str) -> str | None:
    dates = {one.get("type"): text(one) for one in reversed(list(each(dataset, "date")))}
    return next((dates[kind] for kind in kinds if dates.get(kind)), None)


def _parties(dataset: Element, role: str) -> dict[str, list[str | None]]:
    """The creators or publishers as columns; a contact's address is mostly in the wrong place."""
    found = [(text(one, "name"), first(one, "contact")) for one in each(dataset, role)]
    found = [(name, contact) for name, contact in found if name]
    emails = [contact.get("email") if contact is not None else None for _, contact in found]
    return {
        f"{role}_name": [" ".join(str(name).split()) for name, _ in found],
        f"{role}_email": [email if email and "@" in email else None for email in emails],
        f"{role}_url": [contact.get("url") if contact is not None else None for _, contact in found],
    }


def _span(axis: Element | None) -> tuple[float, float] | None:
    """The ends of an axis that says where it starts and how long it is."""
    start, size = clean.number(text(axis, "start")), clean.number(text(axis, "size"))
    return None if start is None else (min(start, start + (size or 0)), max(start, start + (size or 0)))


def _place(coverage: Element | None) -> dict[str, Any]:
    if coverage is None:
        return {}
    across, along, up = (_span(first(coverage, axis)) for axis in ("eastwest", "northsouth", "updown"))
    if across is None and along is None and (text(coverage, "name") or "").strip().lower() == "global":
        across, along = (-180.0, 180.0), (-90.0, 90.0)
    found: dict[str, Any] = {}
    if across and along:
        found |= {"geospatial_lon_min": across[0], "geospatial_lon_max": across[1]}
        found |= {"geospatial_lat_min": along[0], "geospatial_lat_max": along[1]}
    factor = _METRES.get((text(coverage, "updown/units") or "m").strip().lower().removesuffix("s"))
    if up and factor and up != (0, 0):
        positive = (coverage.get("zpositive") or "up").lower()
        found |= {"geospatial_vertical_min": up[0] * factor, "geospatial_vertical_max": up[1] * factor}
        found |= {"geospatial_vertical_positive": positive}
    return found


def _time(coverage: Element | None) -> dict[str, Any]:
    """The time coverage; of start, end and duration two say the third (§timeCoverageType)."""
    start, end = (clean.moment(text(coverage, key)) for key in ("start", "end"))
    last = clean.moment(text(coverage, "end"), end=True)
    length = _DURATION.fullmatch((text(coverage, "duration") or "").strip())
    seconds = float(length[1]) * _SECONDS.get(length[2].lower(), 0) if length else 0
    try:
        if start and not end and seconds and not text(coverage, "end"):
            last = instant.of_seconds(instant.seconds(start) + seconds)
        if end and not start and seconds and not text(coverage, "start"):
            start = instant.of_seconds(instant.seconds(end) - seconds)
    except BadRequest:
        return {}
    return {"time_coverage_start": start, "time_coverage_end": last}


def read_ncss(content: bytes) -> dict[str, Any]:
    """Read the description that a NetCDF Subset Service gives of a grid or of features: a header document's parts.

    Raises:
        BadDocument: It is none.
    """
    root = read_xml(content)
    if local(root) not in {"gridDataset", "capabilities"}:
        raise BadDocument(f"this is no description of a NetCDF Subset Service, but {local(root)[:60]!r}")
    axes = {name: one for one in each(root, "axis") if (name := clean.name(one.get("name")))}
    sizes = {name: _size(one) for name, one in axes.items()}
    coordinates = [
        _variable(name, one, [name] if sizes[name] > 1 else [], sizes) for name, one in axes.items()
    ]
    grids = [
        _variable(clean.name(one.get("name")), one, _shape(one, inside), sizes)
        for inside in (root, *each(root, "gridSet"))
        for one in (*each(inside, "grid"), *each(inside, "variable"))
    ]
    sides = [text(root, f"LatLonBox/{side}") for side in ("west", "south", "east", "north")]
    ends = [text(root, f"TimeSpan/{end}") for end in ("begin", "end")]
    kind = "grid" if local(root) == "gridDataset" else attribute(first(root, "featureDataset"), "type")
    return {
        "attributes": {"cdm_data_type": kind},
        "dimensions": {name: size for name, size in sizes.items() if size > 1},
        "variables": [*coordinates, *grids],
        "coverage": {
            "kind": kind,
            "boxes": [sides] if None not in sides else [],
            "time": {"start": ends[0], "end": ends[1]},
            "coordinates": list(axes),
        },
    }


def _shape(grid: Element, group: Element) -> list[str]:
    """The axes of a grid: its own word, else (TDS 5) those of its set."""
    own = (grid.get("shape") or "").split()
    return own or [axis for ref in each(group, "axisRef") if (axis := clean.name(ref.get("name")))]


def _size(axis: Element) -> int:
    """How many values an axis has: its `shape` is written as 3, 3, with a comma, or in brackets."""
    numbers = re.findall(r"[0-9]{1,18}", axis.get("shape") or "")
    values = first(axis, "values")
    said = clean.whole(
        numbers[0] if len(numbers) == 1 else values.get("npts") if values is not None else None
    )
    return said or 1


def _variable(
    name: str | None, element: Element, dimensions: list[str], sizes: Mapping[str, int]
) -> dict[str, Any]:
    known = [axis for axis in dimensions if sizes.get(axis, 2) > 1]
    return {
        "name": name,
        "dtype": _NUMBERS.get(element.get("type") or "", element.get("type")),
        "dimensions": known,
        "shape": [sizes.get(axis) for axis in known],
        "attributes": {**dict(_attributes(element)), **_long_name(element)},
    }


def _long_name(element: Element) -> dict[str, str]:
    said = element.get("desc")
    return {"long_name": said} if said else {}


def _attributes(element: Element) -> Iterator[tuple[str, Any]]:
    for one in each(element, "attribute"):
        name, value = clean.name(one.get("name")), one.get("value")
        if name and value is not None:
            yield name, clean.number(value) if one.get("type") in _NUMBERS and clean.number(value) else value
