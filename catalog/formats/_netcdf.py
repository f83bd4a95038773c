"""What NetCDF's two containers share: legal names, and text as bytes."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import xarray as xr

from catalog.data.blocks import blocks
from catalog.data.plain import words
from catalog.errors import NotSubsettable

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/]")
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}")
_FIRST = re.compile(r"[A-Za-z0-9_]|[^\x00-\x7f]")
_MOST_NAME = 241
"""Bytes of a name: those that netCDF-C takes, less the prefix that it gives to some names."""


def legal(name: Any) -> str:
    """Return a name as NetCDF has it: no slash or control character, no sign first, NFC, at most 241 bytes."""
    if isinstance(name, str) and _PLAIN.fullmatch(name):
        return name
    found = unicodedata.normalize("NFC", _UNSAFE.sub("_", words(name)))
    found = found if _FIRST.match(found) else f"_{found}"
    return found.encode()[:_MOST_NAME].decode(errors="ignore").rstrip(" ")


def names(dataset: xr.Dataset) -> dict[Any, str]:
    """Return legal names of dimensions and variables.

    Raises:
        NotSubsettable: Two would have the same.
    """
    found = {name: legal(name) for name in dict.fromkeys((*dataset.sizes, *dataset.variables))}
    if len(set(found.values())) < len(found):
        raise NotSubsettable(
            "NetCDF would give two variables the same name", hint="ask for one of them, with `variables`"
        )
    return found


def texts(variable: xr.Variable) -> Iterator[bytes]:
    """Yield the cells of a variable of text, in C order, as UTF-8."""
    for _, raw in blocks(variable):
        yield from map(utf8, raw.ravel())


def utf8(item: Any) -> bytes:
    """Return a text as UTF-8, nothing where there is none."""
    return b"" if item is None else words(item).encode()
