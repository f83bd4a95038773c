"""Harvesters pull public marine datasets; every file without a leading underscore is a protocol.

A harvester is a module with two functions:

    harvest(source: Source, fetch: Fetch) -> Iterator[Document]
        Lists what the source has, a document a dataset, in the source's stable order. `source.resume` is the cursor of
        the page to start at (a `Document.page` it gave before); `source.changed_since` asks for what changed since
        (ignore it where the protocol cannot tell). A dataset whose document cannot be had is a Document with a
        `problem`. Ending without an exception says that the listing is complete; a listing that came out shorter than
        the source says raises `IncompleteListing`.

    read(document: Document) -> Record
        Gives a record, or raises `BadDocument`, nothing else, whatever the bytes. It never reaches network or disk.
        The record's id is `document.id`, its `document_hash` is `document.hash`.

INCREMENTAL = True says that the protocol can tell what changed since. ROBOTS = True says that it reads pages made for
people, so that their sites' robots.txt is honoured.

To add one: write the file, put recorded answers into tests/recorded/<protocol>/, and the contract tests find it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from catalog.record import Record
from catalog.source import Document, Source


class Answer(Protocol):
    """What a source answered: status 200 (or 304 with the kept body), and the whole body, within the limits."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def url(self) -> str:
        """The address that answered, after redirects."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; letter case does not matter."""

    @property
    def content(self) -> bytes:
        """The body, inflated."""


class Fetch(Protocol):
    """The only door to the network and to strangers' files, made by the runner for one source."""

    @property
    def requests_session(self) -> Any:
        """A session for libraries that bring their own client over `requests`, under the same limits."""

    def get(self, url: str, params: Mapping[str, str] | None = None) -> Answer:
        """Get an address politely. Raises Unreachable, AddressRefused or LimitExceeded."""

    def header(self, path: Path) -> bytes:
        """Describe a local data file as a header document (`catalog.data.opening.describe`), in a worker process.

        Raises:
            DataError: The file cannot be read; the message is the reason.
        """

    def collection(
        self, name: str, folder: Path, paths: Sequence[Path], along: Sequence[str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Describe files that are one dataset as one header document; a file that has not changed is not read again.

        Args:
            name: What the collection is called: `[a-z0-9_-]`.
            folder: The folder that the files lie in.
            paths: The files.
            along: The axes along which they are joined.

        Returns:
            The header document, and why files are not in it, by their paths relative to the folder.

        Raises:
            DataError: They cannot be joined; the message is the reason.
        """

    def cover(self, header: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say where and when data are that a source described: the `coverage` of a header document (`catalog.data`).

        Args:
            header: The `attributes` and `variables` of a header document.
            values: Numpy arrays of stored values by the names of coordinates, as far as they are known.

        Returns:
            The coverage; what is odd or unknown is among its problems.
        """


class Harvester(Protocol):
    """What a protocol's module does."""

    def harvest(self, source: Source, fetch: Fetch) -> Iterator[Document]:
        """List what the source has."""

    def read(self, document: Document) -> Record:
        """Read one document."""
