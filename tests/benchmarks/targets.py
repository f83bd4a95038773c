"""What issue 3 asks for, beside what was measured. Nothing here asserts: the table says met or not."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.case import Case
from benchmarks.load import DOUBLE, Load
from benchmarks.served import TWIN, Row

HEAD = "| target | wanted | measured, the worst | met |\n| --- | --- | --- | --- |"
BINARY = frozenset({"dods", "nc3", "nc"})
MANY = 100_000
BOX = "Gulf of Tonkin, 30 days"
SERIES = "point series, a year"


class Target(NamedTuple):
    """A target: what is wanted, the worst that was found and where, and whether it is met (None: not measured)."""

    name: str
    wanted: str
    measured: str
    met: bool | None

    def row(self) -> str:
        """Return the row in Markdown."""
        met = {True: "yes", False: "**no**", None: "not measured"}[self.met]
        return f"| {self.name} | {self.wanted} | {self.measured} | {met} |"


def of_reader(cases: Sequence[Case]) -> Target:
    """Return the target of the reader alone, by wall time in this process."""
    limited = [case for case in cases if case.name.startswith("reader:") and case.peer == "limit"]
    found = [(case.ours / case.theirs, case.name) for case in limited]
    return _told("reader over the limit", found, "≤ 1.3 ×", 1.3, least=False)


def targets(rows: Sequence[Row], loads: Sequence[Load]) -> Iterator[Target]:
    """Yield every target that the tables of served requests and of loads can answer."""
    twinned = [row for row in rows if row.layout == TWIN]
    rows = [row for row in rows if row.layout != TWIN]
    limited = [row for row in rows if row.peer == "limit"]
    binary = [row for row in limited if row.suffix in BINARY]
    yield _worst("HTTP, binary and NetCDF, CPU over the limit's", binary, lambda row: row.ratio, "≤ 2 ×", 2)
    for name, peers in (
        (
            "fastest of xpublish, pydap, pygeoapi",
            [row for row in rows if row.peer not in {"limit", "plain xarray"}],
        ),
        ("plain xarray route", [row for row in rows if row.peer == "plain xarray"]),
    ):
        for words in (BOX, "map, one day"):
            asked = [row for row in peers if row.question.name == words]
            yield _worst(f"{name}, CPU over ours, {words}", asked, _times_faster, "≥ 5 ×", 5, least=True)
    boxes = [row for row in twinned if row.peer != "limit" and row.question.name == BOX]
    said = f"fastest of all peers, CPU over ours, {BOX}, on the file chunked as maps, with its twin"
    yield _worst(said, boxes, _times_faster, "≥ 5 ×", 5, least=True)
    pandas = [
        row
        for row in rows
        if row.peer == "plain xarray" and row.suffix == "csv" and row.question.cells > MANY
    ]
    said = "CSV: pandas' CPU over ours, more than 100,000 cells"
    yield _worst(said, pandas, _times_faster, "≥ 15 ×", 15, least=True)
    series = [row for row in twinned if row.peer == "limit" and row.question.name == SERIES]
    said = "point series, a year, on the file chunked as maps, with its twin, ms of CPU"
    yield _worst(said, series, lambda row: row.ours and 1_000 * row.ours.cpu, "≤ 15 ms", 15)
    for start, wanted, bound, least, server in (
        ("memory, globe", "< 100 MB", 100, False, "ours"),
        ("20 slow clients", "bounded (< 500 MB)", 500, False, "ours"),
        ("two at once", "≥ 1.6 ×", 1.6, True, "ours"),
        ("two at once", "≥ 1.6 ×", 1.6, True, DOUBLE),
    ):
        found = [
            (load.number, load.name)
            for load in loads
            if load.server == server and load.name.startswith(start)
        ]
        yield _told(f"{start}, {server}", found, wanted, bound, least=least)


def _times_faster(row: Row) -> float | None:
    return row.theirs.cpu / row.ours.cpu if row.ours and row.theirs else None


def _worst(
    name: str,
    rows: Sequence[Row],
    number: Callable[[Row], float | None],
    wanted: str,
    bound: float,
    *,
    least: bool = False,
) -> Target:
    found = [
        (value, f"{row.question.name}, {row.layout}, {row.suffix}, {row.peer}")
        for row in rows
        if (value := number(row)) is not None
    ]
    return _told(name, found, wanted, bound, least=least)


def _told(name: str, found: Sequence[tuple[float, str]], wanted: str, bound: float, *, least: bool) -> Target:
    if not found:
        return Target(name, wanted, "–", None)
    value, where = min(found) if least else max(found)
    met = sum(number >= bound if least else number <= bound for number, _ in found)
    said = f"{value:.3g} ({where}); {met} of {len(found)} meet it"
    return Target(name, wanted, said, met == len(found))
