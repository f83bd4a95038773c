"""MATLAB Level 5 MAT-file: one struct `data` with a field a variable, written as it is read, in bounded memory.

Source of the format: The MathWorks, MAT-File Format, chapter 1 (Level 5). Numbers are unpacked and keep their class
(single, double, int16 …); a missing one is NaN. Dimensions are reversed, as MATLAB's own `ncread` gives them,
because MATLAB counts the first dimension fastest; `data.attributes.NAME.dimensions` names them. A time axis has
two more fields, `NAME_datenum` (days, where its calendar is MATLAB's) and `NAME_iso` (ISO 8601 in the data's own
calendar). Text is cells. `data.attributes` has a struct of attributes a variable, `NC_GLOBAL` those of the
dataset, `ABOUT` licence, citation, source and request. Names are made legal (letters first, 63 at most); one that
changed is kept as the attribute `original_name`.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from catalog.data import axes as ax
from catalog.data.blocks import blocks
from catalog.data.origin import origin
from catalog.data.packing import unpack
from catalog.data.plain import words
from catalog.errors import CatalogError, NotSubsettable, TooLarge
from catalog.formats._credits import described, said

SUFFIX = "mat"
MEDIA_TYPE = "application/x-matlab-data"
STREAMS = True

_LIMIT = (1 << 31) - 1  # bytes: a variable of a Level 5 file, here the struct with everything in it
_MATRIX, _UTF8, _INT8, _INT32, _UINT32 = 14, 16, 1, 5, 6
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES: Mapping[str, tuple[int, int]] = {
    "f8": (6, 9), "f4": (7, 7), "i1": (8, 1), "u1": (9, 2), "i2": (10, 3), "u2": (11, 4), "i4": (12, 5),
    "u4": (13, 6), "i8": (14, 12), "u8": (15, 13),
}  # fmt: skip
"""Array class and data type of numbers, by NumPy's code."""

_LONGEST = 63
_EPOCH = 719_529.0  # datenum of 1970-01-01
_DAY = 86_400_000_000  # microseconds
_KEYWORDS = frozenset(
    {
        "break", "case", "catch", "classdef", "continue", "else", "elseif", "end", "for", "function", "global", "if",
        "otherwise", "parfor", "persistent", "return", "spmd", "switch", "try", "while",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Matrix:
    """An array that can be written: its size in bytes with its tag, known before it is read, and its bytes."""

    size: int
    pieces: Any

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces()


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the file, variable by variable in blocks.

    Raises:
        TooLarge: It would have more than 2 GB, which such files cannot hold.
        NotSubsettable: The data hold complex numbers or nested types.
    """
    root = _root(dataset)
    if root.size > _LIMIT:
        raise TooLarge(
            f"a MATLAB file holds {_LIMIT} bytes, and this would be {root.size}",
            hint="ask for less, or for NetCDF, which MATLAB reads with ncread",
            details={"limit": _LIMIT, "asked": root.size},
        )
    head = f"MATLAB 5.0 MAT-file, Created by: Bien Mo, {words(dataset.attrs.get('title', ''))}"
    yield head.encode("ascii", "replace")[:116].ljust(116) + bytes(8) + b"\x00\x01IM"
    yield from root


def length(dataset: xr.Dataset) -> int:
    """Return how many bytes `write` yields. Raises NotSubsettable as `write`."""
    return 128 + _root(dataset).size


def _root(dataset: xr.Dataset) -> _Matrix:
    names = _legal([str(name) for name in dataset.variables], taken={"attributes"})
    time = origin(dataset).axes.time
    fields: dict[str, _Matrix] = {}
    attributes: dict[str, _Matrix] = {
        "NC_GLOBAL": _attributes(dataset.attrs),
        "ABOUT": _attributes(said(dataset)),
    }
    for source, name in names.items():
        variable = dataset[source].variable
        fields[name] = _array(variable, source)
        kept = described(variable.attrs) if variable.dtype.kind in "iuf" else dict(variable.attrs)
        changed = {"original_name": source} if source != name else {}
        attributes[name] = _attributes(
            {**kept, **changed, "dimensions": " ".join(map(str, variable.dims[::-1]))}
        )
        if source == time:
            fields |= _times(dataset, source, name, {*names.values(), *fields})
    return _struct({**fields, "attributes": _struct(attributes)}, name="data")


def _legal(names: Sequence[str], taken: set[str]) -> dict[str, str]:
    """Names → names that MATLAB allows, each another."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if re.match(r"[A-Za-z]", plain) and plain not in _KEYWORDS else f"x{plain}"
        legal, count = plain[:_LONGEST], 1
        while legal in taken or legal in found.values():
            count += 1
            legal = f"{plain[: _LONGEST - 7]}_{count}"
        found[name] = legal
    return found


def _times(dataset: xr.Dataset, source: str, name: str, taken: set[str]) -> dict[str, _Matrix]:
    """A time axis as datenum, where its calendar is MATLAB's, and as text."""
    values = ax.values(dataset[source].variable)
    try:
        clock = ax.clock(dataset, source)
        instants = clock.instants(values.ravel())
        moments = clock.datetimes(values.ravel())
    except CatalogError:
        return {}
    shown = _legal([f"{name}_datenum", f"{name}_iso"], taken)
    iso, shape = shown[f"{name}_iso"], values.shape
    found = {iso: _cells(instants, shape)}
    if moments is not None:
        days = _EPOCH + moments.astype(np.int64) / _DAY
        days[np.isnat(moments)] = np.nan
        found[shown[f"{name}_datenum"]] = _numbers(
            xr.Variable(values.shape and dataset[source].dims, days.reshape(shape))
        )
    return found


def _array(variable: xr.Variable, name: str) -> _Matrix:
    if variable.dtype.kind in "OSUT":
        texts = ["" if item is None else words(item) for item in np.asarray(variable.values, object).ravel()]
        return _cells(texts, variable.shape)
    if variable.dtype.kind not in "iufb":
        raise NotSubsettable(
            f"MATLAB files do not hold {name[:60]} of type {variable.dtype}", hint="ask for NetCDF"
        )
    return _numbers(variable)


def _numbers(variable: xr.Variable) -> _Matrix:
    """Unpacked numbers, dimensions reversed: so their bytes are those of C order."""
    plain = variable.dtype if variable.dtype.kind != "b" else np.dtype(np.uint8)
    dtype = unpack(np.zeros(0, plain), variable.attrs).dtype
    code = f"{dtype.kind}{dtype.itemsize}"
    if code not in _CLASSES:
        dtype, code = np.dtype(np.float64), "f8"
    number_class, data_type = _CLASSES[code]
    size = int(np.prod(variable.shape, dtype=object)) * dtype.itemsize
    head = _head(number_class, variable.shape)

    def pieces() -> Iterator[bytes]:
        yield _tag(_MATRIX, len(head) + 8 + _padded(size)) + head + _tag(data_type, size)
        for _, raw in blocks(variable):
            whole = raw.astype(plain, copy=False)
            yield np.ascontiguousarray(unpack(whole, variable.attrs), dtype.newbyteorder("<")).tobytes()
        yield bytes(_padded(size) - size)

    return _Matrix(16 + len(head) + _padded(size), pieces)


def _cells(texts: Sequence[str], shape: Sequence[int]) -> _Matrix:
    """Texts as cells; one alone is plain text."""
    if not shape:
        return _text(texts[0])
    return _container(_head(_CELL, shape), [_text(text) for text in texts])


def _text(text: str, name: str = "") -> _Matrix:
    """A row of characters; those beyond the basic plane, which MATLAB counts twice, become U+FFFD."""
    shown = re.sub(r"[^\u0000-\uffff]", "\ufffd", text)
    return _plain(
        _head(_CHAR, (len(shown), 1) if shown else (0, 0), name), _UTF8, shown.encode("utf-8", "replace")
    )


def _attributes(attributes: Mapping[Any, Any]) -> _Matrix:
    """Attributes as a struct: text as text, numbers as rows of doubles."""
    names = _legal([words(name) for name in attributes], set())
    fields: dict[str, _Matrix] = {}
    for source, value in attributes.items():
        array = np.asarray(value)
        if array.dtype.kind in "iufb":
            flat = array.astype("<f8").ravel()
            fields[names[words(source)]] = _plain(_head(6, (flat.size, 1)), 9, flat.tobytes())
        elif array.ndim:
            fields[names[words(source)]] = _cells(
                [words(item) for item in array.ravel().tolist()], (array.size,)
            )
        else:
            fields[names[words(source)]] = _text(words(value))
    return _struct(fields)


def _struct(fields: Mapping[str, _Matrix], name: str = "") -> _Matrix:
    labels = b"".join(field.encode("ascii").ljust(_LONGEST + 1, b"\0") for field in fields)
    head = _head(_STRUCT, (1, 1), name) + struct.pack("<HHI", _INT32, 4, _LONGEST + 1)
    return _container(head + _element(_INT8, labels), list(fields.values()))


def _container(head: bytes, parts: Sequence[_Matrix]) -> _Matrix:
    size = len(head) + sum(part.size for part in parts)

    def pieces() -> Iterator[bytes]:
        yield _tag(_MATRIX, size) + head
        for part in parts:
            yield from part

    return _Matrix(8 + size, pieces)


def _plain(head: bytes, data_type: int, data: bytes) -> _Matrix:
    body = head + _element(data_type, data)
    return _Matrix(8 + len(body), lambda: iter((_tag(_MATRIX, len(body)) + body,)))


def _head(array_class: int, shape: Sequence[int], name: str = "") -> bytes:
    """Flags, dimensions (reversed; a vector is a column) and name of an array."""
    sizes = tuple(shape[::-1]) or (1, 1)
    sizes = sizes if len(sizes) > 1 else (*sizes, 1)
    flags = _tag(_UINT32, 8) + struct.pack("<II", array_class, 0)
    return flags + _element(_INT32, np.array(sizes, "<i4").tobytes()) + _element(_INT8, name.encode("ascii"))


def _element(data_type: int, data: bytes) -> bytes:
    return _tag(data_type, len(data)) + data.ljust(_padded(len(data)), b"\0")


def _tag(data_type: int, size: int) -> bytes:
    return struct.pack("<II", data_type, min(size, 0xFFFF_FFFF))


def _padded(size: int) -> int:
    """A size rounded up to whole words of 8 bytes."""
    return -(-size // 8) * 8
