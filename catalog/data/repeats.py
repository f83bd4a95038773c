"""Small results of remote data that are kept for repeats: files of a folder, which may be deleted at any time.

A result is kept under all that it depends on: the address, what was asked for, the form of the answer, and what its
server told of the state of its data. It is given again for as long as the operator allows, whole, with its age.
"""

import contextlib
import hashlib
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

MOST_BYTES = 8_000_000
"""A larger result is not kept."""

_SUFFIX = ".kept"
_LEFT_SECONDS = 3_600  # after that, what somebody began to write is of nobody any more


@dataclass(frozen=True)
class Kept:
    """A result, how old it is in seconds, and the sentences that belong to it."""

    body: bytes
    age: float
    notes: tuple[str, ...]


class Repeats:
    """Results by key; usable from any thread, and by several processes at once.

    Args:
        folder: Where they are; made at the first of them.
        most_bytes: Bytes that they may have together; those that were not used for longest are given up first.
        clock: Seconds since 1970.
    """

    def __init__(self, folder: Path, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._most, self._clock = folder, most_bytes, clock

    def get(self, key: Sequence[str], most_seconds: float) -> Kept | None:
        """Return what is kept under a key and is at most so old; None where there is nothing, or not whole."""
        path = self._path(key)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            told = orjson.loads(head)
            age = self._clock() - float(told["made"])
            notes = tuple(map(str, told["notes"]))
            whole = told["sha256"] == hashlib.sha256(body).hexdigest() and told["key"] == list(key)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not whole or not 0 <= age <= most_seconds:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return Kept(body, age, notes)

    def put(self, key: Sequence[str], body: bytes, notes: Sequence[str] = ()) -> None:
        """Keep a result, if it is small; a folder that cannot be written is done without."""
        if len(body) > min(MOST_BYTES, self._most):
            return
        told = {
            "made": self._clock(),
            "notes": list(notes),
            "sha256": hashlib.sha256(body).hexdigest(),
            "key": list(key),
        }
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(self._path(key), orjson.dumps(told) + b"\n" + body)
            self._give_up()

    def file(self, key: Sequence[str]) -> Path | None:
        """Return the file that `put_file` wrote under a key; None where there is none."""
        path = self._path(key).with_suffix(".index")
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def put_file(self, key: Sequence[str], content: bytes) -> Path | None:
        """Keep bytes in a file of their own, without age; None where that cannot be written."""
        path = self._path(key).with_suffix(".index")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(path, content)
        except OSError:
            return None
        self._give_up(path)
        return path

    def _path(self, key: Sequence[str]) -> Path:
        return self._folder / (hashlib.sha256(orjson.dumps(list(key))).hexdigest()[:40] + _SUFFIX)

    def _write(self, path: Path, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)

    def _give_up(self, but: Path | None = None) -> None:
        """Delete what was not used for longest, until the rest fits; and what others left half written."""
        listed = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    listed.append((entry.stat().st_mtime, entry.stat().st_size, Path(entry.path)))
        room: float = self._most
        for changed, size, path in sorted(listed, key=lambda one: one[0], reverse=True):
            is_ours = path.suffix in {_SUFFIX, ".index"}
            if not is_ours and time.time() - changed < _LEFT_SECONDS:
                continue
            room = room - size if is_ours else room
            if (room < 0 or not is_ours) and path != but:
                with contextlib.suppress(OSError):
                    path.unlink()


def age(seconds: float) -> str:
    """Return how old a result is, for people."""
    whole = math.floor(seconds)
    return f"{whole // 60} minutes" if whole >= 120 else f"{whole} seconds"  # noqa: PLR2004
