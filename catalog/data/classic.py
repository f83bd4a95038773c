"""The header of a NetCDF classic file, read to tell whether the file is whole, and where its variables lie.

libnetcdf opens a NetCDF-3 file that was cut short and gives plausible wrong numbers. Format: "NetCDF
Classic Format Specification" (CDF-1, CDF-2) and its CDF-5 extension: magic, numrecs, dimensions, global
attributes, variables.
"""

import math
import struct
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from catalog.errors import DataUnreadable

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_MOST_RANK = 1024
_TYPES = {
    1: "|i1",
    2: "|S1",
    3: ">i2",
    4: ">i4",
    5: ">f4",
    6: ">f8",
    7: "|u1",
    8: ">u2",
    9: ">u4",
    10: ">i8",
    11: ">u8",
}


class _Readable(Protocol):
    """An open file, here or elsewhere."""

    def read(self, size: int, /) -> Any: ...

    def seek(self, offset: int, whence: int, /) -> int: ...

    def tell(self) -> int: ...


class Laid(NamedTuple):
    """Where a variable lies: numpy's code of its type, its shape, the byte where it begins, its strides in bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    strides: tuple[int, ...]


class _Slab(NamedTuple):
    """A variable in the header; the bytes of it, or of one record of it."""

    name: bytes
    kind: int
    shape: list[int]
    begin: int
    nbytes: int
    in_records: bool


class _Header:
    """A reader of big-endian numbers that never asks for more than the file has."""

    def __init__(self, file: _Readable, size: int) -> None:
        self._file, self._size = file, size
        magic = self._bytes(4)
        if magic[:3] != b"CDF" or magic[3] not in {1, 2, 5}:
            raise DataUnreadable("the file is no NetCDF classic file")
        self._wide = magic[3] == 5  # noqa: PLR2004
        self._far = magic[3] != 1

    def _bytes(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise DataUnreadable(
                f"the file is cut short or damaged: its header needs more than {self._size} bytes"
            )
        found: bytes = self._file.read(count)
        return found

    def tag(self) -> int:
        return int(struct.unpack(">I", self._bytes(4))[0])

    def count(self) -> int:
        """A count: 4 bytes, 8 in CDF-5; -1 (streaming) stays -1."""
        number = struct.unpack(">q" if self._wide else ">i", self._bytes(8 if self._wide else 4))[0]
        if number < -1:
            raise DataUnreadable("the file's header is damaged: a negative count")
        return int(number)

    def offset(self) -> int:
        return int(struct.unpack(">q" if self._far else ">i", self._bytes(8 if self._far else 4))[0])

    def text(self) -> bytes:
        """A name, without the padding behind it."""
        count = self.count()
        return self._bytes(count + -count % 4)[:count] if count > 0 else b""

    def skip(self, count: int) -> None:
        padded = count + -count % 4
        if padded > self._size - self._file.tell():
            raise DataUnreadable(
                f"the file is cut short or damaged: its header needs more than {self._size} bytes"
            )
        self._file.seek(padded, 1)

    def list_of(self, tag: int) -> int:
        """The length of a list of dimensions, attributes or variables."""
        found, count = self.tag(), self.count()
        if (found, count) != (0, 0) and (found != tag or not 0 <= count <= self._size // 8):
            raise DataUnreadable(
                "the file's header is damaged: a list of another kind, or longer than the file"
            )
        return count

    def attributes(self) -> None:
        for _ in range(self.list_of(_ATTRIBUTE)):
            self.skip(self.count())
            kind = self.tag()
            if kind not in _SIZES:
                raise DataUnreadable(f"the file's header is damaged: no type {kind}")
            self.skip(self.count() * _SIZES[kind])


def check_whole(path: Path) -> None:
    """Check that a NetCDF classic file is as long as its header says; padding at its end may lack.

    Raises:
        DataUnreadable: It is cut short, or its header is damaged.
    """
    with path.open("rb") as file:
        check_long_enough(file, path.stat().st_size)


def check_long_enough(file: _Readable, size: int) -> None:
    """Check the same of an open file of `size` bytes, from where it is. Raises as `check_whole`."""
    records, stride, slabs = _slabs(_Header(file, size), size)
    needed = max((_end(slab, records, stride) for slab in slabs), default=0)
    if needed > size:
        raise DataUnreadable(
            f"the file is cut short: {size} of {needed} bytes", details={"size": size, "needed": needed}
        )


def lay_out(path: Path) -> dict[str, Laid]:
    """Return where each variable of a whole NetCDF classic file lies.

    Raises:
        DataUnreadable: Its header is damaged.
    """
    with path.open("rb") as file:
        return lay_out_of(file, path.stat().st_size)


def lay_out_of(file: _Readable, size: int) -> dict[str, Laid]:
    """Return the same of an open file of `size` bytes. Raises as `lay_out`; DataUnreadable where it is cut short."""
    records, stride, slabs = _slabs(_Header(file, size), size)
    return {slab.name.decode("utf-8", "replace"): _laid(slab, records, stride) for slab in slabs}


def _laid(slab: _Slab, records: int, stride: int) -> Laid:
    shape = (records, *slab.shape[1:]) if slab.in_records else tuple(slab.shape)
    strides = [_SIZES[slab.kind] * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if slab.in_records:
        strides[0] = stride
    return Laid(_TYPES[slab.kind], shape, slab.begin, tuple(strides))


def _end(slab: _Slab, records: int, stride: int) -> int:
    """Where the variable ends in the file; 0 where it has no cells."""
    if not slab.in_records:
        return slab.begin + slab.nbytes if slab.nbytes else 0
    return slab.begin + (records - 1) * stride + slab.nbytes if records > 0 else 0


def _slabs(header: _Header, size: int) -> tuple[int, int, list[_Slab]]:
    """The number of records, the bytes from one to the next, and all variables."""
    records = header.count()
    lengths = []
    for _ in range(header.list_of(_DIMENSION)):
        header.skip(header.count())
        lengths.append(header.count())
    header.attributes()
    slabs = [_variable(header, lengths) for _ in range(header.list_of(_VARIABLE))]
    recorded = [slab for slab in slabs if slab.in_records]
    stride = sum(slab.nbytes + -slab.nbytes % 4 for slab in recorded) if len(recorded) > 1 else 0
    stride = recorded[0].nbytes if len(recorded) == 1 else stride
    if recorded and records == -1:  # written as a stream: as many records as there are
        records = max(0, size - min(slab.begin for slab in recorded)) // max(1, stride)
    return records, stride, slabs


def _variable(header: _Header, lengths: list[int]) -> _Slab:
    """The next variable."""
    name = header.text()
    rank = header.count()
    if not 0 <= rank <= _MOST_RANK:
        raise DataUnreadable("the file's header is damaged: a variable of too many dimensions")
    order = [header.count() for _ in range(rank)]
    header.attributes()
    kind = header.tag()
    header.count()  # vsize: redundant, and wrong for large variables
    begin = header.offset()
    if kind not in _SIZES or any(not 0 <= number < len(lengths) for number in order) or begin < 0:
        raise DataUnreadable("the file's header is damaged: a variable of no known type or dimension")
    shape = [lengths[number] for number in order]
    in_records = bool(shape) and shape[0] == 0
    nbytes = math.prod(shape[1:] if in_records else shape) * _SIZES[kind]
    return _Slab(name, kind, shape, begin, nbytes, in_records)
