"""Data on other servers: the numbers of the local file, few bytes beside those asked for, nothing on trust."""

import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import afar, opening
from catalog.data.opening import Reach
from catalog.record import Distribution
from elsewhere import files

REACH = Reach(allow_hosts=("127.0.0.1",), stall_seconds=5)
SHAPE = (7, 40, 50)
FORMS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA"]


def write(path, form):
    """A grid with what files have: packed and plain numbers, text, attributes of all kinds."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in zip(("time", "lat", "lon"), SHAPE, strict=True):
            file.createDimension(name, None if name == "time" else size)
        file.createDimension("letters", 6)
        units = ("days since 2000-01-01", "degrees_north", "degrees_east")
        for name, size, unit in zip(("time", "lat", "lon"), SHAPE, units, strict=True):
            file.createVariable(name, "f8", (name,)).units = unit
            file[name][:] = np.linspace(0, 30, size)
        random = np.random.default_rng(0)
        four = form == "NETCDF4"
        options = {"zlib": True, "chunksizes": (2, 15, 20), "fletcher32": True} if four else {}
        packed = file.createVariable("sst", "i2", ("time", "lat", "lon"), fill_value=-9, **options)
        packed.setncatts(
            {"scale_factor": 0.01, "add_offset": np.float32(3), "flags": np.arange(3, dtype="i2")}
        )
        packed.set_auto_maskandscale(False)
        packed[:] = random.integers(0, 3000, SHAPE)
        plain = file.createVariable("wind", "f4", ("time", "lat", "lon"))
        plain[:] = random.random(SHAPE)
        names = file.createVariable("station", "S1", ("lat", "letters"))
        names[:] = np.array([[*f"HN{number:04}"] for number in range(SHAPE[1])], "S1")
        file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        file.title = "Vịnh Bắc Bộ"
        if four:
            file.createVariable("note", str, ("lat",))[:] = np.array(
                [f"ghi chú {n}" for n in range(40)], object
            )
            file.createVariable("big", ">f8", ("lat", "lon"), endian="big")[:] = random.random(SHAPE[1:])
            file.words = ["một", "hai"]
            file.createGroup("inside")
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for form in FORMS:
        write(folder / f"{form}.nc", form)
    with (
        warnings.catch_warnings(action="ignore"),
        xr.open_dataset(folder / "NETCDF4.nc", decode_times=False, mask_and_scale=False) as source,
    ):
        kept = source[["sst", "wind"]]
        for version in (2, 3):
            kept.to_zarr(folder / f"v{version}.zarr", zarr_format=version, consolidated=True, encoding={
                "sst": {"chunks": (2, 15, 20)}, "wind": {"chunks": (2, 15, 20)}})  # fmt: skip
    with files(folder) as served:
        yield served


def way(site, name):
    return Distribution(protocol="http", address=f"{site.address}/{name}", format="unknown")


def same(got, want):
    """Two datasets are the same, types and attributes included."""
    assert set(got.variables) == set(want.variables)
    for name, variable in want.variables.items():
        found = got.variables[name]
        assert found.dims == variable.dims
        if (
            variable.dtype.kind != "U"
        ):  # texts of no fixed length, which the netCDF library's opener reads at once
            assert found.dtype.newbyteorder("=") == variable.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(found.values, variable.values)
        assert list(found.attrs) == list(variable.attrs)
        for key, value in variable.attrs.items():
            np.testing.assert_array_equal(found.attrs[key], value)
            assert np.asarray(found.attrs[key]).dtype == np.asarray(value).dtype, (name, key)
    assert dict(got.attrs) == dict(want.attrs)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_afar_is_the_file(site, form):
    local = Distribution(protocol="file", address=str(site.folder / f"{form}.nc"))
    with afar.opened(way(site, f"{form}.nc"), REACH) as got, opening.opened(local, REACH) as want:
        same(got, want)
        assert list(got.variables) == list(want.variables)
        assert got.encoding["groups"] == want.encoding["groups"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_group_afar_is_the_group(site, version):
    local = Distribution(protocol="zarr", address=str(site.folder / f"v{version}.zarr"))
    with afar.opened(way(site, f"v{version}.zarr"), REACH) as got, opening.opened(local, REACH) as want:
        same(got, want)


@st.composite
def cuts(draw):
    found = {}
    for name, size in zip(("time", "lat", "lon"), SHAPE, strict=True):
        start = draw(st.integers(0, size - 1))
        stop = draw(st.integers(start + 1, size))
        some = st.lists(st.integers(0, size - 1), min_size=1, max_size=6)
        part = draw(st.one_of(st.just(slice(start, stop, draw(st.integers(1, 4)))), some, st.just(start)))
        found[name] = part
    return found


@pytest.mark.parametrize("name", [*(f"{form}.nc" for form in FORMS), "v2.zarr", "v3.zarr"])
@given(cut=cuts())
def test_every_cut_afar_is_that_of_xarray(site, name, cut):
    with (
        afar.opened(way(site, name), REACH) as dataset,
        xr.open_dataset(site.folder / "NETCDF4.nc", decode_times=False, mask_and_scale=False) as source,
    ):
        for variable in ("sst", "wind"):
            np.testing.assert_array_equal(
                dataset[variable].isel(cut).values, source[variable].isel(cut).values
            )
