"""The global attributes of an answer that has no groups."""

from typing import Any

import xarray as xr

RESERVED = frozenset({"_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates"} | {
    "DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME",
})  # fmt: skip
"""Attributes that belong to a file's structure and not to its data."""


def attributes_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the global attributes, with a comment where the source has groups, of which the answer has nothing."""
    found = {str(name): value for name, value in dataset.attrs.items() if name not in RESERVED}
    groups = [str(name) for name in dataset.encoding.get("groups", ())]
    if groups:
        told = f"The source's groups are not in this answer: {', '.join(groups)}."
        found["comment"] = " ".join(filter(None, (str(found.get("comment", "")).strip(), told)))
    return found
