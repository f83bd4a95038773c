"""A record made of what a document gave, or BadDocument; ways to the data, each for itself."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note
from catalog.errors import BadDocument
from catalog.record import Distribution, Record
from catalog.source import Document


def record(document: Document, fields: Mapping[str, Any]) -> Record:
    """Return the record of a document: the fields, and the document's id, source, native id and hash.

    Raises:
        BadDocument: No valid record can be made of the fields.
    """
    try:
        return Record(
            id=document.id,
            source=document.source,
            native_id=document.native_id,
            document_hash=document.hash,
            **fields,
        )
    except ValidationError as error:
        raise BadDocument(f"no record can be made of it: {clean.complaint(error)}") from error


def distributions(items: Iterable[Mapping[str, Any]]) -> tuple[tuple[Distribution, ...], Notes]:
    """Return the valid ways to the data, each once, and a note for each that had to be left out."""
    found: list[Distribution] = []
    notes: Notes = ()
    for item in items:
        try:
            found.append(Distribution.model_validate(item))
        except ValidationError as error:
            notes += (
                note("distribution-left-out", f"a way to the data was left out: {clean.complaint(error)}"),
            )
    return tuple(dict.fromkeys(found)), tuple(dict.fromkeys(notes))
