"""ISO 19115 metadata as XML: ISO 19139 (gmd, gmi) and ISO 19115-3 (mdb) are read, both are written.

ISO 19115-1:2014, ISO/TS 19139:2007, ISO/TS 19139-2:2012, ISO/TS 19115-3:2016. Elements are found by their local
names, so the two encodings are read alike. Of a metadata set for data with services beside it (ncISO) the data are the
resource, and the services are ways to it. Sizes of transfers are in rounded megabytes, and are not read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.dialects import _isotext as iso
from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._extent import note
from catalog.dialects._isoextent import places, read_extent
from catalog.dialects._isoterms import read_licence, read_parties
from catalog.dialects._isotree import ISO_19115_3, ISO_19139, built
from catalog.dialects._isowriting import FEATURE_TYPES, FORMAT_WORDS, NOTE, STANDARD_NAME, THEMES, Writing
from catalog.dialects._notes import titled
from catalog.dialects._record import distributions, record
from catalog.dialects._ways import VECTOR, way
from catalog.dialects._xml import Element
from catalog.errors import BadDocument
from catalog.record import MOST, Kind, QualityNote, Record, Text, Variable
from catalog.source import Document

MEDIA_TYPE = "application/xml"
_ROOTS = {"MD_Metadata", "MI_Metadata"}
_KINDS: Mapping[str, Kind] = {"vector": "features", "grid": "grid", "tin": "mesh"}
_FEATURES: Mapping[str, Kind] = {
    "timeseries": "timeseries", "profile": "profile", "timeseriesprofile": "profile", "trajectory": "trajectory",
    "trajectoryprofile": "profile", "point": "points",
}  # fmt: skip
_COORDINATES = frozenset(
    {
        "time",
        "lat",
        "latitude",
        "lon",
        "longitude",
        "depth",
        "altitude",
        "height",
        "x",
        "y",
        "z",
        "lev",
        "level",
    }
)
_STANDARD_NAME = re.compile(rf"(?P<title>.*?)\s*\((?P<name>{STANDARD_NAME})\)", re.DOTALL)
_PAGES = {"information", "completeMetadata", "browsing"}
_FREQUENCIES = {"", "unknown", "userDefined"}


def read(document: Document) -> Record:
    """Read a metadata set, also one that is wrapped in an answer of a catalogue.

    Raises:
        BadDocument: The bytes hold no ISO 19115 metadata.
    """
    return read_element(document, xml.read_xml(document.content))


def read_element(document: Document, element: Element) -> Record:
    """Read a metadata set that is parsed already; harvesters whose documents wrap one use it.

    Raises:
        BadDocument: The element is no ISO 19115 metadata, and holds none.
    """
    root = find(element)
    if root is None:
        raise BadDocument("this is no ISO 19115 metadata: it has neither MD_Metadata nor MI_Metadata")
    spoken, resource = iso.tongues(root), _resource(root)
    citation = xml.first(resource, "citation/*")
    title, untitled = titled(
        iso.text(xml.first(citation, "title"), spoken), document.name or document.native_id
    )
    extent, odd = read_extent(root, resource)
    page, links = _links(root, resource)
    ways, lost = distributions(links)
    variables = _variables(root, spoken)
    groups = list(_groups(resource, spoken))
    return record(
        document,
        {
            "title": title,
            "summary": iso.text(xml.first(resource, "abstract"), spoken),
            "keywords": _keywords(resource, groups),
            "themes": tuple(
                dict.fromkeys(t for name, said in groups if name == THEMES for t in _named(said))
            ),
            "kind": _kind(root, resource, groups, {one.format for one in ways}, measured=bool(variables)),
            "variables": variables,
            "extent": extent,
            "parties": read_parties(root, resource),
            "licence": read_licence(resource),
            "citation": iso.words(citation, "otherCitationDetails"),
            "doi": _doi(root, citation),
            "lineage": _lineage(root),
            "update_frequency": _frequency(resource),
            "created": _date(citation, "creation") or _date(citation, "publication"),
            "modified": _modified(root, citation),
            "landing_page": page,
            "distributions": ways,
            "quality": tuple(dict.fromkeys((*_notes(root), *untitled, *odd, *lost))),
        },
    )


def find(element: Element) -> Element | None:
    """Return the metadata set that an element is or holds, also of a profile (CHE_MD_Metadata); None without one."""
    return next((one for one in element.iter("{*}*") if _is_root(xml.local(one))), None)


def _is_root(name: str) -> bool:
    return name in _ROOTS or name.endswith("_MD_Metadata")


def identifier(root: Element) -> str | None:
    """Return the metadata's own identifier, else one that the resource's citation gives."""
    return (
        iso.words(root, "fileIdentifier", "metadataIdentifier/*/code")
        or iso.words(_resource(root), "citation/*/identifier/*/code")
        or iso.words(root, "dataSetURI")
    )


def _resource(root: Element) -> Element | None:
    """The identification of the data, or of the service where there are no data."""
    found = list(xml.each(root, "identificationInfo/*"))
    return next((one for one in found if not xml.local(one).startswith("SV_")), found[0] if found else None)


def _groups(resource: Element | None, spoken: iso.Tongues) -> Iterator[tuple[str, tuple[Text, ...]]]:
    """The groups of keywords, each with its thesaurus."""
    for group in xml.each(resource, "descriptiveKeywords/MD_Keywords") if resource is not None else ():
        said = (iso.text(one, spoken) for one in xml.each(group, "keyword"))
        yield iso.words(group, "thesaurusName/*/title") or "", tuple(one for one in said if one)


def _keywords(resource: Element | None, groups: Sequence[tuple[str, tuple[Text, ...]]]) -> tuple[Text, ...]:
    """Keywords, names of places, and topics; that of a marine catalog says nothing."""
    given = [one for name, said in groups if name not in {THEMES, FEATURE_TYPES} for one in said]
    topics = [xml.text(one) for one in xml.each(resource, "topicCategory")] if resource is not None else []
    plain = [
        *places(resource),
        *(said for topic in topics if (said := clean.name(topic)) and said != "oceans"),
    ]
    known = {words for one in given for words in one.words.values()}
    return tuple(dict.fromkeys((*given, *(Text.of(said) for said in plain if said not in known))))


def _named(said: Sequence[Text]) -> Iterator[str]:
    for one in said:
        if name := clean.name(one.best("en")):
            yield name


def _kind(
    root: Element,
    resource: Element | None,
    groups: Sequence[tuple[str, tuple[Text, ...]]],
    formats: set[str],
    *,
    measured: bool,
) -> Kind:
    """The kind by CF's feature type, the spatial representation, the formats, or whether anything is measured."""
    for name, said in groups:
        for one in _named(said) if name == FEATURE_TYPES else ():
            if one.lower() in _FEATURES:
                return _FEATURES[one.lower()]
    for code in iso.codes(resource, "spatialRepresentationType"):
        if code in _KINDS:
            return _KINDS[code]
    for shape in xml.each(root, "spatialRepresentationInfo/*"):
        return "features" if "Vector" in xml.local(shape) else "grid"
    return "features" if formats & VECTOR else "points" if measured else "document"


def _variables(root: Element, spoken: iso.Tongues) -> tuple[Variable, ...]:
    """The bands and ranges of coverages, each name once; those that are coordinates are told by type or name."""
    found: dict[str, Variable] = {}
    for coverage in xml.each(root, "contentInfo/*"):
        for group in (coverage, *xml.each(coverage, "attributeGroup/MD_AttributeGroup")):
            axes = "coordinate" in iso.codes(group, "contentType")
            for band in (*xml.each(group, "dimension/*"), *xml.each(group, "attribute/*")):
                one = _variable(band, spoken, coordinate=axes)
                if one is not None and one.name not in found and len(found) <= MOST["variables"]:
                    found[one.name] = one
    return tuple(found.values())


def _variable(band: Element, spoken: iso.Tongues, *, coordinate: bool) -> Variable | None:
    """A band; its standard name stands in brackets behind its words: `Sea temperature (sea_water_temperature)`."""
    member = xml.first(band, "sequenceIdentifier/MemberName")
    said = iso.text(xml.first(band, "descriptor", "description"), spoken)
    standard, title = _standard_name(said)
    called = clean.name(xml.text(member, "aName")) or clean.name(iso.words(band, "name/*/code"))
    called = called or standard or (clean.name(title.best("en")) if title else None)
    if called is None:
        return None
    return Variable(
        name=called,
        standard_name=standard,
        title=title,
        units=_units(xml.first(band, "units")),
        dtype=clean.words(xml.text(member, "attributeType/TypeName/aName"), 100),
        coordinate=coordinate or called.lower() in _COORDINATES,
    )


def _standard_name(said: Text | None) -> tuple[str | None, Text | None]:
    words = said.words if said else {}
    parted = {code: _STANDARD_NAME.fullmatch(value) for code, value in words.items()}
    names = [match["name"] for match in parted.values() if match]
    plain = {code: match["title"] if (match := parted[code]) else value for code, value in words.items()}
    return (names[0] if names else None), clean.text(plain)


def _units(holder: Element | None) -> str | None:
    """The unit that a definition names, or the end of the address that defines it (`…/udunits#degree_C`)."""
    said = xml.text(holder, "*/identifier", "*/catalogSymbol", "*/name")
    linked = (xml.attribute(holder, "href") or "").rpartition("#")[2] if holder is not None else ""
    return clean.words(said, 1_000) or (None if "/" in linked else clean.words(linked, 1_000))


def _links(root: Element, resource: Element | None) -> tuple[str | None, list[Mapping[str, Any]]]:
    """The landing page, and the ways to the data, each once."""
    formats = [
        iso.words(one, "name", "formatSpecificationCitation/*/title") for one in _formats(root, resource)
    ]
    only = formats[0] if len(formats) == 1 else None
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    page = None
    for link, said in _online(root):
        one = _way(link, said, only)
        role = iso.code(xml.first(link, "function/CI_OnLineFunctionCode"))
        if (
            one["protocol"] == "http"
            and one["format"] in {"unknown", "html"}
            and role in _PAGES
            and page is None
        ):
            page = one["address"]
        else:
            found.setdefault((one["protocol"], one["address"]), one)
    linked = clean.address(xml.text(root, "metadataLinkage/*/linkage"))
    return page or linked, list(found.values())


def _formats(root: Element, resource: Element | None) -> Iterator[Element]:
    yield from xml.each(root, "distributionInfo/MD_Distribution/distributionFormat/MD_Format")
    if resource is not None:
        yield from xml.each(resource, "resourceFormat/MD_Format")


def _online(root: Element) -> Iterator[tuple[Element, str | None]]:
    """The online resources of the distribution, and those where services are reached, with what they are called."""
    within = "MD_DigitalTransferOptions/onLine/CI_OnlineResource"
    for path in (
        f"transferOptions/{within}",
        f"distributor/MD_Distributor/distributorTransferOptions/{within}",
    ):
        for link in xml.each(root, f"distributionInfo/MD_Distribution/{path}"):
            if xml.text(link, "linkage"):
                yield link, None
    for service in xml.each(root, "identificationInfo/SV_ServiceIdentification"):
        kind = iso.words(service, "serviceType")
        for link in xml.each(
            service, "containsOperations/SV_OperationMetadata/connectPoint/CI_OnlineResource"
        ):
            if xml.text(link, "linkage"):
                yield link, kind


def _way(link: Element, said: str | None, only: str | None) -> Mapping[str, Any]:
    """A link as a way to the data; a format of the whole distribution counts where the link says none."""
    name, profile = iso.words(link, "name"), clean.name(iso.words(link, "applicationProfile"))
    media_type = xml.attribute(xml.first(link, "name/MimeFileType"), "type")
    protocol = iso.words(link, "protocol") or said
    address = xml.text(link, "linkage")
    told = {"said": protocol, "media_type": media_type, "title": name or iso.words(link, "description")}
    form = profile if profile and profile.lower() in FORMAT_WORDS else None
    found = way(address, form=form, **told)
    if found["format"] == "unknown" and only and "download" in f"{protocol} {_function(link)}".lower():
        return way(address, form=only, **told)
    return found


def _function(link: Element) -> str:
    return iso.code(xml.first(link, "function/CI_OnLineFunctionCode")) or ""


def _doi(root: Element, citation: Element | None) -> str | None:
    """The DOI among the resource's identifiers, or of a link to it."""
    codes = list(xml.each(citation, "identifier/*/code")) if citation is not None else []
    linked = (xml.text(link, "linkage") or "" for link, _ in _online(root))
    return clean.doi(
        *(said for holder in codes for said in (iso.words(holder.getparent(), "code"), iso.link(holder))),
        iso.words(root, "dataSetURI"),
        iso.words(citation, "otherCitationDetails"),
        *(link for link in linked if "doi.org/" in link),
    )


def _lineage(root: Element) -> str | None:
    """The statement of a lineage, else its process steps, a line each."""
    for path in ("dataQualityInfo/DQ_DataQuality/lineage/*", "resourceLineage/*"):
        for found in xml.each(root, path):
            steps = (iso.words(step, "description") for step in xml.each(found, "processStep/*"))
            if said := iso.words(found, "statement") or clean.words(
                "\n".join(step for step in steps if step)
            ):
                return said
    return None


def _frequency(resource: Element | None) -> str | None:
    found = xml.first(resource, "resourceMaintenance/MD_MaintenanceInformation")
    holder = xml.first(found, "maintenanceAndUpdateFrequency/MD_MaintenanceFrequencyCode")
    code, said = iso.code(holder) or "", clean.name(xml.text(holder))
    if code in _FREQUENCIES:
        code = xml.text(found, "userDefinedMaintenanceFrequency") or said or code
    return clean.words(code, 200)


def _date(citation: Element | None, kind: str) -> str | None:
    for one in xml.each(citation, "date/CI_Date") if citation is not None else ():
        if iso.code(xml.first(one, "dateType/CI_DateTypeCode")) == kind and (found := _moment(one)):
            return found
    return None


def _moment(one: Element) -> str | None:
    return clean.moment(xml.text(one, "date"))


def _modified(root: Element, citation: Element | None) -> str | None:
    """When the resource was revised, else the metadata."""
    revised = (
        _moment(one) for one in xml.each(root, "dateInfo/CI_Date")
        if iso.code(xml.first(one, "dateType/CI_DateTypeCode")) == "revision"
    )  # fmt: skip
    return _date(citation, "revision") or clean.moment(xml.text(root, "dateStamp")) or next(revised, None)


def _notes(root: Element) -> Iterator[QualityNote]:
    """The quality notes of a record that was written here."""
    for found in xml.each(root, "dataQualityInfo/DQ_DataQuality/report/*"):
        code = (
            iso.words(found, "measureIdentification/*/code", "measure/*/measureIdentification/*/code") or ""
        )
        said = iso.words(found, "result/*/explanation")
        if code.startswith(NOTE) and said and re.fullmatch(r"[a-z0-9-]{1,60}", code.removeprefix(NOTE)):
            yield note(code.removeprefix(NOTE), said)


def write(record: Record) -> bytes:
    """Write a record as ISO 19139 (gmd:MD_Metadata), valid by its schemas of 2007 (GML 3.2).

    Local files, sizes, checksums, dimensions and shapes are not said.
    """
    return built(Writing(record, ISO_19139).tree(), ISO_19139)


def write_19115_3(record: Record) -> bytes:
    """Write a record as ISO 19115-3 (mdb:MD_Metadata); it says the same as `write`."""
    return built(Writing(record, ISO_19115_3).tree(), ISO_19115_3)
