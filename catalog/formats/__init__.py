"""Numbers as bytes in the form a client uses; every file without a leading underscore is a format.

A format is a module with `SUFFIX`, `MEDIA_TYPE`, `STREAMS` and `write`, and with `length` where the number of
bytes is known before; its datasets are undecoded (packed values, attributes as in the source), as
`catalog.data.subset.cut` gives them. The law: reading the bytes back gives the same numbers.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Protocol

import xarray as xr

from catalog.errors import NotFound


class Format(Protocol):
    """What a format's module does.

    `STREAMS` tells that `write` runs in any thread, in bounded memory, and yields as it goes; without it, `write`
    needs a worker process of its own (GDAL, Excel, plots). A module may have `length(dataset) -> int` too; `length`
    of this package asks for it.
    """

    SUFFIX: str
    MEDIA_TYPE: str
    STREAMS: bool

    def write(self, dataset: xr.Dataset) -> Iterator[bytes]:
        """Yield the bytes of a dataset, in bounded memory.

        Raises:
            NotSubsettable: The format cannot hold such data; the message says which can.
        """


@cache
def all_formats() -> Mapping[str, Format]:
    """Return every format by its suffix, those of this folder."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return MappingProxyType({module.SUFFIX: module for module in modules})


def named(suffix: str) -> Format:
    """Return the format with a suffix. Raises NotFound."""
    try:
        return all_formats()[suffix]
    except KeyError as error:
        raise NotFound(
            f"there is no format {suffix[:20]!r}", hint="formats: " + ", ".join(all_formats())
        ) from error


def length(chosen: Format, dataset: xr.Dataset) -> int | None:
    """Return how many bytes a format writes of a dataset, where it knows before writing them; no data are read.

    Raises:
        NotSubsettable: As `Format.write`.
    """
    known: Callable[[xr.Dataset], int] | None = getattr(chosen, "length", None)
    return None if known is None else known(dataset)
