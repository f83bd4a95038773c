"""Catalogue Services for the Web (OGC CSW 2.0.2 and 3.0): GetRecords, page by page, as ISO 19115 or Dublin Core.

What a catalogue says of its pages is not relied upon: a page may be shorter than asked for, `nextRecord` may be wrong,
and the number of records may change while they are listed. The next page is asked for by what came; it begins at the
last record of the page before, and where that is not a known one the listing goes back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from lxml import etree

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects import iso19115
from catalog.dialects._dublincore import read_dc
from catalog.dialects._extent import Notes, box
from catalog.dialects._record import distributions
from catalog.dialects._ways import way
from catalog.dialects._xml import Element
from catalog.errors import BadDocument, BadSource, IncompleteListing, Unreachable
from catalog.record import MOST, BBox, Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._cswrequests import (
    GMD,
    LANGUAGES,
    Asking,
    BoxForm,
    Offer,
    Page,
    body,
    parameters,
    read_capabilities,
    read_page,
)
from harvesters._wanted import is_wanted

INCREMENTAL = True
ROWS = 100
_SCHEMAS = {
    "gmd": GMD,
    "gmi": "http://www.isotc211.org/2005/gmi",
    "mdb": "http://standards.iso.org/iso/19115/-3/mdb/2.0",
}
_ORDERS: tuple[BoxForm, ...] = ("latitude", "longitude")
_RECORDS = frozenset({"Record", "SummaryRecord", "BriefRecord"})
_REFUSED = range(400, 500)
_BACK = 30
"""How often a listing goes back."""

_IDLE = 3
"""Pages in a row that bring nothing new, after which nothing more is expected."""

_FAILURES = 10
"""Records in a row that cannot be read, after which it is the catalogue that is broken."""


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a catalogue's records, a hundred a page; `url` is its address, without the parameters of a request.

    It is asked by POST, and by GET where it refuses that. `bbox` and `search` are asked of the catalogue, and heeded by
    what records say where it refuses a filter; what changed since is asked for where it knows `Modified`.

    Options: `version`, 2.0.2 or 3.0.0, else what it speaks; `schema`, the output schema: `gmd`, `gmi`, `mdb`, `csw` or
    an address, else the best that it has; `method = "get"` where POST misleads.

    Raises:
        Unreachable: The address does not answer as a catalogue, or refuses every form of the question.
        IncompleteListing: It gave fewer records than it counts, or moves on too fast to be listed.
    """
    forms = tuple(_forms(source, _offer(source, fetch)))
    start, asking, page = _resumed(source, fetch, forms) or (1, *_agreed(source, fetch, forms))
    yield from _Listing(source, fetch, asking, forms.index(asking), start).documents(page)


def _offer(source: Source, fetch: Fetch) -> Offer:
    """What the catalogue speaks: the version that is wanted, else 2.0.2, else 3.0."""
    wanted = source.options.get("version")
    if wanted is not None and wanted not in LANGUAGES:
        raise BadSource(
            f"the version {wanted!r} of CSW is not spoken", hint=f"versions: {', '.join(LANGUAGES)}"
        )
    refusal: BadDocument | Unreachable | None = None
    for version in [str(wanted)] if wanted else LANGUAGES:
        asked = {
            "service": "CSW",
            "request": "GetCapabilities",
            "acceptVersions": version,
            "version": version,
        }
        try:
            return read_capabilities(fetch.get(source.url, asked).content)
        except Unreachable as error:
            if error.details.get("status") not in _REFUSED:
                raise
            refusal = error
        except BadDocument as error:
            refusal = error
    raise Unreachable(
        f"{source.url} did not answer as a catalogue: {refusal and refusal.message}"
    ) from refusal


def _resumed(source: Source, fetch: Fetch, forms: Sequence[Asking]) -> tuple[int, Asking, Page] | None:
    """The page a hundred records before a cursor, asked for as it was; None where there is none any more."""
    position, _, form = (source.resume or "").partition(".")
    if not (position.isdecimal() and form.isdecimal() and int(form) < len(forms)):
        return None
    asking, start = forms[int(form)], max(1, int(position) - ROWS)
    try:
        return start, asking, _ask(source, fetch, asking, start, ROWS)
    except BadDocument:
        return None


def _agreed(source: Source, fetch: Fetch, forms: Sequence[Asking]) -> tuple[Asking, Page]:
    """The first form of the question that the catalogue does not refuse, and its first page."""
    refusal: BadDocument | None = None
    for asking in forms:
        try:
            if asking.box == "latitude":
                return _placed(source, fetch, asking)
            if asking.box is None:
                return asking, _ask(source, fetch, asking, 1, ROWS)
        except BadDocument as error:
            refusal = refusal or error
    raise Unreachable(f"{source.url} refuses to list its records: {refusal and refusal.message}") from refusal


def _placed(source: Source, fetch: Fetch, asking: Asking) -> tuple[Asking, Page]:
    """The order of a box's coordinates that the catalogue means: its records meet the box, and are the most.

    Raises:
        BadDocument: It refuses both, or gives nothing that meets the box.
    """
    found: list[tuple[Asking, Page]] = []
    refusal: BadDocument | None = None
    for order in _ORDERS:
        form = replace(asking, box=order)
        try:
            page = _ask(source, fetch, form, 1, ROWS)
        except BadDocument as error:
            refusal = error
            continue
        documents = [
            _document(source, form, one, _identifier(one, at), "") for at, one in enumerate(page.records)
        ]
        here = source.model_copy(update={"search": ""})
        if documents and all(is_wanted(here, read, document) for document in documents):
            found.append((form, page))
    if not found:
        raise refusal or BadDocument("what it gives for a box does not meet it")
    return max(found, key=lambda one: one[1].matched or 0)


def _forms(source: Source, offer: Offer) -> Iterator[Asking]:
    """Forms of the question, the one that asks most first; schemas that are not offered come last."""
    wanted, words = source.options.get("schema"), bool(source.search)
    dublin = LANGUAGES[offer.version].csw
    known = {**_SCHEMAS, "csw": dublin}
    ours = [schema for schema in offer.schemas if schema == GMD] + [
        schema
        for schema in offer.schemas
        if schema != GMD and ("19115/-3/mdb" in schema or schema.endswith("/gmi"))
    ]
    schemas = [known.get(str(wanted), str(wanted))] if wanted else [*(ours or [GMD]), dublin]
    changed = offer.modified and source.changed_since is not None
    methods = (False,) if source.options.get("method") == "get" else (True, False)
    orders: tuple[BoxForm | None, ...] = (*_ORDERS, None) if source.bbox else (None,)
    filters = ((words, changed, True), (words, changed, False), (words, False, False), (False, False, False))
    for schema in schemas:
        for said, since, ordered in dict.fromkeys(filters):
            for order in orders:
                for posted in methods:
                    yield Asking(offer.version, schema, order, said, since, ordered=ordered, posted=posted)


def _ask(source: Source, fetch: Fetch, asking: Asking, start: int, most: int) -> Page:
    """Ask for a page. Raises BadDocument for an exception or what is no answer, Unreachable for silence."""
    if asking.posted:
        headers = {"Content-Type": "application/xml"}
        answer = fetch.requests_session.post(
            source.url, data=body(asking, source, start, most), headers=headers
        )
        return read_page(answer.content)
    answer = fetch.requests_session.get(source.url, params=parameters(asking, source, start, most))
    return read_page(answer.content)


@dataclass
class _Listing:
    """The records of a catalogue, each once.

    Args:
        source: The source.
        fetch: The door.
        asking: The form of the question.
        form: Which form that is; a part of the cursors.
        first: The position of the first record that is asked for, from 1.
    """

    source: Source
    fetch: Fetch
    asking: Asking
    form: int
    first: int
    seen: set[str] = field(default_factory=set)
    twins: set[str] = field(default_factory=set)
    back: int = 0
    failures: int = 0

    def documents(self, page: Page) -> Iterator[Document]:
        """Yield the documents from a first page on. Raises IncompleteListing."""
        position, label, matched, idle = self.first, self.first, page.matched, 0
        while True:
            documents = list(self._fresh(page.records, position, f"{label}.{self.form}"))
            yield from (one for one in documents if one.problem or self._is_wanted(one))
            matched = page.matched if page.matched is not None else matched
            end = position + len(page.records)
            if not (end <= matched if matched else page.following and documents):
                break
            idle = 0 if documents else idle + 1
            if idle == _IDLE:
                raise self._incomplete(matched or 0)
            position, page = self._following(end, max(1, len(page.records) - 1))
            label = max(label, position)
        if matched and self.first - 1 + len(self.seen) + len(self.twins) < matched:
            raise self._incomplete(matched)

    def _incomplete(self, matched: int) -> IncompleteListing:
        given = self.first - 1 + len(self.seen) + len(self.twins)
        return IncompleteListing(
            f"{self.source.url} counts {matched:,} records and gave {given:,}",
            details={"count": matched, "given": given},
        )

    def _is_wanted(self, document: Document) -> bool:
        """Heed the box, and the words where the catalogue was not asked for them."""
        source = self.source.model_copy(update={"search": ""}) if self.asking.words else self.source
        return is_wanted(source, read, document)

    def _following(self, end: int, size: int) -> tuple[int, Page]:
        """The page that begins with the last record before a position: a known one, else pages of a size before it."""
        while True:
            page = self._page(end - 1, ROWS)
            known = page.records and _identifier(page.records[0], end - 1) in self.seen
            if known or end - 1 <= self.first:
                return end - 1, page
            self.back += 1
            if self.back == _BACK:
                raise IncompleteListing(f"{self.source.url} moves its records while they are listed")
            end = max(self.first + 1, end - size)

    def _page(self, start: int, most: int) -> Page:
        """A page; of one that cannot be read its halves, so that one bad record is lost alone."""
        try:
            page = _ask(self.source, self.fetch, self.asking, start, most)
        except BadDocument as error:
            if most > 1:
                left = self._page(start, most // 2)
                whole = len(left.records) == most // 2
                right = self._page(start + most // 2, most - most // 2) if whole else Page(None, (), None)
                return Page(right.matched or left.matched, (*left.records, *right.records), None)
            self.failures += 1
            if self.failures == _FAILURES:
                raise IncompleteListing(
                    f"{self.source.url} does not give its records: {error.message}"
                ) from error
            return Page(None, (f"{error.code}: {error.message}",), None)
        self.failures = 0
        return page

    def _fresh(self, records: Sequence[Element | str], position: int, label: str) -> Iterator[Document]:
        """The documents of the records of a page that are new."""
        here = set[str]()
        for at, record in enumerate(records, position):
            native_id = _identifier(record, at)
            self.twins |= {native_id} & here
            here.add(native_id)
            if native_id not in self.seen:
                self.seen.add(native_id)
                yield _document(self.source, self.asking, record, native_id, label)


def _identifier(record: Element | str, at: int) -> str:
    """A record's identifier; of one that has none its place."""
    if isinstance(record, str):
        return f"record {at}"
    root = iso19115.find(record)
    found = iso19115.identifier(root) if root is not None else xml.text(record, "identifier")
    return clean.words(found, 20_000) or f"record {at}"


def _document(source: Source, asking: Asking, record: Element | str, native_id: str, page: str) -> Document:
    asked = {
        "service": "CSW", "version": asking.version, "request": "GetRecordById", "id": native_id,
        "elementSetName": "full", "outputSchema": asking.schema,
    }  # fmt: skip
    mark = "&" if "?" in source.url else "?"
    unread = isinstance(record, str)
    return Document(
        source=source.id,
        native_id=native_id,
        content=b"" if unread else bytes(etree.tostring(record, encoding="UTF-8", with_tail=False)),
        media_type="application/xml",
        url=f"{source.url}{mark}{urlencode(asked)}",
        page=page,
        problem=record if unread else None,
    )


def read(document: Document) -> Record:
    """Read a record of a catalogue: ISO 19115, or the Dublin Core of CSW.

    Raises:
        BadDocument: It is neither.
    """
    root = xml.read_xml(document.content)
    if xml.local(root) not in _RECORDS:
        return iso19115.read_element(document, root)
    record = read_dc(document, root)
    boxes, odd = _boxes(root)
    ways, lost = distributions(_ways(root))
    changes: dict[str, Any] = {
        "summary": record.summary or clean.text({"und": xml.text(root, "abstract")}),
        "modified": clean.moment(xml.text(root, "modified")),
        "extent": record.extent.model_copy(update={"boxes": boxes or record.extent.boxes}),
        "distributions": tuple(dict.fromkeys((*record.distributions, *ways)))[: MOST["distributions"]],
        "quality": tuple(dict.fromkeys((*record.quality, *odd, *lost)))[: MOST["quality"]],
    }
    return record.model_copy(update=changes)


def _boxes(root: Element) -> tuple[tuple[BBox, ...], Notes]:
    """Boxes of OWS Common §10.2: latitude first where the reference system is EPSG's, unless that lies nowhere."""
    found: list[BBox] = []
    notes: Notes = ()
    for one in islice(
        (one for one in root if xml.local(one) in {"BoundingBox", "WGS84BoundingBox"}), MOST["boxes"]
    ):
        lower, upper = ((xml.text(one, f"{end}Corner") or "").split() for end in ("Lower", "Upper"))
        if len(lower) != 2 or len(upper) != 2:  # noqa: PLR2004
            continue
        latitudes = [clean.number(corner[0]) or 0.0 for corner in (lower, upper)]
        if "EPSG" in (xml.attribute(one, "crs") or "") and max(map(abs, latitudes)) <= 90:  # noqa: PLR2004
            lower, upper = lower[::-1], upper[::-1]
        legal, odd = box(*lower, *upper)
        found += [legal] if legal else []
        notes += odd
    return tuple(dict.fromkeys(found)), notes


def _ways(root: Element) -> Iterator[Mapping[str, Any]]:
    """The references (`scheme` is their protocol), and the URIs of GeoNetwork."""
    for one in root:
        if xml.local(one) in {"references", "URI"} and clean.address(xml.text(one)):
            said = xml.attribute(one, "scheme") or xml.attribute(one, "protocol")
            title = xml.attribute(one, "name") or xml.attribute(one, "description")
            yield way(xml.text(one), said=said, title=title)
