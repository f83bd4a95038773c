"""An axis whose centres lie on a line, kept between cuts so that a closed range of it is found by bisection."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.packing import unpack

CIRCLE = 360.0
"""Degrees of a turn."""

ROUNDED = 1e-9
"""What bringing a longitude into −180…180 or writing ten digits may cost: degrees, 0.1 mm."""

_TURNS = CIRCLE * np.arange(3, -4, -1)
_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Line:
    """Centres along one dimension, and how far beyond each of them a bound still means it.

    Args:
        values: The centres, NaN where missing; or positions in time, whole numbers.
        slack: How far a bound may be from each centre and still be that centre.
    """

    values: npt.NDArray[Any]
    slack: npt.NDArray[Any]

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that it has once it was used: values, slack, and edges in two orders at most."""
        return 5 * int(self.values.nbytes) + int(self.slack.nbytes)

    @cached_property
    def _low(self) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self.values - self.slack
        return found

    @cached_property
    def _high(self) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self.values + self.slack
        return found

    @cached_property
    def direction(self) -> int:
        """1 where centres never fall, −1 where they never grow, 0 where they do both or some are missing."""
        if not np.isfinite(self.values).all():
            return 0
        for sign in (1, -1):
            if all(np.all(sign * np.diff(edge) >= 0) for edge in (self.values, self._low, self._high)):
                return sign
        return 0

    def between(self, first: float, last: float) -> _Indices:
        """Return the indices of the centres in the closed range, in the source's order."""
        if not self.direction:
            return np.flatnonzero((self._high >= first) & (self._low <= last))
        start, stop = self._run(first, last)
        return np.arange(start, stop)

    def around(self, west: float, east: float) -> tuple[_Indices, _Floats]:
        """Return the indices of the longitudes in west…east, and these brought there by whole turns.

        They run as in the source within a turn. Where the range is the whole circle, every longitude stays as it is.
        """
        east = east if west <= east + ROUNDED else east + CIRCLE
        if east - west >= CIRCLE:
            known = np.flatnonzero(np.isfinite(self.values))
            return known, self.values[known]
        if not self.direction:
            unrolled = unroll(self.values, west, east, self.slack)
            inside = np.flatnonzero(np.isfinite(unrolled))
            return inside, unrolled[inside]
        low, high = self._ends
        runs = []
        for turn in _TURNS.tolist():
            if west + turn <= high and east + turn >= low:
                start, stop = self._run(west + turn, east + turn)
                if stop > start:
                    runs.append((np.arange(start, stop), turn))
        if not runs:
            return np.empty(0, np.intp), np.empty(0)
        indices = np.concatenate([run for run, _ in runs])
        unrolled = np.concatenate([self.values[run] - turn for run, turn in runs])
        if len(runs) > 1 and np.unique(indices).size < indices.size:
            indices, first = np.unique(indices, return_index=True)
            unrolled = unrolled[first]
        return indices, unrolled

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return float(self._low.min()), float(self._high.max())

    @cached_property
    def _sought(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """What is bisected: upper and lower edges, growing."""
        return (
            (self._high, self._low)
            if self.direction > 0
            else (self._high[::-1].copy(), self._low[::-1].copy())
        )

    def _run(self, first: float, last: float) -> tuple[int, int]:
        high, low = self._sought
        start = int(high.searchsorted(first, side="left"))
        stop = max(start, int(low.searchsorted(last, side="right")))
        return (start, stop) if self.direction > 0 else (high.size - stop, high.size - start)


def slack_of(
    variable: xr.Variable, values: _Floats, written: _Floats, *, separate: bool, factor: float = 1.0
) -> _Floats:
    """Return how far a bound may be from a centre and still be that centre.

    It is two units in the last place of the axis's type: 105.1 so means the centre that a float32 axis prints as 105.1.

    Args:
        variable: The axis as in the source.
        values: Its centres.
        written: Their largest spelling: a meridian is written 0…360 and −180…180.
        separate: Whether the centres are one a row or column: the slack then is less than would reach the next one.
        factor: What turns the source's units into those of `values`.
    """
    dtype = unpack(np.empty(0, variable.dtype), variable.attrs).dtype
    precise = dtype if dtype.kind == "f" and dtype.itemsize < np.dtype(np.float64).itemsize else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        units = np.spacing((written / abs(factor)).astype(precise)).astype(np.float64) * abs(factor)
    found: _Floats = np.maximum(2 * units, ROUNDED)
    if separate:
        gaps = np.diff(np.unique(values[np.isfinite(values)]))
        found = np.minimum(found, gaps.min() / 4) if gaps.size else found
    return found


def spelled(longitudes: _Floats) -> _Floats:
    """Return the largest number that a meridian is written as: in 0…360, in −180…180, or as it is."""
    folded = np.abs((longitudes + CIRCLE / 2) % CIRCLE - CIRCLE / 2)
    found: _Floats = np.maximum.reduce([np.abs(longitudes), longitudes % CIRCLE, folded])
    return found


def unroll(longitudes: _Floats, west: float, east: float, slack: _Floats | float = 0.0) -> _Floats:
    """Return longitudes brought into the closed range west…east by whole turns; NaN for those outside it.

    Where the range is the whole circle, every longitude stays as it is. `slack` (degrees) is how far beyond the range
    a longitude is still inside.
    """
    east = east if west <= east + ROUNDED else east + CIRCLE
    if east - west >= CIRCLE:
        return longitudes
    found = np.full(longitudes.shape, np.nan)
    for turn in _TURNS[::-1]:
        inside = within(longitudes, west + turn, east + turn, slack)
        found[inside] = longitudes[inside] - turn
    return found


def within(values: _Floats, first: float, last: float, slack: _Floats | float) -> _Mask:
    """Tell which values lie in the closed range, or beyond it by no more than their slack."""
    found: _Mask = (values >= first - slack) & (values <= last + slack)
    return found
