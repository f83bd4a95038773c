"""What a file holds is described; what is cut short, changed or no data is refused with a reason."""

import hashlib
import json
import shutil
import threading
import warnings
from socketserver import ThreadingMixIn
from time import sleep
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import netCDF4
import numpy as np
import orjson
import pytest
import xarray as xr

from catalog.data import opening, subset
from catalog.data.classic import check_whole
from catalog.errors import AddressRefused, DataChanged, DataUnreadable, LimitExceeded, NotSubsettable
from catalog.record import Distribution, Record, Text
from catalog.service import Catalog
from catalog.settings import Settings

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
CLASSIC = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


def test_a_header_document(shared_sample):
    path = shared_sample / "cmems_sea_level_20190223_bien_dong.nc"
    found = opening.describe(str(path))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["format"] == "netcdf4"
    assert found["dimensions"] == {"time": 1, "latitude": 104, "longitude": 92, "nv": 2}
    adt = next(variable for variable in found["variables"] if variable["name"] == "adt")
    assert adt["dtype"] == "int32"
    assert adt["shape"] == [1, 104, 92]
    assert adt["attributes"]["scale_factor"] == 0.0001
    latitude = next(variable for variable in found["variables"] if variable["name"] == "latitude")
    assert latitude["attributes"]["_FillValue"] is None
    assert found["coverage"]["boxes"] == [[99.125, -0.875, 121.875, 24.875]]
    day = "2019-02-23T00:00:00Z"
    assert found["coverage"]["time"] == {"start": day, "end": day, "calendar": "standard"}
    assert found["coverage"]["resolution"]["latitude"] == 0.25
    assert found["file"]["checksum"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["file"]["size"] == path.stat().st_size


def test_year_0_and_depth(shared_sample):
    coads = opening.describe(str(shared_sample / "coads_climatology_bien_dong.nc"))["coverage"]
    assert coads["time"]["start"] == "0000-01-16T06:00:00Z"
    levitus = opening.describe(str(shared_sample / "levitus_climatology_bien_dong.nc"))["coverage"]
    assert levitus["vertical"] == [0, 5000]


def test_a_zarr_folder_is_described_the_same_however_it_is_listed(tmp_path):
    names = [f"v{letter}" for letter in "qwertyuiopasdf"]
    for folder, order in (("one", names), ("two", names[::-1])):
        for name in order:
            xr.Dataset({name: ("x", [1.0])}).to_zarr(tmp_path / folder, mode="a", consolidated=False)
    one, two = (opening.describe(str(tmp_path / folder)) for folder in ("one", "two"))
    assert orjson.dumps({**one, "file": None}) == orjson.dumps({**two, "file": None})


def test_a_zarr_folder(shared_real):
    path = next(path for path in (shared_real / "files").rglob("analysed_sst.zarr"))
    found = opening.describe(str(path))
    assert (found["format"], found["coverage"]["kind"]) == ("zarr", "grid")
    assert found["coverage"]["boxes"] == [[-28, 40, -27, 41]]
    with opening.opened(Distribution(protocol="zarr", address=str(path)), opening.Reach()) as dataset:
        assert dataset["analysed_sst"].dtype.kind == "i"  # packed, as it lies there


def test_groups_and_plain_hdf5_are_noted(shared_real, shared_faults):
    found = opening.describe(str(shared_real / "files/compliance_checker/examples/lateral_search_example.nc"))
    assert "groups" in [problem["code"] for problem in found["coverage"]["problems"]]
    assert opening.describe(str(shared_faults / "chunk_bomb_3.6GB_in_3.5MB.nc"))["format"] == "hdf5"


def test_no_data_is_said(tmp_path):
    for name, content in (
        ("a.nc", b""),
        ("b.nc", b"CDF"),
        ("c.nc", b"<html>"),
        ("d.nc", b"\x89HDF\r\n\x1a\nxx"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataUnreadable):
            opening.describe(str(tmp_path / name))
    for path in (tmp_path, tmp_path / "missing.nc"):
        with pytest.raises(DataUnreadable):
            opening.describe(str(path))


@pytest.mark.parametrize("form", CLASSIC)
@pytest.mark.parametrize("records", [0, 1, 3])
def test_the_length_of_classic_files_is_known(tmp_path, form, records):
    path = tmp_path / "whole.nc"
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.createDimension("time", None)
        file.createDimension("x", 5)
        file.title = "odd"
        for name, kind, dimensions in (
            ("t", "f8", ("time",)),
            ("b", "i1", ("time", "x")),
            ("x", "i2", ("x",)),
        ):
            file.createVariable(name, kind, dimensions).units = "1"
        file["x"][:] = np.arange(5)
        file["b"][:records] = np.ones((records, 5))
        file["t"][:records] = np.arange(records)
    check_whole(path)
    content = path.read_bytes()
    path.write_bytes(content[:-5])  # more than the padding of the last variable
    with pytest.raises(DataUnreadable, match="cut short"):
        check_whole(path)


def test_a_changed_file_is_not_served(shared_sample, tmp_path):
    path = tmp_path / "etopo.nc"
    shutil.copy(shared_sample / "etopo5_bien_dong.nc", path)
    known = Distribution(protocol="file", address=str(path), size=path.stat().st_size)
    with opening.opened(known, opening.Reach()) as dataset:
        assert dataset.sizes
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataChanged), opening.opened(known, opening.Reach()):
        pass


@pytest.mark.parametrize("protocol", ["http", "wms", "other"])
def test_what_cannot_be_cut_says_why(protocol):
    way = Distribution(protocol=protocol, address="https://example.org/data.csv")
    with pytest.raises(NotSubsettable, match="cannot be cut here: "), opening.opened(way, opening.Reach()):
        pass


@pytest.mark.parametrize(
    ("calendar", "days"), [("360_day", 30), ("all_leap", 29), ("noleap", 28), ("standard", 28)]
)
def test_a_month_is_cut_to_its_end_in_the_calendar_of_the_data(tmp_path, calendar, days):
    path = tmp_path / "days.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 120)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "days since 2001-01-01", "calendar": calendar, "standard_name": "time"})
        time[:] = np.arange(120)
        file.createVariable("sst", "f4", ("time",))[:] = 1
    for asked in ("2001-02", "2001-02/2001-02", "2001-02-01/2001-02"):
        way = Distribution(protocol="file", address=str(path))
        with opening.opened(way, opening.Reach()) as dataset:
            got = subset.cut(dataset, subset.parse({"time": asked}), "x", LIMITS)
            assert got.sizes["time"] == days


def test_a_remote_answer_keeps_the_limits_of_the_settings(tmp_path):
    """Answers beyond the time and the size that the operator allows are refused."""

    def big_and_slow(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(50):
            yield b"x" * 100_000
            sleep(0.1)

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    with make_server("127.0.0.1", 0, big_and_slow, Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        way = Distribution(protocol="opendap", address=f"http://127.0.0.1:{server.server_port}/data")
        record = Record(
            id="x",
            source="s",
            native_id="x",
            title=Text(und="x"),
            distributions=(way,),
            document_hash="0" * 64,
        )
        for limit, said in (
            ({"fetch_seconds": 0.5}, "longer than 0.5 s"),
            ({"max_result_bytes": 300_000}, "larger"),
        ):
            settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), readers=1, **limit)
            with Catalog(_Store(record), settings) as catalog, pytest.raises(LimitExceeded, match=said):
                catalog.subset("x", subset.Cut(), "nc")
        server.shutdown()
        thread.join()


class _Store:
    """A store of one record."""

    def __init__(self, record):
        self._record = record

    def get(self, record_id):
        return self._record

    def close(self):
        pass


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def opendap(shared_sample):
    """A DAP2 server of the sample's sea level, on loopback; its address."""
    with warnings.catch_warnings(action="ignore"):  # a module that pydap's server needs is deprecated
        from pydap.handlers.lib import BaseHandler  # noqa: PLC0415
        from pydap.model import BaseType, DatasetType, GridType  # noqa: PLC0415

    served = DatasetType("sea_level")
    path = shared_sample / "cmems_sea_level_20190223_bien_dong.nc"
    with xr.open_dataset(path, mask_and_scale=False, decode_times=False) as source:
        names = ("time", "latitude", "longitude")
        for name in names:
            served[name] = BaseType(
                name, source[name].values, dims=(name,), attributes=_attributes(source[name])
            )
        grid = GridType("adt", attributes=_attributes(source.adt))
        grid["adt"] = BaseType("adt", source.adt.values, dims=names, attributes=_attributes(source.adt))
        for name in names:
            grid[name] = BaseType(name, source[name].values, dims=(name,))
        served["adt"] = grid
    with make_server("127.0.0.1", 0, BaseHandler(served), handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/sea_level"
        server.shutdown()
        thread.join()


def _attributes(variable):
    return {
        k: v for k, v in variable.attrs.items() if not (isinstance(v, float | np.floating) and np.isnan(v))
    }


def test_remote_data_are_cut_like_local_ones(opendap, shared_sample):
    way = Distribution(protocol="opendap", address=opendap)
    reach = opening.Reach(allow_hosts=("127.0.0.1",), stall_seconds=5)
    asked = subset.parse({"variables": "adt", "bbox": "105.5,17,110,22"})
    with opening.opened(way, reach) as remote:
        got = subset.cut(remote, asked, "x", LIMITS).load()
    local = Distribution(
        protocol="file", address=str(shared_sample / "cmems_sea_level_20190223_bien_dong.nc")
    )
    with opening.opened(local, opening.Reach()) as dataset:
        want = subset.cut(dataset, asked, "x", LIMITS).load()
    for name in ("adt", "latitude", "longitude", "time"):
        np.testing.assert_array_equal(got[name].values, want[name].values)


def test_a_remote_address_is_reached_through_the_guard_only():
    """pydap ignores the session that it is given and connects by itself: it must not get the chance."""
    asked = []

    def canary(environ, start_response):
        asked.append(environ["PATH_INFO"])
        start_response("404 Not Found", [])
        return [b""]

    with make_server("127.0.0.1", 0, canary, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        inside = f"http://127.0.0.1:{server.server_port}/data"
        for address in (
            inside,
            inside + ".dmrpp",
            "file:///etc/hostname",
            "/etc/hostname.dmrpp",
            "dap2://127.0.0.1/",
        ):
            way = Distribution(protocol="opendap", address=address)
            with (
                pytest.raises((AddressRefused, NotSubsettable)) as caught,
                opening.opened(way, opening.Reach()),
            ):
                pass
            assert "127.0.0.1" not in caught.value.message  # where a name leads inside is not for clients
        assert asked == []
        way = Distribution(protocol="griddap", address=inside)
        reach = opening.Reach(allow_hosts=("127.0.0.1",))
        with pytest.raises(DataUnreadable, match="404"), opening.opened(way, reach):
            pass
        assert asked == ["/data.dds"]
        server.shutdown()
        thread.join()
