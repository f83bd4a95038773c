"""Reading one real cell of data, to know that they are there and how new they are.

Call it in a worker (`catalog.data.workers`), never in a server. What cannot be opened as data is known by its first
bytes (`catalog.data.sniffs`).
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from catalog.data import afar, opening, sheets, sniffs
from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.clock import duration
from catalog.data.conditions import Condition
from catalog.data.coverage import spacing
from catalog.data.places import LOCAL, place
from catalog.data.remote import Link, Reach, linked, reached, refused
from catalog.data.tabledap import Tabledap
from catalog.data.tabular import Sheet
from catalog.data.ways import file_form, is_remote
from catalog.errors import DataUnreadable, NotSubsettable, TooLarge
from catalog.instant import now, of_seconds, seconds
from catalog.record import Distribution

MOST_TIMES = 500_000
"""Times of an axis that are read whole; of a longer one, its ends."""

_ENDS = 500
_SCAN_SECONDS = 20.0
_WINDOWS = (3_600.0, 30 * 86_400.0)  # seconds before the end of a remote table in which rows are looked for
_SINCE_NOW = 366 * 86_400.0
_PERMANENT = frozenset({301, 308})  # RFC 9110 §15.4.2, §15.4.9
_EMPTY_RANGE = 416
_GOT = frozenset({200, 206})
_UNASKED = frozenset({400, 405, 422})  # of a service that is asked nothing
_PLAIN: Mapping[str, str] = {"Accept-Encoding": "identity"}
_MARKS = ("zarr.json", ".zmetadata", ".zgroup")
Found = dict[str, Any]


def can_be_probed(way: Distribution) -> bool:
    """Tell whether a distribution is a local one, or has an address of http or https."""
    return way.protocol in LOCAL or urlsplit(way.address).scheme.lower() in {"http", "https"}


def probed(way: Distribution, reach: Reach) -> Found:
    """Return what reading one cell of a distribution found, as JSON values.

    Returns:
        `newest`: the newest time of the data, an instant of their own calendar, None where that is not known. `step`:
        seconds from one time of their axis to the next, None where there is no such axis. `moved`: the address that
        permanent redirects lead to, None where there are none.

    Raises:
        NotSubsettable: Nothing can be told: it is a service of an unknown kind, and wants to be asked something.
        CatalogError: No cell could be read; the message says why.
    """
    if way.protocol == "table":
        with sheets.opened_sheet(place(way.address)) as sheet:
            return {**_some_rows(sheet), "moved": None}
    if way.protocol in LOCAL:
        with opening.opened(way, reach) as dataset:
            return {**_cell(dataset), "moved": None}
    with linked(reach) as link:
        followed = Followed(link)
        found = _remote(followed, way, reach)
        return {**found, "moved": followed.moved(way.address)}


class Followed(Link):
    """A link that remembers where permanent redirects led, and whether it was given web pages.

    Args:
        link: What asks.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(None)
        self._link = link
        self._led: tuple[str, str] | None = None
        self.page = False

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, stream: bool = False, head: bool = False
    ) -> Any:
        """Return the answer, as `Link.get`. Raises as it."""
        answer = self._link.get(url, headers, stream=stream, head=head)
        places = [*(step.url for step in answer.history), answer.url]
        count = 0
        while count < len(answer.history) and answer.history[count].status_code in _PERMANENT:
            count += 1
        if count and self._led is None:
            self._led = (url, places[count])
        if (
            not stream
            and not head
            and answer.status_code == HTTPStatus.OK
            and sniffs.kind(answer.content[: sniffs.ENOUGH_BYTES]) == "html"
        ):
            self.page = True
        return answer

    def moved(self, address: str) -> str | None:
        """Return the address that an address became; None where no permanent redirect was met."""
        return relocated(address, *self._led) if self._led else None


def relocated(address: str, asked: str, led: str) -> str | None:
    """Return what became of an address, when something that was asked for beside it is elsewhere now.

    What `asked` and `led` end in alike belongs to what was asked for: `…/old.dds` at `…/new.dds` makes `…/new` of
    `…/old`. None where it is the same address.
    """
    alike = 0
    while alike < min(len(asked), len(led)) and asked[-1 - alike] == led[-1 - alike]:
        alike += 1
    old, new = asked[: len(asked) - alike], led[: len(led) - alike]
    found = new + address[len(old) :] if address.startswith(old) else led
    return found if found != address else None


def _remote(link: Followed, way: Distribution, reach: Reach) -> Found:
    """A cell of data on another server, or, of what cannot be cut there, its first bytes."""
    try:
        if way.protocol == "tabledap":
            return _last_rows(Tabledap(link, way.address, reach.max_bytes))
        if is_remote(way):
            with afar.opened_over(link, way, reach) as dataset:
                return _cell(dataset)
    except NotSubsettable:
        if file_form(way) == "zarr":
            return _group(link, way)
    except DataUnreadable as error:
        if link.page:
            raise DataUnreadable("a web page (HTML) is served where data are promised") from error
        if way.protocol == "http" and "status" not in error.details:
            _start(link, way)  # says it better, where what is there is something else
        raise
    return _start(link, way)


def _start(link: Link, way: Distribution) -> Found:
    """Look at the first bytes. Raises DataUnreadable where they cannot be what is promised."""
    is_service = sniffs.is_service(way)
    try:
        start = _first_bytes(link, _capabilities(way) if is_service else way.address)
    except DataUnreadable as error:
        if error.details.get("status") in _UNASKED and not is_service and sniffs.promise(way) is None:
            raise NotSubsettable("what is there answers only with parameters that are not known") from error
        raise
    if wrong := sniffs.contradiction(way, start):
        raise DataUnreadable(wrong)
    return _found()


def _first_bytes(link: Link, url: str) -> bytes:
    wanted = {**_PLAIN, "Range": f"bytes=0-{sniffs.ENOUGH_BYTES - 1}"}
    answer = link.get(url, wanted, stream=True)
    try:
        if answer.status_code == _EMPTY_RANGE:
            return b""
        if answer.status_code not in _GOT:
            raise refused(answer.status_code)
        found = b""
        with reached():
            for piece in answer.iter_content(sniffs.ENOUGH_BYTES):  # as small as the server sends them
                found += piece
                if len(found) >= sniffs.ENOUGH_BYTES:
                    break
        return found[: sniffs.ENOUGH_BYTES]
    finally:
        answer.close()


def _group(link: Link, way: Distribution) -> Found:
    """A Zarr group that cannot be cut from afar: something of its metadata is there."""
    for mark in _MARKS:
        answer = link.get(f"{way.address.rstrip('/')}/{mark}", stream=True)
        answer.close()
        if answer.status_code in _GOT:
            return _found()
    raise DataUnreadable("there are no metadata of a Zarr group at the address")


def _capabilities(way: Distribution) -> str:
    """The address by which a service of the OGC is asked what it has (OWS Common 06-121r9 §7.2)."""
    parts = urlsplit(way.address)
    known = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name.lower() not in {"service", "request", "version"}
    ]
    query = urlencode(
        [
            *known,
            ("service", "WMS" if way.protocol == "wms" else way.format.upper()),
            ("request", "GetCapabilities"),
        ]
    )
    return urlunsplit(parts._replace(query=query, fragment=""))


def _cell(dataset: xr.Dataset) -> Found:
    """Read a cell of a variable, at the newest time where it lies along time."""
    axes = ax.find(dataset)
    variable = dataset.variables[_chosen(dataset, axes)]
    times = set(map(str, dataset.variables[axes.time].dims)) if axes.time else set()
    key = tuple(
        size - 1 if str(name) in times else size // 2
        for name, size in zip(variable.dims, variable.shape, strict=True)
    )
    np.asarray(variable[key].values)
    return _found(*_times(dataset, axes))


def _chosen(dataset: xr.Dataset, axes: Axes) -> str:
    """A variable that has cells: of data before coordinates, of numbers before texts, along time before others."""
    data = set(axes.data_variables(dataset))
    times = set(dataset.variables[axes.time].dims) if axes.time else set()

    def rank(name: str) -> tuple[bool, bool, bool]:
        variable = dataset.variables[name]
        return name not in data, variable.dtype.kind not in "iuf", not times & set(variable.dims)

    full = [str(name) for name, variable in dataset.variables.items() if variable.size]
    if not full:
        raise DataUnreadable("there is no cell in it")
    return min(full, key=rank)


def _times(dataset: xr.Dataset, axes: Axes) -> tuple[str | None, float | None]:
    """The newest time and, of an axis, its step in seconds; None for what cannot be told."""
    name = axes.time
    if name is None or "climatology" in dataset.variables[name].attrs:
        return None, None
    variable = dataset.variables[name]
    is_axis = variable.dims == (name,)
    if variable.size > MOST_TIMES and not is_axis:
        return None, None
    parts = [variable] if variable.size <= MOST_TIMES else [variable[:_ENDS], variable[-_ENDS:]]
    try:
        clock = ax.clock(dataset, name)
        found = np.concatenate([np.ravel(ax.values(part)) for part in parts])
        known = found[np.isfinite(found)]
        if not known.size:
            return None, None
        newest = known.max() + (_lead(dataset, axes.lead) / clock.unit if axes.lead else 0)
        step = spacing(found) if is_axis else None
        return clock.instants(np.array([newest]))[0], step and round(step * clock.unit / 1e6, 6)
    except DataUnreadable:  # that its times cannot be dated is no fault of its cells
        return None, None


def _lead(dataset: xr.Dataset, name: str) -> float:
    """The longest lead time of forecasts, in microseconds."""
    variable = dataset.variables[name]
    longest = float(np.nanmax(ax.values(variable), initial=0))
    return longest * (duration(str(variable.attrs.get("units", ""))) or 1)


def _rows(sheet: Sheet, where: tuple[Condition, ...]) -> Found | None:
    """Read rows: a column of data, and times for as long as there is patience; None where there is none."""
    axes = sheets.axes_of(sheet)
    known = {axes.longitude, axes.latitude, axes.vertical, axes.time}
    first = next((name for name in sheet.schema.names if name not in known), sheet.schema.names[0])
    timed = axes.time if axes.time and pa.types.is_timestamp(sheet.schema.field(axes.time).type) else None
    newest, until, rows = None, time.monotonic() + _SCAN_SECONDS, 0
    for batch in sheet.batches(list(dict.fromkeys([first, *([timed] if timed else [])])), where):
        rows += batch.num_rows
        if timed is None or time.monotonic() > until:
            newest = None
            break
        last = pc.max(batch.column(timed)).cast(pa.int64()).as_py()
        newest = last if newest is None else max(newest, newest if last is None else last)
    return _found(None if newest is None else of_seconds(newest / 1e6)) if rows else None


def _some_rows(sheet: Sheet) -> Found:
    """Read any rows. Raises DataUnreadable where there is none."""
    if (found := _rows(sheet, ())) is None:
        raise DataUnreadable("there is no row in it")
    return found


def _last_rows(sheet: Tabledap) -> Found:
    """Read rows at the end of a remote table's time; where that is not told, of the last year, else any."""
    name = sheets.axes_of(sheet).time
    kind = sheet.schema.field(name).type if name else None
    end = _told_end(sheet, name) if name else None
    begins = [end - length for length in _WINDOWS] if end is not None else [seconds(now()) - _SINCE_NOW]
    try:
        for begin in begins if name and pa.types.is_timestamp(kind) else ():
            where = Condition(name or "", ">=", pa.scalar(int(begin * 1e6), kind))
            if (found := _rows(sheet, (where,))) is not None:
                return found
        if end is not None:
            raise DataUnreadable("no row is there at the end of the time that the table says it covers")
        return _some_rows(sheet)
    except TooLarge:  # its server gives rows, and more of them than are worth taking
        return _found(None if end is None else of_seconds(end))


def _found(newest: str | None = None, step: float | None = None) -> Found:
    return {"newest": newest, "step": step}


def _told_end(sheet: Tabledap, name: str) -> float | None:
    """The last time that the server says the table has, in seconds since 1970."""
    told = np.ravel(sheet.described[name].attrs.get("actual_range", ()))
    try:
        last = np.array([float(told[-1])]) if told.size else np.array([np.nan])
        return seconds(ax.clock(sheet.described, name).instants(last)[0]) if np.isfinite(last[0]) else None
    except (DataUnreadable, ValueError):
        return None
