"""A NetCDF-4 file as xarray sees it, read by h5py from anything that is open like a file.

The netCDF library reads files by their names only. How it lays its data model on HDF5 is told in "NetCDF-4 file format
specification" (NetCDF User's Guide, appendix C): dimensions are dimension scales, variables name theirs in
DIMENSION_LIST, and some attributes and names are hidden. What is not numbers or text is left out.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5t
from xarray.backends import BackendArray
from xarray.backends.common import AbstractDataStore
from xarray.core import indexing

from catalog.errors import NotSubsettable

_HIDDEN = frozenset({
    "CLASS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST", "_Format", "_IsNetcdf4", "_NCProperties", "_NCCOPY",
    "_NCCoordinates", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_SuperblockVersion", "_nc3_strict", "_Codecs",
})  # fmt: skip
_STRING = np.dtype("O", metadata={"element_type": str})  # as xarray marks it
_RENAMED = "_nc4_non_coord_"
_ONLY_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


class Scales(AbstractDataStore):
    """What `xarray.open_dataset` opens: the root group of an open file.

    Args:
        file: The file; it stays open as long as its data are read.

    Raises:
        NotSubsettable: Its datasets have no named dimensions.
    """

    def __init__(self, file: h5py.File) -> None:
        self._items = {name: file[name] for name in _ordered(file)}
        self._attributes = _attributes(file)
        self.groups = tuple(name for name, item in self._items.items() if isinstance(item, h5py.Group))
        datasets = {name: item for name, item in self._items.items() if isinstance(item, h5py.Dataset)}
        self._scales = {name: item for name, item in datasets.items() if _is_scale(item)}
        self._by_number = {
            int(np.ravel(item.attrs["_Netcdf4Dimid"])[0]): name.removeprefix(_RENAMED)
            for name, item in self._scales.items()
            if "_Netcdf4Dimid" in item.attrs
        }
        self._datasets = {
            name: item
            for name, item in datasets.items()
            if not (
                _is_scale(item) and bytes(_plain(item.attrs.get("NAME", b""))).startswith(_ONLY_DIMENSION)
            )
        }

    def get_variables(self) -> Mapping[str, xr.Variable]:
        """Return the variables of numbers and text, by name."""
        found = {name.removeprefix(_RENAMED): self._variable(item) for name, item in self._datasets.items()}
        return {name: variable for name, variable in found.items() if variable is not None}

    def get_attrs(self) -> Mapping[str, Any]:
        """Return the global attributes."""
        return self._attributes

    def get_dimensions(self) -> Mapping[str, int]:
        """Return the sizes of the dimensions."""
        return {name.removeprefix(_RENAMED): len(item) for name, item in self._scales.items()}

    def get_encoding(self) -> Mapping[str, Any]:
        """Return the names of the dimensions without limit."""
        unlimited = {n for n, item in self._scales.items() if item.maxshape and item.maxshape[0] is None}
        return {"unlimited_dims": unlimited}

    def _variable(self, item: h5py.Dataset) -> xr.Variable | None:
        cells = Cells(item) if _dtype(item) is not None else None
        if cells is None:
            return None
        encoding: dict[str, Any] = {"original_shape": cells.shape}
        if item.chunks:
            encoding |= {"chunksizes": item.chunks, "contiguous": False, "preferred_chunks": None}
            encoding["preferred_chunks"] = dict(zip(self._dimensions(item), item.chunks, strict=True))
        filters = {"zlib": item.compression == "gzip", "shuffle": item.shuffle, "fletcher32": item.fletcher32}
        data = indexing.LazilyIndexedArray(cells)
        return xr.Variable(self._dimensions(item), data, _attributes(item), encoding | filters)

    def _dimensions(self, item: h5py.Dataset) -> tuple[str, ...]:
        name = item.name.rpartition("/")[2].removeprefix(_RENAMED)
        numbers = item.attrs.get("_Netcdf4Coordinates")
        if (
            numbers is not None
            and len(numbers) == item.ndim
            and set(numbers.tolist()) <= set(self._by_number)
        ):
            return tuple(self._by_number[int(number)] for number in numbers)
        if _is_scale(item) and item.ndim == 1:
            return (name,)
        listed = item.attrs.get("DIMENSION_LIST")
        if listed is None or len(listed) != item.ndim or any(not len(one) for one in listed):
            if item.ndim == 0:
                return ()
            raise NotSubsettable(
                f"the HDF5 file cannot be cut: the dimensions of {name[:60]} have no names",
                hint="only NetCDF-4 files can be cut at another server",
            )
        return tuple(item.file[one[0]].name.rpartition("/")[2].removeprefix(_RENAMED) for one in listed)


class Cells(BackendArray):
    """The cells of a dataset, read when they are asked for."""

    def __init__(self, item: h5py.Dataset) -> None:
        dtype = _dtype(item)
        assert dtype is not None
        self._item, self.shape, self.dtype = item, item.shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the cells at a key."""
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        if not math.prod(self.shape):
            return np.empty(self.shape, self.dtype)[key]
        if self.dtype.kind == "O":
            texts = np.asarray(self._item[key])
            return np.array([_text(one) for one in texts.ravel().tolist()], object).reshape(texts.shape)
        return np.asarray(self._item[key]).astype(self.dtype, copy=False)


def _ordered(file: h5py.File) -> list[str]:
    """The names in the root group, in the order they were made in where the file knows it."""
    root = file["/"].id
    tracked = root.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED
    names: list[bytes] = []
    index = h5py.h5.INDEX_CRT_ORDER if tracked else h5py.h5.INDEX_NAME
    root.links.iterate(names.append, idx_type=index)
    return [name.decode("utf-8", "replace") for name in names]


def _is_scale(item: h5py.Dataset) -> bool:
    return bytes(_plain(item.attrs.get("CLASS", b""))) == b"DIMENSION_SCALE"


def _plain(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _dtype(item: h5py.Dataset) -> np.dtype[Any] | None:
    """The type that the values are given in: numbers, characters, or texts as objects; None for others."""
    kind = item.id.get_type()
    if isinstance(kind, h5t.TypeStringID):
        one = not kind.is_variable_str() and kind.get_size() == 1
        return np.dtype("S1") if one else _STRING
    if isinstance(kind, h5t.TypeEnumID):
        kind = kind.get_super()
    return np.dtype(kind.dtype) if isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID) else None


def _attributes(item: Any) -> dict[str, Any]:
    return {name: value for name, value in _each_attribute(item) if value is not None}


def _each_attribute(item: Any) -> Iterator[tuple[str, Any]]:
    for name in item.attrs:
        if name in _HIDDEN:
            continue
        try:
            yield name, _value(item.attrs[name])
        except (OSError, TypeError, ValueError, UnicodeDecodeError):
            continue  # of a type that is neither numbers nor text


def _value(value: Any) -> Any:
    """An attribute's value as the netCDF library gives it; None where it is neither numbers nor text."""
    if isinstance(value, h5py.Empty):
        return "" if value.dtype.kind in "OS" else np.empty(0, value.dtype)
    if isinstance(value, str | bytes):
        return _text(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        texts = [_text(one) for one in value.ravel().tolist() if isinstance(one, str | bytes)]
        if len(texts) != value.size:
            return None
        return texts[0] if len(texts) == 1 else texts
    found = np.asarray(value)
    if found.dtype.kind not in "iuf":
        return None
    return found.ravel()[0] if found.size == 1 else found.ravel()


def _text(value: Any) -> str:
    plain = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return plain.rstrip("\0")
