"""A table of an ERDDAP server answers as the same rows here do, whatever the server keeps or leaves out."""

import io
import json

import netCDF4
import numpy as np
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import tabling
from catalog.data import afar, subset
from catalog.data.opening import Reach, opened
from catalog.errors import BadRequest, DataUnreadable, NotFound, NotSubsettable, OutsideDomain, TooLarge
from catalog.record import Distribution
from elsewhere import files
from erddaps import erddap

REACH = Reach(allow_hosts=("127.0.0.1",), stall_seconds=5)
LIMITS = subset.Limits(result_bytes=10_000_000, decoded_bytes=10_000_000)
ROWS = 300
STATIONS = ["HN1", "HN2", "Hà Tiên", "Cô Tô", ""]


@pytest.fixture(scope="module")
def columns():
    random = np.random.default_rng(0)
    temperature = random.normal(25, 3, ROWS).astype("f4").round(2)
    temperature[::17] = np.nan
    return {
        "station": np.array(STATIONS)[random.integers(0, len(STATIONS), ROWS)],
        "time": 1.5e9 + np.sort(random.integers(0, 10_000_000, ROWS)) + random.integers(0, 4, ROWS) / 4,
        "latitude": random.uniform(8, 22, ROWS).round(3),
        "longitude": random.uniform(103, 112, ROWS).round(3),
        "temperature": temperature,
        "level": random.integers(-5, 5, ROWS).astype("i4"),
    }


ATTRIBUTES = {
    "station": {"cf_role": "timeseries_id", "long_name": "Station"},
    "time": {"units": "seconds since 1970-01-01T00:00:00Z", "standard_name": "time", "axis": "T"},
    "latitude": {
        "units": "degrees_north",
        "standard_name": "latitude",
        "actual_range": np.array([8.0, 22.0]),
    },
    "longitude": {
        "units": "degrees_east",
        "standard_name": "longitude",
        "actual_range": np.array([103.0, 112.0]),
    },
    "temperature": {"units": "degree_C", "_FillValue": np.float32(-9999)},
    "level": {"_FillValue": np.int32(-5)},
}


@pytest.fixture(scope="module")
def server(columns):
    with erddap(columns, ATTRIBUTES) as table:
        yield table


@pytest.fixture(scope="module")
def local(columns, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "buoys.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("row", ROWS)
        for name, values in columns.items():
            kind = str if values.dtype.kind == "U" else values.dtype
            known = dict(ATTRIBUTES[name])
            made = file.createVariable(name, kind, ("row",), fill_value=known.pop("_FillValue", None))
            made.set_auto_maskandscale(False)
            made.setncatts(known)
            made[:] = values.astype(object) if kind is str else values
    return Distribution(protocol="file", address=str(path))


def remote(server):
    return Distribution(protocol="tabledap", address=server.address, format="erddap")


def rows(distribution, query, reach=REACH):
    body = b"".join(
        tabling.written(distribution, tabling.parse(query, "arrow"), "arrow", {}, {}, reach, 10**7, 10**8)
    )
    return pyarrow.ipc.open_stream(io.BytesIO(body)).read_all()


def answered(distribution, query):
    try:
        return rows(distribution, query).to_pydict()
    except (BadRequest, NotFound) as error:
        return error.message


NAMES = ["station", "time", "latitude", "longitude", "temperature", "level"]
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


TEXTS = st.builds(
    'station{}"{}"'.format,
    st.sampled_from(["=", "!=", "=~", "!~", "<", ">="]),
    st.sampled_from([*STATIONS, "HN.*", "HN1|HN2", "x"]),
)
NUMBERS = st.tuples(st.sampled_from(NAMES[1:]), SIGNS, st.sampled_from([*range(ROWS), "NaN", "0", "17"]))
FUNCTIONS = st.sampled_from(["", "distinct()", 'orderBy("level")', 'orderByMax("station,time")'])


@given(
    asked=st.lists(st.sampled_from(NAMES), unique=True, max_size=4),
    texts=st.lists(TEXTS, max_size=1),
    numbers=st.lists(NUMBERS, max_size=2),
    function=FUNCTIONS,
    obeys=st.booleans(),
)
def test_every_query_is_answered_as_here(server, local, columns, asked, texts, numbers, function, obeys):
    server.obeys = obeys  # it may as well send all it has
    parts = [
        f"{name}{sign}{columns[name][at].item()!r}" if isinstance(at, int) else f"{name}{sign}{at}"
        for name, sign, at in numbers
    ]
    query = "&".join([",".join(asked or NAMES), *texts, *parts, function])
    assert answered(remote(server), query) == answered(local, query)


def test_rows_are_left_out_there(server):
    server.obeys = True
    server.rows.clear()
    found = rows(remote(server), 'station,time&station="HN1"&time>=2017-09-01&temperature<25&orderBy("time")')
    assert server.asked[-1].startswith(
        'station,time,temperature&station="HN1"&time>=1504223999&temperature<=25.0'
    )
    assert found.num_rows <= server.rows[-1] < ROWS / 4


@pytest.mark.parametrize(
    "parameters",
    [
        {"bbox": "104,10,108,15"},
        {"bbox": "104,10,108,15", "time": "2017-08/2017-09", "variables": "temperature"},
        {"bbox": "464,10,468,15"},
        {"time": "2017-08-01/.."},
        {"variables": "level", "stride": "row:7"},
    ],
)
def test_a_cut_of_a_table_is_that_of_all_its_rows(server, parameters):
    server.obeys = True
    cut = subset.parse({k: v for k, v in parameters.items() if not v.startswith("464")})
    with afar.opened(remote(server), REACH, cut=cut) as part, afar.opened(remote(server), REACH) as whole:
        got, want = (subset.cut(one, cut, "x", LIMITS).load() for one in (part, whole))
    for name in got.variables:
        np.testing.assert_array_equal(got[name].values, want[name].values)
    with opened(remote(server), REACH) as whole:
        assert whole.sizes["row"] == ROWS


def test_what_is_wrong_is_said(server, tmp_path):
    with pytest.raises(BadRequest, match="no column"):
        rows(remote(server), "salinity")
    with (
        pytest.raises(OutsideDomain),
        afar.opened(remote(server), REACH, cut=subset.parse({"bbox": "0,0,1,1"})),
    ):
        pass
    small = Reach(allow_hosts=("127.0.0.1",), max_bytes=2_000)
    with pytest.raises(TooLarge, match="2000"):
        rows(remote(server), "temperature,time,latitude", small)
    unknown = Distribution(protocol="tabledap", address=server.address.replace("buoys", "none"))
    with pytest.raises(DataUnreadable, match="404"):
        rows(unknown, "time")
    with pytest.raises(NotSubsettable):
        rows(Distribution(protocol="tabledap", address=server.address.replace("tabledap", "files")), "time")


def test_recorded_answers_are_read_to_the_digit(shared_real):
    folder = shared_real / "responses/erddap_argo"
    listed = json.loads((folder / "_index.json").read_text())
    found = [one for one in listed if "/tabledap/ArgoFloats-reference.nc?" in one["uri"]]
    with files(folder) as site:

        def instead(handler):
            path, *_ = handler.path.partition("?")
            name = "info/f4bdba7f58e6.json" if path.endswith("index.json") else found[0]["file"]
            body = (folder / name).read_bytes()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return True

        site.instead = instead
        way = Distribution(
            protocol="tabledap", address=f"{site.address}/erddap/tabledap/ArgoFloats-reference"
        )
        got = rows(way, "cycle_number,latitude,platform_number,pres,temp,time&pres<=5")
    with netCDF4.Dataset(folder / found[0]["file"]) as file:
        keep = np.asarray(file["pres"][:]) <= 5
        assert 0 < keep.sum() < keep.size == got.num_rows + (~keep).sum()
        for name in ("cycle_number", "latitude", "pres", "temp"):
            np.testing.assert_array_equal(got[name].to_numpy(), np.ma.filled(file[name][:], np.nan)[keep])
        texts = [str(text).strip() for text in file["platform_number"][:][keep]]
        assert got["platform_number"].to_pylist() == texts
        np.testing.assert_array_equal(
            got["time"].to_numpy().astype("i8") // 10**6, np.asarray(file["time"][:])[keep]
        )
