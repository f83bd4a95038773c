"""Folders of NetCDF, HDF5, Zarr, CSV, TSV and Parquet files: a dataset a file, described by its own header.

A folder of Parquet files partitioned as Hive does (`year=2020/part.parquet`) is one dataset.
"""

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from catalog.dialects import acdd
from catalog.errors import BadSource, DataError
from catalog.record import Record
from catalog.source import Document, Source, printable
from harvesters import Fetch
from harvesters import _collections as collections
from harvesters._wanted import is_wanted

INCREMENTAL = False
ROWS = frozenset({".csv", ".tsv", ".parquet", ".pq"})
SUFFIXES = frozenset({".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".hdf", ".he5"}) | ROWS
NO_DATA = frozenset(
    {
        ".md",
        ".txt",
        ".json",
        ".geojson",
        ".xml",
        ".html",
        ".toml",
        ".yaml",
        ".py",
        ".sh",
        ".pdf",
    }
    | {
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".svg",
        ".zip",
        ".gz",
        ".tgz",
        ".tar",
        ".bz2",
        ".xz",
        ".md5",
        ".sha256",
    }
)
_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF")
_ZARR = (".zgroup", ".zmetadata", ".zarray", "zarr.json")
_PAGE = 100


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the data files under a folder by their relative path, each described by `fetch.header`.

    Options: `include` and `exclude`, a glob or a list of globs of relative paths (`*` also crosses folders); `given`,
    a table of ACDD attributes by file stem, which stand in where a file says nothing itself (title_vi, license, …);
    `collections`, tables of files that are one dataset (`harvesters._collections`), listed after the others.
    `bbox` and `search` take datasets by what they say of themselves.

    Raises:
        BadSource: The url is no folder that can be read, or a collection is wrong.
    """
    folder = _folder(source)
    gathered = collections.wanted(source)
    found = _data_files(folder, folder.resolve(), source.id)
    listed = [path for path in found if _wanted(path, folder, source.options)]
    listed.sort(key=lambda path: path.relative_to(folder).as_posix())
    start = int(source.resume) if source.resume and source.resume.isdecimal() else 0
    members = [
        [path for path in listed if each.has(path.relative_to(folder).as_posix())] for each in gathered
    ]
    among = {path for paths in members for path in paths}
    alone = [path for path in listed if path not in among]
    for at, path in enumerate(alone):
        if at >= start:
            document = _document(source, folder, path, str(at - at % _PAGE), fetch)
            if is_wanted(source, read, document):
                yield document
    for at, (each, paths) in enumerate(zip(gathered, members, strict=True), len(alone)):
        if at >= start:
            for document in collections.documents(source, folder, each, paths, str(at - at % _PAGE), fetch):
                given = _given(document, source)
                if is_wanted(source, read, given):
                    yield given


def read(document: Document) -> Record:
    """Read the header of a file. Raises BadDocument."""
    return acdd.read(document)


def _document(source: Source, folder: Path, path: Path, page: str, fetch: Fetch) -> Document:
    native_id = printable(path.relative_to(folder).as_posix())
    content, problem = b"", None
    try:
        content = _completed(fetch.header(path), source.options.get("given", {}).get(path.stem, {}))
    except DataError as error:
        problem = f"{error.code}: {error.message}"
    return Document(
        source=source.id,
        native_id=native_id,
        name=PurePosixPath(native_id).stem,
        content=content,
        url="file:" + native_id,
        page=page,
        problem=problem,
    )


def _given(document: Document, source: Source) -> Document:
    """A collection's document with the operator's attributes, which are given by its id."""
    given = source.options.get("given", {}).get(document.name, {})
    if not (given and document.content):
        return document
    return document.model_copy(update={"content": _completed(document.content, given)})


def _completed(content: bytes, given: Mapping[str, Any]) -> bytes:
    """The header with the operator's attributes where the file has none; a quality note says which."""
    if not given:
        return content
    header = orjson.loads(content)
    added = {name: value for name, value in given.items() if not header["attributes"].get(name)}
    said = f"not said by the file but by the catalog's operator: {', '.join(added)}"
    coverage = header["coverage"]
    problems = [*coverage["problems"], {"code": "given-by-operator", "text": said}]
    whole = {
        **header,
        "attributes": {**header["attributes"], **added},
        "coverage": {**coverage, "problems": problems},
    }
    return orjson.dumps(whole)


def _folder(source: Source) -> Path:
    split = urlsplit(source.url)
    if split.scheme not in {"", "file"} or split.netloc not in {"", "localhost"}:
        raise BadSource(f"the url of source {source.id!r} is no folder's", hint="give a path or file:///path")
    folder = Path(unquote(split.path) if split.scheme else source.url).expanduser()
    if not folder.is_absolute() or not folder.is_dir():
        raise BadSource(f"the folder of source {source.id!r} is not there")
    return folder


def _wanted(path: Path, folder: Path, options: Mapping[str, Any]) -> bool:
    relative = path.relative_to(folder).as_posix()
    include, exclude = (_globs(options.get(key)) for key in ("include", "exclude"))
    included = not include or any(fnmatch(relative, glob) for glob in include)
    return included and not any(fnmatch(relative, glob) for glob in exclude)


def _globs(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value or ()))


def _data_files(folder: Path, root: Path, source: str) -> Iterator[Path]:
    """Yield data files and Zarr folders; no link is followed out of the root, or to a folder."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        said = f"the folder of source {source!r}, or one in it, cannot be listed: {error.strerror}"
        raise BadSource(said) from error
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink() and not _inside(path, root):
            continue
        if entry.is_dir():
            if any((path / name).is_file() for name in _ZARR) or _is_partitioned(path):
                yield path
            elif not entry.is_symlink():
                yield from _data_files(path, root, source)
        elif entry.is_file() and _is_data(path):
            yield path


def _is_partitioned(folder: Path) -> bool:
    """Tell whether a folder holds Parquet files in folders named `column=value`."""
    try:
        parts = [entry for entry in os.scandir(folder) if "=" in entry.name and entry.is_dir()]
        return any(
            name.endswith(".parquet") for part in parts for *_, names in os.walk(part) for name in names
        )
    except OSError:
        return False


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _is_data(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in NO_DATA:
        return suffix in SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except OSError:
        return False
