"""A subset on its way to whoever asked: its first bytes are made, the rest are made as they are read."""

import itertools
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator

import orjson

from catalog.data.spools import Spool, Spools
from catalog.errors import DataUnreadable, TooBusy

HEAD_BYTES = 1 << 22
PIECE_BYTES = 1 << 20
_LENGTH = struct.Struct("!Q")
_MOST_NOTES = 1 << 16


class Answer:
    """The bytes of one subset; closing it gives back what it holds.

    Args:
        pieces: The bytes, of any lengths; the first of them are made here, so that what is wrong is said before any
            byte is sent.
        size: Asked for how many bytes there will be, where they are many; None where that is not known before.
        media_type: Their media type.
        filename: A name to save them under.
        notes: What whoever asked must know of the answer.
        age: Seconds since it was made, where it was kept from before.
        spools: Where the rest may be set aside.
        closed: Called once, when all is made or the answer is given up.
    """

    def __init__(  # noqa: PLR0913 - what is known of an answer, by name
        self,
        pieces: Iterable[bytes],
        *,
        size: Callable[[], int | None] = lambda: None,
        media_type: str,
        filename: str,
        notes: tuple[str, ...] = (),
        age: float | None = None,
        spools: Spools | None = None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._spools, self._given_up = spools, False
        self.media_type, self.filename, self.notes, self.age = media_type, filename, notes, age
        self._closed = closed
        self._rest: Iterator[bytes] = iter(pieces)
        try:
            self._head = list(up_to(self._rest, HEAD_BYTES))
            following = next(self._rest, None)
            self.whole = following is None
            self.size = sum(map(len, self._head)) if self.whole else size()
        except BaseException:
            self.close()
            raise
        if following is not None:
            self._rest = itertools.chain((following,), self._rest)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of 1 to 4 MB, then close."""
        try:
            yield from gathered(itertools.chain(self._taken(), self._following()))
        finally:
            self.close()

    def _taken(self) -> Iterator[bytes]:
        """The head, which is forgotten as it goes."""
        while self._head:
            yield self._head.pop(0)

    def _following(self) -> Iterator[bytes]:
        """What comes after the head, also when it is set aside meanwhile."""
        while (piece := next(self._rest, None)) is not None:
            yield piece

    def set_aside(self) -> None:
        """Make at once what is not made yet, on disk, for a client that takes its time; memory is free of it.

        Where there is no space for it nothing changes. It may be called between two pieces, and ends soon when the
        answer is closed meanwhile. Raises TooBusy where the space does not suffice: the answer breaks off.
        """
        if self.whole or self._spools is None:
            return
        spools, self._spools = self._spools, None
        try:
            spools.refuse_if_full()
        except TooBusy:
            return
        with tempfile.TemporaryFile(prefix="bienmo-", buffering=0) as file:
            size = 0
            for piece in self._rest:
                if self._given_up:
                    return
                file.write(piece)
                size += len(piece)
                spools.refuse_if_full(size)
            spool = spools.take(os.dup(file.fileno()), size)
        self._rest = spool.pieces()
        self._give_back()
        if self._given_up:
            spool.close()

    def close(self) -> None:
        """Give up what the answer holds, its bytes too; twice does no harm."""
        self._given_up = True
        self._head, self._rest = [], iter(())
        self._give_back()

    def _give_back(self) -> None:
        closed, self._closed = self._closed, lambda: None
        closed()

    def __del__(self) -> None:
        """Give up an answer that nobody closed."""
        self.close()


def of_spool(
    spool: Spool,
    *,
    media_type: str,
    filename: str,
    notes: tuple[str, ...] = (),
) -> Answer:
    """Return a finished answer."""
    return Answer(
        spool.pieces(),
        size=lambda: spool.size,
        media_type=media_type,
        filename=filename,
        notes=notes,
        closed=spool.close,
    )


def written_end(notes: tuple[str, ...]) -> bytes:
    """Return the notes as a worker appends them to the bytes of an answer: JSON, and its length in 8 bytes."""
    said = orjson.dumps(notes)
    return said + _LENGTH.pack(len(said))


def read_end(spool: Spool) -> tuple[str, ...]:
    """Take the notes off the end of what a worker wrote. Raises DataUnreadable where it wrote none."""
    end = spool.take_end(_LENGTH.size)
    length = _LENGTH.unpack(end)[0] if len(end) == _LENGTH.size else 0
    try:
        found = orjson.loads(spool.take_end(length)) if 0 < length <= _MOST_NOTES else None
    except orjson.JSONDecodeError as error:
        raise DataUnreadable("a reader did not end its answer as it should") from error
    if not isinstance(found, list) or not all(isinstance(note, str) for note in found):
        raise DataUnreadable("a reader did not end its answer as it should")
    return tuple(found)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes with small pieces put together, up to `PIECE_BYTES`, and large ones in parts."""
    small: list[bytes] = []
    held = 0
    for piece in pieces:
        if len(piece) < PIECE_BYTES:
            small.append(piece)
            held += len(piece)
            if held < PIECE_BYTES:
                continue
            piece = b"".join(small)  # noqa: PLW2901
            small, held = [], 0
        elif small:
            yield b"".join(small)
            small, held = [], 0
        view = memoryview(piece)
        for start in range(0, len(view), HEAD_BYTES):
            yield bytes(view[start : start + HEAD_BYTES]) if len(view) > HEAD_BYTES else piece
    if small:
        yield b"".join(small)


def up_to(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the next pieces, until they have `size` bytes."""
    held = 0
    while held < size and (piece := next(pieces, None)) is not None:
        held += len(piece)
        yield piece
