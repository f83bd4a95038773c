"""Longitudes as maps want them."""

from typing import Any

import numpy as np
import numpy.typing as npt

_HALF, _TURN = 180, 360


def longitudes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return degrees east in −180…180 (180 stays 180), of the same shape; those that lie there are untouched.

    Floats keep their type, in which the turn is subtracted without rounding up to 360.
    """
    native = values if values.dtype.kind == "f" else values.astype(np.float64)
    native = native.astype(native.dtype.newbyteorder("="), copy=False)
    turns = np.ceil((native - _HALF) / _TURN)
    outside = np.isfinite(native) & (np.abs(native) > _HALF)
    return np.where(outside, native - np.where(outside, turns, 0) * _TURN, native).astype(native.dtype)
