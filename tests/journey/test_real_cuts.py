"""Random cuts of every real file with axes: the chunk index reads what xarray reads, numpy says what is inside."""

import contextlib
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from catalog.data import chunks, opening, subset
from catalog.data.grids import Grid
from catalog.errors import CatalogError, DataUnreadable
from catalog.record import Distribution
from journey.differing import check_same, cut

SEED = 20_261_122
REAL = Path(__file__).resolve().parents[3] / "shared/real/files"
MARKS = (".zgroup", ".zmetadata", "zarr.json")


def _files(folder):
    """The files and Zarr folders below a folder that may hold arrays."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir():
            if any((path / mark).is_file() for mark in MARKS):
                yield path
            else:
                yield from _files(path)
        elif path.read_bytes()[:4] in {b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF"}:
            yield path


@pytest.fixture(scope="module", params=list(_files(REAL)), ids=lambda path: str(path.relative_to(REAL)))
def real(request, shared_real):
    """A file through its chunk index where that covers all of it, as a worker opens it, and as it is."""
    path = request.param
    way = Distribution(protocol="zarr" if path.is_dir() else "file", address=str(path))
    with contextlib.ExitStack() as files:
        try:
            slow = files.enter_context(opening.opened(way, opening.Reach()))
        except DataUnreadable as error:
            pytest.skip(f"it cannot be read: {error.message}")
        try:
            known = chunks.load(b"".join(chunks.index(str(path))))
        except DataUnreadable:
            known = None
        fast = None
        if known is not None and not known.uncovered:
            fast = Grid(files.enter_context(chunks.opened(str(path), known, chunks.Decoded(1 << 22))))
        yield fast, Grid(slow), path


def _middles(values):
    """Numbers between neighbouring centres, and beyond the ends."""
    known = np.unique(values[np.isfinite(values)])
    if known.size < 2:
        return [float(each) + off for each in known for off in (-0.5, 0.5)]
    step = (known[1] - known[0]) / 2
    return [float(known[0] - step), *((known[1:] + known[:-1]) / 2).tolist(), float(known[-1] + step)]


@st.composite
def questions(draw, grid):
    """Parameters that most files can be asked with; what is refused must be refused by both readers alike."""
    found = _place(draw, grid)
    if grid.axes.time and "indices" not in found and draw(st.booleans()):
        found |= _time(draw, grid)
    if grid.axes.vertical and draw(st.integers(0, 3)) == 0:
        found["depth"] = draw(st.sampled_from(["0/10", "0/100", "10/5000", "-5/0"]))
    rarely = {
        "stride": (3, ["2", "3", "time:2", "longitude:2,latitude:3"]),
        "qc": (9, ["good"]),
        "reduce": (9, ["mean(time)", "max(longitude,latitude)"]),
    }
    for name, (most, values) in rarely.items():
        if draw(st.integers(0, most)) == 0:
            found[name] = draw(st.sampled_from(values))
    names = subset_names(grid)
    if names and draw(st.booleans()):
        found["variables"] = draw(st.sampled_from(names))
    return found


def _place(draw, grid):
    place = draw(st.sampled_from(["", "bbox", "bbox", "POINT", "POLYGON", "indices"]))
    axes, sizes = grid.axes, grid.dataset.sizes
    if place == "indices" and sizes:
        d = draw(st.sampled_from(sorted(map(str, sizes))))
        first = draw(st.integers(0, max(0, sizes[d] - 1)))
        last = draw(st.integers(first, max(first, sizes[d] - 1)))
        return {"indices": f"{d}[{first}:{draw(st.integers(1, 3))}:{last}]"}
    if not (axes.longitude and place in {"bbox", "POINT", "POLYGON"}):
        return {}
    x, y = (_middles(grid.values(name)) or [0.0, 1.0] for name in (axes.longitude, axes.latitude))
    west, east = sorted(draw(st.lists(st.sampled_from(x), min_size=2, max_size=2)))
    south, north = sorted(draw(st.lists(st.sampled_from(y), min_size=2, max_size=2)))
    south, north = max(south, -90.0), min(north, 90.0)
    if place == "bbox" and south <= north:
        turned = draw(st.booleans()) and east - west < 360
        return {
            "bbox": f"{east if turned else west!r},{south!r},{west + 360 if turned else east!r},{north!r}"
        }
    if place == "POINT":
        return {"coords": f"POINT({west!r} {min(max(south, -90), 90)!r})"}
    if west < east and south < north:
        corners = f"{west!r} {south!r},{east!r} {south!r},{west!r} {north!r},{west!r} {south!r}"
        return {"coords": f"POLYGON(({corners}))"}
    return {}


def _time(draw, grid):
    name = grid.axes.time
    with contextlib.suppress(CatalogError):
        instants = [text for text in grid.clock(name).instants(grid.values(name).ravel()[:500]) if text]
        ends = draw(st.lists(st.sampled_from(instants), min_size=1, max_size=2)) if instants else []
        return {"time": "/".join(sorted(ends))} if ends else {}
    return {}


def subset_names(grid):
    return [name for name in grid.axes.data_variables(grid.dataset) if grid.dataset[name].dtype.kind in "iuf"]


def check_real(fast, slow, path, asked):
    request = subset.parse(asked)
    answer = cut(slow, request)
    if fast is not None:
        check_same(cut(fast, request), answer)
    plain = {"bbox", "indices", "variables"}
    if isinstance(answer[0], xr.Dataset) and slow.axes.geometry == "rectilinear" and set(asked) <= plain:
        check_lines(slow.axes, path, asked, answer[0])


def check_lines(axes, path, asked, got):
    """Rows and columns between the edges of a box, and exact indices, by numpy over netCDF4's own reading."""
    if path.is_dir():
        source = xr.open_zarr(
            path, chunks=None, mask_and_scale=False, decode_times=False, consolidated=False
        ).load()
        raw = {str(name): (v.dims, v.values) for name, v in source.variables.items()}
    else:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            wanted = [name for name in got.variables if name in file.variables]
            raw = {name: (file[name].dimensions, np.asarray(file[name][...])) for name in wanted}
    picks = {}
    if "bbox" in asked:
        west, south, east, north = map(float, asked["bbox"].split(","))
        form = {"engine": "zarr", "consolidated": False} if path.is_dir() else {"engine": "netcdf4"}
        with xr.open_dataset(path, decode_times=False, **form) as plain:
            x, y = (plain.variables[name] for name in (axes.longitude, axes.latitude))
            columns = (
                np.flatnonzero((x.values.astype(float) - west) % 360 <= (east - west))
                if east - west < 360
                else None
            )
            rows = np.flatnonzero((y.values >= south) & (y.values <= north))
        picks[y.dims[0]] = rows
        if columns is not None:
            east_of = (raw[axes.longitude][1].astype(float)[columns] - west) % 360
            rising = np.all(np.diff(east_of) > 0) or np.all(np.diff(east_of) < 0)
            picks[x.dims[0]] = columns if rising else columns[np.argsort(east_of, kind="stable")]
            if np.unique(east_of).size < east_of.size:
                return  # a meridian that is there twice: `test_differential` knows which of its columns may come
    if "indices" in asked:
        d, _, rest = asked["indices"].partition("[")
        first, step, last = map(int, rest.rstrip("]").split(":"))
        picks[d] = np.arange(first, last + 1, step)
    for name in got.variables:
        if name not in raw or raw[name][1].dtype.kind not in "iuf":
            continue
        dims, values = raw[name]
        for axis, d in enumerate(dims):
            values = values.take(picks[d], axis=axis) if d in picks else values
        np.testing.assert_array_equal(got[name].values, values, err_msg=name)


@settings(max_examples=4)
@given(data=st.data())
def test_cuts_of_a_real_file_are_its_own_through_both_ways(real, data):
    check_real(*real, data.draw(questions(real[1])))


@pytest.mark.slow
@seed(SEED)
@settings(max_examples=30)
@given(data=st.data())
def test_thirty_cuts_of_each_real_file_are_its_own_through_both_ways(real, data):
    """30 requests a file, drawn with the seed 20261122."""
    check_real(*real, data.draw(questions(real[1])))
