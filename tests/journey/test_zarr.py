"""The Zarr store of a dataset, read member by member over HTTP, is the source."""

import itertools

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.core.buffer import cpu

SEA_LEVEL = "cmems_sea_level_20190223"


def fetched(client, home):
    """Every member that the metadata name."""
    found = {".zmetadata": client.get(f"{home}/.zmetadata").content}
    metadata = client.get(f"{home}/.zmetadata").json()["metadata"]
    for key, document in metadata.items():
        found[key] = client.get(f"{home}/{key}").content
        if key.endswith(".zarray"):
            counts = (range(-(-n // c)) for n, c in zip(document["shape"], document["chunks"], strict=True))
            for place in itertools.product(*counts):
                name = key.replace(".zarray", ".".join(map(str, place)) or "0")
                answer = client.get(f"{home}/{name}")
                assert answer.status_code == 200, answer.text
                found[name] = answer.content
    return {key: cpu.Buffer.from_bytes(content) for key, content in found.items()}


@pytest.mark.parametrize("sample", [SEA_LEVEL, "coads_climatology"])
def test_the_store_is_the_source(client, sample, shared_sample):
    members = fetched(client, f"/api/datasets/sample-{sample}_bien_dong/zarr")
    store = zarr.storage.MemoryStore(members, read_only=True)
    raw = {"mask_and_scale": False, "decode_times": False}
    with (
        xr.open_zarr(store, chunks=None, consolidated=True, **raw) as got,
        xr.open_dataset(shared_sample / f"{sample}_bien_dong.nc", **raw) as source,
    ):
        assert set(got.variables) == set(source.variables)
        assert set(got.attrs) >= set(source.attrs)
        for name, variable in source.variables.items():
            np.testing.assert_array_equal(got[name].values, variable.values)
            assert got[name].dims == variable.dims
            np.testing.assert_equal(got[name].attrs.get("_FillValue"), variable.attrs.get("_FillValue"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "nothing",
        "adt/9.9.9",
        "adt/0.0",
        "adt/00.0.0",
        "adt/0.0.0/0",
        "../secret",
        "adt/-1.0.0",
        "adt/²",
        "/.zgroup",
    ],
)
def test_no_other_member_is_there(client, key):
    answer = client.get(f"/api/datasets/sample-{SEA_LEVEL}_bien_dong/zarr/{key}")
    assert answer.status_code == 404, answer.text
