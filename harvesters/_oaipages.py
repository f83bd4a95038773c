"""Answers of OAI-PMH 2.0 taken apart: records, resumption token, errors; also of a page that is no XML.

http://www.openarchives.org/OAI/openarchivesprotocol.html. One record with a byte that XML does not know makes a whole
page unreadable; such a page is cut into its records, and only those that cannot be read are lost.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import unescape

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.errors import BadDocument

_NO_LETTERS = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01])|[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));"
)
_ROOT = re.compile(rb"<((?:[A-Za-z_][\w.-]{0,50}:)?OAI-PMH)(\s[^<>]{0,10000})?>")
_PLAIN = (
    b'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
    b"</OAI-PMH>",
)
_START = re.compile(rb"<((?:[A-Za-z_][\w.-]{0,50}:)?record)(?=[\s>])")
_TOKEN = re.compile(rb"<(?:[\w.-]{1,50}:)?resumptionToken(\s[^<>]{0,1000})?>([^<>]{0,8000})</")
_SIZE = re.compile(rb"""\b(completeListSize|cursor)\s*=\s*["'](\d{1,15})["']""")
_IDENTIFIER = re.compile(rb"<(?:[\w.-]{1,50}:)?identifier(?:\s[^<>]{0,200})?>([^<>]{1,4000})</")
_MOST_PIECES = 10_000
_HEAD = 2_000


@dataclass(frozen=True)
class Found:
    """A record of a page.

    Args:
        identifier: The item's identifier, None where it tells none.
        content: The `record` element.
        deleted: Whether its header says that it is deleted.
        problem: Why it cannot be read.
    """

    identifier: str | None
    content: bytes = b""
    deleted: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Page:
    """An answer to ListRecords.

    Args:
        records: Its records, deleted ones among them.
        token: The resumption token; empty where the list ends here.
        size: The size of the complete list, where it tells.
        cursor: How many records came before this page, where it tells.
        error: The code of an error (§3.6), and its words.
        cut: Whether the page breaks off.
    """

    records: Sequence[Found]
    token: str = ""
    size: int | None = None
    cursor: int | None = None
    error: tuple[str, str] | None = None
    cut: bool = False


def read_page(content: bytes) -> Page:
    """Read an answer to ListRecords.

    Raises:
        BadDocument: It is no answer of OAI-PMH.
    """
    try:
        root = read_answer(content)
    except BadDocument as error:
        return _pieces(_NO_LETTERS.sub(b"", content), error)
    error_ = xml.first(root, "error")
    listed = xml.first(root, "ListRecords")
    if error_ is not None:
        code = clean.name(xml.attribute(error_, "code")) or "error"
        return Page((), error=(code, clean.name(xml.text(error_)) or ""))
    if listed is None:
        raise BadDocument("this answer of OAI-PMH has neither ListRecords nor an error")
    token = xml.first(listed, "resumptionToken")
    return Page(
        [_found(element) for element in xml.each(listed, "record")],
        (xml.text(token) or "") if token is not None else "",
        clean.whole(xml.attribute(token, "completeListSize")),
        clean.whole(xml.attribute(token, "cursor")),
    )


def read_answer(content: bytes) -> xml.Element:
    """Read any answer of OAI-PMH; letters that XML does not know are left out.

    Raises:
        BadDocument: It is none.
    """
    try:
        root = xml.read_xml(content)
    except BadDocument:
        cleaned = _NO_LETTERS.sub(b"", content)
        if cleaned == content:
            raise
        root = xml.read_xml(cleaned)
    if xml.local(root) != "OAI-PMH":
        raise BadDocument(f"this is no answer of OAI-PMH, but {xml.local(root)[:100]!r}")
    return root


def _found(element: xml.Element) -> Found:
    header = xml.first(element, "header")
    identifier = clean.words(xml.text(header, "identifier"), 20_000) if header is not None else None
    if xml.attribute(header, "status") == "deleted":
        return Found(identifier, deleted=True)
    metadata = xml.first(element, "metadata/*")
    problem = "bad-document: the record has no identifier" if identifier is None else None
    if metadata is None:
        problem = problem or "bad-document: the record has no metadata and is not deleted"
    content = b"" if problem else bytes(etree.tostring(element, encoding="UTF-8", with_tail=False))
    return Found(identifier, content, problem=problem)


def _pieces(content: bytes, error: BadDocument) -> Page:
    """The records of a page that is no XML, each read for itself within the page's first tag. Raises the error."""
    starts = [found.start() for found in _START.finditer(content)]
    if b"OAI-PMH" not in content[:_HEAD] or not 0 < len(starts) <= _MOST_PIECES:
        raise error
    opening, closing = _envelope(content[: starts[0]])
    token = _TOKEN.search(content, starts[-1])
    told = dict(_SIZE.findall(token[1] or b"")) if token else {}
    unread = token is None and b"resumptionToken" in content[starts[-1] :]
    return Page(
        list(_each(content, starts, opening, closing)),
        unescape(token[2].decode("utf-8", "replace").strip()) if token else "",
        clean.whole(told.get(b"completeListSize", b"").decode()),
        clean.whole(told.get(b"cursor", b"").decode()),
        cut=unread or not content.rstrip().endswith(b"OAI-PMH>"),
    )


def _envelope(head: bytes) -> tuple[bytes, bytes]:
    """The page's first tag, with the namespaces that it declares, and its last; plain ones where it is damaged."""
    root = _ROOT.search(head)
    if root is None:
        return _PLAIN
    opening, closing = root[0], b"</" + root[1] + b">"
    try:
        xml.read_xml(opening + closing)
    except BadDocument:
        return _PLAIN
    return opening, closing


def _each(content: bytes, starts: Sequence[int], opening: bytes, closing: bytes) -> Iterator[Found]:
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        piece = content[start:end]
        name = _START.match(piece)
        ending = b"</" + (name[1] if name else b"record") + b">"
        whole, closed, _ = piece.partition(ending)
        try:
            root: Any = xml.read_xml(opening + whole + (closed or ending) + closing)
            yield _found(next(iter(root)))
        except BadDocument as error:
            said = _IDENTIFIER.search(piece)
            identifier = clean.words(said[1].decode("utf-8", "replace"), 20_000) if said else None
            yield Found(identifier, problem=f"bad-document: {error.message}")
