"""Undoing the filters of a chunk, the numbers shuffled still: only those that are asked for are put together.

Filters as in the HDF5 File Format Specification (IV.A.2.l, Filter Pipeline Message) and the registered HDF5 filter
plug-ins; Zarr's codecs as in numcodecs and the Zarr v3 codec specifications. All of them run without the GIL.
"""

import contextlib
import math
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from catalog.data.layouts import COMPRESSORS
from catalog.errors import DataUnreadable

_Bytes = npt.NDArray[np.uint8]
_Make = Callable[[int], _Bytes]

_KEPT_BYTES = 8 << 20
_KEPT = 4
_MOST_FRAME = 16 << 20
_MOST_RATIO = 1100
_CHECKSUM = 4
_BLOSC_HEADER = 16
_BLOSC_SIZES = slice(4, 16)
_FRAME = struct.Struct("<BBBBIIIii")
"""Versions, flags, size of an item; bytes inflated, of a block, of the frame; where the block begins, its bytes."""
_SHUFFLED_WHOLE = 0x11
"""Flags: bytes shuffled, and a block is not split by them (c-blosc, README_CHUNK_FORMAT)."""
_TESTED = frozenset({"zlib", "gzip"})
"""Compressors whose streams carry a checksum of what they hold (RFC 1950, RFC 1952), which libdeflate checks."""


class Scratch:
    """Memory that is used again for the next chunk: what was read, inflated, put together."""

    def __init__(self) -> None:
        self._kept: dict[str, _Bytes] = {}

    def take(self, name: str, size: int) -> _Bytes:
        """Return that many bytes, of any content; they are valid until the same name is taken again."""
        found = self._kept.get(name)
        if found is None or found.size < size:
            found = np.empty(max(size, 1 << 16), np.uint8)
            if size <= _KEPT_BYTES:
                self._kept[name] = found
        return found[:size]


class Buffers:
    """Scratch memory that readers lend, whichever thread they are in; few are kept, the one used last goes first."""

    def __init__(self) -> None:
        self._free: list[Scratch] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[Scratch]:
        """Give scratch memory that nobody else has meanwhile."""
        try:
            mine = self._free.pop()
        except IndexError:
            mine = Scratch()
        try:
            yield mine
        finally:
            if len(self._free) < _KEPT:
                self._free.append(mine)


@cache
def buffers() -> Buffers:
    """Return the scratch memory of this process."""
    return Buffers()


def inflated(
    filters: tuple[tuple[str, int], ...], mask: int, stored: _Bytes, size: int, make: _Make
) -> tuple[_Bytes, bool]:
    """Return a chunk's bytes without its filters, and whether its items are shuffled still (`planes`).

    Args:
        filters: As `layouts.Chunks.filters`.
        mask: Bit n is set where filter n was left out.
        stored: The chunk as it is stored.
        size: Bytes that the chunk has without filters.
        make: Gives memory for what is inflated.

    Raises:
        DataUnreadable: A filter refuses the bytes, a checksum is wrong, or the size is another.
    """
    steps = [name for at, (name, _) in enumerate(filters) if not mask >> at & 1]
    widths = dict(filters)
    tested = bool(_TESTED & set(steps))
    data, shuffled = stored, False
    for at in range(len(steps) - 1, -1, -1):
        before = size + _CHECKSUM * ("fletcher32" in steps[:at])
        if steps[at] in COMPRESSORS:
            data = _decompressed(steps[at], data, before, make)
        elif steps[at] == "shuffle":
            shuffled = tested or "fletcher32" not in steps[:at]
            data = data if shuffled else _unshuffled(data, widths["shuffle"])
        elif steps[at] == "crc32":
            data = _checked(data)
        elif not tested:
            data = _summed(data)
        elif not shuffled:
            data = data[:-_CHECKSUM]
    if data.size != size + _CHECKSUM * (shuffled and "fletcher32" in steps[: steps.index("shuffle")]):
        raise DataUnreadable("a chunk of the file is damaged: it is not of its size")
    return data, shuffled


def planes(data: _Bytes, chunk: tuple[int, ...], width: int) -> list[_Bytes]:
    """Return the first, second … bytes of all items of a shuffled chunk, each of the chunk's shape, without copying."""
    apart, count = data.size // width, math.prod(chunk)
    return [data[at * apart : at * apart + count].reshape(chunk) for at in range(width)]


def joined(ordered: list[_Bytes], inside: tuple[slice, ...], out: npt.NDArray[Any]) -> None:
    """Put the bytes of the items in a part of a chunk together.

    Args:
        ordered: As `planes` gives them, the byte of least weight first.
        inside: Which part.
        out: Where the items go, of the part's shape.
    """
    if len(ordered) == 2:  # noqa: PLR2004 - two bytes are joined faster by arithmetic, if they lie side by side
        low, high = (np.ascontiguousarray(plane[inside]) for plane in ordered)
        whole = out.view(np.uint16) if out.flags.c_contiguous else np.empty(out.shape, np.uint16)
        np.left_shift(high, np.uint16(8), out=whole, dtype=np.uint16)
        np.bitwise_or(whole, low, out=whole)
        if not out.flags.c_contiguous:
            out[...] = whole.view(out.dtype)
        return
    target = out[..., None].view(np.uint8)
    for at, plane in enumerate(ordered):
        target[..., at] = plane[inside]


FRAME_HEAD = 24
"""Bytes to leave free before a shuffled chunk, for `framed`."""


def framed(frame: _Bytes, size: int, width: int) -> _Bytes | None:
    """Return a shuffled chunk as `unframed` takes it; None where it does not.

    It is a Blosc frame (version 1) of one block that is stored as it is: to undo its shuffle is all there is to do, and
    that is done with the processor's vector instructions.

    Args:
        frame: `FRAME_HEAD` bytes that are written here, then the chunk.
        size: Bytes of the chunk.
        width: Bytes of an item.
    """
    if not width < size <= _MOST_FRAME:
        return None
    whole = FRAME_HEAD + size
    _FRAME.pack_into(frame.data, 0, 2, 1, _SHUFFLED_WHOLE, width, size, size, whole, FRAME_HEAD - 4, size)
    return frame[:whole]


def unframed(frame: Any, out: Any) -> None:
    """Put the items of a chunk (`framed`) into as many bytes, one after another."""
    imagecodecs.blosc_decode(frame, out=out, numthreads=1)


def _decompressed(name: str, data: _Bytes, size: int, make: _Make) -> _Bytes:
    if size > _MOST_RATIO * data.size + _MOST_RATIO and name in _TESTED:
        raise DataUnreadable("a chunk of the file is damaged: it cannot hold what it says")
    try:
        return _decode(name, data, make(size))
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise DataUnreadable(f"a chunk of the file is damaged: {error}"[:300]) from error


def _decode(name: str, data: Any, out: Any) -> _Bytes:  # imagecodecs takes arrays, and does not say so
    if name == "zlib":
        found: Any = imagecodecs.deflate_decode(data, out=out, raw=False)
    elif name == "gzip":
        found = imagecodecs.gzip_decode(data, out=out)
    elif name == "zstd":
        found = imagecodecs.zstd_decode(data, out=out)
    elif name == "lz4":
        if data.size < _CHECKSUM or int(data[:_CHECKSUM].view("<u4")[0]) != out.size:
            raise ValueError("an lz4 block of another size")
        found = imagecodecs.lz4_decode(data, header=True, out=out)
    elif name == "lz4h5":
        found = imagecodecs.lz4h5_decode(data, out=out)
    else:
        # the header: versions, flags, size of an item, bytes inflated, of a block, compressed
        if data.size < _BLOSC_HEADER or data[_BLOSC_SIZES].view("<u4")[[0, 2]].tolist() != [
            out.size,
            data.size,
        ]:
            raise ValueError("a blosc frame of another size")
        found = imagecodecs.blosc_decode(data, out=out, numthreads=1)
    return np.asarray(found, np.uint8).reshape(-1)


def _unshuffled(data: _Bytes, width: int) -> _Bytes:
    count = data.size // width
    found = np.empty(data.size, np.uint8)
    found[: count * width].reshape(count, width)[...] = data[: count * width].reshape(width, count).T
    found[count * width :] = data[count * width :]
    return found


def _checked(data: _Bytes) -> _Bytes:
    """The bytes after a CRC-32 (numcodecs' `crc32`, little-endian), which must be theirs."""
    body: Any = data[_CHECKSUM:]
    if not body.size or imagecodecs.deflate_crc32(body) != int.from_bytes(
        data[:_CHECKSUM].tobytes(), "little"
    ):
        raise DataUnreadable("a chunk of the file is damaged: its checksum is another")
    return data[_CHECKSUM:]


def _summed(data: _Bytes) -> _Bytes:
    """The bytes before a Fletcher-32 checksum, which must be theirs."""
    if data.size <= _CHECKSUM:
        raise DataUnreadable("a chunk of the file is damaged: it is not of its size")
    body: Any = data[:-_CHECKSUM]
    said = int.from_bytes(data[-_CHECKSUM:].tobytes(), "little")
    if imagecodecs.h5checksum_fletcher32(body) != said:
        raise DataUnreadable("a chunk of the file is damaged: its checksum is another")
    return data[:-_CHECKSUM]
