"""Daily sea surface temperature as satellites give it, made by formula: one year, the globe, two ways of chunking."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import netCDF4
import numpy as np
import numpy.typing as npt

START = np.datetime64("2019-01-01T12:00")
_EPOCH = np.datetime64("1981-01-01T00:00")
_FILL = -32768
_BLOCK = 30  # days made at a time, so that a block ends where a chunk ends
_NOISE = 0.08  # °C: what is left after smoothing; it decides how well the file compresses
_SEED = 20190223
_DEEP = (100.0, 5.0, 120.0, 23.0)  # west, south, east, north: no land is made here


class Shape(NamedTuple):
    """How many days, rows and columns there are, and how they are chunked in the file `cube`."""

    days: int = 365
    rows: int = 720
    columns: int = 1440
    cube: tuple[int, int, int] = (30, 90, 90)


YEAR = Shape()
"""What the benchmarks are about."""


class Sst(NamedTuple):
    """The two files of the same numbers, by how they are chunked: `map` a day, `cube` some days of a square."""

    shape: Shape
    folder: Path
    files: Mapping[str, Path]
    latitudes: npt.NDArray[np.float32]
    longitudes: npt.NDArray[np.float32]


def home() -> Path:
    """Return where the files of the benchmarks are kept: BIENMO_BENCHMARKS, else a folder of the temporary ones."""
    given = os.environ.get("BIENMO_BENCHMARKS")
    return Path(given) if given else Path(tempfile.gettempdir()) / "bienmo-benchmarks"


def made(folder: Path, shape: Shape = YEAR) -> Sst:
    """Return the files under a folder, making them where they are not there yet (a minute, half a gigabyte)."""
    place = folder / ("sst-" + "x".join(map(str, (*shape[:3], *shape.cube))))
    place.mkdir(parents=True, exist_ok=True)
    files = {layout: place / f"sst_{layout}.nc" for layout in ("map", "cube")}
    latitudes, longitudes = (
        ((np.arange(size) + 0.5) * (2 * span / size) - span).astype(np.float32)
        for span, size in ((90, shape.rows), (180, shape.columns))
    )
    found = Sst(shape, place, MappingProxyType(files), latitudes, longitudes)
    if not all(path.is_file() for path in files.values()):
        _write(found)
    return found


def _write(sst: Sst) -> None:
    chunks = {"map": (1, sst.shape.rows, sst.shape.columns), "cube": sst.shape.cube}
    parts = {layout: path.with_suffix(".part") for layout, path in sst.files.items()}
    targets = {layout: netCDF4.Dataset(part, "w") for layout, part in parts.items()}
    for layout, target in targets.items():
        _describe(target, sst, chunks[layout])
    for first, values in _blocks(sst):
        for target in targets.values():
            target["sst"][first : first + len(values)] = values
    for layout, target in targets.items():
        target.close()
        parts[layout].replace(sst.files[layout])


def _describe(target: netCDF4.Dataset, sst: Sst, chunks: tuple[int, int, int]) -> None:
    days = (START - _EPOCH) / np.timedelta64(1, "D") + np.arange(sst.shape.days, dtype=np.float64)
    target.setncatts(
        {
            "Conventions": "CF-1.8, ACDD-1.3",
            "title": "Daily sea surface temperature, made by formula",
            "summary": "A smooth year, eddies, noise and land; not an observation.",
            "license": "Public domain",
            "institution": "the benchmarks of this catalog",
        }
    )
    axes = (
        ("time", days, {"units": "days since 1981-01-01", "calendar": "standard", "axis": "T"}),
        ("lat", sst.latitudes, {"units": "degrees_north", "axis": "Y"}),
        ("lon", sst.longitudes, {"units": "degrees_east", "axis": "X"}),
    )
    standard = {"lat": "latitude", "lon": "longitude"}
    for name, values, attributes in axes:
        target.createDimension(name, len(values))
        axis = target.createVariable(name, values.dtype, (name,))
        axis.setncatts({"standard_name": standard.get(name, name), **attributes})
        axis[:] = values
    variable = target.createVariable(
        "sst",
        "i2",
        ("time", "lat", "lon"),
        zlib=True,
        complevel=4,
        shuffle=True,
        chunksizes=tuple(map(min, chunks, sst.shape[:3])),
        fill_value=_FILL,
    )
    variable.set_auto_maskandscale(False)
    variable.setncatts(
        {
            "standard_name": "sea_surface_temperature",
            "long_name": "sea surface temperature",
            "units": "degree_C",
            "scale_factor": np.float32(0.01),
        }
    )


def _blocks(sst: Sst) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    """Yield the packed values (day, row, column) of some days, with the number of the first."""
    dice = np.random.default_rng(_SEED)
    y, x = np.radians(sst.latitudes)[:, None], np.radians(sst.longitudes)[None, :]
    mean = 31 * np.cos(y) ** 1.5 - 2 + 1.5 * np.sin(2 * x + y)
    land = _land(sst)
    eddies = [(dice.integers(5, 40), dice.integers(5, 40), dice.uniform(-9, 9)) for _ in range(6)]
    for first in range(0, sst.shape.days, _BLOCK):
        values = np.empty((min(_BLOCK, sst.shape.days - first), sst.shape.rows, sst.shape.columns), np.int16)
        for at, day in enumerate(values):
            year = 2 * np.pi * (first + at) / 365.25
            field = mean - 5 * np.sin(y) * np.cos(year)
            for east, north, speed in eddies:
                field = field + 0.4 * np.sin(east * x + speed * year) * np.cos(north * y - speed * year)
            noise = dice.standard_normal(field.shape, np.float32)
            day[...] = np.where(land, _FILL, np.rint(100 * (field + _NOISE * noise)))
        yield first, values


def _land(sst: Sst) -> npt.NDArray[np.bool_]:
    """The cells (row, column) that are land: about a third, in pieces of a continent's size."""
    y, x = np.radians(sst.latitudes)[:, None], np.radians(sst.longitudes)[None, :]
    height = np.sin(3 * x + 1) * np.cos(2 * y) + 0.6 * np.sin(5 * x - 3 * y) + 0.3 * np.cos(17 * x + 11 * y)
    west, south, east, north = _DEEP
    columns = (sst.longitudes > west) & (sst.longitudes < east)
    sea = ((sst.latitudes > south) & (sst.latitudes < north))[:, None] & columns
    corner = (sst.latitudes[:, None] > 21) & (sst.longitudes < 107)  # a coast in the Gulf of Tonkin
    return (height > np.quantile(height, 0.67)) & ~sea | (sea & corner)
