"""What the files at hand keep in memory stays within its budget, and answers stay what they were."""

import weakref

import numpy as np
import pytest
import xarray as xr

from catalog.data import subset
from catalog.data.grids import Grid, held
from catalog.data.places import address
from catalog.data.shelf import Shelf
from catalog.data.workers import Workers
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=10**9, decoded_bytes=10**9)
BUDGET = 6_000_000


@pytest.fixture(scope="module")
def workers():
    made = Workers(1, seconds=60, memory=2_000_000_000, queue=8)
    yield made
    made.close()


def sea(path, size):
    """A curvilinear grid of size × size cells; it keeps about 24 bytes of each once a point was asked for."""
    j, i = np.mgrid[:size, :size] / size
    dataset = xr.Dataset(
        {"t": (("y", "x"), i + j, {"coordinates": "lon lat"})},
        {
            "lon": (("y", "x"), 105 + 5 * i + j, {"units": "degrees_east"}),
            "lat": (("y", "x"), 10 + 5 * j - i, {"units": "degrees_north"}),
        },
    )
    dataset.to_netcdf(path, engine="scipy")
    return Distribution(protocol="file", address=address(path))


def asked(shelf, distribution):
    """The grid, after the nearest cell of a point was cut from it, and that cell."""
    grid = shelf.grid(distribution)
    cut = subset.parse({"coords": "POINT(108 12)"})
    return grid, float(subset.cut(grid, cut, "some-id", LIMITS)["t"].values.item())


def test_the_least_used_grids_are_given_up_first(tmp_path, workers):
    shelf = Shelf(tmp_path, workers, 0, grid_bytes=BUDGET)
    seas = [sea(tmp_path / f"{number}.nc", 170) for number in range(6)]
    small = sea(tmp_path / "small.nc", 4)
    first, _ = asked(shelf, small)
    alive, answers = weakref.WeakSet(), set()
    for one in seas:
        grid, answer = asked(shelf, one)
        assert grid.nbytes > 16 * 170 * 170
        alive.add(grid)
        answers.add(answer)
        assert shelf.nbytes <= BUDGET
        assert shelf.grid(one) is grid
    assert len(answers) == 1
    assert shelf.grid(small) is first
    del grid
    assert 2 <= len(alive) < len(seas)
    assert asked(shelf, seas[0])[1] in answers


def test_a_grid_beyond_the_budget_takes_no_other_with_it(tmp_path, workers):
    shelf = Shelf(tmp_path, workers, 0, grid_bytes=BUDGET)
    other, large = sea(tmp_path / "other.nc", 170), sea(tmp_path / "large.nc", 100)
    kept, first = asked(shelf, other)[0], shelf.grid(large)
    first.keep("much", lambda: np.zeros(BUDGET))
    assert first.nbytes > BUDGET >= shelf.nbytes
    assert shelf.grid(other) is kept
    assert shelf.grid(large) is not first


def test_an_array_counts_once_and_what_is_not_read_counts_nothing():
    values, counted = np.zeros((10, 10)), set()
    lazy = xr.Variable(("x",), np.zeros(5))
    assert held({"a": values, "b": (values.T, values[:3])}, counted) == values.nbytes
    assert held((values, lazy), counted) == 0
    grid = Grid(xr.Dataset(coords={"lon": ("x", np.arange(4.0), {"units": "degrees_east"})}), 100)
    assert grid.keep("one", lambda: grid.values("lon")) is grid.values("lon")
    assert grid.nbytes == 132
