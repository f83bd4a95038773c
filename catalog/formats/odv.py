"""ODV generic spreadsheet text (Ocean Data View, also SeaDataNet's): stations, each with its samples in a row.

Tabs between columns: Cruise, Station, Type, time, Longitude, Latitude, Bot. Depth, then the primary variable
(depth; time for a series at one place), the other coordinates and the variables, unpacked. A missing value is an empty
cell. Lines that begin with `//` say licence, citation, source, request and the attributes. Flags that a variable
names as its own (`ancillary_variables`, CF §3.4) in a scheme that ODV knows follow it as its quality column `QV:…`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from catalog.data.axes import Axes
from catalog.data.origin import origin
from catalog.data.plain import words
from catalog.data.tables import Coordinate, Table, lay_out
from catalog.formats._arrow import decimals, joined
from catalog.formats._credits import described, said
from catalog.formats._places import longitudes, positions
from catalog.formats._separated import FORMULA

SUFFIX = "odv.txt"
MEDIA_TYPE = "text/plain; charset=utf-8"
STREAMS = True
_META = (
    "Cruise", "Station", "Type", "yyyy-mm-ddThh:mm:ss.sss", "Longitude [degrees_east]", "Latitude [degrees_north]",
    "Bot. Depth [m]",
)  # fmt: skip
_SPACES = re.compile(r"[\t\r\n\x00-\x1f]+")
_CRUISES = ("cruise", "cruise_id", "expocode", "platform_code", "platform_name", "platform", "id", "title")
_SCHEMES: Mapping[str, frozenset[str]] = {
    "QARTOD": frozenset({"pass", "suspect", "fail", "not_evaluated"}),
    "ARGO": frozenset({"good_data", "probably_good_data", "bad_data"}),
    "IODE": frozenset({"good", "questionable", "bad"}),
    "SEADATANET": frozenset({"good_value", "probably_good_value", "bad_value"}),
}
"""ODV's names of flag schemes, each known by words of its flag_meanings."""


@dataclass(frozen=True)
class _Roles:
    """What the columns of a table are to ODV: those that say where a station is, and the one along its samples."""

    longitude: str
    latitude: str
    time: str | None
    station: str | None
    primary: str | None


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows, station by station.

    Raises:
        NotSubsettable: The data have no positions; or as `lay_out`.
    """
    table = lay_out(dataset)
    axes = origin(dataset).axes
    place = positions(dataset, table, "ODV")
    axes = replace(axes, longitude=place[0].name, latitude=place[1].name)
    along = _along(table, axes, place)
    if along:  # the samples of a station follow one another
        rest = {d: n for d, n in table.sizes.items() if d != along}
        table = replace(table, sizes={**rest, along: table.sizes[along]})
    roles = _roles(table, axes, along)
    yield "".join(f"//{line}\n" for line in _comments(dataset, table, axes)).encode()
    columns = _Columns(table, roles, _cell(_cruise(dataset)))
    yield ("\t".join(columns.labels) + "\n").encode()
    yield from columns.rows(1 if along is None else table.sizes[along])


def _along(table: Table, axes: Axes, position: Sequence[Coordinate]) -> str | None:
    """The dimension along which a station has its samples: that of depth, or of time at one place; None: each row."""
    by_name = {coordinate.name: coordinate for coordinate in table.coordinates}
    place = {d for coordinate in position for d in coordinate.dimensions}
    vertical = by_name.get(axes.vertical or "")
    for dimension in reversed(vertical.dimensions if vertical else ()):
        if dimension not in place and table.sizes.get(dimension, 0) > 1:
            return dimension
    time = by_name.get(axes.time or "")
    at_one = axes.kind == "timeseries" or all(table.sizes.get(d, 1) == 1 for d in place)
    if time and at_one and len(time.dimensions) == 1 and time.dimensions[0] not in place:
        return time.dimensions[0]
    return None


def _roles(table: Table, axes: Axes, along: str | None) -> _Roles:
    by_name = {coordinate.name: coordinate for coordinate in table.coordinates}
    first = {n: c for n, c in by_name.items() if n in {axes.vertical, axes.time}}
    primary = next((n for n, c in first.items() if along and along in c.dimensions), None)
    named = [n for n, c in by_name.items() if c.values.dtype.kind == "O" and "cf_role" in c.attributes]
    return _Roles(
        str(axes.longitude),
        str(axes.latitude),
        next((n for n, c in by_name.items() if n == axes.time and c.instants is not None), None),
        next((n for n in named if along is None or along not in by_name[n].dimensions), None),
        primary or (axes.vertical if axes.vertical in by_name else None),
    )


def _comments(dataset: xr.Dataset, table: Table, axes: Axes) -> Iterator[str]:
    yield "ODV generic spreadsheet; values are unpacked, an empty cell has no value; times are UTC"
    for key, text in said(dataset).items():
        yield f"{key}: {_plain(text)}"
    if axes.time and "since" in str(dataset[axes.time].attrs.get("units", "")):
        calendar = words(dataset[axes.time].attrs.get("calendar", "standard"))
        if calendar.lower() not in {"standard", "gregorian", "proleptic_gregorian", ""}:
            yield f"calendar: {_plain(calendar)}; ODV reads the dates as if they were of the usual calendar"
    for name, value in table.attributes.items():
        yield f"attribute {_plain(words(name))} = {_plain(words(value))}"
    for name, attributes in (
        *((c.name, c.attributes) for c in table.coordinates),
        *((n, v.attrs) for n, v in table.variables.items()),
    ):
        for key, value in described(attributes).items():
            yield f"attribute {_plain(name)}:{_plain(key)} = {_plain(words(value))}"


def _plain(text: str) -> str:
    """Text on one line, without tabs."""
    return _SPACES.sub(" ", text).strip()


def _cell(text: str) -> str:
    """Text as a cell that neither ODV reads as a comment or a quotation nor a spreadsheet runs as a formula."""
    plain = _plain(text)
    plain = f"'{plain}" if plain.startswith(FORMULA) else plain
    return '"' + plain.replace('"', '""') + '"' if plain.startswith(('"', "//")) else plain


def _cruise(dataset: xr.Dataset) -> str:
    given = (words(dataset.attrs.get(name, "")).strip() for name in _CRUISES)
    return next(filter(None, given), "Bien Mo")


class _Columns:
    """The table's columns as ODV has them."""

    def __init__(self, table: Table, roles: _Roles, cruise: str) -> None:
        self._table, self._roles, self._cruise = table, roles, cruise
        self._tokens = {
            c.name: _coordinate(c, longitude=c.name == roles.longitude) for c in table.coordinates
        }
        meta = {roles.longitude, roles.latitude, roles.station}
        times = {roles.time} if roles.time != roles.primary else set()
        others = [c for c in table.coordinates if c.name not in {*meta, *times, roles.primary}]
        first = [c for c in table.coordinates if c.name == roles.primary]
        self._coordinates = [c.name for c in (*first, *others)]
        self._flags = _flags(table.variables)
        self._variables = _ordered(table.variables, self._flags)
        self.labels = [*_META, *(self._label(c.name, c.attributes) for c in (*first, *others))]
        self.labels += [self._label(name, table.variables[name].attrs) for name in self._variables]

    def _label(self, name: str, attributes: Mapping[Any, Any]) -> str:
        if name in self._flags:
            owner, scheme = self._flags[name]
            return f"QV:{scheme}:{self._label(owner, self._table.variables[owner].attrs)}"
        if name == self._roles.time:
            return "time_ISO8601"
        units = _plain(words(attributes.get("units", "")))
        return f"{_plain(name)} [{units}]" if units else _plain(name)

    def rows(self, samples: int) -> Iterator[bytes]:
        """Yield the lines of blocks; a station has this many samples, each block begins where the one before ended."""
        done = 0
        for block in self._table.blocks():
            count = next(iter(block.places.values())).size
            stations = (np.arange(done, done + count) // samples) + 1
            done += count
            taken = {name: tokens.take(pa.array(block.places[name])) for name, tokens in self._tokens.items()}
            roles = self._roles
            named = taken[roles.station] if roles.station else pa.array(stations).cast(pa.string())
            meta = (named, "*", self._began(taken), taken[roles.longitude], taken[roles.latitude], "")
            cells = [
                *(taken[name] for name in self._coordinates),
                *(_tokens(block.data[name]) for name in self._variables),
            ]
            yield _lines([self._cruise, *meta, *cells])

    def _began(self, taken: Mapping[str, Any]) -> Any:
        """The time of each row's station: that of its first sample where samples differ in time."""
        time = self._roles.time
        if time is None:
            return ""
        if time != self._roles.primary:
            return taken[time]
        return next((token for token in self._tokens[time].to_pylist() if token), "")


def _flags(variables: Mapping[str, xr.Variable]) -> dict[str, tuple[str, str]]:
    """Flag variable → the variable it tells of, and ODV's name of its scheme; those of no known scheme are data."""
    found: dict[str, tuple[str, str]] = {}
    for owner, variable in variables.items():
        for name in words(variable.attrs.get("ancillary_variables", "")).split():
            meanings = (
                set(words(variables[name].attrs.get("flag_meanings", "")).lower().split())
                if name in variables
                else set()
            )
            scheme = next((scheme for scheme, said in _SCHEMES.items() if said <= meanings), None)
            if scheme and name not in found:
                found[name] = (owner, scheme)
    return found


def _ordered(variables: Iterable[str], flags: Mapping[str, tuple[str, str]]) -> list[str]:
    """The variables, each with its quality flags behind it."""
    found: list[str] = []
    for name in variables:
        if name not in flags:
            found += [name, *(flag for flag, (owner, _) in flags.items() if owner == name)]
    return found


def _lines(cells: Sequence[Any]) -> bytes:
    """Rows of cells; a cell that every row has is given as text."""
    parts = [cell if isinstance(cell, str) else cell.fill_null("") for cell in cells]
    ended = pc.binary_join_element_wise(parts[-1], "\n", "")
    return joined([*parts[:-1], ended], "\t")


def _coordinate(column: Coordinate, *, longitude: bool) -> Any:
    if column.instants is not None:
        return pa.array([_stamp(instant) or None for instant in column.instants], pa.string())
    return _tokens(longitudes(column.values) if longitude else column.values)


def _stamp(instant: str) -> str:
    """An instant as ODV has it: without zone, at least to the millisecond."""
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<3}" if whole else ""


def _tokens(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind == "O":
        return pa.array([_cell(item) for item in values], pa.string())
    return decimals(values, infinite=True)
