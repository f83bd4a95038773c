"""pygeoapi with its xarray providers for coverages and EDR, under gunicorn as its own image runs it.

Run as `python pygeoapi_server.py PORT NAME=PATH …`; a PATH that ends in `.tinydb` is a catalogue of records.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml


def configuration(port: str, files: dict[str, str]) -> dict[str, object]:
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": int(port)},
            "url": f"http://127.0.0.1:{port}",
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 10, "max_items": 10},
            "map": {"url": "", "attribution": ""},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {
                "title": "sst",
                "description": "sst",
                "keywords": ["sst"],
                "terms_of_service": "none",
                "url": "http://127.0.0.1",
            },
            "license": {"name": "none", "url": "http://127.0.0.1"},
            "provider": {"name": "none", "url": "http://127.0.0.1"},
            "contact": {"name": "none"},
        },
        "resources": {
            name: records(path) if path.endswith(".tinydb") else collection(path)
            for name, path in files.items()
        },
    }


def records(path: str) -> dict[str, object]:
    provider = {"type": "record", "name": "TinyDBCatalogue", "data": path, "id_field": "externalId"}
    described = collection(path)
    return {
        **described,
        "extents": {"spatial": described["extents"]["spatial"]},  # else it refuses other times of `updated`
        "providers": [{**provider, "time_field": "updated", "title_field": "title"}],
    }


def collection(path: str) -> dict[str, Any]:
    common = {"data": path, "x_field": "lon", "y_field": "lat", "time_field": "time"}
    native = {"name": "netcdf", "mimetype": "application/x-netcdf"}
    return {
        "type": "collection",
        "title": "sst",
        "description": "sst",
        "keywords": ["sst"],
        "links": [],
        "extents": {
            "spatial": {
                "bbox": [-180, -90, 180, 90],
                "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
            },
            "temporal": {
                "begin": datetime(2019, 1, 1, tzinfo=UTC),
                "end": datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC),
            },
        },
        "providers": [
            {"type": "coverage", "name": "xarray", "format": native, **common},
            {"type": "edr", "name": "xarray-edr", "format": native, **common},
        ],
    }


if __name__ == "__main__":
    port, *pairs = sys.argv[1:]
    files = dict(pair.split("=", 1) for pair in pairs)
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "config.yml": configuration(port, files),
            "openapi.yml": {},
        }  # the second is for a page of docs
        for name, content in made.items():
            (Path(folder) / name).write_text(yaml.safe_dump(content), "utf-8")
        os.environ["PYGEOAPI_CONFIG"], os.environ["PYGEOAPI_OPENAPI"] = (f"{folder}/{name}" for name in made)
        from gunicorn.app.wsgiapp import WSGIApplication

        sys.argv = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--timeout", "300", "pygeoapi.flask_app:APP"]
        WSGIApplication().run()
