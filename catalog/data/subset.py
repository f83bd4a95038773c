"""Cutting a dataset: what a cut costs, and the part it asks for, values still packed as in the source."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from catalog.data import flags, gaps, reductions
from catalog.data.axes import Axes
from catalog.data.cells import gathered, taken
from catalog.data.costs import Cost, Limits, cheaper, cost_of
from catalog.data.cuts import Cut, parse
from catalog.data.emptiness import SMALL, emptiness, has_any, read_small
from catalog.data.extents import attributes_of
from catalog.data.grids import Grid
from catalog.data.masking import masked
from catalog.data.origin import Origin
from catalog.data.placing import Placed, placed
from catalog.data.positions import pair_of
from catalog.data.selection import is_nested, numbers, wanted, with_companions
from catalog.data.smaller import too_large

__all__ = ["Cost", "Cut", "Limits", "cost", "cut", "parse", "part"]

_WHOLE = slice(None)
_KEPT = 1_000_000
"""Values of a coordinate of at most one dimension that a grid keeps, raw, between cuts."""


def cost(dataset: xr.Dataset | Grid, request: Cut) -> Cost:
    """Return what a cut costs; nothing but coordinates is read.

    Of an area it is the cost of its window, whether cells of it lie inside or not; of a reduction, of what it reads.
    Raises as `cut`.
    """
    return _cost(Grid.of(dataset), request, masks=False)


def cut(source: xr.Dataset | Grid, request: Cut, record_id: str, limits: Limits) -> xr.Dataset:
    """Return the part that a cut asks for, and what is made of it.

    The dataset is undecoded (`catalog.data.opening.opened`), and so is the result. It is lazy, but for results of at
    most 4 MB, which are read here, once. Whether all of it is masked is looked up and said: in the attribute `comment`
    and in `encoding["notes"]`, sentences that the answer must say; with where the nearest cell with data is.

    A cut is made in this order: the place (box, shape, indices, time, depth, stride), then `qc`, then `reduce`.

    - **box**: cells are inside where their centre lies in the closed box; latitudes keep the source's order, longitudes
      the source's values, from west to east.
    - **POINT, MULTIPOINT**: the nearest cell of each, with `requested_longitude`, `requested_latitude` and `distance`
      (metres); with `method=linear` the numbers between four cells (`catalog.data.points`).
    - **LINESTRING**: the nearest cells along great circles, in order (`catalog.data.transects`).
    - **POLYGON, MULTIPOLYGON**: cells whose centre is inside or on the edge; others in the window are missing.
    - a single **time** or **depth** is exact; see `catalog.data.snapping` for `method=`.

    Attributes are the source's, with a line in `history`.

    Raises:
        BadRequest: There is no such variable, axis or dimension, or a place is said twice.
        OutsideDomain: Nothing lies inside.
        NotSubsettable: The data cannot be cut in this way.
        TooLarge: It costs more than the limits; the hint is a smaller request that does not.
    """
    return _cut(Grid.of(source), request, record_id, limits, is_read=True)


def part(source: xr.Dataset | Grid, request: Cut, record_id: str, limits: Limits) -> xr.Dataset:
    """Return the part that a cut asks for, without reading any of its data, and so without looking for values in it.

    It has the shape, types and attributes of what `cut` returns, but for what that finds to say. Raises as `cut`.
    """
    return _cut(Grid.of(source), request, record_id, limits, is_read=False)


def _cut(grid: Grid, request: Cut, record_id: str, limits: Limits, *, is_read: bool) -> xr.Dataset:
    asked = wanted(grid, request)
    place = placed(grid, request, asked)
    found = cost_of(grid, place, _with_flags(grid, request, asked))
    if not found.within(limits):
        raise too_large(grid, request, found, limits, _cost)
    names, without = numbers(grid, request)
    with_flags = _with_flags(grid, request, names)
    is_small = is_read and found.result_bytes <= SMALL
    variables = _variables(grid, place, with_flags, is_read=is_small)
    notes = [*place.picked.notes, *gaps.notes(grid.dataset, place.picked.indices, request.time)]
    said = ""
    if is_read:
        variables = read_small(variables, with_flags)
        said = emptiness(grid, place, variables, names)
        notes += [said] if said else []
    made = _dataset(grid, place, variables, names, _line(request, record_id, without), request)
    if request.qc:
        made, more = flags.good(made)
        notes += more
        if is_read and not said and not has_any(grid, made.variables, names):
            notes.append("the data's own flags call no value here good")
    made.encoding |= {"notes": tuple(notes), "cost": found}
    if notes:
        before = str(made.attrs.get("comment", "")).rstrip("\n")
        made.attrs["comment"] = "\n".join([*([before] if before else []), *notes])
    return reductions.reduced(made, reductions.parse(request.reduce)) if request.reduce else made


def _with_flags(grid: Grid, request: Cut, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of variables, and of the flags that say which of their values are good, where that is asked."""
    return tuple(dict.fromkeys((*names, *flags.beside(grid.dataset, names)))) if request.qc else names


def _cost(grid: Grid, request: Cut, masks: bool) -> Cost:  # noqa: FBT001 - as `smaller.too_large` asks for it
    names = wanted(grid, request)
    return cost_of(grid, placed(grid, request, names, masks=masks), _with_flags(grid, request, names))


def _line(request: Cut, record_id: str, without: tuple[str, ...]) -> str:
    """What is added to the history; the same length whenever it is made."""
    asked = "&".join(f"{key}={value}" for key, value in request.parameters().items())
    said = f"; without {', '.join(without)}, which cannot be cut" if without else ""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f"{now} Bien Mo: cut from {record_id}{' with ' if asked else ''}{asked}{said}"


def _variables(grid: Grid, place: Placed, names: tuple[str, ...], *, is_read: bool) -> dict[str, xr.Variable]:
    """The variables of the part by name, in the file's order, those that the answer adds last."""
    picked, found = place.picked, dict[str, xr.Variable]()
    beside = _beside(grid, place) if place.added else []
    for name in with_companions(grid, names):
        if name in picked.dropped or is_nested(grid, name):
            continue
        if name in picked.replaced:
            found[name] = picked.replaced[name]
            continue
        variable = _taken(grid, name, place, is_read=is_read and name in names)
        if name in names:
            for keep in picked.keeps:
                variable = _kept(variable, keep)
        if place.cells:
            variable = _gathered(grid, name, variable, place, is_wanted=name in names)
        attributes = _attributes(grid, name, variable, place, beside if name in names else ())
        if attributes is not variable.attrs:
            variable = variable.copy(deep=False)  # the source's own stays as it is
            variable.attrs = attributes
        found[name] = variable
    return {**found, **place.added}


def _taken(grid: Grid, name: str, place: Placed, *, is_read: bool) -> xr.Variable:
    """A variable at the picked indices, read already where that is asked; small coordinates are read once and kept."""
    variable = grid.dataset.variables[name]
    if variable.ndim > 1 or variable.size > _KEPT or name not in grid.axes.coordinates:
        lazy = cheaper(grid, name, place)
        read = grid.dataset.encoding.get("readers", {}).get(name) if is_read and lazy is variable else None
        if read is None or place.cells:
            return taken(lazy, place.picked.indices, place.slices)
        key = tuple(place.picked.indices.get(str(d), _WHOLE) for d in variable.dims)
        key = tuple(place.slices.get(str(d)) or part for d, part in zip(variable.dims, key, strict=True))
        return xr.Variable(variable.dims, read(key), variable.attrs, variable.encoding, fastpath=True)
    raw = grid.keep(("raw", name), lambda: np.asarray(variable.values))
    d = str(variable.dims[0]) if variable.dims else ""
    if d in place.picked.indices:
        raw = raw[place.slices[d] or place.picked.indices[d]]
    encoding = variable.encoding if raw.ndim else None
    return xr.Variable(variable.dims, raw, variable.attrs, encoding, fastpath=True)


def _gathered(grid: Grid, name: str, variable: xr.Variable, place: Placed, *, is_wanted: bool) -> xr.Variable:
    """The cells of a variable; what has nothing between two values has those of the nearest corner."""
    axes = grid.axes
    mixes = is_wanted or name in {axes.longitude, axes.latitude, axes.vertical, axes.time}
    mixes = (
        mixes and variable.dtype.kind in "iuf" and {"flag_values", "flag_masks"}.isdisjoint(variable.attrs)
    )
    for cells in place.cells:
        variable = gathered(variable, cells if mixes else cells.nearest())
    return variable


def _attributes(
    grid: Grid, name: str, variable: xr.Variable, place: Placed, beside: Sequence[str]
) -> dict[Any, Any]:
    """The attributes of a variable of the part; where nothing changes, its own."""
    found = variable.attrs
    if "actual_range" in found and not place.picked.indices.keys().isdisjoint(map(str, variable.dims)):
        found = {k: v for k, v in found.items() if k != "actual_range"}
    if beside and pair_of(grid, name) is not None:
        known = str(found.get("coordinates", "")).split()
        found = {**found, "coordinates": " ".join(dict.fromkeys([*known, *beside]))}
    if grid.axes.geometry == "mesh" and place.shape is not None and place.shape.kind != "area":
        found = {k: v for k, v in found.items() if k not in {"mesh", "location"}}
    return found


def _kept(variable: xr.Variable, keep: tuple[tuple[str, ...], Any]) -> xr.Variable:
    """A variable with cells missing where a mask over some of its dimensions is False; unchanged without them."""
    dimensions, mask = keep
    if not set(dimensions) <= set(variable.dims):
        return variable
    axes = [variable.dims.index(d) for d in dimensions]
    ordered = mask.transpose(np.argsort(axes))
    there = sorted(axes)

    def stays(key: tuple[Any, ...]) -> Any:
        window = ordered
        for position, axis in enumerate(there):
            window = window[(slice(None),) * position + (key[axis],)]
        shape = [-1 if axis in there else 1 for axis in range(variable.ndim)]
        sizes = iter(window.shape)
        return window.reshape([next(sizes) if size == -1 else 1 for size in shape])

    return masked(variable, stays)


def _beside(grid: Grid, place: Placed) -> list[str]:
    """What the answer's `coordinates` attributes must name: what is added, and positions that became auxiliary."""
    scattered = {d for cells in place.cells for d in cells.into} - set(map(str, grid.dataset.sizes))
    names = [name for name in place.added if name not in scattered]
    positions = (grid.axes.longitude, grid.axes.latitude) if scattered else ()
    return [*(name for name in positions if name), *names]


def _dataset(  # noqa: PLR0913 - what a part is made of
    grid: Grid,
    place: Placed,
    variables: Mapping[str, xr.Variable],
    names: tuple[str, ...],
    line: str,
    request: Cut,
) -> xr.Dataset:
    along = {name: variable for name, variable in variables.items() if variable.dims == (name,)}
    others = {name: variable for name, variable in variables.items() if name not in along}
    indices = place.picked.indices
    attributes = attributes_of(
        grid,
        variables,
        line,
        is_cut=bool(indices or place.cells),
        is_coarser=bool(request.stride or request.indices),
    )
    axes = _axes(grid.axes, place)
    if place.shape is not None and axes.geometry == "points" and grid.axes.geometry != "points":
        attributes = {k: v for k, v in attributes.items() if k not in {"featureType", "cdm_data_type"}}
        attributes |= {"featureType": "timeSeries"} if axes.kind == "timeseries" else {}
    encoding = {**grid.dataset.encoding, "origin": Origin(axes, names, indices)}
    # The constructor aligns and merges what is one dataset already, which takes longer than the cut of a small box.
    return xr.Dataset._construct_direct(  # noqa: SLF001 - a test holds it against the constructor
        {**others, **along}, set(along), attrs=attributes, encoding=encoding
    )


def _axes(axes: Axes, place: Placed) -> Axes:
    """The axes of the part: those of the whole; single cells of other grids are points."""
    if not place.added:
        return axes
    known = replace(axes, coordinates=axes.coordinates | set(place.added))
    into = {d for cells in place.cells for d in cells.into if d in place.added}
    if not into:
        is_mesh = axes.geometry == "mesh" and place.shape is not None
        return replace(known, geometry="points", kind="points") if is_mesh else known
    series = axes.time is not None and "cf_role" in place.added[next(iter(into))].attrs
    return replace(known, geometry="points", kind="timeseries" if series else "points")
