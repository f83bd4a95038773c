"""Which indices along each dimension a cut asks for."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.clock import NEVER, position
from catalog.data.coverage import cover, spacing
from catalog.data.cuts import Cut
from catalog.data.origin import sample_dimensions
from catalog.data.packing import unpack
from catalog.errors import BadRequest, DataUnreadable, NotSubsettable, OutsideDomain
from catalog.record import BBox

Picks = Mapping[str, npt.NDArray[np.intp]]
"""Indices by dimension, in the order of the result; a dimension that is not named is whole."""

_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]
_CIRCLE = 360.0
_BARE = ("longitude", "latitude", "time")  # the axes of a stride that names none
_ROUNDED = 1e-9  # degrees, 0.1 mm: what bringing a longitude into −180…180 or writing ten digits may cost


@dataclass(frozen=True)
class _Condition:
    """Which centres of an axis are asked for; `order` and `nearest` say how to sort them and what is near."""

    name: str
    label: str
    inside: _Mask
    order: _Floats | None = None
    nearest: str = ""


def pick(dataset: xr.Dataset, axes: Axes, cut: Cut) -> Picks:
    """Return the indices that a cut asks for; only coordinates are read.

    Raises:
        OutsideDomain: Nothing lies inside; `details["domain"]` says where the data are.
        NotSubsettable: The data have no such axis, or one that cannot be cut by.
        BadRequest: A stride names no axis.
    """
    conditions = [
        *(_in_box(dataset, axes, cut.bbox) if cut.bbox else ()),
        *(_in_time(dataset, axes, cut.time) if cut.time else ()),
        *(_in_depth(dataset, axes, cut.depth) if cut.depth else ()),
    ]
    by_dimension: dict[str, list[_Condition]] = {}
    for condition in conditions:
        dimensions = dataset[condition.name].dims
        if len(dimensions) > 1 or sample_dimensions(dataset):
            raise NotSubsettable(
                f"the data cannot be cut by {condition.label}: they are ragged, or it has several dimensions",
                hint=f"ask without {condition.label}",
            )
        if not condition.inside.any():
            said = f"no centre of the data lies in the {condition.label} asked for"
            raise _outside(dataset, said + condition.nearest)
        _check_grid(dataset, axes, cut, condition.label, dimensions)
        for dimension in dimensions:
            by_dimension.setdefault(str(dimension), []).append(condition)
    picks = {d: indices for d, cs in by_dimension.items() if (indices := _indices(dataset, cs)) is not None}
    return _strided(dataset, axes, cut, picks)


def _indices(dataset: xr.Dataset, conditions: list[_Condition]) -> npt.NDArray[np.intp] | None:
    """The indices of one dimension that fulfil every condition; None for all of them."""
    mask = np.logical_and.reduce([condition.inside for condition in conditions])
    indices = np.flatnonzero(mask)
    if not indices.size:
        raise _outside(dataset, "no position of the data fulfils every condition at once")
    for condition in conditions:
        if condition.order is not None:
            indices = _sorted(indices, condition.order[indices])
    return None if np.array_equal(indices, np.arange(mask.size)) else indices


def _check_grid(dataset: xr.Dataset, axes: Axes, cut: Cut, label: str, dimensions: Collection[Any]) -> None:
    """Refuse to cut one grid of several: every wanted variable lies on the axis, or on no axis of its role."""
    others = _other_dimensions(dataset, axes, label) - set(dimensions)
    for name in cut.variables or axes.data_variables(dataset):
        there = set(dataset[name].dims) if name in dataset.variables else set()
        if there & others and not there >= set(dimensions):
            raise NotSubsettable(
                f"{name[:60]} lies on another grid than the {label} that the data are cut by",
                hint="ask for variables of one grid, with variables=; only the grid of "
                f"{axes.longitude or axes.time} is cut",
            )


def _other_dimensions(dataset: xr.Dataset, axes: Axes, label: str) -> set[Any]:
    """The dimensions of the other axes of a role."""
    if label in {"longitude", "latitude"}:
        names = {name for pair in axes.positions[1:] for name in pair}
        first = {d for name in axes.positions[0] for d in dataset[name].dims} if axes.positions else set()
        return {d for name in names for d in dataset[name].dims} - first
    lines = {name: v for name, v in dataset.variables.items() if v.dims == (name,)}
    if label == "time":
        return {name for name, v in lines.items() if " since " in str(v.attrs.get("units", ""))}
    return {name for name, v in lines.items() if "positive" in v.attrs or v.attrs.get("axis") == "Z"}


def _in_box(dataset: xr.Dataset, axes: Axes, box: BBox) -> Iterator[_Condition]:
    if axes.longitude is None or axes.latitude is None:
        raise NotSubsettable("the data have no longitude and latitude", hint="ask without bbox")
    if axes.geometry in {"curvilinear", "mesh"}:
        raise NotSubsettable(
            f"the data lie on a {axes.geometry} grid, which is not cut by box", hint="ask without bbox"
        )
    x, y = dataset[axes.longitude], dataset[axes.latitude]
    longitudes, latitudes = ax.values(x.variable), ax.values(y.variable)
    # the same meridian is written 0…360 and −180…180, in the axis's own precision: the coarser writing counts
    written = np.maximum.reduce([np.abs(longitudes), longitudes % _CIRCLE, _fold(longitudes)])
    slack = _slack(x, longitudes, written, axes)
    unrolled = unroll(longitudes, box.west, box.east, slack)
    middle = box.west + (box.east - box.west) % _CIRCLE / 2
    around = middle + (longitudes - middle + _CIRCLE / 2) % _CIRCLE - _CIRCLE / 2
    order = unrolled if axes.geometry == "rectilinear" else None
    yield _Condition(
        axes.longitude, "longitude", np.isfinite(unrolled), order, _nearest(longitudes, around, middle)
    )
    inside = _within(latitudes, box.south, box.north, _slack(y, latitudes, np.abs(latitudes), axes))
    nearest = _nearest(latitudes, latitudes, (box.south + box.north) / 2)
    yield _Condition(axes.latitude, "latitude", inside, nearest=nearest)


def _in_time(dataset: xr.Dataset, axes: Axes, time: tuple[str | None, str | None]) -> Iterator[_Condition]:
    if axes.time is None:
        raise NotSubsettable("the data have no time axis", hint="ask without time")
    try:
        places = ax.clock(dataset, axes.time).positions(ax.values(dataset[axes.time].variable))
    except DataUnreadable as error:
        raise NotSubsettable(
            f"the time axis cannot be cut by: {error.message}", hint="ask without time"
        ) from error
    first = position(time[0]) if time[0] else NEVER + 1
    last = position(time[1]) if time[1] else -NEVER
    yield _Condition(axes.time, "time", (places >= first) & (places <= last))


def _in_depth(dataset: xr.Dataset, axes: Axes, depth: tuple[float, float]) -> Iterator[_Condition]:
    factor = ax.depth_factor(dataset, axes.vertical) if axes.vertical else None
    if axes.vertical is None or factor is None:
        raise NotSubsettable("the data have no depth axis in metres", hint="ask without depth")
    variable = dataset[axes.vertical]
    depths = ax.values(variable.variable) * factor
    nearest = _nearest(depths, depths, (depth[0] + depth[1]) / 2)
    inside = _within(depths, *depth, _slack(variable, depths, np.abs(depths), axes))
    yield _Condition(axes.vertical, "depth", inside, nearest=nearest)


def unroll(longitudes: _Floats, west: float, east: float, slack: _Floats | float = 0.0) -> _Floats:
    """Return longitudes brought into the closed range west…east by whole turns; NaN for those outside it.

    Where the range is the whole circle, every longitude stays as it is. `slack` (degrees) is how far beyond the range
    a longitude is still inside.
    """
    east = east if west <= east + _ROUNDED else east + _CIRCLE
    if east - west >= _CIRCLE:
        return longitudes
    found = np.full(longitudes.shape, np.nan)
    for turn in _CIRCLE * np.arange(-3, 4):
        inside = _within(longitudes, west + turn, east + turn, slack)
        found[inside] = longitudes[inside] - turn
    return found


def _sorted(indices: npt.NDArray[np.intp], longitudes: _Floats) -> npt.NDArray[np.intp]:
    """Indices from west to east (or as the source runs), each meridian once."""
    steps = np.diff(longitudes)
    if np.all(steps > 0) or np.all(steps < 0):
        return indices
    _, first = np.unique(longitudes, return_index=True)
    falling = np.median(steps) < 0
    return indices[first[::-1] if falling else first]


def _nearest(values: _Floats, placed: _Floats, middle: float) -> str:
    """What centre is nearest to the middle of what was asked for."""
    if not np.isfinite(placed).any():
        return ""
    nearest = float(values.ravel()[np.nanargmin(np.abs(placed - middle).ravel())])
    step = spacing(values)
    return f"; the nearest centre is {nearest:.7g}" + (f", and centres are {step:.4g} apart" if step else "")


def _outside(dataset: xr.Dataset, said: str) -> OutsideDomain:
    found = cover(dataset)
    time, vertical = found["time"] or {}, found["vertical"]
    domain: dict[str, Any] = {
        "bbox": found["boxes"][0] if found["boxes"] else None,
        "time": [time["start"], time["end"]] if time else None,
        "depth": vertical,
        "calendar": time.get("calendar"),
    }
    where = [f"bbox {','.join(f'{n:.7g}' for n in domain['bbox'])}"] if domain["bbox"] else []
    where += [f"time {'/'.join(domain['time'])} ({domain['calendar']})"] if domain["time"] else []
    where += [f"depth {vertical[0]:.7g}/{vertical[1]:.7g} m"] if vertical else []
    data = "; ".join(where) or "no known place"
    return OutsideDomain(
        f"{said}; the data are in {data}", hint="ask within the data's domain", details={"domain": domain}
    )


def _within(values: _Floats, first: float, last: float, slack: _Floats | float) -> _Mask:
    found: _Mask = (values >= first - slack) & (values <= last + slack)
    return found


def _fold(longitudes: _Floats) -> _Floats:
    """How far longitudes are from Greenwich."""
    found: _Floats = np.abs((longitudes + _CIRCLE / 2) % _CIRCLE - _CIRCLE / 2)
    return found


def _slack(variable: xr.DataArray, values: _Floats, written: _Floats, axes: Axes) -> _Floats:
    """How far a bound may be from a centre and still be that centre: two units in the last place of the axis's type.

    105.1 so means the centre that a float32 axis prints as 105.1. It is less than would reach the next centre.
    """
    dtype = unpack(np.empty(0, variable.dtype), variable.attrs).dtype
    precise = dtype if dtype.kind == "f" and dtype.itemsize < np.dtype(np.float64).itemsize else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        units = np.spacing(written.astype(precise)).astype(np.float64)
    found: _Floats = np.maximum(2 * units, _ROUNDED)
    if axes.geometry == "rectilinear":
        gaps = np.diff(np.unique(values[np.isfinite(values)]))
        found = np.minimum(found, gaps.min() / 4) if gaps.size else found
    return found


def _strided(dataset: xr.Dataset, axes: Axes, cut: Cut, picks: dict[str, Any]) -> Picks:
    bare = set(_BARE) <= set(cut.stride)
    steps: dict[str, int] = {}
    for axis, step in cut.stride.items():
        dimensions = _dimensions(dataset, axes, axis)
        if not dimensions and not (bare and axis in _BARE):
            raise BadRequest(
                f"stride names no axis of the data: {axis[:60]!r}",
                hint="axes: longitude, latitude, depth, time; dimensions: "
                + ", ".join(map(str, dataset.sizes)),
            )
        if step > 1 and dimensions:
            _check_whole(dataset, axes, dimensions[0])
            if axis in {*_BARE, "depth"}:
                _check_grid(dataset, axes, cut, axis, dimensions)
            if not bare or axis not in _BARE:
                _check_there(dataset, cut, axis, dimensions)
        steps.update(dict.fromkeys(dimensions, step))
    whole = {dimension: np.arange(dataset.sizes[dimension]) for dimension in steps if steps[dimension] > 1}
    return {**picks, **{d: picks.get(d, indices)[:: steps[d]] for d, indices in whole.items()}}


def _check_there(dataset: xr.Dataset, cut: Cut, axis: str, dimensions: Collection[Any]) -> None:
    """Refuse a stride that a variable asked for by name would not heed."""
    for name in cut.variables:
        if (
            name in dataset.variables
            and dataset[name].ndim
            and not set(dataset[name].dims) >= set(dimensions)
        ):
            raise BadRequest(
                f"{name[:60]} does not lie on the axis that stride names: {axis[:60]!r}",
                hint=f"dimensions of {name[:60]}: {', '.join(map(str, dataset[name].dims))}",
            )


def _check_whole(dataset: xr.Dataset, axes: Axes, dimension: str) -> None:
    """Refuse a stride that would leave a mesh's links or a ragged array's counts pointing at other cells."""
    samples = sample_dimensions(dataset)
    rows = {
        str(d)
        for v in dataset.variables.values()
        for d in (*v.dims, v.attrs.get("instance_dimension"))
        if {"sample_dimension", "instance_dimension"} & set(v.attrs)
    }
    places = {str(d) for pair in axes.positions for name in pair for d in dataset[name].dims}
    free = {str(d) for name in (axes.time, axes.vertical) if name for d in dataset[name].dims} - places
    if dimension in samples | rows or (axes.geometry == "mesh" and dimension not in free):
        what = "a mesh" if axes.geometry == "mesh" else "a ragged array"
        raise NotSubsettable(
            f"the data are {what}, which a stride along {dimension[:60]} would break",
            hint="ask without it" + (", or for stride=time:2" if axes.geometry == "mesh" else ""),
        )


def _dimensions(dataset: xr.Dataset, axes: Axes, axis: str) -> tuple[str, ...]:
    """The dimension that a stride's axis name stands for."""
    name = {
        "longitude": axes.longitude,
        "latitude": axes.latitude,
        "depth": axes.vertical,
        "time": axes.time,
    }.get(axis)
    dimensions = tuple(map(str, dataset[name].dims)) if name else ()
    if len(dimensions) > 1 and axis in {"longitude", "latitude"}:
        return dimensions[-1:] if axis == "longitude" else dimensions[-2:-1]
    if len(dimensions) == 1:
        return dimensions
    return (axis,) if axis in dataset.sizes else ()
