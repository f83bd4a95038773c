"""From files that are one dataset to its header document: each is scanned, or known; then all are joined."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import orjson

from catalog.data import collecting, exact, members, opening
from catalog.data.members import Member
from catalog.data.parts import stamp
from catalog.errors import DataError, DataUnreadable
from catalog.source import printable

Ask = Callable[..., bytes]
"""Runs a job on a path, with further arguments, in a worker process; gives its JSON, or what is known from before."""


def gather(  # noqa: PLR0913 - what, where and how
    name: str, folder: Path, paths: Sequence[Path], along: Sequence[str], home: Path, ask: Ask
) -> tuple[bytes, Mapping[str, str]]:
    """Return the header document of files that are one dataset, and why some of them are not in it, by relative path.

    Args:
        name: The collection's name, `[a-z0-9_-]`.
        folder: The folder that the files lie in.
        paths: The files.
        along: The axes along which they are joined (`catalog.data.members.scan`).
        home: The folder of the collection's indexes.
        ask: Runs a job.

    Raises:
        DataError: They cannot be joined; the message is the reason.
    """
    scanned: list[Member] = []
    unread: dict[str, str] = {}
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        try:
            scanned.append(_scanned(relative, path, along, ask))
        except DataError as error:
            unread[printable(relative)] = f"{error.code}: {error.message}"

    def statics(member: Member, names: Sequence[str]) -> Mapping[str, npt.NDArray[Any]]:
        said = orjson.loads(ask(members.statics, folder / member.path, *names))
        try:
            return {name: exact.read(said[name]) for name in names}
        except (KeyError, TypeError, ValueError) as error:
            raise DataUnreadable(f"{member.path} could not be described: {error}"[:300]) from error

    found = collecting.collect(name, folder, scanned, unread, statics)
    try:
        index = collecting.keep(found.index, home)
    except OSError as error:
        raise DataUnreadable(f"the index of {name} cannot be written: {error.strerror}") from error
    return ask(opening.describe_collection, index), found.left_out


def _scanned(relative: str, path: Path, along: Sequence[str], ask: Ask) -> Member:
    if printable(relative) != relative:
        raise DataUnreadable("its name is no text in UTF-8")
    try:
        before = stamp(path)
        said = ask(members.scan, path, *along)
        after = stamp(path)
    except OSError as error:
        raise DataUnreadable(f"it cannot be read: {error.strerror}") from error
    if before != after:
        raise DataUnreadable("it was written while it was read")
    return Member.of(relative, before, orjson.loads(said))
