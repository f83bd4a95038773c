"""Datasets that are asked for one by one: which of them a source wants, which are lost, and when to stop asking."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from catalog.errors import BadDocument, CatalogError, Unreachable
from catalog.record import Record, Text
from catalog.source import Document, Source

_MOST_SILENCES = 3
_ANSWERS = frozenset(range(400, 500)) - {408, 425, 429}
_DOWN = {None, 408, 425, 429, 502, 503, 504}


@dataclass(frozen=True)
class Silences:
    """How many datasets in a row got no answer: at the third it is the server that is down, not its datasets.

    Args:
        count: So many.
    """

    count: int = 0

    def after(self, error: CatalogError) -> Self:
        """Count an error; one that is an answer ends the row. Raises the error at the third silence in a row."""
        silent = isinstance(error, Unreachable) and error.details.get("status") in _DOWN
        count = self.count + 1 if silent or "seconds" in error.details else 0
        if count == _MOST_SILENCES:
            raise error
        return type(self)(count)


def is_refusal(error: CatalogError) -> bool:
    """Tell whether a server answered that it does not give this, now or later (4xx but for those that ask to wait)."""
    return isinstance(error, Unreachable) and error.details.get("status") in _ANSWERS


def lost(document: Document, error: CatalogError) -> Document:
    """Return a document whose content could not be had."""
    return document.model_copy(update={"content": b"", "problem": f"{error.code}: {error.message}"})


def is_wanted(source: Source, read: Callable[[Document], Record], document: Document) -> bool:
    """Tell whether a dataset meets a source's `bbox` and has its `search` words, as far as its record says.

    One that does not say where it is, is wanted, and one that cannot be read.
    """
    if source.bbox is None and not source.search:
        return True
    try:
        record = read(document)
    except BadDocument:
        return True
    boxes = record.extent.boxes
    if source.bbox is not None and boxes and not any(source.bbox.intersects(box) for box in boxes):
        return False
    said = _folded("\n".join(_words(record)))
    return all(word in said for word in _folded(source.search).split())


def _words(record: Record) -> list[str]:
    """What a record says that people search for."""
    titles: list[Text | None] = [record.title, record.summary, *record.keywords]
    titles += [variable.title for variable in record.variables]
    names = [name for one in record.variables for name in (one.name, one.standard_name) if name]
    parties = [party.name for party in record.parties]
    return [
        record.native_id,
        *names,
        *parties,
        *(words for text in titles if text for words in text.words.values()),
    ]


def _folded(text: str) -> str:
    """Small letters without accents; đ is d."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
