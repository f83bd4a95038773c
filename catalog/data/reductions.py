"""Reductions over axes: mean, extremes, spread, percentiles and counts; means of periods, climatologies, anomalies.

Every function takes the unpacked numbers, in double precision, and leaves missing ones out; where all are missing, the
result is missing. A mean over longitudes or latitudes is that of the cells, not weighted by their area; `cell_methods`
(CF conventions §7.3) says what was done, in its comments (§7.3.2) also by which period. A time that stands for several
is the middle of them; their first and last are its bounds, and a note of the answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data import moments
from catalog.data.axes import Axes
from catalog.data.blocks import blocks
from catalog.data.origin import Origin, origin
from catalog.data.packing import unpack
from catalog.data.periods import CYCLES, PERIODS, REDUCED, Groups, grouped
from catalog.errors import BadRequest, CatalogError, NotSubsettable

_WRITTEN = re.compile(r"\s*([a-z]+|p\d{1,3}(?:\.\d+)?)\s*\(([^()]*)\)\s*(?:,|;|$)")
_MOST = 8
_HINT = (
    "write reduce=mean(time), max(longitude,latitude), p90(time), mean(time:month), climatology(time:month) or "
    "anomaly(time:month); functions: mean, min, max, std, sum, count, median, p0 to p100; periods: "
)
_LOST = re.compile(
    r"_FillValue|missing_value|scale_factor|add_offset|_Unsigned|valid_(min|max|range)|actual_range|flag_\w+|"
    r"ancillary_variables|cell_measures|coordinates"
)


@dataclass(frozen=True)
class Reduction:
    """One function over axes; `period` is that of the time axis, empty for all of it."""

    function: str
    axes: tuple[str, ...]
    period: str = ""

    def __str__(self) -> str:
        """Return the reduction as it is written in an address."""
        period = f":{self.period}" if self.period else ""
        return f"{self.function}({','.join(self.axes)}{period})"


def parse(text: str) -> tuple[Reduction, ...]:
    """Read reductions, applied from left to right: `mean(time:month),max(longitude,latitude)`. Raises BadRequest."""
    found: list[Reduction] = []
    at = 0
    while at < len(text):
        match = _WRITTEN.match(text, at)
        if match is None or len(found) == _MOST:
            raise BadRequest(f"reduce={text[:80]!r} cannot be read", hint=_HINT + ", ".join(PERIODS))
        found.append(_one(match[1], match[2], text))
        at = match.end()
    return tuple(found)


def _one(function: str, inside: str, text: str) -> Reduction:
    inside, _, period = (part.strip() for part in inside.partition(":"))
    axes = tuple(part.strip() for part in inside.split(","))
    cyclic = function in {"climatology", "anomaly"}
    wrong = (
        not all(axes)
        or len(set(axes)) < len(axes)
        or ((period or cyclic) and axes != ("time",))
        or (bool(period) and period not in (CYCLES if cyclic else PERIODS))
        or (cyclic and not period)
        or not (cyclic or moments.known(function))
    )
    if wrong:
        raise BadRequest(
            f"reduce={text[:80]!r} cannot be read at {function}({inside[:60]})",
            hint=_HINT + ", ".join(PERIODS),
        )
    return Reduction(function, axes, period)


def cost(reductions: tuple[Reduction, ...], numbers: int) -> tuple[float, int]:
    """Return about how many seconds of one core reductions of so many numbers take, and how many bytes they hold.

    Each is taken to have all numbers, though those after the first mostly have fewer.
    """
    seconds, held = 0.0, 0
    for reduction in reductions:
        function = "mean" if reduction.function in {"climatology", "anomaly"} else reduction.function
        passes = 2 if reduction.function == "anomaly" else 1
        seconds += passes * moments.seconds(function, numbers)
        held = max(held, 8 * numbers if passes > 1 else moments.held_bytes(function, numbers))
    return seconds, held


def reduced(dataset: xr.Dataset, reductions: tuple[Reduction, ...]) -> xr.Dataset:
    """Return a cut dataset after its reductions; all but anomalies are reckoned here, in bounded memory.

    Raises:
        BadRequest: The data have no such axis.
        NotSubsettable: No variable that was asked for lies on it, or the time axis has no dates for a period.
    """
    for reduction in reductions:
        dataset = _reduced(dataset, reduction)
    return _noted(dataset)


def _reduced(dataset: xr.Dataset, reduction: Reduction) -> xr.Dataset:
    known = origin(dataset)
    dimensions = _dimensions(dataset, known.axes, reduction)
    names = [n for n in known.wanted if set(dimensions) & set(map(str, dataset[n].dims))]
    numbers = [n for n in names if dataset[n].dtype.kind in "iuf"]
    if not numbers:
        raise NotSubsettable(f"no number that was asked for lies along {', '.join(reduction.axes)}")
    cyclic = reduction.function in {"climatology", "anomaly"}
    groups = grouped(dataset, known.axes, reduction.period, cyclic=cyclic) if reduction.period else None
    if reduction.function == "anomaly":
        assert groups
        return _anomalies(dataset, numbers, groups, reduction)
    function = "mean" if reduction.function == "climatology" else reduction.function
    comment = _comment(dataset, known.axes, dimensions, reduction)
    made = {}
    for name in numbers:
        variable = dataset[name].variable
        left, values = _reckoned(variable, dimensions, function, groups)
        attributes = _attributes(variable.attrs, reduction, function, comment)
        made[name] = xr.Variable(left, values, attributes, _told(variable, reduction))
    kept = {
        str(name): variable
        for name, variable in dataset.variables.items()
        if name not in names and not set(dimensions) & set(map(str, variable.dims))
    }
    coordinates = groups.coordinates if groups else _middles(dataset, known.axes, dimensions)
    found = xr.Dataset({**kept, **coordinates, **made}, attrs=dict(dataset.attrs))
    return _with_origin(found, dataset, known, made)


def _with_origin(
    found: xr.Dataset, dataset: xr.Dataset, known: Origin, made: Mapping[str, xr.Variable]
) -> xr.Dataset:
    """The result with what it keeps of the whole; `origin` leaves out the axes that are gone."""
    there = {str(name) for name in found.variables if name not in made}
    axes = replace(known.axes, coordinates=known.axes.coordinates | there)
    picks = {d: indices for d, indices in known.picks.items() if d in found.sizes}
    found.encoding = {**dataset.encoding, "origin": Origin(axes, known.wanted, picks)}
    return found


def _dimensions(dataset: xr.Dataset, axes: Axes, reduction: Reduction) -> tuple[str, ...]:
    """The dimensions that a reduction's axes stand for."""
    roles = {
        "longitude": axes.longitude,
        "latitude": axes.latitude,
        "depth": axes.vertical,
        "time": axes.time,
    }
    found: list[str] = []
    for axis in reduction.axes:
        name = roles.get(axis)
        there = tuple(map(str, dataset[name].dims)) if name in dataset.variables else ()
        if not there and axis in dataset.sizes:
            there = (axis,)
        if not there or (len(there) > 1 and axis not in {"longitude", "latitude"}):
            raise BadRequest(
                f"reduce={reduction} names no axis along which the data run: {axis[:60]!r}",
                hint="axes: longitude, latitude, depth, time; dimensions: "
                + ", ".join(map(str, dataset.sizes)),
            )
        if len(there) > 1 and not {"longitude", "latitude"} <= set(reduction.axes):
            raise BadRequest(
                f"reduce={reduction}: longitude and latitude are no axes of their own here",
                hint=f"reduce over both, or over a dimension: {', '.join(there)}",
            )
        found += [d for d in there if d not in found]
    return tuple(found)


def _comment(dataset: xr.Dataset, axes: Axes, dimensions: tuple[str, ...], reduction: Reduction) -> str:
    """What the words of `cell_methods` do not say: the period, and that cells are not weighted by their area."""
    said = []
    if reduction.period:
        cyclic = " of the year" if reduction.function == "climatology" and reduction.period == "month" else ""
        said.append(f"by {reduction.period}{cyclic}")
    there = {
        role: set(map(str, dataset[name].dims)) if name in dataset.variables else set[str]()
        for role, name in (("x", axes.longitude), ("y", axes.latitude), ("t", axes.time))
    }
    level = (there["x"] | there["y"]) - there["t"]
    level &= set(dimensions)
    if level and reduction.function not in {"min", "max", "count"}:
        said.append("of cells, not weighted by area")
    return ", ".join(said)


def _noted(dataset: xr.Dataset) -> xr.Dataset:
    """The result with a note of what its times are, where each is the middle of several."""
    name = origin(dataset).axes.time
    if name not in dataset.variables or REDUCED not in dataset[name].encoding:
        return dataset
    bounds, period = f"{name}_bounds", dataset[name].encoding[REDUCED]
    ends = np.asarray(dataset[bounds].values, np.float64)
    try:
        first, last = ax.clock(dataset, str(name)).instants(np.array([ends.min(), ends.max()]))
    except CatalogError:
        return dataset
    if (ends[..., 0] == ends[..., 1]).all():
        return dataset
    said = f"{name} is the middle of {first} – {last}"
    if period:
        said = (
            f"each {name} is the middle of the first and the last time of its {period} ({bounds}); "
            f"the times run from {first} to {last}"
        )
    found = dataset.copy(deep=False)
    found.encoding = {**dataset.encoding, "notes": (*dataset.encoding.get("notes", ()), said)}
    before = str(found.attrs.get("comment", "")).rstrip("\n")
    found.attrs = {**found.attrs, "comment": f"{before}\n{said}" if before else said}
    return found


def _reckoned(
    variable: xr.Variable, dimensions: tuple[str, ...], function: str, groups: Groups | None
) -> tuple[list[str], npt.NDArray[Any]]:
    """The dimensions and the numbers of a variable after a reduction."""
    names = tuple(map(str, variable.dims))
    axes = tuple(names.index(d) for d in dimensions if d in names)
    exact = unpack(np.empty(0, variable.dtype), variable.attrs).dtype
    labels = groups.labels if groups else np.zeros(variable.shape[axes[0]], np.intp)
    values = moments.reckoned(
        function, _slabs(variable), variable.shape, axes, labels, groups.count if groups else 1
    )
    if function in {"min", "max"} and exact.kind == "f":
        values = values.astype(exact)
    left = [name for axis, name in enumerate(names) if axis not in axes[1:]]
    at = left.index(names[axes[0]])
    if groups:
        left[at] = groups.dimension
    else:
        values, left = values.squeeze(axis=at), left[:at] + left[at + 1 :]
    return left, values


def _told(variable: xr.Variable, reduction: Reduction) -> dict[str, tuple[str, ...]]:
    """The encoding of a reduced variable: `reduced` has its reductions in order, for what must say them."""
    return {"reduced": (*variable.encoding.get("reduced", ()), str(reduction))}


def _slabs(variable: xr.Variable) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[np.float64]]]:
    """The unpacked numbers in blocks, each with its place: a slice a dimension."""
    for place, raw in blocks(variable):
        yield place, unpack(raw, variable.attrs).astype(np.float64)


def _attributes(
    attributes: Mapping[Any, Any], reduction: Reduction, function: str, comment: str = ""
) -> dict[str, Any]:
    found = {str(k): v for k, v in attributes.items() if not _LOST.fullmatch(str(k))}
    if function in {"count", "std", "anomaly"}:
        found.pop("standard_name", None)
    if function == "count":
        found["units"] = "1"
    said = {
        "std": "standard_deviation",
        "min": "minimum",
        "max": "maximum",
        "count": "count",
        "anomaly": "anomaly",
    }
    method = said.get(function, function)
    axes = ": ".join(reduction.axes)
    if method in {"count", "anomaly"} or method.startswith("p"):
        text = f"{axes}: {reduction}" + (f" ({comment})" if comment else "")
        found["comment"] = f"{found['comment']}; {text}" if "comment" in found else text
    else:
        text = f"{axes}: {method}" + (f" (comment: {comment})" if comment else "")
        found["cell_methods"] = f"{found['cell_methods']} {text}" if "cell_methods" in found else text
    return found


def _middles(dataset: xr.Dataset, axes: Axes, dimensions: tuple[str, ...]) -> dict[str, xr.Variable]:
    """The axes that were reduced as scalars: the middle of their range, and the range as bounds (CF §7.1)."""
    found: dict[str, xr.Variable] = {}
    for name in (axes.time, axes.vertical, axes.latitude, axes.longitude):
        if (
            name is None
            or name not in dataset.variables
            or not set(map(str, dataset[name].dims)) <= set(dimensions)
        ):
            continue
        variable = dataset[name].variable
        if not variable.ndim or variable.dtype.kind not in "iuf":
            continue
        bounds = f"{name}_bounds"
        source = dataset[bounds].variable if REDUCED in variable.encoding else variable
        values = unpack(np.asarray(source.values), variable.attrs).astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        if name == axes.longitude:
            values = np.unwrap(values, period=360.0)
        attributes = {str(k): v for k, v in variable.attrs.items() if not _LOST.fullmatch(str(k))}
        attributes["bounds"] = bounds
        middle = (values.min() + values.max()) / 2
        found[name] = xr.Variable((), middle, attributes, {REDUCED: ""})
        found[bounds] = xr.Variable(("bounds",), np.array([values.min(), values.max()]))
    return found


def _anomalies(dataset: xr.Dataset, numbers: list[str], groups: Groups, reduction: Reduction) -> xr.Dataset:
    """Each value less the mean of all values of its month, season or day of the year."""
    found = dataset.copy(deep=False)
    for name in numbers:
        variable = dataset[name].variable
        axis = variable.dims.index(groups.along)
        means = moments.reckoned(
            "mean", _slabs(variable), variable.shape, (axis,), groups.labels, groups.count
        )
        less = np.empty(variable.shape)
        for place, values in _slabs(variable):
            part = means[tuple(slice(None) if at == axis else where for at, where in enumerate(place))]
            less[place] = values - np.take(part, groups.labels[place[axis]], axis)
        attributes = _attributes(variable.attrs, reduction, "anomaly")
        found[name] = xr.Variable(variable.dims, less, attributes, _told(variable, reduction))
    found.encoding = dict(dataset.encoding)
    return found
