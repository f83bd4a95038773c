"""Which of a record's distributions can be cut, told by what it says of them; light, for those that never cut."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from catalog.data.places import LOCAL
from catalog.record import Distribution, Record

REMOTE = ("griddap", "opendap", "tabledap", "http")
"""The protocols of data on other servers that can be cut, those first that cut best; of `http` NetCDF files and Zarr
groups only."""

OPENABLE = (*LOCAL, *REMOTE)
"""The protocols that can be cut, the cheapest first."""

_FORMS: Mapping[str, Literal["netcdf", "zarr"]] = {
    **dict.fromkeys(("netcdf", "netcdf3", "netcdf4", "nc", "nc4", "x-netcdf"), "netcdf"),
    **dict.fromkeys(("hdf5", "h5", "x-hdf5", "x-hdf"), "netcdf"),
    **dict.fromkeys(("zarr", "vnd-zarr", "vnd.zarr", "vnd+zarr", "x-zarr"), "zarr"),
}  # fmt: skip
_SUFFIXES = {".nc": "netcdf", ".nc4": "netcdf", ".h5": "netcdf", ".zarr": "zarr"}


def openables(record: Record) -> tuple[Distribution, ...]:
    """Return the record's distributions that can be cut, the cheapest first."""
    ways = [way for way in record.distributions if way.protocol in LOCAL or is_remote(way)]
    return tuple(sorted(ways, key=lambda way: OPENABLE.index(way.protocol)))


def is_remote(distribution: Distribution) -> bool:
    """Tell whether a distribution is one of data on another server that can be cut."""
    return distribution.protocol in REMOTE and (
        distribution.protocol != "http" or file_form(distribution) is not None
    )


def file_form(distribution: Distribution) -> str | None:
    """Return netcdf or zarr for what a web address leads to, by its format, media type or name; None for others."""
    if distribution.protocol != "http":
        return None
    media = (distribution.media_type or "").partition(";")[0].strip().lower()
    for word in (distribution.format.lower(), media.removeprefix("application/")):
        if word in _FORMS:
            return _FORMS[word]
    if distribution.format not in {"unknown", "other", "binary"}:
        return None
    path = urlsplit(distribution.address).path.rstrip("/").lower()
    return next((form for suffix, form in _SUFFIXES.items() if path.endswith(suffix)), None)
