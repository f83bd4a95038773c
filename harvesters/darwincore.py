"""Darwin Core archives: alone, in a folder, in an IPT's feed, or in a list of datasets as GBIF and OBIS give it.

https://dwc.tdwg.org/text/, https://ipt.gbif.org/manual/en/ipt/latest/. An archive is one record of points: what its EML
says, and where, when and which taxa its rows are. The document is what was found out: the archive itself is not kept.
One that is larger than `BIENMO_FETCH_BYTES` is described by its EML alone, where the list tells of one.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._eml import read_eml
from catalog.dialects._extent import Notes, agreed, box, note, time_range, vertical_range
from catalog.dialects._json import read_json
from catalog.dialects._notes import titled
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.errors import BadDocument, BadSource, LimitExceeded, SourceError
from catalog.instant import seconds
from catalog.record import Extent, Record, Text, Variable
from catalog.source import Document, Source, printable
from harvesters import Fetch
from harvesters._archives import Archive, open_folder, open_zip
from harvesters._darwin import META, Tally, headed, local, read_meta, rows
from harvesters._dwclists import Entry, entries
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = True
_PAGE = 20
_EML_FILES = ("eml.xml", "metadata.xml")
_COORDINATES: Mapping[str, tuple[str | None, str | None]] = {
    "decimallatitude": ("latitude", "degrees_north"), "decimallongitude": ("longitude", "degrees_east"),
    "eventdate": ("time", None), "minimumdepthinmeters": ("depth", "m"), "maximumdepthinmeters": ("depth", "m"),
}  # fmt: skip
_PREFIXES = (
    ("http://rs.tdwg.org/dwc/terms/", "dwc:"), ("http://purl.org/dc/terms/", "dcterms:"),
    ("http://purl.org/dc/elements/1.1/", "dc:"), ("http://rs.gbif.org/terms/1.0/", "gbif:"),
    ("http://rs.iobis.org/obis/terms/", "obis:"),
)  # fmt: skip


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the archives of a source, sorted by their id.

    `url` is the address of an archive (ZIP), of an IPT's feed (`…/rss.do`) or of a list of datasets (those of GBIF's
    and OBIS' registries); or a folder, as a path or `file:///path`, of archives that are ZIPs or folders. A list of
    changes takes what the feed says was published since. `bbox` and `search` are heeded by what records say.

    Raises:
        BadSource: The folder is not there.
        SourceError: The list cannot be had, or three archives in a row got no answer.
        IncompleteListing: A list of datasets came out shorter than it counts.
    """
    if urlsplit(source.url).scheme not in {"http", "https"}:
        yield from _from_folder(source)
        return
    silences = Silences()
    for at, entry in enumerate(sorted(entries(source, fetch), key=lambda each: each.native_id)):
        page = str(at - at % _PAGE)
        if (source.resume or "").isdecimal() and at < int(source.resume or 0):
            continue
        if (
            source.changed_since
            and entry.published
            and seconds(entry.published) < seconds(source.changed_since)
        ):
            continue
        document = _asked(source, entry, page)
        try:
            with _got(entry, fetch) as archive:
                content = _described(archive, entry)
            document, silences = document.model_copy(update={"content": content}), Silences()
        except LimitExceeded as error:
            document = _too_large(document, entry, fetch, error)
        except (SourceError, BadDocument) as error:
            silences = silences.after(error)
            document = lost(document, error)
        if document.problem or is_wanted(source, read, document):
            yield document


def _asked(source: Source, entry: Entry, page: str) -> Document:
    return Document(source=source.id, native_id=entry.native_id, url=entry.archive or "", page=page)


def _got(entry: Entry, fetch: Fetch) -> AbstractContextManager[Archive]:
    if entry.archive is None:
        raise BadDocument("the list tells no archive of this dataset")
    return open_zip(entry.content or fetch.get(entry.archive).content)


def _too_large(document: Document, entry: Entry, fetch: Fetch, error: LimitExceeded) -> Document:
    """An archive beyond the limit of an answer, described by its EML alone; the record says so."""
    if entry.eml is None or "seconds" in error.details:
        return lost(document, error)
    try:
        eml = xml.read_xml(fetch.get(entry.eml).content)
    except (SourceError, BadDocument) as second:
        return lost(document, second)
    content = _content(entry, eml, None, [], [f"archive-not-read: {error.message}"])
    return document.model_copy(update={"content": content})


def _from_folder(source: Source) -> Iterator[Document]:
    """The archives of a folder: ZIPs, and folders with a meta.xml in them; the folder itself, where it is one."""
    split = urlsplit(source.url)
    folder = Path(unquote(split.path) if split.scheme == "file" else source.url)
    if not folder.is_absolute() or not folder.is_dir():
        raise BadSource(f"the folder of source {source.id!r} is not there")
    with os.scandir(folder) as entries:
        inside = sorted(entry.name for entry in entries if not entry.is_symlink())
    alone = "meta.xml" in inside
    names = [folder.name] if alone else [name for name in inside if _is_archive(folder / name)]
    for at, name in enumerate(names):
        entry = Entry(printable(name), None)
        document = _asked(source, entry, str(at - at % _PAGE)).model_copy(
            update={"url": "file:" + entry.native_id}
        )
        if (source.resume or "").isdecimal() and at < int(source.resume or 0):
            continue
        try:
            path = folder if alone else folder / name
            with open_folder(path) if path.is_dir() else open_zip(path) as archive:
                document = document.model_copy(update={"content": _described(archive, entry)})
        except BadDocument as error:
            document = lost(document, error)
        except OSError as error:
            document = lost(document, BadDocument(f"the archive cannot be read: {error.strerror}"))
        if document.problem or is_wanted(source, read, document):
            yield document


def _is_archive(path: Path) -> bool:
    return (path.is_file() and path.suffix.lower() == ".zip") or (
        path.is_dir() and (path / "meta.xml").is_file()
    )


def _described(archive: Archive, entry: Entry) -> bytes:
    """What an archive says and holds, as a document. Raises BadDocument."""
    names = archive.names()
    meta = min(
        (name for name in names if name.rpartition("/")[2].lower() == "meta.xml"), key=len, default=None
    )
    folder = meta[: len(meta) - len("meta.xml")] if meta else ""
    said: str | None = None
    if meta is not None:
        core, extensions, said = read_meta(xml.read_xml(archive.whole(meta, META).lstrip()))
    else:
        tables = [name for name in names if not name.lower().endswith(".xml")]
        if len(tables) != 1:
            raise BadDocument(f"the archive has no meta.xml, and {len(tables)} files that may be its core")
        core, extensions = headed(archive, tables[0]), ()
    eml, problems = _eml(archive, folder, said)
    tally = Tally()
    counted = [tally.add(core, rows(archive, folder, core))]
    whole = tally.said()
    for table in extensions:
        if table.kind in {"Occurrence", "VernacularName"}:
            try:
                counted.append(tally.add(table, rows(archive, folder, table)))
            except BadDocument as error:
                problems.append(f"extension-not-read: {error.message}")
    return _content(entry, eml, {**tally.said(), "rows": whole["rows"]}, counted, problems)


def _eml(archive: Archive, folder: str, said: str | None) -> tuple[xml.Element | None, list[str]]:
    """The metadata's root, from the file that meta.xml names, else from one of the usual name."""
    names = {name.lower(): name for name in reversed(archive.names())}
    wanted = [folder + name for name in (said, *_EML_FILES) if name and "/" not in name]
    found = next((names[name.lower()] for name in wanted if name.lower() in names), None)
    if found is None:
        return None, ["metadata-missing: the archive has no EML"]
    try:
        return xml.read_xml(archive.whole(found, META).lstrip()), []
    except BadDocument as error:
        return None, [f"metadata-unreadable: {error.message}"]


def _content(
    entry: Entry, eml: xml.Element | None, told: Any, tables: list[dict[str, Any]], problems: list[str]
) -> bytes:
    told_of = {"archive": entry.archive, "eml": entry.eml, "page": entry.page, "title": entry.title}
    listed = {name: value for name, value in told_of.items() if value}
    words = None if eml is None else etree.tostring(eml, encoding="unicode", with_tail=False)
    content = {"entry": listed, "eml": words, "rows": told, "tables": tables, "problems": problems}
    return json.dumps(content, sort_keys=True).encode()


def read(document: Document) -> Record:
    """Read what was found out about an archive.

    Raises:
        BadDocument: It is no such document.
    """
    given = clean.mapping(read_json(document.content))
    if not {"eml", "rows"} <= given.keys():
        raise BadDocument("this does not describe a Darwin Core archive: it has neither eml nor rows")
    entry, told = clean.mapping(given.get("entry")), clean.mapping(given.get("rows"))
    said, notes = _said(given.get("eml"))
    title, untitled = _title(said, entry, document)
    held, odd = _held(told)
    extent, differ = agreed(held, said.get("extent") or Extent())
    taxa = [
        Text.of(name)
        for key in ("taxa", "common")
        for name in map(clean.name, _listed(told.get(key)))
        if name
    ]
    address = clean.address(entry.get("archive"))
    ways, lost_ways = distributions(
        [{"protocol": "http", "address": address, "format": "dwca", "media_type": "application/zip"}]
        if address
        else []
    )
    problems = tuple(_problems(given.get("problems"), told))
    return _record(
        document,
        {
            **said,
            "title": title,
            "keywords": tuple(dict.fromkeys((*said.get("keywords", ()), *taxa))),
            "kind": "points",
            "variables": tuple(_variables(clean.objects(given.get("tables")))),
            "extent": extent,
            "distributions": ways,
            "landing_page": clean.address(entry.get("page")) or said.get("landing_page"),
            "quality": tuple(dict.fromkeys((*problems, *untitled, *notes, *odd, *differ, *lost_ways))),
        },
    )


def _listed(value: Any) -> list[Any]:
    return value[:1_000] if isinstance(value, list) else []


def _said(eml: Any) -> tuple[Mapping[str, Any], Notes]:
    if not isinstance(eml, str):
        return {}, ()
    try:
        return read_eml(xml.read_xml(eml.encode("utf-8", "replace")))
    except BadDocument as error:
        return {}, (note("metadata-unreadable", error.message),)


def _title(said: Mapping[str, Any], entry: Mapping[str, Any], document: Document) -> tuple[Text, Notes]:
    listed = clean.text({"und": entry.get("title")})
    return titled(said.get("title") or listed, document.name, document.native_id)


def _held(told: Mapping[str, Any]) -> tuple[Extent, Notes]:
    """Where and when the rows are."""
    sides, depth, ends = (told.get(key) for key in ("box", "depth", "time"))
    found, notes = box(*sides) if isinstance(sides, list) and len(sides) == 4 else (None, ())  # noqa: PLR2004
    pair = isinstance(ends, list) and len(ends) == 2  # noqa: PLR2004
    time, odd = time_range(ends[0], ends[1]) if pair and isinstance(ends, list) else (None, ())
    deep = vertical_range(*depth)[0] if isinstance(depth, list) and len(depth) == 2 else None  # noqa: PLR2004
    return Extent(boxes=(found,) if found else (), vertical=deep, time=time), notes + odd


def _problems(value: Any, told: Mapping[str, Any]) -> Iterator[Any]:
    for said in map(clean.words, _listed(value)):
        code, _, words = (said or "").partition(": ")
        if (
            code in {"archive-not-read", "extension-not-read", "metadata-missing", "metadata-unreadable"}
            and words
        ):
            yield note(code, words)
    misplaced, many = (clean.whole(told.get(key)) or 0 for key in ("misplaced", "rows"))
    if misplaced:
        yield note(
            "positions-unreadable", f"{misplaced:,} of {many:,} rows have a position that is nowhere on Earth"
        )
    if told.get("cut") is True:
        yield note("rows-not-all-read", f"only the first {many:,} rows were read")


def _variables(tables: Sequence[Mapping[str, Any]]) -> Iterator[Variable]:
    """The columns that hold anything, of the core and of the tables that were read; the first of a name counts."""
    names: set[str] = set()
    for table in tables:
        axis, many = clean.name(table.get("kind")) or "row", clean.whole(table.get("rows"))
        for term in map(clean.name, (*_listed(table.get("columns")), *_listed(table.get("constant")))):
            called = clean.name(local(term)) if term else None
            if term is None or called is None or called in names:
                continue
            names.add(called)
            standard_name, units = _COORDINATES.get(called.lower(), (None, None))
            yield Variable(
                name=called,
                standard_name=standard_name,
                title=Text.of(_compact(term)),
                units=units,
                dimensions=(axis.lower(),),
                shape=(many,) if many is not None else (),
                coordinate=standard_name is not None,
            )


def _compact(term: str) -> str:
    """A term by its usual prefix."""
    return next((short + term[len(space) :] for space, short in _PREFIXES if term.startswith(space)), term)
