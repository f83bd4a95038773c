"""Measure, and print tables: ours beside a peer or the limit, ratio, n. Nothing here asserts a time.

`make bench`; with ARGS=--append the tables are also put at the end of docs/reference/benchmarks.md. The files that are
served are made once (a minute, 0.6 GB) and kept in BIENMO_BENCHMARKS, else in the temporary folder.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from benchmarks import harvest, hosts, load, reader, search, served, sst, subset, targets
from benchmarks.case import Case
from benchmarks.questions import ADDRESSES, SUFFIXES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "benchmarks.md"
HERE = ("service", "search", "reader")
OVER_HTTP = ("served", "load")
HARVEST = "harvest"
HEAD = (
    "| case | ours, ms | peer or limit | theirs, ms | ratio | n |\n| --- | ---: | --- | ---: | ---: | ---: |"
)


def here(folder: Path, parts: Sequence[str]) -> Iterator[str]:
    """Yield the table of what is measured in this process."""
    known = {
        "service": lambda: subset.cases(folder / "subset"),
        "search": lambda: search.cases(folder / "search"),
        "reader": lambda: reader.cases(sst.home()),
    }
    yield HEAD
    measured: list[Case] = []
    for part in (name for name in parts if name in known):
        for case in known[part]():
            measured.append(case)
            yield case.row()
    yield f"\n{targets.HEAD}\n{targets.of_reader(measured).row()}"


def over_http(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    """Yield the tables of what is served: requests, loads, targets."""
    data = sst.made(sst.home())
    sizes = ", ".join(f"{layout} {path.stat().st_size / 1e6:.0f} MB" for layout, path in data.files.items())
    yield f"Files of {'×'.join(map(str, data.shape[:3]))} int16: {sizes} on disk.\n"
    rows: list[served.Row] = []
    loads: list[load.Load] = []
    with hosts.all_of(asked.against, data, folder) as servers:
        if "load" in asked.parts:
            yield load.HEAD
            for found in load.memories(servers, data, asked.formats):
                loads.append(found)
                yield found.row()
        if "served" in asked.parts:
            yield "\n" + served.HEAD
            for row in served.rows(servers, data, asked.formats, asked.rounds):
                rows.append(row)
                yield row.row()
        if "served" in asked.parts:
            with hosts.ours(data, folder / "twinned", twin="map") as server:
                for row in served.twinned({**servers, "ours": server}, data, asked.formats, asked.rounds):
                    rows.append(row)
                    yield row.row()
        if "load" in asked.parts:
            yield "\n" + load.HEAD
            with hosts.ours(data, folder / "double", workers=2) as double:
                for found in load.loads({**servers, load.DOUBLE: double}, data, asked.formats, asked.rounds):
                    loads.append(found)
                    yield found.row()
    yield "\n" + targets.HEAD
    yield from (target.row() for target in targets.targets(rows, loads))


def harvested(folder: Path) -> Iterator[str]:
    """Yield the table of harvests."""
    yield harvest.HEAD
    yield from (row.text() for row in harvest.rows(folder / "harvest"))


def main() -> None:
    """Measure, print, and append where asked."""
    asked = _asked()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        tables = [here(Path(folder), asked.parts)] if set(HERE) & set(asked.parts) else []
        tables += [over_http(Path(folder), asked)] if set(OVER_HTTP) & set(asked.parts) else []
        tables += [harvested(Path(folder))] if HARVEST in asked.parts else []
        for line in chain.from_iterable(chain(table, [""]) for table in tables):
            lines.append(line)
            print(line, flush=True)
    if asked.append:
        said = f"## {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        said += f"{platform.machine()}, {os.cpu_count()} cores"
        before = PAGE.read_text("utf-8") if PAGE.exists() else "# Benchmarks\n"
        PAGE.write_text("\n".join([before, said, "", *lines, ""]), "utf-8")


def _asked() -> argparse.Namespace:
    found = argparse.ArgumentParser(prog="make bench", description=__doc__)
    found.add_argument(
        "--append", action="store_true", help=f"append the tables to docs/reference/{PAGE.name}"
    )
    found.add_argument("--rounds", type=int, default=5, help="rounds of each served request")
    for name, known, said in (
        ("--parts", (*HERE, *OVER_HTTP, HARVEST), "what to measure"),
        ("--formats", tuple(SUFFIXES), "formats to serve"),
        ("--against", tuple(ADDRESSES), "whom to measure beside us"),
    ):
        found.add_argument(name, type=_listed(known), default=known, help=f"{said}: {','.join(known)}")
    return found.parse_args()


def _listed(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(name for name in text.split(",") if name)
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return read


if __name__ == "__main__":
    main()
