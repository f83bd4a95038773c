"""A sources file with every protocol, harvested at once: the report's counts are those of the portals' own clients."""

import importlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from ckanapi import RemoteCKAN
from owslib.csw import CatalogueServiceWeb
from owslib.ogcapi.records import Records
from pystac_client import Client
from sickle import Sickle
from siphon.catalog import TDSCatalog

from catalog.settings import Settings
from catalog.source import Source, read_sources
from catalog.stores import Run
from catalog.stores.sqlite import open_store
from harvesters._run import harvest_all, protocols
from portals import Answering, Asked, answer, portal
from replay import RECORDED, asking, replaying

NAMES = sorted(name for name in protocols() if (RECORDED / name / "_index.json").is_file())


# --- how many datasets a portal has, as its own client counts them


def by_ckanapi(url: str) -> int:
    """The count of a search for everything."""
    with RemoteCKAN(url) as client:
        return int(client.action.package_search(rows=0, start=0)["count"])


def by_owslib(url: str) -> int:
    """The matches of a question without a filter."""
    client = CatalogueServiceWeb(url, skip_caps=True)
    client.getrecords2(startposition=1, maxrecords=2)
    return int(client.results["matches"])


def by_owslib_records(url: str) -> int:
    """The items of the collections of records."""
    client = Records(f"{url}/")
    return sum(int(client.collection_items(name)["numberMatched"]) for name in client.records())


def by_pystac_client(url: str) -> int:
    """The collections (of their items it ends at the empty page, which is not the last)."""
    with warnings.catch_warnings(action="ignore"):
        return sum(1 for _ in Client.open(url).get_collections())


def by_sickle(url: str) -> int:
    """The records of the set that are not deleted."""
    found = Sickle(url, timeout=20).ListRecords(metadataPrefix="oai_datacite", set="sea")
    return sum(not record.deleted for record in found)


def by_siphon(url: str) -> int:
    """The datasets of a tree of catalogs, and the catalogs in it that are refused."""
    count, waiting, met = 0, [url], {url}
    while waiting:
        try:
            with warnings.catch_warnings(action="ignore"):
                here = TDSCatalog(waiting.pop())
        except OSError:
            count += 1
            continue
        count += len(here.datasets)
        refs = {one.href.replace(".html", ".xml") for one in here.catalog_refs.values()}
        fresh = {one for one in refs - met if urlsplit(one).netloc == urlsplit(url).netloc}
        waiting, met = [*waiting, *sorted(fresh)], met | fresh
    return count


def by_address(url: str) -> int:
    """The count that a SensorThings service gives a browser (there is no light client)."""
    return int(requests.get(f"{url}/Things?$count=true", timeout=20).json()["@iot.count"])


CLIENTS: Mapping[str, Callable[[str], int]] = {
    "ckan": by_ckanapi,
    "csw": by_owslib,
    "oaipmh": by_sickle,
    "ogcrecords": by_owslib_records,
    "sensorthings": by_address,
    "stac": by_pystac_client,
    "thredds": by_siphon,
}


def plain(answering: Answering) -> Answering:
    """A portal that the clients can read, too: whole addresses, a slash after the root, no reference without one."""

    def answered(asked: Asked) -> list[bytes]:
        (said,) = answering(asked)
        if b" 404 " in bytes(said)[:20]:
            (said,) = answering(replace(asked, path=asked.path.rstrip("/")))
        head, _, body = bytes(said).partition(b"\r\n\r\n")
        status, kind = int(head.split()[1]), re.search(rb"Content-Type: (\S+)", head)[1].decode()
        body = body.replace(b'"href": "/', b'"href": "http://%b/' % asked.headers["host"].encode())
        body = re.sub(rb'<catalogRef xlink:title="[^"]*" name=""/>', b"", body)
        body = re.sub(rb'<dataset name="Latest".*?</dataset>', b"", body)
        return [answer(body, status, Content_Type=kind)]

    return answered


def alone(source: Source, home: Path) -> int:
    """What the harvester of a protocol lists when it is asked by itself, for portals without a light client."""
    module = importlib.import_module(f"harvesters.{source.protocol}")
    with asking(source, replaying(RECORDED / source.protocol), home) as (near, fetch):
        return sum(not document.deleted for document in module.harvest(near, fetch))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Source, ...]]:
    """The recorded portals, each on loopback, as one sources file says them: whole, without a box."""
    lines = []
    with ExitStack() as stack:
        for name in NAMES:
            (source,) = read_sources(RECORDED / name / "source.toml")
            running = stack.enter_context(portal(plain(replaying(RECORDED / name))))
            said = {
                "id": name,
                "protocol": name,
                "url": running.url + urlsplit(source.url).path,
                **source.options,
                "items": False,
            }
            lines += ["[[source]]", *(f"{key} = {json.dumps(value)}" for key, value in said.items())]
        file = tmp_path_factory.mktemp("all") / "sources.toml"
        file.write_text("\n".join(lines), "utf-8")
        yield read_sources(file)


@pytest.fixture(scope="module")
def runs(sources: tuple[Source, ...], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    home = tmp_path_factory.mktemp("home")
    known = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    store = open_store(home)
    found = harvest_all(sources, store, known, workers=None)
    return {source.id: run for source, run in zip(sources, found, strict=True)}


def test_every_portal_is_harvested_whole(runs: Mapping[str, Run]) -> None:
    assert {name: (run.state, run.note) for name, run in runs.items() if run.state != "complete"} == {}
    assert len(runs) == len(NAMES) >= 14


@pytest.mark.parametrize("name", NAMES)
def test_the_counts_are_those_of_the_portals_own_client(
    name: str, runs: Mapping[str, Run], sources: tuple[Source, ...], tmp_path: Path
) -> None:
    """What was seen is what there is: each a record, or in the quarantine with a reason."""
    (source,) = (one for one in sources if one.id == name)
    run = runs[name]
    assert run.seen == (CLIENTS[name](source.url) if name in CLIENTS else alone(source, tmp_path))
    assert run.seen == run.counts.new + run.counts.quarantined
    assert run.counts.new > 0
