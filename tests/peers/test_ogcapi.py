"""Record collections and EDR collections of a real pygeoapi: as many as OWSLib sees, and the same."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import hosts
from benchmarks.process import Server, free_port, served
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from elsewhere import grid
from harvesters import edr, ogcrecords
from harvesters._fetch import Fetch
from harvesters._run import harvest_source

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from owslib.ogcapi.edr import EnvironmentalDataRetrieval
    from owslib.ogcapi.records import Records

pytestmark = pytest.mark.peers

MADE = 250


def made(number: int) -> dict[str, Any]:
    west = -180 + number % 350
    ring = [[west, 0], [west + 2, 0], [west + 2, 5], [west, 5], [west, 0]]
    return {
        "id": f"urn:x-wmo:md:vn-made:{number:03}",
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "time": {"interval": ["2019-01-01T00:00:00Z", None]},
        "properties": {
            "title": f"Bản ghi {number}",
            "updated": f"2024-{1 + number % 12:02}-01T00:00:00Z",
            "type": "dataset",
            "_metadata-anytext": "mặt biển",
        },
        "links": [{"rel": "data", "type": "text/csv", "href": f"https://data.example/{number}.csv"}],
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two catalogues and a file that pygeoapi serves as a coverage and by EDR."""
    folder = tmp_path_factory.mktemp("pygeoapi")
    for name, numbers in (("made", range(MADE)), ("few", range(3))):
        table = {str(number + 1): made(number) for number in numbers}
        (folder / f"{name}.tinydb").write_text(json.dumps({"_default": table}), "utf-8")
    grid(folder / "grid.nc")
    port = free_port()
    pairs = [f"{path.stem}={path}" for path in sorted(folder.iterdir())]
    script = hosts.PEERS / hosts.SCRIPTS["pygeoapi"]
    python = hosts.peers_python()
    if python is None:
        pytest.skip("the peers' environment .venv-peers is missing: make peers")
    command = (str(python), str(script), str(port), *pairs)
    with served("pygeoapi", command, port, environment=hosts.QUIET, log=folder / "log") as running:
        yield running


def source(server: Server, protocol: str, path: str = "", **also: Any) -> Source:
    return Source(id="peer", protocol=protocol, url=f"http://127.0.0.1:{server.port}{path}", **also)


def listing(home: Path, wanted: Source) -> list[Document]:
    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=60)
    with Fetch(settings, wanted, None) as fetch:
        return list({"edr": edr, "ogcrecords": ogcrecords}[wanted.protocol].harvest(wanted, fetch))


def test_records_are_those_that_owslib_counts(server: Server, tmp_path: Path) -> None:
    client = Records(f"http://127.0.0.1:{server.port}/")
    counts = {name: client.collection_items(name, limit=1)["numberMatched"] for name in client.records()}
    assert counts == {"made": MADE, "few": 3}
    found = listing(tmp_path, source(server, "ogcrecords"))
    assert len({one.native_id for one in found}) == len(found) == sum(counts.values())
    records = [ogcrecords.read(one) for one in found]
    assert {record.title.best("vi") for record in records} == {f"Bản ghi {number}" for number in range(MADE)}
    assert all(len(record.distributions) == 1 and record.extent.boxes for record in records)
    few = listing(tmp_path, source(server, "ogcrecords", "/collections/few"))
    assert [one.native_id for one in few] == [made(number)["id"] for number in range(3)]


def test_a_box_and_words_are_asked_of_the_server(server: Server, tmp_path: Path) -> None:
    client = Records(f"http://127.0.0.1:{server.port}/")
    theirs = client.collection_items("made", bbox=[-170, 0, -160, 5], limit=1)["numberMatched"]
    found = listing(tmp_path, source(server, "ogcrecords", "/collections/made", bbox=[-170, 0, -160, 5]))
    assert len(found) == theirs > 10
    none = listing(tmp_path, source(server, "ogcrecords", "/collections/made", search="nothing-like-it"))
    assert none == []


def test_what_changed_since_is_listed_in_order_and_no_more(server: Server, tmp_path: Path) -> None:
    since = "2024-10-01T00:00:00Z"
    changed = {made(n)["id"] for n in range(MADE) if made(n)["properties"]["updated"] >= since}
    for options in ({}, {"changed": "datetime"}):
        wanted = source(server, "ogcrecords", "/collections/made", changed_since=since, options=options)
        assert {one.native_id for one in listing(tmp_path, wanted)} == changed


def test_a_run_counts_what_the_server_has(server: Server, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=60)
    run = harvest_source(source(server, "ogcrecords"), open_store(tmp_path), settings, workers=None)
    assert (run.state, run.seen, run.counts.new, run.counts.quarantined) == (
        "complete",
        MADE + 3,
        MADE + 3,
        0,
    )


def test_edr_collections_are_those_that_owslib_sees(server: Server, tmp_path: Path) -> None:
    client = EnvironmentalDataRetrieval(f"http://127.0.0.1:{server.port}/")
    theirs = client.data()
    found = listing(tmp_path, source(server, "edr"))
    assert [one.native_id for one in found] == theirs == ["grid"]
    record = edr.read(found[0])
    described = client.collection("grid")
    assert {variable.name for variable in record.variables} == described["parameter_names"].keys()
    assert {way.address.rpartition("/")[2] for way in record.distributions} == described[
        "data_queries"
    ].keys()
    assert all((way.protocol, way.format) == ("other", "covjson") for way in record.distributions)


def test_the_real_catalogues_are_read_as_pygeoapi_serves_them(shared_real: Path, tmp_path: Path) -> None:
    """Records of the Dutch and the Canadian catalogues, which pygeoapi comes with."""
    python = hosts.peers_python()
    if python is None:
        pytest.skip("the peers' environment .venv-peers is missing: make peers")
    pairs, expected = [], 0
    for path in sorted((shared_real / "responses" / "ogcapi_records").rglob("*.tinydb")):
        copy = tmp_path / f"{path.parent.name.partition('.')[0]}.tinydb"
        copy.write_bytes(path.read_bytes())
        pairs.append(f"{copy.stem}={copy}")
        expected += len(json.loads(copy.read_bytes())["_default"])
    port = free_port()
    script = hosts.PEERS / hosts.SCRIPTS["pygeoapi"]
    command = (str(python), str(script), str(port), *pairs)
    with served("pygeoapi", command, port, environment=hosts.QUIET, log=tmp_path / "log") as running:
        found = listing(tmp_path / "home", source(running, "ogcrecords"))
    assert len(found) == expected == 13
    placed = [one.native_id for one in found if ogcrecords.read(one).extent.boxes]
    assert len(placed) == 12  # one has no geometry
