"""Ecological Metadata Language 2.1 and 2.2, and GBIF's profile of it, as fields of a record.

https://eml.ecoinformatics.org/schema/, https://rs.gbif.org/schema/eml-gbif-profile/.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._extent import Notes, box, time_range, vertical_range
from catalog.dialects._languages import language
from catalog.dialects._licences import licence
from catalog.dialects._parties import joined
from catalog.errors import BadDocument
from catalog.record import BBox, Extent, Licence, Party, Role, Text

_MANY = 1_000
_PEOPLE: Mapping[str, Role] = {
    "creator": "creator", "publisher": "publisher", "contact": "pointOfContact", "metadataProvider": "custodian",
    "associatedParty": "contributor",
}  # fmt: skip
_SAID: Mapping[str, Role] = {
    "contentprovider": "resourceProvider", "principalinvestigator": "principalInvestigator", "curator": "custodian",
    "custodiansteward": "custodian", "distributor": "distributor", "owner": "owner", "processor": "processor",
    "originator": "originator", "author": "author", "publisher": "publisher", "user": "user",
}  # fmt: skip
_FREQUENCIES = {"unkown", "unknown", "notplanned", ""}
_SPACES = re.compile(r"[ \t]*\n\s*")


def read_eml(root: xml.Element) -> tuple[Mapping[str, Any], Notes]:
    """Return what EML says as fields of a record, `title` None where it has none; and notes about it.

    Raises:
        BadDocument: It has no dataset.
    """
    given = xml.first(root, "dataset")
    if given is None or xml.local(root) != "eml":
        raise BadDocument("this is no EML: it has no dataset")
    extent, notes = _extent(given)
    profile = xml.first(root, "additionalMetadata/metadata/gbif")
    identifiers = [xml.text(item) for item in xml.each(given, "alternateIdentifier")]
    steps = [_words(item) for item in xml.each(given, "methods/methodStep/description")]
    citation = clean.words(xml.text(profile, "citation"))
    return {
        "title": _text(given, "title"),
        "summary": _paragraphs(given, "abstract"),
        "keywords": tuple(dict.fromkeys(_keywords(given))),
        "extent": extent,
        "parties": joined(_parties(given)),
        "licence": _licence(given),
        "citation": citation,
        "doi": clean.doi(*identifiers, xml.attribute(root, "packageId"), citation),
        "lineage": clean.words("\n\n".join(step for step in steps if step)),
        "update_frequency": _frequency(given),
        "created": clean.moment(xml.text(given, "pubDate")),
        "modified": clean.moment(xml.text(profile, "dateStamp")),
        "landing_page": _page(given, identifiers),
    }, notes


def _words(element: xml.Element | None) -> str | None:
    """The words of an element, a line a paragraph."""
    said = clean.words(xml.text(element)) if element is not None else None
    return clean.words(_SPACES.sub("\n", said)) if said else None


def _text(given: xml.Element, path: str) -> Text | None:
    said: dict[str, Any] = {}
    for item in xml.each(given, path):
        said.setdefault(language(xml.attribute(item, "lang")), _words(item))
    return clean.text(said)


def _paragraphs(given: xml.Element, name: str) -> Text | None:
    """The paragraphs of a text by language; one without a language of its own has the text's."""
    said: dict[str, list[str]] = {}
    for whole in xml.each(given, name):
        code = xml.attribute(whole, "lang")
        for part in list(xml.each(whole, "//para"))[:_MANY] or [whole]:
            if words := _words(part):
                said.setdefault(language(xml.attribute(part, "lang") or code), []).append(words)
    return clean.text({code: "\n\n".join(parts) for code, parts in said.items()})


def _keywords(given: xml.Element) -> Iterator[Text]:
    for item in xml.each(given, "keywordSet/keyword"):
        for word in (xml.text(item) or "").split(";"):
            if said := clean.name(word):
                yield Text.of(said, language(xml.attribute(item, "lang")))
    for taxon in xml.each(given, "coverage/taxonomicCoverage/taxonomicClassification"):
        for name in ("taxonRankValue", "commonName"):
            for item in taxon.iterdescendants():
                if xml.local(item) == name and (said := clean.name(xml.text(item))):
                    yield Text.of(said)


def _extent(given: xml.Element) -> tuple[Extent, Notes]:
    boxes: list[BBox] = []
    notes: Notes = ()
    depths: list[float] = []
    for item in list(xml.each(given, "coverage/geographicCoverage/boundingCoordinates"))[:_MANY]:
        sides = (f"{side}BoundingCoordinate" for side in ("west", "south", "east", "north"))
        legal, odd = box(*(xml.text(item, side) for side in sides))
        boxes += [legal] if legal else []
        notes += odd
        heights = (xml.text(item, f"boundingAltitudes/altitude{end}") for end in ("Minimum", "Maximum"))
        depths += [-found for height in heights if (found := clean.number(height)) is not None]
    first, last = [], []
    for item in xml.each(given, "coverage/temporalCoverage"):
        single = [xml.text(date, "calendarDate") for date in xml.each(item, "singleDateTime")]
        first += [*single, xml.text(item, "rangeOfDates/beginDate/calendarDate")]
        last += [*single, xml.text(item, "rangeOfDates/endDate/calendarDate")]
    starts = [said for said in first if said and clean.moment(said)]
    ends = [said for said in last if said and clean.moment(said)]
    time, odd = time_range(min(starts, default=None), max(ends, default=None))
    vertical = vertical_range(min(depths), max(depths))[0] if depths else None
    return Extent(boxes=tuple(dict.fromkeys(boxes)), time=time, vertical=vertical), notes + odd


def _parties(given: xml.Element) -> Iterator[Party]:
    for kind, role in _PEOPLE.items():
        for item in list(xml.each(given, kind))[:_MANY]:
            people = [*xml.each(item, "individualName")] or [None]
            claim = (xml.text(item, "role") or "").replace("_", "").replace(" ", "").lower()
            for person in people:
                parts = (xml.text(person, "givenName"), xml.text(person, "surName"))
                named = clean.name(" ".join(part for part in parts if part))
                called = named or clean.name(xml.text(item, "organizationName", "positionName"))
                if called:
                    yield Party(
                        name=called,
                        roles=(_SAID.get(claim, role),),
                        organisation=named is None,
                        email=clean.words(xml.text(item, "electronicMailAddress"), 1_000),
                        url=clean.address(xml.text(item, "onlineUrl")),
                    )


def _licence(given: xml.Element) -> Licence | None:
    """`licensed` of EML 2.2, else the intellectual rights, in which GBIF's profile links the terms."""
    licensed = xml.first(given, "licensed")
    if licensed is not None:
        name, link = xml.text(licensed, "licenseName"), xml.text(licensed, "url")
        identifier = clean.words(xml.text(licensed, "identifier"), 100)
        return licence(name, link, identifier, identifier)
    rights = xml.first(given, "intellectualRights")
    link = xml.attribute(xml.first(rights, "//ulink"), "url") if rights is not None else None
    return licence(_words(rights), link)


def _frequency(given: xml.Element) -> str | None:
    said = clean.name(xml.text(given, "maintenance/maintenanceUpdateFrequency")) or ""
    return said[:200] if said.lower() not in _FREQUENCIES else None


def _page(given: xml.Element, identifiers: list[str | None]) -> str | None:
    links = [
        xml.text(link)
        for link in xml.each(given, "distribution/online/url")
        if xml.attribute(link, "function") in {None, "information"}
    ]
    return next((link for said in (*links, *identifiers) if (link := clean.address(said))), None)
