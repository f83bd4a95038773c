"""Boxes and times as strangers write them (FAULTS row 10): normalised or flagged, and a legal one is never missed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.dialects._extent import agreed, box, duration, from_attributes, spanned, time_range
from catalog.record import BBox, Extent, Resolution, TimeRange

WORLD = BBox(west=-180, south=-1, east=180, north=25)


@pytest.mark.parametrize(
    ("given_box", "found", "code"),
    [
        ((99, -1, 122, 25), BBox(west=99, south=-1, east=122, north=25), None),
        (("99.0", "-1", [122], "25"), BBox(west=99, south=-1, east=122, north=25), None),
        ((0.25, -1, 359.75, 25), BBox(west=0.25, south=-1, east=-0.25, north=25), None),
        ((20.5, -1, 379.5, 25), BBox(west=20.5, south=-1, east=19.5, north=25), None),
        ((20, -1, 380, 25), WORLD, None),
        ((170, -1, 190, 25), BBox(west=170, south=-1, east=-170, north=25), None),
        ((170, -1, -170, 25), BBox(west=170, south=-1, east=-170, north=25), None),
        ((107, 20, 107, 20), BBox(west=107, south=20, east=107, north=20), None),
        ((122, -1, 99, 25), WORLD, "longitudes-ambiguous"),
        ((99, 25, 122, -1), BBox(west=99, south=-1, east=122, north=25), "extent-swapped"),
        ((99, -99.999, 122, 25), BBox(west=99, south=-90, east=122, north=25), "latitude-beyond-pole"),
        ((99, 95, 122, 99), None, "extent-unreadable"),
        ((99999, -1, 99999, 25), None, "extent-unreadable"),
        (("NaN", -1, 122, 25), None, "extent-unreadable"),
        ((99, None, 122, 25), None, "extent-unreadable"),
        ((None, None, None, None), None, None),
    ],
)
def test_boxes_as_strangers_write_them(
    given_box: tuple[Any, ...], found: BBox | None, code: str | None
) -> None:
    made, notes = box(*given_box)
    assert made == found
    assert [note.code for note in notes] == ([code] if code else [])


@given(
    west=st.floats(-180, 180),
    width=st.floats(0, 360),
    south=st.floats(-90, 90),
    height=st.floats(0, 180),
    turn=st.sampled_from([-360, 0, 360]),
    wrapped=st.booleans(),
    along=st.floats(0, 1),
)
def test_a_legal_box_is_never_missed(
    west: float, width: float, south: float, height: float, turn: float, wrapped: bool, along: float
) -> None:
    """Every point of a box is in what is read of it, whichever way its longitudes are written."""
    north, east = min(south + height, 90.0), west + width
    if wrapped and east > 180 and width < 359.9:  # a whole circle, wrapped, would be a station
        east -= 360
    made, _ = box(west + turn, south, east + turn, north)
    assert made is not None
    x = west + along * width
    x = min(max((x + 180) % 360 - 180, -180.0), 180.0)
    leeway = 1e-9
    point = BBox(west=max(x - leeway, -180), south=south, east=min(x + leeway, 180), north=north)
    assert made.intersects(point)


@given(*(st.floats() | st.integers() | st.text(max_size=5) | st.none() for _ in range(4)))
def test_any_four_values_are_a_legal_box_or_none(west: Any, south: Any, east: Any, north: Any) -> None:
    made, _ = box(west, south, east, north)
    assert made is None or BBox.model_validate(made.model_dump()) == made


@pytest.mark.parametrize(
    ("ends", "found", "codes"),
    [
        (("2019-02-23", "2019-02-23"), ("2019-02-23T00:00:00Z", "2019-02-23T23:59:59.999999Z"), []),
        (("20220221T120000Z", "202202211300"), ("2022-02-21T12:00:00Z", "2022-02-21T13:00:00Z"), []),
        (("2001-01-01T00:00:00+07:00", None), ("2000-12-31T17:00:00Z", None), []),
        (
            ("2010-01-01T00:00:00Z", "2009-01-01T00:00:00Z"),
            ("2009-01-01T00:00:00Z", "2010-01-01T00:00:00Z"),
            ["time-reversed"],
        ),
        (("present", "2009-01-01T00:00:00Z"), (None, "2009-01-01T00:00:00Z"), ["time-unreadable"]),
        (("200512", None), None, ["time-unreadable"]),
        ((None, ""), None, []),
    ],
)
def test_times_as_strangers_write_them(
    ends: tuple[str | None, str | None], found: tuple[str | None, str | None] | None, codes: list[str]
) -> None:
    made, notes = time_range(*ends)
    assert (made and (made.start, made.end)) == found
    assert [note.code for note in notes] == codes


def test_coordinates_win_over_attributes() -> None:
    claimed, _ = from_attributes(
        {
            "geospatial_lon_min": 0.125,
            "geospatial_lon_max": 359.875,
            "geospatial_lat_min": -89.875,
            "geospatial_lat_max": 89.875,
            "geospatial_vertical_min": -10,
            "geospatial_vertical_max": 0,
            "geospatial_vertical_positive": "up",
        }
    )
    facts = Extent(boxes=(BBox(west=99, south=-1, east=122, north=25),))
    joined, notes = agreed(facts, claimed)
    assert joined.boxes == facts.boxes
    assert [note.code for note in notes] == ["extent-differs"]
    assert joined.vertical is not None
    assert (joined.vertical.minimum, joined.vertical.maximum) == (0, 10)


def test_half_a_cell_is_no_disagreement() -> None:
    claimed = Extent(boxes=(BBox(west=-180, south=-90, east=180, north=90),))
    facts = Extent(
        boxes=(BBox(west=-179.875, south=-89.875, east=179.875, north=89.875),),
        resolution=Resolution(longitude=0.25, latitude=0.25),
    )
    assert agreed(facts, claimed)[1] == ()


@pytest.mark.parametrize(
    ("ranges", "whole"),
    [
        ([], None),
        ([("2001", "2002")], ("2001", "2002")),
        ([("2005", "2006"), ("2001", "2002")], ("2001", "2006")),
        ([("2005", None), ("2001", "2002")], ("2001", None)),
        ([("2005", None), (None, "2002")], None),
    ],
)
def test_ranges_of_time_become_the_one_around_them(ranges, whole):
    def moment(year):
        return year and f"{year}-01-01T00:00:00Z"

    found = spanned([TimeRange(start=moment(first), end=moment(last)) for first, last in ranges])
    assert (found and (found.start, found.end)) == (whole and tuple(map(moment, whole)))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("P1D", 86_400), ("PT1H", 3_600), ("P1W", 604_800), ("P1Y", 31_556_952), ("P1M", 2_629_746), ("PT0.5S", 0.5),
        (" P1DT12H ", 129_600), ("P", None), ("PT", None), ("PT0S", None), ("1 day", None), ("P-1D", None),
        ("P" + "9" * 40 + "D", None), (5, None), (None, None),
    ],
)  # fmt: skip
def test_durations_are_read_as_iso_8601_writes_them(said, seconds):
    assert duration(said) == seconds


@pytest.mark.parametrize(
    ("said", "degrees"),
    [
        ("0.05 degree", 0.05), ("0.25°", 0.25), ("0.1", 0.1), (0.5, 0.5), ("1 degrees_north", 1), ("4 km", None),
        ("", None),
    ],
)  # fmt: skip
def test_resolutions_that_are_claimed_fill_what_coordinates_do_not_say(said, degrees):
    claimed, _ = from_attributes({"geospatial_lat_resolution": said, "time_coverage_resolution": "P1D"})
    assert claimed.resolution == Resolution(latitude=degrees, time=86_400)
    facts = Extent(resolution=Resolution(longitude=2, latitude=3))
    assert agreed(facts, claimed)[0].resolution == Resolution(longitude=2, latitude=3, time=86_400)
    assert agreed(facts, Extent())[0].resolution == facts.resolution
