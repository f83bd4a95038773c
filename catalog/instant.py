"""Instants as ISO 8601 text, and the number that orders them.

The canonical form is `YYYY-MM-DDThh:mm:ss[.ffffff]Z`, with a year of four digits (or a sign and more), year 0
included: a climatology's own calendar may have it, and Python's `datetime` cannot hold it. The text is in the
calendar of the data; a naive time is UTC.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

from catalog.errors import BadRequest

CANONICAL = re.compile(r"[+-]?\d{4,7}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_LIBERAL = re.compile(
    r"(?P<year>[+-]?\d{4,7})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"
    r"(?:[T ](?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d+)?)?)?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MOST_DAYS = 31
_OPEN = {"", ".."}
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_FARTHEST = 999_999 * 365.2425 * 86_400


def _length(year: int, month: int) -> int:
    """Days of a month in the proleptic Gregorian calendar."""
    if month == 2 and not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):  # noqa: PLR2004
        return 28
    return _MONTH_DAYS[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, year 0 included.

    A day that a month lacks there (30 February of a 360-day calendar) counts as the month's last day.
    """
    day = min(day, _length(year, month))
    shifted = year - (month <= 2)  # noqa: PLR2004 - the year starts in March here, so leap days come last
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1  # noqa: PLR2004
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def seconds(instant: str) -> float:
    """Return the seconds since 1970-01-01T00:00:00Z of a canonical instant (negative before it).

    Every time of a day that the month lacks in the Gregorian calendar counts as the month's last moment, so that the
    order of instants of other calendars is kept.
    """
    return _seconds(instant)


@lru_cache(maxsize=8_192)
def _seconds(instant: str) -> float:
    match = _LIBERAL.fullmatch(instant)
    if match is None:
        raise BadRequest(f"{instant!r} is not an instant", hint="write 2019-02-23T00:00:00Z")
    year, month, day, hour, minute, second = (int(match[name] or 0) for name in _PARTS)
    month, day = month or 1, day or 1
    days = _days(year, month, day)
    if day > _length(year, month):
        return days * 86400.0 + 86399.999999
    clock = hour * 3600 + minute * 60 + second
    return days * 86400.0 + clock + float(match["fraction"] or 0) - _offset(match["zone"])


def _offset(zone: str | None) -> int:
    if zone is None or zone in {"Z", "UTC"}:
        return 0
    sign = -1 if zone[0] == "-" else 1
    return sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)


def _from_seconds(total: int, fraction: str) -> str:
    """The canonical instant of whole seconds since 1970 (civil-from-days, proleptic Gregorian)."""
    days, clock = divmod(total, 86400)
    era, of_era = divmod(days + 719468, 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + (3 if shifted < 10 else -9)  # noqa: PLR2004
    year = year_of_era + era * 400 + (month <= 2)  # noqa: PLR2004
    hour, rest = divmod(clock, 3600)
    return f"{_year(year)}-{month:02}-{day:02}T{hour:02}:{rest // 60:02}:{rest % 60:02}{fraction}Z"


def of_seconds(total: float) -> str:
    """Return the canonical instant of seconds since 1970-01-01T00:00:00Z, to the microsecond.

    Raises:
        BadRequest: It is no finite number, or lies beyond the year ±999,999.
    """
    if not abs(total) < _FARTHEST:
        raise BadRequest(f"{total} seconds since 1970 is not a time")
    whole, micro = divmod(round(total * 1_000_000), 1_000_000)
    return _from_seconds(whole, f".{micro:06}".rstrip("0").rstrip("."))


def _year(year: int) -> str:
    return f"{year:04}" if 0 <= year <= 9999 else f"{year:+05}"  # noqa: PLR2004


def _exists(match: re.Match[str]) -> bool:
    """Tell whether there is such a time: 24:00:00 and a leap second are, a 30 February is in some calendars."""
    parts = {name: int(match[name]) for name in _PARTS if match[name]}
    clock = (parts.get("hour", 0), parts.get("minute", 0), parts.get("second", 0))
    return (
        1 <= parts.get("month", 1) <= 12  # noqa: PLR2004
        and 1 <= parts.get("day", 1) <= 31  # noqa: PLR2004
        and (clock[0] < 24 or clock == (24, 0, 0))  # noqa: PLR2004
        and clock[1] < 60  # noqa: PLR2004
        and clock[2] <= 60  # noqa: PLR2004
        and abs(_offset(match["zone"])) < 86400  # noqa: PLR2004
    )


def canonical(text: str, *, end: bool = False, any_calendar: bool = False) -> str:
    """Return the canonical form of a liberally written instant.

    Args:
        text: ISO 8601: a year, a month, a day or a time, with or without a zone (naive is UTC).
        end: Read a year, month or day as its last moment instead of its first (`2019-02` → the end of February).
        any_calendar: Let that month end on the 31st, which no calendar's month outlasts: 30 February of a 360-day
            calendar is in it. `seconds` is that of the month's last moment all the same.

    Raises:
        BadRequest: The text is no instant.
    """
    return _canonical(text, end, any_calendar)


@lru_cache(maxsize=8_192)
def _canonical(text: str, end: bool, any_calendar: bool) -> str:  # noqa: FBT001 - remembered by position
    match = _LIBERAL.fullmatch(text.strip())
    if match is None or not _exists(match):
        raise BadRequest(f"{text[:60]!r} is not a time", hint="write 2019-02-23 or 2019-02-23T06:00:00Z")
    year, month, day, hour, minute, second = (int(match[name] or 0) for name in _PARTS)
    if end and match["hour"] is None:
        month = month or 12
        day = day or (_MOST_DAYS if any_calendar else _length(year, month))
        return f"{_year(year)}-{month:02}-{day:02}T23:59:59.999999Z"
    fraction = (match["fraction"] or "")[:7].rstrip("0").rstrip(".")
    if match["zone"] in {None, "Z", "UTC"} and hour < 24 and second < 60:  # noqa: PLR2004
        stamp = f"{hour:02}:{minute:02}:{second:02}{fraction}Z"
        return f"{_year(year)}-{month or 1:02}-{day or 1:02}T{stamp}"
    total = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - _offset(match["zone"])
    return _from_seconds(total, fraction)


def interval(text: str, *, any_calendar: bool = False) -> tuple[str | None, str | None]:
    """Read `a/b`, `a/..`, `../b` or a single `a` as (first, last) canonical instants, both included.

    A day, month or year written as the end stands for its last moment; a single one stands for its whole length,
    with `any_calendar` that of the data's own calendar, as in `canonical`.

    Raises:
        BadRequest: A part is no time, or the end is before the start.
    """
    first, slash, last = text.partition("/")
    if not slash:
        last = first
    start = None if first.strip() in _OPEN else canonical(first)
    stop = None if last.strip() in _OPEN else canonical(last, end=True, any_calendar=any_calendar)
    if start is None and stop is None and text.strip() not in {"../..", "/", "../", "/.."}:
        raise BadRequest(
            f"{text[:60]!r} is not a time", hint="write time=2019-01-01/2019-12-31; .. is an open end"
        )
    if start is not None and stop is not None and seconds(start) > seconds(stop):
        raise BadRequest(f"the time range {text[:80]!r} ends before it starts", hint="write time=first/last")
    return start, stop


def _is_canonical(text: str) -> str:
    if not CANONICAL.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not an instant such as 2019-02-23T00:00:00Z")
    return canonical(text)


Instant = Annotated[str, AfterValidator(_is_canonical)]
"""A canonical instant, as a field of a model."""


def now() -> str:
    """Return the present moment as a canonical instant, to the microsecond, UTC."""
    moment = datetime.now(UTC)
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}{fraction}Z"
