"""Whether data are late: the words for rhythms, and what an axis and an end promise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.freshness import late, rhythm
from catalog.instant import of_seconds, seconds
from catalog.record import Distribution, Record, Text

DAY = 86_400.0
NOW = "2026-11-22T12:00:00Z"
WAYS = ("file", "http", "table", "opendap", "griddap", "tabledap", "zarr", "collection")


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("daily", 1), ("DAILY", 1), ("http://purl.org/cld/freq/daily", 1), ("P1D", 1), ("R/P1W", 7), ("PT6H", 0.25),
        ("every 6 hours", 0.25), ("6-hourly", 0.25), ("hourly", 1 / 24), ("continual", 1), ("near real time", 1),
        ("weekly", 7), ("fortnightly", 14), ("monthly", 31), ("P1M", 31), ("quarterly", 93), ("biannually", 183),
        ("annually", 366), ("R/P1Y", 366), ("biennially", 732), ("UPDATE_CONT", 1),
        ("hằng ngày", 1), ("Hàng tháng", 31), ("hàng quý", 93), ("Cập nhật hằng năm.", 366), ("6 tháng/lần", 186),
        ("mỗi 3 giờ", 0.125), ("1 năm một lần", 366),
        ("asNeeded", math.inf), ("as needed", math.inf), ("irregular", math.inf), ("notPlanned", math.inf),
        ("NEVER", math.inf), ("khi cần", math.inf), ("không định kỳ", math.inf), ("unknown", math.inf),
        ("", None), (None, None), ("whenever the ship is in port", None), ("P", None),
        ("P1.2.3D", None), ("0 days", None),
    ],
)  # fmt: skip
def test_words_stand_for_a_rhythm(said, days):
    found = rhythm(said)
    assert found == (None if days is None else pytest.approx(days * DAY))


@given(st.text(max_size=200))
def test_any_words_stand_for_a_positive_rhythm_or_none(said):
    assert rhythm(said) is None or rhythm(said) > 0


def record(**known):
    return Record(id="a", source="s", native_id="a", title=Text(und="a"), document_hash="0" * 64, **known)


def ago(days, moment=NOW):
    return of_seconds(seconds(moment) - days * DAY)


def way(protocol="griddap"):
    return Distribution(protocol=protocol, address="https://example.org/a")


def told(newest, protocol="griddap", step=DAY, **known):
    return late(record(**known), way(protocol), newest, step, NOW)


def test_what_is_promised_by_words_and_does_not_come_is_late():
    assert told(ago(4.9), update_frequency="daily") == ""
    said = told(ago(5.1), update_frequency="daily")
    assert said == "its newest data are of 2026-11-17, 5 days ago, and updates are promised 'daily'"
    assert told(ago(80), update_frequency="monthly") == ""
    assert told(ago(100), update_frequency="monthly")
    assert told(ago(9_000), update_frequency="irregular") == ""
    assert told(ago(-3), update_frequency="daily") == ""  # a forecast


def test_what_ended_long_before_it_was_changed_is_finished():
    assert told(ago(3_000), update_frequency="daily", modified=ago(100)) == ""
    assert told(ago(3_000), update_frequency="daily", modified=ago(2_999))
    assert told(ago(3_000), modified=ago(100)) == ""


def test_an_open_end_or_an_end_beyond_the_data_promises_by_the_step():
    opened = {"extent": {"time": {"start": "2000-01-01T00:00:00Z"}}}
    beyond = {"extent": {"time": {"start": "2000-01-01T00:00:00Z", "end": ago(1)}}}
    closed = {"extent": {"time": {"start": "2000-01-01T00:00:00Z", "end": ago(60)}}}
    assert told(ago(60), **opened, modified=ago(0)) == told(ago(60), **beyond)
    assert told(ago(60), **opened) == "its newest data are of 2026-09-23, 2 months ago, and its step is 1 day"
    assert told(ago(60), **closed) == ""
    assert told(ago(60), step=31 * DAY, **opened) == ""
    assert told(ago(60), step=None, **opened) == ""


def test_a_single_file_promises_nothing_by_its_step():
    """One file of a year, written as the year was over, is no feed that broke off."""
    changed = {"modified": ago(59)}
    assert {protocol for protocol in WAYS if told(ago(60), protocol, **changed)} == {
        "opendap", "griddap", "tabledap", "zarr", "collection",
    }  # fmt: skip


@given(
    newest=st.floats(-10, 10_000), modified=st.none() | st.floats(0, 10_000), ended=st.none() | st.floats(0, 10_000),
    said=st.sampled_from([None, "daily", "monthly", "irregular", "?"]), step=st.none() | st.floats(60, 40 * DAY),
    protocol=st.sampled_from(WAYS), newer=st.floats(0, 100),
)  # fmt: skip
def test_newer_data_are_never_later(newest, modified, ended, said, step, protocol, newer):
    """Law: with all else the same, data that are not late are not late when they are newer, but for finished ones."""
    times = {"time": {"end": None if ended is None else ago(ended)}}
    known = {
        "update_frequency": said,
        "modified": None if modified is None else ago(modified),
        "extent": times,
    }
    before = told(ago(newest), protocol, step, **known)
    after = told(ago(newest - newer), protocol, step, **known)
    finished = modified is not None and newest - modified > 0
    assert not after or before or finished
