"""How well the sample is described: the command, the API and the pages say the same."""

import json

import pytest

from catalog import appraisals
from catalog.appraisals import Appraisals, _offsets
from catalog.instant import now
from catalog.record import Distribution
from catalog.stores import Counts, Run, Tie, memory, sqlite
from contract.test_stores import entry
from journey.command import bienmo

SEA_LEVEL = "sample-cmems_sea_level_20190223_bien_dong"


def test_the_command_prints_what_the_api_answers(client, sample_home):
    printed = bienmo("quality", SEA_LEVEL, "--json", home=sample_home).stdout
    answer = client.get(f"/api/datasets/{SEA_LEVEL}/quality")
    assert printed.rstrip(b"\n") == answer.content
    said = answer.json()
    assert 50 < said["score"] < 100
    assert said["score"] == int(100 - sum(gap["points"] for gap in said["gaps"]) + 1e-6)
    assert said["gaps"] == sorted(said["gaps"], key=lambda gap: -gap["points"])
    page = client.get(f"/datasets/{SEA_LEVEL}").text
    assert f"{said['score']}/100" in page
    assert all(gap["text"]["vi"].split(":")[0] in page for gap in said["gaps"])


def test_a_harvest_appraises_its_source_and_the_command_does_it_again(client, sample_home):
    (kept,) = (s for s in client.get("/api/sources").json()["sources"] if s["id"] == "sample")
    assert kept["quality"]["assessed"] == kept["quality"]["records"] == kept["records"]
    (again,) = json.loads(bienmo("quality", "--source", "sample", "--json", home=sample_home).stdout)[
        "sources"
    ]
    assert {**again, "at": ""} == {**kept["quality"], "at": ""}
    records = client.get("/api/datasets", params={"source": "sample"}).json()["items"]
    scores = [client.get(f"/api/datasets/{record['id']}/quality").json()["score"] for record in records]
    assert again["score"] == round(sum(scores) / len(scores), 1)
    assert f"{round(again['score'])}/100" in client.get("/sources").text


def test_the_table_tells_the_gaps_in_words(sample_home):
    table = bienmo("quality", home=sample_home).stdout.decode()
    assert "sample" in table
    words = bienmo("quality", SEA_LEVEL, "--lang", "vi", home=sample_home).stdout.decode()
    assert "of 100" in words
    assert "Ví dụ:" in words


def test_files_are_checked_by_command_and_shown_from_then_on(client, sample_home):
    said = json.loads(bienmo("quality", SEA_LEVEL, "--files", "--json", home=sample_home).stdout)
    (check,) = said["files"]
    assert check["scores"].keys() == {"CF 1.8", "ACDD 1.3"}
    assert client.get(f"/api/datasets/{SEA_LEVEL}/quality").json() == said
    assert check["checker"] in client.get(f"/datasets/{SEA_LEVEL}").text


def test_what_is_wrong_is_said(client, sample_home):
    for words in (("quality", "nothing"), ("quality", "--source", "nowhere"), ("quality", "--files")):
        ran = bienmo(*words, home=sample_home, check=False)
        assert ran.returncode == 1, words
        assert b"Traceback" not in ran.stderr
    assert client.get("/api/datasets/nothing/quality").status_code == 404
    assert client.get(f"/api/datasets/{SEA_LEVEL}/quality?x=1").status_code == 400


def test_of_many_records_some_are_looked_at_spread_evenly(monkeypatch, catalog, tmp_path):
    monkeypatch.setattr(appraisals, "_PAGE", 1)
    monkeypatch.setattr(appraisals, "MOST_ASSESSED", 3)
    assert [_offsets(many) for many in (0, 2, 3, 5, 101)] == [[], [0, 1], [0, 1, 2], [0, 2, 4], [0, 50, 100]]
    found = Appraisals(catalog.store, tmp_path).source("sample")
    assert (found.assessed, found.records) == (3, 5)


@pytest.mark.parametrize("module", [memory, sqlite])
def test_a_source_is_appraised_by_what_it_says_itself(module, tmp_path):
    store = module.open_store(tmp_path)
    way = Distribution(protocol="opendap", address="https://example.org/dap")
    told = [
        entry("a", "Sea level", source="one", distributions=(way,)),
        entry("b", "Sea level", source="two"),
    ]
    store.put(told)
    leader, member = (each.record.id for each in told)
    tie = Tie(leader=leader, member=member, by="doi", score=1, evidence=("the same DOI",), since=now())
    assert store.tie([tie]) == 1
    own = Appraisals(store, tmp_path)
    assert [own.source(name).assessed for name in ("one", "two")] == [1, 1]
    assert own.source("one").score - own.source("two").score == 9  # only the one says where its data are
    store.close()


def test_a_run_that_changed_nothing_is_not_followed_and_what_fails_ends_no_harvest(catalog, tmp_path, caplog):
    own = Appraisals(catalog.store, tmp_path)
    run = Run(id=1, source="sample", state="complete", started=now())
    own.follow(run)
    assert own.known(["sample"]) == {}
    changed = run.model_copy(update={"counts": Counts(changed=1)})
    own.follow(changed)
    assert own.known(["sample"])["sample"].assessed == 5
    (tmp_path / "file").touch()
    Appraisals(catalog.store, tmp_path / "file").follow(changed)
    assert "could not be appraised" in caplog.text
