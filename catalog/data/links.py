"""The links of meshes that no attribute calls links, known by their names: FVCOM's, and those of ICON's grid files."""

from collections.abc import Mapping

import xarray as xr

_FVCOM = {"nv": ("nele", "node"), "nbe": ("nele", "nele")}
_ICON = {
    "vertex_of_cell": ("cell", "vertex"), "edge_of_cell": ("cell", "edge"), "neighbor_cell_index": ("cell", "cell"),
    "edge_vertices": ("edge", "vertex"), "adjacent_cell_of_edge": ("edge", "cell"),
    "cells_of_vertex": ("vertex", "cell"), "edges_of_vertex": ("vertex", "edge"),
    "vertices_of_vertex": ("vertex", "vertex"),
}  # fmt: skip
STALE = frozenset({"nbve", "nbsn", "ntve", "ntsn"})
"""Of FVCOM: lists around a node, counted and packed to the front, which a part of a mesh does not keep."""


def known_links(dataset: xr.Dataset) -> Mapping[str, tuple[str, str]]:
    """Return the dimension that each link is of and the one that it leads to, corners of cells first; counted from 1.

    Empty where the data are no such mesh.
    """
    for links in (_FVCOM, _ICON):
        corners, (cell, node) = next(iter(links.items()))
        variables, sizes = dataset.variables, dataset.sizes
        if corners in variables and cell in variables[corners].dims and node in sizes:
            return {
                name: ends
                for name, ends in links.items()
                if name in variables and ends[0] in variables[name].dims
            }
    return {}
