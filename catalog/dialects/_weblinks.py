"""Links of JSON documents (OGC API, STAC): `href`, `rel` and `type`, with addresses relative to the document's own."""

from typing import Any
from urllib.parse import urljoin

from catalog.dialects import _words as clean

_PAGES = ("about", "via", "describedby", "canonical", "alternate", "related")


def absolute(href: Any, base: str) -> str | None:
    """Return an address as it is, or resolved against the document's own; None where it is no address."""
    said = clean.words(href, clean.MAX_ADDRESS)
    if said is None:
        return None
    try:
        return said if "://" in said else urljoin(base, said.replace(" ", "%20"))
    except ValueError:
        return None


def linked(links: Any, base: str, *rels: str, kind: str = "") -> str | None:
    """Return the web address of the first link of these relations, in their order, whose type has this word."""
    items = clean.objects(links)
    for rel in rels:
        for item in items:
            wanted = item.get("rel") == rel and kind in (clean.name(item.get("type")) or "")
            if wanted and (found := clean.address(absolute(item.get("href"), base))):
                return found
    return None


def landing_page(links: Any, base: str) -> str | None:
    """Return the address of the page for people, None without one."""
    return linked(links, base, *_PAGES, kind="html")
