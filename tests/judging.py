"""Comparing an answer with what must come (`oracle.expected`): every number, axis, link and attribute."""

import itertools

import numpy as np
import xarray as xr

from oracle import (
    RADIUS,
    Part,
    along_steps,
    apart,
    dates,
    decoded,
    degrees,
    dimensions,
    expected,
    nearest_line,
    shares,
    stays,
    taken,
    trimmed,
)


def good(ocean, asked, part, variable):
    """As `stays`, with what its flags do not call good left out where that is asked."""
    raw, keep, dims = stays(variable, part)
    if asked.qc:
        flags, _, _ = stays(ocean.variables[variable.attrs["ancillary_variables"]], part)
        keep = keep & (flags == 1)
    return raw, keep, dims


def check(ocean, asked, got):
    """Compare an undecoded, loaded answer with what must come: every number, axis and link."""
    part = expected(ocean, asked) if not asked.line else _check_line(ocean, asked, got)
    if "lon" in part.indices and ocean.shape == "lines" and asked.method != "linear" and not asked.reduce:
        part.indices["lon"] = _same_meridians(ocean, part.indices["lon"], got["lon"].values)
    if ocean.shape == "mesh" and {"face"} & set(part.indices):
        _check_mesh(ocean, asked, part, got)
    names = asked.names or ocean.data
    if asked.reduce:
        _check_reduced(ocean, asked, part, got, names)
        return
    for name in names:
        assert name in got.variables, name
        _check_numbers(ocean, asked, part, got, name)
    if not asked.names:
        assert set(ocean.data) <= set(got.variables)
    else:
        assert not (set(ocean.data) - set(names)) & set(got.variables), sorted(got.variables)
    for name in {ocean.longitude, ocean.latitude, ocean.depth, ocean.time} - {None}:
        if name in got.variables and asked.method != "linear" and ocean.form != "days":
            raw, _, dims = stays(ocean.variables[name], Part(part.indices, [], part.cells, part.into))
            np.testing.assert_array_equal(got[name].transpose(*dims).values, raw, err_msg=name)


def _same_meridians(ocean, wanted, longitudes):
    """Where a meridian is there twice, either of its columns may come."""
    x = degrees(ocean, "lon")
    np.testing.assert_array_equal(longitudes % 360, x[wanted] % 360)
    return np.array([int(np.flatnonzero(x == value)[0]) for value in longitudes])


def _check_numbers(ocean, asked, part, got, name):
    source, found = ocean.variables[name], got[name].variable
    if asked.method == "linear":
        _check_linear(ocean, asked, part, found, name)
        return
    raw, keep, dims = good(ocean, asked, part, source)
    found = found.transpose(*dims)
    assert found.shape == raw.shape, (name, found.shape, raw.shape)
    np.testing.assert_array_equal(found.values[keep], raw[keep], err_msg=name)
    assert np.isnan(decoded(found)[~keep]).all(), name
    beside = {"coordinates", "mesh", "location"} if asked.points or asked.line or asked.method else set()
    if keep.all() and not asked.qc and asked.area is None:
        assert found.dtype.newbyteorder("=") == raw.dtype.newbyteorder("=")
        for key in set(source.attrs) - beside:
            np.testing.assert_array_equal(found.attrs[key], source.attrs[key], err_msg=key)


def _check_linear(ocean, asked, part, found, name):
    """Between the four centres around each point, by their shares of the cell."""
    source, x, y = ocean.variables[name], degrees(ocean, "lon"), degrees(ocean, "lat")
    plain = Part({d: at for d, at in part.indices.items() if d not in {"lat", "lon"}})
    numbers = taken(source.dims, decoded(source), plain.indices)
    if part.between:
        pair, counts = part.between
        axis = source.dims.index("time")
        steps = [
            numbers.take([at], axis=axis) * share for at, share in zip(pair, counts, strict=True) if share
        ]
        numbers = sum(steps)
    numbers = np.moveaxis(numbers, [source.dims.index("lat"), source.dims.index("lon")], [0, 1])
    want = []
    for longitude, latitude in asked.points:
        rows, up = shares(y, latitude)
        east = x[0] + (longitude - x[0]) % 360
        columns, across = shares(np.append(x, x[0] + 360) if np.ptp(x) >= 350 else x, east)
        corners = itertools.product(zip(rows, up, strict=True), zip(columns % x.size, across, strict=True))
        want.append(sum(numbers[r, c] * (p * q) for (r, p), (c, q) in corners if p * q))
    rest = [d for d in source.dims if d not in {"lat", "lon"}]
    order = [d for d in found.dims if d not in rest]
    values = found.transpose(*order, *rest).values.reshape(len(want), *np.shape(want[0]))
    np.testing.assert_allclose(values, np.array(want), rtol=1e-9, atol=1e-9)


def _check_mesh(ocean, asked, part, got):
    """The faces inside keep their corners; nodes that are no corner are gone."""
    kept = ocean.faces[part.indices["face"]]
    if asked.points:
        return
    part.indices["node"] = np.unique(kept)
    links = got["faces"].values - int(got["faces"].attrs["start_index"])
    for name in ("lon", "lat"):
        source = ocean.variables[name].values
        np.testing.assert_array_equal(got[name].values[links], source[kept])


def _check_line(ocean, asked, got):
    """The cells of a transect: each the nearest where the line first lies in it, once, none of any length missed."""
    x, y = degrees(ocean, "lon"), degrees(ocean, "lat")
    columns, rows = np.meshgrid(x, y) if ocean.shape == "lines" else (x, y)
    lon, lat = (got[name].values.astype(float) for name in ("lon", "lat"))
    far = got["distance_along"].values
    assert np.all(np.diff(far) > 0)
    ends, corners = _lengths(asked.line)
    places = np.array([_cell(columns, rows, *_at(ends, corners, each)) for each in far]).reshape(-1, 2)
    tries = [_at(ends, corners, each) for each in np.linspace(0, ends[-1], 600)]
    for n, (row, column) in enumerate(places):
        own = apart(*_at(ends, corners, far[n]), lon[n], lat[n])
        best = apart(*_at(ends, corners, far[n]), columns[row, column], rows[row, column])
        assert own <= best + 1 or ocean.shape == "lines", (n, own, best)
        np.testing.assert_allclose(got["distance"].values[n], own, rtol=1e-6, atol=1e-2)
    found = np.array([_place(columns, rows, a, b) for a, b in zip(lon, lat, strict=True)]).reshape(-1, 2)
    assert len({tuple(cell) for cell in found}) == len(found)
    _check_missed(ocean, found, tries, columns, rows, ends[-1] / 599)
    dims = ocean.variables["lon"].dims if ocean.shape != "lines" else ("lat", "lon")
    part = Part(cells={d: found[:, axis] for axis, d in enumerate(dims)}, into="distance_along")
    along_steps(ocean, asked, part)
    trimmed(ocean, part)
    for axis, step in asked.stride.items():
        for d in dimensions(ocean, axis):
            part.indices[d] = part.indices.get(d, np.arange(ocean.sizes[d]))[::step]
    return part


def _check_missed(ocean, found, tries, columns, rows, step):
    """Cells that the line stays in for more than a cell's half are there."""
    first = (
        [int(np.flatnonzero((columns[0] - x) % 360 == 0)[0]) for x in columns[0]]
        if ocean.shape == "lines"
        else None
    )
    known = {(int(row), first[column] if first else int(column)) for row, column in found}
    half = 111_200 / 2 * max(abs(columns[0, 1] - columns[0, 0]) % 180, abs(rows[1, 0] - rows[0, 0]), 0.5)
    stay: dict[tuple[int, int], int] = {}
    for longitude, latitude in tries:
        if ocean.shape == "lines":
            row, column, inside = nearest_line(columns[0], rows[:, 0], longitude, latitude)
            column = first[column]
        else:
            row, column = _cell(columns, rows, longitude, latitude)
            inside = apart(longitude, latitude, columns[row, column], rows[row, column]) < 20_000
        if inside:
            stay[int(row), int(column)] = stay.get((int(row), int(column)), 0) + 1
    assert {cell for cell, times in stay.items() if times * step > half + 2 * step} <= known


def _cell(columns, rows, longitude, latitude):
    return np.unravel_index(np.nanargmin(apart(longitude, latitude, columns, rows)), columns.shape)


def _place(columns, rows, longitude, latitude):
    return np.argwhere((columns == longitude) & (rows == latitude))[0]


def _lengths(line):
    corners = np.radians(np.array(line, float))
    x, y = corners.T
    unit = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], 1)
    lengths = [apart(*a, *b) for a, b in itertools.pairwise(line)]
    return np.concatenate([[0.0], np.cumsum(lengths)]), unit


def _at(ends, corners, far):
    """The point of a line at a distance from its beginning."""
    part = min(int(np.searchsorted(ends, far, side="right")) - 1, len(ends) - 2)
    angle = (ends[part + 1] - ends[part]) / RADIUS
    share = (far - ends[part]) / RADIUS
    a, b = corners[part], corners[part + 1]
    x, y, z = (a * np.sin(angle - share) + b * np.sin(share)) / np.sin(angle) if angle else a
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


FUNCTIONS = {
    "mean": np.nanmean, "min": np.nanmin, "max": np.nanmax, "std": np.nanstd, "median": np.nanmedian,
    "p90": lambda values, axis: np.nanpercentile(values, 90, axis=axis),
    "count": lambda values, axis: np.isfinite(values).sum(axis=axis).astype(float),
}  # fmt: skip


def _check_reduced(ocean, asked, part, got, names):
    function, _, inside = asked.reduce.rstrip(")").partition("(")
    axes, _, period = inside.partition(":")
    for name in names:
        source = ocean.variables[name]
        raw, keep, dims = good(ocean, asked, part, source)
        values = np.where(keep, decoded(xr.Variable(dims, raw, source.attrs)), np.nan)
        over = tuple(dims.index(d) for axis in axes.split(",") for d in dimensions(ocean, axis) if d in dims)
        with np.errstate(all="ignore"):
            want = _by_period(ocean, part, function, values, over, period) if period else None
            want = FUNCTIONS[function](values, over) if want is None else want
        found = np.asarray(got[name].values, float)
        assert found.shape == want.shape, (name, found.shape, want.shape)
        scale = np.nanmax(np.abs(values), initial=1.0) * 1e-12
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=scale, err_msg=f"{name} {asked.reduce}")


def _by_period(ocean, part, function, values, over, period):
    when = dates(ocean)
    when = [when[at] for at in part.indices.get("time", np.arange(len(when)))]
    cyclic = function in {"climatology", "anomaly"}
    keys = [
        {
            "year": (y,), "month": (m,) if cyclic else (y, m), "day": (y, m, d), "dayofyear": (m, d),
            "season": (m % 12 // 3,) if cyclic else (y + (m == 12), m % 12 // 3),
        }[period]
        for y, m, d, *_ in when
    ]  # fmt: skip
    groups = sorted(set(keys))
    (axis,) = over
    chosen = FUNCTIONS.get(function, np.nanmean)
    at = [[n for n, key in enumerate(keys) if key == group] for group in groups]
    found = np.stack([chosen(values.take(each, axis=axis), axis) for each in at], axis)
    if function != "anomaly":
        return found
    return values - found.take([groups.index(key) for key in keys], axis=axis)
