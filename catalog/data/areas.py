"""The cells in an area: those whose centre lies inside or on the edge, of every grid that the wanted variables lie on.

Of rows and columns, and of curvilinear grids, the window of the area's box is given, and cells outside are missing.
Faces of a mesh, stations and other single positions outside are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from catalog.data.cells import Indices
from catalog.data.curvilinear import Plane, plane
from catalog.data.cuts import Cut
from catalog.data.geometry import Shape
from catalog.data.grids import Grid
from catalog.data.meshes import meshes
from catalog.data.picking import Keeps, Picked, outside, pick
from catalog.data.positions import Pair, first_pair, is_lines, pairs_of
from catalog.errors import TooLarge
from catalog.record import BBox

MAX_CELLS = 20_000_000
"""Cells of the window of an area: more would take seconds to tell inside from outside."""

MAX_EDGES = 500_000_000
"""Edges of an area that are looked at, over all cells of its window: about ten seconds."""

_SAMPLE = 10_000
_MOST_NEAR = 10_000_000  # cells times vertices, before the nearest cell is not looked for
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Window:
    """Longitudes and latitudes of the picked cells of one grid, over its dimensions."""

    dimensions: tuple[str, ...]
    longitudes: _Floats
    latitudes: _Floats


def in_area(  # noqa: PLR0913 - a place, and what is asked there
    grid: Grid,
    shape: Shape,
    request: Cut,
    names: tuple[str, ...],
    fixed: Mapping[str, Indices],
    *,
    masks: bool,
) -> Picked:
    """Return what an area and the rest of a request pick; without `masks` only the box of the area, in no time.

    Raises:
        OutsideDomain: No centre lies in the area. TooLarge: Its window has more than 20 million cells, or its edges
        run across them too often.
        BadRequest, NotSubsettable: As `catalog.data.picking.pick`.
    """
    picked = pick(grid, request.model_copy(update={"bbox": BBox.of(*shape.bounds)}), fixed)
    if not masks:
        return picked
    names = tuple(name for name in names if name not in picked.dropped)
    left, notes = picked.dropped, picked.notes
    keeps: list[tuple[tuple[str, ...], npt.NDArray[np.bool_]]] = []
    single: dict[str, Indices] = {}
    windows = list(_windows(grid, picked, names))
    for window in windows:
        _check_edges(shape, window)
        inside = _inside(shape, window)
        if len(window.dimensions) == 1:
            (d,) = window.dimensions
            single[d] = picked.indices.get(d, np.arange(inside.size))[inside]
        elif not inside.all():
            keeps.append((window.dimensions, inside))
        if not inside.any():
            raise outside(grid, "no centre of the data lies in the area of coords" + _near(shape, window))
    if single:
        picked = pick(grid, request, {**fixed, **picked.indices, **single})
        picked = replace(
            picked,
            dropped=tuple(dict.fromkeys((*picked.dropped, *left))),
            notes=tuple(dict.fromkeys((*picked.notes, *notes))),
        )
    told = {window.dimensions for window in windows}
    others: Keeps = tuple((d, mask) for d, mask in picked.keeps if d not in told)
    return replace(picked, keeps=(*others, *keeps))


def _windows(grid: Grid, picked: Picked, names: tuple[str, ...]) -> Iterator[_Window]:
    """The picked window of each grid that the variables lie on; where they lie on none, of the axes' grid."""
    known = meshes(grid)
    used = [mesh for mesh in known if mesh.has(grid, names)]
    owned = {d for mesh in known for d in mesh.dimensions}
    pairs = [pair for pair in pairs_of(grid, names) if owned.isdisjoint(_dimensions(grid, pair))]
    if not (used or pairs):
        first = first_pair(grid)
        used = [mesh for mesh in known if not _dimensions(grid, first).isdisjoint(mesh.dimensions)]
        pairs = [] if used else [first]
    for pair in pairs:
        yield _lines(grid, pair, picked) if is_lines(grid, pair) else _cloud(plane(grid, *pair), picked)
    for mesh in used:
        yield _cloud(mesh.centres(grid), picked)


def _dimensions(grid: Grid, pair: Pair) -> set[str]:
    return {str(d) for name in pair for d in grid.dataset.variables[name].dims}


def _lines(grid: Grid, pair: Pair, picked: Picked) -> _Window:
    x, y = (_line(grid, name, picked) for name in pair)
    _check_size(x.size * y.size)
    columns, rows = np.broadcast_arrays(x.reshape(1, -1), y.reshape(-1, 1))
    dimensions = tuple(str(d) for name in reversed(pair) for d in grid.dataset.variables[name].dims)
    shape = [values.size for values in (y, x) if values.ndim]
    return _Window(dimensions, columns.reshape(shape), rows.reshape(shape))


def _line(grid: Grid, name: str, picked: Picked) -> _Floats:
    """The picked values of an axis; those of float32 as they print, so that an edge written alike is on them."""
    variable = grid.dataset.variables[name]
    values = grid.values(name)
    if variable.dtype == np.float32:
        values = grid.keep(("printed", name), lambda: _printed(grid.values(name)))
    return (
        values[picked.indices[str(variable.dims[0])]] if set(variable.dims) & set(picked.indices) else values
    )


def _printed(values: _Floats) -> _Floats:
    found = np.array([float(str(value)) for value in values.ravel().astype(np.float32)])
    return found.reshape(values.shape)


def _cloud(positions: Plane, picked: Picked) -> _Window:
    x, y = positions.longitudes, positions.latitudes
    for axis, d in enumerate(positions.dimensions):
        if d in picked.indices:
            x, y = (values.take(picked.indices[d], axis=axis) for values in (x, y))
    _check_size(x.size)
    return _Window(positions.dimensions, x, y)


def _check_size(cells: int) -> None:
    if cells > MAX_CELLS:
        raise TooLarge(
            f"the window of the area has {cells} cells, and {MAX_CELLS} are allowed",
            hint="ask for a smaller area, or add stride=longitude:4,latitude:4",
            details={"limit": MAX_CELLS, "asked": cells, "setting": None, "try": {}},
        )


def _check_edges(shape: Shape, window: _Window) -> None:
    """Refuse an area whose edges pass the latitudes of its window's cells too often: a comb of ten thousand teeth."""
    latitudes = window.latitudes.ravel()
    some = latitudes[:: max(1, latitudes.size // _SAMPLE)]
    if some.size and float(shape.edges_at(some).mean()) * latitudes.size > MAX_EDGES:
        raise TooLarge(
            f"the area's edges cross its window of {latitudes.size} cells too often",
            hint="ask for a smaller area, or one of fewer vertices",
            details={"limit": MAX_EDGES, "setting": None, "try": {}},
        )


def _inside(shape: Shape, window: _Window) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return shape.covers(window.longitudes, window.latitudes)


def _near(shape: Shape, window: _Window) -> str:
    """What centre of the window is nearest to the area; nothing where that would take long to find."""
    x, y = window.longitudes.ravel(), window.latitudes.ravel()
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any() or x.size * shape.longitudes.size > _MOST_NEAR:
        return ""
    west, _, east, _ = shape.bounds
    middle = (west + east) / 2
    around = middle + (x - middle + 180) % 360 - 180
    far = shapely.distance(shape.geometry, shapely.points(around[known], y[known]))
    at = np.flatnonzero(known)[int(far.argmin())]
    return f"; the centre nearest to it is {x[at]:.7g},{y[at]:.7g}"
