"""Measure, and print a table: case, ours, peer or limit, ratio, n. Nothing here asserts a time.

`make bench`; with ARGS=--append the table is also put at the end of docs/reference/benchmarks.md.
"""

import argparse
import platform
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import search, subset
from benchmarks.case import Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "benchmarks.md"


def cases(folder: Path) -> Iterator[Case]:
    """Yield every case as it is measured."""
    yield from subset.cases(folder / "subset")
    yield from search.cases(folder / "search")


def main() -> None:
    """Measure, print, and append where asked."""
    asked = argparse.ArgumentParser(prog="make bench", description=__doc__)
    asked.add_argument(
        "--append", action="store_true", help=f"append the table to docs/reference/{PAGE.name}"
    )
    append = asked.parse_args().append
    head = "| case | ours, ms | peer or limit | theirs, ms | ratio | n |"
    lines = [head, "| --- | ---: | --- | ---: | ---: | ---: |"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            lines.append(case.row())
            print(lines[-1], flush=True)
    if append:
        said = f"## {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}"
        before = PAGE.read_text("utf-8") if PAGE.exists() else "# Benchmarks\n"
        PAGE.write_text("\n".join([before, said, "", *lines, ""]), "utf-8")


if __name__ == "__main__":
    main()
