"""CoverageJSON (OGC 21-069r2): grids, point series, vertical profiles and scattered points.

Longitudes are the source's, but go on beyond 360 where the box crosses its seam, because an axis must be
monotonic. Times are ISO 8601 in the data's own calendar. Values are unpacked; a missing one is null.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.blocks import blocks
from catalog.data.origin import origin, sample_dimensions
from catalog.data.packing import unpack
from catalog.data.plain import words
from catalog.errors import DataUnreadable, NotSubsettable
from catalog.formats._credits import said
from catalog.formats._tokens import MANY, SMALL, bits, joined, possible

SUFFIX = "covjson"
MEDIA_TYPE = "application/prs.coverage+json"
STREAMS = True
_CRS = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_HINT = "ask for NetCDF or CSV"
_PIECE = 1 << 17
_SAID_AS = {
    "title": "dct:title", "creator": "dct:creator", "institution": "dct:publisher", "license": "dct:license",
    "citation": "dct:bibliographicCitation", "source": "dct:source", "request": "dct:provenance",
    "notes": "dct:description",
}  # fmt: skip
"""Members beyond the standard's, which allows them, in the terms of Dublin Core."""


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield a Coverage, its ranges in blocks.

    Raises:
        NotSubsettable: The data have no position, lie on a curvilinear grid or mesh, or on other dimensions.
    """
    known = origin(dataset)
    axes = known.axes
    if not (axes.longitude and axes.latitude):
        raise NotSubsettable("CoverageJSON does not hold data without positions", hint=_HINT)
    if sample_dimensions(dataset):
        raise NotSubsettable("CoverageJSON does not hold ragged arrays", hint="ask for NetCDF")
    if axes.geometry not in {"rectilinear", "points"}:
        raise NotSubsettable(f"CoverageJSON does not hold data of geometry {axes.geometry}", hint=_HINT)
    dataset = _one_profile(dataset, axes)
    roles = _roles(dataset, axes)
    named = {n for n in _named(axes).values() if n}
    names = [n for n in known.wanted if dataset.variables[n].dtype.kind in "iufOSUT" and n not in named]
    kept = {name: _fitting(dataset.variables[name], roles) for name in names}
    head = {
        "@context": {"dct": "http://purl.org/dc/terms/"},
        "type": "Coverage",
        **{_SAID_AS[key]: text for key, text in said(dataset).items()},
        "domain": _domain(dataset, axes, roles),
        "parameters": {name: _parameter(name, variable.attrs) for name, variable in kept.items()},
    }
    yield orjson.dumps(head)[:-1] + b',"ranges":{'
    for position, (name, variable) in enumerate(kept.items()):
        yield (b"," if position else b"") + orjson.dumps(name) + b":"
        yield from _range(variable, roles)
    yield b"}}"


def _one_profile(dataset: xr.Dataset, axes: Axes) -> xr.Dataset:
    """The levels of a single profile whose levels are its own, those that are known; other data as they are.

    Raises:
        NotSubsettable: There are several such profiles, or the levels of the one neither rise nor fall.
    """
    vertical, place = axes.vertical, dataset.variables[axes.longitude].dims
    if axes.geometry != "points" or not vertical or len(place) != 1:
        return dataset
    if not (set(place) < set(dataset.variables[vertical].dims) and dataset.variables[vertical].ndim == 2):  # noqa: PLR2004
        return dataset
    count = dataset.sizes[place[0]]
    if count != 1:
        raise NotSubsettable(
            f"CoverageJSON holds one profile with levels of its own, and there are {count}",
            hint=f"ask for one: indices={place[0]}[0]; or for NetCDF or CSV",
        )
    found = dataset.isel({place[0]: 0})
    levels = ax.values(found.variables[vertical])
    known = np.flatnonzero(np.isfinite(levels))
    steps = np.diff(levels[known])
    if not known.size or not ((steps > 0).all() or (steps < 0).all()):
        raise NotSubsettable("the levels of the profile neither rise nor fall throughout", hint=_HINT)
    found = found.isel({found.variables[vertical].dims[0]: known})
    found.encoding = dict(dataset.encoding)
    return found


def _roles(dataset: xr.Dataset, axes: Axes) -> dict[str, str]:
    """The axis that each dimension is: t, z, y, x, or composite for points along one dimension."""
    roles: dict[str, str] = {}
    for key, name in (("t", axes.time), ("z", axes.vertical), ("y", axes.latitude), ("x", axes.longitude)):
        dimensions = dataset.variables[name].dims if name else ()
        if len(dimensions) == 1:
            taken = roles.get(str(dimensions[0]))
            roles[str(dimensions[0])] = "composite" if taken else key
    if axes.geometry == "points" and (shared := dataset.variables[axes.longitude].dims):
        roles[str(shared[0])] = "composite"
    return roles


def _fitting(variable: xr.Variable, roles: Mapping[str, str]) -> xr.Variable:
    """The variable without its other dimensions, which must have one place each."""
    others = [d for d in variable.dims if str(d) not in roles]
    if any(variable.sizes[d] != 1 for d in others):
        raise NotSubsettable(
            f"CoverageJSON does not hold the dimensions {', '.join(map(str, others))}", hint=_HINT
        )
    return variable.isel(dict.fromkeys(others, 0))


def _domain(dataset: xr.Dataset, axes: Axes, roles: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for key, name in (("t", axes.time), ("z", axes.vertical), ("y", axes.latitude), ("x", axes.longitude)):
        if name and dataset.variables[name].ndim <= 1:
            values[key] = _axis(dataset, key, name)
    spread = {key for key, name in _named(axes).items() if key in values and _is_shared(dataset, name, roles)}
    domain: dict[str, Any] = {"type": "Domain"}
    if spread:
        order = [key for key in ("t", "x", "y", "z") if key in spread]
        tuples = [list(item) for item in zip(*(values.pop(key) for key in order), strict=True)]
        shown: dict[str, Any] = {"composite": {"dataType": "tuple", "coordinates": order, "values": tuples}}
        kind = _spread_kind(axes, spread, values)
    else:
        shown, kind = {}, _kind({key: len(items) for key, items in values.items()})
    if kind:
        domain["domainType"] = kind
    domain["axes"] = {
        **{key: {"values": values[key]} for key in ("x", "y", "z", "t") if key in values},
        **shown,
    }
    domain["referencing"] = _referencing(dataset, axes, {*values, *spread})
    return domain


def _named(axes: Axes) -> dict[str, str | None]:
    return {"t": axes.time, "z": axes.vertical, "y": axes.latitude, "x": axes.longitude}


def _is_shared(dataset: xr.Dataset, name: str | None, roles: Mapping[str, str]) -> bool:
    return any(roles.get(str(d)) == "composite" for d in dataset.variables[name].dims)


def _axis(dataset: xr.Dataset, key: str, name: str) -> list[Any]:
    values = np.atleast_1d(ax.values(dataset.variables[name]))
    if key == "t":
        try:
            return list(ax.clock(dataset, name).instants(values))
        except DataUnreadable as error:
            raise NotSubsettable(f"the time axis has no instants: {error.message}", hint=_HINT) from error
    if key == "x" and values.size > 2:  # noqa: PLR2004
        steps = np.diff(values)
        values = values + 360.0 * np.concatenate([[0], np.cumsum(steps < -180) - np.cumsum(steps > 180)])  # noqa: PLR2004
    found: list[Any] = [number if np.isfinite(number) else None for number in values.tolist()]
    return found


def _kind(sizes: Mapping[str, int]) -> str:
    """The domain type of axes that are each of their own."""
    if sizes["x"] > 1 or sizes["y"] > 1:
        return "Grid"
    if sizes.get("z", 1) > 1:
        return "VerticalProfile" if sizes.get("t", 1) == 1 else "Grid"
    return "PointSeries" if "t" in sizes else "Point"


def _spread_kind(axes: Axes, spread: set[str], others: Mapping[str, list[Any]]) -> str | None:
    if "t" in spread:
        return "Trajectory" if axes.kind == "trajectory" and len(others.get("z", [0])) == 1 else None
    if "z" in others:
        return None
    return "MultiPointSeries" if len(others.get("t", ())) > 1 else "MultiPoint"


def _referencing(dataset: xr.Dataset, axes: Axes, keys: set[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": _CRS}}
    ]
    if "t" in keys and axes.time:
        clock = ax.clock(dataset, axes.time)
        calendar = "Gregorian" if clock.gregorian else f"https://cfconventions.org/calendar#{clock.calendar}"
        found.append({"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": calendar}})
    if "z" in keys and axes.vertical:
        axis: dict[str, Any] = {
            "name": {"en": axes.vertical},
            "direction": "down" if ax.points_down(dataset, axes.vertical) else "up",
        }
        units = str(dataset.variables[axes.vertical].attrs.get("units", ""))
        axis |= {"unit": {"symbol": words(units)}} if units else {}
        found.append({"coordinates": ["z"], "system": {"type": "VerticalCRS", "cs": {"csAxes": [axis]}}})
    return found


def _parameter(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    standard = words(attributes.get("standard_name", "")).strip()
    label = words(attributes.get("long_name", "")) or standard or name
    observed: dict[str, Any] = {"label": {"en": label}}
    if standard and " " not in standard:
        observed["id"] = f"https://vocab.nerc.ac.uk/standard_name/{standard}/"
    units = words(attributes.get("units", ""))
    unit = {"unit": {"symbol": units}} if units else {}
    return {"type": "Parameter", "observedProperty": observed, **unit}


def _range(variable: xr.Variable, roles: Mapping[str, str]) -> Iterator[bytes]:
    is_text = variable.dtype.kind in "OSU"
    is_float = unpack(np.empty(0, variable.dtype), variable.attrs).dtype.kind == "f"
    head: dict[str, Any] = {
        "type": "NdArray",
        "dataType": "string" if is_text else "float" if is_float else "integer",
    }
    if variable.ndim:
        head |= {"axisNames": [roles[str(d)] for d in variable.dims], "shape": list(variable.shape)}
    yield orjson.dumps(head)[:-1] + b',"values":['
    for position, values in enumerate(_values(variable)):
        yield (b"," if position else b"") + values
    yield b"]}"


def _values(variable: xr.Variable) -> Iterator[bytes]:
    """The unpacked values as JSON, without the brackets, in pieces."""
    few = variable.dtype.kind in "iu" and variable.dtype.itemsize <= SMALL and variable.size >= MANY
    tokens = possible(variable.dtype, variable.attrs, b",", b"null") if few else None
    for _, raw in blocks(variable):
        flat = raw.reshape(-1)
        for first in range(0, flat.size, _PIECE):
            piece = flat[first : first + _PIECE]
            if piece.dtype.kind in "OSU":
                yield orjson.dumps([None if item is None else words(item) for item in piece])[1:-1]
            elif tokens is not None:
                yield joined(tokens.take(bits(piece), axis=0))[:-1]
            else:
                yield _numbers(unpack(piece, variable.attrs))


def _numbers(values: npt.NDArray[Any]) -> bytes:
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise NotSubsettable(
            "some numbers are infinite, and CoverageJSON has no infinity", hint="ask for CSV or NetCDF"
        )
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
