"""What a key asks for along each dimension: ascending, chunk by chunk, and how it goes back to its own order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_Indices = slice | npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Along:
    """The indices that are asked for along one dimension, ascending, each once.

    Args:
        first: The least index.
        last: The greatest index.
        step: The distance between two of them; 0 where it varies.
        count: How many there are.
        indices: They themselves where the step varies, else None.
        back: What turns them into the order that was asked for; None where that is their own.
        dropped: The dimension is not in the answer, because one number was asked for.
    """

    first: int
    last: int
    step: int
    count: int
    indices: npt.NDArray[np.intp] | None = None
    back: _Indices | None = None
    dropped: bool = False

    def __iter__(self) -> Iterator[int]:
        """Yield the indices."""
        return iter(
            range(self.first, self.last + 1, self.step) if self.indices is None else self.indices.tolist()
        )

    def key(self) -> tuple[int, int, int, bytes]:
        """Return what tells the ascending indices from all others."""
        return self.first, self.step, self.count, b"" if self.indices is None else self.indices.tobytes()

    def widest(self) -> int:
        """Return the greatest distance between two indices that follow each other; 0 where there is one."""
        if self.indices is not None:
            return int(np.diff(self.indices).max())
        return self.step if self.count > 1 else 0


@dataclass(frozen=True, slots=True)
class Touched:
    """What is asked for of one chunk along one dimension.

    Args:
        number: The chunk's place in the grid of chunks.
        inside: Which of the chunk's own indices.
        chosen: Which of those that `inside` gives, ascending; None for all.
        at: Where in the answer they go.
    """

    number: int
    inside: slice
    chosen: npt.NDArray[np.intp] | None
    at: slice

    def within(self) -> Along:
        """Return what is asked for of the chunk as if it were all there is."""
        if self.chosen is not None:
            return _of_array(self.chosen + self.inside.start, self.inside.stop)
        return _of_range(range(self.inside.stop)[self.inside])


def along(part: Any, size: int) -> Along:
    """Return what one part of a key (number, slice or index array) asks for along a dimension of a size.

    Raises:
        IndexError: An index lies outside.
    """
    if isinstance(part, slice):
        return _of_range(range(*part.indices(size)))
    if isinstance(part, np.ndarray) and part.ndim == 1:
        return _of_array(part, size)
    at = int(part)
    if not -size <= at < size:
        raise IndexError(f"index {at} is outside a dimension of {size}")
    at %= size
    return Along(at, at, 1, 1, dropped=True)


def _of_range(asked: range) -> Along:
    if not asked:
        return Along(0, -1, 1, 0)
    back = slice(None, None, -1) if asked.step < 0 else None
    asked = asked if asked.step > 0 else asked[::-1]
    return Along(asked[0], asked[-1], asked.step if len(asked) > 1 else 1, len(asked), back=back)


def _of_array(part: npt.NDArray[Any], size: int) -> Along:
    if not part.size:
        return Along(0, -1, 1, 0)
    indices = part.astype(np.intp)
    if indices.min() < -size or indices.max() >= size:
        raise IndexError(f"an index is outside a dimension of {size}")
    indices = np.where(indices < 0, indices + size, indices)
    back: _Indices | None = None
    if indices.size > 1 and not np.all(np.diff(indices) > 0):
        indices, back = np.unique(indices, return_inverse=True)
    first, last, count = int(indices[0]), int(indices[-1]), indices.size
    steps = np.diff(indices)
    if count == 1 or np.all(steps == steps[0]):
        return Along(first, last, int(steps[0]) if count > 1 else 1, count, back=back)
    return Along(first, last, 0, count, indices, back)


def touched(asked: Along, chunk: int) -> list[Touched]:
    """Return what is asked for of each chunk of a length along one dimension, in ascending order."""
    if not asked.count:
        return []
    if asked.indices is not None:
        return _by_array(asked.indices, chunk)
    if asked.count == 1:
        number, at = divmod(asked.first, chunk)
        return [Touched(number, slice(at, at + 1), None, slice(0, 1))]
    found = []
    done, index = 0, asked.first
    while done < asked.count:
        number, at = divmod(index, chunk)
        most = min(asked.count - done, (chunk - at - 1) // asked.step + 1)
        stop = at + (most - 1) * asked.step + 1
        found.append(Touched(number, slice(at, stop, asked.step), None, slice(done, done + most)))
        done += most
        index += most * asked.step
    return found


def _by_array(indices: npt.NDArray[np.intp], chunk: int) -> list[Touched]:
    numbers = indices // chunk
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    found = []
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), indices.size], strict=True):
        inside = indices[start:stop] - numbers[start] * chunk
        first, last = int(inside[0]), int(inside[-1])
        whole = last - first + 1 == stop - start
        found.append(
            Touched(
                int(numbers[start]),
                slice(first, last + 1),
                None if whole else inside - first,
                slice(start, stop),
            )
        )
    return found


def returned(found: npt.NDArray[Any], asked: list[Along]) -> npt.NDArray[Any]:
    """Return what was found in the order that was asked for, without the dimensions that were asked for by number."""
    for axis, one in enumerate(asked):
        if isinstance(one.back, slice):
            found = found[(slice(None),) * axis + (one.back,)]
        elif one.back is not None:
            found = np.take(found, one.back, axis)
    dropped = tuple(axis for axis, one in enumerate(asked) if one.dropped)
    return found.squeeze(axis=dropped) if dropped else found
