"""A sources file with every protocol, harvested at once: the report's counts are those of the portals' own clients."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from catalog.source import Source, read_sources
from catalog.stores import Run
from counting import CLIENTS
from journey.command import bienmo
from portals import portal
from replay import RECORDED, replaying, whole

ALSO: Mapping[str, Mapping[str, Any]] = {"stac": {"items": False}, "oaipmh": {"prefix": "oai_datacite"}}
"""What clients would ask otherwise: collections are all that they count, and one form of metadata."""

MORE: Mapping[str, int] = {"schemaorg": 1}
"""Datasets that are read here and not by the client: JSON-LD in a CDATA section is no JSON to PyLD."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recorded portals, each on loopback, as one sources file says them: whole, without a box."""
    lines = []
    with ExitStack() as stack:
        for name in sorted(CLIENTS):
            (source,) = read_sources(RECORDED / name / "source.toml")
            running = stack.enter_context(portal(whole(replaying(RECORDED / name))))
            url = running.url + urlsplit(source.url).path
            said = {"id": name, "protocol": name, "url": url, **source.options, **ALSO.get(name, {})}
            lines += ["[[source]]", *(f"{key} = {json.dumps(value)}" for key, value in said.items())]
        path = tmp_path_factory.mktemp("all") / "sources.toml"
        path.write_text("\n".join(lines), "utf-8")
        yield path


@pytest.fixture(scope="module")
def sources(file: Path) -> Mapping[str, Source]:
    return {source.id: source for source in read_sources(file)}


@pytest.fixture(scope="module")
def runs(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """The report of one `bienmo harvest` over all of them."""
    home = tmp_path_factory.mktemp("home")
    environment = {"BIENMO_ALLOW_HOSTS": "127.0.0.1", "BIENMO_FETCH_TRIES": "1"}
    told = bienmo("harvest", "--sources", str(file), "--json", home=home, **environment).stdout
    ended = [event for event in map(json.loads, told.splitlines()) if event["event"] == "finished"]
    return {event["source"]: Run.model_validate(event["run"]) for event in ended}


def test_every_recorded_portal_is_harvested_whole(runs: Mapping[str, Run]) -> None:
    recorded = {folder.name for folder in RECORDED.iterdir() if (folder / "_index.json").is_file()}
    assert set(runs) == recorded
    assert {name: (run.state, run.note) for name, run in runs.items() if run.state != "complete"} == {}


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_the_counts_are_those_of_the_portals_own_client(
    name: str, runs: Mapping[str, Run], sources: Mapping[str, Source]
) -> None:
    """What was seen is what there is: each a record, or in the quarantine with a reason."""
    run, seen = runs[name], CLIENTS[name](sources[name])
    assert run.seen == seen.listed
    assert run.seen == run.counts.new + run.counts.quarantined
    assert run.counts.new > 0
    assert seen.read is None or seen.read + MORE.get(name, 0) == run.counts.new
