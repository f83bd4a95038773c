"""Where the cells of an HDF5 file's variables lie, as libhdf5 tells. Call it in a worker, never in a server."""

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5t, h5z

from catalog.data.layouts import COMPRESSORS, MOST_CHUNKS, Chunks, Plain, Stored

_BLOSC, _LZ4, _ZSTD = 32001, 32004, 32015
"""Numbers of registered filter plug-ins (The HDF Group, "Registered Filter Plugins")."""
_FILTERS = {
    h5z.FILTER_DEFLATE: "zlib", h5z.FILTER_SHUFFLE: "shuffle", h5z.FILTER_FLETCHER32: "fletcher32",
    _BLOSC: "blosc", _LZ4: "lz4h5", _ZSTD: "zstd",
}  # fmt: skip
_TYPES = {
    f"{order}{kind}{size}": getattr(h5t, f"{name}{8 * size}{end}")
    for kind, name, sizes in (
        ("i", "STD_I", (1, 2, 4, 8)),
        ("u", "STD_U", (1, 2, 4, 8)),
        ("f", "IEEE_F", (2, 4, 8)),
    )
    for size in sizes
    for order, end in (("<", "LE"), (">", "BE"))
}
_RENAMED = "_nc4_non_coord_"
"""How netCDF-C names a variable that has the name of a dimension and does not lie along it alone."""


@contextlib.contextmanager
def finder(path: str | io.RawIOBase) -> Iterator[Callable[[str], Stored | None]]:
    """Give a function from the name of a NetCDF-4 variable to where its cells lie; None where that is not known.

    The file is given by its path, or open.

    The function raises what h5py raises.
    """
    with h5py.File(path, "r") as file:
        moved = file.userblock_size > 0  # places are then counted from elsewhere

        def find(name: str) -> Stored | None:
            known = file.get(_RENAMED + name)
            item = file[name] if known is None else known
            return None if moved or not isinstance(item, h5py.Dataset) else _stored(item.id)

        yield find


def _stored(item: h5d.DatasetID) -> Stored | None:
    dtype = _dtype(item.get_type())
    made = item.get_create_plist()
    if dtype is None or made.get_external_count():
        return None
    shape = tuple(int(size) for size in item.shape)
    fill = np.zeros((), dtype)
    if made.fill_value_defined() != h5d.FILL_VALUE_UNDEFINED:
        made.get_fill_value(fill)
    layout: Plain | Chunks | None = None
    if made.get_layout() == h5d.CONTIGUOUS:
        offset = item.get_offset()
        strides = [dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        layout = Plain(None if offset is None else int(offset), tuple(strides))
    elif made.get_layout() == h5d.CHUNKED:
        layout = _chunks(item, made, shape, dtype)
    if layout is None:
        return None
    return Stored(shape, dtype, fill.astype(dtype.newbyteorder("=")).tobytes(), layout)


def _dtype(kind: Any) -> np.dtype[Any] | None:
    """The type of plain numbers and of single characters; None for any other."""
    if isinstance(kind, h5t.TypeEnumID):
        kind = kind.get_super()
    if isinstance(kind, h5t.TypeStringID):
        return np.dtype("S1") if not kind.is_variable_str() and kind.get_size() == 1 else None
    return next((np.dtype(code) for code, known in _TYPES.items() if kind.equal(known)), None)


def _chunks(item: h5d.DatasetID, made: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Chunks | None:
    chunk = tuple(int(size) for size in made.get_chunk())
    filters = []
    for at in range(made.get_nfilters()):
        number, _, options, _ = made.get_filter(at)
        name = _FILTERS.get(number)
        if name is None or (name == "shuffle" and tuple(options[:1]) != (dtype.itemsize,)):
            return None
        filters.append((name, dtype.itemsize if name == "shuffle" else 0))
    grid = tuple(-(-size // length) for size, length in zip(shape, chunk, strict=True))
    count = math.prod(grid)
    if count > MOST_CHUNKS or item.get_num_chunks() > MOST_CHUNKS:
        return None
    found: list[tuple[int, int, int, int]] = []

    def keep(one: Any) -> None:
        place = [at // length for at, length in zip(one.chunk_offset, chunk, strict=True)]
        if all(at < most for at, most in zip(place, grid, strict=True)):
            number = 0
            for at, most in zip(place, grid, strict=True):
                number = number * most + at
            found.append((number, int(one.byte_offset), int(one.size), int(one.filter_mask)))

    if count:
        item.chunk_iter(keep)
    return _arranged(found, Chunks(chunk, tuple(filters), *_none(count)), shape, dtype)


def _none(count: int) -> tuple[Any, Any, Any]:
    return np.full(count, -1, np.int64), np.zeros(count, np.int64), np.zeros(count, np.uint32)


def _arranged(
    found: list[tuple[int, int, int, int]], empty: Chunks, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Chunks | None:
    """The chunks in their order; None where one comes twice, or those at the edge may have no filters."""
    if not found:
        return empty
    numbers, offsets, sizes, masks = np.array(found, np.int64).T
    if np.unique(numbers).size < numbers.size:
        return None
    compressed = bool(COMPRESSORS & {name for name, _ in empty.filters})
    ragged = any(size % length for size, length in zip(shape, empty.chunk, strict=True))
    if compressed and ragged and np.any((sizes == empty.nbytes(dtype.itemsize)) & (masks == 0)):
        return None  # H5Pset_chunk_opts can leave the filters out there, and no mask tells
    placed = _none(empty.offsets.size)
    for target, values in zip(placed, (offsets, sizes, masks), strict=True):
        target[numbers] = values
    return Chunks(
        empty.chunk, empty.filters, placed[0], placed[1], placed[2] if masks.any() else placed[2][:0]
    )
