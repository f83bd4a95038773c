"""A stranger's file gives away neither other files nor the folders of the server, whatever its name."""

import os
import shutil

import h5py
import netCDF4
import numpy as np
import orjson
import pytest
import xarray as xr

from catalog import formats
from catalog.data import contained, opening, places, subset
from catalog.data.workers import Workers
from catalog.errors import CatalogError, DataUnreadable
from catalog.record import Distribution

SECRET = b"the operator's own secret, forty bytes.."
LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)


@pytest.fixture(scope="module")
def workers():
    with Workers(1, seconds=20, memory=500_000_000, queue=0) as pool:
        yield pool


def cut(path, protocol="file"):
    way = Distribution(protocol=protocol, address=places.address(path))
    with opening.opened(way, opening.Reach()) as dataset:
        yield from formats.named("nc").write(subset.cut(dataset, subset.Cut(), "some-id", LIMITS))


def external(file, secret):
    file.create_dataset("x", (40,), "u1", external=[(str(secret), 0, 40)])


def deep_external(file, secret):
    external(file.create_group("a/b/c"), secret)


def virtual(file, secret):
    layout = h5py.VirtualLayout((40,), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "x", (40,))
    file.create_virtual_dataset("x", layout)


def external_link(file, secret):
    file["x"] = h5py.ExternalLink(str(secret), "/x")


def link_in_a_cycle(file, secret):
    group = file.create_group("a")
    group["back"] = file["/"]
    group["x"] = h5py.ExternalLink(str(secret), "/x")


@pytest.mark.parametrize("trick", [external, deep_external, virtual, external_link, link_in_a_cycle])
@pytest.mark.parametrize("form", ["hdf5", "netcdf4"])
def test_an_hdf5_file_that_points_to_another_is_refused(tmp_path, trick, form):
    secret, path = tmp_path / "secret.h5", tmp_path / "stranger.nc"
    with h5py.File(secret, "w", userblock_size=512) as file:
        file["x"] = np.frombuffer(SECRET, "u1")
    if form == "netcdf4":
        with netCDF4.Dataset(path, "w") as made:
            made.createDimension("n", 40)
            made.createVariable("good", "u1", ("n",))[:] = 1
    with h5py.File(path, "a") as file:
        trick(file, secret)
    with pytest.raises(DataUnreadable, match="points to other files"):
        opening.describe(str(path))
    with pytest.raises(DataUnreadable, match="points to other files"):
        list(cut(path))


def test_soft_links_and_cycles_within_the_file_are_read(tmp_path):
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
        file["y"] = h5py.SoftLink("/x")
        file.create_group("a")["back"] = file["/"]
    contained.check_hdf5(path)


def test_a_file_with_too_many_objects_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(contained, "MOST_OBJECTS", 10)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(11):
            file.create_group(str(number))
    with pytest.raises(DataUnreadable, match="more than 10 objects"):
        contained.check_hdf5(tmp_path / "many.h5")


@pytest.mark.parametrize("linked", ["chunk", "folder"])
def test_a_zarr_store_with_a_link_is_refused(tmp_path, linked):
    folder, secret = tmp_path / "stranger.zarr", tmp_path / "secret"
    secret.write_bytes(SECRET)
    xr.Dataset({"x": ("n", np.ones(40, "u1"))}).to_zarr(
        folder, zarr_format=2, consolidated=False, encoding={"x": {"compressors": None}}
    )
    if linked == "chunk":
        (folder / "x/0").unlink()
        (folder / "x/0").symlink_to(secret)
    else:
        shutil.move(folder / "x", tmp_path / "x")
        (folder / "x").symlink_to(tmp_path / "x")
    for reading in (lambda: opening.describe(str(folder)), lambda: list(cut(folder, "zarr"))):
        with pytest.raises(DataUnreadable, match="points to other files"):
            reading()


def broken(folder):
    """Files of every form that cannot be read, or only in part."""
    whole = folder / "whole.nc"
    with netCDF4.Dataset(whole, "w") as file:
        for name in ("lat", "lon", "v"):
            if name != "v":
                file.createDimension(name, 100)
            dimensions = (name,) if name != "v" else ("lat", "lon")
            file.createVariable(name, "f8", dimensions, zlib=True).units = "degrees_north"
            file[name][:] = np.random.default_rng(1).random([100] * len(dimensions))
    content = whole.read_bytes()
    (folder / "cut.nc").write_bytes(content[: len(content) // 2])
    (folder / "damaged.nc").write_bytes(content[:-40_000] + b"\xff" * 30_000 + content[-10_000:])
    (folder / "empty.nc").write_bytes(b"\x89HDF\r\n\x1a\n")
    (folder / "classic.nc").write_bytes(b"CDF\x01" + b"\xff" * 90)
    for name, text in (("zgroup.zarr", "{"), ("zempty.zarr", '{"zarr_format": 9}')):
        (folder / name).mkdir()
        (folder / name / ".zgroup").write_text(text)
    (folder / "array.zarr").mkdir()
    (folder / "array.zarr/.zarray").write_text("{}")
    whole.unlink()
    return sorted(folder.iterdir())


def test_no_reason_tells_a_folder(workers, tmp_path):
    folder = tmp_path / "the operator's" / "höme"
    folder.mkdir(parents=True)
    for path in broken(folder):
        protocol = "zarr" if path.is_dir() else "file"
        said = []
        try:
            said.append(str({**workers.run(opening.describe, str(path)), "file": None}))
        except CatalogError as error:
            said += [error.message, error.hint, str(error.details)]
        with pytest.raises(CatalogError) as caught:
            workers.spool(cut, path, protocol)
        said += [caught.value.message, caught.value.hint, str(caught.value.details)]
        for text in said:
            assert "operator" not in text, path.name
            assert tmp_path.name not in text, path.name


@pytest.mark.parametrize(
    "form", ["{}", "file://{}", "LocalStore('file://{}')", "[Errno -101] HDF: '{}'", "{}/x/0.0"]
)
def test_every_way_to_write_a_path_becomes_the_name(tmp_path, form):
    path = tmp_path / "a.nc"
    assert places.untold(form.format(path), path) in {
        form.format("a.nc"),
        form.format("a.nc").replace("file://", ""),
    }
    assert places.untold(f"no {tmp_path} and {tmp_path.as_uri()}/other.nc", path) == "no  and other.nc"
    assert places.untold("units are m/a.nc, 1/2", path) == "units are m/a.nc, 1/2"


@pytest.mark.parametrize("name", [b"x\xeat.nc", b"two\nlines.nc", b" spaces .nc ", "biển.nc".encode()])
@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC", "zarr"])
def test_a_file_of_any_name_is_described_and_cut(workers, tmp_path, name, kind):
    made, path = tmp_path / "made", tmp_path / os.fsdecode(name)
    data = xr.Dataset({"sst": ("n", np.arange(4.0))})
    if kind == "zarr":
        data.to_zarr(made, consolidated=False)
    else:
        data.to_netcdf(made, format=kind)
    made.rename(path)
    header = workers.run(opening.describe, str(path))
    assert orjson.loads(orjson.dumps(header)) == header
    address = header["file"]["path"]
    assert places.place(address) == path
    assert address.isprintable()
    with workers.spool(cut, path, "zarr" if kind == "zarr" else "file") as spool:
        assert spool.size
    if kind != "zarr":
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DataUnreadable) as caught:
            workers.run(opening.describe, str(path))
        assert orjson.dumps(caught.value.message)
