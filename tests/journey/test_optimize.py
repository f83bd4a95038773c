"""The command that keeps twins, as an operator types it, and what the server makes of them."""

import netCDF4
import numpy as np
import pytest
from typer.testing import CliRunner

from catalog.__main__ import app
from catalog.data import subset
from catalog.errors import BadRequest
from catalog.service import open_catalog
from catalog.settings import Settings
from journey.command import bienmo

ONE, MANY = "ours-maps", "ours-daily"
SERIES = {"variables": "sst", "coords": "POINT(130.3 2.8)"}


def write(path, times, cells):
    with netCDF4.Dataset(path, "w") as file:
        for name, numbers, units in (
            ("time", times, "days since 2020-01-01"),
            ("lat", np.linspace(-30, 30, cells), "degrees_north"),
            ("lon", np.linspace(100, 160, cells), "degrees_east"),
        ):
            file.createDimension(name, len(numbers))
            made = file.createVariable(name, "f8", (name,))
            made.units = units
            made[:] = numbers
        made = file.createVariable(
            "sst", "i2", ("time", "lat", "lon"), zlib=True, chunksizes=(1, cells, cells), fill_value=-9
        )
        made.scale_factor = 0.01
        made.set_auto_maskandscale(False)
        for step, time in enumerate(times):
            made[step] = (np.arange(cells * cells).reshape(cells, cells) * (time + 3)) % 9973


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder, home = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("home")
    write(folder / "maps.nc", np.arange(500.0), 120)
    (folder / "daily").mkdir()
    for day in range(40):
        write(folder / "daily" / f"{day:02}.nc", np.array([float(day)]), 300)
    (home / "sources.toml").write_text(
        f'[[source]]\nid = "ours"\nprotocol = "files"\nurl = "{folder}"\n'
        '[[source.collections]]\nid = "daily"\npattern = "daily/*.nc"\n'
    )
    bienmo("harvest", home=home)
    return home


def optimize(home, *words):
    """What the command tells."""
    ran = CliRunner().invoke(app, ["optimize", *words, "--home", str(home)])
    if ran.exception is not None:
        raise ran.exception
    return ran.stderr


def cut(home, record_id, suffix):
    with open_catalog(Settings(home=home)) as catalog:
        return b"".join(catalog.subset(record_id, subset.parse(SERIES), suffix).pieces())


def numbers(data):
    with netCDF4.Dataset("x", memory=data) as file:
        return file["sst"][:].tobytes()


@pytest.mark.parametrize("record_id", [ONE, MANY])
def test_a_twin_is_planned_made_checked_used_and_dropped(home, record_id):
    before = cut(home, record_id, "csv"), cut(home, record_id, "nc")
    planned = optimize(home, record_id, "--dry-run")
    assert "a series at a point inflates" in planned
    assert not list((home / "twins").glob("[!.]*"))
    made = optimize(home, record_id)
    assert "made a twin of" in made
    assert "every value was compared with the source" in made
    with open_catalog(Settings(home=home)) as catalog:
        found = catalog.estimate(record_id, subset.parse(SERIES), "csv")
    assert found.decoded_bytes < 1_100_000
    assert cut(home, record_id, "csv") == before[0]
    assert numbers(cut(home, record_id, "nc")) == numbers(before[1])  # a worker's answer
    assert "equals it" in optimize(home, record_id)
    assert "is removed" in optimize(home, record_id, "--drop")
    assert "has no twin" in optimize(home, record_id, "--drop")
    assert not list((home / "twins").glob("[!.]*"))


def test_auto_makes_twins_of_what_is_asked_for_as_series(home):
    (home / "tallies").unlink(missing_ok=True)
    assert "no dataset" in optimize(home, "--auto")
    with open_catalog(Settings(home=home)) as catalog:
        for suffix in ("csv", "nc", "dods", "covjson", "csv"):
            b"".join(catalog.subset(ONE, subset.parse(SERIES), suffix).pieces())
        for _ in range(50):  # maps are what the source is made for
            b"".join(catalog.subset(MANY, subset.parse({"time": "2020-01-05"}), "nc3").pieces())
    told = optimize(home, "--auto", "--dry-run")
    assert f"{ONE}: sst in chunks of 1 × 120 × 120; in a twin of" in told
    assert MANY not in told
    assert "made a twin" in bienmo("optimize", "--auto", home=home).stderr.decode()  # as cron does
    assert "no dataset" in optimize(home, "--auto")
    optimize(home, ONE, "--drop")


@pytest.mark.parametrize("words", [(), (ONE, "--auto"), (ONE, "--drop", "--dry-run"), ("--auto", "--drop")])
def test_words_that_do_not_fit_are_told(home, words):
    with pytest.raises(BadRequest, match="say a dataset or --auto"):
        optimize(home, *words)
