"""Whether data are as new as they promise to be: by the words for how often they come, or by their own step.

How often a source says that data come is told in many ways: ISO 19115's MD_MaintenanceFrequencyCode, the frequencies
of the EU's vocabulary and of Dublin Core's Collection Description, durations of ISO 8601, plain words in English or
Vietnamese. A rhythm that is not understood promises nothing.
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from catalog.instant import seconds
from catalog.record import Distribution, Record
from catalog.words import fold

PATIENCE = 3
"""So many periods may pass without new data, ..."""

GRACE_SECONDS = 2 * 86_400.0
"""... and this much beside, before data are late: what is published takes its time."""

_HOUR, _DAY = 3_600.0, 86_400.0
_MONTH, _YEAR = 31 * _DAY, 366 * _DAY
_SINGLE_FILES = frozenset({"file", "http", "table"})

_UNITS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("minute", "minutes", "min", "phut"), 60.0),
        **dict.fromkeys(("hour", "hours", "hourly", "hr", "h", "gio"), _HOUR),
        **dict.fromkeys(("day", "days", "daily", "d", "ngay"), _DAY),
        **dict.fromkeys(("week", "weeks", "weekly", "tuan"), 7 * _DAY),
        **dict.fromkeys(("month", "months", "monthly", "thang"), _MONTH),
        **dict.fromkeys(("quarter", "quarters", "quarterly", "quy"), 3 * _MONTH),
        **dict.fromkeys(("year", "years", "yearly", "annual", "annually", "nam"), _YEAR),
        **dict.fromkeys(("continual", "continuous", "continuously", "cont", "update_cont"), _DAY),
        **dict.fromkeys(("realtime", "real-time", "real time", "near real time", "near-real-time", "nrt"), _DAY),
        **dict.fromkeys(("weekdays", "workingdays"), 3 * _DAY),
        **dict.fromkeys(("fortnightly", "biweekly", "every two weeks"), 14 * _DAY),
        "daily_2": _DAY,
        **dict.fromkeys(("semimonthly", "monthly_2", "monthly_3", "threetimesamonth"), 16 * _DAY),
        **dict.fromkeys(("semiweekly", "weekly_2", "weekly_3", "weekly_5", "threetimesaweek"), 4 * _DAY),
        **dict.fromkeys(("bimonthly", "every two months"), 2 * _MONTH),
        **dict.fromkeys(("annual_3", "threetimesayear"), 4 * _MONTH),
        **dict.fromkeys(("biannually", "biannual", "annual_2", "semiannual", "semiannually", "half-yearly"), _YEAR / 2),
        **dict.fromkeys(("biennial", "biennially"), 2 * _YEAR),
        **dict.fromkeys(("triennial", "triennially"), 3 * _YEAR),
        **dict.fromkeys(("quinquennial", "quinquennially"), 5 * _YEAR),
        **dict.fromkeys(("decennial", "decennially"), 10 * _YEAR),
    }
)  # fmt: skip
"""Seconds of what may stand for a rhythm, folded; months and years at their longest."""

_COUNTED = re.compile(
    r"(?:(?:every|each|once an?|once per|per|moi|hang|theo|dinh ky|cap nhat)[\s:]*)*"
    r"(?:(?P<count>\d{1,4}(?:[.,]\d{1,3})?)?[\s-]*)(?P<unit>[a-z][a-z_ -]*?)(?:\s*(?:/|mot)\s*lan)?",
    re.ASCII,
)
_DURATION = re.compile(
    r"(?:r\d*/)?p(?:(?P<y>[\d.]+)y)?(?:(?P<mo>[\d.]+)m)?(?:(?P<w>[\d.]+)w)?(?:(?P<d>[\d.]+)d)?"
    r"(?:t(?:(?P<h>[\d.]+)h)?(?:(?P<mi>[\d.]+)m)?(?:(?P<s>[\d.]+)s)?)?",
    re.ASCII,
)
_LENGTHS = {"y": _YEAR, "mo": _MONTH, "w": 7 * _DAY, "d": _DAY, "h": _HOUR, "mi": 60.0, "s": 1.0}
_NONE = re.compile(
    r"as ?needed|irreg(ular(ly)?)?|not ?planned|none( ?planned)?|never|unknown|other|completed?|op_datpro|"
    r"no (more )?updates?|static|khong .*|khi can( thiet)?",
    re.ASCII,
)


def rhythm(said: str | None) -> float | None:
    """Return the seconds from one publication to the next that words stand for.

    Returns:
        Infinity for words that promise nothing (`irregular`, `notPlanned`); None where nothing, or nothing that is
        understood, is said.
    """
    text = " ".join(fold(said or "").split()).strip(" .")
    if "://" in text:
        text = text.rstrip("/#").replace("#", "/").rpartition("/")[2]
    if not text:
        return None
    if _NONE.fullmatch(text):
        return math.inf
    if (duration := _DURATION.fullmatch(text)) and any(duration.groups()):
        return _length(duration)
    counted = _COUNTED.fullmatch(text)
    if counted is None or (unit := _UNITS.get(counted["unit"].strip())) is None:
        return _UNITS.get(text)
    count = float((counted["count"] or "1").replace(",", "."))
    return unit * count or None


def _length(duration: re.Match[str]) -> float | None:
    try:
        return sum(float(duration[name]) * size for name, size in _LENGTHS.items() if duration[name]) or None
    except ValueError:  # 1.2.3
        return None


def late(record: Record, way: Distribution, newest: str, step: float | None, moment: str) -> str:
    """Return why data are stale, in a sentence; "" where they are not.

    They are when their newest time is older than three periods and two days: periods of what the record says of its
    updates, else of the step of the axis. The step promises only where more than a closed record of the past is to be
    expected: the record's time has an open end, or goes on beyond the data; or, of anything but a single file, the
    record was changed while the data were new. What was changed long after the end of its data is finished.

    Args:
        record: The description.
        way: The distribution that was read.
        newest: The newest time that it has.
        step: Seconds from one of its times to the next; None where that is not known.
        moment: Now.
    """
    said = rhythm(record.update_frequency)
    period = step if said is None else said
    if period is None or math.isinf(period):
        return ""
    allowed = PATIENCE * period + GRACE_SECONDS
    age = seconds(moment) - seconds(newest)
    if age <= allowed or not _goes_on(record, way, newest, allowed, is_said=said is not None):
        return ""
    promised = (
        f"updates are promised {record.update_frequency!r}" if said else f"its step is {_spoken(period)}"
    )
    return f"its newest data are of {newest[:10]}, {_spoken(age)} ago, and {promised}"[:500]


def _goes_on(record: Record, way: Distribution, newest: str, allowed: float, *, is_said: bool) -> bool:
    """Tell whether more data than there are were to be expected."""
    time = record.extent.time
    if time is not None and (time.end is None or seconds(time.end) - seconds(newest) > allowed):
        return True
    if record.modified is not None:
        was_new = seconds(record.modified) - seconds(newest) <= allowed
        return was_new and (is_said or way.protocol not in _SINGLE_FILES)
    return is_said


def _spoken(length: float) -> str:
    """A length of time in its largest unit, about: `3 days`."""
    for size, name in ((_YEAR, "year"), (_MONTH, "month"), (_DAY, "day"), (_HOUR, "hour"), (60.0, "minute")):
        if length >= size * 0.99:
            count = round(length / size)
            return f"{count} {name}{'s' * (count != 1)}"
    return f"{length:g} seconds"
