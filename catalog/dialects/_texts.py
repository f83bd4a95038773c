"""Words by language: JSON objects of language tag → words, and words whose language is said beside them."""

from collections.abc import Iterable
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._languages import UNKNOWN
from catalog.dialects._languages import language as _language
from catalog.record import Text


def language(value: Any) -> str:
    """Return the language that a value names, `vi` or {"code": "vi"} (OGC API - Records, STAC), `und` for none."""
    return _language(clean.mapping(value).get("code") or value)


def by_language(value: Any) -> Text | None:
    """Return the text of an object of words by language; None where it is none."""
    given = clean.mapping(value)
    known = {key: code for key in given if (code := _language(key)) != UNKNOWN or key == UNKNOWN}
    return clean.text({code: given[key] for key, code in known.items()})


def first(said: Iterable[tuple[str, Any]]) -> Text | None:
    """Return the text of pairs of a language and words: in each language the first that has any."""
    found: dict[str, Any] = {}
    for tag, value in said:
        if clean.words(value):
            found.setdefault(tag, value)
    return clean.text(found)


def text(value: Any, tag: str = UNKNOWN) -> Text | None:
    """Return the text of words in a language, or of an object of words by language."""
    return by_language(value) if isinstance(value, dict) else clean.text({tag: value})
