"""The process that makes workers: it imports the heavy libraries once, then forks a worker at each request.

`catalog.data.workers` starts it as `python -c …` with one end of a Unix socket. Each request carries the
worker's socket, the answer carries a pidfd of the new worker (a handle that can neither be reused nor
mistaken). It never imports the program's `__main__`, has one thread, and ends when its socket closes, that
is when the program ends, in whatever way; its workers then get SIGKILL from the kernel (prctl(2),
PR_SET_PDEATHSIG).

A message between program and worker is a header of 10 bytes (kind, whether the worker is spent, length of the
body) and a body: a job is pickled, results and errors are JSON, for a worker that has read hostile data is not
trusted; with kind `f` a file descriptor travels along (unix(7), SCM_RIGHTS).
"""

import contextlib
import ctypes
import gc
import importlib
import io
import os
import pickle
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from catalog.data.places import shown
from catalog.errors import CatalogError, DataUnreadable, TooLarge
from catalog.tuning import NEW_OBJECTS, loading

HEADER = struct.Struct("!c?Q")
PRELOAD = ("netCDF4", "h5py", "xarray", "zarr", "pyarrow.csv", "pyarrow.parquet", "orjson", "cftime")
_PR_SET_PDEATHSIG = 1
_MOST_NAMES = 1 << 16
_GRACE_SECONDS = 1.0
_SPENT_SHARE = 4


def main(control_fd: int, preload: Sequence[str]) -> None:
    """Serve requests for workers, which have some modules from their birth, until the control socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _import(preload)
    with contextlib.suppress(Exception):
        sys.modules["xarray"].backends.list_engines()  # looked up once here, not in every worker
    gc.set_threshold(NEW_OBJECTS, 10, 10)
    control = socket.socket(fileno=control_fd)
    nursery = os.getpid()
    while True:
        modules, fds, _, _ = socket.recv_fds(control, _MOST_NAMES, 1)
        if not fds:
            return
        _import(modules.decode().split())
        pid = os.fork()
        if pid == 0:
            control.close()
            _live(fds[0], nursery)
        handle = os.pidfd_open(pid)
        socket.send_fds(control, [b"w"], [handle])
        os.close(handle)
        os.close(fds[0])


def _import(names: Iterable[str]) -> None:
    """Import what workers will need, so that each has it from its birth; what cannot be imported fails there."""
    new = [name for name in names if name not in sys.modules]
    with loading():
        for name in new:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if new:
        gc.collect()
        gc.freeze()


def _live(fd: int, nursery: int) -> None:
    """A worker's whole life; never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == nursery:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _serve(socket.socket(fileno=fd))
    finally:
        os._exit(0)


def _serve(link: socket.socket) -> None:
    """Do one job after another, each under its limits, until the program is gone."""
    start = _address_space()
    while (message := receive(link)) is not None:
        job, args, wants_file, seconds, memory, file_limit = pickle.loads(message[2])  # noqa: S301 - from the program
        resource.setrlimit(resource.RLIMIT_AS, (start + memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
        with contextlib.ExitStack() as files:
            fds = []
            try:
                if wants_file:
                    file = files.enter_context(tempfile.TemporaryFile(buffering=0))
                    kind, length, body = b"f", _spool(file, job(*args), file_limit), b""
                    fds = [file.fileno()]
                else:
                    body = orjson.dumps(job(*args))
                    kind, length = b"r", len(body)
            except (Exception, MemoryError) as error:  # noqa: BLE001 - whatever a job raises becomes a CatalogError
                body = _written(_said(error, memory))
                kind, length, fds = b"e", len(body), []
            # a process that grew much is not used again
            spent = _address_space() - start > memory // _SPENT_SHARE
            socket.send_fds(link, [HEADER.pack(kind, spent, length)], fds)
        link.sendall(body)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _spool(file: io.FileIO, pieces: Iterable[bytes], limit: int) -> int:
    """Write the pieces; the number of bytes."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise TooLarge(
                f"the answer is larger than {limit} bytes in this format",
                hint="ask for a smaller box, fewer times or variables, or another format",
                details={"limit": limit, "asked": size, "setting": "BIENMO_MAX_ANSWER_BYTES"},
            )
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
    return size


def receive(link: socket.socket, most: int = 1 << 40) -> tuple[bytes, bool, bytes, list[int]] | None:
    """Return (kind, spent, body, file descriptors) of the next message, or None where the other side is gone.

    With kind `f` the body is the length alone, as written in the header. A body longer than `most` bytes
    counts as the other side gone. Raises TimeoutError as the socket does.
    """
    head, fds, _, _ = socket.recv_fds(link, HEADER.size, 1)
    while head and len(head) < HEADER.size:
        more = link.recv(HEADER.size - len(head))
        head = head + more if more else b""
    if not head:
        return None
    kind, spent, length = HEADER.unpack(head)
    if kind == b"f":
        return kind, spent, str(length).encode(), fds
    if length > most:
        return None
    body = bytearray()
    while len(body) < length:
        piece = link.recv(min(length - len(body), 1 << 20))
        if not piece:
            return None
        body += piece
    return kind, spent, bytes(body), fds


def _said(error: BaseException, memory: int) -> CatalogError:
    """The error as one of ours: no stack trace, no folder of this machine."""
    if isinstance(error, CatalogError):
        return error
    if isinstance(error, MemoryError):
        return TooLarge(
            f"reading needs more than the {memory} bytes of memory that a reader may use",
            hint="ask for less, or raise BIENMO_READ_MEMORY",
            details={"limit": memory, "setting": "BIENMO_READ_MEMORY"},
        )
    first = (str(error).strip().splitlines() or [""])[0]
    plain = re.sub(r"(?<![:/\w])/(?:[^/\s'\"]+/)+", "", first)[:200]
    return DataUnreadable(f"the data cannot be read: {type(error).__name__}{': ' if plain else ''}{plain}")


def _written(error: CatalogError) -> bytes:
    """The error as JSON: the name of its class, message, hint and details."""
    said = [type(error).__name__, shown(error.message), shown(error.hint)]
    try:
        return orjson.dumps([*said, error.details], option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return orjson.dumps([*said, {}])


def _address_space() -> int:
    """The bytes of address space of this process (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
