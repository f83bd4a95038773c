"""A small ERDDAP on loopback: the info table and `.nc` of one tabledap dataset, with ERDDAP's fuzzy comparisons.

It does what ERDDAP's documentation says of tabledap, and what recorded answers show, and nothing else.
"""

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import netCDF4
import numpy as np

from elsewhere import listening

_TYPES = {"f4": "float", "f8": "double", "i2": "short", "i4": "int", "U": "String"}
_CONSTRAINT = re.compile(r"(\w+)(=~|!=|>=|<=|=|>|<)(.*)", re.DOTALL)
NONE = 'Error {\n    code=404;\n    message="Not Found: Your query produced no matching results. (nRows = 0)";\n}\n'


@dataclass
class Erddap:
    """The table, and what was asked of it."""

    columns: Mapping[str, np.ndarray[Any, Any]] = field(repr=False)
    attributes: Mapping[str, Mapping[str, Any]] = field(repr=False)
    address: str = ""
    asked: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    obeys: bool = True


def _kind(values: np.ndarray[Any, Any]) -> str:
    return _TYPES["U" if values.dtype.kind == "U" else values.dtype.str[1:]]


def _info(table: Erddap) -> bytes:
    rows = [["attribute", "NC_GLOBAL", "cdm_data_type", "String", "Other"]]
    for name, values in table.columns.items():
        rows.append(["variable", name, "", _kind(values), ""])
        for key, value in table.attributes.get(name, {}).items():
            kind = "String" if isinstance(value, str) else _kind(np.asarray(value))
            said = value if isinstance(value, str) else ", ".join(str(n) for n in np.ravel(value).tolist())
            rows.append(["attribute", name, key, kind, said])
    names = ["Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"]
    return json.dumps({"table": {"columnNames": names, "columnTypes": ["String"] * 5, "rows": rows}}).encode()


def _near(values: np.ndarray[Any, Any], other: float) -> Any:
    """Almost equal: 5 digits of a float, 9 of a double (ERDDAP, "Comparisons of float and double")."""
    if values.dtype.kind != "f":
        return values == other
    digits = 5 if values.dtype.itemsize == 4 else 9
    return np.isclose(values, other, rtol=0.5 * 10.0**-digits, atol=0)


def _holds(values: np.ndarray[Any, Any], sign: str, text: str) -> Any:
    if values.dtype.kind == "U":
        assert text[0] == text[-1] == '"', "ERDDAP wants texts in quotes"
        word = json.loads(text)
        if sign == "=~":
            return np.array([re.fullmatch(word, one) is not None for one in values])
        assert sign in {"=", "!="}
        return (values == word) if sign == "=" else (values != word)
    number = float(text)
    near = _near(values, number)
    return {
        "=": near, "!=": ~near, "<": (values < number) & ~near, "<=": (values < number) | near,
        ">": (values > number) & ~near, ">=": (values > number) | near,
    }[sign]  # fmt: skip


def _written(table: Erddap, names: list[str], keep: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.nc"
        with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
            file.createDimension("row", int(keep.sum()))
            file.cdm_data_type = "Other"
            for name in names:
                values, known = table.columns[name][keep], dict(table.attributes.get(name, {}))
                fill = known.pop("_FillValue", None)
                if values.dtype.kind == "U":
                    coded = [text.encode("latin-1") for text in values.tolist()]
                    width = max(1, *map(len, coded))
                    file.createDimension(f"{name}_strlen", width)
                    made = file.createVariable(name, "S1", ("row", f"{name}_strlen"))
                    made.set_auto_chartostring(False)
                    made[:] = np.array(coded, f"S{width}").view("S1").reshape(-1, width)
                    known["_Encoding"] = "ISO-8859-1"
                else:
                    made = file.createVariable(name, values.dtype, ("row",), fill_value=fill)
                    made.set_auto_maskandscale(False)
                    made[:] = values
                made.setncatts(known)
        return path.read_bytes()


@contextlib.contextmanager
def erddap(columns: Mapping[str, Any], attributes: Mapping[str, Mapping[str, Any]]) -> Iterator[Erddap]:
    """Serve a table at `…/erddap/tabledap/buoys`."""
    table = Erddap(columns, attributes)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            if place.path == "/erddap/info/buoys/index.json":
                self._answer(200, _info(table))
                return
            if place.path != "/erddap/tabledap/buoys.nc":
                self._answer(
                    404, b'Error {\n    code=404;\n    message="Not Found: Currently unknown datasetID";\n}\n'
                )
                return
            table.asked.append(unquote(place.query))
            first, *parts = place.query.split("&")
            keep = np.ones(len(next(iter(columns.values()))), bool)
            for part in map(unquote, parts) if table.obeys else ():
                match = _CONSTRAINT.fullmatch(part)
                assert match is not None
                keep &= _holds(columns[match[1]], match[2], match[3])
            table.rows.append(int(keep.sum()))
            if not keep.any():
                self._answer(404, NONE.encode())
                return
            self._answer(200, _written(table, unquote(first).split(","), keep))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as address:
        table.address = f"{address}/erddap/tabledap/buoys"
        yield table
