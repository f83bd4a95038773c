"""A protocol for tests: a portal that lists names page by page (`portals.listing`); a document is a name."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from catalog.dialects._json import read_json
from catalog.errors import BadDocument, IncompleteListing
from catalog.record import Record, Text
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores import Run
from harvesters import Fetch
from harvesters._events import Event
from harvesters._run import harvest_source


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List names; the cursor is the number of names before the page."""
    start = int(source.resume or 0)
    while True:
        page = read_json(fetch.get(source.url, {"start": str(start)}).content)
        for name in page["results"]:
            content = json.dumps(name).encode()
            yield Document(source=source.id, native_id=name, content=content, page=str(start))
        start += len(page["results"])
        if start >= page["count"]:
            return
        if not page["results"]:
            raise IncompleteListing(f"the portal has {page['count']} names and gave {start}")


def read(document: Document) -> Record:
    """Read a name; one that begins with `bad` is none, and `bug` shows a fault of ours."""
    name = read_json(document.content)
    if name.startswith("bad"):
        raise BadDocument(f"{name} is bad")
    if name.startswith("bug"):
        raise KeyError(name)
    return Record(
        id=document.id,
        source=document.source,
        native_id=document.native_id,
        title=Text.of(name.partition("=")[0]),
        document_hash=document.hash,
    )


KNOWN = {"paged": sys.modules[__name__]}


def source(url: str) -> Source:
    """The source of a portal's address."""
    return Source(id="portal", protocol="paged", url=url)


def settings(home: Path, **limits: object) -> Settings:
    """Settings that let the loopback portal through."""
    return Settings(home=home, allow_hosts=("127.0.0.1",), **limits)


def main() -> None:
    """Harvest a portal into the SQLite store of a home, and print what is kept, then the run: URL HOME LEASE."""
    from catalog.stores.sqlite import open_store  # noqa: PLC0415 - only where a process of its own harvests

    url, home, lease_seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    store = open_store(home)
    limits = settings(home, lease_seconds=lease_seconds)

    def tell(event: Event) -> None:
        if event.event == "page":
            sys.stdout.write(f"{event.seen}\n")
            sys.stdout.flush()

    run: Run = harvest_source(source(url), store, limits, workers=None, known=KNOWN, tell=tell)
    sys.stdout.write(run.model_dump_json())
    store.close()


if __name__ == "__main__":
    main()
