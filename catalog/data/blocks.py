"""Reading a variable in blocks, so that memory stays bounded whatever its size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

BLOCK_BYTES = 32_000_000


def blocks(variable: xr.Variable) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[Any]]]:
    """Yield (place, values) of consecutive blocks along the first dimension, whole chunks of it where they fit.

    The values are raw, of the rank of the variable; a scalar is one block with an empty place.
    """
    if not variable.ndim:
        yield (), np.asarray(variable.values)
        return
    row = max(1, int(np.prod(variable.shape[1:], dtype=object)) * variable.dtype.itemsize)
    chunk = (variable.encoding.get("chunksizes") or variable.encoding.get("chunks") or (1,))[0]
    step = max(1, BLOCK_BYTES // row)
    step = step // chunk * chunk or step
    for start in range(0, variable.shape[0], step):
        place = slice(start, min(start + step, variable.shape[0]))
        yield (place,), np.asarray(variable[place].values)
