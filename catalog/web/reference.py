"""The API's reference as a page: operations out of the application's own OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from catalog.errors import BadRequest, NotFound
from catalog.web.rendering import address

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation: where it stands (`path` or `query`), its type, meaning and default."""

    name: str
    place: str
    required: bool
    type: str
    description: str
    default: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: method and path, what it does, its parameters, and its answers by status."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    responses: tuple[tuple[str, str, tuple[str, ...]], ...]


def operations(document: Mapping[str, Any]) -> tuple[Operation, ...]:
    """Return the operations of an OpenAPI 3.1 document, in its order."""
    return tuple(
        _operation(path, method, item[method])
        for path, item in document.get("paths", {}).items()
        for method in _METHODS
        if method in item
    )


def _operation(path: str, method: str, body: Mapping[str, Any]) -> Operation:
    return Operation(
        id=body.get("operationId", f"{method} {path}"),
        method=method.upper(),
        path=path,
        summary=body.get("summary", ""),
        description=body.get("description", ""),
        parameters=tuple(map(_parameter, body.get("parameters", ()))),
        responses=tuple(
            (status, answer.get("description", ""), tuple(answer.get("content", ())))
            for status, answer in body.get("responses", {}).items()
        ),
    )


def _parameter(body: Mapping[str, Any]) -> Parameter:
    schema = body.get("schema", {})
    default = schema.get("default")
    return Parameter(
        name=body["name"],
        place=body["in"],
        required=body.get("required", False),
        type=" | ".join(dict.fromkeys(_types(schema))) or "string",
        description=body.get("description", schema.get("description", "")),
        default="" if default is None else str(default),
    )


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    """The types a schema allows, null left out: an absent parameter is not sent."""
    for choice in schema.get("anyOf", ()):
        yield from _types(choice)
    if "enum" in schema:
        yield " | ".join(map(str, schema["enum"]))
    elif schema.get("type") not in (None, "null"):
        yield schema["type"]


def tried(document: Mapping[str, Any], given: Mapping[str, str]) -> str:
    """Return what a try-it form asks for: `address` names the path, the rest fills its parameters.

    Raises:
        NotFound: The document has no such path to GET.
        BadRequest: A parameter of the path is missing.
    """
    path = given.get("address", "")
    found = next((o for o in operations(document) if o.path == path and o.method == "GET"), None)
    if found is None:
        raise NotFound(f"the API has no address {path[:60]!r}", hint="see /docs for those it has")
    for parameter in found.parameters:
        if parameter.place == "path":
            if not given.get(parameter.name):
                raise BadRequest(f"{parameter.name} is missing", hint="fill in every part of the path")
            path = path.replace(f"{{{parameter.name}}}", quote(given[parameter.name], safe=""))
    return address(path, {p.name: given.get(p.name) for p in found.parameters if p.place == "query"})
