"""A dataset as a long table: one row a cell, first its time, depth, latitude and longitude, then its variables.

Variables that lack a dimension of the others repeat along it. A dimension without coordinate has a column of the
source's indices, counted from 0, named `<dimension>_index`. Numbers are unpacked as
`catalog.data.packing` says.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.origin import origin, sample_dimensions
from catalog.data.packing import unpack
from catalog.data.plain import words
from catalog.errors import DataUnreadable, NotSubsettable

_BLOCK_ROWS = 1 << 18
_LOADED_VALUES = 1 << 24
_MOST_SPREAD = 4


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
class Block:
    """Consecutive rows: for each coordinate the places in its values, for each variable its values (NaN: none)."""

    places: Mapping[str, npt.NDArray[np.intp]]
    data: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """The columns of a dataset; `sizes` are the dimensions of its rows, slowest first."""

    sizes: Mapping[str, int]
    coordinates: tuple[Coordinate, ...]
    variables: Mapping[str, xr.Variable]
    attributes: Mapping[str, Any]

    def blocks(self) -> Iterator[Block]:
        """Yield the rows in blocks; memory is bounded by a few slabs of the slowest dimension."""
        slowest, *rest = self.sizes or {"": 1}
        row = int(np.prod([self.sizes[d] for d in rest], dtype=np.int64))
        steady = {n: _loaded(v, self.sizes) for n, v in self.variables.items() if slowest not in v.dims}
        for start, stop in self._slabs(slowest, row):
            shape = (stop - start, *(self.sizes[d] for d in rest))
            loaded = {
                name: steady[name]
                if name in steady
                else _loaded(v.isel({slowest: slice(start, stop)}), self.sizes)
                for name, v in self.variables.items()
            }
            for first in range(0, row * (stop - start), _BLOCK_ROWS):
                flat = np.arange(first, min(first + _BLOCK_ROWS, row * (stop - start)))
                index = dict(zip((slowest, *rest), np.unravel_index(flat, shape), strict=True))
                whole = {**index, slowest: index[slowest] + start}
                yield Block(
                    places={c.name: _places(c, whole, self.sizes) for c in self.coordinates},
                    data={
                        name: unpack(raw.values[tuple(index[str(d)] for d in raw.dims)], raw.attrs)
                        if raw.dims
                        else np.repeat(unpack(raw.values[None], raw.attrs), flat.size)
                        for name, raw in loaded.items()
                    },
                )

    def _slabs(self, slowest: str, row: int) -> Iterator[tuple[int, int]]:
        """Ranges of the slowest dimension: whole chunks of it where a few of them fit into memory."""
        size = self.sizes.get(slowest, 1)
        step = max(1, _LOADED_VALUES // max(1, row * len(self.variables)))
        for variable in self.variables.values():
            chunks = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
            if chunks and len(chunks) == variable.ndim and slowest in variable.dims:
                chunk = int(chunks[variable.dims.index(slowest)])
                step = step // chunk * chunk or step
        for start in range(0, size, step):
            yield start, min(start + step, size)


def lay_out(dataset: xr.Dataset) -> Table:
    """Return the table of an undecoded dataset; only coordinates are read.

    Raises:
        NotSubsettable: The variables share too few dimensions to stand in one table.
    """
    known = origin(dataset)
    axes = known.axes
    names = [n for n in known.wanted if dataset[n].dtype.kind in "iufbOSUT" and n not in _axis_names(axes)]
    variables = {name: dataset[name].variable for name in names if dataset[name].dims != (name,)}
    shown = variables or {n: dataset[n].variable for n in known.wanted or _axis_names(axes)}
    _check_rows(dataset, shown)
    sizes = _sizes(dataset, axes, shown)
    rows = int(np.prod(list(sizes.values()), dtype=object))
    largest = max((variable.size for variable in shown.values()), default=1)
    if rows > _MOST_SPREAD * max(1, largest):
        raise NotSubsettable(
            "the variables lie on different dimensions, and do not fit in one table",
            hint="ask for variables of the same dimensions, with variables=, or for NetCDF",
            details={"dimensions": {name: list(map(str, v.dims)) for name, v in variables.items()}},
        )
    coordinates = tuple(
        _coordinate(dataset, axes, name) for name in _coordinate_names(dataset, axes, sizes, variables)
    )
    covered = {d for coordinate in coordinates for d in coordinate.dimensions}
    taken = {*variables, *(coordinate.name for coordinate in coordinates)}
    counted = tuple(
        Coordinate(_index_name(d, taken), (d,), known.picks.get(d, np.arange(n)), {})
        for d, n in sizes.items()
        if d not in covered
    )
    return Table(sizes, (*counted, *coordinates), variables, dataset.attrs)


def _index_name(dimension: str, taken: Collection[str]) -> str:
    """The name of a column of the source's indices along a dimension without coordinate."""
    name = f"{dimension}_index"
    while name in taken:
        name += "_"
    return name


def _check_rows(dataset: xr.Dataset, shown: Mapping[str, xr.Variable]) -> None:
    """Refuse what has no rows, and what has rows that only counts elsewhere can place."""
    empty = [name for name, variable in shown.items() if not variable.size]
    if empty:
        full = [name for name in shown if name not in empty]
        raise NotSubsettable(
            f"a table of {', '.join(empty)[:300]} has no row: a dimension has no cell",
            hint=f"ask for others: variables={','.join(full)}"[:2_000] if full else "ask for NetCDF",
        )
    samples = sample_dimensions(dataset)
    if any(samples & set(map(str, variable.dims)) for variable in shown.values()):
        raise NotSubsettable(
            "the data are a ragged array (CF §9.3), which does not fit in one table yet",
            hint="ask for NetCDF",
        )


def _axis_names(axes: Axes) -> list[str]:
    return [n for n in (axes.time, axes.vertical, axes.latitude, axes.longitude) if n]


def _sizes(dataset: xr.Dataset, axes: Axes, variables: Mapping[str, xr.Variable]) -> dict[str, int]:
    """The dimensions of the rows: those of time, depth, latitude, longitude, others before them in their order."""
    there = dict.fromkeys(str(d) for variable in variables.values() for d in variable.dims)
    placed = dict.fromkeys(str(d) for name in _axis_names(axes) for d in dataset[name].dims if d in there)
    order = [*(d for d in there if d not in placed), *placed]
    return {d: int(dataset.sizes[d]) for d in order}


def _coordinate_names(
    dataset: xr.Dataset, axes: Axes, sizes: Mapping[str, int], variables: Mapping[str, xr.Variable]
) -> list[str]:
    """The axes, then other coordinates along the rows; no bounds, mappings or topologies."""
    said = " ".join(str(v.attrs.get("coordinates", "")) for v in variables.values()).split()
    first = _axis_names(axes)
    others = [
        str(name)
        for name, variable in dataset.variables.items()
        if name in axes.coordinates and name not in first and (variable.dims == (name,) or name in said)
    ]
    return [n for n in (*first, *others) if n not in variables and set(dataset[n].dims) <= set(sizes)]


def _coordinate(dataset: xr.Dataset, axes: Axes, name: str) -> Coordinate:
    variable = dataset[name].variable
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


def _loaded(variable: xr.Variable, sizes: Mapping[str, int]) -> xr.Variable:
    values = np.asarray(variable.values)
    if values.dtype.kind in "OSUT":
        flat = [words("" if item is None else item) for item in values.ravel()]
        values = np.array(flat, object).reshape(values.shape)
    order = [d for d in sizes if d in variable.dims]
    return xr.Variable(variable.dims, values, variable.attrs).transpose(*order)


def _places(
    coordinate: Coordinate, index: Mapping[str, npt.NDArray[np.intp]], sizes: Mapping[str, int]
) -> npt.NDArray[np.intp]:
    rows = next(iter(index.values())).size
    found = np.zeros(rows, np.intp)
    for dimension in coordinate.dimensions:
        found = found * sizes[dimension] + index[dimension]
    return found
