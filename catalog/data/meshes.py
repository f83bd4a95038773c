"""Unstructured meshes: their cells, nodes and edges, how these are linked, and what a part of a mesh is.

A face is inside where its centre is: its own coordinate, else the mean of its nodes on the sphere. A part keeps these
faces, all their nodes, and the edges and boundary segments that are sides of a kept face; its links are numbered
anew in the numbering of the source (`start_index`), and say missing where they led to what was left out. A mesh without
faces has edges for cells. Sources: UGRID 1.0 and 0.9; for links without attributes, `catalog.data.links`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.curvilinear import Plane, plane
from catalog.data.grids import Grid
from catalog.data.links import STALE, known_links
from catalog.data.spheres import degrees, vectors
from catalog.errors import DataUnreadable, NotSubsettable

_ROLE = re.compile(r"(node|edge|face|boundary|volume)_(node|edge|face|boundary|volume)_connectivity")
_PLACES = ("node", "edge", "face", "boundary", "volume")
_CELLS = ("face", "edge")
_CORNERS = {"face": range(3, 13)}
_SLACK = 1e-9
_Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Link:
    """A variable that tells which nodes, edges or faces belong to each of others.

    Args:
        name: The variable.
        of: The dimension that is told of.
        to: The dimension whose members are named.
        start: The number of the first member.
    """

    name: str
    of: str
    to: str
    start: int

    def rows(self, grid: Grid, at: _Indices | slice = slice(None)) -> npt.NDArray[np.int64]:
        """Return the members, from 0, of some of what is told of; −1 where there is none. One row each."""
        raw = self.raw(grid)[at]
        size = grid.dataset.sizes[self.to]
        members = raw.astype(np.int64) - self.start
        found: npt.NDArray[np.int64] = np.where(
            (members >= 0) & (members < size) & (raw != self.fill(grid)), members, -1
        )
        return found

    def fill(self, grid: Grid) -> Any:
        """Return the number that says missing, if the source names one."""
        attributes = grid.dataset.variables[self.name].attrs
        if "_FillValue" in attributes:
            return np.asarray(attributes["_FillValue"]).ravel()[0]
        flagged = "out_of_mesh" in str(attributes.get("flag_meanings", ""))
        return np.asarray(attributes.get("flag_values", -1)).ravel()[0] if flagged else None

    def raw(self, grid: Grid) -> npt.NDArray[Any]:
        """Return the source's numbers, one row for each of what is told of."""
        return grid.keep(("link", self.name), lambda: _rows(grid.dataset.variables[self.name], self.of))


@dataclass(frozen=True)
class Mesh:
    """A mesh of a dataset.

    Args:
        cell: The dimension of its faces, or of its edges where it has none.
        dimensions: All its dimensions.
        corners: What links cells to nodes.
        links: All links, that one included.
        names: The longitude and latitude of its cells' centres, else of its nodes.
        topology: The variable that describes it, if one does.
        unsaid: Attributes that the topology lacks, without which a small part would be read otherwise: the dimension
            of faces whose links have it last.
        notes: What was odd.
    """

    cell: str
    dimensions: tuple[str, ...]
    corners: Link
    links: tuple[Link, ...]
    names: tuple[str, str]
    topology: str = ""
    unsaid: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def has(self, grid: Grid, names: Iterable[str]) -> bool:
        """Tell whether one of some variables lies on the mesh."""
        own = set(self.dimensions)
        return any(own.intersection(grid.dataset.variables[name].dims) for name in names)

    def centres(self, grid: Grid) -> Plane:
        """Return the centres of the cells, along their dimension. Raises DataUnreadable."""
        return grid.keep(("centres", self.cell, self.corners.name), lambda: _centres(grid, self))

    def nodes(self, grid: Grid) -> Plane | None:
        """Return the positions of its nodes; None where only its cells have some. Raises DataUnreadable."""
        for x, y in grid.axes.positions:
            if tuple(map(str, grid.dataset.variables[x].dims)) == (self.corners.to,):
                return plane(grid, x, y)
        return None


@dataclass(frozen=True)
class Part:
    """A part of a mesh: indices by dimension, the variables that are other ones in it, those that it cannot have."""

    indices: Mapping[str, _Indices]
    replaced: Mapping[str, xr.Variable] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def meshes(grid: Grid) -> tuple[Mesh, ...]:
    """Return the meshes of a dataset whose cells have corners and positions, kept."""
    return grid.keep("meshes", lambda: tuple(_meshes(grid)))


def part(grid: Grid, mesh: Mesh, cells: _Indices) -> Part:
    """Return the part of a mesh that has some of its cells, in the source's order. Raises DataUnreadable."""
    cells = np.sort(cells)
    members = mesh.corners.rows(grid, cells)
    node = mesh.corners.to
    indices: dict[str, _Indices] = {mesh.cell: cells, node: np.unique(members[members >= 0])}
    sides = _sides(members, grid.dataset.sizes[node])
    dropped: list[str] = [name for name in STALE if name in grid.dataset.variables and not mesh.topology]
    notes = list(mesh.notes)
    for dimension in mesh.dimensions:
        if dimension not in indices:
            kept = _kept(grid, mesh, dimension, indices, sides)
            if kept is not None and kept.size:
                indices[dimension] = kept
            else:
                gone = [str(n) for n, v in grid.dataset.variables.items() if dimension in v.dims]
                dropped += gone
                notes.append(
                    f"nothing along {dimension} is left in the part: without {', '.join(gone)}"[:300]
                )
    if not mesh.topology and dropped:
        notes.append(
            f"without {', '.join(sorted(dropped))}, which are lists that a part of a mesh cannot keep"
        )
    replaced = {
        link.name: _renumbered(grid, link, indices)
        for link in mesh.links
        if link.name not in dropped and {link.of, link.to} <= set(indices)
    }
    if mesh.topology and (dropped or mesh.unsaid):
        replaced[mesh.topology] = _without(grid.dataset.variables[mesh.topology], set(dropped), mesh.unsaid)
    return Part(indices, replaced, tuple(dropped), tuple(notes))


def _rows(variable: xr.Variable, of: str) -> npt.NDArray[Any]:
    if variable.size > 50_000_000:  # noqa: PLR2004
        raise DataUnreadable("the links of the mesh are too large to load")
    raw = np.asarray(variable.values)
    if raw.dtype.kind == "f":
        raw = np.where(np.isfinite(raw) & (np.abs(raw) < 2**53), raw, -1).astype(np.int64)
    return raw.reshape(-1, 1) if raw.ndim == 1 else np.moveaxis(raw, variable.dims.index(of), 0)


def _sides(members: npt.NDArray[np.int64], nodes: int) -> npt.NDArray[np.int64]:
    """The sides of cells as sorted numbers, one for each pair of nodes whichever comes first."""
    order = np.argsort(members < 0, axis=1, kind="stable")  # what is missing comes last
    corners = np.take_along_axis(members, order, axis=1)
    count = (corners >= 0).sum(axis=1, keepdims=True)
    following = np.take_along_axis(corners, (np.arange(corners.shape[1]) + 1) % np.maximum(count, 1), axis=1)
    there = (corners >= 0) & (following >= 0)
    return np.unique(_paired(corners[there], following[there], nodes))


def _paired(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], nodes: int) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = np.minimum(one, other) * nodes + np.maximum(one, other)
    return found


def _kept(
    grid: Grid, mesh: Mesh, dimension: str, indices: Mapping[str, _Indices], sides: npt.NDArray[np.int64]
) -> _Indices | None:
    """The edges or boundary segments that are sides of a kept cell; None where no link tells."""
    by_end = {(link.of, link.to): link for link in mesh.links}
    node = mesh.corners.to
    if link := by_end.get((dimension, node)):
        ends = link.rows(grid)
        if ends.shape[1] == 2:  # noqa: PLR2004
            there = (ends >= 0).all(axis=1)
            return np.flatnonzero(
                there & np.isin(_paired(ends[:, 0], ends[:, 1], grid.dataset.sizes[node]), sides)
            )
    if link := by_end.get((mesh.cell, dimension)):
        members = link.rows(grid, indices[mesh.cell])
        return np.unique(members[members >= 0])
    if link := by_end.get((dimension, mesh.cell)):
        return np.flatnonzero(np.isin(link.rows(grid), indices[mesh.cell]).any(axis=1))
    return None


def _renumbered(grid: Grid, link: Link, indices: Mapping[str, _Indices]) -> xr.Variable:
    """A link of the part: members numbered anew, missing where they were left out."""
    variable = grid.dataset.variables[link.name]
    raw, members = link.raw(grid)[indices[link.of]], link.rows(grid, indices[link.of])
    numbers = np.full(grid.dataset.sizes[link.to], -1, np.int64)
    numbers[indices[link.to]] = np.arange(indices[link.to].size)
    found = np.where(members >= 0, numbers[members], -1)
    fill, attributes = link.fill(grid), dict(variable.attrs)
    cut_off = (members >= 0) & (found < 0)
    if fill is None and cut_off.any():
        fill = raw[members < 0][0] if (members < 0).any() else link.start - 1
        attributes.setdefault(
            "_FillValue", raw.dtype.type(fill) if raw.dtype.kind != "u" or fill >= 0 else fill
        )
    if "start_index" in attributes and int(float(attributes["start_index"])) != link.start:
        attributes["start_index"] = np.int32(link.start)
    written = np.where(members >= 0, found + link.start, raw)
    if cut_off.any():
        written = np.where(cut_off, fill, written)
    dtype = np.int64 if raw.dtype.kind == "u" and written.min(initial=0) < 0 else raw.dtype
    written = written.astype(dtype).reshape(-1) if variable.ndim == 1 else written.astype(dtype)
    axis = variable.dims.index(link.of)
    made = xr.Variable(variable.dims, np.ascontiguousarray(np.moveaxis(written, 0, axis)), attributes)
    made.encoding = {key: value for key, value in variable.encoding.items() if "chunk" not in key}
    return made


def _without(topology: xr.Variable, gone: set[str], unsaid: Iterable[tuple[str, str]]) -> xr.Variable:
    """A topology that no longer names some variables, and says what the source left unsaid."""
    kept = {k: v for k, v in topology.attrs.items() if not (isinstance(v, str) and gone & set(v.split()))}
    return xr.Variable(topology.dims, topology.values, {**kept, **dict(unsaid)})


def _centres(grid: Grid, mesh: Mesh) -> Plane:
    dims = tuple(map(str, grid.dataset.variables[mesh.names[0]].dims))
    if dims == (mesh.cell,):
        return plane(grid, *mesh.names)
    members = mesh.corners.rows(grid)
    corners = vectors(*(grid.values(name) for name in mesh.names))
    there = (members >= 0)[..., None]
    x, y = degrees(np.where(there, corners[members], 0.0).sum(axis=1))
    unplaced = ~there.any(axis=(1, 2))
    return Plane((mesh.cell,), np.where(unplaced, np.nan, x), np.where(unplaced, np.nan, y), (_SLACK, _SLACK))


def _meshes(grid: Grid) -> Iterator[Mesh]:
    variables = grid.dataset.variables
    for name, variable in variables.items():
        if str(variable.attrs.get("cf_role", "")) == "mesh_topology":
            made = _described(grid, str(name), variable.attrs)
            if made is not None:
                yield made
    known = [Link(name, of, to, 1) for name, (of, to) in known_links(grid.dataset).items()]
    if known:
        yield from _made(grid, known[0], known, "")


def _described(grid: Grid, topology: str, attributes: Mapping[str, Any]) -> Mesh | None:
    """The mesh that a topology variable of UGRID describes; None where its cells have no corners here."""
    variables = grid.dataset.variables
    said = {
        match: str(value)
        for key, value in attributes.items()
        if (match := _ROLE.fullmatch(str(key))) and str(value) in variables
    }
    if attributes.get("topology_dimension") == 3:  # noqa: PLR2004
        raise NotSubsettable("the mesh is one of volumes, which is not cut by box", hint="ask without bbox")
    places = {place: dim for place in _PLACES if (dim := _dimension(grid, place, attributes, said))}
    links = [
        Link(name, places[of], places[to], _start(grid, name))
        for match, name in said.items()
        for of, to in [match.groups()]
        if of in places and to in places and places[of] in variables[name].dims
    ]
    by_place = {match.groups(): name for match, name in said.items()}
    for cell in _CELLS:
        corners = next((link for link in links if link.name == by_place.get((cell, "node"))), None)
        if corners is not None:
            turned = [k.of for k in links if variables[k.name].dims[0] != k.of]
            unsaid = {f"{place}_dimension": dim for place, dim in places.items() if dim in turned}
            left = tuple((key, dim) for key, dim in unsaid.items() if key not in attributes)
            return next(_made(grid, corners, links, topology, left), None)
    return None


def _made(
    grid: Grid, corners: Link, links: list[Link], topology: str, unsaid: tuple[tuple[str, str], ...] = ()
) -> Iterator[Mesh]:
    """A mesh with its positions; links that are counted otherwise than they say are counted as they are."""
    pairs = {
        tuple(map(str, grid.dataset.variables[pair[0]].dims)): pair for pair in reversed(grid.axes.positions)
    }
    names = pairs.get((corners.of,)) or pairs.get((corners.to,))
    if names is None:
        return
    true = corners.start
    notes: tuple[str, ...] = ()
    raw = corners.raw(grid)
    used = raw[raw != corners.fill(grid)]
    if true == 1 and bool(np.any(raw[:, :1] == 0)):
        true = 0
    elif true == 0 and used.size and used.min() >= 1 and used.max() == grid.dataset.sizes[corners.to]:
        true = 1
    if true != corners.start:
        notes = (
            f"{corners.name} is said to count from {corners.start}, and counts from {true}: it was read so",
        )
        links = [Link(k.name, k.of, k.to, true) if k.start == corners.start else k for k in links]
        corners = next(k for k in links if k.name == corners.name)
    dimensions = dict.fromkeys(d for link in links for d in (link.of, link.to))
    yield Mesh(corners.of, tuple(dimensions), corners, tuple(links), names, topology, unsaid, notes)


def _start(grid: Grid, name: str) -> int:
    try:
        return int(float(grid.dataset.variables[name].attrs.get("start_index", 0)))
    except (TypeError, ValueError):
        return 0


def _dimension(grid: Grid, place: str, attributes: Mapping[str, Any], said: Mapping[Any, str]) -> str | None:
    """The dimension of a mesh's nodes, edges, faces or boundary: named, or that of its coordinates.

    Else it is the first of its links, but where the other one is no number of corners and is longer (UGRID 0.9).
    """
    variables, sizes = grid.dataset.variables, grid.dataset.sizes
    if (named := str(attributes.get(f"{place}_dimension", ""))) in sizes:
        return named
    for name in str(attributes.get(f"{place}_coordinates", "")).split():
        if name in variables and variables[name].ndim == 1:
            return str(variables[name].dims[0])
    for match, name in said.items():
        if match[1] == place and variables[name].ndim:
            first, *rest = map(str, variables[name].dims)
            usual = _CORNERS.get(place, range(2, 3)) if match[2] == "node" else range(1, sizes[first] + 1)
            turned = rest and sizes[rest[0]] not in usual and sizes[first] < sizes[rest[0]]
            return rest[0] if turned else first
    return None
