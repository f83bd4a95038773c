"""Inside is where a centre is inside: boxes, times and depths on every kind of grid equal brute force by numpy."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from catalog.data import opening
from catalog.data.axes import find
from catalog.data.cuts import Cut, parse
from catalog.data.grids import Grid
from catalog.data.meshes import meshes
from catalog.data.picking import Picked, pick
from catalog.data.positions import first_pair, is_lines, pair_of
from catalog.errors import CatalogError, NotSubsettable, OutsideDomain
from catalog.record import BBox, Distribution

EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
SINCE = {"units": "days since 2000-01-01"}
boxes = st.builds(
    lambda west, width, south, height: BBox.of(west, south, west + width, min(90.0, south + height)),
    st.integers(-180, 179).map(float),
    st.integers(0, 359).map(float),
    st.integers(-90, 89).map(float),
    st.integers(0, 120).map(float),
)
seeds = st.integers(0, 2**32 - 1)


def inside(box, x, y):
    width = (box.east - box.west) % 360 if (box.west, box.east) != (-180, 180) else 360
    return (
        (((x - box.west) % 360 <= width) | (width == 360))
        & (y >= box.south)
        & (y <= box.north)
        & np.isfinite(x)
    )


def applied(dataset, picked):
    """The part, as `catalog.data.subset` makes it, without masks."""
    rest = dataset.drop_vars([*picked.dropped, *picked.replaced], errors="ignore")
    return rest.isel({d: i for d, i in picked.indices.items() if d in rest.dims}).assign(picked.replaced)


def kept(dataset, picked, name, fill=-1):
    """The numbers of a variable that a cut keeps: those of masked cells are `fill`."""
    found = applied(dataset, picked)[name]
    for dimensions, mask in picked.keeps:
        if set(dimensions) <= set(found.dims):
            found = found.where(xr.DataArray(mask, dims=dimensions), fill)
    return found


def cloud(seed, shape, dims, turn):
    """A dataset of positions on whole degrees, some missing, and a variable that numbers its cells."""
    numbers = np.random.default_rng(seed)
    x = (
        numbers.integers(-180, 540, shape).astype(float)
        if turn
        else numbers.integers(-180, 180, shape).astype(float)
    )
    y = numbers.integers(-90, 91, shape).astype(float)
    x[numbers.random(shape) < 0.1] = np.nan
    cells = np.arange(x.size).reshape(shape)
    variables = {
        "cell": (dims, cells, {"coordinates": "lon lat"}),
        "lon": (dims, x, EAST),
        "lat": (dims, y, NORTH),
    }
    return xr.Dataset(variables)


@given(seed=seeds, shape=st.tuples(st.integers(1, 6), st.integers(1, 6)), turn=st.booleans(), box=boxes)
def test_a_box_on_a_curvilinear_grid_keeps_the_cells_whose_centre_is_inside(seed, shape, turn, box):
    dataset = cloud(seed, shape, ("y", "x"), turn)
    there = inside(box, dataset.lon.values, dataset.lat.values)
    if not there.any():
        with pytest.raises(OutsideDomain if np.isfinite(dataset.lon).any() else NotSubsettable):
            pick(Grid(dataset), Cut(bbox=box))
        return
    picked = pick(Grid(dataset), Cut(bbox=box))
    found = kept(dataset, picked, "cell").values
    assert sorted(found[found >= 0]) == sorted(dataset.cell.values[there])
    rows, columns = np.nonzero(there)
    assert found.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1)  # the smallest rectangle


@given(seed=seeds, size=st.integers(1, 12), turn=st.booleans(), box=boxes)
def test_a_box_on_points_keeps_those_inside(seed, size, turn, box):
    dataset = cloud(seed, (size,), ("station",), turn)
    there = np.flatnonzero(inside(box, dataset.lon.values, dataset.lat.values))
    assume(there.size)
    assert kept(dataset, pick(Grid(dataset), Cut(bbox=box)), "cell").values.tolist() == there.tolist()


@given(seed=seeds, size=st.integers(1, 30), start=st.integers(-400, 400), box=boxes, falling=st.booleans())
def test_a_box_on_axes_of_any_turn_keeps_each_meridian_inside_once(seed, size, start, box, falling):
    """Axes may wrap past 360, meet their own first meridian again, and run either way."""
    columns = start + np.sort(np.random.default_rng(seed).choice(500, size, replace=False)).astype(float)
    columns = columns[::-1] if falling else columns
    cells = np.arange(size).reshape(1, size)
    dataset = xr.Dataset(
        {"cell": (("lat", "lon"), cells)}, {"lon": ("lon", columns, EAST), "lat": ("lat", [0.0], NORTH)}
    )
    there = inside(box, columns, np.zeros(size))
    assume(there.any() and box.south <= 0 <= box.north)
    found = applied(dataset, pick(Grid(dataset), Cut(bbox=box)))
    if (box.west, box.east) == (-180, 180):
        assert found.lon.values.tolist() == columns.tolist()
        return
    assert set(found.lon.values % 360) == set(columns[there] % 360)
    assert found.lon.size == len(set(columns[there] % 360))
    from_west = (found.lon.values - box.west) % 360
    assert (np.diff(from_west) > 0).all() or (np.diff(from_west) < 0).all()


def staggered(**own):
    x, y = np.meshgrid(np.arange(6.0), np.arange(5.0))
    variables = {"lon_rho": (("eta", "xi"), x, EAST), "lat_rho": (("eta", "xi"), y, NORTH)}
    variables |= {
        "lon_u": (("eta", "xi_u"), x[:, :-1] + 0.5, EAST),
        "lat_u": (("eta", "xi_u"), y[:, :-1], NORTH),
    }
    variables["zeta"] = (("eta", "xi"), np.arange(30.0).reshape(5, 6), {"coordinates": "lon_rho lat_rho"})
    variables["u"] = (("eta", "xi_u"), np.arange(25.0).reshape(5, 5), {"coordinates": "lon_u lat_u"})
    return xr.Dataset(variables | own)


def test_each_grid_of_a_staggered_one_is_cut_by_its_own_centres():
    dataset = staggered()
    picked = pick(Grid(dataset), parse({"bbox": "1.5,1,3,3"}))
    part = applied(dataset, picked)
    assert part.lon_rho.values[0].tolist() == [2, 3]
    assert part.lon_u.values[0].tolist() == [1.5, 2.5]
    assert part.zeta.shape == part.u.shape == (3, 2)
    assert not picked.keeps
    only = pick(Grid(dataset), parse({"bbox": "1.5,1,3,3", "variables": "u"}))
    assert set(only.indices) == {"eta", "xi_u"}
    with pytest.raises(OutsideDomain, match="lon_u and lat_u"):
        pick(Grid(dataset), parse({"bbox": "5,1,6,3", "variables": "zeta,u"}))
    alone = pick(Grid(dataset), parse({"bbox": "5,1,6,3"}))
    assert (set(alone.dropped), set(alone.indices)) == ({"u", "lon_u", "lat_u"}, {"eta", "xi"})
    assert alone.notes == ("without u: no centre of the grid of lon_u and lat_u lies in the box",)


def test_grids_over_the_same_dimensions_are_asked_for_one_by_one():
    x, y = np.meshgrid(np.arange(6.0), np.arange(5.0))
    dims = ("eta", "xi")
    corner = {"lon_c": (dims, x + 0.5, EAST), "lat_c": (dims, y + 0.5, NORTH)}
    dataset = staggered(**corner, speed=(dims, x, {"coordinates": "lon_c lat_c"})).drop_vars("u")
    with pytest.raises(NotSubsettable, match="zeta and speed") as caught:
        pick(Grid(dataset), parse({"bbox": "1,1,3,3"}))
    assert "variables=zeta or variables=speed" in caught.value.hint
    assert applied(
        dataset, pick(Grid(dataset), parse({"bbox": "1,1,3,3", "variables": "speed"}))
    ).speed.shape == (2, 2)


@given(seed=seeds, first=st.integers(0, 20), length=st.integers(0, 20))
def test_a_time_of_reference_and_lead_is_their_sum(seed, first, length):
    numbers = np.random.default_rng(seed)
    days, hours = (
        np.sort(numbers.choice(15, 4, replace=False)),
        np.sort(numbers.choice(10, 3, replace=False)) * 24,
    )
    dataset = xr.Dataset(
        {"cell": (("run", "lead"), np.arange(12).reshape(4, 3))},
        {
            "run": ("run", days.astype(float), {**SINCE, "standard_name": "forecast_reference_time"}),
            "lead": ("lead", hours.astype(float), {"units": "hours", "standard_name": "forecast_period"}),
        },
    )
    there = days[:, None] + hours // 24
    there = (there >= first) & (there <= first + length)
    asked = np.datetime_as_string(np.datetime64("2000-01-01") + np.array([first, first + length]))
    request = parse({"time": "/".join(asked)})
    if not there.any():
        with pytest.raises(OutsideDomain):
            pick(Grid(dataset), request)
        return
    found = kept(dataset, pick(Grid(dataset), request), "cell").values
    assert sorted(found[found >= 0]) == sorted(dataset.cell.values[there])


def profiles():
    levels = np.array([[0.0, 10, 20, np.nan], [5, 15, 25, 35]])
    return xr.Dataset(
        {"temp": (("N_PROF", "N_LEVELS"), np.arange(8.0).reshape(2, 4))},
        {
            "LONGITUDE": ("N_PROF", [100.0, 110.0], EAST),
            "LATITUDE": ("N_PROF", [10.0, 20.0], NORTH),
            "PRES": (
                ("N_PROF", "N_LEVELS"),
                levels,
                {"units": "decibar", "standard_name": "sea_water_pressure"},
            ),
        },
    )


def test_levels_of_profiles_outside_a_depth_are_left_out():
    picked = pick(Grid(profiles()), parse({"depth": "9/20"}))
    assert kept(profiles(), picked, "temp").values.tolist() == [[1, 2], [5, -1]]
    both = pick(Grid(profiles()), parse({"depth": "9/20", "bbox": "105,0,115,90"}))
    assert kept(profiles(), both, "temp").values.tolist() == [[5]]


def ragged(indexed, counts, numbers):
    stations, samples = len(counts), sum(counts)
    of = np.repeat(np.arange(stations), counts)
    of = numbers.permutation(of) if indexed else of
    link = ("index", "obs", of, {"instance_dimension": "station"})
    link = link if indexed else ("count", "station", np.array(counts), {"sample_dimension": "obs"})
    rows = {
        "lon": ("station", numbers.integers(0, 10, stations).astype(float), EAST),
        "lat": ("station", numbers.integers(0, 10, stations).astype(float), NORTH),
        "time": ("obs", numbers.integers(0, 10, samples).astype(float), SINCE),
        link[0]: (link[1], link[2].astype("i4"), link[3]),
        "temp": ("obs", np.arange(samples) * 1.0),
        "name": ("station", np.arange(stations)),
    }
    return xr.Dataset(rows, attrs={"featureType": "timeSeries"}), of


@given(
    seed=seeds,
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    indexed=st.booleans(),
    boxed=st.booleans(),
    timed=st.booleans(),
)
def test_a_ragged_array_s_part_has_the_samples_of_its_instances(seed, counts, indexed, boxed, timed):
    assume(sum(counts))
    dataset, of = ragged(indexed, counts, np.random.default_rng(seed))
    stations = (dataset.lon.values <= 5) & (dataset.lat.values <= 5) if boxed else np.ones(len(counts), bool)
    samples = stations[of] & ((dataset.time.values <= 5) | (not timed))
    request = parse(({"bbox": "0,0,5,5"} if boxed else {}) | ({"time": "../2000-01-06T00"} if timed else {}))
    try:
        part = applied(dataset, pick(Grid(dataset), request))
    except OutsideDomain:
        assert not samples.any()  # an answer without any is none
        return
    assert part.temp.values.tolist() == np.flatnonzero(samples).tolist()
    again = (
        part["index"].values if indexed else np.repeat(np.arange(part.sizes["station"]), part["count"].values)
    )
    assert part.name.values[again].tolist() == of[samples].tolist()
    empty = stations & (np.bincount(of, minlength=len(counts)) == 0)
    assert set(part.name.values) == set(of[samples]) | set(np.flatnonzero(empty))


def test_edges_of_an_axis_follow_it_or_are_left_out_and_said():
    dataset = xr.Dataset(
        {"t": ("z", np.arange(5.0))},
        {
            "z": ("z", [5.0, 15, 25, 40, 60], {"units": "m", "positive": "down", "edges": "zedges"}),
            "zedges": ("zedges", [0.0, 10, 20, 30, 50, 70]),
        },
    )
    picked = pick(Grid(dataset), parse({"depth": "10/30"}))
    assert applied(dataset, picked).zedges.values.tolist() == [10, 20, 30]
    picked = pick(Grid(dataset), parse({"stride": "depth:2"}))
    assert picked.dropped == ("zedges",)
    assert "zedges" in picked.notes[0]
    assert "zedges" in pick(Grid(dataset), Cut(), {"z": np.array([1])}).indices


def test_a_scalar_coordinate_is_a_condition():
    dataset = xr.Dataset(
        {"t": ("x", [1.0, 2])},
        {
            "lon": ((), 107.0, EAST),
            "lat": ((), 20.0, NORTH),
            "time": ((), 3.0, SINCE),
            "depth": ((), 5.0, {"units": "m"}),
        },
    )
    holds = {"bbox": "105,18,110,22", "time": "2000-01-04", "depth": "0/10"}
    fails = {"bbox": "0,0,1,1", "time": "1999", "depth": "6/10"}
    for name, value in holds.items():
        assert pick(Grid(dataset), parse({name: value})) == Picked()
        with pytest.raises(OutsideDomain):
            pick(Grid(dataset), parse({name: fails[name]}))


def test_radians_are_cut_in_degrees_and_left_as_they_are():
    radians = {"units": "radian", "standard_name": "longitude"}
    dataset = xr.Dataset(
        {"t": ("ncells", np.arange(3.0), {"coordinates": "clat clon"})},
        {
            "clon": ("ncells", np.radians([100.0, 107.0, 120.0]), radians),
            "clat": ("ncells", np.radians([10.0, 20.0, 30.0]), {**radians, "standard_name": "latitude"}),
        },
    )
    part = applied(dataset, pick(Grid(dataset), parse({"bbox": "105,18,110,22"})))
    assert part.t.values.tolist() == [1]
    assert part.clon.values.tolist() == [np.radians(107.0)]


@pytest.mark.parametrize(
    ("variable", "request_", "said"),
    [
        (("time", [1.0, 2], {"units": "days"}), {"time": "2000"}, "do not say since when"),
        (
            ("time", [1.0, 2], {"units": "days since 2000-01-01", "calendar": "moon"}),
            {"time": "2000"},
            "calendar 'moon'",
        ),
        (("time", [np.nan, np.nan], SINCE), {"time": "2000"}, "time has no value"),
        (("sigma", [0.0, 1], {"positive": "up", "units": "1"}), {"depth": "0/1"}, "sigma has units '1'"),
        (
            ("rlon", [0.0, 1], {"standard_name": "grid_longitude", "units": "degrees"}),
            {"bbox": "0,0,1,1"},
            "map projection",
        ),
    ],
)
def test_what_cannot_be_cut_by_says_why(variable, request_, said):
    name, values, attributes = variable
    dataset = xr.Dataset({"t": (name, [1.0, 2])}, {name: (name, values, attributes)})
    with pytest.raises(NotSubsettable, match=said):
        pick(Grid(dataset), parse(request_))


def test_the_reference_time_of_forecasts_is_told_from_the_time_of_the_data():
    reference = {**SINCE, "standard_name": "forecast_reference_time"}
    dataset = xr.Dataset(
        {"a": ("time", [1.0])}, {"time": ("time", [3.0], SINCE), "reftime": ("time", [1.0], reference)}
    )
    assert find(dataset).time == "time"
    alone = find(dataset.drop_vars("time").rename(time="run"))
    assert alone.time == "reftime"
    assert alone.lead is None
    assert [code for code, _ in alone.problems] == ["no-position", "reference-time"]


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_times_of_several_dimensions_are_cut_in_any_calendar(calendar):
    days = np.array([[0.0, 29, np.nan], [30, 31, 59]])
    dims = ("trajectory", "obs")
    dataset = xr.Dataset(
        {"cell": (dims, np.arange(6).reshape(2, 3))}, {"time": (dims, days, {**SINCE, "calendar": calendar})}
    )
    found = kept(dataset, pick(Grid(dataset), parse({"time": "2000-01-30/2000-02-01"})), "cell").values
    assert sorted(found[found >= 0]) == ([1, 3, 4] if calendar == "standard" else [1, 3])


def check_real(grid, name, pair, box, picked):
    """A variable's kept cells are those well inside the box, and none well outside it."""
    columns, rows = (grid.values(axis) for axis in pair)
    dims = grid.dataset[pair[0]].dims
    if is_lines(grid, pair) and dims != grid.dataset[pair[1]].dims:
        columns, rows = np.meshgrid(columns, rows)
        dims = grid.dataset[pair[1]].dims + dims
    sizes = {d: np.arange(n) for d, n in zip(dims, columns.shape, strict=True)}
    keep = np.zeros(columns.shape, bool)
    mask = next((mask for over, mask in picked.keeps if set(over) == set(dims)), True)
    keep[np.ix_(*(picked.indices.get(d, whole) for d, whole in sizes.items()))] = mask
    west, width = box.west, (box.east - box.west) % 360
    for edge, law in ((-1e-3, lambda there: keep[there].all()), (1e-3, lambda there: not keep[~there].any())):
        there = (
            ((columns - west + edge) % 360 <= width + 2 * edge)
            & (rows >= box.south - edge)
            & (rows <= box.north + edge)
        )
        assert law(there), name


def boxed(path, zarr):
    """The names of variables of a real file that were compared, by a box through its middle."""
    where = Distribution(protocol="zarr" if zarr else "file", address=str(path))
    with opening.opened(where, opening.Reach()) as dataset:
        grid = Grid(dataset)
        x, y = (grid.values(name) for name in first_pair(grid))
        if not np.isfinite(x).any():
            pick(grid, Cut(bbox=BBox.of(0, 0, 1, 1)))
        (west, east), (south, north) = (np.nanquantile(v, [0.25, 0.75]) for v in (x, y))
        box = BBox.of(west, south, east, north)
        picked = pick(grid, Cut(bbox=box))
        owned = {d for mesh in meshes(grid) for d in mesh.dimensions}  # tests/unit/test_meshes.py has those
        names = [name for name in grid.axes.data_variables(dataset) if not owned & set(dataset[name].dims)]
        names = [name for name in names if pair_of(grid, name) and name not in picked.dropped]
        for name in names:
            check_real(grid, name, pair_of(grid, name), box, picked)
        return names


def test_a_box_through_the_middle_of_every_real_file_is_that_of_brute_force(shared_real):
    compared, refused = set(), {}
    for path in sorted((shared_real / "files").rglob("*")):
        zarr = (path / ".zgroup").is_file() or (path / "zarr.json").is_file()
        if not zarr and path.suffix not in {".nc", ".cdf"}:
            continue
        try:
            compared |= {path.name} if boxed(path, zarr) else set()
        except CatalogError as error:
            refused[path] = error
    for path, error in refused.items():
        if isinstance(error, NotSubsettable):
            assert re.search("no longitude and latitude were found|has no value", error.message), path.name
        elif isinstance(error, OutsideDomain):  # two faces around the middle
            assert path.name == "quad_and_triangle.nc"
        else:
            assert path.parent.name == "broken"
    assert len(compared) > 20
