"""The pages of a CKAN portal's `package_search`, row by row where a page cannot be read whole."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ckanapi import RemoteCKAN
from ckanapi.errors import CKANAPIError, ServerIncompatibleError

from catalog.dialects import _words as clean
from catalog.errors import BadDocument, Unreachable
from catalog.source import Source
from harvesters._soon import soon

ROWS = 100
_AT_ONCE = 2  # as many questions as one host is asked at once
Page = tuple[int, list[Any]]
"""How many packages the portal counts, and those of a page."""
_FAILURES = 3  # rows in a row that cannot be read: it is the portal, not its datasets
_NOT_CKAN = (
    CKANAPIError,
    ServerIncompatibleError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True)
class Unread:
    """A row that cannot be read: the dataset's id where the portal tells it, and the reason."""

    native_id: str | None
    reason: str


class Pages:
    """Pages that are asked for before they are needed, two at once where they are full.

    Args:
        page: Asks for the page at an offset.
    """

    def __init__(self, page: Callable[[int], Page]) -> None:
        self._page = page
        self._coming: dict[int, Future[Page]] = {}

    def ask(self, start: int, count: int, rows: int) -> None:
        """Begin to ask for the page at an offset, and for the next where the last gave the rows that were asked for.

        Args:
            start: The offset; one that was asked for is not again.
            count: The rows that the portal counts.
            rows: The rows that its last page gave.
        """
        ahead = _AT_ONCE if rows == ROWS else 1
        wanted = range(start, min(count, start + ahead * ROWS), ROWS)
        self._coming = {at: self._coming.get(at) or soon(partial(self._page, at)) for at in wanted}

    def at(self, start: int) -> Page:
        """Return the page at an offset, asked for now if it was not. Raises what asking for it raised."""
        return self._coming[start].result() if start in self._coming else self._page(start)


def get_page(portal: RemoteCKAN, source: Source, start: int) -> Page:
    """Return the portal's count, and the packages of the page at an offset. Raises Unreachable."""
    try:
        return _asked(portal, source, start, ROWS)
    except BadDocument as error:
        return _row_by_row(portal, source, start, error)


def _row_by_row(portal: RemoteCKAN, source: Source, start: int, reason: BadDocument) -> Page:
    """A page that could not be read whole, with an `Unread` for each bad row. Raises Unreachable."""
    count, packages, failures = start + ROWS, list[Any](), 0
    while len(packages) < ROWS and start + len(packages) < count:
        at = start + len(packages)
        try:
            count, found = _asked(portal, source, at, 1)
        except BadDocument as error:
            failures += 1
            if failures == _FAILURES:
                raise Unreachable(reason.message) from reason
            packages.append(Unread(_told_id(portal, source, at), f"{error.code}: {error.message}"))
        else:
            failures = 0
            packages += found[:1]
            if not found:
                break
    return count, packages


def _told_id(portal: RemoteCKAN, source: Source, at: int) -> str | None:
    """The id of a row whose package cannot be read, from portals that give single fields (CKAN 2.8 and later)."""
    try:
        _, found = _asked(portal, source, at, 1, fl=["id"])
    except BadDocument:
        return None
    return clean.words(clean.mapping(found[0]).get("id"), 20_000) if found else None


def _asked(portal: RemoteCKAN, source: Source, start: int, rows: int, **also: Any) -> Page:
    """Ask for rows. Raises BadDocument for what is no answer of a CKAN portal."""
    filters = [str(source.options["fq"])] if source.options.get("fq") else []
    if source.changed_since:
        filters.append(f"metadata_modified:[{source.changed_since[:19]}Z TO *]")
    asked: dict[str, Any] = {"rows": rows, "start": start, "sort": "id asc", **also}
    asked |= {"q": source.search} if source.search else {}
    asked |= {"fq": " AND ".join(f"({each})" for each in filters)} if len(filters) > 1 else {}
    asked |= {"fq": filters[0]} if len(filters) == 1 else {}
    if source.bbox and source.options.get("ext_bbox"):
        box_ = source.bbox
        asked["extras"] = {"ext_bbox": f"{box_.west},{box_.south},{box_.east},{box_.north}"}
    try:
        answer = portal.action.package_search(**asked)
        count, packages = answer["count"], answer["results"]
    except _NOT_CKAN as error:
        raise BadDocument(f"{source.url} did not answer as a CKAN portal: {str(error)[:300]}") from error
    if isinstance(count, bool) or not isinstance(count, int) or not isinstance(packages, list):
        raise BadDocument(f"{source.url} did not answer as a CKAN portal: it gave no count or no results")
    return count, packages
