"""The DAP server of pydap over a folder, as its own command runs it.

Run as `python pydap_server.py PORT NAME=PATH …`; the files are linked into one folder as NAME.nc.

Its NetCDF handler (3.5.9) gives every slice the shape of the whole variable and so breaks off (its issues 130, 184 and
217); without that last step it answers, and so it can be compared at all.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from pydap.handlers.netcdf_handler import LazyVariable
from pydap.wsgi.app import main


def cut(variable: Any, key: Any) -> Any:
    with netCDF4.Dataset(variable.filepath) as source:
        source.set_auto_maskandscale(False)
        return np.asarray(source[variable.path][key]).astype(variable.dtype)


if __name__ == "__main__":
    port, *pairs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for name, path in (pair.split("=", 1) for pair in pairs):
            (Path(folder) / f"{name}.nc").symlink_to(path)
        LazyVariable.__getitem__ = cut
        sys.argv = ["pydap", "--bind", "127.0.0.1", "--port", port, "--data", folder]
        main()
