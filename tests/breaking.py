"""A protocol whose documents say what becomes of their reader: it dies, hangs, eats memory, errs, or lies."""

import os
import signal
import time
from collections.abc import Iterator

from catalog.errors import BadDocument
from catalog.record import Record, Text
from catalog.source import Document, Source
from harvesters import Fetch


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List nothing."""
    yield from ()


def read(document: Document) -> Record:
    """Do as the document says."""
    match document.content.decode():
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(60)
        case "eat":
            return read(document.model_copy(update={"content": bytes(10_000_000_000)}))
        case "err":
            raise ZeroDivisionError("of this reader")
        case "refuse":
            raise BadDocument("this is no dataset")
    return Record(
        id=document.id,
        source="another" if document.content == b"lie" else document.source,
        native_id=document.native_id,
        title=Text.of(document.content.decode()),
        document_hash=document.hash,
    )
