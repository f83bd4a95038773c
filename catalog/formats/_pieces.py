"""The cells of a variable as bytes of another type or byte order, in pieces that are worth sending."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from catalog.data.blocks import blocks

PIECE = 1 << 20


def cells(variable: xr.Variable, dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yield a variable's raw numbers in C order as bytes of a type, which holds each of them.

    Raises:
        OverflowError: A whole number is beyond those that the type, a float, tells apart.
    """
    exact = (1 << np.finfo(dtype).nmant + 1) if dtype.kind == "f" and variable.dtype.kind in "iu" else None
    step = max(1, PIECE // dtype.itemsize)
    for _, raw in blocks(variable):
        if exact and raw.size and not (-exact <= int(raw.min()) and int(raw.max()) <= exact):
            raise OverflowError
        flat = raw.reshape(-1)
        piece = np.empty(min(step, flat.size), dtype)
        for first in range(0, flat.size, step):
            part = flat[first : first + step]
            piece[: part.size] = part
            yield piece[: part.size].tobytes()
