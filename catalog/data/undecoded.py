"""Datasets as they are stored: packed values, fill values, time numbers and attributes, and nothing read."""

import warnings
from collections.abc import Mapping
from typing import Any

import xarray as xr

_UNDECODED: Mapping[str, Any] = {
    "mask_and_scale": False,
    "decode_times": False,
    "decode_timedelta": False,
    "decode_coords": False,
    "concat_characters": True,
    "create_default_indexes": False,
    "cache": False,
}


def undecoded(store: Any, **options: Any) -> xr.Dataset:
    """Return what xarray opens, undecoded and lazy.

    Args:
        store: What `xarray.open_dataset` takes.
        options: Its further options.
    """
    with warnings.catch_warnings(
        action="ignore"
    ):  # that a variable has one dimension twice, that metadata are old
        return xr.open_dataset(store, **_UNDECODED, **options)
