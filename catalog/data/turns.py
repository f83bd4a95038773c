"""Whose turn it is: how many requests of one client are at work, and how many may wait."""

import threading
from collections import Counter
from collections.abc import Callable

from catalog.errors import TooBusy


class Turns:
    """Counts the requests of each client; usable from any thread.

    A client that asks for much waits for itself: its further requests stand back until one of its own is done, so that
    it never holds every reader.

    Args:
        active: Requests of one client at work.
        waiting: Requests of one client that may wait for them.
        queue: Requests of all clients that may wait.
        most: Requests of all clients that may be at work or wait, so that threads are left for all else.
    """

    def __init__(self, active: int, waiting: int, queue: int, most: int = 1 << 30) -> None:
        self._active, self._waiting, self._queue, self._most = active, waiting, queue, most
        self._turn = threading.Condition()
        self._at_work: Counter[str] = Counter()
        self._standing: Counter[str] = Counter()

    def take(self, client: str) -> Callable[[], None]:
        """Wait for the client's turn, and return what gives it back; giving it back twice does no harm.

        Raises:
            TooBusy: Too many requests of this client, or of all, wait already.
        """
        with self._turn:
            if self._at_work.total() + self._standing.total() >= self._most:
                raise TooBusy(
                    f"{self._most} requests are at work or wait",
                    hint="try again in a few seconds",
                    details={"retry_after": 5, "setting": "BIENMO_QUEUE"},
                )
            if self._at_work[client] >= self._active:
                if self._standing[client] >= self._waiting or self._standing.total() >= self._queue:
                    raise TooBusy(
                        f"{self._active} of your requests are at work and {self._standing[client]} wait",
                        hint="wait for their answers, then ask again",
                        details={"retry_after": 5, "setting": "BIENMO_CLIENT_WAITING"},
                    )
                self._standing[client] += 1
                try:
                    self._turn.wait_for(lambda: self._at_work[client] < self._active)
                finally:
                    self._less(self._standing, client)
            self._at_work[client] += 1
        given_back = threading.Event()

        def give_back() -> None:
            with self._turn:
                if not given_back.is_set():
                    given_back.set()
                    self._less(self._at_work, client)
                    self._turn.notify_all()

        return give_back

    @staticmethod
    def _less(counts: Counter[str], client: str) -> None:
        counts[client] -= 1
        if counts[client] <= 0:
            del counts[client]
