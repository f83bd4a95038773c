"""Every how many cells: strides along axes and dimensions, and what they may not break."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.numbering import numbered
from catalog.data.origin import sample_dimensions
from catalog.errors import BadRequest, NotSubsettable

_BARE = ("longitude", "latitude", "time")  # the axes of a stride that names none
_Check = Callable[[Grid, Cut, str, Collection[Any]], None]


def strided(
    grid: Grid, cut: Cut, picks: dict[str, npt.NDArray[np.intp]], check_grid: _Check
) -> dict[str, npt.NDArray[np.intp]]:
    """Return picked indices with a cut's strides.

    Args:
        grid: The data.
        cut: What is asked.
        picks: Indices by dimension.
        check_grid: Refuses to cut one grid of several.

    Raises:
        BadRequest: A stride names no axis of the data, or of a variable asked for.
        NotSubsettable: It would break a mesh or a ragged array, or cut one grid of several.
        TooLarge: More cells are left along a dimension than can be numbered.
    """
    dataset, axes = grid.dataset, grid.axes
    bare = set(_BARE) <= set(cut.stride)
    steps: dict[str, int] = {}
    for axis, step in cut.stride.items():
        dimensions = dimensions_of(dataset, axes, axis)
        if not dimensions and not (bare and axis in _BARE):
            raise BadRequest(
                f"stride names no axis of the data: {axis[:60]!r}",
                hint="axes: longitude, latitude, depth, time; dimensions: "
                + ", ".join(map(str, dataset.sizes)),
            )
        if step > 1 and dimensions:
            check_whole(dataset, axes, dimensions[0])
            if axis in {*_BARE, "depth"}:
                check_grid(grid, cut, axis, dimensions)
            if not bare or axis not in _BARE:
                _check_there(dataset, cut, axis, dimensions)
        steps.update(dict.fromkeys(dimensions, step))
    fewer = {
        d: picks[d][::step] if d in picks else numbered(d, 0, dataset.sizes[d], step)
        for d, step in steps.items()
        if step > 1
    }
    return {**picks, **fewer}


def _check_there(dataset: xr.Dataset, cut: Cut, axis: str, dimensions: Collection[Any]) -> None:
    """Refuse a stride that a variable asked for by name would not heed."""
    for name in cut.variables:
        if (
            name in dataset.variables
            and dataset[name].ndim
            and not set(dataset[name].dims) >= set(dimensions)
        ):
            raise BadRequest(
                f"{name[:60]} does not lie on the axis that stride names: {axis[:60]!r}",
                hint=f"dimensions of {name[:60]}: {', '.join(map(str, dataset[name].dims))}",
            )


def check_whole(dataset: xr.Dataset, axes: ax.Axes, dimension: str) -> None:
    """Refuse indices that would leave a mesh's links or a ragged array's counts pointing at other cells.

    Raises:
        NotSubsettable: They lie along such a dimension.
    """
    samples = sample_dimensions(dataset)
    rows = {
        str(d)
        for v in dataset.variables.values()
        for d in (*v.dims, v.attrs.get("instance_dimension"))
        if {"sample_dimension", "instance_dimension"} & set(v.attrs)
    }
    places = {str(d) for pair in axes.positions for name in pair for d in dataset[name].dims}
    free = {str(d) for name in (axes.time, axes.vertical) if name for d in dataset[name].dims} - places
    if dimension in samples | rows or (axes.geometry == "mesh" and dimension not in free):
        what = "a mesh" if axes.geometry == "mesh" else "a ragged array"
        raise NotSubsettable(
            f"the data are {what}, which a stride along {dimension[:60]} would break",
            hint="ask without it" + (", or for stride=time:2" if axes.geometry == "mesh" else ""),
        )


def dimensions_of(dataset: xr.Dataset, axes: ax.Axes, axis: str) -> tuple[str, ...]:
    """Return the dimension that a stride's axis name stands for; of a scalar, or a name of nothing, none."""
    name = {
        "longitude": axes.longitude,
        "latitude": axes.latitude,
        "depth": axes.vertical,
        "time": axes.time,
    }.get(axis)
    dimensions = tuple(map(str, dataset[name].dims)) if name else ()
    if len(dimensions) > 1 and axis in {"longitude", "latitude"}:
        return dimensions[-1:] if axis == "longitude" else dimensions[-2:-1]
    if len(dimensions) == 1:
        return dimensions
    return (axis,) if axis in dataset.sizes else ()
