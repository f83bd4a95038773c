"""Where and when data are that a harvester was told of: arrays by name, and the values of those it asked for.

Remote servers describe their data without sending them, so a dataset is made that has no cells but those of the
coordinates; whatever else is read of it is said to be unknown.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data.coverage import cover as _cover
from catalog.errors import DataUnreadable


def cover(header: Mapping[str, Any], values: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return the coverage of described data (see `catalog.data`); what is odd or unknown is a problem, never an error.

    Args:
        header: The `attributes` and `variables` of a header document.
        values: The stored values of coordinates by their names, in the shapes that the header says.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # that a variable has one dimension twice
            return _cover(_dataset(header, values))
    except (DataUnreadable, ValueError, TypeError) as error:
        said = str(error).partition("\n")[0]
        return {"problems": [{"code": "coverage-unknown", "text": f"no extent was found: {said}"[:500]}]}


class _Unknown(BackendArray):
    """Cells that were not asked for."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._name, self.shape, self.dtype = name, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        raise DataUnreadable(f"the values of {self._name} were not asked for")


def _dataset(header: Mapping[str, Any], values: Mapping[str, npt.NDArray[Any]]) -> xr.Dataset:
    variables = {one["name"]: _variable(one, values.get(one["name"])) for one in header["variables"]}
    lines = {name: one for name, one in variables.items() if one.dims == (name,)}
    rest = {name: one for name, one in variables.items() if name not in lines}
    return xr.Dataset(rest, coords=xr.Coordinates(lines, indexes={}), attrs=dict(header["attributes"]))


def _variable(said: Mapping[str, Any], values: npt.NDArray[Any] | None) -> xr.Variable:
    shape = tuple(said["shape"])
    data: Any = values
    if values is None or values.shape != shape:
        data = indexing.LazilyIndexedArray(_Unknown(said["name"], shape, np.dtype(said["dtype"])))
    return xr.Variable(said["dimensions"], data, dict(said["attributes"]), fastpath=True)
