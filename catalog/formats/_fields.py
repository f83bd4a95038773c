"""One variable over longitude and latitude, and what its layers along other dimensions are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.origin import origin
from catalog.data.periods import REDUCED
from catalog.data.plain import words
from catalog.errors import CatalogError, NotSubsettable


@dataclass(frozen=True)
class Layer:
    """A two-dimensional part of a field.

    Args:
        place: The index along each other dimension.
        told: What it is, by axis: `time` has its instant, `depth` (or the dimension's own name) its value with units.
    """

    place: Mapping[str, int]
    told: Mapping[str, str]

    def __str__(self) -> str:
        """Return the layer in words, such as `2019-02-23T00:00:00Z, depth 10 m`."""
        return ", ".join(text if name == "time" else f"{name} {text}" for name, text in self.told.items())


@dataclass(frozen=True)
class Field:
    """A variable whose last two dimensions are latitude and longitude.

    `longitudes` and `latitudes` are the unpacked centres, degrees, in the source's order; `layers` are in C order.
    """

    name: str
    variable: xr.Variable
    longitudes: npt.NDArray[np.float64]
    latitudes: npt.NDArray[np.float64]
    layers: tuple[Layer, ...]


def field(dataset: xr.Dataset, format_name: str, most: int) -> Field:
    """Return the one field of a dataset.

    Args:
        dataset: Undecoded, as `catalog.data.subset.cut` gives it.
        format_name: Who asks, for the message.
        most: How many layers are described.

    Raises:
        NotSubsettable: There is none, or more than one, or its grid has no rows and columns.
    """
    known = origin(dataset)
    axes = known.axes
    if axes.geometry != "rectilinear" or axes.longitude is None or axes.latitude is None:
        raise NotSubsettable(
            f"{format_name} holds grids of longitude and latitude, and these data are of geometry {axes.geometry}",
            hint="ask for NetCDF, or for GeoJSON or CSV with the position of each cell",
        )
    if not (dataset[axes.longitude].ndim and dataset[axes.latitude].ndim):
        raise NotSubsettable(
            f"{format_name} holds grids of longitude and latitude, and these data are reduced over them",
            hint="ask for NetCDF or CSV",
        )
    plane = (str(dataset[axes.latitude].dims[0]), str(dataset[axes.longitude].dims[0]))
    numbers = [n for n in known.wanted if dataset[n].dtype.kind in "iufb" and n not in axes.coordinates]
    names = [n for n in numbers if set(plane) <= set(map(str, dataset[n].dims))]
    if len(names) != 1:
        raise NotSubsettable(
            f"{format_name} holds one variable on a grid, and there are {len(names)}",
            hint=f"ask for one: variables={' or variables='.join(names)}"[:2_000]
            if names
            else "ask for NetCDF or CSV",
        )
    variable = dataset[names[0]].variable.transpose(..., *plane)
    return Field(
        names[0],
        variable,
        ax.values(dataset[axes.longitude].variable),
        ax.values(dataset[axes.latitude].variable),
        _layers(dataset, axes, variable, most),
    )


def _layers(dataset: xr.Dataset, axes: Axes, variable: xr.Variable, most: int) -> tuple[Layer, ...]:
    others = {str(d): int(n) for d, n in list(variable.sizes.items())[:-2]}
    told = {dimension: told_along(dataset, axes, dimension) for dimension in others}
    alone = _alone(dataset, axes)
    found: list[Layer] = []
    for place in np.ndindex(*others.values()):
        if len(found) == most:
            break
        said = {told[d][0]: told[d][1][at] for d, at in zip(others, place, strict=True)}
        found.append(Layer(dict(zip(others, place, strict=True)), {**said, **alone}))
    return tuple(found)


def _alone(dataset: xr.Dataset, axes: Axes) -> dict[str, str]:
    """What is said by a time or depth without dimension."""
    found = {}
    for role, name in (("time", axes.time), ("depth", axes.vertical)):
        if name and not dataset[name].ndim:
            found[role] = _texts(dataset, name, is_time=role == "time")[0]
    return found


def told_along(dataset: xr.Dataset, axes: Axes, dimension: str) -> tuple[str, list[str]]:
    """Return what a dimension's places are: `time` with instants, `depth` with units, else its name with values."""
    for role, name in (("time", axes.time), ("depth", axes.vertical), (dimension, dimension)):
        if name in dataset.variables and dataset[name].dims == (dimension,):
            return role, _texts(dataset, str(name), is_time=role == "time")
    picks = origin(dataset).picks.get(dimension, np.arange(dataset.sizes[dimension]))
    return dimension, [str(index) for index in picks.tolist()]


def _texts(dataset: xr.Dataset, name: str, *, is_time: bool) -> list[str]:
    variable = dataset[name].variable
    if variable.dtype.kind not in "iuf":
        return [words(value) for value in np.atleast_1d(np.asarray(variable.values, object)).tolist()]
    bounds = f"{name}_bounds"
    if (
        REDUCED in variable.encoding and bounds in dataset.variables
    ):  # the middle is no time or depth of the data
        ends = ax.values(dataset[bounds].variable)
        pairs = [_said(dataset, name, ends[..., side].reshape(-1), is_time=is_time) for side in (0, 1)]
        return [" – ".join(dict.fromkeys(pair)) for pair in zip(*pairs, strict=True)]
    return _said(dataset, name, np.atleast_1d(ax.values(variable)), is_time=is_time)


def _said(dataset: xr.Dataset, name: str, values: npt.NDArray[np.float64], *, is_time: bool) -> list[str]:
    """Values of a coordinate in words: instants, or numbers with units."""
    if is_time:
        try:
            return ax.clock(dataset, name).instants(values)
        except CatalogError:
            pass
    units = words(dataset[name].attrs.get("units", "")).strip()
    return [f"{value:.10g} {units}".strip() for value in values.tolist()]


def ranges(dataset: xr.Dataset, name: str) -> list[str]:
    """Return the first and last of each value of a coordinate that is the middle of several; none of any other."""
    if name not in dataset.variables or REDUCED not in dataset[name].encoding:
        return []
    return _texts(dataset, name, is_time=name == origin(dataset).axes.time)


def titled(name: str, attributes: Mapping[Any, Any]) -> str:
    """Return what a variable is called: its long name, its standard name in plain words, else its name."""
    standard = words(attributes.get("standard_name", "")).strip().replace("_", " ")
    return words(attributes.get("long_name", "")).strip() or standard or name
