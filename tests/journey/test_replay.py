"""Real answers and real files through the harvesters: what becomes a record, what a problem, what is incomplete."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from catalog.data.workers import Workers
from catalog.errors import BadSource, IncompleteListing, LimitExceeded, Unreachable
from catalog.record import BBox, Record
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores import sqlite
from catalog.stores.memory import open_store
from harvesters import Fetch, ckan, erddap, files
from harvesters._run import harvest_source
from portals import Answering, Asked, answer, portal
from replay import asking, reading, recorded, replaying

GULF = BBox(west=105.5, south=17, east=110, north=22)


def records(protocol: ModuleType, documents: list[Document]) -> dict[str, Record]:
    return {document.native_id: protocol.read(document) for document in documents if not document.problem}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    with recorded("files", tmp_path_factory.mktemp("sample")) as (source, fetch):
        return records(files, list(files.harvest(source, fetch)))


def test_the_five_grids_of_the_sample_meet_the_gulf(sample: dict[str, Record]) -> None:
    assert sorted(record.id for record in sample.values()) == [
        "sample-cmems_sea_level_20190223_bien_dong",
        "sample-coads_climatology_bien_dong",
        "sample-etopo5_bien_dong",
        "sample-levitus_climatology_bien_dong",
        "sample-navy_monthly_winds_bien_dong",
    ]
    for record in sample.values():
        assert record.kind == "grid"
        assert any(GULF.intersects(box) for box in record.extent.boxes)
        (way,) = record.distributions
        assert (way.protocol, way.format) == ("file", "netcdf")
        assert Path(way.address).stat().st_size == way.size
        assert way.checksum


def test_files_are_taken_by_place_and_words(tmp_path: Path) -> None:
    """What does not say where it is, and what cannot be read, is taken anyway."""
    with recorded("files", tmp_path) as (source, fetch):
        away = source.model_copy(update={"bbox": BBox(west=-40, south=-60, east=-30, north=-50)})
        named = source.model_copy(update={"search": "levitus"})
        found = {document.native_id for document in files.harvest(named, fetch)}
        assert not [document for document in files.harvest(away, fetch) if document.problem is None]
    assert found == {"levitus_climatology_bien_dong.nc"}


def test_the_sample_is_said_as_its_files_have_it(sample: dict[str, Record]) -> None:
    sea_level = sample["cmems_sea_level_20190223_bien_dong.nc"]
    assert "extent-differs" in [note.code for note in sea_level.quality]  # attributes of the whole globe
    adt = next(variable for variable in sea_level.variables if variable.name == "adt")
    assert (adt.standard_name, adt.units, adt.shape) == ("sea_surface_height_above_geoid", "m", (1, 104, 92))
    assert sea_level.modified == "2019-02-25T23:27:16Z"
    assert {party.name: party.roles for party in sea_level.parties}["CLS, CNES"] == ("originator",)
    climatology = sample["coads_climatology_bien_dong.nc"]
    assert climatology.extent.time is not None
    assert str(climatology.extent.time.start).startswith("0000-01-")
    assert str(climatology.extent.time.end).startswith("0000-12-")
    assert climatology.title.words == {"und": "coads climatology bien dong"}
    assert "title-missing" in [note.code for note in climatology.quality]
    depths = sample["levitus_climatology_bien_dong.nc"].extent.vertical
    assert depths is not None
    assert (depths.minimum, depths.maximum) == (0, 5000)


def test_recorded_erddap_answers(tmp_path: Path) -> None:
    with recorded("erddap", tmp_path) as (source, fetch):
        documents = list(erddap.harvest(source, fetch))
    found = records(erddap, documents)
    assert sorted(found) == ["drifters", "gauge_hourly", "sst_monthly"]  # the Baltic lies outside the bbox
    assert [document.native_id for document in documents if document.problem] == ["lost_mooring"]
    sst = found["sst_monthly"]
    assert sst.kind == "grid"
    assert sst.extent.boxes == (BBox(west=0.5, south=-89.5, east=-0.5, north=89.5),)
    assert sst.extent.boxes[0].intersects(GULF)
    assert sst.extent.time is not None
    assert (sst.extent.time.start, sst.extent.time.end) == ("2019-01-16T00:00:00Z", "2019-12-16T00:00:00Z")
    assert sst.extent.resolution is not None
    assert (sst.extent.resolution.longitude, sst.extent.resolution.latitude) == (1, 1)
    variable = next(variable for variable in sst.variables if not variable.coordinate)
    assert (variable.name, variable.shape) == ("sst", (12, 1, 180, 360))
    assert sst.licence is not None
    assert (sst.licence.spdx, sst.doi) == ("CC-BY-4.0", "10.1234/open.sea.7")
    ways = {way.protocol: way.address.partition("/erddap/")[2] for way in sst.distributions}
    assert (ways["griddap"], ways["wms"]) == ("griddap/sst_monthly", "wms/sst_monthly/request")
    assert str(sst.landing_page).endswith("/erddap/griddap/sst_monthly.html")
    gauge = found["gauge_hourly"]
    assert gauge.kind == "timeseries"
    assert {party.name: party.roles for party in gauge.parties}["Trần Thị Nước"] == ("principalInvestigator",)
    drifters = found["drifters"]
    assert drifters.extent.boxes == (BBox(west=105.2, south=-90, east=121.9, north=21.5),)
    assert "latitude-beyond-pole" in [note.code for note in drifters.quality]


def test_recorded_ckan_answers(tmp_path: Path) -> None:
    with recorded("ckan", tmp_path) as (source, fetch):
        documents = list(ckan.harvest(source, fetch))
    found = {document.name: ckan.read(document) for document in documents}
    assert list(found) == [  # the Alps lie outside the bbox
        "nhiet-do-ven-bo",
        "cruise-1998",
        "moorings",
        "song-va-dong-chay",
    ]
    coast = found["nhiet-do-ven-bo"]
    assert coast.title.words == {"vi": "Nhiệt độ nước ven bờ", "en": "Coastal temperature"}
    assert coast.id == "portal-nhiet-do-ven-bo"
    assert coast.licence is not None
    assert (coast.licence.spdx, coast.doi) == ("CC-BY-4.0", "10.1234/open.sea.8")
    assert coast.extent.boxes == (BBox(west=105.6, south=18.6, east=108.1, north=21.6),)
    ways = [(way.protocol, way.format) for way in coast.distributions]
    assert ways == [("http", "netcdf"), ("griddap", "erddap"), ("wms", "wms"), ("http", "geojson")]
    cruise = found["cruise-1998"]
    codes = {note.code for note in cruise.quality}
    assert {"extent-swapped", "time-reversed", "distribution-left-out"} <= codes
    assert cruise.extent.boxes == (BBox(west=109, south=12, east=112.5, north=20),)
    moorings = found["moorings"]
    assert moorings.title.words == {"en": "Moorings", "fr": "Mouillages"}
    assert len(moorings.extent.boxes) == 3
    assert [(p.name, p.roles) for p in moorings.parties if not p.organisation] == [
        ("Văn Biển", ("pointOfContact", "author"))
    ]
    assert moorings.licence is None or moorings.licence.spdx is None
    waves = found["song-va-dong-chay"]  # as ckanext-dcat, -spatial, -scheming and the DataStore say it
    assert waves.extent.boxes == (BBox(west=107, south=8, east=112, north=16),)
    assert waves.extent.time is not None
    assert (waves.extent.time.start, waves.extent.time.end[:10]) == ("2020-01-01T00:00:00Z", "2022-12-31")
    assert {party.name: party.roles for party in waves.parties} == {
        "Viện Sóng": ("publisher",),
        "Nguyễn Văn Triều": ("creator",),
        "Bàn dữ liệu": ("pointOfContact",),
        "Trạm Trường Sa": ("processor",),
    }
    assert waves.licence is not None
    assert (waves.licence.spdx, waves.lineage) == ("CC-BY-4.0", "A model run, kept as it was.")
    assert [one.standard_name for one in waves.variables] == [
        "sea_surface_wave_significant_height",
        "sea_water_speed",
    ]
    assert [
        (way.protocol, way.format, way.address.partition("//")[2].partition("/")[2])
        for way in waves.distributions
    ] == [
        ("http", "csv", "song.csv"),
        ("http", "csv", "open/datastore/dump/t1"),
        ("http", "netcdf", "model.nc"),
        ("http", "unknown", "page"),
        ("http", "zarr", "waves.zarr"),
        ("opendap", "opendap", "thredds/dodsC/waves.nc"),
        ("http", "unknown", "about"),
        ("wms", "wms", "wms"),
    ]


def test_a_ckan_portal_is_asked_for_what_changed_since(tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    def spoil(answering: Answering) -> Answering:
        def noting(request: Asked) -> Iterator[bytes]:
            asked.append(json.loads(request.body))
            yield from answering(request)  # type: ignore[misc]

        return noting

    with recorded("ckan", tmp_path, spoil) as (source, fetch):
        options = {"fq": "groups:vnm", "ext_bbox": True}
        later = {"changed_since": "2024-01-01T00:00:00.5Z", "options": options, "search": "sea"}
        list(ckan.harvest(source.model_copy(update=later), fetch))
    assert asked[0] == {
        "rows": 100,
        "start": 0,
        "sort": "id asc",
        "q": "sea",
        "fq": "(groups:vnm) AND (metadata_modified:[2024-01-01T00:00:00Z TO *])",
        "extras": {"ext_bbox": "99.0,-1.0,122.0,25.0"},
    }
    assert [question["start"] for question in asked] == [0, 2]


def ckan_portal(rows: list[str]) -> Answering:
    """A portal of packages as JSON text; `fl` gives only the ids."""

    def answering(asked: Asked) -> list[bytes]:
        question = json.loads(asked.body)
        start = question["start"]
        found = rows[start : start + question["rows"]]
        if question.get("fl") == ["id"]:
            found = [json.dumps({"id": row.split('"')[3]}) for row in found]
        results = ", ".join(found)
        whole = f'{{"success": true, "result": {{"count": {len(rows)}, "results": [{results}]}}}}'
        return [answer(whole.encode())]

    return answering


def packages(count: int) -> list[str]:
    return [json.dumps({"id": f"p{at:04}", "name": f"p{at:04}", "title": "A"}) for at in range(count)]


@pytest.mark.parametrize("value", ["[" * 20_000 + "]" * 20_000, "9" * 5_000])
@pytest.mark.parametrize("bad", [(3,), (0, 150), (149, 150), (260,)])
def test_a_package_that_cannot_be_read_is_the_only_one_lost(
    bad: tuple[int, ...], value: str, tmp_path: Path
) -> None:
    rows = packages(261)
    for at in bad:
        rows[at] = f'{{"id": "p{at:04}", "name": {value}}}'
    source = Source(id="portal", protocol="ckan", url="https://data.example")
    with asking(source, ckan_portal(rows), tmp_path) as (near, fetch):
        documents = list(ckan.harvest(near, fetch))
    assert [document.native_id for document in documents] == [f"p{at:04}" for at in range(261)]
    problems = [document.native_id for document in documents if document.problem]
    assert problems == [f"p{at:04}" for at in bad]


def test_a_ckan_portal_that_gives_nonsense_is_not_asked_for_every_row(tmp_path: Path) -> None:
    source = Source(id="portal", protocol="ckan", url="https://data.example")
    asked: list[Asked] = []
    with (
        asking(source, lambda each: asked.append(each) or [answer(b"<html>")], tmp_path) as (near, fetch),
        pytest.raises(Unreachable, match="did not answer as a CKAN portal"),
    ):
        list(ckan.harvest(near, fetch))
    assert len(asked) < 10


def test_a_ckan_listing_resumed_misses_no_row_that_moved_up(tmp_path: Path) -> None:
    rows = packages(400)
    source = Source(id="portal", protocol="ckan", url="https://data.example", resume="200")
    with asking(source, ckan_portal(rows[5:]), tmp_path) as (near, fetch):
        listed = {document.native_id for document in ckan.harvest(near, fetch)}
    assert listed >= {f"p{at:04}" for at in range(200, 400)}


def erddap_server(names: list[str], info: Mapping[str, bytes]) -> Answering:
    """A server that lists names; `info` has the answers of those whose info table is not simply there."""
    table = {"table": {"columnNames": ["datasetID"], "rows": [[name] for name in names]}}
    columns = ["Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"]
    good = {"table": {"columnNames": columns, "rows": [["attribute", "NC_GLOBAL", "title", "String", "A"]]}}

    def answering(asked: Asked) -> list[bytes]:
        if asked.path.endswith("/allDatasets.json"):
            return [answer(json.dumps(table).encode())]
        return [info.get(asked.path.split("/")[3], answer(json.dumps(good).encode()))]

    return answering


def test_an_erddap_dataset_that_leads_to_a_refused_address_is_the_only_one_lost(tmp_path: Path) -> None:
    names = [f"d{at}" for at in range(6)]
    away = answer(b"", 302, Location="http://127.0.0.2:9/secret")
    source = Source(id="server", protocol="erddap", url="https://data.example/erddap")
    with asking(source, erddap_server(names, dict.fromkeys(names[1:5], away)), tmp_path) as (near, fetch):
        documents = list(erddap.harvest(near, fetch))
    assert [document.native_id for document in documents] == names
    problems = [document.problem or "" for document in documents]
    assert [problem.partition(":")[0] for problem in problems] == ["", *["address-refused"] * 4, ""]


@pytest.mark.parametrize(
    "silence",
    [answer(b"", 503), b"", answer(b"{}", Content_Length="9999")],
    ids=["503", "nothing", "cut body"],
)
def test_an_erddap_server_that_dies_is_not_knocked_at_for_hours(silence: bytes, tmp_path: Path) -> None:
    names = [f"d{at:02}" for at in range(30)]
    source = Source(id="server", protocol="erddap", url="https://data.example/erddap")
    documents: list[Document] = []
    with (
        asking(source, erddap_server(names, dict.fromkeys(names[5:], silence)), tmp_path) as (near, fetch),
        pytest.raises(Unreachable),
    ):
        documents.extend(erddap.harvest(near, fetch))
    assert [document.problem is None for document in documents] == [True] * 5 + [False] * 2


def test_an_erddap_server_that_grows_too_slow_is_left(tmp_path: Path) -> None:
    """A body that drips ends at the time limit, which is no Unreachable."""

    class Slow:
        def get(self, url: str, params: Mapping[str, str] | None = None) -> object:
            if "/info/" in url:
                raise LimitExceeded("too slow", details={"seconds": 60})
            return door.get(url, params)

    names = [f"d{at:02}" for at in range(9)]
    source = Source(id="server", protocol="erddap", url="https://data.example/erddap")
    with asking(source, erddap_server(names, {}), tmp_path) as (near, door), pytest.raises(LimitExceeded):
        list(erddap.harvest(near, Slow()))  # type: ignore[arg-type]


def test_erddap_datasets_that_are_refused_or_broken_here_and_there_do_not_end_the_listing(
    tmp_path: Path,
) -> None:
    names = [f"d{at:02}" for at in range(30)]
    info = {name: answer(b"", 500 if at % 3 else 404) for at, name in enumerate(names)}
    source = Source(id="server", protocol="erddap", url="https://data.example/erddap")
    with asking(source, erddap_server(names, info), tmp_path) as (near, fetch):
        assert len(list(erddap.harvest(near, fetch))) == 30


def test_envidat_gave_two_of_858_and_says_so(shared_real: Path, tmp_path: Path) -> None:
    body = (shared_real / "responses/ckan_envidat/package_search.json").read_bytes()
    source = Source(id="envidat", protocol="ckan", url="https://www.envidat.ch")
    documents: list[Document] = []
    with (
        asking(source, lambda _: [answer(body)], tmp_path) as (near, fetch),
        pytest.raises(IncompleteListing, match="counts 858 datasets and gave 2"),
    ):
        documents.extend(ckan.harvest(near, fetch))  # extend keeps what came before the error
    for record in records(ckan, documents).values():
        assert record.licence is not None
        assert record.licence.spdx == "CC-BY-4.0"
        assert record.extent.boxes
        assert len(record.parties) > 2
    assert len(documents) == 2


def test_ifremer_without_all_datasets_is_listed_by_its_info_page(shared_real: Path, tmp_path: Path) -> None:
    source = Source(id="ifremer", protocol="erddap", url="https://erddap.ifremer.fr/erddap")
    with asking(source, replaying(shared_real / "responses/erddap_argo"), tmp_path) as (near, fetch):
        documents = list(erddap.harvest(near, fetch))
    found = records(erddap, documents)
    assert len(documents) == 53  # 54 rows, one of them the list itself
    assert sorted(found) == ["ArgoFloats", "ArgoFloats-reference", "ArgoFloats-synthetic-BGC"]
    floats = found["ArgoFloats"]
    assert floats.kind == "profile"
    assert floats.extent.boxes == (BBox(west=-179.9998, south=-90, east=180, north=89.97058333333334),)
    assert "latitude-beyond-pole" in [note.code for note in floats.quality]
    assert "sea_water_temperature" in {variable.standard_name for variable in floats.variables}


def test_an_info_table_of_the_ioos_sensors(shared_real: Path) -> None:
    info = json.loads((shared_real / "responses/erddap_other/tabledap_metadata.json").read_bytes())
    content = json.dumps({"base": "https://erddap.sensors.ioos.us/erddap", "listing": {}, "info": info})
    well = erddap.read(Document(source="ioos", native_id="well", content=content.encode()))
    assert well.kind == "timeseries"
    assert well.extent.boxes == (BBox(west=-103.43675, south=44.2999722, east=-103.43675, north=44.2999722),)
    assert {"creator", "contributor"} & {role for party in well.parties for role in party.roles}


def test_every_real_file_is_a_record_or_has_a_reason(shared_real: Path, tmp_path: Path) -> None:
    folder = shared_real / "files"
    source = Source(id="real", protocol="files", url=str(folder))
    with reading(source, tmp_path) as fetch:
        documents = list(files.harvest(source, fetch))
    count = Counter("problem" if document.problem else "record" for document in documents)
    assert count["record"] == len(records(files, documents)) > 40
    named = {path.relative_to(folder).as_posix() for path in folder.rglob("*.nc") if path.is_file()}
    assert named <= {document.native_id for document in documents}
    assert {d.native_id for d in documents if d.problem} >= {
        "broken/sst30e_classic_truncated_50pct.nc",
        "broken/sst30e_header_only_200B.nc",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of oddly named, empty, lying, linked and secret files."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    for place in (outside / "secret.nc", inside / "empty.nc", inside / "note.md", inside / "zip.zip"):
        place.write_bytes(b"")
    (inside / "text.nc4").write_text("this is text")
    (inside / "noending").write_bytes(b"CDF\x01" + bytes(4))
    (inside / "deep" / "b.zarr").mkdir()
    (inside / "deep" / "b.zarr" / ".zgroup").write_text("{}")
    (inside / "deep" / "b.zarr" / "inner.nc").write_bytes(b"")
    (inside / "link.nc").symlink_to(outside / "secret.nc")
    (inside / "loop").symlink_to(inside)
    (inside / "away").symlink_to(outside)
    (inside / "inner.nc").symlink_to(inside / "empty.nc")
    return inside


class Unread:
    """A door that tells which files it was asked for."""

    def header(self, path: Path) -> bytes:
        return b"{}" if path.exists() else b""


def test_a_folder_is_listed_whole_and_never_left(folder: Path) -> None:
    source = Source(id="s", protocol="files", url=folder.as_uri())
    door: Fetch = Unread()  # type: ignore[assignment]
    listed = [document.native_id for document in files.harvest(source, door)]
    assert listed == ["deep/b.zarr", "empty.nc", "inner.nc", "noending", "text.nc4"]
    chosen = source.model_copy(update={"options": {"include": "*.nc*", "exclude": ["inner*"]}})
    assert [document.native_id for document in files.harvest(chosen, door)] == ["empty.nc", "text.nc4"]


def test_what_only_pretends_to_be_data_has_a_reason(folder: Path, tmp_path: Path) -> None:
    source = Source(id="s", protocol="files", url=str(folder))
    with reading(source, tmp_path / "home") as fetch:
        problems = {document.native_id: document.problem for document in files.harvest(source, fetch)}
    assert all(problems[name] for name in ("empty.nc", "inner.nc", "noending", "text.nc4"))


def test_a_folder_that_cannot_be_listed_is_named_by_its_source_only(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    door: Fetch = Unread()  # type: ignore[assignment]
    for url in (str(tmp_path / "gone"), str(file), f"ftp://host{tmp_path}", f"file://host{tmp_path}"):
        with pytest.raises(BadSource, match="'ours'") as caught:
            list(files.harvest(Source(id="ours", protocol="files", url=url), door))
        assert tmp_path.name not in caught.value.message + caught.value.hint


def test_a_file_whose_name_is_no_unicode_spoils_no_run(tmp_path: Path) -> None:
    """Linux names are bytes: 0xE9 alone is no UTF-8. Bad files are quarantined, good ones are records."""
    folder = tmp_path / "files"
    folder.mkdir()
    sample = Path(files.__file__).parent / "sample" / "etopo5_bien_dong.nc"
    (folder / "good.nc").write_bytes(sample.read_bytes())
    Path(os.fsdecode(bytes(folder) + b"/x\xe9at.nc")).write_bytes(b"")
    Path(os.fsdecode(bytes(folder) + b"/y\xe9at.nc")).write_bytes(sample.read_bytes())
    source = Source(id="ours", protocol="files", url=str(folder))
    workers = Workers(1, seconds=60, memory=2_000_000_000, queue=8)
    store = sqlite.open_store(tmp_path / "home")
    try:
        run = harvest_source(source, store, Settings(home=tmp_path / "home"), workers=workers)
    finally:
        workers.close()
        store.close()
    assert (run.state, run.seen) == ("complete", 3)
    assert [line.native_id for line in run.quarantine] == [r"x\udce9at.nc"]
    assert r"x\udce9at.nc" in run.quarantine[0].reason


def test_recorded_portals_through_the_runner(shared_real: Path, tmp_path: Path) -> None:
    """Whole runs into a store: an incomplete listing keeps its records, and what cannot be had is named."""
    body = (shared_real / "responses/ckan_envidat/package_search.json").read_bytes()
    replays: list[tuple[Source, Answering]] = [
        (Source(id="envidat", protocol="ckan", url="https://www.envidat.ch"), lambda _: [answer(body)]),
        (
            Source(id="ifremer", protocol="erddap", url="https://erddap.ifremer.fr/erddap"),
            replaying(shared_real / "responses/erddap_argo"),
        ),
    ]
    store = open_store(tmp_path)
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    runs = {}
    for source, answering in replays:
        with portal(answering) as running:
            near = source.model_copy(update={"url": running.url + urlsplit(source.url).path})
            runs[source.id] = harvest_source(near, store, settings, workers=None)
    envidat, ifremer = runs["envidat"], runs["ifremer"]
    assert (envidat.state, envidat.seen, envidat.counts.new) == ("incomplete", 2, 2)
    assert (ifremer.state, ifremer.seen) == ("complete", 53)
    assert (ifremer.counts.new, ifremer.counts.quarantined) == (3, 50)
    assert all(line.reason for line in ifremer.quarantine)
    assert store.sources() == {"envidat": 2, "ifremer": 3}
    store.close()
