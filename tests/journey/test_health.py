"""Whether data are there: probes of real servers on loopback, what they find, and where it shows."""

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fastapi.testclient import TestClient

from catalog import probing
from catalog.app import create_app
from catalog.errors import NotFound
from catalog.instant import now, of_seconds, seconds
from catalog.probing import Prober, by_schedule
from catalog.record import Distribution, Record, Text
from catalog.search import Query
from catalog.service import Catalog
from catalog.settings import Settings
from catalog.source import Document
from catalog.stores import Entry, Health, Tie, sqlite
from elsewhere import Site, canary, files, grid, hyperslabs, listening
from erddaps import erddap
from journey.command import bienmo

PAGE = b"<!DOCTYPE html><html><head><title>Not here</title></head><body>Sorry</body></html>"
DAY = 86_400.0


def record(name: str, *ways: tuple[str, str], form: str = "unknown", **known: Any) -> Record:
    return Record(
        id=name,
        source="s",
        native_id=name,
        title=Text(und=f"Nhiệt độ {name}"),
        distributions=[Distribution(protocol=p, address=a, format=form) for p, a in ways],  # type: ignore[arg-type]
        document_hash="0" * 64,
        **known,
    )


def put(store: Any, *records: Record) -> None:
    store.put([Entry(document=Document(source=r.source, native_id=r.native_id), record=r) for r in records])


@contextlib.contextmanager
def opened(home: Path, *records: Record, **limits: Any) -> Iterator[Catalog]:
    known = {
        "allow_hosts": ("127.0.0.1", "localhost"),
        "fetch_stall_seconds": 1,
        "fetch_seconds": 5,
        **limits,
    }
    settings = Settings(home=home, **known)
    home.mkdir(exist_ok=True)
    store = sqlite.open_store(home)
    put(store, *records)
    with Catalog(store, settings) as catalog:
        yield catalog


def probed(catalog: Catalog, *ids: str, **known: Any) -> dict[str, Health]:
    return {one.id: one for one in Prober(catalog).run(ids, **known)}


def told(found: dict[str, Health]) -> dict[str, tuple[str, str]]:
    return {name: (one.state, one.reason) for name, one in found.items()}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(probing, "AGAIN_SECONDS", 0.5)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    grid(folder / "grid.nc")
    grid(folder / "classic.nc", form="NETCDF3_CLASSIC")
    with files(folder) as served:
        yield served


def redirect(site: Site, **codes: int) -> None:
    """Let `/{name}` lead to `/grid.nc` by a status."""

    def instead(handler: Any) -> bool:
        code = codes.get(handler.path.strip("/").removesuffix(".nc"))
        if code is None:
            return False
        handler.send_response(code)
        handler.send_header("Location", f"{site.address}/grid.nc")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    site.instead = instead


def test_a_cell_is_read_of_files_on_a_web_server(site: Site, tmp_path: Path) -> None:
    """What is there is fresh; a page, nothing, a cut file and another form are broken, whatever their status."""
    whole = {name: (site.folder / name).read_bytes() for name in ("grid.nc", "classic.nc")}
    made = {
        "page.nc": PAGE,
        "empty.nc": b"",
        "json.nc": b'{"error": 404}',
        "cut4.nc": whole["grid.nc"][:-2_000],
        "cut3.nc": whole["classic.nc"][:-2_000],
        "damaged.nc": whole["grid.nc"][:600] + bytes(len(whole["grid.nc"]) - 600),
        "page.csv": PAGE,
        "rows.csv": b"time,temp\n2020-01-01,20\n",
        "page.pdf": PAGE,
        "paper.pdf": b"%PDF-1.7\n",
        "about.html": PAGE,
    }
    for name, content in made.items():
        (site.folder / name).write_bytes(content)
    names = ["grid.nc", "classic.nc", "missing.nc", "missing.csv", *made]
    ids = {name.replace(".", "-"): name for name in names}
    records = [record(one, ("http", f"{site.address}/{name}")) for one, name in ids.items()]
    with opened(tmp_path / "home", *records) as catalog:
        found = told(probed(catalog))
        assert {name for name, (state, _) in found.items() if state == "fresh"} == {
            "grid-nc", "classic-nc", "rows-csv", "paper-pdf", "about-html",
        }  # fmt: skip
        broken = {name: reason for name, (state, reason) in found.items() if state == "broken"}
        assert set(found) == set(ids)
        assert len(broken) == len(ids) - 5
        assert "HTML" in broken["page-nc"]
        assert "HTML" in broken["page-csv"]
        assert "HTML" in broken["page-pdf"]
        assert "JSON" in broken["json-nc"]
        assert "empty" in broken["empty-nc"]
        assert "404" in broken["missing-nc"]
        assert "404" in broken["missing-csv"]
        assert all(broken.values())
        kept = {one.id: one for name in ids for one in catalog.store.health(name)}
        assert kept["grid-nc"].newest == "2000-01-31T00:00:00Z"
        assert kept["about-html"].newest is None


def test_where_ranges_are_not_given_a_large_file_is_known_by_its_beginning(
    site: Site, tmp_path: Path
) -> None:
    site.ranges = False
    (site.folder / "large.nc").write_bytes((site.folder / "grid.nc").read_bytes() + bytes(12_000_000))
    (site.folder / "page.nc").write_bytes(PAGE + b" " * 12_000_000)
    records = [record(name, ("http", f"{site.address}/{name}.nc")) for name in ("grid", "large", "page")]
    with opened(tmp_path / "home", *records) as catalog:
        site.forget()
        found = told(probed(catalog))
        assert site.sent < 5_000_000
    assert {name: state for name, (state, _) in found.items()} == {
        "grid": "fresh", "large": "fresh", "page": "broken",
    }  # fmt: skip
    assert "HTML" in found["page"][1]


def test_zarr_groups_are_read_by_their_chunks(site: Site, tmp_path: Path) -> None:
    """Of one whose metadata are not consolidated nobody can read a cell from afar; that it is there is seen."""
    with xr.open_dataset(site.folder / "grid.nc", decode_cf=False) as data:
        for name, whole in (("good", True), ("torn", True), ("plain", False)):
            data[["sst"]].to_zarr(site.folder / f"{name}.zarr", zarr_format=2, consolidated=whole)
    for chunk in (site.folder / "torn.zarr" / "sst").glob("[0-9]*"):
        chunk.write_bytes(PAGE)
    (site.folder / "page.zarr").mkdir()
    (site.folder / "page.zarr" / ".zmetadata").write_bytes(PAGE)
    names = ("good", "torn", "plain", "page", "none")
    records = [record(name, ("http", f"{site.address}/{name}.zarr")) for name in names]
    with opened(tmp_path / "home", *records) as catalog:
        found = probed(catalog)
    assert {name: one.state for name, one in found.items()} == {
        "good": "fresh", "torn": "broken", "plain": "fresh", "page": "broken", "none": "broken",
    }  # fmt: skip
    assert (found["good"].newest, found["plain"].newest) == ("2000-01-31T00:00:00Z", None)


def test_a_permanent_redirect_to_data_that_read_is_a_move(site: Site, tmp_path: Path) -> None:
    redirect(site, once=301, ever=308, now=302, see=307)
    (site.folder / "gone.nc").write_bytes(PAGE)
    records = [record(name, ("http", f"{site.address}/{name}.nc")) for name in ("once", "ever", "now", "see")]
    with opened(tmp_path / "home", *records) as catalog:
        found = told(probed(catalog))
        assert {name: state for name, (state, _) in found.items()} == {
            "once": "moved", "ever": "moved", "now": "fresh", "see": "fresh",
        }  # fmt: skip
        assert found["once"][1] == f"it is at {site.address}/grid.nc now"
        (site.folder / "grid.nc").write_bytes(PAGE)  # what moved must still read
        assert {state for state, _ in told(probed(catalog, "once", "ever")).values()} == {"broken"}


def test_a_service_of_hyperslabs_is_asked_for_one_cell(tmp_path: Path) -> None:
    """A real pydap server; one that moved for ever; pages where a description is asked for."""
    path = grid(tmp_path / "grid.nc")
    with hyperslabs(path, ("sst", "wind")) as server:

        class Moved(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(301 if "/old" in self.path else 404 if "/gone" in self.path else 200)
                place = server.address.removesuffix("/data") + self.path.replace("/old", "/data")
                self.send_header("Location", place)
                body = b"" if "/old" in self.path else PAGE
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        with listening(Moved) as other:
            ways = {
                "grid": server.address,
                "old": f"{other}/old",
                "page": f"{other}/page",
                "gone": f"{other}/gone",
            }
            records = [record(name, ("opendap", address)) for name, address in ways.items()]
            with opened(tmp_path / "home", *records) as catalog:
                found = probed(catalog, "grid")
                assert (found["grid"].state, found["grid"].newest) == ("fresh", "2000-01-31T00:00:00Z")
                cells = [query for asked, query in server.asked if asked.endswith(".dods")]
                assert cells[-1] in {"sst.sst[6:1:6][20:1:20][25:1:25]", "wind.wind[6:1:6][20:1:20][25:1:25]"}
                said = told(probed(catalog, "old", "page", "gone"))
                assert said["gone"] == ("broken", "the remote server answered with status 404")
                assert said["old"] == ("moved", f"it is at {server.address} now")
                assert said["page"] == ("broken", "a web page (HTML) is served where data are promised")


def test_services_are_asked_for_their_capabilities(tmp_path: Path) -> None:
    asked: list[str] = []

    class Maps(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path)
            well = "map=b" not in self.path and "request=GetCapabilities" in self.path
            self.send_response(200 if "?" in self.path else 400)
            self.end_headers()
            self.wfile.write(b"<WMS_Capabilities version='1.3.0'>" if well else PAGE)

    with listening(Maps) as address:
        records = [
            record("a", ("wms", f"{address}/wms?map=a&REQUEST=GetMap&layers=x")),
            record("b", ("wms", f"{address}/wms?map=b")),
            record("c", ("other", f"{address}/wfs"), form="wfs"),
            record("ncss", ("other", f"{address}/ncss"), form="ncss"),
            record("csv", ("other", f"{address}/csv"), form="csv"),
        ]
        with opened(tmp_path / "home", *records) as catalog:
            found = told(probed(catalog))
    assert sorted(asked) == [
        "/csv",
        "/ncss",
        "/wfs?service=WFS&request=GetCapabilities",
        "/wms?map=a&layers=x&service=WMS&request=GetCapabilities",
        "/wms?map=b&service=WMS&request=GetCapabilities",
    ]
    states = {name: state for name, (state, _) in found.items()}
    assert states == {
        "a": "fresh",
        "b": "broken",
        "c": "fresh",
        "csv": "broken",
    }  # of ncss nothing can be told


def test_a_table_is_asked_for_its_last_rows(tmp_path: Path) -> None:
    begin = seconds("2024-01-01T00:00:00Z")
    times = begin + np.arange(1_000) * 600.0
    columns = {"time": times, "temp": np.arange(1_000, dtype="f4")}
    since = {"units": "seconds since 1970-01-01T00:00:00Z", "standard_name": "time"}
    with erddap(columns, {"time": {**since, "actual_range": times[[0, -1]]}}) as table:
        gone = table.address.replace("buoys", "boats")
        records = [record("buoys", ("tabledap", table.address)), record("boats", ("tabledap", gone))]
        with opened(tmp_path / "home", *records) as catalog:
            found = probed(catalog)
            assert (found["buoys"].state, found["buoys"].newest) == ("fresh", of_seconds(times[-1]))
            assert max(table.rows) <= 8
            assert (found["boats"].state, "404" in found["boats"].reason) == ("broken", True)
    with (
        erddap(columns, {"time": {**since, "actual_range": times[[0, -1]] + 400 * DAY}}) as table,
        opened(tmp_path / "other", record("buoys", ("tabledap", table.address))) as catalog,
    ):
        found = probed(catalog)
        assert found["buoys"].state == "broken"
        assert "no row is there at the end" in found["buoys"].reason


def test_local_files_are_read_as_a_subset_reads_them(tmp_path: Path) -> None:
    good, cut = grid(tmp_path / "good.nc"), grid(tmp_path / "cut.nc")
    rows = tmp_path / "rows.csv"
    rows.write_text("time,temp\n2020-01-01T00:00:00Z,20\n2020-01-03T00:00:00Z,21\n2020-01-02T00:00:00Z,\n")
    size = cut.stat().st_size
    cut.write_bytes(cut.read_bytes()[:-2_000])
    records = [
        record("good", ("file", str(good))),
        record("cut", ("file", str(cut))),
        record("rows", ("table", str(rows))),
        record("gone", ("file", str(tmp_path / "gone.nc"))),
        record("other", ("file", str(good))),
    ]
    other = records[-1].distributions[0].model_copy(update={"size": size + 1})
    records[-1] = records[-1].model_copy(update={"distributions": (other,)})
    with opened(tmp_path / "home", *records) as catalog:
        found = probed(catalog)
        states = {name: one.state for name, one in found.items()}
        assert states == {
            "good": "fresh",
            "rows": "fresh",
            "cut": "broken",
            "gone": "broken",
            "other": "broken",
        }
        assert found["rows"].newest == "2020-01-03T00:00:00Z"
        assert "harvested" in found["other"].reason
        assert str(tmp_path) not in " ".join(one.reason for one in found.values())
        with TestClient(create_app(catalog)) as client:
            answer = client.get("/api/datasets/cut/health")
            assert answer.json()["distributions"][0]["address"] == "cut.nc"
            assert str(tmp_path) not in answer.text
            assert str(tmp_path) not in client.get("/api/datasets/cut").text
            assert str(tmp_path) not in client.get("/datasets/cut").text


def test_files_that_crash_or_hang_their_reader_are_broken(shared_faults: Path, tmp_path: Path) -> None:
    """FAULTS row 15: a probe of a hostile file costs a process, and nobody else's probe."""
    hostile = sorted(path for path in shared_faults.iterdir() if path.suffix in {".nc", ".h5"})
    records = [record(f"bad{number}", ("file", str(path))) for number, path in enumerate(hostile)]
    good = record("good", ("file", str(grid(tmp_path / "good.nc"))))
    with opened(tmp_path / "home", *records, good, read_seconds=3) as catalog:
        found = probed(catalog)
    assert found["good"].state == "fresh"
    assert len(found) == len(hostile) + 1


def test_a_stalled_server_is_asked_again_before_it_is_called_broken(site: Site, tmp_path: Path) -> None:
    """A server that is silent is asked again before what was well is called broken; others wait for nobody."""
    stop = threading.Event()
    stalled = [False]
    site.instead = lambda handler: stalled[0] and "grid" in handler.path and bool(stop.wait(20) or True)
    near = site.address.replace("127.0.0.1", "localhost")
    slow = record("slow", ("http", f"{near}/grid.nc"))
    good = record("good", ("http", f"{site.address}/classic.nc"))
    with opened(tmp_path / "home", slow, good, fetch_stall_seconds=0.5) as catalog:
        assert {state for state, _ in told(probed(catalog)).values()} == {"fresh"}
        stalled[0] = True
        site.forget()
        begun = time.monotonic()
        found = told(probed(catalog, "slow", "good"))
        assert time.monotonic() - begun < 15
        assert found["good"][0] == "fresh"
        assert found["slow"] == ("broken", "the data's server gave no answer: ReadTimeout")
        assert len([path for _, path, _ in site.asked if "grid" in path]) == 2
        site.forget()
        assert told(probed(catalog, "slow"))["slow"][0] == "broken"
        assert len([path for _, path, _ in site.asked if "grid" in path]) == 1  # of what is broken, once
        since = [one.since for one in catalog.store.health("slow")]
        assert probed(catalog, "slow", seconds=1) == {}  # three silences: it is left alone for a minute
        assert [one.since for one in catalog.store.health("slow")] == since
    stop.set()
    stalled[0] = False
    with opened(tmp_path / "home", fetch_stall_seconds=0.5) as catalog:
        (again,) = probed(catalog, "slow").values()
        assert again.state == "fresh"
        assert seconds(again.since) > seconds(since[0])


def test_a_dead_host_is_tried_now_and_then(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three silences one at a time, after a while each; more than a few times in a pass, no more."""
    monkeypatch.setattr(probing, "REST_SECONDS", 0.4)
    monkeypatch.setattr(probing, "MOST_PUT_OFFS", 4)
    site.instead = lambda handler: handler.send_error(503) is None
    records = [record(f"r{n}", ("http", f"{site.address}/{n}.nc")) for n in range(12)]
    with opened(tmp_path / "home", *records) as catalog:
        found = told(probed(catalog, seconds=40))
    assert 5 <= len(found) < 12
    assert {state for state, _ in found.values()} == {"broken"}
    assert len(site.asked) == len(found)


def test_a_body_that_drips_ends_with_its_time(tmp_path: Path) -> None:
    """FAULTS row 7: neither a body a byte at a time nor one without end holds a pass up."""

    class Slow(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            if "small" in self.path:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in (b"4\r\na,b\n\r\n", b"4\r\n1,2\n\r\n", b"0\r\n\r\n"):
                    self.wfile.write(piece)
                    time.sleep(0.1)
                return
            self.send_header("Connection", "close")
            self.end_headers()
            piece, pause = (b"a", 0.1) if "drip" in self.path else (b"a" * 65_536, 0)
            with contextlib.suppress(OSError):
                for _ in range(300):
                    self.wfile.write(piece)
                    time.sleep(pause)

    with listening(Slow) as address:
        records = [record(name, ("http", f"{address}/{name}.csv")) for name in ("drip", "endless", "small")]
        with opened(tmp_path / "home", *records, fetch_seconds=1.5) as catalog:
            begun = time.monotonic()
            found = told(probed(catalog))
            assert time.monotonic() - begun < 10
    assert {name: state for name, (state, _) in found.items()} == {
        "drip": "broken", "endless": "fresh", "small": "fresh",
    }  # fmt: skip
    assert "longer than 1.5 s" in found["drip"][1]


def test_of_one_dataset_at_two_portals_one_way_that_reads_is_enough(site: Site, tmp_path: Path) -> None:
    """Each record is probed as its source gave it; a group is broken only where all of its ways are."""
    (site.folder / "page.nc").write_bytes(PAGE)
    ways = {"a": "page.nc", "b": "classic.nc", "c": "page.nc?c", "d": "page.nc?d", "e": "grid.nc"}
    records = [record(name, ("http", f"{site.address}/{place}")) for name, place in ways.items()]
    with opened(tmp_path / "home", *records) as catalog:
        tied = [("a", "b"), ("c", "d")]
        known = {"by": "operator", "score": 1, "evidence": ("said so",), "since": now()}
        assert catalog.store.tie([Tie(leader=leader, member=member, **known) for leader, member in tied]) == 2
        found = list(Prober(catalog).run())
        assert sorted((one.id, one.state) for one in found) == [
            ("a", "broken"), ("b", "fresh"), ("c", "broken"), ("d", "broken"), ("e", "fresh"),
        ]  # fmt: skip
        listed = catalog.search(Query(q="nhiet do")).items
        assert [one.id for one in listed] == ["a", "e", "c"]
        assert catalog.healths.states(listed) == {"a": "fresh", "e": "fresh", "c": "broken"}
        assert [note.code for note in catalog.get("a").quality] == ["same-dataset", "data-broken"]


def test_addresses_that_lead_inside_are_refused(tmp_path: Path) -> None:
    """FAULTS row 8: no probe reaches a private address, at first or by a redirect."""
    with canary() as (address, hits), files(tmp_path) as site:

        def instead(handler: Any) -> bool:
            handler.send_response(301)
            handler.send_header("Location", f"{address}/grid.nc")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return True

        site.instead = instead
        ways = [("http", f"{address}/a.nc"), ("opendap", f"{address}/a"), ("other", f"{address}/a.pdf")]
        ways += [("http", f"{site.address}/a.nc"), ("wms", f"{address}/wms"), ("other", "file:///etc/passwd")]
        ways += [("tabledap", f"{address}/erddap/tabledap/a"), ("other", "ftp://127.0.0.2/a")]
        records = [record(f"r{number}", way) for number, way in enumerate(ways)]
        with opened(tmp_path / "home", *records) as catalog:
            found = told(probed(catalog))
    assert hits == []
    assert set(found) == {"r0", "r1", "r2", "r3", "r4", "r6"}  # ftp and file are asked of nobody
    assert {state for state, _ in found.values()} == {"broken"}
    assert not any("127.0.0.2" in reason for _, reason in found.values())


def test_a_host_has_two_probes_at_once_and_rests_where_it_asks_to(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PAUSE_SECONDS", 0.25)
    active, most, lock = [0], [0], threading.Lock()

    def before(_: str) -> None:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        time.sleep(0.4)
        with lock:
            active[0] -= 1

    site.before = before
    records = [record(f"r{n}", ("other", f"{site.address}/grid.nc?{n}")) for n in range(8)]
    with opened(tmp_path / "home", *records, remote_readers=8) as catalog:
        assert len(probed(catalog)) == 8
        assert most[0] == 2
        site.before = lambda _: None
        begun = time.monotonic()
        assert len(probed(catalog, *(one.id for one in records))) == 8
        assert time.monotonic() - begun > 7 * 0.25
        site.instead = lambda handler: handler.send_error(429) is None
        site.forget()
        assert probed(catalog, *(one.id for one in records)) == {}
        assert len(site.asked) <= 2
        assert {one.state for one in catalog.store.health("r0")} == {
            "fresh"
        }  # what was not told is not taken for told


def test_hosts_with_many_records_do_not_keep_others_waiting(site: Site, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(files(site.folder)) for _ in range(4)]
        for other in others:
            other.before = lambda _: time.sleep(0.2)
        records = [
            record(f"a{n:03}", ("other", f"{others[n // 60].address}/grid.nc?{n}")) for n in range(240)
        ]
        records.append(record("z", ("other", f"{site.address}/classic.nc")))
        with opened(tmp_path / "home", *records, remote_readers=8) as catalog:
            found = probed(catalog, seconds=5)
    assert "z" in found
    assert len({one.address.partition("/grid")[0] for one in found.values()}) == 5
    assert len(found) < 200


def test_a_pass_ends_with_its_budget_and_the_next_goes_on(site: Site, tmp_path: Path) -> None:
    records = [record(f"r{n}", ("other", f"{site.address}/grid.nc?{n}")) for n in range(6)]
    with opened(tmp_path / "home", *records) as catalog:
        assert probed(catalog, seconds=0) == {}
        first = probed(catalog, limit=2)
        site.before = lambda _: time.sleep(0.6)
        second = probed(catalog, seconds=0.3)  # two begin, and are waited for
        assert set(first) == {"r0", "r1"}
        assert 0 < len(second) <= 2
        site.before = lambda _: None
        third = probed(catalog)
        assert not set(first) & set(second)
        assert set(first) | set(second) | set(third) == {one.id for one in records}
        assert probed(catalog) == {}  # nothing is due for a week
        with pytest.raises(NotFound):
            probed(catalog, "r0", "nowhere")


def test_a_record_of_many_ways_is_probed_some_at_a_time(site: Site, tmp_path: Path) -> None:
    many = record("many", *(("other", f"{site.address}/grid.nc?{n}") for n in range(15)))
    with opened(tmp_path / "home", many) as catalog:
        assert len(list(Prober(catalog).run())) == 10
        assert len(list(Prober(catalog).run(("many",)))) == 10
        assert len(catalog.store.health("many")) == 15


def test_data_that_no_longer_come_are_stale(site: Site, tmp_path: Path) -> None:
    fresh = site.folder / "fresh.nc"
    with netCDF4.Dataset(fresh, "w") as file:
        file.createDimension("time", 5)
        file.createVariable("time", "f8", ("time",)).units = "days since 1970-01-01"
        file["time"][:] = seconds(now()) // DAY + np.arange(-4, 1)
        file.createVariable("sst", "f4", ("time",))[:] = 20
    with opened(
        tmp_path / "home",
        record("old", ("http", f"{site.address}/grid.nc"), update_frequency="daily"),
        record("new", ("http", f"{site.address}/fresh.nc"), update_frequency="daily"),
        record(
            "done",
            ("http", f"{site.address}/grid.nc"),
            update_frequency="daily",
            modified="2010-01-01T00:00:00Z",
        ),
    ) as catalog:
        found = probed(catalog)
    assert {name: one.state for name, one in found.items()} == {
        "old": "stale",
        "new": "fresh",
        "done": "fresh",
    }
    assert "2000-01-31" in found["old"].reason


def test_it_shows_wherever_the_record_does(site: Site, tmp_path: Path) -> None:
    """Notes of quality, the API, the pages, the order of search, and nothing in the record that is kept."""
    (site.folder / "page.nc").write_bytes(PAGE)
    redirect(site, moved=301)
    records = [
        record("a-broken", ("http", f"{site.address}/page.nc")),
        record("b-stale", ("http", f"{site.address}/grid.nc"), update_frequency="daily"),
        record("c-moved", ("http", f"{site.address}/moved.nc")),
        record("d-fresh", ("http", f"{site.address}/classic.nc")),
        record("e-both", ("http", f"{site.address}/page.nc"), ("http", f"{site.address}/classic.nc")),
        record("f-unknown"),
    ]
    with opened(tmp_path / "home", *records) as catalog, TestClient(create_app(catalog)) as client:
        before = client.get("/api/datasets/a-broken").json()
        list(Prober(catalog).run())
        codes = {
            one.id: [note["code"] for note in client.get(f"/api/datasets/{one.id}").json()["quality"]]
            for one in records
        }
        assert codes == {
            "a-broken": ["data-broken"], "b-stale": ["data-stale"], "c-moved": ["data-moved"], "d-fresh": [],
            "e-both": ["data-broken"], "f-unknown": [],
        }  # fmt: skip
        assert not any(version.record.quality for one in records for version in catalog.history(one.id))
        assert (
            client.get("/api/datasets/a-broken", params={"asof": now()}).json()["quality"]
            == before["quality"]
        )
        answers = {one.id: client.get(f"/api/datasets/{one.id}/health").json() for one in records}
        assert {name: answer["state"] for name, answer in answers.items()} == {
            "a-broken": "broken", "b-stale": "stale", "c-moved": "moved", "d-fresh": "fresh", "e-both": "fresh",
            "f-unknown": None,
        }  # fmt: skip
        assert [one["state"] for one in answers["e-both"]["distributions"]] == ["broken", "fresh"]
        assert client.get("/api/datasets/nowhere/health").status_code == 404
        assert client.get("/api/datasets/a-broken/health?x=1").status_code == 400
        listed = client.get("/api/datasets?q=nhiet+do").json()["items"]
        assert [item["id"] for item in listed][-1] == "a-broken"
        assert {item["id"]: item["health"] for item in listed}["b-stale"] == "stale"
        assert catalog.search(Query(q="nhiet do")).matched == 6
        for lang, words in (("vi", "Không đọc được dữ liệu"), ("en", "Data cannot be read")):
            page = client.get(f"/datasets/a-broken?lang={lang}").text
            assert words in page
            found = client.get(f"/?q=nhiet+do&lang={lang}").text
            assert words in found


def test_what_a_server_says_stays_words(tmp_path: Path) -> None:
    """FAULTS row 23: what a stranger's server answers with is told, and runs nowhere."""
    with opened(tmp_path / "home", record("a", ("http", "https://example.org/a.nc"))) as catalog:
        known = {"address": "https://example.org/a.nc", "since": now(), "checked": now()}
        said = "it says <script>alert(1)</script>"
        catalog.store.note_health([Health(id="a", state="broken", reason=said, **known)])
        with TestClient(create_app(catalog)) as client:
            page = client.get("/datasets/a").text
            assert "<script" not in page
            assert "&lt;script&gt;" in page
            told = client.get("/api/datasets/a/health")
            assert told.json()["distributions"][0]["reason"] == said
            assert told.headers["x-content-type-options"] == "nosniff"


def test_the_command_probes_and_prints(tmp_path: Path, sample_home: Path) -> None:
    printed = bienmo("health", "--limit", "2", "--json", home=sample_home)
    assert printed.stdout.count(b'"state":"fresh"') >= 2
    assert b'"address":"/' not in printed.stdout
    assert b"nowhere" in bienmo("health", "nowhere", home=tmp_path, check=False).stderr


def test_the_watch_probes(site: Site, tmp_path: Path) -> None:
    """The real command, with nothing to harvest: what is due is probed, and it ends when it is told to."""
    home = tmp_path / "home"
    with opened(home, record("grid", ("http", f"{site.address}/grid.nc"))):
        pass
    sources = tmp_path / "sources.toml"
    sources.write_text("")
    command = [
        sys.executable,
        "-m",
        "catalog",
        "harvest",
        "--watch",
        "--home",
        str(home),
        "--sources",
        str(sources),
    ]
    allowed = os.environ | {"BIENMO_ALLOW_HOSTS": "127.0.0.1"}
    process = subprocess.Popen(command, env=allowed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with contextlib.closing(sqlite.open_store(home)) as store:
            until = time.monotonic() + 60
            while not store.health("grid") and time.monotonic() < until:
                time.sleep(0.1)
            assert [one.state for one in store.health("grid")] == ["fresh"]
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()


def test_passes_come_by_schedule_beside_harvests_and_end_at_once(site: Site, tmp_path: Path) -> None:
    with opened(tmp_path / "home", record("grid", ("http", f"{site.address}/grid.nc"))) as catalog:
        with by_schedule(catalog):
            until = time.monotonic() + 20
            while not catalog.store.health("grid") and time.monotonic() < until:
                time.sleep(0.05)
        assert [one.state for one in catalog.store.health("grid")] == ["fresh"]
        put(catalog.store, record("slow", ("http", f"{site.address}/slow.nc")))
        stop = threading.Event()
        site.instead = lambda handler: bool(stop.wait(20) or True)
        begun = time.monotonic()
        with by_schedule(catalog):
            time.sleep(0.5)
    assert time.monotonic() - begun < 5
    stop.set()


# --- cuts


def test_a_cut_leaves_the_way_that_is_broken(site: Site, tmp_path: Path) -> None:
    """Of two portals that give a dataset one may be down: the other is asked, as soon as a probe has told."""
    gone, there = ("http", f"{site.address}/gone.nc"), ("http", f"{site.address}/grid.nc")
    records = record("two", gone, there, form="netcdf"), record("one", gone, form="netcdf")
    with opened(tmp_path / "home", *records) as catalog, TestClient(create_app(catalog)) as client:
        assert client.get("/api/datasets/two/subset.csv").status_code >= 400
        found = probed(catalog, "two", "one")
        assert {one.state for one in catalog.store.health("two")} == {"broken", "fresh"}, found
        answer = client.get("/api/datasets/two/subset.csv")
        assert answer.status_code == 200
        assert answer.text.count("\n") > 10
        assert client.get("/api/datasets/one/subset.csv").status_code >= 400
