"""A dataset as a sheet: one row a sample, or a cell of a grid, with all that is said of its station or profile.

The columns lie on the dimensions that most coordinates share; variables on others (Argo's history) are not in it.
Conditions on coordinates of one dimension, and on what is said of the instances of a ragged array, choose the indices
that are read. Cells that only fill an incomplete multidimensional array (CF §9.3.2), those after the last one that has
a time or depth, are no rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import xarray as xr

from catalog.data import columns
from catalog.data.axes import Axes
from catalog.data.blocks import chunks_of
from catalog.data.conditions import Condition
from catalog.data.grids import Grid
from catalog.data.origin import Origin
from catalog.data.packing import unpack
from catalog.data.plain import plain_attributes
from catalog.data.ragged import Parent, parents
from catalog.data.tables import Coordinate, Table, lay_out
from catalog.errors import NotSubsettable

_Bools = npt.NDArray[np.bool_]
_TEXT_BYTES = 16


class Sampled:
    """The sheet (`catalog.data.tabular.Sheet`) of an undecoded dataset; only coordinates are read to make it.

    Raises:
        NotSubsettable: No variables stand in one table.
    """

    def __init__(self, dataset: xr.Dataset | Grid) -> None:
        grid = Grid.of(dataset)
        names, scalars = _chosen(grid.dataset, grid.axes)
        part = grid.dataset.copy(deep=False)
        part.encoding["origin"] = Origin(grid.axes, (*names, *scalars))
        self._table = lay_out(part)
        self._scalars = frozenset(scalars)
        self._axes = grid.axes

    @property
    def rows(self) -> int | None:
        """How many rows there are, those that only fill included."""
        return int(np.prod(list(self._table.sizes.values()), dtype=object))

    @property
    def default(self) -> tuple[str, ...]:
        """All columns but texts and numbers that are the same in every row."""
        return tuple(name for name in self.schema.names if name not in self._scalars)

    @cached_property
    def schema(self) -> Any:
        """Coordinates first, then variables."""
        fields = [_coordinate_field(c) for c in self._table.coordinates]
        fields += [_variable_field(name, v) for name, v in self._table.variables.items()]
        said = orjson.dumps(plain_attributes(self._table.attributes))
        return pa.schema(fields, {b"attributes": said})

    def cost(self, names: Sequence[str], where: Sequence[Condition]) -> int:
        """Return the bytes of the chunks that are inflated; of variables without chunks, of the cells that are read."""
        picks = _picks(self._table, where)
        return sum(_inflated(v, picks) for name, v in self._table.variables.items() if name in names)

    def batches(self, names: Sequence[str], where: Sequence[Condition]) -> Iterator[Any]:
        """Yield the rows of the indices that the conditions on coordinates leave; as `Sheet.batches`."""
        table = _picked(self._table, _picks(self._table, where))
        if not all(table.sizes.values()):
            return
        filled = [c.name for c in table.coordinates if self._has_filling(table, c)]
        table = replace(
            table,
            coordinates=tuple(c for c in table.coordinates if c.name in names or c.name in filled),
            variables={name: v for name, v in table.variables.items() if name in names},
        )
        known = {c.name: _column(c) for c in table.coordinates}
        real = [(c.name, _real(table, c)) for c in table.coordinates if c.name in filled]
        schema = pa.schema([self.schema.field(name) for name in names])
        for block in table.blocks():
            arrays = [
                known[name].take(pa.array(block.places[name]))
                if name in known
                else _values(block.data[name], self.schema.field(name))
                for name in names
            ]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            if real:
                keep = np.logical_or.reduce([there[block.places[name]] for name, there in real])
                batch = batch if keep.all() else batch.filter(pa.array(keep))
            yield batch

    def _has_filling(self, table: Table, coordinate: Coordinate) -> bool:
        """Tell whether a time or depth of its own for every row may be missing where the array is only filled."""
        placed = coordinate.name in {self._axes.time, self._axes.vertical}
        return placed and len(coordinate.dimensions) > 1 and set(coordinate.dimensions) >= set(table.sizes)


def _chosen(dataset: xr.Dataset, axes: Axes) -> tuple[list[str], list[str]]:
    """The variables of the rows' dimensions, and those without dimension.

    The dimensions are those of the variable that most axes lie along; then of the most variables; then the largest.
    """
    links = parents(dataset)
    kept = [
        str(name)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "iufbOSUT"
        and variable.size
        and not {"sample_dimension", "instance_dimension"} & set(variable.attrs)
        and (name in (data := set(axes.data_variables(dataset))) or (not data and variable.ndim))
    ]
    reach = {name: _reached(dataset[name].dims, links) for name in kept}
    placed = [set(dataset[n].dims) for n in (axes.longitude, axes.latitude, axes.vertical, axes.time) if n]
    if not kept:
        raise NotSubsettable("the data have no variable that stands in a table")

    def worth(name: str) -> tuple[int, int, int]:
        return (
            sum(dimensions <= reach[name] for dimensions in placed),
            sum(reach[other] <= reach[name] for other in kept),
            dataset[name].size,
        )

    best = reach[max(kept, key=worth)]
    names = [name for name in kept if dataset[name].ndim and reach[name] <= best]
    return names, [name for name in kept if not dataset[name].ndim]


def _reached(dimensions: Sequence[Any], links: Mapping[str, Parent]) -> set[str]:
    """Dimensions, and those of the instances that they lead to."""
    found = {str(dimension) for dimension in dimensions}
    while more := {name for name, parent in links.items() if parent.dimension in found} - found:
        found |= more
    return found


def _picks(table: Table, where: Sequence[Condition]) -> dict[str, npt.NDArray[np.intp]]:
    """The indices along each dimension of the rows that conditions on coordinates of one dimension leave."""
    keeps: dict[str, _Bools] = {}
    for coordinate in table.coordinates:
        tests = [condition for condition in where if condition.column == coordinate.name]
        if len(coordinate.dimensions) != 1 or not tests:
            continue
        values = _column(coordinate)
        for test in tests:
            keep = test.mask(values).to_numpy(zero_copy_only=False)
            dimension = coordinate.dimensions[0]
            while dimension in table.links:
                parent = table.links[dimension]
                keep, dimension = keep[parent.of], parent.dimension
            keeps[dimension] = keeps[dimension] & keep if dimension in keeps else keep
    return {dimension: np.flatnonzero(keep) for dimension, keep in keeps.items() if not keep.all()}


def _picked(table: Table, picks: Mapping[str, npt.NDArray[np.intp]]) -> Table:
    """The table of these indices along dimensions of its rows; nothing is read."""
    if not picks:
        return table
    along = {dimension: _as_slice(indices) for dimension, indices in picks.items()}
    return replace(
        table,
        sizes={d: picks[d].size if d in picks else n for d, n in table.sizes.items()},
        coordinates=tuple(_part(c, picks, _extents(table)) for c in table.coordinates),
        variables={
            name: variable.isel({d: part for d, part in along.items() if d in variable.dims})
            for name, variable in table.variables.items()
        },
        links={
            name: replace(parent, of=parent.of[picks[parent.dimension]])
            if parent.dimension in picks
            else parent
            for name, parent in table.links.items()
        },
    )


def _inflated(variable: xr.Variable, picks: Mapping[str, npt.NDArray[np.intp]]) -> int:
    chunks = chunks_of(variable) or (1,) * variable.ndim
    size = _TEXT_BYTES if variable.dtype.kind in "OSUT" else variable.dtype.itemsize
    for dimension, cells, chunk in zip(map(str, variable.dims), variable.shape, chunks, strict=True):
        touched = np.unique(picks[dimension] // chunk).size if dimension in picks else -(-cells // chunk)
        size *= touched * chunk
    return int(size)


def _part(
    coordinate: Coordinate, picks: Mapping[str, npt.NDArray[np.intp]], extents: Mapping[str, int]
) -> Coordinate:
    """The coordinate's values at these indices."""
    if not set(picks) & set(coordinate.dimensions):
        return coordinate
    shape = [extents[d] for d in coordinate.dimensions]
    grid = np.ix_(*(picks.get(d, np.arange(n)) for d, n in zip(coordinate.dimensions, shape, strict=True)))
    flat = np.ravel_multi_index(grid, shape).ravel()
    return replace(
        coordinate,
        values=coordinate.values[flat],
        instants=coordinate.instants and tuple(coordinate.instants[at] for at in flat.tolist()),
        datetimes=None if coordinate.datetimes is None else coordinate.datetimes[flat],
    )


def _as_slice(indices: npt.NDArray[np.intp]) -> slice | npt.NDArray[np.intp]:
    """The indices as a slice, where they follow one another."""
    if indices.size and indices[-1] - indices[0] + 1 == indices.size:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _extents(table: Table) -> dict[str, int]:
    """The sizes of all dimensions, those of instances after those of the rows."""
    return {**table.sizes, **{name: parent.size for name, parent in table.links.items()}}


def _real(table: Table, coordinate: Coordinate) -> _Bools:
    """Which cells of a coordinate, flat, are before the last one along its last dimension that has a value."""
    shape = [_extents(table)[d] for d in coordinate.dimensions]
    there = ~np.isnan(np.asarray(coordinate.values, np.float64)).reshape(shape)
    found: _Bools = np.logical_or.accumulate(there[..., ::-1], axis=-1)[..., ::-1].ravel()
    return found


def _column(coordinate: Coordinate) -> Any:
    if coordinate.datetimes is not None:
        return columns.array(coordinate.datetimes)
    if coordinate.instants is not None:
        return pa.array([instant or None for instant in coordinate.instants], pa.string())
    return columns.array(coordinate.values)


def _coordinate_field(coordinate: Coordinate) -> Any:
    instants = coordinate.datetimes is None and coordinate.instants is not None
    return columns.field(coordinate.name, _column(coordinate).type, coordinate.attributes, instants=instants)


def _variable_field(name: str, variable: xr.Variable) -> Any:
    if variable.dtype.kind in "OSUT":
        return columns.field(name, pa.string(), variable.attrs)
    if columns.tells_time(columns.clock_of(variable.attrs)):
        return columns.field(name, columns.TIME, variable.attrs)
    empty = unpack(np.empty(0, variable.dtype), variable.attrs)
    return columns.field(name, columns.array(empty).type, variable.attrs)


def _values(values: npt.NDArray[Any], described: Any) -> Any:
    """A variable's values as its field says."""
    plain = columns.array(values)
    if not (pa.types.is_timestamp(described.type) and columns.is_number(plain.type)):
        return plain.cast(described.type)
    clock = columns.clock_of(columns.attributes_of(described))
    assert clock is not None
    return columns.decoded(plain, clock)
