"""Strangers' values made fit for a record: words no control characters, finite numbers, web addresses."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args

from pydantic import ValidationError

from catalog import instant
from catalog.errors import BadRequest
from catalog.record import Kind, Text

MAX_WORDS = 200_000
MAX_NAME = 1_000
MAX_ADDRESS = 4_000
MAX_NUMBER = 1e300
_LISTS, _NUMBERS, _NUMERALS = (
    (list, tuple),
    (int, float),
    (int, float, str),
)  # a union is made anew at each look
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_DOI = re.compile(r"10\.[0-9]{4,9}/[^\s\"<>]+")
_BASIC = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[T ]?([0-9]{2})([0-9]{2})([0-9]{2})?(?:\.[0-9]+)?)?(?:Z|UTC)?"
)
_BARE_NUMBER = re.compile(r"[+-]?[0-9]{5,}")
_WEB = re.compile(r"https?://[^\s\"<>]+", re.IGNORECASE)


def complaint(error: ValidationError) -> str:
    """Return the first fault of a validation as a short sentence: where, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"[:300]


def words(value: Any, limit: int = MAX_WORDS) -> str | None:
    """Return a value as clean words, or None where there are none.

    Control characters, NULs and lone surrogates are dropped (line ends and tabs stay); numbers are written
    out; the words of a list are joined by ", "; anything else is no words.
    """
    if value is None:
        return None
    if isinstance(value, str):
        clean = (value if value.isprintable() else _cleaned(value)).strip()
        return (clean if len(clean) <= limit else clean[:limit].rstrip()) or None
    if isinstance(value, _LISTS):
        value = ", ".join(part for part in map(words, value) if part) if _flat(value) else None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, _NUMBERS):
        return repr(value) if -MAX_NUMBER < value < MAX_NUMBER else None
    return words(value, limit) if isinstance(value, str) else None


def _cleaned(value: str) -> str:
    return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))


def _flat(value: Iterable[Any]) -> bool:
    return not any(isinstance(part, (*_LISTS, dict)) for part in value)


def name(value: Any) -> str | None:
    """Return clean words of at most 1,000 characters on one line, or None."""
    said = words(value)
    if said and (not said.isprintable() or "  " in said or len(said) > MAX_NAME):
        return " ".join(said.split())[:MAX_NAME].rstrip() or None
    return said


def each(value: Any) -> tuple[str | None, ...]:
    """Return a value that may be a list as a tuple of names, None in the place of what is no name."""
    return tuple(map(name, value)) if isinstance(value, _LISTS) else (name(value),)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one where the value is something else."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the JSON objects of a list; what is none is left out."""
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, _LISTS) else ()


def number(value: Any) -> float | None:
    """Return a finite number, also from its decimal text or a list of one, or None."""
    if isinstance(value, _LISTS) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, _NUMERALS):
        return None
    try:
        found = float(value[:60] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """Return a whole number ≥ 0 that fits 63 bits, or None."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < 2**63 and found == int(found) else None


def address(value: Any) -> str | None:
    """Return the first http(s) address in a text, or None; no other scheme is let in."""
    said = words(value)
    found = _WEB.search(said) if said else None
    link = found[0].rstrip(".,;)]}'") if found else ""
    return link if len(link) > len("https://") and len(link) <= MAX_ADDRESS else None


def doi(*values: Any) -> str | None:
    """Return the first DOI in some texts, without resolver or trailing punctuation, or None."""
    for value in values:
        said = words(value)
        found = _DOI.search(said) if said and "10." in said else None
        if found and len(link := found[0].rstrip(".,;)]}'")) > found[0].index("/") + 1:
            return link
    return None


def moment(value: Any, *, end: bool = False) -> str | None:
    """Return a canonical instant of a liberally written time, also in ISO 8601's basic form, or None."""
    said = words(value, 60) or ""
    basic = _BASIC.fullmatch(said)
    if basic:
        date, clock = "-".join(basic.group(1, 2, 3)), ":".join(part or "00" for part in basic.group(4, 5, 6))
        said = f"{date}T{clock}Z" if basic[4] else date
    try:
        return None if not said or _BARE_NUMBER.fullmatch(said) else instant.canonical(said, end=end)
    except BadRequest:
        return None


def kind(value: Any) -> Kind | None:
    """Return a kind of data by its name; None for what is none."""
    return cast("Kind", value) if isinstance(value, str) and value in get_args(Kind) else None


def text(said: Mapping[str, Any]) -> Text | None:
    """Return a text of values by language, without `und` where another language says the same."""
    clean = {language: found for language, value in said.items() if (found := words(value))}
    if "und" in clean and clean["und"] in [value for key, value in clean.items() if key != "und"]:
        del clean["und"]
    return Text(words=clean) if clean else None
