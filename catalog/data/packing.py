"""What packed numbers mean: fill values, scale_factor and add_offset (CF conventions §2.5.1 and §8.1).

xarray's own reading of the conventions decides, so that every format gives to the last bit the number that a researcher
gets by opening the source in xarray: type, rounding, unsigned bytes and all.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.errors import DataUnreadable

_PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")


def unpack(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the numbers that raw values stand for, of the same shape, as xarray decodes them; missing ones are NaN.

    Whole numbers without packing and fill value, and text, come back as they are.

    Raises:
        DataUnreadable: The packing attributes are no numbers, or contradict one another.
    """
    packing = {name: attributes[name] for name in _PACKING if name in attributes}
    if raw.dtype.kind not in "iuf" or not packing:
        return raw
    variable = xr.Variable([f"d{axis}" for axis in range(raw.ndim)], raw, packing)
    with warnings.catch_warnings(action="ignore"):  # several fill values: each of them is a fill value
        try:
            return np.asarray(
                xr.conventions.decode_cf_variable("packed", variable, decode_times=False).values
            )
        except (TypeError, ValueError) as error:
            raise DataUnreadable(f"packing attributes that cannot be read: {error}") from error


def decoded_itemsize(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> int:
    """Return the most bytes that one unpacked value takes."""
    return (
        8 if dtype.kind in "iu" and any(name in attributes for name in _PACKING) else max(1, dtype.itemsize)
    )
