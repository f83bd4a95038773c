"""DataCite's XML as the JSON that says the same, and back (kernels 3 and 4; https://schema.datacite.org/).

The JSON is that of the DataCite REST API and of its JSON schema 4.5; only what a record has a place for is carried.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.errors import BadDocument

NAMESPACE = "http://datacite.org/schema/kernel-4"
_LOCATION = f"{NAMESPACE} http://schema.datacite.org/meta/kernel-4.5/metadata.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_LISTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "titles": ("title", ("titleType", "lang")),
    "subjects": ("subject", ("subjectScheme", "lang")),
    "dates": ("date", ("dateType", "dateInformation")),
    "alternateIdentifiers": ("alternateIdentifier", ("alternateIdentifierType",)),
    "relatedIdentifiers": (
        "relatedIdentifier", ("relatedIdentifierType", "relationType", "resourceTypeGeneral"),
    ),
    "rightsList": ("rights", ("rightsUri", "rightsIdentifier", "rightsIdentifierScheme", "lang")),
    "descriptions": ("description", ("descriptionType", "lang")),
}  # fmt: skip
"""Lists of an element with words and attributes: the element's name, and the attributes by their JSON names."""

_PEOPLE = {"creators": "creator", "contributors": "contributor"}
_BOX = ("westBoundLongitude", "eastBoundLongitude", "southBoundLatitude", "northBoundLatitude")
_POINT = ("pointLongitude", "pointLatitude")
_BOX_NUMBERS, _POINT_NUMBERS = 4, 2
Given = Mapping[str, Any]


def resource(root: xml.Element) -> xml.Element:
    """Return the `resource` element, alone or in an envelope (`oai_datacite`, a record of OAI-PMH).

    Raises:
        BadDocument: There is none.
    """
    found = root if xml.local(root) == "resource" else xml.first(root, "//resource")
    if found is None:
        raise BadDocument("this is no DataCite XML: it has no resource element")
    return found


def from_xml(given: xml.Element) -> Given:
    """Return a `resource` element as DataCite JSON."""
    kind = xml.first(given, "resourceType")
    return {
        **{plural: list(_items(given, plural)) for plural in _LISTS},
        **{plural: list(_people(given, plural)) for plural in _PEOPLE},
        "doi": _doi(xml.first(given, "identifier")),
        "publisher": {"name": xml.text(given, "publisher")},
        "publicationYear": xml.text(given, "publicationYear"),
        "types": {
            "resourceType": xml.text(kind),
            "resourceTypeGeneral": xml.attribute(kind, "resourceTypeGeneral"),
        },
        "formats": [xml.text(form) for form in xml.each(given, "formats/format")],
        "geoLocations": [_place(place) for place in xml.each(given, "geoLocations/geoLocation")],
        "fundingReferences": [
            {"funderName": xml.text(item, "funderName")}
            for item in xml.each(given, "fundingReferences/fundingReference")
        ],
    }


def _doi(identifier: xml.Element | None) -> str | None:
    kind = xml.attribute(identifier, "identifierType") or "DOI"
    return xml.text(identifier) if kind.upper() == "DOI" else None


def _items(given: xml.Element, plural: str) -> Iterator[Given]:
    singular, attributes = _LISTS[plural]
    for element in xml.each(given, f"{plural}/{singular}"):
        said = {name: xml.attribute(element, _in_xml(name)) for name in attributes}
        yield {singular: xml.text(element)} | {name: value for name, value in said.items() if value}


def _in_xml(name: str) -> str:
    return "rightsURI" if name == "rightsUri" else name


def _people(given: xml.Element, plural: str) -> Iterator[Given]:
    singular = _PEOPLE[plural]
    for element in xml.each(given, f"{plural}/{singular}"):
        called = xml.first(element, f"{singular}Name")
        yield {
            "name": xml.text(called),
            "nameType": xml.attribute(called, "nameType"),
            "familyName": xml.text(element, "familyName"),
            "nameIdentifiers": [
                {"nameIdentifier": xml.text(item)} for item in xml.each(element, "nameIdentifier")
            ],
            "contributorType": xml.attribute(element, "contributorType"),
        }


def _place(place: xml.Element) -> Given:
    """A place; kernel 3 wrote a point as "latitude longitude", a box as "south west north east"."""
    said: dict[str, Any] = {"geoLocationPlace": xml.text(place, "geoLocationPlace")}
    box, point = xml.first(place, "geoLocationBox"), xml.first(place, "geoLocationPoint")
    if box is not None:
        numbers = (xml.text(box) or "").split()
        plain = len(box) == 0 and len(numbers) == _BOX_NUMBERS
        south, west, north, east = numbers if plain else [None] * _BOX_NUMBERS
        sides = (west, east, south, north)
        said["geoLocationBox"] = dict(zip(_BOX, sides, strict=True)) if plain else _numbers(box, _BOX)
    if point is not None:
        numbers = (xml.text(point) or "").split()
        plain = len(point) == 0 and len(numbers) == _POINT_NUMBERS
        said["geoLocationPoint"] = (
            dict(zip(_POINT, reversed(numbers), strict=True)) if plain else _numbers(point, _POINT)
        )
    polygon = xml.first(place, "geoLocationPolygon")
    if polygon is not None:
        said["geoLocationPolygon"] = [
            {"polygonPoint": _numbers(corner, _POINT)} for corner in xml.each(polygon, "polygonPoint")
        ]
    return said


def _numbers(element: xml.Element, names: tuple[str, ...]) -> Given:
    return {name: xml.text(element, name) for name in names}


def to_xml(said: Given, identifier: str, kind: str) -> bytes:
    """Return DataCite JSON, as `datacite.said` makes it, as XML of kernel 4.5.

    Args:
        said: The JSON.
        identifier: What stands in `identifier`, which the schema wants: a DOI where there is one.
        kind: Its `identifierType`.
    """
    root = etree.Element(f"{{{NAMESPACE}}}resource", nsmap={None: NAMESPACE, "xsi": _XSI})
    root.set(f"{{{_XSI}}}schemaLocation", _LOCATION)
    _add(root, "identifier", identifier, identifierType=kind)
    for plural, singular in _PEOPLE.items():
        for person in said.get(plural, ()):
            element = _add(_list(root, plural), singular)
            if plural == "contributors":
                element.set("contributorType", person["contributorType"])
            _add(element, f"{singular}Name", person["name"], nameType=person["nameType"])
    for plural, (singular, attributes) in _LISTS.items():
        for item in said.get(plural, ()):
            named = {_in_xml(name): item[name] for name in attributes if name in item and name != "lang"}
            element = _add(_list(root, plural), singular, item.get(singular), **named)
            if "lang" in item:
                element.set(_LANG, item["lang"])
    _add(root, "publisher", said["publisher"]["name"])
    _add(root, "publicationYear", said["publicationYear"])
    types = said["types"]
    _add(root, "resourceType", types["resourceType"], resourceTypeGeneral=types["resourceTypeGeneral"])
    for funder in said.get("fundingReferences", ()):
        _add(_add(_list(root, "fundingReferences"), "fundingReference"), "funderName", funder["funderName"])
    for place in said.get("geoLocations", ()):
        box = _add(_add(_list(root, "geoLocations"), "geoLocation"), "geoLocationBox")
        for name in _BOX:
            _add(box, name, repr(place["geoLocationBox"][name]))
    return bytes(etree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _add(parent: xml.Element, name: str, words: str | None = None, **attributes: str) -> xml.Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}", attributes)
    element.text = words
    return element


def _list(root: xml.Element, plural: str) -> xml.Element:
    found = root.find(f"{{{NAMESPACE}}}{plural}")
    return _add(root, plural) if found is None else found


def from_json(value: Any) -> Given:
    """Return the attributes of a DataCite JSON document, alone or in the envelope of the REST API.

    Raises:
        BadDocument: It is none.
    """
    given = clean.mapping(value)
    for envelope in ("data", "attributes"):
        given = clean.mapping(given[envelope]) if envelope in given else given
    if not {"titles", "creators", "doi", "types"} & given.keys():
        raise BadDocument("this is no DataCite JSON: it has neither titles, creators, doi nor types")
    return given
