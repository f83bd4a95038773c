"""A listing that is read ahead: its source is asked for what comes next while what it gave is read and kept."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from catalog.source import Document
from harvesters._polite import Stop

MOST_DOCUMENTS = 500
MOST_BYTES = 16_000_000
PATIENCE = 2.0
"""Seconds that a listing gets to end when nobody wants more of it; then it is left to end by itself."""

_SLICE = 0.2


class _Shelf:
    """Documents between the thread that lists and the one that reads, in order, bounded in number and bytes.

    They are taken all at once, so that the threads seldom wait for each other.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._documents: list[Document] = []
        self._bytes = 0
        self._over = False
        self._failure: BaseException | None = None
        self._moved = threading.Condition()

    def put(self, document: Document) -> None:
        """Put a document, and wait until there is room for the next. Raises Stopped."""
        with self._moved:
            self._documents.append(document)
            self._bytes += len(document.content)
            if len(self._documents) == 1:
                self._moved.notify_all()
            while len(self._documents) >= MOST_DOCUMENTS or self._bytes >= MOST_BYTES:
                self._stop.check()
                self._moved.wait(_SLICE)

    def end(self, failure: BaseException | None) -> None:
        """Say that nothing more comes, and why if the listing broke."""
        with self._moved:
            self._over, self._failure = True, failure
            self._moved.notify_all()

    def take(self) -> Sequence[Document]:
        """Take all documents there are, waiting for one; none at the end. Raises what broke the listing, or Stopped."""
        with self._moved:
            while not (self._documents or self._over):
                self._stop.check()
                self._moved.wait(_SLICE)
            taken, self._documents, self._bytes = self._documents, [], 0
            self._moved.notify_all()
            if not taken and self._failure is not None:
                raise self._failure
            return taken


def ahead(documents: Generator[Document], stop: Stop) -> Iterator[Document]:
    """Yield the documents of a listing that goes on in a thread of its own, some documents ahead.

    What a listing gave before it broke comes before its error. The listing's thread touches network and files only.

    Args:
        documents: The listing; all of it, and its end, is done in the other thread.
        stop: Ends both; it is set when the reader is left before the end.

    Raises:
        Stopped: `stop` was set.
    """
    shelf = _Shelf(stop)

    def run() -> None:
        failure: BaseException | None = None
        try:
            with closing(documents):
                for document in documents:
                    stop.check()
                    shelf.put(document)
        except BaseException as error:  # noqa: BLE001 - raised where the documents are taken
            failure = error
        shelf.end(failure)

    listing = threading.Thread(target=run, name="listing", daemon=True)
    listing.start()
    try:
        while taken := shelf.take():
            for document in taken:
                yield document
                stop.check()
    finally:
        if listing.is_alive():
            stop.set()
            listing.join(PATIENCE)
