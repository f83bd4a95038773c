"""Positions of any number of dimensions: curvilinear grids, swaths, clouds. Inside is where a centre is inside."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.grids import Grid
from catalog.data.lines import CIRCLE, ROUNDED, slack_of
from catalog.record import BBox

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """Longitudes and latitudes of cells, of one shape over the same dimensions, and how far a bound still means them.

    Args:
        dimensions: Names of the dimensions.
        longitudes: Degrees, NaN where missing.
        latitudes: Degrees, NaN where missing.
        slack: Degrees that a bound may be from a centre and still be that centre: of longitudes, of latitudes.
    """

    dimensions: tuple[str, ...]
    longitudes: _Floats
    latitudes: _Floats
    slack: tuple[float, float]

    def inside(self, box: BBox) -> npt.NDArray[np.bool_]:
        """Return which centres lie in the closed box, of the positions' shape."""
        across, along = self.slack
        found = np.zeros(self.latitudes.shape, bool)
        least, most = self._rows
        near = np.flatnonzero((most >= box.south - along) & (least <= box.north + along))
        if not near.size:
            return found
        rows = slice(int(near[0]), int(near[-1]) + 1) if found.ndim else ...
        x, y = self.longitudes[rows], self.latitudes[rows]
        there = np.asarray((y >= box.south - along) & (y <= box.north + along))
        width = box.east - box.west if box.west <= box.east + ROUNDED else box.east + CIRCLE - box.west
        if width + 2 * across < CIRCLE:
            candidates = np.flatnonzero(there)
            turned = x.ravel()[candidates] - (box.west - across)
            turned -= CIRCLE * np.floor(turned / CIRCLE)  # numpy's % takes three times as long
            there.ravel()[candidates] = turned <= width + 2 * across
        else:
            there &= np.isfinite(x)
        found[rows] = there
        return found

    @cached_property
    def _rows(self) -> tuple[_Floats, _Floats]:
        """The least and greatest latitude of each row along the first dimension; of none, of the one cell."""
        flat = self.latitudes.reshape(self.latitudes.shape[0] if self.latitudes.ndim else 1, -1)
        return np.fmin.reduce(flat, axis=1), np.fmax.reduce(flat, axis=1)


def plane(grid: Grid, longitude: str, latitude: str) -> Plane:
    """Return the kept positions of a pair of coordinates; where their dimensions differ, over all of them.

    Raises:
        DataUnreadable: A coordinate is text, or too large.
    """
    return grid.keep(("plane", longitude, latitude), lambda: _plane(grid, longitude, latitude))


def _plane(grid: Grid, longitude: str, latitude: str) -> Plane:
    x, y = (grid.dataset.variables[name] for name in (longitude, latitude))
    if x.dims == y.dims:
        columns, rows, dimensions = grid.values(longitude), grid.values(latitude), x.dims
    else:
        both = [xr.DataArray(grid.values(name), dims=v.dims) for v, name in ((x, longitude), (y, latitude))]
        spread = xr.broadcast(*both)
        columns, rows, dimensions = spread[0].values, spread[1].values, spread[0].dims
    return Plane(tuple(map(str, dimensions)), columns, rows, (_slack(x, columns), _slack(y, rows)))


def _slack(variable: xr.Variable, values: _Floats) -> float:
    """The slack of the largest number that is a legal position: a meridian may also be written up to 360."""
    legal = np.abs(values[np.isfinite(values) & (np.abs(values) <= 2 * CIRCLE)])
    most = np.array([max(float(legal.max(initial=0.0)), 1.0)])
    return float(slack_of(variable, most, most, separate=False)[0])
