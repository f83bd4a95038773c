"""Dublin Core says where and when in words; each form of them is read, and what is none names a place."""

import pytest

from catalog.dialects._dublincore import read_dc
from catalog.dialects._xml import read_xml
from catalog.record import Record
from catalog.source import Document
from oai import dublin_core

PANGAEA = (
    "MEDIAN LATITUDE: 20.0 * MEDIAN LONGITUDE: 107.0 * SOUTH-BOUND LATITUDE: 17.5 * WEST-BOUND LONGITUDE: 105.25 * "
    "NORTH-BOUND LATITUDE: 22.0 * EAST-BOUND LONGITUDE: 110.0 * DATE/TIME START: 2001-02-03T04:05:00 * "
    "DATE/TIME END: 2002-03-04T05:06:00"
)


def read(**elements: str) -> Record:
    content = dublin_core("Casts", **elements)
    return read_dc(Document(source="s", native_id="x", content=content), read_xml(content))


@pytest.mark.parametrize(
    ("coverage", "box", "start"),
    [
        (PANGAEA, [105.25, 17.5, 110, 22], "2001-02-03T04:05:00Z"),
        ("LATITUDE: 20.5 * LONGITUDE: 107.25", [107.25, 20.5, 107.25, 20.5], None),
        ("name=Bắc Bộ; northlimit=22; southlimit=17; westlimit=105; eastlimit=110", [105, 17, 110, 22], None),
        ("east=107.25; north=20.5; name=a buoy", [107.25, 20.5, 107.25, 20.5], None),
        ("start=1999-01-01; end=2000; scheme=W3C-DTF", None, "1999-01-01T00:00:00Z"),
        ("2001-02-03/2002", None, "2001-02-03T00:00:00Z"),
    ],
)  # fmt: skip
def test_coverage_is_read_in_each_form(coverage: str, box: list[float] | None, start: str | None) -> None:
    record = read(coverage=coverage)
    assert [found.model_dump() for found in record.extent.boxes] == ([box] if box else [])
    assert (record.extent.time.start if record.extent.time else None) == start
    assert record.keywords == ()


def test_the_rest_is_read() -> None:
    record = read(
        coverage="Gulf of Tonkin",
        subject="salinity; nhiệt độ",
        creator="Nguyễn, An",
        publisher="An archive, Hải Phòng",
        identifier="https://doi.org/10.1234/made.up",
        relation="https://sea.example/dodsC/x.nc.html",
        rights="CC-BY-4.0",
        date="2015-06",
    )
    assert [word.best("en") for word in record.keywords] == ["salinity", "nhiệt độ", "Gulf of Tonkin"]
    assert [(party.name, party.roles, party.organisation) for party in record.parties] == [
        ("Nguyễn, An", ("creator",), False),
        ("An archive, Hải Phòng", ("publisher",), True),
    ]
    assert record.doi == "10.1234/made.up"
    assert record.landing_page == "https://doi.org/10.1234/made.up"
    assert [(way.protocol, way.address) for way in record.distributions] == [
        ("opendap", "https://sea.example/dodsC/x.nc")
    ]
    assert record.licence is not None
    assert record.licence.spdx == "CC-BY-4.0"
    assert record.created == "2015-06-01T00:00:00Z"
