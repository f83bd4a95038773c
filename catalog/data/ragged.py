"""Ragged arrays: which station, profile or trajectory each sample belongs to (CF conventions §9.3.3 and §9.3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from catalog.data import axes as ax
from catalog.errors import NotSubsettable


@dataclass(frozen=True)
class Parent:
    """The instances that samples belong to.

    Args:
        dimension: The samples' dimension.
        of: For each sample the index of its instance.
        size: How many instances there are.
    """

    dimension: str
    of: npt.NDArray[np.intp]
    size: int


def parents(dataset: xr.Dataset) -> Mapping[str, Parent]:
    """Return by the dimension of the instances how samples lead to them; only counts and indices are read.

    Contiguous arrays say how many samples each instance has (`sample_dimension`), indexed ones the instance of each
    sample (`instance_dimension`).

    Raises:
        NotSubsettable: The counts do not add up to the samples, or an index names no instance.
        DataUnreadable: They cannot be read.
    """
    found: dict[str, Parent] = {}
    for name, variable in dataset.variables.items():
        samples, instances = (
            str(variable.attrs.get(f"{kind}_dimension", "")) for kind in ("sample", "instance")
        )
        if samples in dataset.sizes and variable.ndim == 1:
            instance, sample = str(variable.dims[0]), samples
            of = _counted(str(name), variable, dataset.sizes[sample])
        elif instances in dataset.sizes and variable.ndim == 1:
            instance, sample = instances, str(variable.dims[0])
            of = _indexed(str(name), variable, dataset.sizes[instance])
        else:
            continue
        if instance != sample:
            found[instance] = Parent(sample, of, dataset.sizes[instance])
    return found


def _counted(name: str, variable: xr.Variable, samples: int) -> npt.NDArray[np.intp]:
    counts = np.nan_to_num(ax.values(variable))
    if np.any(counts < 0) or np.any(counts > samples) or counts.sum() != samples:
        raise NotSubsettable(
            f"the data are a ragged array whose counts {name[:100]} do not add up to its {samples} samples",
            hint="ask for NetCDF",
        )
    return np.repeat(np.arange(counts.size), counts.astype(np.intp))


def _indexed(name: str, variable: xr.Variable, instances: int) -> npt.NDArray[np.intp]:
    numbers = ax.values(variable)
    if not np.all((numbers >= 0) & (numbers < instances)):
        raise NotSubsettable(
            f"the data are a ragged array whose index {name[:100]} names instances beyond its {instances}",
            hint="ask for NetCDF",
        )
    return numbers.astype(np.intp)
