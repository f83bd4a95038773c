"""JSON lines: an object a row of the table that CSV has; a missing value is null, a time ISO 8601 text."""

from collections.abc import Iterator

import orjson
import xarray as xr

from catalog.data.tables import lay_out
from catalog.formats._rows import Style, lines, names

SUFFIX = "jsonl"
MEDIA_TYPE = "application/jsonl"
STREAMS = True


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the rows in pieces.

    Raises:
        NotSubsettable: A number is infinite; or as `lay_out`.
    """
    table = lay_out(dataset)
    keys = [orjson.dumps(name) + b":" for name in names(table)]
    before = [b"{" + keys[0], *keys[1:]]
    style = Style(before, [*[b","] * (len(keys) - 1), b"}\n"], b"null", orjson.dumps, infinite=False)
    return lines(table, style)
