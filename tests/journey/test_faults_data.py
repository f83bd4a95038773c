"""FAULTS.md rows 15, 16 and 17: files that crash, hang, are cut short or claim a terabyte."""

import contextlib
import random
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest

from catalog import formats
from catalog.data import opening, subset
from catalog.data.workers import Workers
from catalog.errors import CatalogError, DataError, DataUnreadable, TooLarge, WorkerCrashed, WorkerTimeout
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
MEGABYTE = 1_000_000
CUTS = 25


def open_plainly(path):
    """What a reader without our checks would do."""
    with netCDF4.Dataset(path) as file:
        return sum(int(np.size(variable[:])) for variable in file.variables.values())


def walk_with_h5py(path):
    names = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append((name, dict(item.attrs), getattr(item, "shape", None)))
        )
        for name, _, shape in names:
            if shape is not None:
                file[name][...]
    return len(names)


def cut_to_netcdf(path, parameters, limits=LIMITS):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as dataset:
        yield from formats.named("nc").write(subset.cut(dataset, subset.parse(parameters), "some-id", limits))


def cost_of(path):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as dataset:
        return subset.cost(dataset, subset.Cut())


def cut_and_measure(path):
    """The seconds and the bytes of memory that a refused cut took in its worker."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(TooLarge):
        list(cut_to_netcdf(path, {}))
    return time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def test_row_15_hostile_files_cost_themselves_only(shared_faults, shared_sample):
    """Among 200 good requests, files that hang or crash their reader: no good one fails, and each is out after two."""
    good = shared_sample / "coads_climatology_bien_dong.nc"
    hostile = [
        (open_plainly, shared_faults / "hang_netcdf3.nc"),
        (open_plainly, shared_faults / "hang_netcdf4.nc"),
        (walk_with_h5py, shared_faults / "segfault_h5py.nc"),
    ]
    with (
        Workers(3, seconds=3, memory=500 * MEGABYTE, queue=300) as workers,
        ThreadPoolExecutor(24) as threads,
    ):
        expected = workers.run(open_plainly, str(good))
        calls = [threads.submit(workers.run, open_plainly, str(good)) for _ in range(200)]
        bad = [
            threads.submit(workers.run, job, str(path), key=str(path))
            for _ in range(4)
            for job, path in hostile
        ]
        assert {call.result() for call in calls} == {expected}
        assert all(isinstance(call.exception(), DataError) for call in bad)
        for job, path in hostile[1:]:  # the first ends by its memory, without a crash
            began = time.monotonic()
            with pytest.raises(DataUnreadable, match="quarantined"):
                workers.run(job, str(path), key=str(path))
            assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", ["hang_netcdf3.nc", "hang_netcdf4.nc", "segfault_h5py.nc"])
def test_row_15_our_own_reading_of_hostile_files_ends(shared_faults, name):
    with Workers(1, seconds=3, memory=500 * MEGABYTE, queue=0) as workers:
        began = time.monotonic()
        with contextlib.suppress(DataUnreadable, WorkerCrashed, WorkerTimeout):
            assert workers.run(opening.describe, str(shared_faults / name))["variables"]
        assert time.monotonic() - began < 10
        assert workers.run(len, "alive") == 5


CLASSIC = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4"]


@pytest.fixture(scope="module", params=CLASSIC)
def whole(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.nc"
    with netCDF4.Dataset(path, "w", format=request.param) as file:
        for name, size in (("time", None), ("lat", 20), ("lon", 30)):
            file.createDimension(name, size)
        for name, units in (
            ("time", "days since 2000-01-01"),
            ("lat", "degrees_north"),
            ("lon", "degrees_east"),
        ):
            file.createVariable(name, "f8", (name,)).units = units
        file["lat"][:], file["lon"][:] = np.arange(20), np.arange(30)
        data = file.createVariable("sst", "f4", ("time", "lat", "lon"))
        data[:10] = np.arange(6000.0).reshape(10, 20, 30) + 1
        file["time"][:] = np.arange(10)
    return path


def test_row_16_a_file_cut_short_is_never_taken_for_whole(whole, tmp_path):
    content = whole.read_bytes()
    rng = random.Random(16)
    lengths = [rng.randrange(len(content) - 4) for _ in range(CUTS)]
    part = tmp_path / "part.nc"
    with Workers(1, seconds=20, memory=500 * MEGABYTE, queue=0) as workers:
        part.write_bytes(content)
        assert workers.run(opening.describe, str(part))["coverage"]["boxes"] == [[0, 0, 29, 19]]
        for length in lengths:
            part.write_bytes(content[:length])
            with pytest.raises(DataError):
                workers.run(opening.describe, str(part))
            with pytest.raises(DataError):
                workers.spool(cut_to_netcdf, str(part), {"variables": "sst"})


@pytest.mark.parametrize("name", ["one_terabyte_logical_8KB.nc", "chunk_bomb_3.6GB_in_3.5MB.nc"])
def test_row_17_a_terabyte_is_refused_before_it_is_read(shared_faults, name):
    path = str(shared_faults / name)
    with (
        Workers(2, seconds=20, memory=500 * MEGABYTE, queue=100) as workers,
        ThreadPoolExecutor(100) as threads,
    ):
        workers.run(cost_of, path)
        answers = list(threads.map(lambda _: workers.run(cut_and_measure, path), range(100)))
        seconds, memory = (sorted(column) for column in zip(*answers, strict=True))
        assert seconds[len(seconds) // 2] < 0.05
        assert max(memory) < 50 * MEGABYTE


def test_row_17_a_chunk_bomb_behind_a_small_box_is_refused_by_what_it_inflates(tmp_path):
    """A single cell is asked for, but its chunk inflates to more than is allowed."""
    path = tmp_path / "bomb.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
            file.createDimension(name, 3000)
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = np.linspace(0, 30, 3000)
        file.createVariable("zero", "f4", ("lat", "lon"), zlib=True, chunksizes=(3000, 3000))[:] = 0
    limits = subset.Limits(result_bytes=10**9, decoded_bytes=20 * MEGABYTE)
    with Workers(1, seconds=20, memory=500 * MEGABYTE, queue=0) as workers:
        with pytest.raises(TooLarge) as caught:
            workers.spool(cut_to_netcdf, str(path), {"bbox": "1,1,1.01,1.01"}, limits)
        assert caught.value.details["setting"] == "BIENMO_MAX_DECODED_BYTES"
        with workers.spool(cut_to_netcdf, str(path), {"bbox": "1,1,1.01,1.01"}) as spool:
            assert spool.size < MEGABYTE


def test_row_17_a_hostile_coordinate_is_not_loaded(tmp_path):
    """A coordinate of two billion values in a few kilobytes costs no memory."""
    path = tmp_path / "long.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("lon", 2_000_000_000)
        file.createDimension("lat", 2)
        file.createVariable("lon", "f8", ("lon",), chunksizes=(1_000_000,)).units = "degrees_east"
        file.createVariable("lat", "f8", ("lat",)).units = "degrees_north"
        file.createVariable("a", "f4", ("lat", "lon"), chunksizes=(1, 1_000_000))
    with Workers(1, seconds=20, memory=200 * MEGABYTE, queue=0) as workers:
        found = workers.run(opening.describe, str(path))
        assert "coordinate-unreadable" in [problem["code"] for problem in found["coverage"]["problems"]]
        with pytest.raises(CatalogError):
            workers.spool(cut_to_netcdf, str(path), {"bbox": "0,0,1,1"})


def test_the_memory_of_the_server_stays_bounded_while_answers_are_sent(tmp_path):
    """A spooled answer of 200 MB passes through the parent in pieces."""
    with Workers(1, seconds=60, memory=500 * MEGABYTE, queue=0) as workers:
        workers.run(len, "warm")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with workers.spool(many_bytes, 200) as spool:
            assert spool.size == 200 * MEGABYTE
            assert sum(len(piece) for piece in spool.pieces()) == spool.size
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 50 * MEGABYTE


def many_bytes(megabytes):
    for _ in range(megabytes):
        yield b"x" * MEGABYTE


def test_no_temporary_file_is_left(tmp_path, shared_sample, monkeypatch):
    """Also not when the worker is killed in the middle of writing."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Workers(1, seconds=20, memory=500 * MEGABYTE, queue=0) as workers:
        path = str(shared_sample / "coads_climatology_bien_dong.nc")
        workers.spool(cut_to_netcdf, path, {}).close()
        thread = threading.Thread(target=_refused, args=(workers, endless))
        thread.start()
        time.sleep(1)
        workers.close()
        thread.join(10)
        assert not thread.is_alive()
    assert list(Path(tmp_path).iterdir()) == []


def endless():
    while True:
        yield b"x" * MEGABYTE
        time.sleep(0.01)


def _refused(workers, job):
    with pytest.raises(CatalogError):
        workers.spool(job)
