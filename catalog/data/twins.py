"""Twins: the same values as a source's in chunks that serve series (`catalog.data.tiling`), kept in the data home.

A twin is a Zarr folder and a sealed index of it, made and checked by `catalog.data.twinning`. It is for one state of
one source. Every read from it looks first whether the source is as it was, and its chunks carry checksums: whatever is
wrong with a twin, the values come from the source then, and the twin is not used again.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import ValidationError
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data import chunks, collection
from catalog.data.blocks import chunks_of
from catalog.data.contents import Variable
from catalog.data.grids import Grid
from catalog.data.layouts import Chunks, Stored
from catalog.data.parts import parts
from catalog.data.places import address, place
from catalog.data.positioned import Source
from catalog.data.reading import Cells, OpenFile
from catalog.errors import CatalogError, DataError, DataUnreadable, LeaseHeld, TooLarge
from catalog.record import Distribution, Model

INDEX, STORE, MAKING = "index", "store", ".making-"
_BROKEN, _LOCK, _USED = ".broken-", ".lock", "used"
_USED_SECONDS = 60.0
_LOG = logging.getLogger(__name__)

Key = tuple[str, int, int]
"""A source as it is: its address, its size in bytes, its time of change in nanoseconds (`catalog.data.shelf`)."""
Mark = tuple[str, int, int]
"""A file or folder of a source: its address, its size in bytes, its time of change in nanoseconds."""


class Tiled(Model):
    """A variable of a twin.

    Args:
        chunks: The shape of its chunks.
        raw_bytes: Bytes of its values.
        sha256: Of its values as the source gave them, little-endian, chunk by chunk, in C order.
    """

    chunks: tuple[int, ...]
    raw_bytes: int
    sha256: str


class Held(Model):
    """What is known of a twin.

    Args:
        record: The record that it was made for.
        source: The state of the source.
        marks: All files of the source, and the folders that hold them.
        variables: By name.
        size: Bytes on disk.
        made: When it was made, and found equal to the source.
    """

    record: str
    source: Key
    marks: tuple[Mark, ...]
    variables: Mapping[str, Tiled]
    size: int
    made: str


class Twins:
    """The twins in a folder; usable from any thread, and by several processes at once.

    Args:
        folder: Where they are; made at the first of them.
        budget_bytes: Bytes that they may have together on disk.
        cache: Keeps decoded chunks.
    """

    def __init__(self, folder: Path, budget_bytes: int, cache: chunks.Decoded | None = None) -> None:
        self.folder, self.budget_bytes = folder, budget_bytes
        self._cache = cache
        self._lock = threading.Lock()
        self._seen: weakref.WeakKeyDictionary[Grid, int] = weakref.WeakKeyDictionary()

    def attach(self, key: Key, grid: Grid) -> Grid:
        """Return the grid of a source, with the variables of its twin if it has one now."""
        state = self._state()
        if self._seen.get(grid, 0) != state:
            with self._lock:
                if self._seen.get(grid, 0) != state:
                    grid.twins = self._opened(key, grid)
                    self._seen[grid] = state
        return grid

    def path(self, key: Key) -> Path:
        """Return the folder of the twin of a source in a state, whether it is there or not."""
        name = hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / name[:40]

    def held(self, key: Key) -> Held | None:
        """Return what is known of the twin of a source in a state; None where there is none, or it is damaged."""
        found = _read(self.path(key))
        return found[1] if found and found[1].source == key else None

    def all(self) -> tuple[tuple[Path, Held], ...]:
        """Return every whole twin and its folder, that not used for longest first."""
        found = [
            (path, known[1]) for path in self._folders() if path.name[0] != "." and (known := _read(path))
        ]
        return tuple(sorted(found, key=lambda pair: used(pair[0])))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one, over all processes, that makes or drops twins; what others left half-made is removed.

        Raises:
            LeaseHeld: Another process does so now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LeaseHeld("another process makes twins now", hint="wait until it has ended") from error
            self._sweep()
            yield

    def sweep(self) -> None:
        """Remove what is half-made, damaged, or of a source that changed; nothing while another process makes twins."""
        if self.folder.is_dir():
            with contextlib.suppress(LeaseHeld, OSError), self.alone():
                pass

    def drop(self, of: str) -> bool:
        """Remove the twin of the source at an address; tell whether there was one. Call it in `alone`."""
        found = [path for path, held in self.all() if held.source[0] == of]
        for path in found:
            _remove(path)
        return bool(found)

    def make_room(self, size: int, keep: str = "", *, unused_seconds: float = 0) -> None:
        """Drop twins, that not used for longest first, until `size` bytes fit into the budget. Call it in `alone`.

        Args:
            size: Bytes that are needed.
            keep: The address of a source whose twin is not counted, and stays.
            unused_seconds: Twins used within so many seconds stay.

        Raises:
            TooLarge: They do not fit.
        """
        others = [(path, held) for path, held in self.all() if held.source[0] != keep]
        total = sum(held.size for _, held in others)
        gone = []
        for path, held in others:
            if total + size > self.budget_bytes and time.time() - used(path) >= unused_seconds:
                gone.append(path)
                total -= held.size
        if total + size > self.budget_bytes:
            raise TooLarge(
                f"a twin of {size:,} bytes does not fit: {total:,} of {self.budget_bytes:,} must stay for others",
                hint="raise BIENMO_TWIN_BYTES, or drop a twin: bienmo optimize ID --drop",
                details={"limit": self.budget_bytes, "asked": size, "setting": "BIENMO_TWIN_BYTES"},
            )
        for path in gone:
            _remove(path)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []

    def _state(self) -> int:
        """What changes when a twin comes or goes."""
        try:
            return os.stat(self.folder).st_mtime_ns  # noqa: PTH116 - on the way of every request
        except OSError:
            return 0

    def _sweep(self) -> None:
        for path in self._folders():
            found = None if path.name[0] == "." else _read(path)
            if found is None or _is_stale(found[1].marks) or self.path(found[1].source) != path:
                _remove(path)

    def _opened(self, key: Key, grid: Grid) -> Mapping[str, xr.Variable]:
        path = self.path(key)
        found = _read(path)
        if found is None or found[1].source != key or not are_unchanged(found[1].marks):
            return {}
        index, held = found
        try:
            twin = _Twin(path, held, grid, self._cache)
        except DataError:
            return {}
        twins = {}
        for variable in index.variables:
            source = grid.dataset.variables.get(variable.name)
            if source is None or (source.dims, source.shape, source.dtype) != (
                variable.dims,
                variable.shape,
                variable.dtype,
            ):
                return {}
            twins[variable.name] = twin.variable(variable, source)
        return twins


def used(path: Path) -> float:
    """Return when a twin was last used, about: seconds since 1970."""
    with contextlib.suppress(OSError):
        return (path / _USED).stat().st_mtime
    return 0


def mark_used(path: Path) -> None:
    """Note that a twin is used now."""
    with contextlib.suppress(OSError):
        (path / _USED).touch()


def marks(distribution: Distribution) -> tuple[Mark, ...]:
    """Return the files of a local source, and the folders that hold them, as they are. Raises DataChanged, OSError."""
    path = place(distribution.address)
    every = [path]
    if distribution.protocol == "collection":
        every += collection.paths(distribution.address)
    found = []
    for one in every:
        folders = [one, *(part for part in one.rglob("*") if part.is_dir())] if one.is_dir() else []
        for part in (*folders, *parts(one)):
            facts = part.stat()
            found.append((address(part), facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def are_unchanged(known: tuple[Mark, ...]) -> bool:
    """Tell whether files and folders are as they were."""
    return _are_unchanged(tuple((place(text), size, mtime) for text, size, mtime in known))


def _is_stale(known: tuple[Mark, ...]) -> bool:
    """Tell whether a source is there and changed; one that is away may come back (a disk that is not mounted)."""
    return place(known[0][0]).exists() and not are_unchanged(known)


def _are_unchanged(known: tuple[tuple[Path, int, int], ...]) -> bool:
    try:
        for path, size, mtime in known:
            facts = os.stat(path)  # noqa: PTH116 - a source may have thousands of files
            if (facts.st_size, facts.st_mtime_ns) != (size, mtime):
                return False
    except OSError:
        return False
    return True


def _read(path: Path) -> tuple[chunks.Index, Held] | None:
    """The index of a twin and what it says of itself; None where it is not whole."""
    try:
        index = chunks.load((path / INDEX).read_bytes())
        return index, Held.model_validate_json(index.attributes["twin"])
    except (OSError, DataUnreadable, ValidationError, KeyError):
        return None


def _remove(path: Path) -> None:
    """Remove a twin; it is gone for all others before its files are."""
    gone = path.with_name(f"{_BROKEN}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


class _Twin:
    """An open twin of a grid's source."""

    def __init__(self, path: Path, held: Held, grid: Grid, cache: chunks.Decoded | None) -> None:
        self._path = path
        self._marks = tuple((place(text), size, mtime) for text, size, mtime in held.marks)
        self._grid = weakref.ref(grid)
        self._shared = OpenFile(Source(path / STORE, folder=True), None, cache, (path.name, held.made))
        self._noted = time.monotonic() - _USED_SECONDS

    def variable(self, variable: Variable, source: xr.Variable) -> xr.Variable:
        """The source's variable, its values read from here."""
        stored = variable.stored
        assert isinstance(stored, Stored)
        assert isinstance(stored.layout, Chunks)
        cells = Cells(self._shared, variable.name, stored, source.dtype)
        data: Any = indexing.LazilyIndexedArray(_Values(self, cells, source))
        found = xr.Variable(source.dims, data, source.attrs, fastpath=True)
        found.encoding = {
            **source.encoding,
            "chunksizes": stored.layout.chunk,
            "source_chunks": chunks_of(source),
        }
        return found

    def read(self, cells: Cells, key: tuple[Any, ...]) -> npt.NDArray[Any] | None:
        """The values at a key; None where the twin is not what it should be."""
        if not _are_unchanged(self._marks):
            self._leave("its source changed", damaged=False)
            return None
        try:
            found = cells.read(key)
        except CatalogError as error:
            self._leave(error.message, damaged=not isinstance(error.__cause__, OSError))
            return None
        if time.monotonic() - self._noted >= _USED_SECONDS:
            self._noted = time.monotonic()
            mark_used(self._path)
        return found

    def _leave(self, reason: str, *, damaged: bool) -> None:
        """Use the twin no more; where it is damaged, nobody does."""
        _LOG.warning("the twin %s is not used any more: %s", self._path.name, reason)
        if (grid := self._grid()) is not None:
            grid.twins = {}
        if damaged:
            with contextlib.suppress(OSError):
                self._path.rename(self._path.with_name(f"{_BROKEN}{secrets.token_hex(8)}"))


class _Values(BackendArray):
    """The values of a variable: the twin's, and the source's where the twin fails."""

    def __init__(self, twin: _Twin, cells: Cells, source: xr.Variable) -> None:
        self.shape, self.dtype = source.shape, source.dtype
        self._twin, self._cells, self._source = twin, cells, source

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        found = self._twin.read(self._cells, key)
        return np.asarray(self._source[key].values) if found is None else found
