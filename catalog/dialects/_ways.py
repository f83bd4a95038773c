"""Links as strangers write them, told apart: which is a service that can be cut, which a file, which a page.

Portals describe the same link by a protocol word (ISO 19115 `OGC:WMS`, `OPENDAP`), a format, a media type, or nothing
but its address; what is said last decides only where nothing was said before.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from catalog.dialects import _words as clean

FORMATS: Mapping[str, str] = {
    "application/x-netcdf": "netcdf", "application/netcdf": "netcdf", "nc": "netcdf", "nc4": "netcdf",
    "netcdf-4": "netcdf", "netcdf4": "netcdf", "netcdf-3": "netcdf", "application/x-netcdf4": "netcdf",
    "application/x-hdf5": "hdf5", "application/x-hdf": "hdf5", "h5": "hdf5", "hdf": "hdf5",
    "application/vnd+zarr": "zarr", "application/vnd.zarr": "zarr", "application/x-zarr": "zarr",
    "text/csv": "csv", "application/zip": "zip", "application/json": "json", "application/geo+json": "geojson",
    "application/x-parquet": "parquet", "application/vnd.apache.parquet": "parquet",
    "shapefile": "shp", "esri-shapefile": "shp", "application/pdf": "pdf", "text/html": "html", "htm": "html",
    "ogc-wms": "wms", "ogc-wfs": "wfs", "dods": "opendap", "dap": "opendap", "excel": "xlsx",
    "text/xml": "xml", "application/xml": "xml", "geotiff": "tiff", "tif": "tiff", "text/plain": "txt",
    "erddap-griddap": "erddap", "erddap-tabledap": "erddap", "application/x-grib": "grib", "grib2": "grib",
}  # fmt: skip
"""Other words for formats, in small letters, blanks as hyphens."""

VECTOR = frozenset({"geojson", "shp", "kml", "kmz", "gpkg", "gml", "wfs", "geopackage", "geodatabase"})
"""Formats of vector features."""

_SERVICES = (
    (re.compile(r"opendap|\bdods\b|\bdap[24]?\b", re.IGNORECASE), "opendap"),
    (re.compile(r"\bwms\b|web map service", re.IGNORECASE), "wms"),
)
_DAP_ADDRESS = re.compile(r"/(?:dodsC|opendap|dods|dap)/", re.IGNORECASE)
_DAP_ENDING = re.compile(r"\.(?:html|dds|das|dods|ascii|asc|info|dmr(?:\.xml|\.html)?|ddx)$", re.IGNORECASE)
_ERDDAP = re.compile(
    r"(https?://\S+/erddap/(griddap|tabledap)/[A-Za-z0-9_-]+)(?:\.html|\.graph|\.das|\.dds)?"
)
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")
_FORM = re.compile(r"[a-z0-9.+_-]{1,40}")
_NO_FORMS = {"null", "none", "other", "data", "www", "link", "unknown"}


def way(  # noqa: PLR0913 - what is said of a link, by name
    link: Any,
    *,
    said: Any = None,
    form: Any = None,
    media_type: Any = None,
    title: Any = None,
    size: Any = None,
) -> Mapping[str, Any]:
    """Return a link as `distributions` of `_record` takes it.

    A page of an ERDDAP dataset, or one of the forms of an OPeNDAP address, is the way to the dataset. A public object
    of S3 is one on the web.

    Args:
        link: The address, somewhere in a text.
        said: What the source calls the service: `OGC:WMS`, `OPENDAP`, `THREDDS OPeNDAP`.
        form: What the source calls the format.
        media_type: An IANA media type.
        title: Words of the link.
        size: Bytes.
    """
    address = clean.address(_on_the_web(clean.words(link, clean.MAX_ADDRESS)))
    rest = {
        "media_type": clean.words(media_type, 200),
        "title": clean.words(title),
        "size": clean.whole(size),
    }
    served = _ERDDAP.fullmatch((address or "").partition("?")[0])
    if served:
        return {"protocol": served[2], "address": served[1], "format": "erddap", **rest}
    format_ = format_of(form, media_type, address)
    service = _service(clean.name(said) or "", format_, address or "")
    if service == "opendap":
        plain = _DAP_ENDING.sub("", (address or "").partition("?")[0])
        return {"protocol": "opendap", "address": plain or None, "format": "opendap", **rest}
    return {"protocol": service or "http", "address": address, "format": service or format_, **rest}


def format_of(form: Any, media_type: Any, address: str | None) -> str:
    """Return the format in small letters, by the source's word, else the media type, else the address's ending."""
    return _form(form) or _form(media_type) or _form(_ending(address or "")) or "unknown"


def _form(said: Any) -> str | None:
    """The format that a word is for; None where it is none."""
    word = re.sub(r"\s+", "-", (clean.name(said) or "").partition(";")[0].strip().lower()).lstrip(".")
    found = FORMATS.get(word, word)
    return found if _FORM.fullmatch(found) and found not in _NO_FORMS else None


def _ending(address: str) -> str:
    """What stands after the last dot of an address's file."""
    file = urlsplit(address).path.rstrip("/").rpartition("/")[2]
    return unquote(file).rpartition(".")[2] if "." in file else ""


def _service(said: str, format_: str, address: str) -> str | None:
    if format_ in {"opendap", "wms"}:
        return format_
    for words, service in _SERVICES:
        if words.search(said):
            return service
    is_open = format_ in {"unknown", "html", "netcdf"}
    return "opendap" if is_open and _DAP_ADDRESS.search(urlsplit(address).path) else None


def _on_the_web(link: str | None) -> str | None:
    found = _S3.fullmatch(link or "")
    return f"https://{found[1]}.s3.amazonaws.com/{quote(found[2], safe='/%')}" if found else link
