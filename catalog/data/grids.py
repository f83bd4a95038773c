"""A dataset that was opened once: its axes are found and its coordinates read at their first use, then kept."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes
from catalog.data.clock import Clock

T = TypeVar("T")

_TOLD = 10_000
"""Bytes that a grid grows by before it tells of them."""


class Grid:
    """An undecoded, lazy dataset with what every cut of it needs again; usable from any thread.

    Args:
        dataset: As `catalog.data.opening.opened` gives it; it stays open as long as the grid is used.
        nbytes: Bytes of memory that the dataset itself has: its index, and values that are not read again.

    `nbytes` grows with what is kept; `grew` is called after it did. `check` raises DataChanged where the source is not
    what it was, if that is not seen when it is read; `checked` is when it was asked (`time.monotonic`). `twins` are
    variables, by name, whose same values lie in other chunks too (`catalog.data.twins`).
    """

    def __init__(self, dataset: xr.Dataset, nbytes: int = 0) -> None:
        self.dataset = dataset
        self.nbytes = nbytes
        self.grew: Callable[[], None] = _nothing
        self.check: Callable[[], None] | None = None
        self.checked = 0.0
        self.twins: Mapping[str, xr.Variable] = {}
        self._told = nbytes
        self._counted: set[int] = set()
        self._kept: dict[Any, Any] = {}
        self._lock = threading.RLock()

    @classmethod
    def of(cls, dataset: "xr.Dataset | Grid") -> "Grid":
        """Return the grid of a dataset, or the grid itself."""
        return dataset if isinstance(dataset, Grid) else cls(dataset)

    @cached_property
    def axes(self) -> Axes:
        """The axes of the dataset."""
        return ax.find(self.dataset)

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """Return a coordinate's unpacked values, float64, of its shape, read-only. Raises as `axes.values`."""
        return self.keep(("values", name), lambda: _frozen(ax.values(self.dataset[name].variable)))

    def clock(self, name: str) -> Clock:
        """Return how a time axis counts. Raises DataUnreadable."""
        return self.keep(("clock", name), lambda: ax.clock(self.dataset, name))

    def places(self, name: str) -> npt.NDArray[np.int64]:
        """Return the positions (`catalog.data.clock.position`) of a time axis. Raises DataUnreadable."""
        return self.keep(("places", name), lambda: _frozen(self.clock(name).positions(self.values(name))))

    @cached_property
    def time(self) -> str | None:
        """The dimension of the time axis; None where that has not one of its own."""
        name = self.axes.time
        dims = () if name is None else self.dataset.variables[name].dims
        return str(dims[0]) if len(dims) == 1 else None

    def keep(self, key: object, make: Callable[[], T]) -> T:
        """Return what `make` returned the first time it was asked for under this key."""
        with self._lock:
            if key not in self._kept:
                made = make()
                self.nbytes += held(made, self._counted)
                self._kept[key] = made
            found: T = self._kept[key]
            grew = self.nbytes - self._told >= _TOLD
            self._told = self.nbytes if grew else self._told
        if grew:
            self.grew()
        return found


def held(value: object, counted: set[int]) -> int:
    """Return about how many bytes of memory the arrays in a value have; lazy ones have none.

    Args:
        value: An array, what tells its `held_bytes`, or a dataclass, mapping or tuple of such.
        counted: Identities of arrays that are counted already, and stay in memory; those of this value are added.
    """
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        known = id(value) in counted
        counted.add(id(value))
        return 0 if known else value.nbytes
    if (size := getattr(value, "held_bytes", None)) is not None:
        return int(size)
    if is_dataclass(value):
        return sum(held(getattr(value, part.name), counted) for part in fields(value))
    if isinstance(value, Mapping):
        return sum(held(part, counted) for part in value.values())
    return sum(held(part, counted) for part in value) if isinstance(value, tuple) else 0


def _nothing() -> None:
    """What a grid does that nobody watches."""


def _frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values.flags.writeable = False
    return values
