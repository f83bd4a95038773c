"""Columns of a table as Arrow has them, one form whatever the source.

Whole numbers and floating-point numbers keep their type; a missing number is null, never NaN. Times are timestamps
(µs, UTC) where they fit the usual calendar, else canonical instants (`catalog.instant`) as text, whose field says so.
Text that is empty is missing, for neither CSV nor NetCDF can tell the two apart.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from catalog.data.clock import Clock
from catalog.data.plain import plain_attributes, words
from catalog.errors import DataUnreadable

TIME = pa.timestamp("us", "UTC")
_INSTANTS = b"instants"
_LETTERS, _DATE = len("2020-01-01T00:00:00Z"), len("2020-01-01")
_NEVER_WRITTEN = 9.9e36  # netCDF's fill value of floats that nobody wrote, 9.97e36


def field(name: str, kind: Any, attributes: Mapping[Any, Any], *, instants: bool = False) -> Any:
    """Return a field with its attributes; `instants`: it is text that holds instants of another calendar."""
    metadata = {b"attributes": orjson.dumps(plain_attributes(attributes))}
    return pa.field(name, kind, metadata=metadata | ({_INSTANTS: b"1"} if instants else {}))


def attributes_of(described: Any) -> dict[str, Any]:
    """Return the attributes that a field or a schema carries as JSON; none where it has none that can be read."""
    try:
        found = orjson.loads((described.metadata or {}).get(b"attributes", b"{}"))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def has_instants(described: Any) -> bool:
    """Tell whether a field is text that holds instants of another calendar."""
    return _INSTANTS in (described.metadata or {})


def is_number(kind: Any) -> bool:
    """Tell whether a type is one of numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def array(values: npt.NDArray[Any]) -> Any:
    """Return numpy values as a column: NaN, NaT, None and empty text become null."""
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"), pa.timestamp("us")).cast(TIME)
    if values.dtype.kind in "OSUT":
        return pa.array([None if v is None else words(v) or None for v in values.tolist()], pa.string())
    if values.dtype.kind == "b":
        return pa.array(values.astype(np.int8))
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    if native.dtype.kind == "f":
        if native.dtype.itemsize not in {4, 8}:
            native = native.astype(np.float32 if native.dtype.itemsize == 2 else np.float64)  # noqa: PLR2004
        return pa.array(native, mask=np.isnan(native))
    return pa.array(native)


def decoded(numbers: Any, clock: Clock) -> Any:
    """Return the timestamps of a column of numbers that a clock counts; those nobody wrote are missing.

    Raises:
        DataUnreadable: A number lies beyond the usual calendar's years.
    """
    plain = numbers.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    found = clock.datetimes(np.where(np.abs(plain) >= _NEVER_WRITTEN, np.nan, plain))
    if found is None:
        raise DataUnreadable(
            f"a column of times since {clock.reference[:60]} has some beyond the calendar's years"
        )
    return array(found)


def clock_of(attributes: Mapping[str, Any]) -> Clock | None:
    """Return how a column counts time by its units, None where it does not."""
    if " since " not in str(attributes.get("units", "")).lower():
        return None
    try:
        return Clock.of(attributes)
    except DataUnreadable:
        return None


def tells_time(clock: Clock | None) -> bool:
    """Tell whether a clock's numbers are timestamps: its calendar is the usual one, from a year that it has."""
    return clock is not None and clock.datetimes(np.zeros(1)) is not None


def texts(column: Any) -> Any:
    """Return a column as text: the shortest decimals that read back, ISO 8601 times; null stays null."""
    if pa.types.is_timestamp(column.type):
        return _instants(column)
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _instants(times: Any) -> Any:
    """Times as canonical instants; whole seconds are written at once, fractions one by one."""
    micros = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if not np.any(micros % 1_000_000):
        text = pa.array(micros // 1_000_000, pa.timestamp("s")).cast(pa.string())
        letters = np.frombuffer(text.buffers()[2] or b"", np.uint8)
        if letters.size == (_LETTERS - 1) * len(text):  # years of four digits
            found = np.full((len(text), _LETTERS), ord("Z"), np.uint8)
            found[:, :-1] = letters.reshape(-1, _LETTERS - 1)
            found[:, _DATE] = ord("T")
            ends = np.arange(len(text) + 1, dtype=np.int32) * _LETTERS
            buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(found.tobytes())]
            plain = pa.Array.from_buffers(pa.string(), len(text), buffers)
            return pc.if_else(times.is_valid(), plain, None) if times.null_count else plain
    whole = pc.replace_substring(times.cast(pa.string()), " ", "T", max_replacements=1)
    bare = pc.replace_substring_regex(whole, r"\.0+Z$", "Z", max_replacements=1)
    return pc.replace_substring_regex(bare, r"(\.\d*[1-9])0+Z$", r"\1Z", max_replacements=1)
