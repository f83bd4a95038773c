"""CSV (RFC 4180, with line feeds), one row a cell: time, depth, latitude, longitude, then the variables, unpacked.

Numbers are the shortest decimals that read back as the same number of their type; a missing value is an
empty cell. Times are ISO 8601 in the data's own calendar. Text that a spreadsheet would run as a formula
gets an apostrophe first.
"""

from collections.abc import Iterator

import xarray as xr

from catalog.data.tables import lay_out
from catalog.formats._separated import separated

SUFFIX = "csv"
MEDIA_TYPE = "text/csv; charset=utf-8"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows in pieces, after a line of column names. Raises NotSubsettable as `lay_out`."""
    return separated(lay_out(dataset), ",")
