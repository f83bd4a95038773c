"""FAULTS row 18: a greedy client waits for itself; the polite ones hardly notice it."""

import http.client
import statistics
import sys
import threading
import time
from collections import Counter
from urllib.parse import quote, urlsplit

import netCDF4
import numpy as np
import pytest

from journey.command import bienmo, served

POLITE = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A catalog of one dataset that takes its time to be reckoned over, and a moment to be cut."""
    folder = tmp_path_factory.mktemp("fair")
    with netCDF4.Dataset(folder / "large.nc", "w") as file:
        for name, size, units in (
            ("time", 40, "days since 2000-01-01"),
            ("lat", 120, "degrees_north"),
            ("lon", 150, "degrees_east"),
        ):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = np.linspace(0, 80, size)
        sea = file.createVariable("sst", "i2", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 120, 150))
        sea[:] = np.random.default_rng(0).integers(0, 3000, (40, 120, 150))
    sources = folder / "sources.toml"
    sources.write_text(f'[[source]]\nid = "fair"\nprotocol = "files"\nurl = "{folder}"\n')
    bienmo("harvest", "--sources", str(sources), home=folder / "home")
    return folder / "home"


def ask(base, host, query, suffix="csv"):
    """A request of the client at an address of loopback: its status, its header, its seconds."""
    address = urlsplit(base)
    began = time.monotonic()
    connection = http.client.HTTPConnection(
        address.hostname, address.port, timeout=120, source_address=(host, 0)
    )
    connection.request("GET", f"/api/datasets/fair-large/subset.{suffix}?{query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers, time.monotonic() - began


SMALL = "bbox=10,10,11,11&time=2000-01-01/2000-01-03"
HEAVY = f"reduce={quote('p90(time)')}"


def polite(base, seconds):
    """What ten clients see that ask for little, one thing after another: statuses and the seconds each took."""
    statuses, took, until = Counter(), [], time.monotonic() + seconds

    def one(host):
        while time.monotonic() < until:
            status, _, spent = ask(base, host, SMALL)
            statuses[status] += 1
            took.append(spent)
            time.sleep(0.02)

    crowd = [threading.Thread(target=one, args=(f"127.0.1.{number + 1}",)) for number in range(POLITE)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return statuses, took


def greedy(base, requests):
    """What one client sees that asks for much at once: its statuses and the waiting it is told."""
    statuses, told = Counter(), set()

    def one():
        status, headers, _ = ask(base, "127.0.2.1", HEAVY, "nc")
        statuses[status] += 1
        told.add(headers["retry-after"])

    crowd = [threading.Thread(target=one) for _ in range(requests)]
    for thread in crowd:
        thread.start()
    return crowd, statuses, told


def test_a_greedy_client_is_held_back_and_nobody_else(home):
    with served(home=home) as (base, _):
        ask(base, "127.0.1.1", SMALL)
        crowd, statuses, told = greedy(base, 40)
        others, _ = polite(base, 1)
        for thread in crowd:
            thread.join()
    assert set(others) == {200}
    assert (
        statuses[429] >= 40 - 17 - 5
    )  # two at work and fifteen waiting, and those whose turn came meanwhile
    assert statuses[200] >= 17
    assert statuses[200] + statuses[429] == 40
    assert told == {None, "5"}


@pytest.mark.slow
def test_polite_clients_hardly_notice_a_greedy_one(home):
    ratios = []
    with served(home=home) as (base, _):
        polite(base, 2)
        for _ in range(3):
            _, alone = polite(base, 5)
            crowd, _, _ = greedy(base, 17)
            _, beside = polite(base, 5)
            for thread in crowd:
                thread.join()
            quantiles = [statistics.quantiles(took, n=20)[-1] for took in (alone, beside)]
            ratios.append(quantiles[1] / quantiles[0])
            sys.stdout.write(
                f"\np95 alone {quantiles[0] * 1e3:.0f} ms, beside a greedy one {quantiles[1] * 1e3:.0f} ms\n"
            )
    assert statistics.median(ratios) < 3
