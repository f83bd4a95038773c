"""Feeds of DCAT: a catalog as JSON-LD, Turtle or RDF/XML, page after page, a document for each dcat:Dataset.

https://www.w3.org/TR/vocab-dcat-3/, Hydra's paging (https://www.hydra-cg.com/spec/latest/core/), and the `data.json` of
DCAT-US (https://resources.data.gov/resources/dcat-us/), whose datasets are taken one by one as they stand.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import dcat
from catalog.dialects._contexts import DCAT_US
from catalog.dialects._dcatnodes import words
from catalog.dialects._json import read_json
from catalog.dialects._rdf import Feed, read_feed
from catalog.errors import BadDocument, IncompleteListing, SourceError, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._links import absolute
from harvesters._names import called
from harvesters._wanted import Silences, is_refusal, is_wanted, lost

INCREMENTAL = False
_MOST_BARREN = 30
_OK = 200
_ACCEPT = "application/ld+json, text/turtle;q=0.9, application/rdf+xml;q=0.8, application/json;q=0.5"
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_NEXT = re.compile(r"<([^<>]{1,4000})>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)
_US = re.compile(r"project-open-data\.cio\.gov|dcat-us", re.IGNORECASE)


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the datasets of a feed, page after page, on each in the order of their names; the `url` is the first page.

    A server that gives a page for people is asked again for RDF. A dataset that the feed only names is asked for at its
    own address. Pages are left by Hydra's `next` or `nextPage`, or a Link header. A page's cursor says how many there
    were before the page that came before it, and that page's address: resumed, it begins there.

    Raises:
        SourceError: A page cannot be read, or three datasets in a row got no answer.
        IncompleteListing: It gave fewer than it counts (Hydra's `totalItems`), or its pages lead in a circle.
    """
    pages, silences, seen = _Pages(source, fetch), Silences(), set[str]()
    for cursor, base, items in pages.walk():
        for native_id, content, problem in items:
            if native_id in seen:
                continue
            seen.add(native_id)
            bare = Document(
                source=source.id, native_id=native_id, name=called(native_id), url=base, page=cursor
            )
            try:
                document = _filled(bare, content, problem, fetch)
                silences = Silences() if content is None else silences
            except (SourceError, BadDocument) as error:
                silences = silences.after(error)
                document = lost(bare, error)
            if document.problem or is_wanted(source, read, document):
                yield document


def _filled(bare: Document, content: bytes | None, problem: str | None, fetch: Fetch) -> Document:
    """A dataset with its description, asked for where the feed only names it. Raises SourceError or BadDocument."""
    if content is None and problem is None:
        content = _own(fetch, bare.native_id)
    return bare.model_copy(update={"content": content or b"", "problem": problem})


_Item = tuple[str, bytes | None, str | None]
"""Native id, content, problem; neither of these two for a dataset that is only named."""


@dataclass
class _Pages:
    """The pages of a feed.

    Args:
        source: Whose `url` is the first; its `resume` is a cursor.
        fetch: The door.
        given: How many datasets there were before the page that is read.
        total: The most that the feed said to have.
    """

    source: Source
    fetch: Fetch
    given: int = 0
    total: int = 0

    def walk(self) -> Iterator[tuple[str, str, list[_Item]]]:
        """Yield the cursor, the address and the datasets of each page. Raises SourceError, IncompleteListing."""
        url, items, following = self._first()
        before, barren, seen = (self.given, url), 0, set[str]()
        while True:
            cursor, before = f"{before[0]} {before[1]}", (self.given, url)
            yield cursor, url, items
            fresh = {native_id for native_id, _, _ in items} - seen
            seen |= fresh
            self.given += len(fresh)
            barren = 0 if fresh else barren + 1
            if following is None:
                break
            if barren == _MOST_BARREN:
                raise self._incomplete("its pages lead in a circle or to nothing new")
            url = following
            items, following = self._read(url)
        if self.given < self.total:
            raise self._incomplete("that is fewer than it counts")

    def _first(self) -> tuple[str, list[_Item], str | None]:
        """The page to begin at: the one of the cursor, where the server knows it still, else the first."""
        given, _, url = (self.source.resume or "").partition(" ")
        if given.isdecimal() and url:
            try:
                found = self._read(url)
            except Unreachable as error:
                if not is_refusal(error):
                    raise
            else:
                self.given = int(given)
                return url, *found
        return self.source.url, *self._read(self.source.url)

    def _read(self, url: str) -> tuple[list[_Item], str | None]:
        base, headers, content = _got(self.fetch, url)
        link = _NEXT.search(headers.get("Link") or "")
        following = absolute(link[1], base) if link else None
        try:
            plain = _plain(content)
            if plain is not None:
                return plain, following
            feed = read_feed(content, headers.get("Content-Type") or "", base)
            items = list(_items(feed))
        except BadDocument as error:
            raise Unreachable(f"{url[:300]} did not answer with DCAT: {error.message}") from error
        if not items and feed.unknown:
            raise Unreachable(f"{url[:300]} names a context that is not known here: {feed.unknown[0][:300]}")
        self.total = max(self.total, feed.total() or 0)
        return items, absolute(feed.next_page(), base) or following

    def _incomplete(self, why: str) -> IncompleteListing:
        return IncompleteListing(
            f"{self.source.url} counts {self.total:,} datasets and gave {self.given:,}: {why}",
            details={"count": self.total, "given": self.given},
        )


def _got(fetch: Fetch, url: str) -> tuple[str, Mapping[str, str], bytes]:
    """Address, headers and content of an answer; one for people, or a refusal, is asked for again as RDF."""
    try:
        answer = fetch.get(url)
    except Unreachable as error:
        if not is_refusal(error):
            raise
        return _negotiated(fetch, url)
    if _PAGE.match(answer.content):
        return _negotiated(fetch, url)
    return answer.url, answer.headers, answer.content


def _negotiated(fetch: Fetch, url: str) -> tuple[str, Mapping[str, str], bytes]:
    answer = fetch.requests_session.get(url, headers={"Accept": _ACCEPT})
    if answer.status_code != _OK:
        raise Unreachable(
            f"{url[:300]} answered with status {answer.status_code}",
            details={"url": url, "status": answer.status_code},
        )
    return answer.url, answer.headers, answer.content


def _plain(content: bytes) -> list[_Item] | None:
    """The datasets of a `data.json` of DCAT-US, each as it stands; None of another document. Raises BadDocument."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return None
    value = read_json(content)
    listed, context = value.get("dataset"), value.get("@context")
    told = json.dumps([context, value.get("conformsTo")])
    if not isinstance(listed, list) or "@graph" in value or not _US.search(told):
        return None
    found: dict[str, _Item] = {}
    for at, item in enumerate(listed):
        if not isinstance(item, dict):
            found[f"row {at}"] = (f"row {at}", None, "bad-document: a dataset that is no object")
            continue
        names = (clean.words(item.get(key), 20_000) for key in ("identifier", "@id", "landingPage", "title"))
        native_id = next((name for name in names if name), f"row {at}")
        native_id = native_id if native_id not in found else f"{native_id}#{at}"
        said = {"@type": "dcat:Dataset", **item, "@context": context or DCAT_US}
        found[native_id] = (native_id, json.dumps(said, sort_keys=True).encode(), None)
    return list(found.values())


def _items(feed: Feed) -> Iterator[_Item]:
    given: set[str] = set()
    for name, node in feed.datasets():
        content = None if name and not node.keys() - {"@id"} else json.dumps(node, sort_keys=True).encode()
        native_id = name or _named(node, content or b"")
        if native_id in given:
            native_id = f"{native_id}#{len(given)}"
        given.add(native_id)
        yield native_id, content, None


def _named(node: Mapping[str, Any], content: bytes) -> str:
    """The name of a dataset without an address: what identifies it, else its page or title, else its content."""
    said = (words(node, name) for name in ("dct:identifier", "dcat:landingPage", "dct:title"))
    return next((name[:20_000] for name in said if name), hashlib.sha256(content).hexdigest())


def _own(fetch: Fetch, name: str) -> bytes:
    """The description of a dataset that stands at its own address. Raises SourceError or BadDocument."""
    base, headers, content = _got(fetch, name)
    found = dict(read_feed(content, headers.get("Content-Type") or "", base).datasets())
    node = found.get(name, {})
    if not node.keys() - {"@id"}:
        raise BadDocument(f"what stands at {name[:300]} does not describe it")
    return json.dumps(node, sort_keys=True).encode()


def read(document: Document) -> Record:
    """Read one dataset of a feed.

    Raises:
        BadDocument: It is no dcat:Dataset.
    """
    return dcat.read(document)
