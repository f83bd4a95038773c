"""Files of rows: which files are some, their sheets, and what is said of them (the header of `catalog.data`)."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xarray as xr

from catalog.data import axes as ax
from catalog.data import columns, delimited, parquets
from catalog.data.axes import Axes
from catalog.data.conditions import Condition
from catalog.data.coverage import box
from catalog.data.delimited import Delimited
from catalog.data.parquets import Parquets
from catalog.data.places import shown, untold
from catalog.data.tabular import Sheet
from catalog.errors import CatalogError, DataUnreadable, NotSubsettable
from catalog.instant import of_seconds

FORMS: Mapping[str, str] = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "parquet": "application/vnd.apache.parquet",
}
"""The forms of files of rows, with their media types."""

MAX_DATASET_BYTES = 200_000_000
_SINCE = "seconds since 1970-01-01T00:00:00Z"
_BINS = 1 << 16
_STATION = ("station", "platform", "wmo", "buoy", "mooring", "site", "timeseries")
_TRACK = ("trajectory", "cruise", "glider", "drifter", "float", "deployment", "voyage")
_CAST = ("profile", "cast")


def form(path: Path) -> str | None:
    """Return csv, tsv or parquet by a file's name and first bytes, or a folder's; None: it is no file of rows."""
    suffix = path.suffix.lower()
    try:
        if path.is_dir() or suffix in parquets.SUFFIXES:
            return "parquet" if parquets.is_parquet(path) else None
    except OSError as error:
        raise DataUnreadable(f"{shown(path.name)} cannot be read: {error.strerror}") from error
    if suffix not in delimited.SUFFIXES:
        return None
    return "csv" if suffix == ".csv" else "tsv"


@contextlib.contextmanager
def opened_sheet(path: Path, known: Mapping[str, str] | None = None) -> Iterator[Sheet]:
    """Open a file of rows; what fails while it is open tells no folder.

    Args:
        path: The file, or the folder of a partitioned Parquet table.
        known: The types of its columns, where a header document has them.

    Raises:
        DataUnreadable: It is damaged, or no file of rows.
    """
    try:
        kind = form(path)
        if kind is None:
            raise DataUnreadable(f"{shown(path.name)} is no CSV, TSV or Parquet file")
        yield Parquets(path) if kind == "parquet" else Delimited(path, known)
    except CatalogError as error:
        raise type(error)(untold(error.message, path), error.hint, error.details) from error
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        said = untold((str(error).splitlines() or [""])[0], path)
        raise DataUnreadable(
            f"{shown(path.name)} cannot be read: {type(error).__name__}: {said}"[:300]
        ) from error


def described(path: Path) -> dict[str, Any]:
    """Return the header document of a file of rows, without `file` and `distributions`; every row is read once.

    Raises:
        DataUnreadable: It cannot be read.
    """
    with opened_sheet(path) as sheet:
        axes = axes_of(sheet)
        kinds = dict.fromkeys((axes.longitude, axes.latitude, axes.vertical, axes.time))
        found = {name: _Range() for name in kinds if name}
        rows = 0
        for batch in sheet.batches(sheet.schema.names[:1] if not found else list(found), ()):
            rows += batch.num_rows
            for name, seen in found.items():
                seen.take(_numbers(batch.column(name)))
        return {
            "format": form(path) or "csv",
            "attributes": columns.attributes_of(sheet.schema),
            "dimensions": {"row": rows},
            "variables": [_variable(each, rows) for each in sheet.schema],
            "coverage": _coverage(sheet, axes, found, rows),
        }


def _variable(field: Any, rows: int) -> dict[str, Any]:
    return {
        "name": field.name,
        "dtype": _dtype(field.type),
        "dimensions": ["row"],
        "shape": [rows],
        "attributes": columns.attributes_of(field),
    }


def _dtype(kind: Any) -> str:
    if pa.types.is_timestamp(kind):
        return "datetime64[us]"
    return "string" if pa.types.is_string(kind) else np.dtype(kind.to_pandas_dtype()).name


class _Range:
    """The least and greatest of many numbers, and of those in each of many bins, so that gaps show."""

    def __init__(self) -> None:
        self.values = np.empty(0)

    def take(self, numbers: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """Take more numbers; of more than a few the ends of each bin are kept."""
        known = np.unique(np.concatenate([self.values, numbers[np.isfinite(numbers)]]))
        if known.size > _BINS:
            bins = ((known - known[0]) / max(known[-1] - known[0], 1e-300) * (_BINS // 4)).astype(np.int64)
            edge = np.flatnonzero(np.diff(bins, prepend=-1))
            known = np.unique(np.concatenate([known[edge], known[np.append(edge[1:] - 1, known.size - 1)]]))
        self.values = known


def _numbers(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as float64, times in seconds since 1970; NaN where missing."""
    if pa.types.is_timestamp(column.type):
        micros = column.cast(pa.int64()).cast(pa.float64(), safe=False).fill_null(np.nan)
        seconds: np.ndarray[Any, np.dtype[np.float64]] = micros.to_numpy(zero_copy_only=False) / 1e6
        return seconds
    numbers: np.ndarray[Any, np.dtype[np.float64]] = (
        column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    )
    return numbers


def axes_of(sheet: Sheet) -> Axes:
    """Return which columns are longitude, latitude, depth and time, by their units and names."""
    return ax.find(_as_dataset(sheet.schema, ()))


def _as_dataset(schema: Any, batches: Iterator[Any] | tuple[Any, ...]) -> xr.Dataset:
    """Rows as a dataset of one dimension, undecoded: numbers, texts, and times as seconds since 1970."""
    table = pa.Table.from_batches(list(batches), schema)
    variables = {}
    for described_ in schema:
        column = table[described_.name].combine_chunks()
        attributes = columns.attributes_of(described_)
        if pa.types.is_timestamp(described_.type):
            attributes = {**attributes, "units": _SINCE, "calendar": "standard"}
        if pa.types.is_string(described_.type):
            values: Any = np.array([text or "" for text in column.to_pylist()], object)
        elif pa.types.is_integer(described_.type) and not column.null_count:
            values = column.to_numpy(zero_copy_only=False)
        elif described_.type == pa.float32():
            values = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        else:
            values = _numbers(column)
        variables[described_.name] = xr.Variable(("row",), values, attributes)
    return xr.Dataset(variables, attrs={"featureType": "point", **columns.attributes_of(schema)})


@contextlib.contextmanager
def opened_dataset(path: Path) -> Iterator[xr.Dataset]:
    """Open a file of rows as an undecoded dataset in memory.

    Raises:
        NotSubsettable: It is too large for that; DataUnreadable as `opened_sheet`.
    """
    with opened_sheet(path) as sheet:
        yield in_memory(sheet, sheet.schema.names, (), path.name)


def in_memory(
    sheet: Sheet, names: Sequence[str], where: Sequence[Condition], called: str = "the remote table"
) -> xr.Dataset:
    """Return rows of a sheet as an undecoded dataset of one dimension, `row`.

    Args:
        sheet: The data.
        names: The columns.
        where: What rows fulfil; others may be there.
        called: What to call the data in the error.

    Raises:
        NotSubsettable: They are too large for that. Others as `Sheet.batches`.
    """
    found, size = [], 0
    for batch in sheet.batches(names, where):
        found.append(batch)
        size += batch.nbytes
        if size > MAX_DATASET_BYTES:
            raise NotSubsettable(
                f"{called} has more than {MAX_DATASET_BYTES} bytes of rows, and is asked as a table only",
                hint="ask its table, with constraints: table.csv?time,temperature&time>=2020-01-01",
            )
    schema = pa.schema([sheet.schema.field(name) for name in names], sheet.schema.metadata)
    return _as_dataset(schema, tuple(found))


def _coverage(sheet: Sheet, axes: Axes, found: Mapping[str, _Range], rows: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "kind": _kind(sheet, axes, found),
        "boxes": [],
        "vertical": None,
        "time": None,
        "resolution": dict.fromkeys(("longitude", "latitude", "depth", "time")),
        "coordinates": sorted(found),
        "problems": [{"code": code, "text": text} for code, text in axes.problems],
    }
    if axes.longitude and axes.latitude:
        around = box(found[axes.longitude].values, found[axes.latitude].values)
        said["boxes"] = [[around.west, around.south, around.east, around.north]] if around else []
    if axes.vertical and found[axes.vertical].values.size:
        factor = ax.depth_factor(_as_dataset(sheet.schema, ()), axes.vertical)
        if factor is None:
            text = f"the column {axes.vertical} is of depths or heights, but says no units of length"
            said["problems"].append({"code": "vertical-no-length", "text": text})
        else:
            ends = sorted((found[axes.vertical].values[[0, -1]] * factor).tolist())
            said["vertical"] = [end + 0.0 for end in ends]
    if axes.time and found[axes.time].values.size:
        first, last = (of_seconds(float(end)) for end in found[axes.time].values[[0, -1]])
        said["time"] = {"start": first, "end": last, "calendar": "standard"}
    if not rows:
        said["problems"].append({"code": "no-rows", "text": "the table has no row"})
    return said


def _kind(sheet: Sheet, axes: Axes, found: Mapping[str, _Range]) -> str:
    """What the rows are: by their places, else by the names of columns."""
    names = " ".join(sheet.schema.names).lower()

    def named(words: tuple[str, ...]) -> bool:
        return any(word in names for word in words)

    many = axes.longitude is not None and found[axes.longitude].values.size > 1
    if axes.vertical and (named(_CAST) or not (many or axes.time)):
        return "profile"
    if axes.time and (not many or named(_STATION)) and not named(_TRACK):
        return "timeseries"
    if axes.time and many and named(_TRACK):
        return "trajectory"
    return "points" if axes.longitude or axes.time else "document"
