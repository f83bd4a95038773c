"""Where and when the data are, from their coordinates: the `coverage` of a header document."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.clock import duration
from catalog.errors import DataUnreadable
from catalog.record import BBox

_CIRCLE = 360.0
_NO_GAP = 10.0  # degrees that scattered positions may lack of the whole circle
_Floats = npt.NDArray[np.float64]


def cover(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the coverage (see `catalog.data`); what is odd or cannot be read is a problem, never an error."""
    axes = ax.find(dataset)
    problems = [{"code": code, "text": text} for code, text in axes.problems]
    resolution: dict[str, float | None] = dict.fromkeys(("longitude", "latitude", "depth", "time"))
    coverage: dict[str, Any] = {"kind": axes.kind, "boxes": [], "vertical": None, "time": None}
    if axes.longitude and axes.latitude:
        coverage["boxes"] = _boxes(dataset, axes, resolution, problems)
    if axes.vertical:
        coverage["vertical"] = _vertical(dataset, axes.vertical, resolution, problems)
    if axes.time:
        coverage["time"] = _time(dataset, axes, resolution, problems)
    coverage["resolution"] = resolution
    coverage["coordinates"] = sorted(axes.coordinates)
    coverage["problems"] = problems
    return coverage


def spacing(values: _Floats) -> float | None:
    """Return the median step of a one-dimensional axis, None where there is none."""
    if values.ndim != 1:
        return None
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else None


def box(longitudes: _Floats, latitudes: _Floats, step: float | None = None) -> BBox | None:
    """Return the smallest box around positions of any longitude convention; None where none is legal.

    Positions wider apart than half the circle are read across the antimeridian where that is shorter;
    columns whose step (degrees) closes the circle fill it.
    """
    x = longitudes[np.isfinite(longitudes) & (np.abs(longitudes) <= 3 * _CIRCLE)]
    y = latitudes[np.isfinite(latitudes) & (np.abs(latitudes) <= 90)]  # noqa: PLR2004
    if not x.size or not y.size:
        return None
    west, east = float(x.min()), float(x.max())
    if east - west > _CIRCLE / 2:
        around = np.unique(np.mod(x, _CIRCLE))
        gaps = np.diff(np.append(around, around[0] + _CIRCLE))
        widest = int(gaps.argmax())
        if gaps[widest] <= (_NO_GAP if step is None else 1.5 * step):
            west, east = -180.0, 180.0
        elif gaps[widest] > _CIRCLE - (east - west) + 1e-9:
            west, east = float(around[(widest + 1) % around.size]), float(around[widest])
    return BBox.of(west, float(y.min()), east, float(y.max()))


def _boxes(
    dataset: xr.Dataset, axes: Axes, resolution: dict[str, float | None], problems: list[dict[str, str]]
) -> list[list[float]]:
    """The box around all positions: of a mesh's nodes and faces, of every grid of a staggered one."""
    columns: dict[str, _Floats] = {}
    rows: dict[str, _Floats] = {}
    for longitude, latitude in axes.positions:
        for name, known in ((longitude, columns), (latitude, rows)):
            if name not in known and (values := _read(dataset, name, problems)) is not None:
                known[name] = values
    if axes.longitude not in columns or axes.latitude not in rows:
        return []
    if axes.geometry == "rectilinear":
        resolution["longitude"] = spacing(columns[axes.longitude])
        resolution["latitude"] = spacing(rows[axes.latitude])
    x, y = (np.concatenate([v.ravel() for v in known.values()]) for known in (columns, rows))
    if np.any(np.abs(y) > 90) or np.any(np.abs(x) > 3 * _CIRCLE):  # noqa: PLR2004
        problems.append(
            {"code": "position-out-of-range", "text": "some positions are beyond the poles or the circle"}
        )
    found = box(x, y, resolution["longitude"])
    if found is None:
        problems.append({"code": "no-position", "text": "no longitude and latitude has a legal value"})
        return []
    return [[found.west, found.south, found.east, found.north]]


def _vertical(
    dataset: xr.Dataset, name: str, resolution: dict[str, float | None], problems: list[dict[str, str]]
) -> list[float] | None:
    found = _read(dataset, name, problems)
    if found is None:
        return None
    factor = ax.depth_factor(dataset, name)
    if factor is None:
        units = str(dataset[name].attrs.get("units", ""))
        problems.append(
            {"code": "vertical-no-length", "text": f"the vertical axis {name} has units {units!r}, no length"}
        )
        return None
    if "bar" in str(dataset[name].attrs.get("units", "")).lower():
        problems.append(
            {"code": "pressure-as-depth", "text": f"pressure {name} in decibar is read as depth in metres"}
        )
    depths = found * factor + 0.0
    resolution["depth"] = spacing(depths)
    return [float(np.nanmin(depths)), float(np.nanmax(depths))]


def _time(
    dataset: xr.Dataset, axes: Axes, resolution: dict[str, float | None], problems: list[dict[str, str]]
) -> dict[str, str] | None:
    name = axes.time or ""
    found = _read(dataset, name, problems)
    if found is None:
        return None
    try:
        clock = ax.clock(dataset, name)
        if axes.lead:
            leads = ax.values(dataset[axes.lead].variable)
            unit = duration(str(dataset[axes.lead].attrs.get("units", ""))) or 1
            found = (found.reshape(-1, 1) + leads.reshape(1, -1) * (unit / clock.unit)).squeeze()
        ends = clock.instants(np.array([np.nanmin(found), np.nanmax(found)]))
    except DataUnreadable as error:
        problems.append({"code": "time-undecoded", "text": f"{name}: {error.message}"})
        return None
    if clock.months:
        said = f"{name} counts months or years: they are read as the calendar's"
        if clock.ambiguous(found):
            said += ", and a part of one as that part of its days, which is not what UDUNITS reads"
        problems.append({"code": "calendar-months", "text": said})
    step = spacing(found)
    resolution["time"] = round(step * clock.unit / 1e6, 6) if step else None
    return {"start": ends[0], "end": ends[1], "calendar": clock.calendar}


def _read(dataset: xr.Dataset, name: str, problems: list[dict[str, str]]) -> _Floats | None:
    """A coordinate's values; None, with a problem noted, where there are none."""
    try:
        found = ax.values(dataset[name].variable)
    except DataUnreadable as error:
        problems.append({"code": "coordinate-unreadable", "text": f"{name}: {error.message}"})
        return None
    if not np.isfinite(found).any():
        problems.append({"code": "coordinate-empty", "text": f"{name} has no value"})
        return None
    return found
