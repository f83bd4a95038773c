"""Who may ask which host, and when: two requests at once, pauses between them, and rests that a host asks for."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from catalog.errors import Unreachable

MOST_AT_ONCE = 2
LONGEST_REST = 86_400.0
_SLICE = 0.2  # seconds from one look at whether to stop to the next


class Stopped(BaseException):
    """The harvest is to end now; no `except Exception` of a protocol takes it for a fault of the source."""


class Stop:
    """Says that what waits is to end, as does the one above it, where there is one; a signal's handler may set it."""

    def __init__(self, above: "Stop | None" = None) -> None:
        self._said, self._above = False, above

    def set(self) -> None:
        """Say so."""
        self._said = True

    def is_set(self) -> bool:
        """Tell whether it was said."""
        return self._said or (self._above is not None and self._above.is_set())

    def check(self) -> None:
        """Pass while nobody said so. Raises Stopped."""
        if self.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Stopped as soon as it is said."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _SLICE))
        self.check()


@dataclass
class _Host:
    """What is known of a host: requests under way, and when the next may begin, by the clock."""

    active: int = 0
    ready: float = -math.inf


class Hosts:
    """The hosts that the sources of this process ask.

    Args:
        most: Most requests to one host at once, over all sources.
        clock: Tells the time in seconds.
    """

    def __init__(self, most: int = MOST_AT_ONCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._hosts: dict[str, _Host] = {}
        self._freed = threading.Condition()

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host())

    @contextmanager
    def turn(
        self, name: str, stop: Stop, sleep: Callable[[float], None], *, delay: float, longest: float
    ) -> Iterator[None]:
        """Wait for a turn with a host, and hold it while the block runs.

        Args:
            name: The host, with its port.
            stop: Ends the waiting.
            sleep: Waits so many seconds.
            delay: Seconds from the beginning of this request to that of the next.
            longest: Longest rest of the host that is waited for, in seconds.

        Raises:
            Unreachable: The host asked for a longer rest.
            Stopped: The waiting was ended.
        """
        with self._freed:
            while self._host(name).active >= self._most:
                self._freed.wait(_SLICE)
                stop.check()
            self._host(name).active += 1
        try:
            wait = self._reserve(name, delay, longest)
            if wait > 0:
                sleep(wait)
            yield
        finally:
            with self._freed:
                self._host(name).active -= 1
                self._freed.notify_all()

    def _reserve(self, name: str, delay: float, longest: float) -> float:
        """Take the next beginning that the host has free; return how long it is until then."""
        with self._freed:
            host, clock = self._host(name), self._clock()
            begin = max(clock, host.ready)
            if begin - clock > max(longest, delay):
                raise Unreachable(
                    f"{name} asks to come back in {begin - clock:.0f} s",
                    hint="harvest it again later; the longest wait is BIENMO_RETRY_AFTER_SECONDS",
                    details={"host": name, "retry_after": begin - clock},
                )
            host.ready = begin + delay
            return begin - clock

    def rest(self, name: str, seconds: float) -> None:
        """Let nobody ask a host for so many seconds, at most a day."""
        with self._freed:
            host = self._host(name)
            host.ready = max(host.ready, self._clock() + min(seconds, LONGEST_REST))
