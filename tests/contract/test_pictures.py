"""The laws of formats of one field: a GeoTIFF reads back as the same numbers in the same places, a PNG shows them."""

import contextlib

import numpy as np
import pytest
import xarray as xr
from rasterio.io import MemoryFile

from catalog import formats
from catalog.data import subset
from catalog.data.packing import unpack
from catalog.errors import NotSubsettable, TooLarge

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
ABOUT = {
    "title": "Nhiệt độ mặt biển",
    "license": "CC-BY-4.0",
    "citation": "A. Author (2020)",
    "source_url": "https://portal.example/sst",
    "history": "made\n2026-01-01T00:00:00Z Bien Mo: cut from sst with bbox=1,2,3,4",
}


def grid(west=100.0, width=12, south=5.0, height=8, step=0.25, *, north_first=False, times=2, packed=True):
    rng = np.random.default_rng(3)
    raw = rng.integers(-3_000, 3_000, (times, height, width)).astype("i2")
    raw[0, 0, :3] = -32_768
    raw[0, 1, 1] = -32_767
    latitudes = south + step * np.arange(height)
    attributes = {"units": "degree_C", "standard_name": "sea_surface_temperature", "long_name": "SST"}
    packing = {"scale_factor": 0.01, "add_offset": 20.0, "_FillValue": np.int16(-32_768)}
    packing["missing_value"] = np.int16(-32_767)
    values = raw if packed else np.where(raw < -32_000, np.nan, raw / 7).astype("f4")
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, attributes | (packing if packed else {}))},
        {
            "time": ("time", np.arange(times, dtype=float), {"units": "days since 2019-02-23"}),
            "lat": ("lat", latitudes[::-1] if north_first else latitudes, {"units": "degrees_north"}),
            "lon": ("lon", (west + step * np.arange(width)).astype("f4"), {"units": "degrees_east"}),
        },
        ABOUT,
    )


def written(suffix, dataset):
    return b"".join(formats.named(suffix).write(dataset))


@pytest.fixture
def tif():
    @contextlib.contextmanager
    def opened(dataset):
        with MemoryFile(written("tif", dataset)) as file, file.open() as raster:
            yield raster

    return opened


@pytest.mark.parametrize("north_first", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("west", [100.0, 178.5, -180.0, 359.0, -1.0])
def test_each_cell_of_a_geotiff_is_where_it_was(tif, west, packed, north_first):
    dataset = grid(west, north_first=north_first, packed=packed)
    want = unpack(dataset.sst.values, dataset.sst.attrs)
    with tif(dataset) as raster:
        assert -180.5 <= raster.bounds.left < 180
        for y, latitude in enumerate(dataset.lat.values):
            for x, longitude in enumerate(dataset.lon.values.astype(float)):
                turned = longitude + 360 * np.ceil((raster.bounds.left - longitude) / 360)
                (found,) = raster.sample([(turned, latitude)], masked=True)
                got = found.astype(float).filled(np.nan) * raster.scales + raster.offsets
                np.testing.assert_allclose(got, want[:, y, x], rtol=1e-6)


@pytest.mark.parametrize("first", [0.5, -179.5, 20.5])
def test_a_globe_begins_at_the_antimeridian(tif, first):
    dataset = grid(first, 360, -89.5, 180, 1.0, times=1)
    with tif(dataset) as raster:
        assert raster.bounds == (-180, -90, 180, 90)
        (found,) = next(raster.sample([(106.5, 20.5)]))
    column = int((106.5 - first) % 360)
    assert found == dataset.sst.values[0, 110, column]


def test_a_geotiff_says_what_it_is(tif):
    with tif(grid()) as raster:
        assert raster.descriptions == ("2019-02-23T00:00:00Z", "2019-02-24T00:00:00Z")
        assert raster.units == ("degree_C", "degree_C")
        assert raster.crs.to_epsg() == 4326
        tags = raster.tags()
        assert raster.tags(1)["standard_name"] == "sea_surface_temperature"
    assert tags["LICENSE"] == tags["TIFFTAG_COPYRIGHT"] == "CC-BY-4.0"
    assert (tags["CITATION"], tags["SOURCE"]) == (ABOUT["citation"], ABOUT["source_url"])
    assert tags["REQUEST"].endswith("cut from sst with bbox=1,2,3,4")


def test_a_large_geotiff_is_cloud_optimized(tif):
    """OGC 21-026, 7: tiles, overviews, and every directory before the data, the smallest overview's data first."""
    content = written("tif", grid(-180.0, 1440, -60.0, 600, 0.25, times=1))
    assert b"LAYOUT=IFDS_BEFORE_DATA" in content[:600]
    with MemoryFile(content) as file, file.open() as raster:
        assert raster.block_shapes == [(512, 512)]
        assert raster.overviews(1) == [2, 4]
        whole = raster.read(1)
        overview = raster.read(1, out_shape=(300, 720))
    assert np.isin(overview, whole).all()  # cells of the source, not means of packed numbers


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.assign_coords(lat=("lat", d.lat.values**2, d.lat.attrs)), "evenly"),
        (lambda d: d.assign(other=d.sst), "variables=sst"),
        (lambda d: d.isel(lon=slice(1)), "at least two"),
        (lambda d: d.drop_vars(["lat", "lon"]), "geometry"),
    ],
)
def test_what_is_no_regular_grid_is_refused_with_a_way_out(change, says):
    with pytest.raises(NotSubsettable) as caught:
        written("tif", change(grid()))
    assert says in f"{caught.value.message} {caught.value.hint}"
    assert "ask for" in caught.value.hint


def test_a_geotiff_has_a_limit():
    wide = xr.Variable(("time", "lat", "lon"), np.broadcast_to(np.int16(0), (2000, 8, 12)))
    dataset = grid(times=1).drop_vars(["sst", "time"]).assign(sst=wide)
    with pytest.raises(TooLarge, match="1000 bands"):
        written("tif", dataset)
