"""Who may have a worker, and who waits: so many at once, of one key fewer, and no more waiting than is useful."""

import contextlib
import threading
from collections import Counter
from collections.abc import Hashable, Iterator

from catalog.data.strikes import Strikes
from catalog.errors import TooBusy


class Queue:
    """Places at work, and calls that wait for one; usable from any thread.

    Args:
        places: Calls that are at work at once.
        waiting: Calls that may wait.
        of_one: Places that the calls for one key may have together; where that is less than `places`, half of those
            that wait may be for one key. So no key holds up the others alone.
        strikes: What tells which keys are refused: whoever waits for such a one is told at once.
    """

    def __init__(self, places: int, waiting: int, of_one: int, strikes: Strikes) -> None:
        self._places, self._most_waiting, self._of_one = places, waiting, of_one
        self._waiting_of_one = waiting if of_one >= places else max(1, waiting // 2)
        self._strikes = strikes
        self._turn = threading.Condition()
        self._at_work: Counter[Hashable] = Counter()
        self._waiting: Counter[Hashable] = Counter()
        self._closed = False

    @contextlib.contextmanager
    def place(self, key: Hashable) -> Iterator[None]:
        """Wait for one's turn; those before it end in time.

        Raises:
            TooBusy: Too many wait, or the queue is closed. DataUnreadable: The key is refused by now.
        """
        with self._turn:
            if not self._is_free(key):
                self._wait(key)
            if self._closed:
                raise closing()
            self._at_work[key] += 1
        try:
            yield
        finally:
            with self._turn:
                self._at_work[key] -= 1
                self._at_work += Counter()  # forgets those that are 0
                self._turn.notify_all()

    def strike(self, key: Hashable, seconds: float) -> None:
        """Count a failure of a key (`Strikes.strike`)."""
        self._strikes.strike(key, seconds)
        with self._turn:
            self._turn.notify_all()

    def close(self) -> None:
        """Refuse all who wait, and further calls."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def _wait(self, key: Hashable) -> None:
        waiting = self._waiting.total()
        if waiting >= self._most_waiting or self._waiting[key] >= self._waiting_of_one:
            raise TooBusy(
                f"every reader is at work and {waiting} requests wait",
                hint="try again in a few seconds",
                details={"retry_after": 5, "setting": "BIENMO_QUEUE"},
            )
        self._waiting[key] += 1
        try:
            self._turn.wait_for(lambda: self._is_free(key) or self._strikes.refuses(key))
        finally:
            self._waiting[key] -= 1
            self._waiting += Counter()
        self._strikes.refuse(key)

    def _is_free(self, key: Hashable) -> bool:
        """Tell whether a call need not wait (any more)."""
        few = self._at_work.total() < self._places and self._at_work[key] < self._of_one
        return self._closed or few


def closing() -> TooBusy:
    """Return the error that says that the server ends."""
    return TooBusy("the server is shutting down", details={"retry_after": 10})
