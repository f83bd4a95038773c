"""A server as a process tree on loopback: begun, asked, weighed in CPU time and memory, ended."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

OK = 200
"""The status of a good answer."""

_PIECE = 1 << 20
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Answer(NamedTuple):
    """What a server answered: its status, the bytes of the body, and the body's start."""

    status: int
    size: int
    start: bytes


class Client:
    """One client with one connection, kept open where the server keeps it; bodies are counted and dropped.

    Args:
        port: The server's port on loopback.
        source: The client's own address, one of 127.0.0.0/8.
    """

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=600, source_address=(source, 0))
        self._piece = memoryview(bytearray(_PIECE))

    def ask(self, path: str) -> Answer:
        """GET a path and drop its whole body. Raises OSError or HTTPException where it breaks off."""
        self._wire.request("GET", path)
        answer = self._wire.getresponse()
        size, start = 0, b""
        while got := answer.readinto(self._piece):
            start = start or bytes(self._piece[: min(got, 200)])
            size += got
        promised = answer.getheader("Content-Length")
        if promised is not None and int(promised) != size:
            raise http.client.IncompleteRead(start, int(promised) - size)
        return Answer(answer.status, size, start)

    def ask_slowly(self, path: str, pace: float, until: float) -> tuple[int, int]:
        """GET a path, read `pace` bytes a second until a time (of time.monotonic), leave; status and bytes read."""
        self._wire.sock = _narrow(self._wire)
        self._wire.request("GET", path)
        answer = self._wire.getresponse()
        size = 0
        while (now := time.monotonic()) < until:
            got = answer.read(int(pace / 4))
            if not got:
                break
            size += len(got)
            time.sleep(max(0.0, 0.25 - (time.monotonic() - now)))
        answer.close()
        self.close()
        return answer.status, size

    def whole(self, path: str) -> tuple[int, bytes]:
        """GET a path; return the status and the body."""
        self._wire.request("GET", path)
        answer = self._wire.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """Let go of the connection."""
        self._wire.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()


def _narrow(wire: http.client.HTTPConnection) -> socket.socket:
    """A connection whose receiving buffer is small, as far away clients' windows are."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # before the window is agreed on
    found.settimeout(wire.timeout)
    found.bind(wire.source_address)
    found.connect((wire.host, wire.port))
    return found


class Server(NamedTuple):
    """A server that runs: its name, first process, and port."""

    name: str
    pid: int
    port: int

    def client(self, source: str = "127.0.0.1") -> Client:
        """Return a client of it."""
        return Client(self.port, source)

    def tree(self) -> list[int]:
        """Return the process ids of the server and all its descendants."""
        found, at = [self.pid], 0
        while at < len(found):
            for task in Path(f"/proc/{found[at]}/task").glob("*/children"):
                found += map(int, _read(task).split())
            at += 1
        return found

    def connections(self) -> list[int]:
        """Return how many connections of its port each process of the tree has, of those that have any.

        proc(5): /proc/net/tcp, and /proc/PID/fd, which names sockets by the inodes there.
        """
        lines = [line.split() for line in _read("/proc/net/tcp").splitlines()[1:]]
        local, established = f":{self.port:04X}", "01"
        there = {
            f"socket:[{line[9]}]" for line in lines if line[1].endswith(local) and line[3] == established
        }
        counts = [len(there.intersection(_open(pid))) for pid in self.tree()]
        return [count for count in counts if count]

    def cpu(self) -> float:
        """Return the seconds of CPU (user and system) that the tree has used, ended processes included."""
        return sum(map(_cpu_seconds, self.tree()))

    def resident(self) -> int:
        """Return the resident bytes of the tree; what processes share counts for each."""
        return sum(_status(pid, "VmRSS") for pid in self.tree())

    def forget_peak(self) -> None:
        """Let every process's peak of resident memory begin anew (proc(5), clear_refs)."""
        for pid in self.tree():
            Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")

    def peak(self) -> int:
        """Return the sum of the peaks of resident memory, bytes: never below the tree's real peak."""
        return sum(_status(pid, "VmHWM") for pid in self.tree())


def _open(pid: int) -> Iterator[str]:
    """What a process has open, by its links in /proc."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield str(link.readlink())


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cpu_seconds(pid: int) -> float:
    """A process's own CPU clock (clock_getcpuclockid(3): nanoseconds, ended threads too), and its ended children."""
    try:
        own = time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return own + (sum(map(int, fields[13:15])) * _TICK if len(fields) > 14 else 0.0)


def _status(pid: int, name: str) -> int:
    """Bytes of a line of /proc/PID/status; 0 where the process has ended."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def served(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    environment: Mapping[str, str] | None = None,
    ready: str = "/",
    log: Path,
) -> Iterator[Server]:
    """Run a command that serves on a port, until it answers; yield it; end it. Raises RuntimeError if it ends early."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment or {}),
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait(process, port, ready, log)
        yield Server(name, process.pid, port)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended: {log.read_text('utf-8', 'replace')[-2000:]}")
        try:
            with Client(port) as client:
                client.ask(ready)
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(
        f"{process.args!r} was not ready after 60 s: {log.read_text('utf-8', 'replace')[-2000:]}"
    )
