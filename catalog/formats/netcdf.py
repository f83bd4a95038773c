"""NetCDF-4 as a stream, packed as the source: raw values, types and attributes are copied, nothing is decoded.

The file is what netCDF-C makes, written by our own code: an HDF5 file with a dimension scale for each dimension, whose
headers come first and whose cells follow, contiguous and little-endian. Its length is known before, and nothing is
compressed: deflate takes forty times the processor that writing takes, and who keeps the file can compress it
(`nccopy -d1 -s`). Empty dimensions are unlimited, as NetCDF-4 has no others.

Source: NetCDF-4 Format Specification (NetCDF Users Guide, File Format Specifications), HDF5 Dimension Scale
Specification, and `_hdf5`.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.errors import NotSubsettable
from catalog.formats import _hdf5, _hdf5dense, _hdf5heap
from catalog.formats._flat import RESERVED, attributes_of
from catalog.formats._netcdf import legal, names, texts, utf8
from catalog.formats._pieces import cells

SUFFIX = "nc"
MEDIA_TYPE = "application/x-netcdf"
STREAMS = True
_NUMBER = np.dtype("<i4")
_PROPERTIES = "version=2,writer=bienmo"
_HIDDEN = RESERVED | {"_FillValue", "_IsNetcdf4", "_SuperblockVersion", "_nc3_strict"}
_RENAMED = "_nc4_non_coord_"
"""How netCDF-C names a variable that has the name of a dimension and does not lie along it."""
_BARE = "This is a netCDF dimension but not a netCDF variable.%10d"
_WIDER = {"b1": "i1", "f2": "f4"}
_FILLS = {
    "i1": -127, "i2": -32767, "i4": -2147483647, "i8": -9223372036854775806, "f4": 9.969209968386869e36,
    "u1": 255, "u2": 65535, "u4": 4294967295, "u8": 18446744073709551614, "f8": 9.969209968386869e36,
}  # fmt: skip
"""What netCDF-C takes for a cell never written."""


@dataclass(frozen=True)
class _Member:
    """A dataset of the file: a dimension without a variable of its own, or a variable.

    Args:
        name: Its name there, in UTF-8.
        shape: Of its cells.
        item: Bytes of a cell.
        messages: Those of its header but the layout and the attributes.
        attributes: Bodies of its attributes, by name.
        uses: As a dimension scale, what lies along it: the number of a dataset and of its axis.
        variable: What it holds; None where nothing is written.
        dtype: The type written; None for text.
        size: Bytes of what is written after the headers.
    """

    name: bytes
    shape: tuple[int, ...]
    item: int
    messages: Sequence[_hdf5.Message]
    attributes: Mapping[bytes, bytes]
    uses: Sequence[tuple[int, int]]
    variable: xr.Variable | None = None
    dtype: np.dtype[Any] | None = None
    size: int = 0

    def block(self, at: int, addresses: Sequence[int], data: int) -> bytes:
        """The header, at an address, when datasets are at addresses and this one's cells at `data`."""
        attributes = dict(self.attributes)
        if self.uses:
            used = b"".join(struct.pack("<QII", addresses[member], axis, 0) for member, axis in self.uses)
            key = b"REFERENCE_LIST"
            attributes[key] = _hdf5.attribute(key, _hdf5.USE, (len(self.uses),), used)
        place = data if self.size else _hdf5.UNDEFINED
        return _block((*self.messages, _hdf5.layout(self.shape, self.item, place)), attributes, at)


@dataclass(frozen=True)
class _File:
    """The plan of a file: its datasets, the attributes of its root, and the heap of what both refer to."""

    members: Sequence[_Member]
    attributes: Mapping[bytes, bytes]
    heap: _hdf5heap.Heap

    def head(self) -> tuple[bytes, Sequence[int]]:
        """All that comes before the cells, and where each dataset's begin, then the end."""
        unknown = [0] * len(self.members)
        lengths = (len(member.block(0, unknown, 0)) for member in self.members)
        *addresses, root = accumulate(lengths, initial=self.heap.end)
        links = [(member.name, address) for member, address in zip(self.members, addresses, strict=True)]
        group = _block(_hdf5.links(links), self.attributes, root)
        places = list(accumulate((member.size for member in self.members), initial=root + len(group)))
        blocks = (
            member.block(address, addresses, place)
            for member, address, place in zip(self.members, addresses, places[:-1], strict=True)
        )
        start = _hdf5.superblock(root, places[-1])
        return b"".join((start, self.heap.content(addresses), *blocks, group)), places


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the headers, then each variable's cells.

    Raises:
        NotSubsettable: Two names are the same when they are made legal, or NetCDF-4 has no such type, so many
            dimensions or attributes, or so large an attribute.
    """
    file = _plan(dataset)
    head, places = file.head()
    yield head
    for member, place in zip(file.members, places[:-1], strict=True):
        if member.variable is not None and member.size:
            yield from _texts(member, place) if member.dtype is None else cells(member.variable, member.dtype)


def length(dataset: xr.Dataset) -> int:
    """Return how many bytes `write` yields; of data, only texts are read. Raises as `write`."""
    return _plan(dataset).head()[1][-1]


def _block(messages: Sequence[_hdf5.Message], attributes: Mapping[bytes, bytes], at: int) -> bytes:
    """The header of an object at an address, and after it the attributes that are too large to be in it."""
    most, count = max(map(len, attributes.values()), default=0), len(attributes)
    if count > _hdf5.MOST_ATTRIBUTES:
        raise NotSubsettable(f"NetCDF-4 does not hold {count} attributes", hint="ask for csv")
    if most <= _hdf5.MOST_MESSAGE:
        return _hdf5.header((*messages, *_hdf5.stored(list(attributes.values()))))
    if most > _hdf5dense.MOST:
        raise NotSubsettable(
            "NetCDF-4 is not written with an attribute of more than 16 MB", hint="ask for csv"
        )
    after = at + len(_hdf5.header((*messages, *_hdf5.elsewhere(count, (0, 0, 0)))))
    where = _hdf5dense.addresses(attributes, after)
    return _hdf5.header((*messages, *_hdf5.elsewhere(count, where))) + _hdf5dense.dense(attributes, after)


def _texts(member: _Member, place: int) -> Iterator[bytes]:
    """The cells of text, each saying where in the heap it lies, then the heap."""
    assert member.variable is not None
    at = place + math.prod(member.shape) * member.item
    for items in _hdf5heap.collected(texts(member.variable)):
        yield _hdf5heap.references(items, at)
        at += _hdf5heap.size(items)
    yield from map(_hdf5heap.collection, _hdf5heap.collected(texts(member.variable)))


def _plan(dataset: xr.Dataset) -> _File:
    """What the file will be; texts are read for their length."""
    known, numbers = names(dataset), {dimension: at for at, dimension in enumerate(dataset.sizes)}
    owned = {name for name, variable in dataset.variables.items() if variable.dims[:1] == (name,)}
    bare = {dimension: at for at, dimension in enumerate(d for d in numbers if d not in owned)}
    order = {name: at for at, name in enumerate(dataset.variables, len(bare))}
    scales = {**bare, **{name: order[name] for name in owned}}
    uses: dict[Any, list[tuple[int, int]]] = {dimension: [] for dimension in numbers}
    for name, variable in dataset.variables.items():
        if name not in owned:
            for axis, dimension in enumerate(variable.dims):
                uses[dimension].append((order[name], axis))
    heap = _hdf5heap.Heap(_hdf5.SUPERBLOCK_BYTES)
    told = {"_NCProperties": _PROPERTIES, **_shown(attributes_of(dataset))}
    attributes = _encoded(told, heap)
    members = [_bare(known[d], dataset.sizes[d], numbers[d], uses[d]) for d in bare]
    for name, variable in dataset.variables.items():
        along = _along(variable, numbers)
        if name in owned:
            along |= _scale(known[name], numbers[name])
        elif variable.dims:
            held = b"".join(heap.put(scales[dimension]) for dimension in variable.dims)
            key = b"DIMENSION_LIST"
            along[key] = _hdf5.attribute(key, _hdf5.REFERENCES, (variable.ndim,), held)
        label = known[name] if name in owned or name not in numbers else _RENAMED + known[name]
        members.append(_member(label, variable, along, uses[name] if name in owned else (), heap))
    return _File(members, attributes, heap)


def _bare(name: str, size: int, number: int, uses: Sequence[tuple[int, int]]) -> _Member:
    """A dimension without a variable of its own: a dataset of its size that is never written."""
    dtype = np.dtype("<f4")
    messages = _hdf5.dataset(_hdf5.number(dtype), (size,), bytes(dtype.itemsize))
    attributes = _scale(_BARE % size, number)
    return _Member(name.encode(), (size,), dtype.itemsize, messages, attributes, uses)


def _scale(title: str, number: int) -> dict[bytes, bytes]:
    """What makes a dataset the scale of a dimension of a number."""
    told = {b"CLASS": b"DIMENSION_SCALE\0", b"NAME": title.encode() + b"\0"}
    found = {key: _hdf5.attribute(key, _hdf5.characters(len(text)), (), text) for key, text in told.items()}
    key = b"_Netcdf4Dimid"
    return {**found, key: _hdf5.attribute(key, _hdf5.number(_NUMBER), (), struct.pack("<i", number))}


def _along(variable: xr.Variable, numbers: Mapping[Any, int]) -> dict[bytes, bytes]:
    """The numbers of a variable's dimensions, where it has any."""
    if not variable.dims:
        return {}
    held = struct.pack(f"<{variable.ndim}i", *(numbers[dimension] for dimension in variable.dims))
    key = b"_Netcdf4Coordinates"
    return {key: _hdf5.attribute(key, _hdf5.number(_NUMBER), (variable.ndim,), held)}


def _member(
    name: str,
    variable: xr.Variable,
    along: Mapping[bytes, bytes],
    uses: Sequence[tuple[int, int]],
    heap: _hdf5heap.Heap,
) -> _Member:
    """A variable, its attributes after those that say what it lies along."""
    if variable.ndim > _hdf5.MOST_RANK:
        raise NotSubsettable(f"NetCDF-4 has no array of {variable.ndim} dimensions")
    shape, dtype = variable.shape, _type(variable.dtype)
    if dtype is None:
        item, kind, fill = _hdf5heap.REFERENCE_BYTES, _hdf5.STRING, heap.put(b"")
        size = item * variable.size + sum(map(_hdf5heap.size, _hdf5heap.collected(texts(variable))))
        attributes = _encoded(_shown(variable.attrs), heap)
    else:
        item, kind, size = dtype.itemsize, _hdf5.number(dtype), dtype.itemsize * variable.size
        value = _fill(variable, dtype)
        fill = np.array(_FILLS[dtype.str[1:]] if value is None else value, dtype).tobytes()
        told = {} if value is None else {"_FillValue": value}
        told |= _shown(variable.attrs)
        if variable.dtype.kind == "f" and dtype.itemsize != variable.dtype.itemsize:
            told["source_type"] = variable.dtype.name
        attributes = _encoded(told, heap)
    messages = _hdf5.dataset(kind, shape, fill)
    return _Member(name.encode(), shape, item, messages, {**along, **attributes}, uses, variable, dtype, size)


def _type(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type that is written, little-endian; None for text. Raises NotSubsettable where there is none."""
    if dtype.kind in "OSUT":
        return None
    code = _WIDER.get(dtype.str[1:], dtype.str[1:])
    if code not in _FILLS:
        raise NotSubsettable(f"NetCDF-4 has no type for {dtype.name}", hint="ask for other variables")
    return np.dtype(f"<{code}")


def _fill(variable: xr.Variable, dtype: np.dtype[Any]) -> Any:
    """The source's fill value in the variable's type; none is written where the source has none that is a number."""
    value = variable.attrs.get("_FillValue")
    try:
        with np.errstate(invalid="ignore"):
            found = np.asarray(value).astype(variable.dtype).astype(dtype).ravel()
    except (TypeError, ValueError):
        return None
    return None if value is None or not found.size else found[0]


def _shown(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes by legal name, without those that belong to a file's structure."""
    named = ((legal(name), value) for name, value in attributes.items())
    return {name: value for name, value in named if name not in _HIDDEN}


def _encoded(attributes: Mapping[str, Any], heap: _hdf5heap.Heap) -> dict[bytes, bytes]:
    """Attributes by name: numbers in their type, one ASCII text as characters, other text in the heap."""
    found = {}
    for name, value in attributes.items():
        key = name.encode()
        numbers, said = _value(value)
        if numbers is not None:
            kind = _hdf5.number(numbers.dtype)
            found[key] = _hdf5.attribute(
                key, kind, numbers.shape if numbers.size else None, numbers.tobytes()
            )
        elif len(said) == 1 and said[0].isascii():
            text = said[0] or b"\0"
            found[key] = _hdf5.attribute(key, _hdf5.characters(len(text)), (), text)
        else:
            held = b"".join(map(heap.put, said))
            found[key] = _hdf5.attribute(key, _hdf5.STRING, (len(said),), held)
    return found


def _value(value: Any) -> tuple[npt.NDArray[Any] | None, Sequence[bytes]]:
    """An attribute's numbers, as a row of a type that NetCDF-4 has, or its texts."""
    if isinstance(value, str):
        return None, (utf8(value),)
    try:
        found = np.asarray(value)
    except ValueError:  # lists of unlike lengths
        return None, (utf8(value),)
    if found.dtype.kind in "iufb":
        code = _WIDER.get(found.dtype.str[1:], found.dtype.str[1:])
        return found.reshape(-1).astype(f"<{code if code in _FILLS else 'f8'}"), ()
    return None, tuple(map(utf8, found.reshape(-1))) or (b"",)
