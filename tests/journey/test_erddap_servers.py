"""ERDDAP servers as they are: they pass on each other's datasets, refuse strangers, and keep lists to themselves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import Unreachable
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores.memory import open_store
from harvesters import erddap
from harvesters._run import harvest_all
from portals import Answering, Asked, answer, portal
from replay import asking

SOURCE = Source(id="server", protocol="erddap", url="https://data.example/erddap")
INFO = ["Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"]


def table(columns: list[str], rows: list[list[Any]]) -> bytes:
    return answer(json.dumps({"table": {"columnNames": columns, "rows": rows}}).encode())


def server(datasets: Mapping[str, Mapping[str, str]], lists: Mapping[str, bytes] | None = None) -> Answering:
    """A server of datasets with their `sourceUrl` and `infoUrl`; `lists` has other answers to some paths."""

    def answering(asked: Asked) -> list[bytes]:
        here = f"http://{asked.headers['host']}/erddap"
        if lists and (given := lists.get(asked.path.removeprefix("/erddap/"))):
            return [given]
        columns = ["datasetID", "class", "griddap", "sourceUrl", "infoUrl"]
        if asked.path == "/erddap/tabledap/allDatasets.json":
            rows = [
                [name, "EDDGridFromErddap", f"{here}/griddap/{name}"]
                + [said.get(key, "").replace("{here}", here) for key in columns[3:]]
                for name, said in datasets.items()
            ]
            return [table(columns, rows)]
        if asked.path == "/erddap/info/index.json":
            return [table(["Dataset ID", "Title"], [[name, name] for name in ["allDatasets", *datasets]])]
        return [table(INFO, [["attribute", "NC_GLOBAL", "title", "String", asked.path.split("/")[3]]])]

    return answering


def listed(answering: Answering, home: Path) -> dict[str, Record]:
    with asking(SOURCE, answering, home) as (near, fetch):
        documents = list(erddap.harvest(near, fetch))
    return {document.native_id: erddap.read(document) for document in documents}


def origins(record: Record) -> list[str]:
    return [way.address for way in record.distributions if way.title == "Origin"]


def test_a_dataset_that_is_passed_on_keeps_its_id_and_says_where_it_comes_from(tmp_path: Path) -> None:
    found = listed(
        server(
            {
                "mirror_sst": {"sourceUrl": "https://home.example/erddap/griddap/sst"},
                "mirror_info": {"infoUrl": "https://home.example/erddap/info/buoys/index.html"},
                "own": {"sourceUrl": "(local files)", "infoUrl": "https://home.example/about"},
                "itself": {"sourceUrl": "{here}/griddap/itself"},
                "alias": {"sourceUrl": "{here}/griddap/own"},
            }
        ),
        tmp_path,
    )
    assert list(found) == ["alias", "itself", "mirror_info", "mirror_sst", "own"]
    assert origins(found["mirror_sst"]) == ["https://home.example/erddap/griddap/sst"]
    assert origins(found["mirror_info"]) == ["https://home.example/erddap/griddap/buoys"]
    assert (origins(found["own"]), origins(found["itself"])) == ([], [])
    assert [address.rpartition("/")[2] for address in origins(found["alias"])] == ["own"]
    told = [name for name, record in found.items() if "federated" in {note.code for note in record.quality}]
    assert told == ["alias", "mirror_info", "mirror_sst"]
    assert (
        found["mirror_sst"].distributions[0].address.endswith("/erddap/griddap/mirror_sst")
    )  # its own comes first


def test_servers_that_pass_on_each_other_are_each_harvested_once(tmp_path: Path) -> None:
    """Federation in a circle: nothing is followed, and each dataset's way leads to the other server."""
    addresses: dict[str, str] = {}
    datasets: dict[str, dict[str, dict[str, str]]] = {name: {"sst": {}} for name in ("east", "west")}
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    store = open_store(tmp_path)
    with portal(server(datasets["east"])) as east, portal(server(datasets["west"])) as west:
        for name, running, other in (("east", east, west), ("west", west, east)):
            addresses[name] = f"{running.url}/erddap"
            datasets[name]["sst"]["sourceUrl"] = f"{other.url}/erddap/griddap/sst"
        sources = [Source(id=name, protocol="erddap", url=url) for name, url in addresses.items()]
        runs = harvest_all(sources, store, settings, workers=None)
        assert [(run.state, run.seen) for run in runs] == [("complete", 1)] * 2
        assert len(east.asked) == len(west.asked) == 2
    assert origins(store.get("east-sst")) == [f"{addresses['west']}/griddap/sst"]
    assert origins(store.get("west-sst")) == [f"{addresses['east']}/griddap/sst"]


LISTS = {
    "missing": answer(b"", 404),
    "refused": answer(b"", 403),
    "broken": answer(b"", 500),
    "a page for people": answer(b"<html>Currently unknown datasetID</html>"),
}


@pytest.mark.parametrize("state", LISTS)
def test_a_list_that_is_missing_or_refused_stands_in_the_info_page(state: str, tmp_path: Path) -> None:
    hidden = {"tabledap/allDatasets.json": LISTS[state]}
    assert list(listed(server({"a": {}, "b": {}}, hidden), tmp_path)) == ["a", "b"]
    with pytest.raises(Unreachable):
        listed(server({"a": {}}, {**hidden, "info/index.json": LISTS[state]}), tmp_path)


def test_a_server_that_refuses_whoever_does_not_say_who_asks(tmp_path: Path) -> None:
    """403 without a User-Agent, or with that of a library; ours says who asks, and where to find us."""
    well, agents = server({"a": {}}), set[str]()

    def picky(asked: Asked) -> list[bytes]:
        agent = asked.headers.get("user-agent", "")
        agents.add(agent)
        named = agent and not agent.lower().startswith(("python", "urllib", "java", "curl"))
        return list(well(asked)) if named else [answer(b"", 403)]  # type: ignore[arg-type]

    assert list(listed(picky, tmp_path)) == ["a"]
    assert len(agents) == 1
    assert "bienmo" in agents.pop().lower()
