"""Which indices along each dimension a cut asks for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.coverage import cover, spacing
from catalog.data.cuts import Cut
from catalog.errors import BadRequest, DataUnreadable, NotSubsettable, OutsideDomain
from catalog.instant import seconds
from catalog.record import BBox

Picks = Mapping[str, npt.NDArray[np.intp]]
"""Indices by dimension, in the order of the result; a dimension that is not named is whole."""

_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]
_CIRCLE = 360.0


def pick(dataset: xr.Dataset, axes: Axes, cut: Cut) -> Picks:
    """Return the indices that a cut asks for; only coordinates are read.

    Raises:
        OutsideDomain: Nothing lies inside; `details["domain"]` says where the data are.
        NotSubsettable: The data have no such axis, or one that cannot be cut by.
        BadRequest: A stride names no axis.
    """
    masks: dict[str, _Mask] = {}
    order: dict[str, _Floats] = {}
    if cut.bbox is not None:
        _pick_box(dataset, axes, cut.bbox, masks, order)
    if cut.time is not None:
        _pick_time(dataset, axes, cut.time, masks)
    if cut.depth is not None:
        _pick_depth(dataset, axes, cut.depth, masks)
    picks: dict[str, npt.NDArray[np.intp]] = {}
    for dimension, mask in masks.items():
        indices = np.flatnonzero(mask)
        if not indices.size:
            raise _outside(dataset, "no position of the data fulfils every condition at once")
        if dimension in order:
            indices = _unrolled(indices, order[dimension][indices])
        if indices.size < mask.size or not np.array_equal(indices, np.arange(mask.size)):
            picks[dimension] = indices
    return _strided(dataset, axes, cut.stride, picks)


def _pick_box(
    dataset: xr.Dataset, axes: Axes, box: BBox, masks: dict[str, _Mask], order: dict[str, _Floats]
) -> None:
    if axes.longitude is None or axes.latitude is None:
        raise NotSubsettable("the data have no longitude and latitude", hint="ask without bbox")
    if axes.geometry in {"curvilinear", "mesh"}:
        raise NotSubsettable(f"the data lie on a {axes.geometry} grid, which is not cut by box", hint="ask without bbox")
    x, y = dataset[axes.longitude], dataset[axes.latitude]
    longitudes, latitudes = _coordinate(dataset, axes.longitude), _coordinate(dataset, axes.latitude)
    unrolled = unroll(longitudes, _bound(x, box.west), _bound(x, box.east))
    south, north = _bound(y, box.south), _bound(y, box.north)
    inside = (latitudes >= south) & (latitudes <= north)
    across = box.west + (box.east - box.west) % _CIRCLE / 2
    _note(dataset, axes.longitude, np.isfinite(unrolled), masks, (longitudes, across))
    _note(dataset, axes.latitude, inside, masks, (latitudes, (box.south + box.north) / 2))
    if axes.geometry == "rectilinear" and not np.array_equal(unrolled, longitudes, equal_nan=True):
        order[str(x.dims[0])] = unrolled


def unroll(longitudes: _Floats, west: float, east: float) -> _Floats:
    """Return longitudes brought into the closed range west…east by whole turns; NaN for those outside it.

    Where the range is the whole circle, every longitude stays as it is.
    """
    east = east if west <= east else east + _CIRCLE
    if east - west >= _CIRCLE:
        return longitudes
    found = np.full(longitudes.shape, np.nan)
    for turn in (-2 * _CIRCLE, -_CIRCLE, 0.0, _CIRCLE, 2 * _CIRCLE):
        inside = (longitudes >= west + turn) & (longitudes <= east + turn)
        found[inside] = longitudes[inside] - turn
    return found


def _unrolled(indices: npt.NDArray[np.intp], longitudes: _Floats) -> npt.NDArray[np.intp]:
    """Indices from west to east (or as the source runs), each meridian once."""
    steps = np.diff(longitudes)
    if np.all(steps > 0) or np.all(steps < 0):
        return indices
    _, first = np.unique(longitudes, return_index=True)
    falling = np.median(steps) < 0
    return indices[first[::-1] if falling else first]


def _pick_time(
    dataset: xr.Dataset, axes: Axes, time: tuple[str | None, str | None], masks: dict[str, _Mask]
) -> None:
    if axes.time is None:
        raise NotSubsettable("the data have no time axis", hint="ask without time")
    try:
        instants = ax.clock(dataset, axes.time).seconds(_coordinate(dataset, axes.time))
    except DataUnreadable as error:
        raise NotSubsettable(f"the time axis cannot be cut by: {error.message}", hint="ask without time") from error
    first = seconds(time[0]) if time[0] else -np.inf
    last = seconds(time[1]) if time[1] else np.inf
    inside = (instants >= first) & (instants <= last)
    _note(dataset, axes.time, inside, masks, None)


def _pick_depth(
    dataset: xr.Dataset, axes: Axes, depth: tuple[float, float], masks: dict[str, _Mask]
) -> None:
    factor = ax.depth_factor(dataset, axes.vertical) if axes.vertical else None
    if axes.vertical is None or factor is None:
        raise NotSubsettable("the data have no depth axis in metres", hint="ask without depth")
    depths = _coordinate(dataset, axes.vertical) * factor
    variable = dataset[axes.vertical]
    top, bottom = (_bound(variable, bound / factor) * factor for bound in depth)
    inside = (depths >= top) & (depths <= bottom)
    _note(dataset, axes.vertical, inside, masks, (depths, (depth[0] + depth[1]) / 2))


def _note(
    variable: xr.DataArray, label: str, inside: _Mask, masks: dict[str, _Mask], nearest: str = ""
) -> str | None:
    """Add a condition on an axis; what is wrong is given back where nothing fulfils it."""
    dimensions = dataset[name].dims
    if len(dimensions) > 1:
        raise NotSubsettable(f"{name} has {len(dimensions)} dimensions, and cannot be cut by", hint="ask without it")
    if not inside.any():
        raise _outside(dataset, f"no centre of the data lies in the {label} asked for{_nearest(wanted)}")
    if dimensions:
        dimension = str(dimensions[0])
        masks[dimension] = masks[dimension] & inside if dimension in masks else inside


def _nearest(wanted: tuple[_Floats, float] | None) -> str:
    if wanted is None or not np.isfinite(wanted[0]).any():
        return ""
    values, middle = wanted
    nearest = float(values.ravel()[np.nanargmin(np.abs(values - middle))])
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
    return OutsideDomain(f"{said}; the data are in {data}", hint="ask within the data's domain", details={"domain": domain})


def _coordinate(dataset: xr.Dataset, name: str) -> _Floats:
    return ax.values(dataset[name].variable)


def _bound(variable: xr.DataArray, bound: float) -> float:
    """A bound at the coordinate's own precision: 105.1 means the centre that a float32 axis prints as 105.1."""
    return float(np.float32(bound)) if variable.dtype == np.float32 else bound


def _strided(dataset: xr.Dataset, axes: Axes, stride: Mapping[str, int], picks: dict[str, Any]) -> Picks:
    bare = {"longitude", "latitude", "time"} <= set(stride)
    steps: dict[str, int] = {}
    for axis, step in stride.items():
        dimensions = _dimensions(dataset, axes, axis)
        if not dimensions and not (bare and axis in {"longitude", "latitude", "time"}):
            raise BadRequest(
                f"stride names no axis of the data: {axis[:60]!r}",
                hint="axes: longitude, latitude, depth, time; dimensions: " + ", ".join(map(str, dataset.sizes)),
            )
        steps.update(dict.fromkeys(dimensions, step))
    whole = {dimension: np.arange(dataset.sizes[dimension]) for dimension in steps if steps[dimension] > 1}
    return {**picks, **{d: picks.get(d, indices)[:: steps[d]] for d, indices in whole.items()}}


def _dimensions(dataset: xr.Dataset, axes: Axes, axis: str) -> tuple[str, ...]:
    """The dimension that a stride's axis name stands for."""
    name = {"longitude": axes.longitude, "latitude": axes.latitude, "depth": axes.vertical, "time": axes.time}.get(axis)
    dimensions = tuple(map(str, dataset[name].dims)) if name else ()
    if len(dimensions) > 1 and axis in {"longitude", "latitude"}:
        return dimensions[-1:] if axis == "longitude" else dimensions[-2:-1]
    if len(dimensions) == 1:
        return dimensions
    return (axis,) if axis in dataset.sizes else ()
