"""Opening many files as one dataset by their index (`catalog.data.collecting`): a file opens when its cells are read.

Everything a request needs before it reads data is in the index: variables, attributes, coordinates. So opening costs
the same whatever the number of files, and reading costs the files that are touched; at most a few stay open.
"""

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data import exact, gaps
from catalog.data.masking import Key, masked
from catalog.data.packing import unpack
from catalog.data.parts import stamp
from catalog.data.places import place, shown, untold
from catalog.errors import CatalogError, DataChanged, DataUnreadable

T = TypeVar("T")

MOST_OPEN = 8
_AGAIN = "harvest its source again"

OpenMember = Callable[[Path], AbstractContextManager[xr.Dataset]]
"""Opens a member as an undecoded, lazy dataset; an `xr.Dataset` that closes its file is one itself."""


@dataclass(frozen=True)
class _Axis:
    """A joined axis: for each step the block that has it, and its index there."""

    dimension: str
    block: npt.NDArray[np.intp]
    local: npt.NDArray[np.intp]


def index(address: str, checksum: str | None = None) -> Mapping[str, Any]:
    """Return the index at an address.

    Args:
        address: Where it is (`catalog.data.places.address`).
        checksum: That of the members when their record was made; None for any.

    Raises:
        DataChanged: It is not there any more, or that of other members. DataUnreadable: It is damaged.
    """
    path = place(address)
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise DataChanged("the index of the collection is not there any more", hint=_AGAIN) from error
    if head.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
        raise DataUnreadable("the index of the collection is damaged", hint=_AGAIN)
    found: Mapping[str, Any] = orjson.loads(body)
    if checksum is not None and found["checksum"] != checksum:
        raise DataChanged("the collection has other files than those that were harvested", hint=_AGAIN)
    return found


def paths(address: str) -> tuple[Path, ...]:
    """Return the members' paths, in their order. Raises as `index`."""
    found = index(address)
    folder = place(found["folder"])
    return tuple(folder / member["path"] for member in found["members"])


def opened(
    address: str, open_member: OpenMember, *, checksum: str | None = None, most_open: int = MOST_OPEN
) -> xr.Dataset:
    """Open a collection as one undecoded, lazy dataset; no member is opened yet.

    What its regular axes lack, and missing tiles, are in `encoding["gaps"]` (`catalog.data.gaps`). It is usable from
    any thread if what `open_member` gives is.

    Args:
        address: Where its index is.
        open_member: Opens a member.
        checksum: That of the members when their record was made; None for any.
        most_open: Members that stay open when nothing is read from them.

    Raises:
        DataChanged, DataUnreadable: As `index`; reading a member that is gone, or is not the one that was
        harvested, raises DataChanged and names it.
    """
    known = index(address, checksum)
    members = _Members(known, open_member, most_open)
    axes = [_axis(item) for item in known["axes"]]
    tiles = np.array(known["tiles"], np.intp).reshape([int(axis.block.max()) + 1 for axis in axes])
    variables = {item["name"]: _variable(item, axes, tiles, members) for item in known["variables"]}
    lines = {name: v for name, v in variables.items() if v.dims == (name,)}
    rest = {name: variable for name, variable in variables.items() if name not in lines}
    dataset = xr.Dataset(rest, coords=xr.Coordinates(lines, indexes={}))[list(variables)]
    dataset.attrs = {name: exact.read(value) for name, value in known["attributes"].items()}
    dataset.encoding = {"gaps": tuple(map(gaps.read, known["gaps"]))}
    dataset.set_close(members.close)
    return dataset


class _Members:
    """The files of a collection, a few of them open; those in use are never closed under their reader."""

    def __init__(self, known: Mapping[str, Any], open_member: OpenMember, most: int) -> None:
        self._folder = place(known["folder"])
        self._known = known["members"]
        self._open_member, self._most = open_member, most
        self._lock = threading.Lock()
        self._open: OrderedDict[int, tuple[ExitStack, xr.Dataset]] = OrderedDict()
        self._users: dict[int, int] = {}

    @contextlib.contextmanager
    def use(self, number: int) -> Iterator[xr.Dataset]:
        """Give a member as a dataset that stays open in the block."""
        with self._lock:
            if number not in self._open:
                self._open[number] = self._opened(number)
            self._open.move_to_end(number)
            self._users[number] = self._users.get(number, 0) + 1
            dataset = self._open[number][1]
        try:
            yield dataset
        finally:
            with self._lock:
                self._users[number] -= 1
                idle = [each for each in self._open if not self._users[each]]
                for each in idle[: max(0, len(self._open) - self._most)]:
                    self._open.pop(each)[0].close()

    def checked(self, number: int, read: Callable[[], T]) -> T:
        """Return what is read from a member; what fails names the member, and tells no folder."""
        try:
            return read()
        except CatalogError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
            path = self._folder / self._known[number]["path"]
            said = untold((str(error).splitlines() or [""])[0], path)
            raise DataUnreadable(f"{shown(path.name)} cannot be read: {said}"[:300]) from error

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            while self._open:
                self._open.popitem()[1][0].close()

    def _opened(self, number: int) -> tuple[ExitStack, xr.Dataset]:
        member = self._known[number]
        path = self._folder / member["path"]
        self._check(path, member)
        with ExitStack() as stack:
            dataset = stack.enter_context(self._open_member(path))
            return stack.pop_all(), dataset
        raise AssertionError  # no context above swallows an exception

    def _check(self, path: Path, member: Mapping[str, Any]) -> None:
        try:
            size, changed = stamp(path)
        except OSError as error:
            said = f"{shown(path.name)}, a file of the collection, is not there any more"
            raise DataChanged(said, hint=_AGAIN) from error
        if size != member["size"]:
            said = f"has {size} bytes; the one that was harvested had {member['size']}"
            raise DataChanged(f"{shown(path.name)}, a file of the collection, {said}", hint=_AGAIN)
        if changed != member["mtime_ns"]:
            said = f"{shown(path.name)}, a file of the collection, was written anew since it was harvested"
            raise DataChanged(said, hint=_AGAIN)


class _Joined(BackendArray):
    """A variable of all members: a read opens those that it touches. Cells of no member are zero or empty."""

    def __init__(self, item: Mapping[str, Any], axes: Sequence[_Axis], tiles: Any, members: _Members) -> None:
        self.shape, self.dtype = tuple(item["shape"]), _dtype(item)
        self._name, self._new, self._decoded = item["name"], item["new"], item["decoded"]
        self._members = members
        self._axes = [axis for axis in axes if axis.dimension in item["dims"]]
        self._at = [item["dims"].index(axis.dimension) for axis in self._axes]
        # of axes that the variable does not lie on, any member will do
        others = tuple(at for at, axis in enumerate(axes) if axis not in self._axes)
        self._tiles = tiles.max(axis=others) if others else tiles

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        whole = tuple(
            np.array([part], np.intp) if isinstance(part, (int, np.integer)) else part for part in key
        )
        found = np.zeros(
            [_count(part, size) for part, size in zip(whole, self.shape, strict=True)], self.dtype
        )
        if self.dtype.kind == "O":
            found[...] = ""
        pieces = [_pieces(axis, whole[at]) for axis, at in zip(self._axes, self._at, strict=True)]
        for cell in product(*pieces):
            number = int(self._tiles[tuple(block for block, _, _ in cell)])
            if number >= 0:
                self._put(found, whole, number, [(there, here) for _, there, here in cell])
        scalar = tuple(axis for axis, part in enumerate(key) if isinstance(part, (int, np.integer)))
        return found.squeeze(axis=scalar)

    def _put(self, found: npt.NDArray[Any], whole: Key, number: int, cell: Sequence[tuple[Any, Any]]) -> None:
        """Read one member's part of a key into its place."""
        there, here = list(whole), [slice(None)] * found.ndim
        for at, (inside, place_) in zip(self._at, cell, strict=True):
            there[at], here[at] = inside, place_
        with self._members.use(number) as dataset:
            values = self._members.checked(number, lambda: self._taken(dataset, tuple(there[self._new :])))
        values = values.reshape((*(1,) * self._new, *values.shape))
        if all(isinstance(part, slice) for part in here):
            found[tuple(here)] = values
        else:
            found[np.ix_(*(np.arange(n)[p] for n, p in zip(found.shape, here, strict=True)))] = values

    def _taken(self, dataset: xr.Dataset, key: Key) -> npt.NDArray[Any]:
        variable = dataset.variables[self._name]
        values = np.asarray(variable[key].values)
        return unpack(values, variable.attrs) if self._decoded else values

    def keep(self, key: Key) -> npt.NDArray[np.bool_]:
        """Tell which cells of a key some member has."""
        there = self._tiles >= 0
        for at, axis in enumerate(self._axes):
            there = np.take(there, axis.block[key[self._at[at]]], axis=at)
        shape = [_count(part, size) for part, size in zip(key, self.shape, strict=True)]
        order = np.argsort(self._at)
        spread = [n if at in self._at else 1 for at, n in enumerate(shape)]
        found: npt.NDArray[np.bool_] = np.broadcast_to(there.transpose(order).reshape(spread), shape)
        return found


def _variable(
    item: Mapping[str, Any], axes: Sequence[_Axis], tiles: npt.NDArray[np.intp], members: _Members
) -> xr.Variable:
    attributes = {name: exact.read(value) for name, value in item["attributes"].items()}
    if item["values"] is not None:
        values = exact.read(item["values"])
        values.flags.writeable = False
        return xr.Variable(item["dims"], values, attributes)
    joined = _Joined(item, axes, tiles, members)
    found = xr.Variable(item["dims"], indexing.LazilyIndexedArray(joined), attributes)
    if item["chunks"]:
        found.encoding = {"chunksizes": tuple(item["chunks"])}
    holes = tiles.min(initial=0) < 0 and any(axis.dimension in item["dims"] for axis in axes)
    return masked(found, partial(_Joined.keep, joined)) if holes else found


def _axis(item: Mapping[str, Any]) -> _Axis:
    runs = np.array(item["runs"], np.intp).reshape(-1, 3)
    block = np.repeat(runs[:, 0], runs[:, 2])
    local = np.concatenate([np.arange(start, start + count) for _, start, count in runs.tolist()])
    return _Axis(item["dimension"], block, local)


def _dtype(item: Mapping[str, Any]) -> np.dtype[Any]:
    return np.dtype(object) if item["dtype"] == "text" else np.dtype(item["dtype"])


def _count(part: Any, size: int) -> int:
    return len(range(*part.indices(size))) if isinstance(part, slice) else int(part.size)


def _pieces(axis: _Axis, part: Any) -> list[tuple[int, Any, Any]]:
    """(block, what to take of it, where to put that) for each block that a key touches."""
    blocks, local = axis.block[part], axis.local[part]
    if not blocks.size:
        return []
    order = np.argsort(blocks, kind="stable")
    breaks = np.flatnonzero(np.diff(blocks[order])) + 1
    return [
        (int(blocks[group[0]]), _sliced(local[group]), _sliced(group)) for group in np.split(order, breaks)
    ]


def _sliced(indices: npt.NDArray[np.intp]) -> slice | npt.NDArray[np.intp]:
    """Indices as a slice where they rise evenly."""
    first = int(indices[0])
    if indices.size == 1:
        return slice(first, first + 1)
    steps = np.diff(indices)
    step = int(steps[0])
    return slice(first, int(indices[-1]) + 1, step) if step > 0 and np.all(steps == step) else indices
