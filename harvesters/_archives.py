"""Archives that strangers made, opened without trusting a name, a size or a ratio in them; nothing is ever extracted.

Members are looked up by their names in a table and read as streams. A name is never a path: where the archive is a
folder, only regular files that lie in it are in the table, and no link is followed. ZIP: PKWARE APPNOTE 6.3.10.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from catalog.errors import BadDocument

MEMBERS = 10_000
INFLATED = 4_000_000_000
RATIO = 200
_TOO_MANY = f"the archive has more than {MEMBERS:,} members"
_FLOOR = 1_000_000
_PIECE = 262_144
_ENCRYPTED = 0x1
_WAYS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError,
    OverflowError, IndexError, struct.error, zlib.error,
)  # fmt: skip
_CENTRAL = b"PK\x01\x02"
_JUNK = re.compile(r"(?:^|/)(?:__MACOSX/|\.)")


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Args:
        name: Its name there, as given.
        packed: Its bytes in the archive.
        open: Opens its stream.
    """

    name: str
    packed: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Archive:
    """The members of an archive, by name."""

    members: Mapping[str, Member]

    def names(self) -> tuple[str, ...]:
        """Return the names of its files, without folders and hidden ones."""
        return tuple(name for name in self.members if not _JUNK.search(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes in pieces of at most 256 KiB.

        Raises:
            BadDocument: There is none of that name, it is damaged, or it grows beyond 4 GB, or 200 times and 1 MB.
        """
        member = self.members.get(name)
        if member is None:
            raise BadDocument(f"the archive has no file {name[:200]!r}")
        most, given = min(INFLATED, max(_FLOOR, RATIO * member.packed)), 0
        with _told(f"{name[:200]!r} of the archive"), member.open() as stream:
            while piece := stream.read(_PIECE):
                given += len(piece)
                if given > most:
                    raise BadDocument(
                        f"{name[:200]!r} of the archive grows beyond {most:,} bytes from {member.packed:,}"
                    )
                yield piece

    def whole(self, name: str, most: int) -> bytes:
        """Return a member's bytes. Raises BadDocument, also where they are more than `most`."""
        found = bytearray()
        for piece in self.pieces(name):
            found += piece
            if len(found) > most:
                raise BadDocument(f"{name[:200]!r} of the archive is larger than {most:,} bytes")
        return bytes(found)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell every way in which reading can break as BadDocument."""
    try:
        yield
    except _BROKEN as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise BadDocument(f"{what} cannot be read: {type(error).__name__} {said}"[:300]) from error


@contextmanager
def open_zip(content: bytes | Path) -> Iterator[Archive]:
    """Open a ZIP in memory, or a local one, until it is left; its members are inflated only as they are read.

    Raises:
        BadDocument: It is none, has more than 10,000 members, one name twice, or an encrypted member or one packed
            otherwise than by deflate.
    """
    if isinstance(content, bytes) and content.count(_CENTRAL) > MEMBERS:
        raise BadDocument(_TOO_MANY)
    with _told("the archive"):
        stream = BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    with stream:
        yield Archive(_members(stream))


def _members(stream: IO[bytes]) -> dict[str, Member]:
    """The members of a ZIP, by name. Raises BadDocument."""
    with _told("the archive"):
        size = stream.seek(0, os.SEEK_END)
        archive = zipfile.ZipFile(stream)
        infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MEMBERS:
        raise BadDocument(_TOO_MANY)
    members: dict[str, Member] = {}
    for info in infos:
        if info.filename in members:
            raise BadDocument(f"the archive has two files {info.filename[:200]!r}")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _WAYS:
            raise BadDocument(
                f"{info.filename[:200]!r} of the archive is encrypted, or packed in a way not read here"
            )
        packed = min(info.compress_size, size)
        members[info.filename] = Member(info.filename, packed, _opener(archive, info))
    return members


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


@contextmanager
def open_folder(folder: Path) -> Iterator[Archive]:
    """Open a folder as an archive of the regular files that lie in it.

    Raises:
        BadDocument: It cannot be listed, or has more than 10,000 files.
    """
    members: dict[str, Member] = {}
    with _told("the folder"), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                members[entry.name] = Member(entry.name, size, _file_opener(Path(entry.path)))
            if len(members) > MEMBERS:
                raise BadDocument(f"the folder has more than {MEMBERS:,} files")
    yield Archive(members)


def _file_opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
