"""Rows of a table as text, made without a step a row: the tokens of CSV, TSV and JSON lines.

A token is written into words of eight bytes, zero bytes after it; a row is the words of its columns side by side, and
the zero bytes of all rows are taken out at once. Coordinates' tokens are made once. Numbers are the shortest decimals
that read back as the same number of their type (orjson's), a whole one without `.0`. Where packing makes them few,
each possible token is made once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xarray as xr

from catalog.data.packing import unpack
from catalog.data.tables import Coordinate, Part, Table
from catalog.errors import NotSubsettable

Lanes = npt.NDArray[np.uint64]
"""Tokens: the last dimension is the words of each."""

_ROWS = 1 << 15
_TABLE_CELLS = 1 << 18
_MOST_BYTES = 1 << 26
_COMMA, _ZERO, _POINT, _NULL = b",0.n"
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], "<u8")
_WORD = 8
_SMALL = 2
_PLAIN = (b"", b"null")


@dataclass(frozen=True)
class Style:
    """How a row is written.

    Args:
        before: What stands before each column's token.
        after: What stands after it; of the last column, with the line's end.
        missing: A missing number.
        text: A text's token.
        infinite: Whether infinities can be written.
    """

    before: Sequence[bytes]
    after: Sequence[bytes]
    missing: bytes
    text: Callable[[str], bytes]
    infinite: bool


def names(table: Table) -> list[str]:
    """Return the names of a table's columns."""
    return [*(coordinate.name for coordinate in table.coordinates), *table.variables]


def lines(table: Table, style: Style) -> Iterator[bytes]:
    """Yield the rows as text, in pieces.

    Raises:
        NotSubsettable: A number is infinite, and the style has none.
    """
    writer = _Writer(table, style)
    for part in table.parts(_ROWS):
        yield from writer.pieces(part)


class _Writer:
    """The tokens of a table that are made once, and the rows of its parts."""

    def __init__(self, table: Table, style: Style) -> None:
        self._table, self._style = table, style
        self._fixed = [
            self._coordinate(coordinate, before, after)
            for coordinate, before, after in zip(table.coordinates, style.before, style.after, strict=False)
        ]
        self._known: dict[str, Lanes] = {}

    def pieces(self, part: Part) -> Iterator[bytes]:
        """Yield a part's rows; a part whose texts are long is written in halves."""
        widest = 0
        for variable in part.raw.values():
            if variable.dtype.kind == "O":
                widest += max(len(text) for text in variable.values.flat)
        rows = int(np.prod(part.shape, dtype=np.int64))
        if rows > 1 and rows * widest > _MOST_BYTES:
            for half in _halves(part):
                yield from self.pieces(half)
        else:
            yield self._assembled(part)

    def _assembled(self, part: Part) -> bytes:
        columns = [
            part.picked(lanes, c.dimensions)
            for c, lanes in zip(self._table.coordinates, self._fixed, strict=True)
        ]
        for position, (name, variable) in enumerate(part.raw.items(), len(columns)):
            before, after = self._style.before[position], self._style.after[position]
            columns += [_constant(before)] if before else []
            columns.append(part.spread(self._cells(name, variable, after), variable.dims))
            columns += [_constant(after)] if len(after) > 1 else []
        rows = np.empty((*part.shape, sum(lanes.shape[-1] for lanes in columns)), "<u8")
        at = 0
        for lanes in columns:
            for word in range(lanes.shape[-1]):
                rows[..., at] = lanes[..., word]
                at += 1
        return rows.tobytes().translate(None, b"\0")

    def _coordinate(self, coordinate: Coordinate, before: bytes, after: bytes) -> Lanes:
        links = self._table.links
        shape = [links[d].size if d in links else self._table.sizes[d] for d in coordinate.dimensions]
        texts: Sequence[str] | npt.NDArray[Any] | None = coordinate.instants
        if texts is None and coordinate.values.dtype.kind == "O":
            texts = coordinate.values
        if texts is None:
            tokens = _split(self._numbers(coordinate.values, b","))
        else:
            tokens = [self._style.text(text) if text else self._style.missing for text in texts]
        found = _texts([before + token + after for token in tokens])
        return found.reshape(*shape, found.shape[-1])

    def _cells(self, name: str, variable: xr.Variable, after: bytes) -> Lanes:
        """The tokens of raw values, over the dimensions of their variable."""
        raw = variable.values
        end = after if len(after) == 1 else b""
        if raw.dtype.kind == "O":
            found = _texts([self._style.text(text) + end for text in raw.flat])
        elif raw.dtype.kind in "iu" and raw.dtype.itemsize <= _SMALL and self._is_large(name):
            if name not in self._known:
                self._known[name] = self._possible(raw.dtype, variable.attrs, end)
            index = raw.view(f"{raw.dtype.byteorder}u{raw.dtype.itemsize}")
            found = self._known[name].take(index.ravel(), axis=0)
        else:
            found = self._numbers(unpack(raw, variable.attrs).ravel(), end)
        return found.reshape(*raw.shape, found.shape[-1])

    def _is_large(self, name: str) -> bool:
        """Tell whether a variable has more cells than it takes to make every possible token."""
        return name in self._known or self._table.variables[name].size >= _TABLE_CELLS

    def _possible(self, dtype: np.dtype[Any], attributes: Mapping[str, Any], end: bytes) -> Lanes:
        """The tokens of every raw value of a small type, by its bits."""
        bits = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}")
        return self._numbers(unpack(bits.view(dtype.newbyteorder("=")), attributes), end)

    def _numbers(self, values: npt.NDArray[Any], end: bytes) -> Lanes:
        """The tokens of numbers, each with one byte (or none) after it."""
        native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        if native.dtype.str[1:] == "f2":
            native = native.astype(np.float32)
        text = np.frombuffer(
            bytearray(orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)) + bytes(4 * _WORD), np.uint8
        )
        size = text.size - 4 * _WORD
        text[size - 1] = _COMMA
        stops = np.flatnonzero(text == _COMMA)
        starts = np.concatenate(([1], stops[:-1] + 1))
        if native.dtype.kind == "f":
            missing = text[starts] == _NULL
            if missing.any():
                if self._style.missing not in _PLAIN or np.isinf(native).any():
                    return self._spelled(native, end)
                starts = starts if self._style.missing else np.where(missing, stops, starts)
            stops = stops - 2 * ((text[stops - 1] == _ZERO) & (text[stops - 2] == _POINT))
        if end:
            text[stops] = end[0]
        return _words(text, starts, stops - starts + len(end))

    def _spelled(self, values: npt.NDArray[Any], end: bytes) -> Lanes:
        """The tokens of numbers some of which JSON does not have."""
        if not self._style.infinite and np.isinf(values).any():
            raise NotSubsettable(
                "some numbers are infinite, and JSON has no infinity", hint="ask for CSV or NetCDF"
            )
        texts = pa.array(values, mask=np.isnan(values)).cast(pa.string()).fill_null("").to_pylist()
        return _texts([(text.encode() or self._style.missing) + end for text in texts])


def _words(text: npt.NDArray[np.uint8], starts: Any, lengths: Any) -> Lanes:
    """The stretches of a text as words, with zeros after each."""
    windows = np.ndarray((text.size - _WORD + 1,), "<u8", text.data, strides=(1,))
    count = max(1, -(-int(lengths.max(initial=0)) // _WORD))
    found = np.empty((starts.size, count), "<u8")
    for word in range(count):
        there = np.minimum(starts + _WORD * word, windows.size - 1)
        found[:, word] = windows[there] & _MASKS[np.clip(lengths - _WORD * word, 0, _WORD)]
    return found


def _texts(tokens: Sequence[bytes]) -> Lanes:
    """Tokens as words."""
    width = -(-max(map(len, tokens), default=1) // _WORD) * _WORD or _WORD
    return np.array(tokens, f"S{width}").view("<u8").reshape(len(tokens), width // _WORD)


def _constant(token: bytes) -> Lanes:
    return _texts([token])


def _split(lanes: Lanes) -> list[bytes]:
    """The tokens that words hold, each of which has one byte after it."""
    return [bytes(token)[:-1] for token in lanes.view(f"S{lanes.shape[-1] * _WORD}").ravel().tolist()]


def _halves(part: Part) -> Iterator[Part]:
    dimension = next(d for d, n in zip(part.place, part.shape, strict=True) if n > 1)
    side = part.place[dimension]
    middle = (side.stop - side.start) // 2
    for inside in (slice(0, middle), slice(middle, side.stop - side.start)):
        place = {**part.place, dimension: slice(side.start + inside.start, side.start + inside.stop)}
        raw = {
            name: variable.isel({dimension: inside}) if dimension in variable.dims else variable
            for name, variable in part.raw.items()
        }
        linked = {
            name: (row, found[inside] if row == dimension else found)
            for name, (row, found) in part.linked.items()
        }
        yield Part(place, linked, raw)
