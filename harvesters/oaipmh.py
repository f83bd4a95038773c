"""Repositories that speak OAI-PMH 2.0: ListRecords, page by page, in the richest format that we read.

http://www.openarchives.org/OAI/openarchivesprotocol.html. A page's cursor is the resumption token that asks for it.
A record that a repository tells is deleted is told to the runner, which withdraws it as the run ends. A repository that
keeps no deletions (§2.5.1) tells none: its records are withdrawn by full listings that miss them (`full_every_days`).
That a record has moved to another set is not told by OAI-PMH at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from catalog.dialects import _xml as xml
from catalog.dialects import datacite, iso19115
from catalog.dialects._dublincore import read_dc
from catalog.errors import BadDocument, BadSource, IncompleteListing, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._oaipages import Found, Page, read_answer, read_page
from harvesters._wanted import is_wanted

INCREMENTAL = True
_FORMATS = (
    "standards.iso.org/iso/19115/-3/mdb", "www.isotc211.org/2005/gmi", "www.isotc211.org/2005/gmd",
    "datacite.org/schema/kernel-4", "schema.datacite.org/oai/oai-1", "datacite.org/schema/kernel-3",
    "www.openarchives.org/oai/2.0/oai_dc",
)  # fmt: skip
"""What the namespaces of formats that we read contain, the richest first."""

_DAY = "YYYY-MM-DD"
_EMPTY_PAGES = 10
_REFUSED = range(400, 500)


@dataclass(frozen=True)
class _Repository:
    """One that is asked: where, and how."""

    url: str
    fetch: Fetch

    def ask(self, verb: str, **arguments: str) -> bytes:
        """Ask; the body of a refusal (4xx) may be an answer, too: some say so that nothing matches."""
        params = {"verb": verb, **arguments}
        try:
            return self.fetch.get(self.url, params).content
        except Unreachable as error:
            if error.details.get("status") not in _REFUSED:
                raise
            body = bytes(self.fetch.requests_session.get(self.url, params=params).content)
            if b"OAI-PMH" not in body[:2_000]:
                raise
            return body

    def tell(self, verb: str) -> xml.Element:
        """Ask for a verb without arguments. Raises Unreachable for what is no answer."""
        try:
            found = xml.first(read_answer(self.ask(verb)), verb)
        except BadDocument as error:
            raise Unreachable(
                f"{self.url} did not answer as an OAI-PMH repository: {error.message}"
            ) from error
        if found is None:
            raise Unreachable(f"{self.url} did not answer as an OAI-PMH repository: it refused {verb}")
        return found


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a repository's records, and those that it tells are deleted; `url` is its base URL.

    Options: `set`, the set that is listed; `prefix`, the metadataPrefix, where the best is not wanted; `estimated =
    true` where the repository's completeListSize is only an estimate, and does not count as a promise. A listing that
    is resumed with a token that has expired begins anew. `bbox` and `search` are heeded by what records say.

    Raises:
        Unreachable: The address does not answer as a repository, or refuses the listing.
        BadSource: It has no format that we read, or not the one that is wanted.
        IncompleteListing: A token expired or came back, a page broke off, or fewer records came than it counts.
    """
    repository = _Repository(source.url, fetch)
    granularity = xml.text(repository.tell("Identify"), "granularity") or _DAY
    asked = {"metadataPrefix": _prefix(repository, source)}
    if source.options.get("set"):
        asked["set"] = str(source.options["set"])
    if source.changed_since:
        day = source.changed_since[:10]
        asked["from"] = day if granularity == _DAY else f"{source.changed_since[:19]}Z"
    seen: set[tuple[str, bool]] = set()
    for found, page in _listed(repository, source, asked):
        document = _document(source, found, asked["metadataPrefix"], page, len(seen))
        told = bool(document.problem or document.deleted)
        if (document.native_id, document.deleted) not in seen and (told or is_wanted(source, read, document)):
            yield document
        seen.add((document.native_id, document.deleted))


def _prefix(repository: _Repository, source: Source) -> str:
    """The prefix of the best format, or the one that is wanted."""
    formats = xml.each(repository.tell("ListMetadataFormats"), "metadataFormat")
    spaces = {
        prefix: (xml.text(item, "metadataNamespace") or "").lower()
        for item in formats
        if (prefix := xml.text(item, "metadataPrefix"))
    }
    wanted = source.options.get("prefix")
    if wanted and str(wanted) in spaces:
        return str(wanted)
    best = (prefix for known in _FORMATS for prefix, space in spaces.items() if known in space)
    found = None if wanted else next(best, None)
    if found is None:
        raise BadSource(
            f"{source.url} has not the format {wanted!r}"
            if wanted
            else f"{source.url} has no format that is read here",
            hint=f"its metadataPrefixes are {', '.join(spaces)[:500] or 'none'}",
        )
    return found


def _listed(repository: _Repository, source: Source, asked: Mapping[str, str]) -> Iterator[tuple[Found, str]]:
    """The records, each with the token of its page; raises as `harvest`."""
    token, page = source.resume or "", None
    if token:
        page = _page(repository, {"resumptionToken": token})
        if page.error and page.error[0] == "badResumptionToken":
            token, page = "", None
    page = page or _page(repository, asked)
    given, left, empty = (page.cursor if token else 0), {token}, 0
    while True:
        _check(source, page, token)
        yield from ((found, token) for found in page.records)
        _count(source, page, given)
        given = None if given is None else given + len(page.records)
        if page.cut:
            raise IncompleteListing(
                f"{source.url} gave a page that breaks off, after {given or 'some'} records"
            )
        empty = 0 if page.records else empty + 1
        if not page.token:
            break
        if page.token in left or empty == _EMPTY_PAGES:
            raise IncompleteListing(
                f"{source.url} goes on for ever: its token {page.token[:200]!r} leads nowhere"
            )
        token, size = page.token, page.size
        left.add(token)
        page = _page(repository, {"resumptionToken": token})
        if page.error and size is not None and given == size:
            break  # pycsw gives a token with the last page, too, and refuses it
        if page.error and page.error[0] == "badArgument":  # pycsw wants the prefix with its tokens
            page = _page(repository, {**asked, "resumptionToken": token})
        page = page if page.size is not None else _sized(page, size)
    _promised(source, page.size, given)


def _sized(page: Page, size: int | None) -> Page:
    """A page that does not tell the list's size, with what the page before it told."""
    return Page(page.records, page.token, size, page.cursor, page.error, page.cut)


def _page(repository: _Repository, asked: Mapping[str, str]) -> Page:
    try:
        return read_page(repository.ask("ListRecords", **asked))
    except BadDocument as error:
        kind = IncompleteListing if "resumptionToken" in asked else Unreachable
        raise kind(f"{repository.url} did not answer as an OAI-PMH repository: {error.message}") from error


def _check(source: Source, page: Page, token: str) -> None:
    """Raise what an error of the protocol means; that no records match is an empty list."""
    if page.error is None or (page.error[0] == "noRecordsMatch" and not token):
        return
    code, words = page.error
    told = f"{source.url} answered {code}: {words[:300]}"
    if token:
        raise IncompleteListing(told, details={"error": code, "token": token[:500]})
    raise Unreachable(told, hint="see the options `set` and `prefix` of the source", details={"error": code})


def _count(source: Source, page: Page, given: int | None) -> None:
    """Raise where the cursor tells that records were skipped; some count the page itself in (§3.5).

    It counts only where the list does not tell its size: pycsw tells the right size and a wrong cursor.
    """
    if page.size is None and given is not None and (page.cursor or 0) > given + len(page.records):
        raise IncompleteListing(
            f"{source.url} is at record {page.cursor} and gave {given + len(page.records)}",
            details={"cursor": page.cursor, "given": given + len(page.records)},
        )


def _promised(source: Source, size: int | None, given: int | None) -> None:
    """Raise where fewer records came than the list has; deleted ones count."""
    if given is not None and size is not None and given < size and not source.options.get("estimated"):
        raise IncompleteListing(
            f"{source.url} counts {size} records and gave {given}",
            hint="if its completeListSize is an estimate, set the option estimated = true",
            details={"count": size, "given": given},
        )


def _document(source: Source, found: Found, prefix: str, page: str, at: int) -> Document:
    native_id = found.identifier or f"record {at} of page {page[:100] or '1'}"
    asked = {"verb": "GetRecord", "identifier": native_id, "metadataPrefix": prefix}
    return Document(
        source=source.id,
        native_id=native_id,
        content=found.content,
        media_type="text/xml",
        url=f"{source.url}?{urlencode(asked)}",
        page=page,
        problem=found.problem,
        deleted=found.deleted,
    )


def read(document: Document) -> Record:
    """Read a `record` of a listing, by the format of its metadata.

    Raises:
        BadDocument: It is none, or in a format that is not read.
    """
    record = xml.read_xml(document.content)
    metadata = xml.first(record, "metadata/*")
    if metadata is None or xml.local(record) != "record":
        raise BadDocument("this is no record of OAI-PMH with metadata")
    kind = xml.local(metadata)
    if kind in {"MD_Metadata", "MI_Metadata"}:
        return iso19115.read(document)
    if kind in {"resource", "oai_datacite"}:
        return datacite.read(document)
    if kind in {"dc", "qualifieddc"}:
        return read_dc(document, metadata)
    raise BadDocument(f"metadata in the form {kind[:100]!r} are not read")
