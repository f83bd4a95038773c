"""Small seas of every shape that data come in, written by netCDF4 and Zarr from numbers that the tests keep.

Positions are multiples of a quarter of a degree, so that "inside" is exact; what was written is the truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

EAST = {"units": "degrees_east", "standard_name": "longitude"}
NORTH = {"units": "degrees_north", "standard_name": "latitude"}
DOWN = {"units": "m", "positive": "down", "standard_name": "depth"}
QARTOD = {
    "flag_values": np.array([1, 2, 3, 4, 9], "i1"),
    "flag_meanings": "pass not_evaluated suspect fail missing",
    "standard_name": "status_flag",
}
GRID = ("time", "lat", "lon")
DAYS = 40


@dataclass(frozen=True)
class Ocean:
    """What was written to a file, a folder, or a folder of files.

    `shape` is how positions lie: lines (rows and columns), plane (two dimensions), cloud (one), mesh, or ragged.
    `faces` are the corners of a mesh's faces, from 0.
    """

    variables: Mapping[str, xr.Variable]
    shape: str = "lines"
    form: str = "NETCDF4"
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    unlimited: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    longitude: str = "lon"
    latitude: str = "lat"
    depth: str | None = None
    time: str | None = "time"
    faces: object = None
    counts: object = None

    @property
    def sizes(self):
        return {d: n for v in self.variables.values() for d, n in v.sizes.items()}

    @property
    def data(self):
        """The names of the variables that are data."""
        return tuple(
            n for n, v in self.variables.items() if "units" in v.attrs and "standard_name" not in v.attrs
        )

    def write(self, path):
        """Write it below a path; the address of what was written."""
        if self.form == "days":
            path.mkdir()
            for day in range(DAYS):
                part = {
                    n: v.isel(time=slice(day, day + 1)) if "time" in v.dims else v
                    for n, v in self.variables.items()
                }
                _netcdf(path / f"day{day:02}.nc", part, self)
            return path
        if self.form.startswith("zarr"):
            return _zarr(path.with_suffix(".zarr"), self)
        return _netcdf(path.with_suffix(".nc"), self.variables, self)


def _netcdf(path, variables, ocean):
    form = "NETCDF4" if ocean.form == "days" else ocean.form
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.setncatts({"title": "made", "Conventions": "CF-1.8", **ocean.attributes})
        for name, size in {d: n for v in variables.values() for d, n in v.sizes.items()}.items():
            file.createDimension(name, None if name in ocean.unlimited else size)
        for name, variable in variables.items():
            attributes = dict(variable.attrs)
            fill = attributes.pop("_FillValue", None)
            dims, dtype, values = variable.dims, variable.dtype, variable.values
            if dtype.kind == "S":
                file.createDimension(f"{name}_length", dtype.itemsize)
                dims, values = (*dims, f"{name}_length"), netCDF4.stringtochar(values)
                dtype = np.dtype("S1")
            order = {"endian": "big"} if dtype.byteorder == ">" and form == "NETCDF4" else {}
            made = file.createVariable(
                name, dtype, dims, fill_value=fill, **order, **ocean.options.get(name, {})
            )
            made.set_auto_maskandscale(False)
            made.setncatts(attributes)
            made[...] = values
    return path


def _zarr(path, ocean):
    dataset = xr.Dataset(
        {n: v.copy() for n, v in ocean.variables.items()}, attrs={"title": "made", **ocean.attributes}
    )
    for name in ocean.variables:
        dataset[name].encoding = dict(ocean.options.get(name, {}))
    dataset.drop_indexes(list(dataset.indexes)).to_zarr(
        path, zarr_format=int(ocean.form[-1]), consolidated=False
    )
    return path


def _v(dims, values, **attributes):
    return xr.Variable(dims, np.asarray(values), attributes)


def _axis(name, values, attributes):
    return xr.Variable((name,) if np.ndim(values) else (), np.asarray(values), attributes)


def _numbers(seed, shape, dtype="f4", fill=None, low=-300, high=3000):
    """Random numbers; where there is a fill value, a tenth of them and a corner of land are missing."""
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high, shape)
    found = (values / 16).astype(dtype) if np.dtype(dtype).kind == "f" else values.astype(dtype)
    if fill is not None:
        gone = rng.random(shape) < 0.1
        gone[..., : shape[-1] // 4] = True
        found[gone] = fill
    return found


def _lines(x, y, time=None, calendar="standard", depth=None, units="days since 2000-01-28", **variables):
    """Axes, then data variables: name → (dtype, attributes), over the axes that there are."""
    made = {}
    if time is not None:
        made["time"] = _axis("time", time, {"units": units, "calendar": calendar, "standard_name": "time"})
    if depth is not None:
        made["depth"] = _axis("depth", depth, DOWN)
    made |= {"lat": _axis("lat", y, NORTH), "lon": _axis("lon", x, EAST)}
    dims = tuple(d for d in ("time", "depth", "lat", "lon") if d in made and made[d].ndim)
    shape = tuple(made[d].size for d in dims)
    for seed, (name, (dtype, attributes)) in enumerate(variables.items()):
        fill = attributes.get("_FillValue", attributes.get("missing_value"))
        made[name] = _v(dims, _numbers(seed, shape, dtype, fill), **attributes)
    return made


X, Y = np.arange(100, 122, 0.5), np.arange(-5, 25, 1.0)
F4 = ("f4", {"units": "degC", "_FillValue": np.float32(-9999)})
PACKING = {"scale_factor": np.float32(0.01), "add_offset": np.float32(20), "_FillValue": np.int16(-32768)}
WIDE = {"scale_factor": 0.000765, "add_offset": 1.5, "missing_value": np.int32(-(2**31))}
SMALL = {"zlib": True, "shuffle": True, "chunksizes": (1, 7, 11)}


def ascending():
    return Ocean(_lines(X.astype("f4"), Y.astype("f4"), np.arange(6), sst=F4, ice=("f4", {"units": "1"})))


def descending():
    return Ocean(_lines(X, Y[::-1], np.arange(6.0), sst=F4), options={"sst": SMALL})


def circle():
    return Ocean(
        _lines(np.arange(0, 360, 5.0), np.arange(-85, 90, 5.0), np.arange(3), sst=F4), options={"sst": SMALL}
    )


def wrapped():
    """Longitudes 20 to 420: the meridians of 20 to 60 are there twice, with the same numbers."""
    variables = _lines(np.arange(20, 425, 5.0), np.arange(60, -65, -5.0), np.arange(3), sst=F4)
    values = variables["sst"].values
    values[..., -9:] = values[..., :9]
    return Ocean(variables)


def packed_short():
    sst = ("i2", {"units": "degC", **PACKING})
    return Ocean(
        _lines(X, Y, np.arange(6), sst=sst, count=("i2", {"units": "1"})),
        options={"sst": {**SMALL, "fletcher32": True}, "count": SMALL},
    )


def packed_int():
    return Ocean(_lines(X, Y, np.arange(6), sst=("i4", {"units": "degC", **WIDE})), options={"sst": SMALL})


def fills():
    """A fill value and another missing value, and NaN."""
    both = {"units": "degC", "_FillValue": np.float32(1e20), "missing_value": np.float32(-999)}
    variables = _lines(X, Y, np.arange(6), sst=("f4", both))
    values = variables["sst"].values
    values[:, ::5, ::7], values[:, ::9, ::4] = -999, np.nan
    return Ocean(variables, options={"sst": SMALL})


def big_endian():
    packed = ("i2", {"units": "degC", **PACKING})
    variables = _lines(X.astype(">f8"), Y.astype(">f4"), np.arange(6).astype(">i4"), sst=packed, ice=F4)
    big = {n: v.copy(data=v.values.astype(v.dtype.newbyteorder(">"))) for n, v in variables.items()}
    return Ocean(big, options={"sst": SMALL})


def deep():
    variables = _lines(X[::4], Y[::3], np.arange(4), depth=np.array([0.5, 10, 25, 50, 100, 250]), temp=F4)
    flags = np.random.default_rng(5).choice(np.array([1, 2, 3, 4, 9], "i1"), variables["temp"].shape)
    variables["temp"].attrs["ancillary_variables"] = "temp_qc"
    variables["temp_qc"] = xr.Variable(variables["temp"].dims, flags, {"role": "flag", **QARTOD})
    return Ocean(variables, depth="depth", options={"temp": {"zlib": True, "chunksizes": (2, 3, 4, 5)}})


def heights():
    """The vertical axis counts up, from the deep."""
    variables = _lines(
        X[::4], Y[::3], np.arange(4), depth=np.array([-250.0, -100, -50, -25, -10, -0.5]), temp=F4
    )
    variables["depth"].attrs = {"units": "m", "positive": "up", "standard_name": "height"}
    return Ocean(variables, depth="depth")


def curvilinear():
    rows, columns = np.mgrid[0:14, 0:18]
    x, y = 105 + columns * 0.5 + rows * 0.25, 10 + rows * 0.5 - columns * 0.25
    x[0, :3], y[0, :3] = -999, -999
    missing = {"_FillValue": np.float64(-999)}
    dims = ("eta", "xi")
    data = {"units": "m", "coordinates": "lon lat", "_FillValue": np.float32(-9999)}
    return Ocean({
        "time": _axis("time", np.arange(5.0), {"units": "hours since 2010-06-30", "standard_name": "time"}),
        "lon": xr.Variable(dims, x, {**EAST, **missing}), "lat": xr.Variable(dims, y, {**NORTH, **missing}),
        "zeta": _v(("time", *dims), _numbers(1, (5, 14, 18), "f4", -9999), **data),
        "h": _v(dims, _numbers(2, (14, 18), "f8"), units="m", coordinates="lon lat"),
        "mask": _v(dims, _numbers(3, (14, 18), "i1", low=0, high=2), units="1", coordinates="lon lat"),
    }, shape="plane", options={"zeta": {"zlib": True, "chunksizes": (2, 5, 6)}})  # fmt: skip


def mesh():
    """Squares of nodes, each cut in two triangles, as UGRID writes them."""
    rows, columns = np.mgrid[0:9, 0:11]
    x, y = (110 + columns + rows * 0.25).ravel(), (5 + rows - columns * 0.25).ravel()
    at = (rows * 11 + columns)[:-1, :-1].ravel()
    faces = np.concatenate([np.stack([at, at + 1, at + 11], 1), np.stack([at + 1, at + 12, at + 11], 1)])
    place = {"mesh": "mesh", "location": "face", "coordinates": "face_lon face_lat"}
    node = {"mesh": "mesh", "location": "node", "coordinates": "lon lat"}
    topology = {
        "cf_role": "mesh_topology", "topology_dimension": np.int32(2), "node_coordinates": "lon lat",
        "face_node_connectivity": "faces", "face_coordinates": "face_lon face_lat",
    }  # fmt: skip
    n, m = x.size, len(faces)
    return Ocean({
        "time": _axis("time", np.arange(4), {"units": "days since 2015-01-01", "standard_name": "time"}),
        "mesh": _v((), np.int32(0), **topology),
        "faces": _v(("face", "three"), (faces + 1).astype("i4"), start_index=np.int32(1),
                    cf_role="face_node_connectivity"),
        "lon": xr.Variable("node", x, EAST), "lat": xr.Variable("node", y, NORTH),
        "face_lon": xr.Variable("face", np.round(x[faces].mean(1) * 4) / 4, EAST),
        "face_lat": xr.Variable("face", np.round(y[faces].mean(1) * 4) / 4, NORTH),
        "depth": _v("node", _numbers(1, (n,), "f4", low=1), units="m", **node),
        "u": _v(("time", "face"), _numbers(2, (4, m), "f4"), units="m s-1", **place),
    }, shape="mesh", longitude="face_lon", latitude="face_lat", faces=faces)  # fmt: skip


def _cloud(size, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(400, 480, size) / 4, rng.integers(-20, 100, size) / 4


def stations():
    x, y = _cloud(12, 1)
    names = np.array([f"ST{n:02}" for n in range(12)], "S6")
    return Ocean({
        "name": _v("station", names, cf_role="timeseries_id"),
        "lon": xr.Variable("station", x, EAST), "lat": xr.Variable("station", y, NORTH),
        "time": _axis("time", np.arange(0, 48.0, 0.5), {"units": "hours since 2020-02-28", "standard_name": "time"}),
        "level": _v(("station", "time"), _numbers(2, (12, 96), "f4", -9999), units="m", coordinates="lon lat name",
                    _FillValue=np.float32(-9999)),
    }, shape="cloud", attributes={"featureType": "timeSeries"})  # fmt: skip


def profiles():
    """An incomplete array of profiles: positions and times of each, and depths of its own."""
    x, y = _cloud(15, 2)
    depth = np.cumsum(np.random.default_rng(3).integers(4, 80, (15, 9)) / 4, axis=1)
    return Ocean({
        "cast": _v("profile", np.arange(15, dtype="i4"), cf_role="profile_id"),
        "lon": xr.Variable("profile", x, EAST), "lat": xr.Variable("profile", y, NORTH),
        "time": xr.Variable("profile", np.sort(np.random.default_rng(4).integers(0, 400, 15)) / 8.0,
                            {"units": "days since 1999-12-31", "standard_name": "time"}),
        "depth": xr.Variable(("profile", "z"), depth, DOWN),
        "temp": _v(("profile", "z"), _numbers(2, (15, 9), "f4", -9999), units="degC", _FillValue=np.float32(-9999),
                   coordinates="time lat lon depth"),
    }, shape="cloud", depth="depth", attributes={"featureType": "profile"})  # fmt: skip


def trajectory():
    n = 80
    x, y = 100 + np.arange(n) / 4, np.round(np.sin(np.arange(n) / 9) * 40) / 4
    at = {"units": "degC", "coordinates": "time lon lat", "_FillValue": np.float32(-9999)}
    return Ocean({
        "time": xr.Variable("obs", np.arange(n) * 900,
                            {"units": "seconds since 2021-03-04 05:00", "standard_name": "time"}),
        "lon": xr.Variable("obs", x, EAST), "lat": xr.Variable("obs", y, NORTH),
        "temp": _v("obs", _numbers(2, (n,), "f4", -9999), **at),
    }, shape="cloud", attributes={"featureType": "trajectory"}, unlimited=("obs",))  # fmt: skip


def ragged():
    """Profiles one after another; the second has no sample."""
    x, y = _cloud(7, 5)
    counts = np.array([5, 0, 8, 1, 4, 9, 3], "i4")
    n = int(counts.sum())
    depth = np.concatenate([np.cumsum(np.full(k, 5.0)) for k in counts])
    return Ocean({
        "profile": _v("profile", np.arange(7, dtype="i4"), cf_role="profile_id"),
        "lon": xr.Variable("profile", x, EAST), "lat": xr.Variable("profile", y, NORTH),
        "time": xr.Variable("profile", np.arange(7.0), {"units": "days since 2001-01-01", "standard_name": "time"}),
        "rows": _v("profile", counts, sample_dimension="obs"),
        "depth": xr.Variable("obs", depth, DOWN),
        "temp": _v("obs", _numbers(2, (n,), "f4"), units="degC", coordinates="time lat lon depth"),
    }, shape="ragged", depth="depth", attributes={"featureType": "profile"}, counts=counts)  # fmt: skip


def gaps():
    hours = np.array([0, 1, 2, 3, 30, 31, 55, 56, 57, 58, 59, 700.5, 701.5, 9000])
    return Ocean(_lines(X[::3], Y[::3], hours, units="hours since 1981-12-30 12:00:00", sst=F4),
                 options={"sst": {"zlib": True, "chunksizes": (5, 4, 4)}})  # fmt: skip


def days_360():
    return Ocean(
        _lines(X[::3], Y[::3], np.arange(20, 120, 5.0), "360_day", units="days since 2001-01-01", sst=F4)
    )


def no_leap():
    return Ocean(_lines(X[::3], Y[::3], np.arange(40, 75), "noleap", units="days since 2004-01-01", sst=F4))


def single():
    """The time is one number, and no dimension."""
    return Ocean(_lines(X, Y, 7.0, sst=F4))


def two_years():
    """Enough months for periods."""
    return Ocean(_lines(X[::8], Y[::6], np.arange(0, 730, 5.0), sst=("i2", {"units": "degC", **PACKING})))


def days():
    return Ocean(
        _lines(X[::2], Y[::2], np.arange(DAYS, dtype="i4"), sst=("i2", {"units": "degC", **PACKING})),
        form="days",
    )


def classic():
    return Ocean(_lines(X, Y, np.arange(6.0), sst=("i2", {"units": "degC", **PACKING}), ice=F4),
                 form="NETCDF3_CLASSIC", unlimited=("time",))  # fmt: skip


def offset_64():
    return Ocean(_lines(X, Y[::-1], np.arange(6.0), sst=F4), form="NETCDF3_64BIT_OFFSET")


def zarr_2():
    packing = {"units": "degC", "scale_factor": 0.25, "add_offset": 20.0, "_FillValue": np.int16(-32768)}
    return Ocean(_lines(X, Y, np.arange(6), sst=("i2", packing)), form="zarr2",
                 options={"sst": {"chunks": (2, 7, 11)}})  # fmt: skip


def zarr_3():
    return Ocean(
        _lines(X, Y[::-1], np.arange(6), sst=F4), form="zarr3", options={"sst": {"chunks": (2, 7, 11)}}
    )


OCEANS: Mapping[str, Callable[[], Ocean]] = {
    made.__name__: made
    for made in (
        ascending, descending, circle, wrapped, packed_short, packed_int, fills, big_endian, deep, heights, curvilinear,
        mesh, stations, profiles, trajectory, ragged, gaps, days_360, no_leap, single, two_years, days, classic,
        offset_64, zarr_2, zarr_3,
    )
}  # fmt: skip


def written(name: str, folder: Path) -> tuple[Ocean, Path]:
    """Make a sea of this name and write it into a folder."""
    ocean = OCEANS[name]()
    return ocean, ocean.write(folder / name)
