"""Which variables of a dataset a cut asks for, which of them can be cut, and what must come with them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.origin import sample_dimensions
from catalog.errors import BadRequest, NotSubsettable

_COMPANIONS = ("grid_mapping", "ancillary_variables", "coordinates", "formula_terms", "bounds", "climatology")
_EDGES = ("bounds", "climatology", "edges")
_FILTERS = ("shuffle", "szip", "zstd", "bzip2", "blosc")


def is_cuttable(variable: xr.Variable) -> bool:
    """Tell whether a variable is an array of numbers or text, and has no dimension twice."""
    return len(set(variable.dims)) == variable.ndim and variable.dtype.kind in "iufbOSUT"


def is_nested(grid: Grid, name: str) -> bool:
    """Tell whether cells are lists of varying length (NetCDF-4 vlen): xarray shows the type of what is in the lists.

    Only a cell tells, and one is read where that inflates no chunk, because such variables have no filters.
    """
    return grid.keep(("nested", name), lambda: _is_nested(grid.dataset.variables[name]))


def _is_nested(variable: xr.Variable) -> bool:
    if variable.dtype.kind not in "iuf" or variable.encoding.get("zlib") is not False or not variable.size:
        return False
    if any(variable.encoding.get(name) for name in _FILTERS):
        return False
    try:
        cell = np.asarray(variable[(slice(0, 1),) * variable.ndim].values)
    except (TypeError, ValueError):
        return True
    return cell.dtype.kind == "O" or cell.size != 1


def wanted(grid: Grid, request: Cut) -> tuple[str, ...]:
    """Return the names of the variables asked for, of all where none is named.

    Raises:
        BadRequest: There is no such variable. NotSubsettable: It cannot be cut, or none can.
    """
    variables = grid.dataset.variables
    there = grid.keep(("selection", "cuttable"), lambda: _cuttable(grid))
    for name in request.variables:
        if name not in variables:
            raise BadRequest(
                f"there is no variable {name[:60]!r}", hint=f"variables: {', '.join(there)}"[:2_000]
            )
        if not is_cuttable(variables[name]):
            raise _uncuttable(name)
    if not there and not request.variables:
        raise NotSubsettable("the data have no variable that can be cut")
    return request.variables or there


def _cuttable(grid: Grid) -> tuple[str, ...]:
    names = grid.axes.data_variables(grid.dataset)
    return tuple(name for name in names if is_cuttable(grid.dataset.variables[name]))


def numbers(grid: Grid, request: Cut) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the wanted variables that can be cut, and the data variables that cannot. Raises as `wanted`."""
    asked = wanted(grid, request)
    nested = {name for name in asked if is_nested(grid, name)}
    if nested and (request.variables or nested == set(asked)):
        raise _uncuttable(min(nested))
    kept = tuple(name for name in asked if name not in nested) if nested else asked
    if request.variables:
        return kept, ()
    return kept, tuple(name for name in grid.axes.data_variables(grid.dataset) if name not in kept)


def _uncuttable(name: str) -> NotSubsettable:
    return NotSubsettable(
        f"{name[:60]} cannot be cut: it is no array of numbers or text, or has one dimension twice",
        hint="ask for other variables, with variables=",
    )


def with_companions(grid: Grid, asked: tuple[str, ...]) -> list[str]:
    """Return the names of wanted variables and of what describes them, in the file's order."""
    if len(asked) == 1 or asked is grid.keep(("selection", "cuttable"), lambda: _cuttable(grid)):
        return grid.keep(("selection", "with", asked), lambda: _with_companions(grid, asked))
    return _with_companions(grid, asked)


def _with_companions(grid: Grid, asked: tuple[str, ...]) -> list[str]:
    variables = grid.dataset.variables
    dimensions = {d for name in asked for d in variables[name].dims}
    names = set(asked)
    for name in asked:
        along, always = grid.keep(("selection", "companions", name), partial(_companions, grid, name))
        names |= always | {word for word in along if dimensions.issuperset(variables[word].dims)}
    whole = grid.axes.geometry == "mesh" or bool(samples(grid))
    names |= {name for name in grid.axes.coordinates if whole or dimensions.issuperset(variables[name].dims)}
    for name in tuple(names):
        names |= grid.keep(("selection", "edges", name), partial(_named, grid, name, _EDGES, whole=True))
    order = grid.keep(("selection", "order"), lambda: {str(name): at for at, name in enumerate(variables)})
    return sorted((name for name in names if is_cuttable(variables[name])), key=order.__getitem__)


def samples(grid: Grid) -> frozenset[str]:
    """Return the sample dimensions of a ragged array, kept; empty: the data are none."""
    return grid.keep("samples", lambda: sample_dimensions(grid.dataset))


def _companions(grid: Grid, name: str) -> tuple[set[str], set[str]]:
    """What the attributes of a variable name: what comes along its dimensions, and coordinates, whatever theirs."""
    return _named(grid, name, _COMPANIONS), _named(grid, name, ("coordinates",))


def _named(grid: Grid, name: str, keys: Iterable[str], *, whole: bool = False) -> set[str]:
    """Variables that some attributes of a variable name, by words; or as the whole attribute."""
    attributes: dict[Any, Any] = grid.dataset.variables[name].attrs
    said = [str(attributes.get(key, "")) for key in keys]
    found = said if whole else " ".join(said).replace(":", " ").split()
    return {word for word in found if word in grid.dataset.variables}


def free_name(grid: Grid, name: str) -> str:
    """Return a name that no variable and no dimension of the data has: this one, or with underscores."""
    while name in grid.dataset.variables or name in grid.dataset.sizes:
        name += "_"
    return name
