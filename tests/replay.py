"""Serves recorded answers on loopback: a folder of them has an `_index.json` of file, address and media type."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catalog.data.workers import Workers
from catalog.settings import Settings
from catalog.source import Source, read_sources
from harvesters._fetch import Fetch
from portals import Answering, Asked, answer, portal

RECORDED = Path(__file__).parent / "recorded"


def replaying(folder: Path) -> Answering:
    """Answer as the folder has it, by path and, for pages, by `start` or `has`; 404 to anything else.

    `has` is a text that the asked address's query (`name=value`, decoded) or the body contains; the first such item
    answers. An item may have a `status` and `headers`, and the address `here` that stands for the server's own in it.
    """
    listed = json.loads((folder / "_index.json").read_text("utf-8"))

    def answering(asked: Asked) -> list[bytes]:
        item = next((item for item in listed if _answers(item, asked)), None)
        if item is None:
            return [answer(b"not recorded", 404)]
        body = (folder / item["file"]).read_bytes()
        if "here" in item:
            body = body.replace(item["here"].encode(), f"http://{asked.headers['host']}".encode())
        return [answer(body, item.get("status", 200), Content_Type=item["type"], **item.get("headers", {}))]

    return answering


def _answers(item: Mapping[str, Any], asked: Asked) -> bool:
    if urlsplit(item["uri"]).path != asked.path:
        return False
    body = asked.body.decode("utf-8", "replace")
    if "has" in item:
        return item["has"] in "&".join([*(f"{key}={value}" for key, value in asked.query.items()), body])
    return "start" not in item or item["start"] == _start(asked, body)


def _start(asked: Asked, body: str) -> int:
    return int(json.loads(body).get("start", 0) if body[:1] == "{" else asked.query.get("start", 0))


def whole(answering: Answering) -> Answering:
    """A portal that its own clients can read, too.

    Its addresses are whole and may end in a slash; a reference has a name; ERDDAP's tables come as CSV where asked for.
    """

    def answered(asked: Asked) -> list[bytes]:
        form = ".csvp" if asked.path.endswith(".csvp") else ""
        plain = replace(asked, path=asked.path.removesuffix(form) + ".json") if form else asked
        (said,) = answering(plain)
        if b" 404 " in bytes(said)[:20]:
            (said,) = answering(replace(plain, path=plain.path.rstrip("/")))
        head, _, body = bytes(said).partition(b"\r\n\r\n")
        status, kind = int(head.split()[1]), re.search(rb"Content-Type: (\S+)", head)[1].decode()
        if form:
            return [answer(_csv(body), status, Content_Type="text/csv")]
        packed = body[:2] == b"\x1f\x8b"
        body = _whole(gzip.decompress(body) if packed else body, asked.headers["host"].encode())
        return [answer(gzip.compress(body) if packed else body, status, Content_Type=kind)]

    return answered


def _whole(body: bytes, host: bytes) -> bytes:
    body = re.sub(rb'("href": "|nextLink": "|<loc>)/', rb"\g<1>http://" + host + b"/", body)
    body = re.sub(rb'<catalogRef xlink:title="[^"]*" name=""/>', b"", body)
    return re.sub(rb'<dataset name="Latest".*?</dataset>', b"", body)


def _csv(body: bytes) -> bytes:
    table = json.loads(body)["table"]
    text = io.StringIO()
    csv.writer(text).writerows([table["columnNames"], *table["rows"]])
    return text.getvalue().encode()


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
