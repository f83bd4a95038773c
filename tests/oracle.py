"""What a cut must be, by numpy alone: written from what `catalog.data.subset.cut` promises, not from how it is done.

A request is `Asked`: what a client means, and the address's parameters that say so. `expected` gives the cells that
must come, or raises `Refused`; `judging.check` compares an answer with them. Shapely tells what lies in an area,
cftime the dates of times, and xarray what packed numbers mean.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cftime
import numpy as np
import shapely
import xarray as xr

RADIUS = 6_371_008.8


class Refused(Exception):
    """The code of the error that must come."""


@dataclass(frozen=True)
class Asked:
    """A request: `box` as it was written, `time` as two texts, `slabs` by dimension (start, stride, stop)."""

    names: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None
    time: tuple[str, str] | None = None
    depth: tuple[float, float] | None = None
    stride: Mapping[str, int] = field(default_factory=dict)
    slabs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    points: tuple[tuple[float, float], ...] = ()
    line: tuple[tuple[float, float], ...] = ()
    area: Any = None
    method: str = ""
    qc: str = ""
    reduce: str = ""

    def parameters(self):
        """The parameters of an address."""
        found = {
            "variables": ",".join(self.names),
            "method": self.method,
            "qc": self.qc,
            "reduce": self.reduce,
        }
        found["bbox"] = ",".join(f"{n:g}" for n in self.box or ())
        found["time"] = "/".join(self.time or ())
        found["depth"] = "/".join(f"{n!r}" for n in self.depth or ())
        found["stride"] = ",".join(f"{axis}:{n}" for axis, n in self.stride.items())
        found["indices"] = ",".join(f"{d}[{a}:{n}:{b}]" for d, (a, n, b) in self.slabs.items())
        if self.points:
            words = [f"{x!r} {y!r}" for x, y in self.points]
            found["coords"] = f"POINT({words[0]})" if len(words) == 1 else f"MULTIPOINT({','.join(words)})"
        if self.line:
            found["coords"] = f"LINESTRING({','.join(f'{x!r} {y!r}' for x, y in self.line)})"
        if self.area is not None:
            found["coords"] = shapely.to_wkt(self.area, rounding_precision=-1)
        return {name: text for name, text in found.items() if text}


@dataclass
class Part:
    """The cells that must come: indices by dimension, masks of the source (True stays), cells gathered in a list."""

    indices: dict[str, Any] = field(default_factory=dict)
    masks: list[tuple[tuple[str, ...], Any]] = field(default_factory=list)
    cells: dict[str, Any] = field(default_factory=dict)
    into: str = ""
    between: tuple[Any, Any] | None = None


def degrees(ocean, name):
    """A coordinate's numbers, NaN where missing."""
    variable = ocean.variables[name]
    values = variable.values.astype(float)
    return np.where(values == variable.attrs.get("_FillValue", np.nan), np.nan, values)


def dates(ocean):
    """The times as tuples of year … second, flat."""
    variable = ocean.variables[ocean.time]
    units, calendar = variable.attrs["units"], variable.attrs.get("calendar", "standard")
    found = cftime.num2date(variable.values.ravel(), units, calendar, only_use_cftime_datetimes=True)
    return [_tuple(date) for date in found]


def _tuple(date):
    return (date.year, date.month, date.day, date.hour, date.minute, date.second + date.microsecond / 1e6)


def said(text, *, end):
    """A written instant as such a tuple; a day is its first or last moment."""
    day, _, clock = text.rstrip("Z").partition("T")
    moment = (
        [float(part) for part in clock.split(":")] if clock else [23, 59, 59.999999] if end else [0, 0, 0]
    )
    return (*map(int, day.split("-")), *moment)


def expected(ocean, asked):
    """The cells that must come. Raises Refused."""
    part = Part()
    x, y = degrees(ocean, ocean.longitude), degrees(ocean, ocean.latitude)
    if ocean.shape == "lines":
        _lines(ocean, asked, part, x, y)
    else:
        _cells(ocean, asked, part, x, y)
    along_steps(ocean, asked, part)
    trimmed(ocean, part)
    for axis, step in asked.stride.items():
        for d in dimensions(ocean, axis):
            part.indices[d] = part.indices.get(d, np.arange(ocean.sizes[d]))[::step]
    for d, (first, step, last) in asked.slabs.items():
        part.indices[d] = np.arange(first, last + 1, step)
    for dims, mask in part.masks:
        if not taken(dims, mask, part.indices).any():
            raise Refused("outside-domain")
    return part


def dimensions(ocean, axis):
    if axis not in {"longitude", "latitude", "depth", "time"}:
        return (axis,)
    name = getattr(ocean, axis)
    dims = ocean.variables[name].dims if name else ()
    return dims if len(dims) < 2 else dims[-1:] if axis == "longitude" else dims[-2:-1]


def _east(values, west):
    return (values - west) % 360


def in_box(box, x, y):
    """Which centres lie in the closed box, as it was written."""
    west, south, east, north = box
    width = east - west if east >= west else east + 360 - west
    with np.errstate(invalid="ignore"):
        return ((_east(x, west) <= width) | (width >= 360)) & (y >= south) & (y <= north) & np.isfinite(x)


def in_area(area, x, y):
    """Which centres lie in an area or on its edge, whatever turn their longitudes are written in."""
    turns = [shapely.intersects_xy(area, x + turn, y) for turn in (-720, -360, 0, 360, 720)]
    return np.logical_or.reduce(turns)


def _lines(ocean, asked, part, x, y):
    """Rows and columns."""
    box = asked.box if asked.area is None else _around(asked.area)
    if box:
        west, south, east, north = box
        columns = np.flatnonzero(in_box((west, -90, east, 90), x, 0 * x))
        rows = np.flatnonzero((y >= south) & (y <= north))
        if not (columns.size and rows.size):
            raise Refused("outside-domain")
        whole = (east - west) % 360 == 0 and east != west
        if not whole:
            _, first = np.unique(_east(x[columns], west), return_index=True)
            columns = columns[first]
        part.indices |= {"lat": rows, "lon": columns}
    if asked.area is not None:
        inside = in_area(asked.area, *np.meshgrid(x, y))
        if not inside.any():
            raise Refused("outside-domain")
        part.masks.append((("lat", "lon"), inside))
    if asked.points:
        found = [nearest_line(x, y, *point) for point in asked.points]
        if not all(inside for _, _, inside in found):
            raise Refused("outside-domain")
        _gather(
            ocean,
            asked,
            part,
            {"lat": [row for row, _, _ in found], "lon": [column for _, column, _ in found]},
        )


def _around(area):
    west, south, east, north = area.bounds
    return west, south, east, north


def nearest_line(x, y, longitude, latitude):
    """The row and column of the cell that holds a point, half a cell beyond the outermost centres included."""
    away = np.abs((x - longitude + 180) % 360 - 180)
    step, rise = np.diff(np.sort(x)).max(), np.diff(np.sort(y)).max()
    closed = np.ptp(x) + 2 * step > 360
    inside = (closed or away.min() <= step / 2) and np.abs(y - latitude).min() <= rise / 2
    return int(np.abs(y - latitude).argmin()), int(away.argmin()), inside


def _gather(ocean, asked, part, cells):
    if len(asked.points) == 1:
        part.indices |= {d: np.array(at) for d, at in cells.items()}
    else:
        part.cells = {d: np.array(at) for d, at in cells.items()}
        part.into = "station_" if "station" in ocean.sizes else "station"


def apart(longitude, latitude, longitudes, latitudes):
    """Metres along great circles (haversine)."""
    a, b, c, d = (np.radians(v) for v in (longitude, latitude, longitudes, latitudes))
    half = np.sin((d - b) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((c - a) / 2) ** 2
    return 2 * RADIUS * np.arcsin(np.sqrt(np.minimum(half, 1)))


def _cells(ocean, asked, part, x, y):
    """Single cells: of a curvilinear grid, a mesh, stations, a track."""
    dims = ocean.variables[ocean.longitude].dims
    inside = None
    if asked.box:
        inside = in_box(asked.box, x, y)
    if asked.area is not None:
        with np.errstate(invalid="ignore"):
            inside = in_area(asked.area, x, y)
    if inside is not None:
        if not inside.any():
            raise Refused("outside-domain")
        if len(dims) == 1:
            part.indices[dims[0]] = np.flatnonzero(inside)
        else:
            part.masks.append((dims, inside))
            window = in_box(asked.box or _around(asked.area), x, y)
            for axis, d in enumerate(dims):
                at = np.flatnonzero(window.any(axis=tuple({0, 1} - {axis})))
                part.indices[d] = np.arange(at[0], at[-1] + 1)
    if asked.points:
        far = [apart(*point, x, y) for point in asked.points]
        if any(np.nanmin(each) > 9_000 for each in far):
            raise Refused("outside-domain")
        places = zip(*(np.unravel_index(np.nanargmin(each), x.shape) for each in far), strict=True)
        _gather(ocean, asked, part, dict(zip(dims, map(list, places), strict=True)))


def along_steps(ocean, asked, part):
    """Times and depths between two, both included; or the nearest step."""
    single = asked.method and asked.time and asked.time[0] == asked.time[-1] and "T" in asked.time[0]
    if single and asked.method == "linear":
        part.between = _two_steps(ocean.variables[ocean.time], asked.time[0])
    elif asked.time:
        variable = ocean.variables[ocean.time]
        first, last = said(asked.time[0], end=False), said(asked.time[-1], end=True)
        inside = np.array([first <= date <= last for date in dates(ocean)])
        inside = _nearest_step(variable, asked.time[0]) if single else inside.reshape(variable.shape)
        _along(part, variable.dims, inside)
    if asked.depth:
        variable = ocean.variables[ocean.depth]
        values = variable.values * (-1 if variable.attrs["positive"] == "up" else 1)
        inside = (values >= asked.depth[0]) & (values <= asked.depth[1])
        if asked.method == "nearest" and asked.depth[0] == asked.depth[1]:
            inside = _nearest_level(values, asked.depth[0])
        _along(part, variable.dims, inside)


def _number(variable, text):
    units, calendar = variable.attrs["units"], variable.attrs.get("calendar", "standard")
    return cftime.date2num(
        cftime.datetime(*map(int, said(text, end=False)), calendar=calendar), units, calendar
    )


def _two_steps(variable, text):
    """The two steps around an instant, and what each of them counts."""
    asked, values = _number(variable, text), variable.values.astype(float)
    if not values.min() <= asked <= values.max():
        raise Refused("outside-domain")
    return shares(values, asked)


def _nearest_step(variable, text):
    asked, values = _number(variable, text), variable.values.astype(float).ravel()
    low, high = values[0] - (values[1] - values[0]) / 2, values[-1] + (values[-1] - values[-2]) / 2
    if not low <= asked <= high:
        raise Refused("outside-domain")
    return np.arange(values.size) == np.abs(values - asked).argmin()


def _nearest_level(values, depth):
    """Half a step beyond the ends, and up to the surface from a first level no deeper than its step."""
    known = np.sort(values)
    surface = 0 <= depth <= known[0] <= known[1] - known[0]
    low, high = known[0] - (known[1] - known[0]) / 2, known[-1] + (known[-1] - known[-2]) / 2
    if not (surface or low <= depth <= high):
        raise Refused("outside-domain")
    return np.arange(values.size) == np.abs(values - depth).argmin()


def _along(part, dims, inside):
    if not inside.any() or any(not inside[part.cells[d]].all() for d in dims if d in part.cells):
        raise Refused("outside-domain")
    if set(dims) & set(part.cells) and len(dims) == 1:
        return
    if len(dims) == 1:
        known = part.indices.get(dims[0], np.arange(inside.size))
        part.indices[dims[0]] = known[inside[known]]
    elif dims:
        part.masks.append((dims, inside))


def trimmed(ocean, part):
    """Nothing is left, or the smallest window of masks over several dimensions; samples follow their profile."""
    if ocean.shape == "ragged":
        of = np.repeat(np.arange(len(ocean.counts)), ocean.counts)
        kept = np.zeros(len(ocean.counts), bool)
        kept[part.indices.get("profile", np.arange(kept.size))] = True
        there = np.zeros(of.size, bool)
        there[part.indices.get("obs", np.arange(of.size))] = True
        there &= kept[of]
        if "obs" in part.indices:
            kept &= (np.bincount(of[there], minlength=kept.size) > 0) | (ocean.counts == 0)
        part.indices = {"profile": np.flatnonzero(kept), "obs": np.flatnonzero(there)}
        if not kept.any() or ("obs" in part.indices and not there.any()):
            raise Refused("outside-domain")
    if ocean.shape == "cloud":
        for dims, mask in part.masks:
            at = [part.indices.get(d, np.arange(ocean.sizes[d])) for d in dims]
            inside = mask[np.ix_(*at)]
            if not inside.any():
                raise Refused("outside-domain")
            for axis, d in enumerate(dims):
                there = np.flatnonzero(inside.any(axis=tuple({0, 1} - {axis})))
                part.indices[d] = at[axis][there[0] : there[-1] + 1]
    if any(not at.size for at in part.indices.values()):
        raise Refused("outside-domain")


def taken(dims, values, indices):
    for axis, d in enumerate(dims):
        if d in indices:
            values = values.take(indices[d], axis=axis)
    return values


def decoded(variable):
    """What raw numbers mean, float64, as xarray says."""
    plain = xr.Variable(variable.dims, np.asarray(variable.values), variable.attrs)
    with warnings.catch_warnings(action="ignore", category=xr.SerializationWarning):  # several fill values
        found = xr.conventions.decode_cf_variable("v", plain, decode_times=False, decode_timedelta=False)
    return np.asarray(found.values, float)


def stays(variable, part):
    """The source's raw numbers at the cells that must come, which of them stay, and their dimensions."""
    keep = np.ones(variable.shape, bool)
    for dims, mask in part.masks:
        if set(dims) <= set(variable.dims):
            spread = xr.Variable(dims, mask).set_dims(dict(variable.sizes)).transpose(*variable.dims)
            keep &= spread.values
    raw, keep = (taken(variable.dims, values, part.indices) for values in (variable.values, keep))
    own = [d for d in variable.dims if d in part.cells]
    if not own:
        return raw, keep, variable.dims
    at = tuple(part.cells[d] for d in own)
    axes = [variable.dims.index(d) for d in own]
    raw, keep = (np.moveaxis(values, axes, range(len(own)))[at] for values in (raw, keep))
    return raw, keep, (part.into, *(d for d in variable.dims if d not in part.cells))


def shares(values, asked):
    """The two places around a number on an axis, and what each of them counts."""
    order = np.argsort(values)
    after = min(max(int(np.searchsorted(values[order], asked)), 1), values.size - 1)
    low, high = order[after - 1], order[after]
    share = (asked - values[low]) / (values[high] - values[low])
    return np.array([low, high]), (1 - share, share)
