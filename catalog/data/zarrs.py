"""Where the cells of a Zarr folder's arrays lie, by the metadata that zarr reads. Call it in a worker.

Zarr storage specification version 2 ("Arrays"), and Zarr core specification version 3 ("Array metadata"). What these
do not fix (numcodecs' filters, sharding, transposed chunks, checksums) is not known here.
"""

import contextlib
import itertools
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from catalog.data.layouts import MOST_CHUNKS, Chunks, Place, Stored
from catalog.data.positioned import facts, within

_METADATA = (".zgroup", ".zarray", ".zattrs", ".zmetadata", "zarr.json")
_COMPRESSORS = {"zlib", "gzip", "zstd", "lz4", "blosc"}
_ORDERS = {"little": "<", "big": ">"}


def metadata_files(fd: int, names: list[str]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yield name (from the folder on), size and mtime (ns) of the metadata files of an open folder and its arrays."""
    for folder in ((), *((name,) for name in names)):
        for mark in _METADATA:
            with contextlib.suppress(FileNotFoundError), within(fd, (*folder, mark)) as file:
                yield (*folder, mark), *facts(file)


def chunk_files(fd: int, name: str, stored: Stored | None) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yield name, size and mtime (ns) of the files that hold an array's cells; of a chunk that is not there 0 and −1.

    Args:
        fd: The open folder.
        name: The array.
        stored: Where its cells lie; where that is not known, all files of its folder are meant.
    """
    layout = stored.layout if stored else None
    if isinstance(layout, Chunks) and layout.place is not None and layout.mtimes is not None:
        numbers = itertools.product(*map(range, layout.grid(stored.shape))) if stored else ()
        for number, place in enumerate(numbers):
            there = layout.offsets[number] >= 0
            size, mtime = (int(layout.sizes[number]), int(layout.mtimes[number])) if there else (0, -1)
            yield layout.place.parts(place), size, mtime
        return
    for folder, _, files, _ in os.fwalk(name, dir_fd=fd):
        for file in files:
            parts = (*Path(folder).parts, file)
            if file not in _METADATA:
                with within(fd, parts) as found:
                    yield parts, *facts(found)


@contextlib.contextmanager
def finder(path: Path, fd: int) -> Iterator[Callable[[str], Stored | None]]:
    """Give a function from an array's name to where its cells lie; None where that is not known.

    Args:
        path: The folder.
        fd: The same, open.
    """
    group = zarr.open_group(zarr.storage.LocalStore(path, read_only=True), mode="r")

    def find(name: str) -> Stored | None:
        array = group[name]
        if not isinstance(array, zarr.Array) or "/" in name:
            return None
        told: Mapping[str, Any] = array.metadata.to_dict()
        known = _second(name, told) if told["zarr_format"] == 2 else _third(name, told)  # noqa: PLR2004
        if known is None:
            return None
        dtype, chunk, filters, place = known
        fill = np.zeros((), dtype.newbyteorder("=")) if array.fill_value is None else array.fill_value
        shape = tuple(int(size) for size in array.shape)
        empty = Chunks(chunk, filters, *_none(shape, chunk), place)
        return Stored(
            shape, dtype, np.asarray(fill, dtype.newbyteorder("=")).tobytes(), _listed(fd, shape, empty)
        )

    yield find


def _none(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[Any, Any, Any, Any]:
    count = math.prod(-(-size // length) for size, length in zip(shape, chunk, strict=True))
    if count > MOST_CHUNKS:
        raise ValueError("too many chunks")
    return (
        np.full(count, -1, np.int64),
        np.zeros(count, np.int64),
        np.zeros(0, np.uint32),
        np.zeros(count, np.int64),
    )


_Known = tuple[np.dtype[Any], tuple[int, ...], tuple[tuple[str, int], ...], Place]


def _second(name: str, told: Mapping[str, Any]) -> _Known | None:
    """Type, chunk, filters and names of an array of version 2."""
    if told["order"] != "C" or not isinstance(told["dtype"], str):
        return None
    dtype = np.dtype(told["dtype"])
    filters = []
    for one in (*(told["filters"] or ()), *([told["compressor"]] if told["compressor"] else ())):
        if one["id"] == "shuffle" and one.get("elementsize") == dtype.itemsize:
            filters.append(("shuffle", dtype.itemsize))
        elif one["id"] in _COMPRESSORS or (one["id"] == "crc32" and one.get("location", "start") == "start"):
            filters.append((one["id"], 0))
        else:
            return None
    place = Place((name,), (), told.get("dimension_separator", "."), ("0",))
    return dtype, _numbers(told["chunks"]), tuple(filters), place


def _third(name: str, told: Mapping[str, Any]) -> _Known | None:
    """Type, chunk, filters and names of an array of version 3."""
    grid, keys = told["chunk_grid"], told["chunk_key_encoding"]
    first, *rest = told["codecs"]
    if grid["name"] != "regular" or first["name"] != "bytes" or told.get("storage_transformers"):
        return None
    order = _ORDERS[first.get("configuration", {}).get("endian", "little")]
    dtype = np.dtype(told["data_type"]).newbyteorder(
        order
    )  # a name that numpy shares: int16, float32, bool …
    if any(one["name"] not in _COMPRESSORS for one in rest):
        return None
    separator = keys.get("configuration", {}).get("separator", "/" if keys["name"] == "default" else ".")
    if keys["name"] == "default":
        place = Place((name,), ("c",), separator, ("c",))
    elif keys["name"] == "v2":
        place = Place((name,), (), separator, ("0",))
    else:
        return None
    return (
        dtype,
        _numbers(grid["configuration"]["chunk_shape"]),
        tuple((one["name"], 0) for one in rest),
        place,
    )


def _numbers(told: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in told)


def _listed(fd: int, shape: tuple[int, ...], chunks: Chunks) -> Chunks:
    """The chunks with the size and mtime of each file that is there."""
    if chunks.place is None or chunks.mtimes is None:
        return chunks
    for number, place in enumerate(itertools.product(*map(range, chunks.grid(shape)))):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat("/".join(chunks.place.parts(place)), dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("a chunk that is no file")
            chunks.offsets[number], chunks.sizes[number] = 0, found.st_size
            chunks.mtimes[number] = found.st_mtime_ns
    return chunks
