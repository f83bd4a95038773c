"""Listing what a chunk index needs to know of a file. Call it in a worker, never in a server.

What is listed is only trusted where it gives the same cells as the format's own library, in the corners and the middle
of each variable; all other variables are put into the index as values where they are small, or left to a worker.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import classic, hdf, zarrs
from catalog.data.contents import Index, Variable
from catalog.data.layouts import MOST_CHUNK_BYTES, MOST_CHUNKS, Chunks, Plain, Stored
from catalog.data.opening import opened, sniff
from catalog.data.places import opened_as
from catalog.data.places import place as place_of
from catalog.data.positioned import Source, changed, facts
from catalog.data.reading import Cells, OpenFile
from catalog.data.remote import Reach
from catalog.errors import DataError
from catalog.record import Distribution

SMALL_BYTES = 16_000
"""A variable of at most so many bytes is put into the index as values."""
MOST_VALUE_BYTES = 1_000_000
"""So is a coordinate, or a variable that is not covered, of at most so many bytes."""
_MOST_EMBEDDED = 32_000_000
_MOST_FILES = 1_000  # of a variable of a Zarr folder whose values the index has: they are looked at again
_FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    DataError,
)
_KEPT = (
    "zlib", "szip", "zstd", "bzip2", "blosc", "shuffle", "complevel", "fletcher32", "contiguous", "chunksizes",
    "chunks", "preferred_chunks", "original_shape", "char_dim_name", "dtype",
)  # fmt: skip

Find = Callable[[str], Stored | None]


def listed(path: str) -> Index:
    """Return the index of a NetCDF, HDF5 or Zarr file.

    Args:
        path: As `catalog.data.places.address` writes it.

    Raises:
        DataUnreadable: It cannot be opened. DataChanged: It was written to meanwhile.
    """
    place = place_of(path)
    form: Any = sniff(place)
    source = Source(place, folder=form == "zarr")
    way = Distribution(protocol="zarr" if form == "zarr" else "file", address=path)
    try:
        with source.held() as fd, opened(way, Reach()) as dataset:
            before = _state(fd, dataset, form)
            with _finder(place, fd, form) as find, warnings.catch_warnings(action="ignore"):
                known = before[:2] if form != "zarr" else None
                origin = OpenFile(source, known)
                held = {} if known else _value_files(fd, find, dataset)
                listed_ = tuple(variables(dataset, find, origin, before[0] if known else 1 << 62))
                names = [one.name for one in listed_ if one.values is not None]
                if not known and _value_files(fd, find, dataset) != held:
                    raise changed()
                files = (*before[2], *(file for name in names for file in held.get(name, ())))
            if _state(fd, dataset, form) != before:
                raise changed()
            return Index(
                form=form,
                size=before[0],
                mtime_ns=before[1],
                attributes={str(name): value for name, value in dataset.attrs.items()},
                encoding={k: v for k, v in dataset.encoding.items() if k in {"groups", "unlimited_dims"}},
                sizes={str(name): int(size) for name, size in dataset.sizes.items()},
                variables=listed_,
                files=files,
            )
    finally:
        source.close()


def _state(fd: int, dataset: xr.Dataset, form: Literal["netcdf3", "netcdf4", "zarr"]) -> tuple[int, int, Any]:
    """Size, mtime and metadata files of what is listed."""
    if form != "zarr":
        return *facts(fd), ()
    files = tuple(zarrs.metadata_files(fd, [str(name) for name in dataset.variables]))
    return sum(size for _, size, _ in files), max((mtime for _, _, mtime in files), default=0), files


def _value_files(
    fd: int, find: Find, dataset: xr.Dataset
) -> dict[str, tuple[tuple[tuple[str, ...], int, int], ...]]:
    """The files of each array of a Zarr folder whose cells the index may have as values."""
    found = {}
    for name in (
        str(name) for name, variable in dataset.variables.items() if variable.nbytes <= MOST_VALUE_BYTES
    ):
        try:
            stored = find(name)
        except _FAILURES:
            stored = None
        if not _many_files(stored):
            found[name] = tuple(zarrs.chunk_files(fd, name, stored))
    return found


def _finder(place: Path, fd: int, form: str) -> contextlib.AbstractContextManager[Find]:
    """A context that gives a function from a variable's name and shape to where its cells lie."""
    if form == "zarr":
        return zarrs.finder(place, fd)
    if form == "netcdf4":
        return hdf.finder(opened_as(fd))
    laid = classic.lay_out(Path(opened_as(fd)))
    return contextlib.nullcontext(lambda name: _classic(laid[name]))


def _classic(laid: classic.Laid) -> Stored:
    dtype = np.dtype(laid.dtype)
    return Stored(laid.shape, dtype, bytes(dtype.itemsize), Plain(laid.begin, laid.strides))


def variables(dataset: xr.Dataset, find: Find, origin: OpenFile, size: int) -> Iterator[Variable]:
    """Yield each variable of a file with its values, or where its cells lie, or neither.

    Args:
        dataset: The file as the library of its format reads it.
        find: Tells where the cells of a variable lie.
        origin: The file as it is.
        size: Its bytes.
    """
    chunks = embedded = 0
    for key, variable in dataset.variables.items():
        name = str(key)
        stored = _found(variable, find, name, origin, size)
        if stored is not None and isinstance(stored.layout, Chunks):
            chunks += stored.layout.offsets.size
            stored = stored if chunks <= MOST_CHUNKS else None
        values = None
        is_small = _is_small(name, variable, covered=stored is not None)
        if embedded <= _MOST_EMBEDDED and is_small and not (origin.known is None and _many_files(stored)):
            values = _values(variable)
            embedded += 0 if values is None else values.nbytes
        yield Variable(
            name=name,
            dims=tuple(str(dimension) for dimension in variable.dims),
            shape=tuple(int(size) for size in variable.shape),
            dtype=variable.dtype if values is None else values.dtype,
            attributes={str(k): value for k, value in variable.attrs.items()},
            encoding={k: variable.encoding[k] for k in _KEPT if k in variable.encoding},
            values=values,
            stored=stored if values is None else None,
        )


def _found(variable: xr.Variable, find: Find, name: str, origin: OpenFile, size: int) -> Stored | None:
    """Where the cells of a variable lie, if reading them there gives the same."""
    try:
        stored = find(name)
        if stored is None:
            return None
        made = Variable(name, variable.dims, variable.shape, variable.dtype, {}, {}, None, stored)  # type: ignore[arg-type]
        made.check(size)
        cells = Cells(origin, name, stored, variable.dtype)
        return stored if _agree(variable, cells) else None
    except _FAILURES:
        return None


def _agree(variable: xr.Variable, cells: Cells) -> bool:
    """Tell whether the first, the middle and the last cell are the same read either way."""
    if not variable.size:
        return True
    for place in ([0] * variable.ndim, [n // 2 for n in variable.shape], [n - 1 for n in variable.shape]):
        key = tuple(slice(at, at + 1) for at in place)
        theirs, ours = np.asarray(variable[key].values), cells.read(key)
        if (theirs.dtype, theirs.shape, theirs.tobytes()) != (ours.dtype, ours.shape, ours.tobytes()):
            return False
    return True


def _is_small(name: str, variable: xr.Variable, *, covered: bool) -> bool:
    """Tell whether the values are for the index; what would inflate too much for it is not."""
    chunk = variable.encoding.get("chunksizes") or variable.encoding.get("chunks") or ()
    if math.prod(map(int, chunk)) * variable.dtype.itemsize > MOST_CHUNK_BYTES:
        return False
    most = MOST_VALUE_BYTES if not covered or variable.dims == (name,) else SMALL_BYTES
    return int(variable.nbytes) <= most


def _many_files(stored: Stored | None) -> bool:
    """Tell whether the chunks of a covered variable of a folder are too many to be looked at again and again."""
    return (
        stored is not None and isinstance(stored.layout, Chunks) and stored.layout.offsets.size > _MOST_FILES
    )


def _values(variable: xr.Variable) -> npt.NDArray[Any] | None:
    try:
        values = np.asarray(variable.values)
    except _FAILURES:
        return None
    as_shown = values.shape == variable.shape and values.dtype == variable.dtype
    plain = values.dtype.kind in "biufcSU" or all(type(value) is str for value in values.flat)
    return values if as_shown and plain and values.dtype.kind != "V" else None
