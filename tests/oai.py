"""A repository that speaks OAI-PMH 2.0 on loopback: paging with tokens, deletions, sets, granularity, and its errors.

It is written by the specification, not by what our harvester asks; Sickle is a client of it, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from portals import Asked, answer

ARGUMENTS: Mapping[str, tuple[set[str], set[str]]] = {
    "Identify": (set(), set()),
    "ListMetadataFormats": (set(), {"identifier"}),
    "ListSets": (set(), {"resumptionToken"}),
    "ListRecords": ({"metadataPrefix"}, {"from", "until", "set", "resumptionToken"}),
    "GetRecord": ({"identifier", "metadataPrefix"}, set()),
}
NAMESPACES: Mapping[str, str] = {
    "oai_dc": "http://www.openarchives.org/OAI/2.0/oai_dc/",
    "datacite": "http://datacite.org/schema/kernel-4",
    "iso19139": "http://www.isotc211.org/2005/gmd",
    "marcxml": "http://www.loc.gov/MARC21/slim",
}
SECONDS, DAYS = "YYYY-MM-DDThh:mm:ssZ", "YYYY-MM-DD"


@dataclass(frozen=True)
class Item:
    """An item: its identifier, when it changed (UTC, to the second), its sets, its metadata by prefix."""

    identifier: str
    datestamp: str
    metadata: Mapping[str, bytes]
    sets: tuple[str, ...] = ("sea",)
    deleted: bool = False


@dataclass
class Repository:
    """A running repository; `items` may change between requests.

    Args:
        items: What it holds.
        size: Records a page.
        granularity: `SECONDS` or `DAYS`.
        count: What it tells as the size of a list of so many; None leaves size and cursor out.
        status: The HTTP status of its errors.
    """

    items: Sequence[Item]
    size: int = 10
    granularity: str = SECONDS
    count: Callable[[int], int | None] = lambda many: many
    status: int = 200
    prefixes: tuple[str, ...] = ("oai_dc",)
    tokens: dict[str, tuple[list[Item], int, str]] = field(default_factory=dict)
    asked: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> list[bytes]:
        """Answer a request."""
        query = dict(asked.query)
        self.asked.append(query)
        try:
            return [answer(self.said(query), Content_Type="text/xml; charset=utf-8")]
        except Wrong as wrong:
            body = f'<error code="{wrong.code}">{escape(wrong.words)}</error>'
            return [answer(self.envelope(body), self.status, Content_Type="text/xml; charset=utf-8")]

    def envelope(self, body: str) -> bytes:
        return (
            '<?xml version="1.0" encoding="UTF-8"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
            "<responseDate>2026-10-01T00:00:00Z</responseDate><request>http://repository.example/oai</request>"
            f"{body}</OAI-PMH>"
        ).encode()

    def said(self, query: dict[str, str]) -> bytes:
        verb = query.pop("verb", "")
        if verb not in ARGUMENTS:
            raise Wrong("badVerb", f"{verb!r} is no verb")
        needed, allowed = ARGUMENTS[verb]
        if "resumptionToken" in query:
            if len(query) > 1:
                raise Wrong("badArgument", "resumptionToken is an exclusive argument")
        elif not needed <= query.keys() or query.keys() - needed - allowed:
            raise Wrong("badArgument", f"{sorted(query)} are not the arguments of {verb}")
        return self.envelope(f"<{verb}>{getattr(self, verb)(query)}</{verb}>")

    def Identify(self, _: Any) -> str:  # noqa: N802 - verbs are named so
        return (
            "<repositoryName>r</repositoryName><baseURL>http://repository.example/oai</baseURL>"
            "<protocolVersion>2.0</protocolVersion><adminEmail>a@repository.example</adminEmail>"
            "<earliestDatestamp>2000-01-01T00:00:00Z</earliestDatestamp><deletedRecord>persistent</deletedRecord>"
            f"<granularity>{self.granularity}</granularity>"
        )

    def ListMetadataFormats(self, _: Any) -> str:  # noqa: N802
        return "".join(
            f"<metadataFormat><metadataPrefix>{prefix}</metadataPrefix><schema>http://x.example/x.xsd</schema>"
            f"<metadataNamespace>{NAMESPACES[prefix]}</metadataNamespace></metadataFormat>"
            for prefix in self.prefixes
        )

    def ListSets(self, _: Any) -> str:  # noqa: N802
        names = sorted({name for item in self.items for name in item.sets})
        return "".join(f"<set><setSpec>{name}</setSpec><setName>{name}</setName></set>" for name in names)

    def ListRecords(self, query: Mapping[str, str]) -> str:  # noqa: N802
        if "resumptionToken" in query:
            if query["resumptionToken"] not in self.tokens:
                raise Wrong("badResumptionToken", "it is unknown or has expired")
            found, start, prefix = self.tokens[query["resumptionToken"]]
        else:
            found, start, prefix = self.selected(query), 0, query["metadataPrefix"]
        page = found[start : start + self.size]
        token, ends = "", start + self.size >= len(found)
        if not ends:
            token = f"token/{len(self.tokens)}?a&b"
            self.tokens[token] = (found, start + self.size, prefix)
        count = self.count(len(found))
        told = "" if count is None else f' completeListSize="{count}" cursor="{start}"'
        more = "" if ends and start == 0 else f"<resumptionToken{told}>{escape(token)}</resumptionToken>"
        return "".join(self.record(item, prefix) for item in page) + more

    def selected(self, query: Mapping[str, str]) -> list[Item]:
        if query["metadataPrefix"] not in self.prefixes:
            raise Wrong("cannotDisseminateFormat", query["metadataPrefix"])
        first, last = query.get("from", ""), query.get("until", "9999")
        length = len("2026-01-01") if self.granularity == DAYS else len("2026-01-01T00:00:00Z")
        if any(len(end) not in {0, 4, length} for end in (first, last)):
            raise Wrong("badArgument", f"the granularity is {self.granularity}")
        found = [
            item
            for item in self.items
            if first <= item.datestamp[:length] <= last and query.get("set", item.sets[0]) in item.sets
        ]
        if not found:
            raise Wrong("noRecordsMatch", "there are none")
        return found

    def record(self, item: Item, prefix: str) -> str:
        length = len("2026-01-01") if self.granularity == DAYS else None
        sets = "".join(f"<setSpec>{name}</setSpec>" for name in item.sets)
        state = " status=" + quoteattr("deleted") if item.deleted else ""
        header = (
            f"<header{state}><identifier>{escape(item.identifier)}</identifier>"
            f"<datestamp>{item.datestamp[:length]}</datestamp>{sets}</header>"
        )
        metadata = "" if item.deleted else f"<metadata>{item.metadata[prefix].decode()}</metadata>"
        return f"<record>{header}{metadata}</record>"

    def GetRecord(self, query: Mapping[str, str]) -> str:  # noqa: N802
        for item in self.items:
            if item.identifier == query["identifier"]:
                return self.record(item, query["metadataPrefix"])
        raise Wrong("idDoesNotExist", query["identifier"])


class Wrong(Exception):
    """An error of the protocol (§3.6)."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code)
        self.code, self.words = code, words


def dublin_core(title: str, **elements: str) -> bytes:
    """Metadata in oai_dc: a title, and elements by their names."""
    said = "".join(
        f"<dc:{name}>{escape(words)}</dc:{name}>" for name, words in {"title": title, **elements}.items()
    )
    return (
        '<oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">{said}</oai_dc:dc>'
    ).encode()


def items(many: int, *, deleted: Callable[[int], bool] = lambda _: False) -> list[Item]:
    """Items `oai:r:0` …, each changed a day after the one before it; odd ones are in the set `odd`, too."""
    return [
        Item(
            identifier=f"oai:r:{at}",
            datestamp=f"2026-{at // 28 % 12 + 1:02}-{at % 28 + 1:02}T12:00:00Z",
            metadata={
                "oai_dc": dublin_core(
                    f"Biển số {at}",
                    identifier=f"https://repository.example/{at}",
                    coverage=f"northlimit={at % 80}; southlimit={at % 80 - 1}; westlimit=105; eastlimit=106",
                )
            },
            sets=("sea", "odd") if at % 2 else ("sea",),
            deleted=deleted(at),
        )
        for at in range(many)
    ]
