"""DCAT 2 and 3 and its profiles DCAT-AP and DCAT-US, as JSON-LD, Turtle or RDF/XML; written as DCAT-AP wants it.

https://www.w3.org/TR/vocab-dcat-3/, https://semiceu.github.io/DCAT-AP/releases/3.0.0/,
https://resources.data.gov/resources/dcat-us/. DCAT has no words for variables, depths and resolutions; quality notes
are annotations (https://www.w3.org/TR/vocab-dqv/). RDF has no order: keywords, parties and distributions are sorted.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _dcatnodes as dcat
from catalog.dialects import _words as clean
from catalog.dialects._contexts import PREFIXES
from catalog.dialects._dcatnodes import ROLES, SERVICES, Node
from catalog.dialects._dcatwriting import said
from catalog.dialects._extent import Notes, note
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._notes import carried, titled, together
from catalog.dialects._parties import joined, role_named
from catalog.dialects._rdf import Feed, read_feed, read_values, written
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.dialects._ways import VECTOR, way
from catalog.errors import BadDocument
from catalog.record import Extent, Licence, Party, Record, Role, Text
from catalog.source import Document

MEDIA_TYPE = "application/ld+json"
_DATASET = PREFIXES["dcat"] + "Dataset"
_BARE = re.compile(r"[0-9a-fA-F]{64}")


def read(document: Document) -> Record:
    """Read the dataset of a document: that of its native id where it has several, else the first by name.

    Raises:
        BadDocument: It is no RDF, or has no dcat:Dataset.
    """
    dataset, unknown = _dataset(document)
    named = dcat.text(dataset, "dct:title", "rdfs:label", "schema:name")
    title, untitled = titled(named, document.name or document.native_id)
    summary = dcat.text(dataset, "dct:description", "schema:description")
    boxes, misplaced = dcat.places(dataset)
    time, mistimed = dcat.times(dataset)
    ways, lost = distributions(_ways(dataset))
    if unknown:
        untitled += (note("context-unknown", f"the context {unknown[0][:300]} is not known here"),)
    return _record(
        document,
        {
            "title": title,
            "summary": summary if summary != title else None,
            "keywords": _keywords(dataset),
            "kind": "features" if {found.format for found in ways} & VECTOR else "document",
            "extent": Extent(boxes=boxes, time=time),
            "parties": tuple(sorted(joined(_parties(dataset)), key=lambda party: party.name)),
            "licence": _licence(dataset),
            **_plain(document, dataset),
            "distributions": tuple(sorted(ways, key=lambda found: found.model_dump_json())),
            "quality": _sorted(together(_carried(dataset), untitled, misplaced, mistimed, lost)),
        },
    )


def _sorted(notes: Notes) -> Notes:
    return tuple(sorted(notes, key=lambda found: (found.code, found.text)))


def _dataset(document: Document) -> tuple[Node, tuple[str, ...]]:
    """The dataset's node, and the contexts that are not known. Raises BadDocument."""
    if document.content.lstrip()[:1] == b"{":
        value = read_json(document.content)
        if "@context" not in value and isinstance(value.get("@type"), list) and _DATASET in value["@type"]:
            return value, ()  # as a harvester cuts it out of a feed
        feed = read_values(value, document.url)
    else:
        feed = read_feed(document.content, document.media_type, document.url)
    found = list(feed.datasets())
    if not found:
        raise BadDocument(f"the RDF has no dcat:Dataset{_missing(feed)}")
    chosen = next((node for name, node in found if name == document.native_id), None)
    return chosen or found[0][1], feed.unknown


def _missing(feed: Feed) -> str:
    return f"; its context {feed.unknown[0][:300]} is not known here" if feed.unknown else ""


def _keywords(dataset: Node) -> tuple[Text, ...]:
    found = [
        text
        for value in dcat.each(dataset, "dcat:keyword")
        if (text := dcat.text({_KEY: [value]}, "dcat:keyword"))
    ]
    themes = (dcat.text({_KEY: [value]}, "dcat:keyword") for value in dcat.each(dataset, "dcat:theme"))
    plain = [theme for theme in themes if theme and not any("://" in words for words in theme.words.values())]
    return tuple(sorted({*found, *plain}, key=lambda text: sorted(text.words.items())))


_KEY = PREFIXES["dcat"] + "keyword"


def _parties(dataset: Node) -> Iterator[Party]:
    for name, role in ROLES.items():
        for value in dcat.each(dataset, name):
            yield from _party(value, role)
    for attribution in dcat.nodes(dataset, "prov:qualifiedAttribution"):
        claims = [dcat.last(dcat.label(value)) for value in dcat.each(attribution, "dcat:hadRole")]
        role = role_named(next(iter(claims), None), "contributor")
        for agent in dcat.each(attribution, "prov:agent"):
            yield from _party(agent, role)


def _party(value: Any, role: Role) -> Iterator[Party]:
    node: Node = value if isinstance(value, dict) and "@value" not in value else {}
    called = clean.name(dcat.label(value))
    if not called:
        return
    kinds = {dcat.last(kind) for kind in node.get("@type", ()) if isinstance(kind, str)}
    mail = next(
        (
            said
            for one in dcat.each(node, "vcard:hasEmail", "vcard:email", "foaf:mbox")
            if (said := dcat.label(one))
        ),
        "",
    )
    pages = dcat.each(node, "foaf:homepage", "vcard:hasURL", "foaf:page")
    link = next((link for page in (*pages, {"@id": node.get("@id")}) if (link := dcat.address(page))), None)
    yield Party(
        name=called,
        roles=(role,),
        organisation=not kinds & {"Person", "Individual"},
        email=clean.words(mail.removeprefix("mailto:"), 1_000),
        url=link,
    )


def _licence(dataset: Node) -> Licence | None:
    ways = list(dcat.nodes(dataset, "dcat:distribution"))
    for node in (dataset, *ways):
        for value in dcat.each(node, "dct:license"):
            found = _terms(value)
            if found:
                return found
    rights = (licence(dcat.words(node, "dct:rights")) for node in (dataset, *ways))
    return next((found for found in rights if found), None)


def _terms(value: Any) -> Licence | None:
    if not isinstance(value, dict) or "@value" in value:
        return licence(dcat.label(value))
    title = dcat.words(value, "dct:title", "rdfs:label", "skos:prefLabel")
    link = dcat.address(value) or next(map(dcat.address, dcat.each(value, "foaf:page", "rdfs:seeAlso")), None)
    return licence(title, link, None, dcat.words(value, "dct:identifier"))


def _plain(document: Document, dataset: Node) -> dict[str, Any]:
    names = [
        dcat.label(value) for value in dcat.each(dataset, "dct:identifier", "adms:identifier", "owl:sameAs")
    ]
    pages = [dcat.address(value) for value in dcat.each(dataset, "dcat:landingPage", "foaf:page")]
    often = dcat.words(dataset, "dct:accrualPeriodicity")
    page = next((link for link in (*pages, dcat.address(dataset), clean.address(document.url)) if link), None)
    return {
        "citation": dcat.words(dataset, "dct:bibliographicCitation"),
        "doi": clean.doi(*names, dataset.get("@id"), *pages),
        "lineage": dcat.words(dataset, "dct:provenance"),
        "update_frequency": clean.words(dcat.last(often) if often and "://" in often else often, 200),
        "created": clean.moment(dcat.words(dataset, "dct:created", "dct:issued")),
        "modified": clean.moment(dcat.words(dataset, "dct:modified")),
        "landing_page": page,
    }


def _carried(dataset: Node) -> Notes:
    bodies = [
        body
        for annotation in dcat.nodes(dataset, "dqv:hasQualityAnnotation")
        for body in dcat.nodes(annotation, "oa:hasBody")
    ]
    return carried((dcat.words(body, "dct:identifier"), dcat.words(body, "rdf:value")) for body in bodies)


def _ways(dataset: Node) -> Iterator[Mapping[str, Any]]:
    for node in dcat.nodes(dataset, "dcat:distribution"):
        title = dcat.words(node, "dct:title", "dct:description")
        named = [dcat.label(value) or "" for value in dcat.each(node, "dcat:mediaType", "dct:format")]
        forms = [form.rpartition("/media-types/")[2] if "/media-types/" in form else form for form in named]
        plain = [dcat.last(form) if "://" in form else form for form in forms]
        services = list(dcat.nodes(node, "dcat:accessService"))
        standards = [
            dcat.label(one) or "" for part in (node, *services) for one in dcat.each(part, "dct:conformsTo")
        ]
        links = [dcat.address(one) for one in dcat.each(node, "dcat:downloadURL", "dcat:accessURL")]
        links += [dcat.address(one) for part in services for one in dcat.each(part, "dcat:endpointURL")]
        known = list(dict.fromkeys(link for link in links if link))
        sizes = (clean.whole(dcat.words(node, "dcat:byteSize")),)
        for at, link in enumerate(known or [None]):
            found = way(
                link,
                said=" ".join([*(dcat.last(one) for one in standards), title or ""])[:500],
                form=next((form for form in plain if form and "/" not in form), None),
                media_type=next((form for form in forms if "/" in form and "://" not in form), None),
                title=title,
                size=sizes[0],
            )
            if at == 0 or found["protocol"] in SERVICES:
                yield {**found, **_checksum(node)}


def _checksum(node: Node) -> dict[str, str]:
    for checksum in dcat.nodes(node, "spdx:checksum"):
        value = dcat.words(checksum, "spdx:checksumValue") or ""
        if _BARE.fullmatch(value):
            return {"checksum": f"sha256:{value.lower()}"}
    return {}


def write(record: Record, form: str = "json-ld") -> bytes:
    """Write a record as a dcat:Dataset of DCAT-AP 3, which wants a description: the title stands for one.

    Files of this server are left out.

    Args:
        record: The record.
        form: `json-ld`, `turtle` or `xml` (RDF/XML).
    """
    return written(said(record), form)
