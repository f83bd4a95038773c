"""The laws of formats of one field: a GeoTIFF reads back as the same numbers in the same places, a PNG shows them."""

import contextlib
import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from rasterio.io import MemoryFile

from catalog import formats
from catalog.data import blocks, reductions, subset
from catalog.data.packing import unpack
from catalog.errors import NotSubsettable, TooLarge
from catalog.formats._shown import degrees
from catalog.formats._shown import shown as what

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


def test_a_number_for_all_places_is_no_geotiff():
    (mean,) = reductions.parse("mean(longitude,latitude)")
    with pytest.raises(NotSubsettable, match="reduced over them"):
        written("tif", reductions.reduced(grid(), (mean,)))


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


def picture(dataset):
    image = Image.open(io.BytesIO(written("png", dataset)))
    assert image.size == (1200, 900)
    return image, np.asarray(image.convert("RGB")).astype(int)


def share(pixels, colour, tolerance=6):
    """How much of a picture has a colour."""
    return float((np.abs(pixels - colour).max(axis=-1) <= tolerance).mean())


GREY, LOWEST, HIGHEST = (200, 200, 200), (68, 1, 84), (253, 231, 37)  # missing; both ends of viridis


def test_a_map_shows_high_low_and_missing_cells_and_north_is_up():
    dataset = grid(105.0, 20, 5.0, 20, 0.5, times=1, packed=False)
    values = np.full((1, 20, 20), np.nan, "f4")
    values[0, :5], values[0, 15:] = 1.0, 2.0
    image, pixels = picture(dataset.assign(sst=(("time", "lat", "lon"), values, dataset.sst.attrs)))
    assert share(pixels, GREY) > 0.1
    inside = pixels[100:780, 250:800]  # without the colour bar
    rows = [
        np.flatnonzero((np.abs(inside - colour).max(axis=-1) <= 6).any(axis=1))
        for colour in (HIGHEST, LOWEST)
    ]
    assert np.median(rows[0]) < np.median(rows[1])
    assert image.text["Copyright"] == "CC-BY-4.0"
    assert image.text["Title"] == ABOUT["title"]
    assert image.text["Comment"].endswith("bbox=1,2,3,4")


def test_a_picture_says_what_it_leaves_out():
    assert what(grid()).told == ("2019-02-23T00:00:00Z", "time 1/2")
    wide = what(grid(0.0, 2_500, -60, 12, 0.1, times=1))
    assert wide.numbers.shape == (12, 834)
    assert "one cell in every 1 × 3" in wide.told[-1]
    both = grid(times=1).assign(other=("time", [1.0]))
    assert what(both).told[-1].startswith("sst: 1/2")


def test_a_picture_says_how_its_numbers_were_reduced():
    def told(text):
        return what(reductions.reduced(grid(times=3), reductions.parse(text))).told

    assert told("p90(time)") == ("p90(time)", "2019-02-23T00:00:00Z – 2019-02-25T00:00:00Z")
    assert told("anomaly(time:month)")[0] == "anomaly(time:month)"
    assert told("max(time:day),mean(longitude)")[:2] == ("max(time:day)", "mean(longitude)")


@pytest.mark.parametrize("block", [1 << 25, 90])
def test_a_thinned_map_shows_the_very_cells(block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    monkeypatch.setattr("catalog.formats._shown.MOST_SIDE", 5)
    dataset = grid(times=1, north_first=True)
    found = what(dataset)
    want = unpack(dataset.sst.values, dataset.sst.attrs)[0, ::2, ::3]
    np.testing.assert_array_equal(found.numbers, want[::-1])
    np.testing.assert_array_equal(found.y.values, dataset.lat.values[::2][::-1])
    np.testing.assert_array_equal(found.x.values, dataset.lon.values[::3])


def deep():
    rng = np.random.default_rng(4)
    return xr.Dataset(
        {"temp": (("time", "depth", "lat", "lon"), rng.normal(size=(4, 3, 2, 5)), {"units": "degree_C"})},
        {
            "time": ("time", np.arange(4.0), {"units": "days since 2019-02-23"}),
            "depth": ("depth", [0.0, 10, 50], {"units": "m", "positive": "down"}),
            "lat": ("lat", [10.0, 11], {"units": "degrees_north"}),
            "lon": ("lon", [110.0, 111, 112, 113, 114], {"units": "degrees_east"}),
        },
    )


STATIONS = xr.Dataset(
    {"water": (("station", "time"), [[1.0, 2, 3], [3, np.nan, 1]])},
    {
        "time": ("time", np.arange(3.0), {"units": "days since 2019-02-23"}),
        "lat": ("station", [20.0, 21.0], {"units": "degrees_north"}),
        "lon": ("station", [106.0, 107.0], {"units": "degrees_east"}),
        "name": ("station", np.array(["Hòn Dấu", "=$x_1$"], object), {"cf_role": "timeseries_id"}),
    },
    {"featureType": "timeSeries"},
)


@pytest.mark.parametrize(
    ("dataset", "kind", "sides"),
    [
        (deep(), "map", ("longitude", "latitude")),
        (deep().isel(lat=0), "section", ("longitude", "depth")),
        (deep().isel(lat=[0], lon=[0]), "section", ("time", "depth")),
        (deep().isel(lat=[0], lon=[0], time=[0]), "profile", ("depth", None)),
        (deep().isel(lat=0, lon=0, depth=0), "line", ("time", None)),
        (deep().isel(lat=0, time=[0], depth=0), "line", ("longitude", None)),
        (deep().isel(lat=0, depth=[0]), "section", ("time", "longitude")),
        (STATIONS, "lines", ("time", None)),
        (STATIONS.isel(time=0), "scatter", ("longitude", "latitude")),
    ],
)
def test_each_shape_has_its_picture(dataset, kind, sides):
    found = what(dataset)
    assert (found.kind, found.x.role, found.y and found.y.role) == (kind, *sides)
    assert (found.y if kind == "section" else found.x).down == ("depth" in sides)
    picture(dataset)


@pytest.mark.parametrize("calendar", ["360_day", "noleap", "standard"])
def test_text_of_strangers_and_times_of_other_calendars_are_drawn(calendar):
    dataset = deep().isel(lat=0, lon=0, depth=0)
    dataset.temp.attrs["long_name"] = "nhiệt độ $\\frac{ 海水 \x07 温度"
    dataset.temp.attrs["units"] = "$^\\bad"
    dataset.attrs["license"] = "x" * 10_000
    dataset["time"].attrs["calendar"] = calendar
    picture(dataset)


@pytest.mark.parametrize(
    ("value", "letters", "said"),
    [
        (122.4755, "EW", "122.4755°E"),
        (237.5, "EW", "122.5°W"),
        (0.1 + 0.2, "NS", "0.3°N"),
        (-5, "NS", "5°S"),
        (0, "EW", "0°"),
    ],
)
def test_degrees_are_said_to_the_digit(value, letters, said):
    assert degrees(value, letters) == said


def test_a_number_between_missing_ones_is_seen():
    values = np.full(1_000, np.nan)
    values[500] = 1.0
    one = xr.Dataset(
        {"water": ("time", values)},
        {"time": ("time", np.arange(1_000.0), {"units": "days since 2000-01-01"})},
    )
    _, pixels = picture(one)
    assert share(pixels, (0x1F, 0x6F, 0x8B), 20) > 0


def test_what_cannot_be_drawn_is_refused_with_a_way_out():
    single, text = deep().isel(time=0, depth=0, lat=0, lon=0), xr.Dataset({"name": ("x", ["a", "b"])})
    nowhere = STATIONS.isel(time=0).assign_coords(lon=("station", [np.nan, np.nan], STATIONS.lon.attrs))
    for dataset in (single, text, nowhere):
        with pytest.raises(NotSubsettable) as caught:
            written("png", dataset)
        assert "CSV" in caught.value.hint


def test_a_field_without_numbers_is_a_grey_map():
    dataset = grid(times=1, packed=False)
    _, pixels = picture(dataset.assign(sst=dataset.sst.copy(data=np.full(dataset.sst.shape, np.nan, "f4"))))
    assert share(pixels, GREY) > 0.2
