"""Cuts against numpy: whatever the order of latitudes, the convention of longitudes, the packing and the calendar."""

import contextlib
import re
import time
import warnings
from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.data import opening, subset
from catalog.errors import BadRequest, CatalogError, NotSubsettable, OutsideDomain, TooLarge
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)


@contextlib.contextmanager
def opened(path):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as dataset:
        yield dataset


def cut(path, limits=LIMITS, **parameters):
    with opened(path) as dataset:
        return subset.cut(dataset, subset.parse(parameters), "some-id", limits).load()


def make(path, **axes):
    """A file of one packed variable over axes given as (values, attributes); the variable counts its cells."""
    shape = tuple(len(values) for values, _ in axes.values())
    with netCDF4.Dataset(path, "w") as file:
        for name, (values, attributes) in axes.items():
            file.createDimension(name, len(values))
            variable = file.createVariable(name, np.asarray(values).dtype, (name,))
            variable.setncatts(attributes)
            variable[:] = values
        data = file.createVariable("cell", ">i2", tuple(axes), fill_value=-1, endian="big")
        data.setncatts({"scale_factor": 0.01, "units": "1"})
        data.set_auto_maskandscale(False)
        data[:] = np.arange(int(np.prod(shape))).reshape(shape)
    return path


EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
LONGITUDES = st.sampled_from(
    [
        np.arange(0.0, 360.0, 20),
        np.arange(-180.0, 180.0, 20, dtype="f4"),
        np.arange(-180.0, 181.0, 20),
        np.arange(30.0, 391.0, 20),
        np.arange(100.0, 122.0, 2),
        np.arange(170.0, 202.0, 4),
        np.arange(350.0, 340.0, -2),
    ]
)
LATITUDES = st.sampled_from([np.arange(-80.0, 81.0, 20), np.arange(25.0, -1.0, -5, dtype="f4")])


@given(
    x=LONGITUDES,
    y=LATITUDES,
    west=st.integers(-180, 180),
    width=st.integers(0, 360),
    south=st.integers(-90, 90),
    height=st.integers(0, 180),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_box_holds_the_cells_whose_centre_is_inside(tmp_path, x, y, west, width, south, height):
    path = make(tmp_path / "grid.nc", lat=(y, NORTH), lon=(x, EAST))
    north = min(90, south + height)
    inside_x = [(v - west) % 360 <= width or width == 360 for v in x.astype(float)]
    inside_y = [south <= v <= north for v in y.astype(float)]
    wanted = np.arange(x.size * y.size).reshape(y.size, x.size)[inside_y][:, inside_x]
    box = f"{west},{south},{west + width},{north}"
    if not wanted.size:
        with pytest.raises(OutsideDomain) as caught:
            cut(path, bbox=box)
        assert caught.value.details["domain"]["bbox"] is not None
        return
    got = cut(path, bbox=box)
    whole = width == 360
    numbers = got.cell.values if whole else np.sort(got.cell.values, axis=1)
    meridians = {v % 360 for v in x[inside_x].tolist()}
    if len(meridians) == sum(inside_x) or whole:
        np.testing.assert_array_equal(numbers, wanted)
    else:  # a meridian that the source has twice is given once
        assert {v % 360 for v in got.lon.values.tolist()} == meridians
        assert got.sizes["lon"] == len(meridians)
    np.testing.assert_array_equal(got.lat.values, y[inside_y])
    assert set(got.lon.values.tolist()) <= set(x.tolist())
    east = (got.lon.values.astype(float) - west) % 360
    assert whole or np.all(np.diff(east) > 0) or np.all(np.diff(east) < 0)


@given(
    step=st.sampled_from([0.1, 0.0125, 1 / 3]),
    start=st.sampled_from([0, -180, 1.25]),
    dtype=st.sampled_from(["f4", "f8"]),
    turn=st.sampled_from([0, 360, -360]),
    full=st.booleans(),
    place=st.integers(0, 10_000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_a_box_on_a_printed_centre_holds_that_centre_and_no_other(
    tmp_path, step, start, dtype, turn, full, place
):
    path = tmp_path / f"{step}{start}{dtype}.nc"
    x = (start + np.arange(min(1800, int(359 / step))) * step).astype(dtype)
    y = (np.arange(200) * step - 7).astype(dtype)
    if not path.exists():
        make(path, lat=(y, NORTH), lon=(x, EAST))
    column, row = place % x.size, place % y.size
    printed = repr(float(x[column])) if full else str(x[column])
    if (
        turn and -180 <= float(x[column]) + turn <= 360
    ):  # the other writing of the same meridian, as a client with the same type makes it
        other = x[column].astype(dtype) + np.dtype(dtype).type(turn)
        printed = repr(float(other)) if full else str(float(printed) + turn)
    box = f"{printed},{y[row]},{printed},{y[row]}"
    got = cut(path, bbox=box)
    assert (got.lon.values.tolist(), got.lat.values.tolist()) == ([x[column]], [y[row]])


def test_a_box_on_a_0_to_360_source_s_own_centres_keeps_its_edges(shared_real):
    path = shared_real / "files/erddap_griddap/MWsstd1day.nc"
    with opened(path) as source:
        columns = source.longitude.values
    assert "210.6625" in map(str, columns.tolist())
    for first, last in zip(columns[:-10:7], columns[10::7], strict=False):
        got = cut(path, bbox=f"{float(first)!r},30,{float(last)!r},30")
        np.testing.assert_array_equal(got.longitude.values, columns[(columns >= first) & (columns <= last)])
    assert cut(path, bbox="210.6625,30,210.6625,30").longitude.values.tolist() == [210.6625]


CALENDARS = st.sampled_from(["standard", "proleptic_gregorian", "noleap", "all_leap", "360_day", "julian"])


@given(
    calendar=CALENDARS,
    year=st.sampled_from([0, 1, 1582, 1970, 2019]),
    unit=st.sampled_from(["days", "hour", "HOURS", "seconds", "minutes"]),
    first=st.integers(0, 40),
    length=st.integers(0, 40),
    step=st.integers(1, 5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_time_is_cut_in_the_calendar_of_the_data(tmp_path, calendar, year, unit, first, length, step):
    scale = {"days": 1, "hour": 24, "HOURS": 24, "seconds": 86_400, "minutes": 1440}[unit]
    values = np.cumsum(np.arange(40) % 3 + 1) * float(scale)
    units = f"{unit} since {year:04}-02-01 00:00:00"
    path = make(tmp_path / "time.nc", t=(values, {"units": units, "calendar": calendar}))
    zero = {"has_year_zero": True} if year == 0 else {}
    with warnings.catch_warnings(action="ignore"):
        dates = cftime.num2date(values, units.lower(), calendar, **zero)
    start, stop = dates[min(first, 39)], dates[min(first + length, 39)]
    asked = "/".join(f"{d.year:04}-{d.month:02}-{d.day:02}" for d in (start, stop))
    got = cut(path, time=asked, stride=f"time:{step}")
    np.testing.assert_array_equal(got.t.values, values[(dates >= start) & (dates <= stop)][::step])


def test_the_year_0_climatology_is_cut_by_its_own_calendar(shared_sample):
    path = shared_sample / "coads_climatology_bien_dong.nc"
    got = cut(path, time="0000-01-01/0000-03-31", variables="SST")
    source = xr.open_dataset(path, decode_times=False, mask_and_scale=False)
    with source:
        np.testing.assert_array_equal(got.SST.values, source.SST.values[:3])
        np.testing.assert_array_equal(got.TIME.values, source.TIME.values[:3])
    with pytest.raises(OutsideDomain, match="0000-01-16") as caught:
        cut(path, time="1999")
    assert caught.value.details["domain"]["calendar"] == "standard"


@pytest.mark.parametrize(
    ("attributes", "values", "kept"),
    [
        ({"units": "m", "positive": "down"}, [0, 10, 50, 100], [10, 50]),
        ({"units": "m", "positive": "up"}, [-100, -50, -10, 0], [-50, -10]),
        ({"units": "METERS", "axis": "Z"}, [-100, -50, -10, 0], [-50, -10]),
        ({"units": "km", "standard_name": "depth"}, [0, 0.01, 0.05, 0.1], [0.01, 0.05]),
        ({"units": "dbar", "axis": "Z"}, [0, 10, 50, 100], [10, 50]),
    ],
)
def test_depth_is_in_metres_positive_down(tmp_path, attributes, values, kept):
    path = make(
        tmp_path / "depth.nc", z=(np.array(values, float), attributes), lat=([1.0], NORTH), lon=([2.0], EAST)
    )
    assert cut(path, depth="5/60").z.values.tolist() == kept
    with pytest.raises(OutsideDomain, match="nearest centre"):
        cut(path, depth="20/30")


def test_stride_names_axes_or_is_for_all(tmp_path):
    times = (np.arange(10.0), {"units": "days since 2000-01-01"})
    path = make(tmp_path / "a.nc", time=times, y=(np.arange(9.0), NORTH), x=(np.arange(8.0), EAST))
    cells = np.arange(720).reshape(10, 9, 8)
    np.testing.assert_array_equal(cut(path, stride="3").cell.values, cells[::3, ::3, ::3])
    got = cut(path, stride="time:4,latitude:2,x:5", bbox="1,2,7,8")
    np.testing.assert_array_equal(got.cell.values, cells[::4, 2:9:2, 1:8:5])
    with pytest.raises(BadRequest, match="latitud"):
        cut(path, stride="latitud:2")


@pytest.mark.parametrize(
    "parameters",
    [
        {"bbox": "1,2,3"}, {"bbox": "a,b,c,d"}, {"bbox": "1,2,3,nan"}, {"bbox": "1,9,3,2"}, {"time": "soon"},
        {"time": "2020/2019"}, {"depth": "a"}, {"depth": "5/1"}, {"depth": "1/2/3"}, {"depth": "inf"},
        {"stride": "0"}, {"stride": "-1"}, {"stride": "x:"}, {"stride": "1.5"}, {"nonsense": "1"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_request_with_the_way_out(parameters):
    with pytest.raises(BadRequest) as caught:
        subset.parse(parameters)
    assert caught.value.hint


@given(
    st.builds(
        subset.Cut,
        variables=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
        bbox=st.sampled_from([None, (170.5, -10, -170, 10.25), (105.1, 17, 110, 22)]),
        time=st.sampled_from([None, ("0000-01-01T00:00:00Z", None), (None, "2019-02-23T06:00:00Z")]),
        depth=st.sampled_from([None, (0.0, 50.5), (-3.0, -3.0)]),
        stride=st.dictionaries(st.sampled_from(["time", "x"]), st.integers(1, 9)),
    )
)
def test_a_cut_is_read_back_from_its_parameters(cut_):
    assert subset.parse(cut_.parameters()) == cut_


def test_attributes_and_companions_are_kept_and_history_grows(shared_sample):
    path = shared_sample / "cmems_sea_level_20190223_bien_dong.nc"
    got = cut(path, variables="adt", bbox="105.5,17,110,22")
    with xr.open_dataset(path, mask_and_scale=False, decode_times=False) as source:
        want = source.sel(longitude=slice(105.5, 110), latitude=slice(17, 22))
        for name in ("adt", "lat_bnds", "lon_bnds", "latitude", "longitude", "time"):
            np.testing.assert_array_equal(got[name].values, want[name].values)
            assert got[name].dtype == want[name].dtype
        assert set(got.variables) == set(want.variables) - {"ugos", "vgos"}
        before = str(source.attrs["history"])
        assert got.attrs["history"].startswith(before)
        line = got.attrs["history"].removeprefix(before).strip()
        assert re.search(r"some-id with variables=adt&bbox=105.5,17,110,22", line)
        assert got.attrs["geospatial_lat_min"] == 17.125
        assert got.attrs["title"] == source.attrs["title"]


def test_an_unknown_variable_names_those_there_are(shared_sample):
    with pytest.raises(BadRequest, match="sst") as caught:
        cut(shared_sample / "coads_climatology_bien_dong.nc", variables="sst")
    assert "SST, AIRT" in caught.value.hint


def test_outside_says_where_the_data_are(shared_sample):
    path = shared_sample / "coads_climatology_bien_dong.nc"
    with pytest.raises(OutsideDomain, match="bbox 99,-1,121,25") as caught:
        cut(path, bbox="-20,-40,-10,-30")
    assert caught.value.details["domain"]["bbox"] == [99, -1, 121, 25]
    with pytest.raises(OutsideDomain, match="nearest centre is 105, and centres are 2 apart"):
        cut(path, bbox="105.2,17,105.4,17.5")


def test_points_along_one_dimension_are_picked(tmp_path):
    rng = np.random.default_rng(0)
    x, y, t = rng.uniform(-180, 180, 200), rng.uniform(-90, 90, 200), np.arange(200.0)
    points = xr.Dataset(
        {"temp": ("obs", np.arange(200, dtype="f4"), {"coordinates": "time lat lon"})},
        {
            "lon": ("obs", x, EAST),
            "lat": ("obs", y, NORTH),
            "time": ("obs", t, {"units": "days since 2000-01-01"}),
        },
        {"featureType": "trajectory"},
    )
    for variable in points.variables.values():
        variable.encoding["_FillValue"] = None
    points["temp"].encoding["coordinates"] = points["temp"].attrs.pop("coordinates")
    points.to_netcdf(tmp_path / "points.nc")
    got = cut(tmp_path / "points.nc", bbox="150,-60,-150,60", time="2000-01-11/2000-06-30")
    inside = ((x >= 150) | (x <= -150)) & (np.abs(y) <= 60) & (t >= 10) & (t < 182)
    assert inside.sum() > 4
    np.testing.assert_array_equal(got.temp.values, np.flatnonzero(inside))


def ragged(path):
    """Three stations of 2, 3 and 4 observations (CF §9.3.3)."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("station", 3)
        file.createDimension("obs", 9)
        for name, dim, values, attributes in (
            ("lon", "station", [100.0, 101, 102], EAST),
            ("lat", "station", [10.0, 11, 12], NORTH),
            ("row_size", "station", [2, 3, 4], {"sample_dimension": "obs"}),
            ("station_id", "station", [1, 2, 3], {"cf_role": "timeseries_id"}),
            ("time", "obs", np.arange(9.0), {"units": "days since 2000-01-01"}),
            ("temp", "obs", np.arange(9.0), {"coordinates": "time lat lon"}),
        ):
            variable = file.createVariable(name, np.asarray(values).dtype, (dim,))
            variable.setncatts(attributes)
            variable[:] = values
    return path


def test_a_ragged_array_is_not_cut_by_strides(tmp_path):
    path = ragged(tmp_path / "ragged.nc")
    for parameters in ({}, {"variables": "temp"}):
        assert {"row_size", "lon", "lat", "station_id", "time", "temp"} == set(
            cut(path, **parameters).variables
        )
    for parameters in ({"stride": "2"}, {"stride": "obs:2"}, {"stride": "station:2"}):
        with pytest.raises(NotSubsettable, match="ragged"):
            cut(path, **parameters)


def test_a_stride_does_not_break_the_links_of_a_mesh(shared_real):
    path = shared_real / "files/gridded/tri_grid_example-FVCOM.nc"
    for stride in ("2", "node:2", "nele:2", "three:2", "longitude:2"):
        with pytest.raises(NotSubsettable, match="mesh"):
            cut(path, stride=stride)
    assert cut(path, stride="time:2", variables="zeta").zeta.shape == (5, 551)


def test_one_of_several_grids_is_not_cut_in_silence(shared_real):
    path = shared_real / "files/gridded/WCOFS_subset.nc"
    for parameters in ({"stride": "2"}, {"stride": "longitude:2", "variables": "mask_rho"}):
        with pytest.raises(NotSubsettable, match="another grid"):
            cut(path, **parameters)
    with pytest.raises(BadRequest, match="mask_u does not lie"):
        cut(path, stride="ocean_time:2", variables="u_sur,mask_u")
    assert cut(path, stride="2", variables="u_sur").u_sur.shape == (2, 34, 18)


def test_boxes_and_times_are_of_the_grid_of_every_variable(tmp_path):
    path = tmp_path / "two.nc"
    days = {"units": "days since 2000-01-01"}
    data = {
        "a": (("time", "lat", "lon"), np.zeros((3, 4, 5))),
        "b": (("time1", "lat1", "lon1"), np.zeros((6, 7, 8))),
    }
    axes = {"lat": NORTH, "lon": EAST, "time": days, "lat1": NORTH, "lon1": EAST, "time1": days}
    sizes = dict(zip(axes, (4, 5, 3, 7, 8, 6), strict=True))
    coordinates = {name: (name, np.arange(float(sizes[name])), given_) for name, given_ in axes.items()}
    xr.Dataset(data, coordinates).to_netcdf(path)
    with pytest.raises(NotSubsettable, match="another grid"):
        cut(path, time="2000-01-01")
    boxed = cut(path, bbox="0,0,2,4")
    assert (boxed.a.shape, boxed.b.shape) == ((3, 4, 3), (6, 5, 3))
    with pytest.raises(OutsideDomain, match="no centre of the grid of lat "):
        cut(path, bbox="0,4,2,5", variables="a,b")
    alone = cut(path, bbox="0,4,2,5")
    assert ("a" in alone.variables, alone.b.shape) == (False, (6, 2, 3))
    assert "without a: no centre of the grid of lon and lat" in alone.comment
    assert cut(path, variables="a", bbox="0,0,2,2", time="2000-01-01").a.shape == (1, 3, 3)


def test_what_is_no_array_of_numbers_is_refused_by_name_and_else_said(tmp_path):
    path = make(tmp_path / "odd.nc", lat=([1.0, 2.0], NORTH), lon=([1.0, 2.0], EAST))
    with netCDF4.Dataset(path, "a") as file:
        lists = file.createVariable("lists", file.createVLType("i4", "list"), ("lat",))
        for place, items in enumerate(([1, 2], [3])):
            lists[place] = np.array(items, "i4")
        pair = np.dtype([("a", "f4"), ("b", "i4")])
        file.createVariable("pairs", file.createCompoundType(pair, "pair"), ("lon",))[:] = np.zeros(2, pair)
        file.createVariable("square", "f4", ("lat", "lat"))[:] = 1
    for name in ("lists", "pairs", "square"):
        with pytest.raises(NotSubsettable, match=f"{name} cannot be cut"):
            cut(path, variables=f"cell,{name}")
    got = cut(path)
    assert set(got.variables) == {"lat", "lon", "cell"}
    assert got.attrs["history"].endswith("; without lists, pairs, square, which cannot be cut")


@pytest.mark.parametrize(
    "columns", [np.arange(0, 360, 5.0), np.arange(-180, 180, 5.0), np.arange(355, -5, -5.0)]
)
def test_the_attributes_of_the_extent_are_those_of_the_cut(tmp_path, columns):
    path = make(tmp_path / "a.nc", lat=(np.arange(-10, 11, 5.0), NORTH), lon=(columns, EAST))
    names = ("geospatial_lon_min", "geospatial_lon_max", "geospatial_lat_min", "geospatial_lat_max")
    edges = ("Westernmost_Easting", "Easternmost_Easting", "Southernmost_Northing", "Northernmost_Northing")
    gone = ("geospatial_lon_resolution", "time_coverage_resolution")
    with netCDF4.Dataset(path, "a") as file:
        file.setncatts(dict.fromkeys((*names, *edges), 99.0) | dict.fromkeys(gone, "5"))
    got = cut(path, bbox="-10,-5,10,0").attrs
    west = -10 if columns.min() < 0 else 350
    assert [got[name] for name in names] == [got[name] for name in edges] == [west, 10, -5, 0]
    assert set(gone) <= set(got)
    assert not set(gone) & set(cut(path, stride="2").attrs)


@given(limit=st.integers(200, 200_000), variables=st.sampled_from(["", "cell"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_too_large_gives_a_smaller_request_that_passes(tmp_path, limit, variables):
    times = (np.arange(30.0), {"units": "days since 2000-01-01"})
    path = tmp_path / "big.nc"
    if not path.exists():
        make(path, time=times, y=(np.arange(20.0), NORTH), x=(np.arange(40.0), EAST))
    limits = subset.Limits(result_bytes=limit, decoded_bytes=10**9)
    with opened(path) as dataset:
        fits = subset.cost(dataset, subset.parse({"variables": variables})).result_bytes <= limit
    if fits:
        assert cut(path, limits, variables=variables).cell.size * 8 <= limit
        return
    with pytest.raises(TooLarge) as caught:
        cut(path, limits, variables=variables)
    details = caught.value.details
    assert details["asked"] > details["limit"] == limit
    assert details["setting"] == "BIENMO_MAX_RESULT_BYTES"
    if details["try"]:
        assert cut(path, limits, **details["try"]).cell.size
    else:
        assert limit < 2_000  # not even the coordinates of one map fit


def test_the_cost_is_known_from_shapes(tmp_path):
    times = (np.arange(30.0), {"units": "days since 2000-01-01"})
    path = make(tmp_path / "a.nc", time=times, y=(np.arange(20.0), NORTH), x=(np.arange(40.0), EAST))
    with opened(path) as dataset:
        cost = subset.cost(dataset, subset.parse({"bbox": "0,0,9,9"}))
    assert cost.cells == 30 * 10 * 10
    assert cost.result_bytes == cost.cells * 8 + (30 + 10 + 10) * 8


def test_a_cut_of_a_terabyte_is_refused_at_once(shared_faults):
    began = time.process_time()
    for name in ("one_terabyte_logical_8KB.nc", "chunk_bomb_3.6GB_in_3.5MB.nc"):
        with pytest.raises(TooLarge):
            cut(Path(shared_faults) / name)
    assert time.process_time() - began < 2


def test_every_real_file_is_cut_or_refused_with_a_reason(shared_real):
    for path in sorted(Path(shared_real, "files").rglob("*.nc")):
        with contextlib.suppress(CatalogError):
            cut(path)


def test_a_part_is_the_dataset_that_the_constructor_makes(tmp_path):
    """The part is made past xarray's constructor, which takes longer than a small cut: nothing else may differ."""
    path = make(tmp_path / "a.nc", lat=(np.arange(5.0, 25, 5), NORTH), lon=(np.arange(100.0, 122.0, 2), EAST))
    part = cut(path, bbox="105,7,110,16")
    along = {name: part.variables[name] for name in part.coords}
    others = {name: part.variables[name] for name in part.data_vars}
    made = xr.Dataset(others, xr.Coordinates(along, indexes={}), part.attrs)
    xr.testing.assert_identical(made, part)
    assert list(made.variables) == list(part.variables)
    assert (made.sizes, dict(made.xindexes)) == (part.sizes, dict(part.xindexes))
    assert set(part.isel(lat=0).coords) == set(along) == {"lat", "lon"}
