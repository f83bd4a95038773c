"""What a DAP2 server says of a dataset: its DDS (arrays and their shapes), its DAS (attributes), and its numbers.

"The Data Access Protocol, DAP 2.0" (ESE-RFC-004.1.2): §6.1.1 DDS, §6.1.2 DAS, §6.2 answers with data in XDR (RFC 4506).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.errors import BadDocument

TYPES: Mapping[str, str] = {
    "byte": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "float32": "float32", "float64": "float64", "string": "str", "url": "str",
}  # fmt: skip
"""Types of numpy by those of DAP2, in small letters."""

MOST_LEAVES = 20_000
_MOST_LETTERS = 8_000_000
_DEEPEST = 32
_STREAM = {"uint8": ">u1", "int16": ">i4", "uint16": ">u4"}
_DECLARED = re.compile(r"[{};]|\[[^\[\]{};]{0,400}\]|[\[\]]|[^\s{};\[\]]+")
_SIZED = re.compile(r"\[\s*(?:([^=\]]+?)\s*=\s*)?([0-9]{1,18})\s*\]")
_SAID = re.compile(  # some servers do not escape quotation marks in texts: one that ends a text is followed by , or ;
    r'"(?:[^"\\]|\\.|"(?!\s*[,;]))*(?:"|\\?\Z)|[{};,]|[^\s{};,"]+', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DATA = re.compile(rb"\r?\nData:\r?\n")
_PARTS = {"array:", "maps:"}


@dataclass(frozen=True)
class Leaf:
    """An array or a single value of a DDS.

    Args:
        path: Its name, after those of what it lies in.
        kind: What it lies in: `dataset`, `grid`, `structure` or `sequence`, the innermost.
        dtype: Of numpy; `str` for text.
        dimensions: (name or None, size), slowest first.
        is_map: Whether it is an axis of a grid, not its array.
    """

    path: tuple[str, ...]
    kind: str
    dtype: str
    dimensions: tuple[tuple[str | None, int], ...]
    is_map: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(size for _, size in self.dimensions)


def decoded(body: bytes) -> str:
    """Return what a server wrote as text: UTF-8, else Latin-1. Raises BadDocument for more than 8 million letters."""
    if len(body) > _MOST_LETTERS:
        raise BadDocument(f"the description has {len(body):,} bytes, more than {_MOST_LETTERS:,}")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def read_dds(text: str) -> tuple[str, tuple[Leaf, ...]]:
    """Return the name of the dataset, and its arrays in the order of the DDS.

    Raises:
        BadDocument: It is no DDS.
    """
    tokens = (match[0] for match in _DECLARED.finditer(text))
    if next(tokens, "").lower() != "dataset" or next(tokens, "") != "{":
        raise BadDocument(f"this is no DDS of DAP2: {' '.join(text[:200].split())!r}")
    leaves = tuple(_leaves(tokens, (), "dataset"))
    return next(tokens, "").strip(";"), leaves


def _leaves(tokens: Iterator[str], path: tuple[str, ...], kind: str) -> list[Leaf]:
    """The arrays up to the end of a block."""
    if len(path) > _DEEPEST:
        raise BadDocument(f"the DDS is nested deeper than {_DEEPEST}")
    found: list[Leaf] = []
    maps = False
    for token in tokens:
        word = token.lower()
        if word == "}":
            return found
        if kind == "grid" and word in _PARTS:
            maps = word == "maps:"
        elif word in {"structure", "sequence", "grid"}:
            found += _block(tokens, path, word)
        elif word in TYPES:
            name, dimensions = _named(tokens)
            found.append(Leaf((*path, name), kind, TYPES[word], dimensions, maps))
        else:
            raise BadDocument(f"the DDS has the type {token[:60]!r}, which DAP2 has not")
        if len(found) > MOST_LEAVES:
            raise BadDocument(f"the DDS has more than {MOST_LEAVES:,} arrays")
    raise BadDocument("the DDS breaks off")


def _block(tokens: Iterator[str], path: tuple[str, ...], kind: str) -> list[Leaf]:
    """The arrays of a structure, sequence or grid; its name comes after them."""
    if next(tokens, "") != "{":
        raise BadDocument(f"a {kind} of the DDS has no content")
    inner = _leaves(tokens, (*path, ""), kind)
    name, dimensions = _named(tokens)
    at = len(path)
    return [
        Leaf(
            (*leaf.path[:at], name, *leaf.path[at + 1 :]),
            "sequence" if kind == "sequence" else leaf.kind,
            leaf.dtype,
            (*dimensions, *leaf.dimensions),
            leaf.is_map,
        )
        for leaf in inner
    ]


def _named(tokens: Iterator[str]) -> tuple[str, tuple[tuple[str | None, int], ...]]:
    """A name and its dimensions, up to the semicolon."""
    name = next(tokens, "")
    dimensions: list[tuple[str | None, int]] = []
    for part in tokens:
        if part == ";":
            return name, tuple(dimensions)
        sized = _SIZED.fullmatch(part)
        if sized is None or len(dimensions) == _DEEPEST:
            break
        dimensions.append((sized[1], int(sized[2])))
    raise BadDocument(f"the DDS breaks off after {name[:60]!r}")


def read_das(text: str) -> dict[str, Any]:
    """Return the attributes by container; a container in another is an object in it.

    Text is a string, numbers are numbers (NaN and infinities as such), several values a list.

    Raises:
        BadDocument: It is no DAS.
    """
    tokens = (match[0] for match in _SAID.finditer(text))
    if next(tokens, "").lower() != "attributes" or next(tokens, "") != "{":
        raise BadDocument(f"this is no DAS of DAP2: {' '.join(text[:200].split())!r}")
    return _container(tokens, 1)


def _container(tokens: Iterator[str], depth: int) -> dict[str, Any]:
    """The attributes and containers up to the end of a container; of two with one name the first."""
    if depth > _DEEPEST:
        raise BadDocument(f"the DAS is nested deeper than {_DEEPEST}")
    found: dict[str, Any] = {}
    for first in tokens:
        if first == "}":
            return found
        if first == ";":
            continue
        second = next(tokens, "")
        if second == "{":
            inner = _container(tokens, depth + 1)
            found.setdefault(_unquoted(first), inner)
            continue
        values = _values(first.lower(), tokens)
        if values and first.lower() != "alias":
            found.setdefault(_unquoted(second), values[0] if len(values) == 1 else values)
    raise BadDocument("the DAS breaks off")


def _values(kind: str, tokens: Iterator[str]) -> list[Any]:
    """The values of an attribute (`Type name value, value;`), up to its semicolon."""
    values: list[Any] = []
    for part in tokens:
        if part == ";":
            return values
        if part in {"{", "}"}:
            break
        if part != ",":
            values.append(_value(kind, part))
    raise BadDocument("the DAS breaks off in an attribute")


def _value(kind: str, part: str) -> Any:
    if TYPES.get(kind, "str") == "str":
        return _unquoted(part)
    try:
        value = float(part)
        whole = not kind.startswith("float") and value.is_integer()
        return (int(part) if part.lstrip("+-").isdecimal() else int(value)) if whole else value
    except ValueError:
        return _unquoted(part)


def _unquoted(part: str) -> str:
    """A text without its quotation marks; a letter after a backslash stands for itself."""
    if len(part) > 1 and part[0] == part[-1] == '"':
        return _ESCAPED.sub(lambda match: match[1] if match[1] in '"\\' else match[0], part[1:-1])
    return part


def read_numbers(body: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an answer with data (`.dods`) that holds numbers alone, by their names joined with dots.

    Raises:
        BadDocument: It is no such answer, or is cut short.
    """
    found = _DATA.search(body)
    if found is None:
        raise BadDocument(f"this is no answer of DAP2 with data: {body[:100]!r}")
    _, leaves = read_dds(decoded(body[: found.start()]))
    at, arrays = found.end(), dict[str, npt.NDArray[Any]]()
    for leaf in leaves:
        name = ".".join(leaf.path)
        if leaf.dtype == "str" or leaf.kind == "sequence":
            raise BadDocument(f"{name[:60]!r} of the answer is no array of numbers")
        many = math.prod(leaf.shape)
        if leaf.dimensions:
            if body[at : at + 8] != (many % (1 << 32)).to_bytes(4, "big") * 2:
                raise BadDocument(f"{name[:60]!r} of the answer has another size than it says")
            at += 8
        stored = np.dtype(_STREAM.get(leaf.dtype) or np.dtype(leaf.dtype).newbyteorder(">"))
        size = many * stored.itemsize
        if at + size > len(body):
            raise BadDocument("the answer breaks off")
        cells = np.frombuffer(body[at : at + size], stored).reshape(leaf.shape)
        arrays[name] = cells.astype(leaf.dtype)
        at += size + (-size % 4)
    return arrays
