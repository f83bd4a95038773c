"""A table as lines of cells between which a separator stands."""

from collections.abc import Iterator
from functools import partial

from catalog.data.tables import Table
from catalog.formats._rows import Style, lines, names

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet may run as a formula, also in full width, or after what it skips."""


def separated(table: Table, separator: str) -> Iterator[bytes]:
    """Yield a line of column names, then the rows in pieces."""
    columns = names(table)
    mark = separator.encode()
    yield mark.join(_cell(separator, name) for name in columns) + b"\n"
    text = partial(_cell, separator)
    if len(columns) == 1:  # a line of nothing is no row to many readers
        style = Style((b"",), (b"\n",), b'""', lambda cell: text(cell) or b'""', infinite=True)
    else:
        ends = (*[mark] * (len(columns) - 1), b"\n")
        style = Style((b"",) * len(columns), ends, b"", text, infinite=True)
    yield from lines(table, style)


def _cell(separator: str, text: str) -> bytes:
    """Text as a cell that no spreadsheet runs as a formula, in quotes where RFC 4180 asks for them."""
    safe = f"'{text}" if text.startswith(FORMULA) else text
    quoted = safe.replace('"', '""')
    return (f'"{quoted}"' if any(mark in safe for mark in (separator, '"', "\r", "\n")) else safe).encode()
