"""Sitemaps (https://www.sitemaps.org/protocol.html): pages and when they changed, indexes, gzip, lists of lines."""

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects._xml import each, local, read_xml, text
from catalog.errors import BadDocument, IncompleteListing, LimitExceeded, SourceError, Unreachable
from catalog.source import Source
from harvesters import Fetch
from harvesters._wanted import Silences

MOST_BYTES = 52_428_800
"""Of a sitemap, inflated: the protocol's own limit."""

MOST_SITEMAPS = 50_000
MOST_DEPTH = 5
_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Entry:
    """A line of a sitemap: an address, and when what is there changed, as a canonical instant."""

    url: str
    modified: str | None = None

    def is_older(self, since: str | None) -> bool:
        """Tell whether it says that it has not changed since an instant."""
        if since is None or self.modified is None:
            return False
        return instant.seconds(self.modified) < instant.seconds(since)


@dataclass(frozen=True)
class Sitemap:
    """What a sitemap lists: pages, or in an index other sitemaps."""

    pages: tuple[Entry, ...] = ()
    sitemaps: tuple[Entry, ...] = ()


def inflated(content: bytes) -> bytes:
    """Return a sitemap's text, inflated where it is gzip (`sitemap.xml.gz`), within the protocol's limit.

    Raises:
        BadDocument: It is cut off, damaged, or larger than 50 MiB.
    """
    if content[:2] == _GZIP:
        try:
            with gzip.open(io.BytesIO(content)) as members:
                content = members.read(MOST_BYTES + 1)
        except EOFError as error:
            raise BadDocument("the sitemap is cut off") from error
        except (OSError, zlib.error) as error:
            raise BadDocument(f"the sitemap is damaged: {error}") from error
    if len(content) > MOST_BYTES:
        raise BadDocument(f"the sitemap is larger than {MOST_BYTES:,} bytes")
    return content.removeprefix(_MARK)


def read_sitemap(content: bytes, base: str) -> Sitemap:
    """Read a sitemap or an index of sitemaps, as XML or as a text of one address a line.

    Args:
        content: What was sent, gzip or not.
        base: Where it came from; relative addresses are taken from there.

    Raises:
        BadDocument: It is none.
    """
    whole = inflated(content).lstrip()
    if not whole.startswith(b"<"):
        return _lines(whole, base)
    root = read_xml(whole)
    if local(root) == "sitemapindex":
        return Sitemap(sitemaps=_entries(root, "sitemap", base))
    if local(root) == "urlset":
        return Sitemap(pages=_entries(root, "url", base))
    raise BadDocument(f"this is no sitemap: its root is {local(root)[:80]!r}")


def _entries(root: object, name: str, base: str) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for item in each(root, name):
        url = _absolute(text(item, "loc"), base)
        if url:
            found.setdefault(url, Entry(url, clean.moment(text(item, "lastmod"), end=True)))
    return tuple(found.values())


def _lines(content: bytes, base: str) -> Sitemap:
    try:
        lines = [line.strip() for line in content.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadDocument("this is no sitemap: neither XML nor a text of addresses in UTF-8") from error
    if not lines or any(not line.startswith(("http://", "https://")) for line in lines):
        raise BadDocument("this is no sitemap: neither XML nor an address a line")
    return Sitemap(pages=tuple(Entry(url) for line in dict.fromkeys(lines) if (url := _absolute(line, base))))


def _absolute(link: str | None, base: str) -> str | None:
    said = clean.words(link, clean.MAX_ADDRESS)
    try:
        url = urljoin(base, said.replace(" ", "%20")) if said else ""
        return url if urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname else None
    except ValueError:
        return None


@dataclass
class Tree:
    """The sitemaps from one down, each read once.

    Args:
        source: Whose `url` is the first.
        fetch: The door.
        unread: What could not be read, as it goes on.
    """

    source: Source
    fetch: Fetch
    unread: list[str] = field(default_factory=list)
    _met: set[str] = field(default_factory=set)

    def walk(self, first: Sitemap) -> Iterator[tuple[str, Sitemap]]:
        """Yield the address and the pages of each sitemap, in the order in which they are listed.

        One whose index says that it has not changed since `source.changed_since` is passed over.

        Raises:
            SourceError: Three sitemaps in a row got no answer.
            LimitExceeded: There are more than 50,000.
        """
        silences, count = Silences(), 0
        self._met = {self.source.url}
        following = self._inner(first, 1)
        if first.pages:
            yield self.source.url, first
        while following:
            entry, depth = following.pop()
            count += 1
            if count > MOST_SITEMAPS:
                raise LimitExceeded(f"{self.source.url} leads to more than {MOST_SITEMAPS:,} sitemaps")
            try:
                answer = self.fetch.get(entry.url)
                found, silences = read_sitemap(answer.content, answer.url), Silences()
            except (SourceError, BadDocument) as error:
                silences = silences.after(error)
                self.unread.append(f"{entry.url[:300]}: {error.message}")
                continue
            if depth < MOST_DEPTH:
                following += self._inner(found, depth + 1)
            elif found.sitemaps:
                self.unread.append(f"{entry.url[:300]} is an index {MOST_DEPTH} deep")
            if found.pages:
                yield entry.url, found

    def _inner(self, found: Sitemap, depth: int) -> list[tuple[Entry, int]]:
        """The sitemaps of an index that were not met yet, the first of them last."""
        fresh = [one for one in found.sitemaps if one.url not in self._met]
        self._met |= {one.url for one in fresh}
        return [(one, depth) for one in reversed(fresh) if not one.is_older(self.source.changed_since)]

    def check(self) -> None:
        """Raise IncompleteListing where a sitemap could not be read."""
        if self.unread:
            raise IncompleteListing(
                f"{len(self.unread):,} sitemaps of {self.source.url} could not be read, the first: {self.unread[0]}",
                details={"unread": self.unread[:20]},
            )


def get_first(source: Source, fetch: Fetch) -> tuple[bytes, str]:
    """Return the inflated answer of a source's address, and where it came from. Raises SourceError."""
    answer = fetch.get(source.url)
    try:
        return inflated(answer.content), answer.url
    except BadDocument as error:
        raise Unreachable(f"{source.url} did not answer with a sitemap: {error.message}") from error
