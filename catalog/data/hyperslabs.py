"""Exact indices as DAP2 writes them (§7.1 of its specification), by dimension: `time[0:2:10],lat[5]`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.data.numbering import numbered
from catalog.errors import BadRequest

_MOST = 100
_SLAB = re.compile(
    r"\s*(?P<name>[^\[\],]{1,1000}?)\s*"
    r"\[\s*(?P<first>\d{1,15})\s*(?::\s*(?P<second>\d{1,15})\s*)?(?::\s*(?P<third>\d{1,15})\s*)?\]\s*"
)
_HINT = "write indices=time[0:2:10],lat[5] (start:stride:stop, the stop included)"


@dataclass(frozen=True)
class Hyperslab:
    """Every `stride`th index of a dimension from `start` to `stop`, both included."""

    name: str
    start: int
    stride: int
    stop: int


def parse(text: str) -> tuple[Hyperslab, ...]:
    """Read the indices of one or several dimensions.

    Raises:
        BadRequest: The text is not of this form, a dimension comes twice, or a range is empty.
    """
    found: dict[str, Hyperslab] = {}
    at = 0
    while at < len(text):
        match = _SLAB.match(text, at)
        if match is None or len(found) >= _MOST:
            raise BadRequest(f"indices={text[:60]!r} cannot be read", hint=_HINT)
        slab = _slab(match)
        if slab.name in found or slab.stride < 1 or slab.start > slab.stop:
            raise BadRequest(f"indices={match[0].strip()[:60]!r} is empty, or comes twice", hint=_HINT)
        found[slab.name] = slab
        at = match.end() + 1
        if text[match.end() : at] not in {"", ","} or (text[match.end() : at] == "," and at == len(text)):
            raise BadRequest(f"indices={text[:60]!r} cannot be read", hint=_HINT)
    return tuple(found.values())


def _slab(match: re.Match[str]) -> Hyperslab:
    first, second, third = (
        None if part is None else int(part) for part in match.group("first", "second", "third")
    )
    assert first is not None
    if second is None:
        return Hyperslab(match["name"], first, 1, first)
    return Hyperslab(match["name"], first, *((1, second) if third is None else (second, third)))


def picks(text: str, sizes: Mapping[str, int]) -> dict[str, npt.NDArray[np.intp]]:
    """Return the indices by dimension of a dataset with these sizes.

    Raises:
        BadRequest: As `parse`; or there is no such dimension, or an index is beyond its size.
        TooLarge: They are more than can be held (`catalog.data.numbering`).
    """
    found: dict[str, npt.NDArray[np.intp]] = {}
    for slab in parse(text):
        if slab.name not in sizes:
            raise BadRequest(
                f"indices= names no dimension of the data: {slab.name[:60]!r}",
                hint=f"dimensions: {', '.join(map(str, sizes))}"[:2_000],
            )
        if slab.stop >= sizes[slab.name]:
            raise BadRequest(
                f"indices= asks for {slab.name[:60]}[{slab.stop}], and its size is {sizes[slab.name]}",
                hint=f"indices run from 0 to {sizes[slab.name] - 1}",
            )
        found[slab.name] = numbered(slab.name, slab.start, slab.stop + 1, slab.stride)
    return found
