"""From the built-in sample to what a client sees: the answers that the first issue promises."""

import csv
import io
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from covjson_pydantic.coverage import Coverage

from catalog.data.subset import parse
from catalog.service import open_catalog
from catalog.settings import Settings

SEA_LEVEL = "sample-cmems_sea_level_20190223_bien_dong"
TONKIN = "105.5,17,110,22"
GRIDS = {
    "sample-cmems_sea_level_20190223_bien_dong",
    "sample-coads_climatology_bien_dong",
    "sample-etopo5_bien_dong",
    "sample-levitus_climatology_bien_dong",
    "sample-navy_monthly_winds_bien_dong",
}


def ids(client, **parameters):
    answer = client.get("/api/datasets", params=parameters)
    assert answer.status_code == 200, answer.text
    return {item["id"] for item in answer.json()["items"]}


@pytest.mark.parametrize("q", ["nhiet do", "nhiệt độ", "NHIỆT ĐỘ", "temperature"])
def test_temperature_is_found_in_both_languages(client, q):
    assert {"sample-coads_climatology_bien_dong", "sample-levitus_climatology_bien_dong"} <= ids(client, q=q)


def test_the_gulf_of_tonkin_box_finds_all_five_grids(client):
    assert ids(client, bbox=TONKIN) == GRIDS


def test_facets_count_all_that_match(client):
    answer = client.get("/api/datasets", params={"limit": "1"}).json()
    assert answer["numberMatched"] == 5
    assert answer["numberReturned"] == 1
    everything = client.get("/api/datasets", params={"limit": "100"}).json()["items"]
    for name in ("source", "kind"):
        counted = {hit["value"]: hit["count"] for hit in answer["facets"][name]}
        assert counted == {value: sum(item[name] == value for item in everything) for value in counted}
        assert sum(counted.values()) == 5


def test_links_walk_through_every_record_once(client):
    seen, href = [], "/api/datasets?limit=2"
    while href:
        answer = client.get(href).json()
        seen += [item["id"] for item in answer["items"]]
        href = next((link["href"] for link in answer["links"] if link["rel"] == "next"), None)
    assert sorted(seen) == sorted(GRIDS)


def test_a_record_says_no_path_of_the_server(client, sample_home):
    answer = client.get(f"/api/datasets/{SEA_LEVEL}")
    assert answer.status_code == 200
    for record in GRIDS:
        text = client.get(f"/api/datasets/{record}").text
        assert "/harvesters/" not in text
        assert str(sample_home) not in text


def test_every_sample_says_its_producer_and_licence_and_who_said_so(client):
    for record in GRIDS:
        answer = client.get(f"/api/datasets/{record}").json()
        assert answer["parties"]
        assert answer["licence"]
        assert answer["title"]["vi"]
        assert "given-by-operator" in {note["code"] for note in answer["quality"]}


def truth(shared_sample):
    """The cells of the source file inside the Gulf of Tonkin box, by plain xarray."""
    with xr.open_dataset(shared_sample / "cmems_sea_level_20190223_bien_dong.nc") as source:
        return source[["adt"]].sel(longitude=slice(105.5, 110), latitude=slice(17, 22)).load()


@pytest.fixture
def subset(client):
    def get(suffix, record=SEA_LEVEL, **parameters):
        return client.get(f"/api/datasets/{record}/subset.{suffix}", params=parameters)

    return get


def test_netcdf_subset_has_the_numbers_of_the_file(subset, shared_sample, tmp_path):
    answer = subset("nc", variables="adt", bbox=TONKIN)
    assert answer.status_code == 200, answer.text
    (tmp_path / "got.nc").write_bytes(answer.content)
    wanted = truth(shared_sample)
    with (
        xr.open_dataset(tmp_path / "got.nc") as got,
        xr.open_dataset(shared_sample / "cmems_sea_level_20190223_bien_dong.nc") as source,
    ):
        np.testing.assert_array_equal(got["adt"].values, wanted["adt"].values)
        for axis in ("longitude", "latitude", "time"):
            np.testing.assert_array_equal(got[axis].values, wanted[axis].values)
        assert got["adt"].attrs == source["adt"].attrs
        assert (
            got.attrs["history"].startswith(source.attrs["history"])
            or source.attrs["history"] in got.attrs["history"]
        )
        assert got.attrs["history"] != source.attrs["history"]
        assert got["adt"].encoding["dtype"] == source["adt"].encoding["dtype"]


def test_csv_parquet_and_coveragejson_have_the_same_numbers(subset, shared_sample, tmp_path):
    wanted = truth(shared_sample)["adt"].values.ravel()
    rows = list(csv.DictReader(io.StringIO(subset("csv", variables="adt", bbox=TONKIN).text)))
    got = np.array([float(row["adt"]) if row["adt"] else np.nan for row in rows])
    np.testing.assert_array_equal(got, wanted)
    table = pq.read_table(io.BytesIO(subset("parquet", variables="adt", bbox=TONKIN).content))
    np.testing.assert_array_equal(table["adt"].to_numpy(zero_copy_only=False).astype(float), wanted)
    coverage = json.loads(subset("covjson", variables="adt", bbox=TONKIN).content)
    Coverage.model_validate(coverage)
    values = [np.nan if value is None else value for value in coverage["ranges"]["adt"]["values"]]
    np.testing.assert_array_equal(np.array(values), wanted)


def test_the_climatology_is_cut_by_its_own_calendar(subset, shared_sample):
    record = "sample-coads_climatology_bien_dong"
    answer = subset("csv", record, variables="SST", time="0000-02-01/0000-03-31", bbox=TONKIN)
    assert answer.status_code == 200, answer.text
    times = {
        row["time"]
        for row in csv.DictReader(io.StringIO(answer.text))
        for row in [{k.lower(): v for k, v in row.items()}]
    }
    assert {time[:7] for time in times} == {"0000-02", "0000-03"}


def test_outside_the_domain_says_where_the_data_are(subset):
    answer = subset("nc", bbox="-20,-40,-10,-30")
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "outside-domain"
    assert answer.headers["content-type"] == "application/problem+json"
    west, south, east, north = body["domain"]["bbox"]
    assert (west, south, east, north) == pytest.approx((99, -1, 122, 25), abs=0.5)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/datasets?bbox=1,2,3", 400, "bad-request"),
        ("/api/datasets?bbox=nan,0,1,1", 400, "bad-request"),
        ("/api/datasets?time=yesterday", 400, "bad-request"),
        ("/api/datasets?colour=blue", 400, "bad-request"),
        ("/api/datasets?kind=grid&kind=mesh", 400, "bad-request"),
        ("/api/datasets?limit=-1", 400, "bad-request"),
        ("/api/datasets/none", 404, "not-found"),
        ("/api/datasets/none/subset.nc", 404, "not-found"),
        (f"/api/datasets/{SEA_LEVEL}/subset.exe", 404, "not-found"),
        (f"/api/datasets/{SEA_LEVEL}/subset.nc?variables=none", 400, "bad-request"),
        (f"/api/datasets/{SEA_LEVEL}/subset.nc?stride=0", 400, "bad-request"),
        (f"/api/datasets/{SEA_LEVEL}/subset.nc?colour=blue", 400, "bad-request"),
        ("/api/runs?limit=many", 400, "bad-request"),
        ("/api/runs?source=none", 404, "not-found"),
        ("/api/nothing", 404, "not-found"),
    ],
)
def test_bad_input_is_a_named_problem(client, path, status, code):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_only_get_is_answered(client):
    answer = client.post("/api/datasets")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_sources_runs_and_health_report_the_harvest(client):
    sources = client.get("/api/sources").json()["sources"]
    sample = next(source for source in sources if source["id"] == "sample")
    assert sample["records"] == 5
    assert sample["last_run"]["state"] == "complete"
    runs = client.get("/api/runs", params={"source": "sample"}).json()["runs"]
    assert runs[-1]["counts"]["new"] == 5
    assert client.get("/health").json() == {"status": "ok", "records": 5}
    assert len([source for source in sources if source["protocol"] in {"erddap", "ckan", "files"}]) > 10


@pytest.mark.parametrize("suffix", ["nc", "csv", "parquet", "covjson"])
def test_a_reader_serves_one_cut_after_another(sample_home, suffix):
    with open_catalog(Settings(home=sample_home, readers=1)) as catalog:
        first = catalog.workers.run(os.getpid)
        catalog.subset(SEA_LEVEL, parse({"bbox": TONKIN}), suffix).close()
        assert catalog.workers.run(os.getpid) == first


@pytest.mark.parametrize("suffix", ["nc3", "dods", "mat"])
@pytest.mark.parametrize("asked", [{}, {"bbox": TONKIN}, {"variables": "adt", "coords": "POINT(107.6 19.6)"}])
def test_an_estimate_knows_the_bytes_of_formats_that_know_their_length(client, subset, suffix, asked):
    known = client.get(f"/api/datasets/{SEA_LEVEL}/subset.{suffix}/estimate", params=asked).json()
    assert known["allowed"]
    assert known["exact"]
    assert known["bytes"] == len(subset(suffix, **asked).content)


def test_an_estimate_says_what_is_not_allowed_and_reads_nothing(client):
    asked = {"indices": "nowhere[0]"}
    assert client.get(f"/api/datasets/{SEA_LEVEL}/subset.csv/estimate", params=asked).status_code == 400
    known = client.get(f"/api/datasets/{SEA_LEVEL}/subset.csv/estimate").json()
    assert not known["exact"]
    assert known["cells"] == 3 * known["rows"]
