"""Which longitudes and latitudes say where a variable's cells are, where a dataset has several pairs of them."""

from collections.abc import Iterable

from catalog.data.grids import Grid
from catalog.errors import NotSubsettable

Pair = tuple[str, str]
"""The names of a longitude and a latitude coordinate."""


def first_pair(grid: Grid) -> Pair:
    """Return the pair of the axes.

    Raises:
        NotSubsettable: The data have no longitude and latitude.
    """
    if grid.axes.longitude is None or grid.axes.latitude is None:
        reasons = [text for code, text in grid.axes.problems if code == "no-position"]
        said = "; ".join(reasons) or "no longitude and latitude were found"
        raise NotSubsettable(f"the data cannot be cut by place: {said}", hint="ask without bbox and coords")
    return grid.axes.longitude, grid.axes.latitude


def is_lines(grid: Grid, pair: Pair) -> bool:
    """Tell whether a pair has rows and columns of their own (or scalars), and not one position a cell."""
    x, y = (grid.dataset.variables[name].dims for name in pair)
    return len(x) < 2 and len(y) < 2 and (x != y or not x)  # noqa: PLR2004


def pair_of(grid: Grid, name: str) -> Pair | None:
    """Return the pair that says where a variable's cells are; None where none does.

    It is the one that the variable's `coordinates` attribute names, else the one of the most dimensions that are all
    the variable's own (CF §5, UGRID 1.0).
    """
    return grid.keep(("pair", name), lambda: _pair(grid, name))


def pairs_of(grid: Grid, names: Iterable[str]) -> tuple[Pair, ...]:
    """Return the pairs of several variables, each once, in the variables' order."""
    return tuple(dict.fromkeys(pair for name in names if (pair := pair_of(grid, name)) is not None))


def _pair(grid: Grid, name: str) -> Pair | None:
    variables = grid.dataset.variables
    own = set(variables[name].dims)
    fitting = [
        pair for pair in grid.axes.positions if {d for part in pair for d in variables[part].dims} <= own
    ]
    words = str(variables[name].attrs.get("coordinates", "")).split()
    said = [pair for pair in fitting if set(pair) <= set(words)]
    return max(said or fitting, key=lambda pair: variables[pair[0]].ndim, default=None)
