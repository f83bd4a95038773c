"""FAULTS rows 17 and 19: what a request, or a file of a few kilobytes, claims never costs memory or minutes."""

import math
import random
import resource
import time

import numpy as np
import pytest
import xarray as xr

from catalog.data import numbering, subset
from catalog.data.geometry import parse
from catalog.data.grids import Grid
from catalog.errors import CatalogError, TooLarge

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
