"""A damaged index or file can only fail: never another error, never other cells with a straight face."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from dataclasses import replace

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from catalog.data import chunks, hdf, layouts, listing
from catalog.data.workers import Workers
from catalog.errors import CatalogError, DataError, DataUnreadable

VALUES = (np.add.outer(np.arange(40) ** 2, np.arange(50)) % 99).astype("i2")

OTHERS = [-1, 0, 1, 2, 7, 255, 2**31, 2**62, 2**64, 10**400, None, "", "..", "<i8", "|O", "<U9", [], {}, 0.5]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An index whose variables are stored in every way, and the file."""
    path = tmp_path_factory.mktemp("made") / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title, file.numbers = "of all", np.array([1.5, 2.5])
        file.createDimension("y", None)
        file.createDimension("x", 50)
        file.createDimension("n", 4)
        for name, options in {
            "a": {"zlib": True, "shuffle": True, "chunksizes": (7, 9)},
            "b": {"zlib": True, "shuffle": True, "fletcher32": True, "chunksizes": (20, 20)},
            "c": {"fletcher32": True, "chunksizes": (16, 50)},
        }.items():
            file.createVariable(name, "i2", ("y", "x"), **options)[:] = VALUES
        file.createVariable("d", "i2", ("x", "n"), contiguous=True)[:] = VALUES[:4].T
        file.createVariable("x", "f4", ("x",))[:] = np.arange(50)
        file.createVariable("s", str, ("n",))[:] = np.array(list("äbcd"), object)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SMALL_BYTES", 60)
        return path, b"".join(chunks.index(str(path)))


def resealed(data):
    return data + hashlib.sha256(data).digest()


@given(data=st.data())
def test_flipped_bytes_of_an_index(made, data):
    bad = bytearray(made[1])
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    assume(bytes(bad) != made[1])
    with pytest.raises(DataUnreadable):
        chunks.load(bytes(bad))
    with pytest.raises(DataUnreadable):
        chunks.load(bytes(made[1][: data.draw(st.integers(0, len(made[1]) - 1))]))


@given(data=st.data())
def test_an_index_of_somebody_who_can_count_is_consistent_or_refused(made, data):
    """Its checksum is right: what is accepted reads cells, or fails with our error."""
    body = bytearray(made[1][:-32])
    head = struct.unpack_from("<Q", body, 8)[0]
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(16, data.draw(st.sampled_from([16 + head, len(body)])) - 1))] = data.draw(
            st.sampled_from([*b'0123456789-[]{}",.eE', 0, 255, 127])
        )
    survive(made[0], resealed(bytes(body)))


def numbers(found, path=()):
    """The places of all numbers in a document."""
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from numbers(value, (*path, key))
    elif isinstance(found, int | str) or found is None:
        yield path


@given(data=st.data())
def test_any_other_value_in_an_index(made, data):
    whole = made[1][:-32]
    length = struct.unpack_from("<Q", whole, 8)[0]
    document = json.loads(whole[16 : 16 + length])
    *way, last = data.draw(st.sampled_from(list(numbers(document))))
    where = document
    for key in way:
        where = where[key]
    where[last] = data.draw(
        st.sampled_from(
            [
                -1,
                0,
                1,
                2,
                7,
                255,
                2**31,
                2**62,
                2**64,
                10**400,
                None,
                "",
                "..",
                "<i8",
                "|O",
                "<U9",
                [],
                {},
                0.5,
            ]
        )
    )
    head = json.dumps(document).encode()
    head += b" " * (-len(head) % 8)
    survive(made[0], resealed(struct.pack("<4sIQ", b"BMCI", 1, len(head)) + head + whole[16 + length :]))


def survive(path, sealed):
    try:
        known = chunks.load(sealed)
    except DataUnreadable:
        return
    try:
        dataset = chunks.opened(str(path), known)
    except DataError:
        return
    with dataset:
        for name, variable in dataset.variables.items():
            try:
                assert variable.values.shape == variable.shape
            except DataError:
                assert name in "abcd"


@given(data=st.data())
def test_flipped_bytes_of_a_file(made, tmp_path_factory, data):
    """What zlib or Fletcher-32 guards fails or is true: a bit between a stream's end and its checksum means nothing.

    Cells that nothing guards change where the bytes did, and nowhere else.
    """
    path, known = made[0], chunks.load(made[1])
    state = path.stat()
    content = path.read_bytes()
    by_name = {variable.name: variable.stored.layout for variable in known.variables if variable.stored}
    where = [
        (name, offset, size)
        for name in "abc"
        for offset, size in zip(by_name[name].offsets.tolist(), by_name[name].sizes.tolist(), strict=True)
    ]
    damaged, begin, size = data.draw(st.sampled_from(where))
    at = begin + data.draw(st.integers(0, size - 1))
    bad = bytearray(content)
    bad[at] ^= data.draw(st.integers(1, 255))
    plain = by_name["d"].offset + data.draw(st.integers(0, 399))
    bad[plain] ^= 1
    path.write_bytes(bad)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    try:
        with chunks.opened(str(path), known) as dataset:
            for name in "abc":
                try:
                    assert np.array_equal(dataset[name].values, VALUES)
                except DataUnreadable:
                    assert name == damaged
            assert np.sum(dataset["d"].values != VALUES[:4].T) == 1
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@given(st.integers(0, 20_000))
def test_a_file_cut_behind_our_back(made, cut):
    path, known = made[0], chunks.load(made[1])
    state, content = path.stat(), path.read_bytes()
    try:
        with chunks.opened(str(path), known) as dataset:
            path.write_bytes(content[: min(cut, len(content) - 1)])
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
            for name in "abcd":
                with pytest.raises(DataError):
                    _ = dataset[name].values
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("codec", ["zlib", "gzip", "zstd", "lz4", "blosc"])
@given(data=st.data())
def test_flipped_bytes_of_every_codec(codec, data):
    """No bytes crash a decoder or change the size of what comes back."""
    import numcodecs  # noqa: PLC0415

    from catalog.data.inflating import inflated  # noqa: PLC0415

    raw = VALUES.tobytes()
    stored = bytearray(numcodecs.get_codec({"id": codec}).encode(raw))
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    stored = stored[: data.draw(st.sampled_from([len(stored), len(stored) // 2, 3]))]
    try:
        found, _ = inflated(
            ((codec, 0),), 0, np.frombuffer(bytes(stored), "u1"), len(raw), lambda n: np.zeros(n, "u1")
        )
    except DataUnreadable:
        return
    assert found.size == len(raw)
    assert codec not in {"zlib", "gzip"} or found.tobytes() == raw


def test_a_chunk_that_inflates_to_another_size(tmp_path):
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("v", (4000,), "f8", chunks=(1000,), compression="gzip")
        made[...] = np.arange(4000)
    known = chunks.load(b"".join(chunks.index(str(path))))
    stored = known.variables[0].stored
    for size in (999, 1001, 4000):
        other = layouts.Chunks(
            (size,),
            stored.layout.filters,
            stored.layout.offsets[:1],
            stored.layout.sizes[:1],
            stored.layout.masks,
        )
        variable = replace(
            known.variables[0], shape=(size,), stored=replace(stored, shape=(size,), layout=other)
        )
        wrong = replace(known, sizes={variable.dims[0]: size}, variables=(variable,))
        with chunks.opened(str(path), wrong) as dataset, pytest.raises(DataUnreadable):
            _ = dataset["v"][:5].values


def test_the_files_made_to_crash_hang_or_flood_a_reader(shared_faults):
    """In a worker they fail, or give an index that reads nothing of more than a chunk may have."""
    with Workers(1, seconds=5, memory=2_000_000_000, queue=0) as workers:
        for path in sorted(shared_faults.glob("*.nc")):
            try:
                spool = workers.spool(chunks.index, str(path))
                known = chunks.load(b"".join(spool.pieces()))
                spool.close()
            except CatalogError:
                continue
            with chunks.opened(str(path), known) as dataset:
                for name, variable in dataset.variables.items():
                    stored = next(v.stored for v in known.variables if v.name == name)
                    if stored is not None and isinstance(stored.layout, layouts.Chunks):
                        assert stored.layout.nbytes(stored.dtype.itemsize) <= layouts.MOST_CHUNK_BYTES
                    try:
                        _ = variable[(slice(0, 1),) * variable.ndim].values
                    except CatalogError:
                        assert name in known.uncovered


def test_files_that_point_elsewhere_are_not_indexed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.create_dataset("v", (600,), "u1", external=[(str(tmp_path / "secret"), 0, 600)])
    xr.Dataset({"v": ("x", np.arange(9.0))}).to_zarr(tmp_path / "a.zarr", consolidated=False, zarr_format=2)
    (tmp_path / "a.zarr" / "v" / "0").unlink()
    (tmp_path / "a.zarr" / "v" / "0").symlink_to(tmp_path / "secret")
    for name in ("a.nc", "a.zarr"):
        with pytest.raises(DataUnreadable, match="other files"):
            list(chunks.index(str(tmp_path / name)))


def test_a_path_that_is_no_file_keeps_nobody_waiting(made, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing", "a\0b"):
        with pytest.raises(DataUnreadable):
            chunks.opened(str(tmp_path / name), chunks.load(made[1]))


def grid(**other):
    arrays = {"offsets": [0, 400], "sizes": [100, 100], "masks": np.zeros(0, "u4")}
    return layouts.Chunks(
        **{"chunk": (50,), "filters": (), **arrays, **other}
        | {name: np.array(other.get(name, arrays[name]), "i8") for name in ("offsets", "sizes")}
    )


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (grid(offsets=[0, 401]), (100,)),
        (grid(offsets=[-2, 0]), (100,)),
        (grid(offsets=[0, 2**63 - 1]), (100,)),
        (grid(sizes=[0, 100]), (100,)),
        (grid(sizes=[100, 2**63 - 1]), (100,)),
        (grid(), (101,)),
        (grid(), (50, 2)),
        (grid(chunk=(0,)), (100,)),
        (grid(chunk=(200_000_000,), offsets=[0], sizes=[100]), (100,)),
        (grid(masks=np.zeros(1, "u4")), (100,)),
        (grid(filters=(("zlib", 0), ("shuffle", 2))), (100,)),
        (grid(filters=(("shuffle", 4),)), (100,)),
        (grid(filters=(("szip", 0),)), (100,)),
        (layouts.Plain(0, (2,)), (251,)),
        (layouts.Plain(-1, (2,)), (2,)),
        (layouts.Plain(0, (250,)), (3,)),
        (layouts.Plain(0, (-2,)), (2,)),
        (layouts.Plain(0, ()), (2,)),
        (layouts.Plain(0, (0, 0)), (2**40, 2**40)),
    ],
)
def test_no_layout_leads_outside_its_file(layout, shape):
    grid().check((100,), 2, 500)
    layouts.Plain(0, (2,)).check((250,), 2, 500)
    stored = layouts.Stored(shape, np.dtype("i2"), bytes(2), layout)
    with pytest.raises(ValueError, match=r"\w"):
        stored.check(500)


@pytest.mark.parametrize("shift", [1, 160])
def test_what_does_not_agree_with_the_library_is_not_covered(tmp_path, monkeypatch, shift):
    path = tmp_path / "a.nc"
    xr.Dataset({"v": ("x", np.arange(300_000.0))}).to_netcdf(path)
    assert not chunks.load(b"".join(chunks.index(str(path)))).uncovered
    right = hdf._stored

    def wrong(item):
        stored = right(item)
        return replace(stored, layout=replace(stored.layout, offset=stored.layout.offset - shift))

    monkeypatch.setattr(hdf, "_stored", wrong)
    assert chunks.load(b"".join(chunks.index(str(path)))).uncovered == {"v"}


def test_values_of_another_type_or_shape_are_refused(made):
    known = chunks.load(made[1])
    for variable in known.variables:
        if variable.values is not None and variable.values.dtype.kind == "f":
            for values in (variable.values[:-1], variable.values.view("i4")):
                with pytest.raises(ValueError, match="values"):
                    replace(variable, values=values).check(known.size)


@pytest.mark.parametrize("shown", [[1, 1], [7], None, ["7", "9"], [0, 9]])
def test_chunks_shown_smaller_than_they_are_do_not_pass(made, shown):
    """What a cut costs is counted by the chunks that are shown: an index may not show others than are inflated."""
    whole = made[1][:-32]
    length = struct.unpack_from("<Q", whole, 8)[0]
    document = json.loads(whole[16 : 16 + length])
    (one,) = (variable for variable in document["variables"] if variable["name"] == "a")
    one["encoding"] = [
        [name, ["plain", shown] if name == "chunksizes" else value] for name, value in one["encoding"]
    ]
    head = json.dumps(document).encode()
    head += b" " * (-len(head) % 8)
    with pytest.raises(DataUnreadable):
        chunks.load(resealed(struct.pack("<4sIQ", b"BMCI", 1, len(head)) + head + whole[16 + length :]))


_MUTATING = """
import random, resource, sys
import numpy as np, numcodecs, imagecodecs
from catalog.data.inflating import inflated
from catalog.errors import DataUnreadable

codec, count, dice = sys.argv[1], int(sys.argv[2]), random.Random(4)
raws = [np.arange(20_000, dtype="i2").tobytes(), dice.randbytes(30_000), bytes(50_000)]
encode = imagecodecs.lz4h5_encode if codec == "lz4h5" else numcodecs.get_codec({"id": codec}).encode
made = [encode(raw) for raw in raws]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(count):
    at = dice.randrange(3)
    stored, size = bytearray(made[at]), len(raws[at])
    for _ in range(dice.randint(1, 4)):
        stored[dice.randrange(dice.choice((min(40, len(stored)), len(stored))))] = dice.randrange(256)
    stored = stored[: dice.choice((len(stored), dice.randrange(len(stored))))]
    if codec == "blosc" and len(stored) > 16 and dice.random() < 0.8:
        stored[4:8], stored[12:16] = size.to_bytes(4, "little"), len(stored).to_bytes(4, "little")
    data, found = np.frombuffer(bytes(stored), "u1"), []
    for content in (0, 0xAA):
        try:
            got, _ = inflated(((codec, 0),), 0, data, size, lambda n: np.full(n, content, "u1"))
            found.append(got.tobytes())
        except DataUnreadable:
            found.append(None)
    assert found[0] == found[1] and (found[0] is None or len(found[0]) == size), "bytes of another time"
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
"""


@pytest.mark.parametrize("codec", ["zlib", "gzip", "zstd", "lz4", "lz4h5", "blosc"])
@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_decoders_outlive_any_bytes_and_tell_nothing_of_their_memory(codec, count):
    """In a process of their own: no crash, bounded memory, and the same bytes whatever their memory held before."""
    words = [sys.executable, "-W", "ignore", "-c", _MUTATING, codec, str(count)]
    done = subprocess.run(words, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-500:]
