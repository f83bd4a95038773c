"""Catalogues whose pages lie, that refuse a question or break off: all records, or said to be incomplete."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from altering import altered
from catalog.dialects import iso19115
from catalog.errors import BadDocument, IncompleteListing, Unreachable
from catalog.record import BBox
from catalog.source import Document, Source
from harvesters import csw
from harvesters._cswrequests import read_page
from portals import Asked, answer
from strangers import record

CSW = "http://www.opengis.net/cat/csw/2.0.2"
CAPABILITIES = f"""<csw:Capabilities xmlns:csw="{CSW}" xmlns:ows="http://www.opengis.net/ows" version="2.0.2">
<ows:OperationsMetadata><ows:Operation name="GetRecords"><ows:Parameter name="outputSchema">
<ows:Value>http://www.isotc211.org/2005/gmd</ows:Value></ows:Parameter><ows:Constraint name="AdditionalQueryables">
<ows:Value>apiso:Modified</ows:Value></ows:Constraint></ows:Operation></ows:OperationsMetadata></csw:Capabilities>"""
EXCEPTION = b"""<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows">
<ows:Exception exceptionCode="NoApplicableCode"><ows:ExceptionText>it does not</ows:ExceptionText></ows:Exception>
</ows:ExceptionReport>"""
FIRST = re.compile(rb'startPosition="(\d+)"')
MOST = re.compile(rb'maxRecords="(\d+)"')


def iso(number: int, box: Sequence[float] = (105, 17, 110, 22)) -> bytes:
    made = record(f"{number:04}", native_id=f"{number:04}", extent={"boxes": [box]})
    return iso19115.write(made).partition(b"?>")[2]


@dataclass
class Catalogue:
    """A catalogue over a list of records, which may cap its pages, lie about them, and refuse."""

    records: list[bytes]
    cap: int = 20
    following: Callable[[int], int] = lambda end: end
    matched: Callable[[int], int] = lambda count: count
    refuses: Callable[[bytes], bool] = lambda body: False
    after: Callable[[list[bytes]], None] = lambda records: None
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, asked: Asked) -> list[bytes]:
        if asked.query.get("request") == "GetCapabilities":
            return [answer(CAPABILITIES.encode(), Content_Type="application/xml")]
        self.bodies.append(asked.body)
        first, most = FIRST.search(asked.body), MOST.search(asked.body)
        if first is None or most is None or self.refuses(asked.body):
            return [answer(EXCEPTION, Content_Type="application/xml")]
        start = int(first[1]) - 1
        given = self.records[start : start + min(self.cap, int(most[1]))]
        said = (
            f'<csw:GetRecordsResponse xmlns:csw="{CSW}"><csw:SearchResults '
            f'numberOfRecordsMatched="{self.matched(len(self.records))}" numberOfRecordsReturned="{len(given)}" '
            f'nextRecord="{self.following(start + len(given) + 1)}">'
        )
        self.after(self.records)
        whole = said.encode() + b"".join(given) + b"</csw:SearchResults></csw:GetRecordsResponse>"
        return [answer(whole, Content_Type="application/xml")]


SOURCE = Source(id="c", protocol="csw", url="https://catalogue.example/csw")


class Door:
    """A door that leads to a catalogue in this process."""

    def __init__(self, catalogue: Callable[[Asked], list[bytes]]) -> None:
        self.catalogue, self.requests_session = catalogue, self

    def get(self, url: str, params: Mapping[str, str]) -> SimpleNamespace:
        return self._answered(Asked("/csw", params, {}, b""))

    def post(self, url: str, data: bytes, headers: Mapping[str, str]) -> SimpleNamespace:
        return self._answered(Asked("/csw", {}, headers, data))

    def _answered(self, asked: Asked) -> SimpleNamespace:
        (whole,) = self.catalogue(asked)
        return SimpleNamespace(status_code=200, content=whole.partition(b"\r\n\r\n")[2])


def listing(catalogue: Callable[[Asked], list[bytes]], **also: object) -> Iterator[Document]:
    return csw.harvest(SOURCE.model_copy(update=also), Door(catalogue))


def ids(documents: Iterator[Document]) -> list[str]:
    return [document.native_id for document in documents]


NAMES = [f"sample-{number:04}" for number in range(57)]
GULF = BBox(west=105, south=17, east=110, north=22)
LIES: dict[str, Callable[[int], int]] = {
    "is right": lambda end: end,
    "is always 1": lambda end: 1,
    "is always 0": lambda end: 0,
    "skips": lambda end: end + 7,
    "is as if the page had been full": lambda end: end - 20 + 100,
}


@pytest.mark.parametrize("lie", LIES)
def test_pages_that_are_short_and_whose_next_record_is_wrong(lie: str) -> None:
    catalogue = Catalogue([iso(n) for n in range(57)], following=LIES[lie])
    assert ids(listing(catalogue)) == NAMES
    assert len(catalogue.bodies) == 3


def test_fewer_than_it_counts_is_incomplete() -> None:
    found: list[Document] = []
    with pytest.raises(IncompleteListing, match="counts 62 records and gave 57"):
        found.extend(listing(Catalogue([iso(n) for n in range(57)], matched=lambda n: n + 5)))
    assert ids(iter(found)) == NAMES


def test_a_catalogue_that_heeds_no_start_is_incomplete() -> None:
    catalogue = Catalogue([iso(n) for n in range(57)])

    def heedless(asked: Asked) -> list[bytes]:
        body = FIRST.sub(b'startPosition="1"', asked.body)
        return catalogue(Asked(asked.path, asked.query, asked.headers, body))

    with pytest.raises(IncompleteListing):
        list(listing(heedless))
    assert len(catalogue.bodies) < 10


@pytest.mark.parametrize("seed", range(4))
def test_records_that_come_and_go_between_pages(seed: int) -> None:
    """FAULTS row 12: 1,000 records, some removed and added at each page: none double, none lost, or told."""
    chance = random.Random(seed)
    start = [MADE[n] for n in range(0, 2000, 2)]
    gone: set[bytes] = set()

    def mutate(records: list[bytes]) -> None:
        for _ in range(chance.randint(0, 5)):
            gone.add(records.pop(chance.randrange(len(records))))
        for _ in range(chance.randint(0, 5)):
            new = MADE[chance.randrange(2000)]
            if new not in records:
                records.append(new)
        records.sort(key=name)

    found = ids(listing(Catalogue(list(start), cap=chance.choice([100, 40]), after=mutate)))
    assert len(found) == len(set(found))
    assert {name(one) for one in start if one not in gone} <= set(found)


def name(content: bytes) -> str:
    return content[content.index(b"sample-") :][:11].decode()


MADE = [iso(n) for n in range(2000)]


def test_one_bad_record_is_lost_alone() -> None:
    records = [iso(n) for n in range(57)]
    records[33] = b"<bad>\x01</bad>"
    found = list(listing(Catalogue(records)))
    assert [one.native_id for one in found if not one.problem] == [*NAMES[:33], *NAMES[34:]]
    (lost,) = [one for one in found if one.problem]
    assert lost.native_id == "record 34"
    assert str(lost.problem).startswith("bad-document: ")


def test_what_is_refused_is_asked_more_plainly() -> None:
    records = [iso(n) for n in range(30)]
    records[7] = iso(7, (10, 54, 30, 66))
    catalogue = Catalogue(records, refuses=lambda body: b"SortBy" in body or b"BBOX" in body)
    assert ids(listing(catalogue, bbox=GULF)) == [*NAMES[:7], *NAMES[8:30]]
    with pytest.raises(Unreachable, match="it does not"):
        list(listing(Catalogue([], refuses=lambda _: True)))


@pytest.mark.parametrize("named", [True, False])
def test_an_order_of_coordinates_that_misleads_is_not_used(named: bool) -> None:
    """A catalogue that takes latitude for longitude gives what lies elsewhere, with status 200."""
    tonkin, elsewhere = [iso(n) for n in range(30)], [iso(n, (15, 17, 20, 22)) for n in range(40)]

    class Swapping(Catalogue):
        def __call__(self, asked: Asked) -> list[bytes]:
            self.records = elsewhere if (b"srsName" in asked.body) is named else tonkin
            return super().__call__(asked)

    assert ids(listing(Swapping([]), bbox=GULF)) == NAMES[:30]


def test_what_changed_since_is_asked_for() -> None:
    catalogue = Catalogue([iso(1)])
    list(listing(catalogue, changed_since="2024-01-02T03:04:05Z", search="sóng 50%"))
    (body,) = catalogue.bodies
    names = etree.fromstring(body).iter("{http://www.opengis.net/ogc}PropertyName")
    said = [(one.text, one.getnext().text) for one in names if one.getnext().text != "ASC"]
    assert said == [
        ("csw:AnyText", "%sóng%"), ("csw:AnyText", "%50\\%%"), ("apiso:Modified", "2024-01-02"),
    ]  # fmt: skip


def test_a_resumed_listing_goes_on() -> None:
    catalogue = Catalogue([iso(n) for n in range(250)], cap=100)
    pages = {one.native_id: one.page for one in listing(catalogue)}
    again = ids(listing(catalogue, resume=pages["sample-0220"]))
    assert again[-1] == "sample-0249"
    assert 100 <= len(again) < 200
    assert "sample-0199" in again


ALTERATIONS = (..., None, True, "x", -1, 1e300, "\ufffd" * 50)


@pytest.mark.parametrize("count", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutations_of_a_record_lose_no_other(count: int) -> None:
    """Of ten records one is altered: whatever it becomes, the nine others are listed and read."""
    chance = random.Random(1)
    whole = [iso(n) for n in range(10)]
    for _ in range(count):
        at = chance.randrange(10)
        spoilt = altered(whole[at], chance, chance.choice(ALTERATIONS))
        kept = set()
        with suppress(IncompleteListing):  # where the altered one has another's identifier now
            for document in listing(Catalogue([*whole[:at], spoilt, *whole[at + 1 :]])):
                kept.add(document.native_id)
                try:
                    csw.read(document)
                except BadDocument:
                    assert document.native_id not in {*NAMES[:10]} - {NAMES[at]}
        assert kept >= {*NAMES[:10]} - {NAMES[at]}


def test_a_real_page(shared_real: Path) -> None:
    """An answer of the INSPIRE geoportal: all that it says to have given is there, and is read."""
    content = (shared_real / "responses" / "owslib" / "inspire-getrecords-response.xml").read_bytes()
    said = etree.fromstring(content).find(f"{{{CSW}}}SearchResults")
    page = read_page(content)
    assert len(page.records) == int(said.get("numberOfRecordsReturned")) > 0
    assert page.matched == int(said.get("numberOfRecordsMatched"))
    for element in page.records:
        read = csw.read(Document(source="c", native_id="x", content=etree.tostring(element)))
        assert read.title.words
        assert bool(read.extent.boxes) is (b"GeographicBoundingBox" in etree.tostring(element))


@given(st.binary(max_size=300))
def test_reads_any_record(content: bytes) -> None:
    for kind in (b"Record", b"MD_Metadata"):
        with suppress(BadDocument):
            csw.read(Document(source="c", native_id="x", content=b"<%s>%s</%s>" % (kind, content, kind)))
