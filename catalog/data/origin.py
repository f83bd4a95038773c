"""What a part of a dataset keeps of the whole, so that its axes are found once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.data.axes import Axes


@dataclass(frozen=True)
class Origin:
    """The axes of the whole that are in the part, the variables asked for, and the source's indices.

    Args:
        axes: The axes; the other names in them are those of the whole.
        wanted: The variables that were asked for.
        picks: The source's indices along each dimension that was cut.
    """

    axes: Axes
    wanted: tuple[str, ...]
    picks: Mapping[str, npt.NDArray[np.intp]] = field(default_factory=dict)


def origin(dataset: xr.Dataset) -> Origin:
    """Return what a dataset keeps of the whole that it was cut from (`encoding["origin"]`), else its own axes."""
    known = dataset.encoding.get("origin")
    if not isinstance(known, Origin):
        axes = ax.find(dataset)
        return Origin(axes, axes.data_variables(dataset))

    def there(name: str | None) -> str | None:
        return name if name in dataset.variables else None

    axes = replace(
        known.axes,
        longitude=there(known.axes.longitude),
        latitude=there(known.axes.latitude),
        vertical=there(known.axes.vertical),
        time=there(known.axes.time),
    )
    return Origin(axes, tuple(name for name in known.wanted if name in dataset.variables), known.picks)


def sample_dimensions(dataset: xr.Dataset) -> frozenset[str]:
    """Return the dimensions along which a ragged array has its samples (CF §9.3.3, §9.3.4); empty: it is none."""
    found: set[str] = set()
    for variable in dataset.variables.values():
        if "sample_dimension" in variable.attrs:
            found.add(str(variable.attrs["sample_dimension"]))
        if "instance_dimension" in variable.attrs:
            found |= set(map(str, variable.dims))
    return frozenset(found)
