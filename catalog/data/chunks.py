"""The chunk index: all that is needed to read a file's cells without the libraries that read its format.

`index` lists a file once, in a worker; `load` and `opened` are for the server's own threads. An index belongs to one
state of one file: it is never used for another, and a damaged one is refused.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data import ledgers
from catalog.data.contents import Index, Variable
from catalog.data.decoded import Decoded
from catalog.data.places import place as place_of
from catalog.data.positioned import Source, changed, check_missing, facts, within
from catalog.data.reading import Cells, OpenFile
from catalog.errors import DataChanged, DataUnreadable

__all__ = ["Decoded", "Index", "Variable", "check", "index", "load", "opened"]

_NOT_THERE = -1
"""The time of change of a file that must not be there."""


def index(path: str) -> Iterator[bytes]:
    """Yield the bytes of the index of a NetCDF, HDF5 or Zarr file, for `load`. Call it in a worker (`Workers.spool`).

    Args:
        path: As `catalog.data.places.address` writes it.

    Raises:
        DataUnreadable: The file cannot be opened, or has attributes for which an index has no form: read it as
        `catalog.data.opening` does. DataChanged: It was written to meanwhile.
    """
    from catalog.data.listing import listed  # noqa: PLC0415 - the server's threads know no libhdf5

    try:
        yield ledgers.written(listed(path))
    except TypeError as error:
        raise DataUnreadable(f"the file cannot be indexed: {error}"[:300]) from error


def load(data: bytes) -> Index:
    """Return the index whose bytes `index` gave, all together.

    Raises:
        DataUnreadable: The bytes are damaged, or no index that fits together.
    """
    return ledgers.read(data)


def opened(
    path: str, known: Index, cache: Decoded | None = None, forget: Callable[[], None] | None = None
) -> xr.Dataset:
    """Return the undecoded, lazy dataset that `catalog.data.opening.opened` gives of the same file.

    Its values can be read by any thread; `encoding["readers"]` has what reads each variable at a key (`Lazy.read`),
    without the steps that xarray takes from a lazy array to its values. The file stays open until the dataset is
    closed, or until nobody uses its variables any more. Reading values of a variable that is in
    `known.uncovered` raises DataUnreadable.

    Args:
        path: As for `index`.
        known: The file's index.
        cache: Keeps inflated chunks, of all files together; not those of a Zarr folder, whose chunks are files that are
            looked at at each read.
        forget: Called when a read finds that the file is not the one that was indexed.

    Raises:
        DataChanged: The file is not in the state that was indexed.
        DataUnreadable: It cannot be opened.
    """
    place = place_of(path)
    source = Source(place, folder=known.form == "zarr")
    try:
        _check_same(source, known)
    except BaseException:
        source.close()
        raise
    state = None if known.form == "zarr" else (known.size, known.mtime_ns)
    kept = None if known.form == "zarr" else cache
    shared = OpenFile(source, state, kept, (str(place), known.size, known.mtime_ns))
    lazy = {each.name: _lazy(each, shared, forget) for each in known.variables if each.values is None}
    with _quiet(known):
        dataset = _dataset(
            known, {each.name: _variable(each, lazy.get(each.name)) for each in known.variables}
        )
    dataset.encoding = {**known.encoding, "readers": {name: each.read for name, each in lazy.items()}}
    dataset.set_close(source.close)
    return dataset


def _dataset(known: Index, every: dict[str, xr.Variable]) -> xr.Dataset:
    """The dataset of all variables, in the order of the index and without pandas' indexes."""
    lines = {name: variable for name, variable in every.items() if variable.dims == (name,)}
    rest = {name: variable for name, variable in every.items() if name not in lines}
    dataset = xr.Dataset(rest, coords=xr.Coordinates(lines, indexes={}), attrs=dict(known.attributes))
    return dataset if list(dataset.variables) == list(every) else dataset[list(every)]


def _quiet(known: Index) -> contextlib.AbstractContextManager[Any]:
    """Keep xarray from warning that a variable has one dimension twice."""
    if any(len(set(variable.dims)) < len(variable.dims) for variable in known.variables):
        return warnings.catch_warnings(action="ignore")
    return contextlib.nullcontext()


def check(path: str, known: Index) -> None:
    """Compare what was indexed with what is there now: the file; of a Zarr folder its metadata, and held values.

    Raises:
        DataChanged: It is something else. DataUnreadable: It cannot be opened.
    """
    source = Source(place_of(path), folder=known.form == "zarr")
    try:
        _check_same(source, known)
    finally:
        source.close()


def _check_same(source: Source, known: Index) -> None:
    """Compare what was indexed with what is there: the file, or the metadata of the folder."""
    with source.held() as fd:
        if known.form != "zarr":
            if facts(fd) != (known.size, known.mtime_ns):
                raise changed()
            return
        for parts, size, mtime in known.files:
            if mtime == _NOT_THERE:
                check_missing(fd, parts)
                continue
            try:
                with within(fd, parts) as file:
                    if facts(file) != (size, mtime):
                        raise changed()
            except FileNotFoundError as error:
                raise changed() from error


def _lazy(variable: Variable, shared: OpenFile, forget: Callable[[], None] | None) -> "Lazy":
    stored = variable.stored
    cells = None if stored is None else Cells(shared, variable.name, stored, variable.dtype)
    return Lazy(variable, cells, forget)


def _variable(variable: Variable, lazy: "Lazy | None") -> xr.Variable:
    data: Any = variable.values if lazy is None else indexing.LazilyIndexedArray(lazy)
    found = xr.Variable(variable.dims, data, dict(variable.attributes), fastpath=True)
    found.encoding = {**variable.encoding}
    return found


class Lazy(BackendArray):
    """The values of a variable, read when they are asked for."""

    def __init__(
        self, variable: Variable, cells: Cells | None, forget: Callable[[], None] | None = None
    ) -> None:
        self.shape, self.dtype = variable.shape, variable.dtype
        self._name, self._cells, self._forget = variable.name, cells, forget

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values at a key. Raises as `Cells.read`; DataUnreadable where the index does not cover them."""
        if isinstance(key, indexing.BasicIndexer | indexing.OuterIndexer):
            return self.read(key.tuple)
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self.read)

    def read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Return the values at a key: a number, a slice or a 1-D array of numbers for each dimension."""
        if self._cells is None:
            raise DataUnreadable(f"{self._name[:60]} cannot be read by the chunk index: open the file itself")
        try:
            return self._cells.read(key)
        except DataChanged:
            if self._forget is not None:
                self._forget()
            raise
