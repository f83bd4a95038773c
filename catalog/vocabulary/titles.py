"""What titles of datasets say: their words, in either language the same, and what tells one product from another.

`titles.tsv` is the table: words by which products differ (how often, how late, which statistic, layer, platform …),
words of places and things in Vietnamese and English, and words that say nothing. Names of variables come from
`variables.tsv`. A word with diacritics is looked up as it is written, so that `sóng` is no `sông`; a word without them
by its folded form, where that means one thing only. Numbers are read apart: versions, dates, sizes, and letters that
number things.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType

from catalog.vocabulary import vocabulary
from catalog.words import exact_tokens, fold, tokens

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"plain": 0.0, "common": 0.5, "quantity": 1.0, "place": 1.0, "thing": 1.0, "name": 2.0}
)
"""How much a word says, by its kind: the rarer words of that kind are in titles, the more."""

_WORDS_TOO = frozenset(
    {"platform", "instrument", "model"}
)  # kinds by which products differ, and names as well
_VERSION = re.compile(
    r"(?<![a-z0-9])(?:v|ver|vers|version|phien ban|release|rev|r)[ ._-]{0,2}(\d{1,4}(?:[._]\d{1,4}){0,3})"
    r"(?:r(\d{1,3}))?"
    r"(?![a-z0-9])|(?<=\d)v(\d{1,3})(?![a-z0-9])|(?<![\d.])(\d{1,2}(?:\.\d{1,3}){2,3})(?![\d.])"
)
_YEAR = r"(?:1[89]|20)\d\d"
_DATES = (
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})-?(?P<m>0[1-9]|1[0-2])-?(?P<d>0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(rf"(?<!\d)(?P<d>0?[1-9]|[12]\d|3[01])[/.](?P<m>0?[1-9]|1[0-2])[/.](?P<y>{_YEAR})(?!\d)"),
    re.compile(rf"(?<!\d)(?P<m>0?[1-9]|1[0-2])/(?P<y>{_YEAR})(?!\d)"),
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})-(?P<m>0[1-9]|1[0-2])(?!\d)"),
    re.compile(rf"thang (?P<m>0?[1-9]|1[0-2]),? nam (?P<y>{_YEAR})(?!\d)"),
    re.compile(
        rf"\b(?P<n>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{{0,6}}[ .,-]{{1,2}}(?P<y>{_YEAR})(?!\d)"
    ),
    re.compile(rf"(?<!\d)(?P<y>{_YEAR})(?![\d]|[.,]\d)"),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LEVEL = re.compile(r"(?<![a-z0-9])(?:level|l|muc|cap)[ -]?([0-4])(?:[abcps]|smi)?(?![a-z0-9]|[.,]\d)")
_TIMES = re.compile(r"(?<=\d)( ?°)? ?[x×] ?(?=\d)")
_NUMBER = re.compile(
    r"(?<![\d.,])(\d{1,9}(?:[.,]\d{1,6})?)(?: ?/ ?(\d{1,4}))?"
    r"(?:[ -]?(km|hpa|dbar|arc[ -]?sec\w*|arc[ -]?min\w*|degrees?|deg|do|minutes?|min|phut|seconds?|sec|giay|days?|"
    r"ngay|hours?|hourly|hrs?|gio|weeks?|tuan|months?|thang|years?|nam|metres?|meters?|met|m|h|°|'|\")(?![a-z]))?"
)
_UNITS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "km": ("km", 1), "arcsec": ("degree", 1 / 3600), "arcmin": ("degree", 1 / 60), "degree": ("degree", 1),
        "deg": ("degree", 1), "do": ("degree", 1), "°": ("degree", 1), "minute": ("degree", 1 / 60),
        "min": ("degree", 1 / 60), "phut": ("degree", 1 / 60), "'": ("degree", 1 / 60), "second": ("degree", 1 / 3600),
        "sec": ("degree", 1 / 3600), "giay": ("degree", 1 / 3600), '"': ("degree", 1 / 3600), "met": ("m", 1),
        "meter": ("m", 1), "metre": ("m", 1), "m": ("m", 1), "hpa": ("hpa", 1), "dbar": ("dbar", 1),
        "day": ("day", 1), "ngay": ("day", 1), "hour": ("hour", 1), "hourly": ("hour", 1), "hr": ("hour", 1),
        "gio": ("hour", 1), "h": ("hour", 1), "week": ("week", 1), "tuan": ("week", 1), "month": ("month", 1),
        "thang": ("month", 1), "year": ("year", 1), "nam": ("year", 1),
    }
)  # fmt: skip
_CADENCES: Mapping[tuple[float, str], str] = MappingProxyType(
    {
        (1, "hour"): "hourly", (24, "hour"): "daily", (1, "day"): "daily", (7, "day"): "weekly", (1, "week"): "weekly",
        (1, "month"): "monthly", (3, "month"): "seasonal", (12, "month"): "annual", (1, "year"): "annual",
    }
)  # fmt: skip
_OF_TIME = frozenset({"day", "hour", "week", "month", "year"})
_LETTER = re.compile(r"(?<![^\W_])(?<!['’])(?:A(?! [a-z])|[B-Z])(?![^\W_])(?!['’])")
_ROMAN = re.compile(r"(?<![^\W_])(?:I{2,3}|IV|VI{0,3}|IX|XI{0,3}|XIV|XV)(?![^\W_])")
_SPLIT = re.compile(r"[^\W\d_]+|\d+")
_NO_NAMES = frozenset("hlmrvx")  # letters of codes that stand for units, levels and versions
_MOST = 1_000  # letters of a title that are read
Number = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Title:
    """What a title says.

    Args:
        words: Its words, names of quantities, places and things the same in both languages, with their weights.
        names: Those of the words that are names.
        marks: By what products differ: values by kind (`cadence`, `latency`, `statistic`, `level`, …).
        versions: Version numbers, without needless noughts.
        dates: Years, months (`2019-02`) and days that it names.
        numbers: Other numbers, each with its unit, "" where it has none; degrees for minutes and seconds of arc.
        order: Those of the numbers that have no unit, in their order (`leg 2-1` is not `leg 1-2`).
        letters: Single letters that number things (`Metop-B`), and Roman numbers.
    """

    words: Mapping[str, float]
    names: frozenset[str]
    marks: Mapping[str, frozenset[str]]
    versions: frozenset[str]
    dates: frozenset[str]
    numbers: frozenset[Number]
    order: tuple[float, ...]
    letters: frozenset[str]


@cache
def _rows() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    text = resources.files("catalog.vocabulary").joinpath("titles.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return tuple((kind, value, tuple(words.split("|"))) for kind, value, words in rows)


def _entries() -> Iterator[tuple[str, tuple[str, str]]]:
    """Every phrase with its kind and value; those of the table before those of variables."""
    for kind, value, phrases in _rows():
        for phrase in phrases:
            yield phrase, (kind, value)
    for concept in vocabulary().values():
        for phrase in concept.words():
            yield phrase, ("quantity", concept.standard_name)


@cache
def _tables() -> tuple[Mapping[tuple[str, ...], tuple[str, str]], Mapping[tuple[str, ...], tuple[str, str]]]:
    """Phrases as they are written, and folded ones that mean one thing, each with kind and value."""
    exact: dict[tuple[str, ...], tuple[str, str]] = {}
    folded: dict[tuple[str, ...], tuple[str, str]] = {}
    clashing: set[tuple[str, ...]] = set()
    for phrase, entry in _entries():
        written, plain = exact_tokens(phrase), tokens(phrase)
        exact.setdefault(written, entry)
        first = folded.setdefault(plain, entry)
        if first != entry and "quantity" not in (first[0], entry[0]) and len(plain) == 1:
            clashing.add(plain)
    return exact, {phrase: entry for phrase, entry in folded.items() if phrase not in clashing}


@cache
def _longest() -> int:
    return max(map(len, _tables()[0]))


@lru_cache(maxsize=8_192)
def read_title(text: str) -> Title:
    """Return what a title says; of a very long one, what its first thousand letters do."""
    given = unicodedata.normalize("NFC", text[:_MOST]).replace("º", "°")
    numbering = [*_LETTER.finditer(given, 1), *_ROMAN.finditer(given)]
    bare = _ROMAN.sub(" ", given)
    rest, versions, dates = _numbered(fold(bare))
    levels = _LEVEL.findall(rest)
    numbers, cadences = _sizes(_LEVEL.sub(" ", rest))
    words, marks, codes = _said(bare)
    if levels:
        marks["level"] = set(levels)
    for found in cadences:
        marks.setdefault("cadence", set()).add(found)
    return Title(
        words=MappingProxyType({word: weight for word, weight in words.items() if weight}),
        names=frozenset(word for word, weight in words.items() if weight >= WEIGHTS["name"]),
        marks=MappingProxyType({kind: frozenset(values) for kind, values in marks.items()}),
        versions=frozenset(versions),
        dates=frozenset(dates),
        numbers=frozenset(numbers),
        order=tuple(number for number, unit in numbers if not unit),
        letters=frozenset({*codes, *(found[0].casefold() for found in numbering)}),
    )


def _numbered(text: str) -> tuple[str, set[str], set[str]]:
    """The folded text without its versions and dates, and these."""
    versions, dates = set(), set()
    for major, revision, joined, bare in _VERSION.findall(text):
        if re.fullmatch(_YEAR, major):
            continue
        parts = [int(part) for part in re.split(r"[._]", major or joined or bare)] + (
            [int(revision)] if revision else []
        )
        while len(parts) > 1 and parts[-1] == 0:
            parts.pop()
        versions.add(".".join(map(str, parts)))
    text = _VERSION.sub(lambda found: found[0] if re.search(_YEAR, found[0]) else " ", text)
    for form in _DATES:
        for found in form.finditer(text):
            said = found.groupdict()
            month = said.get("m") or (str(_MONTHS.index(said["n"]) + 1) if said.get("n") else None)
            parts_of = [said["y"], *(f"{int(part):02}" for part in (month, said.get("d")) if part)]
            dates.add("-".join(parts_of))
        text = form.sub(" ", text)
    return text, versions, dates


def _sizes(text: str) -> tuple[list[Number], set[str]]:
    """The numbers of a folded text, and those that say how often (`8-day`, `3 giờ`)."""
    numbers: list[Number] = []
    cadences: set[str] = set()
    for whole, divisor, unit in _NUMBER.findall(_TIMES.sub(" ", text)):
        value = float(whole.replace(",", "."))
        if divisor and float(divisor):
            value /= float(divisor)
        name, factor = _UNITS[_singular(unit)] if unit else ("", 1.0)
        if name in _OF_TIME:
            cadences.add(_CADENCES.get((value, name), f"{value:g}-{name}"))
        else:
            numbers.append((float(f"{value * factor:.3g}") if value < 1_000 else value, name))  # noqa: PLR2004
    return numbers, cadences


def _singular(unit: str) -> str:
    if unit.startswith("arc"):
        return "arcsec" if "sec" in unit else "arcmin"
    return unit if unit in _UNITS else unit.rstrip("s")


def _said(text: str) -> tuple[dict[str, float], dict[str, set[str]], set[str]]:
    """The words with their weights, the marks, and letters of codes (`HY-2B`); the longest phrase counts."""
    folded = tokens(text)
    written = exact_tokens(text)
    if len(written) != len(folded):
        written = folded
    words: dict[str, float] = {}
    marks: dict[str, set[str]] = {}
    letters: set[str] = set()
    at = 0
    while at < len(folded):
        size, entry = _phrase(written, folded, at)
        for kind, value in [entry] if entry else _coded(folded[at]):
            if kind == "letter":
                letters.add(value)
            elif kind in WEIGHTS:
                words[value] = WEIGHTS[kind]
            else:
                marks.setdefault(kind, set()).add(value)
                words |= {value: WEIGHTS["name"]} if kind in _WORDS_TOO else {}
        at += size
    return words, marks, letters


def _coded(token: str) -> Iterator[tuple[str, str]]:
    """What an unknown word is: a name, or of a code like `hy2b` its names and letters; numbers are read apart."""
    parts = _SPLIT.findall(token)
    for part in parts:
        if part[0].isdigit() or part in _NO_NAMES:
            continue
        if len(part) == 1:
            yield from [("letter", part)] if len(parts) > 1 else []
        else:
            yield _tables()[1].get((part,), ("name", part)) if len(parts) > 1 else ("name", part)


def _phrase(written: tuple[str, ...], folded: tuple[str, ...], at: int) -> tuple[int, tuple[str, str] | None]:
    """The longest phrase that begins at a word, with its kind and value; one word where none does."""
    exact, plain = _tables()
    for size in range(min(_longest(), len(folded) - at), 0, -1):
        words = written[at : at + size]
        entry = exact.get(words)
        if entry is None and (size > 1 or words == folded[at : at + size]):
            entry = plain.get(folded[at : at + size])
        if entry is not None:
            return size, entry
    return 1, None


__all__ = ["WEIGHTS", "Number", "Title", "read_title"]
