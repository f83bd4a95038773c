"""A file on another server, read by ranges of bytes (RFC 9110 §14), as if it were open here.

Every range must be of the same state of the file: the server tells states apart by an entity tag or a time of change,
and is asked for a range of that state only (`If-Range`, §13.1.5). Of a server that gives no ranges, or tells no states,
small files are read whole, at once.
"""

import io
import re
import tempfile
from collections import OrderedDict
from http import HTTPStatus
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.data.remote import Link, reached, refused
from catalog.errors import CatalogError, DataChanged, DataUnreadable, NotSubsettable

BLOCK_BYTES = 1 << 18
_MOST_BLOCKS = 256
_MOST_AHEAD = 1 << 23
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_PLAIN = {"Accept-Encoding": "identity"}


class Ranged(io.RawIOBase):
    """The file at an address, opened for reading.

    Args:
        link: The way there.
        url: Its address.
        whole_bytes: Largest file that is read whole.

    Raises:
        NotSubsettable: It is larger, and its server gives no ranges, or does not tell one state of it from another.
        DataUnreadable: There is no such file. Others as `Link.get`.
    """

    def __init__(self, link: Link, url: str, whole_bytes: int) -> None:
        super().__init__()
        self._link, self._url = link, url
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._place = 0
        self._whole: Any = None
        self.failure: CatalogError | None = None
        self.size = 0
        self._states: tuple[str | None, str | None] = (None, None)
        answer = link.get(url, {**_PLAIN, "Range": f"bytes=0-{BLOCK_BYTES - 1}"}, stream=True)
        try:
            self._begin(answer, whole_bytes)
        finally:
            answer.close()

    @property
    def state(self) -> str:
        """What tells this state of the file from others: its size, its entity tag or time of change."""
        tag, changed = self._states
        return f"{self.size} {tag or changed or ''}".strip()

    @property
    def is_told(self) -> bool:
        """Tell whether the server tells one state of the file from another."""
        return any(self._states)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place."""
        self._place = max(
            0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        )
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """Read from the place on, at most to the end. Raises DataChanged where the file is not the same any more."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._place))
        try:
            self._copy(view[:count], self._place)
        except CatalogError as error:
            self.failure = error  # libraries that read through this may not pass it on
            raise
        self._place += count
        return count

    def fill(self, out: npt.NDArray[np.uint8], offset: int) -> None:
        """Read as many bytes as `out` has from an offset. Raises DataChanged where there are fewer."""
        if offset + out.size > self.size:
            raise _changed()
        self._copy(memoryview(out.data), offset)

    def _copy(self, view: memoryview, offset: int) -> None:
        if self._whole is not None:
            self._whole.seek(offset)
            view[:] = self._whole.read(len(view))
            return
        done = 0
        while done < len(view):
            number, skip = divmod(offset + done, BLOCK_BYTES)
            if number not in self._blocks:
                self._fetch(number, (offset + len(view) - 1) // BLOCK_BYTES)
            self._blocks.move_to_end(number)
            piece = self._blocks[number][skip : skip + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)

    def _fetch(self, first: int, last: int) -> None:
        """Get blocks that are not at hand, from one on, as many as are wanted and may be got at once."""
        stop = first + 1
        most = first + _MOST_AHEAD // BLOCK_BYTES
        while stop <= last and stop < most and stop not in self._blocks:
            stop += 1
        start, end = first * BLOCK_BYTES, min(stop * BLOCK_BYTES, self.size)
        body = self._range(start, end)
        for number in range(first, stop):
            at = (number - first) * BLOCK_BYTES
            self._blocks[number] = body[at : at + BLOCK_BYTES]
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)

    def _range(self, start: int, end: int) -> bytes:
        headers = {**_PLAIN, "Range": f"bytes={start}-{end - 1}"}
        tag, time = self._states
        if tag and not tag.startswith("W/"):  # a weak one may not be used (RFC 9110 §13.1.5)
            headers["If-Range"] = tag
        elif time and not tag:
            headers["If-Range"] = time
        answer = self._link.get(self._url, headers, stream=True)
        try:
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT or _states(answer) != self._states:
                raise _changed()
            if _content_range(answer) != (start, end, self.size):
                raise _changed()
            return _body(answer, end - start)
        finally:
            answer.close()

    def _begin(self, answer: Any, whole_bytes: int) -> None:
        """Take the first answer: the first block, or all."""
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise refused(answer.status_code)
        self._states = _states(answer)
        if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
            start, end, self.size = _content_range(answer)
            if start or end != min(BLOCK_BYTES, self.size):
                raise DataUnreadable("the remote server answered with another range than was asked for")
            if end == self.size or self.is_told:
                self._blocks[0] = _body(answer, end)
                return
            if self.size > whole_bytes:
                raise _too_large("its server does not tell one state of the file from another", whole_bytes)
            answer.close()
            answer = self._link.get(self._url, _PLAIN, stream=True)
            if answer.status_code != HTTPStatus.OK:
                raise refused(answer.status_code)
            self._states = _states(answer)
        try:
            self._take_whole(answer, whole_bytes)
        finally:
            answer.close()

    def _take_whole(self, answer: Any, whole_bytes: int) -> None:
        said = "its server gives no parts of files"
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > whole_bytes:
            raise _too_large(said, whole_bytes)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DataUnreadable("the remote server answered with a coding that was not asked for")
        self._whole = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with this file
        with reached():
            for piece in answer.iter_content(BLOCK_BYTES):
                self._whole.write(piece)
                if self._whole.tell() > whole_bytes:
                    raise _too_large(said, whole_bytes)
        self.size = self._whole.tell()

    def close(self) -> None:
        """Give up what is kept of the file."""
        self._blocks.clear()
        if self._whole is not None:
            self._whole.close()
        super().close()


def state_of(link: Link, url: str) -> str:
    """Return the state that `Ranged.state` would tell, without reading the file; empty where the server tells none.

    Raises:
        DataUnreadable: There is no such file. Others as `Link.get`.
    """
    answer = link.get(url, {**_PLAIN, "Range": "bytes=0-0"}, stream=True)
    try:
        if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
            size = str(_content_range(answer)[2])
        elif answer.status_code == HTTPStatus.OK:
            size = answer.headers.get("Content-Length", "")
        else:
            raise refused(answer.status_code)
        tag, changed = _states(answer)
        return f"{size} {tag or changed}" if size and (tag or changed) else ""
    finally:
        answer.close()


def _states(answer: Any) -> tuple[str | None, str | None]:
    """The entity tag and the time of change that an answer tells."""
    return answer.headers.get("ETag") or None, answer.headers.get("Last-Modified") or None


def _content_range(answer: Any) -> tuple[int, int, int]:
    """The start, the stop and the length of the whole that an answer tells (RFC 9110 §14.4)."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found is None:
        raise DataUnreadable("the remote server did not say which range of bytes it answers with")
    start, last, size = map(int, found.groups())
    return start, last + 1, size


def _body(answer: Any, size: int) -> bytes:
    """The body, which has just so many bytes."""
    found = bytearray()
    with reached():
        for piece in answer.iter_content(BLOCK_BYTES):
            found += piece
            if len(found) > size:
                break
    if len(found) != size:
        raise DataUnreadable("the remote server answered with another number of bytes than it said")
    return bytes(found)


def _changed() -> DataChanged:
    return DataChanged("the remote file was changed while it was read", hint="ask again")


def _too_large(why: str, most: int) -> NotSubsettable:
    return NotSubsettable(
        f"the remote file cannot be cut: {why}, and it has more than {most} bytes",
        hint="an operator can allow larger files to be read whole: BIENMO_REMOTE_FILE_BYTES",
        details={"limit": most, "setting": "BIENMO_REMOTE_FILE_BYTES"},
    )
