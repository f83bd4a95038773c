"""schema.org's Dataset: terms however they are written, places in their own order, and what ODIS really has."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.dialects import schemaorg
from catalog.errors import BadDocument
from catalog.record import BBox, Record
from catalog.source import Document
from strangers import record

GULF = BBox(west=105.5, south=17, east=110, north=22)


def read(value: Any) -> Record:
    return schemaorg.read(Document(source="s", native_id="x", content=json.dumps(value).encode()))


def place(**geo: Any) -> Record:
    return read(
        {"@context": "https://schema.org/", "@type": "Dataset", "name": "A", "spatialCoverage": {"geo": geo}}
    )


DOCS = "https://schema.org/docs/jsonldcontext.jsonld"
PAGE = [
    {"@type": "WebPage", "mainEntity": {"@id": "#d"}},
    {"@id": "#d", "@type": "Dataset", "name": {"@id": "#n"}},
    {"@id": "#n", "name": "Biển"},
]
PLAIN = {"@context": ["https://schema.org", {"x": "http://x/"}], "@type": "Dataset", "name": "Biển"}


@pytest.mark.parametrize(
    "document",
    [
        {"@context": "http://schema.org", "@type": "Dataset", "name": "Biển"},
        {"@context": {"@vocab": "https://schema.org/"}, "@type": ["Dataset", "x:Y"], "name": ["Biển"]},
        {"@context": {"s": "http://schema.org/"}, "@type": "s:Dataset", "s:name": {"@value": "Biển"}},
        {"@context": {"t": {"@id": "http://schema.org/name"}}, "@type": "schema:Dataset", "t": "Biển"},
        {"@type": "http://schema.org/Dataset", "https://schema.org/name": "Biển", "@context": DOCS},
        [{"@type": "Organization"}, PLAIN],
        {"@context": "https://schema.org/", "@graph": PAGE},
        {"@context": "https://schema.org/", "@type": "DataCatalog", "dataset": [PLAIN]},
    ],
)
def test_terms_are_read_however_they_are_written(document: Any) -> None:
    found = read(document)
    assert found.title.words == {"und": "Biển"}
    assert not found.quality


def test_languages_of_a_context_of_literals_and_by_key() -> None:
    said = {
        "@context": ["https://schema.org/", {"@language": "vi"}], "@type": "Dataset", "name": "Biển",
        "description": [{"@value": "Sea", "@language": "en-GB"}, {"@value": "Biển", "@language": "vi"}],
        "keywords": [{"@type": "DefinedTerm", "name": {"en": "sea", "fr": "mer"}}],
    }  # fmt: skip
    found = read(said)
    assert found.title.words == {"vi": "Biển"}
    assert found.summary is not None
    assert found.summary.words == {"en-GB": "Sea", "vi": "Biển"}
    assert [word.words for word in found.keywords] == [{"en": "sea", "fr": "mer"}]


@pytest.mark.parametrize(
    "geo",
    [
        {"box": "17 105.5 22 110"},
        {"box": "17,105.5 22,110"},
        {"polygon": "17 105.5, 22 105.5, 22 110, 17 110, 17 105.5"},
        {"polygon": ["17,105.5 22,105.5 22,110 17,105.5"]},
        {"line": "17 105.5 22 110"},
        {"polygon": "POLYGON ((105.5 17, 110 17, 110 22, 105.5 17))"},
        {"box": "105.5 17 110 22"},
    ],
)
def test_places_are_south_west_north_east(geo: dict[str, Any]) -> None:
    """Latitude first (https://schema.org/GeoShape); the other way round only where that is nowhere on Earth."""
    found = place(**geo)
    assert found.extent.boxes == (GULF,)
    swapped = geo["box"].startswith("105") if "box" in geo else False
    assert [note.code for note in found.quality] == (["axes-swapped"] if swapped else [])


def test_points_circles_and_geometries_beside_them() -> None:
    assert place(latitude="20.5", longitude=106).extent.boxes == (
        BBox(west=106, south=20.5, east=106, north=20.5),
    )
    (around,) = place(circle="10 114 111320").extent.boxes
    assert (around.south, around.north) == (9, 11)
    assert 112.9 < around.west < 113
    assert 115 < around.east < 115.1
    assert place(circle="89.99 0 50000").extent.boxes[0].west == -180
    wkt = {"@type": "PropertyValue", "value": "POLYGON ((105.5 17, 110 17, 110 22, 105.5 17))"}
    for key, value in (
        ("additionalProperty", wkt),
        ("geosparql:hasGeometry", {"geosparql:asWKT": wkt["value"]}),
    ):
        assert read({"@type": "Dataset", "name": "A", key: value}).extent.boxes == (GULF,)
    assert [note.code for note in place(box="1 2 3").quality] == ["extent-unreadable"]


def test_a_box_across_the_antimeridian_comes_back_whole() -> None:
    for west, east in ((170, -170), (10, 5), (180, -180)):
        said = record("x", extent={"boxes": [[west, -10, east, 10]]})
        found = schemaorg.read(Document(source="s", native_id="x", content=schemaorg.write(said)))
        assert found.extent.boxes == said.extent.boxes


def test_a_document_without_a_dataset_says_what_it_has() -> None:
    with pytest.raises(BadDocument, match="it has BreadcrumbList"):
        read({"@context": "https://schema.org", "@type": "BreadcrumbList"})
    assert [note.code for note in read({"@type": "Dataset"}).quality] == ["title-missing", "context-missing"]


def test_every_real_dataset_of_odis_is_a_record(shared_real: Path) -> None:
    files = sorted((shared_real / "responses/schemaorg_odis").glob("*/*.json"))
    values = [json.loads(path.read_bytes()) for path in files]
    found = [read(value) for value in values]
    assert len(found) == 20
    for value, one in zip(values, found, strict=True):
        assert (one.title.words, one.landing_page) == ({"und": value["name"]}, value["url"])
        assert bool(one.extent.boxes) == ("geosparql:hasGeometry" in value)
        assert len(one.keywords) == len(
            {word.strip() for word in value["keywords"].split(",") if word.strip()}
        )
        assert not one.quality
