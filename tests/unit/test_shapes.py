"""Points, lines, areas and exact indices against numpy, scipy and shapely over all centres."""

import json
from itertools import pairwise

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from catalog import formats
from catalog.data import geometry, hyperslabs, opening, subset
from catalog.data.grids import Grid
from catalog.data.spheres import degrees, distance, vectors
from catalog.errors import BadRequest, NotSubsettable, OutsideDomain, TooLarge
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}
DAYS = {"units": "days since 2000-01-01"}
FILL = np.int16(-1)
COLUMNS = (
    np.arange(0.0, 360, 5),
    np.arange(-180.0, 180, 5),
    np.arange(100.0, 130, 2),
    np.arange(130.0, 99, -3),
)
ROWS = (np.arange(-85.0, 86, 5), np.arange(40.0, -41, -4), np.arange(0.0, 30, 2, dtype="f4"))


def grid(x, y, times=3, *, chunks=(1, 4, 5), values=None):
    """An undecoded grid whose cells are counted, packed with a fill value."""
    cells = np.arange(times * y.size * x.size).reshape(times, y.size, x.size) % 30_000
    packing = {"_FillValue": FILL, "scale_factor": 0.5, "units": "1"}
    raw = cells.astype("i2") if values is None else values
    found = xr.Dataset(
        {"cell": (("time", "lat", "lon"), raw, packing), "area": (("lat", "lon"), raw[0].astype("f4"), {})},
        xr.Coordinates(
            {
                "time": ("time", np.arange(times) * 10.0, DAYS),
                "lat": ("lat", y, NORTH),
                "lon": ("lon", x, EAST),
            },
            indexes={},
        ),
        {"history": "made"},
    )
    found.cell.encoding["chunksizes"] = chunks
    return Grid(found)


def cut(source, limits=LIMITS, **parameters):
    return subset.cut(source, subset.parse(parameters), "some-id", limits).load()


def centres(known):
    return np.meshgrid(known.values("lon"), known.values("lat"))


GRIDS = st.builds(grid, st.sampled_from(COLUMNS), st.sampled_from(ROWS))
PLACES = st.tuples(st.floats(-180, 360), st.floats(-89, 89))


@given(known=GRIDS, place=PLACES)
def test_a_point_is_the_nearest_cell_or_refused(known, place):
    x, y = centres(known)
    far = distance(*place, x, y)
    try:
        got = cut(known, coords=f"POINT({place[0]!r} {place[1]!r})")
    except OutsideDomain as error:
        assert "nearest centre" in error.message  # noqa: PT017 - either is right
        step = max(abs(np.diff(known.values(name))).max() for name in ("lon", "lat"))
        assert far.min() > 111_000 * step / 2 * np.cos(np.radians(y.max())) * 0.05
        return
    assert got.cell.shape == (3, 1, 1)
    row, column = np.unravel_index(int(got.cell[0, 0, 0]), x.shape)
    np.testing.assert_array_equal(got.cell[:, 0, 0], known.dataset.cell.values[:, row, column])
    assert (got.lon.item(), got.lat.item()) == (known.values("lon")[column], known.values("lat")[row])
    assert got.distance.item() == pytest.approx(distance(*place, got.lon.item(), got.lat.item()), abs=1)
    assert (got.requested_longitude.item(), got.requested_latitude.item()) == place
    assert got.cell.attrs["coordinates"].split() == ["requested_longitude", "requested_latitude", "distance"]
    # along a parallel far from the equator, the cell of row and column may lie a little farther than its neighbour
    inner = np.abs(place[1] - got.lat.item()) <= np.abs(np.diff(known.values("lat"))).max() / 2 + 1e-9
    assert not inner or far[row, column] <= far[np.abs(y - got.lat.item()) < 1e-6].min() + 1


@given(known=GRIDS, places=st.lists(PLACES, min_size=1, max_size=6), method=st.sampled_from(["", "linear"]))
def test_several_points_are_those_of_each(known, places, method):
    singles = []
    for x, y in places:
        try:
            singles.append(cut(known, coords=f"POINT({x!r} {y!r})", method=method))
        except (OutsideDomain, NotSubsettable) as error:
            with pytest.raises(type(error)):
                cut(known, coords=_multipoint(places), method=method)
            return
    got = cut(known, coords=_multipoint(places), method=method)
    assert got.cell.dims == ("time", "station")
    assert got.station.values.tolist() == list(range(1, len(places) + 1))
    assert (got.station.attrs["cf_role"], got.attrs["featureType"]) == ("timeseries_id", "timeSeries")
    for name in ("cell", "area", "lon", "lat", "requested_longitude"):
        want = np.stack(
            [single[name].values.reshape(*single[name].shape[:-2], -1)[..., 0] for single in singles], -1
        )
        np.testing.assert_array_equal(got[name].values, want.reshape(got[name].shape))


def _multipoint(places):
    return "MULTIPOINT(" + ",".join(f"({x!r} {y!r})" for x, y in places) + ")"


@given(
    known=GRIDS,
    place=st.tuples(st.floats(100, 129), st.floats(1, 27)),
    masked=st.lists(st.integers(0, 400), max_size=40),
)
def test_linear_is_bilinear_and_misses_what_has_a_missing_corner(known, place, masked):
    raw = known.dataset.cell.values.copy()
    raw.reshape(3, -1)[:, [place for place in masked if place < raw[0].size]] = FILL
    known = grid(known.dataset.lon.values, known.dataset.lat.values, values=raw)
    x, y = known.values("lon") % 360, known.values("lat")
    columns, rows = np.argsort(x), np.argsort(y)
    assume(x.min() <= place[0] <= x.max())
    raw = np.moveaxis(raw[:, rows][:, :, columns], 0, -1)
    asked, axes = [place[::-1]], (y[rows], x[columns])
    # a corner without weight is none
    gone = RegularGridInterpolator(axes, (raw == FILL).astype("f8"))(asked)[0] > 0
    filled = RegularGridInterpolator(axes, np.where(raw == FILL, 0, raw * 0.5))(asked)[0]
    want = np.where(gone, np.nan, filled)
    got = cut(known, coords=f"POINT({place[0]!r} {place[1]!r})", method="linear")
    assert (got.lat.item(), got.lon.item() % 360) == (place[1], pytest.approx(place[0]))
    np.testing.assert_allclose(got.cell.values.ravel(), want, rtol=1e-9)
    assert "scale_factor" not in got.cell.attrs


def test_linear_goes_across_the_seam_and_not_beyond_the_ends():
    known = grid(np.arange(0.0, 360, 5), np.arange(-85.0, 86, 5))
    got = cut(known, coords="POINT(-1 0)", method="linear", variables="cell")
    row = known.dataset.cell.values[0, 17] * 0.5
    assert got.cell.values[0].item() == pytest.approx(row[0] * 0.8 + row[-1] * 0.2)
    assert got.lon.item() == 359
    with pytest.raises(NotSubsettable, match="beyond the outermost"):
        cut(known, coords="POINT(3 86)", method="linear")


CORNERS = st.lists(st.tuples(st.integers(96, 134), st.integers(-45, 45)), min_size=3, max_size=8, unique=True)


@given(known=GRIDS, corners=CORNERS, hole=st.booleans(), turn=st.sampled_from([0, -360, 360]))
def test_an_area_holds_the_centres_that_shapely_finds_in_it(known, corners, hole, turn):
    area = shapely.Polygon(corners)
    assume(area.is_valid and area.area)
    if hole:
        middle = area.representative_point()
        area = area.difference(middle.buffer(3))
        assume(not area.is_empty)
    x, y = centres(known)
    inside = shapely.intersects_xy(area, (x % 360).ravel(), y.ravel()).reshape(x.shape)
    # turned, what is no integer is rounded: on which side of an edge a centre on it lies is open
    if hole and turn:
        assume(shapely.distance(area.boundary, shapely.points(x % 360, y)).min() > 1e-9)
    moved = shapely.transform(area, lambda at: at + np.array([turn, 0]))
    coords = json.dumps(shapely.geometry.mapping(moved)) if hole else moved.wkt
    assume(np.abs(moved.bounds).max() <= 540)
    if not inside.any():
        with pytest.raises(OutsideDomain):
            cut(known, coords=coords)
        return
    got = cut(known, coords=coords, variables="cell")
    kept = got.cell.values[0] != FILL
    assert sorted(got.cell.values[0][kept].tolist()) == np.flatnonzero(inside).tolist()
    columns = np.flatnonzero(inside.any(axis=0))
    assert set(known.values("lon")[columns]) <= set(got.lon.values.tolist())


def test_an_area_of_tenths_holds_the_float32_centres_on_its_edge():
    known = grid(
        np.arange(1051, 1100, dtype="f4") / np.float32(10), np.arange(170, 190, dtype="f4") / np.float32(10)
    )
    got = cut(known, coords="POLYGON((105.3 17.1,106.1 17.1,106.1 18.3,105.3 18.3,105.3 17.1))")
    assert got.cell.shape == (3, 13, 9)
    assert (got.cell.values != FILL).all()


def _nearest_of(places, centres):
    """Which centre is nearest to each place, and whether it is the only one: half way between two either is."""
    far = np.abs(places[:, None] - centres)
    first, second = np.sort(far, axis=1)[:, :2].T
    return far.argmin(axis=1), second - first > 1e-9


@given(
    known=GRIDS,
    corners=st.lists(
        st.tuples(st.integers(101, 128), st.integers(1, 27)), min_size=2, max_size=4, unique=True
    ),
)
def test_a_transect_misses_no_cell_and_has_each_once(known, corners):
    try:
        got = cut(known, coords="LINESTRING(" + ",".join(f"{x} {y}" for x, y in corners) + ")")
    except OutsideDomain:
        return
    numbers = got.cell.values[0].tolist()
    assert len(set(numbers)) == len(numbers)
    assert np.all(np.diff(got.distance_along.values) > 0)
    assert (got.distance_along.attrs["units"], got.distance.attrs["units"]) == ("m", "m")
    if len(corners) == 2 and got.distance_along.size > 2:
        far = distance(*corners[0], got.lon.values[-1], got.lat.values[-1])
        assert got.distance_along.values[-1] == pytest.approx(far, abs=2 * 600_000)
        assert got.distance_along.values[-1] > 10_000
    x, y = known.values("lon"), known.values("lat")
    places = np.stack(np.unravel_index(numbers, (y.size, x.size)))
    np.testing.assert_array_equal(got.lat.values, y[places[0]])
    np.testing.assert_array_equal(got.lon.values, x[places[1]])
    if len(corners) == 2:
        assert np.abs(np.diff(places, axis=1)).max(initial=0) <= 1
    ends = vectors(*np.array(corners, float).T)
    for first, last in pairwise(ends):
        dense = degrees(first + np.linspace(0, 1, 400)[:, None] * (last - first))
        inside = (dense[0] > x.min()) & (dense[0] < x.max()) & (dense[1] > y.min()) & (dense[1] < y.max())
        column, one = _nearest_of(dense[0], x)
        row, other = _nearest_of(dense[1], y)
        cells = (row * x.size + column)[inside & one & other]
        step = float(distance(dense[0][0], dense[1][0], dense[0][-1], dense[1][-1])) / 300
        half = 111_200 / 2 * max(np.abs(np.diff(y)).max(), np.abs(np.diff(x)).max())
        often = [cell for cell in set(cells.tolist()) if (cells == cell).sum() * step > half + 2 * step]
        assert set(often) <= set(numbers)


@given(
    slabs=st.fixed_dictionaries(
        {},
        optional={
            name: st.tuples(st.integers(0, size - 1), st.integers(1, 4), st.integers(0, size - 1))
            for name, size in (("time", 3), ("lat", 15), ("lon", 72))
        },
    ),
    short=st.booleans(),
)
def test_indices_are_those_of_dap2(slabs, short):
    known = grid(COLUMNS[0], ROWS[2])
    slabs = {name: (a, step, b) for name, (a, step, b) in slabs.items() if a <= b}
    texts = [
        f"{name}[{a}]"
        if short and a == b
        else f"{name}[{a}:{b}]"
        if short and step == 1
        else f"{name}[{a}:{step}:{b}]"
        for name, (a, step, b) in slabs.items()
    ]
    got = cut(known, indices=",".join(texts))
    key = tuple(
        slice(a, b + 1, step) for a, step, b in (slabs.get(d, (0, 1, 99)) for d in ("time", "lat", "lon"))
    )
    np.testing.assert_array_equal(got.cell.values, known.dataset.cell.values[key])
    np.testing.assert_array_equal(got.lon.values, known.dataset.lon.values[key[2]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("POINT(1)", "a position is two numbers"),
        ("POINT((1 2)", "its brackets do not match"),
        ("POINT(1 1-)", "a number cannot be read"),
        ("LINESTRING(1 2)", "a line has two positions"),
        ("POLYGON((0 0,1 1,1 0,2 0))", "with the first again at its end"),
    ],
)
def test_what_is_wrong_with_a_place_is_said_in_words(text, said):
    with pytest.raises(BadRequest, match=said) as refused:
        geometry.parse(text)
    assert "Exception" not in refused.value.message


def test_a_single_time_or_depth_snaps_only_when_asked():
    known = grid(COLUMNS[2], ROWS[2])
    with pytest.raises(OutsideDomain):
        cut(known, time="2000-01-10T00:00:00Z")
    got = cut(known, time="2000-01-10T06:00:00Z", method="nearest")
    assert (got.time.values.tolist(), got.requested_time.item()) == ([10.0], "2000-01-10T06:00:00Z")
    assert got.cell.attrs["coordinates"] == "requested_time"
    for method in ("nearest", "linear"):
        with pytest.raises(OutsideDomain):
            cut(known, time="2000-03-01T00:00:00Z", method=method, coords="POINT(110 10)")
    got = cut(known, time="2000-01-09T00:00:00Z", method="linear", coords="POINT(110 10)", variables="cell")
    want = known.dataset.cell.values[:2, 5, 5] * 0.5 @ [0.2, 0.8]
    assert (got.cell.item(), got.time.item()) == (pytest.approx(want), pytest.approx(8.0))
    day = cut(known, time="2000-01-14", method="nearest")
    assert (day.time.values.tolist(), day.requested_time.item()) == ([10.0], "2000-01-14")
    assert "requested_time" not in cut(known, time="2000-01-11", method="nearest").variables
    with pytest.raises(OutsideDomain):
        cut(known, time="2000-03-01", method="nearest")
    for when in ("2000-01-14", "2000-01-14T00:00:00Z"):
        with pytest.raises(OutsideDomain) as refused:
            cut(known, time=when)
        assert refused.value.hint == "the nearest is time=2000-01-11T00:00:00Z; or add method=nearest"
    with pytest.raises(OutsideDomain):
        cut(grid(COLUMNS[2], ROWS[2], times=9).dataset.isel(time=[0, 8]), time="2000-02")
    levels = known.dataset.rename(time="depth")
    levels["depth"].attrs = {"units": "m", "positive": "down"}
    assert cut(levels, coords="POINT(110 10 12)").depth.values.tolist() == [10.0]
    got = cut(levels, depth="12", method="nearest")
    assert (got.depth.item(), got.requested_depth.item()) == (10.0, 12.0)
    levels["depth"] = ("depth", [0.0, 10, 500], {"units": "m", "positive": "down"})
    with pytest.raises(
        OutsideDomain, match=r"nearest centre is 0, and centres are 10 apart there"
    ) as refused:
        cut(levels, depth="4")
    assert refused.value.hint == "the nearest is depth=0; or add method=nearest"
    with pytest.raises(OutsideDomain) as refused:
        cut(levels, depth="501")
    assert refused.value.hint == "ask within the data's domain"


@given(
    known=GRIDS,
    masked=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
    place=st.tuples(st.floats(101, 128), st.floats(1, 27)),
)
def test_a_masked_point_says_where_the_nearest_value_is(known, masked, seed, place):
    raw = known.dataset.cell.values.copy()
    gone = np.random.default_rng(seed).uniform(size=raw.shape[1:]) < masked
    raw[:, gone] = FILL
    known = grid(known.dataset.lon.values, known.dataset.lat.values, values=raw)
    got = cut(known, coords=f"POINT({place[0]!r} {place[1]!r})", variables="cell")
    if (got.cell.values != FILL).any():
        assert got.encoding["notes"] == ()
        assert "comment" not in got.attrs
        return
    (note,) = got.encoding["notes"]
    assert got.attrs["comment"] == note
    assert note.startswith("all cells masked (land?); ")
    x, y = centres(known)
    far = np.where(gone, np.inf, distance(*place, x, y))
    if gone.all():
        assert note.endswith("has data")
    else:
        best = np.unravel_index(far.argmin(), far.shape)
        said = note.split(" is at ")[1].split(" (")[0]
        found = distance(*place, *map(float, said.split(",")))
        assert found == pytest.approx(far[best], rel=1e-3) or x[best] - x.min() > 340


def test_what_has_values_says_nothing_and_an_estimate_reads_nothing(monkeypatch):
    known = grid(COLUMNS[2], ROWS[2])
    assert cut(known, bbox="104,2,110,9").encoding["notes"] == ()
    lazy = known.dataset.copy()
    lazy["cell"] = lazy.cell.copy(data=np.full(lazy.cell.shape, FILL))
    request = subset.parse({"bbox": "104,2,110,9"})
    assert subset.part(lazy, request, "some-id", LIMITS).encoding["notes"] == ()
    assert subset.cut(lazy, request, "some-id", LIMITS).encoding["notes"] == ()  # area has values
    assert "no cell" in cut(lazy, bbox="104,2,110,9", variables="cell").encoding["notes"][0]


def test_good_values_are_asked_of_flags_that_are_read_and_paid_for():
    known = grid(COLUMNS[2], ROWS[2])
    flagged = known.dataset.drop_vars("area")
    flagged["cell"].attrs["ancillary_variables"] = "state"
    attributes = {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "good bad"}
    bad = (known.dataset.cell.values % 2).astype("i1")
    flagged["state"] = (("time", "lat", "lon"), bad, attributes)
    got = cut(flagged, variables="cell", qc="good", bbox="104,2,110,9")
    plain = cut(flagged, variables="cell", bbox="104,2,110,9").cell.values
    np.testing.assert_array_equal(got.cell.values, np.where(plain % 2, FILL, plain))
    flagged["state"] = (("time", "lat", "lon"), np.ones_like(bad), attributes)
    (note,) = cut(flagged, variables="cell", qc="good", coords="POINT(110 10)").encoding["notes"]
    assert "no value here good" in note
    got = cut(flagged, variables="cell", reduce="max(time)", coords="POINT(110 10)")
    assert got.cell.values.ravel().tolist() == [known.dataset.cell.values[2, 5, 5] * 0.5]


REQUESTS = st.sampled_from(
    [
        {"coords": "POINT(110 10)"},
        {"coords": "POINT(110.7 10.2)", "method": "linear"},
        {"coords": "MULTIPOINT(110 10,104 20,128 3)"},
        {"coords": "LINESTRING(101 2,125 25)"},
        {"coords": "POLYGON((104 2,120 4,110 22,104 2))"},
        {"indices": "time[0:2:8],lat[3:9]"},
        {"bbox": "104,2,120,20", "stride": "time:2"},
        {"time": "2000-01-15T00:00:00Z", "method": "nearest"},
    ]
)


@given(parameters=REQUESTS, limit=st.integers(60, 20_000), columns=st.sampled_from(COLUMNS[:3]))
@settings(max_examples=60)
def test_a_cut_costs_no_more_than_was_told_and_a_hint_passes(parameters, limit, columns):
    known = grid(columns, ROWS[2], times=9)
    cost = subset.cost(known, subset.parse(parameters))
    got = xr.decode_cf(cut(known, **parameters), decode_times=False, decode_coords=False)
    assert (
        sum(variable.nbytes for variable in got.variables.values() if variable.dtype.kind != "U")
        <= cost.result_bytes
    )
    assert cost.cells == sum(got[name].size for name in ("cell", "area"))
    assert cost.rows == max(got[name].size for name in ("cell", "area"))
    limits = subset.Limits(result_bytes=limit, decoded_bytes=10**9)
    if cost.within(limits):
        assert cut(known, limits, **parameters).sizes
        return
    with pytest.raises(TooLarge) as caught:
        cut(known, limits, **parameters)
    smaller = caught.value.details["try"]
    if smaller:
        assert cut(known, limits, **smaller).sizes


class Counted(xr.backends.BackendArray):
    """An array that counts the bytes of the chunks that are read."""

    def __init__(self, values, chunks):
        self.values, self.chunks, self.shape, self.dtype, self.read = (
            values,
            chunks,
            values.shape,
            values.dtype,
            0,
        )

    def __getitem__(self, key):
        level = xr.core.indexing.IndexingSupport.OUTER
        return xr.core.indexing.explicit_indexing_adapter(key, self.shape, level, self._get)

    def _get(self, key):
        at = [np.atleast_1d(np.arange(n)[part]) for n, part in zip(self.shape, key, strict=True)]
        touched = [
            np.unique(place // chunk).size * chunk for place, chunk in zip(at, self.chunks, strict=True)
        ]
        self.read += int(np.prod(touched)) * self.dtype.itemsize
        return self.values[np.ix_(*at)].squeeze(
            axis=tuple(i for i, k in enumerate(key) if isinstance(k, (int, np.integer)))
        )


@given(parameters=REQUESTS, chunks=st.sampled_from([(1, 4, 5), (9, 1, 1), (3, 15, 72), (2, 7, 3)]))
@settings(max_examples=40)
def test_the_chunks_read_are_those_told_and_each_once(parameters, chunks):
    known = grid(COLUMNS[0], ROWS[2], times=9, chunks=chunks)
    array = Counted(known.dataset.cell.values, chunks)
    lazy = known.dataset.drop_vars("area")
    data = xr.core.indexing.LazilyIndexedArray(array)
    lazy["cell"] = xr.Variable(("time", "lat", "lon"), data, known.dataset.cell.attrs, {"chunksizes": chunks})
    cost = subset.cost(lazy, subset.parse(parameters))
    cut(lazy, **parameters)
    assert 0 < array.read <= cost.decoded_bytes


@pytest.mark.parametrize(
    "parameters",
    [
        {"coords": "POINT(1)"}, {"coords": "POINT(1 91)"}, {"coords": "POINT(1e999 2)"}, {"coords": "CIRCLE(1 2)"},
        {"coords": "POINT(1 2)", "bbox": "1,2,3,4"}, {"coords": "POLYGON((0 0,1 1,1 0,0 1,0 0))"},
        {"coords": "POLYGON((0 0,1 1))"}, {"coords": '{"type":"Point"}'}, {"coords": "LINESTRING(1 2 3,4 5 6)"},
        {"coords": "LINESTRING(1 2,3 4)", "method": "linear"}, {"method": "linear"}, {"method": "cubic"},
        {"qc": "good", "method": "linear", "coords": "POINT(1 2)"}, {"qc": "bad"},
        {"reduce": "mode(time)"}, {"indices": "time"}, {"indices": "time[5:1]"},
        {"indices": "time[1],time[2]"}, {"indices": "time[0:0:2]"}, {"indices": "time[1],"},
        {"coords": "MULTIPOINT(" + ",".join(["1 2"] * 1001) + ")"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_request_with_the_way_out(parameters):
    with pytest.raises(BadRequest) as caught:
        subset.parse(parameters)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"indices": "time[3]"}, "its size is 3"),
        ({"indices": "depth[0]"}, "no dimension"),
        ({"indices": "lat[0]", "bbox": "104,2,110,9"}, "both cut lat"),
        ({"indices": "lon[0]", "coords": "POINT(104 2)"}, "both cut lon"),
        ({"indices": "time[0]", "stride": "time:2"}, "both cut time"),
        ({"coords": "POINT(104 2)", "stride": "latitude:2"}, "stride="),
        ({"coords": "LINESTRING(0 0,180 0)"}, "opposite"),
    ],
)
def test_what_contradicts_itself_or_the_data_is_a_bad_request(parameters, said):
    with pytest.raises(BadRequest, match=said) as caught:
        cut(grid(COLUMNS[2], ROWS[2]), **parameters)
    assert caught.value.hint


SHAPED = st.from_regex(r"(MULTI)?(POINT|POLYGON|LINESTRING) ?Z? ?\([-+0-9., ()e]*\)", fullmatch=True)
TREES = st.recursive(
    st.none() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=30,
)
KINDS = st.sampled_from(["Point", "MultiPoint", "LineString", "Polygon", "MultiPolygon", "Feature", "Circle"])
JSON = st.builds(lambda kind, tree: json.dumps({"type": kind, "coordinates": tree}), KINDS, TREES)


@given(st.text() | st.text("POINTLYGMUSR(), .-+e019{}[]:") | SHAPED | JSON)
@settings(max_examples=400)
def test_whatever_is_written_is_read_or_a_bad_request(text):
    for parse in (geometry.parse, hyperslabs.parse, lambda text: subset.parse({"coords": text})):
        try:
            parse(text)
        except BadRequest as error:
            assert error.hint  # noqa: PT017 - either is right


@given(
    st.builds(
        subset.Cut,
        variables=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
        time=st.sampled_from([None, ("2019-02-23T06:00:00Z",) * 2]),
        indices=st.sampled_from(["", "time[0:2:10],lat[5]"]),
        coords=st.sampled_from(
            ["POINT(107.5 20.25)", "MULTIPOINT((1 2),(3 4))", '{"type": "Point", "coordinates": [1, 2]}']
        ),
        method=st.sampled_from(["", "nearest", "linear"]),
        qc=st.just(""),
        reduce=st.sampled_from(["", "mean(time)", "mean(time:month), max(longitude,latitude)"]),
    )
)
def test_a_cut_is_read_back_from_its_parameters(cut_):
    assert subset.parse(cut_.parameters()) == cut_


def test_curvilinear_grids_and_meshes_give_points_lines_and_areas(shared_real):
    for name, variable, dims in (
        ("gridded/WCOFS_subset.nc", "u_sur", ("lon_u", "lat_u")),
        ("gridded/tri_grid_example-FVCOM.nc", "zeta", ("lon", "lat")),
    ):
        path = shared_real / "files" / name
        with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as dataset:
            known = Grid(dataset)
            x, y = (known.values(part) for part in dims)
            at = np.unravel_index(x.size // 2, x.shape)
            near = x[at] + 1e-4, y[at]
            got = cut(known, coords=f"POINT({near[0]} {near[1]})", variables=variable)
            source = dataset[variable].values.reshape(dataset[variable].shape[0], -1)
            np.testing.assert_array_equal(got[variable].values.ravel(), source[:, x.size // 2])
            line = cut(
                known, coords=f"LINESTRING({x.flat[0]} {y.flat[0]},{x[at]} {y[at]})", variables=variable
            )
            assert line.sizes["distance_along"] > 3
            west, south = x[at] - 0.2, y[at] - 0.2
            area = shapely.box(west, south, west + 0.4, south + 0.4)
            if variable == "u_sur":
                inside = shapely.intersects_xy(area, x, y)
                got = cut(known, coords=area.wkt, variables=variable)
                numbers = got[variable].values[0]
                want = source[0].reshape(x.shape)[inside]
                fill = dataset[variable].attrs["_FillValue"]
                assert (numbers != fill).sum() == (want != fill).sum()


def staggered():
    """Two grids: `h` on all cells, `v` (with its own time) on those of the southern half; `v_turned` belongs to it."""
    j, i = np.mgrid[:8, :6] / 10
    x, y = 105 + i + j / 9, 15 + j - i / 9
    of = {kind: {"coordinates": f"lon_{kind} lat_{kind}"} for kind in "hv"}
    return xr.Dataset(
        {
            "h": (("y", "x"), i + j, of["h"]),
            "v": (("y_v", "x_v"), (i - j)[:4], of["v"]),
            "mask_v": (("y_v", "x_v"), np.ones((4, 6), "i1"), of["v"]),
            "v_turned": (("y_v", "side"), np.ones((4, 2))),
        },
        {
            f"{name}_{kind}": (dims, values[:rows], {"units": f"degrees_{way}"})
            for kind, dims, rows in (("h", ("y", "x"), 8), ("v", ("y_v", "x_v"), 4))
            for name, values, way in (("lon", x, "east"), ("lat", y, "north"))
        },
    )


@pytest.mark.parametrize(
    "place", [
        {"coords": "POINT(105.3 15.68)"}, {"coords": "MULTIPOINT(105.3 15.68,105.2 15.1)"},
        {"bbox": "105.2,15.55,105.4,15.7"}, {"coords": "POLYGON((105.2 15.55,105.4 15.55,105.3 15.7,105.2 15.55))"},
    ],
)  # fmt: skip
def test_variables_whose_grid_misses_a_place_are_left_out_and_it_is_said(place):
    whole = staggered()
    found = cut(whole, **place)
    assert set(found.variables) >= {"h", "lon_h", "lat_h"}
    assert not {"v", "mask_v", "v_turned", "lon_v", "lat_v"} & set(found.variables)
    (note,) = found.encoding["notes"]
    assert note == found.attrs["comment"]
    assert note.startswith("without v, mask_v, v_turned: ")
    assert "lon_v and lat_v" in note
    assert xr.Dataset.identical(found["h"].load(), cut(whole, variables="h", **place)["h"].load())
    for suffix in ("csv", "nc3", "zarr"):
        assert b"".join(formats.named(suffix).write(found))
    cost = subset.cost(whole, subset.parse(place))
    assert cost.cells == found["h"].size
    for names in ("v", "h,v"):
        with pytest.raises(OutsideDomain):
            cut(whole, variables=names, **place)


def test_a_place_that_all_grids_miss_is_refused():
    for place in ({"coords": "POINT(120 15)"}, {"bbox": "120,15,121,16"}):
        with pytest.raises(OutsideDomain):
            cut(staggered(), **place)
    both = cut(staggered(), coords="POINT(105.3 15.2)")
    assert {"h", "v", "mask_v"} <= set(both.variables)
    assert both.encoding["notes"] == ()
