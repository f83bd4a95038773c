"""Many files that are one dataset: any cut of them is that of the one file they would make; what lacks is said."""

import contextlib
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import axes as ax
from catalog.data import collection, exact, gaps, joining, opening, subset, undecoded
from catalog.data.clock import Clock
from catalog.data.workers import Workers
from catalog.errors import BadSource, CatalogError, DataChanged, DataUnreadable, OutsideDomain
from catalog.service import open_catalog
from catalog.settings import Settings
from catalog.source import Source
from harvesters import files
from harvesters._fetch import Fetch
from harvesters._run import harvest_source

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
DAY = np.timedelta64(1, "D")
START = np.datetime64("2020-01-01T12", "ns")
ROWS, COLUMNS = 12, 16
LATITUDES, LONGITUDES = np.linspace(10, 21, ROWS), np.linspace(100, 115, COLUMNS)


@pytest.fixture(scope="module")
def workers():
    with Workers(1, seconds=60, memory=2_000_000_000, queue=8) as pool:
        yield pool


class Counting:
    """Workers that note what they were asked to read."""

    def __init__(self, workers):
        self._workers = workers
        self.asked = []

    def run(self, job, path, *args, key=None):
        self.asked.append((job.__name__, Path(path).name))
        return self._workers.run(job, path, *args, key=key)


def source(folder, *collections, **options):
    return Source(
        id="s", protocol="files", url=str(folder), options={"collections": list(collections), **options}
    )


def harvested(folder, home, workers, **entry):
    """The record, the reasons of what was left out, and what was read."""
    counting = Counting(workers)
    asked = source(folder, {"id": "sst", "pattern": "*.nc", **entry}, include=entry.get("pattern", "*.nc"))
    with Fetch(Settings(home=home), asked, counting) as fetch:
        first, *rest = files.harvest(asked, fetch)
    assert first.problem is None, first.problem
    return files.read(first), {document.native_id: document.problem for document in rest}, counting.asked


@contextlib.contextmanager
def opened(record):
    (way,) = record.distributions
    assert way.protocol == "collection"
    with opening.opened(way, opening.Reach()) as dataset:
        yield dataset


def texts(record):
    return {note.code: note.text for note in record.quality}


def grid(times, seed, *, rows=LATITUDES, columns=LONGITUDES):
    """An undecoded dataset of packed numbers at times that are counted in hours since the first."""
    numbers = np.random.default_rng(seed)
    shape = (len(times), len(rows), len(columns))
    packed = numbers.integers(-300, 3000, shape).astype("i2")
    packed[numbers.random(shape) < 0.1] = -999
    packing = {"scale_factor": np.float32(0.01), "add_offset": np.float32(1), "_FillValue": np.int16(-999)}
    since = times[0].astype("datetime64[D]")
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), packed, {**packing, "units": "degree_C"}),
            "time_bnds": (("time", "nv"), hours(np.stack([times - DAY // 2, times + DAY // 2], 1), since)),
            "mask": (("lat", "lon"), np.ones((len(rows), len(columns)), "i1")),
        },
        {
            "time": (
                "time",
                hours(times, since),
                {"units": f"hours since {since}", "bounds": "time_bnds", "standard_name": "time"},
            ),
            "lat": ("lat", rows.astype("f4"), {"units": "degrees_north"}),
            "lon": ("lon", columns.astype("f4"), {"units": "degrees_east"}),
        },
        {"title": "Sea surface temperature", "id": str(seed)},
    )


def hours(times, since):
    return (times - since) / np.timedelta64(1, "h")


def in_unit(dataset, units):
    """The same dataset, its times counted otherwise."""
    decoded = xr.decode_cf(dataset[["time"]], mask_and_scale=False)["time"].values
    name, _, since = units.partition(" since ")
    step = np.timedelta64(1, {"days": "D", "hours": "h", "minutes": "m", "seconds": "s"}[name])
    again = dataset.copy()
    again["time"] = ("time", (decoded - np.datetime64(since)) / step, {**dataset.time.attrs, "units": units})
    known = xr.decode_cf(dataset[["time", "time_bnds"]], mask_and_scale=False)["time_bnds"].values
    again["time_bnds"] = (("time", "nv"), (known - np.datetime64(since)) / step)
    return again


def save(dataset, path, **encoding):
    chunks = {
        "sst": {"zlib": True, "shuffle": True, "chunksizes": (1, *dataset["sst"].shape[-2:]), **encoding}
    }
    dataset.to_netcdf(path, encoding=chunks if "time" in dataset["sst"].dims else None)


def together(paths):
    """The one dataset that the files make, by xarray: packed values as they are, times decoded."""
    parts = [xr.open_dataset(path, mask_and_scale=False).load() for path in paths]
    return xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override", join="override")


def same(found, oracle, times=("time", "time_bnds")):
    """Whether an undecoded dataset has the raw values of the oracle and, decoded, its times."""
    for name, variable in oracle.variables.items():
        if name in times:
            decoded = xr.decode_cf(found[[n for n in times if n in found]], mask_and_scale=False)[name]
            assert np.array_equal(decoded.values, variable.values), name
        else:
            assert found[name].dtype == variable.dtype, name
            assert np.array_equal(found[name].values, variable.values), name
            assert found[name].dims == variable.dims


UNITS = (
    "hours since 2020-01-01",
    "days since 1950-01-01",
    "seconds since 1970-01-01",
    "minutes since 2019-12-31",
)


@pytest.fixture(scope="module")
def daily(tmp_path_factory, workers):
    """Forty daily files in four units, one missing and one damaged: the record, the reasons, the good files."""
    folder, home = tmp_path_factory.mktemp("daily"), tmp_path_factory.mktemp("home")
    for day in range(40):
        times = START + np.array([day]) * DAY
        save(in_unit(grid(times, day), UNITS[day % 4]), folder / f"sst_{day:03}.nc")
    (folder / "sst_017.nc").unlink()
    damaged = folder / "sst_025.nc"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    record, reasons, _ = harvested(folder, home, workers)
    return record, reasons, [path for path in sorted(folder.glob("*.nc")) if path != damaged]


def test_forty_daily_files_are_one_dataset(daily):
    record, reasons, paths = daily
    assert (record.id, record.kind, record.title.best("en")) == ("s-sst", "grid", "Sea surface temperature")
    assert record.extent.time.start == "2020-01-01T12:00:00Z"
    assert record.extent.time.end == "2020-02-09T12:00:00Z"
    assert record.distributions[0].size == sum(path.stat().st_size for path in paths)
    assert list(reasons) == ["sst_025.nc"]
    assert "left out of the collection sst: data-unreadable" in reasons["sst_025.nc"]
    said = texts(record)
    assert "sst_025.nc" in said["collection-left-out"]
    assert "between 2020-01-17T12:00:00Z and 2020-01-19T12:00:00Z: 1 step of 1 day" in said["collection-gap"]
    assert "between 2020-01-25T12:00:00Z and 2020-01-27T12:00:00Z" in said["collection-gap"]
    with opened(record) as dataset:
        assert dict(dataset.sizes) == {"time": 38, "lat": ROWS, "lon": COLUMNS, "nv": 2}
        assert dataset["sst"].encoding["chunksizes"] == (1, ROWS, COLUMNS)
        assert dataset["time"].attrs["units"] == "hours since 2020-01-01 00:00:00"
        same(dataset, together(paths))
        one_day = subset.parse({"time": "2020-01-20", "variables": "sst"})
        assert subset.cost(dataset, one_day).decoded_bytes < 2 * (2 * ROWS * COLUMNS) + 4_000


@pytest.fixture(scope="module")
def both(daily, tmp_path_factory):
    """The collection, and the one file that its files make, in the collection's unit."""
    record, _, paths = daily
    path = tmp_path_factory.mktemp("one") / "one.nc"
    with opened(record) as dataset:
        whole = together(paths)
        for name in ("time", "time_bnds"):
            whole[name] = (dataset[name].dims, dataset[name].values, dataset[name].attrs)
        whole.to_netcdf(path)
        with xr.open_dataset(path, **undecoded._UNDECODED) as one:
            yield dataset, one


def keys(size):
    """Whatever picks along one dimension: an index, some in any order, an evenly spaced run that is not empty."""
    at = st.integers(0, size - 1)
    runs = st.slices(size).filter(lambda part: len(range(*part.indices(size))))
    return st.one_of(at, st.lists(at, min_size=1, max_size=9).map(np.array), runs)


def outcome(dataset, request):
    try:
        return subset.cut(dataset, request, "x", LIMITS)
    except CatalogError as error:
        return error


@given(st.data())
def test_any_cut_of_the_files_is_that_of_the_one_they_make(both, data):
    files_, one = both
    west, east = sorted(data.draw(st.tuples(*[st.floats(98, 117)] * 2)))
    south, north = sorted(data.draw(st.tuples(*[st.floats(8, 23)] * 2)))
    first, last = sorted(data.draw(st.tuples(*[st.integers(-2, 42)] * 2)))
    stride = data.draw(st.integers(1, 5))
    request = subset.parse({
        "bbox": f"{west},{south},{east},{north}",
        "time": f"{START + first * DAY}/{START + last * DAY}",
        "stride": f"time:{stride},longitude:{data.draw(st.integers(1, 3))}",
    })  # fmt: skip
    ours, theirs = outcome(files_, request), outcome(one, request)
    if isinstance(theirs, CatalogError):
        assert (type(ours), ours.code) == (type(theirs), theirs.code)
        return
    assert not isinstance(ours, CatalogError), ours
    assert list(ours.variables) == list(theirs.variables)
    for name in theirs.variables:
        assert ours[name].dtype == theirs[name].dtype
        assert np.array_equal(ours[name].values, theirs[name].values), name


@given(st.data())
def test_any_indices_read_what_xarray_reads(both, data):
    files_, one = both
    key = {name: data.draw(keys(size)) for name, size in (("time", 38), ("lat", ROWS), ("lon", COLUMNS))}
    assert np.array_equal(files_["sst"].isel(key).values, one["sst"].isel(key).values)


def test_the_next_harvest_reads_only_what_is_new(tmp_path, workers):
    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir()
    for day in range(4):
        save(grid(START + np.array([day]) * DAY, day), folder / f"sst_{day:03}.nc")
    first, _, read = harvested(folder, home, workers)
    assert [name for job, name in read if job == "scan"] == [f"sst_{day:03}.nc" for day in range(4)]
    again, _, read = harvested(folder, home, workers)
    assert (read, again) == ([], first)
    save(grid(START + np.array([5]) * DAY, 5), folder / "sst_005.nc")
    joined, _, read = harvested(folder, home, workers)
    assert [name for _, name in read] == ["sst_005.nc", "sst.json"]  # the new one, and the index
    assert joined.extent.time.end == "2020-01-06T12:00:00Z"
    assert "2020-01-04T12:00:00Z and 2020-01-06T12:00:00Z" in texts(joined)["collection-gap"]
    (folder / "sst_001.nc").unlink()
    shorter, _, read = harvested(folder, home, workers)
    assert [name for _, name in read] == ["sst.json"]
    assert shorter.id == joined.id
    assert "2020-01-01T12:00:00Z and 2020-01-03T12:00:00Z" in texts(shorter)["collection-gap"]
    with opened(first) as dataset:  # until all is stored, the record of before still opens
        assert dataset.sizes["time"] == 4


def test_the_same_files_written_again_are_the_same_collection(tmp_path, workers):
    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir()
    for day in range(3):
        save(grid(START + np.array([day]) * DAY, day), folder / f"sst_{day:03}.nc")
    first, _, _ = harvested(folder, home, workers)
    os.utime(folder / "sst_001.nc", (1, 1))
    with opened(first) as dataset, pytest.raises(DataChanged, match=r"^sst_001.nc, .* written anew"):
        dataset["sst"].load()
    again, _, _ = harvested(folder, home, workers)
    assert again == first
    with opened(again) as dataset:
        assert dataset["sst"].shape == dataset["sst"].load().shape


@pytest.mark.parametrize("fault", ["gone", "cut short", "written anew"])
def test_a_member_that_changed_is_named(tmp_path, workers, fault):
    for day in range(3):
        save(grid(START + np.array([day]) * DAY, day), tmp_path / f"sst_{day:03}.nc")
    record, _, _ = harvested(tmp_path, tmp_path / "home", workers)
    path = tmp_path / "sst_001.nc"
    if fault == "gone":
        path.unlink()
    elif fault == "cut short":
        before = path.stat()
        path.write_bytes(path.read_bytes()[:-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy keeps it
    else:
        path.write_bytes(path.read_bytes())
    with opened(record) as dataset:
        assert dataset["sst"][0].load().size == ROWS * COLUMNS
        with pytest.raises(DataChanged, match=r"^sst_001\.nc") as raised:
            dataset["sst"][1].load()
        assert str(tmp_path) not in raised.value.message


def test_an_index_that_is_damaged_or_of_other_files_is_not_used(tmp_path, workers):
    save(grid(START + np.array([0]) * DAY, 0), tmp_path / "a.nc")
    record, _, _ = harvested(tmp_path, tmp_path / "home", workers)
    (way,) = record.distributions
    other = way.model_copy(update={"checksum": "sha256:" + "0" * 64})
    with pytest.raises(DataChanged, match="other files"), opening.opened(other, opening.Reach()):
        pass
    index = Path(way.address)
    index.write_bytes(index.read_bytes().replace(b"sst", b"SST", 1))
    with pytest.raises(DataUnreadable, match="damaged"), opened(record):
        pass
    shutil.rmtree(index.parent)
    with pytest.raises(DataChanged, match="not there"), opened(record):
        pass


def test_monthly_files_overlap_and_the_later_path_wins(tmp_path, workers):
    months = [
        np.arange(f"2020-{month:02}-01T12", f"2020-{month + 1:02}-03T12", DAY, "M8[ns]")
        for month in (1, 2, 3)
    ]
    for at, times in enumerate(months):
        save(in_unit(grid(times, at), UNITS[0]), tmp_path / f"{at}.nc")
    record, _, _ = harvested(tmp_path, tmp_path / "home", workers)
    said = texts(record)
    assert "0.nc (in part); 1.nc (in part)" in said["collection-overlap"]
    assert "collection-gap" not in said
    oracle = together([tmp_path / f"{at}.nc" for at in range(3)])
    oracle = oracle.drop_duplicates("time", keep="last")
    with opened(record) as dataset:
        assert dataset.sizes["time"] == 31 + 29 + 31 + 2
        same(dataset, oracle)


def test_a_file_that_others_cover_is_left_out(tmp_path, workers):
    for name in ("v1", "v2"):
        save(grid(START + np.arange(3) * DAY, 1 if name == "v1" else 2), tmp_path / f"{name}.nc")
    record, reasons, _ = harvested(tmp_path, tmp_path / "home", workers)
    assert "come later by their path" in reasons["v1.nc"]
    with opened(record) as dataset:
        same(dataset, together([tmp_path / "v2.nc"]))


@pytest.fixture(scope="module", params=[False, True], ids=["south to north", "north to south"])
def tiles(request, tmp_path_factory, workers):
    """2 × 3 tiles of a grid, one missing: the record, and the whole."""
    folder = tmp_path_factory.mktemp("tiles")
    rows = np.linspace(0, 19, 20)[:: -1 if request.param else 1]
    whole = grid(START + np.arange(2) * DAY, 7, rows=rows, columns=np.linspace(100, 129, 30))
    whole["sst"].values[:, 10:, 10:20] = -999
    whole["depth"] = (("lat", "lon"), np.random.default_rng(3).random((20, 30)).astype("f4"))
    whole["depth"].values[10:, 10:20] = np.nan
    whole["count"] = (("lat", "lon"), np.random.default_rng(4).integers(0, 99, (20, 30)).astype("i1"))
    for row in range(2):
        for column in range(3):
            if (row, column) != (1, 1):
                tile = whole.isel(
                    lat=slice(10 * row, 10 * row + 10), lon=slice(10 * column, 10 * column + 10)
                )
                save(tile, folder / f"tile_{row}{column}.nc")
    record, reasons, _ = harvested(
        folder, tmp_path_factory.mktemp("home"), workers, along=["latitude", "longitude"]
    )
    assert not reasons
    with opened(record) as dataset:
        yield record, dataset, whole


def test_tiles_are_one_grid_and_a_missing_one_is_said(tiles):
    record, dataset, whole = tiles
    south = whole["lat"].values[10:]
    said = f"there is no file for lat {south.min():g} to {south.max():g}, lon 110 to 119"
    assert said in texts(record)["collection-gap"]
    for name in ("sst", "depth", "lat", "lon", "time"):
        assert dataset[name].dtype == whole[name].dtype
        assert np.array_equal(dataset[name].values, whole[name].values, equal_nan=name == "depth"), name
    assert dataset["count"].dtype == np.int16  # wider, so that missing can be none of its numbers
    here = dataset["count"].values != dataset["count"].attrs["_FillValue"]
    assert np.array_equal(here, ~np.isnan(whole["depth"].values))
    assert np.array_equal(dataset["count"].values[here], whole["count"].values[here])
    inside = {"lat": np.arange(8, 12), "lon": np.arange(12, 15)}
    assert len(gaps.notes(dataset, inside)) == 1
    assert not gaps.notes(dataset, {"lat": np.arange(5)})


@given(st.data())
def test_any_indices_of_tiles_read_what_the_whole_has(tiles, data):
    _, dataset, whole = tiles
    key = {name: data.draw(keys(size)) for name, size in (("time", 2), ("lat", 20), ("lon", 30))}
    assert np.array_equal(dataset["sst"].isel(key).values, whole["sst"].isel(key).values)


def test_files_packed_differently_are_joined_as_decoded_numbers(tmp_path, workers):
    for day in range(3):
        dataset = grid(START + np.array([day]) * DAY, day)
        dataset["sst"].attrs["scale_factor"] = np.float32(0.01 * (day + 1))
        save(dataset, tmp_path / f"{day}.nc")
    record, _, _ = harvested(tmp_path, tmp_path / "home", workers)
    assert "sst" in texts(record)["collection-packing"]
    parts = [xr.open_dataset(path).load() for path in sorted(tmp_path.glob("*.nc"))]
    oracle = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
    with opened(record) as dataset:
        assert "scale_factor" not in dataset["sst"].attrs
        assert dataset["sst"].dtype == oracle["sst"].dtype
        assert np.array_equal(dataset["sst"].values, oracle["sst"].values, equal_nan=True)


def test_members_that_disagree_are_named_with_the_reason(tmp_path, workers):
    for day in range(6):
        dataset = grid(START + np.array([day]) * DAY, day)
        if day == 1:
            dataset["sst"].attrs["units"] = "kelvin"
        if day == 2:
            dataset["lat"] = ("lat", dataset["lat"].values + np.float32(1e-6), dataset["lat"].attrs)
        if day == 3:
            dataset = dataset.rename(sst="temp").assign(sst=lambda found: found["temp"])
        save(dataset, tmp_path / f"{day}.nc")
    record, reasons, _ = harvested(tmp_path, tmp_path / "home", workers)
    assert "units of sst is 'kelvin', not 'degree_C'" in reasons["1.nc"]
    assert "other values of lat" in reasons["2.nc"] or "lat" in reasons["2.nc"]
    assert "it also has the variable temp" in reasons["3.nc"]
    assert all(name in texts(record)["collection-left-out"] for name in ("1.nc", "2.nc", "3.nc"))
    with opened(record) as dataset:
        same(dataset, together([tmp_path / f"{day}.nc" for day in (0, 4, 5)]))


def test_files_of_one_time_without_a_dimension(tmp_path, workers):
    whole = grid(START + np.arange(4) * DAY, 5).drop_vars("time_bnds")
    del whole["time"].attrs["bounds"]
    whole["run"] = (
        "time",
        hours(START + np.arange(4) * DAY // 2, START),
        {"units": "hours since 2020-01-01T12"},
    )
    for day in range(4):
        whole.isel(time=day).to_netcdf(tmp_path / f"{day}.nc")
    record, reasons, _ = harvested(tmp_path, tmp_path / "home", workers)
    assert not reasons
    with opened(record) as dataset:
        assert dataset["sst"].dims == ("time", "lat", "lon")
        assert dataset["mask"].dims[-2:] == ("lat", "lon")
        for name in ("sst", "time", "run", "lat", "lon"):
            assert np.array_equal(dataset[name].values, whole[name].values), name
        at = {"time": 2, "lat": slice(3, 7), "lon": np.array([5, 1])}
        assert np.array_equal(dataset["sst"].isel(at).values, whole["sst"].isel(at).values)


def test_three_real_months_of_a_curvilinear_ocean(shared_real, tmp_path, workers):
    paths = sorted((shared_real / "files/iris").glob("nemo_1m_*_grid-T.nc"))
    record, reasons, _ = harvested(paths[0].parent, tmp_path / "home", workers, pattern="nemo_1m_*.nc")
    assert (len(paths), reasons) == (3, {})
    assert (record.kind, record.extent.time.calendar) == ("grid", "360_day")
    assert (record.extent.time.start, record.extent.time.end) == (
        "2015-01-16T00:00:00Z",
        "2015-03-16T00:00:00Z",
    )
    parts = [xr.open_dataset(path, **undecoded._UNDECODED).load() for path in paths]
    oracle = xr.concat(parts, "time_counter", data_vars="minimal", coords="minimal", compat="override")
    with opened(record) as dataset:
        assert ax.find(dataset).time == "time_centered"
        for name, variable in oracle.variables.items():
            assert np.array_equal(dataset[name].values, variable.values, equal_nan=True), name


def test_what_a_source_says_of_collections_is_checked(tmp_path, workers):
    save(grid(START + np.array([0]) * DAY, 0), tmp_path / "a.nc")
    for wrong in (
        {"id": "../x", "pattern": "*"},
        {"id": "a"},
        {"id": "a", "pattern": "*", "along": []},
        {"id": "a", "pattern": "*", "other": 1},
        "a",
    ):
        with (
            pytest.raises(BadSource),
            Fetch(Settings(home=tmp_path / "h"), source(tmp_path, wrong), workers) as fetch,
        ):
            list(files.harvest(source(tmp_path, wrong), fetch))
    asked = source(
        tmp_path,
        {"id": "none", "pattern": "*.h5"},
        {"id": "height", "pattern": "*.nc", "along": "depth"},
        {"id": "good", "pattern": "a.nc"},
        given={"good": {"license": "CC0-1.0"}},
    )
    with Fetch(Settings(home=tmp_path / "home"), asked, workers) as fetch:
        none, height, good = files.harvest(asked, fetch)
    assert "no file matches" in none.problem
    assert "no axis of depth" in height.problem
    assert files.read(good).licence is not None


def test_a_collection_is_harvested_kept_and_served(tmp_path, workers):
    folder = tmp_path / "data"
    folder.mkdir()
    for day in (0, 1, 2, 4):
        save(grid(START + np.array([day]) * DAY, day), folder / f"{day}.nc")
    (folder / "3.nc").write_bytes(b"CDF")
    settings = Settings(home=tmp_path / "home", readers=1)
    with open_catalog(settings) as catalog:
        for _ in range(2):
            asked = source(folder, {"id": "sst", "pattern": "*.nc"})
            run = harvest_source(asked, catalog.store, settings, workers=workers)
            assert (run.state, run.counts.quarantined) == ("complete", 1)
            assert [line.native_id for line in run.quarantine] == ["3.nc"]
        assert run.counts.unchanged == 1
        (way,) = catalog.get("s-sst").distributions
        assert way.address == "sst.json"
        request = subset.parse({"bbox": "103,12,110,18", "variables": "sst"})
        answer = b"".join(catalog.subset("s-sst", request, "nc").pieces())
    (tmp_path / "answer.nc").write_bytes(answer)
    found = xr.open_dataset(tmp_path / "answer.nc", mask_and_scale=False)
    oracle = together([folder / f"{day}.nc" for day in (0, 1, 2, 4)])["sst"]
    oracle = oracle.sel(lat=slice(12, 18), lon=slice(103, 110))
    assert np.array_equal(found["sst"].values, oracle.values)
    assert np.array_equal(found["time"].values, oracle["time"].values)


def test_few_members_stay_open_and_none_closes_under_its_reader(daily):
    record, _, _ = daily
    open_now, most, lock = set(), [0], threading.Lock()

    @contextlib.contextmanager
    def member(path):
        with opening.member(path) as dataset:
            loaded = dataset.load()
        token = object()
        with lock:
            open_now.add(token)
            most[0] = max(most[0], len(open_now))
        yield loaded
        with lock:
            open_now.discard(token)

    dataset = collection.opened(record.distributions[0].address, member, most_open=3)
    expected = dataset["sst"].values
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: dataset["sst"].values, range(4)):
            assert np.array_equal(found, expected)
    members = collection._Members(collection.index(record.distributions[0].address), member, 1)
    with members.use(0) as first:
        for number in (1, 2, 3):
            with members.use(number):
                pass
        with members.use(0) as again:
            assert again is first
    members.close()
    assert most[0] <= 3 + 4
    assert len(open_now) <= 3
    dataset.close()
    assert not open_now


def test_a_gap_is_said_where_the_request_meets_it(daily):
    record, _, _ = daily
    with opened(record) as dataset:
        said = gaps.notes(dataset, {})
        assert len(said) == 2
        around, before, after = np.arange(10, 20), np.arange(10, 15), np.arange(18, 22)
        assert len(gaps.notes(dataset, {"time": around})) == 1
        assert not gaps.notes(dataset, {"time": before})
        assert not gaps.notes(dataset, {"time": after})
        until = ("2020-01-11T00:00:00Z", "2020-01-18T23:59:59Z")  # asks for the 18th, which is missing
        assert len(gaps.notes(dataset, {"time": np.arange(10, 17)}, until)) == 1
        assert not gaps.notes(dataset, {"time": np.arange(10, 17)}, (until[0], "2020-01-18T00:00:00Z"))
        with pytest.raises(OutsideDomain):
            subset.cut(dataset, subset.parse({"time": "2020-01-18"}), "x", LIMITS)


@given(
    st.lists(st.integers(-40_000, 40_000), min_size=2, max_size=6),
    st.sampled_from(["standard", "proleptic_gregorian", "360_day", "noleap"]),
    st.data(),
)
def test_times_of_any_units_are_joined_exactly(days, calendar, data):
    clocks, values = [], []
    for day in days:
        since = data.draw(st.sampled_from(["1970-01-01", "1950-01-01 06:00:00", "2000-02-28", "1858-11-17"]))
        name, per = data.draw(
            st.sampled_from([("days", 1), ("hours", 24), ("minutes", 1440), ("seconds", 86400)])
        )
        clocks.append(Clock.of({"units": f"{name} since {since}", "calendar": calendar}))
        values.append(np.array([day * per, (day + 0.25) * per, (day + 1 / 3) * per]))
    offsets = joining.references(clocks)
    times = [
        joining.microseconds(value, {}, clock) + offset
        for value, clock, offset in zip(values, clocks, offsets, strict=True)
    ]
    units, numbers = joining.one_unit([each - offsets[0] for each in times], clocks[0].reference)
    one = Clock.of({"units": units, "calendar": calendar})
    for value, clock, number in zip(values, clocks, numbers, strict=True):
        assert one.instants(number) == clock.instants(value)


def test_times_that_no_unit_holds_are_refused():
    clock = Clock.of({"units": "seconds since 1970-01-01"})
    with pytest.raises(DataUnreadable, match="between two microseconds"):
        joining.microseconds(np.array([2.0**-21]), {}, clock)
    with pytest.raises(DataUnreadable, match="missing"):
        joining.microseconds(np.array([np.nan]), {}, clock)
    with pytest.raises(DataUnreadable, match="calendar"):
        joining.clocks(
            [{"units": "days since 2000-01-01", "calendar": each} for each in ("noleap", "360_day")]
        )


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ([0, 1, 2, 4, 5], [(2, 1)]),
        ([0, 2, 3, 5], [(0, 1), (2, 1)]),
        ([0, 31, 59, 90, 151, 181], [(3, 1)]),  # months
        ([0, 24, 48, 49, 50, 51, 52, 53, 77], [(0, 23), (1, 23), (7, 23)]),
        ([0, 1, 5, 7, 30, 31.5, 44], []),  # whenever the ship passed by
        ([0, 10, 20, 30, 35, 40, 50, 60, 80], [(7, 1)]),
        ([5, 3, 1, -3], [(2, 1)]),
        ([0, 7], []),
        ([0], []),
    ],
)
def test_gaps_are_those_of_regular_axes(places, found):
    assert joining.gaps(np.array(places, np.float64)) == found


@given(st.lists(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_joined_axis_has_each_place_once_from_the_last_that_has_it(blocks):
    arrays = [np.array(block, np.int64) for block in blocks]
    line = joining.line(arrays)
    assert np.array_equal(
        joining.taken(arrays, line.runs, 0), sorted({place for block in blocks for place in block})
    )
    owners = [run.block for run in line.runs for _ in range(run.count)]
    last = [
        max(at for at, block in enumerate(blocks) if place in block) for place in sorted(set().union(*blocks))
    ]
    assert owners == last
    assert line.doubles == sum(map(len, blocks)) - len(last)


VALUES = st.one_of(
    st.text(),
    st.integers(-(2**60), 2**60),
    st.floats(),
    st.lists(st.integers(-100, 100), max_size=4).map(lambda items: np.array(items, "i2")),
    st.floats(width=32).map(np.float32),
    st.lists(st.text(max_size=3), max_size=3),
)


@given(VALUES)
def test_attributes_come_back_to_the_last_bit(value):
    again = exact.read(json.loads(json.dumps(exact.written(value), allow_nan=False)))
    assert type(again) is type(value)
    if isinstance(value, np.generic | np.ndarray):
        assert again.dtype == value.dtype
        assert again.tobytes() == value.tobytes()
    else:
        assert repr(again) == repr(value)
