"""A question: how it is read, and what it means."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import words
from catalog.errors import BadRequest
from catalog.record import BBox, Party, Record, Text, TimeRange
from catalog.search import MAX_TERMS, Query, exact_tokens, fold, matches, parse, read_bbox, terms, tokens

LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=LETTERS)
def test_folding_is_blind_to_form_and_case_and_once_is_enough(text: str) -> None:
    assert tokens(unicodedata.normalize("NFC", text)) == tokens(unicodedata.normalize("NFD", text))
    assert fold(fold(text)) == fold(text)
    assert exact_tokens(unicodedata.normalize("NFD", text)) == exact_tokens(
        unicodedata.normalize("NFC", text)
    )
    assert all(tokens(word) == (word,) for word in tokens(text))


@given(text=st.text(st.characters(max_codepoint=130), max_size=700) | LETTERS, long=st.integers(0, 1_600))
def test_words_are_found_in_plain_text_as_in_any_other(text: str, long: int) -> None:
    for each in (text, text + "a" * long, "_" + "a1" * (long // 2) + " " + text):
        assert words._runs(each) == tuple(words._WORD.findall(each))


@given(one=LETTERS, other=LETTERS)
def test_a_text_folds_as_its_pieces_do(one: str, other: str) -> None:
    assert fold(one + other) == fold(one) + fold(other)
    assert fold(one * 3) == words._folded.__wrapped__(one * 3)


def test_only_short_words_are_remembered() -> None:
    words._folded.cache_clear()
    long = "Đ" * 100_000 + " " * 100_000 + "nhiệt độ"
    assert fold(long).replace(" ", "") == "d" * 100_000 + "nhietdo"
    assert words._folded.cache_info().currsize < 12
    assert (words._folded.cache_info().maxsize or 0) <= 16_384


def test_folding_vietnamese() -> None:
    assert tokens("NHIỆT ĐỘ_nước-biển, đồ sơn") == ("nhiet", "do", "nuoc", "bien", "do", "son")
    assert exact_tokens("Nhiệt ĐỘ") == ("nhiệt", "độ")


def test_a_word_beyond_any_index_is_cut_in_pieces() -> None:
    assert [len(word) for word in tokens("a" * 1_200)] == [500, 500, 200]


def test_terms() -> None:
    assert terms('biển "Đồ Sơn" biển sea_level') == (("bien",), ("do", "son"), ("sea",), ("level",))
    assert terms('a "b c') == (("a",), ("b",), ("c",))
    assert terms('"" "!!" -- ') == ()
    many = " ".join(f"w{number}" for number in range(100))
    assert len(terms(many)) == MAX_TERMS
    assert [len(term) for term in terms(f'a "{many}" b')] == [1, MAX_TERMS - 1]


def record(**fields: object) -> Record:
    return Record(
        id="a", source="s", native_id="n", document_hash="0" * 64, **{"title": Text.of("Đồ Sơn"), **fields}
    )


def test_a_phrase_does_not_cross_texts() -> None:
    described = record(
        keywords=(Text.of("sea level"), Text.of("rise")), parties=(Party(name="IMER Hải Phòng"),)
    )
    assert matches(described, Query(q='"sea level" "đồ sơn" imer'))
    assert matches(described, Query(q="level rise"))
    assert not matches(described, Query(q='"level rise"'))


def test_parse_reads_every_parameter() -> None:
    query = parse(
        {
            "q": "biển",
            "bbox": "350,-10,370,10",
            "time": "2019-02/..",
            "limit": "5",
            "kind": "grid",
            "sort": "",
        }
    )
    assert query.bbox == BBox(west=-10, south=-10, east=10, north=10)
    assert query.time == ("2019-02-01T00:00:00Z", None)
    assert (query.limit, query.kind, query.sort) == (5, "grid", "relevance")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bbox", "1,2,3"), ("bbox", "a,b,c,d"), ("bbox", "0,nan,1,1"), ("bbox", "0,10,1,5"), ("bbox", "0,-91,1,5"),
        ("time", "yesterday"), ("time", "2020/2019"), ("limit", "-1"), ("limit", "many"), ("limit", "1001"),
        ("kind", "cube"), ("sort", "random"), ("lang", "fr"), ("boundingbox", "1,2,3,4"), ("offset", "1e99"),
        ("q", "\ud800"), ("q", "a" * 10_001),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse({name: value})
    assert name in refused.value.message


@given(
    value=st.text(max_size=30),
    name=st.sampled_from(["bbox", "time", "limit", "offset", "kind", "q", "source", "lang"]),
)
def test_parse_gives_a_query_or_a_bad_request(name: str, value: str) -> None:
    try:
        query = parse({name: value})
    except BadRequest:
        return
    matches(record(), query)


def test_time_and_box_need_an_extent_to_match() -> None:
    assert not matches(record(), Query(time=(None, None)))
    assert not matches(record(), Query(bbox=BBox(west=-180, south=-90, east=180, north=90)))
    climatology = record(extent={"time": TimeRange(start="0000-01-16T06:00:00Z", end="0000-12-16T18:00:00Z")})
    assert matches(climatology, Query(time=(None, "0000-01-16T06:00:00Z")))
    assert not matches(climatology, Query(time=("0001-01-01T00:00:00Z", None)))


@pytest.mark.parametrize(
    ("text", "said"),
    [("1,2,3", "it has 3 numbers, and a box has four"), ("a,1,2,3", "a number cannot be read"),
     ("1,5,2,3", "its south, 5, lies north of its north, 3"), ("1,2,3,99", "a latitude lies beyond ±90"),
     ("nan,1,2,3", "a number is not finite")],
)  # fmt: skip
def test_what_is_wrong_with_a_box_is_said_in_words(text, said):
    with pytest.raises(BadRequest) as refused:
        read_bbox(text)
    assert refused.value.message == f"bbox={text!r} is not a box: {said}"
