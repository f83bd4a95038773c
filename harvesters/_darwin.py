"""What a Darwin Core archive holds: its tables by meta.xml, and where, when and which taxa, row by row as a stream.

Darwin Core text guide, https://dwc.tdwg.org/text/. Rows are read from the archive's streams, one at a time; all that is
kept are counts, extremes and the commonest names.
"""

import csv
import re
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.errors import BadDocument
from harvesters._archives import Archive

META = 5_000_000
MOST_ROWS = 5_000_000
_LINE = 10_000_000
_NAMES, _TOP = 50_000, 200
_RANKS = ("kingdom", "phylum", "class", "order", "family")
_ENCODING = re.compile(
    r"utf-?8(-sig)?|utf-?16(-?[lb]e)?|(us-?)?ascii|latin-?1|iso-?8859-?\d{1,2}|(windows-|cp)-?125\d",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?!0000)\d{4}(?:-\d{2}(?:-\d{2}(?:[T ][\d:.]+(?:Z|[+-]\d{2}:?\d{2})?)?)?)?")
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n", "&#9;": "\t"}
_WHOLE, _POLE, _HALF = 360, 90.0, 180.0


@dataclass(frozen=True)
class Table:
    """A table of an archive, as its meta.xml (§2) says.

    Args:
        kind: The local name of its row type: Occurrence, Event, Taxon.
        files: Where its rows are, one file after the other.
        columns: The terms by the column's index, from 0.
        defaults: Values of terms without a column, or of empty cells.
        encoding: Of the files.
        separator: Between fields; nothing where it is not said: tabs where there are more of them than commas.
        quote: Around fields, or nothing.
        line: The end of a line.
        headers: Lines that are no rows.
    """

    kind: str
    files: tuple[str, ...]
    columns: Mapping[int, str]
    defaults: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    separator: str = ","
    quote: str = '"'
    line: str = "\n"
    headers: int = 0


def local(term: str) -> str:
    """Return a term's name without its namespace."""
    return re.split(r"[/#:]", term.rstrip("/"))[-1]


def read_meta(root: xml.Element) -> tuple[Table, tuple[Table, ...], str | None]:
    """Return the core, the extensions, and the name of the metadata's file.

    Raises:
        BadDocument: There is no core, or it has no file or no columns.
    """
    core = xml.first(root, "core")
    if core is None or xml.local(root) != "archive":
        raise BadDocument("meta.xml has no core")
    table = _table(core)
    if not table.files or not table.columns:
        raise BadDocument("the core of meta.xml has no file, or no columns")
    return table, tuple(map(_table, xml.each(root, "extension"))), xml.attribute(root, "metadata")


def _table(given: xml.Element) -> Table:
    columns: dict[int, str] = {}
    defaults: dict[str, str] = {}
    for item in xml.each(given, "field"):
        term, at = clean.name(xml.attribute(item, "term")), clean.whole(xml.attribute(item, "index"))
        value = clean.words(xml.attribute(item, "default"))
        if term and at is not None and at <= META:
            columns[at] = term
        if term and value:
            defaults[term] = value
    encoding = xml.attribute(given, "encoding") or ""
    said = {
        key: xml.attribute(given, key)
        for key in ("fieldsTerminatedBy", "linesTerminatedBy", "fieldsEnclosedBy")
    }
    marks = {key: None if value is None else _ESCAPES.get(value, value) for key, value in said.items()}
    headers = clean.whole(xml.attribute(given, "ignoreHeaderLines")) or 0
    return Table(
        kind=local(xml.attribute(given, "rowType") or ""),
        files=tuple(name for item in xml.each(given, "files/location") if (name := xml.text(item))),
        columns=columns,
        defaults=defaults,
        encoding=encoding if _ENCODING.fullmatch(encoding) else "utf-8",
        separator=marks["fieldsTerminatedBy"] or "",
        quote='"' if marks["fieldsEnclosedBy"] is None else marks["fieldsEnclosedBy"][:1],
        line=marks["linesTerminatedBy"] or "\n",
        headers=min(headers, 1_000),
    )


def headed(archive: Archive, name: str) -> Table:
    """Return the only table of an archive without meta.xml, whose first line names the terms (§2.1).

    Raises:
        BadDocument: Its first line names no term that says where, when or what.
    """
    first = next(_lines(archive.pieces(name), "utf-8-sig", "\n"), "")
    separator = "\t" if "\t" in first else ","
    names = next(csv.reader([first], delimiter=separator), [])
    columns = {at: said for at, each in enumerate(names) if (said := clean.name(each))}
    folded = {term.lower() for term in columns.values()}
    if not folded & {"scientificname", "decimallatitude", "occurrenceid", "eventid", "gbifid"}:
        raise BadDocument(
            "the archive has no meta.xml, and its only table does not name terms of Darwin Core"
        )
    return Table("Occurrence", (name,), columns, separator=separator, headers=1)


def rows(archive: Archive, folder: str, table: Table) -> Iterator[list[str]]:
    """Yield a table's rows, one at a time. Raises BadDocument."""
    for name in table.files:
        lines = _lines(archive.pieces(folder + name), table.encoding, table.line)
        first = next(lines, "")
        told = table.separator or ("\t" if first.count("\t") > first.count(",") else ",")
        for at, row in enumerate(_split(chain([first], lines), table, told)):
            if at >= table.headers and row:
                yield row


def _split(lines: Iterable[str], table: Table, separator: str) -> Iterator[list[str]]:
    if len(separator) > 1 or not table.quote:
        yield from (line.rstrip("\n").split(separator) for line in lines if line != "\n")
        return
    try:
        yield from csv.reader(lines, delimiter=separator, quotechar=table.quote)
    except (csv.Error, TypeError, ValueError) as error:
        raise BadDocument(f"the rows of {table.files[0][:200]!r} cannot be told apart: {error}") from error


def _lines(pieces: Iterable[bytes], encoding: str, end: str) -> Iterator[str]:
    """Yield lines, each ended by a line feed; a byte that is no letter is U+FFFD."""
    try:
        decoder = getincrementaldecoder(encoding)(errors="replace")
    except LookupError:
        decoder = getincrementaldecoder("utf-8")(errors="replace")
    mark = "\n" if "\n" in end else end
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + decoder.decode(piece)).split(mark)
        if len(rest) > _LINE:
            raise BadDocument(f"a line is longer than {_LINE:,} letters")
        for line in whole:
            yield line.rstrip("\r").replace("\r", " ") + "\n"
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.rstrip("\r").replace("\r", " ") + "\n"


class Tally:
    """What rows say, added up: one place and time a row, names, and which columns hold anything."""

    def __init__(self) -> None:
        self.rows = self.placed = self.misplaced = 0
        self.cut = False
        self._west, self._east = [_HALF + 1] * (_WHOLE + 1), [-_HALF - 1] * (_WHOLE + 1)
        self._lat, self._depth = [_POLE, -_POLE], [float("inf"), float("-inf")]
        self._first = self._last = ""
        self._names: Counter[str] = Counter()
        self._ranks: dict[str, Counter[str]] = {rank: Counter() for rank in _RANKS}
        self._common: Counter[str] = Counter()

    def add(self, table: Table, found: Iterable[Sequence[str]]) -> dict[str, Any]:
        """Add a table's rows; return its columns, and how many rows it has."""
        named = {local(term).lower(): index for index, term in table.columns.items()}
        at = {term: index for term, index in named.items() if term in _READ}
        defaults = {local(term).lower(): value for term, value in table.defaults.items()}
        empty, many = list(table.columns), 0
        for row in found:
            if many == MOST_ROWS:
                self.cut = True
                break
            many += 1
            empty = [index for index in empty if index >= len(row) or not row[index]]
            said = {
                term: row[index] if index < len(row) and row[index] else defaults.get(term, "")
                for term, index in at.items()
            }
            self._row(said)
        self.rows += many
        holding = [index for index in table.columns if index not in set(empty)]
        return {
            "kind": table.kind,
            "rows": many,
            "columns": [table.columns[index] for index in sorted(holding)],
            "constant": [term for term in table.defaults if term not in table.columns.values()],
        }

    def _row(self, said: Mapping[str, str]) -> None:
        lat, lon = said.get("decimallatitude"), said.get("decimallongitude")
        if lat and lon:
            self._place(clean.number(lat), clean.number(lon))
        for term in ("minimumdepthinmeters", "maximumdepthinmeters", "depth"):
            depth = clean.number(said[term]) if said.get(term) else None
            if depth is not None:
                self._depth = [min(self._depth[0], depth), max(self._depth[1], depth)]
        if when := said.get("eventdate") or said.get("year"):
            self._time(when)
        _count(self._names, said.get("scientificname"))
        _count(self._common, said.get("vernacularname"))
        for rank, names in self._ranks.items():
            _count(names, said.get(rank))

    def _place(self, lat: float | None, lon: float | None) -> None:
        if lat is None or lon is None or abs(lat) > _POLE or abs(lon) > _HALF:
            self.misplaced += 1
            return
        self.placed += 1
        degree = int(lon + _HALF)
        self._west[degree], self._east[degree] = min(self._west[degree], lon), max(self._east[degree], lon)
        self._lat = [min(self._lat[0], lat), max(self._lat[1], lat)]

    def _time(self, when: str) -> None:
        """Note a time or an ISO 8601 interval; a shorter time is after all that it holds where it is an end."""
        first, _, last = when.strip().partition("/")
        if _DATE.fullmatch(first):
            self._first = min(self._first or first, first)
            self._last = max(self._last or first, first, key=_end)
        if _DATE.fullmatch(last):
            self._last = max(self._last or last, last, key=_end)

    def said(self) -> dict[str, Any]:
        """Return what was added up, as JSON values."""
        taxa = [name for name, _ in self._names.most_common(_TOP)]
        ranks = [name for names in self._ranks.values() for name, _ in names.most_common(_TOP // 4)]
        return {
            "rows": self.rows,
            "placed": self.placed,
            "misplaced": self.misplaced,
            "cut": self.cut,
            "box": self._box(),
            "depth": self._depth if self._depth[0] <= self._depth[1] else None,
            "time": [self._first, self._last] if self._first else None,
            "taxa": list(dict.fromkeys((*ranks, *taxa))),
            "common": [name for name, _ in self._common.most_common(_TOP)],
            "names": len(self._names),
        }

    def _box(self) -> list[float] | None:
        """West, south, east, north: the box that leaves out the widest run of degrees without a place."""
        held = [at for at in range(_WHOLE + 1) if self._west[at] <= _HALF]
        if not held:
            return None
        nexts = [*held[1:], held[0] + _WHOLE]
        gaps = [after - at for at, after in zip(held, nexts, strict=True)]
        widest = max(range(len(held)), key=lambda at: (gaps[at], at))
        west = self._west[held[(widest + 1) % len(held)]]
        east = self._east[held[widest]]
        return [west, self._lat[0], east, self._lat[1]]


_READ = frozenset(
    {
        "decimallatitude", "decimallongitude", "minimumdepthinmeters", "maximumdepthinmeters", "depth", "eventdate",
        "year", "scientificname", "vernacularname", *_RANKS,
    }
)  # fmt: skip


def _end(when: str) -> str:
    return when[:19] + "~"


def _count(names: Counter[str], said: str | None) -> None:
    if said and (said in names or len(names) < _NAMES):
        names[said[:300]] += 1
