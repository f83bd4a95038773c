"""CKAN portals, through ckanapi: `package_search`, page by page, by id.

https://docs.ckan.org/en/latest/api/. A package is read as the dialect `ckan` reads it.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson
from ckanapi import RemoteCKAN

from catalog.dialects import _words as clean
from catalog.dialects import ckan
from catalog.errors import BadDocument, IncompleteListing
from catalog.instant import now
from catalog.record import BBox, Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._packages import ROWS, Pages, Unread, get_page

INCREMENTAL = True


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a portal's datasets by id, a hundred a page; the page's cursor is its offset.

    The next pages are asked for while what the last one gave is looked at, two at once.
    Resumed, it begins a page earlier: datasets removed meanwhile move the others towards the start. A page
    that cannot be read is asked for row by row, so that one bad dataset is a document with a problem.

    `search` is the portal's `q`. Options: `fq`, a filter in Solr's syntax; `ext_bbox = true` where the portal
    filters by the source's bbox itself (ckanext-spatial). A dataset that says it lies outside the bbox is not
    taken.

    Raises:
        Unreachable: The address does not answer as a CKAN portal.
        IncompleteListing: It gave fewer datasets than it counts.
    """
    resumed = int(source.resume) if source.resume and source.resume.isdecimal() else 0
    start = skipped = max(0, resumed - ROWS)
    seen: set[str] = set()
    with RemoteCKAN(source.url, session=fetch.requests_session) as portal:
        pages = Pages(partial(get_page, portal, source))
        while True:
            count, packages = pages.at(start)
            fresh = {_native_id(package, start + at): package for at, package in enumerate(packages)}
            fresh = {native_id: package for native_id, package in fresh.items() if native_id not in seen}
            seen |= fresh.keys()
            page, start = str(start), start + len(packages)
            more = start < count and bool(fresh)
            if more:
                pages.ask(start, count, len(packages))
            moment = now()
            for native_id, package in fresh.items():
                document = _document(source, native_id, package, page, moment)
                if source.bbox is None or _meets(source.bbox, document):
                    yield document
            if not more:
                break
    if skipped + len(seen) < count:
        raise IncompleteListing(
            f"{source.url} counts {count} datasets and gave {skipped + len(seen)}",
            details={"count": count, "given": skipped + len(seen)},
        )


def _native_id(package: Any, at: int) -> str:
    if isinstance(package, Unread):
        return package.native_id or f"row {at}"
    given = clean.mapping(package)
    return clean.words(given.get("id"), 20_000) or clean.words(given.get("name"), 20_000) or f"row {at}"


def _document(source: Source, native_id: str, package: Any, page: str, moment: str) -> Document:
    if isinstance(package, Unread):
        return Document(
            source=source.id, native_id=native_id, page=page, problem=package.reason, fetched_at=moment
        )
    given = clean.mapping(package)
    name = clean.words(given.get("name"), 1_000)
    told = bool(clean.words(given.get("id")) or name)
    return Document(
        source=source.id,
        native_id=native_id,
        name=name or native_id,
        content=_bytes(package),
        fetched_at=moment,
        url=f"{source.url.rstrip('/')}/dataset/{quote(name or native_id, safe='')}",
        page=page,
        problem=None if told else "bad-document: a dataset with neither id nor name",
    )


def _bytes(package: Any) -> bytes:
    """A package as JSON; orjson refuses whole numbers of more than 64 bits and halves of surrogate pairs."""
    try:
        return orjson.dumps(package, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(package, sort_keys=True).encode()


def _meets(wanted: BBox, document: Document) -> bool:
    try:
        boxes = read(document).extent.boxes if document.problem is None else ()
    except BadDocument:
        return True
    return not boxes or any(wanted.intersects(found) for found in boxes)


def read(document: Document) -> Record:
    """Read one package of a CKAN portal.

    Raises:
        BadDocument: It is no package.
    """
    return ckan.read(document)
