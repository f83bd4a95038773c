"""Opening data on other servers. Call it in a worker (`catalog.data.workers`), never in a server.

What can be cut there is: DAP2 servers send hyperslabs, ERDDAP's tables the rows that fulfil constraints. Of NetCDF
files and Zarr groups on any web server only the ranges and chunks are read that are asked for.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import xarray as xr
import zarr
from xarray.core import indexing

from catalog.data import chunks, classic, dap, tabledap
from catalog.data.contained import check_hdf5
from catalog.data.contents import Variable
from catalog.data.cuts import Cut
from catalog.data.keyed import Keyed
from catalog.data.layouts import Plain, Stored
from catalog.data.places import opened_as
from catalog.data.positioned import Elsewhere
from catalog.data.ranged import Ranged, state_of
from catalog.data.reading import Cells, OpenFile
from catalog.data.remote import Link, Reach, linked
from catalog.data.scales import Scales
from catalog.data.undecoded import undecoded
from catalog.data.ways import file_form
from catalog.errors import CatalogError, DataChanged, DataUnreadable, NotSubsettable
from catalog.record import Distribution

_HDF = b"\x89HDF\r\n\x1a\n"


def is_asked_together(distribution: Distribution) -> bool:
    """Tell whether the variables of a cut are worth asking for in one request (`dap.ask_together`)."""
    return distribution.protocol in {"opendap", "griddap"}


@contextlib.contextmanager
def opened(
    distribution: Distribution, reach: Reach, index: Path | None = None, cut: Cut | None = None
) -> Iterator[xr.Dataset]:
    """Open data on another server as an undecoded, lazy dataset.

    Args:
        distribution: Where they are.
        reach: How they are reached.
        index: The index that `catalog.data.farther.indexed` made of the file, where there is one.
        cut: What is going to be asked for: of a table no other rows need be there.

    Raises:
        NotSubsettable: They cannot be cut there; the message says why. DataUnreadable: The server's answer cannot be
        read. DataChanged: The file is not the one of the index. Unreachable, AddressRefused, LimitExceeded: As
        `catalog.data.remote.Link.get`.
    """
    with linked(reach) as link, opened_over(link, distribution, reach, index, cut) as dataset:
        yield dataset


@contextlib.contextmanager
def opened_over(
    link: Link,
    distribution: Distribution,
    reach: Reach,
    index: Path | None = None,
    cut: Cut | None = None,
) -> Iterator[xr.Dataset]:
    """Open data on another server over a way that is open already; as `opened`. Raises as it."""
    if distribution.protocol in {"opendap", "griddap"}:
        with dap.opened(link, distribution.address) as dataset:
            yield dataset
    elif distribution.protocol == "tabledap":
        table = tabledap.Tabledap(link, distribution.address, reach.max_bytes)
        with tabledap.opened(table, cut) as dataset:
            yield dataset
    elif (form := file_form(distribution)) == "zarr":
        with _zarr(Keyed(link, distribution.address)) as dataset:
            yield dataset
    elif form == "netcdf":
        with Ranged(link, distribution.address, reach.whole_bytes) as file, _file(file, index) as dataset:
            yield dataset
    else:
        raise NotSubsettable("the address is no data service that can be cut")


@contextlib.contextmanager
def table(distribution: Distribution, reach: Reach) -> Iterator[tabledap.Tabledap]:
    """Open a table of an ERDDAP server as a sheet. Raises as `opened`."""
    with linked(reach) as link:
        yield tabledap.Tabledap(link, distribution.address, reach.max_bytes)


def state(distribution: Distribution, reach: Reach) -> str:
    """Return what tells this state of a remote file from others; empty where nothing does. Raises as `opened`."""
    if file_form(distribution) != "netcdf":
        return ""
    with linked(reach) as link:
        return state_of(link, distribution.address)


@contextlib.contextmanager
def _zarr(store: Keyed) -> Iterator[xr.Dataset]:
    with _said():
        try:
            group = zarr.open_consolidated(store, mode="r")
        except ValueError as error:
            raise NotSubsettable(
                "the Zarr group cannot be cut: its metadata are not consolidated, and another server cannot be asked "
                "what there is in it",
                hint="its provider can consolidate them",
            ) from error
        assert group.metadata.consolidated_metadata is not None
        found = undecoded(store, engine="zarr", chunks=None, consolidated=True)
    with _said(), found:
        yield found[sorted(found.variables, key=str)]


@contextlib.contextmanager
def _file(file: Ranged, index: Path | None) -> Iterator[xr.Dataset]:
    """A NetCDF file that is read by ranges as a dataset."""
    with _said():
        start = file.read(8)
        if start[:3] == b"CDF":
            with _classic(file) as dataset:
                yield dataset
        elif start != _HDF:
            raise DataUnreadable("the remote file is neither NetCDF nor HDF5")
        elif index is not None and not (known := chunks.load(index.read_bytes())).uncovered:
            if known.encoding.get("state") != file.state:
                raise DataChanged("the remote file is not the one that was indexed", hint="ask again")
            yield _assembled(known.variables, open_file(file), known.attributes, known.encoding)
        else:
            with hierarchical(file) as (dataset, _):
                yield dataset


@contextlib.contextmanager
def hierarchical(file: Ranged) -> Iterator[tuple[xr.Dataset, h5py.File]]:
    """Open a NetCDF-4 file that is read by ranges: as a dataset, and as it is. Raises what the ranges raised."""
    try:
        check_hdf5(file)
        with h5py.File(file, "r") as opened_file:
            store = Scales(opened_file)
            dataset = undecoded(store)
            dataset.encoding["groups"] = store.groups
            yield dataset, opened_file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, DataUnreadable):
        if file.failure is not None:  # libhdf5 says only that it cannot read
            raise file.failure from None
        raise


@contextlib.contextmanager
def _classic(file: Ranged) -> Iterator[xr.Dataset]:
    """A NetCDF-3 file: its header as the netCDF library reads it from a copy of it alone, its cells by ranges."""
    file.seek(0)
    classic.check_long_enough(file, file.size)
    file.seek(0)
    laid = classic.lay_out_of(file, file.size)
    file.seek(0)
    with tempfile.NamedTemporaryFile() as head:
        head.write(file.read(min((one.begin for one in laid.values()), default=file.size)))
        head.truncate(file.size)
        head.flush()
        with contextlib.closing(netCDF4.Dataset(opened_as(head.fileno()))) as known:
            store: Any = xr.backends.NetCDF4DataStore(known)  # type: ignore[no-untyped-call]
            dataset = undecoded(store)
            listed = [_placed(str(name), v, laid[str(name)]) for name, v in dataset.variables.items()]
            yield _assembled(listed, open_file(file), dataset.attrs, {**dataset.encoding, "groups": ()})


def _placed(name: str, variable: xr.Variable, laid: classic.Laid) -> Variable:
    dtype = np.dtype(laid.dtype)
    stored = Stored(laid.shape, dtype, bytes(dtype.itemsize), Plain(laid.begin, laid.strides))
    dims, encoding = tuple(map(str, variable.dims)), variable.encoding
    return Variable(name, dims, variable.shape, variable.dtype, variable.attrs, encoding, None, stored)


def _assembled(
    listed: Sequence[Variable], origin: OpenFile, attributes: Mapping[str, Any], encoding: Mapping[str, Any]
) -> xr.Dataset:
    """The dataset of variables whose cells are read by ranges, in their order."""
    variables = {one.name: _variable(one, origin) for one in listed}
    lines = {name: v for name, v in variables.items() if v.dims == (name,)}
    rest = {name: v for name, v in variables.items() if name not in lines}
    made = xr.Dataset(rest, coords=xr.Coordinates(lines, indexes={}), attrs=dict(attributes))[list(variables)]
    made.encoding = dict(encoding)
    return made


def _variable(one: Variable, origin: OpenFile) -> xr.Variable:
    data: Any = one.values
    if data is None and one.stored is not None:
        cells = Cells(origin, one.name, one.stored, one.dtype)
        data = indexing.LazilyIndexedArray(chunks.Lazy(one, cells))
    found = xr.Variable(one.dims, data, dict(one.attributes), fastpath=True)
    found.encoding = dict(one.encoding)
    return found


def open_file(file: Ranged) -> OpenFile:
    """Return what the variables of a file that is read by ranges have in common."""
    return OpenFile(Elsewhere(file.fill), None)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Say what libraries meet in the bytes of others."""
    try:
        yield
    except CatalogError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        cause = _ours(error)
        if cause is not None:
            raise cause from error
        first = (str(error).splitlines() or [""])[0]
        said = f"the remote data cannot be read: {type(error).__name__}: {first}"
        raise DataUnreadable(said[:300]) from error


def _ours(error: BaseException | None) -> CatalogError | None:
    """The error of the catalog that a library turned into one of its own."""
    while error is not None and not isinstance(error, CatalogError):
        error = error.__cause__ or error.__context__
    return error
