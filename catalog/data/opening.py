"""Opening data, and describing what a file holds. Call it in a worker (`catalog.data.workers`), never in a server.

Datasets are opened undecoded: packed values, fill values, time numbers and attributes are as in the file, and
nothing is read before it is asked for.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import xarray as xr
import zarr

from catalog.data import afar, collection, sheets, ways
from catalog.data.classic import check_whole
from catalog.data.contained import check_hdf5, check_zarr
from catalog.data.coverage import cover
from catalog.data.parts import facts, size
from catalog.data.places import opened_as, shown, untold
from catalog.data.places import place as place_of
from catalog.data.plain import plain_attributes
from catalog.data.remote import Reach
from catalog.data.undecoded import undecoded
from catalog.errors import CatalogError, DataChanged, DataUnreadable, NotSubsettable
from catalog.record import Distribution

__all__ = ["Reach", "describe", "describe_collection", "member", "opened", "sniff"]

_HDF = b"\x89HDF\r\n\x1a\n"
_MOST_USERBLOCK = 1 << 20
_ZARR_MARKS = (".zgroup", ".zmetadata", "zarr.json", ".zarray")
_REASONS = {
    "http": "the address leads to no NetCDF file or Zarr group; open it there",
    "wms": "a map service gives pictures, not numbers",
    "other": "the address is no data service that can be cut",
}


def describe(path: str) -> dict[str, Any]:
    """Return the header document of a NetCDF, HDF5, Zarr, CSV, TSV or Parquet file (its form: `catalog.data`).

    Raises:
        DataUnreadable: The file is of no known form, cut short, damaged, or points to other files; the message is
        the reason, and tells no folder.
    """
    place = place_of(path)
    if sheets.form(place):
        return {**sheets.described(place), "file": facts(place), "distributions": []}
    form = sniff(place)
    with _file(place, form) as dataset:
        described = _header(dataset, place)
        names = dataset.variables
    if form == "netcdf4" and names and all(str(d).startswith("phony_dim") for d in described["dimensions"]):
        form = "hdf5"
    return {"format": form, **described, "file": facts(place), "distributions": []}


def describe_collection(address: str) -> dict[str, Any]:
    """Return the header document of a collection by the address of its index (`catalog.data.collecting`).

    Raises:
        DataError: The index, or a member of which coordinates are read, is not as it was harvested.
    """
    known = collection.index(address)
    with collection.opened(address, member) as dataset:
        described = _header(dataset, place_of(known["folder"]) / "member")
    problems = [*described["coverage"]["problems"], *known["problems"]]
    way = {
        "protocol": "collection",
        "address": address,
        "format": "zarr" if known["form"] == "zarr" else "netcdf",
        "title": f"{known['name']}: {len(known['members'])} files",
        "size": known["size"],
        "checksum": known["checksum"],
    }
    coverage = {**described["coverage"], "problems": problems}
    header = {"format": known["form"], **described, "coverage": coverage}
    return {**header, "file": None, "distributions": [way]}


@contextlib.contextmanager
def member(path: Path) -> Iterator[xr.Dataset]:
    """Open a file of a collection as an undecoded, lazy dataset. Raises DataUnreadable."""
    with _file(path, sniff(path)) as dataset:
        yield dataset


def _header(dataset: xr.Dataset, place: Path) -> dict[str, Any]:
    """What a header document says of a dataset's content."""
    variables = {str(name): variable for name, variable in dataset.variables.items()}
    coverage = cover(dataset)
    for problem in coverage["problems"]:
        problem["text"] = untold(problem["text"], place)
    groups = dataset.encoding.get("groups", ())
    if groups:
        said = f"the file has groups that are not described: {', '.join(groups)}"[:500]
        coverage["problems"].append({"code": "groups", "text": said})
    return {
        "attributes": plain_attributes(dataset.attrs),
        "dimensions": {str(name): int(size) for name, size in dataset.sizes.items()},
        "variables": [_variable(name, variable) for name, variable in variables.items()],
        "coverage": coverage,
    }


def sniff(path: Path) -> str:
    """Return netcdf3, netcdf4 or zarr, by the first bytes or the files of a folder.

    Raises:
        DataUnreadable: It is none of them, or is not there.
    """
    if path.is_dir():
        if any((path / mark).is_file() for mark in _ZARR_MARKS):
            return "zarr"
        raise DataUnreadable(f"{shown(path.name)} is a folder without Zarr metadata")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start[:3] == b"CDF":
                return "netcdf3"
            at = 512
            while start[:8] != _HDF and at <= _MOST_USERBLOCK:
                file.seek(at)
                start, at = file.read(8), at * 2
    except OSError as error:
        raise DataUnreadable(f"{shown(path.name)} cannot be read: {error.strerror}") from error
    if start[:8] == _HDF:
        return "netcdf4"
    raise DataUnreadable(f"{shown(path.name)} is neither NetCDF, HDF5 nor Zarr")


@contextlib.contextmanager
def opened(distribution: Distribution, reach: Reach) -> Iterator[xr.Dataset]:
    """Open a distribution as an undecoded, lazy dataset.

    It is a local `file`, `zarr`, `collection` or `table`, which is read whole, or on another server
    (`catalog.data.afar`).

    Raises:
        NotSubsettable: The protocol gives no data that can be cut. DataChanged: The file is not the one
        harvested. DataUnreadable: The file or the remote answer cannot be read. Unreachable: There is no remote answer.
    """
    if distribution.protocol in {"file", "zarr", "table"}:
        path = place_of(distribution.address)
        form = "table" if distribution.protocol == "table" else sniff(path)
        if distribution.size is not None and (found := size(path)) != distribution.size:
            raise DataChanged(
                f"{shown(path.name)} has {found} bytes; the one that was harvested had {distribution.size}",
                hint="harvest its source again",
            )
        with sheets.opened_dataset(path) if form == "table" else _file(path, form) as dataset:
            yield dataset
    elif distribution.protocol == "collection":
        with collection.opened(distribution.address, member, checksum=distribution.checksum) as dataset:
            yield dataset
    elif ways.is_remote(distribution):
        with afar.opened(distribution, reach) as dataset:
            yield dataset
    else:
        raise NotSubsettable(f"the data cannot be cut here: {_REASONS[distribution.protocol]}")


@contextlib.contextmanager
def _file(path: Path, form: str) -> Iterator[xr.Dataset]:
    """A local file as a dataset, in the end closed; what fails while it is open tells no folder either."""
    try:
        with _zarr(path) if form == "zarr" else _netcdf(path, form) as dataset:
            yield dataset
    except CatalogError as error:
        raise type(error)(untold(error.message, path), error.hint, error.details) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataUnreadable(_reason(shown(path.name), untold(str(error), path), error)) from error


@contextlib.contextmanager
def _zarr(path: Path) -> Iterator[xr.Dataset]:
    check_zarr(path)
    # a store and not its path, which newer versions read, and change, as an address
    store: Any = zarr.storage.LocalStore(path, read_only=True)
    with undecoded(store, engine="zarr", chunks=None) as found:
        yield _in_order(found)


@contextlib.contextmanager
def _netcdf(path: Path, form: str) -> Iterator[xr.Dataset]:
    """A NetCDF or HDF5 file as a dataset; the names of its groups in `encoding["groups"]`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    name = opened_as(
        fd
    )  # whatever its bytes, libraries can write this name; and what was checked is what is read
    with contextlib.ExitStack() as files:
        files.callback(os.close, fd)
        if form == "netcdf3":
            check_whole(path)
        else:
            check_hdf5(name)
        file = files.enter_context(contextlib.closing(netCDF4.Dataset(name)))
        store: Any = xr.backends.NetCDF4DataStore(file)  # type: ignore[no-untyped-call]
        dataset = undecoded(store)
        dataset.encoding["groups"] = tuple(file.groups)
        yield dataset


def _in_order(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its variables by name: Zarr lists them as the file system does, each time otherwise."""
    return dataset[sorted(dataset.variables, key=str)]


def _reason(name: str, said: str, error: Exception) -> str:
    first = (said.splitlines() or [""])[0]
    return f"{name} cannot be read: {type(error).__name__}: {first}"[:300]


def _variable(name: str, variable: xr.Variable) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": "string" if variable.dtype.kind in "OSUT" else variable.dtype.name,
        "dimensions": [str(dimension) for dimension in variable.dims],
        "shape": [int(size) for size in variable.shape],
        "attributes": plain_attributes(variable.attrs),
    }
