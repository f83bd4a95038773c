"""Making a twin: its tiles are gathered from the source in an anonymous file, written as Zarr, and checked.

Memory stays bounded whatever the size: the source is read in slabs of whole chunks (64 MB), each slab's part of every
tile goes to its place in the file, and then each tile is read from there. The file holds the tiles of at most 1,024
steps. For the check the source is read a second time in the same way, and every tile is compared with what the server's
own reader gives of the twin; besides, whole maps of the first, the middle and the last step are compared straight.

The store is Zarr version 2: shuffle and lz4 as numcodecs writes them, then a CRC-32 of each chunk (numcodecs `crc32`).
"""

import contextlib
import hashlib
import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import orjson
import xarray as xr

from catalog.data import ledgers, tiling, zarrs
from catalog.data.blocks import Place, chunks_of
from catalog.data.contents import Index, Variable
from catalog.data.grids import Grid
from catalog.data.plain import plain_attributes
from catalog.data.positioned import Source, changed, fill
from catalog.data.reading import Cells, OpenFile
from catalog.data.twins import INDEX, MAKING, STORE, Held, Key, Tiled, Twins, are_unchanged, mark_used, marks
from catalog.errors import DataUnreadable, NotSubsettable, TooLarge
from catalog.instant import now
from catalog.record import Distribution

_SLAB_BYTES = 64_000_000
_SPARE_DISK = 1.1

Tell = Callable[[int, int], None]
_Array = npt.NDArray[Any]


def tiled(grid: Grid) -> dict[str, tiling.Shape]:
    """Return the chunks that a twin of a grid would have, for each variable that gains by it."""
    if grid.time is None:
        return {}
    found = {
        str(name): tiling.tiles(variable, grid.time) for name, variable in grid.dataset.variables.items()
    }
    return {name: shape for name, shape in found.items() if shape and "/" not in name and name[0] != "."}


def raw_bytes(grid: Grid, names: Iterable[str]) -> int:
    """Return the bytes of the values of some variables."""
    return sum(
        grid.dataset.variables[name].size * grid.dataset.variables[name].dtype.itemsize for name in names
    )


def make(  # noqa: PLR0913 - what a twin is made of
    twins: Twins,
    grid: Grid,
    distribution: Distribution,
    key: Key,
    record_id: str,
    *,
    tell: Tell = lambda _done, _whole: None,
    unused_seconds: float = 0,
) -> Held:
    """Make the twin of a source, check it, and put it where requests find it.

    Args:
        twins: Where it goes.
        grid: The source.
        distribution: The same, as the record tells it.
        key: The state that the source is in (`catalog.data.shelf.identity`).
        record_id: The record.
        tell: Told how many bytes of how many are done.
        unused_seconds: Other twins used within so many seconds are not dropped for this one.

    Raises:
        NotSubsettable: No variable gains by it.
        TooLarge: It does not fit into the budget or on the disk.
        LeaseHeld: Another process makes twins.
        DataChanged: The source was written to meanwhile. DataUnreadable: The twin is not equal to the source.
    """
    shapes = tiled(grid)
    if not shapes:
        raise NotSubsettable(
            f"{record_id} gains nothing by a twin", hint="its chunks serve series, or it has no axis of time"
        )
    with twins.alone():
        known = marks(distribution)
        if known[0] != key:
            raise changed()
        _check_disk(twins.folder, raw_bytes(grid, shapes))
        with _partial(twins.folder) as folder:
            work = _Work(grid, folder / STORE, twins.budget_bytes, _told(tell, 2 * raw_bytes(grid, shapes)))
            variables = {name: work.written(name, shape) for name, shape in shapes.items()}
            stored = {name: work.checked(name, shape) for name, shape in shapes.items()}
            if not are_unchanged(known):
                raise changed()
            size = sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
            twins.make_room(size, distribution.address, unused_seconds=unused_seconds)
            held = Held(record=record_id, source=key, marks=known, variables=variables, size=size, made=now())
            (folder / INDEX).write_bytes(_index(held, stored))
            mark_used(folder)
            twins.drop(key[0])
            folder.rename(twins.path(key))
    return held


def check(twins: Twins, grid: Grid, key: Key, *, tell: Tell = lambda _done, _whole: None) -> bool:
    """Tell whether the twin of a source is there and equals it, every value; one that does not is removed.

    Raises:
        LeaseHeld: Another process makes twins.
    """
    with twins.alone():
        held = twins.held(key)
        if held is None:
            return False
        shapes = {name: one.chunks for name, one in held.variables.items()}
        work = _Work(grid, twins.path(key) / STORE, twins.budget_bytes, _told(tell, raw_bytes(grid, shapes)))
        try:
            for name, shape in shapes.items():
                work.checked(name, shape)
        except DataUnreadable:
            twins.drop(key[0])
            return False
        return True


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A folder for a twin that is being made; without it in the end, unless it was given its name."""
    made = Path(tempfile.mkdtemp(prefix=MAKING, dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_disk(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 2 * _SPARE_DISK * size:
        raise TooLarge(
            f"making a twin of {size:,} bytes takes up to twice that on disk, and {free:,} are free",
            hint="make room on the disk of the data home",
        )


def _index(held: Held, stored: Mapping[str, Variable]) -> bytes:
    """The sealed index of a twin."""
    sizes = {name: size for one in stored.values() for name, size in zip(one.dims, one.shape, strict=True)}
    said = {"twin": held.model_dump_json()}
    return ledgers.written(Index("zarr", 0, 0, said, {}, sizes, tuple(stored.values())))


@dataclass(frozen=True)
class _Tiles:
    """The tiles of one variable over one part of its time.

    Args:
        variable: The variable, as the source has it.
        shape: The shape of a tile.
        axis: Which dimension is time.
        steps: The part of time: the length of a tile, or what is left of it.
    """

    variable: xr.Variable
    shape: tiling.Shape
    axis: int
    steps: slice

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        found: np.dtype[Any] = self.variable.dtype.newbyteorder("<")
        return found

    def places(self) -> Iterator[tuple[tuple[int, ...], Place]]:
        """Each tile's numbers in the grid of tiles, and its place."""
        sides = [
            [(self.steps.start // length, self.steps)]
            if at == self.axis
            else [(n, slice(n * length, min(size, (n + 1) * length))) for n in range(-(-size // length))]
            for at, (size, length) in enumerate(zip(self.variable.shape, self.shape, strict=True))
        ]
        for cell in itertools.product(*sides):
            yield tuple(number for number, _ in cell), tuple(side for _, side in cell)

    def values(
        self, tell: Callable[[int], None], folder: Path
    ) -> Iterator[tuple[tuple[int, ...], Place, _Array]]:
        """Each tile's numbers, place and values, as the source has them now; a file without a name holds them all."""
        slot = math.prod(self.shape) * self.dtype.itemsize
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for slab in slabs(self.variable, self.shape, self.axis, self.steps):
                values = np.asarray(self.variable[slab].values).astype(self.dtype, copy=False)
                for number, (_, place) in enumerate(self.places()):
                    self._put(file.fileno(), number * slot, slab, place, values)
                tell(values.nbytes)
            for number, (numbers, place) in enumerate(self.places()):
                yield numbers, place, self._taken(file.fileno(), number * slot, place)

    def _put(self, fd: int, offset: int, slab: Place, place: Place, values: _Array) -> None:
        """Write a slab's part of a tile, which has all of it but for time, where it goes: by time, then in C order."""
        if any(
            at != self.axis and (side.start < whole.start or side.stop > whole.stop)
            for at, (side, whole) in enumerate(zip(place, slab, strict=True))
        ):
            return
        inside = tuple(
            slice(None) if at == self.axis else slice(side.start - whole.start, side.stop - whole.start)
            for at, (side, whole) in enumerate(zip(place, slab, strict=True))
        )
        part = np.ascontiguousarray(np.moveaxis(values[inside], self.axis, 0))
        start = offset + (slab[self.axis].start - self.steps.start) * part[0].nbytes
        view, done = memoryview(part.reshape(-1).view(np.uint8).data), 0
        while done < len(view):
            done += os.pwrite(fd, view[done:], start + done)

    def _taken(self, fd: int, offset: int, place: Place) -> _Array:
        """A tile's values, in C order."""
        extent = [side.stop - side.start for side in place]
        count = extent.pop(self.axis)
        found = np.empty((count, *extent), self.dtype)
        fill(fd, found.reshape(-1).view(np.uint8), offset)
        return np.ascontiguousarray(np.moveaxis(found, 0, self.axis))


@dataclass(frozen=True)
class _Work:
    """Writing and checking the variables of one twin.

    Args:
        grid: The source.
        store: The Zarr folder.
        budget_bytes: Most bytes of the store.
        tell: Told how many bytes were read more.
    """

    grid: Grid
    store: Path
    budget_bytes: int
    tell: Callable[[int], None]

    def written(self, name: str, shape: tiling.Shape) -> Tiled:
        """Write a variable."""
        variable = self.grid.dataset.variables[name]
        (self.store / name).mkdir(parents=True)
        (self.store / ".zgroup").write_bytes(orjson.dumps({"zarr_format": 2}))
        (self.store / name / ".zarray").write_bytes(orjson.dumps(_metadata(variable, shape)))
        attributes = {**plain_attributes(variable.attrs), "_ARRAY_DIMENSIONS": list(variable.dims)}
        (self.store / name / ".zattrs").write_bytes(orjson.dumps(attributes))
        digest, size = hashlib.sha256(), 0
        for tiles in self._tiles(variable, shape):
            for numbers, _, values in tiles.values(self.tell, self.store):
                digest.update(values.data)
                data = encoded(values, shape)
                size += len(data)
                if size > self.budget_bytes:
                    raise TooLarge(
                        f"the twin would have more than {self.budget_bytes:,} bytes",
                        hint="raise BIENMO_TWIN_BYTES",
                        details={"limit": self.budget_bytes, "setting": "BIENMO_TWIN_BYTES"},
                    )
                (self.store / name / ".".join(map(str, numbers))).write_bytes(data)
        return Tiled(chunks=shape, raw_bytes=raw_bytes(self.grid, [name]), sha256=digest.hexdigest())

    def checked(self, name: str, shape: tiling.Shape) -> Variable:
        """Return where a variable's cells lie in the store.

        Raises:
            DataUnreadable: They are not those of the source.
        """
        variable = self.grid.dataset.variables[name]
        source = Source(self.store, folder=True)
        with contextlib.closing(source), source.held() as fd, zarrs.finder(self.store, fd) as find:
            stored = find(name)
            if stored is None:
                raise _unequal(name)
            cells = Cells(OpenFile(source, None), name, stored, variable.dtype.newbyteorder("<"))
            for tiles in self._tiles(variable, shape):
                for _, place, values in tiles.values(self.tell, self.store):
                    if cells.read(place).tobytes() != values.tobytes():
                        raise _unequal(name)
                self._check_maps(tiles, cells, name)
        dims, shown = tuple(map(str, variable.dims)), {"chunks": tuple(shape)}
        return Variable(name, dims, variable.shape, variable.dtype, {}, shown, None, stored)

    def _check_maps(self, tiles: _Tiles, cells: Cells, name: str) -> None:
        """Compare whole maps of the first, the middle and the last step."""
        first, last = tiles.steps.start, tiles.steps.stop - 1
        for step in sorted({first, (first + last) // 2, last}):
            for slab in slabs(tiles.variable, tiles.shape, tiles.axis, slice(step, step + 1)):
                values = np.asarray(tiles.variable[slab].values).astype(tiles.dtype, copy=False)
                if cells.read(slab).tobytes() != values.tobytes():
                    raise _unequal(name)

    def _tiles(self, variable: xr.Variable, shape: tiling.Shape) -> Iterator[_Tiles]:
        """The tiles by parts of time."""
        axis = variable.dims.index(self.grid.time)
        for start in range(0, variable.shape[axis], shape[axis]):
            yield _Tiles(variable, shape, axis, slice(start, min(variable.shape[axis], start + shape[axis])))


def slabs(variable: xr.Variable, tile: tiling.Shape, axis: int, steps: slice) -> Iterator[Place]:
    """Yield places that cover some steps, of at most 64 MB where that can be: of whole tiles but for time.

    Along time they begin where chunks of the source begin, if a row of those fits.

    Args:
        variable: The variable, as the source has it.
        tile: The shape of a tile.
        axis: Which dimension is time.
        steps: Which times.
    """
    most = _SLAB_BYTES // variable.dtype.itemsize
    size = list(variable.shape)
    unit = (chunks_of(variable) or (1,) * variable.ndim)[axis]
    size[axis] = min(unit, steps.stop - steps.start)
    for at in (at for at in range(variable.ndim) if at != axis):
        rest = math.prod(size) // size[at]
        size[at] = min(size[at], max(1, most // rest // tile[at]) * tile[at])
    row = math.prod(size) // size[axis]
    size[axis] = max(1, most // row // unit * unit or most // row)
    sides = []
    for at, (whole, length) in enumerate(zip(variable.shape, size, strict=True)):
        start, stop = (steps.start, steps.stop) if at == axis else (0, whole)
        bounds = [start, *range((start // length + 1) * length, stop, length), stop]
        sides.append([slice(*pair) for pair in itertools.pairwise(bounds)])
    yield from itertools.product(*sides)


def encoded(values: _Array, shape: tiling.Shape) -> bytes:
    """Return a chunk as it is stored: whole, its end filled with zeros, shuffled, compressed, after its CRC-32."""
    if values.shape != shape:
        whole = np.zeros(shape, values.dtype)
        whole[tuple(slice(0, count) for count in values.shape)] = values
        values = whole
    width = values.dtype.itemsize
    planes: Any = np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, width).T)
    packed = bytes(imagecodecs.lz4_encode(planes.reshape(-1), header=True))
    return int(imagecodecs.deflate_crc32(packed)).to_bytes(4, "little") + packed


def _metadata(variable: xr.Variable, shape: tiling.Shape) -> dict[str, Any]:
    width = variable.dtype.itemsize
    shuffle = [{"id": "shuffle", "elementsize": width}] if width > 1 else []
    return {
        "zarr_format": 2,
        "shape": list(variable.shape),
        "chunks": list(shape),
        "dtype": variable.dtype.newbyteorder("<").str,
        "order": "C",
        "fill_value": None,
        "filters": [*shuffle, {"id": "lz4", "acceleration": 1}, {"id": "crc32"}],
        "compressor": None,
    }


def _told(tell: Tell, whole: int) -> Callable[[int], None]:
    """What adds up how much is done."""
    done = [0]

    def more(size: int) -> None:
        done[0] += size
        tell(done[0], whole)

    return more


def _unequal(name: str) -> DataUnreadable:
    return DataUnreadable(f"the twin of {name[:60]} is not equal to its source", hint="make it again")
