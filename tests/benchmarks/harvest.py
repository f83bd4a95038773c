"""A portal of 100,000 records at 50 ms an answer: harvested, harvested again, and stored without a network."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import harvesters._command  # noqa: F401 - the memory of the command is weighed: what it brings, too
from benchmarks.process import Server
from benchmarks.replaying import LATENCY, ROWS, package, replaying
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores import sqlite
from catalog.tuning import HARVESTED_OBJECTS, settle
from harvesters import ckan
from harvesters._ahead import ahead
from harvesters._listing import batches
from harvesters._polite import MOST_AT_ONCE, Stop
from harvesters._reading import Readers, entered
from harvesters._run import harvest_source

RECORDS = 100_000
STORED = 10_000
HEAD = (
    "| harvest | records | seconds | records/s | its answers' latencies, added up | CPU, s | peak memory, MB |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


class Row(NamedTuple):
    """What a harvest took.

    The share is that of the latencies of the source's answers, added up: over 1 where it took less time than they do
    one after another. It is None where no source was asked.
    """

    name: str
    records: int
    seconds: float
    share: float | None
    cpu: float
    megabytes: float

    def text(self) -> str:
        """Return it as a row of a Markdown table."""
        share = "" if self.share is None else f"{self.share:.0%}"
        return (
            f"| {self.name} | {self.records:,} | {self.seconds:.1f} | {self.records / self.seconds:,.0f} | {share} |"
            f" {self.cpu:.1f} | {self.megabytes:.0f} |"
        )


class Spent(NamedTuple):
    """What was measured of a harvest: the records there are then, wall and CPU time in s, and peaks of memory in MB.

    CPU and memory are those of the process and of its children that live, each with its own peak.
    """

    records: int
    seconds: float
    cpu: float
    megabytes: float

    @classmethod
    def since(cls, wall: float, cpu: float, records: int) -> Self:
        """Measure since two clocks showed so much."""
        family = _family()
        return cls(records, time.perf_counter() - wall, family.cpu() - cpu, family.peak() / 1e6)


def _family() -> Server:
    return Server("harvest", os.getpid(), 0)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), _family().cpu()


def rows(folder: Path, records: int = RECORDS) -> Iterator[Row]:
    """Yield a row a harvest; each runs in a process of its own, which is weighed."""
    with replaying(records) as url:
        pages = -(-records // ROWS)
        yield _weighed(
            f"first, {ROWS} a page, {MOST_AT_ONCE} asked for at once", folder, url, pages * LATENCY
        )
        yield _weighed("again, unchanged", folder, url, LATENCY)
    yield _weighed("read and stored, no network", folder / "alone", str(STORED), None)


def _weighed(name: str, folder: Path, what: str, latency: float | None) -> Row:
    command = [sys.executable, "-m", "benchmarks.harvest", str(folder), what]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    share = None if latency is None else latency / said["seconds"]
    return Row(name, said["records"], said["seconds"], share, said["cpu"], said["megabytes"])


def _harvest(folder: Path, url: str) -> Spent:
    """Harvest a portal."""
    store = sqlite.open_store(folder)
    settings = Settings(home=folder, allow_hosts=("127.0.0.1",))
    settle(HARVESTED_OBJECTS)
    source = Source(id="portal", protocol="ckan", url=url)
    begun = _clocks()
    with Readers(settings) as readers:
        run = harvest_source(source, store, settings, workers=None, readers=readers)
        spent = Spent.since(*begun, store.sources()["portal"])
    if run.state != "complete":
        raise ValueError(f"the run ended {run.state}: {run.note}")
    store.close()
    return spent


def _store(folder: Path, count: int) -> Spent:
    """Read and store made documents, as the runner does; what makes them is not measured."""
    source = Source(id="portal", protocol="ckan", url="http://127.0.0.1/")
    documents = [_document(source, number) for number in range(count)]
    store = sqlite.open_store(folder)
    lease, _ = store.begin(source.id, holder="benchmark", lease_seconds=3_600)
    groups = (documents[start : start + ROWS] for start in range(0, count, ROWS))
    settle(HARVESTED_OBJECTS)
    begun = _clocks()
    with Readers(Settings(home=folder)) as readers:
        read = ahead(readers.read(ckan, groups), lambda reading: len(reading.document.content), Stop())
        for page, batch in batches(entered(reading) for together in read for reading in together):
            store.put(batch, lease=lease, page=page)
        spent = Spent.since(*begun, count)
    store.close()
    return spent


def _document(source: Source, number: int) -> Document:
    given = package(number)
    return Document(
        source=source.id,
        native_id=str(given["id"]),
        name=str(given["name"]),
        content=json.dumps(given, sort_keys=True).encode(),
        url=f"http://127.0.0.1/dataset/{given['name']}",
        page=str(number // ROWS * ROWS),
    )


def main() -> None:
    """Harvest or store in this process: FOLDER URL|COUNT; print what it took."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    spent = _store(folder, int(what)) if what.isdecimal() else _harvest(folder, what)
    sys.stdout.write(json.dumps(spent._asdict()))


if __name__ == "__main__":
    main()
