"""What a server answered, read into one form: packed or unpacked numbers as an array of time, latitude, longitude."""

import io
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its webob imports cgi
    from pydap.client import open_dods_file
    from pydap.model import GridType

Numbers = npt.NDArray[np.float32]


def netcdf(body: bytes) -> Numbers:
    """Read NetCDF of any version with netCDF-C, unpacked as its attributes say."""
    with tempfile.NamedTemporaryFile(suffix=".nc") as file:
        Path(file.name).write_bytes(body)
        with xr.open_dataset(file.name, engine="netcdf4") as dataset:
            return np.asarray(dataset["sst"].transpose("time", "lat", "lon").values, np.float32)


def csv(body: bytes) -> Numbers:
    """Read a table with the columns time, lat, lon and sst, in any order of rows."""
    table = pd.read_csv(io.BytesIO(body)).set_index(["time", "lat", "lon"])["sst"].sort_index()
    shape = [len(level) for level in table.index.remove_unused_levels().levels]
    return table.to_numpy(np.float32).reshape(shape)


def coveragejson(body: bytes) -> Numbers:
    """Read a coverage by its own axes, the latitudes put in ascending order as its domain gives them."""
    coverage = json.loads(body)
    values = coverage["ranges"]["sst"]
    array = np.array(values["values"], np.float32).reshape(values["shape"])
    order = [values["axisNames"].index(name) for name in ("t", "y", "x")]
    latitudes = axis(coverage["domain"]["axes"]["y"])
    return np.take(array.transpose(order), np.argsort(latitudes), axis=1)


def axis(described: Mapping[str, object]) -> npt.NDArray[np.float64]:
    """Return the values of a coverage's axis, listed or by start, stop and number (CoverageJSON, 6.1.1)."""
    if "values" in described:
        return np.array(described["values"], np.float64)
    return np.linspace(described["start"], described["stop"], described["num"])


def dap(body: bytes) -> npt.NDArray[np.float64]:
    """Read a DAP2 data response with pydap's client, as it was sent: packed where the server packs."""
    with tempfile.NamedTemporaryFile(suffix=".dods") as file:
        Path(file.name).write_bytes(body.replace(b"\nData:\r\n", b"\nData:\n", 1))
        sst = open_dods_file(file.name)["sst"]
        return np.asarray(sst["sst"].data if isinstance(sst, GridType) else sst.data, np.float64)


READ: Mapping[str, Callable[[bytes], npt.NDArray[np.floating]]] = MappingProxyType(
    {"nc": netcdf, "nc3": netcdf, "csv": csv, "covjson": coveragejson, "dods": dap}
)
"""How an answer is read, by our suffix of its format."""
