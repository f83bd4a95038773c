"""The DAP2 data response: a DDS that declares the variables, "Data:", and their raw values in XDR.

A variable whose dimensions all have a coordinate variable of numbers is a Grid, any other an array. Types that DAP2
lacks are widened: signed bytes to Int16, half floats to Float32, 64-bit whole numbers to Float64 where they are exact.
Attributes, and so packing and fill values, are in another response, the DAS.

Source: ESE-RFC-004.1.2, The Data Access Protocol, DAP 2.0; RFC 1832 (XDR).
"""

import functools
import math
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from catalog.data.blocks import blocks
from catalog.data.plain import words
from catalog.errors import NotSubsettable
from catalog.formats._pieces import cells

SUFFIX = "dods"
MEDIA_TYPE = "application/octet-stream"
STREAMS = True
_TYPES = {
    "b1": ("Byte", "u1"), "u1": ("Byte", "u1"), "i1": ("Int16", ">i4"), "i2": ("Int16", ">i4"),
    "u2": ("UInt16", ">u4"), "i4": ("Int32", ">i4"), "u4": ("UInt32", ">u4"), "f2": ("Float32", ">f4"),
    "f4": ("Float32", ">f4"), "f8": ("Float64", ">f8"), "i8": ("Float64", ">f8"), "u8": ("Float64", ">f8"),
}  # fmt: skip
"""For each type of numpy, that of the DDS and that of the XDR: 16 bits take four bytes."""

_DATA = b"\nData:\n"
_MOST_CELLS = (1 << 31) - 1


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the declaration, then each variable's count and values.

    Raises:
        NotSubsettable: A variable has more than 2³¹ − 1 cells, or whole numbers that Float64 does not tell apart.
    """
    for name, variable in dataset.variables.items():
        if variable.size > _MOST_CELLS:
            raise NotSubsettable(
                f"DAP2 does not hold the {variable.size} cells of {str(name)[:60]}",
                hint="ask for less, or for NetCDF",
            )
    yield declaration(dataset).encode() + _DATA
    variables = dataset.variables
    for name, variable in variables.items():
        yield from _values(name, variable)
        for dimension in variable.dims if is_grid(dataset, name) else ():
            yield from _values(dimension, variables[dimension])


def length(dataset: xr.Dataset) -> int:
    """Return how many bytes `write` yields; of data, only texts are read."""
    whole = len(declaration(dataset).encode()) + len(_DATA)
    for name, variable in dataset.variables.items():
        maps = [dataset.variables[d] for d in variable.dims] if is_grid(dataset, name) else []
        whole += sum(map(_size, (variable, *maps)))
    return whole


def declaration(dataset: xr.Dataset) -> str:
    """Return the DDS of a dataset."""
    lines = ["Dataset {"]
    for name, variable in dataset.variables.items():
        if is_grid(dataset, name):
            lines += ["    Grid {", "     ARRAY:", f"        {_declared(name, variable)}", "     MAPS:"]
            lines += [f"        {_declared(d, dataset.variables[d])}" for d in variable.dims]
            lines.append(f"    }} {_identifier(name)};")
        else:
            lines.append(f"    {_declared(name, variable)}")
    title = _identifier(str(dataset.attrs.get("id", "") or "data"))
    return "\n".join([*lines, f"}} {title};\n"])


def is_grid(dataset: xr.Dataset, name: Any) -> bool:
    """Tell whether each dimension of a variable has a coordinate variable of numbers."""
    variables = dataset.variables
    variable = variables[name]
    if not variable.ndim or variable.dims == (name,):
        return False
    maps = [variables.get(d) for d in variable.dims]
    return all(
        found is not None and found.dims == (d,) and found.dtype.kind in "iuf"
        for d, found in zip(variable.dims, maps, strict=True)
    )


@functools.lru_cache(1_000)
def _identifier(name: Any) -> str:
    """A name as DAP2 writes it: other characters than letters, digits and a few signs are percent-encoded."""
    return quote(words(name), safe="_!~*'-\"").replace(".", "%2E")


def _declared(name: Any, variable: xr.Variable) -> str:
    kind = "String" if variable.dtype.kind in "OSUT" else _TYPES[variable.dtype.str[1:]][0]
    sizes = "".join(f"[{_identifier(d)} = {n}]" for d, n in variable.sizes.items())
    return f"{kind} {_identifier(name)}{sizes};"


def _size(variable: xr.Variable) -> int:
    if variable.dtype.kind in "OSUT":
        counted = 4 if variable.ndim else 0
        return counted + sum(len(_text(item)) for _, raw in blocks(variable) for item in raw.ravel())
    number = np.dtype(_TYPES[variable.dtype.str[1:]][1]).itemsize
    return (8 if variable.ndim else 0) + -(-math.prod(variable.shape) * number // 4) * 4


def _values(name: Any, variable: xr.Variable) -> Iterator[bytes]:
    """A variable in XDR: an array's count comes twice, one of texts once."""
    if variable.dtype.kind in "OSUT":
        yield struct.pack(">I", variable.size) if variable.ndim else b""
        for _, raw in blocks(variable):
            yield b"".join(map(_text, raw.ravel()))
        return
    dtype = np.dtype(_TYPES[variable.dtype.str[1:]][1])
    yield struct.pack(">II", variable.size, variable.size) if variable.ndim else b""
    try:
        yield from cells(variable, dtype)
    except OverflowError as error:
        raise NotSubsettable(
            f"DAP2 has no 64-bit whole numbers, and {str(name)[:60]} has some that Float64 does not hold",
            hint="ask for NetCDF",
        ) from error
    yield bytes(-variable.size * dtype.itemsize % 4)


def _text(item: Any) -> bytes:
    data = b"" if item is None else words(item).encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)
