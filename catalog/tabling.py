"""Table queries: the sheet of a record's data, and the job that answers a query of it in a worker process."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from catalog.data import afar, columns, constraints, opening, parts, sheets, tabular
from catalog.data.constraints import TableQuery
from catalog.data.places import place, shown
from catalog.data.sampled import Sampled
from catalog.data.tabular import Sheet
from catalog.errors import DataChanged
from catalog.formats import _batches
from catalog.instant import now
from catalog.record import Distribution, Record

PROTOCOL = "table"
"""The protocol of local files of rows."""

FORMATS: Mapping[str, str] = {suffix: writer.media_type for suffix, writer in _batches.WRITERS.items()}
"""The media types of what tables are written as, by suffix."""


def parse(text: str, suffix: str) -> TableQuery:
    """Read a query, and make sure of the format. Raises BadRequest or NotFound."""
    _batches.writer(suffix)
    return constraints.parse(text)


def types(record: Record) -> dict[str, str]:
    """Return the types of a record's variables by name, those that are known."""
    return {variable.name: variable.dtype for variable in record.variables if variable.dtype}


@contextlib.contextmanager
def opened(
    distribution: Distribution, reach: opening.Reach, known: Mapping[str, str] | None = None
) -> Iterator[Sheet]:
    """Open a distribution as a sheet. Call it in a worker.

    Args:
        distribution: What is opened.
        reach: How remote data are reached.
        known: The types of a text file's columns, by their names, as its header document has them.

    Raises:
        NotSubsettable: It gives no rows. DataChanged: The file is not the one harvested. DataUnreadable: It cannot be
        read.
    """
    if distribution.protocol == PROTOCOL:
        path = place(distribution.address)
        if distribution.size is not None and (found := parts.size(path)) != distribution.size:
            raise DataChanged(
                f"{shown(path.name)} has {found} bytes; the one that was harvested had {distribution.size}",
                hint="harvest its source again",
            )
        with sheets.opened_sheet(path, known) as sheet:
            yield sheet
    elif distribution.protocol == "tabledap":
        with afar.table(distribution, reach) as sheet:
            yield sheet
    else:
        with opening.opened(distribution, reach) as dataset:
            yield Sampled(dataset)


def written(  # noqa: PLR0913 - one flat, picklable call into a worker process
    distribution: Distribution,
    query: TableQuery,
    suffix: str,
    said: Mapping[str, str],
    known: Mapping[str, str],
    reach: opening.Reach,
    most_bytes: int,
    most_decoded: int,
) -> Iterator[bytes]:
    """Answer a query of a distribution, and write the rows; the job of a worker.

    Args:
        distribution: The data.
        query: What is asked.
        suffix: The format.
        said: Attributes that the data may lack, for formats that have attributes; `history` is the request.
        known: As `opened`.
        reach: As `opened`.
        most_bytes: As `catalog.data.tabular.answer`.
        most_decoded: As there.
    """
    with opened(distribution, reach, known) as sheet:
        found = tabular.answer(sheet, query, most_bytes, most_decoded)
        schema = _credited(found.schema, said)
        batches = (batch.replace_schema_metadata(schema.metadata) for batch in found.batches)
        yield from _batches.writer(suffix).write(schema, batches)


def _credited(schema: Any, said: Mapping[str, str]) -> Any:
    """The schema with attributes that the data lack, and a line in `history`."""
    own = columns.attributes_of(schema)
    line = f"{now()} bienmo: {said.get('history', '')}"
    history = f"{own['history']}\n{line}" if own.get("history") else line
    return schema.with_metadata({b"attributes": orjson.dumps({**said, **own, "history": history})})
