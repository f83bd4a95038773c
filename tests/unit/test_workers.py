import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import pytest

from catalog.data import nursery
from catalog.data.spools import Spools
from catalog.data.strikes import Strikes
from catalog.data.workers import Nursery, Workers
from catalog.errors import (
    BadRequest,
    CatalogError,
    DataUnreadable,
    NotFound,
    TooBusy,
    TooLarge,
    WorkerCrashed,
    WorkerTimeout,
)

MEMORY = 500_000_000


@pytest.fixture(scope="module")
def workers():
    with Workers(2, seconds=20, memory=MEMORY, queue=100) as pool:
        yield pool


@pytest.fixture
def hasty():
    with Workers(1, seconds=1.5, memory=MEMORY, queue=0) as pool:
        pool.run(pid)
        yield pool


def pid():
    return os.getpid()


def double(number):
    return number * 2


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def sleep(seconds):
    time.sleep(seconds)


def spin_deaf():
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def refuse():
    raise NotFound("no such thing", hint="look elsewhere", details={"a": 1})


def refuse_oddly():
    raise NotFound("no x\udceat.nc", details={"a": object()})


class Owned:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def _forge(kind, body, fds=()):
    """Answer in the worker's place, as code that a hostile file has brought in could."""
    found = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    for fd in found:
        with contextlib.suppress(OSError):
            link = socket.socket(fileno=os.dup(fd))
            if link.getsockname() == "" and link.family == socket.AF_UNIX:
                socket.send_fds(link, [nursery.HEADER.pack(kind, True, len(body)) + body], list(fds))
    time.sleep(30)


def forge_pickle(path):
    _forge(b"r", pickle.dumps(Owned(path)))


def forge_class(path):
    _forge(b"e", orjson.dumps(["Mapping", path, "", {}]))


def forge_file(path):
    with Path("/dev/null").open("rb") as file:
        _forge(b"f", b"", [file.fileno()])


def crash_spooling():
    yield b"a"
    crash()


def sleep_spooling():
    yield b"a"
    time.sleep(30)


def stumble():
    raise ZeroDivisionError("1/0 in /secret/folder/file.nc")


def gorge(size):
    return float(np.ones(size, np.uint8).sum())


def count(pieces, size):
    for at in range(pieces):
        yield bytes([at % 256]) * size


def count_then_refuse():
    yield b"half"
    raise BadRequest("no more")


def names_of_main():
    return sorted(vars(sys.modules["__main__"]))


def test_answers_and_errors_come_back(workers):
    assert workers.run(double, 21) == 42
    assert workers.run(pid) != os.getpid()
    with pytest.raises(NotFound, match="no such thing") as caught:
        workers.run(refuse)
    assert (caught.value.hint, caught.value.details) == ("look elsewhere", {"a": 1})


def test_other_exceptions_are_named_without_a_trace_or_a_folder(workers):
    with pytest.raises(DataUnreadable, match=r"ZeroDivisionError: 1/0 in file\.nc") as caught:
        workers.run(stumble)
    assert "secret" not in str(caught.value)


def test_a_crash_costs_one_request_and_has_a_number(workers):
    with pytest.raises(WorkerCrashed, match=r"incident [0-9a-f]{12}"):
        workers.run(crash)
    assert workers.run(double, 1) == 2


@pytest.mark.parametrize("job", [(sleep, 30), (spin_deaf,)])
def test_a_slow_job_is_killed(hasty, job):
    began = time.monotonic()
    with pytest.raises(WorkerTimeout):
        hasty.run(*job)
    assert time.monotonic() - began < 6
    assert hasty.run(double, 2) == 4


def test_memory_is_limited(workers):
    assert workers.run(gorge, MEMORY // 2) == MEMORY // 2
    with pytest.raises(TooLarge) as caught:
        workers.run(gorge, MEMORY * 2)
    assert caught.value.details["setting"] == "BIENMO_READ_MEMORY"
    assert workers.run(double, 3) == 6


def test_a_spool_is_complete_before_it_is_sent(workers):
    with workers.spool(count, 100, 10_007) as spool:
        assert spool.size == 1_000_700
        assert b"".join(spool.pieces()) == b"".join(count(100, 10_007))
    with pytest.raises(BadRequest):
        workers.spool(count_then_refuse)


def test_a_spool_has_a_limit():
    with (
        Workers(1, seconds=20, memory=MEMORY, queue=0, max_answer_bytes=1_000) as pool,
        pytest.raises(TooLarge) as caught,
    ):
        pool.spool(count, 100, 100)
    assert caught.value.details["setting"] == "BIENMO_MAX_ANSWER_BYTES"


def test_open_spools_share_a_budget():
    with Workers(1, seconds=20, memory=MEMORY, queue=0, spools=Spools(2_500)) as pool:
        first, second = pool.spool(count, 10, 100), pool.spool(count, 10, 100)
        with pytest.raises(TooBusy) as caught:
            pool.spool(count, 10, 100)
        assert caught.value.details["setting"] == "BIENMO_SPOOL_BYTES"
        first.close()
        first.close()
        third = pool.spool(count, 10, 100)
        del third  # a client that left before the first byte
        list(second.pieces())
        pool.spool(count, 25, 100).close()


def test_two_strikes_and_the_key_is_out(hasty):
    for _ in range(2):
        with pytest.raises(WorkerCrashed):
            hasty.run(crash, key="bad.nc")
    with pytest.raises(DataUnreadable, match="quarantined"):
        hasty.run(double, 1, key="bad.nc")
    assert hasty.run(double, 1, key="good.nc") == 2


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("job", "slow_seconds"), [(crash_spooling, 300), (sleep_spooling, 60)])
def test_a_key_that_is_out_comes_back_for_one_more_try(job, slow_seconds):
    clock = Clock()
    with Workers(1, seconds=1.5, memory=MEMORY, queue=0, strikes=Strikes(clock)) as pool:
        pool.run(pid)

        def strike():
            with pytest.raises((WorkerCrashed, WorkerTimeout)):
                pool.spool(job, key="bad.nc", slow_seconds=slow_seconds)

        strike()
        clock.now += 30
        strike()
        clock.now += slow_seconds - 1
        with pytest.raises(DataUnreadable, match="quarantined") as caught:
            pool.spool(job, key="bad.nc")
        assert "tried again in 1 second" in caught.value.hint
        clock.now += 2
        strike()
        if slow_seconds < 300:  # half open: one more failure is enough
            with pytest.raises(DataUnreadable, match="quarantined"):
                pool.spool(job, key="bad.nc")
            clock.now += slow_seconds
        assert pool.run(double, 1, key="bad.nc") == 2  # and one success wipes all out
        strike()
        assert pool.run(double, 1, key="bad.nc") == 2


@pytest.mark.parametrize("forgery", [forge_pickle, forge_class, forge_file])
def test_a_worker_that_was_taken_over_is_not_believed(workers, tmp_path, forgery):
    with pytest.raises((WorkerCrashed, DataUnreadable)):
        workers.run(forgery, str(tmp_path / "owned"))
    assert not (tmp_path / "owned").exists()
    assert workers.run(double, 5) == 10


def test_an_error_is_told_whatever_is_in_it(workers):
    with pytest.raises(NotFound, match=r"x\\udceat") as caught:
        workers.run(refuse_oddly)
    assert caught.value.details == {}


def test_a_full_queue_says_busy():
    with Workers(1, seconds=20, memory=MEMORY, queue=2) as pool, ThreadPoolExecutor(8) as threads:
        pool.run(pid)
        calls = [threads.submit(pool.run, sleep, 0.5) for _ in range(6)]
        errors = [call.exception() for call in calls]
        assert sum(error is None for error in errors) == 3
        assert all(error is None or isinstance(error, TooBusy) for error in errors)


def test_forty_threads_with_crashes_among_them_get_their_own_answers(workers):
    def call(number):
        try:
            return workers.run(crash) if number % 10 == 0 else workers.run(double, number)
        except CatalogError as error:
            return type(error)

    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(call, range(200)))
    assert answers == [WorkerCrashed if n % 10 == 0 else 2 * n for n in range(200)]


def test_the_nursery_comes_back(workers):
    workers._nursery._process.kill()
    workers._nursery._process.wait()
    time.sleep(0.1)
    assert workers.run(double, 4) == 8


def parent():
    return os.getppid()


def test_a_pool_takes_a_nursery_that_was_begun_before_and_ends_it():
    begun = Nursery()
    with Workers(1, seconds=20, memory=MEMORY, queue=0, begun=begun) as pool:
        assert pool.run(parent) == begun._process.pid
    assert begun._process.poll() is not None


def test_a_nursery_that_no_pool_used_yet_ends_with_the_pool():
    begun = Nursery()
    Workers(1, seconds=20, memory=MEMORY, queue=0, begun=begun).close()
    assert begun._process.poll() is not None


def test_close_ends_a_job_at_work():
    pool = Workers(1, seconds=20, memory=MEMORY, queue=0)
    pool.run(pid)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(pool.run, sleep, 20)
        time.sleep(0.2)
        pool.close()
        assert isinstance(call.exception(timeout=5), TooBusy)
    with pytest.raises(TooBusy):
        pool.run(pid)


SCRIPT = """
import sys, threading, time
sys.path.insert(0, {folder!r})
import test_workers as jobs
from catalog.data.spools import Spools
from catalog.data.strikes import Strikes
from catalog.data.workers import Workers
pool = Workers(2, seconds=60, memory=500_000_000, queue=9)   # no `if __name__` guard: __main__ is never imported again
print(pool.run(jobs.pid), pool._nursery._process.pid, "threading" in pool.run(jobs.names_of_main), flush=True)
for _ in range(2):
    threading.Thread(target=pool.run, args=(jobs.spin_deaf,), daemon=True).start()
time.sleep(60)
"""


def _gone(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _children(number):
    listed = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [int(child) for child in listed]


def test_nothing_outlives_a_killed_parent():
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        worker, nursery, imported_main = parent.stdout.readline().split()
        deadline = time.monotonic() + 10
        while len(_children(int(nursery))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        family = [int(worker), int(nursery), *_children(int(nursery))]
        time.sleep(0.2)
        parent.kill()
    assert imported_main == "False"
    deadline = time.monotonic() + 5
    while not all(map(_gone, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(_gone, family))
