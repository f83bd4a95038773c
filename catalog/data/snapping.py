"""Single instants and depths that lie between the steps of the data: the nearest step, or numbers between two.

Nothing snaps unasked: `method=nearest` takes the nearest step or level (within the reach that `catalog.data.nearest`
tells), and `method=linear` the straight line between the two around it, never beyond the first and last. A day without
a time of day has the steps that lie in it; where none does, `method=nearest` takes the step nearest to its noon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import geometry
from catalog.data.cells import Cells, Indices
from catalog.data.centres import in_time
from catalog.data.cuts import Cut, single_day
from catalog.data.grids import Grid
from catalog.data.nearest import nearest_depth, nearest_time
from catalog.data.picking import depth_factor, line, outside
from catalog.data.selection import free_name
from catalog.errors import BadRequest

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Snap:
    """What single instants and depths came to: the rest of the request, and what stands for them."""

    request: Cut
    picks: Mapping[str, Indices] = field(default_factory=dict)
    cells: tuple[Cells, ...] = ()
    added: Mapping[str, xr.Variable] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def snapped(grid: Grid, request: Cut, shape: geometry.Shape | None) -> Snap:
    """Return a request with its single instant and depth snapped, where its method says so.

    A point's third number is its depth, and snaps to the nearest level also where no method is said.

    Raises:
        OutsideDomain: No step reaches it, or linear has no step on one side.
        BadRequest: The depth is said twice, or the instant is none of the data's calendar.
        NotSubsettable: There is no such axis.
    """
    depth, time = _depth(request, shape), request.time
    found = Snap(request)
    if request.method and time and time[0] and time[0] == time[1]:
        asked = xr.Variable((), time[0], {"long_name": "time asked for"})
        if request.method == "linear" and (name := _line(grid, grid.axes.time)):
            line(grid, "time", name)  # says why times cannot be read
            found = _between(grid, found, "time", name, grid.clock(name).number(time[0]), grid.values(name))
        else:
            found = _stepped(found, "time", nearest_time(grid, time[0]).indices)
        found = _with(found, free_name(grid, "requested_time"), asked)
    elif request.method == "nearest" and time and (day := _empty_day(grid, time)):
        found = _stepped(found, "time", nearest_time(grid, f"{day}T12:00:00Z").indices)
        asked = xr.Variable((), day, {"long_name": "day asked for"})
        found = _with(found, free_name(grid, "requested_time"), asked)
    if depth is not None:
        asked = xr.Variable((), depth, {"long_name": "depth asked for, positive down", "units": "m"})
        name = _line(grid, grid.axes.vertical)
        if request.method == "linear" and name and depth_factor(grid, name):
            found = _between(grid, found, "depth", name, depth, line(grid, "depth", name).values)
        else:
            found = _stepped(found, "depth", nearest_depth(grid, depth).indices)
        found = _with(found, free_name(grid, "requested_depth"), asked)
    return found


def _empty_day(grid: Grid, time: tuple[str | None, str | None]) -> str:
    """The day that is asked for, where no step of the time axis lies in it."""
    day, name = single_day(time), grid.axes.time
    if not (day and name) or grid.axes.lead or grid.dataset.variables[name].ndim > 1:
        return ""
    return day if in_time(grid, time).empty else ""


def _stepped(snap: Snap, label: str, indices: Mapping[str, int]) -> Snap:
    picks = {d: np.array([index]) for d, index in indices.items()}
    rest = snap.request.model_copy(update={label: None})
    return Snap(rest, {**snap.picks, **picks}, snap.cells, snap.added, snap.dropped)


def _with(snap: Snap, name: str, asked: xr.Variable) -> Snap:
    added = {**snap.added, name: asked}
    return Snap(snap.request, snap.picks, snap.cells, added, snap.dropped)


def _line(grid: Grid, name: str | None) -> str | None:
    return name if name and grid.dataset.variables[name].ndim == 1 else None


def _depth(request: Cut, shape: geometry.Shape | None) -> float | None:
    """The single depth that snaps, if there is one."""
    if shape is not None and shape.kind in {"point", "points"} and shape.depths is not None:
        if request.depth:
            raise BadRequest("coords= and depth= both say how deep", hint="write one of them")
        if np.ptp(shape.depths):
            raise BadRequest(
                "the points of coords= lie at several depths", hint="ask for one depth at a time"
            )
        return float(shape.depths[0])
    if request.method and request.depth and request.depth[0] == request.depth[1]:
        return request.depth[0]
    return None


def _between(  # noqa: PLR0913 - what is asked, and the axis that it is asked of
    grid: Grid, snap: Snap, label: str, name: str, number: float, values: _Floats
) -> Snap:
    """The two steps around a number, in the data's order, and what each of them counts."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    ordered = values[order]
    if not order.size or not ordered[0] <= number <= ordered[-1]:
        raise outside(grid, f"the {label} asked for is not between two steps of the data")
    variable = grid.dataset.variables[name]
    dimension = str(variable.dims[0])
    after = int(np.searchsorted(ordered, number))
    if ordered[after] == number:
        return _stepped(snap, label, {dimension: int(order[after])})
    pair = np.sort(order[[after - 1, after]])
    first, second = values[pair]
    share = (number - first) / (second - first)
    cells = Cells({dimension: np.arange(2)}, (dimension,), np.array([[1 - share, share]]))
    bounds: list[Any] = [variable.attrs.get(key) for key in ("bounds", "climatology")]
    dropped = tuple(str(bound) for bound in bounds if bound)
    rest = snap.request.model_copy(update={label: None})
    return Snap(
        rest, {**snap.picks, dimension: pair}, (*snap.cells, cells), snap.added, (*snap.dropped, *dropped)
    )
