"""Gaps: what a regular axis of many files should have and does not, said where a request meets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.clock import position

MOST_SAID = 20


@dataclass(frozen=True)
class Gap:
    """Steps that an axis lacks.

    Args:
        dimension: The dimension of the axis.
        at: Index of the step before them.
        first: The first instant that is missing, as it should be; empty where the axis is no time.
        last: The last one.
        text: A sentence for a person.
    """

    dimension: str
    at: int
    first: str
    last: str
    text: str


def notes(
    dataset: xr.Dataset,
    picks: Mapping[str, npt.NDArray[np.intp]],
    time: tuple[str | None, str | None] | None = None,
) -> tuple[str, ...]:
    """Return a sentence for each gap that lies in what is asked for.

    Args:
        dataset: A dataset as `catalog.data.collection.opened` gives it; any other has no gaps.
        picks: The source's indices along each dimension that is cut; a dimension that is not named is whole.
        time: The first and last instant asked for, where times are.
    """
    known: Sequence[Gap] = dataset.encoding.get("gaps", ())
    found = [gap.text for gap in known if _meets(gap, picks.get(gap.dimension), time)]
    return told(found)


def told(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the first sentences, and one that says how many more there are."""
    more = len(texts) - MOST_SAID
    return (*texts[:MOST_SAID], *((f"and {more:,} more such gaps",) if more > 0 else ()))


def written(gap: Gap) -> dict[str, Any]:
    """Return a gap as JSON; `Gap(**…)` reads it."""
    return {
        "dimension": gap.dimension,
        "at": gap.at,
        "first": gap.first,
        "last": gap.last,
        "text": gap.text,
    }


def _meets(
    gap: Gap, indices: npt.NDArray[np.intp] | None, time: tuple[str | None, str | None] | None
) -> bool:
    if indices is None:
        return True
    if not indices.size:
        return False
    least, most = int(indices.min()), int(indices.max())
    if least <= gap.at < most:
        return True
    if not (gap.first and time and least <= gap.at + 1 and gap.at <= most):
        return False  # what was asked for ends before it reaches the gap
    begin, end = time
    early = begin is None or position(begin) <= position(gap.last)
    return early and (end is None or position(gap.first) <= position(end))
