"""Reading a variable place after place, in C order, without inflating its chunks anew for each of them.

Where a chunk holds some of many maps, all chunks of a row must be inflated before the first map is whole. Such a row is
a slab here. One that is too large for memory is put in order in an anonymous temporary file, band after band.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core import indexing

from catalog.data.decoded import passing

Place = tuple[slice, ...]
Steps = Sequence[tuple[int, int]]
"""Along each dimension, how many indices a chunk holds, and how many of the first chunk there are."""

_Array = npt.NDArray[Any]
_BAND_BYTES = 8_000_000
_MOST_FILE_BYTES = 2_000_000_000
_WORTH = 2
"""A place that is less than this part of what its chunks hold is read from the file."""


def values_at(variable: xr.Variable, place: Place) -> _Array:
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


def steps_of(variable: xr.Variable) -> Steps | None:
    """Return how the chunks of its source lie in a variable.

    A variable that is a part of another begins within a chunk, and takes each second or third index of it, say.
    """
    chunks = source_chunks_of(variable)
    if chunks is None:
        return None
    data = variable._data  # noqa: SLF001 - xarray has no other way to ask which part of its source a variable is
    key = data.key.tuple if isinstance(data, indexing.LazilyIndexedArray) else ()
    parts = [part for part in key if not isinstance(part, int | np.integer)]
    if len(parts) != variable.ndim:
        parts = [slice(None)] * variable.ndim
    return tuple(map(_step, chunks, parts))


def _step(chunk: int, part: Any) -> tuple[int, int]:
    if not isinstance(part, slice):
        return chunk, chunk
    first, step = part.start or 0, part.step or 1
    whole = max(1, chunk // abs(step))
    inside = first % chunk if step > 0 else chunk - 1 - first % chunk
    return whole, min(whole, -(-(chunk - inside) // abs(step)))


def bounds(
    size: int, step: int, first: int, start: int = 0, stop: int | None = None
) -> list[tuple[int, int]]:
    """Return the bounds of a dimension's parts (one of `first`, then of `step` each) that meet `start` to `stop`."""
    found = []
    low = 0 if start < first else start - (start - first) % step
    while low < (size if stop is None else stop):
        high = low + step if low else first
        found.append((low, min(size, high)))
        low = high
    return found


class InOrder:
    """A variable that is read in C order; a context manager that gives up its file."""

    def __init__(self, variable: xr.Variable) -> None:
        self._variable = variable
        self._steps = steps_of(variable) if "source_chunks" not in variable.encoding else None
        wide = [at for at, (step, _) in enumerate(self._steps or ()) if min(step, variable.shape[at]) > 1]
        self._axis = wide[0] if wide and variable.dtype.kind in "iufb" else -1
        self._file: IO[bytes] | None = None
        self._there: tuple[slice, ...] | None = None

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Give up the file."""
        file, self._file, self._axis = self._file, None, -1
        if file is not None:
            file.close()

    def read(self, place: Place) -> _Array:
        """Return the values at a place."""
        slabs = self._slabs(place)
        try:
            parts = [self._part(slab, place) for slab in slabs]
        except OSError:  # no space: it takes longer without
            self.__exit__()
            parts = []
        if not parts:
            return values_at(self._variable, place)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, self._axis)

    def _slabs(self, place: Place) -> list[Place]:
        """The slabs that a place is to be taken from; none where it is better read itself."""
        axis, shape = self._axis, self._variable.shape
        if axis < 0 or self._steps is None or any(one.stop - one.start != 1 for one in place[:axis]):
            return []
        asked = place[axis]
        rest = tuple(slice(0, size) for size in shape[axis + 1 :])
        found = [
            (*place[:axis], slice(*side), *rest)
            for side in bounds(shape[axis], *self._steps[axis], asked.start, asked.stop)
        ]
        cells = sum(map(_cells, found))
        fits = cells * self._variable.dtype.itemsize <= _MOST_FILE_BYTES
        return found if fits and cells > _WORTH * _cells(place) else []

    def _part(self, slab: Place, place: Place) -> _Array:
        """What a slab has of a place, from the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="bienmo-", buffering=0)  # noqa: SIM115 - until the exit
        file = self._file.fileno()
        if self._there != slab:
            self._there = None
            self._fill(file, slab)
            self._there = slab
        inside = tuple(
            slice(max(asked.start, whole.start) - whole.start, min(asked.stop, whole.stop) - whole.start)
            for asked, whole in zip(place, slab, strict=True)
        )
        found: _Array = np.empty([one.stop - one.start for one in inside], self._variable.dtype)
        for offset, run in _runs([one.stop - one.start for one in slab], inside, found):
            _read(file, run, offset)
        return found

    def _fill(self, file: int, slab: Place) -> None:
        """Put a slab into the file, band after band: each of them whole chunks."""
        sizes = [one.stop - one.start for one in slab]
        for band in self._bands(slab):
            values = np.ascontiguousarray(values_at(self._variable, band), self._variable.dtype)
            inside = tuple(
                slice(one.start - whole.start, one.stop - whole.start)
                for one, whole in zip(band, slab, strict=True)
            )
            for offset, run in _runs(sizes, inside, values):
                _write(file, run, offset)

    def _bands(self, slab: Place) -> Iterator[Place]:
        """Places of whole chunks that cover a slab, as wide as they may be."""
        assert self._steps
        before, shape = slab[: self._axis + 1], self._variable.shape[self._axis + 1 :]
        steps = list(self._steps[self._axis + 1 :])
        most = _BAND_BYTES // (self._variable.dtype.itemsize * _cells(before))
        lengths = [min(step, size) for (step, _), size in zip(steps, shape, strict=True)]
        for axis in range(len(shape) - 1, -1, -1):
            fits = most // math.prod(lengths)
            if fits > 1:
                lengths[axis] = min(shape[axis], lengths[axis] * fits)
        sides = []
        for (step, first), size, length in zip(steps, shape, lengths, strict=True):
            sides.append(bounds(size, length, size if length == size else first + length - step))
        for side in product(*sides):
            yield (*before, *(slice(*one) for one in side))


def _cells(place: Place) -> int:
    return math.prod(one.stop - one.start for one in place)


def _runs(shape: Sequence[int], inside: Place, values: _Array) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The bytes of a place in an array that lie side by side: where they begin in it, and they themselves."""
    axis = len(shape)
    while axis > 0 and (axis == len(shape) or inside[axis] == slice(0, shape[axis])):
        axis -= 1
    width = values.dtype.itemsize
    strides = [width * math.prod(shape[at + 1 :]) for at in range(len(shape))]
    first = inside[axis].start * strides[axis] if shape else 0
    flat = values.reshape(*values.shape[:axis], -1).view(np.uint8)
    for index in np.ndindex(values.shape[:axis]):
        outer = sum((inside[at].start + index[at]) * strides[at] for at in range(axis))
        yield first + outer, flat[index]


def _write(file: int, run: npt.NDArray[np.uint8], offset: int) -> None:
    done = 0
    while done < run.size:
        done += os.pwrite(file, run[done:].data, offset + done)


def _read(file: int, run: npt.NDArray[np.uint8], offset: int) -> None:
    done = 0
    while done < run.size:
        got = os.preadv(file, [run[done:].data], offset + done)
        if not got:
            raise OSError("the file is shorter than it was")
        done += got
