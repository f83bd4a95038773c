"""A part of a mesh is a mesh: its faces are those inside, with their nodes, sides and neighbours."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from catalog.data import opening
from catalog.data.axes import find
from catalog.data.cuts import Cut
from catalog.data.grids import Grid
from catalog.data.meshes import meshes
from catalog.data.nearest import nearest
from catalog.data.picking import pick
from catalog.errors import OutsideDomain
from catalog.record import BBox, Distribution

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}


def triangles(seed, nodes, *, start, across, centres, fvcom, mixed):
    """A random mesh of triangles as UGRID or FVCOM write it; every variable numbers its cells."""
    numbers = np.random.default_rng(seed)
    points = numbers.random((nodes, 2)) * 10 + 100
    made = Delaunay(points)
    faces, links = made.simplices, made.neighbors
    fill = -1 if start else -999
    edges = np.unique(
        np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0
    )
    corners = np.where(faces >= 0, faces + start, fill)
    if mixed:
        corners = np.c_[corners, np.full(len(corners), fill)]
    names = ("nele", "three") if fvcom else ("face", "corner")
    counted = {} if fvcom else {"start_index": start, "_FillValue": np.int32(fill)}
    neighbours = np.where(links >= 0, links + start, 0 if fvcom else fill)

    def link(values, dims, attributes):
        values, dims = (values.T, dims[::-1]) if across else (values, dims)
        return (dims, values.astype("i4"), attributes)

    node = "node"
    x, y = points.T - [[0], [80]]
    variables = {
        "lon": (node, x, EAST),
        "lat": (node, y, NORTH),
        "h": (node, np.arange(nodes), {"mesh": "m", "location": "node", "coordinates": "lon lat"}),
        "u": (names[0], np.arange(len(faces)), {"mesh": "m", "location": "face"}),
        ("nv" if fvcom else "m_faces"): link(corners, names, counted),
        ("nbe" if fvcom else "m_links"): link(neighbours, (names[0], "three"), counted),
    }
    if centres:
        variables |= {"lonc": (names[0], x[faces].mean(1), EAST), "latc": (names[0], y[faces].mean(1), NORTH)}
    if not fvcom:
        variables["m_edges"] = (("edge", "two"), (edges + start).astype("i4"), counted)
        variables["flux"] = ("edge", np.arange(len(edges)), {"mesh": "m", "location": "edge"})
        topology = {
            "cf_role": "mesh_topology",
            "topology_dimension": 2,
            "node_coordinates": "lon lat",
            "face_node_connectivity": "m_faces",
            "face_face_connectivity": "m_links",
            "edge_node_connectivity": "m_edges",
            "face_dimension": "face",
        }
        variables["m"] = ((), 0, topology | ({"face_coordinates": "lonc latc"} if centres else {}))
    return xr.Dataset(variables)


def part_of(dataset, box):
    picked = pick(Grid(dataset), Cut(bbox=box))
    left = [*picked.dropped, *picked.replaced]
    rest = dataset.drop_vars(left, errors="ignore")
    there = {d: i for d, i in picked.indices.items() if d in rest.dims}
    return rest.isel(there).assign(picked.replaced), picked


def check_is_part(whole, part):
    """Every link of the part says what the whole says of the cells that both have."""
    (before,), (after,) = meshes(Grid(whole)), meshes(Grid(part))
    old, new = Grid(whole), Grid(part)
    numbers = {d: part[name].values for name in ("h", "u", "flux") if name in part for d in part[name].dims}
    assert {link.name for link in after.links} == {link.name for link in before.links}
    for one, other in zip(before.links, after.links, strict=True):
        expected, found = one.rows(old)[numbers[one.of]], other.rows(new)
        named = np.where(found >= 0, numbers[one.to][found], -1)
        assert named.tolist() == np.where(np.isin(expected, numbers[one.to]), expected, -1).tolist()


forms = st.fixed_dictionaries({
    "start": st.sampled_from([0, 1]), "across": st.booleans(), "centres": st.booleans(), "fvcom": st.booleans(),
    "mixed": st.booleans(),
})  # fmt: skip


@given(
    seed=st.integers(0, 2**32 - 1),
    nodes=st.integers(4, 40),
    form=forms,
    corner=st.tuples(st.floats(0, 8), st.floats(0, 8)),
    size=st.tuples(st.floats(1, 10), st.floats(1, 10)),
)
def test_a_box_of_a_mesh_is_the_mesh_of_the_faces_whose_centre_is_inside(seed, nodes, form, corner, size):
    if form["fvcom"]:
        form = {**form, "start": 1, "centres": True, "mixed": False, "across": True}
    whole = triangles(seed, nodes, **form)
    west, south = 100 + corner[0], 20 + corner[1]
    box = BBox.of(west, south, west + size[0], south + size[1])
    grid = Grid(whole)
    (mesh,) = meshes(grid)
    centres = mesh.centres(grid)
    x, y = centres.longitudes, centres.latitudes
    inside = np.flatnonzero((x >= box.west) & (x <= box.east) & (y >= box.south) & (y <= box.north))
    if not inside.size:
        with pytest.raises(OutsideDomain):
            part_of(whole, box)
        return
    part, _ = part_of(whole, box)
    assert part.u.values.tolist() == inside.tolist()
    assert part.h.values.tolist() == np.unique(mesh.corners.rows(grid)[inside][:, :3]).tolist()
    if "flux" in part:
        ends = mesh.links[[link.name for link in mesh.links].index("m_edges")].rows(grid)
        faces = mesh.corners.rows(grid)[inside][:, :3].tolist()
        sides = {frozenset(pair) for a, b, c in faces for pair in ((a, b), (b, c), (c, a))}
        assert part.flux.values.tolist() == [
            n for n, pair in enumerate(ends.tolist()) if frozenset(pair) in sides
        ]
    check_is_part(whole, part)


@given(seed=st.integers(0, 2**32 - 1), nodes=st.integers(4, 60), form=forms)
def test_every_point_of_a_face_is_reached_and_far_ones_are_not(seed, nodes, form):
    whole = triangles(seed, nodes, **{**form, "fvcom": False})
    grid = Grid(whole)
    (mesh,) = meshes(grid)
    faces = mesh.corners.rows(grid)[:, :3]
    for face in faces[:5]:
        x, y = (
            np.average(whole.lon.values[face], weights=[5, 3, 2]),
            np.average(whole.lat.values[face], weights=[5, 3, 2]),
        )
        assert nearest(grid, x, y).distance >= 0
        assert nearest(grid, x, y, ("lon", "lat")).distance >= 0
    with pytest.raises(OutsideDomain):
        nearest(grid, 140.0, 25.0)


def test_a_boundary_that_is_not_in_the_part_is_left_out_and_said():
    whole = triangles(1, 60, start=0, across=False, centres=True, fvcom=False, mixed=False)
    topology = {**whole.m.attrs, "boundary_node_connectivity": "m_boundary"}
    whole = whole.assign(
        m=((), 0, topology),
        m_boundary=(("boundary", "two"), np.array([[0, 1]], "i4")),
        kind=("boundary", [1]),
    )
    face = int(np.flatnonzero(~np.isin(whole.m_faces.values, [0, 1]).any(axis=1))[0])
    x, y = float(whole.lonc[face]), float(whole.latc[face])
    part, picked = part_of(whole, BBox.of(x, y, x, y))
    assert "kind" not in part
    assert "boundary_node_connectivity" not in part.m.attrs
    assert "kind" in picked.notes[0]


@pytest.mark.parametrize(
    "name",
    [
        "ElevenPoints_UGRIDv0.9.nc", "UGRIDv0.9_eleven_points.nc", "UGRIDv0.9_eleven_points_with_depth.nc",
        "no_stand_name_long.nc", "quad_and_triangle.nc", "small_ugrid_zero_based.nc", "tri_grid_example-FVCOM.nc",
    ],
)  # fmt: skip
def test_a_part_of_a_real_mesh_is_a_mesh(shared_real, name):
    where = Distribution(protocol="file", address=str(shared_real / "files/gridded" / name))
    with opening.opened(where, opening.Reach()) as dataset:
        grid = Grid(dataset)
        (mesh,) = meshes(grid)
        assert find(dataset).geometry == "mesh"
        centres = mesh.centres(grid)
        x, y = centres.longitudes, centres.latitudes
        box = BBox.of(float(x.min()), float(y.min()), float(np.median(x)), float(y.max()))
        part, _ = part_of(dataset, box)
        west = pick(grid, Cut(bbox=box)).indices.get(mesh.cell, slice(None))
        (again,) = meshes(Grid(part))
        members = again.corners.rows(Grid(part))
        assert set(members[members >= 0]) == set(range(part.sizes[mesh.corners.to]))
        nodes, new = mesh.nodes(grid), again.nodes(Grid(part))
        old = mesh.corners.rows(grid)[west]
        assert np.array_equal(new.longitudes[members][members >= 0], nodes.longitudes[old][old >= 0])
        assert pick(Grid(part), Cut(bbox=box)).indices == {}


@pytest.mark.parametrize("order", ["node_lon node_lat", "node_lat node_lon"])
def test_a_mesh_may_name_nodes_that_say_nothing_of_themselves(order):
    """UGRID 1.0, `node_coordinates`; without that name, or with metres, they are no degrees."""
    x, y = np.random.default_rng(3).random((2, 50)) + np.array([[107], [20]])
    faces = Delaunay(np.transpose((x, y))).simplices
    bare = xr.Dataset(
        {"u": ("nv", x), "node_lat": ("nv", y), "node_lon": ("nv", x), "faces": (("nele", "three"), faces)}
    )
    topology = {"cf_role": "mesh_topology", "topology_dimension": 2, "face_node_connectivity": "faces"}
    told = bare.assign(mesh=((), np.int32(0), {**topology, "node_coordinates": order}))
    far = told.assign(node_lon=("nv", x * 1e5))
    assert find(bare).longitude is find(far).longitude is None
    found = find(told)
    assert (found.longitude, found.latitude, found.geometry) == ("node_lon", "node_lat", "mesh")
    assert found.positions == (("node_lon", "node_lat"),)
    assert nearest(Grid(told), 107.5, 20.5).indices == {"nv": int(np.hypot(x - 107.5, y - 20.5).argmin())}
