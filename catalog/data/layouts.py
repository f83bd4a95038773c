"""Where the cells of a variable lie: a plain array in the file, or a grid of chunks with filters.

A layout is read from bytes that may be hostile, therefore it cannot be made with numbers that lead outside its file or
ask for more memory than a chunk may take.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_CHUNK_BYTES = 256_000_000
"""A larger chunk is not inflated."""
MOST_CHUNKS = 1_000_000
MOST_RANK = 32
_MOST_BYTES = 2**62
_DTYPE = re.compile(r"[<>|][biuf][1248]|\|S1")

COMPRESSORS = frozenset({"zlib", "gzip", "zstd", "lz4", "lz4h5", "blosc"})
_FILTERS = COMPRESSORS | {"shuffle", "fletcher32", "crc32"}


def check_shape(shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse a shape that no array can have. Raises ValueError."""
    if len(shape) > MOST_RANK or any(size < 0 for size in shape):
        raise ValueError(f"no array has the shape {shape[:MOST_RANK]}")
    if math.prod(max(1, size) for size in shape) * max(1, itemsize) > _MOST_BYTES:
        raise ValueError("an array larger than any file")


@dataclass(frozen=True, slots=True)
class Plain:
    """Cells that lie at regular distances, without filters (HDF5 contiguous, NetCDF-3).

    Args:
        offset: Byte of the first cell; None where nothing was written.
        strides: Bytes from one cell to the next along each dimension.
    """

    offset: int | None
    strides: tuple[int, ...]

    def check(self, shape: tuple[int, ...], itemsize: int, size: int) -> None:
        """Refuse what does not lie inside a file of `size` bytes. Raises ValueError."""
        if len(self.strides) != len(shape) or any(not 0 <= stride < _MOST_BYTES for stride in self.strides):
            raise ValueError("strides that do not fit the shape")
        if self.offset is None or 0 in shape:
            return
        reach = sum((count - 1) * step for count, step in zip(shape, self.strides, strict=True)) + itemsize
        if self.offset < 0 or self.offset + reach > size:
            raise ValueError("cells outside the file")


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """Cells in chunks of one shape; all arrays have an element a chunk, in C order of the grid of chunks.

    Args:
        chunk: Shape of a chunk.
        filters: What was done to a chunk, in the order of writing: (name, number); the number is the item size of
            `shuffle`, otherwise 0.
        offsets: Bytes from the start of the file, int64; −1 where there is no chunk. In a Zarr folder 0 where there is.
        sizes: Bytes as stored, int64.
        masks: Bit n is set where filter n was left out, uint32; empty: nowhere.
        mtimes: When the file of a chunk was changed, in ns, int64; only in a Zarr folder.
        place: How the files of a Zarr folder are called: folder and the text between the numbers; only there.
    """

    chunk: tuple[int, ...]
    filters: tuple[tuple[str, int], ...]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint32]
    mtimes: npt.NDArray[np.int64] | None = None
    place: "Place | None" = None

    def check(self, shape: tuple[int, ...], itemsize: int, size: int) -> None:
        """Refuse what does not fit the shape, is too large, or lies outside the file. Raises ValueError."""
        if len(self.chunk) != len(shape) or any(count < 1 for count in self.chunk):
            raise ValueError("chunks that do not fit the shape")
        if self.nbytes(itemsize) > MOST_CHUNK_BYTES:
            raise ValueError(f"chunks of more than {MOST_CHUNK_BYTES:,} bytes")
        count = math.prod(self.grid(shape))
        for array in (self.offsets, self.sizes, self.mtimes):
            if array is not None and (array.dtype != np.int64 or array.shape != (count,)):
                raise ValueError("another number of chunks than the shape needs")
        if self.masks.dtype != np.uint32 or self.masks.shape not in {(0,), (count,)}:
            raise ValueError("another number of masks than chunks")
        check_filters(self.filters, itemsize)
        there = self.offsets >= 0
        ends_inside = self.offsets <= size - self.sizes
        if not np.all(
            (self.offsets >= -1) & (~there | ((self.sizes > 0) & (self.sizes <= size) & ends_inside))
        ):
            raise ValueError("chunks outside the file")
        if (self.place is None) != (self.mtimes is None):
            raise ValueError("chunks of no known place")

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the number of chunks along each dimension."""
        return tuple(-(-size // count) for size, count in zip(shape, self.chunk, strict=True))

    def nbytes(self, itemsize: int) -> int:
        """Return the bytes of a chunk without filters."""
        return math.prod(self.chunk) * itemsize


@dataclass(frozen=True, slots=True)
class Place:
    """How a Zarr array names the files of its chunks (Zarr v2 "Arrays", v3 "Chunk key encoding").

    Args:
        folder: Names of the folders from the store to the array.
        prefix: What stands before the first number: `("c",)` in v3's default encoding.
        separator: `.` or `/`.
        scalar: The name of the only chunk of an array without dimensions.
    """

    folder: tuple[str, ...]
    prefix: tuple[str, ...]
    separator: str
    scalar: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse names that lead elsewhere."""
        for name in (*self.folder, *self.prefix, *self.scalar):
            if name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise ValueError("a chunk's name that leads elsewhere")
        if self.separator not in {".", "/"}:
            raise ValueError("numbers of chunks that nothing separates")

    def parts(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        """Return the names of the folders and the file of a chunk, from the store on."""
        if not numbers:
            return (*self.folder, *self.scalar)
        words = [*self.prefix, *map(str, numbers)]
        return (*self.folder, *(words if self.separator == "/" else [".".join(words)]))


@dataclass(frozen=True, slots=True)
class Stored:
    """A variable as it lies in the file.

    Args:
        shape: Shape there: with the dimension of characters, where those are shown as text.
        dtype: Type there, with byte order: numbers, truth values, or `S1` for characters.
        fill: The bytes of a cell that was not written, in native byte order.
        layout: Where the cells lie.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fill: bytes
    layout: Plain | Chunks

    def check(self, size: int) -> None:
        """Refuse what cannot lie in a file of `size` bytes. Raises ValueError."""
        if not _DTYPE.fullmatch(self.dtype.str):
            raise ValueError(f"cells of the type {self.dtype.str}")
        if len(self.fill) != self.dtype.itemsize:
            raise ValueError("a fill value of another type")
        check_shape(self.shape, self.dtype.itemsize)
        self.layout.check(self.shape, self.dtype.itemsize, size)


def check_filters(filters: tuple[tuple[str, int], ...], itemsize: int) -> None:
    """Refuse filters that are not known, or not in this order. Raises ValueError."""
    names = [name for name, _ in filters]
    if not set(names) <= _FILTERS or len(set(names)) < len(names) or len(set(names) & COMPRESSORS) > 1:
        raise ValueError("filters that are not known")
    if any(number != (itemsize if name == "shuffle" else 0) for name, number in filters):
        raise ValueError("a shuffle of another item size")
    inner = next((at for at, name in enumerate(names) if name in COMPRESSORS), len(names))
    if "shuffle" in names and names.index("shuffle") > inner:
        raise ValueError("a shuffle of compressed bytes")
