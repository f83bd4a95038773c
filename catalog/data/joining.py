"""Joining the axes of many files into one: in order, each place once, times in one unit where that is exact.

Times are compared as whole microseconds in the calendar of the data. What is taken from which member is told by runs,
so an axis of a million steps in thousand files is a list of thousand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt

from catalog.data.clock import Clock
from catalog.data.packing import unpack
from catalog.errors import DataUnreadable

_UNITS = (("days", 86_400_000_000), ("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000),
          ("milliseconds", 1_000), ("microseconds", 1))  # fmt: skip
_WHOLE = 2**53  # whole numbers that a float64 holds exactly
_STEADY = 0.12  # share by which steps of a regular axis differ: months have 28 to 31 days
_MOST, _SOME = 0.5, 0.25  # shares of the steps that are single ones
_FEW = 4
_MISSING = 1.5  # steps that are a gap
_TIMING = ("units", "calendar")
_PACKED = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
_RANGES = ("valid_min", "valid_max", "valid_range", "actual_range")

Places = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Steps of a joined axis that come from one block, one after the other: which, from which on, how many."""

    block: int
    start: int
    count: int


@dataclass(frozen=True)
class Line:
    """A joined axis.

    Args:
        runs: What it is made of, in its order.
        doubles: How many places are in more than one block; the later block has them.
    """

    runs: tuple[Run, ...]
    doubles: int


def clocks(every: Sequence[Mapping[str, Any]]) -> tuple[Clock, ...] | None:
    """Return how the times of each member count, by the attributes of its time axis; None where one cannot be read.

    Raises:
        DataUnreadable: They are of different calendars, or of units that differ and cannot be read.
    """
    try:
        found = tuple(Clock.of(attributes) for attributes in every)
    except DataUnreadable as error:
        if len({_timing(attributes) for attributes in every}) > 1:
            raise DataUnreadable(
                f"units that differ between members cannot be read: {error.message}"
            ) from error
        return None
    if any(clock.months for clock in found) and len({_timing(attributes) for attributes in every}) > 1:
        raise DataUnreadable(
            "units that differ between members count months or years, which have no fixed length"
        )
    calendars = sorted({clock.calendar for clock in found})
    if len(calendars) > 1:
        raise DataUnreadable(f"members differ in their calendar: {', '.join(calendars)}")
    return found


def microseconds(
    values: npt.NDArray[Any], attributes: Mapping[str, Any], clock: Clock
) -> npt.NDArray[np.int64]:
    """Return the whole microseconds of times since their reference; of the values' shape.

    Raises:
        DataUnreadable: A time is missing, too far, or lies between two microseconds.
    """
    numbers = np.asarray(unpack(values, attributes), np.float64)
    if not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0) * clock.unit > 2**62:
        raise DataUnreadable("a time is missing, or too far from its reference")
    whole = np.floor(numbers)
    parts = (numbers - whole) * clock.unit
    rounded = np.round(parts)
    # a third of a day is no binary fraction: its nearest number stands for it
    if np.any(np.abs(parts - rounded) > np.spacing(np.abs(numbers)) * clock.unit):
        raise DataUnreadable("a time lies between two microseconds")
    found: npt.NDArray[np.int64] = whole.astype(np.int64) * clock.unit + rounded.astype(np.int64)
    return found


def numbers(values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the unpacked numbers of an axis. Raises DataUnreadable where one is missing."""
    found = np.asarray(unpack(values, attributes), np.float64)
    if not np.isfinite(found).all():
        raise DataUnreadable("a place on the axis is missing")
    return found


def references(every: Sequence[Clock]) -> tuple[int, ...]:
    """Return the microseconds from 1970-01-01 to each clock's reference, in their common calendar."""
    texts = [clock.instants(np.zeros(1))[0] for clock in every]
    start = _date("1970-01-01T00:00:00Z", every[0].calendar)
    apart = {text: _date(text, every[0].calendar) - start for text in dict.fromkeys(texts)}
    return tuple(
        (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds
        for gap in map(apart.__getitem__, texts)
    )


def instants(times: npt.NDArray[np.int64], calendar: str) -> list[str]:
    """Return the canonical instants of microseconds since 1970-01-01 in a calendar."""
    return Clock(1_000_000, "1970-01-01 00:00:00", calendar).instants(times / 1_000_000)


def one_unit(
    times: Sequence[npt.NDArray[np.int64]], reference: str
) -> tuple[str, list[npt.NDArray[np.float64]]]:
    """Return units and, array by array, the numbers of times given in microseconds since the reference.

    The unit is the longest that all of them are whole numbers of, so each number is exact.

    Raises:
        DataUnreadable: A float64 does not hold them.
    """
    name, unit = next(
        (name, unit) for name, unit in _UNITS if unit == 1 or all(not np.any(each % unit) for each in times)
    )
    if any(np.abs(each // unit).max(initial=0) > _WHOLE for each in times):
        raise DataUnreadable("the times of all members have no common unit that is exact")
    return f"{name} since {reference}", [(each // unit).astype(np.float64) for each in times]


def timeless(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a time axis without what is no more true once it counts otherwise."""
    return {name: value for name, value in attributes.items() if name not in (*_TIMING, *_PACKED, *_RANGES)}


def line(blocks: Sequence[Places], *, falling: bool = False) -> Line:
    """Return blocks of places as one axis, sorted, each place once: where several have it, from the last of them."""
    places = np.concatenate(blocks)
    sizes = [block.size for block in blocks]
    owner = np.repeat(np.arange(len(blocks)), sizes)
    local = np.concatenate([np.arange(size) for size in sizes])
    order = np.lexsort((owner, -places if falling else places))
    same = places[order][1:] == places[order][:-1]
    kept = order[np.append(~same, True)]
    owner, local = owner[kept], local[kept]
    breaks = np.flatnonzero((np.diff(owner) != 0) | (np.diff(local) != 1)) + 1
    starts, ends = np.append(0, breaks), np.append(breaks, kept.size)
    runs = tuple(
        Run(int(owner[start]), int(local[start]), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    )
    return Line(runs, int(same.sum()))


def taken(arrays: Sequence[npt.NDArray[Any]], runs: Sequence[Run], axis: int) -> npt.NDArray[Any]:
    """Return arrays of one block each, joined along an axis as the runs say."""
    ahead = (slice(None),) * axis
    return np.concatenate(
        [arrays[run.block][(*ahead, slice(run.start, run.start + run.count))] for run in runs], axis=axis
    )


def falls(blocks: Sequence[Places]) -> bool:
    """Tell whether an axis runs downwards in its members; where they have one step each, it does not."""
    steps = [np.diff(block) for block in blocks if block.size > 1]
    return bool(steps) and all(bool(np.all(step < 0)) for step in steps)


def gaps(places: Places) -> list[tuple[int, int]]:
    """Return (index before it, steps that are missing) of each gap of a regular axis; of another one, nothing.

    An axis is regular where all its steps are small multiples of the shortest one, or most are alike.
    """
    steps = np.abs(np.diff(places.astype(np.float64)))
    usual = _usual(steps) if steps.size > 1 else 0.0
    if not usual:
        return []
    return [(int(at), round(steps[at] / usual) - 1) for at in np.flatnonzero(steps > _MISSING * usual)]


def _usual(steps: npt.NDArray[np.float64]) -> float:
    """The usual step of a regular axis; zero for another one."""
    for step in (float(steps.min()), float(np.sort(steps)[(steps.size - 1) // 2])):
        single = np.abs(steps - step) <= _STEADY * step
        times = np.round(steps / step) if step else np.zeros(1)
        even = np.abs(steps - times * step) <= _STEADY * times * step
        if single.mean() > _MOST or (single.mean() > _SOME and even.all() and times.max() <= _FEW):
            return float(steps[single].mean())
    return 0.0


def _timing(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(attributes.get(name, "")) for name in _TIMING)


def _date(instant: str, calendar: str) -> Any:
    sign = -1 if instant.startswith("-") else 1
    day, clock = instant.lstrip("+-").removesuffix("Z").split("T")
    year, month, number = map(int, day.split("-"))
    hour, minute, seconds = clock.split(":")
    second, _, fraction = seconds.partition(".")
    return cftime.datetime(
        sign * year, month, number, int(hour), int(minute), int(second), int(f"{fraction:0<6}"),
        calendar=calendar, has_year_zero=True,
    )  # fmt: skip
