"""What is asked of every server: a cut of the sea surface temperature, and its address at each of them.

`ADDRESSES` is the one table of who can be asked for what; an address is None where a server has no such format.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from benchmarks.sst import START, Sst

SOURCE = "bench"
"""The id of the source that the files are harvested as."""

SUFFIXES = MappingProxyType(
    {
        "dods": "DAP2 binary",
        "nc3": "NetCDF-3",
        "nc": "NetCDF-4",
        "csv": "CSV",
        "covjson": "CoverageJSON",
    }
)
"""The formats asked for, by our suffix."""

TEXT = frozenset({"csv", "covjson"})
"""The formats whose size grows with the digits: peers need minutes and gigabytes for the largest cut."""

Span = tuple[int, int]


class Question(NamedTuple):
    """A cut: first and stop of days, rows (ascending latitude) and columns."""

    name: str
    days: Span
    rows: Span
    columns: Span
    large: bool = False
    again: bool = False

    def moved(self, times: int, sst: Sst) -> "Question":
        """Return an equally large cut elsewhere, so that what was just read or inflated is of no use.

        Days go on by 31, columns by a square of the file `cube`; a whole axis stays. One that is asked `again` is
        not moved.
        """
        if self.again:
            return self
        days = _moved(self.days, sst.shape.days, 31 * times)
        columns = _moved(self.columns, sst.shape.columns, sst.shape.cube[2] * times)
        return self._replace(days=days, columns=columns)

    @property
    def cells(self) -> int:
        """How many numbers are cut."""
        return int(np.prod([stop - first for first, stop in self[1:4]]))

    def first_last(self) -> tuple[str, str]:
        """Return midnight of the first day and the last second of the last, in UTC, ISO 8601 without a zone."""
        first, stop = (np.datetime64(START, "D") + day for day in self.days)
        return f"{first}T00:00:00", f"{stop - 1}T23:59:59"

    def box(self, sst: Sst) -> tuple[float, float, float, float]:
        """Return west, south, east, north in degrees: the outer edges of the outermost cells."""
        half_row, half_column = 90 / sst.shape.rows, 180 / sst.shape.columns
        south, north = (float(sst.latitudes[row]) for row in (self.rows[0], self.rows[1] - 1))
        west, east = (float(sst.longitudes[column]) for column in (self.columns[0], self.columns[1] - 1))
        return west - half_column, south - half_row, east + half_column, north + half_row


def _moved(span: Span, size: int, by: int) -> Span:
    width = span[1] - span[0]
    first = (span[0] + by) % (size - width) if width < size else 0
    return first, first + width


def questions(sst: Sst) -> tuple[Question, ...]:
    """Return the four questions: a point's year, a day's map, a box of a month, and the globe for a month."""
    days, rows, columns = sst.shape[:3]
    month = (days // 2, min(days, days // 2 + 30))
    row, column = _around(sst, 18.0, 18.1, 107.6, 107.7)
    box = _around(sst, 17, 22, 105.5, 110)
    return (
        Question("point series, a year", (0, days), row, column),
        Question("map, one day", (days // 2, days // 2 + 1), (0, rows), (0, columns)),
        Question("Gulf of Tonkin, 30 days", month, *box),
        Question("Gulf of Tonkin, 30 days, again", month, *box, again=True),
        Question("globe, 30 days", month, (0, rows), (0, columns), large=True),
    )


def _around(sst: Sst, south: float, north: float, west: float, east: float) -> tuple[Span, Span]:
    """Rows and columns whose centres are in a box; the one nearest to its middle where there is none."""
    found = []
    for centres, low, high in ((sst.latitudes, south, north), (sst.longitudes, west, east)):
        first, stop = (int(at) for at in np.searchsorted(centres, (low, high)))
        middle = int(np.abs(centres - (low + high) / 2).argmin())
        found.append((first, stop) if first < stop else (middle, middle + 1))
    return found[0], found[1]


Address = Callable[[Question, Sst, str, str], str | None]


def ours(question: Question, sst: Sst, layout: str, suffix: str) -> str:
    """Return the address at this catalog: /api/datasets/…/subset.…"""
    first, last = question.first_last()
    box = ",".join(f"{edge:.6g}" for edge in question.box(sst))
    where = "" if question.rows == (0, sst.shape.rows) else f"&bbox={box}"
    when = "" if question.days == (0, sst.shape.days) else f"&time={first}Z/{last}Z"
    return f"/api/datasets/{SOURCE}-sst_{layout}/subset.{suffix}?variables=sst{when}{where}"


def limit(question: Question, sst: Sst, layout: str, suffix: str) -> str:
    """Return the address at the limit; the caller adds how many bytes to send."""
    axes = (
        f"{name}={span[0]}:{span[1]}"
        for name, span in zip(("time", "lat", "lon"), question[1:4], strict=True)
    )
    return f"/{layout}?{'&'.join(axes)}"


def plain(question: Question, sst: Sst, layout: str, suffix: str) -> str:
    """Return the address at the plain xarray route."""
    west, south, east, north = question.box(sst)
    time = "/".join(question.first_last())
    return f"/{layout}?suffix={suffix}&time={time}&lat={south:.6g}/{north:.6g}&lon={west:.6g}/{east:.6g}"


def xpublish(question: Question, sst: Sst, layout: str, suffix: str) -> str | None:
    """Return the address at xpublish: its OPeNDAP plug-in for binary, EDR's cube for the rest."""
    if suffix == "dods":
        slices = "".join(f"[{first}:{stop - 1}]" for first, stop in question[1:4])
        return f"/datasets/{layout}/opendap.dods?sst{quote(slices)}"
    named = {"nc": "nc", "csv": "csv", "covjson": "cf_covjson"}.get(suffix)
    time = "/".join(question.first_last())
    box = ",".join(f"{edge:.6g}" for edge in question.box(sst))
    cube = f"/datasets/{layout}/edr/cube?bbox={box}&datetime={time}&parameter-name=sst"
    return f"{cube}&f={named}" if named else None


def pydap(question: Question, sst: Sst, layout: str, suffix: str) -> str | None:
    """Return the address at pydap's server, which speaks DAP only."""
    slices = "".join(f"[{first}:1:{stop - 1}]" for first, stop in question[1:4])
    return f"/{layout}.nc.dods?sst{quote(slices)}" if suffix == "dods" else None


def pygeoapi(question: Question, sst: Sst, layout: str, suffix: str) -> str | None:
    """Return the address at pygeoapi: its coverage for NetCDF, EDR's cube or position for CoverageJSON."""
    west, south, east, north = question.box(sst)
    box = f"bbox={west:.6g},{south:.6g},{east:.6g},{north:.6g}"
    time = "datetime=" + "/".join(instant[:10] for instant in question.first_last())
    if suffix == "nc":
        return f"/collections/{layout}/coverage?{box}&{time}&properties=sst&f=netcdf"
    if suffix != "covjson":
        return None
    if question.rows[1] - question.rows[0] == 1:
        point = f"coords=POINT({(west + east) / 2:.6g} {(south + north) / 2:.6g})".replace(" ", "%20")
        return f"/collections/{layout}/position?{point}&{time}&parameter-name=sst&f=json"
    return f"/collections/{layout}/cube?{box}&{time}&parameter-name=sst&f=json"


ADDRESSES: Mapping[str, Address] = MappingProxyType(
    {"limit": limit, "plain xarray": plain, "xpublish": xpublish, "pydap": pydap, "pygeoapi": pygeoapi}
)
