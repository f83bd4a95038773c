"""JSON-LD contexts of DCAT that are at hand, laid in the place of their addresses: none is ever fetched.

Feeds name their context by an address: DCAT-US (https://project-open-data.cio.gov/v1.1/schema/catalog.jsonld), DCAT-AP
(https://semiceu.github.io/DCAT-AP/releases/), DCAT (https://www.w3.org/ns/dcat). Their terms agree, so one table of
terms, made by us of those vocabularies, stands for them all. What another address means is not guessed.
"""

import re
from collections.abc import Mapping
from typing import Any

from catalog.errors import BadDocument

DCAT_US = "https://project-open-data.cio.gov/v1.1/schema/catalog.jsonld"
PREFIXES: Mapping[str, str] = {
    "adms": "http://www.w3.org/ns/adms#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dqv": "http://www.w3.org/ns/dqv#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geosparql": "http://www.opengis.net/ont/geosparql#",
    "hydra": "http://www.w3.org/ns/hydra/core#",
    "locn": "http://www.w3.org/ns/locn#",
    "oa": "http://www.w3.org/ns/oa#",
    "org": "http://www.w3.org/ns/org#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "prov": "http://www.w3.org/ns/prov#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "schema": "http://schema.org/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "time": "http://www.w3.org/2006/time#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_TERMS: Mapping[str, str] = {
    "dcat": "Catalog Dataset DatasetSeries Distribution DataService CatalogRecord keyword theme dataset distribution "
    "contactPoint landingPage accessURL downloadURL mediaType byteSize startDate endDate bbox centroid accessService "
    "endpointURL endpointDescription servesDataset service record catalog inSeries",
    "dct": "Location PeriodOfTime LicenseDocument RightsStatement ProvenanceStatement title description identifier "
    "issued modified created publisher creator contributor language license rights rightsHolder accessRights spatial "
    "temporal accrualPeriodicity provenance conformsTo format type bibliographicCitation isPartOf hasPart",
    "foaf": "Agent name mbox homepage page",
    "vcard": "Kind Contact fn hasEmail",
    "org": "Organization",
    "spdx": "Checksum checksum algorithm checksumValue",
    "locn": "geometry",
    "skos": "prefLabel notation",
    "prov": "qualifiedAttribution agent",
}
_PLAIN = {term: f"{prefix}:{term}" for prefix, terms in _TERMS.items() for term in terms.split()}
_BUNDLED = {**PREFIXES, "dcterms": PREFIXES["dct"], "gsp": PREFIXES["geosparql"], **_PLAIN}
_KNOWN = re.compile(
    r"https?://(?:project-open-data\.cio\.gov|(?:www\.)?w3\.org/ns/dcat|semiceu\.github\.io|"
    r"data\.europa\.eu|joinup\.ec\.europa\.eu|resources\.data\.gov)(?:$|[/#.].*)",
    re.IGNORECASE,
)
_SCHEMA = re.compile(r"https?://(?:www\.)?schema\.org(?:$|[/#].*)", re.IGNORECASE)
_MOST = 200
_MOST_TERMS = 5_000
_MOST_MEMBERS = 20_000  # of a document whose terms have contexts of their own: they are read anew at each use


def bundled(value: Any) -> Any:
    """Return JSON-LD values in which every context stands whole; an address that is not known is left out.

    Raises:
        BadDocument: It has more than 200 contexts, or they have more than 5,000 terms, or its terms have contexts of
            their own and it has more than 20,000 members; expanding them would take long.
    """
    found = list(_contexts(value))
    terms = sum(len(each) for each in found if isinstance(each, dict))
    if len(found) > _MOST or terms > _MOST_TERMS:
        raise BadDocument(f"the JSON-LD has {len(found):,} contexts with {terms:,} terms")
    if any(True for each in found for _ in _contexts(each)) and _members(value) > _MOST_MEMBERS:
        raise BadDocument("the JSON-LD is large, and its terms have contexts of their own")
    return _laid(value)


def _members(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(inner) + sum(map(_members, inner))


def unknown(value: Any) -> tuple[str, ...]:
    """Return the addresses of contexts that are not known."""
    links = (each for each in _contexts(value) if isinstance(each, str))
    return tuple(
        dict.fromkeys(each for each in links if not _KNOWN.fullmatch(each) and not _SCHEMA.fullmatch(each))
    )


def _contexts(value: Any) -> Any:
    """Every context in JSON values, those within contexts, too."""
    if isinstance(value, list):
        for item in value:
            yield from _contexts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "@context":
                yield from item if isinstance(item, list) else [item]
            yield from _contexts(item)


def _laid(value: Any) -> Any:
    if isinstance(value, list):
        return [_laid(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _whole(item) if key == "@context" else _laid(item)
        for key, item in value.items()
        if key != "@import"
    }


def _whole(context: Any) -> Any:
    items = context if isinstance(context, list) else [context]
    return [found for item in items if (found := _one(item)) is not None]


def _one(item: Any) -> Any:
    if isinstance(item, str):
        known = _KNOWN.fullmatch(item.strip())
        return (
            dict(_BUNDLED)
            if known
            else {"@vocab": PREFIXES["schema"]}
            if _SCHEMA.fullmatch(item.strip())
            else None
        )
    return _laid(item) if isinstance(item, dict) else None
