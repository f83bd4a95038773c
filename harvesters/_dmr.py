"""What a DAP4 server says of a dataset: its DMR, arrays and attributes in one XML document.

"DAP4: Specification Volume 1" (OPeNDAP, 2014), §4 and its RELAX NG schema. Arrays in groups are called by their path
(`/A/sst`), those at the root by their name alone; structures and sequences are left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._xml import Element, each, local, read_xml
from catalog.errors import BadDocument

TYPES: Mapping[str, str] = {
    "int8": "int8", "uint8": "uint8", "byte": "uint8", "char": "uint8", "int16": "int16", "uint16": "uint16",
    "int32": "int32", "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float32",
    "float64": "float64", "string": "str", "url": "str", "uri": "str", "enum": "int64", "opaque": "str",
}  # fmt: skip
"""Types of numpy by those of DAP4, in small letters."""

_MOST = 20_000
_DEEPEST = 32


def read_dmr(content: bytes) -> dict[str, Any]:
    """Return the `attributes`, `dimensions` and `variables` of a header document (`catalog.data`).

    Raises:
        BadDocument: It is no DMR.
    """
    root = read_xml(content)
    if local(root) != "Dataset":
        raise BadDocument(f"this is no DMR of DAP4, but {local(root)[:60]!r}")
    sizes = dict(_dimensions(root, "", 0))
    variables: dict[str, dict[str, Any]] = {}
    for path, element in _arrays(root, "", 0):
        if len(variables) == _MOST:
            raise BadDocument(f"the DMR has more than {_MOST:,} arrays")
        variables.setdefault(path, _variable(path, element, sizes))
    given = _attributes(root)
    containers = [value for value in given.values() if isinstance(value, dict)]
    plain = {
        key: value for each_ in containers for key, value in each_.items() if not isinstance(value, dict)
    }
    plain |= {key: value for key, value in given.items() if not isinstance(value, dict)}
    return {
        "attributes": plain,
        "dimensions": {path.removeprefix("/"): size for path, size in sizes.items()},
        "variables": list(variables.values()),
    }


def _groups(element: Element, path: str, depth: int) -> Iterator[tuple[str, Element]]:
    if depth == _DEEPEST:
        raise BadDocument(f"the DMR has groups deeper than {_DEEPEST}")
    for group in each(element, "Group"):
        name = (clean.name(group.get("name")) or "").strip("/")
        yield f"{path}/{name}", group


def _dimensions(element: Element, path: str, depth: int) -> Iterator[tuple[str, int]]:
    for dimension in each(element, "Dimension"):
        name, size = clean.name(dimension.get("name")), clean.whole(dimension.get("size"))
        if name and size is not None:
            yield f"{path}/{name.lstrip('/')}", size
    for inner, group in _groups(element, path, depth):
        yield from _dimensions(group, inner, depth + 1)


def _arrays(element: Element, path: str, depth: int) -> Iterator[tuple[str, Element]]:
    for child in element:
        name = clean.name(child.get("name"))
        if local(child).lower() in TYPES and name:
            yield f"{path}/{name}" if path else name, child
    for inner, group in _groups(element, path, depth):
        yield from _arrays(group, inner, depth + 1)


def _variable(path: str, element: Element, sizes: Mapping[str, int]) -> dict[str, Any]:
    dimensions: list[str] = []
    shape: list[int] = []
    for dim in each(element, "Dim"):
        named, said = clean.name(dim.get("name")), clean.whole(dim.get("size"))
        known = sizes.get(named if named and named.startswith("/") else f"/{named}") if named else said
        if known is None:
            raise BadDocument(f"{path[:60]!r} of the DMR has a dimension without size, {named!r}")
        dimensions.append(named.removeprefix("/") if named else f"dim_{known}")
        shape.append(known)
    attributes = {key: value for key, value in _attributes(element).items() if not isinstance(value, dict)}
    dtype = TYPES[local(element).lower()]
    return {"name": path, "dtype": dtype, "dimensions": dimensions, "shape": shape, "attributes": attributes}


def _attributes(element: Element, depth: int = 0) -> dict[str, Any]:
    """The attributes of an element; a container is an object."""
    found: dict[str, Any] = {}
    for one in each(element, "Attribute"):
        name, kind = clean.name(one.get("name")), (one.get("type") or "String").lower()
        if name is None or depth > _DEEPEST:
            continue
        if kind == "container":
            found.setdefault(name, _attributes(one, depth + 1))
            continue
        said = [value.get("value") or "".join(map(str, value.itertext())) for value in each(one, "Value")]
        said = said or [value for value in (one.get("value"),) if value is not None]
        values = [_value(kind, value) for value in said]
        if values:
            found.setdefault(name, values[0] if len(values) == 1 else values)
    return found


def _value(kind: str, said: str) -> Any:
    dtype = TYPES.get(kind, "str")
    try:
        return said if dtype == "str" else float(said) if dtype.startswith("float") else int(said)
    except ValueError:
        return said
