"""A twin answers as its source does, to the byte; whatever happens to either, no answer is of anything else."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Shuffle, Zlib

from catalog import formats
from catalog.data import blocks, chunks, emptiness, listing, subset, tables, tallies, tiling, twinning, twins
from catalog.data.costs import Cost
from catalog.data.grids import Grid
from catalog.data.shelf import identity
from catalog.errors import CatalogError, DataUnreadable, LeaseHeld, NotSubsettable, TooLarge
from catalog.record import Distribution

STEPS, LEVELS, ROWS, COLUMNS = 23, 3, 11, 13
LIMITS = subset.Limits(result_bytes=10**9, decoded_bytes=10**9)
SUFFIXES = ("nc3", "dods", "csv", "zarr", "arrow", "parquet", "covjson")
FILL = -32768


def values(shape, dtype, seed):
    random = np.random.default_rng(seed)
    found = random.integers(-3000, 3000, shape)
    return np.where(random.random(shape) < 0.2, FILL, found).astype(dtype)


def axes_of(file, *, rising):
    """Write time, latitude and longitude to a netCDF4 dataset or a Zarr group."""
    latitudes = np.linspace(10, 20, ROWS)
    lines = {
        "time": (np.arange(STEPS) + 0.5, {"units": "days since 2020-01-01"}),
        "lat": (latitudes if rising else latitudes[::-1], {"units": "degrees_north"}),
        "lon": (np.linspace(100, 112, COLUMNS), {"units": "degrees_east"}),
        "depth": (np.arange(LEVELS) * 10.0, {"units": "m", "positive": "down"}),
    }
    for name, (numbers, attributes) in lines.items():
        if isinstance(file, zarr.Group):
            made = file.create_array(name, data=numbers)
            made.attrs.update({**attributes, "_ARRAY_DIMENSIONS": [name]})
        else:
            file.createDimension(name, len(numbers))
            made = file.createVariable(name, "f8", (name,))
            made.setncatts(attributes)
            made[:] = numbers


def packed(path, dims=("time", "lat", "lon"), rising=True, seed=0):
    """Packed maps, deflated and shuffled; some steps were never written."""
    with netCDF4.Dataset(path, "w") as file:
        axes_of(file, rising=rising)
        shape = tuple(file.dimensions[name].size for name in dims)
        chunk = tuple(1 if name == "time" else size for name, size in zip(dims, shape, strict=True))
        made = file.createVariable(
            "sst", "i2", dims, zlib=True, shuffle=True, chunksizes=chunk, fill_value=FILL
        )
        made.setncatts(
            {"scale_factor": 0.01, "add_offset": 5.0, "units": "degC", "valid_min": np.int16(-2900)}
        )
        made.set_auto_maskandscale(False)
        written = values(shape, "i2", seed)
        for step in range(STEPS - 2):
            if step % 5 != 3:  # the rest are missing chunks
                at = tuple(step if name == "time" else slice(None) for name in dims)
                made[at] = written[at]
        file.createVariable("crs", "i4", ())[...] = 1
    return path


def deep(path):
    """Four dimensions, big-endian, with checksums."""
    with netCDF4.Dataset(path, "w") as file:
        axes_of(file, rising=False)
        dims = ("time", "depth", "lat", "lon")
        made = file.createVariable(
            "temp", ">f4", dims, zlib=True, fletcher32=True, chunksizes=(2, 1, ROWS, COLUMNS), endian="big"
        )
        numbers = values((STEPS, LEVELS, ROWS, COLUMNS), "f4", 2)
        made[:] = np.where(numbers == FILL, np.nan, numbers)
        other = file.createVariable("ice", "i1", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 5, 6))
        other[:] = values((STEPS, ROWS, COLUMNS), "i1", 3)
    return path


def stations(path):
    """Two dimensions."""
    with netCDF4.Dataset(path, "w") as file:
        axes_of(file, rising=True)
        file.createDimension("station", 40)
        for name, units in (("x", "degrees_east"), ("y", "degrees_north")):
            made = file.createVariable(name, "f8", ("station",))
            made.units = units
            made[:] = np.linspace(5, 15, 40) + (100 if name == "x" else 0)
        made = file.createVariable("level", "i4", ("time", "station"), zlib=True, chunksizes=(1, 40))
        made.coordinates = "x y"
        made[:] = values((STEPS, 40), "i4", 4)
    return path


def folder(path):
    """A Zarr store with chunks that were never written."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    axes_of(group, rising=False)
    made = group.create_array(
        "sst", shape=(STEPS, ROWS, COLUMNS), chunks=(1, ROWS, COLUMNS), dtype="i2", fill_value=FILL,
        filters=[Shuffle(2)], compressors=Zlib(1), chunk_key_encoding={"name": "v2", "separator": "."},
    )  # fmt: skip
    made.attrs.update({"_ARRAY_DIMENSIONS": ["time", "lat", "lon"], "scale_factor": 0.1})
    written = values((STEPS, ROWS, COLUMNS), "i2", 5)
    for step in range(0, STEPS, 2):
        made[step] = written[step]
    return path


SEAS = {
    "packed.nc": packed,
    "falling.nc": lambda path: packed(path, rising=False, seed=7),
    "turned.nc": lambda path: packed(path, dims=("lat", "lon", "time"), seed=8),
    "deep.nc": deep,
    "stations.nc": stations,
    "folder.zarr": folder,
}


def way(path):
    return Distribution(protocol="zarr" if Path(path).is_dir() else "file", address=str(path))


def grid_of(path, cache=None):
    return Grid(chunks.opened(str(path), chunks.load(b"".join(chunks.index(str(path)))), cache))


def twin_of(path, home, cache=None):
    """The twins of a folder and a grid that has one."""
    kept = twins.Twins(home, 10**9, cache)
    grid = grid_of(path)
    twinning.make(kept, grid, way(path), identity(way(path)), "record")
    return kept, kept.attach(identity(way(path)), grid)


def small(patch):
    """Make small data worth a twin of several tiles, read in several slabs; none of them are kept in the index."""
    patch.setattr(listing, "SMALL_BYTES", 0)
    patch.setattr(tiling, "TILE_BYTES", 200)
    patch.setattr(tiling, "MOST_STEPS", 9)
    patch.setattr(tiling, "LEAST_GAIN", 0)
    patch.setattr(twinning, "_SLAB_BYTES", 1_500)


def always(patch):
    """Read from the twin whatever it costs."""
    patch.setattr(subset, "cheaper", lambda grid, name, _: grid.twins.get(name, grid.dataset.variables[name]))


@pytest.fixture(scope="module")
def seas(tmp_path_factory):
    """Each sea's grid without and with its twin."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        for name, make in SEAS.items():
            path = make(tmp_path_factory.mktemp("seas") / name)
            found[name] = (grid_of(path), twin_of(path, tmp_path_factory.mktemp("twins"))[1])
            assert found[name][1].twins
    return found


def answer(grid, cut, suffix):
    """The bytes of an answer, or the error."""
    try:
        chosen = formats.named(suffix)
        return b"".join(chosen.write(subset.cut(grid, cut, "record", LIMITS)))
    except CatalogError as error:
        return type(error), error.message, error.hint


degrees = st.integers(0, 48).map(lambda quarter: quarter / 4)
places = st.builds("{} {}".format, degrees.map(lambda x: 100 + x), degrees.map(lambda y: 9 + y))
shapes = st.one_of(
    places.map("POINT({})".format),
    st.lists(places, min_size=2, max_size=4, unique=True).map(lambda at: f"MULTIPOINT({','.join(at)})"),
    st.lists(places, min_size=2, max_size=3, unique=True).map(lambda at: f"LINESTRING({','.join(at)})"),
    st.just("POLYGON((101 10,111 12,104 19,101 10))"),
)


@st.composite
def cuts(draw):
    asked = {}
    if draw(st.booleans()):
        asked["coords"] = draw(shapes)
        if "POINT" in asked["coords"] and draw(st.booleans()):
            asked["method"] = "linear"
    elif draw(st.booleans()):
        west, east = sorted((draw(degrees), draw(degrees)))
        south, north = sorted((draw(degrees), draw(degrees)))
        asked["bbox"] = f"{100 + west},{9 + south},{100 + east},{9 + north}"
    if draw(st.booleans()):
        first, last = sorted((draw(st.integers(1, STEPS)), draw(st.integers(1, STEPS))))
        asked["time"] = f"2020-01-{first:02}/2020-01-{last:02}T23"
    if draw(st.booleans()):
        asked["stride"] = f"time:{draw(st.integers(1, 5))}"
    return subset.parse(asked)


@given(st.sampled_from(sorted(SEAS)), cuts(), st.sampled_from(SUFFIXES), st.booleans())
def test_a_twin_answers_as_its_source_to_the_byte(seas, name, cut, suffix, lazy):
    plain, twinned = seas[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subset, "_line", lambda *_: "cut")
        patch.setattr(blocks, "BLOCK_BYTES", 600)
        patch.setattr(tables, "_LOADED_BYTES", 600)
        patch.setattr("catalog.formats.zarr._USUAL", range(1, 1 << 26))
        patch.setattr(emptiness, "SMALL", 0 if lazy else 4_000_000)
        always(patch)
        assert answer(twinned, cut, suffix) == answer(plain, cut, suffix)
    assert twinned.twins, "the twin was given up"


def test_the_whole_of_every_sea_is_read_from_its_twin(seas):
    for plain, twinned in seas.values():
        for name, variable in twinned.twins.items():
            source = plain.dataset.variables[name]
            assert (variable.dtype, variable.dims) == (source.dtype, source.dims)
            assert variable.attrs == source.attrs
            assert variable.values.tobytes() == source.values.tobytes()


def test_any_reader_of_zarr_reads_a_twin(tmp_path, monkeypatch):
    small(monkeypatch)
    path = packed(tmp_path / "a.nc")
    kept, grid = twin_of(path, tmp_path / "twins")
    store = zarr.open_group(str(kept.path(identity(way(path))) / twins.STORE), mode="r")
    assert store["sst"][...].tobytes() == grid.dataset["sst"].values.tobytes()


@given(
    st.lists(st.integers(1, 4000), min_size=2, max_size=4),
    st.sampled_from(["i1", "i2", "i4", "f8"]),
    st.data(),
)
def test_tiles_are_small_and_hold_whole_series(shape, dtype, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    tile = tiling._tile(shape, axis, np.dtype(dtype).itemsize)
    assert all(1 <= length <= size for length, size in zip(tile, shape, strict=True))
    assert np.prod(tile) * np.dtype(dtype).itemsize <= tiling.TILE_BYTES
    assert -(-shape[axis] // tile[axis]) == -(-shape[axis] // tiling.MOST_STEPS)


def large(path):
    """Maps that gain by a twin as they are."""
    with netCDF4.Dataset(path, "w") as file:
        for name, numbers, units in (
            ("time", np.arange(500.0), "days since 2020-01-01"),
            ("lat", np.linspace(-30, 30, 120), "degrees_north"),
            ("lon", np.linspace(100, 160, 120), "degrees_east"),
        ):
            file.createDimension(name, len(numbers))
            made = file.createVariable(name, "f8", (name,))
            made.units = units
            made[:] = numbers
        made = file.createVariable("sst", "i2", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 120, 120))
        made[:] = np.arange(500 * 120 * 120).reshape(500, 120, 120) % 9973
    return path


@pytest.fixture(scope="module")
def sea(tmp_path_factory):
    path = large(tmp_path_factory.mktemp("sea") / "sea.nc")
    return path, *twin_of(path, tmp_path_factory.mktemp("twins"))


SERIES = subset.parse({"variables": "sst", "coords": "POINT(130.3 2.8)"})
MAP = subset.parse({"variables": "sst", "time": "2020-03-01"})
BOX = subset.parse({"variables": "sst", "bbox": "120,0,125,5", "time": "2020-03-01/2020-05-01"})


def test_a_request_is_read_from_what_inflates_less(sea):
    path, kept, _ = sea
    grid, asked = grid_of(path), (SERIES, BOX, MAP)
    before = [subset.cost(grid, cut) for cut in asked]
    kept.attach(identity(way(path)), grid)
    after = [subset.cost(grid, cut) for cut in asked]
    assert before[0].decoded_bytes > 7 * after[0].decoded_bytes
    assert after[0].decoded_bytes < 1_100_000
    assert after[2] == before[2]
    for one, other in zip(before[:2], after[:2], strict=True):  # what it spares is known before it is there
        assert one.spared_bytes == other.spared_bytes > 0
        assert one.decoded_bytes == other.decoded_bytes + other.spared_bytes
    assert answers_as_the_source(kept, path, grid)


def test_a_series_too_large_without_a_twin_is_answered_with_it(sea):
    path, kept, _ = sea
    grid, limits = grid_of(path), subset.Limits(result_bytes=10**9, decoded_bytes=2_000_000)
    with pytest.raises(TooLarge):
        subset.cut(grid, SERIES, "r", limits)
    assert subset.cut(kept.attach(identity(way(path)), grid), SERIES, "r", limits)["sst"].size == 500


def test_repeats_come_from_the_cache_and_the_cache_is_bounded(sea, monkeypatch):
    path, kept, _ = sea
    cache = chunks.Decoded(8_000_000)
    grid = twins.Twins(kept.folder, 0, cache).attach(identity(way(path)), grid_of(path))
    first = subset.cut(grid, SERIES, "r", LIMITS)["sst"].values
    assert cache.held_bytes == 0  # most is asked for once
    assert (subset.cut(grid, SERIES, "r", LIMITS)["sst"].values == first).all()
    assert 0 < cache.held_bytes <= 1_000_000
    monkeypatch.setattr("catalog.data.reading.read_chunk", None)  # no chunk is read from here on
    assert (subset.cut(grid, SERIES, "r", LIMITS)["sst"].values == first).all()
    monkeypatch.undo()
    for longitude in range(101, 160, 4):
        for latitude in (*range(-29, 30, 8), *range(-29, 30, 8)):
            subset.cut(grid, subset.parse({"coords": f"POINT({longitude} {latitude})"}), "r", LIMITS)
            assert cache.held_bytes <= 8_000_000


@pytest.fixture
def own(tmp_path, sea):
    """A source and its twin that a test may damage: the path, the twins, and a new grid of the source."""
    path = Path(shutil.copy2(sea[0], tmp_path / "sea.nc"))
    kept, _ = twin_of(path, tmp_path / "twins")
    return path, kept, grid_of(path)


def answers_as_the_source(kept, path, grid):
    wanted = grid.dataset["sst"].values[:, 65, 60]
    key = identity(way(path))
    return (subset.cut(kept.attach(key, grid), SERIES, "r", LIMITS)["sst"].values.ravel() == wanted).all()


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9999])
def test_a_chunk_with_another_bit_is_not_believed(own, share):
    path, kept, grid = own
    folder_ = kept.path(identity(way(path)))
    for chunk in (folder_ / twins.STORE / "sst").glob("[0-9]*"):
        facts, data = chunk.stat(), chunk.read_bytes()
        chunk.write_bytes(flip(data, int(share * len(data))))
        os.utime(chunk, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert answers_as_the_source(kept, path, grid)
    assert not grid.twins
    assert not folder_.exists()  # nobody uses it again
    assert not kept.attach(identity(way(path)), grid_of(path)).twins


@pytest.mark.parametrize("harm", ["shorter", "gone", "exchanged", "index"])
def test_a_twin_that_is_not_whole_is_not_believed(own, harm):
    path, kept, grid = own
    folder_ = kept.path(identity(way(path)))
    found = sorted((folder_ / twins.STORE / "sst").glob("[0-9]*"))
    if harm == "index":
        index = folder_ / twins.INDEX
        index.write_bytes(flip(index.read_bytes(), 300))
    elif harm == "exchanged":
        for chunk in found:
            chunk.write_bytes(found[0].read_bytes())
    else:
        for chunk in found:
            chunk.write_bytes(chunk.read_bytes()[:-9]) if harm == "shorter" else chunk.unlink()
    assert answers_as_the_source(kept, path, grid)
    assert not grid.twins


def test_a_check_finds_what_a_checksum_does_not(own):
    """A twin that is whole, and of other numbers."""
    path, kept, grid = own
    key = identity(way(path))
    assert twinning.check(kept, grid, key)
    first = kept.path(key) / twins.STORE / "sst" / "0.0.0"
    wrong = np.arange(500 * 30 * 30, dtype="<i2").reshape(500, 30, 30)
    first.write_bytes(twinning.encoded(wrong, tuple(kept.held(key).variables["sst"].chunks)))
    assert not twinning.check(kept, grid, key)
    assert not kept.all()


def test_a_twin_of_a_source_that_changed_is_never_used_and_goes(own):
    path, kept, grid = own
    kept.attach(identity(way(path)), grid)
    part = subset.cut(grid, BOX, "r", LIMITS)
    with netCDF4.Dataset(path, "a") as file:
        file["sst"][:] = 77
    later = grid_of(path)
    assert not kept.attach(identity(way(path)), later).twins
    assert (subset.cut(later, SERIES, "r", LIMITS)["sst"].values == 77).all()
    del part
    with pytest.raises(CatalogError):  # the open grid of the old state says so, from source or twin
        subset.cut(grid, SERIES, "r", LIMITS)
    kept.sweep()
    assert not kept.all()
    assert [each.name for each in kept.folder.iterdir()] == [".lock"]


def test_a_chunk_of_a_zarr_source_that_changed_is_seen(tmp_path, monkeypatch):
    small(monkeypatch)
    always(monkeypatch)
    path = folder(tmp_path / "a.zarr")
    kept, grid = twin_of(path, tmp_path / "twins")
    assert grid.twins
    zarr.open_group(str(path), mode="a")["sst"][4] = 1
    with pytest.raises(CatalogError):
        subset.cut(grid, subset.parse({"variables": "sst"}), "r", LIMITS)
    later = kept.attach(identity(way(path)), grid_of(path))
    assert not later.twins
    assert (subset.cut(later, subset.parse({"variables": "sst"}), "r", LIMITS)["sst"].values[4] == 1).all()


def test_a_twin_stays_while_its_source_is_away(own):
    path, kept, _ = own
    away = path.rename(path.with_suffix(".away"))
    kept.sweep()
    assert kept.all()
    away.rename(path)
    assert kept.attach(identity(way(path)), grid_of(path)).twins


def test_a_source_written_to_meanwhile_gets_no_twin(tmp_path, monkeypatch):
    small(monkeypatch)
    path = folder(tmp_path / "a.zarr")
    kept, key, grid = twins.Twins(tmp_path / "twins", 10**9), identity(way(path)), grid_of(path)

    def tell(done, whole):
        if done == whole:  # all of it was read twice
            os.utime(path / "sst" / "2.0.0", ns=(1, 1))

    with pytest.raises(CatalogError):
        twinning.make(kept, grid, way(path), key, "record", tell=tell)
    assert [each.name for each in kept.folder.iterdir()] == [".lock"]


def one_cell(cells):
    """Another number in one cell of the second step."""
    found = cells.copy()
    found[1, 0, 0] += 1
    return found


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("encoded", lambda right: lambda cells, shape: right(one_cell(cells), shape)),
        ("_Tiles._taken", lambda right: lambda *place: np.roll(right(*place), 1, 0)),
    ],
)
def test_a_writer_that_writes_wrong_numbers_is_found_out(tmp_path, monkeypatch, name, wrong):
    """One cell of a tile; and times that the gathering itself mistakes, both times alike."""
    small(monkeypatch)
    path = packed(tmp_path / "a.nc")
    place = f"catalog.data.twinning.{name}"
    monkeypatch.setattr(place, wrong(twinning.encoded if name == "encoded" else twinning._Tiles._taken))
    kept = twins.Twins(tmp_path / "twins", 10**9)
    with pytest.raises(DataUnreadable, match="not equal"):
        twinning.make(kept, grid_of(path), way(path), identity(way(path)), "record")
    assert not kept.all()


KILLED = """
import sys, time
from catalog.data import chunks, tiling, twinning, twins
from catalog.data.grids import Grid
from catalog.data.shelf import identity
from catalog.record import Distribution
path, home = sys.argv[1:]
tiling.TILE_BYTES, tiling.LEAST_GAIN, twinning._SLAB_BYTES = 200, 0, 1_500
way = Distribution(protocol="file", address=path)
grid = Grid(chunks.opened(path, chunks.load(b"".join(chunks.index(path))), None))
def tell(done, whole):
    print(round(100 * done / whole), flush=True)
    time.sleep(0.002)
twinning.make(twins.Twins(__import__("pathlib").Path(home), 10**9), grid, way, identity(way), "r", tell=tell)
print("made", flush=True)
"""


@pytest.mark.parametrize("percent", [1, 20, 49, 50, 75, 98, 100])
def test_a_writer_that_is_killed_leaves_no_half_twin(tmp_path, monkeypatch, percent):
    small(monkeypatch)
    path, home = packed(tmp_path / "a.nc"), tmp_path / "twins"
    kept, key = twins.Twins(home, 10**9), identity(way(path))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), str(home)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
    ) as process:
        for line in process.stdout:
            if line.strip() == "made" or int(line) >= percent:
                break
        with pytest.raises(LeaseHeld) if percent < 100 else contextlib.suppress(LeaseHeld), kept.alone():
            pass
        process.send_signal(signal.SIGKILL)
    grid = kept.attach(key, grid_of(path))
    source = grid.dataset["sst"].values
    if grid.twins:
        assert grid.twins["sst"].values.tobytes() == source.tobytes()
    kept.sweep()
    assert {each.name for each in home.iterdir()} <= {".lock", kept.path(key).name}
    twinning.make(kept, grid, way(path), key, "record")
    assert kept.attach(key, grid).twins["sst"].values.tobytes() == source.tobytes()


def test_twins_not_used_for_longest_go_first(tmp_path, monkeypatch):
    small(monkeypatch)
    kept, keys = twins.Twins(tmp_path / "twins", 10**9), []
    for name in "abc":
        path = packed(tmp_path / f"{name}.nc")
        keys.append(identity(way(path)))
        twinning.make(kept, grid_of(path), way(path), keys[-1], name)
    size = kept.held(keys[0]).size
    for at, key in zip((300, 100, 200), keys, strict=True):
        os.utime(kept.path(key) / "used", (at, at))
    tight = twins.Twins(kept.folder, int(3.5 * size))
    path = packed(tmp_path / "d.nc")
    twinning.make(tight, grid_of(path), way(path), identity(way(path)), "d")
    assert {held.record for _, held in tight.all()} == {"a", "c", "d"}
    now = time.time()
    for folder_, _ in tight.all():
        os.utime(folder_ / "used", (now, now))
    with pytest.raises(TooLarge, match="does not fit"):
        twinning.make(
            tight, grid_of(tmp_path / "b.nc"), way(tmp_path / "b.nc"), keys[1], "b", unused_seconds=3600
        )
    assert {held.record for _, held in tight.all()} == {"a", "c", "d"}
    with pytest.raises(TooLarge):
        twinning.make(
            twins.Twins(tmp_path / "other", size // 2), grid_of(path), way(path), identity(way(path)), "d"
        )


def test_data_without_gain_have_no_twin(tmp_path):
    path = packed(tmp_path / "a.nc")
    with pytest.raises(NotSubsettable, match="gains nothing"):
        twinning.make(twins.Twins(tmp_path, 10**9), grid_of(path), way(path), identity(way(path)), "record")


def test_a_twin_is_marked_as_used_when_it_is(own):
    path, kept, grid = own
    key = identity(way(path))
    os.utime(kept.path(key) / "used", (5, 5))
    subset.cut(kept.attach(key, grid), MAP, "r", LIMITS)
    assert twins.used(kept.path(key)) == 5
    subset.cut(grid, SERIES, "r", LIMITS)
    assert twins.used(kept.path(key)) > 5


def test_counts_of_several_processes_are_one_sum_and_stay_few(tmp_path, monkeypatch):
    path = tmp_path / "tallies"
    monkeypatch.setattr(tallies, "_MOST_BYTES", 2_000)
    several = [tallies.Tallies(path) for _ in range(3)]
    for turn in range(60):
        for one in several:
            one.add(f"id-{turn % 4}", Cost(1, 10, 100, 1, 50))
            one.flush()
    found = tallies.Tallies(path).read()
    assert sum(tally.requests for tally in found.values()) == 180
    assert found["id-0"] == tallies.Tally(
        requests=45, result_bytes=450, decoded_bytes=4500, spared_bytes=2250
    )
    assert found["id-0"].ratio == 10
    assert path.stat().st_size < 2_100
    with path.open("ab") as file:
        file.write(b"2001-01-01 old 1 1 1 1\n\xff\xfe nonsense\n2999-01-01 id-0 1 x 1 1\n2999-01-01")
    assert tallies.Tallies(path).read() == found
