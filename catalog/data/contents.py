"""What a chunk index says of a file: its header, and where its cells are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from catalog.data.layouts import Chunks, Place, Stored, check_shape

_MOST_BYTES = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A variable as `catalog.data.opening.opened` shows it, and where its cells are.

    Args:
        name: Its name.
        dims: Names of its dimensions.
        shape: Sizes of its dimensions.
        dtype: Type of its values.
        attributes: As they are shown.
        encoding: How it is stored: what xarray says of it, in plain values.
        values: The values themselves, where the index holds them.
        stored: How it lies in the file; without that and values it is not covered.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    encoding: Mapping[str, Any]
    values: npt.NDArray[Any] | None = None
    stored: Stored | None = None

    def check(self, size: int) -> None:
        """Refuse what does not fit together, or lies outside a file of `size` bytes. Raises ValueError."""
        check_shape(self.shape, self.dtype.itemsize)
        if len(self.dims) != len(self.shape):
            raise ValueError("another number of dimensions than of sizes")
        if self.values is not None and (self.values.shape, self.values.dtype) != (self.shape, self.dtype):
            raise ValueError("values of another shape or type")
        if self.stored is None:
            return
        self.stored.check(size)
        text = self.dtype.kind == "S" and self.dtype.itemsize > 1
        shown = self.stored.shape[:-1] if text else self.stored.shape
        if shown != self.shape or (text and self.stored.shape[-1:] != (self.dtype.itemsize,)):
            raise ValueError("another shape than the file's")
        if self.stored.dtype.newbyteorder("=") != (np.dtype("S1") if text else self.dtype.newbyteorder("=")):
            raise ValueError("another type than the file's")

    def check_chunks(self) -> None:
        """Refuse chunks that are shown, and counted as a cut's cost, unlike those that are read. Raises ValueError."""
        layout = None if self.stored is None else self.stored.layout
        read = layout.chunk[: len(self.shape)] if isinstance(layout, Chunks) else None
        shown = [self.encoding[key] for key in ("chunksizes", "chunks") if self.encoding.get(key) is not None]
        for sizes in shown:
            if not isinstance(sizes, tuple) or not all(
                type(size) is int and 0 < size < _MOST_BYTES for size in sizes
            ):
                raise ValueError("chunks that are none")
        if read and (not shown or any(sizes[: len(read)] != read for sizes in shown)):
            raise ValueError("other chunks than the file's")


@dataclass(frozen=True, eq=False)
class Index:
    """A file's header, and where its cells are.

    Args:
        form: What the file is.
        size: Its bytes; of a Zarr folder, those of its metadata.
        mtime_ns: When it was changed, in ns; of a Zarr folder, its metadata.
        attributes: Global attributes.
        encoding: What xarray says of the whole, in plain values.
        sizes: Sizes of the dimensions, in order.
        variables: In order.
        files: Name (from the folder on), size and mtime of a Zarr folder's metadata files, and of those whose cells are
            among the values here; 0 and −1 of a chunk that must not be there.
    """

    form: Literal["netcdf3", "netcdf4", "zarr"]
    size: int
    mtime_ns: int
    attributes: Mapping[str, Any]
    encoding: Mapping[str, Any]
    sizes: Mapping[str, int]
    variables: tuple[Variable, ...]
    files: tuple[tuple[tuple[str, ...], int, int], ...] = ()

    def check(self) -> None:
        """Refuse what does not fit together. Raises ValueError."""
        for parts, _, _ in self.files:
            if not parts:
                raise ValueError("a file without a name")
            Place(parts, (), ".", ())
        if len({variable.name for variable in self.variables}) < len(self.variables):
            raise ValueError("two variables of one name")
        for variable in self.variables:
            variable.check(_MOST_BYTES if self.form == "zarr" else self.size)
            variable.check_chunks()
            if variable.stored is not None:
                layout = variable.stored.layout
                if (isinstance(layout, Chunks) and layout.place is not None) != (self.form == "zarr"):
                    raise ValueError("cells that lie nowhere in such a file")
            if any(self.sizes.get(d) != size for d, size in zip(variable.dims, variable.shape, strict=True)):
                raise ValueError("a dimension of two sizes")

    @cached_property
    def uncovered(self) -> frozenset[str]:
        """Names of the variables whose values only a worker can read."""
        return frozenset(v.name for v in self.variables if v.values is None and v.stored is None)
