"""Fifty clients at once against a real server: no crash, no wrong number, no 5xx."""

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
import xarray as xr

from journey.command import served

SEA_LEVEL = "sample-cmems_sea_level_20190223_bien_dong"
SUFFIXES = ("csv", "covjson")  # each client has an address of its own, as clients have


def numbers(suffix, body):
    if suffix == "covjson":
        values = json.loads(body)["ranges"]["adt"]["values"]
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    rows = body.decode().splitlines()
    column = rows[0].split(",").index("adt")
    return np.array([float(cell) if (cell := row.split(",")[column]) else np.nan for row in rows[1:]])


def one_client(base, truth, seed, until, told):
    dice, address = random.Random(seed), urlsplit(base)
    connection = http.client.HTTPConnection(
        address.hostname, address.port, timeout=60, source_address=(f"127.0.3.{seed + 1}", 0)
    )
    while time.monotonic() < until:
        west, south = dice.uniform(99.5, 118), dice.uniform(0, 20)
        width, height = dice.uniform(0.5, 5), dice.uniform(0.5, 5)
        box = (west, south, min(west + width, 121.8), min(south + height, 24.8))
        suffix = dice.choice(SUFFIXES)
        query = urlencode({"variables": "adt", "bbox": ",".join(map(str, box))})
        connection.request("GET", f"/api/datasets/{SEA_LEVEL}/subset.{suffix}?{query}")
        answer = connection.getresponse()
        body = answer.read()
        told[answer.status] += 1
        if answer.status == 200:
            wanted = truth.sel(longitude=slice(box[0], box[2]), latitude=slice(box[1], box[3])).values.ravel()
            if not np.array_equal(numbers(suffix, body), wanted, equal_nan=True):
                told["wrong"] += 1
    connection.close()


def load(home, shared_sample, seconds, clients=50):
    with xr.open_dataset(shared_sample / "cmems_sea_level_20190223_bien_dong.nc") as source:
        truth = source["adt"].load()
    told = Counter()
    with served(home=home) as (base, process):
        until = time.monotonic() + seconds
        crowd = [
            threading.Thread(target=one_client, args=(base, truth, seed, until, told), daemon=True)
            for seed in range(clients)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(seconds + 90)
        assert process.poll() is None, "the server died"
    sys.stdout.write(f"\n{clients} clients, {seconds} s: {dict(told)}\n")
    return told


def test_fifty_clients_get_right_numbers(sample_home, shared_sample):
    told = load(sample_home, shared_sample, seconds=4)
    assert set(told) == {200}


@pytest.mark.slow
def test_fifty_clients_for_a_minute_get_right_numbers(sample_home, shared_sample):
    told = load(sample_home, shared_sample, seconds=60)
    assert set(told) == {200}
