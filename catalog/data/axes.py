"""Longitude, latitude, depth and time of a dataset: found by CF first, then by units, then by names.

Sources: CF conventions §4 (coordinate types), §9 (discrete sampling geometries), UGRID 1.0, and the older
COARDS. Datasets are undecoded (`catalog.data.opening.opened`): the values and attributes as in the file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from catalog.data.clock import Clock, duration
from catalog.data.links import STALE, known_links
from catalog.data.roles import (
    MAX_COORDINATE,
    Role,
    is_degrees,
    is_lettered,
    is_named,
    is_plausible,
    is_reference,
    is_standard,
    points,
    role_units,
    units_fit,
    values,
)
from catalog.record import Kind

__all__ = [
    "MAX_COORDINATE",
    "Axes",
    "Geometry",
    "Role",
    "clock",
    "depth_factor",
    "find",
    "points_down",
    "values",
]

Geometry = Literal["rectilinear", "points", "curvilinear", "mesh", "none"]
_BOUNDS = re.compile(r"_(bnds|bounds|vertices)$|edges$")
_ROLES: tuple[Role, ...] = ("longitude", "latitude", "vertical", "time")
_STAGGERED = re.compile(r"_?(u|v|w|f|t|psi|rho|vert|corner)$", re.IGNORECASE)
_EDGES = ("bounds", "climatology", "edges")
_FEATURES: Mapping[str, Kind] = {
    "timeseries": "timeseries", "profile": "profile", "trajectory": "trajectory", "point": "points",
    "timeseriesprofile": "profile", "trajectoryprofile": "profile", "station": "timeseries",
}  # fmt: skip
_CF_ROLES: Mapping[str, Kind] = {
    "timeseries_id": "timeseries", "profile_id": "profile", "trajectory_id": "trajectory"
}  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """The names of a dataset's axes (None: there is none), and what kind of geometry they make.

    `coordinates` names every variable that describes the data rather than being data: axes, bounds, auxiliary
    coordinates, grid mappings, mesh topologies. `positions` are all pairs of longitude and latitude, that of the axes
    first: the nodes, faces and edges of a mesh or of a staggered grid. Where `lead` is named, `time` is the reference
    time of forecasts, and the time of the data is `time` and `lead` added.
    """

    longitude: str | None = None
    latitude: str | None = None
    vertical: str | None = None
    time: str | None = None
    lead: str | None = None
    geometry: Geometry = "none"
    kind: Kind = "document"
    coordinates: frozenset[str] = frozenset()
    positions: tuple[tuple[str, str], ...] = ()
    problems: tuple[tuple[str, str], ...] = field(default=())

    def data_variables(self, dataset: xr.Dataset) -> tuple[str, ...]:
        """Return the names of the variables that are data, in the file's order."""
        return tuple(str(name) for name in dataset.variables if name not in self.coordinates)


def find(dataset: xr.Dataset) -> Axes:
    """Return the axes of a dataset; of values, only those of axes that nothing but a letter (`x`) names are read."""
    described = _described(dataset)
    found: dict[Role, str | None] = {}
    for role in _ROLES:
        found[role] = _best(dataset, role, described, taken=set(found.values()))
    longitude, latitude = found["longitude"], found["latitude"]
    if longitude is None or latitude is None:
        longitude, latitude = _called(dataset)
        found |= {"longitude": longitude, "latitude": latitude} if longitude else {}
    positions = _positions(dataset, longitude, latitude) if longitude and latitude else ()
    geometry = _geometry(dataset, longitude, latitude)
    lead = _lead(dataset, found["time"])
    axes = {name for name in (*found.values(), lead) if name}
    coordinates = frozenset(axes | described | {str(n) for n in dataset.variables if dataset[n].dims == (n,)})
    return Axes(
        longitude=longitude,
        latitude=latitude,
        vertical=found["vertical"],
        time=found["time"],
        lead=lead,
        geometry=geometry,
        kind=_kind(dataset, geometry, found),
        coordinates=coordinates,
        positions=positions,
        problems=tuple(_problems(dataset, geometry, found["time"], lead)),
    )


def _lead(dataset: xr.Dataset, time: str | None) -> str | None:
    """The lead time of forecasts, where the time is that of their reference."""
    if time is None or not is_reference(dataset[time].variable):
        return None
    leads = (
        str(name)
        for name, variable in dataset.variables.items()
        if variable.attrs.get("standard_name") == "forecast_period" and variable.ndim < 2  # noqa: PLR2004
    )
    return next((name for name in leads if duration(str(dataset[name].attrs.get("units", "")))), None)


def _problems(
    dataset: xr.Dataset, geometry: Geometry, time: str | None, lead: str | None
) -> Iterator[tuple[str, str]]:
    if geometry == "none":
        said = "no longitude and latitude were found"
        maps = [
            str(v.attrs["grid_mapping_name"])
            for v in dataset.variables.values()
            if "grid_mapping_name" in v.attrs
        ]
        standard = [str(v.attrs.get("standard_name", "")) for v in dataset.variables.values()]
        if any(name.startswith(("projection_", "grid_l")) for name in standard):
            said += f": the data have coordinates of a map projection only ({', '.join(maps) or 'which is not told'})"
        yield "no-position", said
    if time and is_reference(dataset[time].variable):
        added = (
            f"the time of the data is {time} and {lead} added"
            if lead
            else f"only {time} is known of their time"
        )
        yield "reference-time", f"{time} is the reference time of forecasts: {added}"


def clock(dataset: xr.Dataset, name: str) -> Clock:
    """Return how the time axis counts. Raises DataUnreadable."""
    return Clock.of(dataset[name].attrs)


def depth_factor(dataset: xr.Dataset, name: str) -> float | None:
    """Return what turns the vertical axis into metres positive down; None where its units are no length.

    A decibar counts as a metre (within 3 % of depth in the ocean).
    """
    attributes = dataset[name].attrs
    units = str(attributes.get("units", "")).strip().lower().rstrip(".")
    factor = {
        "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "km": 1000.0, "cm": 0.01, "dbar": 1.0,
        "dbars": 1.0, "decibar": 1.0, "decibars": 1.0, "db": 1.0,
    }.get(units)  # fmt: skip
    if factor is None:
        return None
    return factor if points_down(dataset, name) else -factor


def points_down(dataset: xr.Dataset, name: str) -> bool:
    """Tell whether a vertical axis grows downwards: it says so, its name does, or it has values above zero."""
    attributes = dataset[name].attrs
    positive = str(attributes.get("positive", "")).strip().lower()
    if positive in {"up", "down"}:
        return positive == "down"
    said = f"{attributes.get('standard_name', '')} {name}".lower()
    if "depth" in said or "pres" in said:
        return True
    if "height" in said or "altitude" in said or "elevation" in said:
        return False
    known = values(dataset[name].variable)
    return bool(np.nanmax(known, initial=-np.inf) > 0)


def _described(dataset: xr.Dataset) -> set[str]:
    """Variables that other variables' attributes call coordinates, bounds, mappings or topology."""
    names: set[str] = set()
    for variable in dataset.variables.values():
        for key in ("bounds", "climatology", "edges", "grid_mapping", "coordinates", "mesh"):
            names |= _words(variable.attrs.get(key))
    names |= _words(dataset.attrs.get("coordinates"))
    for name, variable in dataset.variables.items():
        role = str(variable.attrs.get("cf_role", ""))
        if role == "mesh_topology":
            for key, value in variable.attrs.items():
                names |= _words(value) if str(key).endswith(("_connectivity", "_coordinates")) else set()
        if role or "grid_mapping_name" in variable.attrs or _BOUNDS.search(str(name)):
            names.add(str(name))
        if units_fit("longitude", units := str(variable.attrs.get("units", ""))) or units_fit(
            "latitude", units
        ):
            names.add(str(name))
        names |= {str(name)} if {"sample_dimension", "instance_dimension"} & set(variable.attrs) else set()
    links = known_links(dataset)
    names |= {*links, *STALE} if links else set()
    return {name for name in names if name in dataset.variables}


def _words(value: Any) -> set[str]:
    return set(value.replace(":", " ").split()) if isinstance(value, str) else set()


def _bounds(dataset: xr.Dataset) -> set[str]:
    """Variables that are the edges of others."""
    said = [variable.attrs.get(key) for variable in dataset.variables.values() for key in _EDGES]
    return {word for value in said for word in _words(value)}


def _best(dataset: xr.Dataset, role: Role, described: set[str], taken: set[str | None]) -> str | None:
    bounds = _bounds(dataset)
    ranked: list[tuple[int, int, int, int, str]] = []
    for position, (key, variable) in enumerate(dataset.variables.items()):
        name = str(key)
        if name in taken or name in bounds or variable.dtype.kind not in "iuf":
            continue
        if role == "vertical" and variable.ndim == 1 and {"mesh", "location"} <= set(variable.attrs):
            continue  # a number of each node, as its depth to the bottom is, and no axis
        named = is_named(role, name) or is_lettered(dataset, role, name)
        sure = points(role, variable, named=named, known=name in described or variable.dims == (name,))
        if sure:
            users = sum(
                set(variable.dims) <= set(other.dims) and other.ndim > variable.ndim
                for other in dataset.variables.values()
            )
            ranked.append((sure, users, -variable.ndim, -position, name))
    return max(ranked)[-1] if ranked else None


def _positions(dataset: xr.Dataset, longitude: str, latitude: str) -> tuple[tuple[str, str], ...]:
    """All pairs of geographic longitude and latitude; those of the axes first, others by units or standard name."""
    bounds = _bounds(dataset)

    def others(role: Role) -> list[str]:
        return [
            str(name)
            for name, variable in dataset.variables.items()
            if name not in {longitude, latitude, *bounds}
            and variable.dtype.kind in "iuf"
            and not _BOUNDS.search(str(name))
            and (
                is_standard(role, variable)
                or role_units(role, variable)
                or is_other(role, str(name), variable)
            )
        ]

    def is_other(role: Role, name: str, variable: xr.Variable) -> bool:
        """Whether the axes are only named so, and this one as they are but for its place: lon_u beside lon_rho."""
        main = dataset[longitude if role == "longitude" else latitude]
        plain = variable.ndim == main.ndim > 1 and not {"units", "standard_name"} & (
            set(variable.attrs) | set(main.attrs)
        )
        return plain and is_named(role, _STAGGERED.sub("", name)) and is_plausible(role, variable)

    def is_pair(x: str, y: str) -> bool:
        lines = dataset[x].dims == (x,) and dataset[y].dims == (y,)
        return lines or dataset[x].dims == dataset[y].dims

    pairs = [
        (x, y)
        for x in [longitude, *others("longitude")]
        for y in [latitude, *others("latitude")]
        if (x, y) != (longitude, latitude) and is_pair(x, y)
    ]
    nodes = [pair for pair in _topology(dataset) if pair not in pairs and pair != (longitude, latitude)]
    return ((longitude, latitude), *pairs, *nodes)


def _topology(dataset: xr.Dataset) -> list[tuple[str, str]]:
    """The pairs of coordinates that a mesh topology names, where they are not said to be metres (UGRID 1.0)."""
    pairs = []
    for variable in dataset.variables.values():
        for key, value in variable.attrs.items() if "cf_role" in variable.attrs else ():
            named = [name for name in str(value).split() if name in dataset.variables]
            if str(key).endswith("_coordinates") and len(named) == 2:  # noqa: PLR2004
                x, y = sorted(named, key=partial(_is_north, dataset))
                fit = (
                    role_units("longitude", dataset[x].variable),
                    role_units("latitude", dataset[y].variable),
                )
                pairs += [(x, y)] if False not in fit else []
    return pairs


def _called(dataset: xr.Dataset) -> tuple[str, str] | tuple[None, None]:
    """The pair that a mesh topology names and whose names say what they are: `node_lon`, without any attribute."""
    for x, y in _topology(dataset):
        named = "lon" in x.lower() and "lat" in y.lower() and dataset[x].dims == dataset[y].dims
        pair: tuple[tuple[Role, str], ...] = (("longitude", x), ("latitude", y))
        if named and all(is_degrees(role, dataset[name].variable) for role, name in pair):
            return x, y
    return None, None


def _is_north(dataset: xr.Dataset, name: str) -> bool:
    """Tell whether units, or without them the name, say that a coordinate is latitude."""
    said = role_units("latitude", dataset[name].variable)
    return "lat" in name.lower() if said is None else said


def _geometry(dataset: xr.Dataset, longitude: str | None, latitude: str | None) -> Geometry:
    attributes = [variable.attrs for variable in dataset.variables.values()]
    said = any(a.get("cf_role") == "mesh_topology" or {"mesh", "location"} <= set(a) for a in attributes)
    if said or known_links(dataset):
        return "mesh"
    if longitude is None or latitude is None:
        return "none"
    x, y = dataset[longitude].dims, dataset[latitude].dims
    if len(x) == 1 and len(y) == 1 and x != y:
        return "rectilinear"
    return "points" if max(len(x), len(y)) <= 1 else "curvilinear"


def _kind(dataset: xr.Dataset, geometry: Geometry, found: Mapping[Role, str | None]) -> Kind:
    if geometry == "mesh":
        return "mesh"
    said = [dataset.attrs.get(name, "") for name in ("featureType", "CF:featureType", "cdm_data_type")]
    features = [_FEATURES[word] for value in said if (word := str(value).strip().lower()) in _FEATURES]
    variables = dataset.variables.values()
    features += [_CF_ROLES[role] for v in variables if (role := str(v.attrs.get("cf_role", ""))) in _CF_ROLES]
    return features[0] if features else _kind_by_shape(dataset, geometry, found)


def _kind_by_shape(dataset: xr.Dataset, geometry: Geometry, found: Mapping[Role, str | None]) -> Kind:
    longitude, vertical, time = found["longitude"], found["vertical"], found["time"]
    instants = dataset[time].dims if time else ()
    if geometry == "none" or longitude is None:
        wide = any(len(set(v.dims) - set(instants)) > 1 for v in dataset.variables.values())
        return "document" if len(instants) != 1 else "grid" if wide else "timeseries"
    along = dataset[longitude].dims
    if geometry != "points":
        return "trajectory" if geometry == "curvilinear" and instants == along else "grid"
    if not along:
        return "timeseries" if instants else "points"
    if vertical and set(along) < set(dataset[vertical].dims):
        return "profile"  # each position has levels of its own, as Argo's profile files have
    return "trajectory" if instants == along else "points"
