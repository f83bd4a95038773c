"""The header of a NetCDF classic file, read to tell whether the file is whole.

libnetcdf opens a NetCDF-3 file that was cut short and gives plausible wrong numbers. Format: "NetCDF
Classic Format Specification" (CDF-1, CDF-2) and its CDF-5 extension: magic, numrecs, dimensions, global
attributes, variables.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from catalog.errors import DataUnreadable

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_MOST_RANK = 1024


class _Header:
    """A reader of big-endian numbers that never asks for more than the file has."""

    def __init__(self, file: BinaryIO, size: int) -> None:
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
        return self._file.read(count)

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
    size = path.stat().st_size
    with path.open("rb") as file:
        needed = _needed(_Header(file, size), size)
    if needed > size:
        raise DataUnreadable(
            f"the file is cut short: {size} of {needed} bytes", details={"size": size, "needed": needed}
        )


def _needed(header: _Header, size: int) -> int:
    records = header.count()
    lengths = []
    for _ in range(header.list_of(_DIMENSION)):
        header.skip(header.count())
        lengths.append(header.count())
    header.attributes()
    ends, recorded = [0], []
    for _ in range(header.list_of(_VARIABLE)):
        begin, slab, in_records = _variable(header, lengths)
        if in_records:
            recorded.append((begin, slab))
        elif slab:
            ends.append(begin + slab)
    if recorded and records != 0:
        stride = sum(slab + -slab % 4 for _, slab in recorded) if len(recorded) > 1 else recorded[0][1]
        if records == -1:  # written as a stream: as many records as there are
            records = max(0, size - min(begin for begin, _ in recorded)) // max(1, stride)
        ends.extend(begin + (records - 1) * stride + slab for begin, slab in recorded if records > 0)
    return max(ends)


def _variable(header: _Header, lengths: list[int]) -> tuple[int, int, bool]:
    """(where it begins, bytes of it or of one record of it, whether it has records) of the next variable."""
    header.skip(header.count())
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
    return begin, math.prod(shape[1:] if in_records else shape) * _SIZES[kind], in_records
