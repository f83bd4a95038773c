"""The chunk index of a NetCDF-4 file on another server: its chunks are listed once, by ranges. Call it in a worker."""

import warnings
from collections.abc import Iterator

import xarray as xr

from catalog.data import hdf, ledgers, listing
from catalog.data.afar import hierarchical, open_file
from catalog.data.contents import Index
from catalog.data.ranged import Ranged
from catalog.data.remote import Reach, linked
from catalog.errors import NotSubsettable
from catalog.record import Distribution

_MARK = b"\x89HDF\r\n\x1a\n"


def indexed(distribution: Distribution, reach: Reach) -> Iterator[bytes]:
    """Yield the bytes of the index of a file, for `afar.opened`.

    Raises:
        NotSubsettable: It is no NetCDF-4 file, or none that an index has a form for: it is read without. Others as
        `afar.opened`.
    """
    with linked(reach) as link, Ranged(link, distribution.address, reach.whole_bytes) as file:
        if file.read(len(_MARK)) != _MARK:
            raise NotSubsettable("only NetCDF-4 files have an index")
        with (
            hierarchical(file) as (dataset, _),
            hdf.finder(file) as find,
            warnings.catch_warnings(action="ignore"),
        ):
            listed = tuple(listing.variables(_with_texts(dataset), find, open_file(file), file.size))
            known = Index(
                form="netcdf4",
                size=file.size,
                mtime_ns=0,
                attributes={str(name): value for name, value in dataset.attrs.items()},
                encoding={
                    "groups": dataset.encoding["groups"],
                    "unlimited_dims": dataset.encoding.get("unlimited_dims", set()),
                    "state": file.state,
                },
                sizes={str(name): int(size) for name, size in dataset.sizes.items()},
                variables=listed,
            )
            try:
                yield ledgers.written(known)
            except TypeError as error:
                raise NotSubsettable(f"the file cannot be indexed: {error}"[:300]) from error


def _with_texts(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with small texts read, as the netCDF library's opener reads them."""
    texts = {
        name: variable.astype(str)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "O" and variable.size * 100 <= listing.MOST_VALUE_BYTES
    }
    return dataset.assign(texts) if texts else dataset
