"""The attributes of a part: those of the whole, but for what was only true of the whole."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.coverage import box
from catalog.data.grids import Grid
from catalog.errors import DataUnreadable

_HALF = 180.0
_EDGES = ("Westernmost_Easting", "Easternmost_Easting", "Southernmost_Northing", "Northernmost_Northing")
_PLACES = tuple(f"geospatial_{axis}_{end}" for axis in ("lon", "lat") for end in ("min", "max"))
_HEIGHTS = ("geospatial_vertical_min", "geospatial_vertical_max")
_TIMES = ("time_coverage_start", "time_coverage_end")
_RESOLUTION = re.compile(r"(geospatial_\w+|time_coverage)_resolution")
_DERIVED = ("geospatial_bounds", "time_coverage_duration")
_Floats = npt.NDArray[np.float64]


def attributes_of(
    grid: Grid, part: Mapping[str, xr.Variable], line: str, *, is_cut: bool, is_coarser: bool
) -> dict[str, Any]:
    """Return the global attributes of a part.

    Args:
        grid: The whole.
        part: The variables of the part, its axes among them.
        line: What is added to the history.
        is_cut: Whether any dimension was cut.
        is_coarser: Whether cells were left out between others.
    """
    whole = grid.dataset.attrs
    before = str(whole.get("history", "")).rstrip("\n")
    found: dict[str, Any] = {**whole, "history": f"{before}\n{line}" if before else line}
    try:
        found |= _extent(grid, part, set(whole))
    except DataUnreadable:
        said = ("geospatial_", "time_coverage_", *_EDGES)
        found = {k: v for k, v in found.items() if not str(k).startswith(said)}
    if is_cut:
        found = {k: v for k, v in found.items() if k not in _DERIVED} | _derived(
            grid, part, found, set(whole)
        )
    if is_coarser:
        found = {k: v for k, v in found.items() if not _RESOLUTION.fullmatch(str(k))}
    return found


def _extent(grid: Grid, part: Mapping[str, xr.Variable], said: set[Any]) -> dict[str, Any]:
    """Where and when the part is, by those attributes that the whole has: ACDD's, and edges that ERDDAP writes."""
    axes, found = grid.axes, dict[str, Any]()
    for name, keys in (
        (axes.longitude, (*_PLACES[:2], *_EDGES[:2])),
        (axes.latitude, (*_PLACES[2:], *_EDGES[2:])),
    ):
        if name and name in part and said & set(keys):
            ends = _sides(ax.values(part[name])) if name == axes.longitude else _ends(ax.values(part[name]))
            found |= dict(zip(keys, (*ends, *ends), strict=True)) if ends else {}
    if axes.vertical and axes.vertical in part and said & set(_HEIGHTS):
        found |= dict(zip(_HEIGHTS, _ends(ax.values(part[axes.vertical])) or (), strict=False))
    if axes.time and axes.time in part and said & set(_TIMES) and (ends := _ends(ax.values(part[axes.time]))):
        found |= dict(zip(_TIMES, grid.clock(axes.time).instants(np.array(ends)), strict=True))
    return {key: value for key, value in found.items() if key in said}


def _derived(
    grid: Grid, part: Mapping[str, xr.Variable], found: Mapping[Any, Any], said: set[Any]
) -> dict[str, Any]:
    """The bounds as WKT and the duration as ISO 8601, where the whole has them and the part's ends are known."""
    derived: dict[str, Any] = {}
    crs = str(found.get("geospatial_bounds_crs", "EPSG:4326")).strip().upper()
    if "geospatial_bounds" in said and said.issuperset(_PLACES) and crs in {"", "EPSG:4326"}:
        west, east, south, north = (found[key] for key in _PLACES)
        corners = ((south, west), (south, east), (north, east), (north, west), (south, west))
        text = ", ".join(f"{latitude!r} {longitude!r}" for latitude, longitude in corners)
        derived |= {"geospatial_bounds": f"POLYGON (({text}))"} if west <= east else {}
    time = grid.axes.time
    if "time_coverage_duration" in said and time in part and (ends := _ends(ax.values(part[str(time)]))):
        try:
            clock = grid.clock(str(time))
        except DataUnreadable:
            return derived
        if clock.months:
            return derived
        seconds = round((ends[1] - ends[0]) * clock.unit) / 1_000_000
        days, rest = divmod(seconds, 86_400)
        within = f"T{rest:.6f}".rstrip("0").rstrip(".") + "S" if rest else ""
        derived["time_coverage_duration"] = f"P{int(days)}D{within}"
    return derived


def _ends(values: _Floats) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None


def _sides(longitudes: _Floats) -> tuple[float, float] | None:
    """West and east of longitudes as they are written; west is the larger where they run across their seam."""
    steps = np.diff(longitudes) if longitudes.ndim == 1 else np.empty(0)
    if np.sum(steps < 0) == 1 and np.sum(steps < -_HALF) == 1:
        return float(longitudes[0]), float(longitudes[-1])
    if np.sum(steps > 0) == 1 and np.sum(steps > _HALF) == 1:
        return float(longitudes[-1]), float(longitudes[0])
    ends = _ends(longitudes)
    if ends is None:
        return None
    around = box(longitudes, np.zeros(1)) if ends[1] - ends[0] > _HALF else None
    return (around.west, around.east) if around and around.west > around.east else ends
