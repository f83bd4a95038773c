"""Every format of a random cut of every sea reads back as the cut's own numbers, or says why it cannot hold them."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

import oceans
import oracle
import streamed
from asking import asked
from back import ARRAYS, ROWS
from catalog import formats
from catalog.data import subset
from catalog.errors import NotSubsettable
from journey.differing import both, cut

SEED = 20_261_122
HEAVY = {"png": 300, "xlsx": 1_000, "geojson": 5_000, "geoparquet": 5_000, "odv.txt": 5_000}
"""Cells above which a format that takes its time is left out."""


def csv_columns(content, _folder):
    return streamed.tsv(content, _folder, ",")


def parquet_columns(content, _folder):
    table = pq.read_table(io.BytesIO(content))
    return {name: np.asarray(table[name].to_pylist(), object) for name in table.column_names}


def odv_columns(content, _folder):
    """The columns by name without units; the places of a station are on its first line only, or on all."""
    lines = [line for line in content.decode().splitlines() if not line.startswith("//")]
    header, *rows = csv.reader(lines, delimiter="\t")
    names = [label.split(" [")[0] for label in header]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return {name: [cell or "nan" for cell in cells] for name, cells in columns.items()}


TABLES = {"csv": csv_columns, "parquet": parquet_columns, **ROWS, **streamed.ROWS, "odv.txt": odv_columns}


@pytest.fixture(scope="module", params=[name for name in oceans.OCEANS if name != "days"])
def sea(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seas")
    ocean, path = oceans.written(request.param, folder)
    with both(path) as (fast, _):
        yield ocean, fast, folder


def check_written(ocean, fast, folder, wanted):
    """One cut in every format."""
    got, *_ = cut(fast, subset.parse(wanted.parameters()))
    if isinstance(got, type):
        return
    names = wanted.names or ocean.data
    cells = max(got[name].size for name in names)
    for suffix, module in formats.all_formats().items():
        if cells > HEAVY.get(suffix, cells):
            continue
        try:
            content = b"".join(module.write(got))
        except NotSubsettable as error:
            check_refused(ocean, suffix, error.message, wanted, got)
            continue
        check_read(suffix, content, got, names, folder)


def check_refused(ocean, suffix, message, wanted, got):
    """A format may only refuse what it has no form for; arrays of any shape fit the formats of arrays."""
    assert suffix not in {"nc", "nc3", "dods", "zarr", "mat"}, (suffix, message)


def check_read(suffix, content, got, names, folder):
    if suffix == "png":
        assert content.startswith(b"\x89PNG")
    elif suffix == "tif":
        check_tif(content, got, names)
    elif suffix == "nc":
        (folder / "back.nc").write_bytes(content)
        with xr.open_dataset(folder / "back.nc", mask_and_scale=False, decode_times=False) as back:
            check_raw({str(name): v.values for name, v in back.load().variables.items()}, got, names, suffix)
    elif suffix in streamed.RAW:
        check_raw(streamed.RAW[suffix](content, folder), got, names, suffix)
    elif suffix in ARRAYS:
        found = ARRAYS[suffix](content, folder)
        for name in names:
            check_numbers(np.asarray(found[name], float).ravel(), got[name].variable, suffix)
    elif suffix == "covjson":
        ranges = json.loads(content)["ranges"]
        for name in names:
            numbers = [np.nan if value is None else value for value in ranges[name]["values"]]
            check_numbers(np.array(numbers, float), got[name].variable, suffix)
    else:
        check_rows(TABLES[suffix](content, folder), got, names, suffix)


def check_raw(back, got, names, suffix):
    for name in {*names, "lon", "lat"} & set(got.variables):
        np.testing.assert_array_equal(back[name], got[name].values, err_msg=f"{suffix} {name}")


def check_numbers(found, variable, suffix):
    want = oracle.decoded(variable).ravel()
    if variable.dtype.kind == "f":
        found = found.astype(variable.dtype.newbyteorder("=")).astype(float)
    np.testing.assert_allclose(found, want, rtol=2e-7, atol=0, err_msg=suffix)


def check_rows(found, got, names, suffix):
    """Each row's place and numbers, in whatever order the rows come."""
    dims = list(dict.fromkeys(d for name in names if name in found for d in got[name].dims))
    sizes = {d: got.sizes[d] for d in dims}
    turned = suffix in {"geojson", "geoparquet"}  # -180…180 there
    columns = []
    for name in ["lon", "lat", *names]:
        if name not in found or name not in got.variables or not set(got[name].dims) <= set(dims):
            continue
        variable = got[name].variable
        plain = xr.Variable(variable.dims, oracle.decoded(variable)).set_dims(sizes).transpose(*dims)
        column = np.array([np.nan if cell is None or cell == "" else cell for cell in found[name]]).astype(
            float
        )
        if name == "lon" and turned:
            column, plain = column % 360, plain % 360
        columns.append(
            (column, plain.values.ravel(), variable.dtype.kind == "f" and variable.dtype.itemsize == 4)
        )
    assert columns, suffix
    here, there = (
        np.stack([np.asarray(c[side], "f4" if c[2] else float) for c in columns], 1) for side in (0, 1)
    )
    if suffix in {"odv.txt", "geojson", "geoparquet"}:  # rows without a place or a number have no line there
        here, there = (rows[np.isfinite(rows).all(axis=1)] for rows in (here, there))
    assert here.shape == there.shape, (suffix, here.shape, there.shape)
    order, other = (np.lexsort(np.nan_to_num(rows, nan=1e30).T) for rows in (here, there))
    np.testing.assert_allclose(here[order], there[other], rtol=2e-7, err_msg=suffix)


def check_tif(content, got, names):
    """The same numbers, whichever way the rows run."""
    with MemoryFile(content) as file, file.open() as raster:
        values = raster.read(masked=True).astype(float).filled(np.nan)
        values = values * np.array(raster.scales)[:, None, None] + np.array(raster.offsets)[:, None, None]
    wanted = [
        oracle.decoded(got[name].variable).ravel() for name in names if {"lat", "lon"} <= set(got[name].dims)
    ]
    want = np.sort(np.concatenate(wanted))
    found = np.sort(values.ravel())
    np.testing.assert_allclose(found[np.isfinite(found)], want[np.isfinite(want)], rtol=1e-6, atol=1e-6)


@settings(max_examples=2)
@given(data=st.data())
def test_what_is_written_of_a_cut_reads_back_as_its_numbers(sea, data):
    check_written(*sea, data.draw(asked(sea[0])))


@pytest.mark.slow
@seed(SEED)
@settings(max_examples=40)
@given(data=st.data())
def test_forty_cuts_of_each_sea_read_back_from_every_format(sea, data):
    """40 requests of each of 25 seas, 1,000 in all, drawn with the seed 20261122."""
    check_written(*sea, data.draw(asked(sea[0])))
