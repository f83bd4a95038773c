"""Lists as STAC API, OGC API - Records and EDR have them: JSON pages that lead on by links of relation `next`.

OGC API - Features §7.15.6 and STAC API item-search: what a `next` link leads to is the server's business (an offset, a
token, a body to post), an empty page is not the last one while it has such a link, and the last one has none.
"""

import ipaddress
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self
from urllib.parse import urlencode, urljoin, urlsplit

from catalog.dialects import _words as clean
from catalog.dialects._json import MAX_DIGITS, read_json
from catalog.errors import BadDocument, CatalogError, IncompleteListing, Unreachable
from catalog.source import Document, Source
from harvesters import Fetch

ROWS = 100
"""How many of a list are asked for at once."""

_MOST_BARREN = 30
_OK = 200
_REFUSED = range(400, 500)
_MATCHED = ("numberMatched", "matched", "totalResults", "@iot.count")


@dataclass(frozen=True)
class Ask:
    """A request for a page: an address, and what is posted to it, where it is.

    Args:
        url: The whole address.
        body: JSON to post; None for a GET.
    """

    url: str
    body: str | None = None

    @classmethod
    def of(cls, url: str, **asked: str | None) -> Self:
        """Ask an address with more parameters; those that are None are left out."""
        given = {name: value for name, value in asked.items() if value is not None}
        mark = "&" if urlsplit(url).query else "?"
        return cls(f"{url}{mark}{urlencode(given)}" if given else url)


@dataclass(frozen=True)
class Listed:
    """One of a list: its page's cursor, its name, what the server gave, and why it cannot be had, if so."""

    cursor: str
    native_id: str
    content: bytes
    problem: str | None = None

    def document(self, source: Source, **also: Any) -> Document:
        """Return it as a document, with what else there is to say of it."""
        said = {"native_id": self.native_id, "page": self.cursor, **also}
        if self.problem:
            return Document(source=source.id, problem=self.problem, **said)
        return Document(source=source.id, **{"content": self.content, **said})


def asked_box(source: Source) -> str | None:
    """Return the source's box as the parameter `bbox` (OGC API - Features §7.15.3)."""
    box = source.bbox
    return f"{box.west:g},{box.south:g},{box.east:g},{box.north:g}" if box else None


def get(fetch: Fetch, ask: Ask) -> tuple[str, Mapping[str, Any]]:
    """Return the address that answered, and the JSON object that it gave.

    Numbers that JSON has not and names that come twice spoil only the part that they are in: whoever reads that part
    strictly is told.

    Raises:
        SourceError: No answer, or none that is a JSON object.
    """
    url, value, _ = _got(fetch, ask)
    return url, value


def _got(fetch: Fetch, ask: Ask) -> tuple[str, Mapping[str, Any], bool]:
    """As `get`, and whether the whole answer is strict JSON."""
    if ask.body is None:
        answer = fetch.get(ask.url)
        url, content = answer.url, answer.content
    else:
        posted = fetch.requests_session.post(ask.url, json=json.loads(ask.body))
        if posted.status_code != _OK:
            raise Unreachable(
                f"{ask.url[:300]} answered with status {posted.status_code}",
                details={"url": ask.url, "status": posted.status_code},
            )
        url, content = ask.url, posted.content
    try:
        value, is_strict = _spoilt(content)
    except BadDocument as error:
        raise Unreachable(f"{ask.url[:300]} did not answer with JSON: {error.message}") from error
    if not isinstance(value, dict):
        raise Unreachable(f"{ask.url[:300]} did not answer with a JSON object")
    return url, value, is_strict


class _Twice:
    """What stands for an object that has a name twice: it cannot be written as JSON."""


def _spoilt(content: bytes) -> tuple[Any, bool]:
    """JSON and whether it is strict; else what is wrong in some part is left for its reader to find."""
    try:
        return read_json(content), True
    except BadDocument as error:
        try:
            value = json.loads(
                content.decode("utf-8-sig", "surrogateescape"),
                object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else _Twice(),
                parse_int=lambda digits: int(digits) if len(digits) < MAX_DIGITS else math.nan,
            )
        except (ValueError, RecursionError):
            raise error from None
        return value, False


def _dumped(element: Any, *, is_strict: bool) -> tuple[bytes, str | None]:
    """An element as JSON, and what is wrong with it."""
    try:
        content = json.dumps(element, sort_keys=True).encode()
        if not is_strict:
            read_json(content)
    except BadDocument as error:
        return b"", f"{error.code}: {error.message}"
    except (TypeError, RecursionError):
        return b"", "bad-document: the JSON has a name twice in one object, or is nested too deep"
    return content, None


def link(value: Mapping[str, Any], base: str, *rels: str) -> str | None:
    """Return the address of the first link of these relations that leads to JSON, in their order; None without one."""
    links = clean.objects(value.get("links"))
    for rel in rels:
        for item in links:
            kind = clean.name(item.get("type")) or "json"
            found = absolute(item.get("href"), base) if item.get("rel") == rel and "json" in kind else None
            if found:
                return found
    return None


def absolute(href: Any, base: str) -> str | None:
    """Return a link's whole address, None for what is none on the web.

    A server that does not know under which name it is reached says `localhost`, or an address of its own network: then
    it is meant to be the host that was asked.
    """
    said = clean.words(href, clean.MAX_ADDRESS)
    try:
        parts = urlsplit(urljoin(base, (said or "").replace(" ", "%20")))
        asked = urlsplit(base)
    except ValueError:
        return None
    if not said or parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    if _is_inner(parts.hostname) and not _is_inner(asked.hostname or ""):
        parts = parts._replace(scheme=asked.scheme, netloc=asked.netloc)
    return parts._replace(fragment="").geturl()


def _is_inner(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


def following(value: Mapping[str, Any], base: str, asked: Ask) -> Ask | None:
    """Return the request that a page's `next` link stands for; None on the last page.

    A link with the method POST carries a body, which with `merge` is laid over the one before it (STAC API item-search,
    Paging).
    """
    links = [item for item in clean.objects(value.get("links")) if item.get("rel") == "next"]
    chosen = next((item for item in links if "html" not in (clean.name(item.get("type")) or "")), None)
    href = absolute(chosen.get("href"), base) if chosen else None
    if chosen is None or href is None:
        return None
    if (clean.name(chosen.get("method")) or "GET").upper() != "POST":
        return Ask(href)
    before = json.loads(asked.body) if asked.body and chosen.get("merge") is True else {}
    return Ask(href, json.dumps({**before, **clean.mapping(chosen.get("body"))}, sort_keys=True))


Follows = Callable[[Mapping[str, Any], str, Ask], Ask | None]


@dataclass
class Pages:
    """The elements of a list, page after page, each once.

    A page's cursor says how many the server had given before the page that came before it, and how to ask for that
    page: a listing that is resumed begins there, as datasets that were removed meanwhile move the others forward.

    Args:
        fetch: The door.
        first: How the first page is asked for.
        otherwise: How it is asked for where the server does not answer that; None for no other way.
        member: Where a page has its elements.
        given: How many elements the server gave so far, each counted once.
        value: The page that was read last.
        stop: Whoever lists sets it when nothing of what follows is wanted.
        follows: Gives the request for the page after one, of its value, its address and how it was asked for.
        named: Where an element has its id.
    """

    fetch: Fetch
    first: Ask
    member: str
    otherwise: Ask | None = None
    given: int = 0
    value: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    stop: bool = False
    _counts: list[int] = field(default_factory=list)
    _is_strict: bool = True
    follows: Follows = following
    named: str = "id"
    _seen: set[str] = field(default_factory=set)

    def list(self, resume: str | None = None) -> Iterator[Listed]:
        """Yield the elements from the start or a cursor; where the server knows that page no more, from the start.

        Raises:
            SourceError: The first page cannot be read.
            IncompleteListing: It gave fewer than it counts, its pages lead in a circle, or nothing new comes any more.
        """
        given, ask = _begun(resume) or (0, self.first)
        try:
            self._read(ask)
        except Unreachable as error:
            following_ = self.otherwise if ask == self.first else self.first
            if following_ is None or (ask != self.first and error.details.get("status") not in _REFUSED):
                raise
            given, ask = 0, following_
            self._read(ask)
        self.given = given
        yield from self._walk(ask)

    def _walk(self, ask: Ask) -> Iterator[Listed]:
        asked, barren, cursor = {ask}, 0, _cursor(self.given, ask)
        while True:
            here, fresh = _cursor(self.given, ask), 0
            for element in self._elements(cursor):
                fresh += 1
                yield element
            cursor, barren = here, 0 if fresh else barren + 1
            following_ = None if self.stop else self.follows(self.value, self.url, ask)
            if following_ is None or (following_ in asked and 0 < self.count <= self.given):
                break
            if following_ in asked or barren == _MOST_BARREN:
                raise self._incomplete("its pages lead in a circle or to nothing new")
            ask = following_
            asked.add(ask)
            self._read(ask)
        if self.given < self.count and not self.stop:
            raise self._incomplete("that is fewer than it counts")

    @property
    def count(self) -> int:
        """How many are to be given: as many as there were at first, the most there were if any were removed since."""
        grew = all(one <= other for one, other in pairwise(self._counts))
        return max(self._counts[:1] if grew else self._counts, default=0)

    def _incomplete(self, why: str) -> IncompleteListing:
        return IncompleteListing(
            f"{self.first.url[:300]} counts {self.count:,} and gave {self.given:,}: {why}",
            details={"count": self.count, "given": self.given},
        )

    def _read(self, ask: Ask) -> None:
        self.url, self.value, self._is_strict = _got(self.fetch, ask)
        if not isinstance(self.value.get(self.member), list):
            raise Unreachable(f"{ask.url[:300]} did not answer with a list of {self.member}")
        context = clean.mapping(self.value.get("context"))
        said = (clean.whole({**context, **self.value}.get(name)) for name in _MATCHED)
        self._counts += [number for number in said if number is not None][:1]

    def _elements(self, cursor: str) -> Iterator[Listed]:
        """What is new on the page; a name that is there twice was given twice, one of an earlier page was not."""
        before = frozenset(self._seen)
        for element in self.value[self.member]:
            name = clean.words(clean.mapping(element).get(self.named), 20_000)
            native_id = name or f"row {self.given}"
            self.given += native_id not in before
            if native_id not in self._seen:
                self._seen.add(native_id)
                content, problem = _dumped(element, is_strict=self._is_strict)
                nameless = None if name else "bad-document: it has no id"
                yield Listed(cursor, native_id, content, problem or nameless)


def _cursor(given: int, ask: Ask) -> str:
    return f"{given} {ask.url}" + (f" {ask.body}" if ask.body else "")


def _begun(cursor: str | None) -> tuple[int, Ask] | None:
    """How many were given before a cursor's page, and how it is asked for; None for what is no cursor of ours."""
    given, url, body = [*(cursor or "").split(" ", 2), "", ""][:3]
    if not given.isdecimal() or not url.startswith(("http://", "https://")):
        return None
    return int(given), Ask(url, body or None)


def is_refusal(error: CatalogError) -> bool:
    """Tell whether a server answered that there is no such thing (404 and 410)."""
    return error.details.get("status") in {404, 410}
