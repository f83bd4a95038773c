"""The variables of a dataset of many files, as they are when its members are joined."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.data.agreeing import common, is_time
from catalog.data.clock import Clock
from catalog.data.joining import Places, Run, microseconds, one_unit, references, taken, timeless
from catalog.data.members import MOST_KEPT, Member, Part
from catalog.data.packing import unpack
from catalog.errors import DataUnreadable

_PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
_RANGES = ("valid_min", "valid_max", "valid_range", "actual_range")
_WIDE = 8

Statics = Callable[[Member, Sequence[str]], Mapping[str, npt.NDArray[Any]]]
"""Gives the values of variables of a member."""


@dataclass(frozen=True)
class Whole:
    """A variable of all members.

    Args:
        name: Its name.
        dtype: Its type, as in the members, or that of its decoded values.
        dims: Its dimensions.
        shape: Its sizes.
        attributes: Its attributes.
        chunks: The sizes of chunks as members have them.
        new: How many of its first dimensions its members lack.
        decoded: Whether its members are packed differently, so that decoded values are joined.
        values: Its values where they are known without opening a member.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...] | None
    new: int
    decoded: bool
    values: npt.NDArray[Any] | None


@dataclass(frozen=True)
class Joined:
    """Members on a joined grid.

    Args:
        members: All of them.
        runs: By dimension, which blocks its steps come from.
        blocks: By dimension, a member that has each block.
    """

    members: Sequence[Member]
    runs: Mapping[str, Sequence[Run]]
    blocks: Mapping[str, Sequence[Member]]

    def size(self, dimension: str) -> int:
        """Return the steps along a joined dimension."""
        return sum(run.count for run in self.runs[dimension])


def assemble(
    joined: Joined, stepping: frozenset[str], dropped: Sequence[str], statics: Statics
) -> list[Whole]:
    """Return the variables in the order of the first member.

    Raises:
        DataUnreadable: Values or times of the members cannot be joined exactly.
    """
    model = joined.members[0]
    wanted = [part for name, part in model.parts.items() if name not in dropped]
    parts = [_stepped(part, model.axes[0][1]) if part.name in stepping else part for part in wanted]
    small = [p.name for p in parts if _is_static(p, joined) and p.coordinate and _bytes(p) <= MOST_KEPT]
    known = dict(statics(model, small)) if small else {}
    clocked = _clocked(joined, parts)
    return [_whole(joined, part, stepping, known, clocked) for part in parts]


def _stepped(part: Part, dimension: str) -> Part:
    """One value a member as one step a member."""
    values = part.values.reshape((1,)) if part.values is not None else None
    return replace(part, dims=(dimension,), shape=(1,), values=values, new=1, digest=None)


def _is_static(part: Part, joined: Joined) -> bool:
    return not joined.runs.keys() & set(part.dims)


def _bytes(part: Part) -> int:
    return int(np.prod(part.shape, dtype=object)) * part.dtype.itemsize


def _whole(
    joined: Joined,
    part: Part,
    stepping: frozenset[str],
    known: Mapping[str, npt.NDArray[Any]],
    clocked: Mapping[str, tuple[dict[str, Any], list[npt.NDArray[Any]]]],
) -> Whole:
    every = [member.parts[part.name] for member in joined.members]
    along = [dimension for dimension in part.dims if dimension in joined.runs]
    shape = tuple(
        joined.size(d) if d in along else size for d, size in zip(part.dims, part.shape, strict=True)
    )
    dtype, decoded = _stored(every)
    attributes, _ = common([each.attributes for each in every])
    if decoded:
        attributes = {k: v for k, v in attributes.items() if k not in (*_PACKING, *_RANGES)}
        attributes |= {"_FillValue": dtype.type(np.nan)} if dtype.kind == "f" else {}
    values = known.get(part.name)
    if part.name in clocked:
        attributes, blocks = clocked[part.name]
        values, dtype, decoded = (
            taken(blocks, joined.runs[along[0]], part.dims.index(along[0])),
            np.dtype(float),
            False,
        )
    elif len(along) == 1:
        blocks = _blocks(joined, part, along[0], stepping, decoded=decoded)
        if blocks:
            values = taken(blocks, joined.runs[along[0]], part.dims.index(along[0])).astype(dtype)
    return Whole(
        part.name, dtype, part.dims, shape, attributes, _chunks(every, part), part.new, decoded, values
    )


def _blocks(
    joined: Joined, part: Part, dimension: str, stepping: frozenset[str], *, decoded: bool
) -> list[npt.NDArray[Any]]:
    """The values of each block along a dimension; nothing where they are not known."""
    found = []
    for member in joined.blocks[dimension]:
        own = member.parts[part.name]
        if own.values is None:
            return []
        values = own.values.reshape((1,)) if part.name in stepping else own.values
        found.append(unpack(values, own.attributes) if decoded else values)
    return found


def _stored(every: Sequence[Part]) -> tuple[np.dtype[Any], bool]:
    """The type of a variable of all members, and whether their packing differs so that decoded values are joined."""
    first = every[0]
    packings = {repr([each.attributes.get(name) for name in _PACKING]) for each in every}
    if first.dtype.kind not in "iufb" or (len(packings) == 1 and len({each.dtype for each in every}) == 1):
        return np.dtype(np.result_type(*{each.dtype for each in every})), False
    types = {unpack(np.empty(0, each.dtype), each.attributes).dtype for each in every}
    dtype = np.dtype(np.result_type(*types))
    if dtype.kind == "f" and any(each.kind in "iu" and each.itemsize == _WIDE for each in types):
        raise DataUnreadable(f"members store {first.name} as whole numbers of 64 bits and as floats")
    return dtype, True


def _chunks(every: Sequence[Part], part: Part) -> tuple[int, ...] | None:
    """The largest chunks of any member, along each dimension no longer than a member is."""
    found = [each.chunks for each in every if each.chunks and len(each.chunks) == len(part.dims)]
    longest = [max(sizes) for sizes in zip(*(each.shape for each in every), strict=True)]
    if not found:
        return None
    return tuple(max(1, min(max(sizes), most)) for *sizes, most in zip(*found, longest, strict=True))


def _clocked(
    joined: Joined, parts: Sequence[Part]
) -> dict[str, tuple[dict[str, Any], list[npt.NDArray[Any]]]]:
    """Attributes and, block by block, the numbers of times whose units differ between members, in one unit."""
    found: dict[str, tuple[dict[str, Any], list[npt.NDArray[Any]]]] = {}
    for part in parts:
        along = [d for d in part.dims if d in joined.runs]
        units = {str(member.parts[part.name].attributes.get("units")) for member in joined.members}
        if not along or not is_time(part) or len(units) == 1:
            continue
        members = joined.blocks[along[0]]
        edges = [str(part.attributes.get(key, "")) for key in ("bounds", "climatology")]
        names = [part.name, *(p.name for p in parts if p.name in edges and "units" not in p.attributes)]
        times = {name: _times(members, part.name, name) for name in names}
        clock = Clock.of(members[0].parts[part.name].attributes)
        said, numbers = one_unit([each for name in names for each in times[name]], clock.reference)
        for at, name in enumerate(names):
            attributes, _ = common([timeless(member.parts[name].attributes) for member in members])
            timing = {"units": said, "calendar": clock.calendar} if name == part.name else {}
            found[name] = ({**attributes, **timing}, numbers[at * len(members) : (at + 1) * len(members)])
    return found


def _times(members: Sequence[Member], clock_of: str, name: str) -> list[npt.NDArray[np.int64]]:
    """Times of each member in microseconds since the first one's reference."""
    clocks = [Clock.of(member.parts[clock_of].attributes) for member in members]
    offsets = references(clocks)
    found = []
    for member, clock, offset in zip(members, clocks, offsets, strict=True):
        own = member.parts[name]
        if own.values is None:
            raise DataUnreadable(f"the units of {name} differ between members, and it is too large to join")
        found.append(
            microseconds(own.values.reshape(own.shape), own.attributes, clock) + (offset - offsets[0])
        )
    return found


__all__ = ["Joined", "Places", "Statics", "Whole", "assemble"]
