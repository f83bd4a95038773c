"""GeoJSON (RFC 7946): a FeatureCollection with a point a row of the table that CSV has.

Coordinates are WGS 84, longitudes −180…180; time, depth and the variables are properties, unpacked; a missing value is
null, and so is the geometry of a row without position. Depth is no third coordinate, which would be a height above
the ellipsoid. The member `metadata` (RFC 7946 §6.1) says licence, citation, source and request, and each
column's attributes. Times are ISO 8601 in the data's own calendar.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from catalog.data.plain import plain_attributes
from catalog.data.tables import Block, Coordinate, Table, lay_out
from catalog.formats._arrow import decimals, joined
from catalog.formats._credits import described, said
from catalog.formats._places import longitudes, positions

SUFFIX = "geojson"
MEDIA_TYPE = "application/geo+json"
STREAMS = True
_PIECE_ROWS = 1 << 14


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the features in pieces.

    Raises:
        NotSubsettable: The data have no positions; or as `lay_out`.
    """
    table = lay_out(dataset)
    place = positions(dataset, table, "GeoJSON")
    others = tuple(c for c in table.coordinates if c.name not in {p.name for p in place})
    yield _head(dataset, table)
    writer = _Writer(place, others, tuple(table.variables))
    between = b"\n"
    for block in table.blocks():
        for piece in writer.pieces(block):
            yield between + piece
            between = b",\n"
    yield b"\n]}\n"


def _head(dataset: xr.Dataset, table: Table) -> bytes:
    columns = {column.name: described(column.attributes) for column in table.coordinates}
    columns |= {name: described(variable.attrs) for name, variable in table.variables.items()}
    metadata = {**said(dataset), "attributes": plain_attributes(table.attributes), "columns": columns}
    head = {"type": "FeatureCollection", "metadata": metadata}
    return orjson.dumps(head)[:-1] + b',"features":['


class _Writer:
    """The rows of blocks as features; the tokens of coordinates are made once.

    Args:
        place: Longitude and latitude.
        others: The other coordinates.
        names: The variables.
    """

    def __init__(
        self, place: tuple[Coordinate, Coordinate], others: tuple[Coordinate, ...], names: tuple[str, ...]
    ) -> None:
        self._names = [column.name for column in place]
        self._place = [_tokens(longitudes(place[0].values)), _tokens(place[1].values)]
        self._others = {column.name: _coordinate(column) for column in others}
        self._keys = [orjson.dumps(name).decode() + ":" for name in (*self._others, *names)]

    def pieces(self, block: Block) -> Iterator[bytes]:
        """Yield the features of a block, without a comma at either end."""
        rows = next(iter(block.places.values())).size
        for start in range(0, rows, _PIECE_ROWS):
            part = slice(start, start + _PIECE_ROWS)
            place = [
                tokens.take(pa.array(block.places[name][part]))
                for name, tokens in zip(self._names, self._place, strict=True)
            ]
            cells = [
                *(tokens.take(pa.array(block.places[name][part])) for name, tokens in self._others.items()),
                *(_tokens(values[part]) for values in block.data.values()),
            ]
            yield self._features(place, cells)

    def _features(self, place: Sequence[Any], cells: Sequence[Any]) -> bytes:
        """The features of some rows, with commas between."""
        point = pc.binary_join_element_wise(
            '{"type":"Point","coordinates":[', place[0], ",", place[1], "]}", ""
        )  # null where a part is
        parts: list[Any] = ['{"type":"Feature","geometry":', point.fill_null("null"), ',"properties":{']
        for position, (key, tokens) in enumerate(zip(self._keys, cells, strict=True)):
            parts += [f",{key}" if position else key, tokens.fill_null("null")]
        return joined([*parts, "}},\n"], "").removesuffix(b",\n")


def _coordinate(column: Coordinate) -> Any:
    if column.instants is None:
        return _tokens(column.values)
    return pa.array([f'"{instant}"' if instant else None for instant in column.instants], pa.string())


def _tokens(values: npt.NDArray[Any]) -> Any:
    """Values as JSON has them; null where there is none: the shortest decimals that read back as the same number."""
    if values.dtype.kind == "O":
        return pa.array([orjson.dumps(item).decode() for item in values], pa.string())
    return decimals(values, infinite=False)
