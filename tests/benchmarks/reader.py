"""The chunk index's reader against the limit: positioned reads and libdeflate of the touched chunks, nothing else.

The files: a year of daily sea surface temperature, 365×720×1440 int16, zlib(4) and shuffle, by maps and by cubes.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import h5py
import imagecodecs
import netCDF4
import numpy as np
import xarray

from benchmarks.case import Case, measure
from catalog.data import chunks

SHAPE = (365, 720, 1440)
CHUNKS = {"maps": (1, 720, 1440), "cubes": (30, 90, 90)}
KEYS = {
    "a point, 365 days": (slice(0, 365), slice(430, 431), slice(430, 431)),
    "a map of a day": (slice(180, 181), slice(0, 720), slice(0, 1440)),
    "Gulf of Tonkin, 30 days": (slice(180, 210), slice(428, 448), slice(422, 440)),
    "the globe, 30 days": (slice(180, 210), slice(0, 720), slice(0, 1440)),
}
ROUNDS = 7
Key = tuple[slice, ...]


def made(path: Path, chunk: tuple[int, ...]) -> Path:
    """Write the file once: bands of latitude, waves, seasons, noise of 0.02 K, and land."""
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    y, x = np.linspace(-89.875, 89.875, SHAPE[1]), np.linspace(0.125, 359.875, SHAPE[2])
    mean = 2500 * np.cos(np.deg2rad(y))[:, None] + 300 * np.sin(np.deg2rad(3 * x))
    land = np.sin(np.deg2rad(4 * y))[:, None] * np.cos(np.deg2rad(2 * x)) > 0.3
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("time", np.arange(365.0)), ("lat", y), ("lon", x)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file["time"].units, file["lat"].units, file["lon"].units = (
            "days since 2020-01-01", "degrees_north", "degrees_east",
        )  # fmt: skip
        sst = file.createVariable(
            "sst", "i2", ("time", "lat", "lon"), compression="zlib", chunksizes=chunk, fill_value=-32768
        )
        sst.set_auto_maskandscale(False)
        sst.scale_factor = np.float32(0.01)
        for first in range(0, SHAPE[0], 30):
            days = np.arange(first, min(first + 30, SHAPE[0]))
            noise = rng.normal(0, 2, (days.size, *SHAPE[1:])).astype(np.float32)
            values = np.round(mean + 200 * np.sin(days / 58)[:, None, None] + noise).astype(np.int16)
            sst[days[0] : days[-1] + 1] = np.where(land, np.int16(-32768), values)
    return path


class Limit:
    """What no reader can do without: the bytes of the touched chunks, inflated into memory that is there."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            item = file["sst"]
            self.chunk = item.chunks
            self.places = {
                one.chunk_offset: (one.byte_offset, one.size)
                for one in map(item.id.get_chunk_info, range(item.id.get_num_chunks()))
            }
        self.file = os.open(path, os.O_RDONLY)
        self.buffer = np.empty(int(np.prod(self.chunk)) * 2, np.uint8)

    def __call__(self, key: Key) -> None:
        """Read and inflate the chunks that a key touches."""
        starts = (range(one.start // n * n, one.stop, n) for one, n in zip(key, self.chunk, strict=True))
        for place in itertools.product(*starts):
            offset, size = self.places[place]
            imagecodecs.deflate_decode(os.pread(self.file, size, offset), out=self.buffer, raw=False)


def by_index(dataset: xarray.Dataset, key: Key) -> np.ndarray:
    """Cut and read, as the service does."""
    return dataset.variables["sst"][key].values


def by_xarray(path: Path, key: Key) -> np.ndarray:
    """Open, cut and read, as a script does."""
    with xarray.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False) as dataset:
        return by_index(dataset, key)


def twice(run: Callable[[], object]) -> None:
    """Run the same in two threads at once."""
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cases(folder: Path) -> Iterator[Case]:
    """Yield every request on both files: ours against the limit, h5py, xarray; again from the cache; twice at once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, chunk in CHUNKS.items():
        path = made(folder / f"{name}.nc", chunk)
        known = chunks.load(chunks.index(str(path)))
        limit = Limit(path)
        with ExitStack() as files:
            dataset = files.enter_context(chunks.opened(str(path), known))
            cached = files.enter_context(chunks.opened(str(path), known, chunks.Decoded(256_000_000)))
            libhdf5 = files.enter_context(h5py.File(path))["sst"]
            for asked, key in KEYS.items():
                ours, said = partial(by_index, dataset, key), f"{asked}, {name}"
                yield measure(f"reader: {said}", ours, "limit", partial(limit, key), ROUNDS)
                yield measure(f"reader: {said}", ours, "h5py", partial(libhdf5.__getitem__, key), ROUNDS)
                yield measure(f"reader: {said}", ours, "xarray", partial(by_xarray, path, key), ROUNDS)
                again = partial(by_index, cached, key)
                yield measure(f"reader, asked again: {said}", again, "limit", partial(limit, key), ROUNDS)
            key = KEYS["the globe, 30 days"]
            ours = partial(by_index, dataset, key)
            yield measure(f"reader, two at once: {name}", partial(twice, ours), "one", ours, ROUNDS)
        os.close(limit.file)
