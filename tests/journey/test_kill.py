"""SIGKILL during a harvest: FAULTS row 1, with a real process, a slow portal over HTTP and SQLite."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

import paged
from benchmarks.replaying import replaying
from catalog.search import Query
from catalog.settings import Settings
from catalog.source import read_sources
from catalog.stores import Run, records, sqlite
from harvesters._run import harvest_source
from portals import Asked, Piece, Portal, listing, portal

SIZE = 10
NAMES = [f"d{number:04}" for number in range(300)]
LEASE_SECONDS = 1.0


def answering(asked: Asked) -> Iterator[Piece]:
    yield 0.03
    yield from listing(lambda: NAMES, size=SIZE)(asked)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@dataclass
class Broken:
    """The harvests of one home, which are killed."""

    home: Path
    portal: Portal
    acknowledged: int = 0

    def harvest(self, pages: int | None = None, wait: float = 0) -> dict[str, Any] | None:
        """Harvest in a process; killed some time after it asked for so many pages, or to its end: its report."""
        lease = LEASE_SECONDS if pages is not None else 60.0  # one that is not killed is not in a hurry
        command = [sys.executable, paged.__file__, self.portal.url, str(self.home), str(lease)]
        self.portal.asked.clear()
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
            while pages is not None and process.poll() is None and len(self.portal.asked) < pages:
                time.sleep(0.002)
            if pages is not None:
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
            said = process.communicate(timeout=60)[0].splitlines()
        start = int(self.portal.asked[0].query["start"]) if self.portal.asked else 0
        seen = (start + int(line) for line in said if line.isdigit())
        self.acknowledged = max([self.acknowledged, *seen])
        return json.loads(said[-1]) if said and said[-1].startswith(b"{") else None

    def look(self) -> Run | None:
        """What stands in the file is whole, has all that was acknowledged, and nothing twice or by halves."""
        path = self.home / sqlite.FILE
        if not path.exists():
            assert not self.acknowledged
            return None
        with closing(apsw.Connection(str(path))) as connection:
            assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        with closing(sqlite.open_store(self.home)) as store:
            kept = [record.native_id for record in records(store, Query(sort="id"))]
            assert kept == NAMES[: len(kept)]
            assert len(kept) >= self.acknowledged
            assert len(kept) % SIZE == 0
            assert [len(store.history(f"portal-{name}")) for name in kept] == [1] * len(kept)
            runs = store.runs()
        assert len(runs) <= 1, "a killed run is taken up, not begun again"
        if not runs:
            return None
        assert (runs[0].seen, runs[0].counts.new) == (len(kept), len(kept))
        assert runs[0].checkpoint == (str(len(kept) - SIZE) if kept else None)
        return runs[0]


@pytest.mark.parametrize(
    ("kills", "least"), [(8, 6), pytest.param(50, 40, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_killed_harvests_lose_and_double_nothing(kills: int, least: int, tmp_path: Path) -> None:
    chance = random.Random(20190223)
    killed = mid_run = 0
    with portal(answering) as running:
        unbroken = Broken(tmp_path / "unbroken", running)
        whole = unbroken.harvest()
        while killed < kills:
            broken = Broken(tmp_path / str(killed), running)
            for _ in range(4):
                assert broken.harvest(chance.randrange(5), chance.uniform(0, 0.1)) is None
                run = broken.look()
                killed += 1
                mid_run += run is not None and run.state == "running"
                time.sleep(LEASE_SECONDS)
            start = run.checkpoint if run else None
            ended = broken.harvest()
            assert running.asked[0].query["start"] == (start or "0")
            assert ended
            assert whole
            report = {"state", "seen", "counts", "missing", "withdrawn", "restored", "held", "quarantine"}
            assert {name: ended[name] for name in report} == {name: whole[name] for name in report}
            last = broken.look()
            assert last
            assert last.seen == len(NAMES)
    assert mid_run >= least, f"of {killed} kills {mid_run} met a run under way"


# --- a long listing, whose documents are read in a process of its own, and whose pages are written together

MANY = 3_600


def _family(pid: int) -> list[int]:
    """The processes that a process began, and those that they began."""
    try:
        told = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except FileNotFoundError:
        return []
    found = [int(child) for each in told for child in each.split()]
    return [*found, *(later for child in found for later in _family(child))]


def _seen(path: Path) -> int:
    """How many records a harvest that is under way has kept."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return int(connection.execute("SELECT count(*) FROM records").get)
    except apsw.Error:
        return 0


def _there(processes: Iterable[int]) -> list[int]:
    return [pid for pid in processes if Path(f"/proc/{pid}").exists()]


def _killed(command: list[str], known: dict[str, str], path: Path, least: int) -> list[int]:
    """Harvest until so many records are kept, kill it, and return what processes it had begun."""
    with subprocess.Popen(command, env=known, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while _seen(path) < least and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        began = _family(process.pid)
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 5
    while _there(began) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _there(began)
    return began


def _kept(home: Path) -> tuple[int, int]:
    """How many records stand there, each once, and the page at which the run goes on, which is after none of them."""
    with closing(sqlite.open_store(home)) as store:
        run, kept = store.runs()[0], store.sources()["portal"]
    assert (run.seen, run.counts.new) == (kept, kept)
    assert int(run.checkpoint or 0) <= kept
    with closing(apsw.Connection(str(home / sqlite.FILE))) as connection:
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        for table in ("versions", "documents", "words"):
            assert connection.execute(f"SELECT count(*) FROM {table}").get == kept
    return kept, int(run.checkpoint or 0)


def test_a_long_listing_that_is_killed_goes_on_and_leaves_no_process(tmp_path: Path) -> None:
    home, sources = tmp_path / "home", tmp_path / "sources.toml"
    limits = {"BIENMO_ALLOW_HOSTS": "127.0.0.1", "BIENMO_LEASE_SECONDS": "1", "BIENMO_HOME": str(home)}
    command = [sys.executable, "-m", "catalog", "harvest", "--sources", str(sources)]
    known, found = environment() | limits, [(0, 0)]
    with replaying(MANY) as url:
        sources.write_text(f'[[source]]\nid = "portal"\nprotocol = "ckan"\nurl = "{url}"\n')
        for least in (500, 2_100, 2_700):
            began = _killed(command, known, home / sqlite.FILE, least)
            found.append(_kept(home))
            assert found[-1][0] >= least
            assert least == 500 or len(began) >= 2, "a nursery and a reader were at work"
            time.sleep(1.1)  # the lease
        settings = Settings(home=home, allow_hosts=("127.0.0.1",))
        with closing(sqlite.open_store(home)) as store:
            run = harvest_source(read_sources(sources)[0], store, settings, workers=None)
            assert store.runs() == (run,)
    found.append(_kept(home))
    assert found == sorted(found)
    assert (run.state, run.seen, run.counts.new, run.quarantine) == ("complete", MANY, MANY, ())
