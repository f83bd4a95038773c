"""A record as JSON-LD of DCAT-AP 3: https://semiceu.github.io/DCAT-AP/releases/3.0.0/."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin

from catalog.dialects import _words as clean
from catalog.dialects._contexts import PREFIXES
from catalog.dialects._dcatnodes import ROLES, SERVICES
from catalog.dialects._shapes import wkt
from catalog.record import Distribution, Extent, Licence, Party, Record, Text

_SPACE = "urn:x-bienmo:"
_CODES = "http://inspire.ec.europa.eu/metadata-codelist/ResponsiblePartyRole/"
_MEDIA = "https://www.iana.org/assignments/media-types/"
_SHA256 = "http://spdx.org/rdf/terms#checksumAlgorithm_sha256"


def said(record: Record) -> dict[str, Any]:
    """Return a record as the JSON values of a dcat:Dataset; the title stands for a description where there is none."""
    page = clean.address(record.landing_page)
    name = f"https://doi.org/{record.doi}" if record.doi else page or _SPACE + record.id
    said = {
        "@context": PREFIXES,
        "@id": _iri(name),
        "@type": "dcat:Dataset",
        "dct:title": _text(record.title) or [record.id],
        "dct:description": _text(record.summary) or _text(record.title) or [record.id],
        "dcat:keyword": [part for keyword in record.keywords for part in _text(keyword)],
        "dct:identifier": [record.native_id, *([f"https://doi.org/{record.doi}"] if record.doi else [])],
        "dcat:landingPage": {"@id": _iri(page), "@type": "foaf:Document"} if page else None,
        **_write_parties(record.parties),
        "dct:license": _write_licence(record.licence),
        "dct:bibliographicCitation": record.citation,
        "dct:provenance": _labelled("dct:ProvenanceStatement", record.lineage),
        "dct:accrualPeriodicity": _labelled("dct:Frequency", record.update_frequency),
        "dct:issued": _moment(record.created),
        "dct:modified": _moment(record.modified),
        "dct:spatial": [
            {"@type": "dct:Location", "dcat:bbox": {"@type": "geosparql:wktLiteral", "@value": wkt(box)}}
            for box in record.extent.boxes
        ],
        "dct:temporal": _period(record.extent),
        "dcat:distribution": [
            _write_way(item, record.licence)
            for item in record.distributions
            if clean.address(item.address) == item.address
        ],
        "dqv:hasQualityAnnotation": [_annotation(found.code, found.text) for found in record.quality],
    }
    found: dict[str, Any] = _cleaned(_full(said))
    return found


def _full(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value not in (None, [])}


def _cleaned(value: Any) -> Any:
    """The values without letters that XML has no place for, and without blanks at the ends."""
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return clean.words(value) or ""


def _iri(address: str | None) -> str | None:
    """An address as a name of RDF: blanks, quotes and the like percent-encoded, as RDF/XML leaves it (`urljoin`)."""
    if not address:
        return None
    found = quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    try:
        while (joined := urljoin(found, found)) != found:
            found = joined
    except ValueError:  # brackets that are no IPv6 address
        return found
    return found


def _text(said: Text | None) -> list[Any]:
    """The words of a text that are any, by language."""
    return [
        words if code == "und" else {"@language": code, "@value": words}
        for code, words in (said.words.items() if said else ())
        if clean.words(words)
    ]


def _labelled(kind: str, words: str | None) -> dict[str, Any] | None:
    return {"@type": kind, "rdfs:label": words} if words else None


def _moment(at: str | None) -> dict[str, str] | None:
    return {"@type": "xsd:dateTime", "@value": at} if at else None


def _period(extent: Extent) -> dict[str, Any] | None:
    when = extent.time
    if when is None or not (when.start or when.end):
        return None
    ends = {"dcat:startDate": _moment(when.start), "dcat:endDate": _moment(when.end)}
    return {"@type": "dct:PeriodOfTime", **_full(ends)}


def _annotation(code: str, text: str) -> dict[str, Any]:
    return {
        "@type": "dqv:QualityAnnotation",
        "oa:motivatedBy": {"@id": "dqv:qualityAssessment"},
        "oa:hasBody": {"@type": "oa:TextualBody", "dct:identifier": code, "rdf:value": text},
    }


def _write_parties(parties: tuple[Party, ...]) -> dict[str, list[dict[str, Any]]]:
    """Parties by property; of several publishers the first, as DCAT-AP wants one, the others by their role."""
    said: dict[str, list[dict[str, Any]]] = {}
    keys = {role: key for key, role in ROLES.items()}
    for party in sorted(parties, key=lambda party: party.name):
        for role in party.roles:
            key = keys.get(role, "")
            if not key or (role == "publisher" and key in said):
                node = {
                    "@type": "prov:Attribution",
                    "prov:agent": _agent(party),
                    "dcat:hadRole": {"@id": _CODES + role},
                }
                key = "prov:qualifiedAttribution"
            else:
                node = _contact(party) if role == "pointOfContact" else _agent(party)
            said = {**said, key: [*said.get(key, ()), node]}
    return said


def _agent(party: Party) -> dict[str, Any]:
    kind = "foaf:Organization" if party.organisation else "foaf:Person"
    return _full(
        {
            "@type": ["foaf:Agent", kind],
            "foaf:name": party.name,
            "foaf:mbox": party.email,
            "foaf:homepage": {"@id": _iri(link)} if (link := clean.address(party.url)) else None,
        }
    )


def _contact(party: Party) -> dict[str, Any]:
    kind = "vcard:Organization" if party.organisation else "vcard:Individual"
    return _full(
        {
            "@type": ["vcard:Kind", kind],
            "vcard:fn": party.name,
            "vcard:hasEmail": f"mailto:{party.email}" if party.email else None,
            "vcard:hasURL": {"@id": _iri(link)} if (link := clean.address(party.url)) else None,
        }
    )


def _write_licence(terms: Licence | None) -> dict[str, Any] | None:
    if terms is None:
        return None
    link = _iri(clean.address(terms.url))
    said = {
        "@id": link,
        "@type": "dct:LicenseDocument",
        "dct:title": terms.title,
        "dct:identifier": terms.spdx,
    }
    return _full(said)


def _write_way(item: Distribution, terms: Licence | None) -> dict[str, Any]:
    link = {"@id": _iri(item.address)}
    is_file = item.protocol not in SERVICES
    checksum = (item.checksum or "").removeprefix("sha256:")
    media = item.media_type if item.media_type and "/" in item.media_type else None
    return _full(
        {
            "@type": "dcat:Distribution",
            "dcat:accessURL": link,
            "dcat:downloadURL": link if is_file else None,
            "dct:title": item.title,
            "dcat:mediaType": {"@id": _iri(_MEDIA + media)} if media else None,
            "dct:format": _labelled(
                "dct:MediaTypeOrExtent", None if item.format == "unknown" else item.format
            ),
            "dcat:byteSize": {"@type": "xsd:nonNegativeInteger", "@value": str(item.size)}
            if item.size is not None
            else None,
            "dct:license": _write_licence(terms),
            "spdx:checksum": {
                "@type": "spdx:Checksum",
                "spdx:algorithm": {"@id": _SHA256},
                "spdx:checksumValue": {"@type": "xsd:hexBinary", "@value": checksum},
            }
            if checksum
            else None,
        }
    )
