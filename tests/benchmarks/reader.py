"""The chunk index's reader against the limit: positioned reads and libdeflate of the touched chunks, nothing else.

The files: a year of daily sea surface temperature, 365×720×1440 int16, zlib(4) and shuffle, by maps and by cubes.
Weighed is the CPU of this process, whose C library keeps memory as the server's does; of two at once, wall time.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import xarray

from benchmarks import limit, sst
from benchmarks.case import Case, measure
from benchmarks.questions import questions
from catalog import tuning
from catalog.data import chunks

ROUNDS = 7
Key = tuple[slice, ...]


def by_index(dataset: xarray.Dataset, key: Key) -> np.ndarray:
    """Cut and read, as the service does."""
    return dataset.encoding["readers"]["sst"](key)


def by_xarray(path: Path, key: Key) -> np.ndarray:
    """Open, cut and read, as a script does."""
    with xarray.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False) as dataset:
        return dataset.variables["sst"][key].values


def twice(run: Callable[[], object]) -> None:
    """Run the same in two threads at once."""
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cases(folder: Path) -> Iterator[Case]:
    """Yield every request on both files: ours against the limit, h5py, xarray; again from the cache; twice at once.

    The files are those of `benchmarks.sst`, made under the folder where they are not there yet.
    """
    tuning.frugal()
    data, cpu = sst.made(folder), time.process_time
    for name, path in data.files.items():
        places = limit.chunks(str(path))
        known = chunks.load(b"".join(chunks.index(str(path))))
        with ExitStack() as files:
            dataset = files.enter_context(chunks.opened(str(path), known))
            cached = files.enter_context(chunks.opened(str(path), known, chunks.Decoded(256_000_000)))
            libhdf5 = files.enter_context(h5py.File(path))["sst"]
            for question in (one for one in questions(data) if not one.again):
                key = tuple(slice(*span) for span in question[1:4])
                ours, said = partial(by_index, dataset, key), f"{question.name}, {name}"
                least = partial(limit.inflate, places, question[1:4])
                yield measure(f"reader: {said}", ours, "limit", least, ROUNDS, clock=cpu)
                yield measure(
                    f"reader: {said}", ours, "h5py", partial(libhdf5.__getitem__, key), ROUNDS, clock=cpu
                )
                yield measure(
                    f"reader: {said}", ours, "xarray", partial(by_xarray, path, key), ROUNDS, clock=cpu
                )
                again = partial(by_index, cached, key)
                yield measure(f"reader, asked again: {said}", again, "limit", least, ROUNDS, clock=cpu)
            yield measure(f"reader, two at once: {said}", partial(twice, ours), "one", ours, ROUNDS)
        os.close(places.file)
