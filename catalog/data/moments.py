"""Counts, means, spreads, extremes and percentiles of blocks of numbers, put together without holding them all.

Means and spreads of parts are joined as Chan, Golub and LeVeque do ("Algorithms for computing the sample variance",
The American Statistician 37, 1983, §3), so that they lose no digits to large sums.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
Slabs = Iterable[tuple[tuple[slice, ...], _Floats]]
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)|median")
_SIMPLE = frozenset({"mean", "min", "max", "std", "sum", "count"})


def known(function: str) -> bool:
    """Tell whether there is a function of this name: mean, min, max, std, sum, count, median, p0…p100."""
    return function in _SIMPLE or _PERCENTILE.fullmatch(function) is not None


def seconds(function: str, numbers: int) -> float:
    """Return about how many seconds of one core a function of so many numbers takes, unpacking them included.

    Twice what was measured of one core at rest: 20 ns a number; of a percentile, which is sorted for, 60 ns.
    """
    return numbers * (120e-9 if _PERCENTILE.fullmatch(function) else 40e-9)


def held_bytes(function: str, numbers: int) -> int:
    """Return how many bytes of numbers a function holds at once; a percentile needs all, in double precision."""
    return 8 * numbers if _PERCENTILE.fullmatch(function) else 0


def reckoned(  # noqa: PLR0913 - what is reckoned, of what, over what
    function: str,
    slabs: Slabs,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    labels: npt.NDArray[np.intp],
    count: int,
) -> _Floats:
    """Return a function of numbers over axes, by group.

    Args:
        function: One that is `known`; `std` divides by n.
        slabs: The numbers (NaN: missing) in blocks, each with its place: a slice an axis.
        shape: That of all numbers.
        axes: What is reduced, the grouped axis first.
        labels: The group of each index along the first of `axes`, 0…count-1.
        count: How many groups there are.

    Returns:
        The result, float64, with the dimensions of the numbers but the reduced ones; the grouped axis has size `count`.
        NaN where there is no number (0 for a count).
    """
    size = tuple(
        count if axis == axes[0] else length for axis, length in enumerate(shape) if axis not in axes[1:]
    )
    if match := _PERCENTILE.fullmatch(function):
        return _percentiles(float(match[1] or 50), slabs, shape, size, axes, labels)
    state = _Moments.nothing(size)
    lost = sorted(axes[1:])
    for place, values in slabs:
        inside = labels[place[axes[0]]]
        for label in np.unique(inside):
            alone = np.flatnonzero(inside == label)
            taken = values if alone.size == inside.size else np.take(values, alone, axes[0])
            group = slice(label, label + 1)
            where = tuple(
                group if axis == axes[0] else part for axis, part in enumerate(place) if axis not in lost
            )
            state.add(where, _Moments.of(taken, axes, lost))
    return state.result(function)


@dataclass(frozen=True)
class _Moments:
    """How many numbers there were, their mean, the sum of squares about it, and the extremes."""

    count: _Floats
    mean: _Floats
    square: _Floats
    least: _Floats
    most: _Floats

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> "_Moments":
        """Of no numbers."""
        return cls(*(np.full(shape, fill) for fill in (0.0, 0.0, 0.0, np.inf, -np.inf)))

    @classmethod
    def of(cls, values: _Floats, axes: tuple[int, ...], lost: list[int]) -> "_Moments":
        """Of a block; the first of `axes` keeps a length of 1, the `lost` ones are gone."""
        there = ~np.isnan(values)
        count = there.sum(axes, keepdims=True).astype(np.float64)
        filled = np.where(there, values, 0.0)
        mean = filled.sum(axes, keepdims=True) / np.maximum(count, 1)
        with np.errstate(invalid="ignore", over="ignore"):
            square = (np.where(there, values - mean, 0.0) ** 2).sum(axes, keepdims=True)
        least = np.where(there, values, np.inf).min(axes, keepdims=True, initial=np.inf)
        most = np.where(there, values, -np.inf).max(axes, keepdims=True, initial=-np.inf)
        return cls(*(part.squeeze(tuple(lost)) for part in (count, mean, square, least, most)))

    def add(self, where: tuple[slice, ...], other: "_Moments") -> None:
        """Join another block's moments to those in one place."""
        count, mean = self.count[where], self.mean[where]
        total = count + other.count
        with np.errstate(invalid="ignore", over="ignore"):
            step = other.mean - mean
            share = other.count / np.maximum(total, 1)
            self.square[where] += other.square + step**2 * count * share
            self.mean[where] = np.where(count == 0, other.mean, mean + step * share)
        self.least[where] = np.minimum(self.least[where], other.least)
        self.most[where] = np.maximum(self.most[where], other.most)
        self.count[where] = total

    def result(self, function: str) -> _Floats:
        """The function's values."""
        if function == "count":
            return self.count
        if function in {"min", "max"}:
            found = self.least if function == "min" else self.most
        elif function == "std":
            found = np.sqrt(self.square / np.maximum(self.count, 1))
        else:
            found = self.mean * self.count if function == "sum" else self.mean
        return np.where(self.count > 0, found, np.nan)


def _percentiles(  # noqa: PLR0913 - as `reckoned`
    percent: float,
    slabs: Slabs,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    axes: tuple[int, ...],
    labels: npt.NDArray[np.intp],
) -> _Floats:
    """Percentiles, linear between the nearest ranks; they need all numbers at once."""
    values = np.empty(shape)
    for place, part in slabs:
        values[place] = part
    found = np.full(size, np.nan)
    first = axes[0] - sum(axis < axes[0] for axis in axes[1:])
    for label in np.unique(labels):
        alone = np.flatnonzero(labels == label)
        taken = values if alone.size == labels.size else np.take(values, alone, axes[0])
        where: list[slice | int] = [slice(None)] * len(size)
        where[first] = int(label)
        found[tuple(where)] = _percentile(taken, percent, axes)
    return found


def _percentile(values: _Floats, percent: float, axes: tuple[int, ...]) -> _Floats:
    """A percentile over axes, as numpy's `nanpercentile`, but by one sort for all; the numbers are lost by it."""
    last = np.moveaxis(values, axes, range(-len(axes), 0))
    ranked = last.reshape(*last.shape[: -len(axes)], -1)
    ranked.sort(axis=-1)  # in place: the numbers are not used again; what is missing comes last
    count = ranked.shape[-1] - np.isnan(ranked).sum(axis=-1)
    if not ranked.shape[-1]:
        return np.full(count.shape, np.nan)
    rank = np.maximum(count - 1, 0) * (percent / 100)
    below = rank.astype(np.intp)
    ends = np.stack((below, np.minimum(below + 1, np.maximum(count - 1, 0))), axis=-1)
    low, high = np.moveaxis(np.take_along_axis(ranked, ends, axis=-1), -1, 0)
    share = rank - below
    with np.errstate(invalid="ignore"):
        upwards, downwards = low + (high - low) * share, high - (high - low) * (1 - share)
    found: _Floats = np.where(share < 0.5, upwards, downwards)  # noqa: PLR2004
    return found
