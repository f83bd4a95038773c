"""What packed numbers mean: fill values, scale_factor and add_offset (CF conventions §2.5.1 and §8.1).

xarray's own reading of the conventions decides, so that every format gives to the last bit the number that a researcher
gets by opening the source in xarray: type, rounding, unsigned bytes and all. What the values of small types stand for
is asked of it once, and looked up.
"""

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.errors import DataUnreadable

_FILLS = ("_FillValue", "missing_value")
_SMALL = 2
_PACKING = (*_FILLS, "scale_factor", "add_offset", "_Unsigned")


def unpack(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the numbers that raw values stand for, of the same shape, as xarray decodes them; missing ones are NaN.

    Whole numbers without packing and fill value, and text, come back as they are.

    Raises:
        DataUnreadable: The packing attributes are no numbers, or contradict one another.
    """
    packing = {name: attributes[name] for name in _PACKING if name in attributes}
    if raw.dtype.kind not in "iuf" or not packing:
        return raw
    asked = {name: np.asarray(value) for name, value in packing.items()}
    if any(a.dtype.kind not in "iufSU" or (a.ndim and name not in _FILLS) for name, a in asked.items()):
        return _decoded(raw, packing)
    if raw.dtype.kind in "iu" and raw.dtype.itemsize <= _SMALL:
        key = tuple((name, a.dtype.str, a.shape, a.tobytes()) for name, a in asked.items())
        bits = raw.view(f"{raw.dtype.byteorder}u{raw.dtype.itemsize}")
        return _meanings(raw.dtype.newbyteorder("="), key).take(bits)
    if raw.dtype.str[1:] in {"f4", "f8"} and all(
        name in _FILLS and value.dtype.kind in "iuf" for name, value in asked.items()
    ):
        return _without(raw, asked)
    return _decoded(raw, packing)


def _decoded(raw: npt.NDArray[Any], packing: Mapping[str, Any]) -> npt.NDArray[Any]:
    """What xarray makes of raw values."""
    variable = xr.Variable([f"d{axis}" for axis in range(raw.ndim)], raw, packing)
    with warnings.catch_warnings(action="ignore"):  # several fill values: each of them is a fill value
        try:
            return np.asarray(
                xr.conventions.decode_cf_variable("packed", variable, decode_times=False).values
            )
        except (OverflowError, TypeError, ValueError) as error:
            raise DataUnreadable(f"packing attributes that cannot be read: {error}") from error


@lru_cache(maxsize=32)
def _meanings(
    dtype: np.dtype[Any], packing: tuple[tuple[str, str, tuple[int, ...], bytes], ...]
) -> npt.NDArray[Any]:
    """What xarray makes of every value of a small type, by its bits; the packing attributes are given as bytes."""
    attributes = {name: np.frombuffer(data, kind).reshape(shape)[()] for name, kind, shape, data in packing}
    bits = np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}")
    found = _decoded(bits.view(dtype), attributes)
    found.flags.writeable = False
    return found


def _without(raw: npt.NDArray[Any], fills: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Floats with NaN for each fill value, compared as xarray compares them."""
    found = raw.astype(raw.dtype.newbyteorder("="))
    for fill in dict.fromkeys(fill for values in fills.values() for fill in values.ravel()):
        if fill == fill:  # noqa: PLR0124 - NaN needs no replacing
            found[raw == fill] = np.nan
    return found


def decoded_itemsize(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> int:
    """Return the most bytes that one unpacked value takes."""
    return (
        8 if dtype.kind in "iu" and any(name in attributes for name in _PACKING) else max(1, dtype.itemsize)
    )
