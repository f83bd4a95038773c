"""The chunks that serve series and boxes alike, and when they are worth having.

The rule: a tile holds the whole time axis, in equal parts of at most 1,024 steps, times a nearly square piece of the
last two other dimensions, so that it has at most a million bytes unpacked of its filters; all other dimensions have one
index a tile. A series of a year at a place inflates one tile, and a box at most four more than it fills.
"""

import math
from collections.abc import Sequence

import xarray as xr

from catalog.data.blocks import chunks_of

TILE_BYTES = 1_000_000
MOST_STEPS = 1_024
LEAST_STEPS = 16
"""A shorter time axis has no series worth a tile."""
LEAST_GAIN = 4
"""So many times fewer bytes must a series inflate."""

Shape = tuple[int, ...]


def tiles(variable: xr.Variable, time: str) -> Shape | None:
    """Return the shape of the tiles that a variable would have, by the rule of this module.

    Args:
        variable: The variable, its chunks in its encoding.
        time: The dimension of time.

    Returns:
        One size a dimension; None where a series would not inflate far less than it does now.
    """
    chunks = chunks_of(variable)
    is_grid = time in variable.dims and 1 < len(set(variable.dims)) == variable.ndim
    is_number = variable.dtype.kind in "iuf" and variable.dtype.itemsize <= 8  # noqa: PLR2004
    if chunks is None or not is_grid or not is_number:
        return None
    if variable.shape[variable.dims.index(time)] < LEAST_STEPS or not variable.size:
        return None
    found = _tile(variable.shape, variable.dims.index(time), variable.dtype.itemsize)
    before, after = (series_bytes(variable, time, shape) for shape in (chunks, found))
    return found if before >= LEAST_GAIN * after else None


def series_bytes(variable: xr.Variable, time: str, chunks: Shape) -> int:
    """Return the bytes that a series over all times at one place inflates."""
    axis = variable.dims.index(time)
    steps = _whole(variable.shape[axis], chunks[axis])
    return math.prod(chunks) // chunks[axis] * steps * int(variable.dtype.itemsize)


def map_bytes(variable: xr.Variable, time: str, chunks: Shape) -> int:
    """Return the bytes that all cells of one time inflate."""
    pairs = zip(variable.dims, variable.shape, chunks, strict=True)
    sizes = (chunk if dimension == time else _whole(size, chunk) for dimension, size, chunk in pairs)
    return math.prod(sizes) * int(variable.dtype.itemsize)


def _whole(size: int, chunk: int) -> int:
    """Cells along a dimension of all the chunks that cover it."""
    return -(-size // chunk) * chunk


def _tile(shape: Sequence[int], axis: int, itemsize: int) -> Shape:
    found = [1] * len(shape)
    found[axis] = _even(shape[axis], MOST_STEPS)
    room = max(1, TILE_BYTES // itemsize // found[axis])
    last = [at for at in range(len(shape)) if at != axis][-2:]
    for at, other in zip(last, reversed(last), strict=True):  # the first takes what the second cannot fill
        side = math.isqrt(room) if len(last) > 1 and at == last[0] else room
        if at != other and at == last[0]:
            side = max(side, room // shape[other])
        found[at] = _even(shape[at], max(1, side))
        room = max(1, room // found[at])
    return tuple(found)


def _even(size: int, most: int) -> int:
    """The size of the fewest equal parts of at most `most`."""
    return -(-size // -(-size // most))
