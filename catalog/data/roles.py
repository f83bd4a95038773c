"""How surely a variable is longitude, latitude, depth or time: by CF first, then by units, then by names."""

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data.packing import unpack
from catalog.errors import DataUnreadable

MAX_COORDINATE = 50_000_000
_MAX_CHUNK = 500_000_000
_NEVER_WRITTEN = 9.9e36  # netCDF's fill value of floats that nobody wrote, 9.97e36
Role = Literal["longitude", "latitude", "vertical", "time"]
_EAST = re.compile(r"degrees?_?(e|east)", re.IGNORECASE)
_NORTH = re.compile(r"degrees?_?(n|north)", re.IGNORECASE)
_DEGREES = re.compile(r"deg(ree)?s?|°|rad(ian)?s?|", re.IGNORECASE)
_RADIANS = re.compile(r"rad(ian)?s?", re.IGNORECASE)
_SINCE = re.compile(r"\w+\s+since\s+\S.*", re.IGNORECASE)
_NAMES: Mapping[Role, re.Pattern[str]] = {
    "longitude": re.compile(r"(nav_|t|u|x|g|geo)?lon(g|gitudes?)?(_?(rho|t|c|2d))?", re.IGNORECASE),
    "latitude": re.compile(r"(nav_|t|u|x|g|geo)?lat(itudes?)?(_?(rho|t|c|2d))?", re.IGNORECASE),
    "vertical": re.compile(
        r"depth\w*|z|z[_a]\w*|lev(el)?s?|height|altitude|elevation|pres(sure)?|sigma|s_rho|siglay",
        re.IGNORECASE,
    ),
    "time": re.compile(r"time|t|date|juld|ocean_time|time_counter|valid_time|datetime", re.IGNORECASE),
}
_LETTERED = re.compile(r"(?P<stem>\w*)(?P<letter>[xy])(?P<end>c?)", re.IGNORECASE)  # COADSX, xc
_STANDARD: Mapping[Role, frozenset[str]] = {
    "longitude": frozenset({"longitude"}),
    "latitude": frozenset({"latitude"}),
    "vertical": frozenset({
        "depth", "height", "altitude", "height_above_mean_sea_level", "height_above_geoid", "sea_water_pressure",
        "air_pressure", "height_above_reference_ellipsoid", "depth_below_geoid", "ocean_sigma_coordinate",
        "ocean_s_coordinate", "ocean_s_coordinate_g1", "ocean_s_coordinate_g2", "ocean_double_sigma_coordinate",
        "ocean_sigma_z_coordinate", "model_level_number",
    }),
    "time": frozenset({"time"}),
}  # fmt: skip
_REFERENCE = "forecast_reference_time"
_LETTER: Mapping[Role, str] = {"longitude": "X", "latitude": "Y", "vertical": "Z", "time": "T"}
_DEGREE_ROLES: tuple[Role, ...] = ("longitude", "latitude")
_OTHER_LETTER = str.maketrans("xyXY", "yxYX")


def values(variable: xr.Variable | xr.DataArray) -> npt.NDArray[np.float64]:
    """Return a coordinate's unpacked values as float64, of its shape: NaN where missing, radians as degrees.

    Raises:
        DataUnreadable: It is text, or larger than may be loaded (50 million values, a chunk of 500 MB).
    """
    chunk = variable.encoding.get("chunksizes") or ()
    inflated = int(np.prod([int(n) for n in chunk], dtype=object)) * variable.dtype.itemsize if chunk else 0
    if variable.size > MAX_COORDINATE or inflated > _MAX_CHUNK:
        raise DataUnreadable(
            f"the coordinate {variable.name if hasattr(variable, 'name') else ''} is too large to load"
        )
    raw = np.asarray(variable.values)
    if raw.dtype.kind not in "iufb":
        raise DataUnreadable(f"a coordinate of type {raw.dtype} has no numbers")
    found = np.array(unpack(raw, variable.attrs), np.float64)
    found[np.abs(found) >= _NEVER_WRITTEN] = np.nan
    return np.degrees(found) if _RADIANS.fullmatch(str(variable.attrs.get("units", "")).strip()) else found


def points(role: Role, variable: xr.Variable, *, named: bool, known: bool) -> int:
    """Return how surely a variable is the axis of a role; 0: it is not.

    Args:
        role: The role.
        variable: The variable, undecoded.
        named: Whether its name is one of the role's.
        known: Whether something says that it is a coordinate.
    """
    attributes = variable.attrs
    standard = str(attributes.get("standard_name", "")).strip().lower()
    fits = units_fit(role, str(attributes.get("units", "")).strip())
    letter = str(attributes.get("axis", "")).strip().upper() == _LETTER[role]
    if role in _DEGREE_ROLES and fits is None:
        letter = letter and (variable.ndim != 1 or is_plausible(role, variable))
        if standard.startswith(("grid_", "projection_")):  # degrees or metres of a map of its own
            return 0
    upright = str(attributes.get("positive", "")).lower() in {"up", "down"}
    if role == "time" and is_reference(variable):
        return 10  # only where nothing else is the time: the data then tell no time but their reference's
    if standard and any(standard in others for other, others in _STANDARD.items() if other != role):
        return 0
    signs = (
        (100 if known or letter else 90, standard in _STANDARD[role]),
        (85, letter and fits is not False),
        (80, role == "vertical" and upright and known),
        (70 if known or named else 60, fits is True),
        (40 if known else 20, named and fits is None and not standard and (known or variable.ndim <= 1)),
        (15, named and fits is None and not standard and variable.ndim > 1 and _is_field(role, variable)),
    )
    return max((points for points, holds in signs if holds), default=0)


def _is_field(role: Role, variable: xr.Variable) -> bool:
    """Tell whether a variable of two dimensions that is only named so may be degrees."""
    return role in _DEGREE_ROLES and not variable.attrs.get("units") and is_plausible(role, variable)


def is_lettered(dataset: xr.Dataset, role: Role, name: str) -> bool:
    """Tell whether x or y in a dimension's own name says longitude or latitude: COADSX beside COADSY."""
    match = _LETTERED.fullmatch(name)
    if role not in _DEGREE_ROLES or match is None or match["letter"].upper() != _LETTER[role]:
        return False
    other = match["stem"] + match["letter"].translate(_OTHER_LETTER) + match["end"]
    opposite: Role = "latitude" if role == "longitude" else "longitude"
    return all(
        key in dataset.variables and dataset[key].dims == (key,) and is_plausible(part, dataset[key].variable)
        for key, part in ((name, role), (other, opposite))
    )


def is_plausible(role: Role, variable: xr.Variable) -> bool:
    """Tell whether a coordinate may be degrees of longitude or latitude by its values; an axis is in their order."""
    if not is_degrees(role, variable):
        return False
    found = values(variable)
    steps = np.diff(found, axis=-1) if found.ndim else found
    return found.ndim > 1 or bool(np.all(steps > 0) or np.all(steps < 0))


def is_degrees(role: Role, variable: xr.Variable) -> bool:
    """Tell whether all values of a coordinate are legal degrees of longitude or latitude."""
    try:
        found = values(variable)
    except DataUnreadable:
        return False
    least, most = (-360, 720) if role == "longitude" else (-90, 90)
    known = found[np.isfinite(found)]
    return bool(known.size) and bool(np.all((known >= least) & (known <= most)))


def is_named(role: Role, name: str) -> bool:
    """Tell whether a name is one of a role's."""
    return _NAMES[role].fullmatch(name) is not None


def role_units(role: Role, variable: xr.Variable) -> bool | None:
    """Tell whether a variable's units prove its role, deny it (False), or leave it open (None)."""
    return units_fit(role, str(variable.attrs.get("units", "")).strip())


def units_fit(role: Role, units: str) -> bool | None:
    """Tell whether units prove a role, deny it (False), or leave it open (None)."""
    if role == "time":
        return True if _SINCE.fullmatch(units) else None
    if role == "vertical":
        if _EAST.fullmatch(units) or _NORTH.fullmatch(units) or _SINCE.fullmatch(units):
            return False
        return None
    wanted = _EAST if role == "longitude" else _NORTH
    if wanted.fullmatch(units):
        return True
    return None if _DEGREES.fullmatch(units) else False


def is_reference(variable: xr.Variable) -> bool:
    """Tell whether a variable is the reference time of forecasts, not the time of the data."""
    return str(variable.attrs.get("standard_name", "")).strip().lower() == _REFERENCE


def is_standard(role: Role, variable: xr.Variable) -> bool:
    """Tell whether a variable's standard name is one of a role's."""
    return str(variable.attrs.get("standard_name", "")).strip().lower() in _STANDARD[role]
