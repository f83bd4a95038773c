"""Data on other servers: the numbers of the local file, few bytes beside those asked for, nothing on trust."""

import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.data import afar, farther, opening, ways
from catalog.data.keyed import Keyed, check_codecs
from catalog.data.opening import Reach
from catalog.errors import AddressRefused, DataChanged, DataUnreadable, NotSubsettable, Unreachable
from catalog.record import Distribution
from elsewhere import SHAPE, canary, files, grid, hyperslabs

REACH = Reach(allow_hosts=("127.0.0.1",), stall_seconds=5)
FORMS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for form in FORMS:
        grid(folder / f"{form}.nc", form)
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


DOORS = [*(f"{form}.nc" for form in FORMS), "indexed", "v2.zarr", "v3.zarr", "opendap"]


@pytest.fixture(scope="module")
def doors(site, tmp_path_factory):
    """The distribution of each door, and the index that is used with it."""
    index = tmp_path_factory.mktemp("index") / "NETCDF4.index"
    index.write_bytes(b"".join(farther.indexed(way(site, "NETCDF4.nc"), REACH)))
    with hyperslabs(site.folder / "NETCDF4.nc", ("sst", "wind")) as server:
        yield {
            **{name: (way(site, name), None) for name in DOORS},
            "indexed": (way(site, "NETCDF4.nc"), index),
            "opendap": (Distribution(protocol="opendap", address=server.address), None),
        }


@pytest.mark.parametrize("name", DOORS)
@settings(max_examples=25)
@given(cut=cuts())
def test_every_cut_afar_is_that_of_xarray(site, doors, name, cut):
    with (
        afar.opened(doors[name][0], REACH, doors[name][1]) as dataset,
        xr.open_dataset(site.folder / "NETCDF4.nc", decode_times=False, mask_and_scale=False) as source,
    ):
        for variable in ("sst", "wind"):
            np.testing.assert_array_equal(
                dataset[variable].isel(cut).values, source[variable].isel(cut).values
            )


def test_an_index_gives_the_same_file(site, doors):
    local = Distribution(protocol="file", address=str(site.folder / "NETCDF4.nc"))
    with (
        afar.opened(*doors["indexed"][:1], REACH, doors["indexed"][1]) as got,
        opening.opened(local, REACH) as want,
    ):
        same(got, want)


@pytest.mark.parametrize(("door", "most"), [("indexed", 2), ("NETCDF4.nc", 8), ("v2.zarr", 6)])
def test_only_what_is_asked_for_is_read(site, doors, door, most):
    site.forget()
    with afar.opened(doors[door][0], REACH, doors[door][1]) as dataset:
        _ = dataset["sst"][2:4, 3:5, 6:8].values
    assert len(site.asked) <= most


def test_a_server_that_does_not_know_strides_is_found_out(site):
    with hyperslabs(site.folder / "NETCDF4.nc", ("sst",)) as server:
        server.understood = lambda query: query.replace(":2:", ":1:")
        found = Distribution(protocol="opendap", address=server.address)
        with afar.opened(found, REACH) as dataset:
            assert dataset["sst"][0, 3:5, 3:5].shape == (2, 2)
            with pytest.raises(DataUnreadable, match="another part of"):
                _ = dataset["sst"][0, ::2, 0].values


def large(path):
    """A file of 24 MB in chunks of 60 kB."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 100), ("x", 30_000)):
            file.createDimension(name, size)
        values = file.createVariable("v", "f8", ("time", "x"), zlib=True, complevel=1, chunksizes=(1, 7_500))
        values[:] = np.random.default_rng(0).random((100, 30_000))
    return path


def test_a_small_part_of_a_large_file_is_little(site, tmp_path):
    path = large(site.folder / "large.nc")
    index = tmp_path / "large.index"
    index.write_bytes(b"".join(farther.indexed(way(site, "large.nc"), REACH)))
    site.forget()
    with afar.opened(way(site, "large.nc"), REACH, index) as dataset:
        found = dataset["v"][50, 7_000:7_010].values
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(found, file["v"][50, 7_000:7_010])
    assert site.sent < path.stat().st_size / 20
    assert len(site.asked) <= 3


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changes_meanwhile_is_not_mixed(site, heeds):
    site.heeds = heeds
    path = large(site.folder / "changing.nc")
    with afar.opened(way(site, "changing.nc"), REACH) as dataset:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataChanged):
            _ = dataset["v"].values
    site.heeds = True


def test_an_index_is_of_one_state(site, tmp_path):
    path = grid(site.folder / "state.nc")
    index = tmp_path / "state.index"
    index.write_bytes(b"".join(farther.indexed(way(site, "state.nc"), REACH)))
    with netCDF4.Dataset(path, "a") as file:
        file.title = "another"
    with pytest.raises(DataChanged), afar.opened(way(site, "state.nc"), REACH, index):
        pass


@pytest.mark.parametrize("fault", ["ranges", "tags"])
def test_a_server_without_ranges_or_states_gives_small_files_only(site, fault):
    large(site.folder / "whole.nc")
    setattr(site, fault, False)
    try:
        with afar.opened(way(site, "whole.nc"), REACH) as dataset:
            assert np.isfinite(dataset["v"][5, 5].values)
        few = Reach(allow_hosts=("127.0.0.1",), whole_bytes=1_000_000)
        site.forget()
        with (
            pytest.raises(NotSubsettable, match="1000000") as caught,
            afar.opened(way(site, "whole.nc"), few),
        ):
            pass
        assert caught.value.details["setting"] == "BIENMO_REMOTE_FILE_BYTES"
        assert site.sent < 5_000_000
    finally:
        setattr(site, fault, True)


def lying(handler, status, headers, body):
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (206, {}, DataUnreadable),
        (206, {"Content-Range": "bytes 5-262148/400000"}, DataUnreadable),
        (206, {"Content-Range": "bytes 0-39/400000"}, DataUnreadable),
        (206, {"Content-Range": "bytes 0-262143/400000"}, DataUnreadable),
        (206, {"Content-Range": "bytes 0-262143/400000", "Content-Length": "262144"}, Unreachable),
        (200, {"Content-Encoding": "gzip"}, DataUnreadable),
        (404, {}, DataUnreadable),
        (500, {}, Unreachable),
        (429, {}, Unreachable),
    ],
)
def test_what_a_server_says_is_not_believed(site, status, headers, error):
    site.instead = lambda handler: lying(handler, status, headers, b"\x89HDF\r\n\x1a\n" * 5)
    try:
        with pytest.raises(error), afar.opened(way(site, "x.nc"), REACH):
            pass
    finally:
        site.instead = lambda _: False


def test_a_chunk_that_fails_is_no_missing_chunk(site):
    chunk = next((site.folder / "v2.zarr" / "sst").glob("0.0.0"))
    content = chunk.read_bytes()
    chunk.unlink()
    try:
        with afar.opened(way(site, "v2.zarr"), REACH) as dataset:
            assert set(np.unique(dataset["sst"][:2, :15, :20].values)) == {-9}  # 404: it was not written
            for status, error in ((500, Unreachable), (403, DataUnreadable), (301, DataUnreadable)):
                site.instead = lambda handler, status=status: lying(handler, status, {}, b"")
                with pytest.raises(error):
                    _ = dataset["sst"][:2, :15, :20].values
    finally:
        chunk.write_bytes(content)
        site.instead = lambda _: False


def test_a_zarr_group_that_cannot_be_listed_says_so(site, tmp_path):
    for form in (2, 3):
        with warnings.catch_warnings(action="ignore"):
            xr.Dataset({"v": ("x", [1.0])}).to_zarr(
                site.folder / f"bare{form}.zarr", zarr_format=form, consolidated=False
            )
        with (
            pytest.raises(NotSubsettable, match="consolidated"),
            afar.opened(way(site, f"bare{form}.zarr"), REACH),
        ):
            pass
    with pytest.raises((NotSubsettable, DataUnreadable)), afar.opened(way(site, "none.zarr"), REACH):
        pass


@pytest.mark.parametrize(
    "codec", ['"filters": [{"id": "pickle"}]', '"codecs": [{"name": "numcodecs.pickle"}]']
)
def test_a_codec_that_could_run_code_is_refused(codec):
    with pytest.raises(DataUnreadable, match="pickle"):
        check_codecs(b'{"metadata": {"v/.zarray": {%s}}}' % codec.encode())


@pytest.mark.parametrize("key", ["../x", "a/../../x", "a//b", "", "a\0", ".", "a/./b"])
def test_a_key_leads_nowhere_else(key):
    with pytest.raises(DataUnreadable):
        Keyed(None, "http://127.0.0.1/group")._url(key)


@pytest.mark.parametrize("protocol", ["opendap", "griddap", "tabledap", "http", "http zarr"])
def test_no_door_follows_a_redirect_inside(site, protocol):
    name = {"http": "x.nc", "http zarr": "x.zarr", "tabledap": "erddap/tabledap/x"}.get(protocol, "x")
    with canary() as (inside, hits):
        site.instead = lambda handler: lying(handler, 302, {"Location": f"{inside}/x"}, b"")
        try:
            address = f"{site.address}/{name}"
            found = Distribution(protocol=protocol.split()[0], address=address, format="unknown")
            with pytest.raises(AddressRefused) as caught, afar.opened(found, REACH):
                pass
            assert "127.0.0.2" not in caught.value.message
        finally:
            site.instead = lambda _: False
        assert hits == []


@pytest.mark.parametrize(
    ("given_", "form"),
    [
        ({"format": "netcdf"}, "netcdf"),
        ({"format": "nc", "address": "https://example.org/download/17"}, "netcdf"),
        ({"media_type": "application/x-netcdf; version=4"}, "netcdf"),
        ({"format": "html", "address": "https://example.org/x.nc"}, None),
        ({"address": "https://example.org/x.nc?key=1"}, "netcdf"),
        ({"address": "https://example.org/x.zarr/"}, "zarr"),
        ({"format": "csv"}, None),
        ({"protocol": "opendap"}, None),
    ],
)
def test_which_files_are_opened(given_, form):
    found = Distribution(**{"protocol": "http", "address": "https://example.org/x", **given_})
    assert ways.file_form(found) == form
