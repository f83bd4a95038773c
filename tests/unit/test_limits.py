"""A document with more of anything than a record has room for still gives a record, and says what was left out."""

import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.dialects import acdd
from catalog.record import MOST, BBox, Extent, Record, Text
from catalog.source import Document
from harvesters import ckan

MANY = 300_000
ONE = {
    "distributions": {"protocol": "http", "address": "https://a.example"},
    "keywords": {"en": "k"},
    "parties": {"name": "p"},
    "quality": {"code": "c", "text": "t"},
    "themes": "waves",
    "variables": {"name": "v"},
}


def document(content: Any) -> Document:
    return Document(source="s", native_id="n", name="n", content=json.dumps(content).encode())


def said(record: Record) -> dict[str, str]:
    return {note.code: note.text for note in record.quality}


@pytest.mark.parametrize("field", sorted(ONE))
def test_every_list_of_a_record_ends(field: str) -> None:
    made = {"id": "a", "source": "s", "native_id": "n", "title": Text.of("t"), "document_hash": "0" * 64}
    one = ONE[field]
    Record.model_validate(made)
    with pytest.raises(ValidationError, match=f"{field}\n.*at most {MOST[field]}"):
        Record.model_validate(made | {field: (one,) * (MOST[field] + 1)})


def test_the_boxes_of_an_extent_end() -> None:
    with pytest.raises(ValidationError, match="at most"):
        Extent(boxes=(BBox.of(0, 0, 1, 1),) * (MOST["boxes"] + 1))


def test_a_package_with_very_many_of_all() -> None:
    begun = time.monotonic()
    record = ckan.read(
        document(
            {
                "title": "t",
                "tags": [f"tag {number}" for number in range(MANY)],
                "author": [{"name": f"person {number}"} for number in range(MANY // 10)],
                "resources": [{"url": number} for number in range(MANY // 10)],
                "spatial": {
                    "type": "MultiPoint",
                    "coordinates": [[n % 181, n % 80] for n in range(MANY // 10)],
                },
            }
        )
    )
    assert time.monotonic() - begun < 30
    assert [keyword.best("en") for keyword in record.keywords] == [
        f"tag {number}" for number in range(MOST["keywords"])
    ]
    assert said(record)["keywords-left-out"] == "299,000 of 300,000 keywords were left out"
    assert said(record)["parties-left-out"].endswith("parties were left out")
    assert said(record)["distributions-left-out"] == "the ways to the data after 2,000 were left out"
    assert record.extent.boxes == (BBox.of(0, 0, 180, 79),)
    assert "30,000 boxes" in said(record)["boxes-gathered"]


def test_a_header_with_very_many_of_all() -> None:
    header = {
        "attributes": {"title": "t", "keywords": [f"k{number}" for number in range(MANY)]},
        "variables": [{"name": f"v{number}"} for number in range(20_000)],
        "coverage": {
            "boxes": [[n % 100, -(n % 50), n % 100 + 1, n / 300] for n in range(12_000)],
            "problems": [{"code": f"p{number}", "text": "odd"} for number in range(5_000)],
        },
        "distributions": [{"protocol": "none"}] * 30_000,
    }
    record = acdd.read(document(header))
    assert (len(record.keywords), len(record.variables)) == (MOST["keywords"], MOST["variables"])
    assert record.extent.boxes == (BBox.of(0, -49, 100, 9_999 / 300),)
    assert len(record.quality) == MOST["quality"]
    assert said(record)["keywords-left-out"] == "299,000 of 300,000 keywords were left out"
    assert said(record)["quality-notes-left-out"].endswith("quality notes were left out")
