"""How many datasets a portal has, as the clients that others wrote for it count them; none of our code is asked."""

import gzip
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

import rdflib
import requests
from ckanapi import RemoteCKAN
from dwca.read import DwCAReader
from erddapy import ERDDAP
from frost_sta_client import SensorThingsService
from fsspec.implementations.http import HTTPFileSystem
from owslib.csw import CatalogueServiceWeb
from owslib.ogcapi.edr import EnvironmentalDataRetrieval
from owslib.ogcapi.records import Records
from pyld import jsonld
from pystac_client import Client
from rdflib.namespace import DCAT, RDF
from sickle import Sickle
from sickle.oaiexceptions import BadArgument
from siphon.catalog import TDSCatalog

from catalog.source import Source

with warnings.catch_warnings(action="ignore"):  # its webob imports cgi
    from pydap.client import open_url

VOCABULARY = {"@context": {"@vocab": "https://schema.org/"}}
DCAT_AP = re.compile(rb'"https://semiceu\.github\.io/[^"]*"')
"""The address of a context, which says of the words that count that they are DCAT's; a client would fetch it."""

TIMEOUT = 20


class Seen(NamedTuple):
    """What a client saw.

    Args:
        listed: How many the portal lists.
        read: How many of them the client can read; None where a listing is all that it reads.
    """

    listed: int
    read: int | None = None


def by_ckanapi(source: Source) -> Seen:
    """The count of a search for everything."""
    with RemoteCKAN(source.url) as client:
        return Seen(int(client.action.package_search(rows=0, start=0)["count"]))


def by_owslib_csw(source: Source) -> Seen:
    """The matches of a question without a filter."""
    client = CatalogueServiceWeb(source.url, skip_caps=True)
    client.getrecords2(startposition=1, maxrecords=2)
    return Seen(int(client.results["matches"]))


def by_owslib_records(source: Source) -> Seen:
    """The items of the collections of records."""
    client = Records(f"{source.url}/")
    return Seen(sum(int(client.collection_items(name)["numberMatched"]) for name in client.records()))


def by_owslib_edr(source: Source) -> Seen:
    """The collections with queries, on the pages that the list leads to."""
    client = EnvironmentalDataRetrieval(f"{source.url}/")
    found, here = client.collections(), client.url
    count = 0
    while True:
        count += sum("data_queries" in one for one in found["collections"])
        following = [link["href"] for link in found.get("links", ()) if link["rel"] == "next"]
        if not following:
            return Seen(count)
        here = urljoin(here, following[0])
        found = requests.get(here, timeout=TIMEOUT).json()


def by_pystac_client(source: Source) -> Seen:
    """The collections, and their items where these are wanted."""
    with warnings.catch_warnings(action="ignore"):
        found = list(Client.open(source.url).get_collections())
        wanted = source.options.get("items") is True
        return Seen(len(found) + sum(sum(1 for _ in one.get_items()) for one in found if wanted))


def by_sickle(source: Source) -> Seen:
    """The records that are not deleted; as many as the list tells to have where its own token is refused (pycsw)."""
    asked = {key: source.options[key] for key in ("set",) if key in source.options}
    prefix = source.options.get("prefix", "oai_dc")
    found = Sickle(source.url, timeout=TIMEOUT).ListRecords(metadataPrefix=prefix, **asked)
    count = 0
    try:
        for record in found:
            count += not record.deleted
    except BadArgument:
        return Seen(int(found.resumption_token.complete_list_size))
    return Seen(count)


def by_siphon(source: Source) -> Seen:
    """The datasets of a tree of catalogs, and the catalogs in it that are refused."""
    count, waiting, met = 0, [source.url], {source.url}
    while waiting:
        try:
            with warnings.catch_warnings(action="ignore"):
                here = TDSCatalog(waiting.pop())
        except OSError:
            count += 1
            continue
        count += len(here.datasets)
        refs = {one.href.replace(".html", ".xml") for one in here.catalog_refs.values()}
        fresh = {one for one in refs - met if urlsplit(one).netloc == urlsplit(source.url).netloc}
        waiting, met = [*waiting, *sorted(fresh)], met | fresh
    return Seen(count)


def by_frost(source: Source) -> Seen:
    """The count of the things."""
    with warnings.catch_warnings(action="ignore"):  # the way it joins addresses is deprecated
        return Seen(int(SensorThingsService(source.url).things().query().count().list().count))


def by_erddapy(source: Source) -> Seen:
    """The rows of the table of all datasets, but for its own."""
    client = ERDDAP(server=source.url, protocol="tabledap")
    client.dataset_id = "allDatasets"
    names = client.to_pandas()["datasetID"]
    return Seen(int((names != "allDatasets").sum()))


def by_pydap(source: Source) -> Seen:
    """The addresses, and those that open."""
    base = source.url
    addresses = [urljoin(base, one) for one in source.options.get("addresses", [base])]
    return Seen(len(addresses), sum(map(_opens, addresses)))


def _opens(address: str) -> bool:
    for protocol in ("dap2", "dap4"):
        try:
            with warnings.catch_warnings(action="ignore"):
                return bool(
                    open_url(address.removesuffix(".html"), protocol=protocol, timeout=TIMEOUT).keys()
                )
        except Exception:  # noqa: BLE001 - whatever the client raises, it did not open
            continue
    return False


def by_pyld(source: Source) -> Seen:
    """The pages of the sitemaps, and the datasets that PyLD reads in them."""
    counts = [_datasets(page) for page in pages(source.url, set())]
    return Seen(sum(max(count, 1) for count in counts), sum(counts))


def pages(sitemap: str, met: set[str]) -> set[str]:
    """The addresses of a sitemap and of those that it leads to, as they stand in the XML."""
    met.add(sitemap)
    answer = requests.get(sitemap, timeout=TIMEOUT).content
    root = ET.fromstring(gzip.decompress(answer) if answer[:2] == b"\x1f\x8b" else answer)
    found = {(one.text or "").strip() for one in root.iter() if one.tag.endswith("}loc")}
    if root.tag.endswith("}urlset"):
        return found
    return set().union(*(pages(one, met) for one in sorted(found - met)))


def _datasets(page: str) -> int:
    """The datasets of a page; 0 where it has none that can be read."""
    try:
        nodes = jsonld.flatten(page, options={"documentLoader": _loaded, "extractAllScripts": True})
    except jsonld.JsonLdError:
        return 0
    kinds = {"https://schema.org/Dataset", "http://schema.org/Dataset"}
    return sum(bool(kinds & set(node.get("@type", ()))) for node in nodes)


def _loaded(url: str, _: Any) -> Mapping[str, Any]:
    if urlsplit(url).hostname == "schema.org":
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": VOCABULARY,
        }
    answer = requests.get(url, timeout=TIMEOUT)
    if not answer.ok:
        raise jsonld.JsonLdError(f"{url} answered with {answer.status_code}", "loading document failed")
    kind = "text/html" if answer.content.lstrip()[:1] == b"<" else "application/ld+json"
    return {
        "contentType": kind,
        "contextUrl": None,
        "documentUrl": url,
        "document": answer.content.decode("utf-8"),
    }


def by_rdflib(source: Source) -> Seen:
    """The datasets of a feed's pages, by the pages that Hydra's `next` leads to."""
    names: set[Any] = set()
    url: str | None = source.url
    following = {rdflib.URIRef(f"http://www.w3.org/ns/hydra/core#{name}") for name in ("next", "nextPage")}
    while url:
        answer = requests.get(url, timeout=TIMEOUT)
        form = answer.headers["Content-Type"].partition(";")[0]
        content = DCAT_AP.sub(b'{"@vocab": "http://www.w3.org/ns/dcat#"}', answer.content)
        with warnings.catch_warnings(action="ignore"):  # its own reading of JSON-LD is deprecated
            graph = rdflib.Graph().parse(data=content, format=form, publicID=answer.url)
        names |= set(graph.subjects(RDF.type, DCAT.Dataset)) | set(graph.objects(None, DCAT.dataset))
        url = next(
            (urljoin(url, str(link)) for name in following for link in graph.objects(None, name)), None
        )
    return Seen(len(names))


def by_fsspec(source: Source) -> Seen:
    """The files and stores under a folder that have one of the suffixes."""
    client = HTTPFileSystem(simple_links=False, skip_instance_cache=True)
    return Seen(len(set(_files(client, source.url))))


def _files(client: Any, folder: str) -> Iterator[str]:
    try:
        found = client.ls(folder, detail=False)
    except FileNotFoundError:  # a folder with nothing in it, to this client
        return
    for one in found:
        if urlsplit(one).path.rstrip("/").endswith((".xml", ".nc", ".nc4", ".zarr")):
            yield one
        elif one.endswith("/") and len(one) > len(folder) and one.startswith(folder):
            yield from _files(client, one)


def by_dwca_reader(source: Source) -> Seen:
    """The archives of a feed, and those whose core opens."""
    feed = ET.fromstring(requests.get(source.url, timeout=TIMEOUT).content)
    archives = [one.text or "" for one in feed.iter("{http://ipt.gbif.org/}dwca")]
    return Seen(len(archives), sum(map(_has_a_core, archives)))


def _has_a_core(address: str) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(requests.get(address, timeout=TIMEOUT).content)
        file.flush()
        with DwCAReader(file.name) as archive:
            return sum(1 for _ in archive) > 0


CLIENTS: Mapping[str, Callable[[Source], Seen]] = {
    "ckan": by_ckanapi,
    "csw": by_owslib_csw,
    "darwincore": by_dwca_reader,
    "dcat": by_rdflib,
    "edr": by_owslib_edr,
    "erddap": by_erddapy,
    "oaipmh": by_sickle,
    "ogcrecords": by_owslib_records,
    "opendap": by_pydap,
    "schemaorg": by_pyld,
    "sensorthings": by_frost,
    "stac": by_pystac_client,
    "thredds": by_siphon,
    "waf": by_fsspec,
}
