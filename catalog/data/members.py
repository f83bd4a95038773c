"""A file that is one of many of a dataset: what it holds, as it is compared and joined with the others.

`scan` and `statics` read a stranger's file, so they are called in a worker (`catalog.data.workers`); what they return
is JSON. `Member` reads that in the program itself, where nothing of it is trusted.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data import exact, opening
from catalog.data.axes import Axes
from catalog.data.blocks import blocks
from catalog.data.parts import facts
from catalog.data.places import place as place_of
from catalog.errors import DataUnreadable
from catalog.record import Distribution

MOST_KEPT = 4_000_000
"""The most bytes of one coordinate that an index of members holds; a larger one is read from a member."""

_MOST_ALL = 30_000_000
_SINCE = re.compile(r"\s*[A-Za-z]+\s+since\s+\S", re.IGNORECASE)
_ROLES = ("longitude", "latitude", "depth", "time")


@dataclass(frozen=True)
class Part:
    """A variable of a member.

    Args:
        name: Its name.
        dtype: Its type in native byte order, packed as in the file.
        dims: Its dimensions in the dataset of all members; the member lacks the first `new` of them.
        shape: Its sizes in the dataset's dimensions.
        attributes: Its attributes with their types.
        chunks: The sizes of its chunks; None where it has none.
        digest: `exact.digest` of its values where it lies on no dimension that members are joined along.
        values: Its values where it is a coordinate along such a dimension, or one value.
        new: How many of its dimensions the member itself lacks, being one step along each.
        coordinate: Whether it describes the data rather than being data.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...] | None
    digest: str | None
    values: npt.NDArray[Any] | None
    new: int
    coordinate: bool


@dataclass(frozen=True)
class Member:
    """A file of a collection, as it was scanned; `path` is relative to the collection's folder."""

    path: str
    size: int
    mtime_ns: int
    checksum: str
    form: str
    axes: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Any]
    parts: Mapping[str, Part]

    @classmethod
    def of(cls, path: str, stamped: tuple[int, int], said: Mapping[str, Any]) -> "Member":
        """Read what `scan` said.

        Args:
            path: The member's path in the collection's folder.
            stamped: Its size and mtime_ns, from before it was scanned.
            said: The JSON.

        Raises:
            DataUnreadable: It says nothing that can be.
        """
        try:
            parts = {item["name"]: _part(item) for item in said["variables"]}
            found = cls(
                path=path,
                size=stamped[0],
                mtime_ns=stamped[1],
                checksum=_checked(said["checksum"]),
                form=str(said["form"]),
                axes=tuple((str(name), str(dimension)) for name, dimension in said["axes"]),
                attributes={str(name): exact.read(value) for name, value in said["attributes"].items()},
                parts=parts,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataUnreadable(f"{path} could not be described: {error}"[:300]) from error
        if any(name not in parts or parts[name].values is None for name, _ in found.axes):
            raise DataUnreadable(f"{path} has an axis that is too large")
        return found


def scan(path: str, *along: str) -> dict[str, Any]:
    """Return what a file holds, to compare and join it with others along axes: JSON that `Member.of` reads.

    Args:
        path: A file, or a Zarr folder, as `places.address` writes it.
        along: Roles of axes (`time`, `longitude`, `latitude`, `depth`) or names of variables.

    Raises:
        DataUnreadable: It cannot be read, or has no such axis of one dimension.
    """
    with _opened(path) as (dataset, form):
        axes = ax.find(dataset)
        names = [_axis(dataset, axes, role) for role in along]
        joined = {str((*dataset[name].dims, name)[0]): not dataset[name].ndim for name in names}
        if len(joined) < len(names):
            raise DataUnreadable(f"the axes {', '.join(along)} share a dimension")
        room = _MOST_ALL
        said = []
        for name, variable in dataset.variables.items():
            if not _is_plain(variable):
                continue
            item = _said(str(name), variable, axes, joined, room)
            room -= len(item["values"].get("data", "")) if item["values"] else 0
            said.append(item)
        found = {
            "form": form,
            "axes": list(zip(names, joined, strict=True)),
            "attributes": _written(dataset.attrs),
            "variables": said,
        }
    return {**found, "checksum": facts(place_of(path))["checksum"]}


def statics(path: str, *names: str) -> dict[str, Any]:
    """Return the values of variables by name (`exact.written`). Raises DataUnreadable."""
    with _opened(path) as (dataset, _):
        return {name: exact.written(np.asarray(dataset[name].values)) for name in names}


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[xr.Dataset, str]]:
    form = opening.sniff(place_of(path))
    way = Distribution(protocol="zarr" if form == "zarr" else "file", address=path)
    with opening.opened(way, opening.Reach()) as dataset:
        yield dataset, form


def _axis(dataset: xr.Dataset, axes: Axes, role: str) -> str:
    """The name of the variable that a role or a name stands for; it has one dimension, or none and is one step."""
    known = dict(zip(_ROLES, (axes.longitude, axes.latitude, axes.vertical, axes.time), strict=True))
    name = known.get(role) or role
    if name not in dataset.variables:
        raise DataUnreadable(f"the file has no axis of {role}")
    variable = dataset[name].variable
    if variable.ndim > 1 or variable.dtype.kind not in "iuf" or not variable.size:
        raise DataUnreadable(f"the axis of {role}, {name}, is no line of numbers")
    if not variable.ndim and name in dataset.sizes:
        raise DataUnreadable(f"{name} is one value and a dimension, too")
    return name


def _said(
    name: str, variable: xr.Variable, axes: Axes, joined: Mapping[str, bool], room: int
) -> dict[str, Any]:
    """A variable as JSON; `joined` tells which dimensions members are joined along, and which of them are new."""
    dims, shape = tuple(map(str, variable.dims)), tuple(map(int, variable.shape))
    coordinate = name in axes.coordinates
    added = tuple(d for d, new in joined.items() if new and _steps(name, d, variable, coordinate=coordinate))
    dims, shape = (*added, *dims), (*(1,) * len(added), *shape)
    along = bool(joined.keys() & set(dims))
    small = variable.size * variable.dtype.itemsize <= min(MOST_KEPT, room)
    kept = not dims or (coordinate and along and small)
    return {
        "name": name,
        "dtype": "text" if variable.dtype.kind in "OUT" else variable.dtype.str,
        "dims": dims,
        "shape": shape,
        "attributes": _written(variable.attrs),
        "chunks": _chunks(variable, len(added)),
        "digest": None if along else _digest(variable),
        "values": exact.written(np.asarray(variable.values).reshape(shape)) if kept else None,
        "new": len(added),
        "coordinate": coordinate,
    }


def _steps(name: str, axis: str, variable: xr.Variable, *, coordinate: bool) -> bool:
    """Whether a variable of a file whose axis is one value, and no dimension, is a step along that axis."""
    since = variable.ndim == 0 and _SINCE.match(str(variable.attrs.get("units", ""))) is not None
    return name == axis or not coordinate or since


def _chunks(variable: xr.Variable, added: int) -> list[int] | None:
    found = variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    if not found or len(found) != variable.ndim:
        return None
    return [*(1,) * added, *map(int, found)]


def _digest(variable: xr.Variable) -> str:
    """The digest of all values, block by block."""
    if not variable.ndim:
        return exact.digest(np.asarray(variable.values))
    whole = hashlib.sha256(str(variable.shape).encode())
    for _, values in blocks(variable):
        whole.update(exact.digest(values).encode())
    return whole.hexdigest()


def _is_plain(variable: xr.Variable) -> bool:
    """Tell whether cells are numbers or text, not lists or structures: one cell tells."""
    if variable.dtype.kind not in "iufbSOUT" or len(set(variable.dims)) < variable.ndim:
        return False
    try:
        cell = np.asarray(variable[(slice(0, 1),) * variable.ndim].values)
    except (TypeError, ValueError):
        return False
    if cell.dtype.kind == "O":
        return variable.dtype.kind in "OUT" and all(isinstance(item, str) for item in cell.ravel().tolist())
    return cell.size == min(1, variable.size)


def _written(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as JSON; what is of a type of its own (an enumeration, a structure) is left out."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        with contextlib.suppress(TypeError):
            found[str(name)] = exact.written(value)
    return found


def _part(said: Mapping[str, Any]) -> Part:
    dims, shape = tuple(map(str, said["dims"])), tuple(map(int, said["shape"]))
    values = exact.read(said["values"]) if said["values"] is not None else None
    if len(dims) != len(shape) or min(shape, default=0) < 0:
        raise ValueError("dimensions and sizes that do not fit")
    if values is not None and values.shape != shape:
        raise ValueError("values of another shape")
    chunks = tuple(map(int, said["chunks"])) if said["chunks"] else None
    return Part(
        name=str(said["name"]),
        dtype=np.dtype(object) if said["dtype"] == "text" else np.dtype(said["dtype"]).newbyteorder("="),
        dims=dims,
        shape=shape,
        attributes={str(name): exact.read(value) for name, value in said["attributes"].items()},
        chunks=chunks if chunks and len(chunks) == len(dims) else None,
        digest=said["digest"],
        values=values,
        new=int(said["new"]),
        coordinate=bool(said["coordinate"]),
    )


def _checked(checksum: Any) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
        raise ValueError("no checksum")
    return str(checksum)
