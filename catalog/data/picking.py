"""Which indices along each dimension a cut asks for, and which cells between them stay."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.clock import NEVER, position
from catalog.data.coverage import cover, spacing
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.lines import CIRCLE, Line, slack_of, spelled
from catalog.data.origin import sample_dimensions
from catalog.errors import BadRequest, DataUnreadable, NotSubsettable, OutsideDomain
from catalog.record import BBox

Picks = Mapping[str, npt.NDArray[np.intp]]
"""Indices by dimension, in the order of the result; a dimension that is not named is whole."""

Keeps = tuple[tuple[tuple[str, ...], npt.NDArray[np.bool_]], ...]
"""Pairs of dimensions and a mask over the picked window of them: False where a cell becomes missing."""

_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]
_BARE = ("longitude", "latitude", "time")  # the axes of a stride that names none


@dataclass(frozen=True)
class Picked:
    """What a cut asks for.

    Args:
        indices: The source's indices by dimension; a dimension that is not named is whole.
        keeps: Masks in the coordinates of the picked window; data variables over all of a mask's dimensions become
            missing where it is False (`catalog.data.masking`), coordinates stay.
        replaced: Variables that are other ones in the part (links of a mesh, counts of a ragged array), already cut.
        dropped: Variables that the part cannot have.
        notes: English sentences that the answer must say.
    """

    indices: Picks = field(default_factory=dict)
    keeps: Keeps = ()
    replaced: Mapping[str, xr.Variable] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Condition:
    """The indices of centres along a dimension that are asked for; `order` sorts them, `nearest` says what is near."""

    name: str
    label: str
    inside: _Indices
    order: _Floats | None = None


def pick(grid: Grid, cut: Cut) -> Picked:
    """Return what a cut asks for; only coordinates are read, and those once.

    Raises:
        OutsideDomain: Nothing lies inside; `details["domain"]` says where the data are.
        NotSubsettable: The data have no such axis, or one that cannot be cut by.
        BadRequest: A stride names no axis.
    """
    by_dimension: dict[str, list[_Condition]] = {}
    for condition in _conditions(grid, cut):
        dimensions = grid.dataset.variables[condition.name].dims
        if not condition.inside.size:
            said = f"no centre of the data lies in the {condition.label} asked for"
            raise outside(grid, said + _near(grid, condition, cut))
        _check_grid(grid, cut, condition.label, dimensions)
        for dimension in dimensions:
            by_dimension.setdefault(str(dimension), []).append(condition)
    picks = {d: indices for d, cs in by_dimension.items() if (indices := _indices(grid, d, cs)) is not None}
    return Picked(_strided(grid, cut, picks) if cut.stride else picks)


def _conditions(grid: Grid, cut: Cut) -> Iterator[_Condition]:
    asked = (
        ((grid.axes.longitude, grid.axes.latitude), "longitude", cut.bbox),
        ((grid.axes.time,), "time", cut.time),
        ((grid.axes.vertical,), "depth", cut.depth),
    )
    for names, label, there in asked:
        if there is None:
            continue
        for name in names:
            if name and grid.axes.geometry not in {"curvilinear", "mesh"}:
                _check_line(grid, name, label)
    if cut.bbox:
        yield from _in_box(grid, cut.bbox)
    if cut.time:
        yield _in_time(grid, cut.time)
    if cut.depth:
        yield _in_depth(grid, cut.depth)


def _check_line(grid: Grid, name: str, label: str) -> None:
    if grid.dataset.variables[name].ndim > 1 or grid.keep("samples", lambda: sample_dimensions(grid.dataset)):
        raise NotSubsettable(
            f"the data cannot be cut by {label}: they are ragged, or it has several dimensions",
            hint=f"ask without {label}",
        )


def _indices(grid: Grid, dimension: str, conditions: list[_Condition]) -> _Indices | None:
    """The indices of one dimension that fulfil every condition; None for all of them."""
    indices, order = conditions[0].inside, conditions[0].order
    for condition in conditions[1:]:
        both = np.isin(indices, condition.inside)
        indices, order = indices[both], None if order is None else order[both]
    if not indices.size:
        raise outside(grid, "no position of the data fulfils every condition at once")
    if order is not None:
        indices = _sorted(indices, order)
    size = grid.dataset.sizes[dimension]
    return None if indices.size == size and bool((indices == np.arange(size)).all()) else indices


def _check_grid(grid: Grid, cut: Cut, label: str, dimensions: Collection[Any]) -> None:
    """Refuse to cut one grid of several: every wanted variable lies on the axis, or on no axis of its role."""
    others = grid.keep(("others", label), lambda: _other_dimensions(grid, label)) - set(dimensions)
    if not others:
        return
    variables = grid.dataset.variables
    for name in cut.variables or grid.axes.data_variables(grid.dataset):
        there = set(variables[name].dims) if name in variables else set()
        if there & others and not there >= set(dimensions):
            raise NotSubsettable(
                f"{name[:60]} lies on another grid than the {label} that the data are cut by",
                hint="ask for variables of one grid, with variables=; only the grid of "
                f"{grid.axes.longitude or grid.axes.time} is cut",
            )


def _other_dimensions(grid: Grid, label: str) -> frozenset[Any]:
    """The dimensions of the other axes of a role."""
    variables, positions = grid.dataset.variables, grid.axes.positions
    if label in {"longitude", "latitude"}:
        names = {name for pair in positions[1:] for name in pair}
        first = {d for name in positions[0] for d in variables[name].dims} if positions else set()
        return frozenset({d for name in names for d in variables[name].dims} - first)
    lines = {name: v for name, v in variables.items() if v.dims == (name,)}
    if label == "time":
        return frozenset(name for name, v in lines.items() if " since " in str(v.attrs.get("units", "")))
    return frozenset(name for name, v in lines.items() if "positive" in v.attrs or v.attrs.get("axis") == "Z")


def _in_box(grid: Grid, box: BBox) -> Iterator[_Condition]:
    x, y = grid.axes.longitude, grid.axes.latitude
    if x is None or y is None:
        raise NotSubsettable("the data have no longitude and latitude", hint="ask without bbox")
    if grid.axes.geometry in {"curvilinear", "mesh"}:
        raise NotSubsettable(
            f"the data lie on a {grid.axes.geometry} grid, which is not cut by box", hint="ask without bbox"
        )
    indices, unrolled = line(grid, "longitude", x).around(box.west, box.east)
    yield _Condition(x, "longitude", indices, unrolled if grid.axes.geometry == "rectilinear" else None)
    yield _Condition(y, "latitude", line(grid, "latitude", y).between(box.south, box.north))


def _in_time(grid: Grid, time: tuple[str | None, str | None]) -> _Condition:
    if grid.axes.time is None:
        raise NotSubsettable("the data have no time axis", hint="ask without time")
    first = position(time[0]) if time[0] else NEVER + 1
    last = position(time[1]) if time[1] else -NEVER
    return _Condition(grid.axes.time, "time", line(grid, "time", grid.axes.time).between(first, last))


def _in_depth(grid: Grid, depth: tuple[float, float]) -> _Condition:
    name = grid.axes.vertical
    if name is None or depth_factor(grid, name) is None:
        raise NotSubsettable("the data have no depth axis in metres", hint="ask without depth")
    return _Condition(name, "depth", line(grid, "depth", name).between(*depth))


def depth_factor(grid: Grid, name: str) -> float | None:
    """Return `axes.depth_factor` of a vertical axis, kept."""
    return grid.keep(("factor", name), lambda: ax.depth_factor(grid.dataset, name))


def line(grid: Grid, label: str, name: str) -> Line:
    """Return a kept axis of a grid: degrees, positions in time, or metres positive down.

    Raises:
        NotSubsettable: Its times cannot be read.
    """
    return grid.keep(("line", label, name), lambda: _line(grid, label, name))


def _line(grid: Grid, label: str, name: str) -> Line:
    if label == "time":
        try:
            places = grid.places(name)
        except DataUnreadable as error:
            raise NotSubsettable(
                f"the time axis cannot be cut by: {error.message}", hint="ask without time"
            ) from error
        return Line(places.ravel(), np.zeros(1, np.int64))
    factor = depth_factor(grid, name) or 1.0 if label == "depth" else 1.0
    variable, values = grid.dataset.variables[name], grid.values(name).ravel() * factor
    written = spelled(values) if label == "longitude" else np.abs(values)
    separate = grid.axes.geometry == "rectilinear"
    return Line(values, slack_of(variable, values, written, separate=separate, factor=factor))


def _sorted(indices: _Indices, longitudes: _Floats) -> _Indices:
    """Indices from west to east (or as the source runs), each meridian once."""
    steps = np.diff(longitudes)
    if bool((steps > 0).all()) or bool((steps < 0).all()):
        return indices
    _, first = np.unique(longitudes, return_index=True)
    falling = np.median(steps) < 0
    found: _Indices = indices[first[::-1] if falling else first]
    return found


def _near(grid: Grid, condition: _Condition, cut: Cut) -> str:
    """What centre is nearest to the middle of what was asked for."""
    if condition.label == "time":
        return ""
    values = placed = line(grid, condition.label, condition.name).values
    if condition.label == "longitude":
        assert cut.bbox
        middle = cut.bbox.west + (cut.bbox.east - cut.bbox.west) % CIRCLE / 2
        placed = middle + (values - middle + CIRCLE / 2) % CIRCLE - CIRCLE / 2
    else:
        first, last = (cut.bbox.south, cut.bbox.north) if condition.label == "latitude" else cut.depth  # type: ignore[misc, union-attr]
        middle = (first + last) / 2
    if not np.isfinite(placed).any():
        return ""
    nearest = float(values[np.nanargmin(np.abs(placed - middle))])
    step = spacing(values)
    return f"; the nearest centre is {nearest:.7g}" + (f", and centres are {step:.4g} apart" if step else "")


def outside(grid: Grid, said: str) -> OutsideDomain:
    """Return the error that says where the data are, after a sentence of what was asked."""
    found = grid.keep("cover", lambda: cover(grid.dataset))
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


def _strided(grid: Grid, cut: Cut, picks: dict[str, Any]) -> Picks:
    dataset, axes = grid.dataset, grid.axes
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
            check_whole(dataset, axes, dimensions[0])
            if axis in {*_BARE, "depth"}:
                _check_grid(grid, cut, axis, dimensions)
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


def check_whole(dataset: xr.Dataset, axes: ax.Axes, dimension: str) -> None:
    """Refuse indices that would leave a mesh's links or a ragged array's counts pointing at other cells."""
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


def _dimensions(dataset: xr.Dataset, axes: ax.Axes, axis: str) -> tuple[str, ...]:
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
