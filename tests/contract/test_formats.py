"""The law of formats: reading the bytes back gives the same numbers. Each format is found by itself."""

import csv
import functools
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from covjson_pydantic.coverage import Coverage

import streamed
from back import ARRAYS, PICTURES, ROWS
from catalog import formats
from catalog.data import axes as ax
from catalog.data import blocks, opening, subset, tables
from catalog.data.packing import unpack
from catalog.errors import NotFound, NotSubsettable
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
SAMPLES = (
    "cmems_sea_level_20190223", "coads_climatology", "etopo5", "levitus_climatology", "navy_monthly_winds",
)  # fmt: skip
TONKIN = "105.5,17,110,22"


def made(**changes):
    """Four dimensions, a text along one of them, packed and plain numbers, fills, a descending latitude."""
    rng = np.random.default_rng(1)
    shape = (3, 2, 4, 5)
    packed = rng.integers(-30_000, 30_000, shape).astype("i2")
    packed[0, 0, 0, :2] = -32_768
    floats = rng.normal(size=shape).astype(">f4")
    floats[1, 1, 1] = np.float32(1e34)
    packing = {"scale_factor": np.float32(0.01), "add_offset": 20.0, "_FillValue": np.int16(-32_768)}
    variables = {
        "packed": (("time", "depth", "lat", "lon"), packed, packing),
        "odd": (("time", "depth", "lat", "lon"), packed.astype("i4"), {"scale_factor": 0.001530000000000012}),
        "float": (("time", "depth", "lat", "lon"), floats, {"_FillValue": np.float32(1e34), "units": "m s-1"}),
        "double": (("lat", "lon"), rng.normal(size=(4, 5)) * 1e-7, {"long_name": 'map, "quoted"'}),
        "count": (("time",), np.array([1, 2, 3], "u2")),
    }  # fmt: skip
    coordinates = {
        "time": ("time", np.array([0, 1, 40.5]), {"units": "days since 2000-02-28", "calendar": "standard"}),
        "depth": ("depth", np.array([0, 10], "f4"), {"units": "m", "positive": "down"}),
        "lat": ("lat", np.array([22.1, 21.1, 20.1, 19.1], "f4"), {"units": "degrees_north"}),
        "lon": ("lon", np.array([105.1, 106, 107, 108, 109.3]), {"units": "degrees_east"}),
    }
    coordinates["time"] = (*coordinates["time"][:2], {**coordinates["time"][2], **changes})
    return xr.Dataset({**variables}, {**coordinates}, {"title": "Biển", "history": "made"})


def truth(dataset):
    """Unpacked values by variable, each over its own dimensions."""
    return {
        name: np.asarray(unpack(dataset[name].values, dataset[name].attrs), float)
        for name in ax.find(dataset).data_variables(dataset)
    }


def spread(dataset, name):
    """A variable's unpacked values along the rows of a table."""
    table_dims = [d for d in ("time", "depth", "lat", "lon", *map(str, dataset.sizes)) if d in dataset.sizes]
    order = list(dict.fromkeys(d for d in table_dims if any(d in dataset[n].dims for n in truth(dataset))))
    variable = xr.Variable(dataset[name].dims, truth(dataset)[name])
    sizes = {d: dataset.sizes[d] for d in order}
    return variable.set_dims(sizes).transpose(*order).values.ravel()


def read_nc(content, tmp_path):
    (tmp_path / "back.nc").write_bytes(content)
    with opening.opened(
        Distribution(protocol="file", address=str(tmp_path / "back.nc")), opening.Reach()
    ) as back:
        return back.load()


def check_nc(dataset, content, tmp_path):
    back = read_nc(content, tmp_path)
    assert set(back.variables) == set(dataset.variables)
    for name, variable in dataset.variables.items():
        got = back[name].variable
        np.testing.assert_array_equal(got.values, variable.values)
        assert got.dims == variable.dims
        assert got.dtype == variable.dtype.newbyteorder("=")
        assert set(got.attrs) == set(variable.attrs)
        for key, value in variable.attrs.items():
            np.testing.assert_array_equal(got.attrs[key], value)
    assert back.attrs == dataset.attrs


def check_csv(dataset, content, tmp_path):
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    for name in truth(dataset):
        column = np.array([float(row[header.index(name)] or "nan") for row in rows])
        if dataset[name].dtype.kind == "f":  # shortest float32 decimals are read as float32
            column = column.astype(dataset[name].dtype)
        np.testing.assert_array_equal(column, spread(dataset, name))
    check_times(dataset, [row[header.index(ax.find(dataset).time)] for row in rows])


def check_parquet(dataset, content, tmp_path):
    table = pq.read_table(io.BytesIO(content))
    for name in truth(dataset):
        column = table[name].to_numpy().astype(float)
        np.testing.assert_array_equal(column, spread(dataset, name))
    assert json.loads(table.schema.metadata[b"attributes"])["history"]
    if table.schema.metadata[b"time_encoding"] == b"iso8601":
        check_times(dataset, table[ax.find(dataset).time].to_pylist())
    else:
        stamps = [stamp.strftime("%Y-%m-%dT%H:%M:%SZ") for stamp in table[ax.find(dataset).time].to_pylist()]
        check_times(dataset, stamps)


def check_covjson(dataset, content, tmp_path):
    answer = json.loads(content)
    if "0000" not in answer["domain"]["axes"]["t"]["values"][0]:  # the validator's datetime has no year 0
        Coverage.model_validate_json(content)
    for name, values in truth(dataset).items():
        found = answer["ranges"][name]
        got = np.array([np.nan if v is None else v for v in found["values"]], float)
        if dataset[name].dtype.kind == "f":
            got = got.astype(dataset[name].dtype)
        np.testing.assert_array_equal(got.reshape(found["shape"]), values)
        assert len(found["axisNames"]) == values.ndim
    assert answer["domain"]["axes"]["x"]["values"] == dataset[ax.find(dataset).longitude].values.tolist()
    times = answer["domain"]["axes"]["t"]["values"]
    assert times == list(dict.fromkeys(expected_times(dataset)))


def expected_times(dataset):
    name = ax.find(dataset).time
    return ax.clock(dataset, name).instants(ax.values(dataset[name].variable))


def check_times(dataset, column):
    if ax.find(dataset).time:
        expected = expected_times(dataset)
        assert sorted(set(column)) == sorted(expected)
        assert column[0] == expected[0]
        assert column[-1] == expected[-1]


def check_rows(read, dataset, content, tmp_path):
    got = read(content, tmp_path)
    for name in truth(dataset):
        column = np.asarray(got[name], float)
        if dataset[name].dtype.kind == "f":
            column = column.astype(dataset[name].dtype)
        np.testing.assert_array_equal(column, spread(dataset, name))
    check_times(dataset, list(got[ax.find(dataset).time]))


def check_arrays(read, dataset, content, tmp_path):
    got = read(content, tmp_path)
    for name, values in truth(dataset).items():
        np.testing.assert_array_equal(got[name].reshape(values.shape), values)
        wanted = unpack(dataset[name].values, dataset[name].attrs).dtype
        assert got[name].dtype == wanted.newbyteorder("=")


def check_raw(read, dataset, content, tmp_path):
    got = read(content, tmp_path)
    assert set(got) == set(dataset.variables)
    for name, variable in dataset.variables.items():
        np.testing.assert_array_equal(got[name], variable.values)


CHECKS = {
    "nc": check_nc,
    "csv": check_csv,
    "parquet": check_parquet,
    "covjson": check_covjson,
    **{suffix: functools.partial(check_rows, read) for suffix, read in {**ROWS, **streamed.ROWS}.items()},
    **{suffix: functools.partial(check_arrays, read) for suffix, read in ARRAYS.items()},
    **{suffix: functools.partial(check_raw, read) for suffix, read in streamed.RAW.items()},
}


@pytest.fixture(params=sorted(formats.all_formats().keys() - PICTURES))
def suffix(request):
    return request.param


def written(suffix, dataset):
    pieces = list(formats.named(suffix).write(dataset))
    assert all(isinstance(piece, bytes) for piece in pieces)
    return b"".join(pieces)


def test_every_format_has_a_check_and_a_media_type(suffix):
    assert suffix in CHECKS
    assert "/" in formats.named(suffix).MEDIA_TYPE
    assert isinstance(formats.named(suffix).STREAMS, bool)
    with pytest.raises(NotFound):
        formats.named("xls")


@pytest.mark.parametrize(
    "calendar",
    [{}, {"calendar": "360_day"}, {"calendar": "noleap"}, {"units": "days since 0000-01-01"}],
    ids=["standard", "360_day", "noleap", "year 0"],
)
def test_what_is_written_reads_back_as_the_same_numbers(suffix, calendar, tmp_path):
    dataset = made(**calendar)
    CHECKS[suffix](dataset, written(suffix, dataset), tmp_path)


@pytest.mark.parametrize("sample", SAMPLES)
def test_cuts_of_the_sample_are_the_source_cell_for_cell(suffix, sample, shared_sample, tmp_path):
    """The truth here is xarray's own reading of the source, float32 where that is the source's type."""
    path = shared_sample / f"{sample}_bien_dong.nc"
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        axes = ax.find(source)
        got = subset.cut(source, subset.parse({"bbox": TONKIN}), sample, LIMITS).load()
        content = written(suffix, got)
    with xr.open_dataset(path, decode_times=False) as oracle:
        inside = {axes.longitude: slice(105.5, 110), axes.latitude: slice(17, 22)}
        wanted = oracle.sel(inside).load()
    for name, numbers in numbers_of(suffix, content, got, tmp_path).items():
        want = wanted[name].values.ravel()
        np.testing.assert_allclose(numbers, want, rtol=1e-7, equal_nan=True)
        assert np.isfinite(numbers).sum() == np.isfinite(want).sum() > 0


def numbers_of(suffix, content, dataset, tmp_path):
    names = ax.find(dataset).data_variables(dataset)
    if suffix == "nc":
        (tmp_path / "back.nc").write_bytes(content)
        with xr.open_dataset(tmp_path / "back.nc", decode_times=False) as back:
            return {name: back[name].values.ravel() for name in names}
    if suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    if suffix == "parquet":
        return {name: pq.read_table(io.BytesIO(content))[name].to_numpy().astype(float) for name in names}
    if suffix in streamed.RAW:
        got = streamed.RAW[suffix](content, tmp_path)
        return {name: np.asarray(unpack(got[name], dataset[name].attrs), float).ravel() for name in names}
    if suffix in (others := {**ROWS, **streamed.ROWS, **ARRAYS}):
        got = others[suffix](content, tmp_path)
        return {name: np.asarray(got[name], float).ravel() for name in names}
    ranges = json.loads(content)["ranges"]
    return {name: np.array(ranges[name]["values"], float) for name in names}


@pytest.mark.parametrize(
    "evil",
    [
        "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", "\n=1",
        '=HYPERLINK("x","y")', "-2+3", "＝1+1", "＋1", "－1", "＠A",
    ],
)  # fmt: skip
def test_text_that_a_spreadsheet_would_run_is_prefixed_and_numbers_are_not(evil):
    dataset = xr.Dataset(
        {
            "note": ("obs", np.array([evil, "plain, text"], object)),
            evil.strip(): ("obs", np.array([-1.5, -2.0])),
        },
        {
            "lat": ("obs", [1.0, 2.0], {"units": "degrees_north"}),
            "lon": ("obs", [1.0, 2.0], {"units": "degrees_east"}),
        },
    )
    header, first, second = csv.reader(io.StringIO(written("csv", dataset).decode(), newline=""))
    assert first[header.index("note")] == f"'{evil}"
    assert second[header.index("note")] == "plain, text"
    assert not any(name.startswith(("=", "+", "-", "@")) for name in header)
    assert first[-1] == "-1.5"


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [((3, 1, 1), "PointSeries"), ((1, 1, 1), "PointSeries"), ((3, 2, 1), "Grid"), ((1, 1, 2), "Grid")],
)
def test_coveragejson_names_its_domain(sizes, kind):
    dataset = made().isel(time=slice(sizes[0]), lat=slice(sizes[1]), lon=slice(sizes[2]), depth=0)
    answer = Coverage.model_validate_json(written("covjson", dataset))
    assert answer.domain.domainType.value == kind


def test_coveragejson_of_a_trajectory_and_of_a_profile():
    positions = {
        "lat": ("obs", [1.0, 2.0], {"units": "degrees_north"}),
        "lon": ("obs", [3.0, 4.0], {"units": "degrees_east"}),
    }
    times = {"time": ("obs", [0.0, 1.0], {"units": "days since 2000-01-01"})}
    moving = xr.Dataset({"t": ("obs", [5.0, 6.0])}, {**positions, **times}, {"featureType": "trajectory"})
    answer = Coverage.model_validate_json(written("covjson", moving))
    assert answer.domain.domainType.value == "Trajectory"
    assert answer.domain.axes.composite.values[1] == ("2000-01-02T00:00:00Z", 4.0, 2.0)
    profile = made().isel(time=0, lat=0, lon=0)
    assert (
        Coverage.model_validate_json(written("covjson", profile)).domain.domainType.value == "VerticalProfile"
    )


def test_variables_of_unlike_dimensions_do_not_multiply():
    wide = xr.Dataset({"a": ("x", np.zeros(1000)), "b": ("y", np.zeros(1000))})
    for suffix in ("csv", "parquet"):
        with pytest.raises(NotSubsettable, match="different dimensions"):
            written(suffix, wide)


TABLES = ("csv", "parquet")


def rows_of(suffix, dataset):
    """The rows of a table, each by column name."""
    content = written(suffix, dataset)
    if suffix == "parquet":
        return pq.read_table(io.BytesIO(content)).to_pylist()
    return list(csv.DictReader(io.StringIO(content.decode())))


def cut(path, **parameters):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        return subset.cut(source, subset.parse(parameters), "some-id", LIMITS).load()


@pytest.mark.parametrize("table", TABLES)
def test_a_mesh_is_a_table_of_its_cells_each_once(table, shared_real):
    path = shared_real / "files/gridded/tri_grid_example-FVCOM.nc"
    got = cut(path, variables="zeta", stride="time:10")
    rows = rows_of(table, got)
    assert len(rows) == 551
    assert list(rows[0]) == ["time", "lon", "lat", "zeta"]
    np.testing.assert_array_equal(np.array([row["zeta"] for row in rows], "f4"), got.zeta.values[0])


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_rows_is_refused(table):
    dataset = made().assign(note=(("time", "history"), np.zeros((3, 0))))
    with pytest.raises(NotSubsettable, match="note") as caught:
        written(table, dataset)
    assert "variables=packed" in caught.value.hint


@pytest.mark.parametrize("table", TABLES)
def test_what_lies_on_two_grids_is_no_table_however_small(table):
    """Each node beside each face would be rows of numbers that belong to no place."""
    places = {
        "lat": ("node", [1.0, 2], {"units": "degrees_north"}),
        "lon": ("node", [3.0, 4], {"units": "degrees_east"}),
        "face_lat": ("face", [1.5], {"units": "degrees_north"}),
        "face_lon": ("face", [3.5], {"units": "degrees_east"}),
    }
    mesh = xr.Dataset({"bed": ("node", [5.0, 6]), "u": ("face", [7.0]), **places})
    with pytest.raises(NotSubsettable, match="different dimensions"):
        written(table, mesh)


def ragged(counts):
    """Two stations, and three samples after one another."""
    places = {
        "lat": ("station", [1.0, 2], {"units": "degrees_north"}),
        "lon": ("station", [3.0, 4], {"units": "degrees_east"}),
    }
    variables = {
        "row_size": ("station", counts, {"sample_dimension": "obs"}),
        "temp": ("obs", np.arange(3.0)),
        "height": ("station", [7.5, 8.5]),
    }
    return xr.Dataset(variables, places)


@pytest.mark.parametrize("table", TABLES)
def test_a_ragged_array_is_a_table_of_its_samples(table):
    rows = [
        [float(row[name]) for name in ("lat", "lon", "temp", "height")]
        for row in rows_of(table, ragged([1, 2]))
    ]
    assert rows == [[1, 3, 0, 7.5], [2, 4, 1, 8.5], [2, 4, 2, 8.5]]


@pytest.mark.parametrize(("suffix", "counts"), [("covjson", [1, 2]), ("csv", [1, 1]), ("parquet", [-1, 4])])
def test_a_ragged_array_that_a_format_cannot_hold_is_refused(suffix, counts):
    with pytest.raises(NotSubsettable, match="ragged") as caught:
        written(suffix, ragged(counts))
    assert "NetCDF" in caught.value.hint


@pytest.mark.parametrize("table", TABLES)
def test_a_dimension_without_coordinate_is_told_by_the_source_s_indices(table, tmp_path):
    made().expand_dims(member=6)[["double"]].to_netcdf(tmp_path / "members.nc")
    rows = rows_of(table, cut(tmp_path / "members.nc", stride="member:2"))
    assert list(dict.fromkeys(int(row["member_index"]) for row in rows)) == [0, 2, 4]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("names", "columns", "count"),
    [
        ("latitude", ["latitude"], 20),
        ("lat_bnds", ["nv_index", "latitude", "lat_bnds"], 40),
        ("time", ["time"], 1),
    ],
)
def test_coordinates_alone_are_columns(table, names, columns, count, shared_sample):
    got = cut(shared_sample / "cmems_sea_level_20190223_bien_dong.nc", variables=names, bbox=TONKIN)
    rows = rows_of(table, got)
    assert (list(rows[0]), len(rows)) == (columns, count)


def test_a_missing_value_alone_in_its_row_is_no_blank_line():
    dataset = xr.Dataset({"a": ((), np.nan)})
    assert written("csv", dataset) == b'a\n""\n'
    assert len(rows_of("csv", dataset)) == 1


def test_coveragejson_says_which_way_sigma_grows():
    attributes = {"positive": "up", "standard_name": "ocean_sigma_coordinate", "units": "1"}
    dataset = made().assign_coords(depth=("depth", [-0.9, -0.1], attributes))
    systems = json.loads(written("covjson", dataset))["domain"]["referencing"]
    (axis,) = (s["system"]["cs"]["csAxes"][0] for s in systems if s["coordinates"] == ["z"])
    assert axis["direction"] == "up"


def test_many_blocks_are_one_table(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(tables, "_LOADED_BYTES", 400)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 200)
    dataset = made()
    CHECKS[suffix](dataset, written(suffix, dataset), tmp_path)
