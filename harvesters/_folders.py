"""Folders on the web, as servers list them: pages of Apache, nginx, IIS and their like, and buckets of S3.

A page's links are what it lists: those that lead into the folder itself. What stands in a link's row is the file's date
and size; rows begin with the link, but for IIS, where they end with it. A bucket is asked as a tree of folders
(ListObjectsV2: `list-type=2`, `delimiter=/`), whose names end at the next slash.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urljoin, urlsplit

from catalog import instant
from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.errors import BadDocument, BadRequest, IncompleteListing, Unreachable
from harvesters import Fetch

_S3_HOST = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com")
_MOST_PAGES = 10_000
_UPWARDS = "[to parent directory]"
_INDEX = re.compile(r"<(?:title|h1)[^>]{0,200}>[^<]{0,20}(?:index of|directory|listing)", re.IGNORECASE)
_DATES = (
    (re.compile(r"\b(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)"), (1, 2, 3)),
    (re.compile(r"\b(\d\d)-([A-Z][a-z]{2})-(\d{4}) (\d\d):(\d\d)"), (3, 2, 1)),
    (re.compile(r"\b(\d{4})-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d)"), (1, 2, 3)),
    (re.compile(r"\b(\d{1,2})/(\d{1,2})/(\d{4})\s+(\d{1,2}):(\d\d)\s*([AP]M)?"), (3, 1, 2)),
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIZE = re.compile(r"(?<![\d:/.-])(\d{1,15})(?![\d:/.]|-\d)\b(?!\s*[KMGTkmgt]\b)")


@dataclass(frozen=True)
class File:
    """A file of a folder.

    Args:
        name: Its name, without the folder's.
        address: Where it is.
        size: Bytes, where the listing has them exactly.
        modified: When it was changed, in the server's own time, taken for UTC.
        tag: What else tells a changed file: the ETag of a bucket's object.
    """

    name: str
    address: str
    size: int | None = None
    modified: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class Folder:
    """What a folder holds: files, and folders by their names, with their addresses."""

    files: Sequence[File]
    folders: Mapping[str, str]


def list_folder(address: str, fetch: Fetch) -> Folder:
    """List a folder; its address ends in a slash.

    Raises:
        Unreachable: It gives no listing.
        IncompleteListing: A bucket's listing breaks off.
    """
    bucket = _bucket(address)
    if bucket is not None:
        return _listed(*bucket, fetch)
    content = fetch.get(address).content
    try:
        if content.lstrip()[:1] == b"<" and b"<ListBucketResult" in content[:1_000]:
            root = f"{urlsplit(address).scheme}://{urlsplit(address).netloc}/"
            return _listed(root, unquote(urlsplit(address).path).lstrip("/"), fetch)
        return read_page(content, address)
    except BadDocument as error:
        raise Unreachable(f"{address[:300]} is no listing of a folder: {error.message}") from error


def read_page(content: bytes, address: str) -> Folder:
    """Read a page that lists a folder.

    Raises:
        BadDocument: It does not look like one.
    """
    page = _Page()
    text = content.decode("utf-8", "replace")
    page.feed(text)
    page.close()
    ending = any(_UPWARDS in words.lower() for _, words, _ in page.links)
    files: dict[str, File] = {}
    folders: dict[str, str] = {}
    for at, (href, _, after) in enumerate(page.links):
        row = (page.links[at - 1][2] if at else page.before) if ending else after
        name, link = _child(address, href)
        if name.endswith("/"):
            folders.setdefault(name[:-1], link)
        elif name:
            files.setdefault(name, File(name, link, _size(row), _moment(row)))
    if not files and not folders and not (page.links and _INDEX.search(text[:5_000])):
        raise BadDocument("it links to nothing in itself, and does not say that it is one")
    return Folder(tuple(files.values()), folders)


class _Page(HTMLParser):
    """The links of a page, each with its words and with those that follow it up to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.before = ""
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a link."""
        href = dict(attrs).get("href") if tag == "a" else None
        if href:
            self.links.append((href, "", ""))
            self._within = True

    def handle_endtag(self, tag: str) -> None:
        """End a link."""
        self._within = self._within and tag != "a"

    def handle_data(self, data: str) -> None:
        """Keep words, in a link or behind it."""
        if not self.links:
            self.before = (self.before + data)[-1_000:]
            return
        href, words, after = self.links[-1]
        said = (words + data, after) if self._within else (words, after + data)
        self.links[-1] = (href, said[0][:1_000], said[1][:1_000])


def _child(address: str, href: str) -> tuple[str, str]:
    """The name and the address that a link has in the folder; no name for one that leads elsewhere."""
    try:
        link = urljoin(address, clean.words(href, clean.MAX_ADDRESS) or "")
        parts, folder = urlsplit(link), urlsplit(address)
    except ValueError:
        return "", ""
    here = unquote(folder.path).rstrip("/") + "/"
    path = unquote(parts.path)
    same = (parts.scheme, parts.netloc) == (folder.scheme, folder.netloc) and path.startswith(here)
    name = clean.words(path[len(here) :]) if same and not parts.query and not parts.fragment else None
    plain = bool(name) and "/" not in (name or "").rstrip("/") and (name or "").strip("/.") != ""
    return (name or "", link) if plain else ("", "")


def _size(row: str) -> int | None:
    """The bytes of a row: its last whole number that is no part of a date, nor of a rounded size (`5.3M`)."""
    plain = row
    for pattern, _ in _DATES:
        plain = pattern.sub(" ", plain)
    found = _SIZE.findall(plain)
    return int(found[-1]) if found else None


def _moment(row: str) -> str | None:
    """The date of a row; months before days where they are numbers with strokes (IIS)."""
    for pattern, order in _DATES:
        found = pattern.search(row)
        if found is None:
            continue
        year, month, day = (found[n] for n in order)
        if month in _MONTHS:
            month = str(_MONTHS.index(month) + 1)
        half = found[6] if len(found.groups()) > 5 else None  # noqa: PLR2004 - AM or PM
        hour = int(found[4]) % 12 + 12 * (half == "PM") if half else int(found[4])
        try:
            return instant.canonical(f"{year}-{int(month):02}-{int(day):02}T{hour:02}:{found[5]}:00Z")
        except BadRequest:
            return None
    return None


def _bucket(address: str) -> tuple[str, str] | None:
    """The root of a bucket of Amazon's, and the prefix in it; None for other addresses."""
    parts = urlsplit(address)
    host = _S3_HOST.fullmatch(parts.hostname or "")
    if host is None:
        return None
    path = unquote(parts.path).lstrip("/")
    bucket, _, prefix = ("", "", path) if host["bucket"] else path.partition("/")
    return f"{parts.scheme}://{parts.netloc}/" + (f"{quote(bucket)}/" if bucket else ""), prefix


def _listed(root: str, prefix: str, fetch: Fetch) -> Folder:
    """A folder of a bucket, page after page. Raises Unreachable or IncompleteListing."""
    files: list[File] = []
    folders: dict[str, str] = {}
    asked = {"list-type": "2", "delimiter": "/", "prefix": prefix}
    last = ""
    for _ in range(_MOST_PAGES):
        answer = _objects(root, fetch, asked | ({"start-after": last} if last else {}))
        keys = [(xml.text(one, "Key") or "", one) for one in xml.each(answer, "Contents")]
        below = [xml.text(one, "Prefix") or "" for one in xml.each(answer, "CommonPrefixes")]
        files += [_object(root, prefix, key, one) for key, one in keys if _is_inside(key, prefix)]
        folders |= {name[len(prefix) : -1]: root + quote(name) for name in below if _is_inside(name, prefix)}
        following = max([last, *(key for key, _ in keys), *below])
        if xml.text(answer, "IsTruncated") != "true":
            return Folder(tuple(files), folders)
        if following == last:
            break
        last = following
    raise IncompleteListing(f"{root}{prefix[:200]} lists the same again and again")


def _objects(root: str, fetch: Fetch, asked: Mapping[str, str]) -> xml.Element:
    try:
        answer = xml.read_xml(fetch.get(root, asked).content)
    except BadDocument as error:
        raise Unreachable(f"{root} did not list its objects: {error.message}") from error
    if xml.local(answer) != "ListBucketResult":
        raise Unreachable(f"{root} did not list its objects: it answered {xml.local(answer)[:100]}")
    return answer


def _is_inside(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key.strip("/") != prefix.strip("/")


def _object(root: str, prefix: str, key: str, one: xml.Element) -> File:
    return File(
        name=clean.words(key[len(prefix) :]) or "?",
        address=root + quote(key),
        size=clean.whole(xml.text(one, "Size")),
        modified=clean.moment(xml.text(one, "LastModified")),
        tag=clean.words((xml.text(one, "ETag") or "").strip('"'), 100),
    )


def walk_order(path: str) -> tuple[str, ...]:
    """Return what orders folders by their paths: a folder before those in it, siblings by name."""
    return tuple(path.split("/")) if path else ()


def names(path: str, found: Folder) -> Iterator[tuple[str, str]]:
    """Yield the folders in a folder by name, each as a path and an address."""
    for name in sorted(found.folders):
        yield (f"{path}/{name}" if path else name), found.folders[name]
