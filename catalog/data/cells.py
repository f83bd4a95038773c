"""Lazy variables over scattered places of another: rows that make no slice, and cells of a list of places.

Nothing is read before it is asked for, and then in windows of whole chunks: each chunk that holds one of the cells
is read once, however many of them it holds.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data.blocks import chunks_of
from catalog.data.packing import unpack

Indices = npt.NDArray[np.intp]
_Floats = npt.NDArray[np.float64]
_RAW = frozenset(
    {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "valid_range", "valid_min"}
    | {"valid_max", "actual_range"}
)
"""Attributes that tell of raw values, and are not true of means."""

_CHUNKED = frozenset(
    {"chunksizes", "chunks", "preferred_chunks", "source_chunks", "original_shape", "contiguous"}
)
_WINDOW_BYTES = 32_000_000
_BLOCK = 64  # cells of a window where the variable has no chunks
_DENSE = 4  # a span is read whole where it holds at most this many times the rows asked for
_FEW = 2


@dataclass(frozen=True, eq=False)
class Cells:
    """A list of cells to gather.

    Args:
        places: Indices of each cell by dimension, all of one length; with weights, those of a place's corners follow
            one another.
        into: The dimensions that stand for the places: a new one of the places' number; or for one place some of its
            own, each of length 1, of which a variable gets those that it had.
        weights: (places, corners): what each corner counts in a mean of unpacked numbers. None: the raw values.
    """

    places: Mapping[str, Indices]
    into: tuple[str, ...]
    weights: _Floats | None = None

    @property
    def count(self) -> int:
        """How many places there are."""
        size = next(iter(self.places.values())).size
        return size if self.weights is None else len(self.weights)

    def nearest(self) -> "Cells":
        """Return the corner that counts most of each place, its values as they are."""
        if self.weights is None:
            return self
        at = np.arange(self.count) * self.weights.shape[1] + self.weights.argmax(axis=1)
        return Cells({d: indices[at] for d, indices in self.places.items()}, self.into)

    def dimensions(self, variable: xr.Variable) -> tuple[str, ...]:
        """Return the dimensions that stand for the places in a variable; empty where it has none of theirs."""
        there = [d for d in variable.dims if d in self.places]
        if not there or not set(self.into) <= set(self.places):
            return self.into if there else ()
        return tuple(d for d in self.into if d in there)


def as_slice(indices: Indices) -> slice | None:
    """Return the rising slice that indices are; None where they are none."""
    count = indices.size
    if count < _FEW:
        return slice(int(indices[0]), int(indices[0]) + 1, 1) if count else slice(0, 0, 1)
    first, last = int(indices[0]), int(indices[-1])
    step = int(indices[1]) - first
    if step < 1 or last - first != step * (count - 1):
        return None
    if count > _FEW and bool((indices[1:] - indices[:-1] != step).any()):
        return None
    return slice(first, last + 1, step)


def taken(
    variable: xr.Variable, picks: Mapping[str, Indices], slices: Mapping[str, slice | None]
) -> xr.Variable:
    """Return a variable at the picked indices of its dimensions, lazily; `slices` are the picks that are slices."""
    key = tuple(slices.get(str(d)) or slice(None) for d in variable.dims)
    found = variable[key] if any(part != slice(None) for part in key) else variable
    rows = {d: picks[str(d)] for d in variable.dims if str(d) in picks and slices.get(str(d)) is None}
    return _lazily(found, _Rows(found, rows), found.dims, found.attrs) if rows else found


def gathered(variable: xr.Variable, cells: Cells) -> xr.Variable:
    """Return the cells of a variable at a list of places, lazily; one without their dimensions is as it was.

    The places' dimensions stand where the first of the replaced ones stood. A place with a missing corner that counts
    is missing.
    """
    into = cells.dimensions(variable)
    if not into:
        return variable
    places = {d: indices for d, indices in cells.places.items() if d in variable.dims}
    first = min(variable.dims.index(d) for d in places)
    free = tuple(d for d in variable.dims if d not in places)
    before = sum(d not in places for d in variable.dims[:first])
    array = _Gathered(variable, places, before, len(into), cells.weights)
    attributes = dict(variable.attrs)
    if cells.weights is not None:
        attributes = {k: v for k, v in attributes.items() if k not in _RAW}
        attributes["_FillValue"] = np.float64(np.nan)
    return _lazily(variable, array, (*free[:before], *into, *free[before:]), attributes)


def chunk_groups(variable: xr.Variable, places: Mapping[str, Indices]) -> list[Indices]:
    """Return the places by the chunks that hold them: for each chunk, the positions in the list."""
    chunks = chunks_of(variable) or (_BLOCK,) * variable.ndim
    number = np.zeros(next(iter(places.values())).size, np.int64)
    for d, at in places.items():
        axis = variable.dims.index(d)
        number = number * (variable.shape[axis] // chunks[axis] + 1) + at // chunks[axis]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _lazily(
    variable: xr.Variable, array: Any, dimensions: tuple[Any, ...], attributes: Mapping[Any, Any]
) -> xr.Variable:
    """A lazy variable of an array in xarray's sense, with the encoding of another but for its chunks."""
    found = xr.Variable(dimensions, indexing.LazilyIndexedArray(array), attributes)
    found.encoding = {key: value for key, value in variable.encoding.items() if key not in _CHUNKED}
    return found


class _Lazy(BackendArray):
    """An array that is read at the outer product of indices; subclasses say how."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._plain
        )

    def _plain(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        single = tuple(axis for axis, part in enumerate(key) if isinstance(part, (int, np.integer)))
        places = tuple(
            np.arange(size)[part]
            if isinstance(part, slice)
            else np.atleast_1d(np.asarray(part, np.intp)) % size
            for part, size in zip(key, self.shape, strict=True)
        )
        return self._read(places).squeeze(axis=single)

    @abstractmethod
    def _read(self, places: tuple[Indices, ...]) -> npt.NDArray[Any]:
        """The values at the outer product of indices."""


class _Rows(_Lazy):
    """A variable whose indices along some dimensions make no slice."""

    def __init__(self, variable: xr.Variable, rows: Mapping[Any, Indices]) -> None:
        self._variable = variable
        self._rows = tuple(rows.get(d) for d in variable.dims)
        self.shape = tuple(
            n if row is None else row.size for n, row in zip(variable.shape, self._rows, strict=True)
        )
        self.dtype = variable.dtype

    def _read(self, places: tuple[Indices, ...]) -> npt.NDArray[Any]:
        whole = [at if row is None else row[at] for at, row in zip(places, self._rows, strict=True)]
        return _outer(self._variable, whole)


class _Gathered(_Lazy):
    """The cells of a variable at a list of places; the places' dimensions come after the first `before` others."""

    def __init__(
        self,
        variable: xr.Variable,
        places: Mapping[str, Indices],
        before: int,
        width: int,
        weights: _Floats | None,
    ) -> None:
        self._variable, self._places, self._before, self._width = variable, places, before, width
        self._weights = weights
        self._own = tuple(axis for axis, d in enumerate(variable.dims) if d in places)
        self._free = tuple(axis for axis, d in enumerate(variable.dims) if d not in places)
        count = next(iter(places.values())).size if weights is None else len(weights)
        sizes = [variable.shape[axis] for axis in self._free]
        self.shape = (*sizes[:before], *((count,) if width == 1 else (1,) * width), *sizes[before:])
        self.dtype = variable.dtype if weights is None else np.dtype(np.float64)

    def _read(self, places: tuple[Indices, ...]) -> npt.NDArray[Any]:
        before, width = self._before, self._width
        free = [*places[:before], *places[before + width :]]
        which = places[before] if width == 1 else np.zeros(1, np.intp)
        if self._weights is None:
            cells = self._cells(which, free)
        else:
            corners = self._weights.shape[1]
            every = (which[:, None] * corners + np.arange(corners)).ravel()
            cells = _mean(self._cells(every, free), self._weights[which], self._variable.attrs)
        return np.moveaxis(cells, 0, before).reshape([at.size for at in places])

    def _cells(self, which: Indices, free: list[Indices]) -> npt.NDArray[Any]:
        """The raw cells: (places, other dimensions in the variable's order)."""
        found = np.empty((which.size, *(at.size for at in free)), self._variable.dtype)
        if not found.size:
            return found
        at = {d: indices[which] for d, indices in self._places.items()}
        for group in chunk_groups(self._variable, at):
            window: list[Indices] = [np.empty(0, np.intp)] * self._variable.ndim
            inside = []
            for axis in self._own:
                indices = at[str(self._variable.dims[axis])][group]
                low = int(indices.min())
                window[axis] = np.arange(low, int(indices.max()) + 1)
                inside.append(indices - low)
            for axis, indices in zip(self._free, free, strict=True):
                window[axis] = indices
            for place, raw in self._windows(window):
                cells = np.moveaxis(raw, self._own, range(len(self._own)))
                where: tuple[Any, ...] = (group, *place)
                found[where] = cells[tuple(inside)]
        return found

    def _windows(self, window: list[Indices]) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[Any]]]:
        """The cells of a window, in blocks of the first of the other dimensions that stay small."""
        if not self._free:
            yield (), _outer(self._variable, window)
            return
        first, chunks = self._free[0], chunks_of(self._variable)
        row = int(np.prod([at.size for axis, at in enumerate(window) if axis != first], dtype=object))
        step = max(1, _WINDOW_BYTES // max(1, row * self._variable.dtype.itemsize))
        step = step // chunks[first] * chunks[first] or step if chunks else step
        for start in range(0, window[first].size, step):
            part = slice(start, start + step)
            yield (
                (part,),
                _outer(self._variable, [*window[:first], window[first][part], *window[first + 1 :]]),
            )


def _outer(variable: xr.Variable, places: list[Indices]) -> npt.NDArray[Any]:
    """The values at the outer product of indices: spans that are nearly full are read whole, others run by run."""
    if not all(at.size for at in places):
        return np.empty([at.size for at in places], variable.dtype)
    for axis, at in enumerate(places):
        if as_slice(at) is None and not _is_dense(at):
            return _run_by_run(variable, places, axis)
    if not places:
        return np.asarray(variable.values)
    windows, inner = zip(*map(_window, places), strict=True)
    raw = np.asarray(variable[windows].values)
    for axis, at in enumerate(inner):
        if at is not None:
            raw = raw.take(at, axis=axis)
    return raw


def _run_by_run(variable: xr.Variable, places: list[Indices], axis: int) -> npt.NDArray[Any]:
    at = np.unique(places[axis])
    runs = np.split(at, np.flatnonzero(np.diff(at) > _DENSE) + 1)
    pieces = [_outer(variable, [*places[:axis], run, *places[axis + 1 :]]) for run in runs]
    return np.concatenate(pieces, axis=axis).take(np.searchsorted(at, places[axis]), axis=axis)


def _is_dense(at: Indices) -> bool:
    known = np.unique(at)
    return bool((np.diff(known) <= _DENSE).all())


def _window(at: Indices) -> tuple[slice, Indices | None]:
    """The slice that holds indices, and where they are in it; None where they are all of it."""
    plain = as_slice(at)
    if plain is not None:
        return plain, None
    first = int(at.min())
    return slice(first, int(at.max()) + 1), at - first


def _mean(raw: npt.NDArray[Any], weights: _Floats, attributes: Mapping[Any, Any]) -> _Floats:
    """Weighted sums of consecutive unpacked cells, (places, …); a corner of weight 0 does not count."""
    cells = np.asarray(unpack(raw, attributes), np.float64).reshape(*weights.shape, *raw.shape[1:])
    shares = weights.reshape(*weights.shape, *(1,) * (raw.ndim - 1))
    found: _Floats = np.where(shares == 0, 0.0, cells * shares).sum(axis=1)
    return found
