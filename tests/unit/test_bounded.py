"""FAULTS rows 17 and 19: what a request, or a file of a few kilobytes, claims never costs memory or minutes."""

import math
import random
import resource
import time

import numpy as np
import pytest
import xarray as xr

from catalog import formats
from catalog.data import numbering, subset
from catalog.data.geometry import parse
from catalog.data.grids import Grid
from catalog.errors import CatalogError, TooLarge
from catalog.estimating import estimate

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
MEGABYTE = 1_000_000


class Claimed(xr.backends.BackendArray):
    """Cells that are nowhere, of any shape."""

    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __getitem__(self, key):
        raise AssertionError("nothing was to be read")


def claimed(dims, shape, dtype="i2"):
    return xr.Variable(dims, xr.core.indexing.LazilyIndexedArray(Claimed(shape, dtype)))


@pytest.fixture(scope="module")
def globe():
    """A global grid of a twelfth of a degree, whose cells are never read."""
    axes = {
        name: xr.Variable((name,), np.linspace(-reach, reach, size), {"units": units})
        for name, reach, size, units in (
            ("lat", 80, 2041, "degrees_north"),
            ("lon", 179.9, 4320, "degrees_east"),
        )
    }
    made = xr.Dataset({"sst": claimed(("lat", "lon"), (2041, 4320))}, xr.Coordinates(axes, indexes={}))
    return Grid(made)


def refused(source, **parameters):
    """The error of a cut, the CPU seconds until it, and the memory that it took."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CatalogError) as caught:
        subset.cut(source, subset.parse(parameters), "some-id", LIMITS)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return caught.value, time.process_time() - began, more


@pytest.mark.parametrize(
    "parameters",
    [{}, {"stride": "n:2"}, {"indices": "n[0:1:999999999]"}, {"indices": "n[0:2:999999999]"}],
)
def test_a_dimension_of_a_thousand_million_is_not_counted_out(parameters):
    known = xr.Dataset({"a": claimed(("m", "n"), (2, 1_000_000_000), "f4")})
    error, seconds, memory = refused(known, **parameters)
    assert isinstance(error, TooLarge)
    assert seconds < 2
    assert memory < 50 * MEGABYTE


def test_as_many_indices_as_there_is_room_for():
    assert numbering.numbered("n", 3, 10, 3).tolist() == [3, 6, 9]
    with pytest.raises(TooLarge, match="50000001"):
        numbering.numbered("n", 0, numbering.MOST_INDICES + 1, 1)


def test_a_line_to_and_fro_over_the_globe_costs_no_table_of_all_columns(globe):
    dice = random.Random(17)
    there = ",".join(f"{dice.uniform(-80, 80):.3f} {dice.uniform(-79, 79):.3f}" for _ in range(10_000))
    error, seconds, memory = refused(globe, coords=f"LINESTRING({there})")
    assert isinstance(error, TooLarge)
    assert seconds < 10
    assert memory < 300 * MEGABYTE


def comb(teeth):
    upper = [f"{-170 + at * 340 / teeth:.4f} {-75 if at % 2 else 75 - at * 1e-3:.3f}" for at in range(teeth)]
    return f"POLYGON(({','.join([*upper, '170 79', '-170 79', upper[0]])}))"


def test_an_area_like_a_comb_is_refused_before_it_is_drawn(globe):
    error, seconds, memory = refused(globe, coords=comb(9_000))
    assert isinstance(error, TooLarge)
    assert "edges" in error.message
    assert seconds < 5
    assert memory < 300 * MEGABYTE


def test_an_area_between_the_centres_of_a_large_grid_is_refused_soon(globe):
    """Two slivers at the ends of the globe: no centre inside, and eight million around."""
    slivers = [
        f"(({x} {y},{x + 1e-6} {y},{x} {y + 1e-6},{x} {y}))"
        for x, y in ((-179.87, -79.97), (179.87, 79.97), *((at / 7 + 1e-4, 0.0123) for at in range(300)))
    ]
    error, seconds, memory = refused(globe, coords=f"MULTIPOLYGON({','.join(slivers)})")
    assert "no centre" in error.message
    assert seconds < 10
    assert memory < 900 * MEGABYTE


def test_what_is_counted_of_an_area_is_its_edges_at_a_latitude():
    shape = parse("MULTIPOLYGON(((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 2,1 1)),((10 1,11 1,10.5 3,10 1)))")
    assert shape.edges_at(np.array([0.5, 1.5, 2.5, 5.0])).tolist() == [2, 6, 4, 0]
    circle = [
        f"{170 * math.cos(at):.4f} {70 * math.sin(at):.4f}" for at in np.linspace(0, 2 * math.pi, 9_000)[:-1]
    ]
    round_one = parse(f"POLYGON(({','.join([*circle, circle[0]])}))")
    assert round_one.edges_at(np.linspace(-69, 69, 100)).max() <= 4


@pytest.fixture(scope="module")
def crumbs():
    """A million chunks of one cell: 4 MB that take as long to read as 8 GB."""
    axes = {
        name: xr.Variable((name,), np.arange(1_000.0) / 20, {"units": units})
        for name, units in (("lat", "degrees_north"), ("lon", "degrees_east"))
    }
    made = xr.Dataset({"t": claimed(("lat", "lon"), (1_000, 1_000), "f4")}, xr.Coordinates(axes, indexes={}))
    made["t"].encoding["chunksizes"] = (1, 1)
    return Grid(made)


@pytest.mark.parametrize(
    "parameters", [{}, {"bbox": "0,0,40,40"}, {"coords": "POLYGON((0 0,49 0,49 49,0 0))"}]
)
def test_a_million_small_chunks_are_too_many_and_a_smaller_request_passes(crumbs, parameters):
    error, seconds, _ = refused(crumbs, **parameters)
    assert isinstance(error, TooLarge)
    assert error.details["setting"] == "BIENMO_MAX_DECODED_BYTES"
    assert "chunks" in error.message
    assert seconds < 5
    smaller = subset.cost(crumbs, subset.parse(error.details["try"]))
    assert 0 < smaller.chunks < 250_000
    assert smaller.within(LIMITS)
    found = estimate(crumbs, subset.parse(parameters), formats.named("csv"), LIMITS)
    assert not found.allowed
    assert found.seconds > 10
    assert found.chunks == subset.cost(crumbs, subset.parse(parameters)).chunks > 250_000


@pytest.mark.parametrize(
    "reduce", ["p90(time)", "anomaly(time:month)", "mean(time:day),p50(time),max(latitude)"]
)
def test_reductions_that_would_take_too_long_are_refused_and_shorter_ones_pass(reduce):
    axes = {
        name: xr.Variable((name,), np.arange(float(size)), {"units": units})
        for name, size, units in (
            ("time", 3_000, "days since 2000-01-01"), ("lat", 90, "degrees_north"), ("lon", 180, "degrees_east"),
        )
    }  # fmt: skip
    dims = ("time", "lat", "lon")
    known = Grid(xr.Dataset({"t": claimed(dims, (3_000, 90, 180), "i1")}, xr.Coordinates(axes, indexes={})))
    few = subset.Limits(result_bytes=10**9, decoded_bytes=10**9, seconds=2)
    with pytest.raises(TooLarge) as caught:
        subset.cut(known, subset.parse({"reduce": reduce}), "some-id", few)
    details = caught.value.details
    assert (details["setting"], details["limit"]) == ("BIENMO_READ_SECONDS", 2)
    assert details["asked"] > 2
    assert details["try"]["reduce"] == reduce
    assert subset.cost(known, subset.parse(details["try"])).within(few)
    assert subset.cost(known, subset.parse({})).within(few)
    assert estimate(known, subset.parse({"reduce": reduce}), formats.named("csv"), few).seconds > 2


def test_what_a_percentile_holds_counts_as_its_result():
    known = xr.Dataset({"t": claimed(("time", "x"), (1_000, 100_000), "i1")})
    cost = subset.cost(known, subset.parse({"reduce": "p90(time)"}))
    assert cost.result_bytes == 8 * 10**8 > LIMITS.result_bytes
    assert subset.cost(known, subset.parse({"reduce": "mean(time)"})).within(LIMITS)
