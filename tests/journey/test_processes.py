"""Several processes of one server: connections are spread over them, and all of them end."""

import os
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from benchmarks.hosts import await_all
from benchmarks.process import Server
from journey.command import served


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A server of two processes that both take connections."""
    with served("serve", "--workers", "2", home=tmp_path_factory.mktemp("pair")) as (base, process):
        server = Server("pair", process.pid, urlsplit(base).port)
        await_all(server, 2)
        yield server


def test_each_process_takes_its_share_of_the_connections(pair):
    """Of two connections each has one, of many each at least a quarter; not always, where the machine is busy."""
    shares = []
    for _ in range(12):
        with ExitStack() as links:
            for _ in range(200):
                if not pair.connections():  # of those that asked before
                    break
                time.sleep(0.05)
            for count in range(1, 17):
                links.enter_context(pair.client()).ask("/health")
                if count == 2:
                    first = pair.connections()
            shares.append((first == [1, 1], min(pair.connections()) >= 4))
    assert sum(two for two, _ in shares) >= 8
    assert sum(many for _, many in shares) >= 8


def test_processes_that_both_have_connections_take_the_next(pair):
    """One that has some waits, but not for ever: 64 are kept, and 50 more are answered one after another."""
    with ExitStack() as links:
        for _ in range(64):
            links.enter_context(pair.client()).ask("/health")
        assert sum(pair.connections()) == 64
        for _ in range(50):
            with pair.client() as client:
                assert client.ask("/health").status == 200


def test_all_processes_end(tmp_path):
    with served("serve", "--workers", "2", home=tmp_path) as (_, process):
        pids = Server("ends", process.pid, 0).tree()
        assert len(pids) >= 3
    left = [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]  # noqa: PTH110 - of a zombie it is none
    assert not left
