"""From a portal to numbers without a hand: what `bienmo harvest` first sees in a portal, `bienmo serve` cuts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import requests
import xarray as xr

from catalog.stores import Run
from elsewhere import files, grid, hyperslabs
from journey.command import bienmo, served
from portals import Answering, Asked, answer, portal

CUT = "variables=sst,wind&bbox=10,10,20,20&time=2000-01-01/2000-01-20"
CATALOG = """<catalog xmlns="http://www.unidata.ucar.edu/namespaces/thredds/InvCatalog/v1.0">
  <service name="odap" serviceType="OPENDAP" base="{base}/"/>
  <dataset name="Vịnh Bắc Bộ" ID="tonkin" urlPath="data" serviceName="odap"/>
</catalog>"""


def ckan(*resources: dict[str, Any]) -> Answering:
    """A portal of CKAN with a package for each resource."""
    rows = [
        {"id": f"p{at}", "name": f"tap-{at}", "title": "Vịnh Bắc Bộ", "resources": [resource]}
        for at, resource in enumerate(resources)
    ]

    def answering(asked: Asked) -> list[bytes]:
        start = json.loads(asked.body)["start"]
        page = {"count": len(rows), "results": rows[start:]}
        return [answer(json.dumps({"success": True, "result": page}).encode())]

    return answering


def stac(href: str) -> Answering:
    """A static catalog that is a Collection with an asset."""
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": "tonkin", "description": "A grid.", "license": "CC-BY-4.0",
        "extent": {"spatial": {"bbox": [[0, 0, 30, 30]]}, "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]}},
        "links": [], "assets": {"data": {"href": href, "type": "application/x-netcdf", "roles": ["data"]}},
    }  # fmt: skip
    return lambda _: [answer(json.dumps(collection).encode())]


@contextmanager
def harvested(home: Path, *portals: tuple[str, str, str]) -> Iterator[tuple[str, Mapping[str, Run]]]:
    """Harvest portals of protocol, id and address by one command, serve by the other; the server, and the runs."""
    entries = (
        f'[[source]]\nid = "{name}"\nprotocol = "{protocol}"\nurl = "{url}"\n'
        for protocol, name, url in portals
    )
    sources = home.with_suffix(".toml")
    sources.write_text("".join(entries), "utf-8")
    environment = {"BIENMO_ALLOW_HOSTS": "127.0.0.1", "BIENMO_FETCH_TRIES": "1", "BIENMO_FETCH_SECONDS": "20"}
    told = bienmo("harvest", "--sources", str(sources), "--json", home=home, **environment).stdout
    ended = [event for event in map(json.loads, told.splitlines()) if event["event"] == "finished"]
    with served("serve", "--sources", str(sources), home=home, **environment) as (base, _):
        yield base, {event["source"]: Run.model_validate(event["run"]) for event in ended}


def check(base: str, name: str, path: Path) -> None:
    """Cut a dataset by the API, and compare its stored numbers with the file's."""
    answered = requests.get(f"{base}/api/datasets/{name}/subset.nc?{CUT}", timeout=60)
    assert answered.status_code == 200, answered.text
    with netCDF4.Dataset("x", memory=answered.content) as cut, netCDF4.Dataset(path) as file:
        for one in (cut, file):
            one.set_auto_maskandscale(False)
        for variable in ("sst", "wind"):
            np.testing.assert_array_equal(cut[variable][:], file[variable][0:4, 13:27, 17:33])
        np.testing.assert_array_equal(cut["time"][:], file["time"][0:4])
        np.testing.assert_array_equal(cut["lat"][:], file["lat"][13:27])
        np.testing.assert_array_equal(cut["lon"][:], file["lon"][17:33])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return grid(tmp_path / "grid.nc")


def test_resources_of_a_ckan_portal(path: Path, tmp_path: Path) -> None:
    """A NetCDF whose format is said, known by name, or behind DCAT's fields; a Zarr store; an OPeNDAP address."""
    with xr.open_dataset(path, decode_cf=False) as data, files(tmp_path) as site:
        data[["sst", "wind"]].to_zarr(tmp_path / "grid.zarr", zarr_format=2, consolidated=True)
        with hyperslabs(path, ("sst", "wind")) as dap:
            resources: list[dict[str, Any]] = [
                {"format": "NetCDF", "url": f"{site.address}/grid.nc"},
                {"format": "", "url": f"{site.address}/grid.nc"},
                {"format": "Zarr", "url": f"{site.address}/grid.zarr"},
                {"format": "OPeNDAP", "url": f"{dap.address}.html"},
                {"format": "", "url": f"{site.address}/about", "download_url": f"{site.address}/grid.nc"},
            ]
            with (
                portal(ckan(*resources)) as near,
                harvested(tmp_path / "home", ("ckan", "portal", near.url)) as (base, runs),
            ):
                run = runs["portal"]
                assert (run.state, run.counts.new, run.counts.quarantined) == ("complete", 5, 0)
                for at in range(5):
                    check(base, f"portal-tap-{at}", path)


def test_a_resource_that_is_no_data_says_why_it_is_not_cut(tmp_path: Path) -> None:
    with (
        portal(ckan({"format": "PDF", "url": "https://example.org/a.pdf"})) as near,
        harvested(tmp_path / "home", ("ckan", "portal", near.url)) as (base, _),
    ):
        answered = requests.get(f"{base}/api/datasets/portal-tap-0/subset.nc?{CUT}", timeout=60)
        assert 400 <= answered.status_code < 500
        assert answered.json()["code"] == "not-subsettable"


def test_three_portals_at_once(path: Path, tmp_path: Path) -> None:
    """A resource of a CKAN, a dataset of a THREDDS with pydap behind it, a STAC asset: one grid, the same numbers."""
    with files(tmp_path) as site, hyperslabs(path, ("sst", "wind")) as dap:
        page = CATALOG.format(base=dap.address.removesuffix("/data")).encode()
        with (
            portal(ckan({"format": "NetCDF", "url": f"{site.address}/grid.nc"})) as first,
            portal(lambda _: [answer(page, Content_Type="application/xml")]) as second,
            portal(stac(f"{site.address}/grid.nc")) as third,
            harvested(
                tmp_path / "home",
                ("ckan", "portal", first.url),
                ("thredds", "tds", f"{second.url}/thredds/catalog.xml"),
                ("stac", "assets", f"{third.url}/collection.json"),
            ) as (base, runs),
        ):
            assert [(run.state, run.counts.new) for run in runs.values()] == [("complete", 1)] * 3
            for name in ("portal-tap-0", "tds-tonkin", "assets-tonkin"):
                check(base, name, path)
