"""A record's data as rows: a sheet of columns, and the answer to a query (`catalog.data.constraints`) of it.

A sheet reads CSV, Parquet, or whatever opens as a dataset: discrete sampling geometries in every form of CF §9,
Argo's files, and grids, which are the long table of `catalog.data.tables`. Its columns have the form of
`catalog.data.columns`; batches come one after another, so that memory stays bounded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from catalog.data import columns, conditions, ordering
from catalog.data.clock import position
from catalog.data.conditions import Condition
from catalog.data.constraints import TableQuery
from catalog.errors import BadRequest, NotFound, TooLarge

_TEXT_BYTES = 16  # what a cell of text is reckoned with before it is read


class Sheet(Protocol):
    """Columns and their rows.

    `schema` has fields as `catalog.data.columns.field` makes them; `default` names the columns of a query that names
    none; `rows` is the number of rows, None where it is not known before they are read.
    """

    @property
    def schema(self) -> Any:
        """The pyarrow schema, with the dataset's attributes."""

    @property
    def default(self) -> tuple[str, ...]:
        """The columns that are given where none is asked for."""

    @property
    def rows(self) -> int | None:
        """How many rows there are."""

    def cost(self, names: Sequence[str], where: Sequence[Condition]) -> int:
        """Return about how many bytes `batches` reads and inflates for the same; nothing is read for it."""

    def batches(self, names: Sequence[str], where: Sequence[Condition]) -> Iterator[Any]:
        """Yield record batches of these columns, in the source's order.

        Rows that do not fulfil the conditions may be left out where that saves reading them; none that does may be.

        Raises:
            DataError: The data cannot be read.
        """


@dataclass(frozen=True)
class Answer:
    """The rows that answer a query: their schema, and record batches, none of them empty."""

    schema: Any
    batches: Iterator[Any]


def answer(sheet: Sheet, query: TableQuery, most_bytes: int, most_decoded: int) -> Answer:
    """Return the rows of a sheet that answer a query.

    Args:
        sheet: The data.
        query: What is asked.
        most_bytes: Largest answer, and most that functions may keep, as Arrow counts bytes.
        most_decoded: Most bytes that may be read and inflated.

    Raises:
        BadRequest: A column, value or function does not fit the data.
        NotFound: No row answers; it is said before the first batch is asked for.
        TooLarge: The answer is larger than `most_bytes`, said while it is read where it could not be told before; or
            more than `most_decoded` would have to be read.
    """
    names = query.columns or sheet.default
    for name in (*names, *(constraint.column for constraint in query.constraints)):
        _check_column(sheet, name)
    schema = pa.schema([sheet.schema.field(name) for name in names], sheet.schema.metadata)
    ordering.check(query.functions, schema)
    where = tuple(
        conditions.bind(
            constraint, sheet.schema.field(constraint.column), lambda of, end: _extreme(sheet, of, end)
        )
        for constraint in query.constraints
    )
    if sheet.rows is not None and not where and not query.functions:
        _check_size(sheet.rows * sum(_width(described.type) for described in schema), most_bytes)
    _check_cost(sheet.cost(_read(schema, where), where), most_decoded)
    found = _found(sheet, schema, where)
    if query.functions:
        table = None
        for function in query.functions:
            table = ordering.applied(function, schema, found, most_bytes)
            schema, found = table.schema, iter(table.to_batches(max_chunksize=1 << 16))
    rows = _counted(found, most_bytes)
    first = next(rows, None)
    if first is None:
        raise NotFound(
            "no row of the data answers the query",
            hint="ask with fewer or wider constraints",
            details={"reason": "no-matching-rows"},
        )
    return Answer(schema, _chained(first, rows))


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _check_column(sheet: Sheet, name: str) -> None:
    if name not in sheet.schema.names:
        raise BadRequest(
            f"there is no column {name[:60]!r}", hint=f"columns: {', '.join(sheet.schema.names)}"[:2_000]
        )


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise TooLarge(
            f"the answer is larger than {most_bytes} bytes",
            hint="ask for fewer columns, or with narrower constraints",
            details={"limit": most_bytes, "asked": size, "setting": "BIENMO_MAX_RESULT_BYTES"},
        )


def _width(kind: Any) -> int:
    return _TEXT_BYTES if pa.types.is_string(kind) else int(kind.bit_width) // 8


def _check_cost(decoded: int, most_decoded: int) -> None:
    if decoded > most_decoded:
        raise TooLarge(
            f"the query reads more than {most_decoded} bytes of data",
            hint="constrain time, depth or place, or ask for fewer columns",
            details={"limit": most_decoded, "asked": decoded, "setting": "BIENMO_MAX_DECODED_BYTES"},
        )


def _read(schema: Any, where: Sequence[Condition]) -> list[str]:
    """The columns that are read: those of the answer, then those of conditions only."""
    return list(dict.fromkeys((*schema.names, *(condition.column for condition in where))))


def _found(sheet: Sheet, schema: Any, where: Sequence[Condition]) -> Iterator[Any]:
    """The rows that fulfil every condition, with the columns of the schema."""
    for batch in sheet.batches(_read(schema, where), where):
        keep = None
        for condition in where:
            holds = condition.mask(batch.column(condition.column))
            keep = holds if keep is None else pc.and_(keep, holds)
        kept = batch.select(schema.names) if keep is None else batch.select(schema.names).filter(keep)
        if kept.num_rows:
            yield pa.RecordBatch.from_arrays(kept.columns, schema=schema)


def _counted(batches: Iterator[Any], most_bytes: int) -> Iterator[Any]:
    size = 0
    for batch in batches:
        size += batch.nbytes
        _check_size(size, most_bytes)
        yield batch


def _extreme(sheet: Sheet, name: str, end: str) -> Any:
    """The least or greatest value of a column: a number, an instant as text, or None."""
    _check_column(sheet, name)
    described = sheet.schema.field(name)
    if pa.types.is_string(described.type):
        return _extreme_instant(sheet, described, end)
    best = None
    for batch in sheet.batches([name], ()):
        found = pc.min_max(batch.column(name))[end]
        if found.is_valid and (best is None or (pc.less(found, best).as_py() == (end == "min"))):
            best = found
    if best is None:
        return None
    return (
        columns.texts(pa.array([best.as_py()], described.type))[0].as_py()
        if _is_time(described)
        else best.as_py()
    )


def _is_time(described: Any) -> bool:
    return bool(pa.types.is_timestamp(described.type))


def _extreme_instant(sheet: Sheet, described: Any, end: str) -> str | None:
    if not columns.has_instants(described):
        raise BadRequest(f"{end}({described.name[:60]}) asks for the {end} of a column of text")
    known = {
        text
        for batch in sheet.batches([described.name], ())
        for text in batch.column(0).unique().to_pylist()
        if text
    }
    pick = min if end == "min" else max
    return pick(known, key=position) if known else None
