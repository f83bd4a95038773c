"""Reading back what a format wrote, each with a reader of other people where there is one."""

import csv
import datetime as dt
import io
import json

import geopandas
import numpy as np
import openpyxl
import pandas as pd
import scipy.io


def geojson(content, _folder):
    """The columns of the properties, and the positions as lon and lat."""
    frame = geopandas.read_file(io.BytesIO(content))
    features = json.loads(content)["features"]
    found = {name: frame[name].to_numpy() for name in frame.columns.drop("geometry")}
    texts = [name for name, value in features[0]["properties"].items() if isinstance(value, str)]
    found |= {name: [feature["properties"][name] for feature in features] for name in texts}
    return found | {"lon": frame.geometry.x.to_numpy(), "lat": frame.geometry.y.to_numpy()}


def geoparquet(content, folder):
    """The columns, and the positions as lon and lat."""
    (folder / "back.parquet").write_bytes(content)
    frame = geopandas.read_parquet(folder / "back.parquet")
    found = {name: frame[name].to_numpy() for name in frame.columns.drop("geometry")}
    stamps = [name for name in found if isinstance(frame[name].dtype, pd.DatetimeTZDtype)]
    found |= {name: frame[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in stamps}
    return found | {"lon": frame.geometry.x.to_numpy(), "lat": frame.geometry.y.to_numpy()}


def odv(content, _folder):
    """The columns by their name without units, in the order of CSV: here the samples of a station are together."""
    lines = [line for line in content.decode().splitlines() if not line.startswith("//")]
    header, *rows = csv.reader(lines, delimiter="\t")
    assert header[:4] == ["Cruise", "Station", "Type", "yyyy-mm-ddThh:mm:ss.sss"]
    columns = dict(zip((label.split(" [")[0] for label in header), zip(*rows, strict=True), strict=True))
    began = np.array(columns.pop("yyyy-mm-ddThh:mm:ss.sss"))
    stations = np.array(columns["Station"])
    samples = int((stations == stations[0]).sum())
    order = [
        place
        for time in dict.fromkeys(began)
        for place in np.flatnonzero(began == time).reshape(-1, samples).T.ravel()
    ]
    times = np.array(columns.pop("time_ISO8601", began))[order]
    found = {name: [cells[place] or "nan" for place in order] for name, cells in columns.items()}
    stamps = tuple(text.removesuffix(".000") + "Z" for text in times)
    return found | dict.fromkeys(("time", "TIME", "T"), stamps)


def xlsx(content, _folder):
    """The columns of the sheet `data`."""
    header, *rows = openpyxl.load_workbook(io.BytesIO(content))["data"].iter_rows(values_only=True)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))

    def plain(cell):
        if cell is None:
            return np.nan
        return cell.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(cell, dt.datetime) else cell

    return {name: [plain(cell) for cell in cells] for name, cells in columns.items()}


def mat(content, _folder):
    """The variables, C order."""
    data = scipy.io.loadmat(io.BytesIO(content), struct_as_record=False)["data"][0, 0]
    return {name: getattr(data, name).T for name in data._fieldnames if name != "attributes"}


ROWS = {"geojson": geojson, "geoparquet": geoparquet, "odv.txt": odv, "xlsx": xlsx}
"""Formats of rows in the order of CSV: suffix → columns by name, times as canonical instants."""

ARRAYS = {"mat": mat}
"""Formats of arrays: suffix → variables by name, C order; a list is a row."""

PICTURES = frozenset({"tif", "png"})
"""Formats of one field only; `test_pictures` has their laws."""
