"""The local files that are at hand: each opened once through its chunk index, and kept between requests.

The index of a file is made by a worker and kept in a folder of the data home under a name made of path, size and time
of change; it is a cache that may be deleted at any time. The server's own threads then read the file without libhdf5.
"""

import contextlib
import hashlib
import tempfile
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import xarray as xr

from catalog.data import chunks, collection
from catalog.data.grids import Grid, held
from catalog.data.places import address, place, shown
from catalog.data.twins import Key, Twins
from catalog.data.workers import Workers
from catalog.errors import DataChanged, DataUnreadable
from catalog.record import Distribution

GRID_BYTES = 500_000_000
"""What grids may keep in memory, where no setting says it."""

CHECK_SECONDS = 1.0
"""How long a Zarr folder is believed to be what it was, but for the chunks that are read: their files are looked at."""

_MOST_OPEN = 512


class Shelf:
    """Grids of local files, the least used given up first; usable from any thread.

    What all grids keep (their indexes, coordinates, spatial indexes) has a budget of memory. A grid of less than a
    thousandth of it is not given up for that: all of those together have less than half of it.

    Args:
        home: The data home, where the indexes are kept in a folder that is made at the first of them, and the twins,
            which its grids read from where that is cheaper.
        workers: Who makes the indexes.
        decoded_bytes: Bytes of decoded chunks that are kept for repeats.
        twin_bytes: Bytes of disk that twins may have.
        grid_bytes: Bytes that the grids may keep in memory.
    """

    def __init__(
        self,
        home: Path,
        workers: Workers,
        decoded_bytes: int,
        twin_bytes: int = 0,
        grid_bytes: int = GRID_BYTES,
    ) -> None:
        self._folder, self._workers, self._budget = home / "chunks", workers, grid_bytes
        self._decoded = chunks.Decoded(decoded_bytes)
        self.twins = Twins(home / "twins", twin_bytes, self._decoded)
        self._lock = threading.Lock()
        self._grids: OrderedDict[Key, Future[Grid | None]] = OrderedDict()

    def grid(self, distribution: Distribution) -> Grid | None:
        """Return the grid of a local file, Zarr folder or collection; None where only a worker can read it.

        Raises:
            DataChanged: The file is gone, or not the one that was harvested.
            WorkerCrashed, WorkerTimeout, TooBusy: Its index could not be made.
        """
        key = identity(distribution)
        with self._lock:
            found = self._grids.get(key)
            mine = found is None
            if found is None:
                found = self._grids[key] = Future()
            self._grids.move_to_end(key)
            while len(self._grids) > _MOST_OPEN:
                self._grids.popitem(last=False)  # whoever still reads it keeps it open
        if mine:
            try:
                is_one = distribution.protocol != "collection"
                made = self._opened(key) if is_one else self._collected(distribution)
                found.set_result(made)
                if made is not None:
                    made.grew = self._fit
                    self._fit()
            except BaseException as error:  # noqa: BLE001 - whatever it is, all who wait get it
                with self._lock:
                    self._grids.pop(key, None)
                found.set_exception(error)
        grid = found.result()
        if grid is None:
            return None
        if grid.check is not None and time.monotonic() - grid.checked > CHECK_SECONDS:
            try:
                grid.check()
            except DataChanged:
                self._forget(key)
                return self.grid(distribution)
            grid.checked = time.monotonic()
        return self.twins.attach(key, grid)

    @property
    def nbytes(self) -> int:
        """Bytes that the grids at hand keep in memory, about."""
        with self._lock:
            return sum(self._sizes().values())

    def _sizes(self) -> dict[Key, int]:
        """What each grid at hand keeps, the least used first."""
        known = {key: future.result() for key, future in self._grids.items() if future.done()}
        return {key: grid.nbytes for key, grid in known.items() if grid is not None}

    def _fit(self) -> None:
        """Give grids up until the others are within the budget: one beyond it alone, then the least used."""
        with self._lock:
            sizes = self._sizes()
            large = [key for key, size in sizes.items() if size > self._budget / (2 * _MOST_OPEN)]
            total = sum(sizes.values())
            for key in sorted(large, key=lambda key: sizes[key] <= self._budget):
                if total > self._budget:
                    del self._grids[key]  # whoever still reads it keeps it, and it is gone then
                    total -= sizes[key]

    def index(self, distribution: Distribution) -> Path | None:
        """Return the file of an index that a worker may use; None where there is none yet."""
        if distribution.protocol == "collection":
            return None
        file = self._file(identity(distribution))
        return file if file.is_file() else None

    def _collected(self, distribution: Distribution) -> Grid | None:
        """The grid of a collection; None where its first file, and so each of them, needs a worker."""
        first, *_ = collection.paths(distribution.address)
        if self._member(first) is None:
            return None

        def open_member(path: Path) -> contextlib.AbstractContextManager[xr.Dataset]:
            grid = self._member(path)
            if grid is None:
                raise DataUnreadable(
                    f"{shown(path.name)} is of another form than the collection's first file"
                )
            return contextlib.nullcontext(grid.dataset)

        whole = collection.opened(distribution.address, open_member, checksum=distribution.checksum)
        return Grid(whole, held({str(n): v._data for n, v in whole.variables.items()}, set()))  # noqa: SLF001

    def _member(self, path: Path) -> Grid | None:
        return self.grid(Distribution(protocol="file", address=address(path)))

    def _opened(self, key: Key) -> Grid | None:
        path = str(place(key[0]))
        index = self._kept(key)
        if index is None:
            try:
                index = self._made(key)
            except DataUnreadable:  # a worker reads it, or says what is wrong with it
                return None
        if index.uncovered:
            return None
        dataset = chunks.opened(path, index, self._decoded, partial(self._forget, key))
        grid = Grid(dataset, held(index, set()))
        if index.form == "zarr":  # its folder stays the same when a file below it changes
            grid.check, grid.checked = partial(chunks.check, path, index), time.monotonic()
        return grid

    def _forget(self, key: Key) -> None:
        """Let a file be indexed anew at its next request."""
        with self._lock:
            self._grids.pop(key, None)
        with contextlib.suppress(OSError):
            self._file(key).unlink()

    def _kept(self, key: Key) -> chunks.Index | None:
        """The index that is in the folder, if it is whole."""
        try:
            return chunks.load(self._file(key).read_bytes())
        except (OSError, DataUnreadable):
            return None

    def _made(self, key: Key) -> chunks.Index:
        with self._workers.spool(chunks.index, key[0], key=key) as spool:
            data = b"".join(spool.pieces())
        index = chunks.load(data)
        with contextlib.suppress(OSError):  # a cache that cannot be written is done without
            self._folder.mkdir(parents=True, exist_ok=True)
            self._keep(key, data)
        return index

    def _keep(self, key: Key, data: bytes) -> None:
        """Keep the index of a file as it is now, and none of what it was. Raises OSError."""
        there = self._file(key)
        kind = there.name.partition("-")[0]  # what a killed program left half written goes by it, too
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f"{kind}-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                Path(file.name).replace(there)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        for other in self._folder.glob(f"{kind}-*"):
            if other != there:
                other.unlink(missing_ok=True)

    def _file(self, key: Key) -> Path:
        words = (key[0], "\0".join(map(str, key)))
        names = [hashlib.sha256(word.encode("utf-8", "surrogateescape")).hexdigest()[:24] for word in words]
        return self._folder / f"{'-'.join(names)}.index"


def identity(distribution: Distribution) -> Key:
    """Return what a local file is now. Raises DataChanged where it is gone, or not the one that was harvested."""
    path = place(distribution.address)
    try:
        facts = path.stat()
    except OSError as error:
        raise DataChanged(
            "the file that was harvested is not there any more", hint="harvest its source again"
        ) from error
    one = path.is_file() and distribution.protocol == "file"
    if one and distribution.size is not None and facts.st_size != distribution.size:
        raise DataChanged(
            f"the file has {facts.st_size} bytes; the one that was harvested had {distribution.size}",
            hint="harvest its source again",
        )
    return (distribution.address, facts.st_size, facts.st_mtime_ns)
