"""Cutting in a worker process: the jobs that the service gives to its workers."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from catalog import estimating, formats
from catalog.answers import written_end
from catalog.crediting import credited
from catalog.data import chunks, opening, places, subset
from catalog.data.grids import Grid
from catalog.data.shelf import identity
from catalog.data.subset import Cut, Limits
from catalog.data.twins import Twins
from catalog.record import Distribution


def written(  # noqa: PLR0913 - one flat, picklable call into a worker process
    distribution: Distribution,
    cut: Cut,
    suffix: str,
    record_id: str,
    known: Mapping[str, str],
    reach: opening.Reach,
    limits: Limits,
    index: Path | None,
    twins: Path | None,
) -> Iterator[bytes]:
    """Open, cut and write; the notes are the end of what it yields (`answers.read_end`). Raises as `Catalog.subset`."""
    with opened(distribution, reach, index) as dataset:
        grid = Grid(dataset)
        if twins is not None:
            Twins(twins, 0).attach(identity(distribution), grid)
        part = credited(subset.cut(grid, cut, record_id, limits), known)
        yield from formats.named(suffix).write(part)
        yield written_end(part.encoding.get("notes", ()))


def estimated(
    distribution: Distribution, cut: Cut, suffix: str, reach: opening.Reach, limits: Limits
) -> dict[str, Any]:
    """Return the estimate of a cut as JSON values. Raises as `Catalog.estimate`."""
    with opening.opened(distribution, reach) as dataset:
        found = estimating.estimate(Grid(dataset), cut, formats.named(suffix), limits)
        return found.model_dump(mode="json")


@contextlib.contextmanager
def opened(distribution: Distribution, reach: opening.Reach, index: Path | None) -> Iterator[xr.Dataset]:
    """The data of a distribution, through the chunk index where it covers them."""
    if index is not None:
        known = chunks.load(index.read_bytes())
        if not known.uncovered:
            with chunks.opened(str(places.place(distribution.address)), known, None) as dataset:
                yield dataset
            return
    with opening.opened(distribution, reach) as dataset:
        yield dataset
