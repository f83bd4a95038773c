"""The cell, the time and the depth that are nearest to what is asked for, and whether they reach it.

A point lies in the domain where a cell reaches it:

- rectilinear: between the centres of the axes' ends, and half a cell beyond them (around the circle where the
  columns close it);
- curvilinear: within half the distance to the neighbours across the cell, diagonals included, and 2 % more, so that
  four cells of a bent grid leave no gap where they meet;
- mesh, cells with vertices: within the distance from a cell's centre to the farthest of its vertices; of edges, to the
  farther end; of nodes, to the farthest centre of the cells around;
- positions without cells: 10 km for stations, profiles, tracks and up to 500 positions, otherwise the distance to
  the fourth nearest other position.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.data.grids import Grid
from catalog.data.lines import CIRCLE, ROUNDED, Line
from catalog.data.picking import depth_factor, line, outside
from catalog.data.positions import Pair, first_pair
from catalog.data.reaches import reaches
from catalog.data.spheres import Index, distance
from catalog.errors import NotSubsettable

_CANDIDATES = 9
_DAY = 86_400.0
_THIN = 1.0  # metres: how far a single depth reaches
_SEAM = 1.5  # columns that the gap between the last and the first may be wide and still close the circle
_ROUNDED_METRES = 1e-3
_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Cell:
    """A cell near a point.

    Args:
        indices: The cell's indices by dimension (none for a scalar position).
        longitude: Of its centre in degrees, as the source writes it.
        latitude: Of its centre in degrees.
        distance: Metres from the point to the centre, along the great circle.
    """

    indices: Mapping[str, int]
    longitude: float
    latitude: float
    distance: float


@dataclass(frozen=True)
class Step:
    """A time or a depth near what was asked for.

    Args:
        indices: Its index by dimension (none for a scalar).
        value: A canonical instant, or metres positive down.
        offset: What it is more than was asked for: seconds, or metres.
    """

    indices: Mapping[str, int]
    value: str | float
    offset: float


@dataclass(frozen=True)
class Cells:
    """The cells nearest to points, all arrays of the points' length.

    Args:
        indices: Indices by dimension.
        longitudes: Of the centres in degrees, as the source writes them.
        latitudes: Of the centres in degrees.
        distances: Metres from the points to the centres.
        inside: Whether a cell reaches the point.
    """

    indices: Mapping[str, _Indices]
    longitudes: _Floats
    latitudes: _Floats
    distances: _Floats
    inside: npt.NDArray[np.bool_]


def nearest(grid: Grid, longitude: float, latitude: float, pair: Pair | None = None) -> Cell:
    """Return the cell whose centre is nearest to a point.

    Args:
        grid: The data.
        longitude: Degrees of any convention.
        latitude: Degrees.
        pair: The coordinates whose positions are meant (`positions.pair_of`): those of the axes where none is given.

    Raises:
        OutsideDomain: No cell reaches the point; the message names the domain, the nearest centre and its distance.
        NotSubsettable: The data have no positions.
    """
    found = nearest_all(grid, np.array([longitude]), np.array([latitude]), pair)
    cell = Cell(
        {dimension: int(indices[0]) for dimension, indices in found.indices.items()},
        float(found.longitudes[0]),
        float(found.latitudes[0]),
        float(found.distances[0]),
    )
    if not found.inside[0]:
        several = pair is not None and len(grid.axes.positions) > 1
        what = f"the grid of {' and '.join(pair or ())}" if several else "the data"
        raise outside(
            grid,
            f"the point {longitude:.7g} {latitude:.7g} lies outside {what}; the nearest centre is "
            f"{cell.longitude:.7g} {cell.latitude:.7g}, {cell.distance / 1000:.4g} km away",
        )
    return cell


def nearest_all(grid: Grid, longitudes: _Floats, latitudes: _Floats, pair: Pair | None = None) -> Cells:
    """Return the cells nearest to points (arrays of one dimension, degrees); those that no cell reaches are told.

    Raises:
        NotSubsettable: The data have no positions.
    """
    x, y = pair or first_pair(grid)
    dims = grid.dataset.variables[x].dims, grid.dataset.variables[y].dims
    if len(dims[0]) == len(dims[1]) == 1 and dims[0] != dims[1]:
        return _on_lines(grid, (x, y), longitudes, latitudes)
    return _in_cloud(grid, (x, y), longitudes, latitudes)


def nearest_of(
    grid: Grid, longitude: float, latitude: float, there: npt.NDArray[np.bool_], pair: Pair | None = None
) -> Cell | None:
    """Return the nearest of the cells where a mask holds, however far; None where it holds nowhere.

    Args:
        grid: The data.
        longitude: Degrees.
        latitude: Degrees.
        there: Over the positions: (latitude, longitude) dimensions of rectilinear axes, the coordinates' own otherwise.
        pair: As in `nearest`.
    """
    x, y = pair or first_pair(grid)
    dims = grid.dataset.variables[x].dims, grid.dataset.variables[y].dims
    columns, rows = grid.values(x), grid.values(y)
    over = tuple(map(str, dims[0]))
    if len(dims[0]) == len(dims[1]) == 1 and dims[0] != dims[1]:
        columns, rows = np.broadcast_arrays(columns[None, :], rows[:, None])
        over = (str(dims[1][0]), str(dims[0][0]))
    at = np.flatnonzero(there.ravel() & np.isfinite(columns.ravel()) & np.isfinite(rows.ravel()))
    if not at.size:
        return None
    far = distance(longitude, latitude, columns.ravel()[at], rows.ravel()[at])
    best = int(far.argmin())
    place = np.unravel_index(int(at[best]), columns.shape)
    return Cell(
        dict(zip(over, map(int, place), strict=True)),
        float(columns[place]),
        float(rows[place]),
        float(far[best]),
    )


def nearest_time(grid: Grid, instant: str) -> Step:
    """Return the time step nearest to a canonical instant, in the data's calendar.

    The domain reaches half a step beyond the ends; a single time reaches half a day, or to its bounds.

    Raises:
        OutsideDomain: The instant lies beyond. NotSubsettable: There is no time axis of one dimension.
        BadRequest: The data's calendar has no such instant.
    """
    name = grid.axes.time
    if name is None or grid.dataset.variables[name].ndim > 1:
        raise NotSubsettable("the data have no time axis of one dimension", hint="ask without time")
    line(grid, "time", name)  # says why a time cannot be read
    clock, values = grid.clock(name), grid.values(name).ravel()
    at, asked, inside = _step(values, clock.number(instant), 0.5 * _DAY * 1e6 / clock.unit)
    value = clock.instants(values[at : at + 1])[0]
    if not (inside or _in_bounds(grid, name, at, asked)):
        raise outside(grid, f"the time {instant} lies outside the data; the nearest is {value}")
    return Step(_at(grid, name, at), value, float(values[at] - asked) * clock.unit / 1e6)


def nearest_depth(grid: Grid, depth: float) -> Step:
    """Return the level nearest to a depth in metres, positive down.

    The domain reaches half a step beyond the ends, and to the surface from a first level no deeper than its step;
    a single level reaches one metre.

    Raises:
        OutsideDomain: The depth lies beyond. NotSubsettable: There is no depth axis of one dimension in metres.
    """
    name = grid.axes.vertical
    if name is None or grid.dataset.variables[name].ndim > 1 or depth_factor(grid, name) is None:
        raise NotSubsettable("the data have no depth axis in metres", hint="ask without depth")
    values = line(grid, "depth", name).values
    at, asked, inside = _step(values, depth, _THIN)
    known = np.unique(values[np.isfinite(values)])
    surface = known.size > 1 and 0 <= depth <= known[0] <= known[1] - known[0]
    if not (inside or surface or _in_bounds(grid, name, at, depth, depth_factor(grid, name) or 1.0)):
        raise outside(grid, f"the depth {depth:g} m lies outside the data; the nearest is {values[at]:.7g} m")
    return Step(_at(grid, name, at), float(values[at]), float(values[at] - asked))


def _at(grid: Grid, name: str, index: int) -> dict[str, int]:
    return {str(dimension): index for dimension in grid.dataset.variables[name].dims}


def _step(values: _Floats, asked: float, alone: float) -> tuple[int, float, bool]:
    """The index nearest to a number, the number, and whether it lies within half a step of the ends."""
    if not np.isfinite(values).any():
        raise NotSubsettable("the axis has no value", hint="ask for another axis")
    at = int(np.nanargmin(np.abs(values - asked)))
    known = np.unique(values[np.isfinite(values)])
    before, after = _ends(known, alone)
    return at, asked, bool(known[0] - before - ROUNDED <= asked <= known[-1] + after + ROUNDED)


def _ends(known: _Floats, alone: float) -> tuple[float, float]:
    """How far the first and the last of rising centres reach outwards: half a step; `alone` where there is none."""
    if known.size == 1:
        return alone, alone
    return float(known[1] - known[0]) / 2, float(known[-1] - known[-2]) / 2


def _in_bounds(grid: Grid, name: str, at: int, asked: float, factor: float = 1.0) -> bool:
    """Tell whether the bounds of a step hold a number."""
    variables = grid.dataset.variables
    bounds = str(variables[name].attrs.get("bounds", ""))
    if bounds not in variables or variables[bounds].shape != (*variables[name].shape, 2):
        return False
    edges = np.sort(np.atleast_2d(grid.values(bounds))[at] * factor)
    return bool(edges[0] - ROUNDED <= asked <= edges[1] + ROUNDED)


def _on_lines(grid: Grid, pair: Pair, longitudes: _Floats, latitudes: _Floats) -> Cells:
    x, y = (line(grid, label, name) for label, name in zip(("longitude", "latitude"), pair, strict=True))
    for known in (x, y):
        if not np.isfinite(known.values).any():
            raise NotSubsettable("the data's positions have no value", hint="ask without a place")
    column = _closest(x.values, longitudes, turn=CIRCLE)
    row = _closest(y.values, latitudes)
    rows = np.unique(y.values[np.isfinite(y.values)])
    middle = float(np.nanmin(x.values) + np.nanmax(x.values)) / 2
    alone = _width(rows) or _width(np.unique(x.values[np.isfinite(x.values)]))
    south, north = _ends(rows, alone / 2)
    inside = (latitudes >= rows[0] - south - ROUNDED) & (latitudes <= rows[-1] + north + ROUNDED)
    inside &= _reached(x, middle, longitudes, alone / 2)
    columns, found = x.values[column], y.values[row]
    dimensions = [str(grid.dataset.variables[name].dims[0]) for name in pair]
    return Cells(
        {dimensions[1]: row, dimensions[0]: column},
        columns,
        found,
        distance(longitudes, latitudes, columns, found),
        np.asarray(inside),
    )


def _closest(values: _Floats, asked: _Floats, turn: float = 0.0) -> _Indices:
    """The index of the value nearest to each number asked for, by bisection; the first of several; around a turn."""
    places = np.flatnonzero(np.isfinite(values))
    known, first = np.unique(values[places] % turn if turn else values[places], return_index=True)
    places = places[first]
    after = np.searchsorted(known, asked % turn if turn else asked)
    around = np.stack((after - 1, after))
    around = around % known.size if turn else np.clip(around, 0, known.size - 1)
    found = places[around]
    far = np.abs((values[found] - asked + turn / 2) % turn - turn / 2 if turn else values[found] - asked)
    second = (far[1] < far[0]) | ((far[1] == far[0]) & (found[1] < found[0]))
    nearer: _Indices = np.where(second, found[1], found[0])
    return nearer


def _width(known: _Floats) -> float:
    return float(np.median(np.diff(known))) if known.size > 1 else 0.0


def _reached(x: Line, middle: float, longitudes: _Floats, alone: float) -> npt.NDArray[np.bool_]:
    """Which longitudes the columns reach: half a column beyond their ends, or all where they close the circle."""
    known = np.unique(x.values[np.isfinite(x.values)])
    west, east = _ends(known, alone)
    if known[-1] - known[0] + 2 * _SEAM * max(west, east) >= CIRCLE:
        return np.ones(longitudes.shape, bool)
    turned = middle + (longitudes - middle + CIRCLE / 2) % CIRCLE - CIRCLE / 2
    found: npt.NDArray[np.bool_] = (turned >= known[0] - west - ROUNDED) & (
        turned <= known[-1] + east + ROUNDED
    )
    return found


def _in_cloud(grid: Grid, pair: Pair, longitudes: _Floats, latitudes: _Floats) -> Cells:
    columns, rows = (grid.values(name) for name in pair)
    index = grid.keep(("index", pair), lambda: Index(columns, rows))
    if not index.size:
        raise NotSubsettable("the data's positions have no value", hint="ask without a place")
    places, far = index.nearest(longitudes, latitudes, _CANDIDATES)
    inside = np.any(far <= reaches(grid, pair, index, places) + _ROUNDED_METRES, axis=-1)
    first = places[:, 0]
    where = np.unravel_index(first, columns.shape) if columns.ndim else ()
    dims = map(str, grid.dataset.variables[pair[0]].dims)
    return Cells(
        dict(zip(dims, where, strict=True)), columns.ravel()[first], rows.ravel()[first], far[:, 0], inside
    )
