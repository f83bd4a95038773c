"""Days, months, seasons and years of a time axis, in the data's own calendar."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.errors import DataUnreadable, NotSubsettable

PERIODS = ("day", "month", "season", "year")
CYCLES = ("month", "season", "dayofyear")
"""Periods that come again each year."""

REDUCED = "reduced"
"""In the encoding of a coordinate whose values are middles of several, with bounds: the period, or empty for all."""

_SEASONS = "DJF MAM JJA SON"


@dataclass(frozen=True)
class Groups:
    """The group of each step of a time axis.

    `labels` are 0…count-1 along the dimension `along`; `dimension` and `coordinates` are those of the groups.
    """

    labels: npt.NDArray[np.intp]
    count: int
    along: str
    dimension: str
    coordinates: Mapping[str, xr.Variable]


def grouped(dataset: xr.Dataset, axes: Axes, period: str, *, cyclic: bool = False) -> Groups:
    """Return the groups of a period: one for each that there is, in order; with `cyclic` one for each of its kind.

    A season is December to February and so on, that of December in the year after it.

    Raises:
        NotSubsettable: The data have no time axis of one dimension, or one without dates.
    """
    name = axes.time
    if name not in dataset.variables or dataset[name].ndim != 1:
        raise NotSubsettable("the data have no time axis along which periods run", hint="ask without reduce")
    variable = dataset[name].variable
    values = ax.values(variable)
    try:
        instants = ax.clock(dataset, str(name)).instants(values)
    except DataUnreadable as error:
        raise NotSubsettable(f"the time axis has no dates: {error.message}") from error
    if not all(instants):
        raise NotSubsettable("the time axis has missing times, which are of no period")
    keys = np.array([_key(instant, period, cyclic=cyclic) for instant in instants])
    found, labels = np.unique(keys, return_inverse=True)
    along = str(variable.dims[0])
    if cyclic:
        return Groups(labels.astype(np.intp), found.size, along, period, {period: _cycle(period, found)})
    ends = np.array([[values[labels == g].min(), values[labels == g].max()] for g in range(found.size)])
    attributes = {
        k: v for k, v in variable.attrs.items() if k not in {"bounds", "climatology", "actual_range"}
    }
    attributes["bounds"] = f"{name}_bounds"
    time = xr.Variable((along,), ends.mean(axis=1), attributes, {REDUCED: period})
    bounds = xr.Variable((along, "bounds"), ends)
    return Groups(
        labels.astype(np.intp), found.size, along, along, {str(name): time, f"{name}_bounds": bounds}
    )


def _key(instant: str, period: str, *, cyclic: bool) -> int:
    """The number of the period that an instant lies in."""
    sign = -1 if instant.startswith("-") else 1
    year, month, day = (int(part) for part in instant.lstrip("+-").split("T")[0].split("-"))
    year *= sign
    season = month % 12 // 3
    if cyclic:
        return {"month": month, "season": season + 1, "dayofyear": month * 100 + day}[period]
    return {
        "day": (year * 12 + month) * 31 + day,
        "month": year * 12 + month,
        "season": (year + (month == 12)) * 4 + season,  # noqa: PLR2004
        "year": year,
    }[period]


def _cycle(period: str, found: npt.NDArray[np.int64]) -> xr.Variable:
    """The coordinate of periods that come again."""
    attributes: dict[str, object] = {"long_name": f"{period} of the year", "units": "1"}
    if period == "season":
        attributes = {
            "long_name": "season",
            "flag_values": np.arange(1, 5, dtype=np.int32),
            "flag_meanings": _SEASONS,
        }
    if period == "dayofyear":
        attributes = {"long_name": "month and day of the year as month × 100 + day", "units": "1"}
    return xr.Variable((period,), found.astype(np.int32), attributes)
