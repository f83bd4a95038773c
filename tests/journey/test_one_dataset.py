"""The same dataset harvested from an ERDDAP and a CKAN is one answer; an operator takes it apart, and it stays so."""

import json
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from catalog.app import create_app
from catalog.search import Query
from catalog.service import open_catalog
from catalog.settings import Settings
from journey.command import bienmo
from portals import Answering, Asked, answer, portal

NAMES = ["datasetID", "institution", "title", "minLongitude", "maxLongitude", "minLatitude", "maxLatitude",
         "griddap", "tabledap", "wms", "infoUrl", "summary"]  # fmt: skip
INFO = [
    ["attribute", "NC_GLOBAL", "institution", "String", "Open Sea Station"],
    ["attribute", "NC_GLOBAL", "title", "String", "Daily sea surface temperature, Gulf of Tonkin"],
    ["dimension", "time", "", "double", "nValues=10"],
    ["attribute", "time", "actual_range", "double", "1262304000.0, 1263081600.0"],
    ["dimension", "latitude", "", "double", "nValues=11"],
    ["attribute", "latitude", "actual_range", "double", "17.0, 22.0"],
    ["dimension", "longitude", "", "double", "nValues=10"],
    ["attribute", "longitude", "actual_range", "double", "105.5, 110.0"],
    ["variable", "sst", "", "float", "time, latitude, longitude"],
    ["attribute", "sst", "standard_name", "String", "sea_surface_temperature"],
]


def table(names: list[str], rows: list[list[Any]]) -> bytes:
    return answer(json.dumps({"table": {"columnNames": names, "rows": rows}}).encode())


def erddap(asked: Asked) -> list[bytes]:
    """A server with one grid."""
    here = f"http://{asked.headers['host']}/erddap"
    if asked.path.endswith("/info/tonkin_sst/index.json"):
        return [table(["Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"], INFO)]
    title = "Daily sea surface temperature, Gulf of Tonkin"
    row = [
        "tonkin_sst",
        "Open Sea Station",
        title,
        105.5,
        110,
        17,
        22,
        f"{here}/griddap/tonkin_sst",
        "",
        "",
        "",
        "Grid.",
    ]
    return [table(NAMES, [row])]


def ckan(link: str, notes: str) -> Answering:
    """A portal that passes the grid on, and has another dataset."""
    rows = [
        {"id": "p1", "name": "nhiet-do-vinh-bac-bo", "title": "Nhiệt độ mặt biển hàng ngày Vịnh Bắc Bộ", "notes": notes,
         "organization": {"title": "Cổng dữ liệu biển"},
         "resources": [{"format": "ERDDAP", "url": link}, {"format": "CSV", "url": "https://portal.example/sst.csv"}]},
        {"id": "p2", "name": "san-ho", "title": "Phân bố rạn san hô", "resources": []},
    ]  # fmt: skip

    def answering(asked: Asked) -> list[bytes]:
        page = {"count": len(rows), "results": rows[json.loads(asked.body)["start"] :]}
        return [answer(json.dumps({"success": True, "result": page}).encode())]

    return answering


def sources(folder: Path, near: str, far: str) -> Path:
    path = folder / "sources.toml"
    entries = [("buoys", "erddap", f"{near}/erddap"), ("portal", "ckan", far)]
    path.write_text(
        "".join(f'[[source]]\nid="{i}"\nprotocol="{p}"\nurl="{u}"\n' for i, p, u in entries), "utf-8"
    )
    return path


def found(home: Path, words: str = "") -> list[str]:
    with open_catalog(Settings(home=home)) as catalog:
        return [record.id for record in catalog.search(Query(q=words, sort="id")).items]


def test_one_dataset_of_an_erddap_and_a_ckan(tmp_path: Path) -> None:
    home, near = tmp_path / "home", {"BIENMO_ALLOW_HOSTS": "127.0.0.1"}
    with portal(erddap) as first:
        link = f"{first.url}/erddap/griddap/tonkin_sst.html"
        with portal(ckan(link, "Hàng ngày.")) as second:
            file = sources(tmp_path, first.url, second.url)
            bienmo("harvest", "--sources", str(file), home=home, **near)
        assert found(home) == ["buoys-tonkin_sst", "portal-san-ho"]
        assert found(home, "nhiệt độ mặt biển hàng ngày") == ["buoys-tonkin_sst"], (
            "found by the member's words"
        )
        with open_catalog(Settings(home=home)) as catalog, TestClient(create_app(catalog)) as client:
            record = client.get("/api/datasets/buoys-tonkin_sst").json()
            addresses = [way["address"] for way in record["distributions"]]
            assert addresses == [link.removesuffix(".html"), "https://portal.example/sst.csv"]
            same = client.get("/api/datasets/portal-nhiet-do-vinh-bac-bo/same").json()
            assert [one["id"] for one in same["records"]] == [
                "buoys-tonkin_sst",
                "portal-nhiet-do-vinh-bac-bo",
            ]
            assert [(tie["by"], tie["score"]) for tie in same["ties"]] == [("native-id", 0.96)]
            assert same["ties"][0]["evidence"][1].endswith("/erddap/tonkin_sst")
            assert client.get("/api/datasets/portal-san-ho/same").json() == {
                "leader": "portal-san-ho",
                "ties": [],
                "records": [],
            }
            assert client.get("/api/datasets/none/same").status_code == 404
            assert client.get("/api/datasets/portal-san-ho/same?x=1").status_code == 400
            for name in ("buoys-tonkin_sst", "portal-nhiet-do-vinh-bac-bo"):
                page = client.get(f"/datasets/{name}").text
                assert "Cùng một bộ dữ liệu ở" in page
                assert "cùng mã tại các cổng dữ liệu" in page
            assert (
                'href="/datasets/portal-nhiet-do-vinh-bac-bo"'
                in client.get("/datasets/buoys-tonkin_sst").text
            )
            assert "Cùng một bộ dữ liệu ở" not in client.get("/datasets/portal-san-ho").text
        listed = json.loads(bienmo("same", "--json", home=home).stdout)
        assert [group["leader"] for group in listed["groups"]] == ["buoys-tonkin_sst"]
        assert b"give data at" in bienmo("same", "buoys-tonkin_sst", home=home).stdout
        bienmo("unmerge", "portal-nhiet-do-vinh-bac-bo", home=home)
        with portal(ckan(link, "Nay có thêm mô tả.")) as second:
            file = sources(tmp_path, first.url, second.url)
            bienmo("harvest", "--sources", str(file), home=home, **near)
        apart = ["buoys-tonkin_sst", "portal-nhiet-do-vinh-bac-bo", "portal-san-ho"]
        assert found(home) == apart
        bienmo("same", "find", "--again", home=home)
        assert found(home) == apart
        bienmo("merge", "portal-nhiet-do-vinh-bac-bo", "buoys-tonkin_sst", home=home)
        assert found(home) == ["portal-nhiet-do-vinh-bac-bo", "portal-san-ho"]
        assert bienmo("merge", "portal-san-ho", "nothing", home=home, check=False).returncode == 1
