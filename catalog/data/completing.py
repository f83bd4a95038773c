"""What must follow picked indices: a mesh's nodes and links, a ragged array's samples, the edges of an axis."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.grids import Grid
from catalog.data.meshes import meshes, part
from catalog.data.ragged import Parent, parents

_Indices = npt.NDArray[np.intp]


@dataclass
class Completed:
    """Indices by dimension with those that follow, variables that are replaced or left out, and what must be said."""

    indices: dict[str, _Indices]
    replaced: dict[str, xr.Variable] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def completed(grid: Grid, indices: Mapping[str, _Indices]) -> Completed:
    """Return what follows from indices that were picked along some dimensions.

    Raises:
        NotSubsettable: The counts of a ragged array do not add up. DataUnreadable: A mesh's links cannot be read.
    """
    found = Completed(dict(indices))
    for mesh in meshes(grid):
        if mesh.cell in indices:
            made = part(grid, mesh, indices[mesh.cell])
            found.indices.update(made.indices)
            found.replaced.update(made.replaced)
            found.dropped += made.dropped
            found.notes += made.notes
    if families(grid):
        _ragged(grid, found)
    for name, edges in grid.keep("edges", lambda: _edges(grid)):
        _edged(grid, name, edges, found)
    return found


def families(grid: Grid) -> Mapping[str, Parent]:
    """Return how the samples of a ragged array lead to their instances (`catalog.data.ragged.parents`), kept."""
    return grid.keep("parents", lambda: parents(grid.dataset))


def _ragged(grid: Grid, found: Completed) -> None:
    """Keep the samples of picked instances, and the instances that have a picked sample; count them anew."""
    tree, sizes = families(grid), grid.dataset.sizes
    touched = {d for instance, parent in tree.items() for d in (instance, parent.dimension)}
    if not touched & set(found.indices):
        return
    kept: dict[str, npt.NDArray[np.bool_]] = {}
    for dimension in touched:
        kept[dimension] = np.zeros(sizes[dimension], bool)
        kept[dimension][found.indices.get(dimension, np.arange(sizes[dimension]))] = True
    order = sorted(tree, key=lambda instance: _depth(tree, instance))
    for instance in order:
        kept[tree[instance].dimension] &= kept[instance][tree[instance].of]
    for instance in reversed(order):
        parent = tree[instance]
        had = np.bincount(parent.of, minlength=parent.size) > 0
        have = np.bincount(parent.of[kept[parent.dimension]], minlength=parent.size) > 0
        kept[instance] &= have | ~had  # one that never had a sample stays by its own place
    for dimension, there in kept.items():
        if not there.all():
            found.indices[dimension] = np.flatnonzero(there)
        else:
            found.indices.pop(dimension, None)
    for name, variable in grid.dataset.variables.items():
        for instance, parent in tree.items():
            made = _counted(variable, instance, parent, kept)
            if made is not None:
                found.replaced[str(name)] = made


def _depth(tree: Mapping[str, Parent], instance: str) -> int:
    """How many instances stand above one: stations above their profiles."""
    above = [other for other, parent in tree.items() if parent.dimension == instance and other != instance]
    return 1 + max((_depth(tree, other) for other in above), default=0)


def _counted(
    variable: xr.Variable, instance: str, parent: Parent, kept: Mapping[str, npt.NDArray[np.bool_]]
) -> xr.Variable | None:
    """The counts or the index of a ragged array's part."""
    of = parent.of[kept[parent.dimension]]
    if variable.attrs.get("sample_dimension") == parent.dimension and variable.dims == (instance,):
        values = np.bincount(of, minlength=parent.size)[kept[instance]]
    elif variable.attrs.get("instance_dimension") == instance and variable.dims == (parent.dimension,):
        values = (np.cumsum(kept[instance]) - 1)[of]
    else:
        return None
    made = xr.Variable(variable.dims, values.astype(variable.dtype), variable.attrs)
    made.encoding = {key: value for key, value in variable.encoding.items() if "chunk" not in key}
    return made


def _edges(grid: Grid) -> tuple[tuple[str, str], ...]:
    """Axes whose edges are a variable of one more along a dimension of its own, as Ferret writes them."""
    variables = grid.dataset.variables
    named = [
        (str(name), str(variable.attrs.get(key, "")).strip())
        for name, variable in variables.items()
        for key in ("edges", "bounds")
        if variable.ndim == 1
    ]
    return tuple(
        (name, edges)
        for name, edges in named
        if edges in variables and variables[edges].shape == (variables[name].size + 1,)
    )


def _edged(grid: Grid, name: str, edges: str, found: Completed) -> None:
    dimension, other = (str(grid.dataset.variables[key].dims[0]) for key in (name, edges))
    indices = found.indices.get(dimension)
    if indices is None or dimension == other:
        return
    if (np.diff(indices) == 1).all():
        found.indices[other] = np.arange(int(indices[0]), int(indices[-1]) + 2)
    else:
        found.dropped.append(edges)
        found.notes.append(f"without {edges}: the cells that were picked along {name} do not touch")
