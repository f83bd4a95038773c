"""Random requests of a sea, as hypothesis draws them: what a client may want of it, and a little beyond its edges."""

import numpy as np
import shapely
from hypothesis import strategies as st

import judging
import oracle

PLACES = {
    "lines": ("", "box", "box", "box", "point", "points", "linear", "line", "area", "slabs"),
    "plane": ("", "box", "box", "point", "points", "line", "area", "slabs"),
    "cloud": ("", "box", "box", "point", "points", "area", "slabs"),
    "mesh": ("", "box", "box", "point", "points", "area"),
    "ragged": ("", "box", "box"),
}
AXES = ("time", "latitude", "longitude", "longitude,latitude", "time,latitude")


@st.composite
def asked(draw, ocean):
    """A request that a sea of this shape answers, or refuses as outside."""
    place = draw(st.sampled_from(PLACES[ocean.shape]))
    found = dict(DRAWS[place](draw, ocean)) if place else {}
    names = draw(st.lists(st.sampled_from(ocean.data), max_size=2, unique=True))
    if ocean.shape == "mesh" and place in {"point", "points"}:
        names = ["u"]
    slabs = set(found.get("slabs", ()))
    times = ocean.variables[ocean.time]
    if not set(times.dims) & slabs and draw(st.booleans()) and (times.ndim or place != "linear"):
        found["time"] = _times(draw, ocean)
        single = found["time"][0] == found["time"][-1] and "T" in found["time"][0]
        if (
            single
            and times.ndim
            and ocean.shape in {"lines", "plane"}
            and place != "linear"
            and draw(st.booleans())
        ):
            found["method"] = "nearest"
    depths = set(ocean.variables[ocean.depth].dims) if ocean.depth else set()
    if depths and not depths & slabs and not (len(depths) > 1 and place == "points") and draw(st.booleans()):
        found["depth"] = _depths(draw, ocean)
        if place == "linear" and found["depth"][0] == found["depth"][1]:
            found["depth"] = (0.0, found["depth"][1])
    found["stride"] = _strides(draw, ocean, place, slabs)
    if place == "linear" and "time" in found:
        found["stride"].pop("time", None)
    if ocean.shape in {"plane", "mesh"} and found["stride"]:
        names = [name for name in names if name in {"zeta", "u"}]
    found["names"] = tuple(names)
    if "temp_qc" in ocean.variables and place != "linear" and draw(st.booleans()):
        found["qc"] = "good"
    if (
        ocean.shape == "lines"
        and place in {"", "box", "slabs", "area"}
        and "method" not in found
        and draw(st.booleans())
    ):
        found["reduce"] = _reduction(draw, ocean)
    return oracle.Asked(**found)


def _region(ocean):
    x, y = oracle.degrees(ocean, ocean.longitude), oracle.degrees(ocean, ocean.latitude)
    return (
        int(np.nanmin(x)) - 6,
        int(np.nanmax(x)) + 6,
        max(-90, int(np.nanmin(y)) - 6),
        min(90, int(np.nanmax(y)) + 6),
    )


def _box(draw, ocean):
    """Edges on quarters of a degree, in any convention of longitudes, across the antimeridian or not."""
    west, east, south, north = _region(ocean)
    x = draw(st.integers(4 * west, 4 * east)) / 4
    width = draw(st.integers(0, 48) | st.integers(0, 4 * min(360, east - west)) | st.just(1440)) / 4
    y = draw(st.integers(4 * south, 4 * north)) / 4
    top = min(90, y + draw(st.integers(0, 48) | st.integers(0, 720)) / 4)
    x = (x + 180) % 360 - 180 if width == 360 or draw(st.booleans()) else x % 360
    right = x + width
    if width < 360 and right > 180 and draw(st.booleans()):
        right -= 360
    return {"box": (x, y, right, top)}


def _point(draw, ocean):
    """Near the centre of a cell, or far from all of them."""
    if draw(st.integers(0, 9)) == 0:
        return -60.3, draw(st.sampled_from([-74.7, 66.6]))
    x, y = (oracle.degrees(ocean, name) for name in (ocean.longitude, ocean.latitude))
    if ocean.shape == "lines":
        longitude, latitude = x[draw(st.integers(0, x.size - 1))], y[draw(st.integers(0, y.size - 1))]
    else:
        at = np.flatnonzero(np.isfinite(x.ravel()))
        n = at[draw(st.integers(0, at.size - 1))]
        longitude, latitude = x.ravel()[n], y.ravel()[n]
    off = st.integers(-40, 40).map(lambda n: n / 1000)
    longitude, latitude = float(longitude) + draw(off), float(latitude) + draw(off)
    return round(longitude if draw(st.booleans()) else (longitude + 180) % 360 - 180, 6), round(latitude, 6)


def _points(draw, ocean):
    count = draw(st.integers(2, 4))
    return {"points": tuple(_point(draw, ocean) for _ in range(count))}


def _linear(draw, ocean):
    x, y = oracle.degrees(ocean, "lon"), oracle.degrees(ocean, "lat")
    share = st.integers(0, 64).map(lambda n: n / 64)
    points = [
        (float(x.min() + draw(share) * np.ptp(x)), float(y.min() + draw(share) * np.ptp(y)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return {"points": tuple(points), "method": "linear"}


def _line(draw, ocean):
    west, east, south, north = _region(ocean)
    at = st.tuples(st.integers(west, min(east, west + 80)), st.integers(max(south, -60), min(north, 60)))
    corners = draw(st.lists(at, min_size=2, max_size=3, unique=True))
    return {"line": tuple((x + 0.125, y + 0.0625) for x, y in corners)}


def _area(draw, ocean):
    west, east, south, north = _region(ocean)
    at = st.tuples(st.integers(west, min(east, west + 170)), st.integers(south, north))
    corners = draw(st.lists(at, min_size=3, max_size=6, unique=True))
    hull = shapely.MultiPoint(corners).convex_hull
    shape = shapely.Polygon(corners)
    if not (shape.is_valid and shape.area):
        shape = (
            hull
            if hull.geom_type == "Polygon"
            else shapely.box(*corners[0], corners[0][0] + 3, min(90, corners[0][1] + 3))
        )
    if not shape.area:
        shape = shapely.box(corners[0][0], 0, corners[0][0] + 3, 3)
    return {"area": shape}


def _slabs(draw, ocean):
    found = {}
    for d in draw(st.lists(st.sampled_from(sorted(_free(ocean))), min_size=1, max_size=3, unique=True)):
        first = draw(st.integers(0, ocean.sizes[d] - 1))
        found[d] = (first, draw(st.integers(1, 3)), draw(st.integers(first, ocean.sizes[d] - 1)))
    return {"slabs": found}


def _free(ocean):
    """The dimensions along which indices break nothing."""
    dims = {d for name in ocean.data for d in ocean.variables[name].dims}
    return dims - {"face", "node", "three", "obs"} if ocean.shape != "cloud" else dims


DRAWS = {
    "box": _box, "point": lambda draw, ocean: {"points": (_point(draw, ocean),)}, "points": _points, "linear": _linear,
    "line": _line, "area": _area, "slabs": _slabs,
}  # fmt: skip


def _times(draw, ocean):
    """An instant, a day, or two of them, on a time of the data or between two."""
    known = sorted(set(oracle.dates(ocean)))
    ends = []
    for date in sorted(draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))):
        day = "-".join(f"{n:0{2 + 2 * (at == 0)}}" for at, n in enumerate(date[:3]))
        clock = f"{date[3]:02}:{date[4]:02}:{int(date[5]):02}"
        ends.append(draw(st.sampled_from([day, f"{day}T{clock}Z", f"{day}T{date[3]:02}:59:59Z"])))
    if len(ends) == 2 and oracle.said(ends[0], end=False) > oracle.said(ends[1], end=True):
        ends = ends[:1]
    if draw(st.integers(0, 9)) == 0:
        return ("1850-01-01", "1850-12-30")
    return tuple(ends)


def _depths(draw, ocean):
    levels = np.abs(ocean.variables[ocean.depth].values).ravel().tolist()
    ends = draw(st.lists(st.sampled_from([*levels, 0.0, 7.25, 60.5, 5_000.0]), min_size=1, max_size=2))
    return min(ends), max(ends)


def _strides(draw, ocean, place, slabs):
    axes = {"time": ocean.variables[ocean.time].dims}
    if ocean.shape in {"lines", "plane"} and place in {"", "box", "area", "slabs"}:
        axes |= {"latitude": ("lat", "eta"), "longitude": ("lon", "xi")}
    if ocean.shape == "lines" and ocean.depth:
        axes["depth"] = ("depth",)
    if ocean.shape in {"ragged", "cloud"}:
        axes = {"time": ("time",)} if ocean.variables[ocean.time].dims == ("time",) else {}
    free = [axis for axis, dims in axes.items() if dims and not set(dims) & slabs]
    if ocean.shape == "plane":
        free = free if "time" in {d for n in ocean.data for d in ocean.variables[n].dims} else []
    if not free or draw(st.booleans()):
        return {}
    chosen = draw(st.lists(st.sampled_from(free), max_size=2, unique=True))
    return {axis: draw(st.integers(1, 4)) for axis in chosen}


def _reduction(draw, ocean):
    axes = [a for a in AXES if "time" not in a or ocean.variables[ocean.time].ndim]
    if ocean.sizes.get("time", 0) > 100 and draw(st.booleans()):
        function = draw(st.sampled_from(["mean", "max", "count", "climatology", "anomaly"]))
        cyclic = function in {"climatology", "anomaly"}
        period = draw(st.sampled_from(["month", "season", "dayofyear" if cyclic else "year"]))
        return f"{function}(time:{period})"
    return f"{draw(st.sampled_from(sorted(judging.FUNCTIONS)))}({draw(st.sampled_from(axes))})"
