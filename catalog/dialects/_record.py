"""A record made of what a document gave, or BadDocument; ways to the data, each for itself."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note
from catalog.errors import BadDocument
from catalog.record import MOST, Distribution, QualityNote, Record
from catalog.source import Document


def record(document: Document, fields: Mapping[str, Any]) -> Record:
    """Return the record of a document: the fields, and the document's id, source, native id and hash.

    Of more keywords, parties and so on than a record has room for (`MOST`) the rest are left out, with a note.

    Raises:
        BadDocument: No valid record can be made of the fields.
    """
    try:
        return Record(
            id=document.id,
            source=document.source,
            native_id=document.native_id,
            document_hash=document.hash,
            **_roomy(fields),
        )
    except ValidationError as error:
        raise BadDocument(f"no record can be made of it: {clean.complaint(error)}") from error


def _roomy(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields without what a record has no room for, and the notes that say so."""
    cut = {name: fields[name][:most] for name, most in MOST.items() if len(fields.get(name, ())) > most}
    notes = [
        _left_out(name, len(fields[name]) - len(kept), len(fields[name]))
        for name, kept in cut.items()
        if name != "quality"
    ]
    said = (*notes, *fields.get("quality", ()))
    if len(said) > MOST["quality"]:
        room = MOST["quality"] - 1
        said = (_left_out("quality notes", len(said) - room, len(said)), *said[:room])
    return {**fields, **cut, "quality": said}


def _left_out(what: str, gone: int, many: int) -> QualityNote:
    return note(f"{what.replace(' ', '-')}-left-out", f"{gone:,} of {many:,} {what} were left out")


def distributions(items: Iterable[Mapping[str, Any]]) -> tuple[tuple[Distribution, ...], Notes]:
    """Return the valid ways to the data, each once, and a note for each that had to be left out.

    No more are looked at than a record has room for; a note says that there were more.
    """
    found: list[Distribution] = []
    notes: list[QualityNote] = []
    most = MOST["distributions"]
    for at, item in enumerate(islice(items, most + 1)):
        if at == most:
            notes.append(note("distributions-left-out", f"the ways to the data after {most:,} were left out"))
            break
        try:
            found.append(Distribution.model_validate(item))
        except ValidationError as error:
            notes.append(
                note("distribution-left-out", f"a way to the data was left out: {clean.complaint(error)}")
            )
    return tuple(dict.fromkeys(found)), tuple(dict.fromkeys(notes))
