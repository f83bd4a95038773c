"""Positioned reads of an open file, or of the files of a folder, by any thread, until it is closed."""

import contextlib
import os
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from catalog.errors import DataChanged, DataUnreadable

_Bytes = npt.NDArray[np.uint8]
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # what is no file must not keep anyone waiting
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY


class Source:
    """An open file or folder. It closes when nobody uses it any more, or after `close` and the last read under way.

    Args:
        path: The file, or the folder.
        folder: Which of the two it is.

    Raises:
        DataUnreadable: It cannot be opened, or is something else.
    """

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        try:
            self._fd = os.open(path, _FOLDER if folder else _FILE)
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "it has no such name"
            raise DataUnreadable(f"the data cannot be opened: {said}") from error
        self._finish = weakref.finalize(self, os.close, self._fd)
        self._reading = 0
        self._closed = False
        self._lock = threading.Lock()
        if not folder and not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._finish()
            raise DataUnreadable("the data lie in no regular file")

    def close(self) -> None:
        """Close it; a read under way ends first, a later one is refused."""
        with self._lock:
            self._closed = True
            if not self._reading:
                self._finish()

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Give the file descriptor, which stays open meanwhile. Raises DataUnreadable when it was closed."""
        with self._lock:
            if self._closed:
                raise DataUnreadable("the data were closed")
            self._reading += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._reading -= 1
                if self._closed and not self._reading:
                    self._finish()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Bytes that lie in no file of this machine.

    Args:
        read: Fills an array with the bytes from an offset; it raises what `fill` does.
    """

    read: Callable[[_Bytes, int], None]

    @contextlib.contextmanager
    def held(self) -> Iterator["Elsewhere"]:
        """Give it itself: whoever made it keeps it open."""
        yield self


Handle = int | Elsewhere
"""What `held` gives."""


def facts(fd: int) -> tuple[int, int]:
    """Return size in bytes and mtime in ns of an open file."""
    found = os.fstat(fd)
    return found.st_size, found.st_mtime_ns


def fill(fd: Handle, out: _Bytes, offset: int) -> None:
    """Read as many bytes as `out` has from an offset. Raises DataUnreadable where there are fewer."""
    if isinstance(fd, Elsewhere):
        fd.read(out, offset)
        return
    view, done = memoryview(out.data), 0
    try:
        while done < out.size:
            got = os.preadv(fd, [view[done:]], offset + done)
            if not got:
                raise DataChanged("the file is shorter than it was", hint="harvest its source again")
            done += got
    except OSError as error:
        raise DataUnreadable(f"the data cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def within(fd: int, parts: tuple[str, ...]) -> Iterator[int]:
    """Open a file below an open folder; no link is followed, neither for the file nor on the way.

    Raises:
        FileNotFoundError: It is not there. DataUnreadable: It is something else, or cannot be read.
    """
    opened: list[int] = []
    try:
        for name in parts[:-1]:
            opened.append(os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=opened[-1] if opened else fd))
        opened.append(os.open(parts[-1], _FILE | os.O_NOFOLLOW, dir_fd=opened[-1] if opened else fd))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            raise DataUnreadable("a chunk lies in no regular file")
        yield opened[-1]
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataUnreadable(f"the data cannot be read: {error.strerror}") from error
    finally:
        for one in opened:
            os.close(one)


def changed() -> DataChanged:
    """Return the error that says that the data are not those that were indexed."""
    return DataChanged("the file is not the one that was indexed", hint="index it again")


def read_chunk(fd: int, parts: tuple[str, ...], known: tuple[int, int], out: _Bytes) -> None:
    """Read the whole file of a chunk. Raises DataChanged when its size or mtime is not the one known."""
    try:
        with within(fd, parts) as file:
            fill(file, out, 0)
            if facts(file) != known:
                raise changed()
    except FileNotFoundError as error:
        raise changed() from error


def check_missing(fd: int, parts: tuple[str, ...]) -> None:
    """Raise DataChanged when there is a chunk by now that was not there."""
    with contextlib.suppress(FileNotFoundError), within(fd, parts):
        raise changed()
