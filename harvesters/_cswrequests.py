"""Questions and answers of Catalogue Services for the Web, 2.0.2 and 3.0.

OGC 07-006r1 §10.8 (GetRecords) with Filter Encoding 1.1 (04-095), OGC 12-176r7 §7.3 with Filter Encoding 2.0
(09-026r2); queryables of the ISO profile, 07-045 §8.2.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._xml import Element
from catalog.errors import BadDocument
from catalog.record import BBox
from catalog.source import Source

GMD = "http://www.isotc211.org/2005/gmd"
_APISO = "http://www.opengis.net/cat/csw/apiso/1.0"
_DC = "http://purl.org/dc/elements/1.1/"
BoxForm: TypeAlias = Literal["latitude", "longitude"]

_CRS84 = "urn:ogc:def:crs:OGC:1.3:CRS84"
_OWS = {"2.0.2": "http://www.opengis.net/ows", "3.0.0": "http://www.opengis.net/ows/2.0"}


@dataclass(frozen=True)
class Language:
    """The names of a version.

    Args:
        csw: Its namespace, which is also the output schema of Dublin Core.
        fes: The namespace of filters.
        gml: The namespace of envelopes.
        filters: The version of filters.
        value: The element that names a property.
    """

    csw: str
    fes: str
    gml: str
    filters: str
    value: str


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {
        "2.0.2": Language(
            "http://www.opengis.net/cat/csw/2.0.2",
            "http://www.opengis.net/ogc",
            "http://www.opengis.net/gml",
            "1.1.0",
            "PropertyName",
        ),
        "3.0.0": Language(
            "http://www.opengis.net/cat/csw/3.0",
            "http://www.opengis.net/fes/2.0",
            "http://www.opengis.net/gml/3.2",
            "2.0.0",
            "ValueReference",
        ),
    }
)
"""The versions that are spoken."""


@dataclass(frozen=True)
class Asking:
    """How a catalogue is asked for its records.

    Args:
        version: 2.0.2 or 3.0.0.
        schema: The output schema.
        box: How it is asked for the source's box: not at all, `latitude` first with the reference system's name, as the
            standard has it, or `longitude` first without one, as some read it.
        words: Whether it is asked for the source's search words.
        changed: Whether it is asked for what changed since.
        ordered: Whether it is asked for an order by identifier.
        posted: Whether the question is posted.
    """

    version: str
    schema: str
    box: BoxForm | None = None
    words: bool = False
    changed: bool = False
    ordered: bool = True
    posted: bool = True


@dataclass(frozen=True)
class Offer:
    """What a catalogue's capabilities say: version, output schemas, and whether it knows when records changed."""

    version: str
    schemas: Sequence[str]
    modified: bool


@dataclass(frozen=True)
class Page:
    """A page of an answer.

    Args:
        matched: How many records there are in all, as it says.
        records: Those that it gave; a reason in the place of one that cannot be read.
        following: The position of the next record, as it says.
    """

    matched: int | None
    records: Sequence[Element | str]
    following: int | None


def read_capabilities(content: bytes) -> Offer:
    """Read the capabilities of a catalogue.

    Raises:
        BadDocument: They are none.
    """
    root = xml.read_xml(content)
    version = xml.attribute(root, "version") or ""
    if xml.local(root) != "Capabilities" or version not in LANGUAGES:
        raise BadDocument(f"these are no capabilities of a catalogue: {_told(root)}")
    operations = list(xml.each(root, "OperationsMetadata/Operation"))
    records = next((one for one in operations if xml.attribute(one, "name") == "GetRecords"), None)
    schemas, queryables = list[str](), list[str]()
    for one in xml.each(records, "*") if records is not None else ():
        values = [said for value in one.iter("{*}Value") if (said := clean.name(xml.text(value)))]
        if (xml.attribute(one, "name") or "").lower() == "outputschema":
            schemas += values
        elif xml.local(one) == "Constraint":
            queryables += values
    modified = any(name.rpartition(":")[2].lower() == "modified" for name in queryables)
    return Offer(version, tuple(schemas), modified)


def read_page(content: bytes) -> Page:
    """Read an answer to GetRecords.

    Raises:
        BadDocument: It is none, or tells an exception.
    """
    root = xml.read_xml(content)
    results = xml.first(root, "SearchResults")
    if xml.local(root) != "GetRecordsResponse" or results is None:
        raise BadDocument(f"this is no answer to GetRecords: {_told(root)}")
    matched, following = (
        clean.whole(xml.attribute(results, name)) for name in ("numberOfRecordsMatched", "nextRecord")
    )
    return Page(matched, tuple(results), following)


def _told(root: Element) -> str:
    """What an exception report says (OWS Common §8), or what else the document is."""
    if "Exception" not in xml.local(root):
        return f"it is {xml.local(root)[:100]}"
    told = xml.first(root, "Exception", "ServiceException")
    codes = (xml.attribute(told, name) for name in ("exceptionCode", "code", "locator"))
    words = clean.name(xml.text(told)) or "no reason"
    return " ".join([*(code[:100] for code in codes if code), words[:300]])


def parameters(asking: Asking, source: Source, start: int, most: int) -> dict[str, str]:
    """Return the question as parameters of a GET; 3.0 has its own for boxes and words (`bbox`, `q`)."""
    language, own = LANGUAGES[asking.version], dict[str, str]()
    if asking.version == "3.0.0":
        box = source.bbox.parts()[0] if asking.box and source.bbox and len(source.bbox.parts()) == 1 else None
        own = {"q": source.search} if asking.words else {}
        own |= {"bbox": ",".join(map(str, (*box, _CRS84)))} if box else {}
        asking = replace(asking, box=None, words=False)
    asked = {
        "service": "CSW", "version": asking.version, "request": "GetRecords", **_results(asking), **own,
        "typeNames": "csw:Record", "elementSetName": "full", "outputSchema": asking.schema,
        "outputFormat": "application/xml", "startPosition": str(start), "maxRecords": str(most),
        "namespace": f"xmlns(csw={language.csw})",
    }  # fmt: skip
    conditions = list(_conditions(asking, source))
    if conditions:
        asked |= {"constraintLanguage": "FILTER", "constraint_language_version": language.filters}
        asked["constraint"] = etree.tostring(_filter(asking, conditions), encoding="unicode")
    return asked | ({"sortBy": "dc:identifier:A"} if asking.ordered else {})


def body(asking: Asking, source: Source, start: int, most: int) -> bytes:
    """Return the question as XML to post."""
    language = LANGUAGES[asking.version]
    names = {
        "csw": language.csw,
        "ogc": language.fes,
        "dc": _DC,
        "apiso": _APISO,
        "ows": _OWS[asking.version],
    }
    root = etree.Element(
        f"{{{language.csw}}}GetRecords",
        {
            "service": "CSW", "version": asking.version, "outputSchema": asking.schema,
            "outputFormat": "application/xml", "startPosition": str(start), "maxRecords": str(most),
            **_results(asking),
        },
        nsmap=names,
    )  # fmt: skip
    query = etree.SubElement(root, f"{{{language.csw}}}Query", {"typeNames": "csw:Record"})
    etree.SubElement(query, f"{{{language.csw}}}ElementSetName").text = "full"
    conditions = list(_conditions(asking, source))
    if conditions:
        constraint = etree.SubElement(query, f"{{{language.csw}}}Constraint", {"version": language.filters})
        constraint.append(_filter(asking, conditions))
    if asking.ordered:
        order = etree.SubElement(query, f"{{{language.fes}}}SortBy")
        by = etree.SubElement(order, f"{{{language.fes}}}SortProperty")
        etree.SubElement(by, f"{{{language.fes}}}{language.value}").text = "dc:identifier"
        etree.SubElement(by, f"{{{language.fes}}}SortOrder").text = "ASC"
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _results(asking: Asking) -> dict[str, str]:
    """That records are wanted, and no count only; 3.0 has no other."""
    return {"resultType": "results"} if asking.version == "2.0.2" else {}


def _filter(asking: Asking, conditions: Sequence[Element]) -> Element:
    """A filter of conditions that all hold."""
    language = LANGUAGES[asking.version]
    names = {"csw": language.csw, "ogc": language.fes, "gml": language.gml, "apiso": _APISO}
    root = etree.Element(f"{{{language.fes}}}Filter", nsmap={**names, "ows": _OWS[asking.version]})
    around = etree.SubElement(root, f"{{{language.fes}}}And") if len(conditions) > 1 else root
    around.extend(conditions)
    return root


def _conditions(asking: Asking, source: Source) -> Iterator[Element]:
    """The box, each search word, and the time of change, as far as they are asked for."""
    if asking.box and source.bbox is not None:
        yield _box(asking, source.bbox)
    for word in source.search.split() if asking.words else ():
        marks = {"wildCard": "%", "singleChar": "_", "escapeChar": "\\"}
        escaped = "".join(f"\\{letter}" if letter in "%_\\" else letter for letter in word)
        yield _comparison(asking, "PropertyIsLike", "csw:AnyText", f"%{escaped}%", marks)
    if asking.changed and source.changed_since:
        since = source.changed_since[:10]
        yield _comparison(asking, "PropertyIsGreaterThanOrEqualTo", "apiso:Modified", since, {})


def _comparison(asking: Asking, kind: str, name: str, value: str, marks: Mapping[str, str]) -> Element:
    language = LANGUAGES[asking.version]
    one = etree.Element(f"{{{language.fes}}}{kind}", dict(marks))
    etree.SubElement(one, f"{{{language.fes}}}{language.value}").text = name
    etree.SubElement(one, f"{{{language.fes}}}Literal").text = clean.words(value) or ""
    return one


def _box(asking: Asking, box: BBox) -> Element:
    """The records that meet a box; one that crosses the antimeridian is two."""
    language = LANGUAGES[asking.version]
    boxes = []
    for west, south, east, north in box.parts():
        one = etree.Element(f"{{{language.fes}}}BBOX")
        etree.SubElement(one, f"{{{language.fes}}}{language.value}").text = "ows:BoundingBox"
        latitude = asking.box == "latitude"
        named = {"srsName": "urn:ogc:def:crs:EPSG::4326"} if latitude else {}
        envelope = etree.SubElement(one, f"{{{language.gml}}}Envelope", named, nsmap={"gml": language.gml})
        for corner, (x, y) in (("lowerCorner", (west, south)), ("upperCorner", (east, north))):
            said = f"{y} {x}" if latitude else f"{x} {y}"
            etree.SubElement(envelope, f"{{{language.gml}}}{corner}").text = said
        boxes.append(one)
    if len(boxes) == 1:
        return boxes[0]
    either = etree.Element(f"{{{language.fes}}}Or")
    either.extend(boxes)
    return either
