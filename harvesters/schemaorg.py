"""Sites that describe their datasets to search engines: sitemap → pages → JSON-LD of schema.org's Dataset.

https://www.sitemaps.org/protocol.html, https://developers.google.com/search/docs/appearance/structured-data/dataset,
https://book.oceaninfohub.org (ODIS). A sitemap may list JSON files instead of pages, and one JSON-LD file of many
datasets (a site graph) may stand in a sitemap's place.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import schemaorg
from catalog.dialects._jsonld import Graph, Node, read_graph, types
from catalog.dialects._xml import read_html
from catalog.errors import BadDocument, SourceError, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._names import called
from harvesters._sitemaps import Entry, Sitemap, Tree, get_first, read_sitemap
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = True
ROBOTS = True
MOST_BYTES = 10_000_000
"""Of a page that is HTML."""

_PAGE = 50
_MOST_REFERRED = 1_000
_CONTEXT = {"@vocab": "https://schema.org/", "geosparql": "http://www.opengis.net/ont/geosparql#"}
_TYPE = re.compile(r"application/ld\+json", re.IGNORECASE)
_WRAPPED = re.compile(r"^\s*(?://)?\s*(?:<!\[CDATA\[|<!--)|(?://)?\s*(?:\]\]>|-->)\s*$")
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_.:-]{1,40})")


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the datasets of the pages of a sitemap, in its order, each page once; the `url` is the sitemap's.

    A page is up to 50 lines of one sitemap; its cursor is the sitemap's address and the first line's. For
    `changed_since`, lines and sitemaps are passed over that say they changed before. A page that cannot be had, whose
    JSON-LD is invalid or that has no Dataset is a document with a problem, which says where. Options: `include` and
    `exclude`, globs of the addresses of pages.

    Raises:
        SourceError: The first sitemap cannot be read, or three pages or sitemaps in a row got no answer.
        IncompleteListing: Other sitemaps could not be read.
    """
    content, url = get_first(source, fetch)
    if content.lstrip()[:1] in {b"{", b"["}:
        yield from _site_graph(source, content, url)
        return
    try:
        tree, first = Tree(source, fetch), read_sitemap(content, url)
    except BadDocument as error:
        raise Unreachable(f"{source.url} did not answer with a sitemap: {error.message}") from error
    silences, skipping, seen = Silences(), source.resume is not None, set[str]()
    for page, entry in _lines(source, tree, first):
        skipping = skipping and page != source.resume
        if skipping:
            continue
        bare = Document(
            source=source.id, native_id=entry.url, name=called(entry.url), url=entry.url, page=page
        )
        try:
            answer, silences = fetch.get(entry.url), Silences()
        except SourceError as error:
            silences = silences.after(error)
            yield lost(bare, error)
            continue
        for document in _documents(bare, answer.content, answer.headers.get("Content-Type", "")):
            if document.native_id not in seen and (document.problem or is_wanted(source, read, document)):
                yield document
            seen.add(document.native_id)
    if skipping:  # the page is no more
        yield from harvest(source.model_copy(update={"resume": None}), fetch)
        return
    tree.check()


def _lines(source: Source, tree: Tree, first: Sitemap) -> Iterator[tuple[str, Entry]]:
    """Every wanted line once, with the cursor of its page."""
    seen: set[str] = set()
    for url, sitemap in tree.walk(first):
        fresh = [entry for entry in sitemap.pages if entry.url not in seen]
        seen |= {entry.url for entry in fresh}
        for at, entry in enumerate(fresh):
            if not entry.is_older(source.changed_since) and _is_chosen(source, entry.url):
                yield f"{url} {fresh[at - at % _PAGE].url}", entry


def _is_chosen(source: Source, url: str) -> bool:
    include, exclude = (_globs(source, name) for name in ("include", "exclude"))
    return (not include or any(fnmatch.fnmatchcase(url, glob) for glob in include)) and not any(
        fnmatch.fnmatchcase(url, glob) for glob in exclude
    )


def _globs(source: Source, name: str) -> tuple[str, ...]:
    given = source.options.get(name, ())
    return (given,) if isinstance(given, str) else tuple(map(str, given))


def _site_graph(source: Source, content: bytes, url: str) -> Iterator[Document]:
    bare = Document(source=source.id, native_id=url, url=url)
    for document in _documents(bare, content, "application/ld+json"):
        if document.problem and document.native_id == url:
            raise Unreachable(f"{source.url} did not answer with a sitemap: {document.problem}")
        if document.problem or is_wanted(source, read, document):
            yield document


def _documents(bare: Document, content: bytes, media_type: str) -> Iterator[Document]:
    """The datasets of a page, one for each, or why there is none; JSON-LD that is broken is told where it stands."""
    found: list[tuple[str | None, bytes]] = []
    problems: list[tuple[int, str]] = []
    kinds: set[str] = set()
    try:
        scripts = _scripts(content, media_type)
    except BadDocument as error:
        yield lost(bare, error)
        return
    for number, script in enumerate(scripts, 1):
        try:
            whole = read_graph(script)
        except BadDocument as error:
            problems += [(number, error.message)] if b"Dataset" in script or len(scripts) == 1 else []
            continue
        kinds |= {kind for node in whole.top for kind in types(node)}
        found += _found(whole, script)
    for name, native_id, dataset in _named(bare, found):
        yield bare.model_copy(
            update={
                "native_id": native_id,
                "name": name,
                "content": dataset,
                "media_type": schemaorg.MEDIA_TYPE,
            }
        )
    for number, reason in problems:
        where = f"{bare.native_id}#script-{number}" if found or len(problems) > 1 else bare.native_id
        problem = f"bad-document: JSON-LD {number} of {len(scripts)} of the page: {reason}"
        name = bare.name if where == bare.native_id else ""
        yield bare.model_copy(update={"native_id": where, "name": name, "problem": problem})
    if not found and not problems:
        there = f"only {', '.join(sorted(kinds))[:200]}" if kinds else "no JSON-LD"
        yield bare.model_copy(update={"problem": f"bad-document: the page has no Dataset, {there}"})


def _found(whole: Graph, script: bytes) -> Iterator[tuple[str | None, bytes]]:
    """The datasets of a script: its `@id`, and the script as it is where it is nothing else, else the dataset alone."""
    several = list(schemaorg.datasets(whole))
    for dataset in several:
        name = dataset.get("@id")
        alone = len(several) == len(whole.top) == 1 and several[0] is whole.top[0]
        content = script.strip() if alone else _cut(whole, dataset)
        yield clean.words(name, 20_000) if isinstance(name, str) else None, content


def _cut(whole: Graph, dataset: Node) -> bytes:
    """A dataset and the nodes that it refers to, with plain names."""
    kept: dict[int, Node] = {}
    waiting: list[Any] = [dataset]
    while waiting and len(kept) < _MOST_REFERRED:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            other = whole.named.get(value["@id"]) if isinstance(value.get("@id"), str) else None
            if other is not None and other is not value and id(other) not in kept:
                kept[id(other)] = other
                waiting.append(other)
    others = [node for node in kept.values() if node is not dataset and "Dataset" not in types(node)]
    said = {"@context": _CONTEXT} if whole.known else {}
    return json.dumps({**said, "@graph": [dataset, *others]}, sort_keys=True).encode()


def _named(bare: Document, found: list[tuple[str | None, bytes]]) -> Iterator[tuple[str, str, bytes]]:
    """Name, native id and content of datasets: the page's where it has one, else each its own, none twice."""
    if len(found) == 1:
        yield bare.name, bare.native_id, found[0][1]
        return
    given: set[str] = set()
    for number, (name, content) in enumerate(found, 1):
        native_id = name if name and name not in given else f"{bare.native_id}#{number}"
        if native_id not in given:
            given.add(native_id)
            yield "" if native_id != name else called(native_id), native_id, content


def _scripts(content: bytes, media_type: str) -> list[bytes]:
    """The JSON-LD of an answer: the whole of it where it is JSON, else the scripts of the page. Raises BadDocument."""
    plain = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if plain[:1] in {b"{", b"["}:
        return [plain]
    if len(plain) > MOST_BYTES:
        raise BadDocument(f"the page is larger than {MOST_BYTES:,} bytes")
    root = read_html(plain, _encoding(plain, media_type))
    return [
        _WRAPPED.sub("", "".join(map(str, script.itertext()))).encode("utf-8", "surrogatepass")
        for script in root.iter("script")
        if _TYPE.search(script.get("type") or "")
    ]


def _encoding(content: bytes, media_type: str) -> str | None:
    """UTF-8 where it can be; else what the header says; else whatever the page itself says."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        said = _CHARSET.search(media_type)
        return said[1] if said else None
    return "utf-8"


def read(document: Document) -> Record:
    """Read one dataset's JSON-LD.

    Raises:
        BadDocument: It is no JSON-LD, or has no Dataset.
    """
    return schemaorg.read(document)
