"""The DataCite Metadata Schema: XML of kernels 3 and 4 and JSON are read; XML and JSON of 4.5 are written.

https://datacite-metadata-schema.readthedocs.io/. It has no place for variables, depths, emails, files of this machine
and quality notes; what a mandatory property lacks is said by its standard values, `(:unav)` and the year 0000. Standard
names of variables are written as subjects; ways to the data on the web as related identifiers that are parts of it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from catalog.dialects import _datacite as form
from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, box, time_range
from catalog.dialects._json import read_json
from catalog.dialects._languages import UNKNOWN, language
from catalog.dialects._licences import licence
from catalog.dialects._notes import titled
from catalog.dialects._parties import joined
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.dialects._texts import first
from catalog.dialects._ways import way
from catalog.dialects._xml import read_xml
from catalog.record import BBox, Extent, Kind, Licence, Party, Record, Role, Text, TimeRange
from catalog.source import Document

MEDIA_TYPE = "application/vnd.datacite.datacite+xml"
_UNAVAILABLE = "(:unav)"
_NO_YEAR = "0000"
_UNKNOWN = re.compile(r"\(?:(un[a-z]{2}|none|null|tba)\)?", re.IGNORECASE)
_CALENDAR = re.compile(r"calendar ([\w-]{1,60})")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_PUBLISHED = ("Created", "Issued", "Available", "Submitted", "Accepted")
_ABSTRACTS = ("Abstract", "SeriesInformation", "Other", "TechnicalInfo")
_ROLES: Mapping[str, Role] = {
    "Other": "contributor", "ContactPerson": "pointOfContact", "Distributor": "distributor",
    "DataManager": "processor", "DataCurator": "custodian", "RightsHolder": "owner",
    "ProjectLeader": "principalInvestigator", "RelatedPerson": "user", "HostingInstitution": "resourceProvider",
    "Producer": "originator", "Sponsor": "funder",
}  # fmt: skip
"""Roles by contributorType (DataCite 4.5, Appendix 1); the others are contributors."""

_TYPES: Mapping[str, str] = {role: name for name, role in _ROLES.items() if role != "funder"}
_SPDX = "SPDX"
_NARROW = 180.0
Given = Mapping[str, Any]


def read(document: Document) -> Record:
    """Read DataCite XML (alone, or in a record of OAI-PMH) or JSON (alone, or in an answer of the REST API).

    Raises:
        BadDocument: It is neither.
    """
    if document.content.lstrip()[:1] == b"<":
        given = form.from_xml(form.resource(read_xml(document.content)))
    else:
        given = form.from_json(read_json(document.content))
    title, untitled = _title(given, document)
    boxes, misplaced = _boxes(given)
    time, mistimed = _time(given)
    ways, lost = distributions(_ways(given))
    created, modified = _dates(given)
    doi = clean.doi(given.get("doi"))
    methods = [
        said
        for item in _typed(given, "descriptions", "Methods")
        if (said := clean.words(item["description"]))
    ]
    return _record(
        document,
        {
            "title": title,
            "summary": _summary(given),
            "keywords": tuple(dict.fromkeys(_keywords(given))),
            "kind": _kind(given),
            "extent": Extent(boxes=boxes, time=time),
            "parties": joined(_parties(given)),
            "licence": _licence(given),
            "doi": doi,
            "lineage": clean.words("\n\n".join(methods)),
            "created": created,
            "modified": modified,
            "distributions": ways,
            "landing_page": _landing_page(given, doi),
            "quality": tuple(dict.fromkeys((*untitled, *misplaced, *mistimed, *lost))),
        },
    )


def _typed(given: Given, plural: str, kind: str) -> list[Given]:
    """The items of a list that have a type (`descriptionType` of `descriptions`) and words."""
    singular = plural.removesuffix("s")
    items = clean.objects(given.get(plural))
    return [item for item in items if item.get(f"{singular}Type") == kind and item.get(singular)]


def _text(items: list[Given], key: str) -> Text | None:
    return first((language(item.get("lang")), item.get(key)) for item in items)


def _title(given: Given, document: Document) -> tuple[Text, Notes]:
    titles = clean.objects(given.get("titles"))
    own = [item for item in titles if item.get("titleType") in {None, "", "TranslatedTitle"}]
    title = _text(own, "title") or _text(list(titles), "title")
    if title is not None and all(_UNKNOWN.fullmatch(words) for words in title.words.values()):
        title = None
    return titled(title, document.name, document.native_id)


def _summary(given: Given) -> Text | None:
    found = (_text(_typed(given, "descriptions", kind), "description") for kind in _ABSTRACTS)
    return next((text for text in found if text), None)


def _keywords(given: Given) -> Iterator[Text]:
    for item in clean.objects(given.get("subjects")):
        if said := clean.words(item.get("subject")):
            yield Text.of(said, language(item.get("lang")))
    for place in clean.objects(given.get("geoLocations")):
        if said := clean.words(place.get("geoLocationPlace")):
            yield Text.of(said)


def _kind(given: Given) -> Kind:
    return clean.kind(clean.mapping(given.get("types")).get("resourceType")) or "document"


def _boxes(given: Given) -> tuple[tuple[BBox, ...], Notes]:
    found: dict[BBox, None] = {}
    notes: Notes = ()
    for place in clean.objects(given.get("geoLocations")):
        for sides in _sides(place):
            legal, said = box(*sides)
            found |= {legal: None} if legal else {}
            notes += said
    return tuple(found), notes


def _sides(place: Given) -> Iterator[tuple[Any, Any, Any, Any]]:
    """West, south, east and north of a place: its boxes, else the box around its polygon, else its point."""
    area, point = clean.mapping(place.get("geoLocationBox")), clean.mapping(place.get("geoLocationPoint"))
    corners = [
        clean.mapping(item.get("polygonPoint")) for item in clean.objects(place.get("geoLocationPolygon"))
    ]
    if area:
        names = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
        west, south, east, north = (area.get(name) for name in names)
        yield west, south, east, north
    elif corners:
        across, up = (
            [value for corner in corners if (value := clean.number(corner.get(name))) is not None]
            for name in ("pointLongitude", "pointLatitude")
        )
        if across and up:
            yield min(across), min(up), max(across), max(up)
    elif point:
        lon, lat = point.get("pointLongitude"), point.get("pointLatitude")
        yield lon, lat, lon, lat


def _time(given: Given) -> tuple[TimeRange | None, Notes]:
    """When the data are: `Collected`, else `Coverage` (4.6), else `Valid`; RKMS-ISO8601 ranges are `first/last`."""
    notes: Notes = ()
    for kind in ("Collected", "Coverage", "Valid"):
        for item in _typed(given, "dates", kind):
            first, slash, last = (clean.words(item["date"], 200) or "").partition("/")
            start, end = (part.strip().strip(".") for part in (first, last if slash else first))
            calendar = _CALENDAR.search(clean.words(item.get("dateInformation"), 1_000) or "")
            found, said = time_range(start, end, calendar[1] if calendar else None)
            if found:
                return found, said
            notes += said
    return None, notes


def _dates(given: Given) -> tuple[str | None, str | None]:
    """When it was created and changed; the year of publication stands in where no date of either is told."""

    def first(*kinds: str) -> str | None:
        told = (clean.moment(item["date"]) for kind in kinds for item in _typed(given, "dates", kind))
        return next((moment for moment in told if moment), None)

    created, modified = first(*_PUBLISHED), first("Updated") or clean.moment(given.get("updated"))
    year = clean.words(given.get("publicationYear"), 4)
    if created or modified or year == _NO_YEAR:
        return created, modified
    return clean.moment(year), None


def _parties(given: Given) -> Iterator[Party]:
    for item in clean.objects(given.get("creators")):
        yield from _party(item, "creator")
    publisher = given.get("publisher")
    named = clean.mapping(publisher) or {"name": publisher}
    yield from _party({"name": named.get("name"), "nameType": "Organizational"}, "publisher")
    for item in clean.objects(given.get("contributors")):
        yield from _party(item, _ROLES.get(clean.name(item.get("contributorType")) or "", "contributor"))
    for item in clean.objects(given.get("fundingReferences")):
        yield from _party({"name": item.get("funderName"), "nameType": "Organizational"}, "funder")


def _party(item: Given, role: Role) -> Iterator[Party]:
    called = clean.name(item.get("name"))
    if called and not _UNKNOWN.fullmatch(called):
        person = item.get("nameType") == "Personal" or (not item.get("nameType") and item.get("familyName"))
        links = clean.objects(item.get("nameIdentifiers"))
        orcid = next((link for one in links if (link := clean.address(one.get("nameIdentifier")))), None)
        yield Party(name=called, roles=(role,), organisation=not person, url=orcid)


def _licence(given: Given) -> Licence | None:
    """The first rights that are known terms, else the first that say anything."""
    found = []
    for item in clean.objects(given.get("rightsList")):
        identifier = clean.words(item.get("rightsIdentifier"), 100)
        exact = identifier if item.get("rightsIdentifierScheme") == _SPDX and identifier else None
        spdx = exact if exact and exact != exact.lower() else None
        terms = licence(item.get("rights"), item.get("rightsUri"), identifier, spdx)
        found += [terms] if terms else []
    return next((terms for terms in found if terms.spdx), found[0] if found else None)


def _landing_page(given: Given, doi: str | None) -> str | None:
    told = [
        item.get("alternateIdentifier")
        for item in clean.objects(given.get("alternateIdentifiers"))
        if item.get("alternateIdentifierType") == "URL"
    ]
    resolver = f"https://doi.org/{doi}" if doi else None
    return next((link for said in (given.get("url"), *told, resolver) if (link := clean.address(said))), None)


def _ways(given: Given) -> Iterator[Mapping[str, Any]]:
    """`contentUrl` of the REST API, and related identifiers that are parts of it on the web."""
    forms = given.get("formats")
    only = forms[0] if isinstance(forms, list) and len(forms) == 1 else None
    links = given.get("contentUrl")
    for link in links if isinstance(links, list) else [links]:
        if clean.address(link):
            yield way(link, form=only)
    for item in clean.objects(given.get("relatedIdentifiers")):
        link = item.get("relatedIdentifier")
        on_the_web = item.get("relatedIdentifierType") == "URL" and item.get("relationType") == "HasPart"
        if on_the_web and clean.address(link):
            yield way(link)


def write(record: Record) -> bytes:
    """Write a record as DataCite XML 4.5."""
    link = _web(record.landing_page)
    identifier, kind = (record.doi, "DOI") if record.doi else (link, "URL") if link else (record.id, "Local")
    return form.to_xml(said(record), identifier or record.id, kind)


def write_json(record: Record) -> bytes:
    """Write a record as DataCite JSON 4.5."""
    return orjson.dumps(said(record))


def said(record: Record) -> dict[str, Any]:
    """Return a record as the values of DataCite JSON 4.5, without the lists that are empty."""
    links = dict.fromkeys(link for each in record.distributions if (link := _web(each.address)))
    page, lineage = _web(record.landing_page), clean.words(record.lineage)
    lists = {
        "contributors": list(_said_contributors(record)),
        "subjects": list(_said_subjects(record)),
        "dates": list(_said_dates(record)),
        "alternateIdentifiers": [{"alternateIdentifier": page, "alternateIdentifierType": "URL"}]
        if page
        else [],
        "relatedIdentifiers": [
            {"relatedIdentifier": link, "relatedIdentifierType": "URL", "relationType": "HasPart"}
            for link in links
        ],
        "rightsList": _said_rights(record.licence),
        "descriptions": [
            *_said_text(record.summary, "description", {"descriptionType": "Abstract"}),
            *([{"description": lineage, "descriptionType": "Methods"}] if lineage else []),
        ],
        "geoLocations": [_said_box(*sides) for found in record.extent.boxes for sides in _said_parts(found)],
        "fundingReferences": [{"funderName": name} for name in _named(record, "funder")],
    }
    creators = [
        {"name": name, "nameType": "Organizational" if party.organisation else "Personal"}
        for party in record.parties
        if {"creator", "author"} & set(party.roles) and (name := clean.name(party.name))
    ]
    year = (record.created or record.modified or "")[:5]
    return {
        "schemaVersion": form.NAMESPACE,
        **({"doi": record.doi} if record.doi else {}),
        **({"url": page} if page else {}),
        "creators": creators or [{"name": _UNAVAILABLE, "nameType": "Organizational"}],
        "titles": _said_text(record.title, "title", {}) or [{"title": record.id}],
        "publisher": {"name": next(_named(record, "publisher"), _UNAVAILABLE)},
        "publicationYear": year[:4] if re.fullmatch(r"[0-9]{4}-", year) else _NO_YEAR,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": record.kind},
        **{
            key: list({orjson.dumps(item): item for item in items}.values())
            for key, items in lists.items()
            if items
        },
    }


def _web(link: str | None) -> str | None:
    """An address as it is, where it is one on the web."""
    return link if link and clean.address(link) == link else None


def _named(record: Record, role: Role) -> Iterator[str]:
    return (name for party in record.parties if role in party.roles and (name := clean.name(party.name)))


def _said_text(text: Text | None, key: str, also: Mapping[str, str]) -> list[dict[str, Any]]:
    items = []
    for code, words in text.words.items() if text else ():
        if value := clean.words(words):
            lang = {"lang": code} if code != UNKNOWN and _LANGUAGE.fullmatch(code) else {}
            items.append({key: value, **lang, **also})
    return items


def _said_contributors(record: Record) -> Iterator[dict[str, str]]:
    publisher = next((party for party in record.parties if "publisher" in party.roles), None)
    for party in record.parties:
        kind = "Organizational" if party.organisation else "Personal"
        for role in party.roles:
            said_as = "Distributor" if role == "publisher" and party is not publisher else _TYPES.get(role)
            if said_as and (name := clean.name(party.name)):
                yield {"name": name, "nameType": kind, "contributorType": said_as}


def _said_subjects(record: Record) -> Iterator[dict[str, Any]]:
    for keyword in record.keywords:
        yield from _said_text(keyword, "subject", {})
    for variable in record.variables:
        if name := clean.words(variable.standard_name):
            yield {"subject": name, "subjectScheme": "CF Standard Names"}


def _said_dates(record: Record) -> Iterator[dict[str, str]]:
    time = record.extent.time
    if time and (time.start or time.end):
        told = time.start if time.start == time.end else f"{time.start or ''}/{time.end or ''}"
        calendar = clean.name(time.calendar)
        other = {"dateInformation": f"calendar {calendar}"} if calendar != "standard" else {}
        yield {"date": told or "", "dateType": "Collected", **other}
    for kind, moment in (("Created", record.created), ("Updated", record.modified)):
        if moment:
            yield {"date": moment, "dateType": kind}


def _said_rights(terms: Licence | None) -> list[dict[str, str]]:
    if terms is None:
        return []
    told = {
        "rights": clean.words(terms.title),
        "rightsUri": _web(terms.url),
        "rightsIdentifier": clean.words(terms.spdx),
    }
    said_ = {key: value for key, value in told.items() if value}
    return (
        [said_ | ({"rightsIdentifierScheme": _SPDX} if "rightsIdentifier" in said_ else {})] if said_ else []
    )


def _said_parts(found: BBox) -> tuple[tuple[float, float, float, float], ...]:
    """A box as it is; a wide one across the antimeridian as its two halves, which no reader takes for swapped."""
    wide = found.west > found.east and (found.east - found.west) % 360 > _NARROW
    return found.parts() if wide else ((found.west, found.south, found.east, found.north),)


def _said_box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    return {
        "geoLocationBox": {
            "westBoundLongitude": west, "eastBoundLongitude": east,
            "southBoundLatitude": south, "northBoundLatitude": north,
        }
    }  # fmt: skip
