"""XML as strangers send it: parsed without reaching anything, or refused with a reason.

Elements are found by their local names, whatever the namespace: the same standard is served under several (ISO 19139
of 2005, 2006, 2007; InvCatalog 0.6 and 1.0), and a prefix says nothing.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

from lxml import etree

from catalog.errors import BadDocument

Element: TypeAlias = Any
"""An element of lxml, which has no types and no public name for it."""


def read_xml(content: bytes) -> Element:
    """Read XML 1.0; nothing outside the document is asked for, and no entity of its own is known.

    Raises:
        BadDocument: It is not well formed, is nested deeper than 256, or declares entities.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadDocument(f"this is no XML: {str(error)[:200]}") from error
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise BadDocument("the XML declares entities")
    return root


def read_html(content: bytes, encoding: str | None = None) -> Element:
    """Read a page of HTML, however broken; nothing outside it is asked for.

    Args:
        content: The page.
        encoding: Its encoding; None to go by what it says.

    Raises:
        BadDocument: There is nothing in it, or no such encoding.
    """
    try:
        parser = etree.HTMLParser(
            encoding=encoding, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
        )
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, LookupError, ValueError) as error:
        raise BadDocument(f"this is no page of HTML: {str(error)[:200]}") from error
    if root is None:
        raise BadDocument("this is no page of HTML: it is empty")
    return root


def local(element: Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def each(element: Element, path: str) -> Iterator[Element]:
    """Yield the elements at a path of local names, `a/b/c` from an element's children on; `*` stands for any name.

    A name that begins with `//` is looked for at any depth, and only the first of a path may be.
    """
    first, _, rest = path.removeprefix("//").partition("/")
    there = element.iterdescendants() if path.startswith("//") else iter(element)
    for child in there:
        if first in {"*", local(child)}:
            if rest:
                yield from each(child, rest)
            else:
                yield child


def first(element: Element | None, *paths: str) -> Element | None:
    """Return the first element at one of some paths, the earlier path before the later; None where there is none."""
    if element is None:
        return None
    return next((found for path in paths for found in each(element, path)), None)


def text(element: Element | None, *paths: str) -> str | None:
    """Return the words of the first element at one of some paths that has any, its children's among them."""
    if element is None:
        return None
    for path in paths or ("",):
        for found in each(element, path) if path else (element,):
            said = "".join(map(str, found.itertext())).strip()
            if said:
                return said
    return None


def attribute(element: Element | None, name: str) -> str | None:
    """Return an attribute by its local name, whatever its namespace (`href` of xlink)."""
    if element is None:
        return None
    return next(
        (str(value) for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), None
    )


def written(element: Element) -> str:
    """Return an element as text, without a declaration of its encoding."""
    return str(etree.tostring(element, encoding="unicode", with_tail=False))
