"""Attributes too large for an object's header: a fractal heap of one block, and trees of one leaf that find them.

Source: The HDF Group, HDF5 File Format Specification Version 3.0, III.G Fractal Heap, III.A.2 Version 2 B-trees
(record types 8 and 9, names and creation order of attributes).
"""

import struct
from collections.abc import Mapping, Sequence

from catalog.formats._hdf5 import UNDEFINED, checked, lookup3

MOST = (1 << 24) - 256
"""Bytes of the largest attribute: a heap's identifier has eight bytes, and tells lengths in three of them."""
_HEAP_BYTES, _TREE_BYTES = 146, 38
_BLOCK_HEAD = 21
_LEAST_BLOCK = 1 << 17
_NAME_BYTES = 17
"""Bytes of a record of a name."""
_PLACE = struct.Struct("<BI3s")
_LEAF_BYTES = 512
_BY_NAME, _BY_ORDER = 8, 9


def addresses(bodies: Mapping[bytes, bytes], address: int) -> tuple[int, int, int]:
    """Return where heap and trees are, of what `dense` returns, when it lies at an address."""
    names = address + _HEAP_BYTES + _block_bytes(bodies)
    return address, names, names + _TREE_BYTES + _leaf_bytes(len(bodies), _NAME_BYTES)


def dense(bodies: Mapping[bytes, bytes], address: int) -> bytes:
    """Return heap and trees of attributes, from their bodies by name; they lie at an address."""
    heap, names, orders = addresses(bodies, address)
    ordered, named, at = [], [], _BLOCK_HEAD
    for order, (name, body) in enumerate(bodies.items()):
        place = _PLACE.pack(0, at, len(body).to_bytes(3, "little"))
        found = lookup3(name)
        ordered.append(place + struct.pack("<BI", 0, order))
        named.append((found, name, place + struct.pack("<BII", 0, order, found)))
        at += len(body)
    by_name = [record for _, _, record in sorted(named)]
    return b"".join(
        (
            _heap(bodies, heap + _HEAP_BYTES),
            _block(bodies, heap),
            _tree(_BY_NAME, by_name, names),
            _tree(_BY_ORDER, ordered, orders),
        )
    )


def _leaf_bytes(count: int, record: int) -> int:
    return max(_LEAF_BYTES, 10 + count * record)


def _tree(kind: int, records: Sequence[bytes], address: int) -> bytes:
    """A tree at an address whose root is a leaf."""
    width, count = len(records[0]), len(records)
    size = _leaf_bytes(count, width)
    told = struct.pack("<4sBBIHHBB", b"BTHD", 0, kind, size, width, 0, 100, 40)
    root = checked(told + struct.pack("<QHQ", address + _TREE_BYTES, count, count))
    return root + checked(b"BTLF\0" + bytes([kind]) + b"".join(records)).ljust(size, b"\0")


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
