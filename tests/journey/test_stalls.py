"""FAULTS row 14: a remote server that stalls holds up neither local data nor other servers; the figures."""

import contextlib
import http.client
import http.server
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from catalog.record import Distribution, Record, Text
from catalog.source import Document
from catalog.stores import Entry, sqlite
from elsewhere import files, grid, listening
from journey.command import served

BOX = "bbox=10,10,20,20&variables=sst"
STALLED = 8  # twice the pool


def entry(name, protocol, address):
    document = Document(source="s", native_id=name, content=name.encode(), url="https://example.org/")
    record = Record(
        id=name,
        source="s",
        native_id=name,
        title=Text(und=name),
        distributions=(Distribution(protocol=protocol, address=address),),
        document_hash=document.hash,
    )
    return Entry(document=document, record=record)


@contextlib.contextmanager
def stalling():
    """A server that takes requests and answers none of them."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            stop.wait(60)

    with listening(Handler) as address:
        try:
            yield address
        finally:
            stop.set()


def ask(base, name, client="127.0.1.1"):
    """Its status, its seconds, and the time of the next try that it is told."""
    place, began = urlsplit(base), time.monotonic()
    connection = http.client.HTTPConnection(
        place.hostname, place.port, timeout=120, source_address=(client, 0)
    )
    with contextlib.closing(connection):
        connection.request("GET", f"/api/datasets/{name}/subset.csv?{BOX}")
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began, answer.headers["retry-after"]


def timed(base, name):
    """The p95 of its requests, the median of three rounds."""
    rounds = []
    for _ in range(3):
        found = [ask(base, name) for _ in range(40)]
        assert {status for status, *_ in found} == {200}
        rounds.append(statistics.quantiles([spent for _, spent, _ in found], n=20)[-1])
    return statistics.median(rounds)


@pytest.mark.slow
def test_others_stay_fast_while_a_server_stalls(tmp_path):
    grid(tmp_path / "grid.nc")
    home = tmp_path / "home"
    home.mkdir()
    with stalling() as stalled, files(tmp_path) as site:
        good = site.address.replace("127.0.0.1", "localhost")
        with contextlib.closing(sqlite.open_store(home)) as store:
            stalled_ones = [entry(f"stalled{n}", "opendap", f"{stalled}/{n}") for n in range(STALLED)]
            near = entry("local", "file", str(tmp_path / "grid.nc"))
            store.put([near, entry("good", "http", f"{good}/grid.nc"), *stalled_ones])
        with served(
            home=home,
            BIENMO_ALLOW_HOSTS="127.0.0.1,localhost",
            BIENMO_FETCH_STALL_SECONDS="20",
            BIENMO_REMOTE_CACHE_SECONDS="0",
        ) as (base, _):
            timed(base, "good")
            alone = {name: timed(base, name) for name in ("local", "good")}
            outcomes = []
            crowd = [
                threading.Thread(
                    target=lambda n=n: outcomes.append(ask(base, f"stalled{n}", f"127.0.2.{n + 1}"))
                )
                for n in range(STALLED)
            ]
            for thread in crowd:
                thread.start()
            time.sleep(2)
            beside = {name: timed(base, name) for name in ("local", "good")}
            under_way = sum(thread.is_alive() for thread in crowd)
            for thread in crowd:
                thread.join()
            refused = ask(base, "stalled0")
    for name, seconds in alone.items():
        sys.stdout.write(f"\n{name}: p95 alone {seconds * 1e3:.0f} ms, beside {beside[name] * 1e3:.0f} ms")
    sys.stdout.write(f"\n{STALLED} stalled: {[(s, round(t, 1)) for s, t, _ in outcomes]}, then {refused}\n")
    assert under_way == STALLED, "the others were asked while all of these waited"
    assert refused[0] == 502
    assert refused[1] < 0.5
    assert 0 < int(refused[2]) <= 60
    assert all(beside[name] < 2 * alone[name] for name in alone)
