"""Reading in C order: the cells that there are, no chunk inflated again and again, nothing left behind."""

import math
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import blocks, chunks, listing, reading, slabs
from catalog.data.tables import Table


def made(path, shape, chunk):
    values = np.random.default_rng(3).integers(-999, 999, shape).astype("i2")
    with netCDF4.Dataset(path, "w") as file:
        for axis, size in enumerate(shape):
            file.createDimension(f"d{axis}", size)
        variable = file.createVariable(
            "v", "i2", [f"d{axis}" for axis in range(len(shape))], chunksizes=chunk
        )
        variable.set_auto_maskandscale(False)
        variable[...] = values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SMALL_BYTES", -1)
        patch.setattr(listing, "MOST_VALUE_BYTES", -1)
        return values, chunks.opened(str(path), chunks.load(b"".join(chunks.index(str(path)))))


@st.composite
def parts(draw, shape):
    bounds = [sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in shape]
    return tuple(
        slice(low, max(high, low + 1), draw(st.sampled_from([1, 1, 1, 2, 3]))) for low, high in bounds
    )


@given(data=st.data(), shape=st.lists(st.integers(1, 14), min_size=1, max_size=4).map(tuple))
def test_blocks_are_all_cells_in_order_and_inflate_few_chunks_twice(tmp_path_factory, data, shape):
    chunk = tuple(data.draw(st.integers(1, n)) for n in shape)
    values, dataset = made(tmp_path_factory.mktemp("slabs") / "a.nc", shape, chunk)
    part = data.draw(parts(shape))
    inflated, seen = reading.inflated, []
    with dataset, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", data.draw(st.sampled_from([2, 40, 400])))
        patch.setattr(slabs, "_BAND_BYTES", data.draw(st.sampled_from([2, 100, 1_000])))
        patch.setattr(reading, "inflated", lambda *known: seen.append(1) or inflated(*known))
        found = list(blocks.blocks(dataset.variables["v"][part]))
    whole = values[part]
    assert b"".join(raw.tobytes() for _, raw in found) == whole.tobytes()
    assert all(np.array_equal(raw, whole[place]) for place, raw in found)
    ends = zip(part, shape, chunk, strict=True)
    touched = math.prod(len({at // c for at in range(n)[one]}) for one, n, c in ends)
    assert len(seen) <= 2 * touched * (1 if all(one.step == 1 for one in part) else 3)


@pytest.mark.parametrize("room", [True, False])
def test_a_file_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, room):
    values, dataset = made(tmp_path / "a.nc", (12, 30, 40), (6, 10, 10))
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1_000)
    if not room:
        monkeypatch.setattr(slabs.os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with dataset:
        variable = dataset.variables["v"]
        assert b"".join(raw.tobytes() for _, raw in blocks.blocks(variable)) == values.tobytes()
        begun = blocks.blocks(variable)
        next(begun)
        begun.close()
        table = Table(dict(variable.sizes), (), {"v": variable}, {})
        cells = [np.ravel(p.raw["v"].values) for p in table.parts(70)]
        assert np.concatenate(cells).tobytes() == values.tobytes()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
