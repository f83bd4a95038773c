"""THREDDS catalogs: the datasets of one, with what they inherit and the ways to their data, and what it refers to.

"THREDDS Client Catalog Specification" 1.0.7 and InvCatalog 0.6 (Unidata); a catalog of a server's configuration, with
`datasetScan` in it, is read as that server would serve it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects._xml import Element, attribute, each, local, read_xml, written
from catalog.errors import BadDocument

_NOT_METADATA = {"dataset", "catalogRef", "access", "service", "metadata", "datasetScan", "featureCollection"}
_SCANS = {"datasetScan", "featureCollection"}
_NO_DATA = {"resolver", "catalog", "queryserver", "file"}
_SHOWN_BY = {"iso", "uddc", "ncml"}
_LONGEST_ID = 2_000


@dataclass(frozen=True)
class Entry:
    """A dataset of a catalog.

    Args:
        native_id: Its ID; where there is none, or several datasets of the catalog have it, its path.
        modified: When it was modified, as it says.
        ways: (service type in small letters, address) of each way to its data.
        metadata: An XML element `dataset` with all that is said of it: its own before what it inherits.
    """

    native_id: str
    modified: str | None
    ways: tuple[tuple[str, str], ...]
    metadata: str


@dataclass(frozen=True)
class Catalog:
    """What a catalog says: its datasets, and the addresses of the catalogs that it refers to."""

    entries: tuple[Entry, ...]
    refs: tuple[str, ...]


def read_catalog(content: bytes, url: str) -> Catalog:
    """Read a catalog that came from an address.

    Raises:
        BadDocument: It is no THREDDS catalog.
    """
    root = read_xml(content)
    if local(root) != "catalog":
        raise BadDocument(f"this is no THREDDS catalog, but {local(root)[:60]!r}")
    services = {name: found for found in each(root, "//service") if (name := clean.name(found.get("name")))}
    found = [
        (element, entry)
        for element, above in _datasets(root, ())
        if (entry := _entry(element, above, services, url)) is not None
    ]
    ids = [clean.words(element.get("ID")) for element, _ in found]
    shared = {one for one, count in Counter(ids).items() if count > 1}
    entries = tuple(
        entry if said and said not in shared and len(said) <= _LONGEST_ID else _by_path(entry, element)
        for (element, entry), said in zip(found, ids, strict=True)
    )
    return Catalog(entries, tuple(dict.fromkeys(_refs(root, url))))


def _by_path(entry: Entry, element: Element) -> Entry:
    """A dataset called by its path on the server."""
    paths = [element.get("urlPath"), *(access.get("urlPath") for access in each(element, "access"))]
    said = next((path for path in map(clean.words, paths) if path), None) or urlsplit(entry.ways[0][1]).path
    return Entry(said.strip("/")[:_LONGEST_ID] or "/", entry.modified, entry.ways, entry.metadata)


def _datasets(element: Element, above: tuple[Element, ...]) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    """The datasets below an element, each with those that it lies in, the nearest first."""
    for child in each(element, "dataset"):
        yield child, above
        yield from _datasets(child, (child, *above))


def _entry(
    element: Element, above: tuple[Element, ...], services: Mapping[str, Element], url: str
) -> Entry | None:
    """A dataset with a way to its data; None for one that only holds others, or is another by a second name."""
    if element.get("alias"):
        return None
    said = _metadata(element, above)
    called = clean.words(element.get("ID"), _LONGEST_ID)
    ways = tuple(dict.fromkeys(_ways(element, above, said, services, url)))
    if not ways:
        return None
    modified = next((one.text for one in each(element, "date") if one.get("type") == "modified"), None)
    return Entry(called or "/", modified, ways, _written((element, *above), said, ways[0][1]))


def _metadata(element: Element, above: tuple[Element, ...]) -> list[Element]:
    """What is said of a dataset: by itself, then by those it lies in as inherited, the nearest first."""
    found = [child for child in element if local(child) not in _NOT_METADATA]
    found += [child for said in each(element, "metadata") for child in _flat(said)]
    for one in above:
        for said in each(one, "metadata"):
            if (said.get("inherited") or "").lower() == "true":
                found += _flat(said)
    return found


def _flat(metadata: Element) -> list[Element]:
    """The children of a metadata element of THREDDS's own vocabulary; what lies elsewhere is not asked for."""
    parts = [one for child in metadata for one in (child if local(child) == "threddsMetadata" else (child,))]
    return [one for one in parts if local(one) not in _NOT_METADATA]


def _written(along: tuple[Element, ...], said: list[Element], address: str) -> str:
    """All that is said of a dataset as one element; without a name it is called by the last part of its address."""
    last = unquote(urlsplit(address).path.rstrip("/").rpartition("/")[2])
    own = {"name": clean.name(along[0].get("name")) or clean.name(last), "ID": along[0].get("ID")}
    inherited = next((kind for one in along if (kind := one.get("dataType"))), None)  # InvCatalog 0.6
    given = {**own, "dataType": inherited}
    whole = etree.Element("dataset", {key: value for key, value in given.items() if value})
    whole.extend([deepcopy(one) for one in said])
    return written(whole)


def _ways(
    element: Element,
    above: tuple[Element, ...],
    said: list[Element],
    services: Mapping[str, Element],
    url: str,
) -> Iterator[tuple[str, str]]:
    """The ways to the data: by the path with each service it is served by, and by each `access` element."""
    path, query = element.get("urlPath"), _query(element, url)
    if path:
        name = _service_name((element, *above), said)
        chosen = services.get(name) if name else next(iter(services.values()), None)
        for service in _simple(chosen) if chosen is not None else ():
            yield from _way(service, path, url, query)
    for access in each(element, "access"):
        named = access.get("serviceName") or next((one.text for one in each(access, "serviceName")), None)
        service, path = services.get((named or "").strip()), access.get("urlPath")
        for one in _simple(service) if service is not None and path else ():
            yield from _way(one, path, url, query)


def _service_name(along: tuple[Element, ...], said: list[Element]) -> str | None:
    """Which service serves a dataset: its own word, what it inherits, and in 0.6 that of the nearest around it."""
    named = [along[0].get("serviceName"), *(one.text for one in said if local(one) == "serviceName")]
    for one in along[1:]:
        named += [one.get("serviceName"), *(child.text for child in each(one, "serviceName"))]
    return next((name.strip() for name in named if name and name.strip()), None)


def _simple(service: Element) -> Iterator[Element]:
    """The simple services of a compound one."""
    inner = list(each(service, "service"))
    if not inner and (service.get("serviceType") or "").lower() != "compound":
        yield service
    for one in inner:
        yield from _simple(one)


def _way(service: Element, path: str, url: str, query: str) -> Iterator[tuple[str, str]]:
    kind = (service.get("serviceType") or "").lower()
    base, suffix = service.get("base") or "", service.get("suffix") or ""
    plain = quote(path.strip(), safe="/%:=&?~#+!$,;'@()*[]")
    try:
        joined = plain if "://" in plain else urljoin(url, f"{base.strip()}{plain}{suffix.strip()}")
    except ValueError:  # what urllib calls no address
        return
    if kind and kind not in _NO_DATA and joined.startswith(("http://", "https://")):
        yield kind, joined + (query if kind in _SHOWN_BY and "?" not in joined else "")


def _query(element: Element, url: str) -> str:
    """What the services that describe a dataset are told of it."""
    called = element.get("ID")
    return f"?catalog={quote(url, safe='')}&dataset={quote(called, safe='')}" if called else ""


def _refs(root: Element, url: str) -> Iterator[str]:
    for ref in root.iterdescendants():
        kind = local(ref)
        href = attribute(ref, "href") if kind == "catalogRef" else None
        if kind in _SCANS and (path := (ref.get("path") or "").strip("/ ")):
            context = url.partition("/catalog/")[0] if "/catalog/" in url else url.rpartition("/")[0]
            href = f"{context}/catalog/{quote(path)}/catalog.xml"
        try:
            found = urljoin(url, (href or "").strip()).partition("#")[0]
        except ValueError:
            continue
        if href and href.strip() and found.startswith(("http://", "https://")):
            yield _xml_form(found)


def _xml_form(url: str) -> str:
    """A catalog's page for people is beside its XML."""
    plain, mark, query = url.partition("?")
    return plain.removesuffix(".html") + (".xml" if plain.endswith(".html") else "") + mark + query


def host(url: str) -> Any:
    """Return the host of an address in small letters; None where it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
