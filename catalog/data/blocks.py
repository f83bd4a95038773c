"""Reading a variable in blocks, so that memory stays bounded whatever its size."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.slabs import InOrder, Place, Steps, bounds, chunks_of, source_chunks_of, steps_of

__all__ = ["BLOCK_BYTES", "Place", "blocks", "chunks_of", "rectangles", "source_chunks_of", "steps_of"]

BLOCK_BYTES = 8_000_000
_MOST = 4
"""How many times larger a block may be, to hold whole chunks."""


def blocks(variable: xr.Variable) -> Iterator[tuple[Place, npt.NDArray[Any]]]:
    """Yield (place, values) of consecutive blocks, in C order, whole chunks of the cut dimension where they fit.

    The values are raw, of the rank of the variable; one after another they are all of its cells in C order. A scalar is
    one block with an empty place.
    """
    most = max(1, BLOCK_BYTES // variable.dtype.itemsize)
    if 0 < variable.size <= most:
        yield tuple(slice(0, size) for size in variable.shape), np.asarray(variable.values)
        return
    with InOrder(variable) as ordered:
        for place in rectangles(variable.shape, most, steps_of(variable)):
            yield place, ordered.read(place)


def rectangles(
    shape: Sequence[int],
    most: int,
    steps: Steps | None = None,
    *,
    start: Sequence[int] | None = None,
) -> Iterator[Place]:
    """Yield places that cover an array in C order, each of at most `most` cells (with chunks, four times that).

    Args:
        shape: The size along each dimension.
        most: Cells of one place.
        steps: How chunks lie in it, as `steps_of` says; one dimension is cut, where it can be, along them.
        start: Where the array begins in a larger one.
    """
    if not all(shape):
        return
    first = start or (0,) * len(shape)
    axis = 0
    while axis < len(shape) and math.prod(shape[axis + 1 :]) > most:
        axis += 1
    rest = tuple(slice(a, a + n) for a, n in zip(first[axis + 1 :], shape[axis + 1 :], strict=True))
    if axis == len(shape):
        yield rest
        return
    chunk, lead = steps[axis] if steps else (1, 1)
    step = _step(shape[axis], most, math.prod(shape[axis + 1 :]), chunk)
    lead = lead + step - chunk if step % chunk == 0 else step
    sides = [slice(first[axis] + a, first[axis] + b) for a, b in bounds(shape[axis], step, lead)]
    outer = [range(a, a + n) for a, n in zip(first[:axis], shape[:axis], strict=True)]
    for indices in product(*outer):
        before = tuple(slice(i, i + 1) for i in indices)
        for side in sides:
            yield (*before, side, *rest)


def _step(size: int, most: int, row: int, chunk: int) -> int:
    """How many rows make a block: whole chunks where they fit."""
    fits = max(1, most // row)
    if size <= fits:
        return size
    if chunk <= fits:
        return fits // chunk * chunk
    return chunk if chunk * row <= _MOST * most else fits
