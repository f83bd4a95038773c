"""When a source is due: schedules, missed times, spreading, trouble and rest."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.source import Source
from catalog.stores import Run
from harvesters._schedule import DAY, HOUR, due, failures, moment, rest, told_rest

START = datetime(2026, 3, 1, 3, tzinfo=UTC).timestamp()
MOST = 3


def source(schedule: str = "0 3 * * *") -> Source:
    return Source(id="portal", protocol="paged", url="http://x/", schedule=schedule)


def runs(*states: str, began: float = START) -> list[Run]:
    """Runs, newest first; the newest began and ended at a time, the others an hour before one another."""
    times = [moment(began - number * HOUR) for number in range(len(states))]
    return [
        Run(id=len(states) - number, source="portal", state=state, started=at, ended=at)
        for number, (state, at) in enumerate(zip(states, times, strict=True))
    ]


@pytest.mark.parametrize(
    "wrong",
    [" ", "0 3 * *", "0 3 * * * *", "61 * * * *", "0 3 30 2 *", "@reboot", "0 3 * * * Nowhere/City", "R * * * *",
     "H 3 * * *", "0 3 * * * ../etc/passwd", "0 3 * * * Asia", "0 3 * * * UTC UTC", "soon", "x" * 300],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        source(wrong)


def test_a_schedule_is_in_utc_or_in_its_time_zone() -> None:
    assert source("0 3 * * *").next_time(START) == START + DAY
    assert source("0 3 * * * Asia/Ho_Chi_Minh").next_time(START) == START + 17 * HOUR
    assert source("@daily Asia/Ho_Chi_Minh").next_time(START) == START + 14 * HOUR
    assert source("").next_time(START) is None


@given(
    st.floats(0, 4e9), st.sampled_from(["*/5 * * * *", "0 3 * * *", "@weekly", "30 2 * * * America/New_York"])
)
def test_times_go_on_without_drift(after: float, schedule: str) -> None:
    asked = source(schedule)
    times = [after]
    for _ in range(5):
        times.append(asked.next_time(times[-1]) or 0.0)
    assert all(first < second for first, second in pairwise(times))
    assert all(at % 60 == 0 for at in times[1:])


def test_a_source_is_due_at_its_next_time_and_a_little_later_always_the_same() -> None:
    told = due(source(), runs("complete"), MOST)
    assert told is not None
    assert START + DAY <= told.at <= START + DAY + 300
    assert told == due(source(), runs("complete"), MOST)
    others = [source().model_copy(update={"id": f"portal{number}"}) for number in range(20)]
    at = {told.at for each in others if (told := due(each, runs("complete"), MOST))}
    assert len(at) == 20
    assert all(START + DAY <= each <= START + DAY + 300 for each in at)


def test_a_source_without_a_schedule_is_never_due_and_a_new_or_cut_off_one_at_once() -> None:
    assert due(source(""), runs("complete"), MOST) is None
    assert due(source(), [], MOST) == (0.0, "")
    assert due(source(), runs("running", "complete"), MOST) == (0.0, "")


def test_missed_times_are_made_good_once() -> None:
    """A month of missed times: due since the first of them; after one run, at the next."""
    told = due(source(), runs("complete"), MOST)
    assert told
    assert told.at < START + 30 * DAY
    after = due(source(), runs("complete", began=START + 30 * DAY + 60), MOST)
    assert after
    assert after.at >= START + 31 * DAY


@pytest.mark.parametrize("bad", ["failed", "incomplete"])
def test_trouble_is_tried_again_soon(bad: str) -> None:
    assert due(source(), runs(bad, "complete"), MOST) == (START + HOUR, "")
    assert due(source(), runs(bad, bad, "complete"), MOST) == (START + 2 * HOUR, "")
    frequent = due(source("*/15 * * * *"), runs(bad, "complete"), MOST)
    assert frequent
    assert frequent.at < START + HOUR


def test_failures_in_a_row_make_a_source_rest_up_to_a_day_and_a_success_ends_it() -> None:
    hours = [rest(failed, MOST) / HOUR for failed in range(12)]
    assert hours == [0, 0, 0, 1, 2, 4, 8, 16, 24, 24, 24, 24]
    assert rest(10**9, MOST) == DAY
    hourly = source("0 * * * *")
    for failed in range(MOST, 30):
        told = due(hourly, runs(*["failed"] * failed), MOST)
        assert told
        if rest(failed, MOST) > 2 * HOUR:
            assert told == (START + rest(failed, MOST), f"it failed {failed} times in a row")
    after = due(hourly, runs("complete", *["failed"] * 9), MOST)
    assert after
    assert after.at < START + 2 * HOUR
    assert not after.resting
    assert failures(runs("running", "failed", "failed", "complete", "failed")) == 2


def test_the_note_of_a_failed_run_tells_its_rest() -> None:
    assert told_rest(runs("failed"), MOST, START) == ""
    said = told_rest(runs("failed", "failed"), MOST, START)
    assert said == "; it failed 3 times in a row: not due before 2026-03-01T04:00:00Z"
