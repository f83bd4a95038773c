"""A pool of disposable processes that read what the operator did not write.

A job is a function of a module, called in a worker; it may crash, hang or eat memory there, and costs one
request. Workers are forked from a nursery (`catalog.data.nursery`), so a new one costs milliseconds.
"""

import contextlib
import json
import logging
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ParamSpec, Self, TypeVar

import orjson

from catalog import errors
from catalog.data import nursery
from catalog.data.queues import Queue, closing
from catalog.data.spools import Spool, Spools
from catalog.data.strikes import STRIKE_SECONDS, Strikes
from catalog.errors import (
    CatalogError,
    DataUnreadable,
    LimitExceeded,
    Unreachable,
    WorkerCrashed,
    WorkerTimeout,
)

SPOOL_BYTES = 8_000_000_000
_MAX_REPLY = 64_000_000
_SPAWN_SECONDS = 60.0
_LOG = logging.getLogger(__name__)
_BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[2])
from catalog.data.nursery import main
main(int(sys.argv[1]), sys.argv[3:])"""

# no threads that a job did not ask for, and no allocator that reserves address space beyond what it uses
_FRUGAL = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}

P = ParamSpec("P")
T = TypeVar("T")


class _Worker:
    """One worker process: a socket to talk over, and a pidfd to end it by."""

    def __init__(self, link: socket.socket, handle: int) -> None:
        self._link = link
        self._handle = handle

    def alive(self) -> bool:
        return not select.select([self._handle], [], [], 0)[0]

    def ask(self, message: bytes, seconds: float) -> tuple[bytes, bool, bytes, list[int]]:
        """Send a message and wait for the answer. Raises TimeoutError; OSError or EOFError for a crash."""
        end = time.monotonic() + seconds
        self._link.settimeout(seconds)
        self._link.sendall(nursery.HEADER.pack(b"j", False, len(message)) + message)  # noqa: FBT003
        self._link.settimeout(max(0.001, end - time.monotonic()))
        answer = nursery.receive(self._link, _MAX_REPLY)
        if answer is None:
            raise EOFError
        return answer

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self._link.close()
        os.close(self._handle)


class Nursery:
    """The program's side of the process that makes workers (`catalog.data.nursery`), begun when this is made.

    A program that needs it, and has much to import itself, makes it first: both import at the same time.

    Args:
        preload: Modules that every worker has from its birth.
    """

    def __init__(self, preload: Sequence[str] = nursery.PRELOAD) -> None:
        self._control, theirs = socket.socketpair()
        fd = theirs.fileno()
        path = [folder for folder in sys.path if isinstance(folder, str)]
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter and our own line
            [sys.executable, "-c", _BOOT, str(fd), json.dumps(path), *preload],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **_FRUGAL},
        )
        theirs.close()
        self._control.settimeout(_SPAWN_SECONDS)

    def worker(self, modules: Iterable[str]) -> _Worker:
        """Return a new worker that has some modules more. Raises OSError; EOFError where the process is gone."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [" ".join(modules).encode()], [theirs.fileno()])
            _, fds, _, _ = socket.recv_fds(self._control, 1, 1)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        if not fds:
            ours.close()
            raise EOFError("the nursery ended")
        return _Worker(ours, fds[0])

    def end(self) -> None:
        """End the process, and with it its workers; it may be called again."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Workers:
    """Processes that read data, at most `size` at work, begun at the first use; usable from any thread.

    Args:
        size: Workers at most.
        seconds: Longest run of one job; then its worker is killed.
        memory: Address space that a job may use beyond its worker's start, bytes.
        queue: Calls that may wait for a worker.
        max_answer_bytes: Largest answer of `spool`, bytes.
        spools: The finished answers that are not yet closed, and the space for them; each worker's last one may
            exceed it.
        strikes: What counts crashes and timeouts by key.
        most_of_one: Workers at most that work for one key, and calls for it that wait; the others are never held up by
            it alone. None: as for all.
        preload: Modules that every worker has from its birth.
        begun: A nursery that is there already, which this pool ends; else it begins one with its first worker.
    """

    def __init__(  # noqa: PLR0913 - limits, all by name
        self,
        size: int,
        *,
        seconds: float,
        memory: int,
        queue: int,
        max_answer_bytes: int = 2_000_000_000,
        spools: Spools | None = None,
        strikes: Strikes | None = None,
        most_of_one: int | None = None,
        preload: Sequence[str] = nursery.PRELOAD,
        begun: Nursery | None = None,
    ) -> None:
        self._limits = (seconds, memory, max_answer_bytes)
        self._spools = spools or Spools(SPOOL_BYTES)
        self._strikes = strikes or Strikes()
        self._line = Queue(size, queue, most_of_one or size, self._strikes)
        self._lock = threading.Lock()
        self._closed = False
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._modules = {"catalog.errors"}
        self._spawning = threading.Lock()
        self._preload = preload
        self._nursery = begun

    def run(
        self, job: Callable[..., T], *args: Any, key: Hashable = None, slow_seconds: float = STRIKE_SECONDS
    ) -> T:
        """Return what `job(*args)` returns in a worker.

        Args:
            job: A function of a module; it and its arguments can be pickled, its result is JSON (a tuple comes back
                as a list).
            args: Its arguments.
            key: What is read (a path with its size and mtime, or a server): after some crashes or timeouts, its own or
                that of a server that does not answer, it is refused at once, for a while.
            slow_seconds: How long a key that was too slow, or did not answer, is refused.

        Raises:
            CatalogError: What the job raised; DataUnreadable where that was another exception.
            TooLarge: The job needed more memory than it may have.
            WorkerCrashed: The worker died. WorkerTimeout: It was too slow.
            TooBusy: Too many calls wait.
        """
        body, _ = self._do(job, args, wants_file=False, key=key, slow_seconds=slow_seconds)
        result: T = orjson.loads(body)
        return result

    def spool(
        self,
        job: Callable[..., Iterable[bytes]],
        *args: Any,
        key: Hashable = None,
        slow_seconds: float = STRIKE_SECONDS,
    ) -> Spool:
        """Return the bytes that `job(*args)` yields, complete, in an anonymous temporary file.

        `slow_seconds` is how long a key that was twice too slow is refused. Raises as `run`, and TooBusy where the
        answers that are not yet sent fill the space for them.
        """
        self._spools.refuse_if_full()
        body, fds = self._do(job, args, wants_file=True, key=key, slow_seconds=slow_seconds)
        return self._spools.take(fds[0], int(body))

    def close(self) -> None:
        """End every worker, also those at work, and refuse further calls."""
        with self._lock:
            self._closed = True
            idle = [*self._idle]
            self._idle.clear()
            for worker in self._busy:
                worker.kill()  # the thread that waits for it sees its end, and gives up its handles
        self._line.close()
        for worker in idle:
            worker.end()
        with self._spawning:
            if self._nursery is not None:
                self._nursery.end()

    def __enter__(self) -> Self:
        """Use the pool in a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _do(
        self,
        job: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        wants_file: bool,
        key: Hashable,
        slow_seconds: float = STRIKE_SECONDS,
    ) -> tuple[bytes, list[int]]:
        """The answer's body, and the file that came with it."""
        self._strikes.refuse(key)
        seconds, *_ = self._limits
        message = pickle.dumps((job, args, wants_file, *self._limits))
        with self._line.place(key):
            self._strikes.admit(key)  # others may have struck while this call waited
            self._modules.add(job.__module__)
            worker = self._hire()
            try:
                kind, spent, body, fds = worker.ask(message, seconds)
                problem = _checked(kind, body, fds, wants_file=wants_file)
            except (OSError, EOFError, ValueError) as error:
                self._dismiss(worker)
                raise self._failed(error, key, job, slow_seconds) from error
            except BaseException:
                self._dismiss(worker)
                raise
            self._give_back(worker, spent=spent)
        if problem is not None and _is_silence(problem):
            self._line.strike(key, slow_seconds)
        else:
            self._strikes.clear(key)
        if problem:
            raise problem
        return body, fds

    def _failed(
        self, error: Exception, key: Hashable, job: Callable[..., Any], slow_seconds: float
    ) -> CatalogError:
        """Count the strike, and say what happened to the worker."""
        number = uuid.uuid4().hex[:12]
        slow = isinstance(error, TimeoutError)
        with self._lock:
            closed = self._closed
        if not closed:
            self._line.strike(key, slow_seconds if slow else STRIKE_SECONDS)
        if closed:
            return closing()
        _LOG.warning(
            "worker %s (%s) in %s for %r", "too slow" if slow else "crashed", number, job.__name__, key
        )
        if slow:
            return WorkerTimeout(
                f"the data were not read within {self._limits[0]:g} seconds (incident {number})",
                hint="ask for less; if it happens again, the data are damaged or their server is down",
                details={"incident": number, "limit": self._limits[0], "setting": "BIENMO_READ_SECONDS"},
            )
        return WorkerCrashed(
            f"the data crashed their reader (incident {number})",
            hint="the data are damaged; tell their provider",
            details={"incident": number},
        )

    def _hire(self) -> _Worker:
        """An idle worker that lives, or a new one."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
                if worker:
                    self._busy.add(worker)
            if worker is None:
                worker = self._spawn()
                with self._lock:
                    self._busy.add(worker)
                return worker
            if worker.alive():
                return worker
            self._dismiss(worker)

    def _spawn(self) -> _Worker:
        with self._lock:
            modules = sorted(self._modules)
        with self._spawning:
            if self._closed:
                raise closing()
            if self._nursery is None:
                self._nursery = Nursery(self._preload)
            try:
                return self._nursery.worker(modules)
            except (OSError, EOFError):
                if self._closed:
                    raise closing() from None
                self._nursery.end()
                self._nursery = Nursery(self._preload)
                return self._nursery.worker(modules)

    def _give_back(self, worker: _Worker, *, spent: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            keep = not spent and not self._closed
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.end()

    def _dismiss(self, worker: _Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
        worker.end()


def _checked(kind: bytes, body: bytes, fds: list[int], *, wants_file: bool) -> CatalogError | None:
    """The error that a worker reports, if it does. Nothing it says is trusted: it has read hostile data.

    Raises:
        ValueError: It does not say what was asked for.
    """
    if kind == (b"f" if wants_file else b"r") and len(fds) == wants_file:
        if not wants_file:
            orjson.loads(body)
        return None
    for fd in fds:
        os.close(fd)
    said = orjson.loads(body) if kind == b"e" else None
    if not isinstance(said, list) or [type(part) for part in said] != [str, str, str, dict]:
        raise ValueError("a worker answered what it was not asked")
    name, message, hint, details = said
    known = getattr(errors, name, None)
    if not (isinstance(known, type) and issubclass(known, CatalogError)):
        known = DataUnreadable
    return known(message, hint, details)


def _is_silence(problem: CatalogError) -> bool:
    """Tell whether a server did not answer, or not in time."""
    return isinstance(problem, Unreachable) or (
        isinstance(problem, LimitExceeded) and "seconds" in problem.details
    )


__all__ = ["Nursery", "Spool", "Workers"]
