"""An answer of bytes as an HTTP response: whole where it is small, else piece by piece as it is made."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from catalog.answers import Answer

PATIENCE_SECONDS = 0.5
"""How long a client may let an answer wait, in all, before the rest is made without it."""

INERT = {"x-content-type-options": "nosniff"}


def send(answer: Answer, write_seconds: float) -> Response:
    """Return the response of an answer, with its notes in the header `bienmo-notes` (percent-encoded sentences).

    Args:
        answer: The answer; it is closed when it is sent, or cannot be.
        write_seconds: How long a client may take nothing before the connection is given up.
    """
    headers = {**INERT, "content-disposition": f'attachment; filename="{answer.filename}"'}
    if answer.notes:
        headers["bienmo-notes"] = "; ".join(quote(note, safe=" ,.:()/'%=?+-") for note in answer.notes)
    if answer.whole:
        return Response(b"".join(answer.pieces()), media_type=answer.media_type, headers=headers)
    if answer.size is not None:
        headers["content-length"] = str(answer.size)
    return _Sent(answer, write_seconds, headers)


class _Sent(StreamingResponse):
    """Sends an answer's pieces; a client that takes none of them for long is left."""

    def __init__(self, answer: Answer, write_seconds: float, headers: dict[str, str]) -> None:
        super().__init__(_pieces(answer), media_type=answer.media_type, headers=headers)
        self._write_seconds = write_seconds

    async def stream_response(self, send: Send) -> None:
        """Send the head and every piece in its time."""

        async def in_time(message: object) -> None:
            with anyio.fail_after(self._write_seconds):
                await send(message)  # type: ignore[arg-type]

        await super().stream_response(in_time)


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    """The pieces, each made in a thread, so that nobody waits for them.

    What a client that takes its time has not got yet is set aside: others need what makes it.
    """
    made: Iterator[bytes] = answer.pieces()
    waited = 0.0
    try:
        while (piece := await anyio.to_thread.run_sync(next, made, None)) is not None:
            began = anyio.current_time()
            yield piece
            waited += anyio.current_time() - began
            if waited > PATIENCE_SECONDS:
                await anyio.to_thread.run_sync(answer.set_aside, abandon_on_cancel=True)
    finally:
        answer.close()
