"""One request through both ways of reading, and whether two answers differ in anything at all."""

import contextlib

import numpy as np

from catalog.data import chunks, opening, subset
from catalog.data.grids import Grid
from catalog.errors import CatalogError
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)


@contextlib.contextmanager
def both(path):
    """A file through its chunk index, and as a worker opens it."""
    way = Distribution(protocol="zarr" if path.is_dir() else "file", address=str(path))
    known = chunks.load(b"".join(chunks.index(str(path))))
    assert not known.uncovered
    with (
        chunks.opened(str(path), known, chunks.Decoded(1 << 20)) as fast,
        opening.opened(way, opening.Reach()) as slow,
    ):
        yield Grid(fast), slow


def cut(source, request):
    """The loaded answer and its notes, or the error."""
    try:
        got = subset.cut(source, request, "id", LIMITS)
        return got.load(), got.encoding["notes"]
    except CatalogError as error:
        return type(error), error.message, error.hint, error.details


def plain(attributes):
    """Attributes without the history's last time."""
    said = dict(attributes)
    if "history" in said:
        *before, last = said["history"].splitlines()
        said["history"] = [*before, last.partition(" ")[2]]
    return said


def check_same(one, other):
    """Two answers are identical: names, order, dimensions, types, bits, attributes and notes."""
    if isinstance(one[0], type) or isinstance(other[0], type):
        assert one == other
        return
    (one, notes), (other, others) = one, other
    assert list(one.variables) == list(other.variables)
    assert dict(one.sizes) == dict(other.sizes)
    assert set(one.coords) == set(other.coords)
    assert notes == others
    check_attributes(plain(one.attrs), plain(other.attrs))
    for name, variable in one.variables.items():
        check_variable(name, variable, other.variables[name])


def check_variable(name, variable, wanted):
    assert (variable.dims, variable.dtype) == (wanted.dims, wanted.dtype), name
    values, others = variable.values, wanted.values
    if values.dtype.kind == "O":
        assert values.tolist() == others.tolist(), name
    else:
        assert np.ascontiguousarray(values).tobytes() == np.ascontiguousarray(others).tobytes(), name
    check_attributes(variable.attrs, wanted.attrs)


def check_attributes(one, other):
    assert list(one) == list(other)
    for key, value in one.items():
        assert type(value) is type(other[key]), key
        np.testing.assert_array_equal(value, other[key], err_msg=str(key))
