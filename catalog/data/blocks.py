"""Reading a variable in blocks, so that memory stays bounded whatever its size."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.decoded import passing

BLOCK_BYTES = 8_000_000
_MOST = 8
"""How many times larger a block may be, to hold whole chunks."""

Place = tuple[slice, ...]


def blocks(variable: xr.Variable) -> Iterator[tuple[Place, npt.NDArray[Any]]]:
    """Yield (place, values) of consecutive blocks, in C order, whole chunks of the cut dimension where they fit.

    The values are raw, of the rank of the variable; one after another they are all of its cells in C order. A scalar is
    one block with an empty place.
    """
    most = max(1, BLOCK_BYTES // variable.dtype.itemsize)
    if 0 < variable.size <= most:
        yield tuple(slice(0, size) for size in variable.shape), np.asarray(variable.values)
        return
    for place in rectangles(variable.shape, most, source_chunks_of(variable)):
        yield place, values_at(variable, place)


def values_at(variable: xr.Variable, place: Place) -> npt.NDArray[Any]:
    """Return a variable's values at a place; no chunk of a mere part of it is kept (`catalog.data.decoded`)."""
    if place == tuple(slice(0, size) for size in variable.shape):
        return np.asarray(variable.values)
    with passing():
        return np.asarray(variable[place].values)


def chunks_of(variable: xr.Variable) -> tuple[int, ...] | None:
    """Return the shape of the chunks that a variable is read from; None where it has none of its rank."""
    found = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    return tuple(map(int, found)) if found and len(found) == variable.ndim else None


def source_chunks_of(variable: xr.Variable) -> tuple[int, ...] | None:
    """Return the shape of the source's chunks, by which answers are made, whatever a variable is read from."""
    found = variable.encoding.get("source_chunks")
    return tuple(map(int, found)) if found and len(found) == variable.ndim else chunks_of(variable)


def rectangles(
    shape: Sequence[int],
    most: int,
    chunks: Sequence[int] | None = None,
    *,
    start: Sequence[int] | None = None,
) -> Iterator[Place]:
    """Yield places that cover an array in C order, each of at most `most` cells (with chunks, at most twice that).

    Args:
        shape: The size along each dimension.
        most: Cells of one place.
        chunks: The shape of chunks; one dimension is cut, where it can be, along them.
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
    step = _step(shape[axis], most, math.prod(shape[axis + 1 :]), chunks[axis] if chunks else 1)
    end = first[axis] + shape[axis]
    outer = [range(a, a + n) for a, n in zip(first[:axis], shape[:axis], strict=True)]
    for indices in product(*outer):
        before = tuple(slice(i, i + 1) for i in indices)
        for low in range(first[axis], end, step):
            yield (*before, slice(low, min(low + step, end)), *rest)


def _step(size: int, most: int, row: int, chunk: int) -> int:
    """How many rows make a block: whole chunks where they fit."""
    fits = max(1, most // row)
    if size <= fits:
        return size
    if chunk <= fits:
        return fits // chunk * chunk
    return chunk if chunk * row <= _MOST * most else fits
