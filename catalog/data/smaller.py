"""A smaller request that would pass, for one that costs too much."""

from collections.abc import Callable, Iterator

import numpy as np

from catalog.data.costs import Cost, Limits
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.picking import pick
from catalog.data.selection import wanted
from catalog.errors import CatalogError, TooLarge
from catalog.record import BBox


def too_large(
    grid: Grid, request: Cut, found: Cost, limits: Limits, place: Callable[[Grid, Cut, bool], Cost]
) -> TooLarge:
    """Return the error of a request beyond the limits; its hint is a smaller request within them, if one is found.

    Args:
        grid: The data.
        request: What was asked.
        found: What it costs.
        limits: What is allowed.
        place: Tells what a request costs; with True, that it is answered at all: an area has cells inside.
    """
    said, size, limit, setting = _beyond(found, limits)
    hint, smaller = f"ask for less, or raise {setting}", {}
    for attempt in _smaller(grid, request, size / limit):
        try:
            passes = place(grid, attempt, False).within(limits)  # noqa: FBT003 - the cheaper question first
            passes = passes and (not attempt.coords or place(grid, attempt, True).within(limits))  # noqa: FBT003
        except CatalogError:
            continue
        if passes:
            smaller = attempt.parameters()
            hint = "this would pass: " + "&".join(f"{key}={value}" for key, value in smaller.items())
            break
    return TooLarge(
        said,
        hint=hint[:2_000],
        details={"limit": limit, "asked": size, "setting": setting, "try": smaller},
    )


def _beyond(found: Cost, limits: Limits) -> tuple[str, float, float, str]:
    """The first limit that a cost is beyond: a sentence, what was asked, what is allowed, and the setting."""
    if found.result_bytes > limits.result_bytes:
        size, limit = found.result_bytes, limits.result_bytes
        return (
            f"the answer would be {size} bytes, and {limit} are allowed", size, limit, "BIENMO_MAX_RESULT_BYTES",
        )  # fmt: skip
    if found.reading_bytes > limits.decoded_bytes:
        size, limit = found.reading_bytes, limits.decoded_bytes
        said = f"reading it would inflate {found.decoded_bytes} bytes, and {limit} are allowed"
        if found.decoded_bytes <= limit:
            said = (
                f"reading it would touch {found.chunks} chunks, which counts as inflating {size} bytes, "
                f"and {limit} are allowed"
            )
        return said, size, limit, "BIENMO_MAX_DECODED_BYTES"
    said = f"the reductions would take about {found.seconds:.0f} seconds, and {limits.seconds:g} are allowed"
    return said, found.seconds, limits.seconds, "BIENMO_READ_SECONDS"


def _smaller(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    """Smaller requests, those nearest to what was asked first: fewer times, one variable, a smaller box, a stride."""
    names = wanted(grid, request)
    for variables in dict.fromkeys((request.variables, names[:1])):
        less = request.model_copy(update={"variables": variables})
        share = ratio if variables == request.variables else ratio / len(names)
        yield from _shorter(grid, less, share)
        yield less
        if grid.axes.geometry == "rectilinear" and not request.coords:
            yield from _narrower(grid, less, share)
        yield from _coarser(grid, less, share, names[0])


def _shorter(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    name = grid.axes.time
    if not name or grid.dataset.variables[name].ndim != 1:
        return
    dimension = str(grid.dataset.variables[name].dims[0])
    try:
        picks = pick(grid, request.model_copy(update={"coords": "", "bbox": None})).indices
        steps = picks.get(dimension, np.arange(grid.dataset.sizes[dimension]))
        for share in (ratio, 2 * ratio, 4 * ratio):
            count = int(len(steps) / share)
            if 0 < count < len(steps):
                ends = grid.clock(name).instants(np.sort(grid.values(name)[steps[[0, count - 1]]]))
                yield request.model_copy(update={"time": tuple(ends)})
    except CatalogError:
        return


def _narrower(grid: Grid, request: Cut, ratio: float) -> Iterator[Cut]:
    assert grid.axes.longitude
    assert grid.axes.latitude
    picks = pick(grid, request.model_copy(update={"time": None, "depth": None})).indices
    x, y = (
        grid.values(name)[picks.get(str(grid.dataset.variables[name].dims[0]), slice(None))]
        for name in (grid.axes.longitude, grid.axes.latitude)
    )
    for share in (ratio, 2 * ratio):
        width, height = (max(1, int(n.size / np.sqrt(share)) - 1) for n in (x, y))
        south, north = sorted((float(y[0]), float(y[height - 1])))
        west, east = float(x[0]), float(x[width - 1])
        yield request.model_copy(update={"bbox": BBox.of(min(west, east), south, max(west, east), north)})


def _coarser(grid: Grid, request: Cut, ratio: float, name: str) -> Iterator[Cut]:
    """Every few cells of the horizontal axes, or of all, or of time where the place is points or a line."""
    known = tuple(map(str, grid.dataset.variables[name].dims))
    lines = ("longitude", "latitude") if grid.axes.longitude else known
    for names in (lines, ("time",) if grid.axes.time else ()):
        if names:
            step = int(np.ceil(ratio ** (1 / len(names)))) + 1
            yield request.model_copy(update={"stride": {**request.stride, **dict.fromkeys(names, step)}})
