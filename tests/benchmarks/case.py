"""A case: something of ours against a peer or limit, n times each, in turn; medians of time."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Case(NamedTuple):
    """What was measured: milliseconds, ours and the peer's."""

    name: str
    ours: float
    peer: str
    theirs: float
    n: int

    def row(self) -> str:
        """Return the case as a row of a Markdown table."""
        ratio = self.ours / self.theirs
        return f"| {self.name} | {self.ours:.2f} | {self.peer} | {self.theirs:.2f} | {ratio:.2f} | {self.n} |"


def measure(
    name: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    n: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Case:
    """Run both once to warm up, then n times each in turn; wall time, unless there is another clock."""
    ours(), theirs()
    pairs = [(_milliseconds(ours, clock), _milliseconds(theirs, clock)) for _ in range(n)]
    return Case(name, median(pair[0] for pair in pairs), peer, median(pair[1] for pair in pairs), n)


def _milliseconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    run()
    return (clock() - began) * 1_000
