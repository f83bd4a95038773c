"""Documents read into entries: the first of a source in this process, the others in processes with limits."""

import importlib
import logging
import os
import traceback
from collections.abc import Generator, Iterable, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple, Self

from pydantic import ValidationError

from catalog.data.workers import Workers
from catalog.errors import (
    BadDocument,
    CatalogError,
    DataUnreadable,
    TooLarge,
    WorkerCrashed,
    WorkerTimeout,
)
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Document, printable
from catalog.stores import Entry
from harvesters import Harvester

LONGEST = 2_000  # letters of a reason or a note
HERE = 300
"""Documents of a source that are read in this process: to begin others would take longer."""
_TOGETHER = 100
_TOGETHER_BYTES = 4_000_000
_LOG = logging.getLogger(__name__)


def told(error: Exception) -> str:
    """Return what everybody may read of an error: never a path of this machine, nor what cannot be kept."""
    if isinstance(error, CatalogError):
        said = f"{error.code}: {error.message}"
    else:
        said = f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"
    return printable(said)[:LONGEST]


class Reading(NamedTuple):
    """What was read of a document: the record or its JSON, or why there is none, and the trace of a fault of ours."""

    document: Document
    found: Record | str | None
    reason: str | None
    trace: str


class Readers:
    """They read documents, where a source has many of them in processes of their own, begun at their first use.

    Args:
        settings: The limits of one reading in time and memory, and how many sources are harvested at once.
    """

    def __init__(self, settings: Settings) -> None:
        self._workers = Workers(
            max(1, (os.cpu_count() or 1) - 1),
            seconds=settings.read_seconds,
            memory=settings.read_memory,
            queue=settings.harvests,
            preload=("catalog.record",),
        )

    def read(self, harvester: Harvester, groups: Iterable[Sequence[Document]]) -> Generator[Reading]:
        """Yield what is read of each document, in their order.

        Args:
            harvester: Reads them; in other processes only where it is a module, which can be loaded there.
            groups: The documents, those together that are there together.
        """
        here = HERE
        for group in groups:
            if here > 0 or not isinstance(harvester, ModuleType):
                here -= len(group)
                yield from (Reading(document, *_read(harvester, document)) for document in group)
            else:
                for part in _parts(group):
                    yield from self._elsewhere(harvester.__name__, part)

    def _elsewhere(self, name: str, documents: Sequence[Document]) -> Iterator[Reading]:
        """Read documents in another process; one that ends it is found by itself. Raises CatalogError."""
        try:
            said = self._workers.run(read_all, name, documents)
        except (WorkerCrashed, WorkerTimeout, TooLarge, DataUnreadable) as error:
            if len(documents) == 1:
                yield Reading(documents[0], None, told(error), "")
            else:
                for document in documents:
                    yield from self._elsewhere(name, [document])
        else:
            for document, what in zip(documents, said, strict=True):
                yield Reading(document, *what)

    def close(self) -> None:
        """End the processes."""
        self._workers.close()

    def __enter__(self) -> Self:
        """Use it in a `with` block that ends the processes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _parts(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Documents in parts that are read together."""
    part: list[Document] = []
    size = 0
    for document in documents:
        if part and (len(part) >= _TOGETHER or size + len(document.content) > _TOGETHER_BYTES):
            yield part
            part, size = [], 0
        part.append(document)
        size += len(document.content)
    if part:
        yield part


def read_all(name: str, documents: Sequence[Document]) -> list[tuple[str | None, str | None, str]]:
    """Read documents by a module: of each the record's JSON, or why there is none, and where the reading broke."""
    harvester: Harvester = importlib.import_module(name)
    found = []
    for document in documents:
        record, reason, trace = _read(harvester, document)
        found.append((record.model_dump_json() if record else None, reason, trace))
    return found


def _read(harvester: Harvester, document: Document) -> tuple[Record | None, str | None, str]:
    """A document's record, or why there is none, and the trace of a fault of ours."""
    if document.deleted or document.problem is not None:
        return None, document.problem, ""
    try:
        return harvester.read(document), None, ""
    except BadDocument as error:
        return None, printable(error.message), ""
    except Exception as error:  # noqa: BLE001 - told in quarantine
        return None, told(error), traceback.format_exc()


def entered(reading: Reading) -> Entry:
    """Make an entry of what was read of a document; whatever went wrong is its quarantine, not the end of the run.

    Another process is not trusted: it has read what may be hostile.
    """
    document, found, reason, trace = reading
    if trace:
        _LOG.error("%s: reading %s broke\n%s", document.source, document.native_id[:200], trace)
    text = found if isinstance(found, str) else None
    try:
        record = Record.model_validate_json(found) if isinstance(found, str) else found
    except ValidationError as error:
        record, reason = None, told(error)
    if record is not None:
        reason = _misnamed(record, document)
    if record is None or reason is not None:
        return Entry(document=document, record=None, reason=reason[:LONGEST] if reason else None)
    return Entry(document=document, record=record, text=text.encode() if text else None)


def _misnamed(record: Record, document: Document) -> str | None:
    said = (record.id, record.source, record.native_id, record.document_hash)
    if said == (document.id, document.source, document.native_id, document.hash):
        return None
    return "the record that was read does not carry the id, source and hash of its document"
