"""Search among 10,000 made records: the SQLite store against brute force by `search.matches`."""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.case import Case, measure
from catalog.record import BBox, Extent, Party, Record, Text, TimeRange, Variable
from catalog.search import matches, parse
from catalog.source import Document
from catalog.stores import Entry, sqlite

RECORDS = 10_000
QUESTIONS = {
    "a common word": {"q": "nhiet do"},
    "a box": {"bbox": "105.5,17,110,22"},
    "word, box and time": {"q": "temperature", "bbox": "105.5,17,110,22", "time": "2015-01-01/2015-12-31"},
}
NAMES = (
    "sea_water_temperature",
    "sea_water_salinity",
    "sea_surface_height_above_geoid",
    "eastward_wind",
    "mass_concentration_of_chlorophyll_in_sea_water",
)
PLACES = ("Gulf of Tonkin", "Vịnh Bắc Bộ", "Biển Đông", "Atlantic", "Pacific", "Mediterranean")


def made(number: int, dice: random.Random) -> Entry:
    """Make a record from a number and dice."""
    name, place = dice.choice(NAMES), dice.choice(PLACES)
    document = Document(
        source=f"portal{number % 7}", native_id=f"dataset {number}", content=str(number).encode()
    )
    west, south = dice.uniform(-180, 170), dice.uniform(-90, 80)
    year = dice.randrange(1980, 2020)
    record = Record(
        id=document.id,
        source=document.source,
        native_id=document.native_id,
        title=Text.of(f"{name.replace('_', ' ')} of {place}, {year}"),
        kind=dice.choice(("grid", "timeseries", "profile")),
        variables=(Variable(name=name[:4], standard_name=name, dimensions=("time",), shape=(365,)),),
        extent=Extent(
            boxes=(BBox.of(west, south, west + dice.uniform(0, 30), south + 10),),
            time=TimeRange(
                start=f"{year}-01-01T00:00:00Z", end=f"{year + dice.randrange(10)}-12-31T00:00:00Z"
            ),
        ),
        parties=(Party(name=f"Institute {number % 40}"),),
        document_hash=document.hash,
    )
    return Entry(document=document, record=record)


def cases(home: Path) -> Iterator[Case]:
    """Yield a case a question."""
    home.mkdir()
    dice = random.Random(20190223)
    entries = [made(number, dice) for number in range(RECORDS)]
    store = sqlite.open_store(home)
    for start in range(0, RECORDS, 500):
        store.put(entries[start : start + 500])
    records = [entry.record for entry in entries]
    for name, parameters in QUESTIONS.items():
        query = parse(parameters)
        found = sum(matches(record, query) for record in records)
        if store.search(query).matched != found:
            raise ValueError(f"{name}: the store does not agree with search.matches")
        yield measure(
            f"search {RECORDS:,} records: {name}, {found:,} found",
            lambda query=query: store.search(query),
            "search.matches over all",
            lambda query=query: [record for record in records if matches(record, query)],
            n=5,
        )
    store.close()
