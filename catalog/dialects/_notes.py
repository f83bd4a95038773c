"""Quality notes that a document carries, so that reading it again tells what was once repaired."""

import re
from collections.abc import Iterable, Iterator

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note
from catalog.record import MOST, QualityNote, Text

_CODE = re.compile(r"[a-z0-9-]{1,60}")


def carried(said: Iterable[tuple[object, object]]) -> Notes:
    """Return the notes of pairs of a code and a sentence; what is none is left out."""
    return tuple(dict.fromkeys(_notes(said)))


def _notes(said: Iterable[tuple[object, object]]) -> Iterator[QualityNote]:
    for at, (code, text) in enumerate(said):
        called, sentence = clean.words(code, 61) or "", clean.words(text)
        if at < MOST["quality"] and sentence and _CODE.fullmatch(called):
            yield QualityNote(code=called, text=sentence)


def titled(title: Text | None, *names: object, called: str = "name") -> tuple[Text, Notes]:
    """Return a title; where there is none, the first of some names that is one, and a note that says so."""
    if title is not None:
        return title, ()
    made = next((said for value in names if (said := clean.name(value))), "?")
    said = f"the source gives no title; its {called} stands for it"
    return Text.of(made), (note("title-missing", said),)


def together(*several: Notes) -> Notes:
    """Return notes of several kinds, each once, those that were carried first."""
    return tuple(dict.fromkeys(note for notes in several for note in notes))
