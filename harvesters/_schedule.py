"""When a source is due: by its schedule, sooner after trouble, later while it rests; pure arithmetic over its runs."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import NamedTuple

from catalog.instant import canonical, seconds
from catalog.source import Source
from catalog.stores import Run

RUNS_LOOKED_BACK = 30
HOUR = 3_600.0
DAY = 86_400.0
_SPREAD = 0.05  # of the time between two harvests
_MOST_SPREAD = 300.0


class Due(NamedTuple):
    """When a source is due, in seconds since 1970, and why it rests until then where it does."""

    at: float
    resting: str = ""


def failures(runs: Sequence[Run], *, with_incomplete: bool = False) -> int:
    """Count the newest runs, newest first, that failed one after another; a run under way does not count."""
    bad = {"failed", "incomplete"} if with_incomplete else {"failed"}
    ended = (run for run in runs if run.state != "running")
    return sum(1 for _ in takewhile(lambda run: run.state in bad, ended))


def rest(failed: int, most: int) -> float:
    """Return how long a source rests after so many failures in a row: from the `most`-th on 1 h, 2 h, 4 h … 24 h."""
    return 0.0 if failed < most else min(HOUR * 2.0 ** min(failed - most, 10), DAY)


def told_rest(runs: Sequence[Run], most: int, now: float) -> str:
    """Return the sentence that a failed run's note ends with, the run itself not in `runs`; empty if it has no rest."""
    failed = failures(runs) + 1
    length = rest(failed, most)
    return f"; it failed {failed} times in a row: not due before {moment(now + length)}" if length else ""


def moment(at: float) -> str:
    """Return a time as a canonical instant, to the second."""
    return canonical(datetime.fromtimestamp(int(at), UTC).isoformat())


def due(source: Source, runs: Sequence[Run], most: int) -> Due | None:
    """Return when a source is due; None for one without a schedule.

    It is due at the first time of its schedule after its last run began, so missed times are made good by one run, and
    a moment later, always the same of the same time, so that many sources do not begin at once. A source that was never
    harvested, or whose run was cut off, is due at once. After a run that failed or ended incomplete it is due in an
    hour, after two in two; after `most` failures in a row it rests an hour, two, four … at most a day.

    Args:
        source: The source.
        runs: Its newest runs, newest first.
        most: Failures in a row after which it rests.
    """
    if not source.schedule:
        return None
    if not runs or runs[0].state == "running":
        return Due(0.0)
    last = runs[0]
    ended = seconds(last.ended or last.started)
    at = _spread(source, seconds(last.started))
    troubles = failures(runs, with_incomplete=True)
    if 0 < troubles < most:
        at = min(at, ended + HOUR * troubles)
    resting = ended + rest(failures(runs), most)
    if resting > max(at, ended):
        return Due(resting, f"it failed {failures(runs)} times in a row")
    return Due(at)


def _spread(source: Source, after: float) -> float:
    """The first time of the schedule after a time, and up to a twentieth of the time to the next, at most 5 min."""
    at = source.next_time(after)
    assert at is not None
    following = source.next_time(at)
    assert following is not None
    dice = int.from_bytes(hashlib.sha256(f"{source.id} {at:.0f}".encode()).digest()[:4]) / 2**32
    return at + dice * min(_SPREAD * (following - at), _MOST_SPREAD)
