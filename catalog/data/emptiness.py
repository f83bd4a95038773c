"""Whether a part has any value at all, and where the nearest cell is that has one.

A box on land is cut as asked, and says so: nobody should take a map of nothing for a sea without data, or for an error.
Both questions are answered within bounds; beyond them nothing is said.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.blocks import chunks_of, rectangles, steps_of
from catalog.data.grids import Grid
from catalog.data.nearest import nearest_all
from catalog.data.placing import Placed
from catalog.data.positions import pair_of
from catalog.data.spheres import haversines, metres
from catalog.errors import CatalogError

SMALL = 4_000_000
"""Bytes of raw values that are read at once and kept for the format to write."""

_BLOCK = 1 << 18  # cells
_MOST_READ = 64_000_000  # bytes of raw values, before nothing is said
_MOST_CELLS = 600_000
_MOST_CHUNKS = 64
_MOST_INFLATED = 64_000_000
_FIRST = 4
_LINE = 2
_PROBED = 32
_FLAGS = frozenset({"flag_values", "flag_masks"})
_Mask = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]


def has_values(raw: npt.NDArray[np.generic], attributes: Mapping[str, object]) -> _Mask:
    """Tell which raw values are not missing: neither a fill value nor NaN."""
    there = ~np.isnan(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
    for name in ("_FillValue", "missing_value"):
        if name in attributes:
            for fill in np.atleast_1d(np.asarray(attributes[name])):
                if fill.dtype.kind in "iuf":
                    there &= raw != fill
    return there


def read_small(variables: Mapping[str, xr.Variable], names: tuple[str, ...]) -> dict[str, xr.Variable]:
    """Return variables, those of some names read already where all of these together are small."""
    found = dict(variables)
    names = tuple(name for name in names if name in variables)  # the part may be without some
    if sum(variables[name].size * variables[name].dtype.itemsize for name in names) <= SMALL:
        for name in names:
            lazy = variables[name]
            found[name] = xr.Variable(
                lazy.dims, np.asarray(lazy.values), lazy.attrs, lazy.encoding, fastpath=True
            )
    return found


def emptiness(grid: Grid, place: Placed, part: Mapping[str, xr.Variable], names: tuple[str, ...]) -> str:
    """Return the sentence that an answer without any value must say; empty where it has one, or nobody knows.

    Args:
        grid: The whole.
        place: Where the part was taken.
        part: The variables of the part.
        names: Those that were wanted.
    """
    if has_any(grid, part, names):
        return ""
    placed = _placed(grid, part, names)
    said = "all cells masked (land?)"
    try:
        near = _nearest(grid, place, placed[0], *_middle(grid, place, part))
    except CatalogError:
        near = ""
    return f"{said}; {near}" if near else said


def has_any(grid: Grid, part: Mapping[Any, xr.Variable], names: tuple[str, ...]) -> bool:
    """Tell whether a wanted variable that has positions has any value; also where there is none, or nobody knows."""
    placed = _placed(grid, part, names)
    return not placed or not all(_is_empty(part[name]) for name in placed)


def _placed(grid: Grid, part: Mapping[Any, xr.Variable], names: tuple[str, ...]) -> list[str]:
    """The variables that have positions; flags tell of values and are none, unless nothing else was asked for."""
    there = [name for name in names if name in part]  # the part may be without some
    placed = [name for name in there if pair_of(grid, name) is not None and part[name].dtype.kind in "iuf"]
    return [name for name in placed if _FLAGS.isdisjoint(part[name].attrs)] or placed


def _is_empty(variable: xr.Variable) -> bool:
    """Tell whether a variable surely has no value: block by block until the first one."""
    if not variable.size or (
        variable.dtype.kind != "f" and not {"_FillValue", "missing_value"} & set(variable.attrs)
    ):
        return False
    if variable.nbytes <= _BLOCK:
        return not has_values(np.asarray(variable.values), variable.attrs).any()
    if has_values(_middle_of(variable), variable.attrs).any():
        return False
    read = 0
    for place in rectangles(variable.shape, _BLOCK, steps_of(variable)):
        raw = np.asarray(variable[place].values)
        if has_values(raw, variable.attrs).any():
            return False
        read += raw.nbytes
        if read > _MOST_READ:
            return False
    return True


def _middle_of(variable: xr.Variable) -> npt.NDArray[Any]:
    """A few cells from the middle of a variable: they lie in one chunk or two, and most often say all."""
    firsts = [size // 2 for size in variable.shape]
    lengths = [1] * (variable.ndim - 1) + [_PROBED]
    return np.asarray(variable[tuple(map(slice, firsts, map(sum, zip(firsts, lengths, strict=True))))].values)


def _middle(grid: Grid, place: Placed, part: Mapping[str, xr.Variable]) -> tuple[float, float]:
    """The place that is asked about: the first point, or the middle of the box."""
    if place.shape is not None and place.shape.kind != "area":
        return float(place.shape.longitudes[0]), float(place.shape.latitudes[0])
    x, y = (
        np.ravel(np.asarray(part[str(name)].values, np.float64))
        for name in (grid.axes.longitude, grid.axes.latitude)
    )
    east = x[0] + (x - x[0] + 180) % 360 - 180
    return float((np.nanmin(east) + np.nanmax(east)) / 2), float((np.nanmin(y) + np.nanmax(y)) / 2)


def _nearest(grid: Grid, place: Placed, name: str, longitude: float, latitude: float) -> str:
    """Where the nearest cell with a value is, at the first time and depth asked for."""
    pair = pair_of(grid, name)
    assert pair
    variable = grid.dataset.variables[name]
    start = nearest_all(grid, np.array([longitude]), np.array([latitude]), pair).indices
    centre = {d: int(indices[0]) for d, indices in start.items()}
    own = [d for d in variable.dims if d in centre]
    if not own:
        return ""
    others = {
        d: place.picked.indices.get(str(d), np.zeros(1, np.intp))[:1]
        for d in variable.dims
        if d not in centre
    }
    is_straight = all(grid.dataset.variables[axis].ndim == 1 for axis in pair)  # then beyond is farther
    found, reached, radius, last = None, 0.0, _FIRST, False
    while True:
        window = _window(variable, grid, pair, centre, radius)
        if not _is_cheap(variable, window):
            break
        window = _whole_chunks(variable, window)
        key = tuple(
            window[d] if d in window else slice(int(others[d][0]), int(others[d][0]) + 1)
            for d in variable.dims
        )
        raw = np.asarray(variable[key].values).reshape(
            [part.stop - part.start for part in map(window.get, own) if part]
        )
        x, y = _positions(grid, pair, window, own)
        far = haversines(longitude, latitude, x, y)
        there = has_values(raw, variable.attrs) & np.isfinite(far)
        whole = all(part == slice(0, variable.sizes[d]) for d, part in window.items())
        edge = float(np.nanmax(far)) if whole else _edge(far)
        if there.any():
            at = np.unravel_index(int(np.where(there, far, np.inf).argmin()), far.shape)
            x, y = np.broadcast_arrays(x, y)
            found = float(x[at]), float(y[at]), float(far[at])
        else:
            reached = edge
        if whole or last or (found and found[2] <= edge and is_straight):
            break
        last = found is not None
        radius = 2 * max(radius, _least_radius(window, centre))
    if found:
        x0, y0, _ = found
        away = _kilometres(found[2])
        return f"the nearest cell with data is at {x0:.7g},{y0:.7g} ({away:.4g} km away)"
    return f"no cell within {_kilometres(reached):.4g} km has data" if reached else ""


def _kilometres(haversine: float) -> float:
    return float(metres(2 * np.sqrt(haversine))) / 1000


def _window(
    variable: xr.Variable, grid: Grid, pair: tuple[str, str], centre: Mapping[str, int], radius: int
) -> dict[str, slice]:
    """So many cells around a centre, as wide as high in metres on axes of degrees; all of what has no neighbours."""
    if len(centre) < _LINE:
        return {d: slice(0, variable.sizes[d]) for d in centre}
    column = grid.dataset.variables[pair[0]]
    wide = radius
    if column.ndim == 1:
        at = float(grid.values(pair[1])[centre[str(grid.dataset.variables[pair[1]].dims[0])]])
        wide = int(radius / max(np.cos(np.radians(at)), 1e-3)) + 1
    found = {}
    for d, index in centre.items():
        reach = wide if column.dims == (d,) else radius
        found[d] = slice(max(0, index - reach), min(variable.sizes[d], index + reach + 1))
    return found


def _whole_chunks(variable: xr.Variable, window: Mapping[str, slice]) -> dict[str, slice]:
    """A window with the rest of the chunks that it touches, which is inflated with it, where that is not too much."""
    chunks = dict(zip(variable.dims, chunks_of(variable) or (), strict=False))
    wide = {
        d: slice(
            part.start // chunks.get(d, 1) * chunks.get(d, 1),
            min(variable.sizes[d], -(-part.stop // chunks.get(d, 1)) * chunks.get(d, 1)),
        )
        for d, part in window.items()
    }
    return wide if _is_cheap(variable, wide) else dict(window)


def _least_radius(window: Mapping[str, slice], centre: Mapping[str, int]) -> int:
    """How far a window reaches to all sides at least."""
    reach = [min(centre[d] - part.start, part.stop - 1 - centre[d]) for d, part in window.items()]
    return int(min(reach))


def _is_cheap(variable: xr.Variable, window: Mapping[str, slice]) -> bool:
    chunks = chunks_of(variable)
    cells = inflated = number = 1
    for axis, d in enumerate(variable.dims):
        part = window.get(str(d), slice(0, 1))
        chunk = chunks[axis] if chunks else 1
        touched = (part.stop - 1) // chunk - part.start // chunk + 1
        cells, number, inflated = (
            cells * (part.stop - part.start),
            number * touched,
            inflated * touched * chunk,
        )
    if chunks and number > _MOST_CHUNKS:
        return False
    return cells <= _MOST_CELLS and inflated * variable.dtype.itemsize <= _MOST_INFLATED


def _positions(
    grid: Grid, pair: tuple[str, str], window: Mapping[str, slice], own: list[str]
) -> tuple[_Floats, _Floats]:
    """The longitudes and latitudes of a window, in the order of a variable's dimensions, to be broadcast."""
    found = []
    for name in pair:
        dims = grid.dataset.variables[name].dims
        values = grid.values(name)[tuple(window[str(d)] for d in dims)]
        order = [dims.index(d) for d in own if d in dims]
        shape = [window[d].stop - window[d].start if d in dims else 1 for d in own]
        found.append(values.transpose(order).reshape(shape))
    return found[0], found[1]


def _edge(far: _Floats) -> float:
    """The haversine of the least distance to the edge of a window."""
    sides = [far] if far.ndim < _LINE else [far[0], far[-1], far[:, 0], far[:, -1]]
    return float(min(np.nanmin(side) for side in sides))
