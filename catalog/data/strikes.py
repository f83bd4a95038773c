"""Which data crashed or hung their readers, and until when they are left alone."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from catalog.errors import DataUnreadable

MAX_STRIKES = 2
"""Crashes or timeouts after which data are refused at once."""

STRIKE_SECONDS = 300.0
"""How long a strike is remembered, and data are refused."""


class _Strike(NamedTuple):
    number: int
    last: float
    until: float


class Strikes:
    """Strikes by what was read; usable from any thread.

    After `MAX_STRIKES` the data are refused for a while; then one more failure is enough to refuse them again, and a
    good reading, or `STRIKE_SECONDS` without a failure, wipes all out.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Strike] = {}

    def refuse(self, key: Hashable) -> None:
        """Raise DataUnreadable, with the time of the next try, where the data are to be left alone."""
        with self._lock:
            found = self._known.get(key)
        left = found.until - self._clock() if found else 0
        if found and left > 0:
            raise DataUnreadable(
                f"the data are quarantined: {found.number} readings of them crashed or hung",
                hint=f"they are tried again in {left:.0f} seconds, and at once when the file is replaced",
                details={"retry_after": max(1, round(left))},
            )

    def strike(self, key: Hashable, seconds: float) -> None:
        """Count a failure; with the last one that is allowed the data are refused for so many seconds."""
        if key is None:
            return
        now = self._clock()
        with self._lock:
            for old in [old for old, known in self._known.items() if now - known.last >= STRIKE_SECONDS]:
                del self._known[old]
            number = self._known[key].number + 1 if key in self._known else 1
            self._known[key] = _Strike(number, now, now + seconds if number >= MAX_STRIKES else now)

    def clear(self, key: Hashable) -> None:
        """Forget the strikes of data that were read."""
        with self._lock:
            self._known.pop(key, None)
