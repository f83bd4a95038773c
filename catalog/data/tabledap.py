"""Tables of an ERDDAP server, cut there: it is asked for the columns and rows of a query, and not believed.

"tabledap documentation" of ERDDAP: `{address}.nc?columns&constraints` answers a NetCDF-3 file of one dimension, the
only form that gives every number in its own type, times with all their digits, and units, fill values and the coding
of texts. `info/{id}/index.json` describes the columns. Comparisons of floating-point numbers are fuzzy there, and
expressions those of Java; so only constraints are sent that leave out no row that ours keep, and ours are applied to
what comes.
"""

import contextlib
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import netCDF4
import numpy as np
import orjson
import pyarrow as pa
import xarray as xr

from catalog.data import columns, sheets
from catalog.data.classic import check_whole
from catalog.data.conditions import Condition
from catalog.data.cuts import Cut
from catalog.data.packing import unpack
from catalog.data.remote import Link, reached, refused
from catalog.data.sampled import Sampled
from catalog.data.undecoded import undecoded
from catalog.errors import BadRequest, DataUnreadable, NotSubsettable, OutsideDomain, TooLarge
from catalog.instant import seconds

_DTYPES: Mapping[str, str] = {
    "byte": "i1", "ubyte": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "long": "i8", "ulong": "u8",
    "float": "f4", "double": "f8", "char": "U1", "String": "U1", "boolean": "i1",
}  # fmt: skip
_MOST_COLUMNS = 10_000
_BATCH_ROWS = 1 << 16
_NONE = "no matching results"
_EXPRESSION = re.compile(r"[A-Za-z0-9_ .*+|()\-]{1,500}")  # means the same in RE2 and in Java
_SAID = re.compile(r'message\s*=\s*"(.{1,300}?)"\s*;', re.DOTALL)
_LOOSER = {"<": "<=", ">": ">="}  # there `<` leaves out what is nearly equal
_DAY = 86_400_000_000
_NEAR = 1e-4  # degrees


class Tabledap:
    """The sheet (`catalog.data.tabular.Sheet`) of a table there.

    Args:
        link: The way there.
        address: Of the table: `…/erddap/tabledap/{id}`.
        most_bytes: Largest answer.

    Raises:
        NotSubsettable: It is no such address. DataUnreadable: The server does not describe it. Others as `Link.get`.
    """

    def __init__(self, link: Link, address: str, most_bytes: int) -> None:
        self._link, self._most = link, most_bytes
        self._place = urlsplit(address)._replace(query="", fragment="")
        base, part, name = self._place.path.removesuffix(".html").rpartition("/tabledap/")
        if not part or not name or "/" in name:
            raise NotSubsettable("the address is no table of an ERDDAP server", hint="…/erddap/tabledap/{id}")
        self._place = self._place._replace(path=f"{base}/tabledap/{name}")
        body = link.content(urlunsplit(self._place._replace(path=f"{base}/info/{name}/index.json")))
        self.described = _described(body)
        self._sheet = Sampled(self.described)

    @cached_property
    def schema(self) -> Any:
        """All columns, in the server's order."""
        known = self._sheet.schema
        listed = [str(name) for name in self.described.variables if str(name) in known.names]
        return pa.schema([known.field(name) for name in listed], known.metadata)

    @property
    def default(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self.schema.names)

    @property
    def rows(self) -> int | None:
        """None: the server does not say."""
        return None

    def cost(self, names: Sequence[str], where: Sequence[Condition]) -> int:  # noqa: ARG002
        """Return 0: nothing is inflated here; the answer is refused where it is too large."""
        return 0

    def batches(self, names: Sequence[str], where: Sequence[Condition]) -> Iterator[Any]:
        """Yield the rows that the server answers; as `Sheet.batches`. Raises DataUnreadable, and as `Link.get`."""
        schema = pa.schema([self.schema.field(name) for name in names])
        with tempfile.NamedTemporaryFile(suffix=".nc") as file:
            if not self._fetched(file, names, where):
                return
            file.flush()
            with _opened(Path(file.name)) as dataset:
                yield from _batches(dataset, schema)

    def _fetched(self, file: Any, names: Sequence[str], where: Sequence[Condition]) -> bool:
        """Write the server's answer into a file; False where no row fulfils the conditions."""
        asked = [quote(",".join(names), safe=",")]
        asked += [
            quote(text, safe="") for one in where for text in constraints(one, self.schema.field(one.column))
        ]
        url = urlunsplit(self._place._replace(path=self._place.path + ".nc", query="&".join(asked)))
        answer = self._link.get(url, {"Accept-Encoding": "identity"}, stream=True)
        try:
            if answer.status_code != HTTPStatus.OK:
                return _said_why(answer)
            with reached():
                for piece in answer.iter_content(1 << 18):
                    file.write(piece)
                    if file.tell() > self._most:
                        raise _too_large(self._most)
            return True
        finally:
            answer.close()


@contextlib.contextmanager
def opened(sheet: Tabledap, cut: Cut | None) -> Iterator[xr.Dataset]:
    """Give the rows of a table that a cut can ask for as an undecoded dataset in memory; more of them may be there.

    Raises:
        OutsideDomain: There is none. NotSubsettable: They are too many for that. Others as `Tabledap.batches`.
    """
    axes = sheets.axes_of(sheet)
    names = sheet.default
    if cut is not None and cut.variables and not cut.qc:
        for name in cut.variables:
            if name not in names:
                raise BadRequest(
                    f"there is no variable {name[:60]!r}", hint=f"variables: {', '.join(names)}"[:2_000]
                )
        wanted = {*cut.variables, axes.longitude, axes.latitude, axes.vertical, axes.time}
        names = tuple(name for name in names if name in wanted)
    where = _where(cut, sheet, axes) if cut is not None else ()
    found = sheets.in_memory(sheet, names, where)
    if not found.sizes["row"]:
        raise OutsideDomain(
            "no row of the remote table lies there",
            hint="ask for a larger box or time, see the record's extent",
        )
    yield found


def constraints(condition: Condition, described: Any) -> Iterator[str]:
    """Yield what is asked there so that no row which fulfils a condition is left out; nothing where that is not sure.

    Args:
        condition: Bound to the column.
        described: The column's field.
    """
    name, sign, value = condition.column, condition.operator, condition.value
    if condition.positions or sign not in {"=", "<", "<=", ">", ">=", "=~"}:
        return
    if pa.types.is_timestamp(described.type):
        micros = value.cast(pa.int64()).as_py()
        if sign in {"=", ">", ">="}:
            yield f"{name}>={math.floor(micros / 1e6) - 1}"
        if sign in {"=", "<", "<="}:
            yield f"{name}<={math.ceil(micros / 1e6) + 1}"
    elif columns.is_number(described.type) and sign != "=~":
        number = value.as_py()
        if math.isfinite(number) and abs(number) < 1e15:  # noqa: PLR2004 - beyond, digits are lost there
            yield f"{name}{_LOOSER.get(sign, sign)}{number!r}"
    elif pa.types.is_string(described.type) and not columns.has_instants(described):
        text = value if sign == "=~" else value.as_py()
        if sign == "=" and text.isascii() and text.isprintable():
            yield f"{name}={_quoted(text)}"
        elif sign == "=~" and _EXPRESSION.fullmatch(text):
            yield f"{name}=~{_quoted(text)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _where(cut: Cut, sheet: Tabledap, axes: Any) -> tuple[Condition, ...]:
    """What every row fulfils that a cut can ask for: of its box and time, with a margin; the cut is made here."""
    if cut.stride or cut.indices or cut.method == "nearest":
        return ()
    found: list[Condition] = []

    def between(name: str | None, low: float | None, high: float | None) -> None:
        kind = sheet.schema.field(name).type if name else None
        timed = kind is not None and pa.types.is_timestamp(kind)
        if name is None or not (timed or columns.is_number(kind)) or (timed and not _is_instant(low, high)):
            return
        for sign, end in ((">=", low), ("<=", high)):
            if end is not None:
                found.append(Condition(name, sign, pa.scalar(end, kind) if timed else pa.scalar(float(end))))

    if cut.bbox is not None:
        between(axes.latitude, cut.bbox.south - _NEAR, cut.bbox.north + _NEAR)
        if cut.bbox.west <= cut.bbox.east and _turn_is_known(sheet, axes.longitude, cut.bbox.west):
            between(axes.longitude, cut.bbox.west - _NEAR, cut.bbox.east + _NEAR)
    if cut.time is not None:
        ends = [None if end is None else round(seconds(end) * 1e6) for end in cut.time]
        low, high = (
            None if end is None else end + way * _DAY for end, way in zip(ends, (-1, 1), strict=True)
        )
        between(axes.time, low, high)
    return tuple(found)


def _is_instant(*ends: float | None) -> bool:
    return all(end is None or abs(end) < 1 << 62 for end in ends)


def _turn_is_known(sheet: Tabledap, name: str | None, west: float) -> bool:
    """Tell whether longitudes are written as in the request, by the range that the server says they have."""
    if name is None:
        return False
    said = np.ravel(sheet.described[name].attrs.get("actual_range", ()))
    if said.size != 2 or said.dtype.kind not in "iuf":  # noqa: PLR2004 - its two ends
        return False
    return bool(said[0] >= -180 and (said[1] <= 180 or (said[0] >= 0 and west >= 0 and said[1] <= 360)))  # noqa: PLR2004


def _described(body: bytes) -> xr.Dataset:
    """A dataset of one row, of no meaning, with the types and attributes of the columns.

    Raises:
        DataUnreadable: It is no info table.
    """
    try:
        table = orjson.loads(body)["table"]
        rows = [dict(zip(table["columnNames"], row, strict=True)) for row in table["rows"]]
        attributes: dict[str, dict[str, Any]] = {}
        types: dict[str, str] = {}
        for row in rows:
            name = str(row["Variable Name"])
            if row["Row Type"] == "attribute":
                value = _value(str(row["Data Type"]), str(row["Value"]))
                attributes.setdefault(name, {})[str(row["Attribute Name"])] = value
            elif row["Row Type"] == "variable":
                types[name] = _DTYPES[str(row["Data Type"])]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataUnreadable("the remote server does not describe its table as ERDDAP does") from error
    if not 0 < len(types) <= _MOST_COLUMNS:
        raise DataUnreadable(f"the remote table has {len(types)} columns")
    made = {n: xr.Variable(("row",), np.zeros(1, kind), attributes.get(n)) for n, kind in types.items()}
    return xr.Dataset(made, attrs=attributes.get("NC_GLOBAL"))


def _value(kind: str, text: str) -> Any:
    """An attribute's value; numbers stand in it with commas between."""
    if kind in {"String", "char"}:
        return text
    dtype = np.dtype(_DTYPES[kind])
    numbers = np.array([float(part) if dtype.kind == "f" else int(part) for part in text.split(",")], dtype)
    return numbers[0] if numbers.size == 1 else numbers


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[xr.Dataset]:
    """The answer as an undecoded dataset."""
    with path.open("rb") as file:
        if file.read(3) != b"CDF":
            raise DataUnreadable("the remote server answered with something else than a NetCDF file")
    check_whole(path)
    try:
        with contextlib.closing(netCDF4.Dataset(str(path))) as file_:
            store: Any = xr.backends.NetCDF4DataStore(file_)  # type: ignore[no-untyped-call]
            yield undecoded(store)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataUnreadable(f"the remote server's answer cannot be read: {type(error).__name__}") from error


def _batches(dataset: xr.Dataset, schema: Any) -> Iterator[Any]:
    """The rows of an answer. Raises DataUnreadable where it is not as the server described it."""
    for name in schema.names:
        if name not in dataset.variables or len(dataset.variables[name].dims) != 1:
            raise DataUnreadable(f"the remote server answered without the column {name[:60]!r}")
    if len({dataset.variables[name].dims for name in schema.names}) > 1:
        raise DataUnreadable("the remote server answered with columns of different rows")
    rows = dataset.variables[schema.names[0]].size
    for start in range(0, rows, _BATCH_ROWS):
        some = slice(start, start + _BATCH_ROWS)
        arrays = [_column(dataset.variables[one.name][some], one) for one in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(variable: xr.Variable, described: Any) -> Any:
    """Values in the type that the description says. Raises DataUnreadable where they have another."""
    values = columns.array(unpack(variable.values, variable.attrs))
    if values.type == described.type:
        return values
    try:
        if pa.types.is_timestamp(described.type):
            clock = columns.clock_of(columns.attributes_of(described))
            assert clock is not None
            return columns.decoded(values, clock)
        return values.cast(described.type)
    except pa.ArrowException as error:
        raise DataUnreadable(
            f"the remote server answered with another type of {described.name[:60]!r} than it described"
        ) from error


def _said_why(answer: Any) -> bool:
    """False where the server says that no row answers; else raise the error of what it says."""
    with reached():
        body = next(iter(answer.iter_content(4_000)), b"").decode("utf-8", "replace")
    if answer.status_code == HTTPStatus.NOT_FOUND and _NONE in body:
        return False
    if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise TooLarge(
            "the remote server says that the query asks for too much",
            hint="constrain time or place, or ask for less",
        )
    error = refused(answer.status_code)
    said = _SAID.search(body)
    if said:
        plain = " ".join(re.sub(r"[^\x20-\x7e]", " ", said[1]).split())
        raise DataUnreadable(f"{error.message}: {plain}"[:300], details=error.details)
    raise error


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the remote answer is larger than {most} bytes",
        hint="constrain time or place, or ask for fewer columns",
        details={"limit": most, "setting": "BIENMO_MAX_RESULT_BYTES"},
    )
