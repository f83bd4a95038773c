"""Addresses with letters beyond ASCII, as curl sends them."""

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from catalog.server import encoded

HEAD = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


def test_the_request_line_is_encoded_and_the_rest_left():
    data = "GET /api?q=nhiệt HTTP/1.1\r\nX: é\r\n\r\n".encode()
    assert encoded(data) == b"GET /api?q=nhi%E1%BB%87t HTTP/1.1\r\n" + "X: é\r\n\r\n".encode()


@given(st.binary(min_size=1).filter(lambda path: not set(path) & set(b" \r\n%")))
def test_no_byte_is_lost(path):
    data = encoded(HEAD % path)
    assert data.splitlines()[0].decode("ascii")
    assert unquote_to_bytes(data.split(b" ")[1]) == path


@given(st.binary())
def test_what_is_no_request_is_left_alone(data):
    assert encoded(b"\x80" + data) == b"\x80" + data
