"""SIGKILL of the server in a subset: FAULTS row 2, with the real command, under load; the figures."""

import contextlib
import http.client
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from benchmarks.process import Server, free_port
from journey.command import bienmo

LARGE = "/api/datasets/made-sea/subset.csv"
SMALL = f"{LARGE}?time=2000-01-02&bbox=0,0,3,3"
SHAPE = (30, 200, 200)
CLIENTS = 4
READY = 3.0
"""Seconds, by FAULTS.md; asked for in the slow form only, which has the machine for itself."""


class Served:
    """A server on a port, which may be killed and begun anew; its files go into a folder of their own."""

    def __init__(self, home: Path, temporary: Path) -> None:
        self.port, self.home, self.temporary = free_port(), home, temporary
        self.base = f"http://127.0.0.1:{self.port}"

    def begin(self) -> float:
        """Start it; the seconds until it was ready."""
        began = time.monotonic()
        words = ["serve", "--port", str(self.port), "--home", str(self.home)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "catalog", *words],
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while time.monotonic() - began < 60:
            assert self.process.poll() is None, "it ended by itself"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.base}/health", timeout=5).close()
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError("not ready after 60 s")

    def cut(self) -> bytes:
        with urllib.request.urlopen(self.base + SMALL, timeout=60) as answer:
            return answer.read()

    def ask_until_it_dies(self) -> bool:
        """Ask for cuts one after another; whether the last one broke off in its middle."""
        while True:
            answer = b""
            try:
                with urllib.request.urlopen(self.base + LARGE, timeout=60) as sent:
                    answer = sent.read(1)
                    sent.read()
            except (OSError, http.client.HTTPException):
                return bool(answer)

    def kill(self) -> list[int]:
        """Send SIGKILL; the processes that it had begun."""
        family = Server("killed", self.process.pid, self.port).tree()
        self.process.kill()
        self.process.wait()
        return family[1:]


def harvested(folder: Path, home: Path) -> None:
    """A catalog of one file, whose answers take seconds."""
    folder.mkdir()
    with netCDF4.Dataset(folder / "sea.nc", "w") as file:
        units = ("days since 2000-01-01", "degrees_north", "degrees_east")
        for name, size, unit in zip(("time", "lat", "lon"), SHAPE, units, strict=True):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = unit
            file[name][:] = np.arange(size) / 10 if name != "time" else np.arange(size)
        file.createVariable("sst", "f4", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 50, 50))
        file["sst"][:] = np.random.default_rng(1).random(SHAPE)
    sources = folder / "sources.toml"
    sources.write_text(f'[[source]]\nid = "made"\nprotocol = "files"\nurl = "{folder}"\n', "utf-8")
    bienmo("harvest", "--sources", str(sources), home=home)


def lives(pid: int) -> bool:
    """Whether a process runs: one that waits for its parent to take note of its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("kills", "most"),
    [(3, 60.0), pytest.param(20, READY, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
def test_a_killed_server_is_back_at_once_and_leaves_nothing(kills: int, most: float, tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    temporary.mkdir()
    harvested(tmp_path / "data", home)
    server, chance = Served(home, temporary), random.Random(2)
    ready, cut_off, relatives, slowest_end = [server.begin()], 0, 0, 0.0
    whole = server.cut()
    assert whole.count(b"\n") > 100
    for _ in range(kills):
        with ThreadPoolExecutor(CLIENTS) as pool:
            shutil.rmtree(
                home / "cache", ignore_errors=True
            )  # the next cuts are in the middle of indexing, too
            asked = [pool.submit(server.ask_until_it_dies) for _ in range(CLIENTS)]
            time.sleep(chance.uniform(0.2, 1))
            family, ended = server.kill(), time.monotonic()
        cut_off += any(each.result() for each in asked)
        relatives += len(family)
        while any(map(lives, family)) and time.monotonic() - ended < 10:
            time.sleep(0.01)
        assert not any(map(lives, family)), "a process outlived the server"
        slowest_end = max(slowest_end, time.monotonic() - ended)
        ready.append(server.begin())
        assert server.cut() == whole
    server.kill()
    left = [*temporary.rglob("*"), *home.rglob("tmp*"), *home.rglob("*.part")]
    sys.stdout.write(
        f"\n{kills} kills, {cut_off} in the middle of an answer: ready again after {max(ready[1:]):.2f} s at most, "
        f"{relatives} relatives gone after {slowest_end:.2f} s at most, {len(left)} temporary files\n"
    )
    assert left == []
    assert relatives > 0
    assert cut_off > 0
    assert max(ready[1:]) < most
