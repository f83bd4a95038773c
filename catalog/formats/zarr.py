"""Zarr, version 2, as a zip of a store: packed as the source, consolidated; `xarray.open_zarr` reads it.

The zip's members are stored, for the chunks are compressed already (Blosc, lz4, shuffled). `member` gives the members
of the same store one at a time. Chunks are the source's own where they are of a usual size. Text is of variable
length, UTF-8.

Source: Zarr storage specification, version 2; xarray's convention of `_ARRAY_DIMENSIONS`.
"""

import itertools
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import orjson
import xarray as xr

from catalog.data.blocks import rectangles, source_chunks_of
from catalog.data.plain import plain_attributes, words
from catalog.errors import NotFound
from catalog.formats._arrow import Sink
from catalog.formats._flat import RESERVED, attributes_of

SUFFIX = "zarr"
MEDIA_TYPE = "application/zip"
STREAMS = True
_CHUNK_BYTES = 1 << 22
_USUAL = range(1 << 14, 1 << 26)
_CODEC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
_TEXT = {"id": "vlen-utf8"}


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield a zip whose members are the metadata, then each variable's chunks."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for key, document in documents(dataset).items():
            archive.writestr(zipfile.ZipInfo(key), orjson.dumps(document))
        for name, variable in dataset.variables.items():
            grid = (range(-(-n // c)) for n, c in zip(variable.shape, chunk_shape(variable), strict=True))
            for place in itertools.product(*grid):
                archive.writestr(zipfile.ZipInfo(f"{name}/{_key(place)}"), chunk(variable, place))
                yield sink.drained()
    yield sink.drained()


def member(dataset: xr.Dataset, key: str, metadata: Mapping[str, Any]) -> bytes:
    """Return a member of the store of a dataset: a document of `metadata` (as `documents` gives it), or a chunk.

    Raises:
        NotFound: The store has no such member.
    """
    if key in metadata:
        return orjson.dumps(metadata[key])
    name, _, place = key.rpartition("/")
    indices = place.split(".")
    if f"{name}/.zarray" in metadata and all(i.isascii() and i.isdigit() and len(i) < 10 for i in indices):  # noqa: PLR2004
        variable = dataset.variables[name]
        found = tuple(map(int, indices)) if variable.ndim else ()
        counts = [-(-n // c) for n, c in zip(variable.shape, chunk_shape(variable), strict=True)]
        if len(found) == len(counts) and _key(found) == place and all(map(int.__lt__, found, counts)):
            return chunk(variable, found)
    raise NotFound(f"the Zarr store has no member {key[:100]!r}", hint="see its .zmetadata")


def documents(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the metadata of a dataset's store by key, the consolidated ones last."""
    found: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": _attributes(attributes_of(dataset))}
    for name, variable in dataset.variables.items():
        text = variable.dtype.kind in "OSUT"
        found[f"{name}/.zarray"] = {
            "zarr_format": 2,
            "shape": list(variable.shape),
            "chunks": list(chunk_shape(variable)),
            "dtype": "|O" if text else variable.dtype.newbyteorder("<").str,
            "compressor": _CODEC,
            "filters": [_TEXT] if text else None,
            "fill_value": "" if text else _fill(variable),
            "order": "C",
        }
        kept = {k: v for k, v in variable.attrs.items() if k != "_FillValue" and k not in RESERVED}
        found[f"{name}/.zattrs"] = {**_attributes(kept), "_ARRAY_DIMENSIONS": list(map(str, variable.dims))}
    return {**found, ".zmetadata": {"zarr_consolidated_format": 1, "metadata": found}}


def chunk_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Return the shape of a variable's chunks: the source's, or of about 4 MB."""
    known = source_chunks_of(variable)
    if known and math.prod(known) * variable.dtype.itemsize in _USUAL:
        return tuple(max(1, min(c, n)) for c, n in zip(known, variable.shape, strict=True))
    first = next(rectangles(variable.shape, max(1, _CHUNK_BYTES // variable.dtype.itemsize)), None)
    return (
        tuple(side.stop - side.start for side in first) if first else tuple(max(1, n) for n in variable.shape)
    )


def chunk(variable: xr.Variable, place: tuple[int, ...]) -> bytes:
    """Return the bytes of the chunk at a place of the chunks' grid; beyond the array it holds the fill value."""
    shape = chunk_shape(variable)
    sides = tuple(
        slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(place, shape, variable.shape, strict=True)
    )
    raw = np.asarray(variable[sides].values)
    if raw.dtype.kind in "OSUT":
        texts = np.array(["" if item is None else words(item) for item in raw.ravel()], object)
        raw = texts.reshape(raw.shape)
    elif raw.dtype.byteorder == ">":
        raw = raw.astype(raw.dtype.newbyteorder("<"))
    if raw.shape != shape:
        whole = np.full(shape, "" if raw.dtype.kind == "O" else _filler(variable), raw.dtype)
        whole[tuple(slice(0, n) for n in raw.shape)] = raw
        raw = whole
    cells = _texts(raw) if raw.dtype.kind == "O" else raw.tobytes()
    return bytes(
        imagecodecs.blosc_encode(
            cells, level=5, compressor="lz4", shuffle=1, typesize=raw.dtype.itemsize, numthreads=1
        )
    )


def _texts(raw: npt.NDArray[Any]) -> bytes:
    """Texts as vlen-utf8 has them: their number, then each one's length and bytes."""
    encoded = [text.encode() for text in raw.ravel()]
    parts = (struct.pack("<I", len(text)) + text for text in encoded)
    return struct.pack("<I", len(encoded)) + b"".join(parts)


def _key(place: tuple[int, ...]) -> str:
    return ".".join(map(str, place)) or "0"


def _filler(variable: xr.Variable) -> Any:
    return np.asarray(variable.attrs.get("_FillValue", 0)).astype(variable.dtype).ravel()[0]


def _fill(variable: xr.Variable) -> Any:
    """The fill value as Zarr's JSON has it; null where the source has none."""
    if "_FillValue" not in variable.attrs:
        return None
    value = _filler(variable).item()
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return special.get(str(value), value)


def _attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as JSON; those that are no number (a missing value of NaN) are left out."""
    return {name: value for name, value in plain_attributes(attributes).items() if value is not None}
