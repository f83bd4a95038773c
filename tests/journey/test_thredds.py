"""THREDDS trees on loopback: what siphon sees of them, trees that never end, and real answers."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lxml import etree
from siphon.catalog import TDSCatalog
from siphon.ncss_dataset import NCSSDataset

from catalog.errors import BadSource, IncompleteListing, LimitExceeded, SourceError, Unreachable
from catalog.record import BBox, Record
from catalog.settings import Settings
from catalog.source import Document, Source
from harvesters import _threddsmetadata, thredds
from harvesters._catalogs import read_catalog
from harvesters._fetch import Fetch
from portals import Answering, Asked, answer, portal
from replay import recorded

HEAD = (
    '<catalog xmlns="http://www.unidata.ucar.edu/namespaces/thredds/InvCatalog/v1.0" '
    'xmlns:xlink="http://www.w3.org/1999/xlink">'
    '<service name="file" serviceType="HTTPServer" base="/thredds/fileServer/"/>'
)


def catalog(*parts: str) -> bytes:
    return f"{HEAD}<dataset name='all'>{''.join(parts)}</dataset></catalog>".encode()


def dataset(path: str, **said: str) -> str:
    known = {"name": path, "ID": path, "urlPath": path, "serviceName": "file", **said}
    return str(etree.tostring(etree.Element("dataset", known), encoding="unicode"))


def ref(href: str) -> str:
    return f"<catalogRef xlink:href='{href}' xlink:title='{href}' name=''/>"


def serving(pages: Mapping[str, bytes | int]) -> Answering:
    """Answer by path; a number is a status."""

    def answering(asked: Asked) -> list[bytes]:
        page = pages.get(asked.path, 404)
        return (
            [answer(b"no", page)] if isinstance(page, int) else [answer(page, Content_Type="application/xml")]
        )

    return answering


@contextmanager
def server(
    home: Path, answering: Answering, start: str = "/thredds/catalog.xml", **options: object
) -> Iterator[tuple[Source, Fetch]]:
    with portal(answering) as running:
        source = Source(
            id="tds", protocol="thredds", url=running.url + start, options={"details": "none", **options}
        )
        settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
        with Fetch(settings, source, None) as fetch:
            yield source, fetch


def names(documents: list[Document]) -> list[str]:
    return [document.native_id for document in documents]


def listed(source: Source, fetch: Fetch) -> tuple[list[Document], SourceError | None]:
    """What is listed, and the error that ends the listing."""
    found: list[Document] = []
    try:
        found.extend(thredds.harvest(source, fetch))
    except SourceError as error:
        return found, error
    return found, None


def test_a_tree_that_refers_to_itself_above_and_elsewhere_is_read_once(tmp_path: Path) -> None:
    pages = {
        "/thredds/catalog.xml": catalog(
            ref("catalog.xml"), ref("/thredds/a/catalog.xml"), ref("b/catalog.html"), dataset("root.nc")
        ),
        "/thredds/a/catalog.xml": catalog(
            ref("../catalog.xml"), dataset("a.nc"), ref("http://elsewhere.example/catalog.xml"), ref("#here")
        ),
        "/thredds/b/catalog.xml": catalog(ref("../a/catalog.xml"), ref("ftp://x.example/"), dataset("a.nc")),
    }
    asked: list[str] = []

    def counting(request: Asked) -> list[bytes]:
        asked.append(request.path)
        return list(serving(pages)(request))

    with server(tmp_path, counting) as (source, fetch):
        assert names(list(thredds.harvest(source, fetch))) == ["root.nc", "a.nc"]
    assert sorted(asked) == sorted(pages)


def endless(asked: Asked) -> list[bytes]:
    """Each catalog leads to a deeper one, and to a hundred beside it."""
    inner = asked.path.removesuffix("catalog.xml")
    beside = [ref(f"{inner}{number}/catalog.xml") for number in range(100)]
    return [answer(catalog(dataset(f"x{inner}x.nc"), *beside))]


def test_trees_without_an_end_end(tmp_path: Path) -> None:
    with server(tmp_path / "1", endless, most_catalogs=40) as (source, fetch):
        found, failure = listed(source, fetch)
        assert (len(found), type(failure)) == (40, LimitExceeded)

    def deeper(asked: Asked) -> list[bytes]:
        return [answer(catalog(dataset(f"{asked.path}.nc"), ref("a/catalog.xml")))]

    with server(tmp_path / "3", deeper) as (source, fetch):
        found, failure = listed(source, fetch)
        assert (len(found), type(failure)) == (31, IncompleteListing)
    with server(tmp_path / "4", deeper, depth=2) as (source, fetch):
        assert len(list(thredds.harvest(source, fetch))) == 3  # chosen, so that it is complete


@pytest.mark.timeout(60)
def test_ten_thousand_datasets_that_inherit_much_are_read_at_once_and_not_copied() -> None:
    """A folder of files is one catalog; what all inherit is kept once, and of too much the first part is taken."""
    much = "".join(f"<keyword>word {number}</keyword>" for number in range(20_000))
    many = "".join(dataset(f"{number}.nc") for number in range(10_000))
    page = catalog(f"<metadata inherited='true'>{much}</metadata>", many)
    found = read_catalog(page, "http://tds.example/thredds/catalog.xml").entries
    assert len(found) == 10_000
    assert len({id(entry.above.said) for entry in found}) == 1
    assert 190_000 < len(found[-1].metadata()) < 200_200


def test_names_paths_and_ids_that_are_missing_or_shared(tmp_path: Path) -> None:
    nameless = "<dataset urlPath='folder/no name.nc' serviceName='file'/>"
    shared = dataset("one.nc", ID="same") + dataset("two.nc", ID="same")
    without = (
        "<dataset name='a collection' ID='c'/><dataset name='no service' urlPath='x' serviceName='none'/>"
    )
    pages = {"/thredds/catalog.xml": catalog(nameless, shared, without, dataset("../../x"))}
    with server(tmp_path, serving(pages)) as (source, fetch):
        documents = list(thredds.harvest(source, fetch))
    assert names(documents) == ["folder/no name.nc", "one.nc", "two.nc", "../../x"]
    records = [thredds.read(document) for document in documents]
    assert records[0].title.words == {"und": "no name.nc"}
    assert records[0].distributions[0].address.endswith("/thredds/fileServer/folder/no%20name.nc")
    assert all("/" not in record.id and "." not in record.id for record in records)


def test_a_catalog_that_fails_makes_the_listing_incomplete_and_one_refused_is_named(tmp_path: Path) -> None:
    pages: dict[str, bytes | int] = {
        "/thredds/catalog.xml": catalog(
            ref("broken/catalog.xml"), ref("gone/catalog.xml"), ref("a/catalog.xml")
        ),
        "/thredds/broken/catalog.xml": b"<html>later</html>",
        "/thredds/a/catalog.xml": catalog(dataset("a.nc")),
    }
    with server(tmp_path / "1", serving(pages)) as (source, fetch):
        found, failure = listed(source, fetch)
    assert isinstance(failure, IncompleteListing)
    assert [(one.native_id.rpartition("thredds/")[2], bool(one.problem)) for one in found] == [
        ("gone/catalog.xml", True),
        ("a.nc", False),
    ]
    silent = {**pages, **dict.fromkeys(("/thredds/broken/catalog.xml", "/thredds/gone/catalog.xml"), 503)}
    silent["/thredds/a/catalog.xml"] = 503
    with server(tmp_path / "2", serving(silent)) as (source, fetch), pytest.raises(Unreachable, match="503"):
        list(thredds.harvest(source, fetch))
    with server(tmp_path / "3", serving({})) as (source, fetch), pytest.raises(Unreachable, match="404"):
        list(thredds.harvest(source, fetch))


def test_resumes_at_a_page_and_from_the_start_where_it_is_no_more(tmp_path: Path) -> None:
    many = [dataset(f"{number:03}.nc") for number in range(120)]
    pages = {"/thredds/catalog.xml": catalog(*many, ref("a.xml")), "/thredds/a.xml": catalog(dataset("a.nc"))}
    with server(tmp_path, serving(pages)) as (source, fetch):
        whole = list(thredds.harvest(source, fetch))
        assert list(dict.fromkeys(page.page.rpartition("#")[2] for page in whole)) == ["0", "50", "100"]
        later = source.model_copy(update={"resume": whole[70].page})
        assert names(list(thredds.harvest(later, fetch))) == names(whole)[50:]
        gone = source.model_copy(update={"resume": f"{source.url}#7"})
        assert names(list(thredds.harvest(gone, fetch))) == names(whole)


def test_only_what_was_modified_since_or_does_not_say_is_listed(tmp_path: Path) -> None:
    def dated(name: str, day: str) -> str:
        plain = dataset(name)
        return f"{plain[:-2]}><date type='modified'>{day}</date></dataset>"

    pages = {
        "/thredds/catalog.xml": catalog(
            dated("old.nc", "2020-01-01"), dated("new.nc", "2020-03-01T00:00:00Z"), dataset("unsaid.nc")
        )
    }
    with server(tmp_path, serving(pages)) as (source, fetch):
        since = source.model_copy(update={"changed_since": "2020-02-01T00:00:00Z"})
        assert names(list(thredds.harvest(since, fetch))) == ["new.nc", "unsaid.nc"]
        wanted = source.model_copy(update={"search": "NEW"})
        assert names(list(thredds.harvest(wanted, fetch))) == ["new.nc"]
        with pytest.raises(BadSource, match="details"):
            list(thredds.harvest(source.model_copy(update={"options": {"details": "all"}}), fetch))
        with pytest.raises(BadSource, match="depth"):
            list(thredds.harvest(source.model_copy(update={"options": {"depth": "deep"}}), fetch))


def test_recorded_datasets_are_described_by_the_service_that_answers(tmp_path: Path) -> None:
    with recorded("thredds", tmp_path) as (source, fetch):
        documents = list(thredds.harvest(source, fetch))
    found = {one.native_id: thredds.read(one) for one in documents if not one.problem}
    assert list(found) == [
        "tonkin/tonkin_20190101.nc", "tonkin/currents", "secret", "tonkin/eddies", "bach_long_vi.nc4", "con_co.csv",
    ]  # fmt: skip
    ways = {
        name: [(way.protocol, way.format) for way in record.distributions] for name, record in found.items()
    }
    others = [("wms", "wms"), ("other", "ncss"), ("other", "iso")]
    assert ways["tonkin/tonkin_20190101.nc"] == [("opendap", "opendap"), ("http", "netcdf"), *others]
    assert ways["bach_long_vi.nc4"] == [("http", "netcdf")]
    dap, ncss, refused, iso, buoy, _ = found.values()
    assert dap.title.best("en") == 'Sea surface temperature, "Gulf of Tonkin"'
    assert (dap.distributions[1].size, dap.modified) == (1892, "2019-01-02T03:04:05Z")
    assert [party.name for party in dap.parties] == ["Lê Thị Sóng", "Trần Văn Gió", "Viện Biển Mở"]  # its own
    assert ncss.variables[-1].shape == (7, 21, 21)
    assert [(party.name, party.email) for party in ncss.parties] == [("Viện Biển Mở", "lien-he@bien.example")]
    assert [note.code for note in refused.quality] == ["not-described"] * 3
    assert refused.extent.boxes == (BBox(west=105, south=17, east=110, north=22),)  # inherited
    assert (iso.title.words, iso.extent.boxes[0].west) == ({"und": "Eddies of the gulf, déjà vu"}, 106)
    assert iso.licence is not None
    assert iso.licence.spdx == "CC-BY-4.0"
    assert buoy.extent.time is not None
    assert (buoy.kind, buoy.extent.time.end) == ("timeseries", "2020-01-03T00:00:00Z")
    assert (buoy.summary, buoy.variables[0].standard_name) == (None, "sea_surface_wave_significant_height")


def test_a_server_configuration_is_read_as_it_would_be_served(tmp_path: Path) -> None:
    scan = '<datasetScan name="scan" path="waves/2020" location="/data" ID="scan"/>'
    pages = {
        "/thredds/catalog.xml": catalog(scan),
        "/thredds/catalog/waves/2020/catalog.xml": catalog(dataset("waves/2020/01.nc")),
    }
    with server(tmp_path, serving(pages)) as (source, fetch):
        assert names(list(thredds.harvest(source, fetch))) == ["waves/2020/01.nc"]


# --- the same trees through siphon


def seen_by_siphon(url: str) -> dict[str, dict[str, str]]:
    """The ways to each dataset of a tree, by name, as siphon follows it; a reference that is refused is passed over."""
    found: dict[str, dict[str, str]] = {}
    waiting, met = [url], {url}
    while waiting:
        try:
            with warnings.catch_warnings(action="ignore"):
                here = TDSCatalog(waiting.pop())
        except OSError:
            continue
        for name, one in here.datasets.items():
            found[name] = {str(kind).lower(): unquote(way) for kind, way in one.access_urls.items()}
        refs = [one.href.replace(".html", ".xml") for one in here.catalog_refs.values()]
        fresh = [one for one in refs if one not in met and urlsplit(one).hostname == urlsplit(url).hostname]
        met |= set(fresh)
        waiting += fresh
    return found


def ways(document: Document) -> dict[str, str]:
    given = json.loads(document.content)["ways"]
    return {kind: unquote(address).partition("?catalog=")[0] for kind, address in given}


def titled(document: Document) -> str:
    return str(etree.fromstring(json.loads(document.content)["dataset"]).get("name"))


def test_siphon_sees_the_same_datasets_and_ways_in_a_tree(tmp_path: Path) -> None:
    services = (
        '<service name="all" serviceType="Compound" base="">'
        '<service name="odap" serviceType="OPENDAP" base="/thredds/dodsC/"/>'
        '<service name="file" serviceType="HTTPServer" base="/thredds/fileServer/"/>'
        '<service name="wms" serviceType="WMS" base="/thredds/wms/"/></service>'
    )

    def tree(depth: int) -> Callable[[str], bytes]:
        def page(path: str) -> bytes:
            here = path.strip("/").replace("/", "-").removesuffix("catalog.xml")
            listed = [
                f"<dataset name='{here}{n}.nc' ID='{here}{n}' urlPath='{here}{n}.nc'/>" for n in range(5)
            ]
            below = [ref(f"{n}/catalog.xml") for n in range(3)] if path.count("/") < depth else []
            inherited = "<metadata inherited='true'><serviceName>all</serviceName></metadata>"
            whole = HEAD.replace(
                '<service name="file" serviceType="HTTPServer" base="/thredds/fileServer/"/>', services
            )
            return (
                f"{whole}<dataset name='d'>{inherited}{''.join(listed + below)}</dataset></catalog>".encode()
            )

        return page

    page = tree(4)
    with server(tmp_path, lambda asked: [answer(page(asked.path), Content_Type="application/xml")]) as (
        source,
        fetch,
    ):
        documents = list(thredds.harvest(source, fetch))
        assert len(documents) == 5 * (1 + 3 + 9)
        assert {titled(one): ways(one) for one in documents} == seen_by_siphon(source.url)


# --- real answers


def folders(shared_real: Path) -> list[Path]:
    return sorted(path.parent for path in (shared_real / "responses/thredds").glob("*/_index.json"))


def replayed(folder: Path) -> tuple[str, dict[str, bytes]]:
    """The path of the first answer that is a catalog, and the bodies by path."""
    listed = json.loads((folder / "_index.json").read_text("utf-8"))
    bodies = {
        urlsplit(item["uri"]).path: (folder / item["file"]).read_bytes()
        for item in listed
        if item["status"]["code"] == 200
    }
    return next((path for path, body in bodies.items() if b"catalog" in body[:400]), ""), bodies


def test_real_catalogs_are_seen_as_siphon_sees_them(shared_real: Path, tmp_path: Path) -> None:
    counts: dict[str, int] = {}
    for folder in folders(shared_real):
        start, bodies = replayed(folder)
        if not start or not start.endswith(".xml") or b"gridDataset" in bodies[start][:200]:
            continue
        with server(tmp_path / folder.name, serving(bodies), start) as (source, fetch):
            documents = [one for one in thredds.harvest(source, fetch) if not one.problem]
            seen = {name: found for name, found in seen_by_siphon(source.url).items() if found}
        assert {titled(one) for one in documents} == set(seen), folder.name
        for one in documents:
            record = thredds.read(one)
            assert isinstance(record, Record)
            for kind in ("opendap", "httpserver"):
                assert ways(one).get(kind) == seen[titled(one)].get(kind)
        counts[folder.name] = len(documents)
    assert counts == {
        "cat_access_elements": 174, "cat_non_standard_context_path": 13, "cat_only_http": 10, "cat_to_cdmr": 1,
        "cat_to_open": 1, "cat_to_opendap": 1, "cat_to_subset": 95, "follow_cat": 0, "fronts_cat_open": 532,
    }  # fmt: skip


def test_real_subset_services_are_read_as_siphon_reads_them(shared_real: Path) -> None:
    found = 0
    for path in sorted((shared_real / "responses/thredds").glob("*/*.xml")):
        body = path.read_bytes()
        root = etree.fromstring(body)
        if root.tag not in {"gridDataset", "capabilities"}:
            continue
        found += 1
        header = _threddsmetadata.read_ncss(body)
        seen = NCSSDataset(root)
        called = {one["name"] for one in header["variables"]}
        assert set(seen.variables) <= called
        sides = ("west", "south", "east", "north")
        boxes = [[float(side) for side in box] for box in header["coverage"]["boxes"]]
        assert boxes == ([[seen.lat_lon_box[side] for side in sides]] if "lat_lon_box" in vars(seen) else [])
        assert header["coverage"]["time"] == {"start": seen.time_span["begin"], "end": seen.time_span["end"]}
    assert found == 5
