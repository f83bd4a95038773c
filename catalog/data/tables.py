"""A dataset as a long table: one row a cell, first its time, depth, latitude and longitude, then its variables.

Variables that lack a dimension of the others repeat along it; of a ragged array, what is said of a station, profile or
trajectory repeats along its samples (CF conventions §9.3.3, §9.3.4). A dimension without coordinate has a column of the
source's indices, counted from 0, named `<dimension>_index`. Numbers are unpacked as
`catalog.data.packing` says.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.blocks import rectangles
from catalog.data.origin import origin
from catalog.data.packing import unpack
from catalog.data.plain import words
from catalog.data.ragged import Parent, parents
from catalog.data.slabs import InOrder, Place, Steps, steps_of
from catalog.errors import DataUnreadable, NotSubsettable

_BLOCK_ROWS = 1 << 18
_LOADED_BYTES = 8_000_000
_TEXT_BYTES = 64
_MOST_SPREAD = 4
_IDS = frozenset({"timeseries_id", "profile_id", "trajectory_id"})


@dataclass(frozen=True)
class Coordinate:
    """A column that says where a cell is.

    `values` is flat (C order over `dimensions`), unpacked; of a time axis, `instants` has its canonical
    instants and `datetimes` its datetime64[us] UTC where they fit the usual calendar.
    """

    name: str
    dimensions: tuple[str, ...]
    values: npt.NDArray[Any]
    attributes: Mapping[str, Any]
    instants: tuple[str, ...] | None = None
    datetimes: npt.NDArray[np.datetime64] | None = None


@dataclass(frozen=True)
class Part:
    """Consecutive rows that are a rectangle.

    Args:
        place: Where it lies along each dimension of the rows.
        linked: For each dimension of instances that of its samples, and the instance of each sample in the part.
        raw: The variables' raw values in memory, over dimensions of the rows in their order.
    """

    place: Mapping[str, slice]
    linked: Mapping[str, tuple[str, npt.NDArray[np.intp]]]
    raw: Mapping[str, xr.Variable]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many places it has along each dimension of the rows."""
        return tuple(place.stop - place.start for place in self.place.values())

    def picked(self, values: npt.NDArray[Any], dimensions: Sequence[str]) -> npt.NDArray[Any]:
        """Return what whole values over dimensions of the rows or of instances are here, so that they broadcast."""
        for axis, name in enumerate(dimensions):
            index = self.linked[name][1] if name in self.linked else self.place[name]
            values = values[(slice(None),) * axis + (index,)]
        return self.spread(
            values, [self.linked[name][0] if name in self.linked else name for name in dimensions]
        )

    def spread(self, values: npt.NDArray[Any], dimensions: Sequence[Any]) -> npt.NDArray[Any]:
        """Return an array of the part over some dimensions of the rows, so that it broadcasts to `shape`.

        Its last dimensions, beyond those, are kept.
        """
        rows = list(self.place)
        order = sorted(range(len(dimensions)), key=lambda axis: rows.index(dimensions[axis]))
        values = values.transpose(*order, *range(len(dimensions), values.ndim))
        sizes = [n if d in dimensions else 1 for d, n in zip(self.place, self.shape, strict=True)]
        return values.reshape((*sizes, *values.shape[len(dimensions) :]))


@dataclass(frozen=True)
class Block:
    """Consecutive rows: for each coordinate the places in its values, for each variable its values (NaN: none)."""

    places: Mapping[str, npt.NDArray[np.intp]]
    data: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """The columns of a dataset; `sizes` are the dimensions of its rows, slowest first.

    `links` are the instances that rows lead to: coordinates and variables may lie on their dimensions.
    """

    sizes: Mapping[str, int]
    coordinates: tuple[Coordinate, ...]
    variables: Mapping[str, xr.Variable]
    attributes: Mapping[str, Any]
    links: Mapping[str, Parent] = field(default_factory=dict)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows in blocks; memory is bounded as for `parts`."""
        extents = {**self.sizes, **{name: parent.size for name, parent in self.links.items()}}
        for part in self.parts(_BLOCK_ROWS):
            yield Block(
                places={c.name: _places(c, part, extents) for c in self.coordinates},
                data={
                    name: np.broadcast_to(
                        part.spread(unpack(variable.values, variable.attrs), variable.dims), part.shape
                    ).reshape(-1)
                    for name, variable in part.raw.items()
                },
            )

    def parts(self, rows: int) -> Iterator[Part]:
        """Yield the rows in rectangles of at most `rows`.

        Larger ones are read at a time, of 8 MB, or of several times that where they then are whole chunks.
        """
        width = sum(
            _TEXT_BYTES if v.dtype.kind in "OSUT" else v.dtype.itemsize for v in self.variables.values()
        )
        most = max(1, _LOADED_BYTES // max(1, width))
        kept: dict[str, _Loaded] = {}
        with ExitStack() as files:
            ordered = {n: files.enter_context(InOrder(variable)) for n, variable in self.variables.items()}
            for slab in rectangles(tuple(self.sizes.values()), most, self._steps()):
                start = dict(zip(self.sizes, slab, strict=True))
                start |= {name: _range(found) for name, (_, found) in self._linked(start).items()}
                for name, variable in self.variables.items():
                    wanted = {str(d): start[str(d)] for d in variable.dims}
                    if name not in kept or kept[name].place != wanted:
                        kept.pop(name, None)  # its memory, before more is taken
                        kept[name] = _Loaded.of(ordered[name], variable, wanted, self.sizes)
                yield from self._within(slab, rows, kept)

    def _within(self, slab: Place, rows: int, kept: Mapping[str, "_Loaded"]) -> Iterator[Part]:
        """The rectangles of a slab that is in memory."""
        begins = tuple(side.start for side in slab)
        lengths = tuple(side.stop - side.start for side in slab)
        for sides in rectangles(lengths, rows, start=begins):
            place = dict(zip(self.sizes, sides, strict=True))
            linked = self._linked(place)
            yield Part(place, linked, {n: kept[n].within(place, linked) for n in self.variables})

    def _linked(self, place: Mapping[str, slice]) -> dict[str, tuple[str, npt.NDArray[np.intp]]]:
        """For each dimension of instances that of the rows, and the instance of each of these rows."""
        found: dict[str, tuple[str, npt.NDArray[np.intp]]] = {}
        for name, parent in self.links.items():
            if parent.dimension in found:
                row, through = found[parent.dimension]
                found[name] = row, parent.of[through]
            else:
                found[name] = parent.dimension, parent.of[place[parent.dimension]]
        return found

    def _steps(self) -> Steps:
        """Along each dimension of the rows, the longest chunk of the variables, and how many rows the first has."""
        known = [
            dict(zip(map(str, variable.dims), steps, strict=True))
            for variable in self.variables.values()
            if (steps := steps_of(variable))
        ]
        return tuple(max((steps.get(d, (1, 1)) for steps in known), default=(1, 1)) for d in self.sizes)


@dataclass(frozen=True)
class _Loaded:
    """A part of a variable in memory: where it lies along each of its dimensions; texts are str."""

    place: Mapping[str, slice]
    variable: xr.Variable

    @classmethod
    def of(
        cls, ordered: InOrder, variable: xr.Variable, place: Mapping[str, slice], sizes: Mapping[str, int]
    ) -> "_Loaded":
        values = ordered.read(tuple(place.values()))
        if values.dtype.kind in "OSUT":
            flat = [words("" if item is None else item) for item in values.ravel()]
            values = np.array(flat, object).reshape(values.shape)
        order = [d for d in sizes if d in variable.dims]
        found = xr.Variable(variable.dims, values, variable.attrs)
        return cls(place, found.transpose(*order) if len(order) == variable.ndim else found)

    def within(
        self, place: Mapping[str, slice], linked: Mapping[str, tuple[str, npt.NDArray[np.intp]]]
    ) -> xr.Variable:
        values, dimensions = self.variable.values, []
        for axis, name in enumerate(map(str, self.variable.dims)):
            first = self.place[name].start
            row, index = linked.get(name, (name, None))
            side = (
                slice(place[name].start - first, place[name].stop - first) if index is None else index - first
            )
            values = values[(slice(None),) * axis + (side,)]
            dimensions.append(row)
        return xr.Variable(dimensions, values, self.variable.attrs, fastpath=True)


def _range(indices: npt.NDArray[np.intp]) -> slice:
    """The shortest slice with all of these indices."""
    return slice(int(indices.min()), int(indices.max()) + 1)


def lay_out(dataset: xr.Dataset) -> Table:
    """Return the table of an undecoded dataset; only coordinates are read.

    Raises:
        NotSubsettable: The variables share too few dimensions to stand in one table.
    """
    known = origin(dataset)
    axes = known.axes
    names = [
        n
        for n in known.wanted
        if dataset.variables[n].dtype.kind in "iufbOSUT" and n not in _axis_names(axes)
    ]
    variables = {name: dataset.variables[name] for name in names if dataset.variables[name].dims != (name,)}
    shown = variables or {n: dataset.variables[n] for n in known.wanted or _axis_names(axes)}
    _check_rows(shown)
    sizes = _sizes(dataset, axes, shown)
    links = _linked(parents(dataset), sizes)
    sizes = {d: n for d, n in sizes.items() if d not in links}
    rows = int(np.prod(list(sizes.values()), dtype=object))
    largest = max((variable.size for variable in shown.values()), default=1)
    if rows > _MOST_SPREAD * max(1, largest) or len(_grids(dataset, axes, shown)) > 1:
        raise NotSubsettable(
            "the variables lie on different dimensions, and do not fit in one table",
            hint="ask for variables of the same dimensions, with variables=, or for NetCDF",
            details={"dimensions": {name: list(map(str, v.dims)) for name, v in variables.items()}},
        )
    coordinates = tuple(
        _coordinate(dataset, axes, name)
        for name in _coordinate_names(dataset, axes, {*sizes, *links}, variables)
    )
    covered = {d for coordinate in coordinates for d in coordinate.dimensions}
    taken = {*variables, *(coordinate.name for coordinate in coordinates)}
    counted = tuple(
        Coordinate(_index_name(d, taken), (d,), known.picks.get(d, np.arange(n)), {})
        for d, n in sizes.items()
        if d not in covered
    )
    return Table(sizes, (*counted, *coordinates), variables, dataset.attrs, links)


def _linked(links: Mapping[str, Parent], there: Collection[str]) -> dict[str, Parent]:
    """The instances that the rows' samples lead to, each after the dimension that leads to it."""
    known, found = set(there), dict[str, Parent]()
    while more := {n: p for n, p in links.items() if p.dimension in known and n not in found}:
        found |= more
        known |= set(more)
    return found


def _index_name(dimension: str, taken: Collection[str]) -> str:
    """The name of a column of the source's indices along a dimension without coordinate."""
    name = f"{dimension}_index"
    while name in taken:
        name += "_"
    return name


def _check_rows(shown: Mapping[str, xr.Variable]) -> None:
    """Refuse what has no rows."""
    empty = [name for name, variable in shown.items() if not variable.size]
    if empty:
        full = [name for name in shown if name not in empty]
        raise NotSubsettable(
            f"a table of {', '.join(empty)[:300]} has no row: a dimension has no cell",
            hint=f"ask for others: variables={','.join(full)}"[:2_000] if full else "ask for NetCDF",
        )


def _grids(dataset: xr.Dataset, axes: Axes, variables: Mapping[str, xr.Variable]) -> set[frozenset[Hashable]]:
    """The dimensions of the positions that variables lie on: nodes and faces of a mesh are two, and make no rows."""
    known = dataset.variables
    pairs = [pair for pair in axes.positions if set(pair) <= set(known)]
    grids = {frozenset(d for name in pair for d in known[name].dims) for pair in pairs} - {frozenset()}
    fitting = [[grid for grid in grids if grid <= set(v.dims)] for v in variables.values()]
    return {max(each, key=len) for each in fitting if each}


def _axis_names(axes: Axes) -> list[str]:
    return [n for n in (axes.time, axes.vertical, axes.latitude, axes.longitude) if n]


def _sizes(dataset: xr.Dataset, axes: Axes, variables: Mapping[str, xr.Variable]) -> dict[str, int]:
    """The dimensions of the rows: those of time, depth, latitude, longitude, others before them in their order."""
    there = dict.fromkeys(str(d) for variable in variables.values() for d in variable.dims)
    placed = dict.fromkeys(
        str(d) for name in _axis_names(axes) for d in dataset.variables[name].dims if d in there
    )
    order = [*(d for d in there if d not in placed), *placed]
    return {d: int(dataset.sizes[d]) for d in order}


def _coordinate_names(
    dataset: xr.Dataset, axes: Axes, dimensions: Collection[str], variables: Mapping[str, xr.Variable]
) -> list[str]:
    """The axes, then other coordinates along the rows and ids of instances; no bounds, mappings or topologies."""
    said = " ".join(str(v.attrs.get("coordinates", "")) for v in variables.values()).split()
    first = _axis_names(axes)
    said += _own_positions(dataset, axes, dimensions)
    others = [
        str(name)
        for name, variable in dataset.variables.items()
        if name in axes.coordinates
        and name not in first
        and (variable.dims == (name,) or name in said or variable.attrs.get("cf_role") in _IDS)
    ]
    return [
        n
        for n in (*first, *others)
        if n not in variables and set(dataset.variables[n].dims) <= set(dimensions)
    ]


def _own_positions(dataset: xr.Dataset, axes: Axes, dimensions: Collection[str]) -> tuple[str, ...]:
    """The longitude and latitude of rows that the axes do not place: nodes of a mesh, sides of staggered cells."""
    there, known = set(dimensions), dataset.variables
    pairs = (pair for pair in axes.positions if all(n in known and set(known[n].dims) <= there for n in pair))
    return next(pairs, ())


def _coordinate(dataset: xr.Dataset, axes: Axes, name: str) -> Coordinate:
    variable = dataset.variables[name]
    dimensions = tuple(map(str, variable.dims))
    raw = np.asarray(variable.values).ravel()
    if raw.dtype.kind in "OSUT":
        return Coordinate(name, dimensions, np.array([words(v) for v in raw], object), variable.attrs)
    numbers = unpack(raw, variable.attrs)
    if name != axes.time:
        return Coordinate(name, dimensions, numbers, variable.attrs)
    try:
        clock = ax.clock(dataset, name)
        values = ax.values(variable).ravel()
        return Coordinate(
            name, dimensions, numbers, variable.attrs, tuple(clock.instants(values)), clock.datetimes(values)
        )
    except DataUnreadable:
        return Coordinate(name, dimensions, numbers, variable.attrs)


def _places(coordinate: Coordinate, part: Part, extents: Mapping[str, int]) -> npt.NDArray[np.intp]:
    """The places in a coordinate's flat values, one a row."""
    found = np.zeros((1,) * len(part.place), np.intp)
    for dimension in coordinate.dimensions:
        here = part.picked(np.arange(extents[dimension]), (dimension,))
        found = found * extents[dimension] + here
    return np.broadcast_to(found, part.shape).reshape(-1)
