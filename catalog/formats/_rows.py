"""Rows of a table as text, made without a step a row: the tokens of CSV, TSV and JSON lines.

A row is the words (`catalog.formats._tokens`) of its columns side by side, and the zero bytes of all rows are taken out
at once. Coordinates' tokens are made once; where packing makes them few, so is each possible token of a variable.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.packing import unpack
from catalog.data.tables import Coordinate, Part, Table
from catalog.formats._tokens import MANY, SMALL, Lanes, bits, joined, numbers, possible, split, texts

_ROWS = 1 << 15
_MOST_BYTES = 1 << 26


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
            columns += [texts([before])] if before else []
            columns.append(part.spread(self._cells(name, variable, after), variable.dims))
            columns += [texts([after])] if len(after) > 1 else []
        rows = np.empty((*part.shape, sum(lanes.shape[-1] for lanes in columns)), "<u8")
        at = 0
        for lanes in columns:
            for word in range(lanes.shape[-1]):
                rows[..., at] = lanes[..., word]
                at += 1
        return joined(rows)

    def _coordinate(self, coordinate: Coordinate, before: bytes, after: bytes) -> Lanes:
        links = self._table.links
        shape = [links[d].size if d in links else self._table.sizes[d] for d in coordinate.dimensions]
        said: Sequence[str] | npt.NDArray[Any] | None = coordinate.instants
        if said is None and coordinate.values.dtype.kind == "O":
            said = coordinate.values
        if said is None:
            tokens = split(
                numbers(coordinate.values, b"", self._style.missing, infinite=self._style.infinite)
            )
        else:
            tokens = [self._style.text(text) if text else self._style.missing for text in said]
        found = texts([before + token + after for token in tokens])
        return found.reshape(*shape, found.shape[-1])

    def _cells(self, name: str, variable: xr.Variable, after: bytes) -> Lanes:
        """The tokens of raw values, over the dimensions of their variable."""
        raw = variable.values
        end = after if len(after) == 1 else b""
        if raw.dtype.kind == "O":
            found = texts([self._style.text(text) + end for text in raw.flat])
        elif raw.dtype.kind in "iu" and raw.dtype.itemsize <= SMALL and self._is_large(name):
            if name not in self._known:
                self._known[name] = possible(raw.dtype, variable.attrs, end, self._style.missing)
            found = self._known[name].take(bits(raw).ravel(), axis=0)
        else:
            found = numbers(
                unpack(raw, variable.attrs).ravel(), end, self._style.missing, infinite=self._style.infinite
            )
        return found.reshape(*raw.shape, found.shape[-1])

    def _is_large(self, name: str) -> bool:
        """Tell whether a variable has more cells than it takes to make every possible token."""
        return name in self._known or self._table.variables[name].size >= MANY


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
