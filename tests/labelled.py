"""The labelled pairs of records: made by us in the shape of marine portals' titles, in English and Vietnamese."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from catalog.instant import interval
from catalog.record import (
    BBox,
    Distribution,
    Extent,
    Party,
    Record,
    Resolution,
    Text,
    TimeRange,
    Variable,
    VerticalRange,
)
from catalog.source import slug

FOLDER = Path(__file__).parent / "recorded" / "matching"


@dataclass(frozen=True)
class Pair:
    """Two records of different sources, whether a person says that they are one dataset, and why."""

    a: Record
    b: Record
    is_same: bool
    why: str


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _numbers(text: str) -> list[float | None]:
    return [float(part) if part else None for part in text.split(",")]


def _extent(row: dict[str, str]) -> Extent:
    longitude, latitude, time = _numbers(row["steps"]) if row["steps"].strip(",") else (None, None, None)
    start, end = interval(row["time"]) if row["time"] else (None, None)
    depths = _numbers(row["depths"]) if row["depths"] else []
    return Extent(
        boxes=(BBox.of(*(float(part) for part in row["box"].split(","))),) if row["box"] else (),
        time=TimeRange(start=start, end=end) if row["time"] else None,
        vertical=VerticalRange(minimum=depths[0], maximum=depths[1]) if depths else None,
        resolution=Resolution(longitude=longitude, latitude=latitude, time=time)
        if longitude or latitude or time
        else None,
    )


def _record(row: dict[str, str]) -> Record:
    ways = [way.split(":", 2) for way in row["ways"].split()]
    given: dict[str, Any] = {
        "id": slug(row["source"], row["id"]),
        "source": row["source"],
        "native_id": row["native_id"],
        "title": Text(words={key: row[key] for key in ("vi", "en") if row[key]}),
        "extent": _extent(row),
        "variables": [
            Variable(name=name, standard_name=name) for name in row["variables"].split(",") if name
        ],
        "parties": [Party(name=row["organisation"], roles=("publisher",))] if row["organisation"] else [],
        "doi": row["doi"] or None,
        "landing_page": row["page"] or None,
        "distributions": [Distribution(protocol=kind, format=form, address=at) for kind, form, at in ways],
        "document_hash": "0" * 64,
    }
    return Record(**given)


@cache
def labelled_records() -> dict[str, Record]:
    """The records by their names in the files."""
    return {row["id"]: _record(row) for row in _rows("records.tsv")}


@cache
def labelled_pairs(name: str = "pairs.tsv") -> tuple[Pair, ...]:
    """The pairs of a file, in their order: those that the rules were written with, or `unseen_pairs.tsv`."""
    known = labelled_records()
    return tuple(
        Pair(known[row["a"]], known[row["b"]], row["label"] == "same", row["why"]) for row in _rows(name)
    )
