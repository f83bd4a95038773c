"""Our own NetCDF-4 is what netCDF-C would have written, whatever the dataset, and every reader takes it."""

import importlib.util
import unicodedata

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

import libnetcdf
from catalog import formats
from catalog.data import hdf
from catalog.errors import NotSubsettable
from catalog.formats import _hdf5heap, netcdf

NUMBERS = ("i1", "u1", "<i2", ">i2", "u2", "<i4", ">i4", "u4", "i8", ">i8", "u8", "<f4", ">f4", "f8", ">f8")
LETTERS = "abXYZ0189_ĐệøĀ海é.-+@( "
ENGINES = ["netcdf4", *(["h5netcdf"] if importlib.util.find_spec("h5netcdf") else [])]


@st.composite
def labels(draw):
    """A name that netCDF-C takes."""
    rest = draw(st.text(LETTERS, max_size=12)).rstrip(" ")
    return unicodedata.normalize("NFC", draw(st.sampled_from("abXY09_Đệ海")) + rest)


TEXTS = st.text("aB \n\té=ệ海😀\"'", max_size=9)


def numbers(shape):
    return st.sampled_from(NUMBERS).flatmap(lambda kind: hn.arrays(np.dtype(kind), shape))


def values():
    """An attribute's: text, texts, a number, a row of numbers, also of none."""
    one = numbers(()).map(lambda found: found.astype(found.dtype.newbyteorder("="))[()])
    return st.one_of(TEXTS, st.lists(TEXTS, min_size=2, max_size=3), one, st.integers(0, 4).flatmap(numbers))


@st.composite
def variables(draw, sizes):
    dims = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), max_size=4, unique=True))) if sizes else ()
    shape = tuple(sizes[d] for d in dims)
    attributes = draw(st.dictionaries(labels(), values(), max_size=4))
    if draw(st.integers(0, 4)) == 0:
        raw = draw(hn.arrays(object, shape, elements=TEXTS | st.none()))
    elif draw(st.integers(0, 9)) == 0:
        raw = draw(hn.arrays(bool, shape))
    else:
        raw = draw(numbers(shape))
        if draw(st.booleans()):
            attributes["_FillValue"] = draw(hn.arrays(raw.dtype, ())).astype(raw.dtype.newbyteorder("="))[()]
    return xr.Variable(dims, raw, attributes)


@st.composite
def datasets(draw):
    """Any dimensions, some empty or without a variable; any variables, some with the name of a dimension."""
    sizes = draw(st.dictionaries(labels(), st.integers(0, 4), max_size=4))
    called = labels() | st.sampled_from(sorted(sizes)) if sizes else labels()
    found = draw(st.dictionaries(called, variables(sizes), max_size=5))
    found = {name: variable for name, variable in found.items() if name not in sizes or variable.ndim}
    coordinates = {name: variable for name, variable in found.items() if name in sizes}
    attributes = draw(st.dictionaries(labels(), values(), max_size=4))
    rest = {name: variable for name, variable in found.items() if name not in sizes}
    return xr.Dataset(rest, xr.Coordinates(coordinates, indexes={}), attributes)


def written(dataset, path):
    content = b"".join(netcdf.write(dataset))
    assert len(content) == formats.length(netcdf, dataset)
    path.write_bytes(content)
    return path


@given(dataset=datasets())
def test_a_file_is_what_netcdf_c_writes(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    ours, theirs = written(dataset, folder / "ours.nc"), folder / "theirs.nc"
    libnetcdf.write(dataset, theirs)
    assert libnetcdf.read(ours) == libnetcdf.read(theirs)
    assert libnetcdf.read_hdf(ours) == libnetcdf.read_hdf(theirs)


@given(dataset=datasets())
@pytest.mark.parametrize("engine", ENGINES)
def test_xarray_reads_the_same_dataset(engine, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twice")
    libnetcdf.write(dataset, folder / "theirs.nc")
    options = {"engine": engine, "decode_cf": False}
    with (
        xr.open_dataset(written(dataset, folder / "ours.nc"), **options) as ours,
        xr.open_dataset(folder / "theirs.nc", **options) as theirs,
    ):
        assert list(ours.variables) == list(theirs.variables)
        xr.testing.assert_identical(ours, theirs)


@given(dataset=datasets())
def test_the_chunk_index_finds_the_numbers(dataset, tmp_path_factory):
    path = written(dataset, tmp_path_factory.mktemp("found") / "ours.nc")
    content = path.read_bytes()
    with hdf.finder(str(path)) as find:
        for name, variable in dataset.variables.items():
            stored = find(name)
            if variable.dtype.kind == "O" or not variable.size:
                continue
            raw = np.frombuffer(content, stored.dtype, variable.size, stored.layout.offset)
            wanted = np.ascontiguousarray(variable.values, variable.dtype.newbyteorder("<"))
            assert raw.tobytes() == wanted.tobytes()


def series(**attributes):
    return xr.Dataset({"v": ("x", np.arange(3.0), attributes)}, {"x": ("x", np.arange(3))}, attributes)


LONG = {
    "ascii": "z" * 65_536,
    "text": "Biển Đông " * 9_000,
    "texts": [f"Trạm {n}" for n in range(5_000)],
    "numbers": np.arange(100_000, dtype="i8"),
}


@pytest.mark.parametrize("more", [0, 700])
@pytest.mark.parametrize("long", [*[(key,) for key in LONG], tuple(LONG)])
def test_attributes_larger_than_a_header_holds_are_kept(long, more, tmp_path):
    """They lie in a heap of their own, found by name by a tree, and by number."""
    some = {f"n{n}": np.int16(n) for n in range(more)}
    dataset = series(title="short", **some, **{key: LONG[key] for key in long}, end="last")
    ours, theirs = written(dataset, tmp_path / "ours.nc"), tmp_path / "theirs.nc"
    libnetcdf.write(dataset, theirs)
    assert libnetcdf.read(ours) == libnetcdf.read(theirs)
    assert libnetcdf.read_hdf(ours) == libnetcdf.read_hdf(theirs)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_attributes_about_as_large_as_a_header_holds_are_kept(more, tmp_path):
    text = "x" * (65_535 - 23 + more)  # the message's head and the name
    path = written(series(c=text), tmp_path / "ours.nc")
    with h5py.File(path) as file, netCDF4.Dataset(path) as again:
        assert file.attrs["c"].decode() == file["v"].attrs["c"].decode() == again.c == again["v"].c == text


def test_an_attribute_of_more_than_16_megabytes_is_refused(tmp_path):
    most = (1 << 24) - 256 - 20  # the message's head and the name
    written(series(c="x" * (most - 20)), tmp_path / "ours.nc")
    assert len(libnetcdf.read(tmp_path / "ours.nc")["attributes"][0][1]) == most - 20
    with pytest.raises(NotSubsettable, match="16 MB"):
        list(netcdf.write(series(c="x" * most)))


def test_a_dimension_of_thousands_of_variables_knows_them_all(tmp_path):
    names = [f"v{n}" for n in range(5_000)]
    path = written(xr.Dataset({name: ("x", [1]) for name in names}, {"x": [2]}), tmp_path / "ours.nc")
    with h5py.File(path) as file:
        uses = file["x"].attrs["REFERENCE_LIST"]
        assert all(file[reference] == file[name] for (reference, _), name in zip(uses, names, strict=True))
    assert [found[0] for found in libnetcdf.read(path)["variables"]] == [*names, "x"]


@pytest.mark.parametrize("most", [20, 4_096, 1 << 18])
def test_texts_of_many_collections_are_the_same(most, tmp_path, monkeypatch):
    monkeypatch.setattr(_hdf5heap, "_MOST", most)
    rng = np.random.default_rng(0)
    texts = np.array(["é" * int(n) for n in rng.integers(0, 40, 70_000 if most == 1 << 18 else 700)], object)
    texts[5] = "x" * (most + 50)
    dataset = xr.Dataset(
        {"t": ("x", texts), "n": ("x", np.arange(texts.size))}, {}, {"l": ["ê", *texts[:50]]}
    )
    path = written(dataset, tmp_path / "ours.nc")
    with netCDF4.Dataset(path) as file:
        assert file["t"][:].tolist() == texts.tolist()
        assert file.l == dataset.l
        np.testing.assert_array_equal(file["n"][:], dataset.n)


def test_netcdf_c_goes_on_writing_a_file(tmp_path):
    """What is there is consistent enough for libhdf5 to change it."""
    dataset = series(title="made", long="z" * 70_000).assign(
        t=(("e", "x"), np.zeros((0, 3), "i2")), s=("x", np.array(["a", "", "é"], object))
    )
    path = written(dataset, tmp_path / "ours.nc")
    with netCDF4.Dataset(path, "a") as file:
        for n in range(40):
            file.setncattr(f"a{n}", "é" * n)
            file["v"].setncattr(f"a{n}", n)
            file["s"].setncattr(f"a{n}", n)
            file.createVariable(f"new{n}", "f4", ("x",))[:] = n
        file.title, file["v"].title = "changed", "longer" * 9
        file["t"][:] = np.arange(6).reshape(2, 3)
        file["s"][1] = "text"
        file.renameVariable("v", "renamed")
    with netCDF4.Dataset(path) as file:
        assert (file.title, file.a39, file["renamed"].title) == ("changed", "é" * 39, "longer" * 9)
        assert [file["renamed"].getncattr(f"a{n}") for n in range(40)] == list(range(40))
        assert file["renamed"].long == "z" * 70_000
        np.testing.assert_array_equal(file["renamed"][:], np.arange(3.0))
        np.testing.assert_array_equal(file["t"][:], np.arange(6).reshape(2, 3))
        assert file["s"][:].tolist() == ["a", "text", "é"]
        np.testing.assert_array_equal(file["new39"][:], [39] * 3)


def test_what_netcdf_c_refuses_is_made_legal_or_refused(tmp_path):
    attributes = {
        "a/b": "slash", "-": True, "": np.float16(0.1), "x" * 300: None, "nested": [[1], [2, 3]], "map": {"a": 1},
        "flags": np.array([[True, False]]), "long": np.longdouble(0.5), "big": 1 << 70,
        "CLASS": "hidden",
    }  # fmt: skip
    half = ("+x", np.array([0.1, np.nan], "f2"), {"_FillValue": np.float16(0.1), **attributes})
    odd = xr.Dataset({"a/b": half, "ends ": ("+x", [1, 2], {"_FillValue": "none"})}, {}, {"_nc3_strict": 1})
    with netCDF4.Dataset(written(odd, tmp_path / "ours.nc")) as file:
        file.set_auto_maskandscale(False)
        assert list(file.variables) == ["a_b", "ends"]
        got = file["a_b"]
        assert got.dimensions == ("_+x",)
        assert (got.dtype, got.source_type) == (np.float32, "float16")
        np.testing.assert_array_equal(got[:], odd["a/b"].values.astype("f4"))
        assert (got._FillValue, got.getncattr("_")) == (np.float32(np.float16(0.1)),) * 2
        told = {name: got.getncattr(name) for name in got.ncattrs()}
        assert (told["a_b"], told["_-"], told["x" * 241]) == ("slash", 1, "")
        assert (told["nested"], told["map"]) == ("[[1], [2, 3]]", "{'a': 1}")
        assert (told["flags"].tolist(), told["long"], told["big"]) == ([1, 0], 0.5, str(1 << 70))
        assert "CLASS" not in told
        assert "_FillValue" not in file["ends"].ncattrs()
        assert file.data_model == "NETCDF4"
    for refused, reason in (
        (odd.assign({"a_b": ("+x", [1, 2])}), "same name"),
        (xr.Dataset({"c": ("x", [1j])}), "complex128"),
        (xr.Dataset(attrs={f"n{n}": 1 for n in range(1 << 16)}), "attributes"),
        (xr.Dataset({"c": ([f"d{n}" for n in range(33)], np.zeros((1,) * 33))}), "33 dimensions"),
    ):
        with pytest.raises(NotSubsettable, match=reason):
            list(netcdf.write(refused))


def test_a_dimension_may_be_there_twice_and_groups_are_told(tmp_path):
    square = xr.Variable(("x", "y"), np.eye(2, dtype="i2"))
    square._dims = ("x", "x")
    dataset = xr.Dataset({"x": ("x", [5, 6])})
    dataset._variables = {**dataset._variables, "c": square}
    dataset.encoding["groups"] = ("forecast",)
    with netCDF4.Dataset(written(dataset, tmp_path / "ours.nc")) as file:
        assert file["c"].dimensions == ("x", "x")
        np.testing.assert_array_equal(file["c"][:], np.eye(2))
        assert "forecast" in file.comment
