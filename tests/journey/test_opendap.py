"""OPeNDAP datasets of a real server of pydap: described as the file is, and cut right after the harvest."""

import struct
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import subset
from catalog.errors import BadDocument, BadSource, SourceError
from catalog.record import BBox
from catalog.service import Catalog, openable
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores import sqlite
from elsewhere import grid, hyperslabs
from harvesters import _dap, opendap
from harvesters._dap2 import read_das, read_dds, read_numbers
from harvesters._dmr import read_dmr
from harvesters._fetch import Fetch
from harvesters._run import harvest_source
from portals import answer, portal

with warnings.catch_warnings(action="ignore"):  # its webob imports cgi
    from pydap.handlers.lib import BaseHandler
    from pydap.model import BaseType, DatasetType, GridType
    from pydap.parsers.dmr import dmr_to_dataset
    from webob.request import Request

CATALOG = """<catalog xmlns="http://www.unidata.ucar.edu/namespaces/thredds/InvCatalog/v1.0">
  <service name="odap" serviceType="OPENDAP" base="{base}/"/>
  <dataset name="Vịnh Bắc Bộ" ID="tonkin" urlPath="data" serviceName="odap"/>
</catalog>"""


def settings(home: Path) -> Settings:
    return Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20, remote_readers=2)


def test_a_dataset_of_pydap_is_described_as_its_file_is(tmp_path: Path) -> None:
    path = grid(tmp_path / "grid.nc")
    with hyperslabs(path, ("sst", "wind")) as server:
        source = Source(id="pydap", protocol="opendap", url=f"{server.address}.html")
        with Fetch(settings(tmp_path), source, None) as fetch:
            (document,) = opendap.harvest(source, fetch)
        asked = [one.rpartition(".")[2] for one, _ in server.asked]
    record = opendap.read(document)
    assert asked == ["dds", "das", "dods"]
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        for variable in record.variables:
            known = file[variable.name]
            assert (variable.dimensions, variable.shape) == (known.dimensions, known.shape)
            assert np.dtype(variable.dtype).itemsize == known.dtype.itemsize
            assert variable.units == getattr(known, "units", None)
        assert {one.name for one in record.variables} == {"time", "lat", "lon", "sst", "wind"}
        assert {one.name for one in record.data_variables()} == {"sst", "wind"}
    assert record.extent.boxes == (BBox(west=0, south=0, east=30, north=30),)
    assert record.extent.time is not None
    assert (record.extent.time.start, record.extent.time.end) == (
        "2000-01-01T00:00:00Z",
        "2000-01-31T00:00:00Z",
    )
    (way,) = record.distributions
    assert (way.protocol, urlsplit(way.address).path) == ("opendap", "/data")


@pytest.mark.parametrize(("protocol", "name"), [("thredds", "gulf-tonkin"), ("opendap", "gulf-data")])
def test_what_is_harvested_is_cut_right_after_the_run(protocol: str, name: str, tmp_path: Path) -> None:
    """A NetCDF first seen in a THREDDS catalog, or by its address, with pydap behind it: the numbers are the file's."""
    path = grid(tmp_path / "grid.nc")
    known = settings(tmp_path / "home")
    with hyperslabs(path, ("sst", "wind")) as server:
        page = CATALOG.format(base=server.address.removesuffix("/data")).encode()
        with portal(lambda _: [answer(page, Content_Type="application/xml")]) as tds:
            url = f"{tds.url}/thredds/catalog.xml" if protocol == "thredds" else server.address
            store = sqlite.open_store(known.home)
            run = harvest_source(Source(id="gulf", protocol=protocol, url=url), store, known, workers=None)
        assert (run.state, run.seen, run.counts.new, run.counts.quarantined) == ("complete", 1, 1, 0)
        with Catalog(store, known) as catalog:
            assert openable(store.get(name)).protocol == "opendap"
            asked = subset.parse(
                {"variables": "sst,wind", "bbox": "10,10,20,20", "time": "2000-01-01/2000-01-20"}
            )
            body = b"".join(catalog.subset(name, asked, "nc").pieces())
    with netCDF4.Dataset("x", memory=body) as cut, netCDF4.Dataset(path) as file:
        for one in (cut, file):
            one.set_auto_maskandscale(False)
        for variable in ("sst", "wind"):
            np.testing.assert_array_equal(cut[variable][:], file[variable][0:4, 13:27, 17:33])


# --- what servers say, and what breaks


NAMES = st.text("abcxyz_", min_size=1, max_size=6)
DTYPES = ("u1", "i2", "u2", "i4", "u4", "f4", "f8")
WORDS = st.text(
    st.characters(codec="ascii", exclude_categories=("Cc",), exclude_characters="\\"), max_size=20
)
VALUES = WORDS | st.integers(-(2**31), 2**31 - 1) | st.floats(-1e9, 1e9)


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(DTYPES), st.lists(st.integers(1, 4), max_size=3), VALUES),
        min_size=1, max_size=5, unique_by=lambda one: one[0],
    )
)  # fmt: skip
def test_what_pydap_serves_is_read_as_it_is(arrays: list[tuple[str, str, list[int], object]]) -> None:
    """Shapes, types, attributes and numbers of any arrays; pydap's server escapes no quotation marks in texts."""
    served, values = DatasetType("any"), dict[str, np.ndarray]()
    for name, dtype, shape, said in arrays:
        values[name] = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
        dims = tuple(f"d{axis}_{size}" for axis, size in enumerate(shape))
        served[name] = BaseType(name, values[name], dims=dims, attributes={"said": said})
    app = BaseHandler(served)
    got = {form: Request.blank(f"/any.{form}").get_response(app).body for form in ("dds", "das", "dods")}
    _, leaves = read_dds(got["dds"].decode())
    assert {leaf.path[0]: leaf.shape for leaf in leaves} == {
        name: each.shape for name, each in values.items()
    }
    numbers = read_numbers(got["dods"])
    for name, array in values.items():
        np.testing.assert_array_equal(numbers[name], array)
        assert numbers[name].dtype == array.dtype
    said = {name: found["said"] for name, found in read_das(got["das"].decode()).items()}
    for name, _, _, value in arrays:
        assert said[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5))


def test_axes_that_only_a_grid_has_are_asked_for_there(tmp_path: Path) -> None:
    """Old servers name the axes of a grid nowhere else; those of two grids with one name are one variable."""
    served = DatasetType("data")
    for name in ("sst", "ice"):
        served[name] = GridType(name, attributes={"units": "K"})
        served[name][name] = BaseType(name, np.zeros((2, 3), "f4"), dims=("lat", "lon"))
        for axis, values in (("lat", [10.0, 20.0]), ("lon", [100.0, 101.0, 102.0])):
            units = {"units": f"degrees_{'north' if axis == 'lat' else 'east'}"}
            served[name][axis] = BaseType(axis, np.array(values), dims=(axis,), attributes=units)
    app = BaseHandler(served)
    with portal(lambda asked: [answer(Request.blank(asked.path).get_response(app).body)]) as running:
        source = Source(id="old", protocol="opendap", url=f"{running.url}/data")
        with Fetch(settings(tmp_path), source, None) as fetch:
            described = _dap.describe(source.url, fetch)
    header = _dap.read(described)
    assert [(one["name"], one["shape"]) for one in header["variables"]] == [
        ("sst", [2, 3]), ("ice", [2, 3]), ("lat", [2]), ("lon", [3]),
    ]  # fmt: skip
    assert header["coverage"]["boxes"] == [[100, 10, 102, 20]]


def test_real_answers_are_read(shared_real: Path) -> None:
    folder = shared_real / "responses/opendap"
    _, leaves = read_dds((folder / "flatgroup.dds").read_text())
    assert {leaf.path[-1]: leaf.shape for leaf in leaves}["/A/B/sst"] == (1857, 89, 180)
    _, leaves = read_dds((folder / "rainfall_time_malaysia.cdp.dds").read_text())
    assert sum(leaf.kind == "sequence" for leaf in leaves) == 26
    assert read_das((folder / "test.01.das").read_text())["Facility"]["PrincipleInvestigator"] == [
        "Mark Abbott",
        "Ph.D",
    ]
    numbers = read_numbers((folder / "coads_climatology.nc.dods").read_bytes())
    np.testing.assert_array_equal(numbers["COADSX"], [21, 23])
    for name in ("test.01.dods", "rainfall_time_malaysia.cdp.dods"):  # text, and rows
        with pytest.raises(BadDocument):
            read_numbers((folder / name).read_bytes())


def test_real_dmrs_are_read_as_pydap_reads_them(shared_real: Path) -> None:
    found = 0
    for path in sorted((shared_real / "responses/opendap/dmrs").iterdir()):
        header = read_dmr(path.read_bytes())
        with warnings.catch_warnings(action="ignore"):
            try:
                seen = dmr_to_dataset(path.read_text())
            except Exception:  # noqa: BLE001 - what pydap does not read
                continue
        for one in header["variables"]:
            known = seen[one["name"]]
            assert tuple(one["shape"]) == known.shape, (path.name, one["name"])
            found += 1
    assert found == 66


def test_addresses_are_listed_page_by_page_and_a_server_that_is_down_ends_the_run(tmp_path: Path) -> None:
    dds, das = b"Dataset { Float32 x[n = 2]; } d;", b"Attributes { }"

    def answering(asked):
        if "/down/" in asked.path:
            return [answer(b"", 503)]
        return [answer(dds if asked.path.endswith(".dds") else das)]

    with portal(answering) as running:
        names = [f"d/{number}.nc" for number in range(45)]
        source = Source(id="s", protocol="opendap", url=f"{running.url}/dap/", options={"addresses": names})
        with Fetch(settings(tmp_path), source, None) as fetch:
            documents = list(opendap.harvest(source, fetch))
            assert [one.native_id.rpartition("/dap/")[2] for one in documents] == names
            assert {one.page for one in documents} == {"0", "20", "40"}
            down = source.model_copy(
                update={"options": {"addresses": [*names[:2], "down/1", "down/2", "down/3"]}}
            )
            found = []
            with pytest.raises(SourceError, match="503"):
                found.extend(opendap.harvest(down, fetch))
            for wrong in ("x.nc", [1], [""], ["ftp://x.example/y"]):
                with pytest.raises(BadSource, match="address"):
                    list(opendap.harvest(source.model_copy(update={"options": {"addresses": wrong}}), fetch))
            elsewhere = source.model_copy(update={"options": {"addresses": ["down/1"]}})
            with pytest.raises(SourceError, match="none of the addresses"):
                list(opendap.harvest(elsewhere, fetch))


HOSTILE = (
    "Dataset {", "Dataset { Grid {", "Dataset { Float32 x[n = 99999999999999999999]; } d;", "Dataset { Int99 x; } d;",
    "Dataset {" + "Structure {" * 200_000, "Dataset {" + "Float32 x;" * 100_000 + "} d;", "Error { code = 404; };",
    "Dataset { Float32 x" + "[n=1]" * 100_000 + "; } d;", "Dataset { Float32 x[" + " " * 500_000 + "; } d;", "\x00",
)  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:24])
def test_hostile_descriptions_are_refused_at_once(text: str) -> None:
    with pytest.raises(BadDocument):
        _dap.read({"address": "http://x.example/d", "dds": text, "das": "Attributes { }"})


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "Attributes { a " * 1_000_000,
        'Attributes { a { String b "' + '\\"' * 2_000_000,
        "Attributes {" + "a {" * 500_000,
    ],
)
def test_hostile_attributes_are_refused_at_once(text: str) -> None:
    with pytest.raises(BadDocument):
        read_das(text)


def test_answers_that_lie_about_their_size_are_refused() -> None:
    head = b"Dataset { Float64 x[n = %d]; Int16 y; } d;\nData:\n"
    whole = head % 2 + struct.pack(">IIddi", 2, 2, 1.0, 2.0, 3)
    assert read_numbers(whole)["y"] == 3
    for cut in range(len(head % 2), len(whole)):
        with pytest.raises(BadDocument):
            read_numbers(whole[:cut])
    for size in (0, 1, 3, 2**32 + 2, 10**17):
        with pytest.raises(BadDocument):
            read_numbers(whole.replace(b"[n = 2]", b"[n = %d]" % size))
