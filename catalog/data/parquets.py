"""A Parquet file, or a folder of them partitioned as Hive does (`year=2020/part.parquet`), as a sheet.

Conditions leave out files by their folders' values and row groups by their statistics; what is left is read a row group
after another. Units are those of the fields' metadata; nested columns are left out.
"""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from catalog.data import columns
from catalog.data.conditions import Condition
from catalog.errors import DataUnreadable

SUFFIXES = frozenset({".parquet", ".pq"})
_MAGIC = b"PAR1"
_MOST_FILES = 100_000
_BATCH_ROWS = 1 << 16
_MICROSECOND = pa.scalar(1, pa.duration("us"))
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def files_of(path: Path) -> list[Path]:
    """Return the Parquet files of a folder, or the file itself; no link leads out of the folder.

    Raises:
        DataUnreadable: There is none, or there are too many.
    """
    if not path.is_dir():
        return [path]
    root = path.resolve()
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        and file.is_file()
        and file.resolve().is_relative_to(root)
    )
    if not found or len(found) > _MOST_FILES:
        raise DataUnreadable(f"{path.name} has {len(found)} Parquet files; it may have 1 to {_MOST_FILES}")
    return found


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does, or a folder has folders `name=value`."""
    if path.is_dir():
        return any(entry.is_dir() and "=" in entry.name for entry in path.iterdir())
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


class Parquets:
    """The sheet (`catalog.data.tabular.Sheet`) of Parquet files; only their footers are read to make it.

    Raises:
        DataUnreadable: A file is damaged, or the columns of two do not fit together.
    """

    def __init__(self, path: Path) -> None:
        options = ds.ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
        form = ds.ParquetFileFormat(default_fragment_scan_options=options)
        plain: dict[str, Any] = {"format": form}
        if path.is_dir():
            plain |= {"partitioning": ds.partitioning(flavor="hive"), "partition_base_dir": str(path)}
        found = ds.dataset([str(file) for file in files_of(path)], **plain)
        schemas = [found.schema, *(fragment.physical_schema for fragment in found.get_fragments())]
        whole = pa.unify_schemas(schemas, promote_options="permissive").with_metadata(found.schema.metadata)
        self._data = found.replace_schema(whole)
        self._fields = {f.name: described for f in whole if (described := _described(f)) is not None}

    @property
    def schema(self) -> Any:
        """The columns that are not nested."""
        said = orjson.dumps(columns.attributes_of(self._data.schema))
        return pa.schema(list(self._fields.values()), {b"attributes": said})

    @property
    def default(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self._fields)

    @cached_property
    def rows(self) -> int | None:
        """How many rows the footers say there are."""
        return sum(int(fragment.metadata.num_rows) for fragment in self._data.get_fragments())

    def cost(self, names: Sequence[str], where: Sequence[Condition]) -> int:
        """Return the bytes of the columns in the row groups that the conditions leave."""
        share = len(names) / max(1, len(self._data.schema.names))
        groups = (group for piece in self._pieces(self._expression(where)) for group in piece.row_groups)
        return int(share * sum(group.total_byte_size for group in groups))

    def plan(self, where: Sequence[Condition]) -> tuple[int, int]:
        """Return how many row groups the conditions leave to be read, and how many there are."""
        total = sum(fragment.metadata.num_row_groups for fragment in self._data.get_fragments())
        return sum(1 for _ in self._pieces(self._expression(where))), total

    def batches(self, names: Sequence[str], where: Sequence[Condition]) -> Iterator[Any]:
        """Yield the rows of the row groups that the conditions leave; as `Sheet.batches`."""
        rule = self._expression(where)
        schema = pa.schema([self._fields[name] for name in names])
        for piece in self._pieces(rule):
            for batch in piece.to_batches(
                schema=self._data.schema,
                columns=list(names),
                filter=rule,
                batch_size=_BATCH_ROWS,
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,
            ):
                arrays = [_canonical(batch.column(name), self._fields[name]) for name in names]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _pieces(self, rule: Any) -> Iterator[Any]:
        for fragment in self._data.get_fragments(filter=rule):
            yield from fragment.split_by_row_group(filter=rule, schema=self._data.schema)

    def _expression(self, where: Sequence[Condition]) -> Any:
        """What every row that fulfils the conditions fulfils in the files' own types; None: no such thing."""
        parts = [_safe(condition, self._data.schema.field(condition.column).type) for condition in where]
        known = [part for part in parts if part is not None]
        return functools.reduce(operator.and_, known) if known else None


def _safe(condition: Condition, stored: Any) -> Any:
    """A condition as an expression of the stored type that leaves out no row which fulfils it."""
    plain = condition.expression()
    if plain is None or condition.value.type == stored:
        return plain
    if not (pa.types.is_timestamp(stored) and pa.types.is_timestamp(condition.value.type)):
        return None
    try:  # stored times may be finer than the microseconds that are compared
        low, high = (
            shift(condition.value, _MICROSECOND)
            .cast(pa.timestamp(stored.unit, "UTC"))
            .cast(pa.int64())
            .as_py()
            for shift in (pc.subtract_checked, pc.add_checked)
        )
    except pa.ArrowInvalid:
        return None
    column = pc.field(condition.column)
    rules = []
    if condition.operator in {"=", ">", ">="}:
        rules.append(column >= pa.scalar(low - 1, pa.int64()).cast(stored))
    if condition.operator in {"=", "<", "<="}:
        rules.append(column <= pa.scalar(high + 1, pa.int64()).cast(stored))
    return functools.reduce(operator.and_, rules)


def _described(stored: Any) -> Any:
    """The field of a column, None for a nested one."""
    kind = stored.type.value_type if pa.types.is_dictionary(stored.type) else stored.type
    said = columns.attributes_of(stored) or _plain_metadata(stored.metadata or {})
    if any(is_text(kind) for is_text in _TEXT):
        clock = columns.clock_of(said)
        return columns.field(stored.name, pa.string(), said, instants=clock is not None)
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        return None if pa.types.is_duration(kind) else columns.field(stored.name, columns.TIME, said)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        plain = pa.float32() if kind == pa.float16() else kind
        timed = columns.tells_time(columns.clock_of(said))
        return columns.field(stored.name, columns.TIME if timed else plain, said)
    if pa.types.is_boolean(kind):
        return columns.field(stored.name, pa.int8(), said)
    return columns.field(stored.name, pa.float64(), said) if pa.types.is_decimal(kind) else None


def _plain_metadata(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    found = {
        key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in metadata.items()
    }
    return {key: value[:1_000] for key, value in found.items() if ":" not in key}


def _canonical(stored: Any, described: Any) -> Any:
    """Stored values in the form of `catalog.data.columns`."""
    values = stored.dictionary_decode() if pa.types.is_dictionary(stored.type) else stored
    if pa.types.is_string(described.type):
        text = values.cast(pa.string())
        return pc.if_else(pc.equal(text, "").fill_null(True), None, text)  # noqa: FBT003
    if pa.types.is_timestamp(described.type):
        if columns.is_number(values.type):
            clock = columns.clock_of(columns.attributes_of(described))
            assert clock is not None
            return columns.decoded(values, clock)
        return values.cast(pa.timestamp("us", getattr(values.type, "tz", None)), safe=False).cast(
            columns.TIME
        )
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values).fill_null(True), None, values)  # noqa: FBT003
    return values.cast(described.type, safe=False)
