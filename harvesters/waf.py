"""Web-accessible folders: ISO 19115 documents, NetCDF files and Zarr stores that a server or a bucket of S3 lists.

A document is read as ISO 19115. Of a data file nothing is known before it is opened but its name, size and date: it
becomes a record that says so, whose data can be cut. Pages are folders; a page's cursor is the folder's path.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import PurePosixPath

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects import iso19115
from catalog.dialects._extent import note
from catalog.dialects._json import read_json
from catalog.dialects._record import distributions, record
from catalog.dialects._ways import way
from catalog.errors import BadDocument, BadSource, IncompleteListing, SourceError
from catalog.record import Record, Text
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._folders import File, Folder, list_folder, names, walk_order
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = True
ROBOTS = True
_DOCUMENTS = frozenset({".xml", ".iso", ".iso19115", ".iso19139"})
_DATA = frozenset({".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".he5"})
_STORES = frozenset({".zarr"})
_DEPTH = 10
_MOST_FOLDERS = 10_000
_DAY = 86_400
_CLOCKS = 1
"""Days that a listing's times may be off: they do not tell their time zone."""


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the files under a folder, folder by folder, by name; `url` is the folder's address.

    Options: `include` and `exclude`, a glob or a list of globs of relative paths (`*` also crosses folders); `depth`,
    how many folders deep it looks (10; 0 is the folder itself); `most_folders`, after how many it gives up (10,000).

    Raises:
        Unreachable: The address gives no listing.
        IncompleteListing: There are more folders than `most_folders`, or folders that could not be listed.
        BadSource: An option is wrong.
    """
    base = source.url.rstrip("/") + "/"
    depth, most = _limit(source, "depth", _DEPTH), _limit(source, "most_folders", _MOST_FOLDERS)
    waiting, listed, silences = [("", base)], 0, Silences()
    unread: list[str] = []
    while waiting:
        path, address = waiting.pop(0)
        if listed == most:
            raise IncompleteListing(f"{source.url} has more than {most:,} folders (the option most_folders)")
        try:
            found, silences = list_folder(address, fetch), Silences()
        except SourceError as error:
            if not listed:
                raise
            silences = silences.after(error)
            unread.append(path)
            continue
        listed += 1
        if walk_order(path) >= walk_order(source.resume or ""):
            yield from _documents(source, path, found, fetch)
        if len(walk_order(path)) < depth:
            inner = [one for one in names(path, found) if _is_left(source, one[0])]
            waiting = [*inner, *waiting]
    if unread:
        raise IncompleteListing(f"{len(unread):,} folders could not be listed, the first {unread[0][:300]!r}")


def _limit(source: Source, name: str, otherwise: int) -> int:
    """An option that is a whole number. Raises BadSource."""
    given = source.options.get(name, otherwise)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise BadSource(f"the option {name} of source {source.id!r} is a whole number, not {given!r}")
    return given


def _is_left(source: Source, path: str) -> bool:
    """Tell whether a folder is to be listed still: it is no store, and not before the cursor."""
    order = walk_order(path)
    return _suffix(path) not in _STORES and order >= walk_order(source.resume or "")[: len(order)]


def _documents(source: Source, path: str, found: Folder, fetch: Fetch) -> Iterator[Document]:
    """The documents of a folder's files and stores that are wanted, by name."""
    stores = [File(name, address) for name, address in found.folders.items() if _suffix(name) in _STORES]
    silences = Silences()
    for file in sorted((*found.files, *stores), key=lambda one: one.name):
        name = f"{path}/{file.name}" if path else file.name
        if not _is_chosen(source, name) or _is_unchanged(source, file):
            continue
        document = _document(source, name, file, path)
        if _suffix(name) in _DOCUMENTS:
            try:
                document = document.model_copy(update={"content": fetch.get(file.address).content})
                silences = Silences()
            except SourceError as error:
                silences = silences.after(error)
                document = lost(document, error)
        if document.problem or is_wanted(source, read, document):
            yield document


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_chosen(source: Source, name: str) -> bool:
    """Tell whether a path has a suffix that is read, and is wanted by the options."""
    chosen = _globs(source, "include")
    listed = not chosen or any(fnmatch(name, glob) for glob in chosen)
    known = _suffix(name) in _DOCUMENTS | _DATA | _STORES
    return known and listed and not any(fnmatch(name, glob) for glob in _globs(source, "exclude"))


def _globs(source: Source, name: str) -> list[str]:
    given = source.options.get(name, [])
    return (
        [given]
        if isinstance(given, str)
        else [str(glob) for glob in given]
        if isinstance(given, list)
        else []
    )


def _is_unchanged(source: Source, file: File) -> bool:
    """Tell whether a listing of changes may leave a file out: its date is before the time, by more than a day."""
    if source.changed_since is None or file.modified is None:
        return False
    return instant.seconds(file.modified) < instant.seconds(source.changed_since) - _CLOCKS * _DAY


def _document(source: Source, name: str, file: File, page: str) -> Document:
    """A file as its listing has it; a changed size, date or tag is a changed document."""
    data = _suffix(name) not in _DOCUMENTS
    said = {key: value for key, value in asdict(file).items() if value is not None}
    return Document(
        source=source.id,
        native_id=name,
        content=json.dumps(said, sort_keys=True).encode() if data else b"",
        media_type="application/json" if data else "application/xml",
        url=file.address,
        page=page,
    )


def read(document: Document) -> Record:
    """Read an ISO 19115 document, or what a listing says of a data file.

    Raises:
        BadDocument: It is neither.
    """
    if document.content.lstrip()[:1] not in {b"{", b"["}:
        return iso19115.read(document)
    given = clean.mapping(read_json(document.content))
    name, link = clean.name(given.get("name")), clean.address(given.get("address"))
    if name is None or link is None:
        raise BadDocument("this is nothing that a listing says of a file: it has no name or no address")
    ways, lost_ = distributions([way(link, title=name, size=given.get("size"))])
    words = PurePosixPath(name).stem.replace("_", " ")
    notes = (
        note("title-missing", "the source gives no title; it is made of the file's name"),
        note(
            "not-described",
            "the folder tells only the file's name, size and date; what it holds shows when it is cut",
        ),
    )
    return record(
        document,
        {
            "title": Text.of(clean.name(words) or name),
            "modified": clean.moment(given.get("modified")),
            "distributions": ways,
            "quality": (*notes, *lost_),
        },
    )
