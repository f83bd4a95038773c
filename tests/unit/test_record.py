"""The model: what cannot exist, boxes round the antimeridian, ids."""

import math
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.record import BBox, Extent, Licence, Record, Text, TimeRange, Variable, VerticalRange, longitude
from catalog.source import SLUG_LENGTH, slug

LONGITUDES = st.sampled_from([-180.0, 180.0, 0.0, 179.99999999999997]) | st.floats(-180, 180)
LATITUDES = st.sampled_from([-90.0, 90.0]) | st.floats(-90, 90)


@st.composite
def boxes(draw: st.DrawFn) -> BBox:
    south, north = sorted([draw(LATITUDES), draw(LATITUDES)])
    return BBox(west=draw(LONGITUDES), south=south, east=draw(LONGITUDES), north=north)


def holds(box: BBox, east: float, north: float) -> bool:
    """The slow obvious meaning: a meridian is between west and east, going east; ±180 are one meridian."""
    names = (east, -east) if abs(east) == 180 else (east,)
    around = [
        box.west <= name <= box.east if box.west <= box.east else name >= box.west or name <= box.east
        for name in names
    ]
    return any(around) and box.south <= north <= box.north


@given(first=boxes(), second=boxes())
def test_boxes_intersect_where_they_share_a_point(first: BBox, second: BBox) -> None:
    """Two boxes that meet share a point on an edge of one of them."""
    shared = any(
        holds(first, east, north) and holds(second, east, north)
        for east in (first.west, first.east, second.west, second.east, 180.0)
        for north in (first.south, second.south)
    )
    assert first.intersects(second) == second.intersects(first) == shared


@given(west=st.floats(-720, 720), width=st.floats(0, 800), south=st.floats(-90, 0), north=st.floats(0, 90))
def test_any_spelling_of_longitudes_becomes_a_box(
    west: float, width: float, south: float, north: float
) -> None:
    box = BBox.of(west, south, west + width, north)
    assume(width < 359.9 or width >= 360)
    middle = longitude(west + width / 2)
    assert holds(box, middle, 0.0) or math.isclose(width, 0, abs_tol=1e-9)
    assert BBox.model_validate_json(box.model_dump_json()) == box


@pytest.mark.parametrize(
    "numbers",
    [(math.nan, 0, 1, 1), (0, 0, math.inf, 1), (0, 5, 1, 1), (0, -91, 1, 1), (0, 0, 1, 90.1)],
)
def test_a_wrong_box_cannot_exist(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError):
        BBox.of(*numbers)


def record(**fields: object) -> Record:
    plain = {"id": "a", "source": "s", "native_id": "n", "title": Text.of("x"), "document_hash": "0" * 64}
    return Record(**{**plain, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "../x"}, {"id": "A"}, {"id": ""}, {"id": "a\n"}, {"title": {}}, {"title": {"vi": ""}},
        {"document_hash": "0"},
        {"kind": "cube"}, {"doi": "x"}, {"modified": "yesterday"}, {"more": 1}, {"native_id": ""},
        {"variables": (Variable(name="a"), Variable(name="a"))},
    ],
)  # fmt: skip
def test_an_invalid_record_cannot_exist(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        record(**fields)


def test_its_parts_cannot_be_wrong_either() -> None:
    for make in (
        lambda: VerticalRange(minimum=2, maximum=1),
        lambda: TimeRange(start="2020-01-01T00:00:00Z", end="2019-01-01T00:00:00Z"),
        lambda: Variable(name="a", dimensions=("x",), shape=(1, 2)),
        Licence,
    ):
        with pytest.raises(ValidationError):
            make()


def test_a_record_is_frozen_and_forgets_nothing() -> None:
    whole = record(
        title={"vi": "Biển", "en": "Sea"},
        extent=Extent(
            boxes=(BBox(west=170, south=0, east=-170, north=0),), time=TimeRange(end="0000-01-01T00:00:00Z")
        ),
        modified="2019-01-01T00:00:00.500Z",
    )
    assert Record.model_validate_json(whole.model_dump_json()) == whole
    assert hash(whole) == hash(Record.model_validate_json(whole.model_dump_json()))
    with pytest.raises(ValidationError):
        whole.id = "b"
    with pytest.raises(TypeError):
        whole.title.words["vi"] = "other"
    assert (whole.title.best("vi"), whole.title.best("fr")) == ("Biển", "Sea")


IDS = set(string.ascii_lowercase + string.digits + "_-")


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_an_id_is_a_stable_slug(name: str) -> None:
    """FAULTS row 11: whatever the name, the id is one of ours."""
    made = slug("sample", name)
    assert made == slug("sample", name)
    assert set(made) <= IDS
    assert 1 <= len(made) <= SLUG_LENGTH
    assert slug("sample", name, distinct_by="a") != slug("sample", name, distinct_by="b")


def test_names_that_lose_more_than_case_are_told_apart() -> None:
    assert slug("sample", "cmems_sea_level_20190223") == "sample-cmems_sea_level_20190223"
    assert slug("sample", "SST") == "sample-sst"
    lost = [
        slug("s", name) for name in ("Độ", "do", "đo", "d o", "d-o", "../do", "d\x00o", "x" * 200, "x" * 201)
    ]
    assert len(set(lost)) == len(lost)
