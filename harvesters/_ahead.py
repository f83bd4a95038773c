"""What goes on ahead in threads: a source is asked for what comes next while what it gave is read and kept."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from harvesters._polite import Stop

MOST = 500
MOST_BYTES = 16_000_000
PATIENCE = 2.0
"""Seconds that a listing gets to end when nobody wants more of it; then it is left to end by itself."""

_SLICE = 0.2

T = TypeVar("T")


class _Shelf(Generic[T]):
    """Things between the thread that makes them and the one that takes them, in order, bounded in number and bytes.

    They are taken all at once, so that the threads seldom wait for each other.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._things: list[T] = []
        self._bytes = 0
        self.over = False
        self._failure: BaseException | None = None
        self._moved = threading.Condition()

    def put(self, thing: T, size: int) -> None:
        """Put a thing of so many bytes, and wait until there is room for the next. Raises Stopped."""
        with self._moved:
            self._things.append(thing)
            self._bytes += size
            if len(self._things) == 1:
                self._moved.notify_all()
            while len(self._things) >= MOST or self._bytes >= MOST_BYTES:
                self._stop.check()
                self._moved.wait(_SLICE)

    def end(self, failure: BaseException | None) -> None:
        """Say that nothing more comes, and why if the making broke."""
        with self._moved:
            self.over, self._failure = True, failure
            self._moved.notify_all()

    def take(self) -> Sequence[T]:
        """Take all there is, waiting for one; nothing at the end. Raises what broke the making, or Stopped."""
        with self._moved:
            while not (self._things or self.over):
                self._stop.check()
                self._moved.wait(_SLICE)
            taken, self._things, self._bytes = self._things, [], 0
            self._moved.notify_all()
            if not taken and self._failure is not None:
                raise self._failure
            return taken


def ahead(things: Generator[T], size: Callable[[T], int], stop: Stop) -> Iterator[Sequence[T]]:
    """Yield what is made in a thread of its own, some things ahead, as many together as there are.

    What came before the making broke comes before its error.

    Args:
        things: What makes them; all of it, and its end, is done in the other thread.
        size: Tells the bytes of one.
        stop: Ends both; it is set when the taker is left before the end.

    Raises:
        Stopped: `stop` was set.
    """
    shelf = _Shelf[T](stop)

    def run() -> None:
        failure: BaseException | None = None
        try:
            with closing(things):
                for thing in things:
                    stop.check()
                    shelf.put(thing, size(thing))
        except BaseException as error:  # noqa: BLE001 - raised where the things are taken
            failure = error
        shelf.end(failure)

    making = threading.Thread(target=run, name="ahead", daemon=True)
    making.start()
    try:
        while taken := shelf.take():
            yield taken
            stop.check()
    finally:
        if not shelf.over:  # it was left before the end
            stop.set()
        making.join(PATIENCE)
