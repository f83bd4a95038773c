"""schema.org's Dataset as JSON-LD: Google Dataset Search, Science-on-Schema.org 1.3, ODIS.

https://schema.org/Dataset, https://github.com/ESIPFed/science-on-schema.org. A document has one Dataset that it is
about: the first at its top, in its `@graph`, or behind a page's or catalog's `mainEntity` and `dataset`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note
from catalog.dialects._jsonld import Graph, Node, literal, read_graph, types, write_text
from catalog.dialects._licences import licence
from catalog.dialects._notes import carried, titled, together
from catalog.dialects._parties import joined, role_named
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.dialects._schemaplaces import extent, write_depth, write_extent
from catalog.dialects._ways import VECTOR, way
from catalog.errors import BadDocument
from catalog.record import MOST, Distribution, Kind, Licence, Party, Record, Role, Text, Variable
from catalog.source import Document

MEDIA_TYPE = "application/ld+json"
_DATASETS = frozenset({"Dataset", "DataFeed"})
_LEADING = ("mainEntity", "mainEntityOfPage", "dataset", "itemListElement", "item", "hasPart", "about")
_ROLES: Mapping[str, Role] = {
    "creator": "creator", "author": "author", "publisher": "publisher", "provider": "distributor",
    "contributor": "contributor", "funder": "funder", "maintainer": "custodian", "sourceOrganization": "originator",
    "copyrightHolder": "owner", "producer": "processor", "contactPoint": "pointOfContact",
}  # fmt: skip
"""Properties of a Dataset whose values are people and organisations; other roles are said by a Role."""

_STANDARD_NAME = re.compile(
    r"(?:vocab\.nerc\.ac\.uk/standard_name|mmisw\.org/ont/cf/parameter)/([a-z][a-z0-9_]{0,200})/?$"
)
_BYTES = re.compile(r"([0-9]{1,19})(?:\.0+)? ?(?:B|bytes?)?", re.IGNORECASE)
_SPLIT = re.compile(r"[,;\n]")
_ALSO = ("lineage", "update frequency", "quality")
_LETTERS = 100  # of what may stand as the name of a service


def read(document: Document) -> Record:
    """Read a document's Dataset.

    Raises:
        BadDocument: It is no JSON-LD, or has no Dataset.
    """
    graph = read_graph(document.content)
    dataset = next(datasets(graph), None)
    if dataset is None:
        kinds = sorted({kind for node in graph.top for kind in types(node)})
        raise BadDocument(
            f"the JSON-LD has no Dataset; it has {', '.join(kinds)[:200] or 'nothing with a type'}"
        )
    named = graph.text(dataset, "name", "headline", "alternateName")
    title, untitled = titled(named, document.name or document.native_id)
    if not graph.known:
        untitled += (note("context-missing", "the JSON-LD does not say that its terms are schema.org's"),)
    where, odd = extent(graph, dataset)
    variables, repeated = _variables(graph, dataset)
    ways, lost = distributions(_ways(graph, dataset))
    return _record(
        document,
        {
            "title": title,
            "summary": graph.text(dataset, "description", "abstract"),
            "keywords": _keywords(graph, dataset),
            "kind": _kind(graph, dataset, {found.format for found in ways}),
            "variables": variables,
            "extent": where,
            "parties": joined(_parties(graph, dataset)),
            "licence": _licence(graph, dataset),
            **_plain(document, graph, dataset),
            "distributions": ways,
            "quality": together(_carried(graph, dataset), untitled, odd, repeated, lost),
        },
    )


def datasets(graph: Graph) -> Iterator[Node]:
    """Yield the Datasets that a document is about, those of a page or a catalog among them, each once."""
    seen: set[int] = set()
    waiting = list(reversed(graph.top))
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if types(node) & _DATASETS:
            yield node
        else:
            waiting += reversed(list(graph.nodes(node, *_LEADING)))


def _keywords(graph: Graph, dataset: Node) -> tuple[Text, ...]:
    """Keywords: a list is taken as it is, a single string is split at commas and semicolons."""
    values = list(graph.each(dataset, "keywords"))
    if len(values) == 1 and isinstance(values[0], str):
        parts = (clean.words(part) for part in _SPLIT.split(values[0]))
        return tuple(dict.fromkeys(Text.of(part) for part in parts if part))
    said = (graph.text(_named(value), "name") for value in values)
    return tuple(dict.fromkeys(text for text in said if text))


def _named(value: Any) -> Node:
    """A node, or a literal as the name of one."""
    return value if isinstance(value, dict) and "name" in value else {"name": value}


def _kind(graph: Graph, dataset: Node, formats: set[str]) -> Kind:
    said = {clean.words(literal(value)) for value in graph.each(dataset, "additionalType")}
    for kind in get_args(Kind):
        if kind in said:
            return cast("Kind", kind)
    return "features" if formats & VECTOR else "document"


def _plain(document: Document, graph: Graph, dataset: Node) -> dict[str, Any]:
    names = [literal(value) for value in graph.each(dataset, "identifier", "sameAs", "@id", "url")]
    numbers = [graph.words(node, "value") for node in graph.nodes(dataset, "identifier")]
    page = (clean.address(graph.words(dataset, key)) for key in ("url", "@id"))
    also = _also(graph, dataset)
    return {
        "citation": graph.words(dataset, "citation"),
        "doi": clean.doi(*numbers, *names),
        "lineage": next(iter(also["lineage"]), None),
        "update_frequency": clean.words(next(iter(also["update frequency"]), None), 200),
        "created": clean.moment(graph.words(dataset, "dateCreated", "datePublished")),
        "modified": clean.moment(graph.words(dataset, "dateModified", "sdDatePublished")),
        "landing_page": next((link for link in page if link), None) or clean.address(document.url),
    }


def _also(graph: Graph, dataset: Node) -> Mapping[str, list[str]]:
    """What schema.org has no term for, by the names of PropertyValues."""
    found: dict[str, list[str]] = {name: [] for name in _ALSO}
    for item in graph.nodes(dataset, "additionalProperty"):
        said, called = graph.words(item, "value"), graph.words(item, "name")
        if said and called in found:
            found[called].append(said)
    return found


def _carried(graph: Graph, dataset: Node) -> Notes:
    items = graph.nodes(dataset, "additionalProperty")
    return carried(
        (graph.words(item, "propertyID"), graph.words(item, "value"))
        for item in items
        if graph.words(item, "name") == "quality"
    )


def _parties(graph: Graph, dataset: Node) -> Iterator[Party]:
    for key, role in _ROLES.items():
        for value in graph.each(dataset, key):
            inner = list(graph.each(value, key)) if isinstance(value, dict) and "Role" in types(value) else []
            claim = graph.words(value, "roleName") if inner else None
            for who in inner or [value]:
                found = _party(graph, who, role_named(claim, role))
                if found:
                    yield found


def _party(graph: Graph, who: Any, role: Role) -> Party | None:
    node: Node = who if isinstance(who, dict) and "@value" not in who else {"name": who}
    given = [graph.words(node, key) for key in ("givenName", "familyName")]
    called = clean.name(graph.words(node, "name", "legalName") or " ".join(part for part in given if part))
    if not called:
        return None
    contacts = (node, *graph.nodes(node, "contactPoint"))
    emails = (clean.words(graph.words(part, "email"), 1_000) for part in contacts)
    return Party(
        name=called,
        roles=(role,),
        organisation="Person" not in types(node),
        email=next((email for email in emails if email), None),
        url=clean.address(graph.words(node, "url", "@id")),
    )


def _licence(graph: Graph, dataset: Node) -> Licence | None:
    for value in graph.each(dataset, "license"):
        if isinstance(value, dict) and "@value" not in value:
            parts = (
                graph.words(value, *keys)
                for keys in (("name",), ("url", "@id"), ("alternateName",), ("identifier",))
            )
            found = licence(*parts)
        else:
            found = licence(literal(value))
        if found:
            return found
    return None


def _variables(graph: Graph, dataset: Node) -> tuple[tuple[Variable, ...], Notes]:
    found: dict[str, Variable] = {}
    values = list(graph.each(dataset, "variableMeasured"))
    if len(values) == 1 and isinstance(values[0], str):
        values = list(_SPLIT.split(values[0]))
    most = MOST["variables"]
    for value in values[:most]:
        variable = _variable(graph, value)
        if variable:
            found.setdefault(variable.name, variable)
    left = len(values) - most
    notes = (
        (note("variables-left-out", f"{left:,} of {len(values):,} variables were left out"),)
        if left > 0
        else ()
    )
    return tuple(found.values()), notes


def _variable(graph: Graph, value: Any) -> Variable | None:
    node: Node = value if isinstance(value, dict) and "@value" not in value else {"name": value}
    called = clean.name(graph.words(node, "name", "alternateName", "@id"))
    if called is None:
        return None
    names = (
        clean.words(literal(one)) or "" for one in graph.each(node, "propertyID", "sameAs", "@id", "url")
    )
    standard = next((match[1] for name in names if (match := _STANDARD_NAME.search(name))), None)
    return Variable(
        name=called,
        standard_name=standard,
        title=graph.text(node, "description"),
        units=clean.words(graph.words(node, "unitText", "unitCode"), 1_000),
    )


def _ways(graph: Graph, dataset: Node) -> Iterator[Mapping[str, Any]]:
    for value in graph.each(dataset, "distribution"):
        if not isinstance(value, dict):
            yield way(value)
            continue
        yield _way(graph, value, graph.words(value, "contentUrl", "url", "@id"))
    for action in graph.nodes(dataset, "potentialAction"):
        for target in graph.nodes(action, "target"):
            link = (graph.words(target, "urlTemplate", "url") or "").partition("{")[0]
            yield {
                **_way(graph, target, link),
                "title": graph.words(action, "name") or graph.words(target, "name"),
            }


def _way(graph: Graph, node: Node, link: str | None) -> Mapping[str, Any]:
    said = [
        clean.words(literal(one)) or ""
        for one in graph.each(node, "encodingFormat", "fileFormat", "contentType")
    ]
    forms = [one.rpartition("/media-types/")[2] for one in said]
    title = graph.words(node, "name", "description")
    services = (*forms, *sorted(types(node)), graph.words(node, "additionalType"), title)
    size = _BYTES.fullmatch(graph.words(node, "contentSize") or "")
    found = way(
        link,
        said=" ".join(one for one in services if one and len(one) <= _LETTERS),
        form=next((one for one in forms if "/" not in one), None),
        media_type=next((one for one in forms if "/" in one and "://" not in one), None),
        title=title,
        size=size[1] if size else None,
    )
    checksum = (graph.words(node, "sha256") or "").lower()
    return {**found, "checksum": f"sha256:{checksum}"} if re.fullmatch(r"[0-9a-f]{64}", checksum) else found


def write(record: Record) -> bytes:
    """Write a record as a Dataset in schema.org's own context; files of this server are left out."""
    said = {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "@id": record.landing_page,
        "url": record.landing_page,
        "additionalType": record.kind if record.kind != "document" else None,
        "name": write_text(record.title),
        "description": write_text(record.summary),
        "keywords": [{"@type": "DefinedTerm", "name": write_text(word)} for word in record.keywords],
        **_write_parties(record.parties),
        "license": _write_licence(record.licence),
        "citation": record.citation,
        "identifier": _write_doi(record.doi),
        "dateCreated": record.created,
        "dateModified": record.modified,
        **write_extent(record.extent),
        "variableMeasured": [_write_variable(variable) for variable in record.data_variables()],
        "distribution": [
            _write_way(item) for item in record.distributions if clean.address(item.address) == item.address
        ],
        "additionalProperty": [*write_depth(record.extent), *_write_also(record)],
    }
    return json.dumps(
        {key: value for key, value in said.items() if value not in (None, [])}, ensure_ascii=False
    ).encode()


def _write_parties(parties: tuple[Party, ...]) -> dict[str, list[dict[str, Any]]]:
    said: dict[str, list[dict[str, Any]]] = {}
    keys = {role: key for key, role in _ROLES.items()}
    for party in parties:
        who = {
            "@type": "Organization" if party.organisation else "Person",
            "name": party.name,
            "email": party.email,
            "url": party.url,
        }
        node = {key: value for key, value in who.items() if value is not None}
        for role in party.roles:
            key = keys.get(role, "contributor")
            whole = node if role in keys else {"@type": "Role", "roleName": role, key: node}
            said = {**said, key: [*said.get(key, ()), whole]}
    return said


def _write_licence(terms: Licence | None) -> dict[str, Any] | None:
    if terms is None:
        return None
    said = {"name": terms.title, "url": terms.url, "identifier": terms.spdx}
    return {"@type": "CreativeWork", **{key: value for key, value in said.items() if value}}


def _write_doi(doi: str | None) -> dict[str, Any] | None:
    return doi and {
        "@type": "PropertyValue",
        "propertyID": "https://registry.identifiers.org/registry/doi",
        "value": f"doi:{doi}",
        "url": f"https://doi.org/{doi}",
    }  # type: ignore[return-value]


def _write_variable(variable: Variable) -> dict[str, Any]:
    standard = variable.standard_name
    said = {
        "name": variable.name,
        "description": write_text(variable.title),
        "unitText": variable.units,
        "propertyID": f"http://vocab.nerc.ac.uk/standard_name/{standard}/" if standard else None,
    }
    return {"@type": "PropertyValue", **{key: value for key, value in said.items() if value}}


def _write_way(item: Distribution) -> dict[str, Any]:
    forms = [item.media_type, item.format if item.format != "unknown" else None]
    said = {
        "contentUrl": item.address,
        "name": item.title,
        "encodingFormat": [form for form in forms if form],
        "contentSize": f"{item.size} B" if item.size is not None else None,
        "sha256": item.checksum.removeprefix("sha256:") if item.checksum else None,
    }
    return {"@type": "DataDownload", **{key: value for key, value in said.items() if value not in (None, [])}}


def _write_also(record: Record) -> list[dict[str, Any]]:
    plain = {"lineage": record.lineage, "update frequency": record.update_frequency}
    said = [{"name": name, "value": value} for name, value in plain.items() if value]
    said += [{"name": "quality", "propertyID": each.code, "value": each.text} for each in record.quality]
    return [{"@type": "PropertyValue", **item} for item in said]
