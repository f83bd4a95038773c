"""A local NetCDF file judged by the IOOS compliance checker: CF 1.8 or later, and ACDD 1.3. Call it in a worker.

https://github.com/ioos/compliance-checker (Apache-2.0); it comes with `bienmo[quality]` and need not be there. It reads
coordinates with libhdf5, asks the network for tables that a file names, and prints: here the network is shut while it
works, and what it prints is thrown away.
"""

import contextlib
import importlib.metadata
import io
import re
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import netCDF4

from catalog.data.classic import check_whole
from catalog.data.contained import check_hdf5
from catalog.data.opening import sniff
from catalog.data.places import place as place_of
from catalog.data.places import untold
from catalog.errors import DataUnreadable, NotSubsettable

MOST_FINDINGS = 300
_LETTERS = 500
_OLDEST, _NEWEST = 8, 11  # of CF 1.x that the checker knows and we ask for
_CLAIM = re.compile(r"CF-1\.(\d{1,2})")
_GRAVITY = {3: "high", 2: "medium", 1: "low"}


def version() -> str:
    """Return the checker's version; empty where it is not installed."""
    try:
        return importlib.metadata.version("compliance-checker")
    except importlib.metadata.PackageNotFoundError:
        return ""


def judged(address: str) -> dict[str, Any]:
    """Return what the checker says of a local NetCDF file, as JSON has a `catalog.completeness.FileCheck`.

    Raises:
        DataUnreadable: The file is damaged, points to other files, or the checker failed.
        NotSubsettable: It is no NetCDF file.
    """
    place = place_of(address)
    form = sniff(place)
    if form == "zarr":
        raise NotSubsettable(f"{place.name} is no NetCDF file")
    if form == "netcdf3":
        check_whole(place)
    else:
        check_hdf5(place)
    try:
        with _quiet():
            return {"file": place.name, "checker": version(), **_found(place)}
    except (ImportError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = untold(f"{type(error).__name__}: {error}", place)[:_LETTERS]
        raise DataUnreadable(f"{place.name} could not be checked: {said}") from error


def _found(place: Path) -> dict[str, Any]:
    from compliance_checker.suite import CheckSuite  # noqa: PLC0415 - an extra, and slow to load

    CheckSuite.load_all_available_checkers()
    with contextlib.closing(netCDF4.Dataset(place)) as file:
        conventions = {f"CF 1.{_minor(file)}": f"cf:1.{_minor(file)}", "ACDD 1.3": "acdd:1.3"}
        results = CheckSuite().run_all(file, list(conventions.values()))
    scores: dict[str, tuple[int, int]] = {}
    said: list[tuple[int, dict[str, Any]]] = []
    for convention, checker in conventions.items():
        groups, broken = results[checker]
        marks = [_marks(group.value) for group in groups]
        scores[convention] = (sum(got for got, _ in marks), sum(of for _, of in marks))
        for group, (got, of) in zip(groups, marks, strict=True):
            if got < of:
                said += [
                    (group.weight, _gap(convention, checker, str(group.name), group.weight, words))
                    for words in group.msgs
                ]
        said += [(1, _gap(convention, checker, name, 1, "this check could not be made")) for name in broken]
    gaps = [_untold(gap, place) for _, gap in sorted(said, key=lambda item: -item[0])]
    return {"scores": scores, "gaps": gaps[:MOST_FINDINGS], "left_out": max(0, len(gaps) - MOST_FINDINGS)}


def _minor(file: netCDF4.Dataset) -> int:
    """The minor version of CF to judge by: what the file claims, within what the checker knows."""
    claim = _CLAIM.search(str(getattr(file, "Conventions", "")))
    return min(max(int(claim[1]) if claim else _OLDEST, _OLDEST), _NEWEST)


def _marks(value: Any) -> tuple[int, int]:
    got, of = value if isinstance(value, tuple) else (bool(value), 1)
    return int(got), int(of)


def _gap(convention: str, checker: str, name: str, weight: int, words: Any) -> dict[str, Any]:
    section = name.partition(" ")[0] if name.startswith("§") else name.partition(" ")[0].rstrip(":")
    said = (
        f"{name} {words}" if name.endswith(":") else str(words)
    )  # variable "x" missing the following attributes: units
    return {
        "code": checker.replace(":", "-"),
        "points": 0,
        "text": {"en": said[:_LETTERS] or "no reason was given"},
        "sources": [f"{convention} {section}", f"compliance-checker: {_GRAVITY.get(weight, 'low')} priority"],
    }


def _untold(gap: dict[str, Any], place: Path) -> dict[str, Any]:
    """A gap whose words tell no folder of this machine."""
    return {**gap, "text": {code: untold(words, place) for code, words in gap["text"].items()}}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No word on stdout or stderr, no warning, and no way to the network while the block runs."""
    names = ("connect", "connect_ex", "sendto", "sendmsg")
    before = {name: getattr(socket.socket, name) for name in names}
    look_up = socket.getaddrinfo
    thrown = io.StringIO()
    with contextlib.redirect_stdout(thrown), contextlib.redirect_stderr(thrown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in names:
                setattr(socket.socket, name, _refused)
            socket.getaddrinfo = _refused
            yield
        finally:
            for name, method in before.items():
                setattr(socket.socket, name, method)
            socket.getaddrinfo = look_up


def _refused(*_: Any, **__: Any) -> NoReturn:
    raise OSError("a check of a file does not ask the network")


__all__ = ["judged", "version"]
