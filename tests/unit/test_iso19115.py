"""ISO 19115: what is written is what OWSLib reads, in both encodings, and what real documents say is what it reads."""

import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from catalog.dialects import iso19115
from catalog.errors import BadDocument
from catalog.record import BBox, Record
from catalog.source import Document
from contract.test_dialects import records
from strangers import record

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from owslib import iso, iso3

RICH = record(
    "rich",
    summary={"vi": "Bản đồ ngày", "en": "Daily maps"},
    keywords=[{"vi": "nhiệt độ", "en": "temperature"}, {"und": "SST"}],
    themes=["ocean-physics"],
    variables=[
        {
            "name": "sst",
            "standard_name": "sea_surface_temperature",
            "units": "degC",
            "dtype": "int16",
            "title": {"vi": "Nhiệt độ", "en": "Temperature"},
        },
        {"name": "lon", "units": "degrees_east", "coordinate": True},
    ],
    extent={
        "boxes": [[105.5, 17, 110, 22], [170, -10, -170, 10]],
        "time": {"start": "2019-02-23T00:00:00Z"},
        "vertical": {"minimum": -2, "maximum": 5000.5},
        "resolution": {"longitude": 0.25, "latitude": 1e-7, "depth": 10, "time": 86400},
    },
    parties=[
        {
            "name": "Viện Hải dương học",
            "roles": ["publisher", "pointOfContact"],
            "url": "https://vnio.example",
        },
        {"name": "An", "roles": ["creator"], "organisation": False, "email": "an@vnio.example"},
    ],
    licence={"spdx": "CC-BY-4.0", "title": "CC BY", "url": "https://creativecommons.org/licenses/by/4.0/"},
    citation="An (2021)",
    doi="10.1234/ab",
    lineage="Clouds were masked.",
    update_frequency="every other day",
    created="2020-01-01T00:00:00Z",
    modified="2021-02-03T04:05:06.5Z",
    landing_page="https://vnio.example/sst",
    distributions=[
        {
            "protocol": "http",
            "address": "https://vnio.example/sst.nc",
            "format": "netcdf",
            "title": "The file",
        },
        {"protocol": "griddap", "address": "https://vnio.example/erddap/griddap/sst", "format": "erddap"},
        {"protocol": "opendap", "address": "https://vnio.example/dodsC/sst.nc", "format": "opendap"},
        {"protocol": "wms", "address": "https://vnio.example/wms", "format": "wms"},
    ],
    quality=[{"code": "odd", "text": "Something is odd."}],
)
"""A record of which ISO 19115 forgets nothing."""


def read(content: bytes) -> Record:
    return iso19115.read(Document(source="sample", native_id="rich", content=content))


@pytest.mark.parametrize("write", [iso19115.write, iso19115.write_19115_3])
def test_nothing_of_a_rich_record_is_forgotten(write: Any) -> None:
    assert RICH.same(read(write(RICH)))


@given(records)
def test_both_encodings_say_the_same(record: Record) -> None:
    assert read(iso19115.write_19115_3(record)).same(read(iso19115.write(record)))


@pytest.mark.parametrize("version", ["19139", "19115-3"])
def test_owslib_reads_what_is_written(version: str) -> None:
    if version == "19139":
        said: Any = iso.MD_Metadata(etree.fromstring(iso19115.write(RICH)))
        assert said.datestamp == RICH.modified
    else:
        said = iso3.MD_Metadata(etree.fromstring(iso19115.write_19115_3(RICH)))
    (data,) = said.identification
    assert said.identifier == RICH.id
    assert data.title == RICH.title.words["vi"]
    assert {one.type: one.date for one in data.date} == {"creation": RICH.created, "revision": RICH.modified}
    box = data.bbox
    assert [float(side) for side in (box.minx, box.miny, box.maxx, box.maxy)] == [105.5, 17, 110, 22]
    if version == "19139":  # of mdb 2.0 it looks for times of GML 3.1, which its schemas do not have
        assert data.temporalextent_start == "2019-02-23T00:00:00Z"
    links = {link.url: link.protocol for link in said.distribution.online}
    assert links["https://vnio.example/dodsC/sst.nc"] == "OPeNDAP:OPeNDAP"
    assert links["https://vnio.example/wms"] == "OGC:WMS"


def documents(shared_real: Path) -> list[Path]:
    folders = (shared_real / "responses" / "owslib", shared_real / "responses" / "ogcapi_records")
    return [
        path for folder in folders for path in sorted(folder.rglob("*.xml"))
        if b"isotc211.org/2005/gm" in (start := path.read_bytes()[:20_000]) and b"MD_Metadata" in start
        and b"INTERLIS" not in start
    ]  # fmt: skip


def test_real_documents_say_what_owslib_reads(shared_real: Path) -> None:
    compared = 0
    for path in documents(shared_real):
        content = path.read_bytes()
        root = iso19115.find(etree.fromstring(content))
        ours = iso19115.read(Document(source="real", native_id=path.stem, content=content))
        theirs: Any = iso.MD_Metadata(root)
        data = theirs.identification[0] if theirs.identification else None
        if data is None or not data.title:
            continue
        compared += 1
        assert data.title.strip() in ours.title.words.values()
        assert theirs.identifier == iso19115.identifier(root)
        box = getattr(data, "bbox", None)
        if box is not None and box.minx:
            sides = [float(side) for side in (box.minx, box.miny, box.maxx, box.maxy)]
            assert BBox.of(*sides) in ours.extent.boxes
        if theirs.datestamp and not any(one.type == "revision" for one in data.date):
            assert ours.modified is not None
            assert ours.modified[:10] == theirs.datestamp[:10]
        assert [note.code for note in ours.quality] == []
    assert compared >= 15


def test_real_documents_of_the_third_part(shared_real: Path) -> None:
    folder = shared_real / "responses" / "owslib" / "iso3_examples"
    found = {path.stem: read(path.read_bytes()) for path in folder.glob("*.xml")}
    model = found["auscope-3d-model"]
    assert model.title.words == {"en": "3D geological model of the Otway and Torquay Basin 2011"}
    assert model.licence is not None
    assert model.licence.spdx == "CC-BY-4.0"
    assert [(p.name, p.roles) for p in model.parties][:2] == [
        ("AuScope", ("funder",)),
        ("Earth Resources Victoria", ("publisher",)),
    ]
    service = found["metawal.wallonie.be-srv"]
    assert [way.protocol for way in service.distributions] == ["wms"]
    assert all(record.extent.boxes for record in found.values())


def test_a_document_in_four_languages(shared_real: Path) -> None:
    swiss = read((shared_real / "responses" / "owslib" / "iso_che.xml").read_bytes())
    assert swiss.keywords[0].words == {
        "de": "Grundwasser", "en": "groundwater", "fr": "eaux souterraines", "it": "acqua sotterranea",
    }  # fmt: skip


EXTENT = """<MD_Metadata xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:xlink="http://www.w3.org/1999/xlink">
<identificationInfo><MD_DataIdentification><citation><CI_Citation><title><CharacterString>t</CharacterString></title>
</CI_Citation></citation><extent><EX_Extent>{}</EX_Extent></extent></MD_DataIdentification></identificationInfo>
</MD_Metadata>"""
BOX = (
    "<geographicElement><EX_GeographicBoundingBox>{}<westBoundLongitude>{}</westBoundLongitude>"
    "<southBoundLatitude>{}</southBoundLatitude><eastBoundLongitude>{}</eastBoundLongitude>"
    "<northBoundLatitude>{}</northBoundLatitude></EX_GeographicBoundingBox></geographicElement>"
)
RING = (
    "<geographicElement><EX_BoundingPolygon><polygon><gml:Polygon{}><gml:exterior><gml:LinearRing><gml:posList>"
    "{}</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></polygon></EX_BoundingPolygon></geographicElement>"
)
PERIOD = (
    "<temporalElement><EX_TemporalExtent><extent><gml:TimePeriod>{}</gml:TimePeriod></extent>"
    "</EX_TemporalExtent></temporalElement>"
)
BEGUN = (
    "<gml:begin><gml:TimeInstant><gml:timePosition>2001-01-01T06:00:00+07:00</gml:timePosition></gml:TimeInstant>"
    "</gml:begin><gml:end/>"
)
HEIGHTS = (
    "<verticalElement><EX_VerticalExtent><minimumValue>{}</minimumValue><maximumValue>{}</maximumValue>{}"
    "</EX_VerticalExtent></verticalElement>"
)


def extent(*parts: str) -> Record:
    return read(EXTENT.format("".join(parts)).encode())


@pytest.mark.parametrize(
    ("parts", "boxes"),
    [
        ([BOX.format("", 105, 17, 110, 22)], [(105, 17, 110, 22)]),
        ([BOX.format("", 0, -90, 360, 90)], [(-180, -90, 180, 90)]),
        ([BOX.format("", 170, -5, 180, 5), BOX.format("", -180, -5, -170, 5)], [(170, -5, -170, 5)]),
        ([BOX.format("", 170, -5, 190, 5)], [(170, -5, -170, 5)]),
        (
            [BOX.format("", 1, 1, 2, 2), BOX.format("<extentTypeCode>0</extentTypeCode>", 3, 3, 4, 4)],
            [(1, 1, 2, 2)],
        ),
        ([BOX.format("", 1, 1, 2, 2), BOX.format("", 5, 5, 6, 6)], [(1, 1, 2, 2), (5, 5, 6, 6)]),
        ([RING.format("", "109 12 109 20 112 20 109 12")], [(109, 12, 112, 20)]),
        (
            [RING.format(' srsName="urn:ogc:def:crs:EPSG::4326"', "12 109 20 109 20 112 12 109")],
            [(109, 12, 112, 20)],
        ),
        ([BOX.format("", 1, 1, 2, 2), RING.format("", "109 12 109 20 112 20 109 12")], [(1, 1, 2, 2)]),
        ([BOX.format("", "NaN", 1, 2, 2)], []),
    ],
)
def test_boxes_and_polygons(parts: list[str], boxes: list[tuple[float, ...]]) -> None:
    assert [(b.west, b.south, b.east, b.north) for b in extent(*parts).extent.boxes] == boxes


@pytest.mark.parametrize(
    ("inner", "start", "end"),
    [
        ("<gml:beginPosition>2020-03</gml:beginPosition><gml:endPosition>2020-03</gml:endPosition>",
         "2020-03-01T00:00:00Z", "2020-03-31T23:59:59.999999Z"),
        ('<gml:beginPosition>1957</gml:beginPosition><gml:endPosition indeterminatePosition="now"/>',
         "1957-01-01T00:00:00Z", None),
        (BEGUN, "2000-12-31T23:00:00Z", None),
    ],
)  # fmt: skip
def test_times(inner: str, start: str, end: str | None) -> None:
    found = extent(PERIOD.format(inner)).extent.time
    assert found is not None
    assert (found.start, found.end) == (start, end)


def test_times_of_several_elements_are_one_range() -> None:
    years = [
        PERIOD.format(f"<gml:beginPosition>{y}</gml:beginPosition><gml:endPosition>{y}</gml:endPosition>")
        for y in (2003, 2001)
    ]
    found = extent(*years).extent.time
    assert found is not None
    assert (str(found.start)[:4], str(found.end)[:4]) == ("2001", "2003")


@pytest.mark.parametrize(
    ("low", "high", "reference", "depths", "said"),
    [
        (0, 50, '<verticalCRS xlink:href="http://www.opengis.net/def/crs/EPSG/0/5715"/>', (0, 50), False),
        (-50, 0, '<verticalCRS xlink:href="http://www.opengis.net/def/crs/EPSG/0/5714"/>', (0, 50), False),
        (-50, 0, "", (0, 50), True),
        (0, 5000, "", (0, 5000), True),
    ],
)
def test_depths(low: float, high: float, reference: str, depths: tuple[float, float], said: bool) -> None:
    found = extent(HEIGHTS.format(low, high, reference))
    assert found.extent.vertical is not None
    assert (found.extent.vertical.minimum, found.extent.vertical.maximum) == depths
    assert ("vertical-direction-unsaid" in [note.code for note in found.quality]) is said


LANGUAGES = (
    "<language><CharacterString>eng; CAN</CharacterString></language>",
    '<language><LanguageCode codeListValue="eng"/></language>',
    '<defaultLocale><PT_Locale><language><LanguageCode codeListValue="eng"/></language></PT_Locale></defaultLocale>',
    '<language><LanguageCode codeListValue="RI_1">eng; anglais</LanguageCode></language>',
)


@pytest.mark.parametrize("said", LANGUAGES)
def test_the_language_of_plain_words(said: str) -> None:
    whole = EXTENT.format("").replace("<identificationInfo>", said + "<identificationInfo>")
    assert read(whole.encode()).title.words == {"en": "t"}


@pytest.mark.parametrize("content", [b"<a/>", b"<gmd/>", b"{}", b"<rdf><dc/></rdf>"])
def test_what_is_no_metadata_is_refused(content: bytes) -> None:
    with pytest.raises(BadDocument):
        read(content)


def test_entities_reach_neither_file_nor_port(tmp_path: Path) -> None:
    """FAULTS row 9: a document that names a file or an address is refused, and neither is asked for."""
    canary = tmp_path / "canary.txt"
    canary.write_text("the canary", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        for place in (canary.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/"):
            for declared in (f'<!ENTITY x SYSTEM "{place}">', f'<!ENTITY % x SYSTEM "{place}"> %x;'):
                whole = f"<!DOCTYPE MD_Metadata [{declared}]>" + EXTENT.format("").replace(">t<", ">&x;<")
                with pytest.raises(BadDocument):
                    read(whole.encode())
            assert (
                "canary" not in read(f'<!DOCTYPE a SYSTEM "{place}">{EXTENT.format("")}'.encode()).title.words
            )
        with pytest.raises(TimeoutError):
            server.accept()
