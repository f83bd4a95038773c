"""The messages and blocks of an HDF5 file that a writer of whole files needs, as bytes.

Addresses and lengths have eight bytes; all numbers are little-endian. Objects have headers of version 2 whose
attributes keep the order in which they were made.

Source: The HDF Group, HDF5 File Format Specification Version 3.0 (II.A superblock version 2, IV.A.1.b object header
prefix version 2, IV.A.2 messages).
"""

import math
import struct
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import imagecodecs
import numpy as np

UNDEFINED = (1 << 64) - 1
SUPERBLOCK_BYTES = 48
MOST_MESSAGE = (1 << 16) - 1
"""Bytes of the largest message of an object header."""
MOST_RANK = 32
MOST_ATTRIBUTES = (1 << 16) - 1
REFERENCE = struct.pack("<B3xI", 0x17, 8)
"""The datatype of a reference to an object: the address of its header."""
REFERENCES = struct.pack("<B3xI", 0x19, 16) + REFERENCE
"""The datatype of lists of references, which lie in a global heap."""
STRING = struct.pack("<BBB1xI", 0x19, 1, 1, 16) + struct.pack("<B3xIHH", 0x10, 1, 0, 8)
"""The datatype of text of any length, UTF-8, which lies in a global heap."""
USE = (
    struct.pack("<BH1xI8sB", 0x36, 2, 16, b"dataset", 0)
    + REFERENCE
    + struct.pack("<10sB", b"dimension", 8)
    + struct.pack("<B3xIHH", 0x10, 4, 0, 32)
)
"""The datatype of where a dimension scale is used: a reference, the number of the axis, and four bytes of nothing."""

_SPACE, _LINKS, _TYPE, _FILL, _LINK, _LAYOUT, _GROUP, _ATTRIBUTE, _ATTRIBUTES = 1, 2, 3, 5, 6, 8, 10, 12, 21
_CONSTANT = frozenset({_TYPE, _FILL, _GROUP})
_FLOATS = {4: (31, 23, 8, 23, 127), 8: (63, 52, 11, 52, 1023)}
"""By bytes: where the sign is, where the exponent begins, its bits, the mantissa's bits, the exponent's bias."""
_ROOMY = 1 << 20

Message = tuple[int, bytes]


def checked(block: bytes) -> bytes:
    """Return a block of metadata with its checksum, Jenkins' lookup3."""
    return block + lookup3(block).to_bytes(4, "little")


def lookup3(data: bytes) -> int:
    """Return Jenkins' lookup3 of bytes, of which there is one at least."""
    return int(imagecodecs.h5checksum_lookup3(data))


def superblock(root: int, end: int) -> bytes:
    """Return the first bytes of a file, with the address of the root group and of the end."""
    start = b"\x89HDF\r\n\x1a\n" + struct.pack("<BBBBQQQQ", 2, 8, 8, 0, 0, UNDEFINED, end, root)
    return checked(start)


def header(messages: Iterable[Message]) -> bytes:
    """Return the header of an object; its attributes are numbered as they come."""
    parts: list[bytes] = []
    order = 0
    for number, body in messages:
        is_attribute = number == _ATTRIBUTE
        parts += (
            struct.pack("<BHBH", number, len(body), number in _CONSTANT, order if is_attribute else 0),
            body,
        )
        order += is_attribute
    content = b"".join(parts)
    return checked(b"OHDR\x02\x0e" + struct.pack("<I", len(content)) + content)


@cache
def number(dtype: np.dtype[Any]) -> bytes:
    """Return the datatype of whole numbers of 1 to 8 bytes, or of floats of 4 or 8, little-endian."""
    size = dtype.itemsize
    if dtype.kind == "f":
        sign, exponent, exponent_bits, mantissa_bits, bias = _FLOATS[size]
        head = struct.pack("<BBBxIHH", 0x11, 0x20, sign, size, 0, 8 * size)
        return head + struct.pack("<BBBBI", exponent, exponent_bits, 0, mantissa_bits, bias)
    return struct.pack("<BB2xIHH", 0x10, 8 if dtype.kind == "i" else 0, size, 0, 8 * size)


def characters(size: int) -> bytes:
    """Return the datatype of a text of that many bytes."""
    return struct.pack("<B3xI", 0x13, size)


@lru_cache(maxsize=256)
def space(shape: tuple[int, ...] | None) -> bytes:
    """Return a dataspace: of a shape, of one cell (an empty shape) or of none at all; empty axes are unlimited."""
    if not shape:
        return struct.pack("<BBBB", 2, 0, 0, 2 if shape is None else 0)
    sizes = struct.pack(f"<BBBB{len(shape)}Q", 2, len(shape), not all(shape), 1, *shape)
    if all(shape):
        return sizes
    return sizes + struct.pack(f"<{len(shape)}Q", *(size or UNDEFINED for size in shape))


def attribute(name: bytes, datatype: bytes, shape: tuple[int, ...] | None, data: bytes) -> bytes:
    """Return the body of an attribute message, its name in UTF-8."""
    extent = space(shape)
    lengths = struct.pack("<BBHHHB", 3, 0, len(name) + 1, len(datatype), len(extent), not name.isascii())
    return b"".join((lengths, name, b"\0", datatype, extent, data))


def stored(bodies: Sequence[bytes]) -> list[Message]:
    """Return the messages of attributes that lie in the object's header, and of how many there are."""
    return [*elsewhere(len(bodies), (UNDEFINED,) * 3), *((_ATTRIBUTE, body) for body in bodies)]


def elsewhere(count: int, addresses: tuple[int, int, int]) -> list[Message]:
    """Return the message of attributes that lie in a fractal heap, found by trees of their names and their order."""
    return [(_ATTRIBUTES, struct.pack("<BBHQQQ", 0, 3, count, *addresses))]


def dataset(datatype: bytes, shape: tuple[int, ...], fill: bytes) -> list[Message]:
    """Return the messages of a dataset but its layout; one without cells gets some when libhdf5 is asked to."""
    told = struct.pack("<BBI", 3, 0x2A if all(shape) else 0x2B, len(fill)) + fill
    return [(_SPACE, space(shape)), (_TYPE, datatype), (_FILL, told)]


def layout(shape: tuple[int, ...], size: int, address: int) -> Message:
    """Return the layout of cells of `size` bytes one after another in C order; of an empty array, no chunk."""
    if all(shape):
        return _LAYOUT, struct.pack("<BBQQ", 3, 1, address, size * math.prod(shape))
    chunk: list[int] = []
    for length in reversed(shape):
        chunk.insert(0, length if 0 < length * math.prod(chunk) <= _ROOMY else 1)
    return _LAYOUT, struct.pack(f"<BBBQ{len(chunk) + 1}I", 3, 2, len(chunk) + 1, UNDEFINED, *chunk, size)


def links(named: Sequence[tuple[bytes, int]]) -> list[Message]:
    """Return the messages of a group: names (UTF-8) and addresses of what is in it, in order."""
    told = [
        (_LINKS, struct.pack("<BBQQQQ", 0, 3, len(named), UNDEFINED, UNDEFINED, UNDEFINED)),
        (_GROUP, struct.pack("<BB", 0, 0)),
    ]
    for order, (name, address) in enumerate(named):
        head = struct.pack("<BBQBH", 1, 0x15, order, not name.isascii(), len(name))
        told.append((_LINK, head + name + struct.pack("<Q", address)))
    return told
