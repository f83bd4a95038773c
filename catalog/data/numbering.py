"""Indices of every how many cells of a dimension: no more than memory has room for, whatever a file claims."""

import numpy as np
import numpy.typing as npt

from catalog.errors import TooLarge

MOST_INDICES = 50_000_000
"""Indices along one dimension of a request; a few kilobytes of a file can claim any number of them."""


def numbered(dimension: str, start: int, stop: int, step: int) -> npt.NDArray[np.intp]:
    """Return the indices from `start` to before `stop`, every `step`th.

    Raises:
        TooLarge: There are more than 50 million.
    """
    count = len(range(start, stop, step))
    if count > MOST_INDICES:
        raise TooLarge(
            f"{count} indices along {dimension[:60]} are asked for, and {MOST_INDICES} are allowed",
            hint=f"ask for fewer: indices={dimension[:60]}[{start}:{step}:{start + (MOST_INDICES - 1) * step}]",
            details={"limit": MOST_INDICES, "asked": count, "setting": None},
        )
    return np.arange(start, stop, step)
