"""Whole requests over loopback: this catalog against the limit and the peers, in turn, in one run.

Weighed is the CPU of the whole server (user and system, all its processes) and the client's wall time. Every request of
a round asks for another place of the data, the same places of everybody; only a question named `again` is repeated.
"""

from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.process import OK, Client, Server
from benchmarks.questions import ADDRESSES, SUFFIXES, TEXT, Question, ours, questions
from benchmarks.sst import Sst

HEAD = (
    "| request | file | format | ours CPU, ms | ours wall, ms | peer | CPU, ms | wall, ms | ratio of CPU | n |\n"
    "| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |"
)
TWIN = "map and its twin"
_ROUND_SECONDS = 0.3  # a round asks as often as fits into it, so that small costs are seen
_MOST = 20


class Weight(NamedTuple):
    """What a request cost: seconds of the server's CPU, and of the client's wall time."""

    cpu: float
    wall: float


class Row(NamedTuple):
    """One of the table: medians of n rounds, ours and a peer's; without weights where `said` tells why."""

    question: Question
    layout: str
    suffix: str
    ours: Weight | None
    peer: str
    theirs: Weight | None
    n: int
    said: str = ""

    @property
    def ratio(self) -> float | None:
        """Our CPU over the peer's."""
        return self.ours.cpu / self.theirs.cpu if self.ours and self.theirs else None

    def row(self) -> str:
        """Return the row in Markdown."""
        weights = [
            f"{1_000 * number:.1f}"
            for pair in (self.ours, self.theirs)
            for number in (pair or (float("nan"), float("nan")))
        ]
        peer = f"{self.peer}: {self.said}" if self.said else self.peer
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        names = (self.question.name, self.layout, SUFFIXES[self.suffix])
        cells = (*names, *weights[:2], peer, *weights[2:], ratio, self.n)
        return f"| {' | '.join(map(str, cells))} |".replace("nan", "–")


def rows(servers: Mapping[str, Server], sst: Sst, suffixes: Sequence[str], n: int) -> Iterator[Row]:
    """Yield every row: question × file × format × peer."""
    for question in questions(sst):
        for suffix in suffixes:
            for layout in sst.files:
                yield from _measured(servers, sst, question, layout, suffix, n)


def twinned(servers: Mapping[str, Server], sst: Sst, suffixes: Sequence[str], n: int) -> Iterator[Row]:
    """Yield the rows of a point's year and of a box on the file chunked as maps, where ours has its twin."""
    point, _, box, *_ = questions(sst)
    for question in (point, box):
        for suffix in suffixes:
            for row in _measured(servers, sst, question, "map", suffix, n):
                yield row._replace(layout=TWIN)


def _measured(
    servers: Mapping[str, Server], sst: Sst, question: Question, layout: str, suffix: str, n: int
) -> Iterator[Row]:
    with Client(servers["ours"].port) as client:
        answer = client.ask(ours(question, sst, layout, suffix))
    if answer.status != OK:
        yield Row(question, layout, suffix, None, "ours", None, n, f"answers {answer.status}")
        return
    found: dict[str, tuple[Asker, int]] = {}
    left_out: dict[str, str] = {}
    for name, server in servers.items():
        asker = Asker(server, sst, question, layout, suffix, answer.size)
        if asker.has_format():
            try:
                found[name] = asker, asker.times()
            except (OSError, HTTPException, Refused) as error:
                left_out[name] = str(error) or type(error).__name__
    medians = _medians(found, n)
    for name in servers:
        if name in left_out or (name != "ours" and name in medians):
            weight, said = medians.get(name), left_out.get(name, "")
            yield Row(question, layout, suffix, medians.get("ours"), name, weight, n, said)


def _medians(askers: Mapping[str, "tuple[Asker, int]"], n: int) -> dict[str, Weight]:
    """Weigh everybody in turn, n times; the askers come with how many requests a round has."""
    found: dict[str, list[Weight]] = {name: [] for name in askers}
    for number in range(n):
        for name, (asker, times) in askers.items():
            found[name].append(asker.weigh(number * _MOST + 1, times))
    return {
        name: Weight(*(median(axis) for axis in zip(*weights, strict=True)))
        for name, weights in found.items()
    }


class Refused(Exception):
    """A server did not answer with status 200, or was not asked; the message says why."""


class Asker:
    """One question, file and format at one server, asked at ever other places.

    Args:
        server: Who is asked.
        sst: The data.
        question: The cut.
        layout: The file.
        suffix: The format.
        size: The bytes of our answer, which the limit sends.
    """

    def __init__(
        self, server: Server, sst: Sst, question: Question, layout: str, suffix: str, size: int
    ) -> None:
        self._server = server
        self._what = (question, sst, layout, suffix)
        self._size = size

    def address(self, number: int) -> str | None:
        """Return the address of the question at the number-th place."""
        question, sst, layout, suffix = self._what
        moved = question.moved(number, sst)
        if self._server.name == "ours":
            return ours(moved, sst, layout, suffix)
        found = ADDRESSES[self._server.name](moved, sst, layout, suffix)
        return f"{found}&send={self._size}" if self._server.name == "limit" else found

    def has_format(self) -> bool:
        """Tell whether the server has such a format."""
        return self.address(0) is not None

    def times(self) -> int:
        """Ask once to warm up; return how many requests a round has. Raises Refused, OSError or HTTPException."""
        question, _, _, suffix = self._what
        if self._server.name not in {"ours", "limit"} and question.large and suffix in TEXT:
            raise Refused("left out, minutes")
        weight = self.weigh(0, 1)
        return max(1, min(_MOST, int(_ROUND_SECONDS / weight.wall)))

    def weigh(self, first: int, times: int) -> Weight:
        """Ask at some places from the first on; return the cost of one request. Raises Refused where one fails."""
        with self._server.client() as client:
            cpu, began = self._server.cpu(), perf_counter()
            for number in range(first, first + times):
                answer = client.ask(self.address(number) or "")
                if answer.status != OK:
                    raise Refused(f"answers {answer.status}")
            wall = perf_counter() - began
            return Weight((self._server.cpu() - cpu) / times, wall / times)
