"""The plain route that anybody writes first: FastAPI, xarray, and the library's own writers.

Run as `python xarray_server.py PORT NAME=PATH …`; answers /NAME?suffix=…&time=first/last&lat=first/last&lon=first/last.
"""

import sys
import threading

import fastapi
import uvicorn
import xarray as xr
from fastapi.responses import JSONResponse, Response

app = fastapi.FastAPI()
datasets = {name: xr.open_dataset(path) for name, path in (pair.split("=", 1) for pair in sys.argv[2:])}
one_at_a_time = threading.Lock()  # netCDF4 in two threads at once ends the process


@app.get("/")
def ready() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/{name}")
def cut(name: str, suffix: str, time: str, lat: str, lon: str) -> Response:
    with one_at_a_time:
        asked = {"time": slice(*time.split("/"))}
        asked |= {axis: slice(*map(float, text.split("/"))) for axis, text in (("lat", lat), ("lon", lon))}
        return WRITERS[suffix](datasets[name][["sst"]].sel(asked))


def netcdf(box: xr.Dataset) -> Response:
    return Response(bytes(box.to_netcdf(engine="netcdf4")), media_type="application/x-netcdf")


def classic(box: xr.Dataset) -> Response:
    return Response(bytes(box.to_netcdf(engine="scipy")), media_type="application/x-netcdf")


def binary(box: xr.Dataset) -> Response:
    return Response(box["sst"].values.astype(">f4").tobytes(), media_type="application/octet-stream")


def csv(box: xr.Dataset) -> Response:
    return Response(box.to_dataframe().to_csv(), media_type="text/csv")


def coveragejson(box: xr.Dataset) -> Response:
    values = box["sst"].values.astype(object)
    values[box["sst"].isnull().values] = None
    axes = {name: {"values": box[name].values.tolist()} for name in ("lon", "lat")}
    times = {"values": box["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").values.tolist()}
    return JSONResponse(
        {
            "type": "Coverage",
            "domain": {
                "type": "Domain",
                "domainType": "Grid",
                "axes": {"x": axes["lon"], "y": axes["lat"], "t": times},
            },
            "ranges": {
                "sst": {
                    "type": "NdArray",
                    "dataType": "float",
                    "axisNames": ["t", "y", "x"],
                    "shape": list(values.shape),
                    "values": values.ravel().tolist(),
                }
            },
        }
    )


WRITERS = {"nc": netcdf, "nc3": classic, "dods": binary, "csv": csv, "covjson": coveragejson}

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
