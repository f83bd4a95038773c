"""Cutting a dataset: what a cut costs, and the part it asks for, values still packed as in the source."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.coverage import box
from catalog.data.cuts import Cut, parse
from catalog.data.grids import Grid
from catalog.data.origin import Origin, sample_dimensions
from catalog.data.packing import decoded_itemsize
from catalog.data.picking import Picks, pick
from catalog.errors import BadRequest, CatalogError, DataUnreadable, NotSubsettable, TooLarge
from catalog.instant import now
from catalog.record import BBox, Model

__all__ = ["Cost", "Cut", "Limits", "cost", "cut", "parse"]

_MOST_RUNS = 4
_HALF = 180.0
_EDGES = ("Westernmost_Easting", "Easternmost_Easting", "Southernmost_Northing", "Northernmost_Northing")
_RESOLUTION = re.compile(r"(geospatial_\w+|time_coverage)_resolution")
_COMPANIONS = ("grid_mapping", "ancillary_variables", "coordinates", "formula_terms", "bounds", "climatology")


class Limits(Model):
    """What one cut may cost: bytes of its unpacked result, and bytes of chunks inflated for it."""

    result_bytes: int
    decoded_bytes: int


@dataclass(frozen=True)
class Cost:
    """What a cut costs: cells of data, bytes of the unpacked result, bytes of chunks inflated for it."""

    cells: int
    result_bytes: int
    decoded_bytes: int


def cost(dataset: xr.Dataset | Grid, request: Cut) -> Cost:
    """Return what a cut costs; nothing but coordinates is read. Raises as `cut`."""
    grid = Grid.of(dataset)
    return _cost(grid.dataset, grid.axes, request, pick(grid, request).indices)


def cut(source: xr.Dataset | Grid, request: Cut, record_id: str, limits: Limits) -> xr.Dataset:
    """Return the part that a cut asks for.

    The dataset is undecoded and lazy (`catalog.data.opening.opened`), and so is the result, but for boxes
    across the source's seam of longitudes and for scattered points, which are read here. Cells are inside
    where their centre lies in the closed box; latitudes keep the source's order, longitudes the source's
    values, from west to east. Attributes are the source's, with a line in `history`.

    Raises:
        BadRequest: There is no such variable or axis.
        OutsideDomain: Nothing lies inside.
        NotSubsettable: The data cannot be cut in this way.
        TooLarge: It costs more than the limits; the hint is a smaller request that does not.
    """
    grid = Grid.of(source)
    dataset, axes = grid.dataset, grid.axes
    picks = pick(grid, request).indices
    asked = _cost(dataset, axes, request, picks)
    for cost_, limit, setting in (
        (asked.result_bytes, limits.result_bytes, "BIENMO_MAX_RESULT_BYTES"),
        (asked.decoded_bytes, limits.decoded_bytes, "BIENMO_MAX_DECODED_BYTES"),
    ):
        if cost_ > limit:
            raise _too_large(grid, request, limits, (cost_, limit, setting))
    wanted, without = _numbers(dataset, axes, request)
    part = dataset[[name for name in _kept(dataset, axes, wanted) if not _is_nested(dataset[name].variable)]]
    for dimension, indices in picks.items():
        if dimension in part.sizes:
            part = _taken(part, dimension, indices)
    found = _attributed(part, axes, request, _line(request, record_id, without), picks)
    found.encoding = {**dataset.encoding, "origin": Origin(axes, wanted, picks)}
    return found


def _line(request: Cut, record_id: str, without: tuple[str, ...]) -> str:
    """What is added to the history."""
    asked = "&".join(f"{key}={value}" for key, value in request.parameters().items())
    said = f"; without {', '.join(without)}, which cannot be cut" if without else ""
    return f"{now()} Bien Mo: cut from {record_id}{' with ' if asked else ''}{asked}{said}"


def _is_cuttable(variable: xr.Variable) -> bool:
    """Tell whether a variable is an array of numbers or text, and has no dimension twice."""
    return len(set(variable.dims)) == variable.ndim and variable.dtype.kind in "iufbOSUT"


def _is_nested(variable: xr.Variable) -> bool:
    """Tell whether cells are lists of varying length (NetCDF-4 vlen): xarray shows the type of what is in the lists.

    Only a cell tells, and one is read where that inflates no chunk, because such variables have no filters.
    """
    if variable.dtype.kind not in "iuf" or variable.encoding.get("zlib") is not False or not variable.size:
        return False
    if any(variable.encoding.get(name) for name in ("shuffle", "szip", "zstd", "bzip2", "blosc")):
        return False
    try:
        cell = np.asarray(variable[(slice(0, 1),) * variable.ndim].values)
    except (TypeError, ValueError):
        return True
    return cell.dtype.kind == "O" or cell.size != 1


def _numbers(dataset: xr.Dataset, axes: Axes, request: Cut) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The wanted variables that can be cut, and the data variables that cannot."""
    wanted = _wanted(dataset, axes, request)
    nested = {name for name in wanted if _is_nested(dataset[name].variable)}
    if nested and (request.variables or nested == set(wanted)):
        raise _uncuttable(min(nested))
    asked = request.variables or axes.data_variables(dataset)
    kept = tuple(name for name in wanted if name not in nested)
    return kept, tuple(name for name in asked if name not in kept)


def _uncuttable(name: str) -> NotSubsettable:
    return NotSubsettable(
        f"{name[:60]} cannot be cut: it is no array of numbers or text, or has one dimension twice",
        hint="ask for other variables, with variables=",
    )


def _wanted(dataset: xr.Dataset, axes: Axes, request: Cut) -> tuple[str, ...]:
    there = tuple(n for n in axes.data_variables(dataset) if _is_cuttable(dataset[n].variable))
    unknown = [name for name in request.variables if name not in dataset.variables]
    if unknown:
        raise BadRequest(
            f"there is no variable {unknown[0][:60]!r}", hint=f"variables: {', '.join(there)}"[:2_000]
        )
    for name in request.variables:
        if not _is_cuttable(dataset[name].variable):
            raise _uncuttable(name)
    if not there and not request.variables:
        raise NotSubsettable("the data have no variable that can be cut")
    return request.variables or there


def _kept(dataset: xr.Dataset, axes: Axes, wanted: tuple[str, ...]) -> list[str]:
    """The wanted variables and what describes them, in the file's order."""
    dimensions = {d for name in wanted for d in dataset[name].dims}
    names = set(wanted)
    for name in wanted:
        names |= _companions(dataset, name, dimensions)
    whole = axes.geometry == "mesh" or bool(sample_dimensions(dataset))
    for name in axes.coordinates:
        if whole or set(dataset[name].dims) <= dimensions:
            names.add(name)
    for name in tuple(names):
        for key in ("bounds", "climatology", "edges"):
            names |= {str(dataset[name].attrs.get(key, ""))} & set(map(str, dataset.variables))
    return [str(n) for n in dataset.variables if n in names and _is_cuttable(dataset[n].variable)]


def _companions(dataset: xr.Dataset, name: str, dimensions: set[Any]) -> set[str]:
    """What the attributes of a variable name: coordinates whatever their dimensions, others along its own."""

    def named(keys: Iterable[str]) -> set[str]:
        words = " ".join(str(dataset[name].attrs.get(key, "")) for key in keys).replace(":", " ").split()
        return {word for word in words if word in dataset.variables}

    along = {word for word in named(_COMPANIONS) if set(dataset[word].dims) <= dimensions}
    return along | named(("coordinates",))


def _cost(dataset: xr.Dataset, axes: Axes, request: Cut, picks: Picks) -> Cost:
    wanted = _wanted(dataset, axes, request)
    cells = result = decoded = 0
    for name in _kept(dataset, axes, wanted):
        variable = dataset[name].variable
        taken = _product(len(picks[str(d)]) if d in picks else n for d, n in variable.sizes.items())
        cells += taken if name in wanted else 0
        result += taken * decoded_itemsize(variable.dtype, variable.attrs)
        decoded += _inflated(variable, picks)
    return Cost(cells, result, decoded)


def _inflated(variable: xr.Variable, picks: Picks) -> int:
    """Bytes of all chunks of a variable that the picks touch."""
    chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    sizes = []
    for axis, (dimension, size) in enumerate(variable.sizes.items()):
        indices = picks.get(str(dimension))
        chunk = int(chunks[axis]) if chunks and len(chunks) == variable.ndim else 1
        touched = -(-size // chunk) if indices is None else np.unique(indices // chunk).size
        sizes.append(touched * chunk)
    return _product(sizes) * int(variable.dtype.itemsize)


def _product(numbers: Iterable[int]) -> int:
    total = 1
    for number in numbers:
        total *= int(number)
    return total


def _taken(part: xr.Dataset, dimension: str, indices: npt.NDArray[np.intp]) -> xr.Dataset:
    """The part at the indices: by slices, which read only what they need, or read and then picked from."""
    steps = np.diff(indices)
    usual = int(np.bincount(steps[steps > 0]).argmax()) if np.any(steps > 0) else 1
    runs = np.split(indices, np.flatnonzero(steps != usual) + 1)
    if len(runs) > _MOST_RUNS:
        first, last = int(indices.min()), int(indices.max())
        loaded = part.isel({dimension: slice(first, last + 1)}).load()
        return loaded.isel({dimension: indices - first})
    pieces = [part.isel({dimension: slice(int(run[0]), int(run[-1]) + 1, usual)}) for run in runs]
    if len(pieces) == 1:
        return pieces[0]
    return xr.concat(
        pieces,
        dim=dimension,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )


def _attributed(part: xr.Dataset, axes: Axes, request: Cut, line: str, picks: Picks) -> xr.Dataset:
    """The part with a line in its history, and without what was only true of the whole."""
    before = str(part.attrs.get("history", "")).rstrip("\n")
    attributes: dict[str, Any] = {**part.attrs, "history": f"{before}\n{line}" if before else line}
    try:
        attributes |= {k: v for k, v in _extent(part, axes).items() if k in attributes}
    except DataUnreadable:
        said = ("geospatial_", "time_coverage_", *_EDGES)
        attributes = {k: v for k, v in attributes.items() if not k.startswith(said)}
    gone = ("geospatial_bounds", "time_coverage_duration") if picks else ()
    attributes = {
        k: v
        for k, v in attributes.items()
        if k not in gone and not (request.stride and _RESOLUTION.fullmatch(k))
    }
    found = part.copy(deep=False)
    found.attrs = attributes
    for key, variable in found.variables.items():
        if "actual_range" in variable.attrs and any(str(d) in picks for d in variable.dims):
            found[key].attrs = {k: v for k, v in variable.attrs.items() if k != "actual_range"}
    return found


def _extent(part: xr.Dataset, axes: Axes) -> dict[str, Any]:
    """The attributes of where and when the part is: ACDD's, and those of edges that ERDDAP writes."""
    found: dict[str, Any] = {}
    for name, key in ((axes.longitude, "lon"), (axes.latitude, "lat"), (axes.vertical, "vertical")):
        if name in part.variables:
            values = ax.values(part[name].variable)
            if np.isfinite(values).any():
                first, last = _sides(values) if key == "lon" else (np.nanmin(values), np.nanmax(values))
                found[f"geospatial_{key}_min"] = float(first)
                found[f"geospatial_{key}_max"] = float(last)
    for edge, key in zip(_EDGES, ("lon_min", "lon_max", "lat_min", "lat_max"), strict=True):
        if f"geospatial_{key}" in found:
            found[edge] = found[f"geospatial_{key}"]
    if axes.time and axes.time in part.variables:
        values = ax.values(part[axes.time].variable)
        if np.isfinite(values).any():
            ends = ax.clock(part, axes.time).instants(np.array([np.nanmin(values), np.nanmax(values)]))
            found |= {"time_coverage_start": ends[0], "time_coverage_end": ends[1]}
    return found


def _sides(longitudes: npt.NDArray[np.float64]) -> tuple[float, float]:
    """West and east of longitudes as they are written; west is the larger where they run across their seam."""
    steps = np.diff(longitudes) if longitudes.ndim == 1 else np.empty(0)
    if np.sum(steps < 0) == 1 and np.sum(steps < -_HALF) == 1:
        return float(longitudes[0]), float(longitudes[-1])
    if np.sum(steps > 0) == 1 and np.sum(steps > _HALF) == 1:
        return float(longitudes[-1]), float(longitudes[0])
    west, east = float(np.nanmin(longitudes)), float(np.nanmax(longitudes))
    around = box(longitudes, np.zeros(1)) if east - west > _HALF else None
    return (around.west, around.east) if around and around.west > around.east else (west, east)


def _too_large(grid: Grid, request: Cut, limits: Limits, asked: tuple[int, int, str]) -> TooLarge:
    size, limit, setting = asked
    hint, smaller = f"ask for less, or raise {setting}", {}
    for attempt in _smaller(grid, request, size / limit):
        try:
            found = _cost(grid.dataset, grid.axes, attempt, pick(grid, attempt).indices)
        except CatalogError:
            continue
        if found.result_bytes <= limits.result_bytes and found.decoded_bytes <= limits.decoded_bytes:
            smaller = attempt.parameters()
            hint = "this would pass: " + "&".join(f"{key}={value}" for key, value in smaller.items())
            break
    what = "the answer would be" if setting == "BIENMO_MAX_RESULT_BYTES" else "reading it would inflate"
    return TooLarge(
        f"{what} {size} bytes, and {limit} are allowed",
        hint=hint,
        details={"limit": limit, "asked": size, "setting": setting, "try": smaller},
    )


def _smaller(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    """Smaller requests, those nearest to what was asked first: fewer times, one variable, a smaller box, a stride."""
    dataset, axes = grid.dataset, grid.axes
    wanted = _wanted(dataset, axes, request)
    for variables in dict.fromkeys((request.variables, wanted[:1])):
        less = request.model_copy(update={"variables": variables})
        share = ratio if variables == request.variables else ratio / len(wanted)
        if axes.time and dataset[axes.time].ndim == 1:
            yield from _shorter(grid, less, share)
        yield less
        if axes.geometry == "rectilinear":
            yield from _narrower(grid, less, share)
        names = ("longitude", "latitude") if axes.longitude else tuple(map(str, dataset[wanted[0]].dims))
        step = int(np.ceil(share ** (1 / max(1, len(names))))) + 1
        yield less.model_copy(update={"stride": {**less.stride, **dict.fromkeys(names, step)}})


def _shorter(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    dataset, axes = grid.dataset, grid.axes
    assert axes.time
    try:
        picks = pick(grid, request).indices
        dimension = str(dataset[axes.time].dims[0])
        steps = picks.get(dimension, np.arange(dataset.sizes[dimension]))
        for share in (ratio, 2 * ratio):
            count = int(len(steps) / share)
            if 0 < count < len(steps):
                values = ax.values(dataset[axes.time].variable)[steps[[0, count - 1]]]
                first, last = ax.clock(dataset, axes.time).instants(values)
                yield request.model_copy(update={"time": (first, last)})
    except CatalogError:
        return


def _narrower(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    dataset, axes = grid.dataset, grid.axes
    assert axes.longitude
    assert axes.latitude
    x, y = (ax.values(dataset[name].variable) for name in (axes.longitude, axes.latitude))
    picks = pick(grid, request).indices
    x = x[picks.get(str(dataset[axes.longitude].dims[0]), slice(None))]
    y = y[picks.get(str(dataset[axes.latitude].dims[0]), slice(None))]
    for share in (ratio, 2 * ratio):
        width, height = (max(1, int(n.size / np.sqrt(share)) - 1) for n in (x, y))
        south, north = sorted((float(y[0]), float(y[height - 1])))
        west, east = float(x[0]), float(x[width - 1])
        yield request.model_copy(update={"bbox": BBox.of(min(west, east), south, max(west, east), north)})
