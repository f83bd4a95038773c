"""How far the cells of a curvilinear grid, a mesh or a cloud of positions reach from their centres."""

import numpy as np
import numpy.typing as npt

from catalog.data.grids import Grid
from catalog.data.meshes import Mesh, meshes
from catalog.data.positions import Pair
from catalog.data.spheres import MOST_SINGLE, Index, distance, metres, vectors

STATION = 10_000.0
"""Metres that a station, profile or position of a track stands for."""

_BENT = 1.02
"""How much farther a curvilinear cell reaches, so that no gap is where four cells of a bent or stretched grid meet."""

_FEW = 500
_OTHERS = 4
_Floats = npt.NDArray[np.float64]


def reaches(grid: Grid, pair: Pair, index: Index, places: npt.NDArray[np.intp]) -> _Floats:
    """Return metres that the cells at flat indices of a pair's positions reach, of the indices' shape.

    What they mean is told in `catalog.data.nearest`. Those of few positions are kept; of more, the answer's own are
    worked out.
    """
    if (kept := grid.keep(("reach", pair), lambda: _kept(grid, pair, index))) is not None:
        return kept[places]
    known, back = np.unique(places, return_inverse=True)
    return _reaches(grid, pair, index, known)[back].reshape(places.shape)


def _kept(grid: Grid, pair: Pair, index: Index) -> _Floats | None:
    """Those of all positions, of a mesh or of few; None otherwise."""
    for mesh in meshes(grid):
        if (found := _of_mesh(grid, pair, mesh)) is not None:
            return found
    size = grid.values(pair[0]).size
    return _reaches(grid, pair, index, np.arange(size)) if size <= MOST_SINGLE else None


def _reaches(grid: Grid, pair: Pair, index: Index, places: npt.NDArray[np.intp]) -> _Floats:
    x, y = (grid.values(name) for name in pair)
    corners = _corners(grid, pair)
    if corners is not None:
        edges = (known.reshape(x.size, -1)[places] for known in corners)
        far = distance(x.ravel()[places, None], y.ravel()[places, None], *edges)
        farthest: _Floats = np.where(np.isfinite(far), far, 0.0).max(axis=-1)
        return farthest
    if x.ndim == 2 and grid.axes.kind in {"grid", "mesh"}:  # noqa: PLR2004
        return _across(x, y, places)
    if grid.axes.kind in {"timeseries", "profile", "trajectory"} or index.size < _FEW:
        return np.full(places.size, STATION)
    x, y = x.ravel()[places], y.ravel()[places]
    found, legal = np.zeros(places.size), np.isfinite(x) & np.isfinite(y)
    _, far = index.nearest(x[legal], y[legal], _OTHERS + 1)
    found[legal] = np.maximum(far[:, -1], STATION)
    return found


def _of_mesh(grid: Grid, pair: Pair, mesh: Mesh) -> _Floats | None:
    """From a mesh's cell or edge to the farthest of its nodes, from a node to the farthest centre of its cells."""
    dimensions = tuple(map(str, grid.dataset.variables[pair[0]].dims))
    nodes = mesh.nodes(grid)
    if nodes is None:
        return None
    ends = next(
        (link for link in mesh.links if (link.of,) == dimensions and link.to == mesh.corners.to), None
    )
    if dimensions != (mesh.cell,) and ends is not None:  # edges and boundary segments: to the farther end
        at = ends.rows(grid)
        x, y = (grid.values(name)[:, None] for name in pair)
        far = distance(x, y, nodes.longitudes[at], nodes.latitudes[at])
        return np.asarray(np.where((at >= 0) & np.isfinite(far), far, 0.0).max(axis=1))
    if dimensions not in {(mesh.cell,), (mesh.corners.to,)}:
        return None
    members, centres = mesh.corners.rows(grid), mesh.centres(grid)
    there = members >= 0
    far = distance(
        centres.longitudes[:, None],
        centres.latitudes[:, None],
        nodes.longitudes[members],
        nodes.latitudes[members],
    )
    far = np.where(there & np.isfinite(far), far, 0.0)
    if dimensions == (mesh.cell,):
        return np.asarray(far.max(axis=1))
    found = np.zeros(grid.dataset.sizes[mesh.corners.to])
    np.maximum.at(found, members[there], far[there])
    return found


def _corners(grid: Grid, pair: Pair) -> tuple[_Floats, _Floats] | None:
    """The vertices of cells, where bounds give them: arrays of the positions' shape and one dimension more."""
    variables = grid.dataset.variables
    names = [str(variables[name].attrs.get("bounds", "")) for name in pair]
    if not all(name in variables for name in names):
        return None
    x, y = (grid.values(name) for name in names)
    shape = variables[pair[0]].shape
    return (x, y) if x.shape == y.shape and x.shape[:-1] == shape and x.ndim > 1 else None


def _across(x: _Floats, y: _Floats, places: npt.NDArray[np.intp]) -> _Floats:
    """Half the largest distance across some cells to their neighbours: rows, columns and both diagonals.

    Of two neighbours in a line the nearer counts, so that a fold or a jump of the grid makes no cell large.
    """
    row, column = np.divmod(places, x.shape[1])
    middle = vectors(x[row, column], y[row, column])
    largest = np.zeros(places.size)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        sides = []
        for sign in (1, -1):
            i, j = row + sign * down, column + sign * right
            there = (i >= 0) & (i < x.shape[0]) & (j >= 0) & (j < x.shape[1])
            i, j = (np.where(there, at, 0) for at in (i, j))
            apart = vectors(np.where(there, x[i, j], np.nan), y[i, j]) - middle
            sides.append(metres(np.sqrt(np.sum(apart * apart, axis=-1))))
        largest = np.fmax(largest, np.fmin(*sides))
    return np.nan_to_num(largest / 2 * _BENT)
