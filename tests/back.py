"""Reading back what a format wrote, each with a reader of other people where there is one."""

import io
import json

import geopandas


def geojson(content, _folder):
    """The columns of the properties, and the positions as lon and lat."""
    frame = geopandas.read_file(io.BytesIO(content))
    features = json.loads(content)["features"]
    found = {name: frame[name].to_numpy() for name in frame.columns.drop("geometry")}
    texts = [name for name, value in features[0]["properties"].items() if isinstance(value, str)]
    found |= {name: [feature["properties"][name] for feature in features] for name in texts}
    return found | {"lon": frame.geometry.x.to_numpy(), "lat": frame.geometry.y.to_numpy()}


ROWS = {"geojson": geojson}
"""Formats of rows in the order of CSV: suffix → columns by name, times as canonical instants."""

PICTURES = frozenset({"tif", "png"})
"""Formats of one field only; `test_pictures` has their laws."""
