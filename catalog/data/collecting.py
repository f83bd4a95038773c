"""Collecting: the index of many files that are one dataset, from what each of them says (`catalog.data.members`).

The index tells the dataset's variables, the values of the joined axes, and which file has which steps, so that nothing
need be opened to know what a request touches. It is made of what files said at the harvest: a cache, never a second
truth. `catalog.data.collection` opens it.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from catalog.data import agreeing, exact, gaps, joining
from catalog.data.assembling import Joined, Statics, Whole, assemble
from catalog.data.clock import Clock
from catalog.data.gaps import Gap, Hole
from catalog.data.joining import Line, Places
from catalog.data.members import Member
from catalog.data.places import address
from catalog.errors import DataUnreadable

VERSION = 1
_KEPT = 5
_SHOWN = 10
_SPANS = (("day", 86_400_000_000), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000))


@dataclass(frozen=True)
class Collected:
    """An index, and the files that are not in it: the reason by path."""

    index: Mapping[str, Any]
    left_out: Mapping[str, str]


def collect(
    name: str, folder: Path, scanned: Sequence[Member], unread: Mapping[str, str], statics: Statics
) -> Collected:
    """Return the index of the members that are one dataset.

    Members that differ from most others are left out. Along one axis, steps that several members have are taken from
    the one whose path sorts last; along several axes, members are tiles that do not overlap.

    Args:
        name: The collection's name.
        folder: What the members' paths are relative to.
        scanned: The members that could be read.
        unread: Why others could not, by path.
        statics: Reads values that all members share from one of them.

    Raises:
        DataUnreadable: There is nothing that can be joined, or it cannot be joined exactly.
    """
    if not scanned:
        first = next(iter(unread.items()), None)
        said = f"; {first[0]}: {first[1]}" if first else ""
        raise DataUnreadable(f"no file of the collection can be read{said}"[:500])
    agreed = agreeing.agree(scanned)
    members, places, unplaced = _placed(agreed.members)
    joined, tiles, beaten, doubles = _joined(members, places)
    left_out = {**unread, **agreed.left_out, **unplaced, **beaten}
    wholes = assemble(joined, agreed.stepping, agreed.dropped, statics)
    attributes, differing = agreeing.common([member.attributes for member in joined.members])
    found = [
        *(gap for axis in joined.members[0].axes for gap in _gaps(axis, joined, places, wholes)),
        *(_holes(joined, tiles) if -1 in tiles else ()),
    ]
    problems = [
        *_problem("collection-left-out", [f"{path}: {reason}" for path, reason in left_out.items()],
                  "files left out: {}"),
        *_problem("collection-gap", [gap.text for gap in found], "gaps between the files: {}"),
        *_problem("collection-overlap", doubles, "overlapping files, the last by its path is used: {}"),
        *_problem("collection-packing", [whole.name for whole in wholes if whole.decoded],
                  "variables packed differently by file, given decoded: {}"),
        *_problem("collection-dropped", agreed.dropped, "variables left out, different by file: {}"),
        *_problem("collection-attributes", differing, "attributes left out, different by file: {}"),
    ]  # fmt: skip
    index = {
        "version": VERSION,
        "name": name,
        "folder": address(folder),
        "form": joined.members[0].form,
        "checksum": _checksum(joined.members),
        "size": sum(member.size for member in joined.members),
        "attributes": {key: exact.written(value) for key, value in attributes.items()},
        "axes": [
            {"name": axis, "dimension": d, "runs": [[r.block, r.start, r.count] for r in joined.runs[d]]}
            for axis, d in joined.members[0].axes
        ],
        "tiles": tiles,
        "members": [_member(member, places[member.path]) for member in joined.members],
        "variables": [_variable(whole) for whole in wholes],
        "gaps": [gaps.written(gap) for gap in found],
        "problems": problems,
    }
    return Collected(index, left_out)


def keep(index: Mapping[str, Any], folder: Path) -> Path:
    """Write an index into a folder of its own content, and return its path; the newest few are kept.

    The same members with the same bytes give the same path, whenever they were written.

    Raises:
        OSError: It cannot be written.
    """
    timeless = [{**member, "mtime_ns": 0} for member in index["members"]]
    key = hashlib.sha256(orjson.dumps({**index, "members": timeless})).hexdigest()[:32]
    body = orjson.dumps(index)
    content = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    path = folder / key / f"{index['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    os.utime(path.parent)
    newest = sorted(folder.iterdir(), key=lambda each: (each != path.parent, -each.stat().st_mtime_ns))
    for old in newest[_KEPT:]:
        for left in old.iterdir():
            left.unlink(missing_ok=True)
        old.rmdir()
    return path


def _placed(members: Sequence[Member]) -> tuple[list[Member], dict[str, list[Places]], dict[str, str]]:
    """The members whose places along the axes can be told, these places by path, and why others' cannot."""
    places: dict[str, list[Places]] = {member.path: [] for member in members}
    unplaced: dict[str, str] = {}
    for axis, _ in members[0].axes:
        every = [member.parts[axis] for member in members]
        clocks = joining.clocks([part.attributes for part in every]) if agreeing.is_time(every[0]) else None
        offsets = joining.references(clocks) if clocks else (0,) * len(members)
        for at, (member, part) in enumerate(zip(members, every, strict=True)):
            assert part.values is not None
            try:
                if clocks:
                    found: Places = (
                        joining.microseconds(part.values, part.attributes, clocks[at]) + offsets[at]
                    )
                else:
                    found = joining.numbers(part.values, part.attributes)
            except DataUnreadable as error:
                unplaced[member.path] = f"{axis}: {error.message}"
            else:
                places[member.path].append(found)
    kept = [member for member in members if member.path not in unplaced]
    if not kept:
        raise DataUnreadable(f"no file can be placed: {next(iter(unplaced.values()))}")
    return kept, places, unplaced


def _joined(
    members: Sequence[Member], places: Mapping[str, Sequence[Places]]
) -> tuple[Joined, list[int], dict[str, str], list[str]]:
    """The members on their joined grid, the member of each tile (-1: none), those that others cover, and overlaps."""
    if len(members[0].axes) == 1:
        return _in_line(members, places)
    blocks: list[dict[bytes, Places]] = []
    lines: list[Line] = []
    for at, (axis, _) in enumerate(members[0].axes):
        distinct = {places[member.path][at].tobytes(): places[member.path][at] for member in members}
        found = joining.line([*distinct.values()], falling=joining.falls([*distinct.values()]))
        if found.doubles:
            raise DataUnreadable(f"the files are no tiles: they overlap along {axis} in part")
        blocks.append(distinct)
        lines.append(found)
    cells: dict[tuple[int, ...], Member] = {}
    beaten: dict[str, str] = {}
    for member in members:
        cell = tuple([*known].index(places[member.path][at].tobytes()) for at, known in enumerate(blocks))
        if cell in cells:
            beaten[cells[cell].path] = f"{member.path} is the same tile, and comes last by its path"
        cells[cell] = member
    kept = sorted(cells.values(), key=lambda member: member.path)
    number = {member.path: at for at, member in enumerate(kept)}
    tiles = [
        number[cells[cell].path] if cell in cells else -1
        for cell in product(*(range(len(known)) for known in blocks))
    ]
    dimensions = [dimension for _, dimension in members[0].axes]
    sides = {
        dimension: [
            next(cells[cell] for cell in sorted(cells) if cell[at] == b) for b in range(len(blocks[at]))
        ]
        for at, dimension in enumerate(dimensions)
    }
    runs = {dimension: line.runs for dimension, line in zip(dimensions, lines, strict=True)}
    return Joined(kept, runs, sides), tiles, beaten, [*beaten]


def _in_line(
    members: Sequence[Member], places: Mapping[str, Sequence[Places]]
) -> tuple[Joined, list[int], dict[str, str], list[str]]:
    blocks = [places[member.path][0] for member in members]
    line = joining.line(blocks, falling=joining.falls(blocks))
    used = {run.block for run in line.runs}
    order = {block: at for at, block in enumerate(sorted(used))}
    kept = [members[block] for block in sorted(used)]
    runs = tuple(replace(run, block=order[run.block]) for run in line.runs)
    beaten = {
        member.path: "all its steps are in files that come later by their path"
        for at, member in enumerate(members)
        if at not in used
    }
    taken = dict.fromkeys(members[run.block].path for run in line.runs)
    counts = {path: sum(run.count for run in line.runs if members[run.block].path == path) for path in taken}
    cut = [m.path for at, m in enumerate(members) if at in used and counts[m.path] < blocks[at].size]
    dimension = members[0].axes[0][1]
    doubles = [*(f"{path} (in part)" for path in cut), *beaten] if line.doubles else []
    return Joined(kept, {dimension: runs}, {dimension: kept}), list(range(len(kept))), beaten, doubles


def _gaps(
    axis: tuple[str, str], joined: Joined, places: Mapping[str, Sequence[Places]], wholes: Sequence[Whole]
) -> list[Gap]:
    """What a joined axis lacks; times by their instants, other places by their numbers."""
    name, dimension = axis
    at = [d for _, d in joined.members[0].axes].index(dimension)
    blocks = [places[member.path][at] for member in joined.blocks[dimension]]
    line = joining.taken(blocks, joined.runs[dimension], 0)
    whole = next(each for each in wholes if each.name == name)
    assert whole.values is not None
    found = []
    for index, count in joining.gaps(line):
        if line.dtype.kind == "i":
            step = (int(line[index + 1]) - int(line[index])) // (count + 1)
            ends = [line[index], line[index] + step, line[index + 1] - step, line[index + 1]]
            calendar = _calendar(joined.blocks[dimension][0], name)
            before, first, last, after = joining.instants(np.array(ends), calendar)
            text = f"no data between {before} and {after}: {_missing(count, step)}"
        else:
            first = last = ""
            a, b = line[index], line[index + 1]
            steps = "1 step is" if count == 1 else f"{count} steps are"
            text = f"no data between {a:.7g} and {b:.7g} of {name}: {steps} missing"
        found.append(Gap(dimension, index, first, last, text))
    return found


def _calendar(member: Member, axis: str) -> str:
    return Clock.of(member.parts[axis].attributes).calendar


def _missing(count: int, step: int) -> str:
    """How many steps of how many microseconds are missing, in words."""
    name, unit = next(((name, unit) for name, unit in _SPANS if step >= unit), ("microsecond", 1))
    length = f"{step / unit:.3g} {name}{'' if step == unit else 's'}"
    return f"1 step of {length} is missing" if count == 1 else f"{count} steps of {length} are missing"


def _holes(joined: Joined, tiles: Sequence[int]) -> list[Hole]:
    """The tiles that are missing."""
    axes = joined.members[0].axes
    sides = [[_side(joined, axis, block) for block in range(len(joined.blocks[axis[1]]))] for axis in axes]
    found = []
    for cell, tile in zip(product(*sides), tiles, strict=True):
        if tile < 0:
            spans = {dimension: span for (_, dimension), (span, _) in zip(axes, cell, strict=True)}
            said = ", ".join(text for _, text in cell)
            found.append(Hole(spans, f"there is no file for {said}: its cells are missing"))
    return found


def _side(joined: Joined, axis: tuple[str, str], block: int) -> tuple[tuple[int, int], str]:
    """The first and last index of a block along an axis, and its values in words."""
    name, dimension = axis
    values = joined.blocks[dimension][block].parts[name].values
    assert values is not None
    at, indices = 0, []
    for run in joined.runs[dimension]:
        indices += [at, at + run.count - 1] if run.block == block else []
        at += run.count
    return (min(indices), max(indices)), f"{name} {values.min():.7g} to {values.max():.7g}"


def _problem(code: str, items: Sequence[str], said: str) -> list[dict[str, str]]:
    if not items:
        return []
    more = f"; and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return [
        {"code": code, "text": f"{said.format(len(items))} ({'; '.join(items[:_SHOWN])}{more}"[:5_000] + ")"}
    ]


def _checksum(members: Sequence[Member]) -> str:
    digest = hashlib.sha256()
    for member in members:
        digest.update(f"{member.path}\0{member.checksum}\n".encode("utf-8", "surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def _member(member: Member, places: Sequence[Places]) -> dict[str, Any]:
    ends = []
    for (axis, _), each in zip(member.axes, places, strict=True):
        both = np.array([each.min(), each.max()])
        ends.append(
            joining.instants(both, _calendar(member, axis)) if each.dtype.kind == "i" else both.tolist()
        )
    return {
        "path": member.path,
        "size": member.size,
        "mtime_ns": member.mtime_ns,
        "checksum": member.checksum,
        "steps": [int(each.size) for each in places],
        "from_to": ends,
    }


def _variable(whole: Whole) -> dict[str, Any]:
    return {
        "name": whole.name,
        "dtype": "text" if whole.dtype.kind in "OUT" else whole.dtype.str,
        "dims": whole.dims,
        "shape": whole.shape,
        "attributes": {name: exact.written(value) for name, value in whole.attributes.items()},
        "chunks": whole.chunks,
        "new": whole.new,
        "decoded": whole.decoded,
        "values": exact.written(whole.values) if whole.values is not None else None,
    }
