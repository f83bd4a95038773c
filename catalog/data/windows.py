"""Which ranges of bytes hold the cells asked for of a plain array, and the cells in what was read of them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.data.keys import Along

NEAR_BYTES = 64 << 10
"""What lies no further apart is read at once."""
_MOST_BYTES = 2 << 20
_MOST_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class Window:
    """A range of bytes, and the cells in it.

    Args:
        offset: From the first cell of the array.
        nbytes: Length of the range.
        at: Where in the answer its cells go.
        shape: Shape of the cells in it, before `chosen`.
        strides: Bytes from one of them to the next.
        chosen: Which of them, along which dimensions, where the distance varies.
    """

    offset: int
    nbytes: int
    at: tuple[slice, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    chosen: tuple[tuple[int, npt.NDArray[np.intp]], ...]

    def cells(self, data: npt.NDArray[np.uint8], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return the cells in the range's bytes; they are no copy where nothing is left out between them."""
        found: npt.NDArray[Any] = np.ndarray(self.shape, dtype, data.data, 0, self.strides)
        for axis, indices in self.chosen:
            found = np.take(found, indices, axis)
        return found


def windows(asked: Sequence[Along], strides: tuple[int, ...], itemsize: int) -> Iterator[Window]:
    """Yield the ranges that hold the cells asked for, none of them empty.

    Args:
        asked: Of each dimension; something of every one.
        strides: Bytes from one cell to the next along each dimension.
        itemsize: Bytes of a cell.
    """
    single = _single(asked, strides, itemsize)
    for outer in itertools.product(*(enumerate(one) for one in asked[:single])):
        for start, some in _groups(asked[single:], strides[single:], itemsize):
            yield _window(outer, start, some, strides, itemsize)


def _single(asked: Sequence[Along], strides: tuple[int, ...], itemsize: int) -> int:
    """How many of the first dimensions are read one index at a time: behind them all is near, and not too much."""
    span = itemsize
    for axis in range(len(asked) - 1, -1, -1):
        one = asked[axis]
        if one.widest() * strides[axis] - span > NEAR_BYTES or span > _MOST_BYTES:
            return axis + 1
        span += (one.last - one.first) * strides[axis]
    return 0


def _groups(
    asked: Sequence[Along], strides: tuple[int, ...], itemsize: int
) -> Iterator[tuple[int, list[Along]]]:
    """Parts of the first dimension that are not too much at once: where each starts, and what it asks for."""
    if not asked:
        yield 0, []
        return
    first, rest = asked[0], list(asked[1:])
    span = itemsize + sum((one.last - one.first) * step for one, step in zip(rest, strides[1:], strict=True))
    reach = max(0, _MOST_BYTES - span) // max(1, strides[0])
    if first.last - first.first <= reach:
        yield 0, [first, *rest]
        return
    indices = np.arange(first.first, first.last + 1, first.step) if first.indices is None else first.indices
    start = 0
    while start < indices.size:
        stop = int(np.searchsorted(indices, indices[start] + reach, "right"))
        part = None if first.indices is None else indices[start:stop]
        yield (
            start,
            [
                Along(int(indices[start]), int(indices[stop - 1]), first.step, stop - start, part),
                *rest,
            ],
        )
        start = stop


def _window(
    outer: tuple[tuple[int, int], ...],
    start: int,
    asked: list[Along],
    strides: tuple[int, ...],
    itemsize: int,
) -> Window:
    """The window at single indices (place in the answer, index) and all that is asked for behind them."""
    places = [slice(place, place + 1) for place, _ in outer]
    shape, steps, chosen = [1] * len(outer), [0] * len(outer), []
    offset = sum(index * step for (_, index), step in zip(outer, strides, strict=False))
    nbytes = itemsize
    for axis, (one, step) in enumerate(zip(asked, strides[len(outer) :], strict=True)):
        offset += one.first * step
        nbytes += (one.last - one.first) * step
        begin = start if axis == 0 else 0
        places.append(slice(begin, begin + one.count))
        if one.indices is None:
            shape.append(one.count)
            steps.append(one.step * step)
        else:
            chosen.append((len(shape), one.indices - one.first))
            shape.append(one.last - one.first + 1)
            steps.append(step)
    return Window(offset, nbytes, tuple(places), tuple(shape), tuple(steps), tuple(chosen))


def contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of an array in C order without gaps."""
    strides = [itemsize]
    for count in shape[:0:-1]:
        strides.append(strides[-1] * count)
    return tuple(reversed(strides)) if shape else ()


def runs(offsets: list[int], sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of ranges, by offset, that are near enough to be read at once."""
    start = 0
    for at in range(1, len(offsets) + 1):
        if at == len(offsets) or (
            offsets[at] - offsets[at - 1] - sizes[at - 1] > NEAR_BYTES
            or offsets[at] + sizes[at] - offsets[start] > _MOST_READ
        ):
            if at > start:
                yield start, at
            start = at
