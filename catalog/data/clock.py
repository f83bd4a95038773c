"""The times of a time axis, in the data's own calendar (CF conventions §4.4; year 0 included).

Numbers such as `hours since 0000-01-01` become canonical instants (`catalog.instant`) and the whole
numbers that order them.

Months and years are the calendar's: `months since 1960-01-01` counts 2 as 1 March 1960, and 0.5 as the middle of
January; a day that a month lacks is its last. UDUNITS, which CF cites, has a month of a twelfth of 365.242198781 days,
with which monthly data would drift through the days of their months: no producer means that. Numbers that are neither
whole nor half months are read as that part of the month's days, and called ambiguous (`Clock.ambiguous`).
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

import cftime
import numpy as np
import numpy.typing as npt

from catalog.errors import BadRequest, CatalogError, DataUnreadable
from catalog.instant import canonical

NEVER = int(np.iinfo(np.int64).min) + 1
"""The position of a missing time, before all others."""

_SINCE = re.compile(r"\s*([A-Za-z]+)\s+since\s+(\S.*?)\s*", re.IGNORECASE)
_MICROSECONDS = {
    "microsecond": 1, "millisecond": 1_000, "msec": 1_000, "ms": 1_000, "second": 1_000_000, "sec": 1_000_000,
    "s": 1_000_000, "minute": 60_000_000, "min": 60_000_000, "hour": 3_600_000_000, "hr": 3_600_000_000,
    "h": 3_600_000_000, "day": 86_400_000_000, "d": 86_400_000_000, "week": 604_800_000_000,
}  # fmt: skip
_CALENDARS = {
    "": "standard", "none": "standard", "gregorian": "standard", "standard": "standard", "julian": "julian",
    "proleptic_gregorian": "proleptic_gregorian", "noleap": "noleap", "365_day": "noleap", "all_leap": "all_leap",
    "366_day": "all_leap", "360_day": "360_day",
}  # fmt: skip
_MONTHS = {"month": 1, "mon": 1, "year": 12, "yr": 12}
_DAYS_OF_YEAR = {"noleap": 365.0, "all_leap": 366.0, "360_day": 360.0, "julian": 365.25}
_USUAL_YEAR = 365.2425
_GREGORIAN_FROM = np.datetime64("1582-10-15T00:00:00", "us")
_LAST = np.datetime64("9999-12-31T23:59:59", "us")


@dataclass(frozen=True)
class Clock:
    """How a time axis counts.

    Args:
        unit: Microseconds a unit; the mean where it counts months or years.
        reference: The reference as written.
        calendar: The calendar's CF name.
        months: How many months of the calendar a unit is; 0 where it has a fixed length.
    """

    unit: int
    reference: str
    calendar: str
    months: int = 0

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> "Clock":
        """Read `units` and `calendar`.

        Raises:
            DataUnreadable: They are missing or unknown.
        """
        units = str(attributes.get("units", ""))
        match = _SINCE.fullmatch(units)
        calendar = _CALENDARS.get(str(attributes.get("calendar", "")).strip().lower())
        if match is None:
            raise DataUnreadable(
                f"the time units {units[:60]!r} do not say since when, so no time can be dated"
            )
        if calendar is None:
            raise DataUnreadable(f"the calendar {str(attributes.get('calendar'))[:60]!r} is unknown")
        name = match[1].lower()
        unit = duration(name)
        months = 0
        if unit is None:
            months = _MONTHS.get(name) or _MONTHS.get(name.removesuffix("s"), 0)
            days = months * _DAYS_OF_YEAR.get(calendar, _USUAL_YEAR) / 12
            unit = round(days * _MICROSECONDS["day"])
        if not unit:
            raise DataUnreadable(f"the time unit {match[1][:30]!r} is unknown")
        if calendar == "360_day":
            months = 0  # every month has 30 days there
        clock = cls(unit, _plain(match[2]), calendar, months)
        _check(clock.reference, calendar)
        return clock

    def ambiguous(self, values: npt.NDArray[np.float64]) -> bool:
        """Tell whether times are counted in months or years and are not all whole or half ones."""
        halves = values[np.isfinite(values)] * 2
        return bool(self.months) and not np.array_equal(halves, np.round(halves))

    @property
    def gregorian(self) -> bool:
        """Whether the calendar is the usual one."""
        return self.calendar in {"standard", "proleptic_gregorian"}

    def datetimes(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.datetime64] | None:
        """Return times as datetime64[us], NaT for NaN; None where they do not fit the usual calendar (CF §4.4.1)."""
        if not self.gregorian:
            return None
        try:
            start = np.datetime64(canonical(self.reference).removesuffix("Z"), "us")
        except (ValueError, CatalogError):
            return None
        known = np.isfinite(values)
        if self.months:
            values = self._counted(values)
        counted = np.where(known, values, 0.0) * (1 if self.months else self.unit)
        if np.abs(counted).max(initial=0) > 4e17:  # noqa: PLR2004 - beyond year 12,000: no microseconds left
            return None
        times = start + np.round(counted).astype(np.int64).astype("timedelta64[us]")
        earliest = _GREGORIAN_FROM if self.calendar == "standard" else np.datetime64("0001-01-01", "us")
        if start < earliest or (
            known.any() and (times[known].min() < earliest or times[known].max() > _LAST)
        ):
            return None
        found: npt.NDArray[np.datetime64] = np.where(known, times, np.datetime64("NaT", "us"))
        return found

    def instants(self, values: npt.NDArray[np.float64]) -> list[str]:
        """Return canonical instants, one a value, in their flat order; empty text for NaN.

        Raises:
            DataUnreadable: A value lies beyond the calendar's years.
        """
        values = np.asarray(values).ravel()
        times = self.datetimes(values)
        if times is not None:
            return ["" if text == "NaT" else _trimmed(text) for text in np.datetime_as_string(times).tolist()]
        known = np.isfinite(values)
        texts = [_text(date) for date in self._dates(values[known])]
        rest = iter(texts)
        return [next(rest) if there else "" for there in known.tolist()]

    def positions(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the positions (see `position`) of times, of their shape; `NEVER` for NaN. Raises as `instants`."""
        times = self.datetimes(values)
        if times is None:
            found = [position(text) if text else NEVER for text in self.instants(values)]
            return np.array([min(max(place, NEVER), -NEVER) for place in found], np.int64).reshape(
                values.shape
            )
        months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
        day = (months.astype(np.int64) + 1970 * 12) * 31 + (days - months.astype(days.dtype)).astype(np.int64)
        places = day * _MICROSECONDS["day"] + (times - days).astype(np.int64)
        return np.where(np.isnat(times), NEVER, places)

    def _counted(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Microseconds since the reference of months or years of the calendar."""
        start = self._dates(np.zeros(1), 1)[0]

        def since(months: int) -> float:
            return float((self._shifted(start, months) - start) / timedelta(microseconds=1))

        found = np.full(values.shape, np.nan)
        for place, value in np.ndenumerate(values):
            if np.isfinite(value):
                whole, rest = divmod(float(value) * self.months, 1)
                first = since(int(whole))
                found[place] = first + (rest * (since(int(whole) + 1) - first) if rest else 0.0)
        return found

    def _shifted(self, date: Any, months: int) -> Any:
        """A date some months later, or the last day of a month that lacks it."""
        year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
        parts = (date.hour, date.minute, date.second, date.microsecond)
        for day in range(date.day, date.day - 4, -1):
            try:
                return self._date(year, month + 1, day, *parts)
            except (ValueError, OverflowError):
                continue
        raise DataUnreadable(f"there is no month {month + 1} of year {year} in calendar {self.calendar}")

    def number(self, instant: str) -> float:
        """Return the time, in the axis's own units, of a canonical instant.

        Raises:
            BadRequest: The calendar has no such instant.
        """
        match = re.fullmatch(r"([+-]?\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(\.\d+)?Z", instant)
        if match is None:
            raise BadRequest(f"{instant[:60]!r} is no canonical instant", hint="write 2019-02-23T00:00:00Z")
        parts = [int(part) for part in match.groups()[:6]]
        micro = round(float(match[7] or 0) * 1e6)
        try:
            date = self._date(*parts, micro)
            start = self._dates(np.zeros(1), 1)[0]
            apart = float((date - start) / timedelta(microseconds=1))
            return self._months_between(start, date) if self.months else apart / self.unit
        except (ValueError, OverflowError) as error:
            raise BadRequest(
                f"the data's calendar, {self.calendar}, has no {instant}",
                hint="ask for a time of that calendar",
            ) from error

    def _months_between(self, start: Any, date: Any) -> float:
        months = (date.year - start.year) * 12 + date.month - start.month
        months -= int(self._shifted(start, months) > date)
        first, following = self._shifted(start, months), self._shifted(start, months + 1)
        return float(months + (date - first) / (following - first)) / self.months

    def _date(self, *parts: int) -> Any:
        with warnings.catch_warnings(action="ignore"):  # that CF has no year 0
            return cftime.datetime(*parts, calendar=self.calendar, has_year_zero=self._has_year_zero)

    @property
    def _has_year_zero(self) -> bool | None:
        named = re.match(r"[+-]?0+-", self.reference) is not None or self.reference.startswith("-")
        return True if named else None

    def _dates(self, values: npt.NDArray[np.float64], unit: int | None = None) -> list[Any]:
        if self.months and unit is None:
            values, unit = self._counted(values), 1
        try:
            with warnings.catch_warnings(action="ignore"):  # that CF has no year 0
                dates = cftime.num2date(
                    np.round(values * (unit or self.unit)),
                    f"microseconds since {self.reference}",
                    calendar=self.calendar,
                    only_use_cftime_datetimes=True,
                    has_year_zero=self._has_year_zero,
                )
        except (ValueError, OverflowError, TypeError) as error:
            raise DataUnreadable(
                f"the times since {self.reference[:60]!r} cannot be read in calendar {self.calendar}: {error}"
            ) from error
        found: list[Any] = np.atleast_1d(dates).tolist()
        return found


@lru_cache(maxsize=1024)
def _check(reference: str, calendar: str) -> None:
    """Refuse a reference that cannot be read. Raises DataUnreadable."""
    Clock(1, reference, calendar).instants(np.zeros(1))


def duration(units: str) -> int | None:
    """Return the microseconds of a unit of time; None where it is none, or of no fixed length."""
    name = units.strip().lower()
    return _MICROSECONDS.get(name) or _MICROSECONDS.get(name.removesuffix("s"))


def position(instant: str) -> int:
    """Return the microseconds that order canonical instants of any one calendar, as if each month had 31 days."""
    sign = -1 if instant.startswith("-") else 1
    year, month, day, clock = re.split("[-T]", instant.lstrip("+-"), maxsplit=3)
    hour, minute, second = clock.removesuffix("Z").split(":")
    whole, _, fraction = second.partition(".")
    days = (sign * int(year) * 12 + int(month) - 1) * 31 + int(day) - 1
    return (
        ((days * 24 + int(hour)) * 60 + int(minute)) * 60_000_000
        + int(whole) * 1_000_000
        + int(f"{fraction:0<6}")
    )


def _plain(reference: str) -> str:
    """A reference date as cftime and ISO 8601 read it: `1-1-1 00:00:0.0` and `2000-01-01T00:00:00 UTC` alike."""
    match = re.match(
        r"([+-]?\d{1,7})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2})(?::(\d{1,2}))?(?::(\d{1,2})(\.\d*)?)?)?(.*)",
        reference,
    )
    if match is None:
        return reference
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    zone = match[8].strip()
    sign = re.fullmatch(r"([+-]?)(\d{1,2})(?::?(\d{2}))?", zone)
    if sign and zone:
        zone = f"{sign[1] or '+'}{int(sign[2]):02}:{sign[3] or '00'}"
    elif zone.upper() in {"Z", "UTC", "GMT"}:
        zone = ""
    whole = f"{year:04}" if year >= 0 else f"{year:05}"
    fraction = (match[7] or "").rstrip(".")
    return f"{whole}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}{zone}"


def _text(date: Any) -> str:
    year = f"{date.year:04}" if 0 <= date.year <= 9999 else f"{date.year:+05}"  # noqa: PLR2004
    clock = f"{date.hour:02}:{date.minute:02}:{date.second:02}.{date.microsecond:06}"
    return _trimmed(f"{year}-{date.month:02}-{date.day:02}T{clock}")


def _trimmed(text: str) -> str:
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"
