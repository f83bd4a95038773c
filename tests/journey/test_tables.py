"""From a folder with files of rows to the answers of table queries over HTTP."""

import csv
import io
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from fastapi.testclient import TestClient

from catalog.app import create_app
from catalog.service import open_catalog
from catalog.settings import Settings
from journey.command import bienmo

ROWS = [
    ("HN1", "2020-01-01T00:00:00Z", 106.5, 20.5, 18.25, 1),
    ("HN1", "2020-01-01T12:00:00Z", 106.5, 20.5, None, 2),
    ("HN2", "2020-01-02T00:00:00Z", 107.25, 20.0, 19.5, 3),
    ("Đồ Sơn", "2020-01-03T06:30:00Z", 106.75, 20.75, -1.5, 4),
]
PAYLOADS = (
    "=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://127.0.0.2")', "+1+1", "+cmd|'/C calc'!A0", "-1+1",
    "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)", "@import", "\t=1+1", "\r=1+1", '=IMPORTXML("x";"y")',
    "\n=1+1", "＝1+1", "＋1+1", "－1+1", "＠SUM(1+1)",
)  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    folder = home / "data"
    folder.mkdir()
    names = ["station", "time", "longitude", "latitude", "temperature", "n"]
    units = ["", "UTC", "degrees_east", "degrees_north", "degree_C", "1"]
    with (folder / "stations.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, units, *ROWS])
    with (folder / "hostile.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["note", "value"], *((text, -1.5) for text in PAYLOADS)])
    columns = dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True))
    columns["time"] = pa.array(np.array([t.rstrip("Z") for t in columns["time"]], "M8[us]")).cast(
        pa.timestamp("us", "UTC")
    )
    pq.write_to_dataset(pa.table(columns), folder / "parts", partition_cols=["station"])
    (home / "sources.toml").write_text(
        f'[[source]]\nid = "rows"\nprotocol = "files"\nurl = "{folder}"\n', "utf-8"
    )
    bienmo("harvest", "rows", home=home)
    with open_catalog(Settings(home=home)) as catalog:
        yield TestClient(create_app(catalog), raise_server_exceptions=False)


def table(client, query, record="rows-stations", suffix="csv"):
    answer = client.get(f"/api/datasets/{record}/table.{suffix}?{query}")
    assert answer.status_code == 200, answer.text
    return list(
        csv.reader(
            io.StringIO(answer.content.decode(), newline=""), delimiter="," if suffix != "tsv" else "\t"
        )
    )


def test_a_file_of_rows_is_a_record(client):
    record = client.get("/api/datasets/rows-stations").json()
    assert record["kind"] == "timeseries"
    assert record["extent"]["boxes"] == [[106.5, 20.0, 107.25, 20.75]]
    assert record["extent"]["time"]["start"] == "2020-01-01T00:00:00Z"
    assert {v["name"]: v["units"] for v in record["variables"]}["temperature"] == "degree_C"
    assert record["distributions"][0]["address"] == "stations.csv"
    assert client.get("/api/datasets/rows-parts").json()["distributions"][0]["format"] == "parquet"


@pytest.mark.parametrize("record", ["rows-stations", "rows-parts"])
def test_constraints_choose_rows(client, record):
    query = 'station,time,temperature&time>=2020-01-01&temperature<19.5&station=~"HN.*"&orderBy("time")'
    wanted = [["station", "time", "temperature"], ["HN1", "2020-01-01T00:00:00Z", "18.25"]]
    assert table(client, query, record) == wanted
    assert table(client, quote(query, safe=""), record) == wanted
    assert table(client, "n&temperature!=18.25&orderBy(%22n%22)", record)[1:] == [["2"], ["3"], ["4"]]


def test_a_subset_of_rows_is_cut_like_any_other(client):
    answer = client.get(
        "/api/datasets/rows-stations/subset.csv", params={"bbox": "107,19,108,21", "variables": "temperature"}
    )
    assert answer.status_code == 200, answer.text
    assert "19.5" in answer.text


@pytest.mark.parametrize(("query", "status", "code"), [
    ("none", 400, "bad-request"),
    ("time&time>yesterday", 400, "bad-request"),
    ("time&n<many", 400, "bad-request"),
    ("station&station=~%22(%22", 400, "bad-request"),
    ("station&station=~%22(?=a)%22", 400, "bad-request"),
    ("station&orderBy(%22n%22)", 400, "bad-request"),
    ("station&sorted()", 400, "bad-request"),
    ("station&n%3E%FF", 400, "bad-request"),
    ("n&n>4", 404, "not-found"),
])  # fmt: skip
def test_what_is_wrong_is_named(client, query, status, code):
    answer = client.get(f"/api/datasets/rows-stations/table.csv?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize("name", ["table.csv", "table.csvp", "table.tsv", "subset.csv", "subset.tsv"])
def test_no_text_is_run_as_a_formula(client, name):
    """FAULTS row 24."""
    answer = client.get(f"/api/datasets/rows-hostile/{name}")
    assert answer.status_code == 200, answer.text
    header, *rows = csv.reader(
        io.StringIO(answer.content.decode(), newline=""), delimiter="\t" if name.endswith("tsv") else ","
    )
    notes = [row[header.index("note")] for row in rows]
    assert notes == [f"'{text}" for text in PAYLOADS]
    assert {row[header.index("value")] for row in rows} == {"-1.5"}


def test_a_record_of_rows_has_a_page(client):
    assert "stations.csv" in client.get("/datasets/rows-stations").text


def test_a_grid_is_a_table_too(catalog, shared_sample):
    query = "time,latitude,longitude,adt&latitude>=20&latitude<21&longitude>107.5&longitude<=108&adt!=NaN"
    answer = catalog.table("sample-cmems_sea_level_20190223_bien_dong", query, "csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.pieces()).decode())))
    with xr.open_dataset(shared_sample / "cmems_sea_level_20190223_bien_dong.nc") as source:
        box = source["adt"].where((source.longitude > 107.5) & (source.longitude <= 108), drop=True)
        wanted = box.where((box.latitude >= 20) & (box.latitude < 21), drop=True).values.ravel()
    assert [float(row["adt"]) for row in rows] == wanted[~np.isnan(wanted)].tolist()
    assert rows[0]["time"] == "2019-02-23T00:00:00Z"
