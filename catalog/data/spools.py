"""Finished answers that wait to be sent, and the space they may take together."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Self

from catalog.errors import TooBusy


class Spool:
    """A finished answer in an anonymous temporary file: its length is known before its first byte is sent."""

    def __init__(self, fd: int, size: int, closed: Callable[[int], None] = lambda _: None) -> None:
        self._fd, self._closed, self._taken = fd, closed, size
        self.size = size

    def take_end(self, length: int) -> bytes:
        """Return the last `length` bytes, which are no part of the answer from now on; fewer where it is shorter."""
        length = min(length, self.size)
        self.size -= length
        return os.pread(self._fd, length, self.size)

    def pieces(self, chunk: int = 1 << 18) -> Iterator[bytes]:
        """Yield the bytes in pieces of `chunk`, then close."""
        try:
            for offset in range(0, self.size, chunk):
                yield os.pread(self._fd, min(chunk, self.size - offset), offset)
        finally:
            self.close()

    def close(self) -> None:
        """Give the file up; twice does no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._closed(self._taken)

    def __del__(self) -> None:
        """Give up a spool that nobody closed."""
        self.close()

    def __enter__(self) -> Self:
        """Use the spool in a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class Spools:
    """The open spools of a pool; usable from any thread.

    Args:
        limit: Bytes that they may have together.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._lock = (
            threading.RLock()
        )  # a spool may be collected, and so closed, by the thread that has the lock

    def refuse_if_full(self, size: int = 0) -> None:
        """Raise TooBusy where there is no space left, for what has `size` bytes by now."""
        if self._bytes + size >= self._limit:
            raise self._full()

    def take(self, fd: int, size: int) -> Spool:
        """Return the spool of an open file, which it closes. Raises TooBusy where it does not fit."""
        with self._lock:
            self._bytes += size
            fits = self._bytes <= self._limit
        spool = Spool(fd, size, self._closed)
        if not fits:
            spool.close()
            raise self._full()
        return spool

    def _closed(self, size: int) -> None:
        with self._lock:
            self._bytes -= size

    def _full(self) -> TooBusy:
        return TooBusy(
            f"more than {self._limit} bytes of answers wait to be sent",
            hint="try again in a few seconds",
            details={"retry_after": 10, "limit": self._limit, "setting": "BIENMO_SPOOL_BYTES"},
        )
