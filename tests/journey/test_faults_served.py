"""FAULTS rows 15, 16 and 17 as a client meets them: a running server that reads files in its own threads."""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import random
import re
import select
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import netCDF4
import numpy as np
import pytest

from catalog.data import places, subset
from catalog.errors import CatalogError, DataError
from catalog.record import Distribution, Record, Text
from catalog.service import open_catalog
from catalog.settings import Settings
from catalog.source import Document
from catalog.stores import Entry
from journey.command import served

MEGABYTE = 1_000_000
AXES = (("time", "days since 2000-01-01"), ("lat", "degrees_north"), ("lon", "degrees_east"))


def catalog_of(home, files, **limits):
    """A catalog of files, each a record of its stem, whatever is in them."""
    catalog = open_catalog(Settings(home=home, **limits))
    entries = []
    for path in files:
        way = Distribution(protocol="file", address=places.address(path), size=path.stat().st_size)
        one = Record(
            id=id_of(path),
            source="made",
            native_id=path.stem,
            title=Text.of(path.stem),
            distributions=(way,),
            document_hash="0" * 64,
        )
        entries.append(Entry(document=Document(source=one.source, native_id=one.native_id), record=one))
    catalog.store.put(entries)
    return catalog


def id_of(path):
    return re.sub("[^a-z0-9]+", "_", path.stem.lower())


def gridded(path, shape=(10, 20, 30), chunks=None, kind="NETCDF4", values=None):
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for (name, units), size in zip(AXES, shape, strict=True):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = np.linspace(0, 30, size)
        options = {"zlib": True, "chunksizes": chunks} if chunks else {}
        sea = file.createVariable("sst", "f4", ("time", "lat", "lon"), **options)
        if values is not None:
            sea[:] = values
    return path


def get(base, target, host="127.0.0.1"):
    """The status, and the body as far as it came: None where it was cut off; asked from an address of loopback."""
    address = urlsplit(base)
    link = http.client.HTTPConnection(address.hostname, address.port, timeout=60, source_address=(host, 0))
    try:
        link.request("GET", target)
        answer = link.getresponse()
        try:
            return answer.status, answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            return answer.status, None
    finally:
        link.close()


def used(process):
    """Resident bytes of a process."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def among_faults(tmp_path_factory, shared_faults):
    """A server over a good file and all those made to crash, hang or flood; its readers have three seconds."""
    home = tmp_path_factory.mktemp("faults")
    good = gridded(home / "good.nc", values=np.arange(6000.0).reshape(10, 20, 30))
    catalog_of(home, [good, *sorted(shared_faults.glob("*.nc"))]).close()
    with served(home=home, BIENMO_READ_SECONDS="3") as (base, process):
        yield base, process


def test_row_15_hostile_files_among_200_good_requests(among_faults, shared_faults):
    base, process = among_faults
    wanted = get(base, "/api/datasets/good/subset.csv?variables=sst")[1]
    hostile = [id_of(path) for path in sorted(shared_faults.glob("*.nc"))]
    ways = ("subset.csv", "subset.nc", "subset.csv/estimate", "zarr/.zmetadata", "table.csv")
    with ThreadPoolExecutor(15) as theirs, ThreadPoolExecutor(6) as ours:
        bad = [
            theirs.submit(get, base, f"/api/datasets/{name}/{way}", "127.0.6.1")
            for name in hostile
            for way in ways * 2
        ]
        good = [
            ours.submit(get, base, "/api/datasets/good/subset.csv?variables=sst", "127.0.6.2")
            for _ in range(200)
        ]
        answers = {answer.result() for answer in good}
        told = [answer.result() for answer in bad]
    assert answers == {(200, wanted)}, "a good request of another client never fails"
    assert {status for status, _ in told} <= {200, 400, 404, 413, 422, 429, 502, 504}
    assert process.poll() is None
    for name in hostile:
        began = time.monotonic()
        status, body = get(base, f"/api/datasets/{name}/subset.nc")
        assert time.monotonic() - began < 1.5, name
        assert status in {413, 502}, (name, body)
    assert get(base, "/health")[0] == 200


@pytest.fixture(scope="module")
def huge(tmp_path_factory, shared_faults):
    """Files that claim a terabyte, one with a hundred thousand chunks, one with ten million, and a chunk bomb."""
    home = tmp_path_factory.mktemp("huge")
    files = [
        gridded(home / "few.nc", (10_000, 5_000, 5_000), (100, 500, 500)),
        gridded(home / "many.nc", (10_000, 5_000, 5_000), (10, 500, 500)),
        gridded(home / "most.nc", (10_000, 5_000, 5_000), (1, 250, 250)),
        shared_faults / "one_terabyte_logical_8KB.nc",
        shared_faults / "chunk_bomb_3.6GB_in_3.5MB.nc",
    ]
    with h5py.File(home / "bare.nc", "w") as file:
        file.create_dataset("a", (2, 1_000_000_000), "f4", chunks=(1, 1_000_000))
    files.append(home / "bare.nc")
    with catalog_of(home, files, queue=200) as catalog:
        catalog.warm()
        yield catalog


@pytest.mark.parametrize(
    "name", ["few", "many", "most", "one_terabyte_logical_8kb", "chunk_bomb_3_6gb_in_3_5mb", "bare"]
)
@pytest.mark.parametrize("way", ["subset", "estimate"])
def test_row_17_a_terabyte_costs_nothing_to_refuse(huge, name, way):
    """Once a file is known: 413 in 50 ms (of CPU, for a machine that others use too), a hundred at once."""

    def one(_=None):
        began = time.thread_time()
        if way == "estimate":
            assert not huge.estimate(name, subset.Cut(), "csv").allowed
            return time.thread_time() - began
        with pytest.raises(CatalogError) as caught:
            huge.subset(name, subset.Cut(), "csv")
        took = time.thread_time() - began
        assert (caught.value.code, caught.value.details["setting"][:10]) == ("too-large", "BIENMO_MAX")
        assert caught.value.details["limit"] < caught.value.details["asked"]
        assert caught.value.hint
        return took

    one()
    before = peak()
    with ThreadPoolExecutor(100) as pool:
        took = list(pool.map(one, range(100)))
    assert statistics.median(took) < 0.05
    assert peak() - before < 50 * MEGABYTE


def peak():
    """Resident bytes of this process at most, since the last time this was asked."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# --- row 16: a file that is damaged after it was harvested, before or while it is read


KINDS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "NETCDF4"]


@pytest.mark.parametrize("kind", KINDS)
def test_row_16_a_file_cut_or_changed_after_its_harvest_is_never_served_as_whole(tmp_path, kind):
    values = np.random.default_rng(16).integers(0, 999, (10, 20, 30)).astype("f4")
    chunks = (1, 20, 30) if kind == "NETCDF4" else None
    path = gridded(tmp_path / "sea.nc", chunks=chunks, kind=kind, values=values)
    content, dice = path.read_bytes(), random.Random(16)
    with catalog_of(tmp_path / "home", [path], readers=1) as catalog:
        assert np.array_equal(sea_of(b"".join(catalog.subset("sea", subset.Cut(), "nc3").pieces())), values)
        for _ in range(34):
            path.write_bytes(content[: dice.randrange(len(content))])
            with pytest.raises(CatalogError) as caught:
                catalog.subset("sea", subset.Cut(), "nc3")
            assert caught.value.status == 503
        path.write_bytes(content)
        assert np.array_equal(sea_of(b"".join(catalog.subset("sea", subset.Cut(), "nc3").pieces())), values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "flips", [20, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_row_16_a_file_with_another_byte_is_served_as_it_is_or_not_at_all(tmp_path, kind, flips):
    """One bit of a file changes after its harvest, with its time of change or behind our back.

    Chunks have checksums, and an index that is kept is not read again. What nothing guards (a cell of NetCDF-3, a
    header that is read anew) is served as the library of its format reads it, or refused.
    """
    values = np.random.default_rng(16).integers(0, 999, (10, 20, 30)).astype("f4")
    chunks = (1, 20, 30) if kind == "NETCDF4" else None
    path = gridded(tmp_path / "sea.nc", chunks=chunks, kind=kind, values=values)
    content, dice = path.read_bytes(), random.Random(16)
    state = path.stat()
    catalog_of(tmp_path / "home", [path]).close()
    refused = 0
    with served(home=tmp_path / "home") as (base, process):
        assert np.array_equal(sea_of(get(base, "/api/datasets/sea/subset.nc3")[1]), values)
        for turn in range(flips):
            bad = bytearray(content)
            bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
            path.write_bytes(bad)
            kept = turn % 2 == 0  # behind our back: the index is believed; else it is made anew
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns if kept else state.st_mtime_ns + turn))
            status, body = get(base, "/api/datasets/sea/subset.nc3", f"127.0.7.{turn % 200 + 1}")
            assert status in {200, 404, 422, 502, 503, 504}, body
            if status != 200 or body is None:
                refused += 1
                continue
            got = sea_of(body)
            if not np.array_equal(got, values):
                assert not kept or (kind != "NETCDF4" and np.sum(got != values) == 1)
                assert np.array_equal(got, by_library(path))
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert np.array_equal(sea_of(get(base, "/api/datasets/sea/subset.nc3")[1]), values)
        assert process.poll() is None
        assert refused or kind != "NETCDF4"


def by_library(path):
    """What netCDF4 reads of a damaged file, in a process of its own."""
    code = "import netCDF4, sys; sys.stdout.buffer.write(netCDF4.Dataset(sys.argv[1])['sst'][:].tobytes())"
    found = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, timeout=20, check=True
    )
    return np.frombuffer(found.stdout, "f4").reshape(10, 20, 30)


def test_reductions_that_take_too_long_do_not_put_a_good_file_out(tmp_path):
    values = np.random.default_rng(0).integers(0, 999, (400, 100, 100)).astype("f4")
    path = gridded(tmp_path / "sea.nc", (400, 100, 100), values=values)
    long = subset.parse({"reduce": "p90(longitude)"})
    with catalog_of(tmp_path / "home", [path], readers=1, read_seconds=3) as catalog:
        b"".join(catalog.subset("sea", subset.parse({"time": "2000-01-01"}), "nc").pieces())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(catalog.workers, "_limits", (0.001, *catalog.workers._limits[1:]))
            for _ in range(3):
                with pytest.raises(DataError):
                    catalog.subset("sea", long, "nc")
        with pytest.raises(DataError, match="quarantined"):
            catalog.subset("sea", long, "nc")
        assert catalog.subset("sea", subset.parse({"indices": "time[0]"}), "xlsx").size


def test_queries_of_rows_that_take_too_long_do_not_put_a_good_file_out(tmp_path):
    path = gridded(tmp_path / "sea.nc", (40, 10, 10))
    with catalog_of(tmp_path / "home", [path], readers=1) as catalog:
        assert catalog.table("sea", "sst&sst>0&time<2000-01-02", "csv").size
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(catalog.workers, "_limits", (0.001, *catalog.workers._limits[1:]))
            for _ in range(3):
                with pytest.raises(DataError):
                    catalog.table("sea", "sst&sst>0", "csv")
        with pytest.raises(DataError, match="quarantined"):
            catalog.table("sea", "sst&sst>0", "csv")
        assert catalog.subset("sea", subset.parse({"reduce": "mean(time)"}), "csv").size
        assert catalog.subset("sea", subset.parse({"indices": "time[0]"}), "xlsx").size


def test_a_file_that_changes_often_leaves_one_index_and_nothing_else(tmp_path):
    path = gridded(tmp_path / "sea.nc", values=np.zeros((10, 20, 30)))
    home = tmp_path / "home"
    with catalog_of(home, [path], readers=1) as catalog:
        for day in range(5):
            os.utime(path, ns=(day, day))
            catalog.subset("sea", subset.Cut(), "nc3").close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", full)
            os.utime(path, ns=(9, 9))
            catalog.subset("sea", subset.Cut(), "nc3").close()
    assert [one.suffix for one in (home / "chunks").iterdir()] == [".index"]


def full(*_):
    raise OSError(errno.ENOSPC, "no space")


def sea_of(content):
    with netCDF4.Dataset("whole", memory=content) as file:
        return np.asarray(file["sst"][:])


@pytest.mark.parametrize("days", [60, 240])
def test_row_16_a_file_rewritten_while_it_is_sent_breaks_the_answer_off(tmp_path, days):
    """Other numbers of the same size: what a client gets whole is of one file, or it gets no whole answer.

    The 14 MB of 60 days may be on their way before the file changes; 58 MB are more than a server has read by then.
    """
    shape = (days, 200, 300)
    old, new = (np.full(shape, number, "f4") + np.arange(300) for number in (1000, 2000))
    paths = [
        gridded(tmp_path / f"{name}.nc", shape, kind="NETCDF3_CLASSIC", values=v)
        for name, v in (("old", old), ("new", new))
    ]
    sea = tmp_path / "sea.nc"
    sea.write_bytes(paths[0].read_bytes())
    catalog_of(tmp_path / "home", [sea]).close()
    with served(home=tmp_path / "home") as (base, _):
        whole = get(base, "/api/datasets/sea/subset.nc3")[1]
        assert np.array_equal(sea_of(whole), old)
        broken = 0
        for at, pause in enumerate((0.0, 0.01, 0.03, 0.06, 0.1, 0.2)):
            target = new if at % 2 == 0 else old
            content = paths[1 if at % 2 == 0 else 0].read_bytes()
            status, body = while_read(base, pause, lambda content=content: sea.write_bytes(content))
            before = old if target is new else new
            if status == 200 and body is not None:
                assert any(np.array_equal(sea_of(body), values) for values in (before, target))
            else:
                assert status in {200, 502, 503}
                broken += 1
            status, body = get(base, "/api/datasets/sea/subset.nc3")
            assert status == 200
            assert np.array_equal(sea_of(body), target)
        assert broken or days == 60


def while_read(base, pause, change):
    """Ask for all, read a little, let the file change, and read the rest slowly."""
    address = urlsplit(base)
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        link.settimeout(60)
        link.connect((address.hostname, address.port))
        link.sendall(b"GET /api/datasets/sea/subset.nc3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with contextlib.closing(http.client.HTTPResponse(link)) as answer:
            answer.begin()
            first = answer.read(100_000)
            time.sleep(pause)
            change()
            try:
                return answer.status, first + answer.read()
            except (http.client.IncompleteRead, ConnectionError):
                return answer.status, None


# --- clients that take their time, or leave


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A server over a file whose CSV is large, and a small one; a client may take nothing for two seconds."""
    home = tmp_path_factory.mktemp("large")
    values = np.random.default_rng(0).integers(0, 999, (60, 200, 300)).astype("f4")
    files = [
        gridded(home / "large.nc", (60, 200, 300), (1, 200, 300), values=values),
        gridded(home / "small.nc", values=values[:10, :20, :30]),
    ]
    catalog_of(home, files).close()
    limits = {"BIENMO_WRITE_SECONDS": "2", "TMPDIR": str(tmp_path_factory.mktemp("temporary"))}
    with served(home=home, **limits) as (base, process):
        get(base, "/api/datasets/large/subset.csv/estimate")
        yield base, process, Path(limits["TMPDIR"])


def connected(base, host, target="/api/datasets/large/subset.csv"):
    """A client, by its address of loopback, that has asked, and has read nothing."""
    address = urlsplit(base)
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.bind((host, 0))
    link.settimeout(30)
    link.connect((address.hostname, address.port))
    link.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return link


def descriptors(process):
    """How many sockets and deleted files a process has open; each of its threads also has the database open."""
    found = 0
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            where = str(one.readlink())
            found += where.startswith("socket:") or where.endswith("(deleted)")
    return found


@pytest.mark.parametrize("crowd", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_clients_that_read_nothing_hold_nobody_up_and_are_left(large, crowd):
    base, process, temporary = large
    get(base, "/api/datasets/small/subset.csv")
    idle, before = descriptors(process), used(process)
    links = [connected(base, f"127.0.3.{number + 1}") for number in range(crowd)]
    slowest = 0.0
    try:
        for _ in range(20):
            began = time.monotonic()
            assert get(base, "/health")[0] == 200
            slowest = max(slowest, time.monotonic() - began)
            assert used(process) - before < 1_000 * MEGABYTE
            time.sleep(0.2)
        assert slowest < 5
        assert get(base, "/api/datasets/small/subset.csv")[0] == 200
        until = time.monotonic() + 120
        while descriptors(process) > idle + 3 and time.monotonic() < until:
            time.sleep(0.25)
        assert descriptors(process) <= idle + 3, "those who read nothing are left, and so are their answers"
        assert list(temporary.iterdir()) == []
    finally:
        for link in links:
            link.close()


def test_nothing_is_left_of_300_answers_that_nobody_waited_for(large):
    base, process, temporary = large
    get(base, "/api/datasets/small/subset.csv")
    idle, dice = descriptors(process), random.Random(6)
    suffixes = ("csv", "nc3", "covjson", "nc", "zarr")

    def leave(number):
        target = (
            f"/api/datasets/{dice.choice(('large', 'small'))}/subset.{dice.choice(suffixes)}?time=2000-01-01"
        )
        with connected(base, f"127.0.4.{number % 50 + 1}", target) as link:
            if dice.random() < 0.5:
                link.recv(dice.choice((1, 4096, 65_536)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(leave, range(300)))
    until = time.monotonic() + 60
    while descriptors(process) > idle + 3 and time.monotonic() < until:
        time.sleep(0.25)
    assert descriptors(process) <= idle + 3
    assert list(temporary.iterdir()) == []
    wanted = {get(base, "/api/datasets/small/subset.csv")[0] for _ in range(5)}
    with ThreadPoolExecutor(4) as pool:  # every client's turns were given back
        wanted |= set(pool.map(lambda n: small_of(base, f"127.0.4.{n + 1}"), range(50)))
    assert wanted == {200}


def small_of(base, host):
    address = urlsplit(base)
    link = http.client.HTTPConnection(address.hostname, address.port, timeout=30, source_address=(host, 0))
    link.request("GET", "/api/datasets/small/subset.csv")
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status


def test_no_answer_tells_where_things_lie(among_faults, shared_faults):
    base, _ = among_faults
    for path in sorted(shared_faults.glob("*.nc")):
        for way in (
            "subset.nc",
            "subset.csv",
            "subset.csv/estimate",
            "zarr/.zmetadata",
            "table.csv",
            "zarr/a/0.0",
        ):
            _, body = get(base, f"/api/datasets/{id_of(path)}/{way}")
            for place in (
                str(shared_faults),
                str(shared_faults.parent),
                "/tmp",
                "/root",
                "/proc",
                "site-packages",
            ):
                assert place.encode() not in (body or b""), (path.stem, way, body)
    assert json.loads(get(base, "/api/datasets/good")[1])["distributions"][0]["address"] == "good.nc"


def test_twenty_slow_clients_get_all_and_others_do_not_wait(large):
    """64 kB a second, much slower than what they asked for is made."""
    base, process, _ = large
    before, small = used(process), []
    links = [connected(base, f"127.0.5.{number + 1}") for number in range(20)]
    try:
        got = 0
        for _ in range(6 * 4):  # three times as long as a client may take nothing
            time.sleep(0.25)
            got += sum(len(link.recv(16_000)) for link in links if readable(link))
            began = time.monotonic()
            assert small_of(base, "127.0.5.100") == 200
            small.append(time.monotonic() - began)
        assert statistics.median(small) < 1
        assert got > 20 * 16_000
        assert all(link.recv(1) for link in links if readable(link))
        assert used(process) - before < 600 * MEGABYTE
    finally:
        for link in links:
            link.close()


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 10])
def test_ten_clients_get_a_large_csv_whole_or_are_told_to_come_back(large, hosts):
    """150 MB each, as fast as they take it; of one address two at a time, and the others wait for those."""
    base, process, _ = large
    before, peak = used(process), []

    def take(number):
        address = urlsplit(base)
        host = f"127.0.8.{number % hosts + 1}"
        link = http.client.HTTPConnection(
            address.hostname, address.port, timeout=120, source_address=(host, 0)
        )
        with contextlib.closing(link):
            link.request("GET", "/api/datasets/large/subset.csv")
            answer, told, size = link.getresponse(), hashlib.sha256(), 0
            while piece := answer.read(1 << 20):
                told.update(piece)
                size += len(piece)
                peak.append(used(process) - before)
            return answer.status, size if answer.status == 200 else 0, told.hexdigest()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(take, range(10)))
    assert {status for status, _, _ in answers} <= {200, 429}
    assert len({(size, told) for status, size, told in answers if status == 200}) == 1
    assert sum(status == 200 for status, _, _ in answers) >= 8
    assert max(peak) < 600 * MEGABYTE


def readable(link):
    return bool(select.select([link], [], [], 0)[0])
