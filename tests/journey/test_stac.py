"""STAC from a source to a cut: static trees and APIs are seen as pystac and pystac-client see them."""

import itertools
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import netCDF4
import numpy as np
import pystac
import pytest
import xarray as xr
from pystac_client import Client
from pystac_client.item_search import ItemSearch

from catalog.data import subset
from catalog.errors import IncompleteListing, SourceError, Unreachable
from catalog.service import Catalog, openable
from catalog.settings import Settings
from catalog.source import Document, Source, slug
from catalog.stores import sqlite
from elsewhere import Site, files, grid
from harvesters import stac
from harvesters._fetch import Fetch
from harvesters._links import Ask, Pages
from harvesters._run import harvest_source
from portals import Asked, answer, portal
from replay import recorded

BOX = [0.0, 0.0, 30.0, 30.0]
EXTENT = pystac.Extent(
    pystac.SpatialExtent([BOX]), pystac.TemporalExtent([[datetime(2000, 1, 1, tzinfo=UTC), None]])
)


def settings(home: Path) -> Settings:
    return Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20, remote_readers=2)


def source(url: str, **options: Any) -> Source:
    known = {name: options.pop(name) for name in ("resume", "bbox", "search") if name in options}
    return Source(id="tonkin", protocol="stac", url=url, options=options, **known)


def listing(home: Path, wanted: Source) -> tuple[list[Document], SourceError | None]:
    found: list[Document] = []
    with Fetch(settings(home), wanted, None) as fetch:
        try:
            found.extend(stac.harvest(wanted, fetch))
        except SourceError as error:
            return found, error
    return found, None


def item(name: str, href: str, media_type: str) -> pystac.Item:
    made = pystac.Item(
        name,
        geometry={"type": "Polygon", "coordinates": [[[0, 0], [30, 0], [30, 30], [0, 30], [0, 0]]]},
        bbox=BOX,
        datetime=datetime(2000, 1, 1, tzinfo=UTC),
        properties={"title": f"Nhiệt độ {name}"},
    )
    made.add_asset("data", pystac.Asset(href, media_type=media_type, roles=["data"]))
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[pystac.Catalog, Site, Path]]:
    """A static catalog that pystac wrote, on a web server: three collections, one in a catalog, one in another."""
    site_folder = tmp_path / "site"
    site_folder.mkdir()
    path = grid(site_folder / "grid.nc")
    with xr.open_dataset(path, decode_cf=False) as dataset:
        dataset[["wind"]].to_zarr(site_folder / "wind.zarr", zarr_format=2, consolidated=True)
    root = pystac.Catalog("tonkin", "Made for a test")
    with files(site_folder) as site:
        for number in range(3):
            collection = pystac.Collection(f"c{number}", f"Collection {number}", EXTENT, license="CC-BY-4.0")
            for name, href, kind in (
                ("file", "grid.nc", "application/netcdf"),
                ("store", "wind.zarr", "application/vnd+zarr"),
            ):
                collection.add_item(item(f"{name}-{number}", f"{site.address}/{href}", kind))
            parent = root
            if number == 1:
                parent = pystac.Catalog("inner", "A catalog in the catalog")
                root.add_child(parent)
            (root.get_child("c0") if number == 2 else parent).add_child(collection)
        root.add_item(item("alone", f"{site.address}/grid.nc", "application/netcdf"))
        root.normalize_and_save(str(site_folder / "catalog"), pystac.CatalogType.SELF_CONTAINED)
        yield root, site, path


def test_a_tree_is_what_pystac_sees(tree: tuple[pystac.Catalog, Site, Path], tmp_path: Path) -> None:
    root, site, _ = tree
    url = f"{site.address}/catalog/catalog.json"
    found, error = listing(tmp_path, source(url, items=True))
    items = [
        f"{one.collection_id}/{one.id}" if one.collection_id else one.id
        for one in root.get_items(recursive=True)
    ]
    collections = [one.id for one in root.get_all_collections()]
    assert error is None
    assert Counter(document.native_id for document in found) == Counter([*items, *collections])
    assert {document.native_id for document in listing(tmp_path, source(url))[0]} == {*collections, "alone"}
    for document in found:
        assert stac.read(document).extent.boxes[0].east == 30


@pytest.mark.parametrize(("group", "least"), [(1, 4), (2, 1)])  # beyond 1 the port decides where pages begin
def test_a_tree_is_resumed_at_any_page(
    tree: tuple[pystac.Catalog, Site, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    least: int,
) -> None:
    monkeypatch.setattr(stac, "_GROUP", group)
    url = f"{tree[1].address}/catalog/catalog.json"
    whole = listing(tmp_path, source(url, items=True))[0]
    pages = list(dict.fromkeys(document.page for document in whole))
    assert len(pages) >= least
    for page in pages:
        rest = listing(tmp_path, source(url, items=True, resume=page))[0]
        first = next(at for at, document in enumerate(whole) if document.page == page)
        assert [(one.native_id, one.page) for one in rest] == [
            (one.native_id, one.page) for one in whole[first:]
        ]


def test_only_what_is_wanted_is_taken(tree: tuple[pystac.Catalog, Site, Path], tmp_path: Path) -> None:
    url = f"{tree[1].address}/catalog/catalog.json"
    assert [one.native_id for one in listing(tmp_path, source(url, collections=["c1"]))[0]] == ["c1"]
    tree[1].forget()
    assert listing(tmp_path, source(url, items=True, bbox=[100, 0, 120, 20]))[0] == []
    assert not any(
        "store" in path for _, path, _ in tree[1].asked
    )  # nothing lies beneath what lies elsewhere
    found = listing(tmp_path, source(url, items=True, search="NHIET file-1"))[0]
    assert [one.native_id for one in found] == ["c1/file-1"]


def test_loops_gaps_and_depth(tmp_path: Path) -> None:
    """Catalogs that lead back, collections that are gone, broken or none, and a tree without an end."""
    same = {"stac_version": "1.0.0", "type": "Collection", "id": "same", "extent": {}}
    answers: dict[str, Any] = {
        "/": {"stac_version": "1.0.0", "type": "Catalog", "id": "root", "links": [
            {"rel": "child", "href": link} for link in ("/", "/a", "/gone", "/b", "/none", "/broken")]},
        "/a": {**same, "links": [{"rel": "child", "href": "/"}]},
        "/b": {**same, "links": [{"rel": "child", "href": "/a"}]},
        "/none": {"id": "something else"},
    }  # fmt: skip

    def answering(asked: Asked) -> list[bytes]:
        if asked.path == "/broken":
            return [answer(b"{")]
        if asked.path.startswith("/deep"):
            below = {"rel": "child", "href": f"{asked.path}x"}
            return [answer(json.dumps({"stac_version": "1.0.0", "id": "deep", "links": [below]}).encode())]
        given = answers.get(asked.path)
        return [answer(json.dumps(given).encode()) if given else answer(b"", 404)]

    with portal(answering) as running:
        found, error = listing(tmp_path, source(f"{running.url}/"))
        assert {one.native_id: bool(one.problem) for one in found} == {
            "same": False, f"same {running.url}/b": False, f"{running.url}/gone": True,
            f"{running.url}/none": True, f"{running.url}/broken": True,
        }  # fmt: skip
        assert isinstance(error, IncompleteListing)
        assert error.details == {"missing": [f"{running.url}/none", f"{running.url}/broken"]}
        assert len(running.asked) == 6
        found, error = listing(tmp_path, source(f"{running.url}/deep"))
        assert isinstance(error, IncompleteListing)
        assert len(running.asked) == 6 + 1 + stac.MOST_LEVELS


def test_a_server_that_is_down_ends_the_listing(tmp_path: Path) -> None:
    root = {
        "stac_version": "1.0.0",
        "id": "r",
        "links": [{"rel": "child", "href": f"/{n}"} for n in range(9)],
    }
    with portal(
        lambda asked: [answer(json.dumps(root).encode()) if asked.path == "/" else answer(b"", 503)]
    ) as running:
        found, error = listing(tmp_path, source(f"{running.url}/"))
        assert isinstance(error, Unreachable)
        assert len(found) == 2 + 1
        assert len(running.asked) == 1 + 3


@pytest.mark.parametrize(("name", "variable"), [("file", "sst"), ("store", "wind")])
def test_an_asset_is_cut_right_after_the_run(
    name: str, variable: str, tree: tuple[pystac.Catalog, Site, Path], tmp_path: Path
) -> None:
    """A NetCDF, and a Zarr, first seen as the asset of an item: the numbers are the file's."""
    _, site, path = tree
    known = settings(tmp_path / "home")
    store = sqlite.open_store(known.home)
    wanted = source(f"{site.address}/catalog/catalog.json", items=True)
    run = harvest_source(wanted, store, known, workers=None)
    assert (run.state, run.seen, run.counts.new, run.counts.quarantined) == ("complete", 10, 10, 0)
    record = store.get(slug("tonkin", f"c1/{name}-1"))
    assert openable(record).protocol == "http"
    with Catalog(store, known) as catalog:
        asked = subset.parse({"variables": variable, "bbox": "10,10,20,20", "time": "2000-01-01/2000-01-20"})
        body = b"".join(catalog.subset(record.id, asked, "nc").pieces())
    with netCDF4.Dataset("x", memory=body) as cut, netCDF4.Dataset(path) as file:
        for one in (cut, file):
            one.set_auto_maskandscale(False)
        np.testing.assert_array_equal(cut[variable][:], file[variable][0:4, 13:27, 17:33])


def test_an_api_whose_collection_is_gone_is_listed_anew(tmp_path: Path) -> None:
    """A listing is to go on among the items of a collection that there is no more."""
    with recorded("stac", tmp_path) as (wanted, fetch):
        whole = [one.native_id for one in stac.harvest(wanted, fetch)]
        page = f"0 {wanted.url}/collections\ngone\n"
        assert [
            one.native_id for one in stac.harvest(wanted.model_copy(update={"resume": page}), fetch)
        ] == whole
        assert whole == ["sst-daily", *(f"sst-daily/sst-daily-{n}" for n in (1, 2, 3)), "waves", "tides"]


# --- recorded answers of public servers: what pystac-client sees of them


@contextmanager
def replayed(folder: Path) -> Iterator[str]:
    """Serve a folder's recorded answers, their own hosts replaced; an empty page to what was not recorded."""
    entries = json.loads((folder / "_index.json").read_bytes())
    hosts = {
        f"{parts.scheme}://{parts.netloc}".encode() for parts in (urlsplit(one["uri"]) for one in entries)
    }
    known = {_key(one["method"], one["uri"], (one["request_body"] or "").encode()): one for one in entries}

    def answering(asked: Asked) -> list[bytes]:
        method = "POST" if asked.body else "GET"
        found = known.get((method, asked.path.rstrip("/"), json.dumps(_kept(asked.query)), _body(asked.body)))
        if found is None:
            return [answer(b'{"collections": [], "features": [], "links": []}')]
        body = (folder / found["file"]).read_bytes()
        for host in hosts:
            body = body.replace(host, f"http://{asked.headers['host']}".encode())
        return [answer(body, found["status"]["code"])]

    with portal(answering) as running:
        yield running.url


def _key(method: str, uri: str, body: bytes) -> tuple[str, str, str, str]:
    parts = urlsplit(uri)
    return (method, parts.path.rstrip("/"), json.dumps(_kept(dict(parse_qsl(parts.query)))), _body(body))


def _kept(query: Mapping[str, str]) -> dict[str, str]:
    """What tells one page from another."""
    return {name: query[name] for name in sorted(query) if name in {"startRecord", "token", "page"}}


def _body(body: bytes) -> str:
    return json.dumps(json.loads(body or b"{}"), sort_keys=True)


@pytest.fixture
def cassettes(shared_real: Path) -> Path:
    return shared_real / "responses" / "stac" / "cassettes"


def test_real_collections_are_those_of_pystac_client(cassettes: Path, tmp_path: Path) -> None:
    with replayed(cassettes / "test_client_TestConformsTo.test_changing_conforms_to_changes_behavior") as url:
        found, error = listing(tmp_path, source(f"{url}/v0/collections"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = Client.open(f"{url}/v0")
            client.add_conforms_to("COLLECTIONS")
            theirs = [one.id for one in client.get_collections()]
    assert error is None
    assert [one.native_id for one in found] == theirs
    assert len(theirs) > 3


def test_real_pages_of_collections_that_break_off_are_incomplete(cassettes: Path, tmp_path: Path) -> None:
    """Two pages of ten, of 2,357 that the server counts: as many as were given, and said to be incomplete."""
    folder = cassettes / "test_collection_search_TestCollectionSearch.test_result_paging_max_collections"
    with replayed(folder) as url:
        found, error = listing(tmp_path, source(f"{url}/collections"))
    assert len({one.native_id for one in found}) == 20
    assert all(one.problem is None and stac.read(one) for one in found)
    assert isinstance(error, IncompleteListing)
    assert error.details == {"count": 2357, "given": 20}


def test_real_items_are_those_of_pystac_client(cassettes: Path, tmp_path: Path) -> None:
    """Pages whose next link carries a body to post."""
    folder = cassettes / "test_item_search_TestItemSearch.test_result_paging_max_items"
    with replayed(folder) as url:
        search = f"{url}/api/stac/v1/search"
        body = json.dumps({"limit": 10, "collections": ["naip"]})
        with Fetch(settings(tmp_path), source(url), None) as fetch:
            pages = Pages(fetch, Ask(search, body), "features")
            ours = [one.native_id for one in itertools.islice(pages.list(), 30)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = ItemSearch(search, collections=["naip"], limit=10, max_items=30)
            theirs = [one["id"] for one in asked.items_as_dicts()]
    assert ours == theirs
    assert len(ours) == 30


def test_a_real_tree_is_what_pystac_sees(cassettes: Path, tmp_path: Path) -> None:
    with replayed(cassettes / "test_client_test_non_recursion_on_fallback") as url:
        root = f"{url}/stac-utils/pystac/v1.9.0/docs/example-catalog/catalog.json"
        found, error = listing(tmp_path, source(root, items=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            catalog = pystac.Catalog.from_file(root)
            theirs = [one.id for one in catalog.get_items(recursive=True)]
    assert error is None
    assert [one.native_id.rpartition("/")[2] for one in found] == ["landsat-8-l1", *theirs]
    assert len(theirs) == 4
    assert all(stac.read(one).distributions for one in found[1:])
