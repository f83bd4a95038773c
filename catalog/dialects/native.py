"""The record's own JSON: it forgets nothing, the id and the document's hash included."""

from pydantic import ValidationError

from catalog.dialects._words import complaint
from catalog.errors import BadDocument
from catalog.record import Record
from catalog.source import Document

MEDIA_TYPE = "application/json"


def read(document: Document) -> Record:
    """Read a record from its own JSON; id, source and hash are those in the JSON, not the document's.

    Raises:
        BadDocument: The bytes are not the JSON of a valid record.
    """
    try:
        return Record.model_validate_json(document.content)
    except ValidationError as error:
        raise BadDocument(f"this is not a record's JSON: {complaint(error)}") from error


def write(record: Record) -> bytes:
    """Write a record as JSON (UTF-8), without the fields that have their default."""
    return record.model_dump_json(exclude_defaults=True).encode()
