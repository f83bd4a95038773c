"""Random cuts of every sea over HTTP, a collection of forty files among them: statuses, headers, types and numbers."""

import csv
import io
import warnings

import numpy as np
import pytest
import xarray as xr
from fastapi.testclient import TestClient
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import judging
import oceans
import oracle
from asking import asked
from catalog import formats
from catalog.app import create_app
from catalog.data.workers import Workers
from catalog.search import parse
from catalog.service import open_catalog
from catalog.settings import Settings
from catalog.source import Source
from harvesters._run import harvest_source

SEED = 20_261_122
STATUS = {"outside-domain": 422, "bad-request": 400}


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    """A client of a catalog of every sea, and the seas by the ids of their records."""
    folder, home = tmp_path_factory.mktemp("seas"), tmp_path_factory.mktemp("home")
    known = {name: oceans.written(name, folder) for name in oceans.OCEANS}
    options = {"collections": [{"id": "days", "pattern": "days/*.nc"}]}
    source = Source(id="seas", protocol="files", url=str(folder), options=options)
    made = Settings(home=home, readers=1)
    with open_catalog(made) as catalog, Workers(1, seconds=60, memory=2_000_000_000, queue=8) as workers:
        run = harvest_source(source, catalog.store, made, workers=workers)
        assert (run.state, run.counts.quarantined) == ("complete", 0)
        records = catalog.search(parse({"limit": "100"})).items
        files = {record.distributions[0].address.partition(".")[0]: record.id for record in records}
        ids = {name: files[name] for name in known}
        with TestClient(create_app(catalog), raise_server_exceptions=False) as client:
            yield client, {name: (ids[name], known[name][0]) for name in known}, folder


def check_asked(client, record, ocean, wanted, folder):
    """The NetCDF of a request is what the oracle says; the CSV has the same status and as many rows."""
    parameters = wanted.parameters()
    answer = client.get(f"/api/datasets/{record}/subset.nc", params=parameters)
    rows = client.get(f"/api/datasets/{record}/subset.csv", params=parameters)
    if answer.status_code != 200:
        body = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["code"] in STATUS, body
        assert (answer.status_code, rows.status_code) == (STATUS[body["code"]],) * 2
        assert (body["code"], body["detail"]) == (rows.json()["code"], rows.json()["detail"])
        if not wanted.line:
            with pytest.raises(oracle.Refused, match=body["code"]):
                oracle.expected(ocean, wanted)
        return
    assert answer.headers["content-type"] == formats.named("nc").MEDIA_TYPE
    (folder / "answer.nc").write_bytes(answer.content)
    with xr.open_dataset(
        folder / "answer.nc", mask_and_scale=False, decode_times=False, decode_coords=False
    ) as file:
        got = file.load()
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # that all are missing
        judging.check(ocean, wanted, got)
    if not wanted.reduce:
        check_notes(answer, got, wanted.names or ocean.data)
    if rows.status_code == 200:
        assert rows.headers["content-type"].startswith("text/csv")
        assert len(list(csv.DictReader(io.StringIO(rows.text)))) > 0
        assert rows.headers.get("bienmo-notes") == answer.headers.get("bienmo-notes")
    else:
        assert (rows.status_code, rows.json()["code"]) == (422, "not-subsettable")


def check_notes(answer, got, names):
    """An answer without any value says so; flags are none."""
    names = [name for name in names if name in got and "flag_values" not in got[name].attrs]
    empty = all(np.isnan(oracle.decoded(got[name].variable)).all() for name in names)
    notes = answer.headers.get("bienmo-notes", "")
    assert ("masked" in notes or "no value" in notes) == empty or not notes, notes
    if empty and all(got[name].size for name in names):
        assert notes


@settings(max_examples=25)
@given(data=st.data())
def test_cuts_over_http_are_the_source_s(asking, data):
    client, seas, folder = asking
    record, ocean = seas[data.draw(st.sampled_from(sorted(seas)))]
    check_asked(client, record, ocean, data.draw(asked(ocean)), folder)


@settings(max_examples=8)
@given(data=st.data())
def test_cuts_of_forty_daily_files_are_those_of_one_sea(asking, data):
    client, seas, folder = asking
    check_asked(client, *seas["days"], data.draw(asked(seas["days"][1])), folder)


@pytest.mark.slow
@seed(SEED)
@settings(max_examples=500)
@given(data=st.data())
def test_five_hundred_cuts_over_http_are_the_source_s(asking, data):
    """500 requests of all seas, drawn with the seed 20261122."""
    client, seas, folder = asking
    record, ocean = seas[data.draw(st.sampled_from(sorted(seas)))]
    check_asked(client, record, ocean, data.draw(asked(ocean)), folder)


@pytest.mark.slow
@seed(SEED)
@settings(max_examples=100)
@given(data=st.data())
def test_a_hundred_cuts_of_forty_daily_files_are_those_of_one_sea(asking, data):
    """100 requests, drawn with the seed 20261122."""
    client, seas, folder = asking
    check_asked(client, *seas["days"], data.draw(asked(seas["days"][1])), folder)
