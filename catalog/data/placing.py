"""Where a cut is taken: its box, shape, indices and single instants as indices, masks and lists of cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import xarray as xr

from catalog.data import geometry, hyperslabs
from catalog.data.areas import in_area
from catalog.data.cells import Cells, Indices, as_slice
from catalog.data.completing import families
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.meshes import meshes
from catalog.data.picking import Picked, Picks, check_whole, outside, pick
from catalog.data.points import at_points
from catalog.data.snapping import snapped
from catalog.data.striding import dimensions_of
from catalog.data.transects import along
from catalog.errors import BadRequest


@dataclass(frozen=True)
class Placed:
    """A cut's place in a dataset.

    Args:
        picked: Indices by dimension, masks, and what the picking replaces, drops and says.
        cells: Cells to gather from the picked window, one list after another.
        added: Variables that the answer has beside the source's: what was asked for, and how far it is.
        shape: The shape asked for, if one was.
        reduce: What is reckoned of the part, as it was asked (`catalog.data.reductions`).
    """

    picked: Picked
    cells: tuple[Cells, ...] = ()
    added: Mapping[str, xr.Variable] = field(default_factory=dict)
    shape: geometry.Shape | None = None
    reduce: str = ""

    @cached_property
    def slices(self) -> Mapping[str, slice | None]:
        """The picked indices that are slices, by dimension; None for those that are none."""
        return {d: as_slice(indices) for d, indices in self.picked.indices.items()}


def placed(grid: Grid, request: Cut, names: tuple[str, ...], *, masks: bool = True) -> Placed:
    """Return the place of a cut; only coordinates are read.

    Args:
        grid: The data.
        request: What is asked.
        names: The variables that are wanted.
        masks: Work out which cells of a window lie in an area; else the window alone is told, in no time.

    Raises:
        BadRequest, OutsideDomain, NotSubsettable: As `catalog.data.subset.cut`.
        TooLarge: The window of an area, or a line, has too many cells.
    """
    shape = geometry.parse(request.coords) if request.coords else None
    snap = snapped(grid, request, shape)
    fixed = {**_by_number(grid, request, shape), **snap.picks}
    if shape is None or shape.kind == "area":
        picked = pick(grid, snap.request, fixed) if shape is None else in_area(
            grid, shape, snap.request, names, fixed, masks=masks
        )  # fmt: skip
        return Placed(_without(picked, snap.dropped), snap.cells, snap.added, shape, request.reduce)
    if shape.kind == "line":
        found = along(grid, shape, names)
    else:
        found = at_points(grid, shape, names, request.method, named=bool(request.variables))
    if grid.axes.geometry == "mesh":  # its single cells are tied to nothing
        picked = pick(grid, snap.request, fixed)
        picked = replace(picked, indices={**picked.indices, **found.picks})
    else:
        picked = pick(grid, snap.request, {**fixed, **found.picks})
    picked = _without(picked, (*snap.dropped, *found.dropped))
    picked = replace(picked, notes=(*picked.notes, *found.notes)) if found.notes else picked
    picked = replace(picked, replaced={**picked.replaced, **found.replaced}) if found.replaced else picked
    cells = tuple(_within(grid, each, picked.indices) for each in found.cells)
    return Placed(picked, (*snap.cells, *cells), {**snap.added, **found.added}, shape, request.reduce)


def _within(grid: Grid, cells: Cells, indices: Picks) -> Cells:
    """Cells by their places in the picked window; refused where a condition on the same dimension left one out."""
    if indices.keys().isdisjoint(cells.places):
        return cells
    places = dict(cells.places)
    for d in indices.keys() & places.keys():
        if not np.isin(places[d], indices[d]).all():
            raise outside(grid, "no position of the data fulfils every condition at once")
        order = np.argsort(indices[d])
        places[d] = order[np.searchsorted(indices[d], places[d], sorter=order)]
    return replace(cells, places=places)


def _without(picked: Picked, names: tuple[str, ...]) -> Picked:
    return replace(picked, dropped=(*picked.dropped, *names)) if names else picked


def _by_number(grid: Grid, request: Cut, shape: geometry.Shape | None) -> dict[str, Indices]:
    """The indices that a request gives by number; refused where another part of it cuts the same dimension."""
    places = (
        _axes_dimensions(grid, grid.axes.longitude, grid.axes.latitude) if shape or request.bbox else set()
    )
    strides = {axis: set(dimensions_of(grid.dataset, grid.axes, axis)) for axis in request.stride}
    if shape is not None and shape.kind != "area":
        for axis, along_it in strides.items():
            if axis in places & {"longitude", "latitude"} or along_it & places:
                raise BadRequest(
                    f"stride= along {axis[:60]} is not for points and lines", hint="write stride=time:2"
                )
    if not request.indices:
        return {}
    found = hyperslabs.picks(request.indices, {str(d): n for d, n in grid.dataset.sizes.items()})
    said = {
        "time": _axes_dimensions(grid, grid.axes.time) if request.time else set[str](),
        "depth": _axes_dimensions(grid, grid.axes.vertical) if request.depth else set[str](),
        "coords" if shape else "bbox": places,
        "stride": {d for dimensions in strides.values() for d in dimensions},
    }
    for label, dimensions in said.items():
        for d in dimensions & set(found):
            raise BadRequest(f"indices= and {label}= both cut {d[:60]}", hint="write one of them")
    followed = {mesh.cell for mesh in meshes(grid)}
    followed |= {d for d, parent in families(grid).items() for d in (d, parent.dimension)}
    for d in set(found) - followed:
        check_whole(grid.dataset, grid.axes, d)
    return found


def _axes_dimensions(grid: Grid, *names: str | None) -> set[str]:
    """The dimensions of axes, and their roles where they are longitude and latitude."""
    roles = {"longitude": grid.axes.longitude, "latitude": grid.axes.latitude}
    found = {str(d) for name in names if name for d in grid.dataset.variables[name].dims}
    return found | {role for role, name in roles.items() if name and name in names}
