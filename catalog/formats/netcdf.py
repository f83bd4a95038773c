"""NetCDF-4, packed as the source: raw values, types and attributes are copied, nothing is decoded on the way."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.blocks import blocks
from catalog.data.plain import words
from catalog.formats._flat import RESERVED, attributes_of

SUFFIX = "nc"
MEDIA_TYPE = "application/x-netcdf"
STREAMS = False
_PIECE = 1 << 18
_HANDLED = RESERVED | {"_FillValue"}
_LARGE = 1 << 26
"""Bytes of an answer from which it is compressed: deflate takes forty times the processor that writing takes."""


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the dataset as a NetCDF-4 file; a large one is compressed lightly.

    NetCDF-4 cannot be streamed: it is made in a temporary file, whose name is given up as soon as it is open.
    """
    with tempfile.NamedTemporaryFile(prefix="bienmo-", delete=False) as file:
        try:
            target = netCDF4.Dataset(file.name, "w", format="NETCDF4")
        finally:
            Path(file.name).unlink()
        with contextlib.closing(target):
            _copy(dataset, target)
        while piece := os.pread(file.fileno(), _PIECE, file.tell()):
            file.seek(len(piece), os.SEEK_CUR)
            yield piece


def _copy(dataset: xr.Dataset, target: Any) -> None:
    target.set_auto_maskandscale(False)
    target.setncatts(attributes_of(dataset))
    large = dataset.nbytes >= _LARGE
    for name, size in dataset.sizes.items():
        target.createDimension(str(name), size)
    for name, variable in dataset.variables.items():
        text = variable.dtype.kind in "OSUT"
        copy = target.createVariable(
            str(name),
            str if text else variable.dtype.newbyteorder("=") if variable.dtype.kind != "b" else np.int8,
            variable.dims,
            fill_value=None if text else _fill(variable),
            **(
                {"zlib": True, "complevel": 1, "shuffle": True}
                if large and variable.ndim and not text
                else {}
            ),
        )
        copy.setncatts(_attributes(variable.attrs))
        copy.set_auto_maskandscale(False)
        copy.set_auto_chartostring(False)
        for place, values in blocks(variable):
            copy[place or ...] = _texts(values) if text else values


def _fill(variable: xr.Variable) -> Any:
    """The source's fill value in the variable's type; none is written where the source has none."""
    value = variable.attrs.get("_FillValue")
    return False if value is None else np.asarray(value).astype(variable.dtype).ravel()[0]


def _attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in attributes.items() if name not in _HANDLED}


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as NetCDF strings: bytes are read as UTF-8, else Latin-1."""
    found = ["" if item is None else words(item) for item in np.asarray(values, object).ravel()]
    return np.array(found, object).reshape(values.shape)
