"""JSON-LD as pages carry it (JSON-LD 1.1, with the terms of schema.org): nodes with short names, nothing fetched.

A context is read for what it says of schema.org, of prefixes, of other names for terms and of the language; one that
stands at another address is not asked for. Terms of schema.org are called by their plain names, however they are
written (`name`, `schema:name`, `http://schema.org/name`), those of GeoSPARQL `geosparql:asWKT`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._json import read_json
from catalog.dialects._languages import UNKNOWN, language
from catalog.errors import BadDocument
from catalog.record import Text

Node = Mapping[str, Any]
_SCHEMA = re.compile(r"https?://(?:www\.)?schema\.org(?:$|[/#].*)", re.IGNORECASE)
_TERM = re.compile(r"https?://(?:www\.)?schema\.org[/#]([A-Za-z0-9]+)")
_GEOSPARQL = "http://www.opengis.net/ont/geosparql#"
_PREFIXES = {
    "schema": "https://schema.org/", "sdo": "https://schema.org/", "so": "https://schema.org/",
    "geosparql": _GEOSPARQL, "gsqtime": _GEOSPARQL, "gsp": _GEOSPARQL,
}  # fmt: skip
_BOXES = ("@list", "@set")
_MOST_NAMES = 1_000
_LOOPS = 4
_LETTERS = 2  # of the code of a language, where it stands as a key: `url` is no language


@dataclass(frozen=True)
class Context:
    """What the contexts up to a node say: names of prefixes and terms, the language, whether schema.org is meant."""

    names: Mapping[str, str] = field(default_factory=lambda: dict(_PREFIXES))
    language: str | None = None
    known: bool = False

    def within(self, value: Any) -> "Context":
        """Return the context that holds where another is given."""
        found: Context = self
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                found = replace(found, known=found.known or bool(_SCHEMA.fullmatch(item.strip())))
            elif isinstance(item, dict):
                found = _extended(found, item)
        return found

    def short(self, key: str) -> str:
        """Return the short name of a key or type."""
        meant = key
        for _ in range(_LOOPS):
            prefix, colon, rest = meant.partition(":")
            if meant in self.names and meant != self.names[meant]:
                meant = self.names[meant]
            elif colon and prefix in self.names and not rest.startswith("//"):
                meant = self.names[prefix] + rest
            else:
                break
        term = _TERM.fullmatch(meant)
        if term:
            return term[1]
        return "geosparql:" + meant.removeprefix(_GEOSPARQL) if meant.startswith(_GEOSPARQL) else meant


def _extended(context: Context, said: Mapping[str, Any]) -> Context:
    given = islice(said.items(), max(0, _MOST_NAMES - len(context.names)))
    names = {key: name for key, term in given if (name := _meant(term)) and key[:1] != "@"}
    about = [said.get("@vocab"), *names.values()]
    return Context(
        names={**context.names, **names},
        language=clean.name(said["@language"]) if "@language" in said else context.language,
        known=context.known or any(isinstance(at, str) and _SCHEMA.fullmatch(at) for at in about),
    )


def _meant(term: Any) -> str | None:
    inner = term.get("@id") if isinstance(term, dict) else term
    return inner if isinstance(inner, str) and inner else None


@dataclass(frozen=True)
class Graph:
    """The nodes of a document: those at its top, and all that have an `@id`, by it."""

    top: tuple[Node, ...]
    named: Mapping[str, Node]
    known: bool

    def each(self, node: Node, *keys: str) -> Iterator[Any]:
        """Yield the values of properties, lists taken apart and references followed."""
        for key in keys:
            for value in _flat(node.get(key)):
                yield self._followed(value)

    def nodes(self, node: Node, *keys: str) -> Iterator[Node]:
        """Yield those values that are nodes."""
        return (
            value for value in self.each(node, *keys) if isinstance(value, dict) and "@value" not in value
        )

    def words(self, node: Node, *keys: str) -> str | None:
        """Return the words of the first value that has any: a literal's, or a node's name or address."""
        return next((said for value in self.each(node, *keys) if (said := clean.words(literal(value)))), None)

    def text(self, node: Node, *keys: str) -> Text | None:
        """Return the words of the first of some properties that has any, by language."""
        for key in keys:
            said: dict[str, Any] = {}
            for value in self.each(node, key):
                for tongue, words in _by_language(value):
                    said.setdefault(tongue, words)
            found = clean.text(said)
            if found:
                return found
        return None

    def _followed(self, value: Any) -> Any:
        name = value.get("@id") if isinstance(value, dict) and len(value) == 1 else None
        return self.named.get(name, value) if isinstance(name, str) else value


def read_graph(content: bytes) -> Graph:
    """Read a JSON-LD document.

    Raises:
        BadDocument: It is no strict JSON, or has no object.
    """
    return graph(read_json(content))


def graph(value: Any) -> Graph:
    """Read JSON values as JSON-LD. Raises BadDocument, as `read_graph`."""
    items = value if isinstance(value, list) else [value]
    if not any(isinstance(item, dict) for item in items):
        raise BadDocument("this is no JSON-LD: it has no object")
    read = [
        (Context().within(item.get("@context")), _plain(item, Context()))
        for item in items
        if isinstance(item, dict)
    ]
    named: dict[str, Node] = {}
    for name, node in (pair for _, item in read for pair in _entered(item)):
        if len(node) > len(named.get(name, ())):
            named[name] = node
    return Graph(
        tuple(node for _, item in read for node in _tops(item)),
        named,
        known=any(context.known for context, _ in read),
    )


def _tops(node: Any) -> Iterator[Node]:
    """A node, and those of its `@graph`."""
    if isinstance(node, dict):
        inner = list(_flat(node.get("@graph")))
        if set(node) - {"@graph", "@id"} or not inner:
            yield node
        yield from (item for item in inner if isinstance(item, dict))


def _plain(value: Any, context: Context) -> Any:
    """Values with short names, strings with the language that holds there."""
    if isinstance(value, list):
        return [_plain(item, context) for item in value]
    if isinstance(value, str) and context.language:
        return {"@value": value, "@language": context.language}
    if not isinstance(value, dict):
        return value
    inner = context.within(value["@context"]) if "@context" in value else context
    node: dict[str, Any] = {}
    for key, item in value.items():
        short = inner.short(key)
        if short == "@type":
            node["@type"] = tuple(inner.short(kind) for kind in _flat(item) if isinstance(kind, str))
        elif short in {"@id", "@value", "@language"}:
            node.setdefault(short, item)
        elif short != "@context":
            said = _plain(item, inner)
            node[short] = [*_flat(node[short]), *_flat(said)] if short in node else said
    return node


def _entered(value: Any) -> Iterator[tuple[str, Node]]:
    """Every node that has an `@id`, and it."""
    if isinstance(value, list):
        for item in value:
            yield from _entered(item)
    elif isinstance(value, dict):
        if isinstance(value.get("@id"), str):
            yield value["@id"], value
        for item in value.values():
            yield from _entered(item)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, dict) and any(box in value for box in _BOXES):
        for box in _BOXES:
            yield from _flat(value.get(box))
    elif value is not None:
        yield value


def types(node: Node) -> frozenset[str]:
    """Return the short names of a node's types."""
    found = node.get("@type")
    return frozenset(found) if isinstance(found, tuple) else frozenset()


def literal(value: Any) -> Any:
    """Return what stands for a value where words are wanted: the literal, or a node's name, value or address."""
    if not isinstance(value, dict):
        return value
    for key in ("@value", "name", "value", "url", "contentUrl", "@id"):
        inner = next(_flat(value.get(key)), None)
        if isinstance(inner, dict) and inner is not value:
            inner = next(_flat(inner.get("@value", inner.get("@id"))), None)
        if inner is not None and not isinstance(inner, dict):
            return inner
    return None


def _by_language(value: Any) -> Iterator[tuple[str, Any]]:
    """(language, words) of a literal; an object whose keys are all languages is words by language."""
    if isinstance(value, dict) and "@value" not in value and "@type" not in value:
        tongues = {key: language(key) for key in value}
        if value and all(len(tongue.partition("-")[0]) == _LETTERS for tongue in tongues.values()):
            yield from ((tongues[key], literal(words)) for key, words in value.items())
            return
    said = value.get("@language") if isinstance(value, dict) else None
    yield language(said) if said else UNKNOWN, literal(value)


def write_text(said: Text | None) -> Any:
    """Write words by language; those of unknown language are a plain string."""
    if said is None:
        return None
    found = [
        words if code == UNKNOWN else {"@language": code, "@value": words}
        for code, words in said.words.items()
    ]
    return found[0] if len(found) == 1 else found
