"""The positions of a table, and longitudes as maps want them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.origin import origin
from catalog.data.tables import Coordinate, Table
from catalog.errors import NotSubsettable

_HALF, _TURN = 180, 360


def positions(dataset: xr.Dataset, table: Table, format_name: str) -> tuple[Coordinate, Coordinate]:
    """Return longitude and latitude of a dataset's table.

    Raises:
        NotSubsettable: It has none; the message names the format that wants them.
    """
    axes = origin(dataset).axes
    columns = {coordinate.name: coordinate for coordinate in table.coordinates}
    for longitude, latitude in ((axes.longitude, axes.latitude), *axes.positions):
        if longitude in columns and latitude in columns:  # nodes of a mesh have a pair of their own
            return columns[longitude], columns[latitude]
    raise NotSubsettable(
        f"{format_name} does not hold data without positions", hint="ask for CSV, Parquet or NetCDF"
    )


def longitudes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return degrees east in −180…180 (180 stays 180), of the same shape; those that lie there are untouched.

    Floats keep their type, in which the turn is subtracted without rounding up to 360.
    """
    native = values if values.dtype.kind == "f" else values.astype(np.float64)
    native = native.astype(native.dtype.newbyteorder("="), copy=False)
    turns = np.ceil((native - _HALF) / _TURN)
    outside = np.isfinite(native) & (np.abs(native) > _HALF)
    return np.where(outside, native - np.where(outside, turns, 0) * _TURN, native).astype(native.dtype)


def unrolled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return longitudes that go on across the seam of their source: 350, 355, 0, 5 become 350, 355, 360, 365."""
    steps = np.diff(values)
    turns = np.concatenate([[0], np.cumsum(steps < -_HALF) - np.cumsum(steps > _HALF)])
    return np.asarray(values + _TURN * turns, np.float64)
