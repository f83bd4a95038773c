"""Every cut is the source's: through the chunk index, through xarray, and by an oracle of numpy that knows no axes."""

import contextlib
import functools
import warnings

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import judging
import oceans
import oracle
from asking import asked
from catalog.data import subset
from catalog.errors import BadRequest, OutsideDomain
from journey.differing import both, check_same, cut

SEED = 20_261_122
EACH = 100
"""Requests of each of the 25 seas in the slow form: 2,500 in all."""


@pytest.fixture(scope="module", params=[name for name in oceans.OCEANS if name != "days"])
def sea(request, tmp_path_factory):
    """What was written, and the same file opened through its chunk index and as a worker opens it."""
    ocean, path = oceans.written(request.param, tmp_path_factory.mktemp("seas"))
    with both(path) as (fast, slow):
        yield ocean, fast, slow


def check_request(ocean, fast, slow, wanted):
    """One request through both ways, and against the oracle."""
    request = subset.parse(wanted.parameters())
    first, second = cut(fast, request), cut(slow, request)
    check_same(first, second)
    check_answer(ocean, wanted, first)


def check_answer(ocean, wanted, answer):
    if isinstance(answer[0], type):
        error, message, *_ = answer
        if wanted.line:
            assert error.code == "outside-domain", message
            return
        with pytest.raises(oracle.Refused, match=error.code):
            oracle.expected(ocean, wanted)
        return
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # that all are missing
        judging.check(ocean, wanted, answer[0])


@settings(max_examples=5)
@given(data=st.data())
def test_a_cut_is_the_source_s_through_both_ways(sea, data):
    check_request(*sea, data.draw(asked(sea[0])))


@pytest.mark.slow
@seed(SEED)
@settings(max_examples=EACH)
@given(data=st.data())
def test_a_hundred_cuts_of_each_sea_are_the_source_s_through_both_ways(sea, data):
    """100 requests of each of 25 seas, 2,500 in all, drawn with the seed 20261122."""
    check_request(*sea, data.draw(asked(sea[0])))


@pytest.fixture
def opened(tmp_path):
    """A sea by its name, opened through its chunk index."""
    with contextlib.ExitStack() as files:
        yield functools.cache(lambda name: files.enter_context(both(oceans.written(name, tmp_path)[1]))[0])


def ask(source, **parameters):
    return cut(source, subset.parse(parameters))


def test_a_point_and_a_time_along_the_same_dimension_must_both_hold(opened):
    """Along a track the time of the nearest position is what it is: another time is refused, not passed over."""
    track = opened("trajectory")
    (found, _) = ask(track, coords="POINT(110.01 -9.75)", time="2021-03-04T14/2021-03-04T16")
    assert found.time.values.tolist() == [36000]
    for coords in ("POINT(110.01 -9.75)", "MULTIPOINT(110.01 -9.75,102.5 9)"):
        error, message, *_ = ask(track, coords=coords, time="2021-03-04T05/2021-03-04T06")
        assert (error, message.split(";")[0]) == (
            OutsideDomain, "no position of the data fulfils every condition at once"
        )  # fmt: skip
    (found, _) = ask(track, coords="MULTIPOINT(110.01 -9.75,102.5 9)", time="2021-03-04T06/2021-03-04T16")
    assert found.lon.values.tolist() == [110, 102.5]


def test_a_part_of_a_ragged_array_without_a_sample_is_none(opened):
    error, *_ = ask(opened("ragged"), time="2001-01-01", depth="30/30")
    assert error is OutsideDomain


def test_a_stride_along_what_is_given_by_number_is_refused(opened):
    """It would be passed over otherwise."""
    for name, parameters in (
        ("ascending", {"indices": "lat[0:10]", "stride": "latitude:2"}),
        ("ascending", {"indices": "time[0:4]", "stride": "time:2"}),
        ("trajectory", {"coords": "POINT(110 -9.75)", "stride": "time:2"}),
        ("trajectory", {"coords": "MULTIPOINT(110 -9.75,102.5 9)", "stride": "time:2"}),
    ):
        error, *_ = ask(opened(name), **parameters)
        assert error is BadRequest, parameters


def test_flags_are_no_values(opened):
    """Where all numbers are missing the answer says so, though each of them has a flag."""
    known = opened("deep")
    for asked_flags in ({}, {"variables": "temp"}):
        got, notes = ask(known, bbox="100,-5,102,0", **asked_flags)
        assert np.isnan(oracle.decoded(got.temp.variable)).all()
        assert notes[0].startswith("all cells masked")
