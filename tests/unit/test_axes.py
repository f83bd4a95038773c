"""Axes are found by CF, by units, by names; coverage is what the coordinates say."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import axes, opening, roles
from catalog.data.clock import NEVER, Clock, position
from catalog.data.coverage import box, cover
from catalog.errors import DataUnreadable
from catalog.record import BBox


def grid(x, y, x_attributes=None, y_attributes=None):
    """A dataset of one variable over two one-dimensional coordinates named as the arguments say."""
    return xr.Dataset(
        {"data": ((y, x), np.zeros((3, 4)))},
        {x: (x, np.arange(4.0), x_attributes or {}), y: (y, np.arange(3.0), y_attributes or {})},
    )


@pytest.mark.parametrize(
    ("x", "y", "x_attributes", "y_attributes"),
    [
        ("i", "j", {"standard_name": "longitude"}, {"standard_name": "latitude"}),
        ("i", "j", {"units": "degrees_east"}, {"units": "degree_N"}),
        ("i", "j", {"axis": "X", "units": "degrees_E"}, {"axis": "Y", "units": "degrees_N"}),
        ("lon", "lat", {}, {}),
        ("Longitude", "Latitude", {"units": "degrees"}, {"units": "degrees"}),
        ("COADSX", "COADSY", {"units": "degrees_east"}, {"units": "degrees_north"}),
        ("COADSX", "COADSY", {}, {}),
    ],
)
def test_longitude_and_latitude_by_cf_units_and_names(x, y, x_attributes, y_attributes):
    found = axes.find(grid(x, y, x_attributes, y_attributes))
    assert (found.longitude, found.latitude) == (x, y)
    assert (found.geometry, found.kind) == ("rectilinear", "grid")
    assert found.data_variables(grid(x, y)) == ("data",)


@pytest.mark.parametrize(
    ("x_attributes", "y_attributes"),
    [
        ({"units": "m"}, {"units": "m"}),
        ({"standard_name": "projection_x_coordinate"}, {"standard_name": "projection_y_coordinate"}),
        ({"units": "degrees_east"}, {"units": "km"}),
    ],
)
def test_metres_on_a_map_are_no_longitude(x_attributes, y_attributes):
    found = axes.find(grid("x", "y", x_attributes, y_attributes))
    assert found.geometry == "none"
    assert found.problems


@pytest.mark.parametrize(
    ("x", "y", "scale"),
    [("flux", "turbidity", 1), ("max", "density", 1), ("x", "y", 1000.0), ("INDEX", "quality", 1)],
)
def test_words_that_end_in_x_or_y_are_no_position(x, y, scale):
    dataset = grid(x, y)
    assert axes.find(dataset.assign_coords({x: dataset[x] * scale})).geometry == "none"
    series = xr.Dataset(
        {x: ("time", np.arange(3.0)), y: ("time", np.arange(3.0))},
        {"time": ("time", np.arange(3.0), {"units": "days since 2000-01-01"})},
    )
    assert axes.find(series).data_variables(series) == (x, y)


def test_degrees_of_a_rotated_grid_are_no_longitude():
    found = grid(
        "rlon",
        "rlat",
        {"standard_name": "grid_longitude", "units": "degrees", "axis": "X"},
        {"standard_name": "grid_latitude", "units": "degrees", "axis": "Y"},
    )
    assert cover(found)["boxes"] == []


def test_the_box_goes_around_every_grid_of_a_file():
    """The nodes of a mesh and each grid of a staggered one, whichever is taken for the axes."""
    variables = {}
    for name, first in (("rho", 100.0), ("u", 102.0), ("v", 101.0)):
        variables[f"lon_{name}"] = (name, first + np.arange(5.0), {"units": "degrees_east"})
        variables[f"lat_{name}"] = (name, first - 90 + np.arange(5.0), {"units": "degrees_north"})
        variables[f"data_{name}"] = (name, np.zeros(5))
    assert cover(xr.Dataset(variables))["boxes"] == [[100, 10, 106, 16]]


def test_positions_that_move_with_time_are_a_trajectory():
    dims = ("drifter", "obs")
    dataset = xr.Dataset(
        {
            "temp": (dims, np.zeros((2, 3))),
            "lon": (dims, np.zeros((2, 3)), {"units": "degrees_east"}),
            "lat": (dims, np.zeros((2, 3)), {"units": "degrees_north"}),
            "time": (dims, np.zeros((2, 3)), {"units": "days since 2000-01-01"}),
        }
    )
    assert axes.find(dataset).kind == "trajectory"


FEATURES = [
    ({"featureType": "timeSeries"}, (), ("time",), "timeseries"),
    ({"featureType": "trajectory"}, ("obs",), ("obs",), "trajectory"),
    ({"cdm_data_type": "Profile"}, (), (), "profile"),
    ({}, ("obs",), ("obs",), "trajectory"),
    ({}, (), ("time",), "timeseries"),
    ({}, ("station",), ("time",), "points"),
]


@pytest.mark.parametrize(("attributes", "place", "times", "kind"), FEATURES)
def test_points_and_their_kind(attributes, place, times, kind):
    sizes = {"obs": 3, "station": 2, "time": 4}
    dataset = xr.Dataset(
        {
            "temp": (
                (*place, *(t for t in times if t not in place)),
                np.zeros([sizes[d] for d in dict.fromkeys((*place, *times))]),
            )
        },
        {
            "lon": (place, np.zeros([sizes[d] for d in place]), {"units": "degrees_east"}),
            "lat": (place, np.zeros([sizes[d] for d in place]), {"units": "degrees_north"}),
            "time": (times, np.zeros([sizes[d] for d in times]), {"units": "days since 2000-01-01"}),
        },
        attributes,
    )
    found = axes.find(dataset)
    assert (found.geometry, found.kind) == ("points", kind)


@pytest.mark.parametrize(
    ("name", "kind", "geometry"),
    [
        ("gridded/WCOFS_subset.nc", "grid", "curvilinear"),
        ("gridded/tri_grid_example-FVCOM.nc", "mesh", "mesh"),
        ("gridded/UGRIDv0.9_eleven_points.nc", "mesh", "mesh"),
        ("iris/nemo_1m_20150101-20150201_grid-T.nc", "grid", "curvilinear"),
        ("argo/13857_Rtraj.nc", "trajectory", "points"),
        ("ncarg/seam.nc", "grid", "curvilinear"),
        ("compliance_checker/trajectory.zarr", "trajectory", "curvilinear"),
        ("iris/SOI_Darwin.nc", "timeseries", "none"),
        ("ferret/levitus_climatology.cdf", "grid", "rectilinear"),
    ],
)
def test_real_files(shared_real, name, kind, geometry):
    with opening._file(shared_real / "files" / name, opening.sniff(shared_real / "files" / name)) as dataset:
        found = axes.find(dataset)
        assert (found.kind, found.geometry) == (kind, geometry)


def test_the_cells_of_a_staggered_grid_are_those_of_most_variables(shared_real):
    with opening._file(shared_real / "files/gridded/WCOFS_subset.nc", "netcdf4") as dataset:
        found = axes.find(dataset)
        assert found.longitude.removeprefix("lon") == found.latitude.removeprefix("lat")


@given(
    west=st.floats(-180, 179),
    width=st.floats(0, 300),
    count=st.integers(2, 50),
    turn=st.sampled_from([0, 360, -360]),
)
def test_a_box_goes_around_its_columns_in_any_convention(west, width, count, turn):
    columns = west + np.linspace(0, width, count)
    for written in (columns + turn, (columns + 180) % 360 - 180, columns % 360):
        found = box(written, np.array([-5.0, 5.0]), None)
        east = np.mod(columns - found.west, 360)
        reach = 360 if found == BBox.of(-180, -5, 180, 5) else (found.east - found.west) % 360
        assert np.all((east <= reach + 1e-6) | (east >= 360 - 1e-6))
        assert reach <= max(width, 180) + 1e-6 or reach == 360


@pytest.mark.parametrize("start", [0, -180, 20.5, -179.5])
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_columns_that_close_the_circle_fill_it(start, extra):
    columns = start + np.arange(360.0 + extra)
    assert box(columns, np.array([0.0]), 1.0) == BBox.of(-180, 0, 180, 0)


def test_illegal_positions_are_left_out_and_said():
    dataset = grid("lon", "lat", {"units": "degrees_east"}, {"units": "degrees_north"})
    dataset["lat"] = ("lat", [10.0, 20.0, 1e35], dataset["lat"].attrs)
    found = cover(dataset)
    assert found["boxes"] == [[0, 10, 3, 20]]
    assert [problem["code"] for problem in found["problems"]] == ["position-out-of-range"]
    dataset["lat"] = ("lat", [np.nan] * 3, dataset["lat"].attrs)
    assert cover(dataset)["boxes"] == []
    assert cover(dataset)["problems"][0]["code"] == "coordinate-empty"


def test_a_coordinate_that_is_too_large_is_not_loaded(monkeypatch):
    monkeypatch.setattr(roles, "MAX_COORDINATE", 2)
    found = cover(grid("lon", "lat"))
    assert found["boxes"] == []
    assert found["problems"][0]["code"] == "coordinate-unreadable"


@pytest.mark.parametrize(
    ("units", "calendar", "value", "instant"),
    [
        ("hour since 0000-01-01 00:00:00", "", 366, "0000-01-16T06:00:00Z"),
        ("HOURS since 0001-01-01", "", 5, "0001-01-01T05:00:00Z"),
        ("days since 1-1-1 00:00:0.0", "proleptic_gregorian", 0.5, "0001-01-01T12:00:00Z"),
        ("days since 1950-01-01T00:00:00Z", "gregorian", 25255, "2019-02-23T00:00:00Z"),
        ("seconds since 1970-01-01 00:00:00 -7:00", "", 0, "1970-01-01T07:00:00Z"),
        ("seconds since 1970-01-01 00:00:00.0 +0700", "", 0, "1969-12-31T17:00:00Z"),
        ("days since 2000-01-01 00:00 UTC", "standard", 1 / 3, "2000-01-01T08:00:00Z"),
        ("days since 2001-02-28", "noleap", 1, "2001-03-01T00:00:00Z"),
        ("days since 2000-02-30", "360_day", 1, "2000-03-01T00:00:00Z"),
        ("months since 2000-01-01", "360_day", 1.5, "2000-02-16T00:00:00Z"),
        ("months since 1960-01-01", "", 0.5, "1960-01-16T12:00:00Z"),
        ("months since 1960-01-31", "", 1, "1960-02-29T00:00:00Z"),
        ("months since 1960-01-31", "noleap", 25, "1962-02-28T00:00:00Z"),
        ("months since 1960-01-01", "", -1, "1959-12-01T00:00:00Z"),
        ("years since 2000-07-01", "proleptic_gregorian", 2.5, "2003-01-01T00:00:00Z"),
        ("weeks since 2000-01-01", "", 2, "2000-01-15T00:00:00Z"),
        ("days since 1582-10-04", "standard", 1, "1582-10-15T00:00:00Z"),
    ],
)
def test_times_are_told_in_their_calendar(units, calendar, value, instant):
    clock = Clock.of({"units": units, "calendar": calendar})
    assert clock.instants(np.array([value, np.nan])) == [instant, ""]
    assert clock.positions(np.array([value, np.nan])).tolist() == [position(instant), NEVER]


@pytest.mark.parametrize(
    ("units", "calendar"),
    [
        ("Month", ""), ("", ""), ("fortnights since 2000-01-01", "standard"), ("lunes since 2000-01-01", ""),
        ("days since yesterday", ""), ("days since 2000-13-01", ""), ("days since 2000-01-01", "lunar"),
    ],
)  # fmt: skip
def test_times_that_cannot_be_told_are_said(units, calendar):
    with pytest.raises(DataUnreadable):
        Clock.of({"units": units, "calendar": calendar})


@given(
    st.lists(st.integers(-40_000_000, 40_000_000), min_size=2),
    st.sampled_from(["standard", "julian", "360_day"]),
)
def test_positions_order_times(hours, calendar):
    clock = Clock.of({"units": "hours since 1970-01-01", "calendar": calendar})
    places = clock.positions(np.array(sorted(hours), float))
    assert np.all(np.diff(places) >= 0)
    assert np.array_equal(np.diff(places) == 0, np.diff(sorted(hours)) == 0)


def test_positions_with_levels_of_their_own_are_profiles():
    position = {
        "x": ("profile", [1.0, 2.0], {"units": "degrees_east"}),
        "y": ("profile", [3.0, 4.0], {"units": "degrees_north"}),
    }
    levels = {
        "PRES": (("profile", "level"), [[1.0, 2.0]] * 2, {"standard_name": "sea_water_pressure", "axis": "Z"})
    }
    times = {"t": ("profile", [0, 1], {"units": "days since 2000-01-01"})}
    assert axes.find(xr.Dataset(position | times | levels)).kind == "profile"
    assert axes.find(xr.Dataset(position | times)).kind == "trajectory"
