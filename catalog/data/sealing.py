"""A document with arrays as bytes that a damaged copy cannot pass for.

The bytes: `BMCI`, the version of the form (4 bytes), the length of the document (8 bytes), the document (JSON, UTF-8),
the arrays at the places that the document's key `arrays` tells (each from a multiple of 8 on), and the SHA-256 of all
of that. Numbers are little-endian.
"""

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
_MAGIC = b"BMCI"
_HEAD = struct.Struct("<4sIQ")
_DIGEST_BYTES = 32
_ALIGNED = 8
_DTYPE = re.compile(r"[<>|][biufSc]\d{1,9}")
_MOST_BYTES = 1 << 31

Array = npt.NDArray[Any]


class Sealer:
    """Collects the arrays of a document, and writes both."""

    def __init__(self) -> None:
        self._arrays: list[Array] = []

    def array(self, array: Array) -> int:
        """Take an array of numbers, truth values or bytes, and return what stands for it in the document.

        Raises:
            TypeError: It is of another type.
        """
        if not _DTYPE.fullmatch(array.dtype.str):
            raise TypeError(f"no form for arrays of the type {array.dtype.str}")
        self._arrays.append(np.asarray(array, order="C"))
        return len(self._arrays) - 1

    def sealed(self, document: Mapping[str, Any]) -> bytes:
        """Return the bytes of a document and its arrays."""
        table, place, blocks = [], 0, []
        for array in self._arrays:
            content = array.tobytes()
            table.append([array.dtype.str, list(array.shape), place])
            blocks.append(content + b"\0" * (-len(content) % _ALIGNED))
            place += len(blocks[-1])
        head = json.dumps({**document, "arrays": table}, separators=(",", ":")).encode()
        head += b" " * (-len(head) % _ALIGNED)
        body = b"".join([_HEAD.pack(_MAGIC, VERSION, len(head)), head, *blocks])
        return body + hashlib.sha256(body).digest()


class Sealed:
    """What a `Sealer` wrote, whole.

    Args:
        data: The bytes; `document` is then the JSON of the document, with its table `arrays`.

    Raises:
        ValueError: They are damaged, or of another version.
    """

    def __init__(self, data: bytes) -> None:
        if not _HEAD.size + _DIGEST_BYTES <= len(data) <= _MOST_BYTES:
            raise ValueError("it is cut short")
        body = memoryview(data)[:-_DIGEST_BYTES]
        if hashlib.sha256(body).digest() != data[-_DIGEST_BYTES:]:
            raise ValueError("its checksum is another")
        magic, version, length = _HEAD.unpack_from(data)
        if (magic, version) != (_MAGIC, VERSION) or length > len(body) - _HEAD.size or length % _ALIGNED:
            raise ValueError("it is of another version")
        self.document = bytes(body[_HEAD.size : _HEAD.size + length])
        self._content = body[_HEAD.size + length :]

    def array(self, entry: tuple[str, tuple[int, ...], int]) -> Array:
        """Return the array of an entry (type, shape, place) of the document's table, read-only. Raises ValueError."""
        kind, shape, place = entry
        dtype = np.dtype(kind) if _DTYPE.fullmatch(kind) else None
        if dtype is None or any(not 0 <= size <= len(self._content) for size in (*shape, place)):
            raise ValueError("an array outside the bytes")
        count = math.prod(shape)
        if count * dtype.itemsize > len(self._content) - place:
            raise ValueError("an array outside the bytes")
        if not count or not dtype.itemsize:
            return np.zeros(shape, dtype)
        found: Array = np.frombuffer(self._content, dtype, count, place).reshape(shape)
        if dtype.kind == "b" and np.ascontiguousarray(found).view(np.uint8).max() > 1:
            raise ValueError("a truth value that is none")
        return found
