"""THREDDS data servers, and all that serve their catalogs (Hyrax): the tree of catalog.xml from an address down.

"THREDDS Client Catalog Specification" 1.0.7, InvCatalog 0.6 and 1.0. A dataset is described by its own attributes over
OPeNDAP, else by the NetCDF Subset Service or the ISO service, and by what the catalog says of it, which fills the gaps.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects import acdd, iso19115
from catalog.dialects._json import read_json
from catalog.dialects._ways import FORMATS, format_of, way
from catalog.dialects._xml import Element, first, read_xml, text, written
from catalog.errors import BadDocument, BadSource, IncompleteListing, LimitExceeded, SourceError, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch, _dap
from harvesters import _threddsmetadata as metadata
from harvesters._catalogs import Catalog, Entry, host, read_catalog
from harvesters._wanted import Silences, is_refusal, is_wanted, lost

INCREMENTAL = True
MOST_CATALOGS = 10_000
MOST_DEPTH = 30
_PAGE = 50
_DETAILS = ("auto", "dap", "ncss", "iso", "none")
_DAP = {"opendap", "dods", "dap"}
_NCSS = {"netcdfsubset", "ncss"}
_ISO = {"iso"}
_DESCRIBED_BY = (("dap", _DAP), ("ncss", _NCSS), ("iso", _ISO))
_FILES = {"httpserver", "http"}
_OURS = {"id", "source", "native_id", "document_hash", "distributions", "quality"}
_Page = tuple[str, str, Entry | Document]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the datasets of a catalog and of all that it leads to on its host, each once.

    A catalog's datasets come before those of the catalogs that it refers to, which come in its order. A page is up
    to 50 datasets of one catalog; its cursor is the catalog's address and the number of its first. For
    `changed_since`, datasets that say they were modified before are passed over. A catalog or dataset that is refused
    is a document with a problem. Options: `details`, `most_catalogs`, `depth`.

    Raises:
        BadSource: An option is wrong.
        SourceError: The first catalog cannot be read, or three datasets or catalogs in a row got no answer.
        LimitExceeded: There are more catalogs than `most_catalogs`.
        IncompleteListing: Other catalogs could not be read.
    """
    details = source.options.get("details", "auto")
    if details not in _DETAILS:
        raise BadSource(f"details of source {source.id!r} is {details!r}, none of {', '.join(_DETAILS)}")
    silences, skipping = Silences(), source.resume is not None
    for page, url, item in _listed(source, fetch):
        skipping = skipping and page != source.resume
        if skipping or (isinstance(item, Entry) and _is_older(item, source.changed_since)):
            continue
        if isinstance(item, Document):
            yield item
            continue
        document = Document(
            source=source.id, native_id=item.native_id, name=item.native_id, url=url, page=page
        )
        try:
            content = json.dumps(_described(item, url, fetch, details)).encode()
            silences = Silences()
        except (SourceError, BadDocument) as error:
            silences = silences.after(error)
            yield lost(document, error)
            continue
        found = document.model_copy(update={"content": content})
        if is_wanted(source, read, found):
            yield found
    if skipping:  # the page is no more
        yield from harvest(source.model_copy(update={"resume": None}), fetch)


def _listed(source: Source, fetch: Fetch) -> Iterator[_Page]:
    """Every dataset once, with its page and its catalog's address; catalogs that are refused as lost documents."""
    seen: set[str] = set()
    for url, found in _catalogs(source, fetch):
        if isinstance(found, Document):
            yield found.page, url, found
            continue
        fresh = [entry for entry in found.entries if entry.native_id not in seen]
        fresh = list({entry.native_id: entry for entry in reversed(fresh)}.values())[::-1]
        seen |= {entry.native_id for entry in fresh}
        for at, entry in enumerate(fresh):
            yield f"{url}#{at - at % _PAGE}", url, entry


def _catalogs(source: Source, fetch: Fetch) -> Iterator[tuple[str, Catalog | Document]]:
    """The catalogs of the tree, each once; depth first, in the order in which they are referred to."""
    most, deepest, chosen = _limits(source)
    waiting, met, unread = [(source.url, 0)], {source.url}, list[str]()
    silences, read_so_far = Silences(), 0
    while waiting:
        if read_so_far == most:
            raise LimitExceeded(f"{source.url} leads to more than most_catalogs = {most:,} catalogs")
        read_so_far += 1
        url, depth = waiting.pop()
        try:
            answer = fetch.get(url)
            found = read_catalog(answer.content, answer.url)
            silences = Silences()
        except (SourceError, BadDocument) as error:
            if url == source.url:
                raise Unreachable(f"{url} did not answer with a THREDDS catalog: {error.message}") from error
            silences = silences.after(error)
            if is_refusal(error):
                document = Document(source=source.id, native_id=url, url=url, page=f"{url}#0")
                yield url, lost(document, error)
            else:
                unread.append(error.message)
            continue
        yield url, found
        met |= {answer.url}
        refs = [ref for ref in found.refs if ref not in met and host(ref) == host(source.url)]
        if refs and depth == deepest:
            unread += [] if chosen else [f"{url} leads deeper than {deepest} catalogs"]
            continue
        refs = refs[: most + 1]
        met |= set(refs)
        waiting += [(ref, depth + 1) for ref in reversed(refs)]
    if unread:
        raise IncompleteListing(f"{len(unread)} catalogs could not be read: {unread[0]}")


def _limits(source: Source) -> tuple[int, int, bool]:
    """How many catalogs are read, how deep, and whether that depth is chosen, so that the listing is whole."""
    depth, most = source.options.get("depth"), source.options.get("most_catalogs", MOST_CATALOGS)
    for name, value in (("depth", depth), ("most_catalogs", most)):
        if value is not None and clean.whole(value) is None:
            raise BadSource(f"{name} of source {source.id!r} is {value!r}, no whole number")
    return int(most), MOST_DEPTH if depth is None else int(depth), depth is not None


def _is_older(entry: Entry, since: str | None) -> bool:
    modified = clean.moment(entry.modified, end=True)
    return since is not None and modified is not None and instant.seconds(modified) < instant.seconds(since)


def _described(entry: Entry, url: str, fetch: Fetch, details: str) -> dict[str, Any]:
    """A dataset's document: what the catalog says, and the description that one of its services gives.

    A service that refuses is passed over, and told of. Raises SourceError where one does not answer.
    """
    said: dict[str, Any] = {"catalog": url, "dataset": entry.metadata(), "ways": entry.ways}
    refused: list[str] = []
    found = [
        (key, address)
        for key, kinds in _DESCRIBED_BY
        for kind, address in entry.ways
        if kind in kinds and details in {"auto", key}
    ]
    for key, address in found:
        try:
            return {**said, key: _asked(key, address, fetch)}
        except (Unreachable, BadDocument) as error:
            if isinstance(error, Unreachable) and not is_refusal(error):
                raise
            refused.append(error.message[:500])
    return {**said, "refused": refused}


def _asked(key: str, address: str, fetch: Fetch) -> Any:
    """The description of a dataset by one of its services. Raises SourceError or BadDocument."""
    if key == "dap":
        return _dap.describe(address, fetch)
    content = fetch.get(f"{address}/dataset.xml" if key == "ncss" else address).content
    return written(read_xml(content))


def read(document: Document) -> Record:
    """Read what a catalog and a service say of a dataset.

    Raises:
        BadDocument: It is no dataset of a catalog.
    """
    given = clean.mapping(read_json(document.content))
    dataset = _dataset(given.get("dataset"))
    header = _header(given, dataset)
    coverage = clean.mapping(header.get("coverage"))
    record = acdd.read_header(
        document,
        {
            **header,
            "attributes": _attributes(given, dataset, clean.mapping(header.get("attributes")), coverage),
            "coverage": {**coverage, "problems": list(_problems(given, coverage))},
            "distributions": [*header.get("distributions", ()), *_distributions(given, dataset)],
        },
    )
    return _by_iso(record, document, given["iso"]) if isinstance(given.get("iso"), str) else record


def _attributes(
    given: Mapping[str, Any], dataset: Element, told: Mapping[str, Any], coverage: Mapping[str, Any]
) -> dict[str, Any]:
    """The data's own attributes, filled with what the catalog says; the page for people is the server's."""
    paged = {"metadata_link", "infourl"} & {key.lower() for key in told}
    page = {} if paged else {"metadata_link": _page(given.get("catalog"), dataset)}
    return metadata.filled(told, {**metadata.attributes(dataset), **page}, coverage)


def _problems(given: Mapping[str, Any], coverage: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from clean.objects(coverage.get("problems"))
    for one in given["refused"] if isinstance(given.get("refused"), list) else ():
        yield {
            "code": "not-described",
            "text": f"a service gives no description: {clean.words(one, 500)}",
        }


def _by_iso(record: Record, document: Document, said: str) -> Record:
    """The record with what its ISO metadata say, but for its ways: those are the catalog's."""
    found = iso19115.read(document.model_copy(update={"content": said.encode("utf-8", "replace")}))
    known = {
        name: value
        for name in set(Record.model_fields) - _OURS
        if (value := getattr(found, name)) != Record.model_fields[name].default
    }
    return record.model_copy(update=known)


def _dataset(given: Any) -> Element:
    if not isinstance(given, str):
        raise BadDocument("this is no dataset of a THREDDS catalog")
    return read_xml(given.encode("utf-8", "replace"))


def _header(given: Mapping[str, Any], dataset: Element) -> dict[str, Any]:
    """The best description there is: over OPeNDAP, by a subset service, or by the catalog alone."""
    if isinstance(given.get("dap"), dict):
        return _dap.read(given["dap"])
    if isinstance(given.get("ncss"), str):
        return metadata.read_ncss(given["ncss"].encode("utf-8", "replace"))
    return {"attributes": {}, "variables": metadata.variables(dataset)}


def _page(catalog: Any, dataset: Element) -> str | None:
    """The page for people of a dataset on a THREDDS server."""
    url, called = clean.address(catalog), dataset.get("ID")
    if not url or not url.endswith(".xml") or not called or "/thredds/" not in url:
        return None
    return f"{url.removesuffix('.xml')}.html?dataset={quote(called, safe='/')}"


def _distributions(given: Mapping[str, Any], dataset: Element) -> Iterator[Mapping[str, Any]]:
    """The ways to the data by their services, but for that over OPeNDAP where it was described: it is known."""
    told = isinstance(given.get("dap"), dict)
    ways = given["ways"] if isinstance(given.get("ways"), list) else []
    for item in ways:
        kind, address = (clean.words(part) for part in item) if _is_pair(item) else (None, None)
        if not kind or not address or (told and kind in _DAP):
            continue
        if kind in _DAP:
            yield way(address, said="OPENDAP", title="OPeNDAP")
        elif kind in _FILES:
            yield {**way(address, form=_form(address, dataset), size=_bytes(dataset)), "protocol": "http"}
        elif kind == "wms":
            yield way(address, said="OGC:WMS", title="WMS")
        else:
            form = "ncss" if kind in _NCSS else "".join(letter for letter in kind if letter.isalnum())[:40]
            yield {"protocol": "other", "address": address, "format": form or "unknown", "title": kind}


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2  # noqa: PLR2004


def _form(address: str, dataset: Element) -> str:
    """A file's format by its ending, where that is one, else by what the catalog says of the data."""
    ending = format_of(None, None, address)
    said = text(dataset, "dataFormat")
    return ending if ending in FORMATS.values() or not said else format_of(said, None, None)


def _bytes(dataset: Element) -> int | None:
    """The size, where it is told to the byte."""
    size = first(dataset, "dataSize")
    return clean.whole(text(size)) if size is not None and size.get("units") == "bytes" else None
