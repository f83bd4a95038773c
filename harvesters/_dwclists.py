"""Lists of Darwin Core archives: an IPT's feed, and lists of datasets as GBIF and OBIS give them.

https://ipt.gbif.org/manual/en/ipt/latest/, https://techdocs.gbif.org/en/openapi/v1/registry, https://api.obis.org/.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._json import read_json
from catalog.errors import BadDocument, IncompleteListing, Unreachable
from catalog.source import Source
from harvesters import Fetch

_LISTED = 100
_VERSION = re.compile(r"/v[0-9.]{1,20}$")  # an IPT's guid ends in the version that was published


@dataclass(frozen=True)
class Entry:
    """An archive of a list.

    Args:
        native_id: Its id there.
        archive: Its address.
        eml: The address of its EML.
        page: Its page for people.
        published: When it was published, an instant.
        title: What the list calls it.
        content: Its bytes, where the list was the archive.
    """

    native_id: str
    archive: str | None
    eml: str | None = None
    page: str | None = None
    published: str | None = None
    title: str | None = None
    content: bytes | None = None


def entries(source: Source, fetch: Fetch) -> Sequence[Entry]:
    """Return the archives that an address lists; one, where it is an archive's.

    Raises:
        SourceError: The list cannot be had, is none, or came out shorter than it counts.
    """
    answer = fetch.get(source.url)
    start = answer.content.lstrip()[:4]
    try:
        if start[:2] == b"PK":
            return [Entry(source.url, source.url, content=answer.content)]
        if start[:1] == b"<":
            return _feed(xml.read_xml(answer.content))
        return _datasets(source, read_json(answer.content), fetch)
    except BadDocument as error:
        raise Unreachable(
            f"{source.url} is neither an archive nor a list of them: {error.message}",
            hint="the url is a ZIP's, an IPT's rss.do, or a list of datasets in JSON",
        ) from error


def _feed(root: xml.Element) -> Sequence[Entry]:
    """The resources of an IPT's feed: RSS 2.0 with `ipt:dwca` and `ipt:eml`."""
    if xml.local(root) not in {"rss", "RDF"} or xml.first(root, "channel") is None:
        raise BadDocument("it is no RSS")
    found: dict[str, Entry] = {}
    for item in xml.each(root, "channel/item"):
        archive, eml = (clean.address(xml.text(item, name)) for name in ("dwca", "eml"))
        guid = _VERSION.sub("", clean.words(xml.text(item, "guid"), 20_000) or "")
        native_id = guid or clean.words(xml.text(item, "link"), 20_000) or archive or eml
        if native_id and (archive or eml):
            page, published = clean.address(xml.text(item, "link")), _published(xml.text(item, "pubDate"))
            found[native_id] = Entry(
                native_id, archive, eml, page, published, clean.words(xml.text(item, "title"))
            )
    return list(found.values())


def _published(said: str | None) -> str | None:
    """A date of RSS (RFC 822) as an instant."""
    try:
        return instant.canonical(parsedate_to_datetime(said).isoformat()) if said else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _datasets(source: Source, value: Any, fetch: Fetch) -> Sequence[Entry]:
    """The datasets of a list, page after page where it counts more than it gave. Raises BadDocument."""
    found: dict[str, Entry] = {}
    given = 0
    while True:
        whole = clean.mapping(value)
        results = whole.get("results")
        if not isinstance(results, list):
            raise BadDocument("it is no list of datasets: it has no results")
        listed = [entry for item in clean.objects(results) if (entry := _dataset(item))]
        fresh = [entry for entry in listed if entry.native_id not in found]
        found |= {entry.native_id: entry for entry in fresh}
        given += len(results)
        count = clean.whole(whole.get("count", whole.get("total")))
        if whole.get("endOfRecords") is True or count is None or given >= count:
            return list(found.values())
        if not results or (listed and not fresh):
            raise IncompleteListing(f"{source.url} counts {count} datasets and gave {given}")
        asked = {"offset": str(given), "limit": str(_LISTED), "size": str(_LISTED)}
        value = read_json(fetch.get(source.url, asked).content)


def _dataset(item: Mapping[str, Any]) -> Entry | None:
    """A dataset of GBIF (`key`, `endpoints`) or of OBIS (`id`, `archive`, `url`)."""
    native_id = clean.words(item.get("key"), 20_000) or clean.words(item.get("id"), 20_000)
    ends = {str(end.get("type")): end.get("url") for end in clean.objects(item.get("endpoints"))}
    archive = clean.address(ends.get("DWC_ARCHIVE")) or clean.address(item.get("archive"))
    page = clean.address(item.get("homepage")) or clean.address(item.get("url"))
    eml, title = clean.address(ends.get("EML")), clean.words(item.get("title"))
    return Entry(native_id, archive, eml, page, title=title) if native_id and (archive or eml) else None
