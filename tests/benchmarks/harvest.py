"""A portal of 100,000 records at 50 ms an answer: harvested, harvested again, and stored without a network."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.replaying import LATENCY, package, replaying
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores import sqlite
from catalog.tuning import settle
from harvesters import ckan
from harvesters._listing import batches, entry
from harvesters._run import harvest_source

RECORDS = 100_000
STORED = 10_000
_ROWS = 100
HEAD = (
    "| harvest | records | seconds | records/s | of it the source's own latency | CPU, s | peak memory, MB |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


class Row(NamedTuple):
    """What a harvest took; the share of the source's latency is None where no source was asked."""

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
    """What was measured of a harvest: how many records there are then, wall time and CPU time in seconds."""

    records: int
    seconds: float
    cpu: float

    @classmethod
    def since(cls, wall: float, cpu: float, records: int) -> Self:
        """Measure since two clocks, of `time.perf_counter` and `time.process_time`, showed so much."""
        return cls(records, time.perf_counter() - wall, time.process_time() - cpu)


def rows(folder: Path, records: int = RECORDS) -> Iterator[Row]:
    """Yield a row a harvest; each runs in a process of its own, which is weighed."""
    with replaying(records) as url:
        pages = -(-records // _ROWS)
        yield _weighed(f"first, {_ROWS} a page", folder, url, pages * LATENCY)
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
    settle()
    begun = time.perf_counter(), time.process_time()
    run = harvest_source(Source(id="portal", protocol="ckan", url=url), store, settings, workers=None)
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
    settle()
    begun = time.perf_counter(), time.process_time()
    for page, batch in batches(entry(ckan, document) for document in documents):
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
        page=str(number // _ROWS * _ROWS),
    )


def main() -> None:
    """Harvest or store in this process: FOLDER URL|COUNT; print what it took."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    spent = _store(folder, int(what)) if what.isdecimal() else _harvest(folder, what)
    sys.stdout.write(json.dumps({**spent._asdict(), "megabytes": _peak()}))


def _peak() -> float:
    """The most memory that this process had, in MB; `getrusage` would tell that of the process it was forked from."""
    said = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(said[1]) * 1_024 / 1e6 if said else float("nan")


if __name__ == "__main__":
    main()
