"""Which centres the box, the time and the depth of a cut ask for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.data import axes as ax
from catalog.data.clock import NEVER, duration, position
from catalog.data.coverage import cover
from catalog.data.curvilinear import plane
from catalog.data.grids import Grid
from catalog.data.lines import CIRCLE, Line, slack_of, spelled
from catalog.data.meshes import meshes
from catalog.data.positions import Pair, first_pair, is_lines, pairs_of
from catalog.errors import BadRequest, DataUnreadable, NotSubsettable, OutsideDomain
from catalog.record import BBox

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Centres:
    """The centres along some dimensions that a part of a cut asks for.

    Args:
        label: What is asked: longitude, latitude, box, time or depth.
        names: The coordinates.
        dimensions: Their dimensions: none, one or several.
        inside: Indices along the dimension in the source's order (of a scalar: 0, or nothing); over several
            dimensions a mask of their shape.
        order: Of indices: the longitudes to sort them by.
    """

    label: str
    names: tuple[str, ...]
    dimensions: tuple[str, ...]
    inside: npt.NDArray[Any]
    order: _Floats | None = None

    def check_known(self, grid: Grid) -> None:
        """Refuse coordinates without a single value. Raises NotSubsettable."""
        for name in self.names:
            if not np.isfinite(grid.values(name)).any():
                raise NotSubsettable(f"{name[:60]} has no value", hint="ask without it, or cut with indices=")

    @property
    def empty(self) -> bool:
        """Whether nothing is inside."""
        return not self.inside.any() if len(self.dimensions) > 1 else not self.inside.size


def in_box(grid: Grid, box: BBox, wanted: Iterable[str]) -> Iterator[Centres]:
    """Yield the centres inside a closed box, of each grid that the wanted variables lie on.

    Rows and columns are picked one by one; of positions of several dimensions the cells are told by a mask; of a mesh
    the faces.

    Raises:
        NotSubsettable: There are no positions, or variables lie on different grids over the same dimensions.
    """
    names = tuple(name for name in wanted if name in grid.dataset.variables)
    used = [mesh for mesh in meshes(grid) if mesh.has(grid, names)]
    owned = {dimension for mesh in meshes(grid) for dimension in mesh.dimensions}
    pairs = tuple(pair for pair in pairs_of(grid, names) if not owned & _dimensions(grid, pair))
    if not (used or pairs):
        first = first_pair(grid)
        used = [mesh for mesh in meshes(grid) if _dimensions(grid, first) & set(mesh.dimensions)]
        pairs = () if used else (first,)
    if len(pairs) > 1:
        _check_apart(grid, names, pairs)
    seen: set[str] = set()
    for pair in pairs:
        if is_lines(grid, pair):
            yield from _on_lines(grid, box, pair, seen)
        else:
            there = plane(grid, *pair)
            inside = there.inside(box)
            one = len(there.dimensions) < 2  # noqa: PLR2004
            yield Centres("box", pair, there.dimensions, np.flatnonzero(inside) if one else inside)
    for mesh in used:
        inside = mesh.centres(grid).inside(box)
        yield Centres("box", mesh.names, (mesh.cell,), np.flatnonzero(inside))


def _on_lines(grid: Grid, box: BBox, pair: Pair, seen: set[str]) -> Iterator[Centres]:
    """Columns and rows, each axis once."""
    x, y = pair
    variables = grid.dataset.variables
    if x not in seen:
        indices, unrolled = line(grid, "longitude", x).around(box.west, box.east)
        order = unrolled if variables[x].dims != variables[y].dims else None
        yield Centres("longitude", (x,), _names(grid, x), indices, order)
    if y not in seen:
        yield Centres(
            "latitude", (y,), _names(grid, y), line(grid, "latitude", y).between(box.south, box.north)
        )
    seen |= {x, y}


def _dimensions(grid: Grid, pair: Pair) -> set[str]:
    return {dimension for name in pair for dimension in _names(grid, name)}


def _names(grid: Grid, name: str) -> tuple[str, ...]:
    return tuple(map(str, grid.dataset.variables[name].dims))


def _check_apart(grid: Grid, names: tuple[str, ...], pairs: tuple[Pair, ...]) -> None:
    """Refuse grids whose cells would have to be told apart along the same dimensions."""
    for at, one in enumerate(pairs):
        for other in pairs[at + 1 :]:
            shared = _dimensions(grid, one) & _dimensions(grid, other)
            if not shared:
                continue
            lines = is_lines(grid, one), is_lines(grid, other)
            same = [a for a, b in zip(one, other, strict=True) if a == b]
            if all(lines) and shared <= {d for name in same for d in _names(grid, name)}:
                continue
            if not any(lines) and _dimensions(grid, one) != _dimensions(grid, other):
                continue
            groups = [[name for name in names if pair in pairs_of(grid, (name,))] for pair in (one, other)]
            choice = " or ".join(f"variables={','.join(group)[:200]}" for group in groups)
            raise NotSubsettable(
                f"{groups[0][0][:60]} and {groups[1][0][:60]} lie on grids of their own over the same dimensions",
                hint=f"ask for the variables of one grid: {choice}",
            )


def in_time(grid: Grid, time: tuple[str | None, str | None]) -> Centres:
    """Return the times between two canonical instants, both included.

    Raises:
        NotSubsettable: There is no time axis, or its times cannot be read.
    """
    name = grid.axes.time
    if name is None:
        raise NotSubsettable("the data have no time axis", hint="ask without time")
    first = position(time[0]) if time[0] else NEVER + 1
    last = position(time[1]) if time[1] else -NEVER
    if grid.axes.lead:
        dimensions, places = grid.keep("valid", lambda: _valid_times(grid))
        inside = (places >= first) & (places <= last)
        names = (name, grid.axes.lead)
        return Centres("time", names, dimensions, inside if len(dimensions) > 1 else np.flatnonzero(inside))
    return _between(grid, "time", name, first, last)


def _valid_times(grid: Grid) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The positions of reference times and lead times added, over the dimensions of both."""
    name, lead = grid.axes.time, grid.axes.lead
    assert name
    assert lead
    try:
        clock = grid.clock(name)
        unit = duration(str(grid.dataset.variables[lead].attrs.get("units", ""))) or 1
        references, leads = grid.values(name), grid.values(lead) * (unit / clock.unit)
        added = references[(..., *(None,) * leads.ndim)] + leads
        return (*_names(grid, name), *_names(grid, lead)), clock.positions(added)
    except DataUnreadable as error:
        raise NotSubsettable(
            f"the time axis cannot be cut by: {error.message}",
            hint="ask without time, or cut it with indices=",
        ) from error


def in_depth(grid: Grid, depth: tuple[float, float]) -> Centres:
    """Return the levels between two depths in metres, positive down, both included.

    Raises:
        NotSubsettable: There is no vertical axis, or it is no length.
    """
    name = grid.axes.vertical
    if name is None:
        raise NotSubsettable("the data have no depth axis in metres", hint="ask without depth")
    if depth_factor(grid, name) is None:
        attributes = grid.dataset.variables[name].attrs
        units, standard = str(attributes.get("units", "")), str(attributes.get("standard_name", ""))
        sigma = (
            ", and is a part of the water's depth" if standard.startswith(("ocean_sigma", "ocean_s_")) else ""
        )
        raise NotSubsettable(
            f"the data have no depth axis in metres: {name[:60]} has units {units[:30]!r}{sigma}",
            hint="cut it by index, with indices=",
        )
    return _between(grid, "depth", name, *depth)


def _between(grid: Grid, label: str, name: str, first: float, last: float) -> Centres:
    known, dimensions = line(grid, label, name), _names(grid, name)
    inside: npt.NDArray[Any] = known.between(first, last)
    if len(dimensions) > 1:
        there = np.zeros(known.values.size, bool)
        there[inside] = True
        inside = there.reshape(grid.dataset.variables[name].shape)
    return Centres(label, (name,), dimensions, inside)


def depth_factor(grid: Grid, name: str) -> float | None:
    """Return `axes.depth_factor` of a vertical axis, kept."""
    return grid.keep(("factor", name), lambda: ax.depth_factor(grid.dataset, name))


def line(grid: Grid, label: str, name: str) -> Line:
    """Return a kept axis of a grid, flat: degrees, positions in time, or metres positive down.

    Raises:
        NotSubsettable: Its times cannot be read.
    """
    return grid.keep(("line", label, name), lambda: _line(grid, label, name))


def _line(grid: Grid, label: str, name: str) -> Line:
    if label == "time" and grid.axes.lead:
        raise NotSubsettable(
            f"the time of the data is {name} and {grid.axes.lead} added, which makes no line of times",
            hint="ask for a range of times, or cut it with indices=",
        )
    if label == "time":
        try:
            places = grid.places(name)
        except DataUnreadable as error:
            raise NotSubsettable(
                f"the time axis cannot be cut by: {error.message}",
                hint="ask without time, or cut it with indices=",
            ) from error
        return Line(places.ravel(), np.zeros(1, np.int64))
    factor = depth_factor(grid, name) or 1.0 if label == "depth" else 1.0
    variable, values = grid.dataset.variables[name], grid.values(name).ravel() * factor
    written = spelled(values) if label == "longitude" else np.abs(values)
    separate = grid.axes.geometry == "rectilinear" and variable.ndim < 2  # noqa: PLR2004
    return Line(values, slack_of(variable, values, written, separate=separate, factor=factor))


def near(grid: Grid, centres: Centres, first: float, last: float) -> str:
    """Return in words what centre is nearest to the middle of what was asked for; empty where that says nothing."""
    if centres.label not in {"longitude", "latitude", "depth"}:
        return ""
    values = placed = line(grid, centres.label, centres.names[0]).values
    middle = (first + last) / 2
    if centres.label == "longitude":
        middle = first + (last - first) % CIRCLE / 2
        placed = middle + (values - middle + CIRCLE / 2) % CIRCLE - CIRCLE / 2
    if not np.isfinite(placed).any():
        return ""
    nearest = float(values[np.nanargmin(np.abs(placed - middle))])
    step = _spacing(placed, middle)
    return f"; the nearest centre is {nearest:.7g}" + (
        f", and centres are {step:.4g} apart there" if step else ""
    )


def _spacing(values: _Floats, around: float) -> float | None:
    """The step between the two values around a number, or at the end that is nearest to it; None of a single one."""
    known = np.unique(values[np.isfinite(values)])
    if known.size < 2:  # noqa: PLR2004
        return None
    after = int(np.clip(np.searchsorted(known, around), 1, known.size - 1))
    return float(known[after] - known[after - 1])


def way_out(grid: Grid, centres: Centres, asked: tuple[Any, Any], *, snaps: bool) -> str:
    """Return what to write instead, where what was asked lies between two times or depths of the data; else nothing.

    Args:
        grid: The data.
        centres: Those of the time or the depth, of which none is inside.
        asked: First and last instant, or metres.
        snaps: Whether a single one was asked for, which `method=nearest` brings to the nearest.
    """
    name = centres.names[0]
    first, last = asked
    if first is None or last is None or len(centres.names) > 1:
        return ""
    values = line(grid, centres.label, name).values
    if centres.label == "time":
        clock, values = grid.clock(name), grid.values(name).ravel()
        try:
            first, last = clock.number(first), clock.number(last)
        except BadRequest:  # the 31st that a month is read to the end of
            return ""
    if not np.nanmin(values) < first <= last < np.nanmax(values):
        return ""
    at = int(np.nanargmin(np.abs(values - (first + last) / 2)))
    said = f"{values[at]:.7g}" if centres.label == "depth" else clock.instants(values[at : at + 1])[0]
    return f"the nearest is {centres.label}={said}" + ("; or add method=nearest" if snaps else "")


def outside(grid: Grid, said: str, hint: str = "") -> OutsideDomain:
    """Return the error that says where the data are, after a sentence of what was asked, and a way out if known."""
    found = grid.keep("cover", lambda: cover(grid.dataset))
    time, vertical = found["time"] or {}, found["vertical"]
    domain: dict[str, Any] = {
        "bbox": found["boxes"][0] if found["boxes"] else None,
        "time": [time["start"], time["end"]] if time else None,
        "depth": vertical,
        "calendar": time.get("calendar"),
    }
    where = [f"bbox {','.join(f'{n:.7g}' for n in domain['bbox'])}"] if domain["bbox"] else []
    where += [f"time {'/'.join(domain['time'])} ({domain['calendar']})"] if domain["time"] else []
    where += [f"depth {vertical[0]:.7g}/{vertical[1]:.7g} m"] if vertical else []
    data = "; ".join(where) or "no known place"
    return OutsideDomain(
        f"{said}; the data are in {data}",
        hint=hint or "ask within the data's domain",
        details={"domain": domain},
    )
