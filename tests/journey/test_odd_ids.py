"""FAULTS row 11: names of every kind from a portal become ids that lead there and back, and no path is made of one."""

import random
import unicodedata
from pathlib import Path
from urllib.parse import quote

from fastapi.testclient import TestClient

import paged
from catalog.app import create_app
from catalog.service import Catalog
from catalog.stores import sqlite
from harvesters._run import harvest_source
from portals import listing, portal

ODD = (
    "../../x", "..", ".", "/", "/etc/passwd", "C:\\x", "a/b", "a%2fb", "%00", "a\x00b", "a\nb", "CON", "~", "-", "--",
    "Sóng", unicodedata.normalize("NFD", "Sóng"), "SÓNG", "song", "SONG", "Song ", " song", "so-ng", "so_ng", "đo",
    "do", "ﬁ", "fi", "İ", "i", "ẞ", "ss", "a\u200bb", "a\u202eb", "\ud7ff", "𝔘𝔫𝔦", "ﷺ", "🐟", "*", "?", "#", "a?b#c",
    "' OR 1", '"', "<b>", "{{7*7}}", "x" * 10_000, "x" * 10_001, "ô" * 5_000, "index.html", "subset.nc", "a&b=c",
)  # fmt: skip


def names() -> list[str]:
    """200 names: the odd ones, and odd ones laid together."""
    chance, found = random.Random(11), dict.fromkeys(ODD)
    while len(found) < 200:
        found["".join(chance.choices([one for one in ODD if len(one) < 20], k=chance.randrange(2, 5)))] = None
    return list(found)


def test_two_hundred_odd_names_lead_there_and_back(tmp_path: Path) -> None:
    home, wanted = tmp_path / "home", names()
    settings = paged.settings(home, fetch_tries=1)
    with portal(listing(lambda: [*wanted, *wanted[:20]], size=50)) as running:
        store = sqlite.open_store(home)
        runs = [
            harvest_source(paged.source(running.url), store, settings, workers=None, known=paged.KNOWN)
            for _ in range(2)
        ]
    first, second = ((run.state, run.counts.new, run.counts.unchanged) for run in runs)
    assert (first, second) == (("complete", 200, 0), ("complete", 0, 200))  # those listed twice count once
    with Catalog(store, settings) as catalog, TestClient(create_app(catalog)) as client:
        listed = client.get("/api/datasets?limit=1000").json()["items"]
        assert {one["native_id"] for one in listed} == set(wanted)
        assert len({one["id"] for one in listed}) == len(listed) == 200
        for one in listed:
            assert quote(one["id"], safe="") == one["id"]
            assert client.get(f"/api/datasets/{one['id']}").json()["native_id"] == one["native_id"]
            assert client.get(f"/datasets/{one['id']}").status_code == 200
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    kept = {path.relative_to(home).parts[0] for path in home.rglob("*")}
    assert kept <= {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "cache", "twins"}
