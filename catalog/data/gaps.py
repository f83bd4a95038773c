"""Gaps: what a regular axis of many files should have and does not, said where a request meets it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.clock import position

MOST_SAID = 20


Picks = Mapping[str, npt.NDArray[np.intp]]
Times = tuple[str | None, str | None]


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

    def meets(self, picks: Picks, time: Times | None) -> bool:
        """Tell whether it lies in what is asked for: between two steps of it, or in its time."""
        indices = picks.get(self.dimension)
        if indices is None:
            return True
        if not indices.size:
            return False
        least, most = int(indices.min()), int(indices.max())
        if least <= self.at < most:
            return True
        if not (self.first and time and least <= self.at + 1 and self.at <= most):
            return False
        begin, end = time
        early = begin is None or position(begin) <= position(self.last)
        return early and (end is None or position(self.first) <= position(end))


@dataclass(frozen=True)
class Hole:
    """A tile that is missing, whose cells are.

    Args:
        spans: By dimension, the first and last index of the tile.
        text: A sentence for a person.
    """

    spans: Mapping[str, tuple[int, int]]
    text: str

    def meets(self, picks: Picks, _time: Times | None) -> bool:
        """Tell whether a cell of it is asked for."""
        return all(
            dimension not in picks or bool(np.any((picks[dimension] >= first) & (picks[dimension] <= last)))
            for dimension, (first, last) in self.spans.items()
        )


def notes(dataset: xr.Dataset, picks: Picks, time: Times | None = None) -> tuple[str, ...]:
    """Return a sentence for each gap and each missing tile that lies in what is asked for.

    Args:
        dataset: A dataset as `catalog.data.collection.opened` gives it; any other has no gaps.
        picks: The source's indices along each dimension that is cut; a dimension that is not named is whole.
        time: The first and last instant asked for, where times are.
    """
    known: Sequence[Gap | Hole] = dataset.encoding.get("gaps", ())
    found = [gap.text for gap in known if gap.meets(picks, time)]
    more = len(found) - MOST_SAID
    return (*found[:MOST_SAID], *((f"and {more:,} more such gaps",) if more > 0 else ()))


def written(gap: Gap | Hole) -> dict[str, Any]:
    """Return a gap or a missing tile as JSON."""
    return asdict(gap)


def read(said: Mapping[str, Any]) -> Gap | Hole:
    """Return what `written` wrote."""
    if "spans" in said:
        return Hole({name: (span[0], span[1]) for name, span in said["spans"].items()}, said["text"])
    return Gap(**said)
