"""Paths of data files as text: an address that leads back, a name to show, a message that tells no folder."""

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

LOCAL = ("file", "zarr", "collection", "table")
"""The protocols of distributions whose address is a path of this machine."""

_SCHEME = "file://"
_OPENED = re.compile(r"/proc/self/fd/\d+")


def address(path: Path) -> str:
    """Return the path as text that JSON and a record keep whole: itself, or its percent-encoded `file:` address.

    A name on Linux is bytes (path_resolution(7)): one that is no UTF-8, or has control characters or spaces at its
    end, is encoded.
    """
    plain = str(path)
    return plain if plain.isprintable() and plain == plain.strip() else path.absolute().as_uri()


def place(text: str) -> Path:
    """Return the path that `address` wrote."""
    if text.startswith(_SCHEME):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_SCHEME))))
    return Path(text)


def opened_as(fd: int) -> str:
    """Return a path of an open file in ASCII (proc(5), /proc/self/fd)."""
    return f"/proc/self/fd/{fd}"


def shown(text: str) -> str:
    r"""Return text that UTF-8 can write: a byte of a name that is none is shown as `\udcea`."""
    return text.encode("utf-8", "backslashreplace").decode()


def untold(text: str, path: Path) -> str:
    """Return a message about a file without its folder, in whatever form a library wrote it: the bare name is left."""
    text = _OPENED.sub(lambda _: path.name, text)
    for known in dict.fromkeys((path, path.absolute(), path.resolve())):
        for form in _forms(known):
            text = re.sub(rf"(?<![\w.]){re.escape(form)}(?![\w.-])", lambda _: path.name, text)
        if known.is_absolute() and known.parent != known.parent.parent:
            for form in _forms(known.parent):
                text = re.sub(rf"(?<![\w.]){re.escape(form)}(/|(?![\w.-]))", "", text)
    return shown(text)


def _forms(path: Path) -> list[str]:
    """How libraries write a path, the longest first: as an address, as bytes read wrongly, quoted, as it is."""
    plain = str(path)
    found = (
        path.absolute().as_uri(),
        _SCHEME + plain,
        _SCHEME + shown(plain),
        os.fsencode(plain).decode("latin-1"),
        os.fsencode(plain).decode("utf-8", "replace"),
        repr(plain)[1:-1],
        shown(plain),
        plain,
    )
    return sorted(set(found), key=len, reverse=True)
