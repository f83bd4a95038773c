"""What a cut costs, known from shapes and chunks before anything but coordinates is read."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from catalog.data import reductions, tiling
from catalog.data.blocks import BLOCK_BYTES
from catalog.data.cells import chunk_groups
from catalog.data.emptiness import SMALL
from catalog.data.grids import Grid
from catalog.data.packing import decoded_itemsize
from catalog.data.placing import Placed
from catalog.data.selection import with_companions
from catalog.record import Model

_WORTH_BYTES = 1_000_000
"""Where less is inflated, no other layout is looked at."""


CHUNK_BYTES = 8_000
"""What finding, reading and placing one chunk costs beside its bytes: as much as inflating so many (20 µs)."""

DECODED_PER_SECOND = 400_000_000
"""Bytes that one core reads, inflates and unshuffles in a second (docs/reference/benchmarks.md)."""


class Limits(Model):
    """What one cut may cost.

    Args:
        result_bytes: Bytes of its unpacked result.
        decoded_bytes: Bytes of chunks inflated for it; each chunk counts 8,000 bytes more.
        seconds: Seconds of one core that its reductions take.
    """

    result_bytes: int
    decoded_bytes: int
    seconds: float = 60


@dataclass(frozen=True)
class Cost:
    """What a cut costs; of a reduction, what is read for it.

    Args:
        cells: Cells of data, over all variables.
        result_bytes: Bytes of the unpacked result.
        decoded_bytes: Bytes of chunks inflated for it.
        rows: Rows of the long table that CSV and its like have.
        spared_bytes: Bytes of the source's chunks that need not be inflated where it has a twin (`catalog.data.twins`);
            where it has none, that need not be if it had. Only of cuts that inflate far more than they give.
        chunks: How many chunks of the wanted variables are read.
        seconds: Seconds of one core that its reductions take, about.
    """

    cells: int
    result_bytes: int
    decoded_bytes: int
    rows: int = 0
    spared_bytes: int = 0
    chunks: int = 0
    seconds: float = 0.0

    @property
    def reading_bytes(self) -> int:
        """What reading costs, as bytes that are inflated: those of the chunks, and 8,000 for each chunk."""
        return self.decoded_bytes + CHUNK_BYTES * self.chunks

    def within(self, limits: Limits) -> bool:
        """Tell whether the limits allow it."""
        return (
            self.result_bytes <= limits.result_bytes
            and self.reading_bytes <= limits.decoded_bytes
            and self.seconds <= limits.seconds
        )


def cost_of(grid: Grid, place: Placed, names: tuple[str, ...]) -> Cost:
    """Return what it costs to take the wanted variables of these names, and what describes them, at a place."""
    cells = result = decoded = spared = chunks = 0
    sizes: dict[str, int] = {}
    for name in with_companions(grid, names):
        if name in place.picked.dropped:
            continue
        if name in place.picked.replaced:
            result += place.picked.replaced[name].nbytes
            continue
        variable = grid.dataset.variables[name]
        shape = shape_of(variable, place)
        taken = product(shape.values())
        read, inflated, less = _cheaper(grid, name, place)
        if name in names:
            cells += taken
            sizes |= shape
            chunks += _chunks(read, inflated)
        result += taken * _itemsize(variable, place)
        decoded, spared = decoded + inflated, spared + less
    result += sum(int(variable.nbytes) for variable in place.added.values())
    rows = product(sizes.values())
    if not place.reduce:
        return Cost(cells, result, decoded, rows, spared, chunks)
    seconds, held = reductions.cost(reductions.parse(place.reduce), cells)
    return Cost(cells, max(result, held), decoded, rows, spared, chunks, seconds)


def cheaper(grid: Grid, name: str, place: Placed) -> xr.Variable:
    """Return a variable of the source or its twin, whichever inflates less for what is taken at a place."""
    return _cheaper(grid, name, place)[0] if name in grid.twins else grid.dataset.variables[name]


def _cheaper(grid: Grid, name: str, place: Placed) -> tuple[xr.Variable, int, int]:
    """The variable to read, the bytes that it inflates, and those that a twin spares or would spare."""
    variable = grid.dataset.variables[name]
    inflated = _inflated(variable, place)
    if inflated < _WORTH_BYTES:
        return variable, inflated, 0
    twin = grid.twins.get(name)
    if twin is None:
        tiled = grid.keep(("tiled", name), lambda: _tiled(grid, variable))
        less = inflated if tiled is None else _retiled(tiled, place)
        return variable, inflated, max(0, inflated - less)
    less = _retiled(twin, place)
    return (variable, inflated, 0) if inflated <= less else (twin, less, inflated - less)


def _tiled(grid: Grid, variable: xr.Variable) -> xr.Variable | None:
    """What a twin of a variable would look like; None where it has no use for one."""
    shape = tiling.tiles(variable, grid.time) if grid.time else None
    found = variable.copy(deep=False)
    found.encoding = {"chunksizes": shape}
    return found if shape else None


def _retiled(twin: xr.Variable, place: Placed) -> int:
    """Bytes of the tiles that are inflated: a large part is read in blocks of few times, each of which touches them."""
    raw = product(shape_of(twin, place).values()) * int(twin.dtype.itemsize)
    return _inflated(twin, place) * (1 if raw <= SMALL else 1 + -(-raw // BLOCK_BYTES))


def shape_of(variable: xr.Variable, place: Placed) -> dict[str, int]:
    """Return the sizes of a variable's dimensions at a place."""
    indices = place.picked.indices
    found = {str(d): len(indices[str(d)]) if str(d) in indices else n for d, n in variable.sizes.items()}
    for cells in place.cells:
        into = cells.dimensions(variable)
        if into:
            found = {d: n for d, n in found.items() if d not in cells.places}
            found |= {d: cells.count if len(into) == 1 else 1 for d in into}
    return found


def _itemsize(variable: xr.Variable, place: Placed) -> int:
    """The most bytes of an unpacked value: whole numbers that become missing or means are unpacked to float64."""
    known = decoded_itemsize(variable.dtype, variable.attrs)
    if variable.dtype.kind in "iuf" and any(cells.weights is not None for cells in place.cells):
        return max(known, 8)
    may_miss = place.picked.keeps or (place.shape is not None and place.shape.kind == "area")
    return max(known, 8) if may_miss and variable.dtype.kind in "iu" else known


def _chunks(variable: xr.Variable, inflated: int) -> int:
    """How many chunks are read where so many bytes are inflated; of a variable without chunks none."""
    chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    if not chunks or len(chunks) != variable.ndim:
        return 0
    return inflated // max(1, product(chunks) * int(variable.dtype.itemsize))


def _inflated(variable: xr.Variable, place: Placed) -> int:
    """Bytes of all chunks of a variable that the place touches."""
    chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    chunks = chunks if chunks and len(chunks) == variable.ndim else None
    several = [c for c in place.cells if not set(c.places) & set(place.picked.indices)]
    gathered = {d for c in several for d in c.places}
    sizes = []
    for axis, (dimension, size) in enumerate(variable.sizes.items()):
        chunk = int(chunks[axis]) if chunks else 1
        if dimension not in gathered:
            sizes.append(_touched(str(dimension), size, chunk, place) * chunk)
    for cells in several:
        there = {d: indices for d, indices in cells.places.items() if d in variable.dims}
        if there:
            sizes.append(_gathered(variable, there, chunks))
    return product(sizes) * int(variable.dtype.itemsize)


def _touched(dimension: str, size: int, chunk: int, place: Placed) -> int:
    """How many chunks along a dimension are touched."""
    indices = place.picked.indices.get(dimension)
    if indices is None:
        return -(-size // chunk)
    if not indices.size:
        return 0
    plain = place.slices[dimension]
    if plain is not None and plain.step is not None and plain.step > chunk:
        return int(indices.size)
    if plain is not None:
        return int(indices[-1]) // chunk - int(indices[0]) // chunk + 1
    return int(np.unique(indices // chunk).size)


def _gathered(variable: xr.Variable, there: dict[str, np.ndarray], chunks: Iterable[int] | None) -> int:
    """Cells of the chunks, in the gathered dimensions, that hold one of the places; of their windows without chunks."""
    groups = chunk_groups(variable, there)
    if chunks is not None:
        known = dict(zip(map(str, variable.dims), chunks, strict=True))
        return len(groups) * product(int(known[d]) for d in there)
    return sum(product(int(np.ptp(indices[group])) + 1 for indices in there.values()) for group in groups)


def product(numbers: Iterable[int]) -> int:
    """Return the product of whole numbers, however large."""
    total = 1
    for number in numbers:
        total *= int(number)
    return total
