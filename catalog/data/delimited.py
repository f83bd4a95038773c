"""A CSV or TSV file as a sheet.

Lines that begin with `#` before the header are comments. The header names the columns; units stand there in brackets
(`temperature (degree_C)`, as ERDDAP's .csvp), or in a second line of their own. A cell that is empty, or says NaN or NA
in a column of numbers, is missing. A column is of whole numbers, of numbers or of times (ISO 8601, naive is UTC, or
numbers with units `… since …`) where every cell that is not missing is one, else of text; whole numbers with leading
zeros (`00213`) are names, not numbers. Text is UTF-8; a line that is not is read as Latin-1.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from catalog.data import columns
from catalog.data.conditions import Condition
from catalog.errors import DataChanged, DataUnreadable

SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_START = 1 << 20
_BLOCK = 1 << 22
_MOST_COLUMNS = 10_000
_LOOKED_AT = 50
_BOM = b"\xef\xbb\xbf"
_MISSING = ("", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "null", "NULL", "None")
_NONE = pa.array(_MISSING)
_NULLS = [padding + text for text in _MISSING for padding in ("", " ", "  ")]
_NUMBER = r"^\s*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_WHOLE = r"^\s*-?\d{1,18}\s*$"
_NAMED = r"^\s*-?0\d{2,}\s*$"
_TIME = r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?\s*(Z|[+-]\d{2}:?\d{2})?\s*$"
_UNITS = re.compile(r"(?P<name>.*\S)\s*[(\[](?P<units>[^()\[\]]*)[)\]]\s*")
_DTYPES: Mapping[str, Any] = {
    "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "datetime64[us]": columns.TIME
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where a file's rows begin, what parts their cells, and what its header says of each column."""

    offset: int
    delimiter: str
    units: Mapping[str, str]
    comments: tuple[str, ...] = ()


class Delimited:
    """The sheet (`catalog.data.tabular.Sheet`) of a text file.

    Args:
        path: The file.
        known: The types of its columns (as numpy names them) where an earlier reading of the whole file found them;
            else the whole file is read for them once.

    Raises:
        DataUnreadable: The file has no header, or its rows have other numbers of cells.
    """

    def __init__(self, path: Path, known: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._layout = layout(path)
        self._is_known = known is not None and set(known) >= set(self._layout.units)
        self._rows: int | None = None
        kinds = (
            {name: _DTYPES.get(known[name], pa.string()) for name in self._layout.units}
            if known is not None and self._is_known
            else self._found_types()
        )
        self._stored = kinds
        self._fields = {
            name: _described(name, kind, self._layout.units[name]) for name, kind in kinds.items()
        }

    @property
    def schema(self) -> Any:
        """All columns; the comments before the header are the attribute `comment`."""
        said = {"comment": "\n".join(self._layout.comments)} if self._layout.comments else {}
        return pa.schema(list(self._fields.values()), {b"attributes": orjson.dumps(said)})

    @property
    def default(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self._fields)

    @property
    def rows(self) -> int | None:
        """How many rows there are, where the whole file was read."""
        return self._rows

    def cost(self, names: Sequence[str], where: Sequence[Condition]) -> int:  # noqa: ARG002
        """Return the bytes of the file, which is read whole."""
        return self._path.stat().st_size

    def batches(self, names: Sequence[str], where: Sequence[Condition]) -> Iterator[Any]:  # noqa: ARG002
        """Yield the rows; as `Sheet.batches`."""
        kinds = {
            name: pa.string() if self._stored[name] == columns.TIME else self._stored[name] for name in names
        }
        schema = pa.schema([self._fields[name] for name in names])
        try:
            for batch in self._read(kinds):
                arrays = [_canonical(batch.column(name), self._fields[name]) for name in names]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        except pa.ArrowInvalid as error:
            kind = DataChanged if self._is_known else DataUnreadable
            raise kind(
                f"{self._path.name} cannot be read: {error}"[:300], hint="harvest its source again"
            ) from error

    def _read(self, kinds: Mapping[str, Any]) -> Iterator[Any]:
        names = list(self._layout.units)
        with self._path.open("rb") as file:
            file.seek(self._layout.offset)
            if not file.read(1):
                return
            file.seek(self._layout.offset)
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(_Utf8(file), "r"),
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=_BLOCK, column_names=names
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self._layout.delimiter, newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=kinds,
                    include_columns=list(kinds),
                    null_values=_NULLS,
                    strings_can_be_null=False,
                ),
            )
            yield from reader

    def _found_types(self) -> dict[str, Any]:
        """The type of each column by all its cells."""
        names = list(self._layout.units)
        guesses = {name: _Guess() for name in names}
        rows = 0
        try:
            for batch in self._read(dict.fromkeys(names, pa.string())):
                rows += batch.num_rows
                guesses = {name: guess.after(batch.column(name)) for name, guess in guesses.items()}
        except pa.ArrowInvalid as error:
            raise DataUnreadable(f"{self._path.name} is no table: {error}"[:300]) from error
        self._rows = rows
        return {name: guess.kind for name, guess in guesses.items()}


@dataclass(frozen=True)
class _Guess:
    """What all cells of a column so far may be."""

    whole: bool = True
    number: bool = True
    time: bool = True
    some: bool = False
    said_nan: bool = False

    def after(self, cells: Any) -> "_Guess":
        known = cells.unique()
        absent = pc.is_in(pc.utf8_trim_whitespace(known), pa.array(_MISSING))
        there = known.filter(pc.invert(absent))

        def every(expression: str) -> bool:
            return bool(pc.all(pc.match_substring_regex(there, expression), min_count=0).as_py())

        number = self.number and every(_NUMBER)
        named = number and bool(pc.any(pc.match_substring_regex(there, _NAMED), min_count=0).as_py())
        number = number and not named
        return _Guess(
            whole=self.whole and number and every(_WHOLE),
            number=number,
            time=self.time and every(_TIME),
            some=self.some or len(there) > 0,
            said_nan=self.said_nan
            or bool(pc.any(pc.not_equal(known.filter(absent), ""), min_count=0).as_py()),
        )

    @property
    def kind(self) -> Any:
        if not self.some:
            return pa.float64() if self.said_nan else pa.string()
        if self.whole or self.number:
            return pa.int64() if self.whole else pa.float64()
        return columns.TIME if self.time else pa.string()


class _Utf8(io.RawIOBase):
    """A file from where it is, as UTF-8: lines that are none are read as Latin-1."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            block = self._file.read(_BLOCK)
            block += self._file.readline() if block else b""
            self._ready = block if _is_utf8(block) else _as_utf8(block)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _as_utf8(block: bytes) -> bytes:
    lines = block.splitlines(keepends=True)
    return b"".join(line if _is_utf8(line) else line.decode("latin-1").encode() for line in lines)


def layout(path: Path) -> Layout:
    """Return how a text file is laid out, by its first megabyte.

    Raises:
        DataUnreadable: It is binary, or has no header.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    offset = len(_BOM) if start.startswith(_BOM) else 0
    if b"\0" in start:
        raise DataUnreadable(f"{path.name} is no text: it has bytes that are 0")
    lines = start[offset:].splitlines(keepends=True)
    comments: list[str] = []
    while lines and (lines[0].startswith(b"#") or not lines[0].strip()):
        said = _text(lines.pop(0))
        offset += len(said[1])
        comments += [said[0].strip("# \r\n\t")] if said[0].strip("# \r\n\t") else []
    if not lines:
        raise DataUnreadable(f"{path.name} has no header")
    if len(start) == _START:
        lines = lines[:-1] or lines
    delimiter = "\t" if path.suffix.lower() in {".tsv", ".tab"} else _delimiter(_text(lines[0])[0])
    rows = [_cells(_text(line)[0], delimiter) for line in lines[: _LOOKED_AT + 2]]
    names, units = _named(rows[0], path.name)
    offset += len(lines[0])
    if len(rows) > 2 and _is_units(rows[1], rows[2:], len(names)):  # noqa: PLR2004 - a line of units has rows below
        offset += len(lines[1])
        units = [said or given for said, given in zip(rows[1], units, strict=True)]
    return Layout(offset, delimiter, dict(zip(names, units, strict=True)), tuple(comments))


def _text(line: bytes) -> tuple[str, bytes]:
    return line.decode("utf-8" if _is_utf8(line) else "latin-1"), line


def _delimiter(header: str) -> str:
    plain = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=plain.count)


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line, which has no line breaks in quotes."""
    found = re.findall(
        rf'(?:^|{re.escape(delimiter)})("(?:[^"]|"")*"|[^{re.escape(delimiter)}]*)', line.rstrip("\r\n")
    )
    return [cell[1:-1].replace('""', '"') if cell[:1] == '"' else cell.strip() for cell in found]


def _named(header: Sequence[str], file: str) -> tuple[list[str], list[str]]:
    """The columns' names, each once, and the units that stand in brackets after them."""
    if len(header) > _MOST_COLUMNS:
        raise DataUnreadable(f"{file} has {len(header)} columns, more than {_MOST_COLUMNS}")
    if any(re.match(_NUMBER, cell) or re.match(_TIME, cell) for cell in header):
        raise DataUnreadable(f"{file} has no header: its first line has numbers")
    matches = [_UNITS.fullmatch(cell) for cell in header]
    bare = [match["name"] if match else cell for match, cell in zip(matches, header, strict=True)]
    names: list[str] = []
    for at, (cell, name) in enumerate(zip(header, bare, strict=True)):
        chosen = (name if bare.count(name) == 1 else cell) or f"column_{at + 1}"
        while chosen in names:
            chosen += "_"
        names.append(chosen)
    return names, [match["units"].strip() if match else "" for match in matches]


def _is_units(line: Sequence[str], below: Sequence[Sequence[str]], width: int) -> bool:
    """Tell whether a line has words where the lines below have numbers or times, and no number but the unit 1."""
    if len(line) != width or any(
        cell != "1" and (re.match(_NUMBER, cell) or re.match(_TIME, cell)) for cell in line
    ):
        return False

    def counts(at: int) -> bool:
        cells = [row[at] for row in below if len(row) == width and row[at] not in _MISSING]
        return bool(cells) and all(re.match(_NUMBER, cell) or re.match(_TIME, cell) for cell in cells)

    return any(cell not in _MISSING and counts(at) for at, cell in enumerate(line))


def _described(name: str, kind: Any, units: str) -> Any:
    said = {"units": units} if units else {}
    if kind == columns.TIME or (columns.is_number(kind) and columns.tells_time(columns.clock_of(said))):
        return columns.field(name, columns.TIME, said)
    return columns.field(name, kind, said)


def _canonical(cells: Any, described: Any) -> Any:
    """Cells in the form of `catalog.data.columns`."""
    if pa.types.is_string(described.type):
        return pc.if_else(pc.equal(cells, "").fill_null(True), None, cells)  # noqa: FBT003
    if not pa.types.is_timestamp(described.type):
        return cells
    if columns.is_number(cells.type):
        clock = columns.clock_of(columns.attributes_of(described))
        assert clock is not None
        return columns.decoded(cells, clock)
    return _times(cells)


def _times(cells: Any) -> Any:
    """Times of ISO 8601 text; the naive are UTC. Where all are written alike, they are read at once."""
    there = pc.if_else(pc.is_in(cells, _NONE), None, cells)
    for kind in (columns.TIME, pa.timestamp("us")):
        with contextlib.suppress(pa.ArrowInvalid):
            return there.cast(kind).cast(columns.TIME)
    text = pc.utf8_trim_whitespace(there)
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    text = pc.replace_substring_regex(text, r"\s*Z$", "")
    zoned = pc.match_substring_regex(text, r"[T ]\d\d:.*[+-]\d\d:?\d\d$").fill_null(False)  # noqa: FBT003
    naive = pc.if_else(zoned, None, text).cast(pa.timestamp("us")).cast(columns.TIME)
    if not pc.any(zoned, min_count=0).as_py():
        return naive
    return pc.coalesce(naive, pc.if_else(zoned, text, None).cast(columns.TIME))
