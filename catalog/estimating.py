"""What a subset will cost, before it is made."""

from catalog import formats
from catalog.crediting import credited, credits_of
from catalog.data import subset
from catalog.data.costs import DECODED_PER_SECOND
from catalog.data.grids import Grid
from catalog.record import Model, Record

_TEXT_CELLS, _BINARY_CELLS = 5_000_000, 100_000_000  # cells written in a second
_TEXT_BYTES, _COORDINATES = 9, 3
_START_SECONDS = 0.003


class Estimate(Model):
    """What a cut costs.

    Args:
        cells: Cells of data, over all variables; of a reduction, those that are read for it.
        rows: Rows of the long table that CSV and its like have; of a reduction, of what is read for it.
        bytes: Bytes of the answer; exact where `exact`.
        exact: Whether `bytes` is the very number, but for what the answer has to say once it is read (that all cells
            are masked).
        result_bytes: Bytes of the unpacked numbers.
        decoded_bytes: Bytes of chunks that are inflated.
        chunks: How many chunks are read; against the limit each counts 8,000 bytes more than it has.
        seconds: Seconds of one core, about.
        allowed: Whether it is within the limits; a format may have limits of its own.
    """

    cells: int
    rows: int
    bytes: int
    exact: bool
    result_bytes: int
    decoded_bytes: int
    chunks: int
    seconds: float
    allowed: bool


def estimate(
    grid: Grid, cut: subset.Cut, chosen: formats.Format, limits: subset.Limits, record: Record | None = None
) -> Estimate:
    """Return what a cut costs in a format; nothing but coordinates is read.

    Only with the record, whose words the answer has, is the number of bytes exact. The bytes of a format that does not
    know its length are an order of magnitude: a text has about nine bytes for each cell and coordinate of a row, other
    formats as many as the unpacked numbers.

    Raises:
        BadRequest, OutsideDomain, NotSubsettable: As `catalog.data.subset.cut`.
    """
    found = subset.cost(grid, cut)
    allowed = found.within(limits)
    exact = None
    if record and allowed and chosen.STREAMS and not cut.reduce:
        part = credited(subset.part(grid, cut, record.id, limits), credits_of(record))
        exact = formats.length(chosen, part)
    text = chosen.MEDIA_TYPE.startswith("text/") or "json" in chosen.MEDIA_TYPE
    about = _TEXT_BYTES * (found.cells + found.rows * _COORDINATES) if text else found.result_bytes
    cells_a_second = _TEXT_CELLS if text else _BINARY_CELLS
    seconds = _START_SECONDS + found.reading_bytes / DECODED_PER_SECOND + found.seconds
    seconds += found.cells / cells_a_second
    return Estimate(
        cells=found.cells,
        rows=found.rows,
        bytes=about if exact is None else exact,
        exact=exact is not None,
        result_bytes=found.result_bytes,
        decoded_bytes=found.decoded_bytes,
        chunks=found.chunks,
        seconds=round(seconds, 4),
        allowed=allowed,
    )
