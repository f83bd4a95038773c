"""Several processes of one server: connections are spread over them, and all of them end."""

import os
import re
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from journey.command import served

REQUEST = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += family(int(child))
    return found


def established(port: int) -> set[str]:
    """The connections of a port of loopback, as /proc/PID/fd names them (proc(5))."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"}


def serving(pid: int, port: int) -> list[int]:
    """How many connections of a port each process of a family has, of those that have any."""
    there, counts = established(port), []
    for process in family(pid):
        names = set()
        with suppress(OSError):
            for one in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    names.add(str(one.readlink()))
        counts.append(len(names & there))
    return [count for count in counts if count]


def ask(link: socket.socket) -> None:
    link.sendall(REQUEST)
    answer = link.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert int(re.search(rb"(?i)content-length: (\d+)", answer)[1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A server of two processes that are both ready: each has been given connections."""
    home = tmp_path_factory.mktemp("pair")
    with served("serve", "--workers", "2", home=home) as (base, process):
        address = (urlsplit(base).hostname, urlsplit(base).port)
        for _ in range(100):
            with ExitStack() as links:
                for _ in range(8):
                    ask(links.enter_context(socket.create_connection(address, 30)))
                if len(serving(process.pid, address[1])) == 2:
                    break
            time.sleep(0.2)
        else:
            raise RuntimeError("the second process takes nothing")
        yield process, address


def test_each_process_takes_its_share_of_the_connections(pair):
    """Of two connections each has one, of many each at least a quarter; not always, where the machine is busy."""
    process, address = pair
    shares = []
    for _ in range(12):
        with ExitStack() as links:
            while serving(process.pid, address[1]):  # of those that asked before
                time.sleep(0.05)
            for count in range(1, 17):
                ask(links.enter_context(socket.create_connection(address, 30)))
                if count == 2:
                    first = serving(process.pid, address[1])
            shares.append((first == [1, 1], min(serving(process.pid, address[1])) >= 4))
    assert sum(two for two, _ in shares) >= 8
    assert sum(many for _, many in shares) >= 8


def test_processes_that_both_have_connections_take_the_next(pair):
    """One that has some waits, but not for ever: 64 are kept, and 50 more are answered one after another."""
    process, address = pair
    with ExitStack() as links:
        for _ in range(64):
            ask(links.enter_context(socket.create_connection(address, 30)))
        assert sum(serving(process.pid, address[1])) == 64
        for _ in range(50):
            with socket.create_connection(address, 30) as link:
                ask(link)


def test_all_processes_end(tmp_path):
    with served("serve", "--workers", "2", home=tmp_path) as (_, process):
        pids = family(process.pid)
        assert len(pids) >= 3
    left = [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]  # noqa: PTH110 - of a zombie it is none
    assert not left
