"""What a picture of a dataset shows: a variable, the dimensions along its sides, its numbers, thinned if too many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.blocks import blocks
from catalog.data.origin import origin, sample_dimensions
from catalog.data.packing import unpack
from catalog.data.plain import words
from catalog.errors import CatalogError, NotSubsettable
from catalog.formats._fields import told_along
from catalog.formats._places import unrolled

Kind = Literal["map", "scatter", "section", "profile", "line", "lines"]
Values = npt.NDArray[Any]
MOST_SIDE = 1_000
MOST_POINTS = 100_000
MOST_LINES = 8
_LENGTHS = frozenset({"m", "meter", "meters", "metre", "metres"})
_RADIUS = 6_371.0  # km, mean radius of the Earth


@dataclass(frozen=True)
class Scale:
    """The values along one side of a picture.

    Args:
        role: time, depth, longitude, latitude, distance, or a dimension's name.
        values: Numbers that grow along the side (datetime64[us] for times of the usual calendar).
        label: What they are, with units; empty for what ticks say themselves.
        texts: What each is called, where numbers do not say it (times of other calendars, indices).
        down: Whether it grows downwards.
    """

    role: str
    values: Values
    label: str = ""
    texts: tuple[str, ...] = ()
    down: bool = False


@dataclass(frozen=True)
class Shown:
    """A variable's part that is drawn: `numbers` are (y, x) of a map or section, (line, x) of lines, else flat.

    `told` says what of the dataset is left out or chosen; `names` are those of lines.
    """

    kind: Kind
    name: str
    attributes: Mapping[Any, Any]
    numbers: Values
    x: Scale
    y: Scale | None
    told: tuple[str, ...]
    names: tuple[str, ...] = ()


def shown(dataset: xr.Dataset) -> Shown:
    """Choose and read what a picture shows.

    Raises:
        NotSubsettable: There is nothing to draw: no numbers, or a single one.
    """
    known = origin(dataset)
    names = [n for n in known.wanted if dataset[n].dtype.kind in "iuf" and n not in known.axes.coordinates]
    if not names:
        raise NotSubsettable("there are no numbers to draw", hint="ask for variables of numbers, or for CSV")
    if sample_dimensions(dataset):
        raise NotSubsettable("ragged arrays are not drawn", hint="ask for CSV or NetCDF")
    sized = [n for n in names if dataset[n].size > 1]
    if not sized:
        raise NotSubsettable("a single value is no picture", hint="ask for CSV, or for more times or cells")
    name = max(sized, key=lambda n: (dataset[n].ndim, -sized.index(n)))
    found = _Choice(dataset, known.axes, name).made()
    others = [n for n in names if n != name]
    return found if not others else _saying(found, f"{name}: 1/{len(names)} biến · variables")


def _saying(found: Shown, text: str) -> Shown:
    return replace(found, told=(*found.told, text))


class _Choice:
    """The choice of a picture for one variable."""

    def __init__(self, dataset: xr.Dataset, axes: Axes, name: str) -> None:
        self._dataset, self._axes, self._name = dataset, axes, name
        self._variable = dataset[name].variable
        self._told: list[str] = []
        there = set(dataset[name].dims)
        known = [pair for pair in axes.positions if set(pair) <= set(dataset.variables)]
        own = [pair for pair in known if all(set(dataset[n].dims) <= there for n in pair)]
        if own:  # a staggered grid or mesh has positions of its own for each place in its cells
            self._axes = replace(axes, longitude=own[0][0], latitude=own[0][1])
        self._long = {str(d) for d, n in self._variable.sizes.items() if n > 1}
        self._roles = self._dimension_roles()

    def _dimension_roles(self) -> dict[str, str]:
        """Role → dimension, of the dimensions that have more than one place."""
        axes, found = self._axes, dict[str, str]()
        position = [set(map(str, self._dataset[n].dims)) for n in (axes.longitude, axes.latitude) if n]
        shared = set.intersection(*position) if position else set()
        for dimension in map(str, self._variable.dims):
            if dimension not in self._long:
                continue
            if dimension in shared:
                found.setdefault("place", dimension)
                continue
            for role, name in (
                ("longitude", axes.longitude), ("latitude", axes.latitude),
                ("time", axes.time), ("depth", axes.vertical),
            ):  # fmt: skip
                if name and self._is_along(name, dimension):
                    found.setdefault(role, dimension)
                    break
            else:
                found.setdefault(dimension, dimension)
        return found

    def _is_along(self, name: str, dimension: str) -> bool:
        """Whether a coordinate lies along a dimension, and along no other that has more than one place here."""
        dims = set(map(str, self._dataset[name].dims))
        return dimension in dims and not (dims & self._long) - {dimension}

    def made(self) -> Shown:
        """Return what is drawn."""
        roles = self._roles
        along = next((role for role in ("place", "latitude", "longitude") if role in roles), None)
        if {"latitude", "longitude"} <= set(roles):
            return self._plane("map", "longitude", "latitude")
        if "place" in roles and (self._axes.geometry != "points" or not {"time", "depth"} & set(roles)):
            return self._scatter()
        sides = [role for role in (along, "time", "depth") if role in roles]
        if along == "place" and "depth" not in roles:
            few = self._axes.kind == "timeseries" or self._dataset.sizes[roles["place"]] <= MOST_LINES
            return self._lines() if few and self._axes.geometry == "points" else self._scatter()
        if len(sides) > 1:
            x, y = (along, "depth") if along and "depth" in roles else ("time", along or "depth")
            return self._plane("section", str(x), y)
        return self._line("profile" if "depth" in roles else "line", *(sides or list(roles)[:1]))

    def _plane(self, kind: Kind, x: str, y: str) -> Shown:
        across, up = self._scale(x, self._roles[x]), self._scale(y, self._roles[y])
        numbers, (rows, columns) = self._read((self._roles[y], self._roles[x]), MOST_SIDE)
        across, up = _thinned(across, columns), _thinned(up, rows)
        order = tuple(_rising(scale.values) for scale in (across, up))
        numbers = numbers[np.ix_(order[1], order[0])]
        return self._shown(kind, numbers, _ordered(across, order[0]), _ordered(up, order[1]))

    def _scatter(self) -> Shown:
        axes = self._axes
        assert axes.longitude
        assert axes.latitude
        positions = [self._dataset[name].variable for name in (axes.longitude, axes.latitude)]
        dimensions = tuple(str(d) for d in positions[0].dims if str(d) in self._variable.dims)
        most = MOST_POINTS if len(dimensions) == 1 else int(MOST_POINTS ** (1 / len(dimensions)))
        numbers, steps = self._read(dimensions, most)
        x, y = (
            np.broadcast_to(
                ax.values(p.transpose(*(d for d in dimensions if d in p.dims), missing_dims="ignore")),
                tuple(self._dataset.sizes[d] for d in dimensions),
            )[tuple(slice(None, None, step) for step in steps)].ravel()
            for p in positions
        )
        if not np.isfinite(x + y).any():
            raise NotSubsettable("none of the positions is known", hint="ask for CSV or NetCDF")
        found = (Scale("longitude", _gathered(x)), Scale("latitude", y))
        return self._shown("scatter", numbers.ravel(), *found)

    def _line(self, kind: Kind, role: str) -> Shown:
        numbers, (step,) = self._read((self._roles[role],), MOST_POINTS)
        scale = _thinned(self._scale(role, self._roles[role]), step)
        return self._shown(kind, numbers, scale, None)

    def _lines(self) -> Shown:
        place, time = self._roles["place"], self._roles["time"]
        count = int(self._dataset.sizes[place])
        if count > MOST_LINES:
            self._told.append(f"{place} 1–{MOST_LINES}/{count}")
        numbers, (_, step) = self._read((place, time), MOST_POINTS // MOST_LINES, {place: MOST_LINES})
        scale = _thinned(self._scale("time", time), step)
        return self._shown("lines", numbers, scale, None, tuple(self._place_names(place))[:MOST_LINES])

    def _place_names(self, dimension: str) -> list[str]:
        """What the places along a dimension are called: by a text along it, else by where they are."""
        for key, variable in self._dataset.variables.items():
            if variable.dims == (dimension,) and variable.dtype.kind in "OSUT" and key != self._name:
                return [words(value) for value in np.asarray(variable.values, object).tolist()]
        x, y = (
            np.broadcast_to(ax.values(self._dataset[str(n)].variable), self._dataset.sizes[dimension])
            for n in (self._axes.longitude, self._axes.latitude)
        )
        return [f"{b:.2f}°, {a:.2f}°" for a, b in zip(x, y, strict=True)]

    def _read(
        self, dimensions: Sequence[str], most: int, first: Mapping[str, int] | None = None
    ) -> tuple[Values, tuple[int, ...]]:
        """The unpacked numbers along dimensions, each thinned to at most `most`, the first place of all others."""
        others = {str(d): 0 for d in self._variable.dims if str(d) not in dimensions}
        for dimension in others:
            count = int(self._variable.sizes[dimension])
            role, texts = told_along(self._dataset, self._axes, dimension)
            if role in {"time", "depth"} or (count > 1 and dimension in self._dataset.variables):
                self._told.append(texts[0] if role == "time" else f"{role} {texts[0]}")
            if count > 1:
                self._told.append(f"{dimension} 1/{count}")
        part = self._variable.isel(others).transpose(*dimensions)
        part = part.isel({d: slice(0, n) for d, n in (first or {}).items()})
        steps = tuple(-(-n // most) for n in part.shape)
        if any(step > 1 for step in steps):
            wide = " × ".join(map(str, steps))
            self._told.append(f"một ô trong mỗi · one cell in every {wide}")
        pieces = []
        for (place, *_), raw in ((at or (slice(0, 1),), values) for at, values in blocks(part)):
            start = -place.start % steps[0]
            pieces.append(
                unpack(
                    raw[(slice(start, None, steps[0]), *(slice(None, None, s) for s in steps[1:]))],
                    part.attrs,
                )
            )
        return np.concatenate(pieces).astype(np.float64), steps

    def _shown(
        self, kind: Kind, numbers: Values, x: Scale, y: Scale | None, names: tuple[str, ...] = ()
    ) -> Shown:
        told = (*self._variable.encoding.get("reduced", ()), *self._alone(), *self._told)
        return Shown(kind, self._name, self._variable.attrs, numbers, x, y, told, names)

    def _alone(self) -> list[str]:
        """Where and when all of it is, of coordinates without dimension or of a single place."""
        found = []
        axes = self._axes
        if axes.time and not self._dataset[axes.time].ndim:
            found += told_alone(self._dataset, axes.time, range_="reduced" in self._variable.encoding)
        for name, letters in ((axes.latitude, "NS"), (axes.longitude, "EW")):
            if name and self._dataset[name].size == 1:
                found.append(degrees(float(ax.values(self._dataset[name].variable).ravel()[0]), letters))
        return found

    def _scale(self, role: str, dimension: str) -> Scale:
        axes = self._axes
        name = {
            "longitude": axes.longitude,
            "latitude": axes.latitude,
            "time": axes.time,
            "depth": axes.vertical,
        }.get(role, dimension)
        if role == "place":
            return Scale("distance", self._distances(), "km")
        if name not in self._dataset.variables or self._dataset[name].dtype.kind not in "iuf":
            return Scale(role, np.arange(self._dataset.sizes[dimension], dtype=float), dimension)
        variable = self._dataset[name].variable
        values = ax.values(variable).ravel()  # of dimensions of one place but for this
        if role == "time":
            return _times(self._dataset, str(name), values)
        if role == "longitude":
            values = unrolled(values)
        units = words(variable.attrs.get("units", ""))
        label = words(variable.attrs.get("long_name", "")) or str(name)
        down = role == "depth" and ax.points_down(self._dataset, str(name))
        if down and units.lower().rstrip(".") in _LENGTHS:
            label = "Độ sâu · Depth"
        return Scale(
            role,
            values,
            "" if role in {"longitude", "latitude"} else f"{label} [{units}]" if units else label,
            down=down,
        )

    def _distances(self) -> Values:
        """Kilometres along the places, on great circles (haversine formula)."""
        x, y = (
            np.radians(ax.values(self._dataset[str(n)].variable)).ravel()
            for n in (self._axes.longitude, self._axes.latitude)
        )
        half = np.sin(np.diff(y) / 2) ** 2 + np.cos(y[1:]) * np.cos(y[:-1]) * np.sin(np.diff(x) / 2) ** 2
        return np.concatenate([[0], np.cumsum(2 * _RADIUS * np.arcsin(np.sqrt(np.clip(half, 0, 1))))])


def told_alone(dataset: xr.Dataset, name: str, *, range_: bool = False) -> list[str]:
    """Return the instant of a time without dimension, or the first and last of its bounds; none that cannot be read."""
    bounds = str(dataset[name].attrs.get("bounds", ""))
    ends = bounds if range_ and bounds in dataset.variables else name
    try:
        instants = ax.clock(dataset, name).instants(np.atleast_1d(ax.values(dataset[ends].variable)))
    except CatalogError:
        return []
    return [" – ".join(dict.fromkeys(instants))]


def degrees(value: float, letters: str) -> str:
    """Return degrees as maps write them: 105.5°E; letters are those of positive and negative."""
    turned = (value + 180) % 360 - 180 if letters == "EW" else value
    letter = letters[0] if turned > 0 or turned == -180 else letters[1] if turned < 0 else ""  # noqa: PLR2004
    return f"{abs(round(turned, 6)):.10g}°{letter}"


def _times(dataset: xr.Dataset, name: str, values: Values) -> Scale:
    try:
        clock = ax.clock(dataset, name)
        moments = clock.datetimes(values)
        if (
            moments is not None
            and not np.isnat(moments).any()
            and moments.min() > np.datetime64("1000-01-01")
        ):
            return Scale("time", moments)
        return Scale("time", values, texts=tuple(clock.instants(values)))
    except CatalogError:
        return Scale("time", values, words(dataset[name].attrs.get("units", name)))


def _rising(values: Values) -> npt.NDArray[np.intp]:
    """The places of the values that are known, in the order of the values. Raises NotSubsettable for none."""
    order = np.argsort(values, kind="stable")
    known: npt.NDArray[np.intp] = order[np.isfinite(values[order])]
    if not known.size:
        raise NotSubsettable("none of the positions is known", hint="ask for CSV or NetCDF")
    return known


def _thinned(scale: Scale, step: int) -> Scale:
    return replace(scale, values=scale.values[::step], texts=scale.texts[::step])


def _ordered(scale: Scale, order: npt.NDArray[np.intp]) -> Scale:
    texts = tuple(scale.texts[at] for at in order) if scale.texts else ()
    return replace(scale, values=scale.values[order], texts=texts)


def _gathered(x: Values) -> Values:
    """Longitudes on the turn that holds them together: around 0°, or around 180°."""
    near = (x + 180) % 360 - 180
    far = x % 360
    return near if np.ptp(near[np.isfinite(near)]) <= np.ptp(far[np.isfinite(far)]) else far
