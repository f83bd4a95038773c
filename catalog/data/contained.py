"""Whether a file holds its data itself: HDF5 and Zarr can point to any other file of the machine.

libhdf5 reads whatever external raw storage, virtual datasets and external links name (HDF5 User's Guide, "External
storage", "Virtual datasets", "External links"), and a Zarr chunk may be a symbolic link. A stranger's file could so
give away the files of the server, therefore all of it is walked before it is read.
"""

import io
import os
from pathlib import Path

import h5py

from catalog.errors import DataUnreadable

MOST_OBJECTS = 100_000
_INSIDE = (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT)


def check_hdf5(path: str | Path | io.RawIOBase) -> None:
    """Refuse an HDF5 file that points to other files, or has too many objects to tell; no link is followed.

    Raises:
        DataUnreadable: It does, or cannot be walked.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.id
            for name in _hard_links(root):
                item = h5py.h5o.open(root, name)
                if isinstance(item, h5py.h5d.DatasetID):
                    made = item.get_create_plist()
                    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
                        raise _pointing()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise DataUnreadable(f"the HDF5 file is damaged: {error}") from error


def _hard_links(root: h5py.h5g.GroupID) -> list[bytes]:
    """The paths of all objects; each group is entered once (H5Lvisit), so cycles end."""
    names: list[bytes] = []
    seen = 0
    refused: list[DataUnreadable] = []

    def visit(name: bytes, link: h5py.h5l.LinkInfo) -> bool | None:
        nonlocal seen
        seen += 1
        if link.type not in _INSIDE:
            refused.append(_pointing())
        elif seen > MOST_OBJECTS:
            refused.append(DataUnreadable(f"the HDF5 file has more than {MOST_OBJECTS:,} objects"))
        elif link.type == h5py.h5l.TYPE_HARD:
            names.append(name)
        return True if refused else None

    root.links.visit(visit, info=True)
    if refused:
        raise refused[0]
    return names


def check_zarr(folder: Path) -> None:
    """Refuse a Zarr folder in which anything is a symbolic link. Raises DataUnreadable."""
    waiting = [os.fspath(folder)]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise _pointing()
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    except OSError as error:
        raise DataUnreadable(f"the folder cannot be read: {error.strerror}") from error


def _pointing() -> DataUnreadable:
    return DataUnreadable(
        "the file points to other files, which are not read", hint="its data must lie in the file itself"
    )
