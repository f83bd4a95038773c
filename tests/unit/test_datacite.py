"""DataCite as strangers write it is read, and what is written is valid by the schema that the `datacite` package has.

That package carries the JSON schema of 4.5 and a writer of XML, but no XSD: our XML is held to its writer's, element by
element, and our JSON to the schema.
"""

import json
from typing import Any

import pytest
from datacite import schema45
from hypothesis import given
from lxml import etree

from catalog.dialects import datacite
from catalog.errors import BadDocument
from catalog.record import Record
from catalog.source import Document
from contract.test_dialects import records

RECORD = Record(
    id="s-x",
    source="s",
    native_id="x",
    title={"vi": "Nhiệt độ nước biển", "en": "Sea temperature"},
    summary={"en": "Temperatures & salinities < 200 m"},
    keywords=[{"vi": "biển"}, {"und": "sea"}],
    kind="grid",
    variables=[{"name": "t", "standard_name": "sea_water_temperature"}],
    extent={
        "boxes": [[105.5, 17, 110, 22], [170, -10, -170, 10], [10, -1, 5, 1]],
        "time": {"start": "2019-02-23T00:00:00Z", "end": "2019-03-01T06:00:00Z", "calendar": "360_day"},
    },
    parties=[
        {"name": "Nguyễn, An", "roles": ["creator", "pointOfContact"], "organisation": False},
        {"name": "Viện Hải dương học", "roles": ["publisher", "owner"]},
        {"name": "A fund", "roles": ["funder"]},
    ],
    licence={"spdx": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
    doi="10.1234/ab.c",
    lineage="CTD casts",
    created="2020-01-02T00:00:00Z",
    modified="2021-01-02T00:00:00Z",
    landing_page="https://sea.example/x",
    distributions=[
        {"protocol": "http", "address": "https://sea.example/x.nc", "format": "netcdf"},
        {"protocol": "file", "address": "/secret/x.nc", "format": "netcdf"},
    ],
    document_hash="0" * 64,
)
KERNEL_3 = b"""<record xmlns="http://www.openarchives.org/OAI/2.0/"><metadata>
<oai_datacite xmlns="http://schema.datacite.org/oai/oai-1.0/"><payload>
<resource xmlns="http://datacite.org/schema/kernel-3">
 <identifier identifierType="DOI">10.1594/MADE.UP.1</identifier>
 <creators><creator><creatorName>Doe, Jane</creatorName>
  <nameIdentifier nameIdentifierScheme="ORCID">https://orcid.org/0000-0000-0000-0000</nameIdentifier></creator></creators>
 <titles><title titleType="Subtitle">not this</title><title>Casts off the Red River</title></titles>
 <publisher>An archive</publisher><publicationYear>2015</publicationYear>
 <subjects><subject>salinity</subject></subjects>
 <dates><date dateType="Collected">2014-07/2014-08</date></dates>
 <resourceType resourceTypeGeneral="Dataset">Dataset</resourceType>
 <rightsList><rights>info:eu-repo/semantics/openAccess</rights>
  <rights rightsURI="https://creativecommons.org/licenses/by/3.0/">CC-BY-3.0</rights></rightsList>
 <descriptions><description descriptionType="Abstract">One<br/>two</description></descriptions>
 <geoLocations><geoLocation><geoLocationPlace>Gulf of Tonkin</geoLocationPlace>
  <geoLocationPoint>20.5 107.25</geoLocationPoint></geoLocation>
  <geoLocation><geoLocationBox>17 105 22 110</geoLocationBox></geoLocation></geoLocations>
</resource></payload></oai_datacite></metadata></record>"""


def read(content: bytes) -> Record:
    return datacite.read(Document(source="s", native_id="x", content=content))


def told(root: Any) -> list[tuple[Any, ...]]:
    """Every element by its way from the root, with its words and attributes; but for schemaLocation."""
    tree = root.getroottree()
    return sorted(
        (
            "/".join(etree.QName(up).localname for up in reversed([element, *element.iterancestors()])),
            (element.text or "").strip() if len(element) == 0 else "",
            sorted(
                (etree.QName(key).localname, value)
                for key, value in element.attrib.items()
                if element is not root
            ),
        )
        for element in tree.iter(etree.Element)
    )


@given(records)
def test_json_is_valid_and_xml_says_the_same_as_the_reference_writer(record: Record) -> None:
    said = json.loads(datacite.write_json(record))
    schema45.validator.validate(said)
    ours = etree.fromstring(datacite.write(record))
    theirs = etree.fromstring(
        schema45.tostring({key: value for key, value in said.items() if key != "url"}).encode()
    )
    identifiers = [element for element in told(ours) if element[0] == "resource/identifier"]
    assert [at for at, *_ in identifiers] == ["resource/identifier"]
    assert [each for each in told(ours) if each not in identifiers] == [
        each for each in told(theirs) if each[0] != "resource/identifier"
    ]
    assert read(datacite.write(record)).same(read(datacite.write_json(record)))


def test_what_a_record_says_comes_back() -> None:
    back = read(datacite.write(RECORD))
    kept = {
        "title",
        "summary",
        "kind",
        "licence",
        "doi",
        "lineage",
        "created",
        "modified",
        "landing_page",
        "parties",
    }
    for name in kept:
        assert getattr(back, name) == getattr(RECORD, name), name
    assert back.extent.time == RECORD.extent.time
    assert [list(box.model_dump()) for box in back.extent.boxes] == [
        [105.5, 17, 110, 22],
        [170, -10, -170, 10],
        [10, -1, 180, 1],
        [-180, -1, 5, 1],
    ]
    assert [each.best("vi") for each in back.keywords] == ["biển", "sea", "sea_water_temperature"]
    assert [(way.protocol, way.address) for way in back.distributions] == [
        ("http", "https://sea.example/x.nc")
    ]
    assert b"/secret" not in datacite.write(RECORD) + datacite.write_json(RECORD)
    assert not back.quality


def test_unknown_is_said_by_standard_values_and_not_read_as_words() -> None:
    bare = Record(id="s-x", source="s", native_id="x", title={"en": "x"}, document_hash="0" * 64)
    written = datacite.write(bare)
    assert b"(:unav)" in written
    back = read(written)
    assert (back.parties, back.created, back.doi, back.landing_page) == ((), None, None, None)


def test_reads_kernel_3_in_a_record_of_oai_pmh() -> None:
    record = read(KERNEL_3)
    assert record.title.best("en") == "Casts off the Red River"
    assert record.summary is not None
    assert record.doi == "10.1594/MADE.UP.1"
    assert record.landing_page == "https://doi.org/10.1594/MADE.UP.1"
    assert [box.model_dump() for box in record.extent.boxes] == [
        [107.25, 20.5, 107.25, 20.5],
        [105, 17, 110, 22],
    ]
    assert record.extent.time is not None
    assert (record.extent.time.start, record.extent.time.end) == (
        "2014-07-01T00:00:00Z",
        "2014-08-31T23:59:59.999999Z",
    )
    assert record.licence is not None
    assert record.licence.spdx == "CC-BY-3.0"
    assert record.created == "2015-01-01T00:00:00Z"
    assert [(party.name, party.roles) for party in record.parties] == [
        ("Doe, Jane", ("creator",)),
        ("An archive", ("publisher",)),
    ]
    assert [each.best("en") for each in record.keywords] == ["salinity", "Gulf of Tonkin"]


def test_reads_the_rest_api() -> None:
    attributes = {
        "doi": "10.1234/made.up",
        "titles": [{"title": "Waves", "lang": "eng"}],
        "creators": [{"name": "Trần, Bình", "nameType": "Personal"}],
        "publisher": "An archive",
        "publicationYear": 2020,
        "types": {"resourceTypeGeneral": "Dataset"},
        "formats": ["application/x-netcdf"],
        "contentUrl": ["https://sea.example/waves"],
        "geoLocations": [
            {
                "geoLocationPolygon": [
                    {"polygonPoint": {"pointLongitude": x, "pointLatitude": y}}
                    for x, y in ((105, 17), (110, 22), (107, 20))
                ]
            }
        ],
        "url": "https://sea.example/landing",
    }
    record = read(json.dumps({"data": {"id": "10.1234/made.up", "attributes": attributes}}).encode())
    assert dict(record.title.words) == {"en": "Waves"}
    assert [(way.address, way.format) for way in record.distributions] == [
        ("https://sea.example/waves", "netcdf")
    ]
    assert [box.model_dump() for box in record.extent.boxes] == [[105, 17, 110, 22]]
    assert record.landing_page == "https://sea.example/landing"


@pytest.mark.parametrize("content", [b"<resources/>", b"{}", b"[1]", b'{"data": []}', b"<resource", b""])
def test_refuses_what_is_no_datacite(content: bytes) -> None:
    with pytest.raises(BadDocument):
        read(content)
