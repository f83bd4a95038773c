"""What is done to the rows that were found: distinct, in order, the last or first of a group, means of intervals.

As in ERDDAP: `distinct()` sorts by all columns in their order; `orderByMax` sorts by its columns, and of rows that are
the same in all but the last keeps the one where that is greatest; `orderByMin` the least; `orderByMean` gives for each
group the means of the columns of numbers and times that it does not name (columns of text are left out), the named ones
at the start of their intervals; `orderByCount` counts the values that are there; `orderByLimit` keeps the first rows of
each group; `orderByClosest` the one row nearest to each multiple of the interval. Missing values come last, and are
the greatest or least only where there is no other.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.data import columns
from catalog.data.clock import position
from catalog.data.constraints import Function, Key, Step
from catalog.errors import BadRequest, TooLarge

_Ints = npt.NDArray[np.int64]
_MICROSECONDS = {
    "millisecond": 1_000, "second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000,
    "week": 604_800_000_000,
}  # fmt: skip
_WAITING_ROWS = 1 << 17
_SUMMED = frozenset({"orderByMean", "orderByCount"})
_LAST = np.iinfo(np.int64).max


def check(functions: Sequence[Function], schema: Any) -> None:
    """Refuse functions that name columns which the rows do not have, or intervals of what has none."""
    for function in functions:
        for key in function.keys:
            if key.column not in schema.names:
                raise BadRequest(
                    f"{function.name} names {key.column[:60]!r}, which is no column of the answer",
                    hint=f"columns: {', '.join(schema.names)}"[:1_000],
                )
            kind = schema.field(key.column).type
            if key.step and key.step.unit and not pa.types.is_timestamp(kind):
                raise BadRequest(f"{function.name} has an interval of time for {key.column[:60]!r}, no time")
            if key.step and key.step.unit in {"month", "year"} and function.name == "orderByClosest":
                raise BadRequest(
                    f"orderByClosest takes no interval of {key.step.unit}s, which differ in length"
                )
            if key.step and not key.step.unit and not columns.is_number(kind):
                raise BadRequest(
                    f"{function.name} has an interval of numbers for {key.column[:60]!r}, no number"
                )


def applied(function: Function, schema: Any, batches: Iterable[Any], most_bytes: int) -> Any:
    """Return the table of rows after a function; what is kept meanwhile is bounded.

    Raises:
        TooLarge: The rows that must be kept exceed `most_bytes`.
    """
    kept = None
    waiting: list[Any] = []
    rows = 0
    for batch in batches:
        waiting.append(_part(function, pa.Table.from_batches([batch], schema)))
        rows += batch.num_rows
        if rows > max(_WAITING_ROWS, 0 if kept is None else kept.num_rows):
            kept, waiting, rows = _merged(function, kept, waiting, most_bytes), [], 0
    empty = _part(function, schema.empty_table())
    return _finished(function, schema, _merged(function, kept, waiting or [empty], most_bytes))


def _merged(function: Function, kept: Any, waiting: Sequence[Any], most_bytes: int) -> Any:
    whole = pa.concat_tables([*([] if kept is None else [kept]), *waiting])
    merged = _merge(function, whole)
    if merged.nbytes > most_bytes:
        raise TooLarge(
            f"{function.name} must keep more than {most_bytes} bytes of rows",
            hint="ask for fewer rows or columns",
            details={"limit": most_bytes, "setting": "BIENMO_MAX_RESULT_BYTES"},
        )
    return merged


def _part(function: Function, table: Any) -> Any:
    """A piece of the rows in the form that can be merged."""
    return _sums(function, table) if function.name in _SUMMED else table


def _merge(function: Function, table: Any) -> Any:
    if function.name in {"orderBy", "orderByDescending"}:
        return table
    if function.name in _SUMMED:
        return _grouped(table)
    return table.take(pa.array(_chosen(function, table)))


def _finished(function: Function, schema: Any, table: Any) -> Any:
    if function.name in {"orderBy", "orderByDescending"}:
        return table.take(pa.array(_chosen(function, table)))
    return _means(function, schema, table) if function.name in _SUMMED else table


def _chosen(function: Function, table: Any) -> _Ints:
    """The rows that are kept, in their order."""
    if function.name == "orderBy":
        return np.lexsort(_ranks(function.keys, table)[::-1])
    if function.name == "orderByDescending":
        return np.lexsort([-rank for rank in _ranks(function.keys, table, missing=-1)[::-1]])
    if function.name == "distinct":
        ranks = _ranks([Key(name) for name in table.schema.names], table)
        return _firsts(np.lexsort(ranks[::-1]), ranks)
    if function.name == "orderByLimit":
        ranks = _ranks(function.keys, table)
        order = np.lexsort(ranks[::-1]) if ranks else np.arange(table.num_rows)
        return order[_places(order, ranks) < function.limit]
    *groups, last = function.keys
    ranks = _ranks(groups, table)
    if function.name == "orderByClosest":
        assert last.step is not None
        multiple, away = _nearest(table[last.column], last.step)
        ranks = [*ranks, multiple]
        order = np.lexsort([away, *ranks[::-1]])
        return _firsts(order, ranks)
    score = _rank(table, last, missing=_LAST if function.name == "orderByMin" else -1)
    order = np.lexsort([-score if function.name == "orderByMax" else score, *ranks[::-1]])
    return _firsts(order, ranks)


def _firsts(order: _Ints, ranks: Sequence[_Ints]) -> _Ints:
    return order[_starts(order, ranks)]


def _starts(order: _Ints, ranks: Sequence[_Ints]) -> npt.NDArray[np.bool_]:
    """Where in the order a new group begins."""
    starts = np.zeros(order.size, bool)
    starts[:1] = True
    for rank in ranks:
        sorted_ranks = rank[order]
        starts[1:] |= sorted_ranks[1:] != sorted_ranks[:-1]
    return starts


def _places(order: _Ints, ranks: Sequence[_Ints]) -> _Ints:
    """The place of each row of the order in its group, from 0."""
    starts = np.flatnonzero(_starts(order, ranks))
    sizes = np.diff(np.append(starts, order.size))
    return np.arange(order.size) - np.repeat(starts, sizes)


def _ranks(keys: Sequence[Key], table: Any, missing: int = _LAST) -> list[_Ints]:
    return [_rank(table, key, missing) for key in keys]


def _rank(table: Any, key: Key, missing: int = _LAST) -> _Ints:
    """Whole numbers that order a column's values, or the steps they lie in; the same for equal ones."""
    plain = _floored(_one(table[key.column]), key.step)
    if pa.types.is_floating(plain.type):
        plain = pc.add(plain, pa.scalar(0.0, plain.type))  # -0.0 is 0.0
    coded = plain.dictionary_encode()
    values = coded.dictionary
    if columns.has_instants(table.schema.field(key.column)):
        values = pa.array([position(text) for text in values.to_pylist()], pa.int64())
    place = np.empty(len(values), np.int64)
    place[pc.sort_indices(values).to_numpy()] = np.arange(len(values))
    absent = coded.indices.is_null().to_numpy(zero_copy_only=False)
    if not place.size:
        return np.full(len(plain), missing, np.int64)
    return np.where(absent, missing, place[coded.indices.fill_null(0).to_numpy(zero_copy_only=False)])


def _one(column: Any) -> Any:
    """A column in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _floored(column: Any, step: Step | None) -> Any:
    """The starts of the intervals that values lie in, counted from 0 and from 1970-01-01, in the column's type."""
    if step is None:
        return column
    if step.unit in {"month", "year"}:
        return pc.floor_temporal(column, multiple=int(step.size), unit=step.unit).cast(column.type)
    if step.unit:
        size = max(1, round(step.size * _MICROSECONDS[step.unit]))
        numbers = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) // size * size
        return pc.if_else(pc.is_valid(column), pa.array(numbers).cast(column.type), None)
    values = column.cast(pa.float64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    starts = pa.array(np.floor(values / step.size) * step.size)
    return pc.if_else(pc.is_valid(column), starts.cast(column.type, safe=False), None)


def _nearest(column: Any, step: Step) -> tuple[_Ints, npt.NDArray[np.float64]]:
    """For each value the number of the nearest multiple of the interval, and how far it is."""
    plain = _one(column)
    size = step.size * _MICROSECONDS.get(step.unit, 1)
    whole = plain.cast(pa.int64()) if pa.types.is_timestamp(plain.type) else plain
    values = whole.cast(pa.float64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
    multiple = np.clip(np.round(values / size), -(2.0**62), 2.0**62)
    missing = plain.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, _LAST, multiple.astype(np.int64)), np.where(
        missing, 0, abs(values - multiple * size)
    )


def _sums(function: Function, table: Any) -> Any:
    """Groups by the function's keys: of each other column the number of values that are there, and their sum.

    Of times it is the sum of whole seconds and that of the microseconds left, for the whole would not fit 64 bits.
    """
    keys = {f"k{at}": _floored(_one(table[key.column]), key.step) for at, key in enumerate(function.keys)}
    states: dict[str, Any] = {}
    for at, name in enumerate(table.schema.names):
        column = _one(table[name])
        if name in {key.column for key in function.keys}:
            continue
        if function.name == "orderByMean" and pa.types.is_timestamp(column.type):
            micros = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            states |= {f"s{at}": pa.array(micros // 1_000_000), f"r{at}": pa.array(micros % 1_000_000)}
        elif function.name == "orderByMean" and columns.is_number(column.type):
            states[f"s{at}"] = column.cast(pa.float64(), safe=False).fill_null(0.0)
        elif function.name == "orderByMean":
            continue
        states[f"c{at}"] = pc.is_valid(column).cast(pa.int64())
    return _grouped(pa.table({**keys, **states}))


def _grouped(table: Any) -> Any:
    """One row for each group of the keys (`k…`), with the sums of the others."""
    keys = [name for name in table.schema.names if name.startswith("k")]
    others = [name for name in table.schema.names if not name.startswith("k")]
    grouped = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in others])
    return grouped.rename_columns(
        [name.removesuffix("_sum") if name not in keys else name for name in grouped.schema.names]
    ).select(table.schema.names)


def _means(function: Function, schema: Any, sums: Any) -> Any:
    """The groups with their means or counts, the columns in the order of the rows' schema, ordered by the keys."""
    keys = {key.column: f"k{at}" for at, key in enumerate(function.keys)}
    fields, found = [], []
    for at, name in enumerate(schema.names):
        described = schema.field(name)
        if name in keys:
            fields.append(described)
            found.append(_one(sums[keys[name]]))
        elif f"c{at}" in sums.schema.names:
            counts = _one(sums[f"c{at}"]).to_numpy(zero_copy_only=False)
            values = _values(sums, at, counts) if function.name == "orderByMean" else pa.array(counts)
            fields.append(described.with_type(values.type))
            found.append(values)
    whole = pa.Table.from_arrays(found, schema=pa.schema(fields, schema.metadata))
    plain = [Key(key.column) for key in function.keys]
    return whole.take(pa.array(np.lexsort(_ranks(plain, whole)[::-1])))


def _values(sums: Any, at: int, counts: _Ints) -> Any:
    """Means: the sums by the counts; missing where nothing was there."""
    total = _one(sums[f"s{at}"]).to_numpy(zero_copy_only=False)
    some = np.maximum(counts, 1)
    if f"r{at}" in sums.schema.names:
        rest = _one(sums[f"r{at}"]).to_numpy(zero_copy_only=False)
        micros = total // some * 1_000_000 + (total % some * 1_000_000 + rest) // some
        return pa.array(micros, mask=counts == 0).cast(columns.TIME)
    return pa.array(total / some, mask=counts == 0)
