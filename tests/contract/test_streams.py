"""The laws of the streaming formats: any types and shapes, known lengths, bounded memory, and what they refuse."""

import io
import json
import tracemalloc

import netCDF4
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import netcdf_file
from xarray.backends import BackendArray
from xarray.core import indexing

import streamed
from catalog import formats
from catalog.data import packing
from catalog.data.packing import unpack
from catalog.errors import NotSubsettable

TYPES = ("i1", "u1", "<i2", ">i2", "u2", ">i4", "i4", "u4", "i8", "u8", "f2", "<f4", ">f4", "f8", ">f8")
EXTREMES = {"i": lambda t: [np.iinfo(t).min, -1, 0, np.iinfo(t).max], "u": lambda t: [0, 1, np.iinfo(t).max]}
ARRAYS = {"nc": streamed.netcdf, **streamed.RAW}
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-7, 3e4, np.nan, 20.0]


@st.composite
def datasets(draw):
    """One variable of any type on any of time, depth, latitude and longitude, packed or not, and a text."""
    sizes = {"time": draw(st.integers(1, 3)), "lat": draw(st.integers(1, 4)), "lon": draw(st.integers(1, 5))}
    dims = tuple(d for d in sizes if draw(st.booleans()))
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    values = FLOATS if dtype.kind == "f" else EXTREMES[dtype.kind](dtype)
    shape = tuple(sizes[d] for d in dims)
    cells = draw(
        st.lists(st.sampled_from(values), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    )
    raw = np.array(cells, dtype).reshape(shape)
    attributes = {}
    if draw(st.booleans()):
        attributes["_FillValue"] = np.array(values[1]).astype(dtype.newbyteorder("="))[()]
    if dtype.kind in "iu" and draw(st.booleans()):
        attributes |= {"scale_factor": np.float32(0.01), "add_offset": np.float32(5)}
    down = draw(st.booleans())
    latitudes = np.linspace(10, 20, sizes["lat"]).astype("f4")[:: -1 if down else 1]
    calendar = draw(st.sampled_from(["standard", "noleap", "360_day"]))
    axes = {
        "time": ("time", np.arange(sizes["time"]), {"units": "days since 2001-02-27", "calendar": calendar}),
        "lat": ("lat", latitudes, {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(100, 110, sizes["lon"]), {"units": "degrees_east"}),
    }
    texts = draw(st.lists(st.text('aB,"\n\té=ệ', max_size=9), min_size=sizes["time"], max_size=sizes["time"]))
    made = {"x": (dims, raw, attributes)}
    if draw(st.booleans()):
        made["note"] = (("time",), np.array(texts, object))
    return xr.Dataset(made, axes, {"history": "made", "title": "Biển"})


def written(suffix, dataset):
    return b"".join(formats.named(suffix).write(dataset))


def fits(dataset):
    """Whether floats tell the whole numbers apart."""
    x = dataset.x.values
    return x.dtype.itemsize < 8 or x.dtype.kind == "f" or all(abs(int(v)) <= 1 << 53 for v in x.flat)


@given(dataset=datasets())
@pytest.mark.parametrize("suffix", ["nc", "nc3", "zarr", "dods"])
def test_packed_arrays_of_any_type_are_the_same(suffix, dataset, tmp_path_factory):
    if suffix == "dods":
        dataset = dataset.drop_vars("note", errors="ignore")  # pydap reads ASCII
        if not fits(dataset):
            with pytest.raises(NotSubsettable, match="64-bit"):
                written(suffix, dataset)
            return
    content = written(suffix, dataset)
    known = formats.length(formats.named(suffix), dataset)
    assert known in {None, len(content)}
    assert (known is None) == (suffix == "zarr")
    got = ARRAYS[suffix](content, tmp_path_factory.mktemp("back"))
    for name, variable in dataset.variables.items():
        np.testing.assert_array_equal(got[name], variable.values)
        if variable.dtype.kind == "f":  # zeros keep their signs
            np.testing.assert_array_equal(np.signbit(got[name]), np.signbit(variable.values))


@given(dataset=datasets())
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "arrow"])
def test_rows_of_any_type_are_the_same(suffix, dataset, tmp_path_factory):
    content = written(suffix, dataset)
    read = streamed.ROWS[suffix] if suffix != "csv" else lambda got, _: streamed.tsv(got, _, ",")
    got = read(content, tmp_path_factory.mktemp("back"))
    wanted = unpack(dataset.x.values, dataset.x.attrs)
    sizes = {
        d: dataset.sizes[d]
        for d in ("time", "lat", "lon")
        if d in dataset.x.dims or ("note" in dataset and d == "time")
    }
    spread = xr.Variable(dataset.x.dims, wanted).set_dims(sizes).transpose(*sizes).values.ravel()
    if wanted.dtype.kind == "f":
        np.testing.assert_array_equal(np.asarray(got["x"], wanted.dtype.newbyteorder("=")), spread)
    else:
        assert [int(v) for v in got["x"]] == spread.tolist()
    if "note" in dataset:
        expected = [text for text in dataset.note.values for _ in range(spread.size // dataset.sizes["time"])]
        plain = (
            [None if text == "nan" else text for text in got["note"]]
            if suffix in {"csv", "tsv"}
            else got["note"]
        )
        for text, want in zip(plain, expected, strict=True):
            assert (text or "").removeprefix("'") == want.removeprefix("'")


class Lazy(BackendArray):
    """A large array that is made where it is read."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.most = shape, np.dtype(dtype), 0

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key):
        shape = [
            len(range(*part.indices(n))) if isinstance(part, slice) else 1
            for part, n in zip(key, self.shape, strict=True)
        ]
        self.most = max(self.most, int(np.prod(shape)) * self.dtype.itemsize)
        found = np.full(shape, 7, self.dtype)
        return found.squeeze(axis=tuple(i for i, part in enumerate(key) if not isinstance(part, slice)))


LARGE = {
    "nc": (1, 16_384, 16_384),
    "nc3": (1, 16_384, 16_384),
    "dods": (256, 1024, 1024),
    "zarr": (256, 1024, 1024),
}


@pytest.mark.parametrize("suffix", sorted(LARGE))
def test_a_gigabyte_streams_in_bounded_memory(suffix):
    lazy = Lazy(LARGE[suffix], "f4")
    variable = xr.Variable(("time", "lat", "lon"), indexing.LazilyIndexedArray(lazy))
    _check_bounded(suffix, xr.Dataset({"x": variable}), lazy)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "arrow", "covjson", "parquet"])
def test_many_rows_stream_in_bounded_memory(suffix):
    lazy = Lazy((60, 500, 500), "i2")
    variable = xr.Variable(("time", "lat", "lon"), indexing.LazilyIndexedArray(lazy), {"scale_factor": 0.5})
    axes = {
        "time": ("time", np.arange(60.0), {"units": "days since 2000-01-01"}),
        "lat": ("lat", np.linspace(0, 10, 500), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 10, 500), {"units": "degrees_east"}),
    }
    _check_bounded(suffix, xr.Dataset({"x": variable}, axes), lazy)


def _check_bounded(suffix, dataset, lazy):
    chosen = formats.named(suffix)
    tracemalloc.start()
    pieces = chosen.write(dataset)
    total = sum(map(len, pieces))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert formats.length(chosen, dataset) in {None, total}
    assert lazy.most <= 64_000_000
    assert peak <= 140_000_000


def test_netcdf3_is_read_by_two_libraries_and_says_what_was_converted():
    counted = {"_FillValue": np.uint16(65_535), "flag_values": np.array([1, 2], "u2")}
    variables = {
        "count": ("y", np.array([1, 60_000], "u2"), counted),
        "when": ("y", np.array([5, -6], "i8"), {"units": "days since 2000-01-01"}),
        "name": ("y", np.array(["Đồ Sơn", ""], object)),
        "one": ((), np.float32(1.5)),
    }  # fmt: skip
    dataset = xr.Dataset(variables, attrs={"title": "Biển", "numbers": np.arange(3), "empty": ""})
    dataset.encoding["groups"] = ("forecast",)
    content = written("nc3", dataset)
    assert content[:4] == b"CDF\x02"
    with netcdf_file(io.BytesIO(content), mmap=False) as file:
        np.testing.assert_array_equal(file.variables["count"][:], [1, 60_000])
        np.testing.assert_array_equal(file.variables["when"][:], [5, -6])
    with netCDF4.Dataset("back", memory=content) as file:
        assert file["count"].dtype == np.int32
        assert file["count"].source_type == "uint16"
        assert file["count"]._FillValue == 65_535
        assert file["count"].flag_values.dtype == np.int32
        assert list(file["name"][:]) == ["Đồ Sơn", ""]
        assert "forecast" in file.comment
    wide = dataset.assign(when=("y", np.array([1, 1 << 60])))
    with netCDF4.Dataset("back", memory=written("nc3", wide)) as file:
        assert file.data_model == "NETCDF3_64BIT_DATA"
        assert file["when"][1] == 1 << 60
        assert file["count"].dtype == np.uint16


def test_netcdf3_makes_names_legal_or_refuses(tmp_path):
    odd = xr.Dataset({"a/b": ("+x", np.arange(2))})
    (tmp_path / "back.nc").write_bytes(written("nc3", odd))
    with netCDF4.Dataset(tmp_path / "back.nc") as file:
        assert file["a_b"].dimensions == ("_+x",)
    with pytest.raises(NotSubsettable, match="same name"):
        written("nc3", odd.assign({"a_b": ("+x", np.arange(2))}))


def test_an_empty_dimension_is_the_unlimited_one_of_netcdf3_or_refused(tmp_path):
    empty = xr.Dataset({"x": (("t", "y"), np.zeros((0, 2)))})
    content = written("nc3", empty)
    assert len(content) == formats.length(formats.named("nc3"), empty)
    (tmp_path / "back.nc").write_bytes(content)
    with netCDF4.Dataset(tmp_path / "back.nc") as file:
        assert file["x"].shape == (0, 2)
    with pytest.raises(NotSubsettable, match="empty"):
        written("nc3", empty.transpose())


@pytest.mark.parametrize("suffix", ["jsonl", "covjson"])
def test_infinity_is_refused_where_json_has_none(suffix):
    places = {
        "lat": ("lat", [1.0, 2.0], {"units": "degrees_north"}),
        "lon": ("lon", [1.0], {"units": "degrees_east"}),
    }
    dataset = xr.Dataset({"x": (("lat", "lon"), [[np.inf], [np.nan]])}, places)
    with pytest.raises(NotSubsettable, match="infin"):
        written(suffix, dataset)
    assert written("csv", dataset) == b"lat,lon,x\n1,1,inf\n2,1,\n"


@pytest.mark.parametrize("step", [1, -1])
def test_coveragejson_keeps_values_beside_their_latitudes_whichever_way_they_run(step):
    latitudes = np.array([10.0, 11.0, 12.0])[::step]
    dataset = xr.Dataset(
        {"x": (("lon", "lat"), np.add.outer([100.0, 200.0], latitudes))},
        {
            "lat": ("lat", latitudes, {"units": "degrees_north"}),
            "lon": ("lon", [1.0, 2.0], {"units": "degrees_east"}),
        },
        {"license": "CC-BY-4.0", "history": "2026 cut"},
    )
    answer = json.loads(written("covjson", dataset))
    found = answer["ranges"]["x"]
    assert found["axisNames"] == ["x", "y"]
    got = np.array(found["values"]).reshape(found["shape"])
    np.testing.assert_array_equal(got[1] - 200, answer["domain"]["axes"]["y"]["values"])
    assert answer["dct:license"] == "CC-BY-4.0"
    assert answer["dct:provenance"] == "2026 cut"


def test_every_possible_token_is_the_shortest_decimal():
    """A large packed variable goes by ready tokens, a small one does not: both write what pyarrow does."""
    raw = np.arange(1 << 16, dtype="u2").view("i2")
    attributes = {"scale_factor": np.float32(0.01), "_FillValue": np.int16(5)}
    large = xr.Dataset({"x": (("y", "n"), np.stack([raw] * 4), attributes)})
    rows = written("csv", large).decode().splitlines()
    values = unpack(raw, attributes)
    want = pa.array(values, mask=np.isnan(values)).cast(pa.string()).fill_null("").to_pylist()
    assert [row.split(",")[2] for row in rows[1 : 1 + raw.size]] == want
    small = written("csv", large.isel(y=slice(1))).decode().splitlines()
    assert small[1:] == rows[1 : 1 + raw.size]


def test_long_texts_do_not_multiply_by_the_rows():
    texts = np.array(["x" * 1_000_000, *["y"] * 999], object)
    dataset = xr.Dataset({"note": ("obs", texts), "n": ("obs", np.arange(1000))})
    tracemalloc.start()
    rows = written("csv", dataset).splitlines()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 1001
    assert rows[2] == b"1,y,1"
    assert peak < 300_000_000


def scalars(*kinds):
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.sampled_from([0, 1, 5, 127, 0.5]).map(lambda value: np.dtype(kind).type(value))
    )


FILLS = scalars("i1", "u1", "i2", "u2", "i4", "f4", "f8")


@given(
    kind=st.sampled_from(["i1", "u1", "i2", "u2", "i4", "f4", "f8"]),
    fills=st.dictionaries(st.sampled_from(packing._FILLS), FILLS, min_size=1),
    scales=st.dictionaries(st.sampled_from(["scale_factor", "add_offset"]), scalars("f4", "f8")),
    unsigned=st.sampled_from([{}, {"_Unsigned": "true"}, {"_Unsigned": "false"}]),
)
def test_looked_up_numbers_are_those_of_xarray(kind, fills, scales, unsigned):
    raw = np.array([[0, 1, 5], [127, 3, 100]]).astype(kind)
    attributes = {**fills, **scales, **unsigned}
    want = packing._decoded(raw, attributes)
    got = unpack(raw, attributes)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype
