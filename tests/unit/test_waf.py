"""Folders as servers list them: pages of several kinds, buckets, folders that cannot be listed, and what changed."""

import functools
import json
import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.dialects import iso19115
from catalog.errors import BadDocument, BadSource, IncompleteListing, Unreachable
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from harvesters import waf
from harvesters._folders import read_page
from harvesters._run import harvest_source
from replay import RECORDED
from strangers import record

BASE = "https://data.example/dac/"


class Door:
    """A door to pages by their addresses; a function of the parameters for a bucket."""

    def __init__(self, pages: Mapping[str, Any]) -> None:
        self.pages, self.asked = pages, list[str]()

    def get(self, url: str, params: Mapping[str, str] | None = None) -> SimpleNamespace:
        self.asked.append(url)
        found = self.pages.get(url)
        if found is None:
            raise Unreachable(f"{url} answered with status 403", details={"status": 403})
        return SimpleNamespace(
            content=found(params) if callable(found) else found.encode() if isinstance(found, str) else found
        )


def index(*names: str) -> str:
    links = "".join(f'<a href="{name}">{name}</a>  2024-01-02 03:04  1024\n' for name in names)
    return f"<html><title>Index of /</title><pre>{links}</pre></html>"


def ids(source: Source, door: Door) -> list[str]:
    return [document.native_id for document in waf.harvest(source, door)]


def source(**also: Any) -> Source:
    return Source(id="f", protocol="waf", url=BASE, **also)


def test_real_pages_of_apache(shared_real: Path) -> None:
    folder = shared_real / "responses" / "erddap_argo" / "waf"
    root = read_page((folder / "c054d15eec83.html").read_bytes(), "https://data-argo.ifremer.fr/dac/")
    assert sorted(root.folders) == [
        "aoml", "bodc", "coriolis", "csio", "csiro", "incois", "jma", "kiost", "kma", "meds", "nmdis",
    ]  # fmt: skip
    here = "https://data-argo.ifremer.fr/dac/coriolis/3902131/"
    float_ = read_page((folder / "186810715928.html").read_bytes(), here)
    files = {file.name: file for file in float_.files}
    assert files["3902131_Sprof.nc"].modified == "2025-01-17T04:45:00Z"
    assert files["3902131_Sprof.nc"].size is None  # 3.1M is rounded
    assert files["3902131_Sprof.nc"].address == here + "3902131_Sprof.nc"
    assert list(float_.folders) == ["profiles"]
    for name in ("544c5df84f12", "d35e61aaf352"):
        page = (folder / f"{name}.html").read_bytes()
        title = page.partition(b"<title>Index of ")[2].partition(b"<")[0].decode()
        found = read_page(page, f"https://data-argo.ifremer.fr{title}/")
        assert len(found.files) == page.count(b'.nc">') > 100


NGINX = '<a href="../">../</a>\n<a href="a%20b.nc">a b.nc</a>      29-Feb-2024 23:59             5812345\n'
IIS = (
    '<A HREF="/">[To Parent Directory]</A><br><br> 2/29/2024 11:59 PM      5812345 <A HREF="/dac/a%20b.nc">a b.nc</A>'
    "<br> 1/1/2020  1:00 AM        &lt;dir&gt; <A HREF='/dac/sub/'>sub</A><br>"
)
LIGHTTPD = '<td><a href="a%20b.nc">a b.nc</a></td><td>2024-Feb-29 23:59:58</td><td>5.6M</td>'
PYTHON = '<li><a href="a%20b.nc">a b.nc</a></li><li><a href="sub/">sub/</a></li>'


@pytest.mark.parametrize(
    ("page", "modified", "size"),
    [
        (NGINX, "2024-02-29T23:59:00Z", 5812345),
        (IIS, "2024-02-29T23:59:00Z", 5812345),
        (LIGHTTPD, "2024-02-29T23:59:00Z", None),
        (PYTHON, None, None),
    ],
)
def test_pages_of_other_servers(page: str, modified: str | None, size: int | None) -> None:
    (file,) = read_page(page.encode(), BASE).files
    assert (file.name, file.address) == ("a b.nc", BASE + "a%20b.nc")
    assert (file.modified, file.size) == (modified, size)


@pytest.mark.parametrize(
    "href",
    ["../", "/", "?C=N;O=D", "//elsewhere.example/dac/x.nc", "https://elsewhere.example/dac/x.nc", "./", ".", "#x",
     "javascript:alert(1)", "../dac2/x.nc", "a/b/x.nc", "%2e%2e/x.nc", "%2e%2e/", "http://[", "a%2Fb.nc", "\x00"],
)  # fmt: skip
def test_links_that_lead_elsewhere_are_not_of_the_folder(href: str) -> None:
    """FAULTS rows 8 and 11: a listing leads neither to another host nor out of its folder."""
    found = read_page(index(href, "x.nc").encode(), BASE)
    assert [file.address for file in found.files] == [BASE + "x.nc"]
    assert not found.folders


def test_folders_are_listed_in_order_and_resumed() -> None:
    door = Door(
        {
            BASE: index("b/", "a/", "x.nc", "top.nc4"),
            BASE + "a/": index("y.nc", "deep/"),
            BASE + "a/deep/": index("z.nc", "deeper/"),
            BASE + "a/deep/deeper/": index("w.nc"),
            BASE + "b/": index("store.zarr/", "v.nc"),
        }
    )
    everything = ["top.nc4", "x.nc", "a/y.nc", "a/deep/z.nc", "a/deep/deeper/w.nc", "b/store.zarr", "b/v.nc"]
    assert ids(source(), door) == everything
    assert ids(source(resume="a/deep"), door) == everything[3:]
    assert ids(source(options={"depth": 1}), door) == [*everything[:3], *everything[5:]]
    chosen = {"include": ["a/*", "*.zarr"], "exclude": "*deeper*"}
    assert ids(source(options=chosen), door) == ["a/y.nc", "a/deep/z.nc", "b/store.zarr"]
    with pytest.raises(IncompleteListing, match="more than 2 folders"):
        ids(source(options={"most_folders": 2}), door)
    with pytest.raises(BadSource):
        ids(source(options={"depth": "deep"}), door)


def test_a_folder_that_holds_itself_ends() -> None:
    class Endless(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            return index("again/", "x.nc")

    assert len(ids(source(options={"depth": 4}), Door(Endless()))) == 5


def test_a_folder_that_cannot_be_listed_makes_the_listing_incomplete() -> None:
    door = Door({BASE: index("a/", "b/"), BASE + "b/": index("x.nc")})
    found: list[str] = []
    with pytest.raises(IncompleteListing, match="the first 'a'"):
        found.extend(document.native_id for document in waf.harvest(source(), door))
    assert found == ["b/x.nc"]


@pytest.mark.parametrize(
    "page", ["", "{}", "<html>maintenance</html>", '<a href="https://other.example/">login</a>']
)
def test_what_is_no_listing_is_not_an_empty_folder(page: str) -> None:
    with pytest.raises(Unreachable, match="no listing"):
        ids(source(), Door({BASE: page}))


def test_what_changed_since_is_asked_for_by_the_listing() -> None:
    door = Door({BASE: index("old.xml", "old.nc")})
    assert ids(source(changed_since="2024-01-04T00:00:00Z"), door) == []
    assert door.asked == [BASE]
    assert ids(source(changed_since="2024-01-03T00:00:00Z"), door) == ["old.nc", "old.xml"]


def bucket(keys: list[str], most: int = 2) -> Any:
    """A bucket of S3 (ListObjectsV2) that gives a few keys at once."""

    def listing(asked: Mapping[str, str]) -> bytes:
        prefix, after = asked["prefix"], asked.get("start-after", "")
        rows: dict[str, str] = {}
        for key in sorted(key for key in keys if key.startswith(prefix)):
            name, slash, _ = key[len(prefix) :].partition("/")
            rows[prefix + name + slash] = slash
        chosen = [row for row in rows if row > after]
        said = "".join(
            f"<CommonPrefixes><Prefix>{row}</Prefix></CommonPrefixes>"
            if rows[row]
            else f"<Contents><Key>{row}</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified>"
            f"<ETag>&quot;{len(row)}&quot;</ETag><Size>{len(row)}</Size></Contents>"
            for row in chosen[:most]
        )
        more = str(len(chosen) > most).lower()
        return f'<ListBucketResult xmlns="http://s3"><IsTruncated>{more}</IsTruncated>{said}</ListBucketResult>'.encode()

    return listing


def test_a_bucket_is_walked_as_folders() -> None:
    keys = [
        "sea/",
        "sea/a b.nc",
        "sea/2024/1.nc",
        "sea/2024/2.nc",
        "sea/2024/3.nc",
        "sea/t.zarr/.zgroup",
        "no/x.nc",
    ]
    root = "https://open.s3.eu-west-1.amazonaws.com/"
    door = Door({root: bucket(keys)})
    found = list(waf.harvest(Source(id="f", protocol="waf", url=root + "sea"), door))
    assert [one.native_id for one in found] == ["a b.nc", "t.zarr", "2024/1.nc", "2024/2.nc", "2024/3.nc"]
    first, store = waf.read(found[0]), waf.read(found[1])
    assert first.distributions[0].address == root + "sea/a%20b.nc"
    assert (first.distributions[0].format, first.distributions[0].size) == ("netcdf", len("sea/a b.nc"))
    assert (store.distributions[0].format, store.distributions[0].address) == ("zarr", root + "sea/t.zarr/")
    assert "not-described" in [note.code for note in first.quality]
    path_style = "https://s3.amazonaws.com/open/"
    door = Door({path_style: bucket(keys)})
    assert len(list(waf.harvest(Source(id="f", protocol="waf", url=path_style + "sea/2024/"), door))) == 3


def test_a_bucket_that_repeats_itself_is_incomplete() -> None:
    root = "https://open.s3.amazonaws.com/"
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a.nc</Key></Contents></ListBucketResult>"
    door = Door({root: lambda _: page})
    with pytest.raises(IncompleteListing, match="again and again"):
        list(waf.harvest(Source(id="f", protocol="waf", url=root), door))
    assert len(door.asked) == 2


def spoiled(content: bytes, chance: random.Random) -> bytes:
    """The bytes with a piece of them left out, said twice, or replaced."""
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice([1, 2, 10, 200]))
    return (
        content[:start]
        + chance.choice([b"", content[start:end] * 2, b"\xff", b"<", b'"', b"../"])
        + content[end:]
    )


@pytest.mark.parametrize("count", [200, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutations_of_an_answer_lose_nothing_else(count: int) -> None:
    """One recorded answer is spoiled: nothing breaks, and what other answers give is kept, or the listing says no."""
    folder, chance = RECORDED / "waf", random.Random(1)
    listed = json.loads((folder / "_index.json").read_text("utf-8"))
    answers = {item["uri"]: (folder / item["file"]).read_bytes() for item in listed}
    place = Source(id="f", protocol="waf", url="https://gulf.example/waf/")
    whole = {one.native_id: one for one in waf.harvest(place, Door(answers))}
    assert len([one for one in whole.values() if not one.problem]) == 6
    for _ in range(count):
        at = chance.choice(list(answers))
        kept: dict[str, Document] = {}
        try:
            for document in waf.harvest(place, Door(answers | {at: spoiled(answers[at], chance)})):
                kept[document.native_id] = document
                with suppress(BadDocument):
                    assert document.problem or waf.read(document)
        except (IncompleteListing, Unreachable):
            continue
        others = {key for key, one in whole.items() if at.endswith(".xml") and one.url != at}
        assert {key: kept[key].content for key in others} == {key: whole[key].content for key in others}


@given(st.text())
def test_reads_any_page(text: str) -> None:
    for page in (text, index(text), f"<a href={text}"):
        try:
            found = read_page(page.encode("utf-8", "surrogatepass"), BASE)
        except BadDocument:
            continue
        assert all(file.address.startswith(BASE) for file in found.files)


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Python's own server of files, on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_real_static_server_is_harvested_whole(tmp_path: Path) -> None:
    """Every file that the folder has is a record; a file that has gone is missed, one that is broken is quarantined."""
    web = tmp_path / "web"
    for number in range(12):
        path = web / f"y{number % 3}" / f"{number:02}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(iso19115.write(record(f"{number:02}")))
    (web / "y0" / "sst.nc").write_bytes(b"CDF\x01")
    (web / "bad.xml").write_bytes(b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><a>&x;</a>")
    settings, store = (
        Settings(home=tmp_path / "home", allow_hosts=("127.0.0.1",)),
        open_store(tmp_path / "home"),
    )
    with static(web) as url:
        run = harvest_source(Source(id="f", protocol="waf", url=url), store, settings, workers=None)
        files = [path for path in web.rglob("*") if path.is_file()]
        assert (run.state, run.seen) == ("complete", len(files))
        assert (run.counts.new, run.counts.quarantined) == (len(files) - 1, 1)
        (web / "y1" / "01.xml").write_bytes(iso19115.write(record("01", title={"en": "new"})))
        os.utime(web / "y1" / "01.xml", (2**31, 2**31))  # HTTP tells times by the second
        again = harvest_source(
            Source(id="f", protocol="waf", url=url, options={"full_every_days": 0}),
            store,
            settings,
            workers=None,
        )
        assert (again.state, again.counts.changed, again.counts.new) == ("complete", 1, 0)
