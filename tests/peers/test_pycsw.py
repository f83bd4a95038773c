"""A real pycsw: as many records as OWSLib's client sees, and the same; and the schemas of ISO 19139 that it brings."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from benchmarks import hosts
from benchmarks.process import Server, free_port, served
from catalog.dialects import iso19115
from catalog.record import BBox, Record
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores.memory import open_store
from contract.test_dialects import records
from harvesters import csw
from harvesters._fetch import Fetch
from harvesters._run import harvest_source
from strangers import record

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from owslib import fes
    from owslib.csw import CatalogueServiceWeb

pytestmark = pytest.mark.peers

ENVIRONMENT = hosts.ROOT / ".venv-pycsw"
MADE = 60
CAP = 25
"""How many records the catalogue gives at once: fewer than we ask for."""


def made(number: int) -> Record:
    west = 90 + number
    return record(
        f"{number:02}",
        title={"vi": f"Bản ghi {number}", "en": f"Record {number}"},
        modified=f"{2010 + number // 10}-01-{1 + number % 9:02}T00:00:00Z",
        extent={"boxes": [[west, 0, west + 1, 10]]},
        distributions=[
            {"protocol": "http", "address": f"https://data.example/{number}.nc", "format": "netcdf"}
        ],
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip("the environment .venv-pycsw is missing: make peers")
    folder = tmp_path_factory.mktemp("pycsw")
    (folder / "records").mkdir()
    for number in range(MADE):
        (folder / "records" / f"{number}.xml").write_bytes(iso19115.write(made(number)))
    port = free_port()
    script = hosts.PEERS / "pycsw_server.py"
    command = (str(ENVIRONMENT / "bin" / "python"), str(script), str(port), str(CAP), str(folder / "records"))
    ready = "/?service=CSW&version=2.0.2&request=GetCapabilities"
    with served("pycsw", command, port, environment={}, ready=ready, log=folder / "log") as server:
        yield server


def source(server: Server, **also: Any) -> Source:
    return Source(id="c", protocol="csw", url=f"http://127.0.0.1:{server.port}/", **also)


def listed(server: Server, home: Path, **also: Any) -> dict[str, Record]:
    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1)
    asked = source(server, **also)
    with Fetch(settings, asked, None) as fetch:
        return {one.native_id: csw.read(one) for one in csw.harvest(asked, fetch)}


def owslib(server: Server, *constraints: Any) -> dict[str, Any]:
    """What OWSLib's client lists, page by page."""
    client = CatalogueServiceWeb(f"http://127.0.0.1:{server.port}/", skip_caps=True)
    found: dict[str, Any] = {}
    while True:
        client.getrecords2(
            constraints=list(constraints),
            typenames="gmd:MD_Metadata",
            outputschema=csw.GMD,
            esn="full",
            startposition=len(found) + 1,
            maxrecords=10,
        )
        found |= client.records
        if len(found) >= client.results["matches"] or not client.records:
            return found


@pytest.mark.parametrize("version", ["2.0.2", "3.0.0"])
@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize("schema", ["gmd", "csw"])
def test_as_many_records_as_owslib_sees(
    server: Server, tmp_path: Path, version: str, method: str, schema: str
) -> None:
    theirs = owslib(server)
    ours = listed(server, tmp_path, options={"version": version, "method": method, "schema": schema})
    assert len(theirs) == MADE
    assert set(ours) == set(theirs)
    for native_id, one in ours.items():
        data = theirs[native_id].identification[0]
        box = BBox.of(
            *(float(side) for side in (data.bbox.minx, data.bbox.miny, data.bbox.maxx, data.bbox.maxy))
        )
        assert data.title in one.title.words.values()
        assert one.extent.boxes == (box,)


@pytest.mark.parametrize("version", ["2.0.2", "3.0.0"])
def test_a_box_is_asked_for(server: Server, tmp_path: Path, version: str) -> None:
    wanted = BBox(west=100.5, south=1, east=103.5, north=2)
    ours = listed(server, tmp_path, bbox=wanted, options={"version": version})
    north_first = fes.BBox([1, 100.5, 2, 103.5], crs="urn:ogc:def:crs:EPSG::4326")
    assert set(ours) == set(owslib(server, north_first)) == {f"sample-{number}" for number in range(10, 14)}


@pytest.mark.parametrize("version", ["2.0.2", "3.0.0"])
def test_what_changed_since_is_asked_for(server: Server, tmp_path: Path, version: str) -> None:
    ours = listed(server, tmp_path, changed_since="2015-01-01T00:00:00Z", options={"version": version})
    later = fes.PropertyIsGreaterThanOrEqualTo("apiso:Modified", "2015-01-01")
    assert set(ours) == set(owslib(server, later)) == {f"sample-{number}" for number in range(50, 60)}


def test_a_run_keeps_them_all(server: Server, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    run = harvest_source(
        source(server), store, Settings(home=tmp_path, allow_hosts=("127.0.0.1",)), workers=None
    )
    assert (run.state, run.seen, run.counts.new, run.counts.quarantined) == ("complete", MADE, MADE, 0)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """ISO 19139 of 2007 with GML 3.2, as pycsw brings it."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip("the environment .venv-pycsw is missing: make peers")
    (profile,) = ENVIRONMENT.glob("lib/python3*/site-packages/pycsw/plugins/profiles/apiso")
    found = (profile / "schemas" / "ogc" / "iso" / "19139" / "20070417").as_uri()
    imports = "".join(
        f'<xs:import namespace="http://www.isotc211.org/2005/{name}" schemaLocation="{found}/{name}/{name}.xsd"/>'
        for name in ("gmx", "gmd")
    )
    return etree.XMLSchema(
        etree.fromstring(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>')
    )


@given(records)
def test_what_is_written_is_valid_by_the_schemas(schema: etree.XMLSchema, record: Record) -> None:
    written = etree.fromstring(iso19115.write(record))
    assert schema.validate(written), schema.error_log
