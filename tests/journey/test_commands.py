"""The command line as a user types it."""

import json

import pytest
import xarray as xr

from benchmarks.replaying import replaying
from journey.command import bienmo

SEA_LEVEL = "sample-cmems_sea_level_20190223_bien_dong"


@pytest.mark.parametrize(
    ("words", "path", "parameters"),
    [
        (("search", "nhiệt độ", "--json"), "/api/datasets", {"q": "nhiệt độ"}),
        (("search", "--bbox", "105.5,17,110,22", "--time", "2019/..", "--json"), "/api/datasets",
         {"bbox": "105.5,17,110,22", "time": "2019/.."}),
        (("show", SEA_LEVEL, "--json"), f"/api/datasets/{SEA_LEVEL}", {}),
        (("runs", "sample", "--json"), "/api/runs", {"source": "sample"}),
    ],
)  # fmt: skip
def test_json_is_what_the_api_answers(client, sample_home, words, path, parameters):
    printed = bienmo(*words, home=sample_home).stdout
    assert json.loads(printed) == client.get(path, params=parameters).json()
    assert printed.rstrip(b"\n") == client.get(path, params=parameters).content


def test_subset_writes_a_file(sample_home, tmp_path):
    got = tmp_path / "got.nc"
    bienmo(
        "subset",
        SEA_LEVEL,
        "--variables",
        "adt",
        "--bbox",
        "105.5,17,110,22",
        "-o",
        str(got),
        home=sample_home,
    )
    with xr.open_dataset(got) as dataset:
        assert dataset["adt"].size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["got.nc"]


def test_an_error_is_a_sentence_and_exit_1(sample_home, tmp_path):
    ran = bienmo(
        "subset",
        SEA_LEVEL,
        "--bbox",
        "-20,-40,-10,-30",
        "-o",
        str(tmp_path / "x.nc"),
        home=sample_home,
        check=False,
    )
    assert ran.returncode == 1
    assert b"outside-domain" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_usage_is_exit_2_and_an_unknown_source_exit_1(sample_home):
    assert bienmo("harvest", "--colour", home=sample_home, check=False).returncode == 2
    ran = bienmo("harvest", "none", home=sample_home, check=False)
    assert (ran.returncode, b"there is no source" in ran.stderr) == (1, True)


def harvested(*words, home):
    """The run that the last event of a harvest tells of."""
    return json.loads(bienmo("harvest", *words, "--json", home=home).stdout.splitlines()[-1])["run"]


def test_a_dry_run_keeps_nothing(tmp_path):
    assert harvested("sample", "--dry-run", home=tmp_path)["counts"]["new"] == 5
    assert json.loads(bienmo("search", "--json", home=tmp_path).stdout)["numberMatched"] == 0


def test_a_second_harvest_changes_nothing(tmp_path):
    first, second = (harvested("sample", home=tmp_path) for _ in range(2))
    assert (first["counts"]["new"], second["counts"]["new"], second["counts"]["unchanged"]) == (5, 0, 5)
    assert second["counts"]["changed"] == 0


def test_folders_of_the_user_are_harvested_by_a_sources_file(tmp_path, shared_sample):
    (tmp_path / "sources.toml").write_text(
        f'[[source]]\nid = "mine"\nprotocol = "files"\nurl = "{shared_sample}"\n', "utf-8"
    )
    home = tmp_path / "home"
    bienmo("harvest", "--sources", str(tmp_path / "sources.toml"), home=home)
    answer = json.loads(bienmo("search", "sea level", "--json", home=home).stdout)
    assert "mine-cmems_sea_level_20190223_bien_dong" in {item["id"] for item in answer["items"]}


@pytest.mark.parametrize(
    ("words", "environment", "code"),
    [
        (("subset", SEA_LEVEL, "-o", "/nonexistent/x.nc"), {}, b"system"),
        (("search",), {"BIENMO_READERS": "many"}, b"bad-setting"),
        (("show", "none"), {}, b"not-found"),
    ],
)
def test_what_goes_wrong_is_a_sentence_not_a_trace(sample_home, words, environment, code):
    ran = bienmo(*words, home=sample_home, check=False, **environment)
    assert ran.returncode == 1
    assert code in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_a_home_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    ran = bienmo("search", home=tmp_path / "file" / "home", check=False)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (1, False)


def test_a_harvest_has_nothing_in_memory_that_reads_data(tmp_path):
    """A portal's descriptions alone, and what follows a harvest: 170 MB fewer."""
    with replaying(400) as url:
        sources = tmp_path / "sources.toml"
        sources.write_text(f'[[source]]\nid = "portal"\nprotocol = "ckan"\nurl = "{url}"\n')
        ran = bienmo(
            "harvest",
            "--sources",
            str(sources),
            home=tmp_path / "home",
            BIENMO_ALLOW_HOSTS="127.0.0.1",
            PYTHONPROFILEIMPORTTIME="1",
        )
    lines = ran.stderr.decode().splitlines()
    brought = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {"ckanapi", "catalog.tying", "catalog.appraisals"} <= brought
    assert not {"numpy", "pandas", "xarray", "netCDF4", "h5py", "zarr", "pyarrow", "shapely"} & brought
