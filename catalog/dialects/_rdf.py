"""RDF as feeds send it, through rdflib with the network shut off; nodes as JSON-LD values with whole names.

JSON-LD 1.1 (contexts only from `_contexts`), Turtle and N-Triples, RDF/XML (checked by `_xml` first, so that rdflib
never sees a document type). The same bytes give the same nodes: RDF has no order, so values are sorted.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import rdflib
from lxml import etree
from rdflib.namespace import RDF
from rdflib.plugins.parsers.jsonld import to_rdf

from catalog.dialects._contexts import PREFIXES, bundled, unknown
from catalog.dialects._dcatnodes import NOWHERE
from catalog.dialects._json import read_json
from catalog.dialects._xml import read_xml
from catalog.errors import BadDocument

Node = Mapping[str, Any]
DCAT, HYDRA = PREFIXES["dcat"], PREFIXES["hydra"]
_DEPTH = 6
_MOST_NODES = 5_000
_NEXT = (HYDRA + "next", HYDRA + "nextPage")
_TOTAL = HYDRA + "totalItems"

logging.getLogger("rdflib").setLevel(logging.CRITICAL)
"""It tells each ill-typed date and odd name with its stack."""


class _Triples(rdflib.Graph):
    """A graph that keeps no prefixes: rdflib looks through all of them for each new one."""

    def __init__(self) -> None:
        super().__init__("SimpleMemory", bind_namespaces="none")

    def bind(self, *_: Any, **__: Any) -> None:
        """Keep no prefix."""


@dataclass(frozen=True)
class Feed:
    """A graph of datasets.

    Args:
        graph: The triples.
        unknown: The addresses of JSON-LD contexts that were left out.
    """

    graph: Any
    unknown: tuple[str, ...] = ()

    def datasets(self) -> Iterator[tuple[str | None, Node]]:
        """Yield each dcat:Dataset, and what a dcat:Catalog lists as one, by name: its IRI or None, and its node.

        Raises:
            BadDocument: A dataset has more than 5,000 nodes.
        """
        found = set(self.graph.subjects(RDF.type, rdflib.URIRef(DCAT + "Dataset")))
        found |= set(self.graph.objects(None, rdflib.URIRef(DCAT + "dataset")))
        named = sorted(node for node in found if isinstance(node, rdflib.URIRef))
        yield from ((str(node), self._described(node)) for node in named)
        blank = [self._described(node) for node in found if isinstance(node, rdflib.BNode)]
        yield from ((None, node) for node in sorted(blank, key=_order))

    def next_page(self) -> str | None:
        """Return the address of the next page (Hydra), None where there is none."""
        found = [str(link) for name in _NEXT for link in self.graph.objects(None, rdflib.URIRef(name))]
        return min(found, default=None)

    def total(self) -> int | None:
        """Return how many the whole feed says to have (Hydra), None where it does not say."""
        found = [str(said) for said in self.graph.objects(None, rdflib.URIRef(_TOTAL))]
        return max((int(said) for said in found if re.fullmatch(r"[0-9]{1,9}", said)), default=None)

    def _described(self, node: Any) -> Node:
        return _Describing(self.graph).node(node)


class _Describing:
    """Describes a node with those that it refers to; stops at other datasets and catalogs, circles and the depth."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._left = _MOST_NODES

    def node(self, node: Any, above: tuple[Any, ...] = ()) -> Node:
        self._left -= 1
        if self._left < 0:
            raise BadDocument(f"a dataset has more than {_MOST_NODES:,} nodes")
        said: dict[str, Any] = {"@id": str(node)} if isinstance(node, rdflib.URIRef) else {}
        if above and self._is_other(node):
            return said
        for predicate, value in self._graph.predicate_objects(node):
            if predicate == RDF.type:
                said["@type"] = sorted({*said.get("@type", ()), str(value)})
            else:
                said.setdefault(str(predicate), []).append(self._value(value, (*above, node)))
        return {
            key: value if key[:1] == "@" else sorted(value, key=_order) for key, value in sorted(said.items())
        }

    def _is_other(self, node: Any) -> bool:
        kinds = {str(kind) for kind in self._graph.objects(node, RDF.type)}
        return bool(
            kinds & {DCAT + "Dataset", DCAT + "Catalog", DCAT + "CatalogRecord", DCAT + "DatasetSeries"}
        )

    def _value(self, value: Any, above: tuple[Any, ...]) -> Node:
        if isinstance(value, rdflib.Literal):
            said = {"@value": str(value)}
            if value.language:
                said["@language"] = value.language
            elif value.datatype:
                said["@type"] = str(value.datatype)
            return said
        if value in above or len(above) > _DEPTH:
            return {"@id": str(value)} if isinstance(value, rdflib.URIRef) else {}
        return self.node(value, above)


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def read_feed(content: bytes, media_type: str = "", base: str = "") -> Feed:
    """Read RDF, in the form that its bytes show, else that its media type says.

    Args:
        content: JSON-LD, RDF/XML, Turtle or N-Triples.
        media_type: What the server called it.
        base: Where it came from: the base of relative names.

    Raises:
        BadDocument: It is none of these, or is nested too deep.
    """
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] in {b"{", b"["}:
        return read_values(read_json(content), base)
    if start[:5] == b"<?xml" or b"rdf:RDF" in start[:2_000] or "xml" in media_type:
        root = read_xml(content)
        return Feed(_parsed(etree.tostring(root), "xml", base))
    if not start or b"\x00" in content or start[:9].lower() == b"<!doctype" or start[:5].lower() == b"<html":
        raise BadDocument("this is no RDF: neither JSON-LD, RDF/XML nor Turtle")
    return Feed(_parsed(content, "turtle", base))


def read_values(value: Any, base: str = "") -> Feed:
    """Read JSON values as JSON-LD. Raises BadDocument, as `read_feed`."""
    if not isinstance(value, dict | list):
        raise BadDocument("this is no JSON-LD: it has no object")
    try:
        whole = bundled(value)
    except RecursionError as error:
        raise BadDocument("the JSON-LD is nested too deep") from error
    return Feed(_parsed(whole, "json-ld", base), unknown(value))


def _parsed(content: Any, form: str, base: str) -> Any:
    """The graph of bytes, or of the JSON values of JSON-LD; its literals stay as they are written."""
    # else "1e999999999"^^xsd:decimal is written out; set here, as other libraries set it anew
    rdflib.NORMALIZE_LITERALS = False
    graph = _Triples()
    try:
        if form == "json-ld":
            to_rdf(content, graph, base=base or NOWHERE)
        else:
            graph.parse(data=content, format=form, publicID=base or NOWHERE)
    except RecursionError as error:
        raise BadDocument(f"the {form} is nested too deep") from error
    except (
        Exception
    ) as error:  # its parsers raise whatever comes: BadSyntax, KeyError, AssertionError, SAX errors
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadDocument(f"this is no {form}: {said}") from error
    return graph


def written(value: Any, form: str) -> bytes:
    """Write JSON-LD values as `turtle` or `xml` (RDF/XML); as `json-ld` they stay as they are."""
    if form == "json-ld":
        return json.dumps(value, ensure_ascii=False).encode()
    graph = rdflib.Graph(bind_namespaces="none")
    for prefix, space in PREFIXES.items():
        graph.bind(prefix, space)
    for triple in _parsed(bundled(value), "json-ld", ""):
        graph.add(triple)
    return graph.serialize(format=form, encoding="utf-8")
