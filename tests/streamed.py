"""Reading back what the streaming formats wrote: raw values by variable, or columns by name."""

import csv
import io
import json
import warnings

import netCDF4
import numpy as np
import pyarrow as pa
import xarray as xr
from zarr.storage import ZipStore

with warnings.catch_warnings(action="ignore"):  # what pydap stands on is old
    from pydap.handlers.dap import unpack_dap2_data
    from pydap.parsers.dds import dds_to_dataset


def netcdf(content, folder):
    """Read by netCDF-C."""
    (folder / "back.nc").write_bytes(content)
    with netCDF4.Dataset(folder / "back.nc") as file:
        file.set_auto_maskandscale(False)
        return {name: np.asarray(variable[:]) for name, variable in file.variables.items()}


def dods(content, _folder):
    """Read by pydap; it decodes text as ASCII, which is not of the standard."""
    declared, data = content.split(b"\nData:\n", 1)
    template = dds_to_dataset(declared.decode())
    stream = io.BytesIO(data)
    template.data = unpack_dap2_data(stream, template)
    assert stream.read() == b""
    arrays = {name: getattr(variable, "array", variable) for name, variable in template.items()}
    for variable in template.values():
        for name, axis in getattr(variable, "maps", {}).items():
            np.testing.assert_array_equal(axis.data, arrays[name].data)
    return {name: np.asarray(variable.data) for name, variable in arrays.items()}


def zarr(content, folder):
    """Read by zarr and xarray."""
    (folder / "back.zip").write_bytes(content)
    store = ZipStore(folder / "back.zip", mode="r")
    with xr.open_zarr(
        store, consolidated=True, chunks=None, mask_and_scale=False, decode_times=False
    ) as back:
        return {str(name): variable.values for name, variable in back.load().variables.items()}


RAW = {"nc3": netcdf, "dods": dods, "zarr": zarr}
"""Formats of packed arrays: suffix → raw values by variable."""


def tsv(content, _folder, mark="\t"):
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), delimiter=mark))
    return {name: [row[name] or "nan" for row in rows] for name in rows[0]}


def jsonl(content, _folder):
    rows = [json.loads(line) for line in content.decode().splitlines()]
    return {name: [np.nan if row[name] is None else row[name] for row in rows] for name in rows[0]}


def arrow(content, _folder):
    table = pa.ipc.open_stream(content).read_all()
    assert json.loads(table.schema.metadata[b"attributes"])["history"]
    found = {}
    for field in table.schema:
        values = table[field.name]
        if pa.types.is_timestamp(field.type):
            found[field.name] = [stamp.strftime("%Y-%m-%dT%H:%M:%SZ") for stamp in values.to_pylist()]
        else:
            found[field.name] = values.to_pylist() if field.type == pa.string() else values.to_numpy()
    return found


ROWS = {"tsv": tsv, "jsonl": jsonl, "arrow": arrow}
"""Formats of rows in the order of CSV: suffix → columns by name, times as canonical instants."""
