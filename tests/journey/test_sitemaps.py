"""Sites on loopback: what is listed equals a plain reading of their sitemaps, whatever is wrong with pages and maps."""

import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from catalog.errors import BadDocument, IncompleteListing, SourceError, Unreachable
from catalog.record import BBox
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from contract.test_harvesters import HOSTILE
from harvesters import schemaorg
from harvesters._fetch import Fetch
from harvesters._run import harvest_source
from harvesters._sitemaps import read_sitemap
from portals import Asked, Portal, answer, portal

NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
ROBOTS = "/robots.txt"


def sitemap(*lines: tuple[str, str | None], index: bool = False) -> bytes:
    outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
    said = (
        f"<{inner}><loc>{loc}</loc>{f'<lastmod>{at}</lastmod>' if at else ''}</{inner}>" for loc, at in lines
    )
    return f'<?xml version="1.0"?><{outer} xmlns="{NAMESPACE}">{"".join(said)}</{outer}>'.encode()


def page(name: str) -> bytes:
    said = json.dumps({"@context": "https://schema.org/", "@type": "Dataset", "name": name})
    return f'<html><script type="application/ld+json">{said}</script></html>'.encode()


@contextmanager
def site(
    home: Path, pages: Mapping[str, bytes | int], **fields: object
) -> Iterator[tuple[Source, Fetch, Portal]]:
    def answering(asked: Asked) -> list[bytes]:
        body = pages.get(asked.path, 404)
        return [answer(b"no", body) if isinstance(body, int) else answer(body, Content_Type="text/html")]

    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        source = Source(id="site", protocol="schemaorg", url=f"{running.url}/sitemap.xml", **fields)
        with Fetch(settings, source, None) as fetch:
            yield source, fetch, running


def listed(source: Source, fetch: Fetch) -> tuple[list[Document], SourceError | None]:
    found: list[Document] = []
    try:
        found.extend(schemaorg.harvest(source, fetch))
    except SourceError as error:
        return found, error
    return found, None


def locs(content: bytes) -> list[str]:
    """The addresses of a sitemap, read without our code."""
    return [element.text for element in etree.fromstring(content).iter("{*}loc")]


def whole_site() -> dict[str, bytes | int]:
    """Three sitemaps of 120 pages, one of them gzip, one an index in the index, which leads back to itself."""
    names = [f"/d/{at:03}.html" for at in range(120)]
    return {
        "/sitemap.xml": sitemap(("/a.xml", None), ("/b.xml.gz", None), ("/inner.xml", None), index=True),
        "/inner.xml": sitemap(("/c.xml", None), ("/sitemap.xml", None), index=True),
        "/a.xml": sitemap(*((name, None) for name in names[:70])),
        "/b.xml.gz": gzip.compress(sitemap(*((name, None) for name in names[60:110]))),
        "/c.xml": "\n".join(f"http://HOST{name}" for name in names[110:]).encode(),
        **{name: page(name) for name in names},
    }


def test_lists_every_line_of_every_sitemap_once(tmp_path: Path) -> None:
    pages = whole_site()
    with site(tmp_path, pages) as (source, fetch, running):
        pages["/c.xml"] = pages["/c.xml"].replace(b"HOST", f"127.0.0.1:{running.port}".encode())
        documents, error = listed(source, fetch)
        said = [*locs(pages["/a.xml"]), *locs(gzip.decompress(pages["/b.xml.gz"]))]
        assert [document.native_id for document in documents] == [
            *(running.url + name for name in dict.fromkeys(said)),
            *pages["/c.xml"].decode().split(),
        ]
        assert error is None
        assert {schemaorg.read(document).title.best("en") for document in documents} == {
            name for name in pages if name.startswith("/d/")
        }
        asked = [each.path for each in running.asked if each.path != ROBOTS]
        assert len(asked) == len(set(asked)) == len(pages)
        for cursor in dict.fromkeys(document.page for document in documents):
            rest, _ = listed(source.model_copy(update={"resume": cursor}), fetch)
            start = next(at for at, document in enumerate(documents) if document.page == cursor)
            assert [one.native_id for one in rest] == [one.native_id for one in documents[start:]]
        gone, _ = listed(source.model_copy(update={"resume": "a page that is no more"}), fetch)
        assert len(gone) == len(documents)


def test_only_what_changed_is_asked_for(tmp_path: Path) -> None:
    pages = {
        "/sitemap.xml": sitemap(("/old.xml", "2023-01-01"), ("/new.xml", "2024-06-01"), index=True),
        "/new.xml": sitemap(
            ("/a", "2024-05-31"), ("/b", "2024-05-30T23:00:00Z"), ("/c", None), ("/d", "2024-06-02")
        ),
        **{f"/{name}": page(name) for name in "abcd"},
    }
    with site(tmp_path, pages, changed_since="2024-05-31T12:00:00Z") as (source, fetch, running):
        documents, error = listed(source, fetch)
    assert error is None
    assert [document.native_id[-1] for document in documents] == ["a", "c", "d"]
    assert "/old.xml" not in [each.path for each in running.asked]


@pytest.mark.parametrize(
    "broken",
    [
        404,
        500,
        b"",
        b"<html/>",
        gzip.compress(b"<urlset/>")[:-5],
        gzip.compress(bytes(60_000_000)),
        b"<a>" * 100_000,
    ],
    ids=["404", "500", "nothing", "a page", "cut gzip", "gzip bomb", "deep"],
)
def test_a_sitemap_that_cannot_be_read_leaves_the_listing_incomplete(
    broken: bytes | int, tmp_path: Path
) -> None:
    pages = whole_site() | {"/b.xml.gz": broken, "/c.xml": sitemap()}
    with site(tmp_path / "a", pages) as (source, fetch, _):
        documents, error = listed(source, fetch)
    assert len(documents) == 70
    assert isinstance(error, IncompleteListing)
    assert "/b.xml.gz" in error.message
    with site(tmp_path / "b", {"/sitemap.xml": broken}) as (source, fetch, _):
        assert isinstance(listed(source, fetch)[1], Unreachable)


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    """300 MB of spaces, one member of gzip or many: refused for its size, in a sixth of the memory."""
    piece = gzip.compress(b" " * 30_000_000)
    whole = zlib.compressobj(wbits=31)
    bomb = b"".join([*(whole.compress(b" " * 30_000_000) for _ in range(10)), whole.flush()])
    for content in (bomb, piece * 10):
        tracemalloc.start()
        with pytest.raises(BadDocument, match="larger than 52,428,800 bytes"):
            read_sitemap(content, "https://site.example/")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 170_000_000


def test_members_of_gzip_are_read_one_after_another() -> None:
    """As `cat a.gz b.gz` and pigz write them (RFC 1952 §2.2): pages of the second are not lost."""
    content = sitemap(("/a", None), ("/b", None))
    members = gzip.compress(content[:120]) + gzip.compress(content[120:])
    found = read_sitemap(members, "https://site.example/sitemap.xml.gz")
    assert [entry.url for entry in found.pages] == ["https://site.example/a", "https://site.example/b"]
    with pytest.raises(BadDocument, match="cut off"):
        read_sitemap(members[:-12], "https://site.example/sitemap.xml.gz")


def test_an_endless_index_ends(tmp_path: Path) -> None:
    def answering(asked: Asked) -> list[bytes]:
        at = asked.path.rpartition("/")[2].partition(".")[0]
        return [answer(sitemap((f"/{at}0.xml", None), (f"/{at}1.xml", None), index=True))]

    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    with portal(answering) as running:
        source = Source(id="site", protocol="schemaorg", url=f"{running.url}/sitemap.xml")
        with Fetch(settings, source, None) as fetch:
            documents, error = listed(source, fetch)
        assert (documents, type(error)) == ([], IncompleteListing)
        assert len(running.asked) < 100


SCRIPT = '<script type="application/ld+json">{}</script>'


@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_json_in_a_page_is_named_with_its_place(shape: str, tmp_path: Path) -> None:
    """FAULTS row 9: in a script, alone and beside a good one; the pages around it are kept."""
    bad = (
        b'<html><script type="application/ld+json">{"@type": "Dataset", "name": '
        + HOSTILE[shape]
        + b"}</script>"
    )
    pages = {
        "/sitemap.xml": sitemap(("/a", None), ("/bad", None), ("/both", None), ("/raw", None), ("/z", None)),
        "/a": page("a"), "/z": page("z"), "/bad": bad, "/both": bad + page("both"), "/raw": HOSTILE[shape],
    }  # fmt: skip
    with site(tmp_path, pages) as (source, fetch, running):
        documents, error = listed(source, fetch)
    assert error is None
    good = {one.native_id.removeprefix(running.url) for one in documents if not one.problem}
    assert {"/a", "/z"} <= good
    for document in documents:
        if document.problem:
            assert re.search("JSON|no Dataset|no page", document.problem)
        else:
            schemaorg.read(document)


def test_a_script_that_is_broken_is_told_by_line_and_column(tmp_path: Path) -> None:
    broken = '{"@type": "Dataset",\n  "name": "A" "B"}'
    pages = {
        "/sitemap.xml": sitemap(("/a", None), ("/b", None), ("/c", None), ("/d", None)),
        "/a": f"<html>{SCRIPT.format(broken)}".encode(),
        "/b": f"<html>{SCRIPT.format(broken)}".encode() + page("b"),
        "/c": b"<html>nothing",
        "/d": f"<!-- {SCRIPT.format(broken)} --><script>'{broken}'</script>".encode() + page("d"),
    }
    with site(tmp_path, pages) as (source, fetch, running):
        documents, _ = listed(source, fetch)
    problems = {one.native_id.removeprefix(running.url): one.problem for one in documents}
    assert problems["/a"] == (
        "bad-document: JSON-LD 1 of 1 of the page: this is no JSON: Expecting ',' delimiter: line 2 column 15 (char 35)"
    )
    assert problems["/b"] is None
    assert "JSON-LD 1 of 2 of the page" in str(problems["/b#script-1"])
    assert problems["/c"] == "bad-document: the page has no Dataset, no JSON-LD"
    assert (problems["/d"], len(problems)) == (None, 5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1258", "iso-8859-1"])
def test_vietnamese_survives_pages_that_do_not_say_their_encoding(encoding: str, tmp_path: Path) -> None:
    name = "Nhiệt độ nước biển" if encoding.startswith("utf") else "Dữ liệu"[:1] + "éà"
    said = json.dumps({"@type": "Dataset", "name": name}, ensure_ascii=False)
    body = f"<html><head>{SCRIPT.format(said)}</head></html>".encode(encoding)
    kind = "text/html" if encoding.startswith("utf") else f"text/html; charset={encoding}"
    found = schemaorg._scripts(body, kind)
    assert [json.loads(script)["name"] for script in found] == [name]


def test_include_exclude_and_bbox_choose_pages(tmp_path: Path) -> None:
    away = {"@type": "Dataset", "name": "away", "spatialCoverage": {"geo": {"box": "50 0 60 10"}}}
    pages = {
        "/sitemap.xml": sitemap(("/dataset/a", None), ("/dataset/b", None), ("/news/c", None), ("/dataset/d", None)),
        "/dataset/a": page("a"), "/dataset/b": page("b"), "/dataset/d": json.dumps(away).encode(),
    }  # fmt: skip
    options = {"include": "*/dataset/*", "exclude": ["*/b"]}
    gulf = BBox(west=105, south=17, east=110, north=22)
    with site(tmp_path, pages, options=options, bbox=gulf) as (source, fetch, running):
        documents, _ = listed(source, fetch)
    assert [one.native_id.removeprefix(running.url) for one in documents] == ["/dataset/a"]
    assert "/news/c" not in [each.path for each in running.asked]


def test_a_run_keeps_good_pages_and_names_the_others(tmp_path: Path) -> None:
    pages = whole_site() | {"/c.xml": sitemap(), "/d/003.html": 404, "/d/004.html": b"<html>"}
    store = open_store(tmp_path)
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    with site(tmp_path, pages) as (source, _, _):
        run = harvest_source(source, store, settings, workers=None)
    assert (run.state, run.seen, run.counts.new, run.counts.quarantined) == ("complete", 110, 108, 2)
    store.close()


def test_the_real_sitemaps_of_odis_list_what_a_plain_reading_lists(shared_real: Path) -> None:
    files = sorted((shared_real / "responses/schemaorg_odis").glob("*/sitemap*.xml"))
    assert len(files) > 15
    for path in files:
        content = path.read_bytes()
        found = read_sitemap(content, "https://site.example/sitemap.xml")
        told = dict.fromkeys(loc.strip().replace(" ", "%20") for loc in locs(content))
        assert [entry.url for entry in (*found.pages, *found.sitemaps)] == list(told)
        dated = len(list(etree.fromstring(content).iter("{*}lastmod")))
        assert sum(entry.modified is not None for entry in (*found.pages, *found.sitemaps)) <= dated
