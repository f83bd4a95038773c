"""Which data crashed or hung their readers, or which servers do not answer, and until when they are left alone."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple

from catalog.errors import DataUnreadable

MAX_STRIKES = 2
"""Crashes or timeouts after which data are refused at once, where nothing else is said."""

STRIKE_SECONDS = 300.0
"""How long a strike is remembered, and data are refused."""


class _Strike(NamedTuple):
    number: int
    last: float
    until: float


class Strikes:
    """Strikes by what was read; usable from any thread.

    After `most` of them the data are refused for a while. Then one reading is let through, and the others are refused
    as long as that may take: one more failure refuses them again, and a good reading, or `STRIKE_SECONDS` without a
    failure, wipes all out.

    Args:
        clock: Monotonic seconds.
        most: Failures after which data are refused.
        said: What they are then called in the error.
        trial_seconds: How long the one reading may take.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        most: int = MAX_STRIKES,
        said: str = "the data are quarantined: {number} readings of them crashed or hung",
        trial_seconds: float = 60.0,
    ) -> None:
        self._clock, self._most, self._said, self._trial = clock, most, said, trial_seconds
        self._lock = threading.Lock()
        self._known: dict[Hashable, _Strike] = {}

    def refuse(self, key: Hashable) -> None:
        """Raise DataUnreadable, with the time of the next try, where the data are to be left alone."""
        with self._lock:
            self._refuse(key)

    def refuses(self, key: Hashable) -> bool:
        """Tell whether the data are to be left alone."""
        with self._lock:
            found = self._known.get(key)
        return found is not None and found.until > self._clock()

    def admit(self, key: Hashable) -> None:
        """Let a reading begin, as the only one where the data were left alone till now. Raises as `refuse`."""
        with self._lock:
            self._refuse(key)
            found = self._known.get(key)
            if found and found.number >= self._most:
                self._known[key] = found._replace(until=self._clock() + self._trial)

    def _refuse(self, key: Hashable) -> None:
        found = self._known.get(key)
        left = found.until - self._clock() if found else 0
        if found and left > 0:
            raise DataUnreadable(
                self._said.format(number=found.number),
                hint=f"they are tried again in {left:.0f} seconds, and at once when a file is replaced",
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
            self._known[key] = _Strike(number, now, now + seconds if number >= self._most else now)

    def clear(self, key: Hashable) -> None:
        """Forget the strikes of data that were read."""
        with self._lock:
            self._known.pop(key, None)
