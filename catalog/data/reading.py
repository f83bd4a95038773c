"""Reading the cells of a variable that are asked for, and as little else as can be.

What is near in the file is read at once; of each chunk only the cells asked for are put together from its shuffled
bytes. Reads are positioned and hold no lock; inflating and copying run without the GIL.
"""

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.data.decoded import Decoded, Inflated, is_passing
from catalog.data.inflating import FRAME_HEAD, Scratch, buffers, framed, inflated, joined, planes, unframed
from catalog.data.keys import Along, Touched, along, returned, touched
from catalog.data.layouts import Chunks, Plain, Stored
from catalog.data.positioned import Elsewhere, Handle, Source, changed, check_missing, facts, fill, read_chunk
from catalog.data.windows import NEAR_BYTES, contiguous, runs, windows

_DENSE = 4
"""Chunks and rows of which less than the fourth part is asked for are not joined whole."""

_WORTH = 8
"""How many times as much as was asked for must be inflated, so that what was asked for is kept itself."""

_CHECKSUM = 4

_Bytes = npt.NDArray[np.uint8]
_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is asked for of one chunk: its number in the index, and what along each dimension."""

    chunk: int
    touched: tuple[Touched, ...]

    def of(self, found: _Array) -> _Array:
        """Return the part of the answer that the chunk fills."""
        place: tuple[Any, ...] = (*(one.at for one in self.touched), ...)
        part: _Array = found[place]
        return part

    def numbers(self) -> tuple[int, ...]:
        """Return the chunk's place in the grid of chunks."""
        return tuple(one.number for one in self.touched)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """What the variables of an open file have in common.

    Args:
        source: The open file or folder.
        known: Size and mtime (ns) that the file must have; None for a folder, whose chunks have their own.
        cache: Keeps inflated chunks; None for none.
        key: What tells this state of this file from all others in the cache.
    """

    source: Source | Elsewhere
    known: tuple[int, int] | None
    cache: Decoded | None = None
    key: Hashable = None


class _Reading(NamedTuple):
    """What a read has: the open file or folder, memory for chunks, and where inflated ones are kept, if they are."""

    fd: Handle
    scratch: Scratch
    cache: Decoded | None


class Cells:
    """The cells of one variable of an open file or folder; usable from any thread.

    Args:
        origin: The file.
        name: The variable's name.
        stored: How it lies there.
        dtype: Type of the answer: numbers, or text of the length of the last dimension there.
    """

    def __init__(self, origin: OpenFile, name: str, stored: Stored, dtype: np.dtype[Any]) -> None:
        self._source, self._known = origin.source, origin.known
        self._cache, self._key = origin.cache, (origin.key, name)
        self._stored, self.dtype = stored, dtype
        self._text = dtype.kind == "S" and dtype.itemsize > 1
        self._native = stored.dtype.newbyteorder("=")
        self._fill = np.frombuffer(stored.fill, self._native)[0]
        self._chunk = stored.layout.chunk if isinstance(stored.layout, Chunks) else ()
        self.shape = stored.shape[:-1] if self._text else stored.shape

    def read(self, key: tuple[Any, ...]) -> _Array:
        """Return the cells at a key: a number, a slice or a 1-D array of numbers for each dimension (orthogonal).

        Raises:
            IndexError: The key lies outside. DataChanged: The file is not the one that was indexed.
            DataUnreadable: It is damaged.
        """
        parts = (*key, slice(None)) if self._text else key
        asked = [along(part, size) for part, size in zip(parts, self._stored.shape, strict=True)]
        found = np.empty([one.count for one in asked], self._native)
        if found.size:
            with self._source.held() as fd, buffers().lent() as scratch:
                layout = self._stored.layout
                now = _Reading(fd, scratch, None if is_passing() else self._cache)
                if isinstance(layout, Chunks):
                    self._chunked(now, layout, asked, found)
                else:
                    self._plain(now, layout, asked, found)
                if self._known is not None and isinstance(fd, int) and facts(fd) != self._known:
                    raise changed()
        found = returned(found, asked)
        if self._text:
            text: _Array = np.ascontiguousarray(found).view(self.dtype)[..., 0]
            return text
        return found if found.dtype == self.dtype else found.astype(self.dtype)

    def _plain(self, now: _Reading, layout: Plain, asked: Sequence[Along], out: _Array) -> None:
        if layout.offset is None:
            out[...] = self._fill
            return
        for window in windows(asked, layout.strides, self._stored.dtype.itemsize):
            buffer = now.scratch.take("read", window.nbytes)
            fill(now.fd, buffer, layout.offset + window.offset)
            out[window.at] = window.cells(buffer, self._stored.dtype)

    def _chunked(self, now: _Reading, layout: Chunks, asked: list[Along], found: _Array) -> None:
        """Read cells of chunks. Of more chunks than are kept, few cells are kept themselves when asked for again."""
        size = layout.nbytes(self._stored.dtype.itemsize)
        pieces = self._pieces(layout, asked)
        if now.cache is None or now.cache.takes(len(pieces) * size):
            self._put_all(now, layout, pieces, found)
            return
        alone = now._replace(cache=None)
        few = found.nbytes * _WORTH <= len(pieces) * size and now.cache.takes(found.nbytes)
        if self._known is None or not few:
            self._put_all(alone, layout, pieces, found)
            return
        key = (self._key, *(one.key() for one in asked))
        if (known := now.cache.get(key)) is not None:
            found[...] = known.data.view(self._native).reshape(found.shape)
            return
        is_wanted = now.cache.wants(key)
        self._put_all(alone, layout, pieces, found)
        if is_wanted:
            now.cache.put(key, Inflated(found.reshape(-1).view(np.uint8).copy(), shuffled=False))

    def _put_all(self, now: _Reading, layout: Chunks, pieces: list[Piece], found: _Array) -> None:
        """Put the cells that are asked for of all chunks where they go."""
        size, fd = layout.nbytes(self._stored.dtype.itemsize), now.fd
        waiting = []
        for piece in pieces:
            if layout.offsets[piece.chunk] < 0:
                if layout.place is not None and isinstance(fd, int):
                    check_missing(fd, layout.place.parts(piece.numbers()))
                piece.of(found)[...] = self._fill
            elif not layout.filters and layout.place is None and size > NEAR_BYTES:
                self._unfiltered(now, layout, piece, piece.of(found))
            elif now.cache is not None and (known := now.cache.get((self._key, piece.chunk))) is not None:
                self._put(now.scratch, known, piece, found)
            else:
                waiting.append(piece)
        for piece, stored in self._each(now, layout, waiting):
            self._put(now.scratch, self._inflated(now, layout, piece, stored), piece, found)

    def _pieces(self, layout: Chunks, asked: list[Along]) -> list[Piece]:
        """What is asked for of each chunk, in the order of the file."""
        if not asked:
            return [Piece(0, ())]
        parts = [touched(one, length) for one, length in zip(asked, layout.chunk, strict=True)]
        numbers = np.zeros((), np.intp)
        for count, part in zip(layout.grid(self._stored.shape), parts, strict=True):
            numbers = numbers[..., None] * count + np.array([one.number for one in part], np.intp)
        flat = numbers.ravel()
        found = [Piece(*pair) for pair in zip(flat.tolist(), itertools.product(*parts), strict=True)]
        if len(found) == 1:
            return found
        return [found[at] for at in np.argsort(layout.offsets[flat], kind="stable").tolist()]

    def _each(self, now: _Reading, layout: Chunks, pieces: list[Piece]) -> Iterator[tuple[Piece, _Bytes]]:
        """Each piece with its chunk as it is stored; the bytes are valid until the next."""
        numbers, fd = [piece.chunk for piece in pieces], now.fd
        sizes = layout.sizes[numbers].tolist()
        if layout.place is not None and layout.mtimes is not None and isinstance(fd, int):
            for piece, size, mtime in zip(pieces, sizes, layout.mtimes[numbers].tolist(), strict=True):
                buffer = now.scratch.take("read", size)
                read_chunk(fd, layout.place.parts(piece.numbers()), (size, mtime), buffer)
                yield piece, buffer
            return
        starts = layout.offsets[numbers].tolist()
        for first, last in runs(starts, sizes):
            base = starts[first]
            ends = (start + size for start, size in zip(starts[first:last], sizes[first:last], strict=True))
            buffer = now.scratch.take("read", max(ends) - base)
            fill(fd, buffer, base)
            for at in range(first, last):
                yield pieces[at], buffer[starts[at] - base : starts[at] - base + sizes[at]]

    def _inflated(self, now: _Reading, layout: Chunks, piece: Piece, stored: _Bytes) -> Inflated:
        """A chunk without its filters; it is kept, or valid until the next."""
        mask = int(layout.masks[piece.chunk]) if layout.masks.size else 0
        width, key = self._stored.dtype.itemsize, (self._key, piece.chunk)
        size = layout.nbytes(width)
        cache = now.cache if now.cache is not None and now.cache.wants(key) else None
        room = FRAME_HEAD + size + _CHECKSUM
        frame = now.scratch.take("inflated", room) if cache is None else np.empty(room, np.uint8)
        data, shuffled = inflated(
            layout.filters, mask, stored, size, lambda count: frame[FRAME_HEAD : FRAME_HEAD + count]
        )
        own = np.may_share_memory(data, frame)
        alone = own and shuffled and data.size == size  # no checksum is shuffled with it
        found = Inflated(data, shuffled, framed(frame, size, width) if alone else None)
        if cache is not None:
            found = found if own else Inflated(data.copy(), shuffled)
            cache.put(key, found)
        return found

    def _put(self, scratch: Scratch, chunk: Inflated, piece: Piece, found: _Array) -> None:
        """Put the cells that are asked for of a chunk where they go."""
        inside = tuple(one.inside for one in piece.touched)
        chosen = [(axis, one.chosen) for axis, one in enumerate(piece.touched) if one.chosen is not None]
        if not chosen:
            self._join(scratch, chunk, inside, piece.of(found))
            return
        sides = [range(one.stop)[one] for one in inside]
        block: _Array = np.empty([len(side) for side in sides], self._native)
        self._join(scratch, chunk, inside, block)
        for axis, indices in chosen:
            block = np.take(block, indices, axis)
        piece.of(found)[...] = block

    def _join(self, scratch: Scratch, chunk: Inflated, inside: tuple[slice, ...], out: _Array) -> None:
        """Put the cells of a part of a chunk together, in native byte order."""
        dtype, shape = self._stored.dtype, self._chunk
        size = math.prod(shape) * dtype.itemsize
        if not chunk.shuffled or dtype.itemsize == 1:
            out[...] = chunk.data[:size].view(dtype).reshape(shape)[inside]
        elif chunk.frame is not None and size <= _DENSE * out.nbytes:  # a whole chunk is joined fastest
            if size == out.nbytes and out.flags.c_contiguous and dtype == self._native:
                unframed(chunk.frame, out.reshape(-1).view(np.uint8))
                return
            whole = scratch.take("joined", size)
            unframed(chunk.frame, whole)
            out[...] = whole.view(dtype).reshape(shape)[inside]
        else:
            self._join_rows(scratch, chunk, inside, out)

    def _join_rows(self, scratch: Scratch, chunk: Inflated, inside: tuple[slice, ...], out: _Array) -> None:
        """Put the cells of a part of a shuffled chunk together: whole rows much faster than short pieces of them."""
        dtype, shape = self._stored.dtype, self._chunk
        ordered = planes(chunk.data, shape, dtype.itemsize)
        if dtype.str[0] == ">":
            ordered.reverse()
        rows = inside[:1]
        row = math.prod(shape[1:])
        if rows[0].step not in {None, 1} or (rows[0].stop - rows[0].start) * row > _DENSE * out.size:
            joined(ordered, inside, out)
        elif out.flags.c_contiguous and (rows[0].stop - rows[0].start) * row == out.size:
            joined(ordered, rows, out)
        else:
            whole = scratch.take("joined", (rows[0].stop - rows[0].start) * row * dtype.itemsize)
            block = whole.view(self._native).reshape(-1, *shape[1:])
            joined(ordered, rows, block)
            out[...] = block[(slice(None), *inside[1:])]

    def _unfiltered(self, now: _Reading, layout: Chunks, piece: Piece, out: _Array) -> None:
        """A large chunk without filters is read in part."""
        itemsize = self._stored.dtype.itemsize
        if int(layout.sizes[piece.chunk]) != layout.nbytes(itemsize):
            raise changed()
        plain = Plain(int(layout.offsets[piece.chunk]), contiguous(layout.chunk, itemsize))
        self._plain(now, plain, [one.within() for one in piece.touched], out)
