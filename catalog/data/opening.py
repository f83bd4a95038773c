"""Opening data, and describing what a file holds. Call it in a worker (`catalog.data.workers`), never in a server.

Datasets are opened undecoded: packed values, fill values, time numbers and attributes are as in the file, and
nothing is read before it is asked for.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import netCDF4
import xarray as xr
import zarr

from catalog.data import collection, sheets
from catalog.data.classic import check_whole
from catalog.data.contained import check_hdf5, check_zarr
from catalog.data.coverage import cover
from catalog.data.parts import facts, size
from catalog.data.places import opened_as, shown, untold
from catalog.data.places import place as place_of
from catalog.data.plain import plain_attributes
from catalog.errors import AddressRefused, CatalogError, DataChanged, DataUnreadable, NotSubsettable
from catalog.record import Distribution

_HDF = b"\x89HDF\r\n\x1a\n"
_MOST_USERBLOCK = 1 << 20
_ZARR_MARKS = (".zgroup", ".zmetadata", "zarr.json", ".zarray")
_UNDECODED: Mapping[str, Any] = {
    "mask_and_scale": False,
    "decode_times": False,
    "decode_timedelta": False,
    "decode_coords": False,
    "concat_characters": True,
    "create_default_indexes": False,
    "cache": False,
}
_REASONS = {
    "tabledap": "an ERDDAP table is cut at its own server; open its address",
    "http": "the file lies on another server and was not harvested as data; download it there",
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


@dataclass(frozen=True)
class Reach:
    """How remote data are reached.

    Args:
        allow_hosts: Hosts on private addresses that may be reached.
        user_agent: Who asks.
        stall_seconds: Longest silence of a server.
        max_bytes: Largest answer.
        seconds: Longest time of one answer.
    """

    allow_hosts: tuple[str, ...] = ()
    user_agent: str = "bienmo"
    stall_seconds: float = 15
    max_bytes: int = 1_000_000_000
    seconds: float = 60


@contextlib.contextmanager
def opened(distribution: Distribution, reach: Reach) -> Iterator[xr.Dataset]:
    """Open a distribution as an undecoded, lazy dataset.

    It is a local `file`, `zarr`, `collection` or `table`, or a remote `opendap` or `griddap`; a table is read whole.

    Raises:
        NotSubsettable: The protocol gives no data that can be cut. DataChanged: The file is not the one
        harvested. DataUnreadable: The file or the remote answer cannot be read.
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
    elif distribution.protocol in {"opendap", "griddap"}:
        with _remote(distribution.address, reach) as dataset:
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
    with warnings.catch_warnings(action="ignore"):  # that the metadata are not consolidated
        # a store and not its path, which newer versions read, and change, as an address
        store: Any = zarr.storage.LocalStore(path, read_only=True)
        found = xr.open_dataset(store, engine="zarr", chunks=None, **_UNDECODED)
    with found:
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
        with warnings.catch_warnings(action="ignore"):  # that a variable has one dimension twice
            dataset = xr.open_dataset(store, **_UNDECODED)
        dataset.encoding["groups"] = tuple(file.groups)
        yield dataset


def _in_order(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its variables by name: Zarr lists them as the file system does, each time otherwise."""
    return dataset[sorted(dataset.variables, key=str)]


@contextlib.contextmanager
def _remote(address: str, reach: Reach) -> Iterator[xr.Dataset]:
    """A DAP2 address as a dataset.

    pydap makes connections of its own whatever session it is given, so it is given an application to ask instead: that
    leaves it no way to the network but through the guarded session.
    """
    from catalog.addresses import session  # noqa: PLC0415 - the network is not for whoever reads files only

    place = urlsplit(address)
    path = place.path.removesuffix(".html")
    if place.scheme not in {"http", "https"} or path.endswith(".dmrpp"):
        raise NotSubsettable("the address is no OPeNDAP address of http or https")
    with session(
        reach.allow_hosts,
        stall_seconds=reach.stall_seconds,
        user_agent=reach.user_agent,
        seconds=reach.seconds,
        max_bytes=reach.max_bytes,
    ) as link:

        def application(environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
            asked = quote(environ["PATH_INFO"].encode("latin-1"))
            try:
                answer = link.get(
                    f"{place.scheme}://{place.netloc}{asked}?{environ['QUERY_STRING']}".rstrip("?")
                )
            except AddressRefused:  # which private address it is, is not for whoever asks
                raise AddressRefused(
                    "the data's server is at no public address",
                    hint="an operator can allow a host by name: BIENMO_ALLOW_HOSTS",
                ) from None
            except OSError as error:  # every error of the connection is one
                raise _unreadable("the remote server's answer", error) from error
            if answer.status_code != HTTPStatus.OK:
                raise DataUnreadable(f"the remote server answered with status {answer.status_code}")
            start_response("200 OK", [("Content-Type", answer.headers.get("Content-Type", "text/plain"))])
            return [answer.content]

        plain = urlunsplit((place.scheme, place.netloc, path, place.query, ""))
        try:
            with warnings.catch_warnings(action="ignore"):  # that DAP2 is old
                dataset = xr.open_dataset(plain, engine="pydap", application=application, **_UNDECODED)
        except CatalogError:
            raise
        except Exception as error:  # pydap raises what its parser meets: any exception is the server's answer
            raise _unreadable("the remote server's answer", error) from error
        with dataset:
            yield dataset


def _unreadable(name: str, error: Exception) -> DataUnreadable:
    return DataUnreadable(_reason(name, str(error), error))


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
