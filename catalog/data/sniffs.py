"""What bytes are by how they begin, and whether that can be what was promised."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from catalog.record import Distribution

ENOUGH_BYTES = 4_096
"""So many bytes of a beginning tell what it is."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
    (b"\x89HDF\r\n\x1a\n", "hdf"),
    (b"\x0e\x03\x13\x01", "hdf"),
    (b"GRIB", "grib"),
    (b"BUFR", "bufr"),
    (b"PAR1", "parquet"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "compound"),  # older office documents
)
_BYTE_ORDER = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_PAGE = re.compile(rb"<(!doctype\s+html|html|head|body|meta\s|title>|script|div)\b", re.IGNORECASE)
_PROLOGUE = re.compile(rb"(\s|<\?xml[^>]*>|<!--.*?-->)*", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_PACKED = frozenset({"zip", "gzip", "bzip2", "xz", "7z", "rar"})
_TEXT = frozenset({"text", "json", "xml"}) | _PACKED
_ACCEPTED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "pdf": frozenset({"pdf"}) | _PACKED,
        **dict.fromkeys(
            ("netcdf", "netcdf3", "netcdf4", "nc", "nc4", "x-netcdf", "hdf", "hdf4", "hdf5", "h5", "x-hdf", "x-hdf5"),
            frozenset({"netcdf", "hdf"}) | _PACKED,
        ),
        **dict.fromkeys(("grib", "grib1", "grib2", "grb", "grb2", "bufr"), frozenset({"grib", "bufr"}) | _PACKED),
        **dict.fromkeys(("parquet", "geoparquet", "vnd.apache.parquet"), frozenset({"parquet"}) | _PACKED),
        **dict.fromkeys(("csv", "tsv", "txt", "text", "plain", "tab-separated-values", "asc", "dat"), _TEXT),
        **dict.fromkeys(("json", "geojson", "geo+json", "jsonl", "covjson"), frozenset({"json"}) | _PACKED),
        **dict.fromkeys(("xml", "gml", "kml", "kmz", "rdf", "rdf+xml"), frozenset({"xml"}) | _PACKED),
        **dict.fromkeys(("zip", "x-zip-compressed", "shp", "shapefile", "gz", "gzip", "tgz", "7z", "rar"), _PACKED),
        **dict.fromkeys(("xlsx", "docx", "ods", "odt", "pptx"), frozenset({"zip", "compound"})),
        **dict.fromkeys(("xls", "doc", "msword", "vnd.ms-excel", "excel"), frozenset({"compound", "zip", "text"})),
        **dict.fromkeys(("tif", "tiff", "geotiff", "cog"), frozenset({"tiff"}) | _PACKED),
        "png": frozenset({"png"}) | _PACKED,
        **dict.fromkeys(("jpg", "jpeg"), frozenset({"jpeg"}) | _PACKED),
        "gif": frozenset({"gif"}) | _PACKED,
    }
)  # fmt: skip
"""What a promise may begin with, by the word of a format, the second half of a media type, or a file's ending."""

_ROWS = frozenset({"csv", "tsv", "tab-separated-values"})
_PAGES = frozenset({"html", "htm", "xhtml", "xhtml+xml", "website", "web page", "link"})
_SERVICES = frozenset({"wms", "wfs", "wcs", "wmts", "wps", "sos", "csw"})
_LINES = 2


def kind(start: bytes) -> str:
    """Return what bytes are by their beginning: html, xml, json, text, pdf, zip, netcdf, …, else binary."""
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if start.startswith(_BYTE_ORDER[1:]):
        return "text"
    plain = start.removeprefix(_BYTE_ORDER[0]).lstrip()
    begun = _PROLOGUE.match(plain)
    if _PAGE.match(plain, begun.end() if begun else 0):
        return "html"
    if plain.startswith(b"<"):
        return "xml"
    if _CONTROL.search(start):
        return "binary"
    return "json" if plain[:1] in {b"{", b"["} else "text"


def contradiction(way: Distribution, start: bytes) -> str:
    """Return why bytes cannot be what a distribution promises, in a sentence; "" where they may be.

    It promises by its format, else by its media type, else by the ending of its address; what promises none of the
    forms that are known may be anything.

    Args:
        way: The distribution.
        start: How its bytes begin, at most `ENOUGH_BYTES` of them.
    """
    if not start:
        return "it is empty"
    found = kind(start)
    if is_service(way):
        if found == "xml" and (b"apabilities" in start or b"xception" not in start):
            return ""
        return f"the service answers with {_called(found)} where its capabilities are asked for"
    word = promise(way)
    if word is not None and found not in _ACCEPTED[word]:
        return f"it begins as {_called(found)}, and {word} is promised"
    is_whole = found == "text" and len(start) < ENOUGH_BYTES
    return "it has no row" if word in _ROWS and is_whole and len(start.splitlines()) < _LINES else ""


def is_service(way: Distribution) -> bool:
    """Tell whether a distribution is a service of the OGC that tells its capabilities (OWS Common 06-121r9 §7)."""
    return way.protocol == "wms" or (way.protocol in {"http", "other"} and way.format in _SERVICES)


def promise(way: Distribution) -> str | None:
    """Return the word by which a distribution promises a form that is known by its beginning; None where none does."""
    media = (way.media_type or "").partition(";")[0].strip().lower().rpartition("/")[2]
    ending = urlsplit(way.address).path.rpartition("/")[2].lower().rpartition(".")[2]
    for word in (way.format.lower(), media, media.removeprefix("x-"), ending):
        if word in _PAGES:
            return None
        if word in _ACCEPTED:
            return word
    return None


def _called(found: str) -> str:
    return {"html": "a web page (HTML)", "binary": "unknown bytes", "compound": "an office document"}.get(
        found, found if found == "text" else found.upper()
    )
