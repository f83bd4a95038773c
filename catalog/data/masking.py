"""Leaving cells out of a variable: they become missing, the others stay the source's raw values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

_WIDER = {"i1": "i2", "u1": "i2", "i2": "i4", "u2": "i4"}
_FILLS = {
    "i1": -127, "u1": 255, "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295,
    "i8": -9223372036854775806, "u8": 18446744073709551614,
}  # fmt: skip
"""The fill values of the NetCDF library (netcdf.h, NC_FILL_*), for whole numbers."""

Key = tuple[slice | npt.NDArray[np.intp], ...]
Keep = Callable[[Key], npt.NDArray[np.bool_]]
"""Tells which cells stay; the key is one slice or index array a dimension, the answer has the shape that it picks."""


def masked(variable: xr.Variable, keep: Keep) -> xr.Variable:
    """Return the variable, as lazy as it was, with cells missing where `keep` is False.

    A missing cell holds the variable's own fill value. A variable of floats without one gets NaN; one of small whole
    numbers without one is widened, so that its fill value can be none of its numbers; text becomes empty.
    """
    dtype, attributes, fill = _filled(variable)
    lazy = _Masked(variable, keep, dtype, fill)
    found = xr.Variable(variable.dims, indexing.LazilyIndexedArray(lazy), attributes)
    found.encoding = dict(variable.encoding)
    return found


def fill_of(variable: xr.Variable) -> Any:
    """Return the raw value that says missing in a variable; None where it has none."""
    for name in ("_FillValue", "missing_value"):
        if name in variable.attrs and variable.dtype.kind in "iuf":
            return np.asarray(variable.attrs[name]).ravel()[0]
    return None


def _filled(variable: xr.Variable) -> tuple[np.dtype[Any], dict[Any, Any], Any]:
    """Type, attributes and fill value that a variable with missing cells has."""
    attributes = dict(variable.attrs)
    known = fill_of(variable)
    if known is not None:
        return variable.dtype, attributes, known
    if variable.dtype.kind == "f":
        fill: Any = variable.dtype.type(np.nan)
        return variable.dtype, {**attributes, "_FillValue": fill}, fill
    if variable.dtype.kind in "iu":
        code = f"{variable.dtype.kind}{variable.dtype.itemsize}"
        dtype = np.dtype(_WIDER.get(code, code))
        if attributes.pop("_Unsigned", "") == "true" and code == "i1":
            attributes["_Unsigned"] = "true"
            dtype = variable.dtype
        fill = dtype.type(_FILLS[f"{dtype.kind}{dtype.itemsize}"])
        return dtype, {**attributes, "_FillValue": fill}, fill
    return np.dtype(object), attributes, ""


class _Masked(BackendArray):
    """A variable read through a mask."""

    def __init__(self, variable: xr.Variable, keep: Keep, dtype: np.dtype[Any], fill: Any) -> None:
        self._variable, self._keep, self._fill = variable, keep, fill
        self.shape, self.dtype = variable.shape, dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        whole = tuple(
            np.array([part], np.intp) if isinstance(part, (int, np.integer)) else part for part in key
        )
        raw = np.asarray(self._variable[whole].values)
        found = np.where(self._keep(whole), raw.astype(self.dtype, copy=False), self._fill)
        scalar = tuple(axis for axis, part in enumerate(key) if isinstance(part, (int, np.integer)))
        return found.astype(self.dtype, copy=False).squeeze(axis=scalar)
