"""What bytes are by their beginning, and whether they can be what is promised."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.data.sniffs import contradiction, kind, promise
from catalog.record import Distribution

PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title>"


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (PAGE, "html"), (b"\xef\xbb\xbf  <HTML lang='vi'>", "html"),
        (b"<?xml version='1.0'?>\n<!-- a --><html>", "html"),
        (b"<?xml version='1.0'?><gmd:MD_Metadata>", "xml"), (b"<headers/>", "xml"),
        (b'{"a": 1}', "json"), (b"[1]", "json"),
        (b"%PDF-1.7", "pdf"), (b"PK\x03\x04rest", "zip"), (b"CDF\x02\x00", "netcdf"),
        (gzip.compress(b"a", mtime=0), "gzip"),  # with a time the test would have another name in each process
        (b"\x89HDF\r\n\x1a\n", "hdf"), (b"II*\x00", "tiff"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GRIB\x00", "grib"),
        (b"time,temp\n2020,1\n", "text"), ("thời gian,nhiệt độ".encode(), "text"), (b"\xff\xfea\x00,\x00", "text"),
        (b"\x00\x01\x02", "binary"), (b"", "text"),
    ],
)  # fmt: skip
def test_a_beginning_tells_what_it_is(start, wanted):
    assert kind(start) == wanted


@given(st.binary(max_size=200))
def test_any_bytes_are_of_some_kind(start):
    assert kind(start)


def way(protocol="http", address="https://example.org/a", **known):
    return Distribution(protocol=protocol, address=address, **known)


@pytest.mark.parametrize(
    ("one", "start", "is_wrong"),
    [
        (way(format="csv"), PAGE, True),
        (way(format="csv"), b"a,b\n1,2\n", False),
        (way(format="csv"), b"a,b\n", True),
        (way(format="csv"), b"a,b\n" * 1_024, False),
        (way("other", format="wfs"), b"<wfs:WFS_Capabilities>", False),
        (way("other", format="wfs"), PAGE, True),
        (way(format="csv"), b"PK\x03\x04", False),
        (way(format="csv"), b"%PDF-1.7", True),
        (way(media_type="application/pdf"), PAGE, True),
        (way(media_type="application/pdf; q=1"), b"%PDF-1.7", False),
        (way(address="https://example.org/a.PDF?x=1"), PAGE, True),
        (way(address="https://example.org/a.zip"), b"PK\x03\x04", False),
        (way(format="shp"), PAGE, True),
        (way(format="geojson"), b"a,b\n", True),
        (way(format="netcdf"), b"{}", True),
        (way(format="html"), PAGE, False),
        (way(media_type="text/html"), PAGE, False),
        (way("other"), PAGE, False),
        (way("other", format="odd"), b"\x00", False),
        (way("other"), b"", True),
        (way("wms"), b"<WMS_Capabilities version='1.3.0'>", False),
        (way("wms"), b"<?xml version='1.0'?><ServiceExceptionReport>", True),
        (way("wms"), PAGE, True),
        (way("wms"), b"\x89PNG\r\n\x1a\n", True),
    ],
)
def test_what_contradicts_its_promise_is_told(one, start, is_wrong):
    said = contradiction(one, start)
    assert bool(said) == is_wrong, said


def test_the_format_is_believed_before_the_media_type_and_the_ending():
    assert (
        promise(way(format="csv", media_type="application/pdf", address="https://example.org/a.zip")) == "csv"
    )
    assert promise(way(media_type="application/pdf", address="https://example.org/a.zip")) == "pdf"
    assert promise(way(media_type="application/x-netcdf")) == "x-netcdf"
    assert promise(way(address="https://example.org/download")) is None
