"""The files that data are made of: one, or those of a Zarr folder; their size, their last change, their checksum."""

import hashlib
from pathlib import Path
from typing import Any

from catalog.data.places import address

_BLOCK = 1 << 20


def facts(path: Path) -> dict[str, Any]:
    """Return address (`places.address`), size, mtime and checksum of a file, or of a Zarr folder's files by name."""
    digest = hashlib.sha256()
    for part in parts(path):
        if part is not path:
            digest.update(part.relative_to(path).as_posix().encode("utf-8", "surrogateescape") + b"\0")
        with part.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    changed = max(part.stat().st_mtime for part in parts(path))
    return {
        "path": address(path),
        "size": size(path),
        "mtime": changed,
        "checksum": f"sha256:{digest.hexdigest()}",
    }


def stamp(path: Path) -> tuple[int, int]:
    """Return (bytes, nanoseconds of the last change) of a file or a Zarr folder. Raises OSError."""
    found = [part.stat() for part in parts(path)]
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a Zarr folder."""
    return sum(part.stat().st_size for part in parts(path))


def parts(path: Path) -> list[Path]:
    """Return the file, or the files of a Zarr folder in the order of their names."""
    return sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
