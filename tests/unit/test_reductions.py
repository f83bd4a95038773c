"""Reductions against xarray's own, over the decoded numbers."""

import io

import numpy as np
import openpyxl
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import axes as ax
from catalog.data import blocks, moments, reductions
from catalog.data.origin import origin
from catalog.errors import BadRequest, NotSubsettable
from catalog.formats import excel
from catalog.formats._fields import field


def source(seed=0, times=None, packed=True, missing=0.3, shape=(3, 4)):
    """An undecoded dataset of one packed variable `t` over time, lat, lon, and one without time."""
    dice = np.random.default_rng(seed)
    times = np.arange(800.0) if times is None else times
    raw = dice.integers(-300, 300, (len(times), *shape)).astype("i2")
    raw[dice.random(raw.shape) < missing] = -999
    attributes = {"scale_factor": 0.01, "add_offset": 20.0, "_FillValue": np.int16(-999), "units": "degree_C"}
    values = raw if packed else np.where(raw == -999, np.nan, raw * 0.01).astype("f4")
    return xr.Dataset(
        {
            "t": (
                ("time", "lat", "lon"),
                values,
                attributes if packed else {"standard_name": "x", "units": "K"},
            ),
            "depth_of_sea": (("lat", "lon"), np.ones(shape), {"units": "m"}),
            "time": (("time",), times, {"units": "days since 2000-11-20", "calendar": "standard"}),
            "lat": (("lat",), np.linspace(10.0, 20.0, shape[0]), {"units": "degrees_north"}),
            "lon": (("lon",), np.linspace(100.0, 110.0, shape[1]), {"units": "degrees_east"}),
        }
    ).reset_coords()


def decoded(dataset):
    found = xr.decode_cf(dataset)
    found["t"] = found["t"].astype("f8")
    return found


def reduced(dataset, text):
    return reductions.reduced(dataset, reductions.parse(text))


XARRAY = {
    "mean": lambda d, over: d.mean(over, skipna=True),
    "min": lambda d, over: d.min(over, skipna=True),
    "max": lambda d, over: d.max(over, skipna=True),
    "std": lambda d, over: d.std(over, skipna=True),
    "sum": lambda d, over: d.sum(over, skipna=True, min_count=1),
    "count": lambda d, over: d.count(over),
    "median": lambda d, over: d.median(over, skipna=True),
    "p100": lambda d, over: d.max(over, skipna=True),
    "p90": lambda d, over: d.quantile(0.9, over, skipna=True).drop_vars("quantile"),
}
OVER = st.lists(st.sampled_from(["time", "latitude", "longitude"]), min_size=1, max_size=3, unique=True)
NAMES = {"time": "time", "latitude": "lat", "longitude": "lon"}


@given(
    function=st.sampled_from(sorted(XARRAY)),
    over=OVER,
    seed=st.integers(0, 9),
    packed=st.booleans(),
    missing=st.sampled_from([0.0, 0.4, 0.97]),
    block=st.sampled_from([30, 100, 1 << 20]),
)
@pytest.mark.filterwarnings("ignore")
def test_a_reduction_is_that_of_xarray(function, over, seed, packed, missing, block):
    dataset = source(seed, np.arange(11.0), packed, missing)
    wanted = XARRAY[function](decoded(dataset)["t"], [NAMES[axis] for axis in over])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block)
        got = reduced(dataset, f"{function}({','.join(over)})")
    np.testing.assert_allclose(got["t"].values, wanted.values, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert got["t"].dims == wanted.dims
    assert "scale_factor" not in got["t"].attrs
    assert "t" in origin(got).wanted


@given(
    seed=st.integers(0, 99),
    percent=st.sampled_from([0, 1, 12.5, 50, 90, 99.9, 100]),
    axes=st.sampled_from([(0,), (2,), (1, 2), (2, 0), (0, 1, 2)]),
    count=st.sampled_from([1, 3]),
)
@pytest.mark.filterwarnings("ignore")
def test_percentiles_are_those_of_numpy_to_the_bit_and_are_found_by_one_sort(seed, percent, axes, count):
    dice = np.random.default_rng(seed)
    values = np.round(dice.normal(20, 5, (7, 4, 5)), int(dice.integers(0, 9)))
    values[dice.random(values.shape) < dice.choice([0, 0.3, 0.95])] = np.nan
    labels = np.arange(values.shape[axes[0]]) % count
    expected = [
        np.nanpercentile(values.take(np.flatnonzero(labels == n), axes[0]), percent, axes)
        for n in range(count)
    ]
    blocks_of = [(tuple(slice(0, n) for n in values.shape), values)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            np, "nanpercentile", None
        )  # it sorts series by series: 1.3 µs for each of their numbers
        got = moments.reckoned(f"p{percent}", blocks_of, values.shape, axes, labels, count)
    at = axes[0] - sum(axis < axes[0] for axis in axes[1:])
    assert np.array_equal(np.moveaxis(got, at, 0), expected, equal_nan=True)


FREQUENCIES = {"day": "D", "month": "MS", "season": "QS-DEC", "year": "YS"}


@pytest.mark.parametrize("period", FREQUENCIES)
@pytest.mark.parametrize("function", ["mean", "max", "count"])
def test_a_mean_of_periods_is_that_of_resample(period, function):
    dataset = source(times=np.arange(0.0, 800.0, 0.75), missing=0.2)
    got = reduced(dataset, f"{function}(time:{period})")
    wanted = getattr(decoded(dataset)["t"].resample(time=FREQUENCIES[period]), function)()
    np.testing.assert_allclose(got["t"].values, wanted.values, rtol=1e-12)
    bounds = np.asarray(xr.decode_cf(got[["time", "time_bounds"]])["time_bounds"])
    starts = np.asarray(wanted["time"])
    assert (bounds[:, 0] >= starts).all()
    assert (bounds[:-1, 1] < starts[1:]).all()


@pytest.mark.parametrize(("period", "key"), [("month", "month"), ("dayofyear", None)])
def test_a_climatology_and_its_anomalies_are_those_of_groupby(period, key):
    dataset = source(missing=0.1)
    dataset["t"].attrs["standard_name"] = "sea_water_temperature"
    true = decoded(dataset)["t"]
    when = pd.DatetimeIndex(true["time"].values)
    labels = when.month if key else when.month * 100 + when.day
    by = xr.DataArray(labels, coords={"time": true["time"]}, dims="time", name=period)
    climate = true.groupby(by).mean()
    got = reduced(dataset, f"climatology(time:{period})")
    np.testing.assert_allclose(got["t"].values, climate.values, rtol=1e-12)
    np.testing.assert_array_equal(got[period].values, climate[period].values)
    away = reduced(dataset, f"anomaly(time:{period})")["t"]
    np.testing.assert_allclose(away.values, (true.groupby(by) - climate).values, atol=1e-11)
    assert "standard_name" not in away.attrs, "an anomaly is another quantity"


def test_reductions_follow_one_another():
    dataset = source(missing=0.0)
    got = reduced(dataset, "mean(longitude,latitude); max(time:year)")
    wanted = decoded(dataset)["t"].mean(["lon", "lat"]).resample(time="YS").max()
    np.testing.assert_allclose(got["t"].values, wanted.values, rtol=1e-12)
    assert got["t"].attrs["cell_methods"] == (
        "longitude: latitude: mean (comment: of cells, not weighted by area) time: maximum (comment: by year)"
    )
    assert float(got["lon"]) == 105.0


def test_a_time_that_is_a_middle_is_said_to_be_one():
    dataset = source(missing=0.0)
    ends = dataset_ends(dataset)
    whole, months = reduced(dataset, "mean(time)"), reduced(dataset, "mean(time:month); mean(time)")
    for got in (whole, months):
        assert got.encoding["notes"] == (f"time is the middle of {ends[0]} – {ends[1]}",)
        assert got.attrs["comment"].endswith(got.encoding["notes"][0])
    assert list(field(whole, "GeoTIFF", 9).layers[0].told.values())[-1] == " – ".join(ends)
    got = reduced(dataset, "mean(time:month)")
    assert got["t"].attrs["cell_methods"] == "time: mean (comment: by month)"
    (note,) = got.encoding["notes"]
    assert note.startswith(
        "each time is the middle of the first and the last time of its month (time_bounds)"
    )
    layers = [str(layer) for layer in field(got, "GeoTIFF", 99).layers]
    assert layers[0].startswith(f"{ends[0]} – ")
    book = openpyxl.load_workbook(io.BytesIO(b"".join(excel.write(got))), read_only=True)
    said = [row[2] for row in book["about"].iter_rows(values_only=True) if row[1] == "first – last"]
    assert all(any(text in layer for layer in layers) for text in said)
    assert len(said) == got.sizes["time"]


def dataset_ends(dataset):
    """The first and last instant of a dataset, as the catalog writes them."""
    values = np.asarray(dataset["time"], float)
    return ax.clock(dataset, "time").instants(values[[0, -1]])


def test_a_shifted_axis_loses_no_digits():
    dataset = source(missing=0.0)
    raw = np.asarray(dataset["t"]).astype("f8") + 1e9
    dataset["t"] = (dataset["t"].dims, raw)
    np.testing.assert_allclose(np.asarray(reduced(dataset, "std(time)")["t"]), raw.std(0), rtol=1e-9)


@pytest.mark.parametrize(
    "text", ["mean", "mean()", "mean(time", "frob(time)", "p101(time)", "climatology(time)", "mean(time:hour)",
             "mean(latitude:month)", "mean(time,time)", "anomaly(time:year)", "x" * 5000, "mean(time)" * 2, "mean(t)me"]
)  # fmt: skip
def test_what_cannot_be_read_is_said(text):
    with pytest.raises(BadRequest):
        reductions.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        found = reductions.parse(text)
    except BadRequest:
        return
    assert reductions.parse(",".join(map(str, found))) == found


def test_what_the_data_have_not_is_said():
    with pytest.raises(BadRequest):
        reduced(source(), "mean(depth)")
    with pytest.raises(NotSubsettable):
        reduced(source().drop_vars("t"), "mean(time)")
    dateless = source()
    dateless["time"].attrs["units"] = "days"
    with pytest.raises((BadRequest, NotSubsettable)):
        reduced(dateless, "mean(time:month)")
