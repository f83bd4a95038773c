"""The HTTP server: uvicorn, which also takes addresses with letters as people type them.

`curl 'http://…/api/datasets?q=nhiệt+độ'` sends the UTF-8 bytes as they are. RFC 3986 wants them percent-encoded, and
both parsers that uvicorn can use refuse them; here they are encoded before the parser sees them, as browsers do. And a
client that takes nothing is left.
"""

import asyncio
import functools
import re
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from catalog.settings import Settings

_REQUEST_LINE = re.compile(rb"[A-Z]{3,10} [^ \r\n]+ HTTP/1\.[01]\r\n")
_LOOKS = 4
"""How often a client's progress is looked at while it may take nothing."""

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


@functools.cache
def _write_seconds() -> float:
    return Settings().write_seconds


class LetteredProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request line may have bytes beyond ASCII in its address.

    A client that takes none of what waits for it for `BIENMO_WRITE_SECONDS` is left at once: to close a connection
    politely would wait for that client to take the rest, for ever.
    """

    def __init__(self, *known: Any, **more: Any) -> None:
        super().__init__(*known, **more)
        self._patience = _write_seconds()
        self._left, self._since = 0, 0.0
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at what waits for the client."""
        super().connection_made(transport)
        self._check()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client took what waited."""
        self._left = 0
        super().resume_writing()

    def _check(self) -> None:
        """Leave a client that has taken nothing for too long; nothing is added meanwhile to what waits for it."""
        left, now = self.transport.get_write_buffer_size(), self.loop.time()
        waits = left > 0 and (self.flow.write_paused or self.transport.is_closing())
        if not waits or left != self._left:
            self._left, self._since = left if waits else 0, now
        elif now - self._since >= self._patience:
            self.transport.abort()
            return
        self._look = self.loop.call_later(self._patience / _LOOKS, self._check)

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


def run(application: str, *, host: str, port: int, workers: int) -> None:
    """Serve an application factory, named as `module:function`, until the process is told to end."""
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
        loop="catalog.accepting:SharingLoop" if workers > 1 else "auto",
    )
