"""Which members of a collection are of one dataset: those that agree with most others; for each other one, why not."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.data import exact
from catalog.data.members import Member, Part
from catalog.errors import DataUnreadable

_MEANING = (
    "standard_name", "units", "positive", "axis", "bounds", "climatology", "coordinates", "grid_mapping",
    "formula_terms", "cf_role", "mesh", "location", "flag_values", "flag_masks", "flag_meanings", "sample_dimension",
    "instance_dimension", "compress", "cell_methods",
)  # fmt: skip
"""Attributes without which numbers mean something else (CF conventions, appendix A)."""

_SINCE = re.compile(r"\s*[A-Za-z]+\s+since\s+\S", re.IGNORECASE)


@dataclass(frozen=True)
class Agreed:
    """Members of one dataset, and what was found on the way.

    Args:
        members: Those that agree, in the order of their paths.
        left_out: Why others do not, by path.
        stepping: Names of single values that differ from member to member, and so lie along the joined axis.
        dropped: Names of variables that should be alike in all members and are not.
    """

    members: tuple[Member, ...]
    left_out: Mapping[str, str]
    stepping: frozenset[str]
    dropped: tuple[str, ...]


def is_time(part: Part) -> bool:
    """Tell whether a variable counts since a date."""
    return _SINCE.match(str(part.attributes.get("units", ""))) is not None


def agree(members: Sequence[Member]) -> Agreed:
    """Return the members that agree in variables, types, sizes, meaning and the values that all of them share.

    What most members have counts, of equally many what the first by path has.

    Raises:
        DataUnreadable: No two of several members lie on one grid.
    """
    every = sorted(members, key=lambda member: member.path)
    shapes = {member.path: _structure(member) for member in every}
    usual = Counter(shapes.values()).most_common(1)[0][0]
    model = next(member for member in every if shapes[member.path] == usual)
    left_out = {
        member.path: f"it differs from {model.path}: {_difference(model, member)}"
        for member in every
        if shapes[member.path] != usual
    }
    kept = [member for member in every if member.path not in left_out]
    stepping, dropped = set(), []
    for name in [name for name, part in model.parts.items() if part.digest is not None]:
        digests = Counter(member.parts[name].digest for member in kept)
        common, count = digests.most_common(1)[0]
        if 2 * count > len(kept):
            odd = [member for member in kept if member.parts[name].digest != common]
            model = next(member for member in kept if member.parts[name].digest == common)
            left_out |= {m.path: f"it differs from {model.path}: other values of {name}" for m in odd}
            kept = [member for member in kept if member not in odd]
        elif not model.parts[name].dims and len(model.axes) == 1:
            stepping.add(name)
        elif model.parts[name].coordinate and model.parts[name].dims:
            raise DataUnreadable(
                f"the files have no {name} in common: they are not one dataset along its axes"
            )
        else:
            dropped.append(name)
    return Agreed(tuple(kept), left_out, frozenset(stepping), tuple(dropped))


def common(every: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the attributes that all have with one value and type, and the names of the others."""
    said = [{name: repr(exact.written(value)) for name, value in each.items()} for each in every]
    names = dict.fromkeys(name for each in every for name in each)
    same = {name for name in names if len({each.get(name) for each in said}) == 1}
    return {n: every[0][n] for n in names if n in same}, tuple(n for n in names if n not in same)


def _structure(member: Member) -> tuple[Any, ...]:
    """What members must have in common, as a value that can be counted."""
    parts = sorted(member.parts.values(), key=lambda part: part.name)
    return (member.axes, *(tuple(_facts(member, part).items()) for part in parts))


def _facts(member: Member, part: Part) -> dict[str, Any]:
    joined = {dimension for _, dimension in member.axes}
    meaning = {name: repr(part.attributes[name]) for name in _MEANING if name in part.attributes}
    if is_time(part):
        meaning["calendar"] = str(part.attributes.get("calendar", "standard")).lower()
        if joined & set(part.dims) and part.values is not None:
            del meaning["units"]
    return {
        "name": part.name,
        "dimensions": part.dims,
        "type": part.dtype.kind if part.dtype.kind not in "iuf" else "number",
        "shape": tuple(
            size for dimension, size in zip(part.dims, part.shape, strict=True) if dimension not in joined
        ),
        **meaning,
    }


def _difference(model: Member, other: Member) -> str:
    """The first difference between two members, for a person."""
    if model.axes != other.axes:
        return "other axes"
    for name, part in model.parts.items():
        if name not in other.parts:
            return f"it lacks the variable {name}"
        ours, theirs = _facts(model, part), _facts(other, other.parts[name])
        for key in dict.fromkeys((*ours, *theirs)):
            if ours.get(key) != theirs.get(key):
                return f"{key} of {name} is {theirs.get(key, 'missing')}, not {ours.get(key, 'missing')}"[
                    :300
                ]
    more = sorted(other.parts.keys() - model.parts.keys())
    return f"it also has the variable {more[0]}" if more else "other variables"
