"""OGC API - Records: the items of record collections, WIS2's discovery metadata (WCMP2) among them.

OGC 20-004 (records API, record GeoJSON: §8) and WMO Core Metadata Profile 2.0, which is a profile of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects._contacts import read_parties
from catalog.dialects._extent import Notes, duration, time_range
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._notes import titled
from catalog.dialects._record import distributions, record
from catalog.dialects._shapes import geojson_boxes
from catalog.dialects._texts import language, text
from catalog.dialects._ways import FORMATS, VECTOR, way
from catalog.dialects._weblinks import landing_page
from catalog.errors import BadDocument, BadSource, Unreachable
from catalog.record import Extent, Licence, Record, Resolution, Text, TimeRange
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._links import ROWS, Ask, Listed, Pages, asked_box, get, link
from harvesters._wanted import is_wanted

INCREMENTAL = True
_AROUND = "\n"  # between the id of a collection and the cursor in it
_SORTS = re.compile(r"ogcapi-records-1/[\w.]+/conf/sorting$")
_NO_DATA = frozenset({
    "self", "collection", "alternate", "canonical", "root", "parent", "next", "prev", "first", "last", "up", "license",
    "about", "describedby", "icon", "preview", "thumbnail", "overview", "cite-as", "author", "related", "via",
    "service-desc", "service-doc", "predecessor-version", "successor-version", "latest-version", "version-history",
})  # fmt: skip
_STREAM = re.compile(r"(?:mqtts?|wss?|ftps?|sftp)://[^\s\"<>]{1,2000}")
Given = Mapping[str, Any]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the records of an API, of a collection or of a list of items; the `url` is that of any of these.

    `bbox` and `search` are asked of the server. Of an API the collections of records are taken, or those that the
    option `collections` lists. What changed since is asked for by order of `updated` where the API sorts, and by
    `datetime` with the option `changed = "datetime"`; else all is listed, and what did not change is passed over.

    Raises:
        Unreachable: The address does not answer as OGC API - Records.
        IncompleteListing: It gave fewer records than it counts.
        BadSource: An option is wrong.
    """
    url, root = get(fetch, Ask(source.url))
    several, lists = _lists(source, fetch, url, root)
    resumed, around, cursor = (source.resume or "").partition(_AROUND)
    passing = around != "" and resumed in dict(lists)
    for name, items in lists:
        if passing and name != resumed:
            continue
        begin, passing = cursor if passing else None, False
        for found in _changed(source, fetch, root, items, begin):
            document = found.document(
                source,
                native_id=f"{name}/{found.native_id}" if several else found.native_id,
                url=f"{items.partition('?')[0]}/{quote(found.native_id, safe='')}",
                page=f"{name}{_AROUND}{found.cursor}",
            )
            if is_wanted(source.model_copy(update={"search": ""}), read, document):
                yield document


def _lists(source: Source, fetch: Fetch, url: str, root: Given) -> tuple[bool, list[tuple[str, str]]]:
    """Whether this is an API, and the collections by id with the addresses of their items. Raises Unreachable."""
    if isinstance(root.get("features"), list):
        return False, [("", source.url)]
    own = link(root, url, "items")
    if own and clean.name(root.get("id")):
        return False, [("", own)]
    chosen = source.options.get("collections")
    if chosen is not None and not isinstance(chosen, list):
        raise BadSource(f"collections of source {source.id!r} is no list of ids")
    data = url if isinstance(root.get("collections"), list) else link(root, url, "data")
    found: list[tuple[str, str]] = []
    pages = Pages(fetch, Ask(data), "collections") if data else None
    for listed in pages.list() if pages else ():
        given = clean.mapping(read_json(listed.content)) if not listed.problem else {}
        wanted = listed.native_id in chosen if chosen is not None else given.get("itemType") == "record"
        if pages and wanted and (items := link(given, pages.url, "items")):
            found.append((listed.native_id, items))
    if not found:
        raise Unreachable(f"{source.url} has no collection of records")
    return True, found


def _changed(source: Source, fetch: Fetch, root: Given, items: str, resume: str | None) -> Iterator[Listed]:
    """The records of a list, of an incremental run those that changed."""
    plain = {"limit": str(ROWS), "bbox": asked_box(source), "q": source.search or None}
    since = source.changed_since
    if since is None:
        yield from Pages(fetch, Ask.of(items, **plain), "features").list(resume)
    elif source.options.get("changed") == "datetime":
        yield from Pages(fetch, Ask.of(items, **plain, datetime=f"{since}/.."), "features").list(resume)
    else:
        pages = Pages(fetch, Ask.of(items, **plain), "features")
        if _sorts(fetch, root, source.url):
            ordered = Ask.of(items, **plain, sortby="-updated")
            pages = replace(pages, first=ordered, otherwise=pages.first)
        yield from _newer(pages, since, resume)


def _newer(pages: Pages, since: str, resume: str | None) -> Iterator[Listed]:
    """The records that changed since; while they come in order, nothing is asked for after the first that did not."""
    begun, last, in_order = instant.seconds(since), float("inf"), True
    for found in pages.list(resume):
        moment = _updated(found)
        in_order = in_order and moment is not None and moment <= last
        last = moment if moment is not None else last
        if moment is None or moment >= begun:
            yield found
        pages.stop = in_order and last < begun


def _updated(found: Listed) -> float | None:
    given = clean.mapping(read_json(found.content)) if not found.problem else {}
    said = clean.moment(clean.mapping(given.get("properties")).get("updated"))
    return instant.seconds(said) if said else None


def _sorts(fetch: Fetch, root: Given, base: str) -> bool:
    """Whether the API says that it sorts records."""
    said, where = root.get("conformsTo"), link(root, base, "conformance")
    if not isinstance(said, list) and where:
        said = get(fetch, Ask(where))[1].get("conformsTo")
    return isinstance(said, list) and any(_SORTS.search(word) for word in said if isinstance(word, str))


# --- reading


def read(document: Document) -> Record:
    """Read a record in GeoJSON (OGC 20-004 §8.2).

    Raises:
        BadDocument: It is none.
    """
    given = read_json(document.content)
    if not isinstance(given, dict) or not isinstance(given.get("properties"), dict):
        raise BadDocument("this is no record of OGC API - Records: it has no properties")
    said: Given = given["properties"]
    tag = language(said.get("language"))
    links = clean.objects(given.get("links"))
    ways, lost = distributions(_ways(links))
    boxes, odd = geojson_boxes(given.get("geometry"))
    when, spacing, more = _time(given.get("time"))
    title, untitled = titled(text(said.get("title"), tag), given.get("id"), document.native_id, called="id")
    return record(
        document,
        {
            "title": title,
            "summary": text(said.get("description") or said.get("abstract"), tag),
            "keywords": _keywords(said, tag),
            "kind": "features" if {item.format for item in ways} & VECTOR else "document",
            "extent": Extent(boxes=boxes, time=when, resolution=spacing),
            "parties": read_parties(said.get("contacts"), said.get("providers")),
            "licence": _licence(said, links),
            "doi": clean.doi(*_identifiers(given, said, links)),
            "created": clean.moment(said.get("created")),
            "modified": clean.moment(said.get("updated")),
            "distributions": ways,
            "landing_page": landing_page(links, document.url),
            "quality": tuple(dict.fromkeys((*untitled, *odd, *more, *lost))),
        },
    )


def _keywords(said: Given, tag: str) -> tuple[Text, ...]:
    """The keywords, and the concepts of the themes by their title, else by an id that is a word."""
    words = said["keywords"] if isinstance(said.get("keywords"), list) else []
    found = [clean.name(clean.mapping(word).get("name") or word) for word in words]
    for theme in clean.objects(said.get("themes")):
        for concept in clean.objects(theme.get("concepts")):
            name = clean.name(concept.get("id")) or ""
            found.append(clean.name(concept.get("title")) or (None if "://" in name else name))
    return tuple(dict.fromkeys(Text.of(word, tag) for word in found if word))


def _time(value: Any) -> tuple[TimeRange | None, Resolution | None, Notes]:
    """The time of a record (§8.2.4): an interval, a date or a moment, `..` or null an open end."""
    given = clean.mapping(value)
    moment = given.get("date") or given.get("timestamp") or (value if isinstance(value, str) else None)
    interval = given.get("interval")
    pair = interval if isinstance(interval, list) and len(interval) == 2 else [moment, moment]  # noqa: PLR2004
    when, notes = time_range(*(None if end == ".." else end for end in pair))
    step = duration(given.get("resolution"))
    return when, Resolution(time=step) if step else None, notes


def _licence(said: Given, links: tuple[Given, ...]) -> Licence | None:
    """The terms: `license` (SPDX or an address), `rights`, a link, or WMO's data policy."""
    linked = next((item for item in links if item.get("rel") == "license"), {})
    terms = clean.name(said.get("license"))
    known = None if (terms or "").lower() in {"other", "various", "proprietary"} else terms
    policy = clean.name(said.get("wmo:dataPolicy"))
    title = clean.words(said.get("rights")) or clean.words(linked.get("title"))
    found = licence(
        title, linked.get("href") or clean.address(known), None if clean.address(known) else known
    )
    return found or (Licence(title=f"WMO data policy: {policy}") if policy else None)


def _identifiers(given: Given, said: Given, links: tuple[Given, ...]) -> Iterator[Any]:
    yield from (item.get("value") for item in clean.objects(said.get("externalIds")))
    yield from (item.get("href") for item in links if item.get("rel") == "cite-as")
    yield given.get("id")


def _ways(links: tuple[Given, ...]) -> Iterator[Given]:
    """The links that lead to data; a stream of messages is none that can be cut."""
    for item in links:
        if clean.name(item.get("rel")) in _NO_DATA:
            continue
        stream = _STREAM.fullmatch(clean.words(item.get("href"), clean.MAX_ADDRESS) or "")
        if stream:
            yield {"protocol": "other", "address": stream[0], "title": _title(item)}
            continue
        kind = clean.name(item.get("type"))
        media = kind if kind and "/" in kind else None
        said = kind if not media else clean.name(item.get("protocol"))
        yield way(
            item.get("href"), said=said, form=_known(kind), media_type=media, title=_title(item),
            size=item.get("length"),
        )  # fmt: skip


def _known(kind: str | None) -> str | None:
    """A type that is a format; catalogues have all sorts of words there (`download`)."""
    word = (kind or "").lower()
    return word if word in FORMATS or word in FORMATS.values() else None


def _title(item: Given) -> str | None:
    return clean.words(item.get("title")) or clean.words(item.get("channel"))
