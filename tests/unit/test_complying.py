"""The compliance checker on local files: judged in a process of its own, kept while the file is the same."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import xarray as xr

from catalog.appraisals import Appraisals
from catalog.completeness import FileCheck
from catalog.data import complying
from catalog.data.workers import Workers
from catalog.errors import BadRequest, DataError, DataUnreadable, TooLarge
from catalog.record import Distribution, Record, Text
from catalog.source import Document
from catalog.stores import Entry, memory

pytestmark = pytest.mark.filterwarnings("ignore")  # the checker's own, of its deprecated parts
MEMORY = 2_000_000_000
REAL = (
    "bad_units.nc",
    "bad_region.nc",
    "bad-instance.nc",
    "examples/lateral_search_example.nc",
    "test_cdl_nc_file.nc",
)


@pytest.fixture(scope="module")
def workers():
    with Workers(1, seconds=120, memory=MEMORY, queue=4) as pool:
        yield pool


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "sst.nc"
    made = xr.Dataset({"sst": ("x", [1.0, 2.0], {"units": "furlongs per cow"})}, attrs={"title": "SST"})
    made.to_netcdf(path)
    return path


def holding(path: Path, home: Path) -> tuple[Appraisals, str]:
    """Appraisals of a store that holds one record with one local file."""
    store = memory.open_store(home)
    document = Document(source="s", native_id="x", content=b"x")
    way = Distribution(protocol="file", address=str(path), format="netcdf")
    record = Record(
        id=document.id,
        source="s",
        native_id="x",
        title=Text.of("x"),
        distributions=(way,),
        document_hash=document.hash,
    )
    store.put([Entry(document=document, record=record)])
    return Appraisals(store, home), record.id


def unexpected(name, error):
    raise AssertionError(f"{name}: {error}")


def test_the_checkers_own_words_are_gaps(workers, written):
    check = FileCheck.model_validate(workers.run(complying.judged, str(written)))
    assert check.file == "sst.nc"
    assert set(check.scores) == {"CF 1.8", "ACDD 1.3"}
    assert all(0 < got < of for got, of in check.scores.values())
    said = [gap.text.best("vi") for gap in check.gaps]
    assert any("furlongs per cow" in words for words in said)
    assert {gap.code for gap in check.gaps} == {"cf-1.8", "acdd-1.3"}
    assert any(source.startswith("CF 1.8 §3.1") for gap in check.gaps for source in gap.sources)
    assert any(words.startswith('variable "sst" missing the following attributes: ') for words in said)
    assert not any(str(written.parent) in words for words in said)


@pytest.mark.parametrize(("claim", "judged_by"), [("CF-1.4", "CF 1.8"), ("CF-1.10, ACDD-1.3", "CF 1.10")])
def test_a_file_is_judged_by_the_version_that_it_claims(workers, tmp_path, claim, judged_by):
    path = tmp_path / "x.nc"
    xr.Dataset({"a": ("x", [1.0])}, attrs={"Conventions": claim}).to_netcdf(path)
    assert judged_by in workers.run(complying.judged, str(path))["scores"]


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_is_judged_as_the_checkers_own_tests_have_it(workers, shared_real, name):
    path = shared_real / "files" / "compliance_checker" / name
    check = FileCheck.model_validate(workers.run(complying.judged, str(path)))
    assert check.gaps
    assert all(0 <= got <= of for got, of in check.scores.values())


def test_a_file_cannot_make_the_checker_ask_the_network(monkeypatch, tmp_path):
    path = tmp_path / "x.nc"
    attributes = {
        "standard_name_vocabulary": "CF Standard Name Table v72"
    }  # not the one that comes with the checker
    xr.Dataset({"a": ("x", [1.0], {"standard_name": "sea_water_temperature"})}, attrs=attributes).to_netcdf(
        path
    )
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: asked.append(where) or [])
    before = socket.socket.connect
    complying.judged(str(path))
    assert asked == []
    assert socket.getaddrinfo("a", 1) == []  # as it was before
    assert socket.socket.connect is before


def test_a_file_that_points_to_others_is_not_judged(workers, tmp_path):
    with h5py.File(tmp_path / "pointing.nc", "w") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(DataUnreadable, match="points to other files"):
        workers.run(complying.judged, str(tmp_path / "pointing.nc"))


def test_a_file_that_is_cut_short_is_not_judged(workers, tmp_path):
    (tmp_path / "cut.nc").write_bytes(b"CDF\x01" + b"\x00" * 20)
    with pytest.raises(DataUnreadable):
        workers.run(complying.judged, str(tmp_path / "cut.nc"))


@pytest.mark.parametrize("name", ["hang_netcdf3.nc", "hang_netcdf4.nc"])
def test_a_hostile_file_costs_its_process(shared_faults, name):
    with Workers(1, seconds=6, memory=MEMORY, queue=1) as pool, pytest.raises(DataError):
        pool.run(complying.judged, str(shared_faults / name))


@pytest.mark.parametrize(
    "name", ["one_terabyte_logical_8KB.nc", "chunk_bomb_3.6GB_in_3.5MB.nc", "segfault_h5py.nc"]
)
def test_a_bomb_is_judged_or_refused_within_its_limits(shared_faults, name):
    with Workers(1, seconds=60, memory=1_000_000_000, queue=1) as pool:
        try:
            assert pool.run(complying.judged, str(shared_faults / name))["scores"]
        except (DataError, TooLarge):
            return


def test_a_check_is_kept_while_the_file_is_the_same(workers, written, tmp_path):
    appraisals, name = holding(written, tmp_path / "home")
    assert appraisals.record(name).files == ()
    (found,) = appraisals.checked(name, workers, unexpected).files
    assert appraisals.record(name).files == (found,)
    assert Appraisals(memory.open_store(tmp_path), tmp_path / "home")  # another process would read the same
    with Workers(1, seconds=1, memory=MEMORY, queue=1) as closed:
        closed.close()
        assert appraisals.checked(name, closed, unexpected).files == (found,)
    os.utime(written, ns=(1, 1))
    assert appraisals.record(name).files == ()


def test_a_file_that_cannot_be_checked_is_told_and_the_others_go_on(workers, tmp_path):
    broken = tmp_path / "broken.nc"
    broken.write_bytes(b"<html>")
    appraisals, name = holding(broken, tmp_path / "home")
    told = []
    appraisal = appraisals.checked(name, workers, lambda file, error: told.append((file, error.code)))
    assert told == [("broken.nc", "data-unreadable")]
    assert appraisal.files == ()


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch, workers, written, tmp_path):
    appraisals, name = holding(written, tmp_path / "home")
    monkeypatch.setattr(complying, "version", lambda: "")
    with pytest.raises(BadRequest, match="not installed"):
        appraisals.checked(name, workers, unexpected)
    assert appraisals.record(name).score >= 0


def test_the_catalog_starts_without_the_checker():
    code = "import sys, catalog.appraisals, catalog.app; sys.exit('compliance_checker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
