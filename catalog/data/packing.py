"""What packed numbers mean: fill values, scale_factor and add_offset (CF conventions §2.5.1 and §8.1).

The unpacked number is raw × scale_factor + add_offset in float64. Where the factor and the offset are short
decimals (at most nine places, in the attribute's own type: a float32 0.01 is 0.01), the product is rounded
to as many places, so that 12345 packed by 0.0001 is 1.2345 and not 1.2345000000000002. It differs from
xarray's decoded number by the rounding of the last place, and is the same in every format. Unpacked floats
keep their type.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_PLACES = 9
_NO_PLACES = 15


def unpack(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the numbers that raw values stand for, of the same shape; missing ones are NaN.

    Whole numbers without a fill value, and text, come back as they are; whole numbers with one as float64.
    """
    if raw.dtype.kind not in "iuf":
        return raw
    missing = is_missing(raw, attributes)
    raw = _signed(raw, attributes)
    scale, offset = _number(attributes, "scale_factor"), _number(attributes, "add_offset")
    if scale is None and offset is None:
        if not missing.any():
            return raw if raw.dtype.kind == "f" or not _marks(attributes) else raw.astype(np.float64)
        return np.where(missing, np.nan, raw if raw.dtype.kind == "f" else raw.astype(np.float64)).astype(
            raw.dtype if raw.dtype.kind == "f" else np.float64
        )
    values = raw.astype(np.float64) * _short(scale, 1.0) + _short(offset, 0.0)
    places = max(_places(scale), _places(offset))
    if raw.dtype.kind in "iu" and places <= _MOST_PLACES:
        values = np.round(values, places)
    values[missing] = np.nan
    return values


def is_missing(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Tell which raw values stand for nothing: _FillValue, missing_value (one or several), NaN."""
    missing = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, bool)
    if raw.dtype.kind not in "iuf":
        return missing
    for mark in _marks(attributes):
        if np.isfinite(mark):
            missing |= raw == (raw.dtype.type(mark) if raw.dtype.kind == "f" else mark)
    return missing


def decoded_itemsize(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> int:
    """Return the bytes that one unpacked value takes."""
    packed = _number(attributes, "scale_factor") is not None or _number(attributes, "add_offset") is not None
    return 8 if packed else max(1, dtype.itemsize)


def _marks(attributes: Mapping[str, Any]) -> list[Any]:
    marks: list[Any] = []
    for name in ("_FillValue", "missing_value"):
        value = np.asarray(attributes.get(name, []))
        if value.dtype.kind in "iuf":
            marks.extend(value.ravel().tolist())
    return marks


def _number(attributes: Mapping[str, Any], name: str) -> np.number[Any] | None:
    value = np.asarray(attributes.get(name, np.nan))
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value.ravel()[0]):
        return None
    number: np.number[Any] = value.ravel()[0]
    return number


def _signed(raw: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """NetCDF-3 has no unsigned bytes: `_Unsigned` says how to read them (NUG, attribute conventions)."""
    wanted = {"true": "u", "false": "i"}.get(str(attributes.get("_Unsigned", "")).lower())
    if wanted and raw.dtype.kind in "iu":
        return raw.view(np.dtype(f"{raw.dtype.byteorder}{wanted}{raw.dtype.itemsize}"))
    return raw


def _short(number: np.number[Any] | None, default: float) -> float:
    """The number in float64, read from the shortest decimal of its own type."""
    if number is None:
        return default
    return float(str(number)) if _places(number) <= _MOST_PLACES else float(number)


def _places(number: np.number[Any] | None) -> int:
    if number is None:
        return 0
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else _NO_PLACES
