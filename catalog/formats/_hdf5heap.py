"""Global heaps of HDF5: where text of any length and lists of references lie.

A cell that has such a value holds its length, the address of a collection and its number there (sixteen bytes).

Source: The HDF Group, HDF5 File Format Specification Version 3.0, III.E Disk Format: Level 1E - Global Heap.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

REFERENCE_BYTES = 16
_HEAD = 16
_LEAST = 4096
"""Bytes of the smallest collection that libhdf5 takes."""
_MOST = 1 << 18
"""Bytes of a collection that takes another item; it has then fewer than 65,536 of them, as it must."""
_CELL = np.dtype([("length", "<u4"), ("address", "<u8"), ("item", "<u4")])


def collected(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield items in lists that are one collection each."""
    found: list[bytes] = []
    used = _HEAD
    for item in items:
        if found and used + _room(len(item)) > _MOST:
            yield found
            found, used = [], _HEAD
        found.append(item)
        used += _room(len(item))
    if found:
        yield found


def size(items: Iterable[bytes]) -> int:
    """Return the bytes of the collection of items."""
    return max(_LEAST, _HEAD + sum(_room(len(item)) for item in items))


def collection(items: Sequence[bytes]) -> bytes:
    """Return the collection of items, numbered from one."""
    parts = [b"GCOL\x01\0\0\0", struct.pack("<Q", size(items))]
    for number, item in enumerate(items, 1):
        parts += (struct.pack("<HHIQ", number, 0, 0, len(item)), item, bytes(-len(item) % 8))
    left = size(items) - _HEAD - sum(_room(len(item)) for item in items)
    if left >= _HEAD:
        parts += (struct.pack("<HHIQ", 0, 0, 0, left), bytes(left - _HEAD))
    else:
        parts.append(bytes(left))
    return b"".join(parts)


def references(items: Sequence[bytes], address: int) -> bytes:
    """Return the cells of the items of a collection at an address; each is a list of as many as it has bytes."""
    cells = np.empty(len(items), _CELL)
    cells["length"] = [len(item) for item in items]
    cells["address"] = address
    cells["item"] = np.arange(1, len(items) + 1)
    return cells.tobytes()


class Heap:
    """Values of any length that are put into collections one after another, from an address on.

    An item is text, or the number of an object, in whose place its address comes.
    """

    def __init__(self, address: int) -> None:
        self._address, self._used = address, _HEAD
        self._collections: list[list[bytes | int]] = []

    def put(self, item: bytes | int) -> bytes:
        """Keep an item, and return the cell that holds it."""
        room = _room(8 if isinstance(item, int) else len(item))
        if not self._collections or self._used + room > _MOST:
            self._address = self.end
            self._collections.append([])
            self._used = _HEAD
        self._collections[-1].append(item)
        self._used += room
        length = 1 if isinstance(item, int) else len(item)
        return struct.pack("<IQI", length, self._address, len(self._collections[-1]))

    @property
    def end(self) -> int:
        """The address after the last collection."""
        return self._address + max(_LEAST, self._used) if self._collections else self._address

    def content(self, addresses: Sequence[int]) -> bytes:
        """Return the collections, with the addresses of objects."""
        return b"".join(
            collection(
                [struct.pack("<Q", addresses[item]) if isinstance(item, int) else item for item in items]
            )
            for items in self._collections
        )


def _room(length: int) -> int:
    return _HEAD + -(-length // 8) * 8
