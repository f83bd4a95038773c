"""The HTTP server: uvicorn, which also takes addresses with letters as people type them.

`curl 'http://…/api/datasets?q=nhiệt+độ'` sends the UTF-8 bytes as they are. RFC 3986 wants them percent-encoded, and
both parsers that uvicorn can use refuse them; here they are encoded before the parser sees them, as browsers do.
"""

import contextlib
import ctypes
import re

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REQUEST_LINE = re.compile(rb"[A-Z]{3,10} [^ \r\n]+ HTTP/1\.[01]\r\n")
_M_ARENA_MAX, _ARENAS = -8, 2
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


class LetteredProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request line may have bytes beyond ASCII in its address."""

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client; those that begin a request get its address encoded."""
        between = self.cycle is None or self.cycle.response_complete
        super().data_received(data if data.isascii() or not between else encoded(data))


def encoded(data: bytes) -> bytes:
    """Return the bytes with those beyond ASCII percent-encoded in the request line that they begin with, if any."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        return data
    return _BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line[0]) + data[line.end() :]


def frugal() -> None:
    """Have the C library keep few arenas (mallopt(3), M_ARENA_MAX): each thread's own would keep what it once used."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)


def run(application: str, *, host: str, port: int, workers: int) -> None:
    """Serve an application factory, named as `module:function`, until the process is told to end."""
    frugal()
    uvicorn.run(
        application,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=LetteredProtocol,
        log_level="warning",
        timeout_graceful_shutdown=5,
        server_header=False,
    )
