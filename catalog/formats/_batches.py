"""Arrow record batches (`catalog.data.columns`) as the bytes of a format that has rows: answers to table queries.

CSV, TSV and JSON lines are made as `catalog.formats.csv` and its neighbours say: times are ISO 8601, a missing value is
an empty cell or null, and text that a spreadsheet would run as a formula gets an apostrophe first.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from catalog.data import columns
from catalog.errors import NotFound
from catalog.formats import csv, jsonl, parquet, tsv
from catalog.formats._arrow import Sink
from catalog.formats._separated import FORMULA

_FORMULA = rf"\A(?:{'|'.join(map(re.escape, FORMULA))})"
_GROUP_ROWS = 1 << 17


class Writer(NamedTuple):
    """A format of rows: its media type, and what writes a schema and its batches."""

    media_type: str
    write: Callable[[Any, Iterable[Any]], Iterator[bytes]]


def _separated(
    schema: Any, batches: Iterable[Any], separator: str, *, units: bool = False
) -> Iterator[bytes]:
    names = [_with_units(described) if units else described.name for described in schema]
    yield _lines([_cells(pa.array([name]), separator) for name in names], separator)
    for batch in batches:
        tokens = [
            _cells(column, separator) if pa.types.is_string(column.type) else columns.texts(column)
            for column in batch.columns
        ]
        yield _lines(tokens, separator)


def _with_units(described: Any) -> str:
    """The name with units in brackets, as ERDDAP's .csvp has it; times are written in UTC whatever their units."""
    units = columns.attributes_of(described).get("units")
    if pa.types.is_timestamp(described.type):
        return f"{described.name} (UTC)"
    return f"{described.name} ({units})" if units else str(described.name)


def _cells(text: Any, separator: str) -> Any:
    """Text as cells that no spreadsheet runs as a formula, in quotes where RFC 4180 asks for them."""
    formula = pc.match_substring_regex(text, _FORMULA)
    safe = pc.if_else(formula, pc.binary_join_element_wise("'", text, ""), text)
    odd = pc.match_substring_regex(safe, rf'[{separator}"\r\n]')
    doubled = pc.replace_substring(safe, '"', '""')
    return pc.if_else(odd, pc.binary_join_element_wise('"', doubled, '"', ""), safe)


def _lines(tokens: list[Any], separator: str) -> bytes:
    """Rows of tokens, each with its line's end."""
    empty = "" if len(tokens) > 1 else '""'  # a line of nothing is no row to many readers
    return _joined([column.fill_null(empty) for column in tokens], separator)


def _joined(tokens: list[Any], separator: str) -> bytes:
    rows = pc.binary_join_element_wise(pc.binary_join_element_wise(*tokens, separator), "\n", "")
    _, offsets, text = rows.buffers()
    ends = np.frombuffer(offsets, np.int32)[[rows.offset, rows.offset + len(rows)]]
    return bytes(memoryview(text)[ends[0] : ends[1]]) if text else b""


def _csv(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    return _separated(schema, batches, ",")


def _csvp(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    return _separated(schema, batches, ",", units=True)


def _tsv(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    return _separated(schema, batches, "\t")


def _jsonl(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    keys = [orjson.dumps(name).decode() + ":" for name in schema.names]
    for batch in batches:
        tokens = [
            pc.binary_join_element_wise(key, _json(column).fill_null("null"), "")
            for key, column in zip(keys, batch.columns, strict=True)
        ]
        tokens[0] = pc.binary_join_element_wise("{", tokens[0], "")
        tokens[-1] = pc.binary_join_element_wise(tokens[-1], "}", "")
        yield _joined(tokens, ",")


def _json(column: Any) -> Any:
    """Values as JSON; an infinity, which JSON has not, is null."""
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        written = [orjson.dumps(text).decode() for text in coded.dictionary.to_pylist()]
        return pa.array(written, pa.string()).take(coded.indices)
    if pa.types.is_timestamp(column.type):
        return pc.binary_join_element_wise('"', columns.texts(column), '"', "")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    return columns.texts(column)


def _parquet(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    sink = Sink()
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _grouped(batches):
            writer.write_table(pa.Table.from_batches(group, schema))
            yield sink.drained()
    yield sink.drained()


def _grouped(batches: Iterable[Any]) -> Iterator[list[Any]]:
    """Batches put together to row groups worth having."""
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if sum(each.num_rows for each in group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _arrow(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    sink = Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.drained()
    yield sink.drained()


WRITERS: Mapping[str, Writer] = MappingProxyType({
    "csv": Writer(csv.MEDIA_TYPE, _csv),
    "csvp": Writer(csv.MEDIA_TYPE, _csvp),
    "tsv": Writer(tsv.MEDIA_TYPE, _tsv),
    "jsonl": Writer(jsonl.MEDIA_TYPE, _jsonl),
    "parquet": Writer(parquet.MEDIA_TYPE, _parquet),
    "arrow": Writer("application/vnd.apache.arrow.stream", _arrow),
})  # fmt: skip
"""The formats of rows, by their suffix; `csvp` is CSV with units in its header, as ERDDAP calls it."""


def writer(suffix: str) -> Writer:
    """Return the writer of a format of rows. Raises NotFound."""
    if suffix not in WRITERS:
        raise NotFound(
            f"there is no format {suffix[:20]!r} of tables", hint="formats of tables: " + ", ".join(WRITERS)
        )
    return WRITERS[suffix]
