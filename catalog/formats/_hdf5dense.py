"""Attributes too large for an object's header: a fractal heap of one block, and a tree of one leaf that finds them.

Source: The HDF Group, HDF5 File Format Specification Version 3.0, III.G Fractal Heap, III.A.2 Version 2 B-trees
(record type 8, attribute name for indexed attributes).
"""

import struct
from collections.abc import Mapping

from catalog.formats._hdf5 import UNDEFINED, checked, lookup3

MOST = (1 << 24) - 256
"""Bytes of an object's attributes together: a heap's identifier of eight bytes tells lengths in three."""
_HEAP_BYTES, _TREE_BYTES = 146, 38
_BLOCK_HEAD = 21
_LEAST_BLOCK = 1 << 17
_RECORD = struct.Struct("<BI3sBII")
_NODE_BYTES = 512


def addresses(bodies: Mapping[bytes, bytes], address: int) -> tuple[int, int]:
    """Return where the heap and the tree are, of what `dense` returns, when it lies at an address."""
    return address, address + _HEAP_BYTES + _block_bytes(bodies)


def dense(bodies: Mapping[bytes, bytes], address: int) -> bytes:
    """Return the heap and the tree of attributes, from their bodies by name; they lie at an address."""
    heap, tree = addresses(bodies, address)
    records, at = [], _BLOCK_HEAD
    for order, (name, body) in enumerate(bodies.items()):
        found = lookup3(name)
        records.append(
            (
                found,
                name,
                _RECORD.pack(0, at, len(body).to_bytes(3, "little"), 0, order, found),
            )
        )
        at += len(body)
    leaf = checked(b"BTLF\0\x08" + b"".join(record for _, _, record in sorted(records)))
    node = max(_NODE_BYTES, len(leaf))
    trunk = struct.pack(
        "<4sBBIHHBBQHQ", b"BTHD", 0, 8, node, _RECORD.size, 0, 100, 40, tree + _TREE_BYTES, len(bodies), len(bodies)
    )  # fmt: skip
    return b"".join(
        (
            _heap(bodies, heap + _HEAP_BYTES),
            _block(bodies, heap),
            checked(trunk),
            leaf.ljust(node, b"\0"),
        )
    )


def _block_bytes(bodies: Mapping[bytes, bytes]) -> int:
    """The least power of two that holds the block."""
    used = _BLOCK_HEAD + sum(map(len, bodies.values()))
    return max(_LEAST_BLOCK, 1 << (used - 1).bit_length())


def _block(bodies: Mapping[bytes, bytes], heap: int) -> bytes:
    """The heap's only block; its checksum is of the whole, with zeros in its own place."""
    head = struct.pack("<4sBQI", b"FHDB", 0, heap, 0)
    content = b"".join(bodies.values()).ljust(_block_bytes(bodies) - _BLOCK_HEAD, b"\0")
    return head + lookup3(head + bytes(4) + content).to_bytes(4, "little") + content


def _heap(bodies: Mapping[bytes, bytes], block: int) -> bytes:
    """The header of a heap of managed objects only, whose root is a block at an address."""
    size = _block_bytes(bodies)
    free = size - _BLOCK_HEAD - sum(map(len, bodies.values()))
    told = struct.pack("<4sBHHBIQQQQ", b"FRHP", 0, 8, 0, 2, MOST, 0, UNDEFINED, free, UNDEFINED)
    told += struct.pack("<QQQQQQQQ", size, size, size, len(bodies), 0, 0, 0, 0)
    return checked(told + struct.pack("<HQQHHQH", 4, size, max(size, 1 << 24), 32, 1, block, 0))
