"""A folder of kept answers, bounded in size: a cache, never a second truth."""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

_LOG = logging.getLogger(__name__)


class Kept:
    """Bodies by key, each with a few facts; a damaged or half-written one is as if it were not there.

    Args:
        folder: Where they are kept; made when the first is kept.
        max_bytes: Most bytes kept; beyond them, those longest unused go.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._room = 0  # bytes that may be kept before the folder is looked through again

    def get(self, key: str) -> tuple[Mapping[str, str], bytes] | None:
        """Return the facts and the body kept under a key, or None."""
        path = self._path(key)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            kept = json.loads(head)
            facts = dict(kept["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if kept.get("key") != key or kept.get("sha256") != hashlib.sha256(body).hexdigest():
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return facts, body

    def put(self, key: str, facts: Mapping[str, str], body: bytes) -> None:
        """Keep a body; a full or broken disk is logged, not raised."""
        if len(body) > self._max_bytes // 10:
            return
        head = {"key": key, "sha256": hashlib.sha256(body).hexdigest(), "facts": dict(facts)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(self._path(key), json.dumps(head).encode() + b"\n" + body)
        except OSError as error:
            _LOG.warning("an answer could not be kept in %s: %s", self._folder, error)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all; a tenth of the folder is emptied at a time, to look through it seldom."""
        if len(content) > self._room:
            left = self._prune(self._max_bytes - max(len(content), self._max_bytes // 10))
            self._room = self._max_bytes - left
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(content)
                file.flush()
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        self._room -= len(content)

    def _prune(self, most: int) -> int:
        """Remove what was longest unused until at most so many bytes are left; return how many are."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another harvest's pruning
                    found.append((entry.stat().st_mtime_ns, entry.stat().st_size, entry.path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= most:
                break
            Path(path).unlink(missing_ok=True)
            left -= size
        return left
