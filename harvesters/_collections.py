"""Collections of a source of files: many files that are one dataset, by the operator's word (option `collections`)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from catalog.errors import BadSource, DataError
from catalog.source import Document, Source, printable
from harvesters import Fetch

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_HINT = "see collections in docs/reference/sources.md"
_KEYS = {"id", "pattern", "along"}


@dataclass(frozen=True)
class Collection:
    """An entry of `collections`: its id, globs of relative paths, and the axes along which its files are joined."""

    id: str
    patterns: tuple[str, ...]
    along: tuple[str, ...]

    def has(self, relative: str) -> bool:
        """Tell whether a file, by its relative path, is one of the collection's."""
        return any(fnmatch(relative, glob) for glob in self.patterns)


def wanted(source: Source) -> tuple[Collection, ...]:
    """Return the collections that a source's options name.

    Raises:
        BadSource: An entry is wrong.
    """
    entries = source.options.get("collections", ())
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
        raise BadSource(
            f"collections of source {source.id!r} are no [[source.collections]] tables", hint=_HINT
        )
    found = tuple(_collection(source, entry) for entry in entries)
    if len({each.id for each in found}) < len(found):
        raise BadSource(f"two collections of source {source.id!r} have one id", hint=_HINT)
    return found


def documents(  # noqa: PLR0913 - what, where and how
    source: Source, folder: Path, collection: Collection, paths: Sequence[Path], page: str, fetch: Fetch
) -> Iterator[Document]:
    """Yield the collection's document, and one with a problem for each file that matches and is left out."""
    content, problem = b"", None
    left_out: Mapping[str, str] = {}
    try:
        if paths:
            content, left_out = fetch.collection(collection.id, folder, paths, collection.along)
        else:
            problem = "no file matches the collection's pattern"
    except DataError as error:
        problem = f"{error.code}: {error.message}"
    yield Document(
        source=source.id,
        native_id=f"collection:{collection.id}",
        name=collection.id,
        content=content,
        url=f"collection:{collection.id}",
        page=page,
        problem=problem,
    )
    for relative, reason in left_out.items():
        yield Document(
            source=source.id,
            native_id=printable(relative),
            url="file:" + printable(relative),
            page=page,
            problem=f"left out of the collection {collection.id}: {reason}",
        )


def _collection(source: Source, entry: Mapping[str, Any]) -> Collection:
    called = entry.get("id")
    if not isinstance(called, str) or not _ID.fullmatch(called):
        raise BadSource(f"a collection of source {source.id!r} has the id {called!r:.80}", hint=_HINT)
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise BadSource(f"the collection {called!r} has no option {unknown[0][:60]!r}", hint=_HINT)
    patterns, along = (_texts(entry.get(key)) for key in ("pattern", "along"))
    if not patterns or (not along and "along" in entry) or len(set(along)) < len(along):
        raise BadSource(
            f"the collection {called!r} needs a pattern, and along if given names axes", hint=_HINT
        )
    return Collection(called, patterns, along or ("time",))


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    listed = value if isinstance(value, list | tuple) else ()
    return tuple(item for item in listed if isinstance(item, str) and item)
