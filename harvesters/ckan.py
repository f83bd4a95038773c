"""CKAN portals, through ckanapi: `package_search`, page by page, by id.

https://docs.ckan.org/en/latest/api/. Fields differ from portal to portal: people and dates may be JSON in a
string (EnviDat), words may come by language (ckanext-fluent: `title_translated`), boxes may be GeoJSON in
`spatial` (ckanext-spatial) or four extras (ckanext-harvest).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ckanapi import RemoteCKAN

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, box, note, time_range
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._parties import joined
from catalog.dialects._record import distributions, record
from catalog.errors import BadDocument, IncompleteListing
from catalog.record import MOST, BBox, Extent, Party, Record, Role, Text, TimeRange
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._packages import ROWS, Unread, get_page

INCREMENTAL = True
_DEPTH = 8
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HDX_DATES = re.compile(r"\[(\S+) TO (\S+)\]")
_FORMATS: Mapping[str, str] = {
    "application/x-netcdf": "netcdf", "application/netcdf": "netcdf", "nc": "netcdf", "netcdf-4": "netcdf",
    "netcdf4": "netcdf", "application/x-hdf5": "hdf5", "h5": "hdf5", "hdf": "hdf5", "text/csv": "csv",
    "application/zip": "zip", "application/json": "json", "application/geo+json": "geojson",
    "shapefile": "shp", "esri-shapefile": "shp", "application/pdf": "pdf", "text/html": "html",
    "ogc-wms": "wms", "ogc-wfs": "wfs", "dods": "opendap", "dap": "opendap", "excel": "xlsx",
    "text/xml": "xml", "application/xml": "xml", "geotiff": "tiff", "tif": "tiff", "text/plain": "txt",
    "erddap-griddap": "erddap", "erddap-tabledap": "erddap",
}  # fmt: skip
_VECTOR = frozenset({"geojson", "shp", "kml", "kmz", "gpkg", "gml", "wfs", "geopackage", "geodatabase"})
_BOUNDS = ("bbox-west-long", "bbox-south-lat", "bbox-east-long", "bbox-north-lat")
_TIMES = (
    ("temporal-extent-begin", "temporal-extent-end"), ("temporal_start", "temporal_end"),
    ("temporal_coverage_from", "temporal_coverage_to"), ("temporal_coverage-from", "temporal_coverage-to"),
)  # fmt: skip
_FREQUENCIES = (
    "frequency",
    "update_frequency",
    "accrualPeriodicity",
    "frequency-of-update",
    "data_update_frequency",
)
Package = Mapping[str, Any]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a portal's datasets by id, a hundred a page; the page's cursor is its offset.

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
        while True:
            count, packages = get_page(portal, source, start)
            fresh = {_native_id(package, start + at): package for at, package in enumerate(packages)}
            fresh = {native_id: package for native_id, package in fresh.items() if native_id not in seen}
            for native_id, package in fresh.items():
                document = _document(source, native_id, package, str(start))
                if source.bbox is None or _meets(source.bbox, document):
                    yield document
            seen |= fresh.keys()
            start += len(packages)
            if start >= count or not fresh:
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


def _document(source: Source, native_id: str, package: Any, page: str) -> Document:
    if isinstance(package, Unread):
        return Document(source=source.id, native_id=native_id, page=page, problem=package.reason)
    given = clean.mapping(package)
    name = clean.words(given.get("name"), 1_000)
    told = bool(clean.words(given.get("id")) or name)
    return Document(
        source=source.id,
        native_id=native_id,
        name=name or native_id,
        content=json.dumps(package, sort_keys=True).encode(),
        url=f"{source.url.rstrip('/')}/dataset/{quote(name or native_id, safe='')}",
        page=page,
        problem=None if told else "bad-document: a dataset with neither id nor name",
    )


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
    package = read_json(document.content)
    if not isinstance(package, dict) or not {"id", "name", "title"} & package.keys():
        raise BadDocument("this is no package of a CKAN portal: it has neither id, name nor title")
    extras = {
        key: item.get("value")
        for item in clean.objects(package.get("extras"))
        if (key := clean.name(item.get("key")))
    }
    given = {**extras, **{key: value for key, value in package.items() if value not in (None, "", [], {})}}
    boxes, misplaced = _boxes(given)
    time, mistimed = _time(given)
    ways, lost = distributions(_ways(given))
    title = _text(given, "title")
    untitled = () if title else (note("title-missing", "the source gives no title; its name stands for it"),)
    formats = {way.format for way in ways}
    return record(
        document,
        {
            "title": title or Text.of(clean.name(given.get("name")) or clean.name(document.native_id) or "?"),
            "summary": _text(given, "notes"),
            "keywords": _keywords(given),
            "kind": "features" if formats & _VECTOR else "document",
            "extent": Extent(boxes=boxes, time=time),
            "parties": joined(_parties(given)),
            "licence": licence(*(given.get(f"license_{part}") for part in ("title", "url", "id"))),
            "citation": clean.words(given.get("citation")),
            "doi": clean.doi(*(given.get(key) for key in ("doi", "identifier", "url", "citation"))),
            "lineage": clean.words(given.get("lineage")),
            "update_frequency": next(
                (said for key in _FREQUENCIES if (said := clean.words(given.get(key), 200))), None
            ),
            "created": clean.moment(given.get("metadata_created")),
            "modified": clean.moment(given.get("metadata_modified")),
            "distributions": ways,
            "landing_page": clean.address(document.url),
            "quality": tuple(dict.fromkeys((*untitled, *misplaced, *mistimed, *lost))),
        },
    )


def _inner(value: Any) -> Any:
    """A value that may be JSON in a string; other strings stay as they are."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return value
    try:
        return read_json(value.encode("utf-8", "replace"))
    except BadDocument:
        return value


def _by_language(value: Any) -> dict[str, Any]:
    inner = _inner(value)
    return {key: said for key, said in clean.mapping(inner).items() if _LANGUAGE.fullmatch(key)}


def _text(given: Package, key: str) -> Text | None:
    """A field's words, alone (`und`) or by language, there or in its `_translated` twin."""
    plain = _inner(given.get(key))
    own = {} if isinstance(plain, dict) else {"und": given.get(key)}
    return clean.text({**own, **_by_language(plain), **_by_language(given.get(f"{key}_translated"))})


def _keywords(given: Package) -> tuple[Text, ...]:
    """Tags, groups, and keywords by language (ckanext-fluent)."""
    found = [Text.of(said) for key in ("tags", "groups") for said in _labels(given.get(key))]
    for key in ("keywords", "tags_translated"):
        for language, said in _by_language(given.get(key)).items():
            found += [Text.of(word, language) for word in clean.each(said) if word]
    return tuple(dict.fromkeys(found))


def _labels(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        words = clean.mapping(item)
        label = clean.name(item) or next(
            (said for key in ("display_name", "title", "name") if (said := clean.name(words.get(key)))), None
        )
        if label:
            yield label


def _parties(given: Package) -> Iterator[Party]:
    organisation = clean.mapping(given.get("organization"))
    publisher = clean.name(organisation.get("title")) or clean.name(organisation.get("name"))
    if publisher:
        yield Party(name=publisher, roles=("publisher",))
    roles: tuple[tuple[str, Role], ...] = (("author", "author"), ("maintainer", "pointOfContact"))
    for key, role in roles:
        inner = _inner(given.get(key))
        people = inner if isinstance(inner, list) else [inner]
        for person in people[:1_000]:
            told = clean.mapping(person)
            called = clean.name(person) or _full_name(told)
            email = clean.words(told.get("email") or given.get(f"{key}_email"), 1_000)
            if called:
                yield Party(name=called, roles=(role,), organisation=False, email=email)


def _full_name(person: Mapping[str, Any]) -> str | None:
    parts = (clean.name(person.get(key)) for key in ("given_name", "name"))
    return clean.name(" ".join(part for part in parts if part))


def _boxes(given: Package) -> tuple[tuple[BBox, ...], Notes]:
    """The boxes of a GeoJSON geometry (RFC 7946 §3.1), one for each of its parts, else of the four extras."""
    spatial = given.get("spatial")
    found: list[BBox] = []
    notes: Notes = ()
    parts: list[Sequence[Any]] = list(_bounds(_inner(spatial), _DEPTH))
    if len(parts) > MOST["boxes"]:
        notes = (note("boxes-gathered", f"{len(parts):,} boxes were gathered into the one around them"),)
        west, south, east, north = zip(*parts, strict=True)
        parts = [(min(west), min(south), max(east), max(north))]
    for sides in parts or [[given.get(key) for key in _BOUNDS]]:
        legal, said = box(*sides)
        found += [legal] if legal else []
        notes += said
    if spatial and not found and not notes:
        notes = (note("extent-unreadable", f"{(clean.name(spatial) or 'spatial')[:80]!r} is no geometry"),)
    return tuple(dict.fromkeys(found)), notes


def _bounds(geometry: Any, depth: int) -> Iterator[list[float]]:
    """[west, south, east, north] of each part of a geometry."""
    shape = clean.mapping(geometry)
    if depth == 0:
        return
    for inner in (
        shape.get("geometry"),
        *clean.objects(shape.get("geometries")),
        *clean.objects(shape.get("features")),
    ):
        yield from _bounds(inner, depth - 1)
    coordinates = shape.get("coordinates")
    if isinstance(coordinates, list):
        parts = (
            coordinates if clean.name(shape.get("type")) in {"MultiPolygon", "MultiPoint"} else [coordinates]
        )
        for part in parts:
            points = list(_points(part, depth))
            if points:
                along, up = zip(*points, strict=True)
                yield [min(along), min(up), max(along), max(up)]


def _points(value: Any, depth: int) -> Iterator[tuple[float, float]]:
    """The (longitude, latitude) of every position in nested lists of coordinates."""
    if not isinstance(value, list) or depth == 0:
        return
    ends = [clean.number(part) for part in value[:2] if not isinstance(part, list)]
    match ends:
        case [float() as along, float() as up]:
            yield along, up
        case _:
            for part in value:
                yield from _points(part, depth - 1)


def _time(given: Package) -> tuple[TimeRange | None, Notes]:
    """The time range in whichever field the portal has it."""
    for first, last in _TIMES:
        if given.get(first) or given.get(last):
            return time_range(given.get(first), given.get(last))
    hdx = _HDX_DATES.fullmatch(clean.words(given.get("dataset_date")) or "")
    if hdx:
        return time_range(*("" if end == "*" else end for end in hdx.groups()))
    start, slash, end = (clean.words(given.get("temporal"), 100) or "").partition("/")
    if slash:
        return time_range(start, end)
    dates = clean.objects(_inner(given.get("date")))
    collected = [item for item in dates if item.get("date_type") == "collected"]
    return time_range(collected[0].get("date"), collected[0].get("end_date")) if collected else (None, ())


def _ways(given: Package) -> Iterator[Mapping[str, Any]]:
    for resource in clean.objects(given.get("resources")):
        link = clean.address(resource.get("url"))
        form = _format(resource, link or "")
        yield {
            **_way(link, form),
            "media_type": clean.words(resource.get("mimetype"), 200),
            "title": clean.words(resource.get("name")) or clean.words(resource.get("description")),
            "size": clean.whole(resource.get("size")),
        }


def _way(link: str | None, form: str) -> Mapping[str, Any]:
    """Protocol, address and format; an ERDDAP server's page of a dataset is the way to the dataset."""
    served = re.fullmatch(
        r"(https?://\S+/erddap/(griddap|tabledap)/[A-Za-z0-9_-]+)(\.html|\.graph)?", link or ""
    )
    if served:
        return {"protocol": served[2], "address": served[1], "format": "erddap"}
    protocol = form if form in {"opendap", "wms"} else "http"
    return {"protocol": protocol, "address": link, "format": form}


def _format(resource: Mapping[str, Any], link: str) -> str:
    """The format in small letters, by the portal's word, else the media type, else the address's ending."""
    ending = urlsplit(link).path.rpartition("/")[2].rpartition(".")[2] if "." in link else ""
    for said in (resource.get("format"), resource.get("mimetype"), ending):
        word = re.sub(r"\s+", "-", (clean.name(said) or "").lower()).lstrip(".")
        form = _FORMATS.get(word, word)
        if re.fullmatch(r"[a-z0-9.+_-]{1,40}", form) and form not in {"null", "none", "other", "data"}:
            return form
    return "unknown"
