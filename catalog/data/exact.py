"""Arrays and attribute values as JSON, to the last bit and with their types."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_DTYPE = re.compile(r"[<>|][iufb](1|2|4|8)|\|S\d{1,6}")


def written(value: Any) -> Any:
    """Return an attribute's value, or an array of numbers or text, as JSON: text as it is, else an object.

    Raises:
        TypeError: It is of no type that data files have.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int) or value is None:
        return {"plain": value}
    if isinstance(value, np.ndarray | np.generic):
        return _array(np.asarray(value), scalar=isinstance(value, np.generic))
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, list | tuple):
        return {"list": [written(item) for item in value]}
    if isinstance(value, Mapping):
        return {"table": {str(name): written(item) for name, item in value.items()}}
    raise TypeError(f"an attribute of type {type(value).__name__}")


def read(said: Any) -> Any:
    """Return the value that `written` wrote. Raises ValueError, TypeError or KeyError where it is none."""
    if isinstance(said, str):
        return said
    if "plain" in said:
        return said["plain"]
    if "float" in said:
        return float.fromhex(said["float"])
    if "list" in said:
        return [read(item) for item in said["list"]]
    if "table" in said:
        return {name: read(item) for name, item in said["table"].items()}
    return _read_array(said)


def digest(values: npt.NDArray[Any]) -> str:
    """Return the sha256 of an array's type, shape and values, in hexadecimal; the byte order does not count."""
    if values.dtype.kind in "OUT":
        text = "\0".join(map(str, values.ravel().tolist()))
        said, raw = "text", text.encode("utf-8", "surrogatepass")
    else:
        plain = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
        said, raw = plain.dtype.str, plain.tobytes()
    return hashlib.sha256(f"{said} {values.shape}\n".encode() + raw).hexdigest()


def _array(values: npt.NDArray[Any], *, scalar: bool) -> dict[str, Any]:
    shape = None if scalar else list(values.shape)
    if values.dtype.kind in "OUT":
        return {"text": [str(item) for item in values.ravel().tolist()], "shape": shape}
    if not _DTYPE.fullmatch(values.dtype.str):
        raise TypeError(f"an array of type {values.dtype}")
    raw = np.ascontiguousarray(values).tobytes()
    return {"dtype": values.dtype.str, "shape": shape, "data": base64.b64encode(raw).decode()}


def _read_array(said: Mapping[str, Any]) -> Any:
    shape = said["shape"]
    if "text" in said:
        found = np.array([str(item) for item in said["text"]], dtype=object)
    elif _DTYPE.fullmatch(said["dtype"]):
        found = np.frombuffer(base64.b64decode(said["data"], validate=True), said["dtype"])
    else:
        raise ValueError(f"there is no type {said['dtype']!r}")
    return found.reshape(shape) if shape is not None else found.reshape(())[()]
