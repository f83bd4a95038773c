"""NetCDF-3 as a stream, packed as the source: 64-bit offsets (CDF-2), or 64-bit data (CDF-5) where it must be.

Every reader of NetCDF knows CDF-2. It has no unsigned and no 64-bit whole numbers, and no strings: unsigned numbers
become the next wider type, text becomes characters along a dimension of its most bytes (UTF-8). 64-bit whole numbers
that are few and small become 32-bit ones; with others, and for variables of 4 GB and more, the file is CDF-5, which
has all types of numbers. The attribute `source_type` says what a variable was.

Source: NetCDF Users Guide, File Format Specifications; the CDF-5 format of PnetCDF.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.blocks import blocks
from catalog.data.plain import words
from catalog.errors import NotSubsettable
from catalog.formats._flat import RESERVED, attributes_of
from catalog.formats._netcdf import names, texts, utf8
from catalog.formats._pieces import cells

SUFFIX = "nc3"
MEDIA_TYPE = "application/x-netcdf"
STREAMS = True
_HINT = "ask for NetCDF-4, with the suffix nc"
_TYPES = {"i1": 1, "S1": 2, "i2": 3, "i4": 4, "f4": 5, "f8": 6, "u1": 7, "u2": 8, "u4": 9, "i8": 10, "u8": 11}
_CLASSIC = 6
_WIDER = {"b1": "i1", "f2": "f4", "u1": "i2", "u2": "i4", "u4": "f8"}
_MOST_BYTES = (1 << 32) - 4
_FEW = 1 << 16
_LARGEST, _EXACT = (1 << 31) - 1, 1 << 53


@dataclass(frozen=True)
class _Column:
    """A variable as the file has it: its name, what is read, the type and shape written, and its attributes."""

    name: str
    variable: xr.Variable
    dtype: np.dtype[Any]
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of its cells, with the padding after them."""
        return -(-math.prod(self.shape) * self.dtype.itemsize // 4) * 4


@dataclass(frozen=True)
class _File:
    """The plan of a file."""

    wide: bool
    dimensions: Mapping[str, int]
    columns: tuple[_Column, ...]
    attributes: Mapping[str, Any]


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the header, then each variable's cells.

    Raises:
        NotSubsettable: A name is not legal even when changed, or several dimensions have no cell.
    """
    file = _plan(dataset)
    yield _header(file)
    for column in file.columns:
        if column.dtype.kind == "S":
            yield from _characters(column)
        else:
            yield from cells(column.variable, column.dtype.newbyteorder(">"))
        yield bytes(-math.prod(column.shape) * column.dtype.itemsize % 4)


def length(dataset: xr.Dataset) -> int:
    """Return how many bytes `write` yields; of data, only texts and a few whole numbers are read. Raises as `write`."""
    file = _plan(dataset)
    return len(_header(file)) + sum(column.size for column in file.columns)


def _characters(column: _Column) -> Iterator[bytes]:
    width = column.shape[-1]
    for _, raw in blocks(column.variable):
        if raw.dtype.kind != "S":
            raw = np.array([utf8(item) for item in raw.ravel()], f"S{width}")  # noqa: PLW2901
        yield raw.astype(f"S{width}").tobytes()


def _plan(dataset: xr.Dataset) -> _File:
    """What the file will be; texts are read for their length, and a few 64-bit numbers for their size."""
    known = names(dataset)
    types = {name: _classic(variable) for name, variable in dataset.variables.items()}
    wide = any(
        _TYPES[kind] > _CLASSIC or dataset.variables[name].size * np.dtype(kind).itemsize > _MOST_BYTES
        for name, kind in types.items()
    ) or any(size > _LARGEST for size in dataset.sizes.values())
    if wide:
        types = {name: _wide(variable) for name, variable in dataset.variables.items()}
    sizes = {known[d]: int(n) for d, n in dataset.sizes.items()}
    columns = []
    for name, variable in dataset.variables.items():
        dimensions, shape = tuple(known[d] for d in variable.dims), variable.shape
        if types[name] == "S1":
            width = _width(variable)
            label = f"string{width}"
            while sizes.get(label, width) != width or label in known.values():
                label += "_"
            sizes[label] = width
            dimensions, shape = (*dimensions, label), (*shape, width)
        columns.append(_column(known[name], variable, np.dtype(types[name]), dimensions, shape))
    _check_empty(sizes, columns)
    return _File(wide, sizes, tuple(columns), _typed(attributes_of(dataset), wide=wide))


def _column(
    name: str,
    variable: xr.Variable,
    dtype: np.dtype[Any],
    dimensions: tuple[str, ...],
    shape: tuple[int, ...],
) -> _Column:
    """A variable with attributes that say how its type differs from the source's."""
    kept = {str(k): v for k, v in variable.attrs.items() if k not in RESERVED}
    if dtype.kind == "S":
        kept.pop("_FillValue", None)
        extra = {} if variable.dtype.kind == "S" else {"_Encoding": "utf-8"}
        return _Column(name, variable, dtype, dimensions, shape, _typed({**kept, **extra}, wide=False))
    wide = _TYPES[dtype.str[1:]] > _CLASSIC
    for key, value in kept.items():
        found = np.asarray(value if not isinstance(value, str) else None)
        if found.dtype.kind in "iufb" and (key == "_FillValue" or found.dtype == variable.dtype):
            kept[key] = found.astype(dtype)
    if variable.dtype.newbyteorder("=") != dtype:
        kept["source_type"] = variable.dtype.name
    return _Column(name, variable, dtype, dimensions, shape, _typed(kept, wide=wide))


def _classic(variable: xr.Variable) -> str:
    """The type code that CDF-2 has for a variable, or a 64-bit one that it has not."""
    if variable.dtype.kind in "OSUT":
        return "S1"
    code: str = variable.dtype.str[1:]
    if code in {"i8", "u8"} and 0 < variable.size <= _FEW:
        found = np.asarray(variable.values)
        return "i4" if int(found.min()) >= -_LARGEST and int(found.max()) <= _LARGEST else code
    return _WIDER.get(code, code)


def _wide(variable: xr.Variable) -> str:
    """The type code that CDF-5 has for a variable."""
    code = "S1" if variable.dtype.kind in "OSUT" else variable.dtype.str[1:]
    return code if code in _TYPES else _WIDER[code]


def _width(variable: xr.Variable) -> int:
    """Bytes of the longest text, at least one."""
    if variable.dtype.kind == "S":
        return max(1, int(variable.dtype.itemsize))
    return max(map(len, texts(variable)), default=1) or 1


def _check_empty(sizes: Mapping[str, int], columns: list[_Column]) -> None:
    """Refuse what only NetCDF-4 has: a dimension without cells other than the first of its variables."""
    empty = [name for name, size in sizes.items() if not size]
    if len(empty) > 1 or any(set(empty) & set(column.dimensions[1:]) for column in columns):
        raise NotSubsettable(f"NetCDF-3 does not hold the empty {', '.join(empty)[:200]}", hint=_HINT)


def _typed(attributes: Mapping[str, Any], *, wide: bool) -> dict[str, Any]:
    """Attributes as bytes (text) or arrays of a type that the file has."""
    return {words(name): _value(value, wide=wide) for name, value in attributes.items()}


def _value(value: Any, *, wide: bool) -> Any:
    if isinstance(value, str):
        return words(value).encode()
    found = np.asarray(value)
    if found.dtype.kind not in "iufb":
        many = found.ndim and found.dtype.kind in "OSUT"
        return "\n".join(map(words, found.ravel())).encode() if many else words(value).encode()
    found = np.atleast_1d(found).ravel()
    code = found.dtype.str[1:]
    if code not in _TYPES or (_TYPES[code] > _CLASSIC and not wide):
        code = _narrow(found)
    if code == "S1":
        return " ".join(map(str, found.tolist())).encode()
    return found.astype(np.dtype(code).newbyteorder(">"))


def _narrow(found: npt.NDArray[Any]) -> str:
    """The type of CDF-2 for an attribute of another type; characters where it has none that holds the numbers."""
    if found.dtype.kind in "fb":
        return "i1" if found.dtype.kind == "b" else "f4" if found.dtype.itemsize == 2 else "f8"  # noqa: PLR2004
    most = max((abs(number) for number in found.tolist()), default=0)
    return "i4" if most <= _LARGEST else "f8" if most <= _EXACT else "S1"


def _header(file: _File) -> bytes:
    """The bytes before the cells; where each variable begins does not change their number."""
    count = ">q" if file.wide else ">i"

    def number(value: int) -> bytes:
        return struct.pack(count, value)

    def text(value: str) -> bytes:
        data = value.encode()
        return number(len(data)) + data + bytes(-len(data) % 4)

    def listed(tag: int, items: list[bytes]) -> bytes:
        return struct.pack(">i", tag if items else 0) + number(len(items)) + b"".join(items)

    def attributes(values: Mapping[str, Any]) -> bytes:
        items = []
        for name, value in values.items():
            kind = "S1" if isinstance(value, bytes) else value.dtype.str[1:]
            data = value if isinstance(value, bytes) else value.tobytes()
            head = text(name) + struct.pack(">i", _TYPES[kind]) + number(len(value))
            items.append(head + data + bytes(-len(data) % 4))
        return listed(12, items)

    ids = {name: position for position, name in enumerate(file.dimensions)}
    start = (b"CDF\x05" if file.wide else b"CDF\x02") + number(0)
    start += listed(10, [text(name) + number(size) for name, size in file.dimensions.items()])
    start += attributes(file.attributes)
    heads = []
    for column in file.columns:
        rank = number(len(column.dimensions)) + b"".join(number(ids[d]) for d in column.dimensions)
        record = column.shape[1:] if column.shape and not column.shape[0] else column.shape
        size = -(-math.prod(record) * column.dtype.itemsize // 4) * 4
        kind = struct.pack(">i", _TYPES[column.dtype.str[1:]])
        told = number(size) if file.wide else struct.pack(">I", min(size, (1 << 32) - 1))
        heads.append(text(column.name) + rank + attributes(column.attributes) + kind + told)
    before = len(start) + len(listed(11, heads)) + 8 * len(heads)
    begins = np.cumsum([before, *(column.size for column in file.columns)])
    return start + listed(
        11, [head + struct.pack(">q", begin) for head, begin in zip(heads, begins[:-1].tolist(), strict=True)]
    )
