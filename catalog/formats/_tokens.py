"""Tokens of numbers and texts, made many at a time and laid in words of eight bytes, with zero bytes after each.

Numbers are the shortest decimals that read back as the same number of their type (orjson's), a whole one without `.0`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from catalog.data.packing import unpack
from catalog.errors import NotSubsettable

Lanes = npt.NDArray[np.uint64]
"""Tokens: the last dimension is the words of each."""

SMALL = 2
"""Bytes of a whole number of which each possible token is worth making."""

MANY = 1 << 18
"""Cells from which it is."""

_COMMA, _ZERO, _POINT, _NULL = b",0.n"
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], "<u8")
_WORD = 8
_PLAIN = (b"", b"null")


def joined(lanes: Lanes) -> bytes:
    """Return all tokens one after another."""
    return lanes.tobytes().translate(None, b"\0")


def numbers(values: npt.NDArray[Any], end: bytes, missing: bytes, *, infinite: bool) -> Lanes:
    """Return the tokens of flat numbers, each with one byte (or none) after it.

    Raises:
        NotSubsettable: A number is infinite, and `infinite` says that none can be written.
    """
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    if native.dtype.str[1:] == "f2":
        native = native.astype(np.float32)
    text = np.frombuffer(
        bytearray(orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)) + bytes(4 * _WORD), np.uint8
    )
    text[text.size - 4 * _WORD - 1] = _COMMA
    stops = np.flatnonzero(text == _COMMA)
    starts = np.concatenate(([1], stops[:-1] + 1))
    if native.dtype.kind == "f":
        absent = text[starts] == _NULL
        if absent.any():
            if missing not in _PLAIN or np.isinf(native).any():
                return _spelled(native, end, missing, infinite=infinite)
            starts = starts if missing else np.where(absent, stops, starts)
        stops = stops - 2 * ((text[stops - 1] == _ZERO) & (text[stops - 2] == _POINT))
    if end:
        text[stops] = end[0]
    return _words(text, starts, stops - starts + len(end))


def possible(dtype: np.dtype[Any], attributes: Mapping[str, Any], end: bytes, missing: bytes) -> Lanes:
    """Return the tokens of what every raw value of a small type stands for, by its bits (see `bits`)."""
    every = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}")
    return numbers(
        unpack(every.view(dtype.newbyteorder("=")), attributes), end, missing, infinite=not missing
    )


def bits(raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return whole numbers as the unsigned ones of the same bits."""
    return raw.view(f"{raw.dtype.byteorder}u{raw.dtype.itemsize}")


def texts(tokens: Sequence[bytes]) -> Lanes:
    """Return ready tokens as words."""
    width = -(-max(map(len, tokens), default=1) // _WORD) * _WORD or _WORD
    return np.array(tokens, f"S{width}").view("<u8").reshape(len(tokens), width // _WORD)


def split(lanes: Lanes) -> list[bytes]:
    """Return the tokens that words hold."""
    found: list[bytes] = lanes.view(f"S{lanes.shape[-1] * _WORD}").ravel().tolist()
    return found


def _spelled(values: npt.NDArray[Any], end: bytes, missing: bytes, *, infinite: bool) -> Lanes:
    """The tokens of numbers some of which JSON does not have."""
    if not infinite and np.isinf(values).any():
        raise NotSubsettable(
            "some numbers are infinite, and JSON has no infinity", hint="ask for CSV or NetCDF"
        )
    spelled = pa.array(values, mask=np.isnan(values)).cast(pa.string()).fill_null("").to_pylist()
    return texts([(text.encode() or missing) + end for text in spelled])


def _words(text: npt.NDArray[np.uint8], starts: Any, lengths: Any) -> Lanes:
    """The stretches of a text as words, with zeros after each."""
    windows = np.ndarray((text.size - _WORD + 1,), "<u8", text.data, strides=(1,))
    count = max(1, -(-int(lengths.max(initial=0)) // _WORD))
    found = np.empty((starts.size, count), "<u8")
    for word in range(count):
        there = np.minimum(starts + _WORD * word, windows.size - 1)
        found[:, word] = windows[there] & _MASKS[np.clip(lengths - _WORD * word, 0, _WORD)]
    return found
