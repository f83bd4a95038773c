"""What GeoJSON, GeoParquet, ODV, MATLAB and Excel promise beyond numbers: places, credits, flags, names, plain text."""

import csv
import io
import json

import geopandas
import numpy as np
import openpyxl
import pyarrow.parquet as pq
import pytest
import scipy.io
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog import formats
from catalog.data import subset
from catalog.errors import NotSubsettable, TooLarge
from catalog.formats import matlab
from catalog.formats._places import longitudes, unrolled

LIMITS = subset.Limits(result_bytes=10_000_000, decoded_bytes=10_000_000)
ABOUT = {
    "title": "Trạm Hòn Dấu",
    "license": "CC-BY-4.0",
    "citation": "A. Author (2020), $\\alpha$\tworks",
    "source_url": "https://portal.example/hondau",
    "history": "made\n2026-01-01T00:00:00Z Bien Mo: cut from hondau with bbox=1,2,3,4",
}
SAID = (
    ABOUT["title"],
    "CC-BY-4.0",
    "A. Author (2020)",
    ABOUT["source_url"],
    "cut from hondau with bbox=1,2,3,4",
)


def written(suffix, dataset):
    return b"".join(formats.named(suffix).write(dataset))


def station(**changes):
    """A series at one place, with quality flags of QARTOD."""
    flags = {
        "flag_values": np.array([1, 2, 3, 4, 9], "i1"),
        "flag_meanings": "pass not_evaluated suspect fail missing",
    }
    return xr.Dataset(
        {
            "water": ("time", [1.5, np.nan, -2.0], {"units": "m", "ancillary_variables": "water_qc"}),
            "wind": ("time", np.array([1, 2, 3], "i2")),
            "water_qc": ("time", np.array([1, 9, 3], "i1"), flags),
        },
        {
            "time": ("time", [0.0, 0.5, 1.25], {"units": "days since 2019-02-23", **changes}),
            "lat": ((), 20.67, {"units": "degrees_north"}),
            "lon": ((), 266.8, {"units": "degrees_east"}),
        },
        {**ABOUT, "featureType": "timeSeries"},
    )


@given(st.lists(st.floats(-1_000, 1_000, width=32), min_size=1), st.sampled_from(["f4", "f8"]))
def test_longitudes_are_turned_and_nothing_else(values, dtype):
    given_ = np.array(values, dtype)
    got = longitudes(given_)
    assert got.dtype == given_.dtype
    assert (np.abs(got) <= 180).all()
    np.testing.assert_allclose(
        np.exp(1j * np.radians(got.astype(float))), np.exp(1j * np.radians(given_.astype(float))), atol=1e-6
    )
    there = np.abs(given_) <= 180
    np.testing.assert_array_equal(got[there], given_[there])


@given(st.floats(-180, 540), st.integers(2, 400), st.floats(0.1, 2))
def test_unrolled_longitudes_go_on(first, count, step):
    straight = first + step * np.arange(count)
    rolled = (straight - first) % 360 + (first % 360)
    rolled = np.where(rolled >= 360, rolled - 360, rolled)
    np.testing.assert_allclose(np.diff(unrolled(rolled)), step, atol=1e-6)


@pytest.mark.parametrize("suffix", ["geojson", "geoparquet"])
def test_points_are_where_the_rows_are_and_missing_positions_have_no_point(suffix, tmp_path):
    dataset = xr.Dataset(
        {"water": ("obs", [1.0, 2.0, 3.0, np.inf])},
        {
            "lat": ("obs", [20.0, -80.0, np.nan, 0.0], {"units": "degrees_north"}),
            "lon": ("obs", [359.5, 180.0, 10.0, -190.0], {"units": "degrees_east"}),
        },
        ABOUT,
    )
    content = written(suffix, dataset)
    if suffix == "geojson":
        frame = geopandas.read_file(io.BytesIO(content))
    else:
        (tmp_path / "back.parquet").write_bytes(content)
        frame = geopandas.read_parquet(tmp_path / "back.parquet")
    assert frame.crs.to_epsg() == 4326 or frame.crs.to_authority() == ("OGC", "CRS84")
    assert [None if p is None or p.is_empty else (p.x, p.y) for p in frame.geometry] == [
        (-0.5, 20.0), (180.0, -80.0), None, (170.0, 0.0),
    ]  # fmt: skip


def test_geoparquet_has_the_metadata_of_its_standard():
    """GeoParquet 1.1.0, file metadata and column metadata; no crs is OGC:CRS84."""
    file = pq.ParquetFile(io.BytesIO(written("geoparquet", station())))
    geo = json.loads(file.metadata.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column == {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "bbox": pytest.approx([-93.2, 20.67] * 2),
    }
    kind = file.schema.column(file.schema.names.index("geometry"))
    assert (kind.physical_type, kind.max_repetition_level) == ("BYTE_ARRAY", 0)


def test_json_has_no_infinity_or_nan():
    def refused(word):
        raise AssertionError(word)

    dataset = station()
    dataset["water"][:] = [np.inf, np.nan, -np.inf]
    rows = json.loads(written("geojson", dataset), parse_constant=refused)["features"]
    assert [row["properties"]["water"] for row in rows] == [None] * 3


def test_licence_citation_source_and_request_are_said(tmp_path):
    content = {
        suffix: written(suffix, station()) for suffix in ("geojson", "geoparquet", "odv.txt", "mat", "xlsx")
    }
    metadata = json.loads(content["geojson"])["metadata"]
    about = json.loads(pq.ParquetFile(io.BytesIO(content["geoparquet"])).metadata.metadata[b"about"])
    odv = "\n".join(line for line in content["odv.txt"].decode().splitlines() if line.startswith("//"))
    mat = scipy.io.loadmat(io.BytesIO(content["mat"]), squeeze_me=True, struct_as_record=False)["data"]
    sheet = openpyxl.load_workbook(io.BytesIO(content["xlsx"]))["about"]
    told = {
        "geojson": " ".join(map(str, metadata.values())),
        "geoparquet": " ".join(about.values()),
        "odv": odv,
        "mat": " ".join(getattr(mat.attributes.ABOUT, name) for name in mat.attributes.ABOUT._fieldnames),
        "xlsx": " ".join(str(cell) for row in sheet.iter_rows(values_only=True) for cell in row),
    }
    assert {(suffix, part) for suffix, text in told.items() for part in SAID if part not in text} == set()


def odv(dataset):
    lines = written("odv.txt", dataset).decode().splitlines()
    return list(csv.DictReader((line for line in lines if not line.startswith("//")), delimiter="\t"))


def test_odv_has_a_station_a_series_with_its_flags_beside_the_numbers():
    rows = odv(station())
    assert list(rows[0]) == [
        "Cruise", "Station", "Type", "yyyy-mm-ddThh:mm:ss.sss", "Longitude [degrees_east]",
        "Latitude [degrees_north]", "Bot. Depth [m]", "time_ISO8601", "water [m]", "QV:QARTOD:water [m]", "wind",
    ]  # fmt: skip
    assert {(row["Station"], row["yyyy-mm-ddThh:mm:ss.sss"]) for row in rows} == {
        ("1", "2019-02-23T00:00:00.000")
    }
    assert [row["time_ISO8601"] for row in rows][2] == "2019-02-24T06:00:00.000"
    assert [(row["water [m]"], row["QV:QARTOD:water [m]"]) for row in rows] == [
        ("1.5", "1"),
        ("", "9"),
        ("-2", "3"),
    ]
    assert {row["Longitude [degrees_east]"] for row in rows} == {"-93.19999999999999"}


def test_odv_says_a_calendar_that_it_has_not():
    assert b"//calendar: 360_day" in written("odv.txt", station(calendar="360_day"))


EVIL = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '=HYPERLINK("x","y")',
    "a\tb\nc",
    "//comment",
    '"quoted"',
    "http://x.example",
    "{=1}",
]


def test_text_is_only_text():
    """FAULTS.md 24, where a spreadsheet opens the file."""
    dataset = (
        station()
        .isel(time=0, drop=True)
        .expand_dims(obs=len(EVIL))
        .assign(note=("obs", np.array(EVIL, object)))
    )
    book = openpyxl.load_workbook(io.BytesIO(written("xlsx", dataset)))["data"]
    column = [cell.value for cell in book[1]].index("note") + 1
    cells = [book.cell(row, column) for row in range(2, len(EVIL) + 2)]
    assert [cell.value for cell in cells] == EVIL
    assert {cell.data_type for cell in cells} == {"s"}
    assert not any(cell.hyperlink for cell in cells)
    rows = odv(dataset)
    assert [row["note"] for row in rows] == [
        "'=1+1", "'+1", "'-1", "'@SUM(A1)", '\'=HYPERLINK("x","y")', "a b c", "//comment", '"quoted"',
        "http://x.example", "{=1}",
    ]  # fmt: skip


def test_a_workbook_is_of_a_small_table():
    wide = xr.Dataset({"a": ("x", np.zeros(100_001))})
    with pytest.raises(TooLarge, match="100000 rows") as caught:
        written("xlsx", wide)
    assert "CSV" in caught.value.hint
    long = xr.Dataset({"a": ("x", np.array(["x" * 40_000, "y"], object))})
    with pytest.raises(NotSubsettable, match="32767"):
        written("xlsx", long)


@given(st.lists(st.text(max_size=80), unique=True, min_size=1, max_size=20))
def test_names_are_legal_in_matlab_and_each_another(names):
    legal = matlab._legal(names, {"attributes"})
    assert len(set(legal.values())) == len(names)
    for name in legal.values():
        assert name.isascii()
        assert name.isidentifier()
        assert name[0].isalpha()
        assert len(name) <= 63
        assert name not in {"attributes", "end", "for"}


def test_matlab_has_times_twice_text_attributes_and_the_length_it_told():
    dataset = station().assign(
        _odd=("time", np.array(["Hòn Dấu", "", "x"], object)), other=((), np.int64(2**62))
    )
    dataset["_odd"].attrs["_FillValue"] = "?"
    content = written("mat", dataset)
    assert matlab.length(dataset) == len(content)
    data = scipy.io.loadmat(io.BytesIO(content), squeeze_me=True, struct_as_record=False)["data"]
    assert data.time_datenum.tolist() == [737479.0, 737479.5, 737480.25]  # datenum(2019,2,23)
    assert data.time_iso[2] == "2019-02-24T06:00:00Z"
    assert [str(text) if np.size(text) else "" for text in data.x_odd] == ["Hòn Dấu", "", "x"]
    assert data.other == 2**62
    assert data.attributes.x_odd.original_name == "_odd"
    assert data.attributes.water.units == "m"
    assert data.attributes.water_qc.flag_values.tolist() == [1, 2, 3, 4, 9]
    assert not hasattr(
        scipy.io.loadmat(io.BytesIO(written("mat", station(calendar="noleap"))), struct_as_record=False)[
            "data"
        ][0, 0],
        "time_datenum",
    )


def test_matlab_refuses_what_its_file_cannot_hold():
    huge = xr.Dataset({"a": xr.Variable(("x", "y"), np.broadcast_to(np.float64(0), (20_000, 20_000)))})
    with pytest.raises(TooLarge, match="3200000") as caught:
        next(formats.named("mat").write(huge))
    assert "NetCDF" in caught.value.hint


@pytest.mark.parametrize("suffix", ["geojson", "geoparquet", "odv.txt"])
def test_what_lies_on_the_nodes_of_a_mesh_has_their_positions(suffix):
    topology = {"node_coordinates": "nx ny", "face_coordinates": "fx fy", "face_node_connectivity": "links"}
    mesh = xr.Dataset(
        {
            "mesh": ((), 0, {"cf_role": "mesh_topology", "topology_dimension": 2, **topology}),
            "links": (("face", "three"), [[0, 1, 2]], {"cf_role": "face_node_connectivity"}),
            "zeta": ("node", [5.0, 6.0, 7.0], {"mesh": "mesh", "location": "node"}),
            "flow": ("face", [1.0], {"mesh": "mesh", "location": "face"}),
        },
        {
            name: (along, values, {"units": units})
            for name, along, values, units in (
                ("nx", "node", [106.0, 107.0, 106.5], "degrees_east"),
                ("ny", "node", [20.0, 20.0, 21.0], "degrees_north"),
                ("fx", "face", [106.5], "degrees_east"),
                ("fy", "face", [20.3], "degrees_north"),
            )
        },
    )
    for variable, said in (("zeta", b"106.5"), ("flow", b"20.3")):
        content = written(suffix, subset.cut(mesh, subset.parse({"variables": variable}), "mesh", LIMITS))
        assert suffix == "geoparquet" or said in content


@pytest.mark.parametrize("suffix", ["geojson", "geoparquet", "odv.txt"])
def test_data_without_positions_are_refused_with_a_way_out(suffix):
    with pytest.raises(NotSubsettable, match="positions") as caught:
        written(suffix, xr.Dataset({"a": ("x", np.zeros(3))}))
    assert "CSV" in caught.value.hint
