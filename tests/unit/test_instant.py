"""Instants: canonical text, and the number that orders them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadRequest
from catalog.instant import CANONICAL, canonical, interval, now, seconds

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(moment=st.datetimes(timezones=OFFSETS).filter(lambda moment: 1 < moment.year < 9999))
def test_seconds_are_those_of_datetime(moment: datetime) -> None:
    text = canonical(moment.isoformat())
    assert CANONICAL.fullmatch(text)
    assert canonical(text) == text
    assert seconds(text) == pytest.approx((moment - EPOCH).total_seconds(), abs=1e-5, rel=0)
    assert datetime.fromisoformat(text) == moment


@given(
    parts=st.lists(
        st.tuples(st.integers(-9999, 99_999), st.integers(1, 12), st.integers(1, 31), st.integers(0, 23)),
        min_size=2,
        max_size=2,
    )
)
def test_order_is_kept_in_any_calendar_and_year(parts: list[tuple[int, int, int, int]]) -> None:
    """30 February of a 360-day calendar counts as the month's last day: no order is turned round."""
    first, second = sorted(parts)
    texts = [
        f"{year:0{5 if year < 0 else 4}}-{month:02}-{day:02}T{hour:02}:00:00Z"
        for year, month, day, hour in (first, second)
    ]
    assert seconds(texts[0]) <= seconds(texts[1])
    if first[:2] != second[:2]:
        assert seconds(texts[0]) < seconds(texts[1])


def test_year_zero_and_before() -> None:
    assert seconds("0001-01-01T00:00:00Z") - seconds("0000-01-01T00:00:00Z") == 366 * 86400
    assert seconds("0000-01-01T00:00:00Z") - seconds("-0001-01-01T00:00:00Z") == 365 * 86400
    assert canonical("0000-01-16 06:00") == "0000-01-16T06:00:00Z"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2019", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59.999999Z"),
        ("2019-02", "2019-02-01T00:00:00Z", "2019-02-28T23:59:59.999999Z"),
        ("2020-02", "2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999999Z"),
        ("2019-12", "2019-12-01T00:00:00Z", "2019-12-31T23:59:59.999999Z"),
        ("2019-02-23", "2019-02-23T00:00:00Z", "2019-02-23T23:59:59.999999Z"),
        ("2019-02-23T06:30+07:00", "2019-02-22T23:30:00Z", "2019-02-22T23:30:00Z"),
        ("2019-02-23T24:00:00Z", "2019-02-24T00:00:00Z", "2019-02-24T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:00Z"),
        ("0000-02", "0000-02-01T00:00:00Z", "0000-02-29T23:59:59.999999Z"),
        ("2019-01-01T00:00:00.1234567Z", "2019-01-01T00:00:00.123456Z", "2019-01-01T00:00:00.123456Z"),
    ],
)
def test_a_single_one_stands_for_its_whole_length(text: str, first: str, last: str) -> None:
    assert interval(text) == (first, last)


@given(year=st.integers(0, 9999), month=st.integers(1, 12))
def test_a_month_of_any_calendar_ends_on_its_31st_and_counts_the_same(year: int, month: int) -> None:
    text = f"{year:04}-{month:02}"
    start, usual = interval(text)
    first, last = interval(text, any_calendar=True)
    assert first == start
    assert last == f"{text}-31T23:59:59.999999Z"
    assert CANONICAL.fullmatch(last)
    assert canonical(last) == last
    assert usual
    assert seconds(last) == seconds(usual)


def test_intervals_may_be_open() -> None:
    assert interval("2019/..") == ("2019-01-01T00:00:00Z", None)
    assert interval("../2019-02") == (None, "2019-02-28T23:59:59.999999Z")
    assert interval("../..") == (None, None)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2020/2019", "2019-13", "2019-00", "2019-01-00", "2019-02-23T25:00", "2019-02-23T00:60", "19-02",
             "2019-02-23T24:30", "٢٠١٩", "2019-02-23T00:00:00+99:00", "2019/2020/2021"]
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        interval(text)


@given(
    text=st.text(max_size=40)
    | st.from_regex(r"[+-]?\d{4,7}(-\d{1,2}){0,2}(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")
)
def test_any_text_is_an_interval_or_a_bad_request(text: str) -> None:
    try:
        found = interval(text)
    except BadRequest:
        return
    for end in found:
        assert end is None or (CANONICAL.fullmatch(end) and canonical(end) == end)


def test_now_is_canonical() -> None:
    for _ in range(200):
        moment = now()
        assert canonical(moment) == moment
