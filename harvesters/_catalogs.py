"""THREDDS catalogs: the datasets of one, with what they inherit and the ways to their data, and what it refers to.

"THREDDS Client Catalog Specification" 1.0.7 and InvCatalog 0.6 (Unidata); a catalog of a server's configuration, with
`datasetScan` in it, is read as that server would serve it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from catalog.dialects import _words as clean
from catalog.dialects._xml import Element, attribute, each, first, local, read_xml, written
from catalog.errors import BadDocument

_NOT_METADATA = {"dataset", "catalogRef", "access", "service", "metadata", "datasetScan", "featureCollection"}
_SCANS = {"datasetScan", "featureCollection"}
_NO_DATA = {"resolver", "catalog", "queryserver", "file"}
_SHOWN_BY = {"iso", "uddc", "ncml"}
_LONGEST_ID = 2_000
_LONGEST_METADATA = 200_000
_MOST_SERVICES = 100


@dataclass(frozen=True)
class Above:
    """What a dataset inherits of one that it lies in.

    Args:
        parent: What that one inherits itself.
        said: Its inherited metadata, each element as text.
        service: Which service serves datasets in it; `loose` is the name where it is not said to be inherited (0.6).
        data_type: The kind of its data (0.6).
    """

    parent: "Above | None" = None
    said: tuple[str, ...] = ()
    service: str | None = None
    loose: str | None = None
    data_type: str | None = None


@dataclass(frozen=True)
class Entry:
    """A dataset of a catalog.

    Args:
        native_id: Its ID; where there is none, or several datasets of the catalog have it, its path.
        modified: When it was modified, as it says.
        ways: (service type in small letters, address) of each way to its data.
        attributes: Its name, ID and data type.
        own: What it says of itself, each element as text.
        above: What it inherits.
    """

    native_id: str
    modified: str | None
    ways: tuple[tuple[str, str], ...]
    attributes: Mapping[str, str | None]
    own: tuple[str, ...]
    above: Above

    def metadata(self) -> str:
        """Return all that is said of it as an XML element `dataset`: its own before what it inherits.

        What is beyond 200,000 letters is left out.
        """
        known = [f' {key}="{escape(value)}"' for key, value in self.attributes.items() if value]
        parts, room = [f"<dataset{''.join(known)}>"], _LONGEST_METADATA
        level: Above | None = self.above
        said = self.own
        while level is not None or said:
            for one in said:
                room -= len(one)
                if room < 0:
                    return "".join((*parts, "</dataset>"))
                parts.append(one)
            said, level = (level.said, level.parent) if level is not None else ((), None)
        return "".join((*parts, "</dataset>"))


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
    services = {
        name: tuple(_simple(found))
        for found in islice(each(root, "//service"), _MOST_SERVICES)
        if (name := clean.name(found.get("name")))
    }
    found = [
        (element, entry)
        for element, above in _datasets(root, Above())
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
    return replace(entry, native_id=said.strip("/")[:_LONGEST_ID] or "/")


def _datasets(element: Element, above: Above) -> Iterator[tuple[Element, Above]]:
    """The datasets below an element, each with what it inherits."""
    for child in each(element, "dataset"):
        yield child, above
        if first(child, "dataset") is not None:
            yield from _datasets(child, _inside(child, above))


def _inside(element: Element, above: Above) -> Above:
    """What datasets in a dataset inherit."""
    said = [
        child
        for metadata in each(element, "metadata")
        if (metadata.get("inherited") or "").lower() == "true"
        for child in _flat(metadata)
    ]
    return Above(
        above,
        tuple(map(written, said)),
        _named_service(said) or above.service,
        element.get("serviceName") or _named_service(each(element, "serviceName")) or above.loose,
        element.get("dataType") or above.data_type,
    )


def _named_service(said: Iterable[Element]) -> str | None:
    names = ((one.text or "").strip() for one in said if local(one) == "serviceName")
    return next((name for name in names if name), None)


def _entry(
    element: Element, above: Above, services: Mapping[str, Sequence[Element]], url: str
) -> Entry | None:
    """A dataset with a way to its data; None for one that only holds others, or is another by a second name."""
    if element.get("alias"):
        return None
    said = [child for child in element if local(child) not in _NOT_METADATA]
    said += [child for metadata in each(element, "metadata") for child in _flat(metadata)]
    named = element.get("serviceName") or _named_service(said) or above.service or above.loose
    ways = tuple(dict.fromkeys(_ways(element, named, services, url)))
    if not ways:
        return None
    last = unquote(urlsplit(ways[0][1]).path.rstrip("/").rpartition("/")[2])
    return Entry(
        native_id=clean.words(element.get("ID"), _LONGEST_ID) or "/",
        modified=next((one.text for one in each(element, "date") if one.get("type") == "modified"), None),
        ways=ways,
        attributes={
            "name": clean.name(element.get("name")) or clean.name(last),
            "ID": element.get("ID"),
            "dataType": element.get("dataType") or above.data_type,
        },
        own=tuple(map(written, said)),
        above=above,
    )


def _flat(metadata: Element) -> list[Element]:
    """The children of a metadata element of THREDDS's own vocabulary; what lies elsewhere is not asked for."""
    parts = [one for child in metadata for one in (child if local(child) == "threddsMetadata" else (child,))]
    return [one for one in parts if local(one) not in _NOT_METADATA]


def _ways(
    element: Element, named: str | None, services: Mapping[str, Sequence[Element]], url: str
) -> Iterator[tuple[str, str]]:
    """The ways to the data: by the path with each service it is served by, and by each `access` element."""
    path, query = element.get("urlPath"), _query(element, url)
    if path:
        chosen = services.get(named.strip(), ()) if named else next(iter(services.values()), ())
        for service in chosen:
            yield from _way(service, path, url, query)
    for access in each(element, "access"):
        name = access.get("serviceName") or _named_service(each(access, "serviceName"))
        path = access.get("urlPath")
        for service in services.get((name or "").strip(), ()) if path else ():
            yield from _way(service, path or "", url, query)


def _simple(service: Element) -> Iterable[Element]:
    """The simple services of a compound one, or the service itself."""
    all_ = (service, *each(service, "//service"))
    return islice(
        (one for one in all_ if (one.get("serviceType") or "").lower() != "compound"), _MOST_SERVICES
    )


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
