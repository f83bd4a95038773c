"""Words, numbers and dates as a language's readers write them; words are in translations/<language>.toml."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal, get_args

from catalog.record import BBox, TimeRange, longitude

Language = Literal["vi", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_INSTANT = re.compile(r"(?P<year>[+-]?\d+)-(?P<month>\d\d)-(?P<day>\d\d)T(?P<hour>\d\d):(?P<minute>\d\d)")
_KILO = 1000


@dataclass(frozen=True, slots=True)
class Translation:
    """A language's words by key; called with a key and its placeholders' values, it returns a sentence."""

    language: Language
    words: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return the words of a key, with `{name}` replaced. Raises KeyError for a key that is not there."""
        return self.words[key].format(**values) if values else self.words[key]

    def number(self, value: float) -> str:
        """Write a number with at most four decimals: 1.234,5 in Vietnamese, 1,234.5 in English."""
        small = 0 < abs(value) < 0.001  # noqa: PLR2004 - four decimals would leave nothing of it
        text = f"{value:.3g}" if small else f"{value:,.4f}".rstrip("0").rstrip(".")
        return text.translate(str.maketrans(",.", ".,")) if self.language == "vi" else text

    def size(self, count: float) -> str:
        """Write a number of bytes in decimal units (1 kB is 1,000 bytes)."""
        amount, unit = float(count), "B"
        for larger in ("kB", "MB", "GB", "TB", "PB"):
            if amount < _KILO:
                break
            amount, unit = amount / _KILO, larger
        return f"{self.number(round(amount, 1))} {unit}"

    def day(self, instant: str, *, clock: bool = True) -> str:
        """Write the day of an instant, and its clock (UTC) unless it is midnight or a day's last moment."""
        part = _INSTANT.match(instant)
        if part is None:
            return instant
        order = "{day}/{month}/{year}" if self.language == "vi" else "{year}-{month}-{day}"
        moment = f"{part['hour']}:{part['minute']}"
        timed = clock and moment not in {"00:00", "23:59"}
        return order.format(**part.groupdict()) + (f" {moment} UTC" if timed else "")

    def period(self, time: TimeRange | None, *, clock: bool = True) -> str:
        """Write a time range; an open end is said, and a calendar other than the usual one is named."""
        if time is None or (time.start is None and time.end is None):
            return ""
        start, end = (
            self.day(instant, clock=clock) if instant else None for instant in (time.start, time.end)
        )
        if start and end:
            text = start if start == end else f"{start} – {end}"
        else:
            text = self("time.since", day=start) if start else self("time.until", day=end)
        usual = time.calendar in {"standard", "gregorian", "proleptic_gregorian"}
        return text if usual else f"{text} ({self('time.calendar', name=time.calendar)})"

    def box(self, box: BBox) -> str:
        """Write a box as two ranges of degrees, with the names of the four winds."""
        longitudes = f"{self.longitude(box.west)} – {self.longitude(box.east)}"
        return f"{longitudes}; {self.latitude(box.south)} – {self.latitude(box.north)}"

    def longitude(self, degrees: float) -> str:
        """Write a longitude, to 0.01°; beyond 180° it is counted from the other side."""
        rounded = round(longitude(degrees), 2)
        wind = "" if rounded in {-180, 0, 180} else self("wind.east" if rounded > 0 else "wind.west")
        return f"{self.number(abs(rounded))}°{wind}"

    def latitude(self, degrees: float) -> str:
        """Write a latitude, to 0.01°."""
        rounded = round(degrees, 2)
        wind = "" if rounded == 0 else self("wind.north" if rounded > 0 else "wind.south")
        return f"{self.number(abs(rounded))}°{wind}"


@cache
def translation(language: Language) -> Translation:
    """Return the translation into a language."""
    text = resources.files(__package__).joinpath("translations", f"{language}.toml").read_text("utf-8")
    return Translation(language, MappingProxyType(dict(_flat(tomllib.loads(text)))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, str):
            yield prefix + key, value
        else:
            yield from _flat(value, f"{prefix}{key}.")
