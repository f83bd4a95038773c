"""What the chunk index reads is what netCDF4 and xarray read: the same cells, types, attributes and order."""

import os
import shutil
import threading
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import LZ4, Blosc, GZip, Shuffle, Zlib, Zstd
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec

from catalog.data import blocks, chunks, listing, opening, reading, windows
from catalog.errors import DataChanged, DataUnreadable
from catalog.record import Distribution

CLASSIC = {
    "NETCDF3_CLASSIC": ["i1", "i2", "i4", "f4", "f8"],
    "NETCDF3_64BIT_OFFSET": ["i1", "i2", "i4", "f4", "f8"],
    "NETCDF3_64BIT_DATA": ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"],
}
TYPES = CLASSIC["NETCDF3_64BIT_DATA"]
SECOND = [
    None,
    Zlib(1),
    GZip(1),
    Zstd(1),
    LZ4(),
    Blosc("lz4", 1, Blosc.SHUFFLE),
    Blosc("zstd", 1, Blosc.NOSHUFFLE),
]
THIRD = [(), (GzipCodec(),), (ZstdCodec(),), (BloscCodec(typesize=4, shuffle="shuffle"),)]


def way(path):
    return Distribution(protocol="zarr" if Path(path).is_dir() else "file", address=str(path))


def same(ours, theirs):
    if isinstance(theirs, np.ndarray | np.generic):
        kinds = (type(ours), ours.dtype, ours.shape) == (type(theirs), theirs.dtype, theirs.shape)
        return kinds and (
            ours.tobytes() == theirs.tobytes()
            if theirs.dtype.kind != "O"
            else ours.tolist() == theirs.tolist()
        )
    return type(ours) is type(theirs) and (ours == theirs or (ours != ours and theirs != theirs))  # noqa: PLR0124


@st.composite
def shapes(draw):
    return tuple(draw(st.lists(st.integers(1, 9), max_size=3)))


@st.composite
def keys(draw, shape):
    parts = []
    for size in shape:
        at = st.integers(-size, size - 1)
        edge = st.none() | st.integers(-size - 1, size + 1)
        step = st.none() | st.integers(-3, 4).filter(bool)
        parts.append(
            draw(
                at
                | st.builds(slice, edge, edge, step)
                | st.lists(at, max_size=6).map(lambda n: np.array(n, int))
            )
        )
    return tuple(parts)


def orthogonal(values, key):
    for axis, part in reversed(list(enumerate(key))):
        values = values[(slice(None),) * axis + (part,)]
    return values


def random_values(draw, dtype, shape):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    values[rng.random(shape) < draw(st.sampled_from([0, 0.9]))] = 7  # that filters have something to do
    return values.view(dtype)[..., 0]


def parts_of(draw, shape):
    """Which part of an array is written; the rest is missing."""
    return tuple(slice(*sorted((draw(st.integers(0, n)), draw(st.integers(0, n))))) for n in shape)


def make_classic(draw, path):
    form = draw(st.sampled_from(list(CLASSIC)))
    shape, records = draw(shapes()), draw(st.booleans())
    with netCDF4.Dataset(path, "w", format=form) as file:
        for axis, size in enumerate(shape):
            file.createDimension(f"d{axis}", None if records and axis == 0 else size)
        for name in draw(st.sampled_from(["v", "vw"])):
            dtype = draw(st.sampled_from(CLASSIC[form]))
            made = file.createVariable(name, dtype, [f"d{axis}" for axis in range(len(shape))])
            made.set_auto_maskandscale(False)
            made[...] = random_values(draw, dtype, shape)


def make_hdf5(draw, path):
    shape = draw(shapes())
    with netCDF4.Dataset(path, "w") as file:
        unlimited = draw(st.booleans())
        for axis, size in enumerate(shape):
            file.createDimension(f"d{axis}", None if unlimited and axis == 0 else size)
        for name in draw(st.sampled_from(["v", "vw"])):
            dtype = draw(st.sampled_from(TYPES))
            chunked = bool(shape) and draw(st.booleans())
            options = {"chunksizes": [draw(st.integers(1, n)) for n in shape]} if chunked else {}
            if chunked:
                options |= {"zlib": draw(st.booleans()), "shuffle": draw(st.booleans())}
                options |= {"fletcher32": draw(st.booleans())}
            made = file.createVariable(
                name,
                np.dtype(dtype).newbyteorder(order := draw(st.sampled_from("<>"))),
                [f"d{axis}" for axis in range(len(shape))],
                endian="big" if order == ">" else "little",
                **options,
            )
            made.set_auto_maskandscale(False)
            if unlimited and shape:  # netCDF pads what is shorter than its dimension; that is a worker's
                made[shape[0] - 1] = random_values(draw, dtype, shape[1:])
            written = parts_of(draw, shape)
            if draw(st.booleans()) and all(part.stop > part.start for part in written):
                made[written] = random_values(draw, dtype, tuple(part.stop - part.start for part in written))


def make_h5py(draw, path):
    shape = draw(shapes())
    with h5py.File(path, "w", libver=draw(st.sampled_from([None, "latest"])), track_order=True) as file:
        dtype = np.dtype(draw(st.sampled_from(TYPES))).newbyteorder(draw(st.sampled_from("<>")))
        values = random_values(draw, dtype, shape)
        options = {}
        if shape and draw(st.booleans()):
            options = {"chunks": tuple(draw(st.integers(1, n)) for n in shape)}
            options |= {"compression": draw(st.sampled_from([None, "gzip"])), "shuffle": draw(st.booleans())}
            options |= {"fletcher32": draw(st.booleans()), "fillvalue": random_values(draw, dtype, ())}
        made = file.create_dataset("v", shape, dtype, **options)
        if written := draw(st.booleans()):
            made[...] = values
        if written and options and draw(st.booleans()):  # one chunk without its first filter
            mask = int(made.id.get_create_plist().get_nfilters() > 0)
            if mask and made.id.get_create_plist().get_nfilters() == 1:
                raw = random_values(draw, dtype, made.chunks).tobytes()
                made.id.write_direct_chunk((0,) * len(shape), raw, filter_mask=1)


def make_zarr(draw, path):
    shape, form = draw(shapes()), draw(st.sampled_from([2, 3]))
    dtype = np.dtype(draw(st.sampled_from([*TYPES, "b1"])))
    group = zarr.open_group(path, mode="w", zarr_format=form)
    dims = [f"d{axis}" for axis in range(len(shape))]
    common = {"shape": shape, "chunks": tuple(draw(st.integers(1, n)) for n in shape), "dtype": dtype}
    if form == 2:
        array = group.create_array(
            "v",
            **{**common, "dtype": dtype.newbyteorder(draw(st.sampled_from("<>")))},
            compressors=draw(st.sampled_from(SECOND)),
            filters=draw(st.sampled_from([None, [Shuffle(dtype.itemsize)]])),
            fill_value=draw(st.sampled_from([None, 0, 1])),
            chunk_key_encoding={"name": "v2", "separator": draw(st.sampled_from("./"))},
            attributes={"_ARRAY_DIMENSIONS": dims},
        )
    else:
        array = group.create_array(
            "v",
            **common,
            compressors=draw(st.sampled_from(THIRD)),
            serializer=BytesCodec(endian=draw(st.sampled_from(["little", "big"]))) if dtype.itemsize > 1 else "auto",
            fill_value=draw(st.sampled_from([0, 1])),
            chunk_key_encoding={
                "name": draw(st.sampled_from(["default", "v2"])), "separator": draw(st.sampled_from("./")),
            },
            dimension_names=dims,
        )  # fmt: skip
    written = parts_of(draw, shape) or ...
    if draw(st.booleans()):
        values = np.zeros(shape, dtype)[written]
        kind = "u1" if dtype.kind == "b" else dtype
        filled = random_values(draw, kind, values.shape)
        array[written] = filled % 2 == 1 if dtype.kind == "b" else filled


MADE = {"classic": make_classic, "hdf5": make_hdf5, "h5py": make_h5py, "zarr": make_zarr}


@pytest.mark.parametrize("form", MADE)
@given(data=st.data())
def test_any_cells_of_any_file(tmp_path_factory, form, data):
    path = tmp_path_factory.mktemp("made") / "made"
    MADE[form](data.draw, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SMALL_BYTES", -1)
        patch.setattr(listing, "MOST_VALUE_BYTES", -1)
        near = data.draw(st.sampled_from([0, 8, 65536]))
        patch.setattr(windows, "NEAR_BYTES", near)
        patch.setattr(reading, "NEAR_BYTES", near)
        patch.setattr(windows, "_MOST_BYTES", data.draw(st.sampled_from([1, 40, 2 << 20])))
        known = chunks.load(b"".join(chunks.index(str(path))))
        cache = data.draw(st.sampled_from([None, chunks.Decoded(400), chunks.Decoded(1 << 20)]))
        with (
            opening.opened(way(path), opening.Reach()) as theirs,
            chunks.opened(str(path), known, cache) as ours,
        ):
            assert not known.uncovered or form in {"hdf5", "h5py"}
            for name, variable in theirs.variables.items():
                if name in known.uncovered:  # shorter than its dimension, or compact
                    assert unlisted(path, name)
                    continue
                whole = variable.values
                assert same(ours.variables[name].values, whole)
                for _ in range(4):
                    key = data.draw(keys(variable.shape))
                    found = ours.variables[name]._data.array.read(key)
                    assert same(np.asarray(found), np.asarray(orthogonal(whole, key)))
    shutil.rmtree(path.parent)


def unlisted(path, name):
    with h5py.File(path) as file, netCDF4.Dataset(path) as shown:
        layout = file[name].id.get_create_plist().get_layout()
        return layout == h5py.h5d.COMPACT or file[name].shape != shown[name].shape


def differences(path, known, ours):
    """What differs between a file as it is opened, and by its index."""
    with opening.opened(way(path), opening.Reach()) as theirs:
        for what in (
            list,
            lambda d: list(d.coords),
            lambda d: list(d.sizes.items()),
            lambda d: list(d.attrs),
        ):
            if what(ours) != what(theirs):
                yield f"{what(ours)} != {what(theirs)}"
        yield from (key for key, value in theirs.attrs.items() if not same(ours.attrs[key], value))
        for name, variable in theirs.variables.items():
            found = ours.variables[name]
            for what in ("dims", "dtype", "shape"):
                if getattr(found, what) != getattr(variable, what):
                    yield f"{name}: {what}"
            if list(found.attrs) != list(variable.attrs):
                yield f"{name}: names of attributes"
            yield from (f"{name}:{k}" for k, v in variable.attrs.items() if not same(found.attrs[k], v))
            kept = set(variable.encoding) - {
                "source", "filters", "compressors", "shards", "serializer", "fill_value",
            }  # fmt: skip
            yield from (f"{name}: {k}" for k in kept if found.encoding.get(k) != variable.encoding[k])
            if name not in known.uncovered and not same(found.values, variable.values):
                yield f"{name}: values"


def test_every_real_file(shared_real, shared_sample):
    paths = [p for folder in (shared_real / "files", shared_sample) for p in folder.rglob("*")]
    opens = 0
    for path in paths:
        if path.suffix not in {".nc", ".cdf", ".zarr"}:
            continue
        try:
            with opening.opened(way(path), opening.Reach()):
                pass
        except DataUnreadable:
            with pytest.raises(DataUnreadable):
                list(chunks.index(str(path)))
            continue
        known = chunks.load(b"".join(chunks.index(str(path))))
        with chunks.opened(str(path), known) as ours:
            assert (path.name, list(differences(path, known, ours))) == (path.name, [])
        assert not known.uncovered
        opens += 1
    assert opens > 40


def test_eight_threads_at_once(tmp_path):
    path = tmp_path / "many.nc"
    values = np.random.default_rng(2).integers(-99, 99, (40, 60, 80)).astype("i2")
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip("tyx", values.shape, strict=True):
            file.createDimension(name, size)
        file.createVariable("v", "i2", ("t", "y", "x"), zlib=True, chunksizes=(8, 20, 30))[:] = values
    known = chunks.load(b"".join(chunks.index(str(path))))
    wrong = []
    with chunks.opened(str(path), known, chunks.Decoded(200_000)) as dataset:

        def read(seed):
            rng = np.random.default_rng(seed)
            for _ in range(150):
                key = tuple(slice(*sorted(rng.integers(0, n, 2).tolist())) for n in values.shape)
                if not np.array_equal(dataset.variables["v"][key].values, values[key]):
                    wrong.append(key)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_closed_dataset_reads_no_more_and_leaves_no_file_open(tmp_path):
    path = tmp_path / "a.nc"
    xr.Dataset({"v": ("x", np.arange(9000.0))}).to_netcdf(path)
    known = chunks.load(b"".join(chunks.index(str(path))))
    before = len(list(Path("/proc/self/fd").iterdir()))
    dataset = chunks.opened(str(path), known)
    dataset.close()
    with pytest.raises(DataUnreadable, match="closed"):
        _ = dataset["v"].values
    forgotten = chunks.opened(str(path), known)["v"]
    assert forgotten.values.size == 9000
    del forgotten
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_changed_file_is_refused_at_opening_and_at_reading(tmp_path):
    path = tmp_path / "a.nc"
    xr.Dataset({"v": ("x", np.arange(9000.0))}).to_netcdf(path)
    known = chunks.load(b"".join(chunks.index(str(path))))
    with chunks.opened(str(path), known) as dataset:
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(b"abcd")
        with pytest.raises(DataChanged):
            _ = dataset["v"].values
    with pytest.raises(DataChanged):
        chunks.opened(str(path), known)


@pytest.mark.parametrize("form", [2, 3])
def test_a_changed_zarr_folder_is_refused(tmp_path, form):
    path = tmp_path / "a.zarr"
    array = zarr.open_group(path, mode="w", zarr_format=form).create_array(
        "v", shape=(4000,), chunks=(1000,), dtype="f8", dimension_names=["x"] if form == 3 else None
    )
    if form == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["x"]
    array[1000:3000] = 1
    known = chunks.load(b"".join(chunks.index(str(path))))
    with chunks.opened(str(path), known) as dataset:
        assert dataset["v"].values.sum() == 2000
        array[:1000] = 2
        with pytest.raises(DataChanged):  # a chunk that was missing
            _ = dataset["v"][:10].values
        array[1000:2000] = 2
        with pytest.raises(DataChanged):
            _ = dataset["v"][1000:1010].values
        assert dataset["v"][2000:2010].values.sum() == 10
        folder = next((path / "v").rglob("2"))
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        with pytest.raises((DataUnreadable, DataChanged)):  # a link is not followed
            _ = dataset["v"][2000:2010].values
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)
        assert dataset["v"][2000:2010].values.sum() == 10
        (path / "v").rename(tmp_path / "elsewhere")
        (path / "v").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataUnreadable):  # nor is one on the way
            _ = dataset["v"][2000:2010].values
        (path / "v").unlink()
        (tmp_path / "elsewhere").rename(path / "v")
    array.attrs["more"] = 1
    with pytest.raises(DataChanged):
        chunks.opened(str(path), known)


@pytest.mark.parametrize(
    "key",
    [
        {"y": slice(None), "x": 7},
        {"y": slice(39, None, -3), "x": slice(3, 6)},
        {"y": np.array([5, 2, 31, 2, 9, 11]), "x": slice(0, 2)},
    ],
)
def test_few_cells_of_many_chunks_are_kept_themselves(tmp_path, key):
    path = tmp_path / "a.nc"
    values = np.random.default_rng(5).integers(0, 9999, (40, 1600)).astype("i4")
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("y", 40)
        file.createDimension("x", 1600)
        file.createVariable("v", ">i4", ("y", "x"), zlib=True, chunksizes=(1, 1600), endian="big")[:] = values
    oracle = xr.Variable(("y", "x"), values).isel(key).values
    known, cache = chunks.load(b"".join(chunks.index(str(path)))), chunks.Decoded(70_000)
    with chunks.opened(str(path), known, cache) as dataset:
        for _ in range(2):
            assert np.array_equal(dataset.variables["v"].isel(key).values, oracle)
        assert cache.held_bytes == len(np.unique(np.arange(40)[key["y"]])) * np.atleast_1d(oracle[0]).size * 4
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "inflated", None)
            first = dataset.variables["v"].isel(key).values
            first[...] = -1  # what was answered is the asker's own
            assert np.array_equal(dataset.variables["v"].isel(key).values, oracle)
        other = {**key, "x": slice(700, 702)}
        assert np.array_equal(
            dataset.variables["v"].isel(other).values, xr.Variable(("y", "x"), values).isel(other).values
        )
        os.utime(path, ns=(1, 1))
        with pytest.raises(DataChanged):
            _ = dataset.variables["v"].isel(key).values


def test_decoded_chunks_are_kept_within_their_budget(tmp_path):
    path = tmp_path / "a.nc"
    values = np.arange(64_000, dtype="i4").reshape(40, 1600)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("y", 40)
        file.createDimension("x", 1600)
        file.createVariable("v", "i4", ("y", "x"), zlib=True, chunksizes=(10, 400))[:] = values
    known, cache = chunks.load(b"".join(chunks.index(str(path)))), chunks.Decoded(70_000)
    with chunks.opened(str(path), known, cache) as dataset:
        for _ in range(2):
            for column in range(0, 1600, 400):
                assert np.array_equal(
                    dataset["v"][:10, column : column + 9].values, values[:10, column : column + 9]
                )
        assert cache.held_bytes == 64_000
        assert np.array_equal(dataset["v"].values, values)  # too much at once: it drives nothing out
        assert cache.held_bytes == 64_000
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "inflated", None)
            assert np.array_equal(dataset["v"][3, :5].values, values[3, :5])
        cache.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "BLOCK_BYTES", 16_000)
            read = [part for _, part in blocks.blocks(dataset.variables["v"])]
        assert np.array_equal(np.concatenate(read, axis=None), values.ravel())
        assert (len(read), cache.held_bytes) == (4, 0)  # nor does what is much, but read in parts


def test_what_is_not_covered_is_named_and_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", track_order=True) as file:
        file.create_dataset("lzf", data=np.arange(300_000.0), compression="lzf", chunks=(1000,))
        file.create_dataset("few", data=np.arange(30_000), scaleoffset=20, chunks=(1000,))
        file.create_dataset("offset", data=np.arange(300_000), scaleoffset=20, chunks=(1000,))
        file.create_dataset("plain", data=np.arange(300_000.0))
    known = chunks.load(b"".join(chunks.index(str(path))))
    assert known.uncovered == {"offset", "lzf"}
    with chunks.opened(str(path), known) as dataset:
        assert dataset["few"].values[-1] == 29_999
        assert dataset["plain"][-1].values == 299_999
        with pytest.raises(DataUnreadable, match="chunk index"):
            _ = dataset["lzf"].values
