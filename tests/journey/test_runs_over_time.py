"""Truth over time as people meet it: the API as of an instant, runs compared, undone and decided by the command."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from catalog.app import create_app
from catalog.instant import of_seconds, seconds
from catalog.record import Record, Text
from catalog.service import open_catalog
from catalog.settings import Settings
from catalog.source import Document
from catalog.stores import Entry, Run, Store
from journey.command import bienmo


def harvested(store: Store, titles: dict[str, str]) -> Run:
    lease, _ = store.begin("here", holder="test", lease_seconds=60)
    entries = []
    for name, title in titles.items():
        document = Document(source="here", native_id=name, content=f"{name} {title}".encode())
        record = Record(
            id=document.id,
            source="here",
            native_id=name,
            title=Text.of(title, "en"),
            document_hash=document.hash,
        )
        entries.append(Entry(document=document, record=record))
    store.put(entries, lease=lease)
    return store.finish(lease, "complete", missed_runs=3, shrink_hold=0.2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Runs 1 and 2 of ten datasets, of which d0 changes, and 3, which is held: five are missing."""
    with open_catalog(Settings(home=tmp_path)) as catalog:
        first = {f"d{number}": "sea level" for number in range(10)}
        harvested(catalog.store, first)
        harvested(catalog.store, first | {"d0": "sea ice", "e": "sea ice"})
        harvested(catalog.store, {f"d{number}": "sea ice" for number in range(5)})
    return tmp_path


def said(home: Path, *words: str) -> Any:
    return json.loads(bienmo(*words, "--json", home=home).stdout)


def test_the_api_answers_as_of_an_instant(home: Path) -> None:
    with open_catalog(Settings(home=home)) as catalog:
        client = TestClient(create_app(catalog), raise_server_exceptions=False)
        third, second, first = client.get("/api/runs").json()["runs"]
        asof = first["ended"]
        then = client.get("/api/datasets", params={"asof": asof, "q": "sea", "limit": "3"}).json()
        assert (then["numberMatched"], then["facets"]["source"][0]["count"]) == (10, 10)
        assert {link["rel"] for link in then["items"][0]["links"]} == {
            "self",
            "latest-version",
            "version-history",
        }
        self_link = next(link["href"] for link in then["items"][0]["links"] if link["rel"] == "self")
        assert client.get(self_link).json() == then["items"][0]
        assert {item["title"]["en"] for item in then["items"]} == {"sea level"}
        following = next(link["href"] for link in then["links"] if link["rel"] == "next")
        assert len(client.get(following).json()["items"]) == 3
        assert client.get("/api/datasets").json()["numberMatched"] == 11
        assert client.get("/api/datasets/here-d0").json()["title"] == {"en": "sea ice"}
        day = client.get("/api/datasets", params={"asof": asof[:4]})
        assert (day.status_code, day.json()["numberMatched"]) == (200, 0), "a year is its first moment"
        early = of_seconds(seconds(first["started"]) - 1)
        for path, status in {
            f"/api/datasets/here-d0?asof={early}": 404,
            f"/api/datasets/here-e?asof={asof}": 404,
            "/api/datasets/here-d0?asof=yesterday": 400,
            "/api/datasets/here-d0?asof=2999": 400,
            "/api/datasets?asof=2999-01-01": 400,
            "/api/datasets?asof=soon": 400,
            f"/api/runs/{second['id']}/diff/{first['id']}": 400,
            f"/api/runs/1/diff/{third['id']}?limit=0": 400,
            "/api/runs/1/diff/99": 404,
            "/api/runs/1/diff/x": 404,
        }.items():
            assert client.get(path).status_code == status, path


def test_two_runs_are_compared(home: Path) -> None:
    diff = said(home, "runs", "diff", "1", "2")
    assert diff["counts"] == {"new": 1, "changed": 1, "withdrawn": 0, "restored": 0}
    assert [(change["id"], change["what"], change["fields"]) for change in diff["changes"]] == [
        ("here-d0", "changed", ["title"]),
        ("here-e", "new", []),
    ]
    with open_catalog(Settings(home=home)) as catalog:
        client = TestClient(create_app(catalog))
        assert client.get("/api/runs/1/diff/2").json() == diff
        paged = client.get("/api/runs/1/diff/2", params={"limit": "1", "offset": "1"}).json()
        assert (paged["changes"], paged["counts"]) == (diff["changes"][1:], diff["counts"])
    shown = bienmo("runs", "diff", "1", "2", home=home)
    assert b"here-e" in shown.stdout
    assert b"1 new, 1 changed" in shown.stderr


def test_a_run_is_rolled_back(home: Path) -> None:
    rolled = said(home, "runs", "rollback", "2")
    assert (rolled["state"], rolled["undoes"]) == ("rolledback", 2)
    assert (rolled["counts"]["changed"], rolled["withdrawn"]) == (5, 1)
    asof = said(home, "runs")["runs"][-2]["ended"]
    assert said(home, "search", "ice")["numberMatched"] == 0
    assert said(home, "search", "ice", "--asof", asof)["numberMatched"] == 2
    assert said(home, "show", "here-e", "--asof", asof)["title"] == {"en": "sea ice"}
    gone = bienmo("show", "here-e", home=home, check=False)
    assert (gone.returncode, b"withdrawn" in gone.stderr) == (1, True)
    assert said(home, "runs", "diff", "1", str(rolled["id"]))["changes"] == []


def test_a_held_run_is_released_or_dropped(home: Path) -> None:
    released = said(home, "runs", "release", "3")
    assert (released["state"], released["withdrawn"], released["held"]) == ("released", 6, 6)
    assert said(home, "runs", "release", "3") == released
    refused = bienmo("runs", "drop", "3", home=home, check=False)
    assert (refused.returncode, b"is released, not held" in refused.stderr) == (1, True)
    assert said(home, "search")["numberMatched"] == 5
    said(home, "runs", "rollback", "3")
    assert said(home, "search")["numberMatched"] == 11


def test_a_dropped_run_withdraws_nothing(home: Path) -> None:
    assert b"run 3 of here: dropped" in bienmo("runs", "drop", "3", home=home).stdout
    assert said(home, "search")["numberMatched"] == 11


def test_runs_without_a_word_are_listed(home: Path) -> None:
    listed = said(home, "runs")
    assert [run["state"] for run in listed["runs"]] == ["held", "complete", "complete"]
    assert said(home, "runs", "here") == said(home, "runs", "list", "here") == listed
    assert bienmo("runs", "--colour", home=home, check=False).returncode == 2
