"""Cloud-optimized GeoTIFF (OGC 21-026) of one field on a regular grid; times, depths and other dimensions are bands.

The numbers are packed as in the source, with its scale, offset and missing value as GDAL has them; overviews pick
cells and make no new numbers. North is up. Longitudes are those of the source, brought to begin in −180…180 and to go
on beyond 180 where a box crosses the antimeridian; a grid around the whole globe begins at −180. Each band says its
instant and depth; metadata say licence, citation, source, request and the attributes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import xarray as xr

from catalog.data.masking import fill_of
from catalog.data.plain import plain_attributes, words
from catalog.errors import NotSubsettable, TooLarge
from catalog.formats._credits import described, said
from catalog.formats._fields import Field, field
from catalog.formats._places import unrolled

SUFFIX = "tif"
MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
STREAMS = False
MOST_BANDS = 1_000
MOST_BYTES = 256_000_000
"""What one file may hold, unpacked by GDAL in memory."""

_PIECE = 1 << 18
_TILE_BYTES = 1 << 24
_TOLERANCE = 0.02  # of a cell: how far a centre may lie from where the grid puts it
_TURN, _HALF = 360.0, 180.0
_TYPES = frozenset(
    {"uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64", "float32", "float64"}
)


@dataclass(frozen=True)
class _Frame:
    """Where the raster lies: west and north edge and steps, degrees; the source's columns and rows in its order."""

    west: float
    north: float
    width: float
    height: float
    columns: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the file; it is made in memory.

    Raises:
        NotSubsettable: There is no single field on a regular grid of longitude and latitude; the hint is a way out.
        TooLarge: It has more than 1,000 bands or 256 MB.
    """
    import rasterio  # noqa: PLC0415 - GDAL takes long to load, and must not be in the server
    from rasterio.shutil import copy  # noqa: PLC0415

    shown = field(dataset, "GeoTIFF", MOST_BANDS)
    frame = _frame(shown)
    dtype, fill = _kind(shown.variable)
    _check(shown, dtype)
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": dtype, "count": len(shown.layers), "nodata": fill, "crs": "EPSG:4326",
        "width": frame.columns.size, "height": frame.rows.size, "bigtiff": "if_safer", "interleave": "band",
        "transform": rasterio.Affine(frame.width, 0, frame.west, 0, -frame.height, frame.north),
    }  # fmt: skip
    options = {
        "compress": "DEFLATE",
        "predictor": "YES",
        "overview_resampling": "NEAREST",
        "bigtiff": "IF_SAFER",
    }
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.MemoryFile() as made, rasterio.MemoryFile() as cog:
        with made.open(**profile) as raster:
            _paint(raster, shown, frame, dtype)
            _describe(raster, dataset, shown)
        with made.open() as raster:
            copy(raster, cog.name, driver="COG", **options)
        cog.seek(0)
        while piece := cog.read(_PIECE):
            yield piece


def _frame(shown: Field) -> _Frame:
    """The raster's place; refuses what is no regular grid."""
    x, y = unrolled(shown.longitudes), shown.latitudes
    width, height = _step(x, "longitudes"), _step(y, "latitudes")
    columns = np.arange(x.size) if width > 0 else np.arange(x.size)[::-1]
    rows = np.arange(y.size) if height < 0 else np.arange(y.size)[::-1]
    west = float(x[columns[0]]) - abs(width) / 2
    turns = np.floor((west + abs(width) / 2 + _HALF) / _TURN)
    west -= turns * _TURN
    around = abs(x.size * abs(width) - _TURN) < _TOLERANCE * abs(width)
    if around and west + _TURN > _HALF + abs(width):  # the whole globe: begin at −180
        first = round((_HALF - west) / abs(width))
        columns = np.roll(columns, -first)
        west += first * abs(width) - _TURN
    return _Frame(west, float(y[rows[0]]) + abs(height) / 2, abs(width), abs(height), columns, rows)


def _step(centres: npt.NDArray[np.float64], name: str) -> float:
    """The step of a regular axis. Raises NotSubsettable."""
    if centres.size < 2:  # noqa: PLR2004
        raise NotSubsettable(
            f"GeoTIFF needs at least two {name}, and there is {centres.size}",
            hint="ask for a wider box, or for CSV",
        )
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    strays = np.abs(centres - (centres[0] + step * np.arange(centres.size)))
    if not step or not np.isfinite(centres).all() or strays.max() > _TOLERANCE * abs(step):
        raise NotSubsettable(
            f"GeoTIFF holds regular grids, and these {name} are not evenly spaced",
            hint="ask for NetCDF, or for GeoJSON or CSV with the position of each cell",
        )
    return step


def _kind(variable: xr.Variable) -> tuple[str, Any]:
    """The raster's type and missing value, those of the packed source."""
    dtype, fill = variable.dtype, fill_of(variable)
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if words(variable.attrs.get("_Unsigned", "")).lower() == "true" and dtype.kind == "i":
        dtype = np.dtype(f"u{dtype.itemsize}")
        fill = (
            None
            if fill is None
            else np.asarray(fill).astype(variable.dtype.newbyteorder("=")).view(dtype)[()]
        )
    if dtype.name not in _TYPES:
        raise NotSubsettable(f"GeoTIFF does not hold numbers of type {dtype}", hint="ask for NetCDF")
    if fill is None:
        return dtype.name, float("nan") if dtype.kind == "f" else None
    return dtype.name, float(fill) if dtype.kind == "f" else int(fill)


def _check(shown: Field, dtype: str) -> None:
    bands = int(np.prod(shown.variable.shape[:-2], dtype=object))
    size = shown.variable.size * np.dtype(dtype).itemsize
    if bands > MOST_BANDS or size > MOST_BYTES:
        raise TooLarge(
            f"a GeoTIFF holds {MOST_BANDS} bands and {MOST_BYTES} bytes, and this would be {bands} and {size}",
            hint="ask for fewer times or levels, a smaller box or a stride; or for NetCDF",
            details={"limit": MOST_BYTES, "asked": size},
        )


def _block(profile: Mapping[str, Any]) -> int:
    """The side of a tile, which has all bands: that of the grid at most, and a few megabytes."""
    side: int = min(512, -(-max(profile["width"], profile["height"]) // 16) * 16)
    while side > 16 and side * side * profile["count"] * np.dtype(profile["dtype"]).itemsize > _TILE_BYTES:  # noqa: PLR2004
        side = max(16, side // 32 * 16)
    return side


def _paint(raster: Any, shown: Field, frame: _Frame, dtype: str) -> None:
    """Write the packed numbers, a band at a time; every value that says missing becomes the one that GDAL knows."""
    others = list(map(str, shown.variable.dims[:-2]))
    missing = shown.variable.attrs.get("missing_value")
    for band, layer in enumerate(shown.layers, 1):
        raw = np.asarray(shown.variable.isel({d: layer.place[d] for d in others}).values)
        if missing is not None and raster.nodata is not None:
            raw = np.where(np.isin(raw, missing), np.asarray(fill_of(shown.variable)).astype(raw.dtype), raw)
        native = raw.astype(raw.dtype.newbyteorder("="), copy=False)
        unsigned = (
            native.view(dtype) if native.dtype.kind == "i" and dtype.startswith("u") else native.astype(dtype)
        )
        raster.write(unsigned[np.ix_(frame.rows, frame.columns)], band)


def _describe(raster: Any, dataset: xr.Dataset, shown: Field) -> None:
    attributes = shown.variable.attrs
    about = said(dataset)
    told = {key.upper(): text for key, text in about.items()}
    tags = {"TIFFTAG_SOFTWARE": "Bien Mo", "VARIABLE": shown.name}
    if "title" in about:
        tags["TIFFTAG_IMAGEDESCRIPTION"] = about["title"]
    if "license" in about:
        tags["TIFFTAG_COPYRIGHT"] = about["license"]
    everything = orjson.dumps(plain_attributes(dataset.attrs)).decode()
    raster.update_tags(**tags, **told, ATTRIBUTES=everything)
    own = {words(name): words(value) for name, value in described(attributes).items()}
    scale, offset = (
        float(np.asarray(attributes.get(n, d)).ravel()[0])
        for n, d in (("scale_factor", 1), ("add_offset", 0))
    )
    raster.scales, raster.offsets = [scale] * len(shown.layers), [offset] * len(shown.layers)
    raster.units = [words(attributes.get("units", ""))] * len(shown.layers)
    for band, layer in enumerate(shown.layers, 1):
        raster.set_band_description(band, str(layer) or shown.name)
        raster.update_tags(band, **{**own, **layer.told})
