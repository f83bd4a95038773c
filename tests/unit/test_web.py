"""The pages: they answer, keep their state in links, speak both languages, leave strangers' words inert."""

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from catalog import formats, web
from catalog.app import MethodNotAllowed
from catalog.appraisals import Appraisals
from catalog.errors import BadRequest, CatalogError, NotFound, TooBusy
from catalog.healths import STATES, Healths
from catalog.histories import SourceSummary
from catalog.interfaces import api
from catalog.matching import Rule
from catalog.record import BBox, Kind, Record, Role, Text, TimeRange
from catalog.search import FACETS, Page, Query
from catalog.source import Document
from catalog.stores import Entry, Quarantined, Run, State, memory
from catalog.tying import Tying
from catalog.vocabulary import label
from catalog.web import extent_map, pages, reference, rendering
from catalog.web.translation import LANGUAGES, translation
from strangers import PAYLOADS, hostile, record

WEB = Path(web.__file__).parent
ASKED = re.compile(r"""\b(?:t|self)\(["']([a-z-]+\.[a-z-]+)["'][,)]""")


class FewRecords:
    """What the pages ask of the service, over the reference store."""

    def __init__(self, *records: Record) -> None:
        self.store = memory.open_store(Path())
        self.tying = Tying(self.store, Path())
        self.healths = Healths(self.store)
        self.appraisals = Appraisals(self.store, Path("nowhere"))
        self.store.put(
            [Entry(document=Document(source=r.source, native_id=r.native_id), record=r) for r in records]
        )

    def search(self, query: Query) -> Page:
        return self.store.search(query)

    def get(self, record_id: str) -> Record:
        return self.store.get(record_id)

    def history(self, record_id: str) -> Any:
        return self.store.history(record_id)

    def sources(self) -> tuple[SourceSummary, ...]:
        return (
            SourceSummary(
                id="sample", protocol="files", title=PAYLOADS[0], url=PAYLOADS[6], last_run=self.runs()[0]
            ),
        )

    def runs(self, source: str | None = None, *, limit: int = 50) -> tuple[Run, ...]:
        bad = tuple(Quarantined(native_id=text, reason=text, url=text) for text in PAYLOADS)
        started = "2026-02-23T07:00:00Z"
        return (
            Run(id=1, source="sample", state="suspect", started=started, note=PAYLOADS[0], quarantine=bad),
        )


def client(*records: Record) -> TestClient:
    app = FastAPI(docs_url=None, redoc_url=None)
    few: Any = FewRecords(*records)
    app.include_router(api.router(few))
    app.include_router(web.router(few))
    app.add_exception_handler(CatalogError, web.error_page)  # type: ignore[arg-type]
    return TestClient(app, follow_redirects=False)


@pytest.fixture(scope="module")
def site() -> TestClient:
    return client(
        *(record(f"r{number:02}") for number in range(25)),
        record("wind", title=Text.of("Gió"), kind="points", variables=()),
    )


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a"]


PATHS = (
    "/",
    "/?q=nhiet+do",
    "/?limit=0",
    "/?offset=1000",
    "/datasets/sample-r00",
    "/sources",
    "/runs",
    "/docs",
    "/nowhere",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_page_answers_in_its_language_and_keeps_its_policy(site: TestClient, path: str, lang: str) -> None:
    answer = site.get(path, params=dict(parse_qsl(urlsplit(path).query)) | {"lang": lang})
    assert answer.status_code == (404 if path == "/nowhere" else 200)
    if path == "/nowhere":
        return
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Tags(answer.text)
    assert ("html", {"lang": lang}) in page.tags
    assert not [tag for tag, attrs in page.tags if tag in {"script", "style"} or "style" in attrs]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    outside = [
        attrs for tag, attrs in page.tags if tag in {"link", "img", "form"} and "//" in str(attrs.values())
    ]
    assert not outside
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("lang", "words"), [("vi", "Số bộ dữ liệu tìm thấy: 25"), ("en", "Datasets found: 25")]
)
def test_search_counts_in_the_language_of_the_page(site: TestClient, lang: str, words: str) -> None:
    assert words in site.get("/", params={"q": "nhiệt độ", "lang": lang}).text


def test_links_keep_the_state_and_lead_to_what_they_say(site: TestClient) -> None:
    state = {"q": "nhiệt độ", "bbox": "105.5,17,110,22", "lang": "en", "sort": "title"}
    page = Tags(site.get("/", params=state).text)
    asked = [dict(parse_qsl(urlsplit(link).query)) for link in page.links()]
    assert state | {"variable": "sea_surface_temperature"} in asked
    assert state | {"offset": "20"} in asked
    assert state | {"lang": "vi"} in asked
    assert {name: value for name, value in state.items() if name != "bbox"} in asked
    assert ("/api/datasets", state) in [
        (urlsplit(x).path, dict(parse_qsl(urlsplit(x).query))) for x in page.links()
    ]
    for link in page.links():
        if link.startswith(("/", "?")):
            assert site.get("/" + link if link.startswith("?") else link).status_code == 200, link


def test_a_chosen_facet_is_shown_with_the_way_to_remove_it(site: TestClient) -> None:
    page = Tags(site.get("/", params={"kind": "points", "offset": "0"}).text)
    assert ("a", {"class": "chosen", "href": "/", "title": "Bỏ điều kiện: Điểm đo"}) in page.tags


def test_paging_shows_every_record_once(site: TestClient) -> None:
    seen: list[str] = []
    link: str | None = "/?limit=7&sort=id"
    while link:
        page = Tags(site.get(link).text)
        seen += [target for target in page.links() if target.startswith("/datasets/")]
        link = next((attrs["href"] for _, attrs in page.tags if attrs.get("rel") == "next"), None)
    assert sorted(seen) == seen
    assert len(set(seen)) == len(seen) == 26


@pytest.mark.parametrize(
    "path",
    [
        "/?colour=blue",
        "/?bbox=1,2,3",
        "/?q=a&q=b",
        "/sources?x=1",
        "/datasets/sample-r00?lang=fr",
        "/?lang=fr",
    ],
)
def test_a_parameter_that_cannot_be_read_is_a_friendly_400(site: TestClient, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 400
    assert "Yêu cầu chưa đúng" in answer.text


def test_an_unknown_dataset_is_a_friendly_404(site: TestClient) -> None:
    assert "Không tìm thấy" in site.get("/datasets/nothing").text
    assert site.get("/static/../pages.py").status_code == 404
    assert site.get("/static/coast.json").status_code == 404


def test_a_page_of_a_dataset_shows_what_the_record_holds(site: TestClient) -> None:
    page = site.get("/datasets/sample-r00").text
    for words in (
        "Nhiệt độ nước biển r00",
        "Viện Hải dương học",
        "23/02/2019 – 01/03/2019 06:00 UTC",
        "1.440",
        "1,2 MB",
    ):
        assert words in page
    assert "Quần đảo Hoàng Sa (Việt Nam)" in page
    assert "Quần đảo Trường Sa (Việt Nam)" in page
    assert "/secret/place" not in page
    for suffix in formats.all_formats():
        assert f'formaction="/api/datasets/sample-r00/subset.{suffix}"' in page
    for suffix in ("nc", "csv", "xlsx", "png"):
        assert f'"/api/datasets/sample-r00/subset.{suffix}?bbox=105.5%2C17%2C110%2C22"' in page


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_strangers_words_stay_words(number: int) -> None:
    """FAULTS row 23: the same tags as with harmless words, and no address that runs or leaves."""
    harmless, bad = record("harmless"), hostile(number, PAYLOADS[number])
    for path in ("/", f"/datasets/{bad.id}", "/?q=x&source=" + "%3Cscript%3E", "/runs", "/sources"):
        page = Tags(client(harmless, bad).get(path).text)
        assert not {tag for tag, _ in page.tags} & {"script", "style", "iframe", "base", "object"}
        assert not [attrs for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        for link in page.links():
            assert re.match(r"/(?!/)|[?#]|https?://[^\\]|mailto:", link), link


def test_a_payload_is_shown_as_it_was_written() -> None:
    page = Tags(client(hostile(0, PAYLOADS[0])).get("/datasets/sample-hostile-0").text)
    assert page.text.count(PAYLOADS[0]) >= 10


@pytest.mark.parametrize(
    "text", [*PAYLOADS, "", "ftp://example.org/", "http://", "https://[::1", "mailto:nobody"]
)
def test_only_plain_web_addresses_are_linked(text: str) -> None:
    assert rendering.safe_url(text) is None


@pytest.mark.parametrize("text", ["https://example.org/a?b=c#d", "http://[::1]:80/", "mailto:a@example.org"])
def test_plain_web_addresses_are_linked(text: str) -> None:
    assert rendering.safe_url(text) == text


def test_errors_are_pages_with_their_status() -> None:
    app = FastAPI()

    def busy() -> None:
        raise TooBusy("<script>alert(1)</script>", details={"retry_after": 7})

    app.add_api_route("/busy", busy)
    app.add_exception_handler(CatalogError, web.error_page)  # type: ignore[arg-type]
    answer = TestClient(app).get("/busy?lang=en")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "The server is busy" in answer.text
    assert "<script>" not in answer.text


# --- translations


def _keys(language: str) -> dict[str, set[str]]:
    words = translation(language).words  # type: ignore[arg-type]
    return {
        key: {field for _, field, _, _ in Formatter().parse(text) if field} for key, text in words.items()
    }


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    assert _keys("vi") == _keys("en")
    assert all(text.strip() for lang in LANGUAGES for text in translation(lang).words.values())


def _wanted() -> set[str]:
    """Keys that templates and code ask for by a name made at run time."""
    families: dict[str, Any] = {
        "field": (*FACETS, "q", "bbox", "time", "depth", "stride", "variables"),
        "area": pages.AREAS,
        "role": get_args(Role),
        "state": get_args(State),
        "health": STATES,
        "same-by": (*get_args(Rule), "operator"),
        "site": ("search", "sources", "runs", "docs"),
        "wind": ("north", "east", "south", "west"),
        "search": ("bbox-hint", "time-hint", "variable-hint"),
        "subset": ("variables-hint", "bbox-hint", "time-hint", "depth-hint", "stride-hint"),
        "sort": ("relevance", "title", "title-down", "modified", "modified-down", "id", "id-down"),
        "runs": (
            "run", "source", "state", "started", "seconds", "seen", "new", "changed", "unchanged", "quarantined",
            "missing", "held", "withdrawn", "restored",
        ),
        "error": _codes(CatalogError) | {MethodNotAllowed.code},
    }  # fmt: skip
    return {f"{family}.{name}" for family, names in families.items() for name in names}


def _codes(error: type[CatalogError]) -> set[str]:
    return {error.code}.union(
        *(_codes(kind) for kind in error.__subclasses__() if kind.__module__ == "catalog.errors")
    )


def test_every_key_that_is_asked_for_is_there_and_every_key_is_asked_for() -> None:
    sources = [
        path.read_text("utf-8")
        for folder in ("templates", ".")
        for path in (WEB / folder).glob("*.[hp][ty]*")
    ]
    said = {key for text in sources for key in ASKED.findall(text)}
    assert said | _wanted() == set(_keys("vi"))


def test_translations_are_plain_words() -> None:
    for lang in LANGUAGES:
        text = (WEB / "translations" / f"{lang}.toml").read_text("utf-8")
        assert tomllib.loads(text)
        assert "<" not in "".join(translation(lang).words.values())


def test_kinds_have_labels_in_both_languages() -> None:
    assert all(label("kind", kind, lang) != kind for kind in get_args(Kind) for lang in LANGUAGES)


@pytest.mark.parametrize(
    ("value", "vi", "en"),
    [
        (1234.5, "1.234,5", "1,234.5"),
        (0, "0", "0"),
        (-0.25, "-0,25", "-0.25"),
        (1e-7, "1e-07", "1e-07"),
        (10, "10", "10"),
    ],
)
def test_numbers_are_written_as_readers_write_them(value: float, vi: str, en: str) -> None:
    assert (translation("vi").number(value), translation("en").number(value)) == (vi, en)


def test_times_are_written_as_readers_write_them() -> None:
    vi, en = translation("vi"), translation("en")
    assert vi.day("0000-01-16T06:00:00Z") == "16/01/0000 06:00 UTC"
    assert en.day("2019-02-23T23:59:59.999999Z") == "2019-02-23"
    assert vi.period(TimeRange(start="2019-02-23T00:00:00Z")) == "từ 23/02/2019"
    assert (
        en.period(TimeRange(end="2019-02-23T00:00:00Z", calendar="noleap"))
        == "until 2019-02-23 (noleap calendar)"
    )
    assert vi.period(None) == ""
    assert (
        vi.box(BBox(west=105.5, south=-17, east=-110, north=22))
        == "105,5° Đông – 110° Tây; 17° Nam – 22° Bắc"
    )
    assert (vi.longitude(190), vi.longitude(180), en.latitude(0)) == ("170° Tây", "180°", "0°")


# --- the map


longitudes = st.floats(-180, 180)
boxes = st.builds(
    lambda west, east, a, b: BBox(west=west, east=east, south=min(a, b), north=max(a, b)),
    longitudes, longitudes, st.floats(-90, 90), st.floats(-90, 90),
)  # fmt: skip


@given(st.lists(boxes, min_size=1, max_size=4))
def test_every_extent_is_drawn_inside_the_frame(some: list[BBox]) -> None:
    drawing = extent_map.draw(some)
    frame = drawing.frame
    assert len(drawing.extents) + len(drawing.points) >= len(some)
    for part in drawing.extents:
        assert frame.x <= part.x
        assert part.x + part.width <= frame.x + frame.width + 1e-3
        assert frame.y <= part.y
        assert part.y + part.height <= frame.y + frame.height + 1e-3
    width = sum(part.width for part in drawing.extents)
    wide = sum((box.east - box.west) % 360 or 360 * (box.east > box.west) for box in some)
    assert width <= wide + 1e-2


def test_a_box_across_the_antimeridian_is_one_rectangle() -> None:
    drawing = extent_map.draw([BBox(west=170, south=-10, east=-170, north=10)])
    assert not drawing.region
    assert drawing.extents == (extent_map.Rectangle(170, -10, 20, 20),)


def test_the_whole_circle_is_one_rectangle_and_a_station_a_point() -> None:
    assert extent_map.draw([BBox(west=-180, south=-90, east=180, north=90)]).extents[0].width == 360
    station = extent_map.draw([BBox(west=106.8, south=20.7, east=106.8, north=20.7)])
    assert station.region
    assert station.points == ((106.8, -20.7),)


def test_the_coast_lies_in_its_region_and_is_small() -> None:
    path = WEB / "static" / "coast.json"
    assert path.stat().st_size < 80_000
    rings = extent_map.json.loads(path.read_bytes())
    assert all(99 <= x <= 122 and -1 <= y <= 25 for ring in rings for x, y in ring)


# --- the API's reference


def test_the_reference_lists_every_operation_with_its_parameters(site: TestClient) -> None:
    page = site.get("/docs").text
    document = site.get("/openapi.json").json()
    assert not [path for path in document["paths"] if path.startswith(("/datasets", "/docs", "/static"))]
    assert "/api/datasets/{record_id}/subset.{suffix}" in document["paths"]
    for operation in reference.operations(document):
        assert operation.path in page
        assert all(f">{parameter.name}</code>" in page for parameter in operation.parameters)


def test_a_try_leads_to_the_address_it_fills(site: TestClient) -> None:
    asked = {
        "address": "/api/datasets/{record_id}/subset.{suffix}",
        "record_id": "a/../b",
        "suffix": "nc",
        "bbox": "1,2,3,4",
    }
    answer = site.get("/docs/try", params=asked | {"time": ""})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/datasets/a%2F..%2Fb/subset.nc?bbox=1%2C2%2C3%2C4"


@pytest.mark.parametrize("path", ["//example.org", "https://example.org", "", "/api/datasets/{record_id}/x"])
def test_a_try_leads_nowhere_else(site: TestClient, path: str) -> None:
    assert site.get("/docs/try", params={"address": path}).status_code == 404


def test_a_try_without_a_part_of_the_path_says_so() -> None:
    document = client().get("/openapi.json").json()
    with pytest.raises(BadRequest, match="record_id"):
        reference.tried(document, {"address": "/api/datasets/{record_id}"})


def test_static_files_are_kept_for_a_year_under_their_version(site: TestClient) -> None:
    page = Tags(site.get("/").text)
    style = next(attrs["href"] for tag, attrs in page.tags if tag == "link" and attrs["rel"] == "stylesheet")
    assert "immutable" in site.get(str(style)).headers["cache-control"]
    assert site.get("/static/site.css").headers["cache-control"] == "no-cache"
    with pytest.raises(NotFound):
        rendering.asset("coast.json")
