"""ERDDAP servers: the list of datasets, and the info table of each, which carries NetCDF attributes.

https://coastwatch.pfeg.noaa.gov/erddap/rest.html and …/tabledap/allDatasets.html. An info table has the
columns Row Type, Variable Name, Attribute Name, Data Type, Value; a grid's dimension says "nValues=12,
evenlySpaced=…". Servers pass on the datasets of others (EDDGridFromErddap, EDDTableFromErddap), in circles, too: each
is listed where it is found, under the id that it has there, and says where it comes from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects import acdd
from catalog.dialects._extent import box
from catalog.dialects._json import read_json
from catalog.errors import BadDocument, BadRequest, SourceError, Unreachable
from catalog.record import BBox, Record
from catalog.source import Document, Source
from harvesters import Fetch

INCREMENTAL = False
_PAGE = 20
_EVERYTHING = {"page": "1", "itemsPerPage": "1000000"}
_ITSELF = "allDatasets"
_GLOBAL = "NC_GLOBAL"
_REFUSED = range(400, 500)
_SILENCES = 3  # in a row: the server is down, not its datasets
_ORIGIN = re.compile(r"(https?://[^\s?#\"<>]{1,2000}/erddap)/(griddap|tabledap|info)/([A-Za-z0-9_-]{1,1000})")
_SIZE = re.compile(r"nValues=([0-9]{1,12})\b")
_TEXT = {"String", "char"}
_AXES = ("longitude", "latitude", "depth", "altitude", "time")
Row = Mapping[str, Any]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a server's datasets by their id, each with its info table; the `url` ends in `/erddap`.

    `search` asks only for datasets with these words. Of a source with a `bbox` only datasets that meet it are
    taken, and those that do not say where they are. A page is 20 datasets; its cursor is its first dataset's
    id. A dataset whose info table cannot be had is a document with a problem.

    Raises:
        SourceError: The server does not list its datasets, or three in a row got no answer.
    """
    base = source.url.rstrip("/")
    listing = _listing(source, base, fetch)
    names = sorted(name for name in listing if name >= (source.resume or ""))
    silences = 0
    for at, name in enumerate(names):
        if source.bbox is not None and not _meets(source.bbox, _listed_box(listing[name])):
            continue
        try:
            document, silences = _document(source, base, name, listing[name], fetch), 0
        except (SourceError, BadDocument) as error:
            silences = silences + 1 if _is_silence(error) else 0
            if silences == _SILENCES:
                raise
            document = _lost(source, base, name, error)
        if source.bbox is None or _meets(source.bbox, _claimed_box(document)):
            yield document.model_copy(update={"page": names[at - at % _PAGE]})


def _listing(source: Source, base: str, fetch: Fetch) -> Mapping[str, Row]:
    """The datasets by id. A server that keeps allDatasets to itself, or breaks on it, still has the list for people."""
    if source.search:
        asked = {**_EVERYTHING, "searchFor": source.search}
        return _datasets(f"{base}/search/index.json", asked, fetch)
    try:
        return _datasets(f"{base}/tabledap/{_ITSELF}.json", None, fetch)
    except Unreachable as error:
        if error.details.get("status") is None:
            raise
    return _datasets(f"{base}/info/index.json", _EVERYTHING, fetch)


def _datasets(url: str, asked: Mapping[str, str] | None, fetch: Fetch) -> Mapping[str, Row]:
    answer = fetch.get(url, asked)
    try:
        rows = _rows(read_json(answer.content))
    except BadDocument as error:
        said = f"{url} did not answer with a list of datasets: {error.message}"
        raise Unreachable(said, details={"url": url, "status": answer.status}) from error
    listed = ((clean.words(row.get("datasetID", row.get("Dataset ID")), 20_000), row) for row in rows)
    return {name: row for name, row in listed if name and name != _ITSELF}


def _rows(value: Any) -> list[Row]:
    """The rows of an ERDDAP table (`{"table": {"columnNames": […], "rows": [[…], …]}}`) as objects."""
    table = clean.mapping(clean.mapping(value).get("table"))
    names, rows = table.get("columnNames"), table.get("rows")
    if not isinstance(names, list) or not isinstance(rows, list):
        raise BadDocument("this is no table of an ERDDAP server: it has no columnNames or no rows")
    columns = [clean.name(name) or "" for name in names]
    return [dict(zip(columns, row, strict=False)) for row in rows if isinstance(row, list)]


def _document(source: Source, base: str, name: str, row: Row, fetch: Fetch) -> Document:
    """Get a dataset's info table. Raises SourceError or BadDocument."""
    url = _info_url(base, name)
    content = {"base": base, "listing": row, "info": read_json(fetch.get(url).content)}
    return Document(source=source.id, native_id=name, content=json.dumps(content).encode(), url=url)


def _lost(source: Source, base: str, name: str, error: SourceError | BadDocument) -> Document:
    problem = f"{error.code}: {error.message}"
    return Document(source=source.id, native_id=name, url=_info_url(base, name), problem=problem)


def _info_url(base: str, name: str) -> str:
    return f"{base}/info/{quote(name, safe='')}/index.json"


def _is_silence(error: SourceError | BadDocument) -> bool:
    """Tell whether a server gave no answer, or none in time; a refusal (4xx) is an answer."""
    refused = error.details.get("status") in _REFUSED
    return (isinstance(error, Unreachable) and not refused) or "seconds" in error.details


def _meets(wanted: BBox, found: BBox | None) -> bool:
    return found is None or wanted.intersects(found)


def _listed_box(row: Row) -> BBox | None:
    return box(*(row.get(key) for key in ("minLongitude", "minLatitude", "maxLongitude", "maxLatitude")))[0]


def _claimed_box(document: Document) -> BBox | None:
    """Where the dataset says it is; None where it does not say, or cannot be read."""
    try:
        boxes = read(document).extent.boxes if document.problem is None else ()
    except BadDocument:
        boxes = ()
    return boxes[0] if boxes else None


def read(document: Document) -> Record:
    """Read a dataset's row of the listing and its info table.

    Raises:
        BadDocument: It is no info table of an ERDDAP server.
    """
    given = clean.mapping(read_json(document.content))
    listing = clean.mapping(given.get("listing"))
    attributes, variables, sizes = _info(_rows(given.get("info")))
    base = clean.address(given.get("base"))
    gridded = bool(sizes) or bool(clean.words(listing.get("griddap")))
    known = _global(listing, attributes.get(_GLOBAL, {}))
    links = [said.get(key) for key in ("sourceUrl", "infoUrl") for said in (listing, known)]
    origin = _origin(document.native_id, base, links, gridded=gridded)
    coverage = _coverage(variables, attributes, sizes)
    header = {
        "attributes": known,
        "dimensions": sizes,
        "variables": [
            {"name": name, "dtype": dtype, "dimensions": axes, "shape": [sizes.get(axis) for axis in axes],
             "attributes": attributes.get(name, {})}
            for name, (dtype, axes) in variables.items()
        ],
        "coverage": coverage | ({"kind": "grid"} if gridded else {}) | {"problems": _passed_on(origin)},
        "distributions": [*_distributions(document.native_id, base, listing, gridded=gridded), *origin],
    }  # fmt: skip
    page = f"{base}/{'griddap' if gridded else 'tabledap'}/{quote(document.native_id, safe='')}.html"
    record = acdd.read_header(document, header)
    return (
        record.model_copy(update={"landing_page": page})
        if base and len(page) <= clean.MAX_ADDRESS
        else record
    )


_Info = tuple[dict[str, dict[str, Any]], dict[str, tuple[str, list[str]]], dict[str, int]]


def _info(rows: list[Row]) -> _Info:
    """Attributes by variable; data type and dimensions by variable; sizes by dimension."""
    attributes: dict[str, dict[str, Any]] = {}
    variables: dict[str, tuple[str, list[str]]] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        kind, name, dtype = (clean.name(row.get(key)) for key in ("Row Type", "Variable Name", "Data Type"))
        value, key = row.get("Value"), clean.name(row.get("Attribute Name"))
        if name is None:
            continue
        if kind == "attribute" and key:
            attributes.setdefault(name, {})[key] = value if dtype in _TEXT else _numbers(value)
        elif kind == "dimension":
            size = _SIZE.search(clean.words(value) or "")
            sizes[name] = int(size[1]) if size else 0
            variables[name] = (dtype or "", [name])
        elif kind == "variable":
            axes = [axis.strip() for axis in (clean.words(value) or "").split(",")]
            variables[name] = (dtype or "", [axis for axis in axes if axis])
    return attributes, variables, sizes


def _numbers(value: Any) -> Any:
    """The numbers of "1.0, 2.0"; a single one is not in a list; what is none stays as it is."""
    parts = value.split(",") if isinstance(value, str) else [value]
    found = [clean.number(part) for part in parts[:1_000]]
    if any(number is None for number in found):
        return value
    return found if len(found) > 1 else found[0]


def _global(listing: Row, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset's attributes, with the listing's words where it has none of its own."""
    columns = {"title": "title", "summary": "summary", "institution": "institution", "infoUrl": "infoUrl"}
    also = {
        "Title": "title",
        "Summary": "summary",
        "Institution": "institution",
        "Background Info": "infoUrl",
    }
    spare = {ours: listing[key] for key, ours in {**columns, **also}.items() if clean.words(listing.get(key))}
    return {**spare, **attributes}


def _coverage(
    variables: Mapping[str, Any], attributes: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The extent by the `actual_range` of ERDDAP's own coordinates: degrees, metres, seconds since 1970."""
    ranges = {axis: _range(attributes.get(axis, {}).get("actual_range")) for axis in _AXES}
    west, south = ranges["longitude"], ranges["latitude"]
    heights = ranges["altitude"]
    depths = ranges["depth"] or ((-heights[1], -heights[0]) if heights else None)
    steps = {
        axis: (found[1] - found[0]) / (sizes[axis] - 1)
        for axis, found in ranges.items()
        if found and sizes.get(axis, 0) > 1 and axis != "altitude"
    }
    return {
        "boxes": [[west[0], south[0], west[1], south[1]]] if west and south else [],
        "vertical": list(depths) if depths else None,
        "time": _times(ranges["time"]),
        "resolution": steps,
        "coordinates": [name for name in variables if name in _AXES or name in sizes],
    }


def _range(value: Any) -> tuple[float, float] | None:
    ends = [
        number
        for part in (value if isinstance(value, list) else [value])
        if (number := clean.number(part)) is not None
    ]
    return (min(ends), max(ends)) if ends else None


def _times(found: tuple[float, float] | None) -> dict[str, str] | None:
    if found is None:
        return None
    try:
        return {
            "start": instant.of_seconds(found[0]),
            "end": instant.of_seconds(found[1]),
            "calendar": "standard",
        }
    except BadRequest:
        return None


def _origin(name: str, base: str | None, links: list[Any], *, gridded: bool) -> list[dict[str, Any]]:
    """The way to a dataset at the server that it comes from; none where it is at home, or says nothing."""
    for value in links:
        found = _ORIGIN.search(clean.words(value, clean.MAX_ADDRESS) or "")
        if found and (_place(found[1]), found[3]) != (_place(base or ""), name):
            protocol = found[2] if found[2] != "info" else "griddap" if gridded else "tabledap"
            address = f"{found[1]}/{protocol}/{found[3]}"
            return [{"protocol": protocol, "address": address, "format": "erddap", "title": "Origin"}]
    return []


def _passed_on(origin: list[dict[str, Any]]) -> list[dict[str, str]]:
    text = "the server passes on a dataset of another address, where it may be found, too: "
    return [{"code": "federated", "text": text + way["address"]} for way in origin]


def _place(base: str) -> str:
    """An address without scheme and letter case."""
    return base.partition("://")[2].rstrip("/").lower()


def _distributions(name: str, base: str | None, listing: Row, *, gridded: bool) -> Iterator[dict[str, Any]]:
    """The ways to the data: OPeNDAP and ERDDAP's own, map images, and the page of the producer."""
    part = quote(name, safe="")
    ways = (["griddap"] if gridded else []) + (
        ["tabledap"] if clean.words(listing.get("tabledap")) or not gridded else []
    )
    for protocol in ways if base else ():
        yield {
            "protocol": protocol,
            "address": f"{base}/{protocol}/{part}",
            "format": "erddap",
            "title": protocol,
        }
    if base and clean.words(listing.get("wms")):
        yield {"protocol": "wms", "address": f"{base}/wms/{part}/request", "format": "wms", "title": "WMS"}
    link = clean.address(listing.get("infoUrl", listing.get("Background Info")))
    if link:
        yield {"protocol": "http", "address": link, "format": "html", "title": "Background information"}
