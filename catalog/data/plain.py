"""Attribute values as JSON has them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numpy numbers plain, NaN and infinities null, bytes as text (UTF-8, Latin-1)."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else words(value)


def words(value: Any) -> str:
    """Return text that UTF-8 can write, without the zero bytes that pad it."""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    text = str(value).rstrip("\0")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes by name, each as JSON has it."""
    return {words(name): plain(value) for name, value in attributes.items()}
