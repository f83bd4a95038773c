"""Darwin Core archives on loopback and in a folder: what the records say equals what the archives hold."""

import csv
import io
import json
import random
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadDocument, IncompleteListing, SourceError, Unreachable
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Document, Source
from harvesters import Fetch, darwincore
from harvesters._darwin import Table, Tally
from harvesters._fetch import Fetch as Door
from portals import Answering, Asked, answer, portal
from replay import RECORDED, asking, recorded, replaying

TERM = "http://rs.tdwg.org/dwc/terms/"


@contextmanager
def serving(answering: Answering, home: Path, **fields: Any) -> Iterator[tuple[Source, Fetch]]:
    settings = Settings(
        home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20, fetch_bytes=1_000_000
    )
    with portal(answering) as running:
        source = Source(id="d", protocol="darwincore", url=f"{running.url}/list", **fields)
        with Door(settings, source, None) as fetch:
            yield source, fetch


def fish() -> bytes:
    return (RECORDED / "darwincore" / "fish.zip").read_bytes()


def read_all(documents: list[Document]) -> dict[str, Record]:
    return {document.native_id: darwincore.read(document) for document in documents if not document.problem}


def test_an_ipt_feed_gives_a_record_of_points_an_archive(tmp_path: Path) -> None:
    with recorded("darwincore", tmp_path) as (source, fetch):
        records = read_all(list(darwincore.harvest(source, fetch)))
    assert list(records) == ["made-up-corals", "made-up-fish"]  # the whales are outside the source's box
    fish = records["made-up-fish"]
    assert dict(fish.title.words) == {"vi": "Cá ở vịnh Bắc Bộ"}
    assert (fish.kind, fish.doi, fish.licence and fish.licence.spdx) == (
        "points",
        "10.12345/made.up.fish",
        "CC-BY-4.0",
    )
    assert [box.model_dump() for box in fish.extent.boxes] == [[106.5, 19.75, 107.25, 20.5]]
    assert fish.extent.vertical is not None
    assert (fish.extent.vertical.minimum, fish.extent.vertical.maximum) == (0, 40)
    assert fish.extent.time is not None
    assert (fish.extent.time.start, fish.extent.time.end) == (
        "2018-02-03T00:00:00Z",
        "2019-07-31T23:59:59.999999Z",
    )
    assert [note.code for note in fish.quality] == ["positions-unreadable", "extent-differs", "time-differs"]
    assert {"Epinephelus coioides", "Teleostei", "cá"} <= {word.best("und") for word in fish.keywords}
    assert {v.name: (v.standard_name, v.units, v.shape) for v in fish.variables}["decimalLatitude"] == (
        "latitude", "degrees_north", (4,),
    )  # fmt: skip
    assert "sex" not in {variable.name for variable in fish.variables}  # a column that holds nothing
    assert [(party.name, party.roles) for party in fish.parties] == [
        ("Thị Mai Nguyễn", ("creator",)),
        ("Viện Hải dương học", ("pointOfContact",)),
        ("A data centre", ("distributor",)),
    ]
    corals = records["made-up-corals"]
    assert [box.model_dump() for box in corals.extent.boxes] == [[178.5, -16.5, -175.25, -15]]
    assert [
        (v.name, v.dimensions, v.shape) for v in corals.variables if v.name in {"eventDate", "scientificName"}
    ] == [
        ("eventDate", ("event",), (2,)),
        ("scientificName", ("occurrence",), (3,)),
    ]


def test_a_list_of_changes_takes_what_was_published_since(tmp_path: Path) -> None:
    with recorded("darwincore", tmp_path) as (source, fetch):
        since = source.model_copy(update={"changed_since": "2025-03-05T00:00:00Z"})
        assert [document.native_id for document in darwincore.harvest(since, fetch)] == ["made-up-corals"]


@pytest.mark.parametrize("kind", ["gbif", "obis"])
def test_lists_of_datasets_are_listed_page_by_page(kind: str, tmp_path: Path) -> None:
    def answering(asked: Asked) -> list[bytes]:
        if asked.path != "/list":
            return [answer(fish(), Content_Type="application/zip")]
        start, here = int(asked.query.get("offset", 0)), f"http://{asked.headers['host']}"
        many = range(start, min(start + 20, 45))
        if kind == "gbif":
            ends = [{"type": "DWC_ARCHIVE", "url": f"{here}/a.zip"}]
            page: dict[str, Any] = {"count": 45, "endOfRecords": start + 20 >= 45}
            page["results"] = [{"key": f"k{at:02}", "title": f"t{at}", "endpoints": ends} for at in many]
        else:
            page = {"total": 45, "results": [{"id": f"k{at:02}", "archive": f"{here}/a.zip"} for at in many]}
        return [answer(json.dumps(page).encode())]

    with serving(answering, tmp_path) as (source, fetch):
        found = list(darwincore.harvest(source, fetch))
        assert [document.native_id for document in found] == [f"k{at:02}" for at in range(45)]
        rest = list(darwincore.harvest(source.model_copy(update={"resume": found[41].page}), fetch))
        assert [document.native_id for document in rest] == [f"k{at:02}" for at in range(40, 45)]


def test_a_list_that_comes_back_to_its_start_is_incomplete(tmp_path: Path) -> None:
    page = {
        "count": 45,
        "results": [{"key": "a", "endpoints": [{"type": "EML", "url": "http://x.example/e"}]}],
    }
    with (
        serving(lambda _: [answer(json.dumps(page).encode())], tmp_path) as (source, fetch),
        pytest.raises(IncompleteListing, match="counts 45"),
    ):
        list(darwincore.harvest(source, fetch))


def test_an_archive_beyond_the_limit_is_described_by_its_eml(tmp_path: Path) -> None:
    with zipfile.ZipFile(RECORDED / "darwincore" / "fish.zip") as archive:
        eml = archive.read("eml.xml")

    def answering(asked: Asked) -> list[bytes]:
        here = f"http://{asked.headers['host']}"
        ends = [{"type": "DWC_ARCHIVE", "url": f"{here}/a.zip"}, {"type": "EML", "url": f"{here}/eml"}]
        page = {"count": 1, "results": [{"key": "a", "endpoints": ends}]}
        bodies = {"/list": json.dumps(page).encode(), "/eml": eml, "/a.zip": bytes(2_000_000)}
        return [answer(bodies[asked.path])]

    with serving(answering, tmp_path) as (source, fetch):
        (document,) = darwincore.harvest(source, fetch)
    record = darwincore.read(document)
    assert record.title.best("vi") == "Cá ở vịnh Bắc Bộ"
    assert [box.model_dump() for box in record.extent.boxes] == [[105, 17, 110, 22]]
    assert [note.code for note in record.quality] == ["archive-not-read"]


def test_one_archive_is_a_listing_of_one(tmp_path: Path) -> None:
    with serving(lambda _: [answer(fish())], tmp_path) as (source, fetch):
        (document,) = darwincore.harvest(source, fetch)
        assert darwincore.read(document).title.best("vi") == "Cá ở vịnh Bắc Bộ"
    with serving(lambda _: [answer(b"PK\x03\x04 no archive")], tmp_path) as (source, fetch):
        (document,) = darwincore.harvest(source, fetch)
        assert document.problem
    with serving(lambda _: [answer(b"<html/>")], tmp_path) as (source, fetch), pytest.raises(Unreachable):
        list(darwincore.harvest(source, fetch))


def test_real_archives_say_what_a_plain_reading_of_their_rows_says(shared_real: Path) -> None:
    folder = shared_real / "files" / "darwincore"
    source = Source(id="real", protocol="darwincore", url=str(folder))
    documents = {document.native_id: document for document in darwincore.harvest(source, None)}
    problems = {name for name, document in documents.items() if document.problem}
    assert problems == {"dwca-invalid-simple-toomuch.zip", "dwca-invalid-simple-two.zip"}
    assert len(documents) - len(problems) == 28
    counts = {}
    for name, document in documents.items():
        if not document.problem:
            record = darwincore.read(document)
            assert record.kind == "points"
            assert record.variables
            counts[name] = json.loads(document.content)["rows"]["rows"]
    with zipfile.ZipFile(folder / "gbif-results.zip") as archive:
        rows = [line.split("\t") for line in archive.read("occurrence.txt").decode().split("\n") if line]
    assert counts["gbif-results.zip"] == len(rows) == 158
    with zipfile.ZipFile(folder / "dwca-simple-csv.zip") as archive:
        text = archive.read("0008333-160118175350007.csv").decode()
    plain = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    assert counts["dwca-simple-csv.zip"] == len(plain)
    box = darwincore.read(documents["dwca-simple-csv.zip"]).extent.boxes[0]
    lat = [float(row["decimallatitude"]) for row in plain if row["decimallatitude"]]
    assert (box.south, box.north) == (min(lat), max(lat))


places = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=8)


@given(places)
def test_the_box_holds_every_place_and_leaves_out_the_widest_gap(found: list[tuple[float, float]]) -> None:
    table = Table("Occurrence", (), {0: TERM + "decimalLatitude", 1: TERM + "decimalLongitude"})
    tally = Tally()
    tally.add(table, [[repr(lat), repr(lon)] for lat, lon in found])
    west, south, east, north = tally.said()["box"]
    assert (south, north) == (min(lat for lat, _ in found), max(lat for lat, _ in found))
    width = (east - west) % 360 if (west, east) != (-180, 180) else 360
    for _, lon in found:
        assert west <= lon <= east or (west > east and (lon >= west or lon <= east)), (west, east, lon)
    around = sorted(lon % 360 for _, lon in found)
    gaps = [b - a for a, b in zip(around, [*around[1:], around[0] + 360], strict=True)]
    assert width <= 360 - max(gaps) + 2  # gaps are told apart to a degree at each end


def test_a_large_table_is_read_as_a_stream(tmp_path: Path) -> None:
    head = "id\tscientificName\tdecimalLatitude\tdecimalLongitude\tremarks\n"
    meta = (
        '<archive><core fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1" '
        f'rowType="{TERM}Occurrence"><files><location>o.txt</location></files>'
        + "".join(f'<field index="{at}" term="{TERM}{name}"/>' for at, name in enumerate(head.split()[1:], 1))
        + "</core></archive>"
    )
    chance = random.Random(1)
    filler = chance.randbytes(500).hex()
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.xml", meta)
        with archive.open("o.txt", "w") as rows:
            rows.write(head.encode())
            for at in range(40):
                where = [
                    (chance.random(), chance.uniform(5, 20), chance.uniform(105, 115)) for _ in range(1000)
                ]
                lines = (f"{at}\tAus {n} bus\t{lat:.4f}\t{lon:.4f}\t{filler}\n" for n, lat, lon in where)
                rows.write("".join(lines).encode())
    tracemalloc.start()
    (document,) = darwincore.harvest(Source(id="s", protocol="darwincore", url=str(tmp_path)), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert json.loads(document.content)["rows"]["rows"] == 40_000
    assert peak < 20_000_000  # of 40 MB of rows
    assert len(document.content) < 100_000


@pytest.mark.parametrize("many", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutations_of_recorded_answers_cost_only_the_archive_that_was_mutated(
    many: int, tmp_path: Path
) -> None:
    folder, chance = RECORDED / "darwincore", random.Random(4)
    plain = replaying(folder)
    names = ("rss.xml", "fish.zip", "corals.zip", "whales.zip")
    bodies = {name: (folder / name).read_bytes() for name in names}
    state: dict[str, Any] = {}

    def answering(asked: Asked) -> list[bytes]:
        (whole,) = plain(asked)
        name = "rss.xml" if asked.path == "/rss.do" else f"{asked.query.get('r')}.zip"
        new = state["new"].replace(b"https://ipt.example", f"http://{asked.headers['host']}".encode())
        return [answer(new)] if name == state["name"] else [whole]

    with asking(Source(id="ipt", protocol="darwincore", url="https://ipt.example/rss.do"), answering, tmp_path) as (
        source, fetch,
    ):  # fmt: skip
        for _ in range(many):
            name = chance.choice(names)
            body = bytearray(bodies[name])
            for _ in range(chance.choice((1, 1, 3))):
                at = chance.randrange(len(body))
                body[at : at + chance.choice((0, 1, 8))] = chance.choice(
                    (b"", bytes([chance.randrange(256)]), b"<")
                )
            state.update(name=name, new=bytes(body))
            found: dict[str, Document] = {}
            with suppress(SourceError):
                found = {document.native_id: document for document in darwincore.harvest(source, fetch)}
            for document in found.values():
                if not document.problem:
                    with suppress(BadDocument):
                        darwincore.read(document)
            if name != "rss.xml":
                others = {f"made-up-{other[:-4]}" for other in names[1:] if other != name}
                assert all(other in found and found[other].problem is None for other in others), (
                    name,
                    found.keys(),
                )
                assert len(found) == 3
