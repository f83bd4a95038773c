"""Words of a text, folded for search: the same on both sides of every comparison.

Folding is for finding only and is never shown: NFKD without marks, case-folded, and đ→d by hand (it has no
decomposition), so "nhiet do", "nhiệt độ" (NFC or NFD) and "NHIỆT ĐỘ" are the same words.
"""

import re
import unicodedata
from functools import lru_cache

_LONGEST = 500
_WORD = re.compile(rf"[^\W_]{{1,{_LONGEST}}}")
"""A run of letters and digits; a longer one is cut into pieces, so that no index meets its own limit."""

_BLANKED = bytes(code if chr(code).isalnum() else 32 for code in range(128)).ljust(256)
"""ASCII with blanks for what is neither letter nor digit."""

_PIECE = re.compile(r"\S{1,64}|\s{1,64}")
"""A word, or a piece of a long one: what is folded is remembered, so it is short."""


_SHORT = 100  # letters of a text whose words are remembered: keywords, names and labels come again and again


def fold(text: str) -> str:
    """Fold for search only: NFKD without marks, case-folded, đ→d; a text folds as its pieces do."""
    return text.lower() if text.isascii() else "".join(map(_folded, _PIECE.findall(text)))


@lru_cache(maxsize=16_384)
def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold()).replace("đ", "d")
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()


def tokens(text: str) -> tuple[str, ...]:
    """Return the folded words of a text: runs of letters and digits; `_` separates."""
    return _tokens(text) if len(text) <= _SHORT else _runs(fold(text))


def exact_tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text with their diacritics (NFC, case-folded), by which hits are ranked."""
    return _exact_tokens(text) if len(text) <= _SHORT else _written(text)


@lru_cache(maxsize=16_384)
def _tokens(text: str) -> tuple[str, ...]:
    return _runs(fold(text))


@lru_cache(maxsize=16_384)
def _exact_tokens(text: str) -> tuple[str, ...]:
    return _written(text)


def _written(text: str) -> tuple[str, ...]:
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()
    return _runs(plain)


def _runs(text: str) -> tuple[str, ...]:
    """The runs of letters and digits of a text; of ASCII as `_WORD` finds them, in a third of its time."""
    if text.isascii():
        words = tuple(text.encode().translate(_BLANKED).decode().split())
        if len(text) <= _LONGEST or max(map(len, words), default=0) <= _LONGEST:
            return words
    return tuple(_WORD.findall(text))
