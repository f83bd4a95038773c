"""The same cuts asked of this catalog and of other servers: the numbers are the file's, also where a peer's are not."""

import json
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from benchmarks import hosts, questions
from benchmarks.process import Server
from benchmarks.questions import ADDRESSES, SOURCE, SUFFIXES, Question
from benchmarks.sst import Shape, Sst, made
from peers.answers import READ, axis, coveragejson, dap, netcdf

pytestmark = pytest.mark.peers

SHAPE = Shape(days=60, rows=180, columns=360, cube=(10, 45, 45))
PEERS = tuple(hosts.SCRIPTS)
BOX = Question("box", (30, 50), (107, 112), (285, 290))
SCALE = np.float32(0.01)
FILL = -32768
ASKED = {
    "ours": tuple(SUFFIXES),
    "plain xarray": ("nc3", "nc", "csv", "covjson"),
    "xpublish": ("dods", "nc", "csv", "covjson"),
    "pydap": ("dods",),
    "pygeoapi": ("nc",),  # its CoverageJSON has a test of its own
}


@pytest.fixture(scope="module")
def sst(tmp_path_factory: pytest.TempPathFactory) -> Sst:
    """A small year of the globe, and its Gulf of Tonkin as a file of its own."""
    whole = made(tmp_path_factory.mktemp("sst"), SHAPE)
    gulf = whole.folder / "sst_gulf.nc"
    with xr.open_dataset(whole.files["cube"], decode_cf=False) as dataset:
        dataset.sel(lat=slice(16, 23), lon=slice(105, 111)).to_netcdf(gulf)
    return whole._replace(files={**whole.files, "gulf": gulf})


@pytest.fixture(scope="module")
def servers(sst: Sst, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Server]]:
    with hosts.all_of(PEERS, sst, tmp_path_factory.mktemp("servers")) as found:
        yield found


def asked(server: Server, path: str) -> bytes:
    with server.client() as client:
        status, body = client.whole(path)
    assert status == 200, (path, status, body[:500])
    return body


def packed(sst: Sst, layout: str, *spans: slice) -> npt.NDArray[np.int16]:
    """The oracle: the file's own numbers by xarray, not unpacked."""
    with xr.open_dataset(sst.files[layout], decode_cf=False) as dataset:
        return np.asarray(dataset["sst"].isel(dict(zip(("time", "lat", "lon"), spans, strict=True))).values)


def unpacked(numbers: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    return np.where(numbers == FILL, np.float32("nan"), numbers.astype(np.float32) * SCALE)


def of(question: Question) -> tuple[slice, ...]:
    return tuple(slice(*span) for span in question[1:4])


@pytest.mark.parametrize(
    ("name", "suffix"), [(name, suffix) for name, suffixes in ASKED.items() for suffix in suffixes]
)
@pytest.mark.parametrize("layout", ["map", "cube"])
def test_a_box_is_the_files(
    servers: Mapping[str, Server], sst: Sst, name: str, suffix: str, layout: str
) -> None:
    address = questions.ours if name == "ours" else ADDRESSES[name]
    body = asked(servers[name], str(address(BOX, sst, layout, suffix)))
    expected = packed(sst, layout, *of(BOX))
    found = READ[suffix](body)
    if suffix == "dods" and name != "xpublish":
        np.testing.assert_array_equal(found, expected)
    else:
        assert_same(found, unpacked(expected))


def assert_same(found: npt.NDArray[np.floating], expected: npt.NDArray[np.float32]) -> None:
    """Equal to the last bit or two of float32: peers unpack in one width or the other."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=0)


def test_a_coverage_says_where_its_numbers_are(servers: Mapping[str, Server], sst: Sst) -> None:
    """pygeoapi 0.21 names the axes y, x, t of numbers in the order t, y, x, and turns latitudes that ascend around."""
    for days in (BOX.days, (30, 31)):
        cube = BOX._replace(days=days)
        expected = unpacked(packed(sst, "map", *of(cube)))
        theirs = asked(servers["pygeoapi"], str(ADDRESSES["pygeoapi"](cube, sst, "map", "covjson")))
        assert_same(np.array(json.loads(theirs)["ranges"]["sst"]["values"], np.float32), expected.ravel())
        read = coveragejson(theirs)
        assert not np.allclose(read, expected, equal_nan=True), "pygeoapi's cube is right now: say so"
        ours = asked(servers["ours"], questions.ours(cube, sst, "map", "covjson"))
        assert_same(coveragejson(ours), expected)
        latitudes = axis(json.loads(ours)["domain"]["axes"]["y"])
        np.testing.assert_array_equal(latitudes, sst.latitudes[slice(*BOX.rows)])


def test_strides_are_start_stride_stop(servers: Mapping[str, Server], sst: Sst) -> None:
    """DAP2 (ESE-RFC-004, 4.4.1) writes [start:stride:stop]; xpublish-opendap 0.2 reads start:stop:stride."""
    expected = packed(sst, "map", slice(0, 9, 2), slice(100, 131, 3), slice(280, 281))
    constraint = "[0:2:8][100:3:130][280:1:280]".replace("[", "%5B").replace("]", "%5D")
    np.testing.assert_array_equal(dap(asked(servers["pydap"], f"/map.nc.dods?sst{constraint}")), expected)
    others = asked(servers["xpublish"], f"/datasets/map/opendap.dods?sst{constraint}")
    assert b"[time = 5][lat = 11][lon = 1]" not in others, (
        "xpublish-opendap reads strides rightly now: say so"
    )
    home = f"/api/datasets/{SOURCE}-sst_map/subset.dods?variables=sst"
    ours = asked(servers["ours"], f"{home}&indices=time[0:2:8],lat[100:3:130],lon[280]")
    np.testing.assert_array_equal(dap(ours), expected)


def test_no_point_far_away_is_answered(servers: Mapping[str, Server]) -> None:
    """A point of the South Atlantic, asked of a grid of the Gulf of Tonkin."""
    point = "coords=POINT(-20%20-30)"
    peers = {
        "xpublish": f"/datasets/gulf/edr/position?{point}&parameter-name=sst&f=cf_covjson",
        "pygeoapi": f"/collections/gulf/position?{point}&parameter-name=sst&f=json",
    }
    for name, path in peers.items():
        assert b'"sst"' in asked(servers[name], path), f"{name} refuses the point now: say so"
    home = f"/api/datasets/{SOURCE}-sst_gulf/subset"
    for place in (point, "bbox=-21,-31,-19,-29"):
        for suffix in SUFFIXES:
            with servers["ours"].client() as client:
                status, body = client.whole(f"{home}.{suffix}?variables=sst&{place}")
            problem = json.loads(body)
            assert (status, problem["code"]) == (422, "outside-domain"), (suffix, place, status, body[:300])


def test_a_reader_of_classic_netcdf_sees_the_same(servers: Mapping[str, Server], sst: Sst) -> None:
    """What netCDF-C reads from our NetCDF-3 is what it reads from our NetCDF-4."""
    found = [
        netcdf(asked(servers["ours"], questions.ours(BOX, sst, "cube", suffix))) for suffix in ("nc", "nc3")
    ]
    np.testing.assert_array_equal(*found)
