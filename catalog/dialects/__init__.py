"""Dialects are vocabularies that are read and written; a file without a leading underscore is a dialect.

A dialect is a module with two functions:

    read(document: Document) -> Record
        Gives a record, or raises `BadDocument`, nothing else, whatever the bytes. The record's id is
        `document.id` and its `document_hash` is `document.hash`, unless the dialect carries them itself
        (`native`).

    write(record: Record) -> bytes
        Says the record in the dialect, as well as the dialect can.

The law: reading what was written, writing it and reading it again gives the same record (but for the hash of
the document), so nothing drifts; `native` forgets nothing at all. `_json`, `_words`, `_licences` and `_extent` are
what reading a stranger's words, terms and boxes needs in every dialect, and in the harvesters.
"""

from typing import Protocol

from catalog.record import Record
from catalog.source import Document


class Dialect(Protocol):
    """What a dialect's module does."""

    def read(self, document: Document) -> Record:
        """Read a document. Raises BadDocument."""

    def write(self, record: Record) -> bytes:
        """Write a record."""
