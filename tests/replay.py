"""Serves recorded answers on loopback: a folder of them has an `_index.json` of file, address and media type."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from catalog.data.workers import Workers
from catalog.settings import Settings
from catalog.source import Source, read_sources
from harvesters._fetch import Fetch
from portals import Answering, Asked, answer, portal

RECORDED = Path(__file__).parent / "recorded"


def replaying(folder: Path) -> Answering:
    """Answer as the folder has it, by path and, for pages, by `start`; 404 to anything else."""
    listed = json.loads((folder / "_index.json").read_text("utf-8"))
    files = {(urlsplit(item["uri"]).path, item.get("start")): item for item in listed}

    def answering(asked: Asked) -> list[bytes]:
        start = int(asked.query.get("start", 0)) if not asked.body else json.loads(asked.body).get("start", 0)
        item = files.get((asked.path, start)) or files.get((asked.path, None))
        if item is None:
            return [answer(b"not recorded", 404)]
        return [answer((folder / item["file"]).read_bytes(), Content_Type=item["type"])]

    return answering


@contextmanager
def asking(source: Source, answering: Answering, home: Path) -> Iterator[tuple[Source, Fetch]]:
    """Serve answers; give the source, its host replaced by the server's, and a door to it."""
    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        near = source.model_copy(update={"url": running.url + urlsplit(source.url).path})
        with Fetch(settings, near, None) as fetch:
            yield near, fetch


@contextmanager
def reading(source: Source, home: Path) -> Iterator[Fetch]:
    """A door for a source of files, with a worker that reads them."""
    workers = Workers(1, seconds=60, memory=2_000_000_000, queue=8)
    try:
        with Fetch(Settings(home=home), source, workers) as fetch:
            yield fetch
    finally:
        workers.close()


@contextmanager
def recorded(
    protocol: str, home: Path, spoil: Callable[[Answering], Answering] | None = None
) -> Iterator[tuple[Source, Fetch]]:
    """The recorded source of a protocol and a door to its answers, spoiled on the way if asked for."""
    folder = RECORDED / protocol
    (source,) = read_sources(folder / "source.toml")
    if not (folder / "_index.json").is_file():
        with reading(source, home) as fetch:
            yield source, fetch
        return
    answering = replaying(folder)
    with asking(source, spoil(answering) if spoil else answering, home) as (near, fetch):
        yield near, fetch
