"""Which sources answer: the recorded portals do, those that are not there do not, and nothing is kept."""

import json

import pytest

from catalog.settings import Settings
from catalog.source import Source, read_sources
from harvesters._checking import check_all
from harvesters._run import protocols
from journey.command import bienmo
from replay import RECORDED, asking, replaying

PORTALS = sorted(folder.name for folder in RECORDED.iterdir() if (folder / "_index.json").is_file())


@pytest.mark.parametrize("name", PORTALS)
def test_a_recorded_portal_answers(name, tmp_path):
    (source,) = read_sources(RECORDED / name / "source.toml")
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    with asking(source, replaying(RECORDED / name), tmp_path) as (near, _):
        (found,) = check_all([near], settings, workers=None)
    assert found.answers, found.said
    assert found.said
    (gone,) = check_all([near], settings, workers=None)  # the server has ended meanwhile
    assert not gone.answers


def test_a_source_that_says_nothing_is_given_up_in_time(tmp_path):
    silent = Source(id="silent", protocol="ckan", url="http://192.0.2.1")
    (found,) = check_all([silent], Settings(home=tmp_path, fetch_tries=1), workers=None, seconds=2)
    assert not found.answers
    assert found.seconds < 5


def test_the_command_tells_which_answer_and_keeps_nothing(tmp_path):
    file = tmp_path / "sources.toml"
    (tmp_path / "empty").mkdir()
    entries = [
        ("empty", "files", "empty"),
        ("gone", "files", "nowhere"),
        ("odd", "telepathy", "http://192.0.2.1"),
    ]
    file.write_text(
        "".join(f'[[source]]\nid = "{a}"\nprotocol = "{b}"\nurl = "{c}"\n' for a, b, c in entries), "utf-8"
    )
    ran = bienmo("sources", "check", "--json", "--sources", str(file), home=tmp_path / "home", check=False)
    assert ran.returncode == 3
    found = {each["id"]: each for each in json.loads(ran.stdout)["sources"]}
    assert [each["answers"] for each in found.values()] == [True, False, False]
    assert "telepathy" in found["odd"]["said"]
    assert str(tmp_path) not in ran.stdout.decode()
    listed = json.loads(bienmo("sources", "--json", "--sources", str(file), home=tmp_path / "home").stdout)
    assert [each["records"] for each in listed["sources"]] == [0, 0, 0]


def test_the_built_in_sources_are_many_and_complete():
    known, sources = protocols(), read_sources(RECORDED.parents[1] / "harvesters" / "sources.toml")
    assert len([source for source in sources if source.protocol != "files"]) >= 40
    for source in sources:
        assert source.protocol in known, source.id
        assert source.title, source.id
        assert source.licence_note, source.id
        assert source.comment, source.id
        assert source.protocol == "files" or source.schedule, source.id
