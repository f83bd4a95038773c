"""The cells along a line: those nearest to points of the great circles between its vertices, each once, in order.

The line is followed more finely until two points that follow one another lie in the same cell, or are less than half a
cell apart: a third of the distance between their cells' centres. A cell of which the line cuts off a smaller corner may
be missed. Parts of the line that no cell reaches are left out.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import geometry
from catalog.data.cells import Cells
from catalog.data.grids import Grid
from catalog.data.nearest import Cells as Nearest
from catalog.data.nearest import nearest, nearest_all
from catalog.data.points import Found, check_places, links
from catalog.data.positions import first_pair, pairs_of
from catalog.data.selection import free_name
from catalog.data.spheres import degrees, distance, metres, vectors
from catalog.errors import BadRequest, NotSubsettable, TooLarge

MAX_SAMPLES = 200_000
"""Points of a line that are tried."""

ALONG = "distance_along"
_FIRST = 64
_FINER = 3  # of a step from cell to cell, diagonals too: less than half a cell
_ROUNDS = 24
_Floats = npt.NDArray[np.float64]


def along(grid: Grid, shape: geometry.Shape, names: tuple[str, ...]) -> Found:
    """Return the cells along a line, for the wanted variables of these names.

    The answer has a dimension `distance_along` with a coordinate of that name: metres from the line's beginning to
    the first of its points that lie in the cell.

    Raises:
        OutsideDomain: No part of the line lies in the data.
        NotSubsettable: The data have no positions, are ragged, or the variables lie on several grids.
        BadRequest: Two vertices lie opposite each other on the Earth.
        TooLarge: The line has more than 200,000 points.
    """
    check_places(grid)
    pairs = pairs_of(grid, names) or (first_pair(grid),)
    if len({frozenset(d for name in pair for d in grid.dataset.variables[name].dims) for pair in pairs}) > 1:
        raise NotSubsettable(
            "the variables lie on several grids", hint="ask for those of one, with variables="
        )
    far, x, y, found = _followed(grid, shape, pairs[0])
    if not found.inside.any():
        nearest(grid, float(x[0]), float(y[0]), pairs[0])  # raises
    there = np.flatnonzero(found.inside)
    cells = _numbers(found)[there]
    _, first = np.unique(cells, return_index=True)
    chosen = there[np.sort(first)]
    dims = (free_name(grid, ALONG),)
    said = {"long_name": "distance along the line from its beginning", "units": "m"}
    away = {"long_name": "great-circle distance from the line's point to the cell's centre", "units": "m"}
    added = {
        dims[0]: xr.Variable(dims, far[chosen], said),
        free_name(grid, "distance"): xr.Variable(dims, found.distances[chosen], away),
    }
    places = {d: indices[chosen] for d, indices in found.indices.items()}
    return Found({}, (Cells(places, dims),) if places else (), added, dropped=links(grid))


def _followed(
    grid: Grid, shape: geometry.Shape, pair: tuple[str, str]
) -> tuple[_Floats, _Floats, _Floats, Nearest]:
    """Metres along the line, longitudes, latitudes and nearest cells of points that miss no cell."""
    corners = vectors(shape.longitudes, shape.latitudes)
    lengths = metres(np.linalg.norm(np.diff(corners, axis=0), axis=1))
    if np.any(np.linalg.norm(corners[1:] + corners[:-1], axis=1) < 1e-6):  # noqa: PLR2004
        raise BadRequest("two vertices of coords= lie opposite each other", hint="add a vertex between them")
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    each = max(2, _FIRST // lengths.size)
    far = np.unique(np.concatenate([np.linspace(a, b, each) for a, b in pairwise(ends)]))
    x, y = _points(corners, ends, far)
    found = nearest_all(grid, x, y, pair)
    for _ in range(_ROUNDS):
        number = _numbers(found)
        apart = distance(
            found.longitudes[1:], found.latitudes[1:], found.longitudes[:-1], found.latitudes[:-1]
        )
        rough = (number[1:] != number[:-1]) & (_FINER * np.diff(far) > apart)
        if not rough.any():
            break
        more = (far[1:] + far[:-1])[rough] / 2
        if far.size + more.size > MAX_SAMPLES:
            raise TooLarge(
                f"the line passes too many cells: it would take more than {MAX_SAMPLES} points",
                hint="ask for a shorter line",
                details={"limit": MAX_SAMPLES, "asked": far.size + more.size, "setting": None, "try": {}},
            )
        new = _points(corners, ends, more)
        order = np.argsort(np.concatenate([far, more]), kind="stable")
        found = _merged(found, nearest_all(grid, *new, pair), order)
        far, x, y = (np.concatenate(both)[order] for both in ((far, more), (x, new[0]), (y, new[1])))
    return far, x, y, found


def _points(corners: _Floats, ends: _Floats, far: _Floats) -> tuple[_Floats, _Floats]:
    """Longitudes and latitudes at distances along great circles between corners (unit vectors)."""
    part = np.clip(np.searchsorted(ends, far, side="right") - 1, 0, len(corners) - 2)
    length = np.diff(ends)[part]
    share = np.where(length > 0, (far - ends[part]) / np.where(length > 0, length, 1.0), 0.0)[:, None]
    first, last = corners[part], corners[part + 1]
    angle = 2 * np.arcsin(np.clip(np.linalg.norm(last - first, axis=1) / 2, 0, 1))[:, None]
    sine = np.where(angle > 0, np.sin(angle), 1.0)
    a = np.where(angle > 0, np.sin((1 - share) * angle) / sine, 1.0)
    b = np.where(angle > 0, np.sin(share * angle) / sine, 0.0)
    return degrees(a * first + b * last)


def _numbers(found: Nearest) -> npt.NDArray[np.int64]:
    """One number for each cell."""
    number = np.zeros(found.distances.size, np.int64)
    for indices in found.indices.values():
        number = number * (int(indices.max()) + 1) + indices
    return number


def _merged(first: Nearest, second: Nearest, order: npt.NDArray[np.intp]) -> Nearest:
    return Nearest(
        {d: np.concatenate([indices, second.indices[d]])[order] for d, indices in first.indices.items()},
        *(
            np.concatenate([getattr(first, name), getattr(second, name)])[order]
            for name in ("longitudes", "latitudes", "distances", "inside")
        ),
    )
