"""What datasets were asked for: how much was inflated for how much that was given, kept for a month.

Counts are added up in memory, and appended to a file of the data home once in a minute, a line a dataset and day; a
process that is killed loses those of its last minute. The file is put together again when it has grown.
"""

import contextlib
import datetime as dt
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from catalog.data import subset
from catalog.data.costs import Cost, Limits
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.errors import CatalogError
from catalog.record import Model

DAYS = 30
_FLUSH_SECONDS = 60.0
_MOST_IDS = 1_000
_MOST_BYTES = 1_000_000
_MOST_LINES = 5_000
_FIELDS = 6

Counts = tuple[int, int, int, int]


class Tally(Model):
    """What the requests of a dataset came to.

    Args:
        requests: How many there were; of refused ones, those that inflating too much was the reason for.
        result_bytes: Bytes of their unpacked results.
        decoded_bytes: Bytes of the chunks inflated for them.
        spared_bytes: Bytes that a twin spared, or would have (`catalog.data.costs.Cost`).
    """

    requests: int = 0
    result_bytes: int = 0
    decoded_bytes: int = 0
    spared_bytes: int = 0

    @property
    def ratio(self) -> float:
        """How many bytes were inflated for each that was given."""
        return self.decoded_bytes / max(1, self.result_bytes)


class Tallies:
    """The counts in a file; usable from any thread, and by several processes at once.

    Args:
        path: The file; made at the first count.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}
        self._flushed = time.monotonic()

    def add(self, record_id: str, cost: Cost) -> None:
        """Count a request."""
        with self._lock:
            before = self._counts.get(record_id, (0, 0, 0, 0))
            self._counts[record_id] = _sum(
                before, (1, cost.result_bytes, cost.decoded_bytes, cost.spared_bytes)
            )
            late = time.monotonic() - self._flushed > _FLUSH_SECONDS or len(self._counts) > _MOST_IDS
        if late:
            self.flush()

    def note(self, record_id: str, grid: Grid | None, cut: Cut, limits: Limits) -> None:
        """Count a request whose cost is not known yet; one that no layout makes answerable is not counted."""
        with contextlib.suppress(CatalogError):
            cost = subset.cost(grid, cut) if grid else None
            if cost and cost.result_bytes <= limits.result_bytes:
                self.add(record_id, cost)

    def flush(self) -> None:
        """Write what was counted; where that cannot be, it is forgotten."""
        with self._lock:
            counts, self._counts = self._counts, {}
            self._flushed = time.monotonic()
        if counts:
            day = _today().isoformat()
            lines = "".join(_line(day, record_id, known) for record_id, known in counts.items())
            with contextlib.suppress(OSError):
                with self._path.open("ab") as file:
                    file.write(lines.encode())
                    size = file.tell()
                if size > _MOST_BYTES:
                    self._gather()

    def read(self) -> Mapping[str, Tally]:
        """Return what was counted in the last thirty days, by dataset."""
        found: dict[str, Counts] = {}
        for (_, record_id), known in self._days().items():
            found[record_id] = _sum(found.get(record_id, (0, 0, 0, 0)), known)
        return {
            record_id: Tally(requests=n, result_bytes=result, decoded_bytes=decoded, spared_bytes=spared)
            for record_id, (n, result, decoded, spared) in found.items()
        }

    def _days(self) -> dict[tuple[str, str], Counts]:
        """The counts by day and dataset; a line that is damaged is left out."""
        oldest = (_today() - dt.timedelta(days=DAYS)).isoformat()
        found: dict[tuple[str, str], Counts] = {}
        try:
            text = self._path.read_text("utf-8", "replace")
        except OSError:
            return found
        for line in text.splitlines():
            words = line.split()
            if len(words) != _FIELDS or words[0] < oldest or not all(word.isdecimal() for word in words[2:]):
                continue
            n, result, decoded, spared = map(int, words[2:])
            key = (words[0], words[1])
            found[key] = _sum(found.get(key, (0, 0, 0, 0)), (n, result, decoded, spared))
        return found

    def _gather(self) -> None:
        """Write one line a dataset and day, the newest ones; counts that another process adds meanwhile may be lost."""
        days = sorted(self._days().items())[-_MOST_LINES:]
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        partial.write_text("".join(_line(*key, known) for key, known in days), "utf-8")
        partial.replace(self._path)


def _sum(one: Counts, other: Counts) -> Counts:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def _line(day: str, record_id: str, known: Counts) -> str:
    return f"{day} {record_id} {' '.join(map(str, known))}\n"


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
