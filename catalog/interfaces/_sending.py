"""An answer of bytes as an HTTP response: whole where it is small, else piece by piece as it is made."""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from catalog.answers import HEAD_BYTES, Answer, up_to
from catalog.errors import CatalogError

_LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 0.5
"""How long a client may let an answer wait, in all, before the rest is made without it."""

_LEAST_SECONDS = 0.05
"""How long is waited at least until it is looked again at how long the client has let it wait."""

_MOST_SAID = 4_000

INERT = {"x-content-type-options": "nosniff"}


def send(answer: Answer) -> Response:
    """Return the response of an answer, with its notes in the header `bienmo-notes` (percent-encoded sentences).

    Args:
        answer: The answer; it is closed when it is sent, or cannot be. A client that takes nothing of it is left by the
            server (`catalog.server`).
    """
    headers = {**INERT, "content-disposition": f'attachment; filename="{answer.filename}"'}
    if answer.notes:
        headers["bienmo-notes"] = _said(answer.notes)
    if answer.age is not None:
        headers["age"] = str(int(answer.age))  # RFC 9111 §5.1
    if answer.whole:
        return Response(b"".join(answer.pieces()), media_type=answer.media_type, headers=headers)
    if answer.size is not None:
        headers["content-length"] = str(answer.size)
    return _Sent(answer, headers)


def _said(notes: tuple[str, ...]) -> str:
    """Notes as a header: ASCII, in a line, and no longer than a client takes; the data say them whole."""
    said = "; ".join(quote(note, safe=" ,.:()/'=?+-") for note in notes)
    return said if len(said) <= _MOST_SAID else said[:_MOST_SAID].rpartition(" ")[0] + " ..."


class _Sent(StreamingResponse):
    """Sends an answer's pieces.

    What a client that takes its time has not got yet is set aside: others need what makes it.
    """

    def __init__(self, answer: Answer, headers: dict[str, str]) -> None:
        super().__init__(self._pieces(), media_type=answer.media_type, headers=headers)
        self._answer = answer
        self._made: Iterator[bytes] = answer.pieces()
        self._making = anyio.Lock()
        self._waited, self._since = 0.0, math.inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; whatever happens, it is closed, also where its client has left before the first byte."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()
            del self._made  # with what it was about to give

    async def stream_response(self, send: Send) -> None:
        """Send the head and every piece; data that fail meanwhile leave the answer without its end, as clients see."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._lose_patience, beside.cancel_scope)

            async def timed(message: Message) -> None:
                self._since = anyio.current_time()
                await send(message)
                self._waited += anyio.current_time() - self._since
                self._since = math.inf

            with _telling():
                await super().stream_response(timed)
            beside.cancel_scope.cancel()

    async def _lose_patience(self, sending: anyio.CancelScope) -> None:
        """Set the rest aside, unless the client takes what it is sent before."""
        left = PATIENCE_SECONDS
        while left > 0:
            await anyio.sleep(max(left, _LEAST_SECONDS))
            left = PATIENCE_SECONDS - self._waited - max(0.0, anyio.current_time() - self._since)
        async with self._making:
            done = False
            with _telling():
                await anyio.to_thread.run_sync(self._answer.set_aside, abandon_on_cancel=True)
                done = True
            if not done:
                sending.cancel()

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The pieces, some at a time made in a thread, so that nobody waits for them."""
        while True:
            async with self._making:
                some = await anyio.to_thread.run_sync(self._some)
            if not some:
                return
            while some:
                yield some.pop(0)

    def _some(self) -> list[bytes]:
        """The next pieces, a few megabytes: to go to a thread and back takes as long as to send a third of one."""
        return list(up_to(self._made, HEAD_BYTES))


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Log, in a line, what breaks an answer off."""
    try:
        yield
    except CatalogError as error:
        _LOG.warning("an answer was broken off: %s", error.message)
