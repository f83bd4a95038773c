"""A dataset of an OPeNDAP server, described: asked for once, and read as a header document (`catalog.data`).

DAP2 is asked first (`.dds`, `.das`, and the coordinates' values by `.dods`), since by DAP2 data are cut; a server that
refuses it is asked for its DMR (`.dmr`), which DAP4 has.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from catalog.dialects import _words as clean
from catalog.dialects._ways import way
from catalog.dialects._xml import read_xml, written
from catalog.errors import BadDocument, Unreachable
from harvesters import Fetch
from harvesters._dap2 import Leaf, decoded, read_das, read_dds, read_numbers
from harvesters._dmr import read_dmr
from harvesters._wanted import is_refusal

MOST_VALUES = 400_000
"""Values of coordinates that are asked for, of one dataset."""

_AXIS_UNITS = re.compile(r"degrees?_?(e|n|east|north)|\w+\s+since\s.*", re.IGNORECASE)
_AXIS_NAMES = {"longitude", "latitude", "time", "depth", "height", "altitude"}
_LETTERS = {"X", "Y", "Z", "T"}
_NOT_GLOBAL = ("dods", "extra_dimension")
_Variable = dict[str, Any]


def describe(address: str, fetch: Fetch) -> dict[str, Any]:
    """Ask for what `read` reads, as JSON values: `address`, `dds` and `das` or `dmr`, and the `coverage`.

    Args:
        address: Of the dataset, without the suffix of a form.
        fetch: The door.

    Raises:
        SourceError: The server does not answer, or refuses both descriptions.
        BadDocument: What it answers is none.
    """
    try:
        dds = decoded(fetch.get(f"{address}.dds").content)
    except Unreachable as error:
        if not is_refusal(error):
            raise
        return _described_by_dmr(address, fetch, error)
    said = {"address": address, "dds": dds, "das": decoded(fetch.get(f"{address}.das").content)}
    header, asked = _read_dap2(said["dds"], said["das"])
    return {**said, "coverage": _coverage(address, fetch, header, asked)}


def _described_by_dmr(address: str, fetch: Fetch, refusal: Unreachable) -> dict[str, Any]:
    try:
        content = fetch.get(f"{address}.dmr").content
    except Unreachable as error:
        raise refusal from error
    coverage = dict(fetch.cover(read_dmr(content), {}))
    return {"address": address, "dmr": written(read_xml(content)), "coverage": coverage}


def _coverage(
    address: str, fetch: Fetch, header: Mapping[str, Any], asked: Mapping[str, str]
) -> Mapping[str, Any]:
    """Where and when the data are, by their coordinates; a server that refuses their values is told of."""
    if not header["variables"] or not asked:
        return {"kind": "points"} if header["variables"] else {}
    names = _coordinates(header["variables"])
    query = ",".join(quote(asked[name], safe="._~-") for name in names)
    values, problems = dict[str, Any](), list[dict[str, str]]()
    try:
        found = read_numbers(fetch.get(f"{address}.dods?{query}").content) if names else {}
        values = {name: found[asked[name]] for name in names if asked[name] in found}
    except (BadDocument, Unreachable) as error:
        if isinstance(error, Unreachable) and not is_refusal(error):
            raise
        said = f"the server does not give its coordinates: {error.message}"
        problems = [{"code": "coordinates-refused", "text": said[:500]}]
    coverage = fetch.cover(header, values)
    return {**coverage, "problems": [*coverage.get("problems", ()), *problems]}


def _coordinates(variables: Sequence[_Variable]) -> list[str]:
    """The variables that may say where and when, those of few values first, up to the most that are asked for."""
    told = {
        word
        for one in variables
        for word in (clean.words(one["attributes"].get("coordinates")) or "").split()
    }
    sizes = sorted((math.prod(one["shape"]), one["name"]) for one in variables if _is_coordinate(one, told))
    names: list[str] = []
    room = MOST_VALUES
    for size, name in sizes:
        room -= size
        if room < 0:
            break
        names += [name] if size else []
    return names


def _is_coordinate(variable: _Variable, told: set[str]) -> bool:
    attributes = variable["attributes"]
    known = {key: clean.name(attributes.get(key)) or "" for key in ("units", "standard_name", "axis")}
    return variable["dtype"] != "str" and (
        variable["dimensions"] == [variable["name"]]
        or variable["name"] in told
        or known["standard_name"].lower() in _AXIS_NAMES
        or known["axis"].upper() in _LETTERS
        or _AXIS_UNITS.fullmatch(known["units"]) is not None
    )


def read(said: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `describe` asked for as a header document.

    Raises:
        BadDocument: It is no description of a dataset.
    """
    texts = {key: value if isinstance(value := said.get(key), str) else "" for key in ("dds", "das", "dmr")}
    coverage = clean.mapping(said.get("coverage"))
    found = way(said.get("address"), said="OPENDAP", title="OPeNDAP")
    if texts["dmr"]:
        header, asked = read_dmr(texts["dmr"].encode("utf-8", "replace")), dict[str, str]()
        problem = {
            "code": "dap4-only",
            "text": "the server answers DAP4 alone, by which data are not cut here",
        }
    else:
        header, asked = _read_dap2(texts["dds"], texts["das"])
        problem = {
            "code": "rows-only",
            "text": "the server gives sequences of rows alone, which are not cut here",
        }
    if header["variables"] and not asked:
        problems = [*clean.objects(coverage.get("problems")), problem]
        coverage, found = {**coverage, "problems": problems}, {**found, "protocol": "other"}
    return {**header, "coverage": coverage, "distributions": [found]}


def _read_dap2(dds: str, das: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The header, and what the arrays that can be asked for are called in an address."""
    _, leaves = read_dds(dds)
    containers = read_das(das)
    sizes: dict[str, int] = {}
    variables: dict[str, _Variable] = {}
    asked: dict[str, str] = {}
    for leaf in sorted(
        leaves, key=lambda leaf: leaf.is_map
    ):  # an axis of a grid is mostly said beside it, too
        name = _name(leaf)
        if name in variables:
            continue
        rows = leaf.kind == "sequence"
        dimensions = [] if rows else [_dimension(leaf, at, sizes) for at in range(len(leaf.dimensions))]
        shape = [] if rows else list(leaf.shape)
        sizes |= dict(zip(dimensions, shape, strict=True))
        attributes = _attributes(containers, leaf)
        variables[name] = {
            "name": name, "dtype": leaf.dtype, "dimensions": dimensions, "shape": shape, "attributes": attributes,
        }  # fmt: skip
        asked |= {} if rows else {name: ".".join(leaf.path)}
    attributes = _global(
        containers, {part for leaf in leaves for part in (leaf.path[0], ".".join(leaf.path))}
    )
    header = {"attributes": attributes, "dimensions": sizes, "variables": list(variables.values())}
    return header, asked


def _name(leaf: Leaf) -> str:
    """What an array is called: a grid as its array, an axis of a grid as if it were beside it."""
    if leaf.is_map:
        return leaf.path[-1]
    return ".".join(leaf.path[:-1] if leaf.kind == "grid" else leaf.path)


def _dimension(leaf: Leaf, at: int, sizes: Mapping[str, int]) -> str:
    """A dimension's name; one without is the array's own, and one of another size than before has its size in it."""
    name, size = leaf.dimensions[at]
    name = name or (leaf.path[-1] if len(leaf.dimensions) == 1 else f"dim_{size}")
    return name if sizes.get(name, size) == size else f"{name}_{size}"


def _attributes(containers: Mapping[str, Any], leaf: Leaf) -> dict[str, Any]:
    """An array's attributes, by its whole name, or in the containers of what it lies in."""
    inner: Any = containers
    for part in leaf.path if leaf.kind != "grid" or leaf.is_map else leaf.path[:-1]:
        inner = clean.mapping(inner).get(part)
    for found in (inner, containers.get(".".join(leaf.path)), containers.get(_name(leaf))):
        if plain := _plain(found):
            return plain
    return {}


def _plain(container: Any) -> dict[str, Any]:
    return {key: value for key, value in clean.mapping(container).items() if not isinstance(value, dict)}


def _global(containers: Mapping[str, Any], arrays: set[str]) -> dict[str, Any]:
    """The attributes of the dataset: those in `NC_GLOBAL` and its like before those in containers of other names."""
    others = [key for key, value in containers.items() if key not in arrays and isinstance(value, dict)]
    found: dict[str, Any] = {}
    for key in sorted(others, key=lambda key: "global" in key.lower()):
        if not key.lower().startswith(_NOT_GLOBAL):
            found |= _plain(containers[key])
    return found | _plain(containers)
