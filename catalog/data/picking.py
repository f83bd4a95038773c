"""Which indices along each dimension a cut asks for, and which cells between them stay."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.centres import (
    Centres,
    depth_factor,
    in_box,
    in_depth,
    in_time,
    line,
    near,
    outside,
    way_out,
)
from catalog.data.completing import completed
from catalog.data.cuts import Cut, single_day
from catalog.data.grids import Grid
from catalog.data.positions import Pair, pair_of, pairs_of
from catalog.data.staggered import missed
from catalog.data.striding import check_whole, strided
from catalog.errors import NotSubsettable

__all__ = ["Keeps", "Picked", "Picks", "check_whole", "depth_factor", "line", "outside", "pick"]

Picks = Mapping[str, npt.NDArray[np.intp]]
"""Indices by dimension, in the order of the result; a dimension that is not named is whole."""

Keeps = tuple[tuple[tuple[str, ...], npt.NDArray[np.bool_]], ...]
"""Pairs of dimensions and a mask over the picked window of them: False where a cell becomes missing."""

_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]
_PASSES = 2  # the window of one mask may shrink that of another, once


@dataclass(frozen=True)
class Picked:
    """What a cut asks for.

    Args:
        indices: The source's indices by dimension; a dimension that is not named is whole.
        keeps: Masks in the coordinates of the picked window; data variables over all of a mask's dimensions become
            missing where it is False (`catalog.data.masking`), coordinates stay.
        replaced: Variables that are other ones in the part (links of a mesh, counts of a ragged array), already cut.
        dropped: Variables that the part cannot have.
        notes: English sentences that the answer must say.
    """

    indices: Picks = field(default_factory=dict)
    keeps: Keeps = ()
    replaced: Mapping[str, xr.Variable] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pick(grid: Grid, cut: Cut, fixed: Picks | None = None) -> Picked:
    """Return what a cut asks for; only coordinates are read, and those once.

    Args:
        grid: The data.
        cut: What is asked.
        fixed: Indices along dimensions that were given by number; what follows from them (edges of an axis, samples of
            a ragged array, links of a mesh) is picked with them.

    Raises:
        OutsideDomain: Nothing lies inside; `details["domain"]` says where the data are.
        NotSubsettable: The data have no such axis, or one that cannot be cut by.
        BadRequest: A stride names no axis.
    """
    found, left, notes = _asked(grid, cut)
    lines: dict[str, list[Centres]] = {}
    for centres in found:
        if len(centres.dimensions) == 1:
            lines.setdefault(centres.dimensions[0], []).append(centres)
    picks: dict[str, _Indices] = {}
    for dimension, several in lines.items():
        picks[dimension] = _common(grid, several)
    numbered = _fulfilling(grid, fixed or {}, picks)
    picks |= numbered
    regions = [centres for centres in found if len(centres.dimensions) > 1]
    if regions:
        picks = _windows(grid, regions, picks)
        numbered = {d: picks[d] for d in numbered}
    whole = [d for d, indices in picks.items() if _is_whole(indices, grid.dataset.sizes[d])]
    picks = {d: indices for d, indices in picks.items() if d not in whole}
    if cut.stride:
        picks = strided(grid, cut, picks, check_grid)
    picks |= numbered
    made = completed(grid, picks)
    if not all(indices.size for indices in made.indices.values()):
        raise _none_at_once(grid)
    keeps = tuple(_keeps(grid, regions, made.indices)) if regions else ()
    return Picked(made.indices, keeps, made.replaced, (*made.dropped, *left), (*made.notes, *notes))


def _asked(grid: Grid, cut: Cut) -> tuple[list[Centres], tuple[str, ...], tuple[str, ...]]:
    """The centres that each part of a cut asks for, what is left out, and what is said; refused if there are none."""
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names = cut.variables or grid.keep("data", lambda: grid.axes.data_variables(grid.dataset))
    found: list[Centres] = []
    if cut.bbox:
        boxed = list(in_box(grid, cut.bbox, names))
        away = () if cut.variables or len(boxed) < 2 else _away(grid, boxed, names)  # noqa: PLR2004
        if away and (without := missed(grid, away, names)):
            grids = ", ".join(" and ".join(pair) for pair in away)
            left, notes = (
                without.dropped,
                (without.note(f"no centre of the grid of {grids} lies in the box"),),
            )
            boxed, names = [one for one in boxed if set(one.names).isdisjoint(left)], without.kept
        for centres in boxed:
            if centres.empty:
                centres.check_known(grid)
                first, last = (cut.bbox.west, cut.bbox.east)
                if centres.label == "latitude":
                    first, last = cut.bbox.south, cut.bbox.north
                raise outside(grid, _nothing(centres, boxed) + near(grid, centres, first, last))
        _check_located(grid, names, {d for centres in boxed for d in centres.dimensions})
        found += boxed
    if cut.time:
        found.append(in_time(grid, cut.time))
        if found[-1].empty:
            found[-1].check_known(grid)
            snaps = not cut.method and (cut.time[0] == cut.time[1] or single_day(cut.time))
            raise outside(
                grid, _nothing(found[-1], ()), way_out(grid, found[-1], cut.time, snaps=bool(snaps))
            )
        check_grid(grid, cut, "time", found[-1].dimensions)
    if cut.depth:
        found.append(in_depth(grid, cut.depth))
        if found[-1].empty:
            found[-1].check_known(grid)
            snaps = not cut.method and cut.depth[0] == cut.depth[1]
            said = _nothing(found[-1], ()) + near(grid, found[-1], *cut.depth)
            raise outside(grid, said, way_out(grid, found[-1], cut.depth, snaps=snaps))
        check_grid(grid, cut, "depth", found[-1].dimensions)
    return found, left, notes


def _away(grid: Grid, boxed: Sequence[Centres], names: Collection[str]) -> tuple[Pair, ...]:
    """The pairs of positions, of those that the variables lie on, of which nothing is inside."""
    empty = {name for centres in boxed if centres.empty for name in centres.names}
    return tuple(pair for pair in pairs_of(grid, names) if empty & set(pair)) if empty else ()


def _nothing(centres: Centres, others: Sequence[Centres]) -> str:
    """Say that nothing is inside; of one grid of several, which it is."""
    said = f"no centre of the data lies in the {centres.label} asked for"
    if any(not other.empty and other.label == centres.label for other in others):
        said = f"no centre of the grid of {' and '.join(centres.names)} lies in the {centres.label} asked for"
    return said


def _common(grid: Grid, several: Sequence[Centres]) -> _Indices:
    """The indices of one dimension that fulfil every condition, longitudes sorted."""
    indices, order = several[0].inside, several[0].order
    for centres in several[1:]:
        both = np.isin(indices, centres.inside)
        indices, order = indices[both], None if order is None else order[both]
    if not indices.size:
        raise _none_at_once(grid)
    return indices if order is None else _sorted(indices, order)


def _fulfilling(grid: Grid, fixed: Picks, picks: Picks) -> dict[str, _Indices]:
    """The indices given by number that fulfil the conditions along the same dimension."""
    found = {d: at[np.isin(at, picks[d])] if d in picks else at for d, at in fixed.items()}
    if not all(at.size for at in found.values()):
        raise _none_at_once(grid)
    return found


def _none_at_once(grid: Grid) -> Exception:
    return outside(grid, "no position of the data fulfils every condition at once")


def _is_whole(indices: _Indices, size: int) -> bool:
    return indices.size == size and bool((indices == np.arange(size)).all())


def _windows(grid: Grid, regions: Sequence[Centres], picks: dict[str, _Indices]) -> dict[str, _Indices]:
    """The smallest rectangle of indices that holds every cell inside.

    Grids that share a dimension have one window there, around the cells of both; of box, time and depth the window is
    what they have in common.
    """
    found = dict(picks)
    for label in [centres.label for centres in regions] * _PASSES:
        occupied: dict[str, npt.NDArray[np.bool_]] = {}
        for centres in regions:
            if centres.label != label:
                continue
            inside = _window(grid, centres, found)
            for axis, dimension in enumerate(centres.dimensions):
                others = tuple(other for other in range(inside.ndim) if other != axis)
                there = np.asarray(inside.any(axis=others))
                if not axis and there.any():  # rows without a cell have none in any column
                    at = np.flatnonzero(there)
                    inside = inside[int(at[0]) : int(at[-1]) + 1]
                occupied[dimension] = there | occupied[dimension] if dimension in occupied else there
        for dimension, there in occupied.items():
            at = np.flatnonzero(there)
            if not at.size:
                raise _none_at_once(grid)
            indices = found.get(dimension)
            start, stop = int(at[0]), int(at[-1]) + 1
            found[dimension] = np.arange(start, stop) if indices is None else indices[start:stop]
    return found


def _window(grid: Grid, centres: Centres, picks: Picks) -> npt.NDArray[np.bool_]:
    """A mask in the coordinates of the picked window."""
    if not any(dimension in picks for dimension in centres.dimensions):
        return centres.inside
    sizes = grid.dataset.sizes
    at = [picks[d] if d in picks else np.arange(sizes[d]) for d in centres.dimensions]
    found: npt.NDArray[np.bool_] = centres.inside[np.ix_(*at)]
    return found


def _keeps(grid: Grid, regions: Sequence[Centres], picks: Picks) -> Keeps:
    """The masks of the picked window, one for each group of dimensions; those that leave nothing out are not there."""
    by_dimensions: dict[tuple[str, ...], npt.NDArray[np.bool_]] = {}
    for centres in regions:
        inside = _window(grid, centres, picks)
        known = by_dimensions.get(centres.dimensions)
        by_dimensions[centres.dimensions] = inside if known is None else known & inside
    if not all(mask.any() for mask in by_dimensions.values()):
        raise _none_at_once(grid)
    return tuple((dimensions, mask) for dimensions, mask in by_dimensions.items() if not mask.all())


def _check_located(grid: Grid, names: Collection[str], cut: set[str]) -> None:
    """Refuse a variable that lies on a grid of the data which its own positions do not tell."""
    if len(grid.axes.positions) < 2:  # noqa: PLR2004
        return
    variables = grid.dataset.variables
    others = grid.keep(("others", "longitude"), lambda: _other_dimensions(grid, "longitude"))
    for name in names:
        own = set(map(str, variables[name].dims)) if name in variables else set()
        if own & others and not own & cut and pair_of(grid, name) is None:
            raise NotSubsettable(
                f"{name[:60]} lies on another grid than those that the data are cut by",
                hint="ask for variables of one grid, with variables=",
            )


def check_grid(grid: Grid, cut: Cut, label: str, dimensions: Collection[Any]) -> None:
    """Refuse to cut one grid of several: every wanted variable lies on the axis, or on no axis of its role."""
    others = grid.keep(("others", label), lambda: _other_dimensions(grid, label)) - set(dimensions)
    if not others:
        return
    variables = grid.dataset.variables
    for name in cut.variables or grid.axes.data_variables(grid.dataset):
        there = set(variables[name].dims) if name in variables else set()
        if there & others and not there >= set(dimensions):
            raise NotSubsettable(
                f"{name[:60]} lies on another grid than the {label} that the data are cut by",
                hint="ask for variables of one grid, with variables=; only the grid of "
                f"{grid.axes.longitude or grid.axes.time} is cut",
            )


def _other_dimensions(grid: Grid, label: str) -> frozenset[Any]:
    """The dimensions of the other axes of a role."""
    variables, positions = grid.dataset.variables, grid.axes.positions
    if label in {"longitude", "latitude"}:
        names = {name for pair in positions[1:] for name in pair}
        first = {d for name in positions[0] for d in variables[name].dims} if positions else set()
        return frozenset({d for name in names for d in variables[name].dims} - first)
    lines = {name: v for name, v in variables.items() if v.dims == (name,)}
    if label == "time":
        return frozenset(name for name, v in lines.items() if " since " in str(v.attrs.get("units", "")))
    return frozenset(name for name, v in lines.items() if "positive" in v.attrs or v.attrs.get("axis") == "Z")


def _sorted(indices: _Indices, longitudes: _Floats) -> _Indices:
    """Indices from west to east (or as the source runs), each meridian once."""
    steps = longitudes[1:] - longitudes[:-1]
    if not steps.size or steps.min() > 0 or steps.max() < 0:
        return indices
    _, first = np.unique(longitudes, return_index=True)
    falling = np.median(steps) < 0
    found: _Indices = indices[first[::-1] if falling else first]
    return found
