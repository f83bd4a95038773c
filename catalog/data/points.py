"""The cells at points: the nearest one of each, or numbers between the four around it, with what was asked for.

A single point keeps the dimensions of its cell, each of length 1. Several points make a dimension `station` in their
order, and each is read on its own. On a grid of several positions (a mesh's nodes and faces, a staggered grid) every
variable has its own nearest cell, and the distance told is that of the first.

Linear numbers are bilinear in longitude and latitude on rectilinear axes (as `xarray.Dataset.interp`), also across the
seam of a full circle; where one of the four is missing the number is missing. Flags and whole-number coordinates are
those of the nearest of the four.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import geometry
from catalog.data.cells import Cells, Indices
from catalog.data.grids import Grid
from catalog.data.lines import CIRCLE
from catalog.data.meshes import meshes
from catalog.data.nearest import Cells as Nearest
from catalog.data.nearest import nearest, nearest_all
from catalog.data.positions import Pair, first_pair, pairs_of
from catalog.data.selection import free_name, samples
from catalog.data.staggered import Missed, missed
from catalog.errors import NotSubsettable

STATION = "station"
_Floats = npt.NDArray[np.float64]
_SEAM = 1.5


@dataclass(frozen=True)
class Found:
    """Cells at points or a line: what is picked, gathered, put in place of the source's, added, left out, said."""

    picks: Mapping[str, Indices] = field(default_factory=dict)
    cells: tuple[Cells, ...] = ()
    added: Mapping[str, xr.Variable] = field(default_factory=dict)
    replaced: Mapping[str, xr.Variable] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def at_points(
    grid: Grid, shape: geometry.Shape, names: tuple[str, ...], method: str, *, named: bool = True
) -> Found:
    """Return the cells at a point or several, for the wanted variables of these names.

    Variables whose grid does not hold every point are left out, and that is said, unless they are `named`: asked for
    by name.

    Raises:
        OutsideDomain: A point lies outside the data; the message names the domain and the nearest centre.
        NotSubsettable: The data have no positions, or are ragged; or linear is asked on no rectilinear grid.
    """
    into = free_name(grid, STATION) if shape.kind == "points" else ""
    if into or method == "linear":
        check_places(grid)
    if method == "linear":
        return _linear(grid, shape, into)
    pairs = pairs_of(grid, names) or (first_pair(grid),)
    picks: dict[str, Indices] = {}
    cells: list[Cells] = []
    far: _Floats | None = None
    left, nearby = _left_out(grid, shape, pairs, () if named else names)
    for found in nearby.values():
        far = found.distances if far is None else far
        taken = {*picks, *(d for known in cells for d in known.places)}
        if taken & set(found.indices):
            if set(found.indices) <= taken:
                continue  # a grid of the same dimensions, staggered by half a cell
            raise NotSubsettable(
                "the variables lie on several grids that share a dimension",
                hint="ask for one, with variables=",
            )
        if into:
            cells += [Cells(found.indices, (into,))] if found.indices else []
        else:
            picks |= found.indices
    assert far is not None
    said = _asked(grid, shape, into) | {free_name(grid, "distance"): _distance(far, into)}
    if left is None:
        return Found(picks, tuple(cells), said, dropped=links(grid))
    grids = ", ".join(" and ".join(pair) for pair in pairs if pair not in nearby)
    notes = (left.note(f"the grid of {grids} does not hold the point{'s' if into else ''}"),)
    return Found(picks, tuple(cells), said, {}, (*links(grid), *left.dropped), notes)


def _left_out(
    grid: Grid, shape: geometry.Shape, pairs: tuple[Pair, ...], names: tuple[str, ...]
) -> tuple[Missed | None, dict[Pair, Nearest]]:
    """What is left out because its grid misses a point, and the nearest cells of the other grids."""
    found = {pair: nearest_all(grid, shape.longitudes, shape.latitudes, pair) for pair in pairs}
    away = {pair: int(np.argmin(cells.inside)) for pair, cells in found.items() if not cells.inside.all()}
    left = missed(grid, away, names) if away else None
    for pair, at in away.items() if left is None else ():
        nearest(grid, float(shape.longitudes[at]), float(shape.latitudes[at]), pair)  # raises
    return left, {pair: cells for pair, cells in found.items() if pair not in away}


def check_places(grid: Grid) -> None:
    """Refuse data whose positions say nothing of single cells. Raises NotSubsettable."""
    first_pair(grid)
    if samples(grid):
        raise NotSubsettable("the data are ragged, and are not cut by places", hint="ask without coords")


def links(grid: Grid) -> tuple[str, ...]:
    """Return the variables that tie the cells of a mesh together, which single cells have not."""
    if grid.axes.geometry != "mesh":
        return ()
    known = {name for mesh in meshes(grid) for name in (mesh.topology, *(link.name for link in mesh.links))}
    return grid.keep(
        ("points", "links"), lambda: tuple(sorted({*known, *_links(grid.dataset.variables)} - {""}))
    )


def _links(variables: Mapping[Any, xr.Variable]) -> Iterable[str]:
    for name, variable in variables.items():
        role = str(variable.attrs.get("cf_role", ""))
        if role == "mesh_topology" or role.endswith("_connectivity"):
            yield str(name)
        if role == "mesh_topology":
            said = [str(value) for key, value in variable.attrs.items() if str(key).endswith("_connectivity")]
            yield from (word for value in said for word in value.split() if word in variables)


def _asked(grid: Grid, shape: geometry.Shape, into: str) -> dict[str, xr.Variable]:
    """What was asked for, as coordinates of the answer, and the numbers of several points as their ids."""
    dims = (into,) if into else ()
    found = {
        free_name(grid, f"requested_{name}"): xr.Variable(
            dims, values.copy() if into else values[0], {"long_name": f"{name} asked for", "units": "degree"}
        )
        for name, values in (("longitude", shape.longitudes), ("latitude", shape.latitudes))
    }
    if into:
        attributes = {"cf_role": "timeseries_id", "long_name": "number of the point asked for, from 1"}
        found[into] = xr.Variable(dims, np.arange(1, shape.longitudes.size + 1, dtype=np.int32), attributes)
    return found


def _distance(far: _Floats, into: str) -> xr.Variable:
    said = {"long_name": "great-circle distance from the point asked for to the cell's centre", "units": "m"}
    return xr.Variable((into,) if into else (), far if into else far[0], said)


def _linear(grid: Grid, shape: geometry.Shape, into: str) -> Found:
    pair = first_pair(grid)
    if grid.axes.geometry != "rectilinear":
        raise NotSubsettable(
            f"numbers between the cells of a {grid.axes.geometry} grid are not made",
            hint="ask without method=linear",
        )
    columns, across = _around(grid, pair[0], shape.longitudes, turns=True)
    rows, upward = _around(grid, pair[1], shape.latitudes, turns=False)
    for at in np.flatnonzero((columns[:, 0] < 0) | (rows[:, 0] < 0))[:1]:
        nearest(
            grid, float(shape.longitudes[at]), float(shape.latitudes[at]), pair
        )  # says where the data are
        raise NotSubsettable(
            f"the point {shape.longitudes[at]:.7g} {shape.latitudes[at]:.7g} is beyond the outermost centres",
            hint="ask for the nearest cell, without method=linear",
        )
    x, y = (str(grid.dataset.variables[name].dims[0]) for name in pair)
    weights = (upward[:, :, None] * across[:, None, :]).reshape(-1, 4)
    places = {y: np.repeat(rows, 2, axis=1).ravel(), x: np.tile(columns, 2).ravel()}
    cells = Cells(places, (into,) if into else (y, x), weights)
    edges = tuple(str(grid.dataset.variables[name].attrs.get("bounds", "")) for name in pair)
    return Found({}, (cells,), _asked(grid, shape, into), _written(grid, pair, shape, into), edges)


def _around(grid: Grid, name: str, asked: _Floats, *, turns: bool) -> tuple[Indices, _Floats]:
    """The indices of the two centres around each position, and what each counts; −1 where there are none."""
    values = grid.values(name)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    order = order[np.append(True, np.diff(values[order]) > 0)] if order.size else order
    known = values[order]
    if turns and known.size:
        asked = known[0] + (asked - known[0]) % CIRCLE
        closed = known[0] + CIRCLE - known[-1] <= _SEAM * float(np.diff(known).max(initial=0.0))
        if closed and known[-1] < known[0] + CIRCLE:
            known, order = np.append(known, known[0] + CIRCLE), np.append(order, order[0])
    places, shares = np.full((asked.size, 2), -1, np.intp), np.zeros((asked.size, 2))
    if not known.size:
        return places, shares
    inside = (asked >= known[0]) & (asked <= known[-1])
    after = np.clip(np.searchsorted(known, asked), min(1, known.size - 1), known.size - 1)
    before = np.maximum(after - 1, 0)
    gap = known[after] - known[before]
    share = np.where(gap > 0, (asked - known[before]) / np.where(gap > 0, gap, 1.0), 1.0)
    places[inside] = np.stack((order[before], order[after]), axis=1)[inside]
    return places, np.stack((1 - share, share), axis=1)


def _written(grid: Grid, pair: Pair, shape: geometry.Shape, into: str) -> dict[str, xr.Variable]:
    """The coordinates of numbers between cells: the points themselves, in the source's convention of longitudes."""
    found: dict[str, xr.Variable] = {}
    for name, values in zip(pair, (shape.longitudes, shape.latitudes), strict=True):
        known = grid.dataset.variables[name]
        turned = values
        if name == pair[0]:
            first = float(np.nanmin(grid.values(name)))
            turned = np.where(
                (values < first) | (values >= first + CIRCLE), first + (values - first) % CIRCLE, values
            )
        keys = ("standard_name", "long_name", "units", "axis")
        attributes = {key: known.attrs[key] for key in keys if key in known.attrs}
        found[name] = xr.Variable((into or str(known.dims[0]),), turned.astype(np.float64), attributes)
    return found
