"""What the files at hand keep in memory stays within its budget, and answers stay what they were."""

import os
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from catalog.data import subset
from catalog.data.grids import Grid, held
from catalog.data.places import address
from catalog.data.shelf import Shelf
from catalog.data.workers import Workers
from catalog.errors import DataChanged
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


def zarr_folder(path):
    """A Zarr group of a map, a small variable in several chunks, one of them not written, and axes."""
    made = zarr.open_group(str(path), mode="w", zarr_format=2)
    for name, values, chunk, dims, attributes in (
        ("lat", np.arange(10.0), (10,), ["lat"], {"units": "degrees_north"}),
        ("lon", np.arange(20.0), (20,), ["lon"], {"units": "degrees_east"}),
        ("height", np.arange(12.0), (4,), ["level"], {}),
        ("t", np.ones((10, 2000)), (5, 2000), ["lat", "x"], {}),
    ):
        array = made.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunk, fill_value=0.0)
        array[...] = values
        array.attrs.update({"_ARRAY_DIMENSIONS": dims, **attributes})
    return path


def changed_in_place(file, content):
    """Write other bytes into a file: the folders above it stay what they were."""
    folder = file.parent.stat()
    file.write_bytes(content)
    os.utime(file, ns=(1, time.time_ns()))
    assert file.parent.stat().st_mtime_ns == folder.st_mtime_ns


@pytest.mark.parametrize("name", ["height", "lat", "t"])
def test_a_chunk_rewritten_in_an_unchanged_folder_is_seen(tmp_path, workers, monkeypatch, name):
    path, other = zarr_folder(tmp_path / "a.zarr"), zarr_folder(tmp_path / "b.zarr")
    zarr.open_group(str(other), mode="a")[name][...] = 3
    chunk = next(file for file in sorted((path / name).iterdir()) if file.name[0] == "0")
    monkeypatch.setattr("catalog.data.shelf.CHECK_SECONDS", 0.0)
    shelf = Shelf(tmp_path, workers, 10_000_000)
    way = Distribution(protocol="zarr", address=address(path))

    def values():
        return subset.cut(shelf.grid(way), subset.parse({"variables": name}), "some-id", LIMITS)[name].values

    before, _, _ = values(), values(), values()
    assert shelf.grid(way) is shelf.grid(way)
    changed_in_place(chunk, (other / name / chunk.name).read_bytes())
    if (
        name == "t"
    ):  # of what is read anew each time the reader sees it, and the next request is of the new state
        with pytest.raises(DataChanged):
            values()
    after = values()
    assert (after.ravel()[0], before.ravel()[0]) == (3, {"height": 0, "lat": 0, "t": 1}[name])
    later = Shelf(tmp_path, workers, 0)  # which knows nothing but the indexes that were kept
    assert later.grid(way).dataset[name].values.ravel()[0] == 3


def test_a_chunk_that_comes_into_being_is_seen(tmp_path, workers, monkeypatch):
    path = zarr_folder(tmp_path / "a.zarr")
    last = path / "height" / "2"
    content = last.read_bytes()
    last.unlink()
    monkeypatch.setattr("catalog.data.shelf.CHECK_SECONDS", 0.0)
    shelf = Shelf(tmp_path, workers, 0)
    way = Distribution(protocol="zarr", address=address(path))
    assert shelf.grid(way).dataset["height"].values.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0]
    last.write_bytes(content)
    assert shelf.grid(way).dataset["height"].values.tolist() == list(range(12))


def test_an_index_that_a_killed_program_left_half_written_goes_with_the_next(tmp_path, workers):
    """FAULTS row 2: no temporary files."""
    one = sea(tmp_path / "a.nc", 4)
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: None)
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        asked(Shelf(tmp_path / "home", workers, 0), one)
    (left,) = (path for path in (tmp_path / "home").rglob("*") if path.is_file())
    asked(Shelf(tmp_path / "home", workers, 0), one)
    (index,) = left.parent.iterdir()
    assert index.suffix == ".index"
