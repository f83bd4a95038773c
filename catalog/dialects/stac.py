"""STAC 1.0 and 1.1: Collections and Items read, a Collection written.

https://github.com/radiantearth/stac-spec, with the extensions datacube, scientific, version, file, contacts, language,
xarray-assets and alternate-assets. STAC has one language, and no words for a kind of data, a calendar, or depths: the
fields `bienmo:…` say them beside the standard's own.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from catalog.dialects import _words as clean
from catalog.dialects._assets import FILE_SCHEMA, asset_ways, write_assets
from catalog.dialects._contacts import read_parties, write_contacts, write_providers
from catalog.dialects._datacube import SCHEMA, axes, cube_extent, cube_variables, write_cube
from catalog.dialects._extent import Notes, from_coverage, note, time_range
from catalog.dialects._geojson import around, read_bbox, read_extent
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._notes import carried, together
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.dialects._shapes import geojson_boxes
from catalog.dialects._texts import by_language, language, text
from catalog.dialects._ways import VECTOR, way
from catalog.dialects._weblinks import absolute, landing_page, linked
from catalog.errors import BadDocument
from catalog.record import Extent, Kind, Licence, Record, Text
from catalog.source import Document

MEDIA_TYPE = "application/json"
VERSION = "1.1.0"
_EXTENSIONS = "https://stac-extensions.github.io"
_SPDX = re.compile(r"[\w.+-]+", re.ASCII)
_NO_LICENCE = frozenset({"other", "proprietary", "various"})
_SHARED = ("license", "providers", "contacts", "keywords", "sci:doi", "sci:citation", "language")
Given = Mapping[str, Any]


def read(document: Document) -> Record:
    """Read a Collection or an Item; addresses in it are relative to the document's own.

    Raises:
        BadDocument: It is neither.
    """
    return read_object(document, read_json(document.content))


def read_object(document: Document, given: Any, collection: Any = None) -> Record:
    """Read a Collection or an Item that is JSON values already.

    Args:
        document: Where it came from.
        given: The Collection or Item.
        collection: The Collection of an Item: what the Item does not say itself (terms, providers, keywords) it
            says for all its Items.

    Raises:
        BadDocument: It is neither.
    """
    if not isinstance(given, dict) or not clean.name(given.get("id")):
        raise BadDocument("this is no STAC object: it has no id")
    if given.get("type") == "Feature" and isinstance(given.get("properties"), dict):
        return _read_item(document, given, clean.mapping(collection))
    if "extent" in given or given.get("type") == "Collection":
        return _read_fields(document, given, given, _collection_extent(given))
    raise BadDocument("this is no STAC Collection or Item")


def shared(collection: Any) -> dict[str, Any]:
    """Return what a Collection says for its Items, too: its title, terms, parties, keywords and citation."""
    given = clean.mapping(collection)
    links = [item for item in clean.objects(given.get("links")) if item.get("rel") in {"license", "cite-as"}]
    return {key: given[key] for key in ("title", *_SHARED) if key in given} | (
        {"links": links} if links else {}
    )


def _read_item(document: Document, item: Given, collection: Given) -> Record:
    """Fields of an Item stand in its properties (Item specification, Properties Object)."""
    said = {**{key: collection[key] for key in _SHARED if key in collection}, **item["properties"]}
    title = clean.name(collection.get("title"))
    named = {"title": f"{title}: {clean.name(item.get('id'))}"} if title else {}
    links = (*clean.objects(item.get("links")), *clean.objects(collection.get("links")))
    fields = {**named, **said, "id": item.get("id"), "links": list(links), "assets": item.get("assets")}
    return _read_fields(document, fields, item["properties"], _item_extent(item))


def _read_fields(document: Document, given: Given, own: Given, place: tuple[Extent, Notes]) -> Record:
    """The record of a Collection's fields; `own` says whether it has a title of its own."""
    tag = language(given.get("language"))
    cube, odd = cube_variables({**_summaries(given), **given})
    ways, lost = distributions((*asset_ways(given.get("assets"), document.url), *_maps(given, document.url)))
    untitled = () if clean.words(own.get("title")) or by_language(own.get("bienmo:title")) else (
        note("title-missing", "the source gives no title; it is made of its id"),
    )  # fmt: skip
    named = clean.name(given.get("id")) or clean.name(document.native_id) or "?"
    return _record(
        document,
        {
            "title": _text(given, "title", tag) or Text.of(named),
            "summary": _text(given, "description", tag),
            "keywords": _keywords(given, tag),
            "kind": _kind(given, {item.format for item in ways}),
            "variables": cube,
            "extent": place[0],
            "parties": read_parties(given.get("contacts"), given.get("providers")),
            "licence": _licence(given),
            "citation": clean.words(given.get("sci:citation")),
            "doi": clean.doi(given.get("sci:doi"), linked(given.get("links"), document.url, "cite-as")),
            "lineage": clean.words(given.get("processing:lineage")),
            "update_frequency": clean.words(given.get("bienmo:update_frequency"), 200),
            "created": clean.moment(given.get("created")),
            "modified": clean.moment(given.get("updated")),
            "distributions": ways,
            "landing_page": landing_page(given.get("links"), document.url),
            "quality": together(_carried(given), untitled, _superseded(given), place[1], odd, lost),
        },
    )


def _text(given: Given, key: str, tag: str) -> Text | None:
    """The words of a field; the standard wants a description, which of ours may stand for none."""
    written = given.get(f"bienmo:{key}")
    return by_language(written) if isinstance(written, dict) else text(given.get(key), tag)


def _keywords(given: Given, tag: str) -> tuple[Text, ...]:
    written = given.get("bienmo:keywords")
    if isinstance(written, list):
        found = [by_language(item) for item in written]
    else:
        words = given["keywords"] if isinstance(given.get("keywords"), list) else []
        found = [clean.text({tag: word}) for word in words if isinstance(word, str)]
    return tuple(dict.fromkeys(word for word in found if word))


def _summaries(given: Given) -> Given:
    """Fields that a Collection has in its summaries, `cf:parameter` among them."""
    return {
        key: value for key, value in clean.mapping(given.get("summaries")).items() if key == "cf:parameter"
    }


def _kind(given: Given, formats: set[str]) -> Kind:
    if said := clean.kind(given.get("bienmo:kind")):
        return said
    if {"x", "y"} <= axes(given.get("cube:dimensions")).keys() or "tiff" in formats:
        return "grid"
    return "features" if formats & VECTOR else "document"


# --- where and when


def _collection_extent(given: Given) -> tuple[Extent, Notes]:
    """Extent Object, and what we say beside it."""
    written = given.get("bienmo:extent")
    if isinstance(written, dict):
        return from_coverage(written)
    return _joined(*read_extent(given.get("extent")), given)


def _item_extent(item: Given) -> tuple[Extent, Notes]:
    """The Item's bbox or geometry, and its moment or range of time."""
    properties = item["properties"]
    boxes, vertical, notes = read_bbox(item.get("bbox"))
    if not boxes:
        boxes, said = geojson_boxes(item.get("geometry"))
        notes += said
    moment = properties.get("datetime")
    start, end = (properties.get(f"{side}_datetime") or moment for side in ("start", "end"))
    when, odd = time_range(start, end)
    return _joined(Extent(boxes=boxes, vertical=vertical, time=when), (*notes, *odd), properties)


def _joined(said: Extent, notes: Notes, given: Given) -> tuple[Extent, Notes]:
    """An extent with what the axes of the datacube extension tell beyond it."""
    cube, more = cube_extent(given.get("cube:dimensions"))
    joined = Extent(
        boxes=said.boxes or cube.boxes,
        vertical=cube.vertical or said.vertical,
        time=said.time or cube.time,
        resolution=cube.resolution,
    )
    return joined, (*notes, *more)


# --- terms, links, notes


def _licence(given: Given) -> Licence | None:
    written = clean.mapping(given.get("bienmo:licence"))
    if written:
        return licence(written.get("title"), written.get("url"), None, written.get("spdx"))
    said = clean.name(given.get("license")) or ""
    terms = next((item for item in clean.objects(given.get("links")) if item.get("rel") == "license"), {})
    known = None if said.lower() in _NO_LICENCE else said
    spdx = known if known and _SPDX.fullmatch(known) else None
    return licence(terms.get("title"), terms.get("href"), known, spdx)


def _maps(given: Given, base: str) -> list[Mapping[str, Any]]:
    """The map services of the web-map-links extension."""
    return [
        way(absolute(item.get("href"), base), said="OGC:WMS", title=item.get("title"))
        for item in clean.objects(given.get("links"))
        if item.get("rel") == "wms"
    ]


def _superseded(given: Given) -> Notes:
    """The version extension's `deprecated`."""
    if given.get("deprecated") is not True or any(said.code == "deprecated" for said in _carried(given)):
        return ()
    return (note("deprecated", "the source says that this version is deprecated; a newer one may be there"),)


def _carried(given: Given) -> Notes:
    return carried(
        (item.get("code"), item.get("text")) for item in clean.objects(given.get("bienmo:quality"))
    )


# --- writing


def write(record: Record) -> bytes:
    """Write a record as a STAC 1.1 Collection; links to the catalog around it are whoever serves it to add."""
    assets = write_assets(record.distributions)
    cube = write_cube(record)
    science = {"sci:doi": record.doi, "sci:citation": record.citation}
    used = {
        SCHEMA: "cube:dimensions" in cube,
        f"{_EXTENSIONS}/scientific/v1.0.0/schema.json": any(science.values()),
        FILE_SCHEMA: any("file:size" in asset or "file:checksum" in asset for asset in assets.values()),
        f"{_EXTENSIONS}/version/v1.2.0/schema.json": _is_deprecated(record),
        f"{_EXTENSIONS}/contacts/v0.1.1/schema.json": bool(record.parties),
    }
    said = {
        "type": "Collection",
        "stac_version": VERSION,
        "stac_extensions": [schema for schema, is_used in used.items() if is_used],
        "id": record.id,
        "title": record.title.best("en"),
        "description": (record.summary or record.title).best("en"),
        "keywords": list(dict.fromkeys(word.best("en") for word in record.keywords)) or None,
        "license": _said_licence(record.licence),
        "extent": _said_extent(record.extent),
        "providers": write_providers(record.parties) or None,
        "contacts": write_contacts(record.parties) or None,
        "created": record.created,
        "updated": record.modified,
        "deprecated": True if _is_deprecated(record) else None,
        "processing:lineage": record.lineage,
        "links": _said_links(record),
        "assets": assets or None,
        **science,
        **cube,
        **_ours(record),
    }
    return orjson.dumps({key: value for key, value in said.items() if value is not None})


def _is_deprecated(record: Record) -> bool:
    return any(said.code == "deprecated" for said in record.quality)


def _ours(record: Record) -> dict[str, Any]:
    """What STAC has no words for."""
    extent = record.extent
    several = any(set(word.words) != {"und"} for word in record.keywords)
    return {
        "bienmo:title": dict(record.title.words),
        "bienmo:description": dict(record.summary.words) if record.summary else {},
        "bienmo:keywords": [dict(word.words) for word in record.keywords] if several else None,
        "bienmo:kind": record.kind,
        "bienmo:quality": [said.model_dump() for said in record.quality] or None,
        "bienmo:update_frequency": record.update_frequency,
        "bienmo:licence": record.licence.model_dump(exclude_none=True) if record.licence else None,
        "bienmo:extent": {
            "boxes": [[box.west, box.south, box.east, box.north] for box in extent.boxes],
            "vertical": [extent.vertical.minimum, extent.vertical.maximum] if extent.vertical else None,
            "time": extent.time.model_dump() if extent.time else None,
            "resolution": extent.resolution.model_dump() if extent.resolution else None,
        },
    }


def _said_extent(extent: Extent) -> dict[str, Any]:
    """Extent Object; the whole world stands where a record does not say where it is, as the standard wants a box."""
    boxes = [around(extent.boxes)]
    if len(extent.boxes) > 1:
        boxes += [[box.west, box.south, box.east, box.north] for box in extent.boxes]
    ends = (extent.time.start, extent.time.end) if extent.time else (None, None)
    return {"spatial": {"bbox": boxes}, "temporal": {"interval": [[_plain_time(end) for end in ends]]}}


def _plain_time(moment: str | None) -> str | None:
    """An instant as RFC 3339 has it; None for one that is in no Gregorian calendar of four digits."""
    try:
        return moment if moment and datetime.fromisoformat(moment) else None
    except ValueError:
        return None


def _said_licence(terms: Licence | None) -> str:
    return terms.spdx if terms and terms.spdx and _SPDX.fullmatch(terms.spdx) else "other"


def _said_links(record: Record) -> list[dict[str, str]]:
    links = []
    if record.landing_page:
        links.append({"rel": "about", "href": record.landing_page, "type": "text/html"})
    if record.licence and record.licence.url:
        links.append({"rel": "license", "href": record.licence.url})
    if record.doi:
        links.append({"rel": "cite-as", "href": f"https://doi.org/{record.doi}"})
    return links
