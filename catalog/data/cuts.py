"""What is asked of a dataset: variables × place (box, shape, indices) × time × depth × stride, then what is made of it.

A single instant or depth is exact, as `indices` are; `method=nearest` lets it mean the nearest step or level that is at
most half a step away, as ERDDAP does unasked, and the answer then says both (`requested_time`, `requested_depth`). A
day without a time of day is all of it; with `method=nearest`, where no step lies in it, the step nearest to its noon.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from catalog.data import geometry, hyperslabs, reductions
from catalog.errors import BadRequest
from catalog.instant import interval
from catalog.record import BBox, Model, Name
from catalog.search import read_bbox

MAX_VARIABLES = 1_000
_READ = ("variables", "bbox", "time", "depth", "stride", "indices", "coords", "method", "qc", "reduce")
_WORDS = {"method": ("", "nearest", "linear"), "qc": ("", "good")}
_DAY = ("T00:00:00Z", "T23:59:59.999999Z")
_STRIDE = re.compile(r"(?:(?P<axis>[^\s:,][^:,]*):)?(?P<step>[1-9]\d{0,8})")
_HINTS = {
    "variables": "write variables=adt,ugos",
    "depth": "write depth=0/50 (metres, positive down) or depth=10",
    "stride": "write stride=2 or stride=time:2,latitude:3",
    "method": "write method=nearest or method=linear",
    "qc": "write qc=good",
}


class Cut(Model):
    """A part of a dataset.

    Args:
        variables: Names; empty for all data variables.
        bbox: Cell centres within the closed box.
        time: First and last canonical instant, both included (None: open), in the data's calendar.
        depth: First and last depth in metres, positive down, both included.
        stride: Every how many cells, by axis: longitude, latitude, depth, time, or a dimension's name.
        indices: Exact indices as DAP2 writes them, by dimension: `time[0:2:10],lat[5]`
            (start:stride:stop, stop included).
        coords: A place as WKT or GeoJSON: POINT and MULTIPOINT (nearest cells), LINESTRING (a transect), POLYGON and
            MULTIPOLYGON (cells whose centre is inside).
        method: How the numbers of points are made: those of the nearest cell (also where nothing is said), or linear
            between cells. Where `nearest` is said, a single instant or depth means the nearest within half a step.
        qc: `good`: only values that the data's own quality flags call good.
        reduce: Reductions over axes, one after another: `mean(time)`, `max(longitude,latitude)`, `mean(time:month)`.
    """

    variables: tuple[Name, ...] = ()
    bbox: BBox | None = None
    time: tuple[str | None, str | None] | None = None
    depth: tuple[float, float] | None = None
    stride: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    indices: str = ""
    coords: str = ""
    method: Literal["", "nearest", "linear"] = ""
    qc: Literal["", "good"] = ""
    reduce: str = ""

    def parameters(self) -> dict[str, str]:
        """Return the cut as the parameters of an address, the inverse of `parse`."""
        found: dict[str, str] = {}
        if self.variables:
            found["variables"] = ",".join(self.variables)
        if self.bbox:
            found["bbox"] = ",".join(
                f"{n:.17g}" for n in (self.bbox.west, self.bbox.south, self.bbox.east, self.bbox.north)
            )
        if self.time:
            found["time"] = f"{self.time[0] or '..'}/{self.time[1] or '..'}"
        if self.depth:
            found["depth"] = f"{self.depth[0]!r}/{self.depth[1]!r}"
        if self.stride:
            found["stride"] = ",".join(f"{axis}:{step}" for axis, step in self.stride.items())
        plain = {name: getattr(self, name) for name in ("indices", "coords", "method", "qc", "reduce")}
        return found | {name: text for name, text in plain.items() if text}


def parse(parameters: Mapping[str, str]) -> Cut:
    """Read the parameters of an address or command; empty ones do not count.

    Raises:
        BadRequest: A parameter is unknown or cannot be read; the error names it and says how to write it.
    """
    for name in parameters:
        if name not in _READ:
            raise BadRequest(f"there is no parameter {name[:60]!r}", hint="parameters: " + ", ".join(_READ))
    given = {name: value for name, value in parameters.items() if value.strip()}
    texts = {name: " ".join(given.get(name, "").split()) for name in ("indices", "coords", "reduce")}
    method, qc = (_word(name, given.get(name, "").strip()) for name in ("method", "qc"))
    _check_place(texts, method, "bbox" in given)
    if method == "linear" and qc:
        raise BadRequest("method=linear mixes values that qc=good leaves out", hint="leave one of them out")
    return Cut(
        variables=_variables(given.get("variables", "")),
        bbox=read_bbox(given["bbox"]) if "bbox" in given else None,
        time=interval(given["time"], any_calendar=True) if "time" in given else None,
        depth=_depth(given["depth"]) if "depth" in given else None,
        stride=_stride(given["stride"]) if "stride" in given else {},
        method=method,
        qc=qc,
        **texts,
    )


def single_day(time: tuple[str | None, str | None]) -> str:
    """Return the day that a range of time is the whole of, as `2000-02-20`; empty for any other range."""
    first, last = (text or "" for text in time)
    day = first.removesuffix(_DAY[0])
    return day if day != first and last == day + _DAY[1] else ""


def _word(name: str, text: str) -> Any:
    """The value of a parameter that has few."""
    if text not in _WORDS[name]:
        raise BadRequest(f"{name}={text[:60]!r} cannot be read", hint=_HINTS[name])
    return text


def _check_place(texts: Mapping[str, str], method: str, has_box: bool) -> None:  # noqa: FBT001
    """Refuse a place that cannot be read, or that is said twice."""
    if texts["indices"]:
        hyperslabs.parse(texts["indices"])
    if texts["reduce"]:
        reductions.parse(texts["reduce"])
    kind = geometry.parse(texts["coords"]).kind if texts["coords"] else ""
    if kind and has_box:
        raise BadRequest("coords= and bbox= both say where", hint="write one of them")
    if method == "linear" and kind not in {"point", "points"}:
        raise BadRequest("method=linear is for points", hint="add coords=POINT(107.5 20.5), or leave it out")


def _variables(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(names) > MAX_VARIABLES or any(len(name) > 1_000 for name in names):  # noqa: PLR2004
        raise BadRequest("variables= names too many, or too long ones", hint=_HINTS["variables"])
    return names


def _depth(text: str) -> tuple[float, float]:
    try:
        first, *rest = (float(part) for part in text.split("/"))
    except ValueError as error:
        raise BadRequest(f"depth={text[:60]!r} is no depth range", hint=_HINTS["depth"]) from error
    last = rest[0] if rest else first
    if len(rest) > 1 or not (math.isfinite(first) and math.isfinite(last)):
        raise BadRequest(f"depth={text[:60]!r} is not two finite numbers", hint=_HINTS["depth"])
    if first > last:
        raise BadRequest(f"depth={text[:60]!r} ends above its start", hint=_HINTS["depth"])
    return first, last


def _stride(text: str) -> dict[str, int]:
    steps: dict[str, int] = {}
    for part in text.split(","):
        match = _STRIDE.fullmatch(part.strip())
        if match is None:
            raise BadRequest(f"stride={text[:60]!r} cannot be read", hint=_HINTS["stride"])
        axes = (match["axis"].strip(),) if match["axis"] else ("longitude", "latitude", "time")
        steps.update(dict.fromkeys(axes, int(match["step"])))
    return steps
