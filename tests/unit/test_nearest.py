"""The nearest cell is that of brute force on the sphere; a point that no cell reaches is outside."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import opening, reaches, spheres
from catalog.data.grids import Grid
from catalog.data.nearest import nearest, nearest_all, nearest_depth, nearest_of, nearest_time
from catalog.data.spheres import RADIUS, Index, degrees, distance, vectors
from catalog.errors import BadRequest, NotSubsettable, OutsideDomain
from catalog.record import Distribution

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
SINCE = {"units": "days since 2000-01-01"}
points = st.tuples(st.floats(-180, 540), st.floats(-90, 90))


def haversine(x, y, columns, rows):
    x, y, columns, rows = map(np.radians, (x, y, columns, rows))
    half = np.sin((rows - y) / 2) ** 2 + np.cos(y) * np.cos(rows) * np.sin((columns - x) / 2) ** 2
    return 2 * RADIUS * np.arcsin(np.sqrt(np.minimum(half, 1)))


@given(point=points, other=points)
def test_distances_are_those_of_the_haversine(point, other):
    assert distance(*point, *other) == pytest.approx(haversine(*point, *other), abs=1)
    x, y = degrees(vectors(*point))
    assert distance(x, y, *point) == pytest.approx(0, abs=1e-3)


@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(1, 8), st.integers(1, 8)), point=points)
def test_the_nearest_of_scattered_cells_is_that_of_brute_force(seed, shape, point):
    numbers = np.random.default_rng(seed)
    x, y = numbers.random(shape) * 720 - 180, numbers.random(shape) * 180 - 90
    x[numbers.random(shape) < 0.1] = np.nan
    dims = ("y", "x")
    dataset = xr.Dataset({"t": (dims, x)}, {"lon": (dims, x, EAST), "lat": (dims, y, NORTH)})
    if not np.isfinite(x).any():
        with pytest.raises(NotSubsettable):
            nearest_all(Grid(dataset), *np.array([point]).T)
        return
    found = nearest_all(Grid(dataset), *np.array([point]).T)
    far = haversine(*point, x, y)
    assert found.distances[0] == pytest.approx(np.nanmin(far), abs=1)
    place = int(found.indices["y"][0]), int(found.indices["x"][0])
    assert far[place] == pytest.approx(np.nanmin(far), abs=1)
    there = numbers.random(shape) < 0.5
    cell = nearest_of(Grid(dataset), *point, there)
    best = np.where(there & np.isfinite(far), far, np.inf).min()
    assert (cell is None and np.isinf(best)) or cell.distance == pytest.approx(best, abs=1)


@given(
    start=st.integers(-360, 360),
    step=st.sampled_from([0.25, 1.0, 5.0]),
    count=st.integers(2, 400),
    falling=st.booleans(),
    point=st.tuples(st.floats(-180, 180), st.floats(-20, 20)),
)
def test_a_point_lies_in_an_axis_half_a_cell_beyond_its_ends(start, step, count, falling, point):
    count = min(count, int(400 / step))
    columns = start + step * np.arange(count)
    columns = columns[::-1] if falling else columns
    rows = np.arange(-10.0, 11)
    dataset = xr.Dataset({}, {"lon": ("lon", columns, EAST), "lat": ("lat", rows, NORTH)})
    turned = np.abs((columns - point[0] + 180) % 360 - 180)
    assert_inside = bool(turned.min() <= step / 2 - 1e-6 and abs(point[1]) <= 10.5)
    assert_outside = bool(turned.min() > 1.01 * step or abs(point[1]) > 10.500001)
    try:
        cell = nearest(Grid(dataset), *point)
    except OutsideDomain:
        assert not assert_inside
        return
    assert not assert_outside
    assert abs((cell.longitude - point[0] + 180) % 360 - 180) == pytest.approx(turned.min(), abs=1e-9)
    assert columns[cell.indices["lon"]] == cell.longitude
    assert rows[cell.indices["lat"]] == cell.latitude
    assert abs(cell.latitude - point[1]) <= 0.5 + 1e-9


@pytest.mark.parametrize(("x", "y", "inside"), [(359.99, 89.99, True), (-0.4, -89.9, True), (180, 0, True)])
def test_a_global_grid_has_no_outside(x, y, inside):
    columns, rows = np.arange(0.5, 360), np.arange(-89.5, 90)
    dataset = xr.Dataset({}, {"lon": ("lon", columns, EAST), "lat": ("lat", rows, NORTH)})
    assert (nearest(Grid(dataset), x, y).distance < 111_000) is inside


@given(x=st.floats(-4, 25), y=st.floats(-4, 25), angle=st.floats(0, 90))
def test_a_point_lies_in_a_turned_grid_where_one_of_its_cells_does(x, y, angle):
    """Cells of a turned grid of one degree: inside is certain in the hull of centres, outside two cells away."""
    turn = np.radians(angle)
    columns, rows = np.meshgrid(np.arange(20.0), np.arange(20.0))
    east, north = columns * np.cos(turn) - rows * np.sin(turn), columns * np.sin(turn) + rows * np.cos(turn)
    dims = ("j", "i")
    grid = Grid(xr.Dataset({"t": (dims, columns)}, {"lon": (dims, east, EAST), "lat": (dims, north, NORTH)}))
    asked = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    try:
        nearest(grid, *asked)
    except OutsideDomain:
        assert not (0 <= x <= 19 and 0 <= y <= 19)
    else:
        assert -1.5 <= x <= 20.5
        assert -1.5 <= y <= 20.5


@pytest.mark.parametrize(
    ("instant", "step", "offset"),
    [
        ("2000-01-01T00:00:00Z", 0, 0), ("2000-01-01T13:00:00Z", 1, 11 * 3600), ("1999-12-31T12:00:00Z", 0, 43_200),
        ("2000-02-01T12:00:00Z", 3, -43_200), ("1999-12-31T11:00:00Z", None, 0), ("2000-02-01T13:00:00Z", None, 0),
    ],
)  # fmt: skip
def test_the_nearest_time_says_how_far_it_is(instant, step, offset):
    dataset = xr.Dataset({}, {"time": ("time", [0.0, 1, 30, 31], SINCE)})
    if step is None:
        with pytest.raises(OutsideDomain, match="the nearest is"):
            nearest_time(Grid(dataset), instant)
        return
    found = nearest_time(Grid(dataset), instant)
    assert (found.indices["time"], found.offset) == (step, offset)


def test_an_instant_that_a_calendar_lacks_is_a_bad_request():
    dataset = xr.Dataset({}, {"time": ("time", [0.0, 60], {**SINCE, "calendar": "noleap"})})
    with pytest.raises(BadRequest, match="noleap"):
        nearest_time(Grid(dataset), "2000-02-29T00:00:00Z")
    assert nearest_time(Grid(dataset), "2000-03-01T00:00:00Z").offset == 86_400


@pytest.mark.parametrize(
    ("levels", "depth", "value"),
    [
        ([5, 15, 25], 0, 5), ([5, 15, 25], 30, 25), ([5, 15, 25], 31, None),
        ([20, 30], 10, None), ([10], 10.5, 10), ([10], 12, None),
    ],
)  # fmt: skip
def test_the_nearest_depth_reaches_half_a_step(levels, depth, value):
    dataset = xr.Dataset(
        {}, {"depth": ("depth", np.array(levels, float), {"units": "m", "positive": "down"})}
    )
    if value is None:
        with pytest.raises(OutsideDomain):
            nearest_depth(Grid(dataset), depth)
        return
    found = nearest_depth(Grid(dataset), depth)
    assert (found.value, found.offset) == (value, value - depth)


def clouds(numbers, size):
    """Positions all over the Earth, in a corner of it, both, and all in a few places; some missing, some no place."""
    x, y = numbers.random(size) * 720 - 360, np.degrees(np.arcsin(numbers.random(size) * 2 - 1))
    near = numbers.random(size) < numbers.choice([0, 0.9, 1])
    x[near], y[near] = 107 + x[near] / 1e4, 20 + y[near] / 1e4
    if numbers.random() < 0.2:
        x, y = np.round(x / 90) * 90, np.round(y / 90) * 90
    x[numbers.random(size) < 0.1], y[numbers.random(size) < 0.1] = np.nan, 95
    return x, y


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(60, 3_000), count=st.integers(1, 12))
def test_of_many_positions_those_are_nearest_that_brute_force_finds(seed, size, count):
    numbers = np.random.default_rng(seed)
    x, y = clouds(numbers, size)
    at = numbers.integers(0, size, 40)
    points = np.where(np.isnan(x[at]), 0, x[at]) + numbers.normal(0, 0.01, 40), np.clip(y[at], -90, 90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spheres, "MOST_SINGLE", 10)
        places, far = Index(x, y).nearest(*points, count)
    legal = np.flatnonzero(np.isfinite(x) & (np.abs(y) <= 90))
    apart = distance(points[0][:, None], points[1][:, None], x[legal], y[legal])
    expected = np.sort(apart, axis=1)[:, :count]
    assert far == pytest.approx(expected, abs=1e-3)
    assert set(places.ravel()) <= set(legal)
    assert distance(points[0][:, None], points[1][:, None], x[places], y[places]) == pytest.approx(
        far, abs=1e-3
    )
    assert all(np.unique(row).size == row.size for row in places)


@pytest.mark.parametrize("kind", ["grid", "corners", "cloud"])
def test_many_positions_reach_as_far_as_few(kind, monkeypatch):
    numbers = np.random.default_rng(5)
    j, i = np.mgrid[:40, :30] / 10
    x, y = 105 + i + j / 3 + numbers.normal(0, 0.01, i.shape), 15 + j - i / 4
    x[3:6, 7:9] = np.nan
    dims = ("y", "x")
    if kind == "cloud":
        x, y, dims = x.ravel(), y.ravel(), ("at",)
    edges = {"bounds": "edges"} if kind == "corners" else {}
    dataset = xr.Dataset(
        {"t": (dims, x, {"coordinates": "lon lat"})},
        {"lon": (dims, x, EAST | edges), "lat": (dims, y, NORTH | edges)},
    )
    if edges:
        corners = np.repeat(x[..., None], 4, axis=-1) + np.array([-0.05, 0.05, 0.05, -0.05])
        dataset["edges"] = ((*dims, "vertex"), corners)
        dataset["rows"] = (
            (*dims, "vertex"),
            np.repeat(y[..., None], 4, axis=-1) + np.array([-0.05, -0.05, 0.05, 0.05]),
        )
        dataset["lat"].attrs["bounds"] = "rows"
    points = 104.5 + 5 * numbers.random(500), 14 + 6 * numbers.random(500)
    few = nearest_all(Grid(dataset), *points)
    monkeypatch.setattr(spheres, "MOST_SINGLE", 10)
    monkeypatch.setattr(reaches, "MOST_SINGLE", 10)
    many = nearest_all(Grid(dataset), *points)
    assert 50 < few.inside.sum() < 450
    assert np.array_equal(many.inside, few.inside)
    assert many.distances == pytest.approx(few.distances)


def test_the_index_of_a_large_grid_is_small():
    j, i = np.mgrid[:500, :500] / 100
    grid = Grid(
        xr.Dataset(
            {"t": (("y", "x"), i, {"coordinates": "lon lat"})},
            {"lon": (("y", "x"), 105 + i + j, EAST), "lat": (("y", "x"), 10 + j - i, NORTH)},
        )
    )
    nearest(grid, 108.0, 11.0)
    assert grid.nbytes < 32 * i.size


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("iris/nemo_1m_20150101-20150201_grid-T.nc", (107.5, 19.0), None),
        ("ncarg/pop.nc", (160.0, 20.0), None),
        ("gridded/WCOFS_subset.nc", None, (107.0, 20.0)),
        ("gridded/tri_grid_example-FVCOM.nc", (-122.5, 37.88), (107.0, 20.0)),
        ("argo/13857_prof.nc", (-17.0, 3.0), (107.0, 20.0)),
        ("cmems_aviso/nrt_global_allsat_phy_l4_20190223_20190226.nc", (-180.0, 90.0), None),
    ],
)
def test_real_files_tell_inside_from_outside(shared_real, name, inside, outside):
    where = Distribution(protocol="file", address=str(shared_real / "files" / name))
    with opening.opened(where, opening.Reach()) as dataset:
        grid = Grid(dataset)
        if inside:
            found = nearest_all(grid, *np.array([inside]).T)
            columns, rows = (grid.values(axis) for axis in (grid.axes.longitude, grid.axes.latitude))
            if grid.axes.geometry == "rectilinear":
                columns, rows = np.meshgrid(columns, rows)
            assert found.distances[0] == pytest.approx(np.nanmin(haversine(*inside, columns, rows)), abs=1)
        if outside:
            with pytest.raises(OutsideDomain, match="km away"):
                nearest(grid, *outside)


def test_edges_of_a_mesh_reach_their_ends():
    """A point at the middle of a face is inside for what lies on edges too."""
    topology = {"cf_role": "mesh_topology", "topology_dimension": 2, "node_coordinates": "lon lat",
                "face_node_connectivity": "faces", "edge_node_connectivity": "edges",
                "edge_coordinates": "edge_lon edge_lat"}  # fmt: skip
    x, y = np.array([0.0, 3, 0, 3]), np.array([0.0, 0, 3, 3])
    edges = np.array([[0, 1], [1, 2], [2, 0], [1, 3], [3, 2]])
    mesh = xr.Dataset({
        "m": ((), 0, topology), "faces": (("face", "three"), [[0, 1, 2], [1, 3, 2]]),
        "edges": (("edge", "two"), edges, {"cf_role": "edge_node_connectivity"}),
        "lon": ("node", x, EAST), "lat": ("node", y, NORTH),
        "edge_lon": ("edge", x[edges].mean(1), EAST), "edge_lat": ("edge", y[edges].mean(1), NORTH),
        "flux": ("edge", np.arange(5.0), {"mesh": "m", "location": "edge", "coordinates": "edge_lon edge_lat"}),
    })  # fmt: skip
    grid, pair = Grid(mesh), ("edge_lon", "edge_lat")
    assert nearest(grid, 1.0, 1.0, pair).indices == {"edge": 1}
    with pytest.raises(OutsideDomain, match="outside the grid of edge_lon and edge_lat"):
        nearest(grid, 9.0, 1.0, pair)


@given(
    turn=st.floats(0, 90),
    stretch=st.tuples(st.floats(-0.03, 0.03), st.floats(-0.03, 0.03)),
    bend=st.tuples(st.floats(-0.005, 0.005), st.floats(-0.005, 0.005)),
    north=st.floats(-60, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_curvilinear_grid_has_no_gap_between_its_cells(turn, stretch, bend, north, seed):
    """Of rows and columns that turn, grow and bend: every place between four centres is in one of their cells."""
    j, i = (n + part * n**2 / 2 for n, part in zip(np.mgrid[:9, :12].astype(float), stretch, strict=True))
    i, j = i + bend[0] * j**2, j + bend[1] * i**2
    angle = np.radians(turn)
    y = north + (i * np.sin(angle) + j * np.cos(angle)) / 30
    x = 110 + (i * np.cos(angle) - j * np.sin(angle)) / 30 / np.cos(np.radians(north))
    dims = ("y", "x")
    grid = Grid(
        xr.Dataset(
            {"t": (dims, x, {"coordinates": "lon lat"})}, {"lon": (dims, x, EAST), "lat": (dims, y, NORTH)}
        )
    )
    share, other = (0.5 + np.random.default_rng(seed).normal(0, 0.03, (2, 20)))[:, :, None, None]
    between = [
        (n[:-1, :-1] * (1 - share) + n[1:, :-1] * share) * (1 - other)
        + (n[:-1, 1:] * (1 - share) + n[1:, 1:] * share) * other
        for n in (x, y)
    ]
    assert nearest_all(grid, *(n.ravel() for n in between)).inside.all()
