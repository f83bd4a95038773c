"""xpublish with its OPeNDAP and EDR plug-ins, over datasets opened with dask as its documentation does.

Run as `python xpublish_server.py PORT NAME=PATH …`; the plug-ins are found by their entry points.
"""

import sys

import xarray as xr
import xpublish

datasets = {
    name: xr.open_dataset(path, chunks={}) for name, path in (pair.split("=", 1) for pair in sys.argv[2:])
}

if __name__ == "__main__":
    xpublish.Rest(datasets).serve(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
