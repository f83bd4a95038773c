"""Records of OGC API - Records and WIS2, and EDR collections: what they say, and what changed since."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import BadSource, SourceError, Unreachable
from catalog.record import BBox, Record
from catalog.settings import Settings
from catalog.source import Document, Source
from harvesters import Fetch as Door
from harvesters import edr, ogcrecords
from harvesters._fetch import Fetch
from portals import Asked, answer, portal
from replay import recorded

SORTING = "http://www.opengis.net/spec/ogcapi-records-1/1.0/conf/sorting"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    with recorded("ogcrecords", tmp_path_factory.mktemp("records")) as (source, fetch):
        return {one.native_id: ogcrecords.read(one) for one in ogcrecords.harvest(source, fetch)}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    with recorded("edr", tmp_path_factory.mktemp("edr")) as (source, fetch):
        return {one.native_id: edr.read(one) for one in edr.harvest(source, fetch)}


def test_a_record_of_wis2_is_read_for_what_it_says(records: dict[str, Record]) -> None:
    record = records["discovery/urn:wmo:md:vn-example:sst"]
    assert record.title.words == {"vi": "Nhiệt độ mặt biển"}
    assert [word.words["vi"] for word in record.keywords] == ["SST", "Ocean"]
    assert record.extent.boxes == (BBox(west=99, south=-1, east=122, north=25),)
    assert record.extent.time is not None
    assert (record.extent.time.start, record.extent.time.end) == ("2019-01-01T00:00:00Z", None)
    assert record.extent.resolution is not None
    assert record.extent.resolution.time == 86_400
    assert record.licence is not None
    assert record.licence.title == "WMO data policy: core"
    assert (record.doi, record.landing_page) == ("10.1234/sst", "https://vien.example/sst")
    assert [(party.name, party.roles, party.email) for party in record.parties] == [
        ("Viện Hải dương học", ("distributor", "creator"), "a@vien.example")
    ]
    assert [(way.protocol, way.format, way.address, way.size) for way in record.distributions] == [
        ("other", "unknown", "mqtts://broker.example:8883", None),
        ("http", "netcdf", "https://data.example/sst.nc", 12345),
        ("wms", "wms", "https://maps.example/wms?service=WMS", None),
    ]
    assert record.modified == "2024-05-02T00:00:00Z"


def test_a_date_is_its_whole_length_and_terms_are_kept(records: dict[str, Record]) -> None:
    tides, winds = (records[f"discovery/urn:wmo:md:vn-example:{name}"] for name in ("tides", "winds"))
    assert tides.extent.time is not None
    assert tides.extent.time.end == "2001-02-28T23:59:59.999999Z"
    assert (tides.licence.spdx if tides.licence else None) == "CC-BY-4.0"
    assert (winds.licence.title, winds.licence.url) == ("Free for research", "https://data.example/terms")  # type: ignore[union-attr]
    assert winds.extent.boxes == ()


def test_an_edr_collection_says_its_parameters_and_queries(collections: dict[str, Record]) -> None:
    assert collections.keys() == {"waves", "buoys"}  # the collection of records is none
    waves, buoys = collections["waves"], collections["buoys"]
    titled = [dict(one.title.words) for one in waves.variables if one.title]
    assert titled == [{"en": "Significant wave height", "vi": "Độ cao sóng"}, {"und": "Peak period"}]
    assert [(one.name, one.standard_name, one.units) for one in waves.variables] == [
        ("hs", "sea_surface_wave_significant_height", "m"),
        ("tp", None, "s"),
    ]
    assert (waves.kind, buoys.kind) == ("grid", "timeseries")
    assert waves.extent.vertical is not None
    assert (waves.extent.vertical.minimum, waves.extent.vertical.maximum) == (0, 500)
    assert (waves.licence.spdx if waves.licence else None) == "CC-BY-4.0"
    assert {way.address.partition("/edr")[2]: (way.protocol, way.format) for way in waves.distributions} == {
        "/collections/waves/position": ("other", "covjson"),
        "/collections/waves/cube": ("other", "covjson"),
    }
    assert {way.format for way in buoys.distributions} == {"csv"}
    assert [one.name for one in buoys.variables] == ["t"]  # from the collection's own page
    assert buoys.extent.boxes == (BBox(west=105, south=16, east=110, north=22),)


@contextmanager
def catalogue(
    home: Path, updated: list[str | None], *, sorts: bool, **options: Any
) -> Iterator[tuple[Source, Door, Any]]:
    """An API of records with these dates, ten a page, that sorts or says that it cannot."""

    def answering(asked: Asked) -> list[bytes]:
        if asked.path == "/":
            classes = [SORTING] if sorts else []
            return said({"conformsTo": classes, "links": [{"rel": "data", "href": "/collections"}]})
        if asked.path == "/collections":
            items = {"id": "c", "itemType": "record", "links": [{"rel": "items", "href": "/items"}]}
            return said({"collections": [items], "links": []})
        if "sortby" in asked.query and None in updated:
            return [answer(b"", 500)]
        order = sorted(enumerate(updated), key=lambda one: one[1] or "", reverse="sortby" in asked.query)
        order = order if "sortby" in asked.query else list(enumerate(updated))
        at = int(asked.query.get("offset", 0))
        features = [
            {"id": f"r{n}", "type": "Feature", "properties": {"updated": day}}
            for n, day in order[at : at + 10]
        ]
        asking = "&".join(f"{name}={value}" for name, value in asked.query.items() if name != "offset")
        more = (
            [{"rel": "next", "href": f"/items?{asking}&offset={at + 10}"}] if at + 10 < len(updated) else []
        )
        return said({"features": features, "numberMatched": len(updated), "links": more})

    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        source = Source(id="s", protocol="ogcrecords", url=f"{running.url}/", options=options)
        with Fetch(settings, source, None) as fetch:
            yield source, fetch, running.asked


def said(value: Any) -> list[bytes]:
    return [answer(json.dumps(value).encode())]


DAYS = [f"2024-01-{1 + number % 28:02}T00:00:00Z" for number in range(100)]
SINCE = "2024-01-26T00:00:00Z"
NEWER = {f"r{number}" for number, day in enumerate(DAYS) if day >= SINCE}


def changed(source: Source, fetch: Door) -> set[str]:
    since = source.model_copy(update={"changed_since": SINCE})
    return {one.native_id.removeprefix("c/") for one in ogcrecords.harvest(since, fetch)}


def test_what_changed_is_listed_first_and_the_rest_not_at_all(tmp_path: Path) -> None:
    with catalogue(tmp_path, DAYS, sorts=True) as (source, fetch, asked):
        assert changed(source, fetch) == NEWER
        assert sum(one.path == "/items" for one in asked) == 1


def test_what_changed_is_found_where_nothing_is_sorted(tmp_path: Path) -> None:
    """By a server that does not sort, that says so and does not, and whose records lack what it sorts by."""
    with catalogue(tmp_path / "a", DAYS, sorts=False) as (source, fetch, asked):
        assert changed(source, fetch) == NEWER
        assert sum(one.path == "/items" for one in asked) == 10
    with catalogue(tmp_path / "b", [*DAYS, None], sorts=True) as (source, fetch, _):
        assert changed(source, fetch) == NEWER | {"r100"}


def test_a_collection_can_be_named_and_what_is_none_is_refused(tmp_path: Path) -> None:
    with catalogue(tmp_path / "a", DAYS, sorts=False, collections=["c"]) as (source, fetch, _):
        assert len(list(ogcrecords.harvest(source, fetch))) == 100
        items = source.model_copy(update={"url": f"{source.url}items"})
        assert [one.native_id for one in ogcrecords.harvest(items, fetch)] == [f"r{n}" for n in range(100)]
        for chosen, error in ((["other"], Unreachable), ("c", BadSource)):
            with pytest.raises(error):
                list(
                    ogcrecords.harvest(source.model_copy(update={"options": {"collections": chosen}}), fetch)
                )


def test_a_collection_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    described = {"data_queries": {"position": {"link": {"href": "/p"}}}, "links": []}

    def answering(asked: Asked) -> list[bytes]:
        listed = [{"id": f"c{n}", **described} for n in range(5)]
        return (
            said({"collections": listed, "links": []}) if asked.path == "/collections" else [answer(b"", 404)]
        )

    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        source = Source(id="s", protocol="edr", url=f"{running.url}/collections")
        with Fetch(settings, source, None) as fetch:
            found = list(edr.harvest(source, fetch))
    assert [one.native_id for one in found] == [f"c{n}" for n in range(5)]
    assert all(one.problem for one in found)


def test_real_records_are_read(shared_real: Path) -> None:
    """What pygeoapi's catalogues of the Netherlands and of Canada hold."""
    found = []
    for path in sorted((shared_real / "responses" / "ogcapi_records").rglob("*.tinydb")):
        for value in json.loads(path.read_bytes())["_default"].values():
            document = Document(source="s", native_id=value["id"], content=json.dumps(value).encode())
            found.append(ogcrecords.read(document))
    assert len(found) == 13
    assert sum(bool(record.extent.boxes) for record in found) == 12
    assert all(record.modified and record.summary for record in found)
    ways = [way for record in found for way in record.distributions]
    assert len(ways) == 56
    assert sum(way.protocol == "wms" for way in ways) == 3


def test_an_address_that_is_no_api_is_no_source(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(lambda _: said({"title": "a page"})) as running:
        for protocol in (edr, ogcrecords):
            source = Source(id="s", protocol="edr", url=running.url)
            with Fetch(settings, source, None) as fetch, pytest.raises(SourceError):
                list(protocol.harvest(source, fetch))
