"""A record's score: what it counts, and that saying more never lowers it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.completeness import (
    ENOUGH_LETTERS,
    MOST_NAMED,
    Appraisal,
    appraise,
    expectations,
    summarise,
)
from catalog.dialects import acdd
from catalog.record import Record
from catalog.source import Document

BARE: dict[str, Any] = {
    "id": "s-x", "source": "s", "native_id": "sst_tonkin.nc", "title": {"und": "sst tonkin"},
    "document_hash": "0" * 64,
}  # fmt: skip
FULL: dict[str, Any] = {
    **BARE,
    "title": {"vi": "Nhiệt độ mặt biển hằng ngày, Vịnh Bắc Bộ", "en": "Daily SST, Gulf of Tonkin"},
    "summary": {"en": "Daily sea surface temperature. " * 5},
    "keywords": [{"en": "ocean"}, {"en": "temperature"}, {"vi": "Vịnh Bắc Bộ"}],
    "themes": ["ocean-physics"],
    "kind": "grid",
    "variables": [
        {"name": "time", "coordinate": True},
        {"name": "sst", "standard_name": "sea_surface_temperature", "title": {"en": "SST"}, "units": "K"},
        {"name": "err", "standard_name": "sea_surface_temperature standard_error", "title": {"en": "e"}, "units": "K"},
    ],
    "extent": {
        "boxes": [[105.5, 17, 110, 22]],
        "vertical": {"minimum": 0, "maximum": 0},
        "time": {"start": "2010-01-01T00:00:00Z", "end": "2020-12-31T00:00:00Z"},
        "resolution": {"longitude": 0.05, "latitude": 0.05, "time": 86_400},
    },
    "parties": [
        {"name": "An Institute", "roles": ["creator"], "email": "data@example.org"},
        {"name": "A Portal", "roles": ["publisher"], "url": "https://example.org"},
    ],
    "licence": {"spdx": "CC-BY-4.0", "title": "CC BY"},
    "citation": "An Institute (2021)",
    "doi": "10.5281/zenodo.1",
    "lineage": "measured by satellites",
    "update_frequency": "daily",
    "created": "2021-03-15T00:00:00Z",
    "modified": "2024-11-02T00:00:00Z",
    "distributions": [{"protocol": "opendap", "address": "https://example.org/dap", "format": "dap"}],
    "landing_page": "https://example.org/sst",
}  # fmt: skip


def scored(fields: dict[str, Any]) -> Appraisal:
    return appraise(Record(**fields))


def without(*path: Any) -> dict[str, Any]:
    """The full record without what is at a path."""

    def cut(value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, list):
            return [cut(item, path) if at == path[0] else item for at, item in enumerate(value)]
        rest = {key: item for key, item in value.items() if key != path[0]}
        return rest if len(path) == 1 else rest | {path[0]: cut(value[path[0]], path[1:])}

    whole = cut(FULL, path)
    return {**whole, "title": whole["title"] if whole.get("title") else BARE["title"]}


MISSING: dict[str, Callable[[], dict[str, Any]]] = {
    "title": lambda: FULL | {"title": {"vi": "SST Tonkin"}},
    "summary": lambda: without("summary"),
    "keywords": lambda: without("keywords"),
    "theme": lambda: without("themes") | {"variables": [{**FULL["variables"][2], "name": "sst"}]},
    "language": lambda: FULL | {"title": {"und": "Daily SST of the Gulf of Tonkin"}},
    "creator": lambda: FULL | {"parties": [FULL["parties"][1]]},
    "contact": lambda: FULL | {"parties": [{"name": "A", "roles": ["owner", "distributor"]}]},
    "publisher": lambda: FULL | {"parties": [FULL["parties"][0]]},
    "licence-known": lambda: without("licence", "spdx"),
    "identifier": lambda: without("doi"),
    "citation": lambda: without("citation"),
    "place": lambda: without("extent", "boxes"),
    "time": lambda: without("extent", "time"),
    "depth": lambda: without("extent", "vertical"),
    "spacing": lambda: FULL | {"extent": FULL["extent"] | {"resolution": {"time": 60}}},
    "step": lambda: without("extent", "resolution", "time"),
    "lineage": lambda: without("lineage"),
    "frequency": lambda: without("update_frequency"),
    "created": lambda: without("created"),
    "modified": lambda: without("modified"),
    "open-format": lambda: FULL | {"distributions": [{"protocol": "wms", "address": "https://a", "format": "wms"}]},
    "format": lambda: FULL | {"distributions": [{"protocol": "opendap", "address": "https://example.org/dap"}]},
    "page": lambda: without("landing_page"),
}  # fmt: skip
"""For each expectation that can be missed alone: the full record but for it."""


def test_a_record_that_says_nothing_scores_nothing_and_a_full_one_all():
    bare, full = scored(BARE), scored(FULL)
    assert bare.score == 0
    assert {gap.code for gap in bare.gaps} == set(expectations())
    assert sum(gap.points for gap in bare.gaps) == 100
    assert (full.score, full.gaps) == (100, ())


@pytest.mark.parametrize("code", MISSING)
def test_what_is_missing_costs_its_points_and_is_told(code):
    found = scored(MISSING[code]())
    assert [gap.code for gap in found.gaps] == [code]
    assert found.score == 100 - expectations()[code].points


def test_without_a_licence_its_form_is_missing_too():
    assert {gap.code for gap in scored(without("licence")).gaps} == {"licence", "licence-known"}


def test_a_title_that_a_reader_made_is_none():
    note = {"code": "title-missing", "text": "the source gives no title"}
    assert [gap.code for gap in scored(FULL | {"quality": [note]}).gaps] == ["title"]


def test_of_variables_the_share_counts_and_those_that_lack_it_are_named():
    lacking = [{"name": f"v{number}", "title": {"en": "v"}} for number in range(48)]
    found = scored(FULL | {"variables": [*FULL["variables"], *lacking]})
    gap = next(gap for gap in found.gaps if gap.code == "units")
    assert (gap.points, gap.lacking, len(gap.about)) == (round(6 * 48 / 50, 1), 48, MOST_NAMED)
    assert gap.about[:2] == ("v0", "v1")
    assert {gap.code for gap in found.gaps} == {"units", "standard-names"}


@pytest.mark.parametrize(
    "variable", [{"name": "station", "dtype": "string"}, {"name": "crs"}, {"name": "sst_qc", "dtype": "int8"}]
)
def test_text_flags_and_map_projections_need_no_units(variable):
    found = scored(FULL | {"variables": [*FULL["variables"], variable | {"title": {"en": "x"}}]})
    assert found.gaps == ()


def test_words_of_another_kind_are_no_standard_name():
    found = scored(FULL | {"variables": [{**FULL["variables"][1], "standard_name": "Sea Surface Temp (K)"}]})
    assert "standard-names" in {gap.code for gap in found.gaps}


def test_every_expectation_tells_what_to_do_in_both_languages_and_who_asks_for_it():
    for expected in expectations().values():
        assert set(expected.text.words) == {"vi", "en"}, expected.code
        assert any(ord(letter) > 0xC0 for letter in expected.text.words["vi"]), expected.code
        assert all(len(words) > 60 for words in expected.text.words.values()), expected.code
        assert expected.sources, expected.code
    assert sum(expected.points for expected in expectations().values()) == 100


# --- the law: saying more never lowers the score

WORDS = st.sampled_from(["a", "sst tonkin", "sst_tonkin.nc", "biển Đông", "x" * ENOUGH_LETTERS, "Sea temp."])
LANGUAGES = st.sampled_from(["und", "vi", "en"])
TEXTS = st.dictionaries(LANGUAGES, WORDS, min_size=1)
ROLES = st.lists(st.sampled_from(["creator", "publisher", "owner", "user", "pointOfContact"]), min_size=1)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


VARIABLES = st.tuples(
    st.sampled_from(["sst", "crs", "flag_a", "time"]),
    some(
        standard_name=st.sampled_from(["sea_water_temperature", "Sea Temp", "sea_water_temperature status_flag"]),
        title=TEXTS,
        units=st.sampled_from(["K", "1"]),
        dtype=st.sampled_from(["float32", "string", "|S4", "int8"]),
    ),
).map(lambda item: {"name": item[0], **item[1]})  # fmt: skip
PARTIES = st.tuples(ROLES, some(email=WORDS, url=WORDS)).map(lambda i: {"name": "p", "roles": i[0], **i[1]})
WAYS = st.tuples(
    st.sampled_from(["file", "http", "wms", "opendap"]),
    st.sampled_from(["https://a/b.nc", "https://a/b.pdf"]),
    some(format=st.sampled_from(["netcdf", "unknown", "pdf"]), media_type=st.just("text/html")),
).map(lambda item: {"protocol": item[0], "address": item[1], **item[2]})
RECORDS = some(
    summary=TEXTS,
    keywords=st.lists(TEXTS, max_size=5),
    themes=st.lists(st.just("waves"), max_size=1),
    extent=some(
        boxes=st.just([{"west": 105.5, "south": 17, "east": 110, "north": 22}]),
        vertical=st.just({"minimum": 0, "maximum": 5}),
        time=some(start=st.just("2010-01-01T00:00:00Z"), end=st.just("2011-01-01T00:00:00Z")),
        resolution=some(longitude=st.just(0.1), latitude=st.just(0.1), time=st.just(60)),
    ),
    parties=st.lists(PARTIES, max_size=3),
    licence=some(spdx=st.just("MIT"), url=st.just("https://a"), title=WORDS).filter(bool),
    citation=WORDS,
    doi=st.just("10.5281/zenodo.1"),
    lineage=WORDS,
    update_frequency=WORDS,
    created=st.just("2021-03-15T00:00:00Z"),
    modified=st.just("2021-03-15T00:00:00Z"),
    distributions=st.lists(WAYS, max_size=3),
    landing_page=WORDS,
)
KEPT = frozenset(
    ["name", "roles", "protocol", "address", "format", "minimum", "maximum", "west", "south", "east", "north"]
)
"""What is there as long as the thing that it is part of: names and roles, what a way to the data is."""
OPEN = frozenset({"extent", "time", "resolution"})
"""What may be there and say nothing."""


Path = tuple[Any, ...]


def parts(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all that can be left out of a record; variables are the data and stay."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key not in KEPT and path != ("variables",) and (path or key not in BARE):
            yield (*path, key)
        if path or key not in BARE or key == "title":
            yield from parts(item, (*path, key))


def left_out(value: Any, gone: Path, path: Path = ()) -> Any:
    """The value without what is at a path, and without texts that nothing is left of."""
    if isinstance(value, dict):
        kept = {k: left_out(v, gone, (*path, k)) for k, v in value.items() if (*path, k) != gone}
        return {key: item for key, item in kept.items() if item != {} or key in OPEN}
    if isinstance(value, list):
        kept = [left_out(item, gone, (*path, at)) for at, item in enumerate(value) if (*path, at) != gone]
        return [item for item in kept if item != {}]
    return value


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    variables = draw(st.lists(VARIABLES, max_size=3, unique_by=lambda variable: variable["name"]))
    return {**BARE, "title": draw(TEXTS), **draw(RECORDS), "variables": variables}


def lost(fields: dict[str, Any]) -> float:
    return sum(gap.points for gap in scored(fields).gaps)


@given(records())
def test_saying_one_thing_more_never_lowers_the_score(more):
    for path in parts(more):
        less = left_out(more, path)
        less = {**less, "title": less.get("title") or BARE["title"]}
        assert lost(less) >= lost(more) - 0.01, path
        assert scored(less).score <= scored(more).score, path


# --- what is advised is read


def test_a_netcdf_file_with_all_the_attributes_that_are_advised_scores_all():
    examples = re.findall(
        r'(\w+) = ("[^"]*"|[\d.]+)', "\n".join(e.text.words["en"] for e in expectations().values())
    )
    attributes = {name: value.strip('"') for name, value in examples}
    attributes |= {
        "summary": "Daily sea surface temperature. " * 5, "creator_name": "An Institute", "publisher_name": "A Portal",
        "title_vi": "Nhiệt độ mặt biển", "citation": "An Institute (2021)", "history": "measured by satellites",
        "metadata_link": "https://example.org/sst", "update_frequency": "daily",
    }  # fmt: skip
    assert {"geospatial_lat_resolution", "time_coverage_resolution", "license", "doi"} <= attributes.keys()
    own = {"standard_name", "units", "long_name", "long_name_vi"}
    temp = {"standard_name": "sea_water_temperature"} | {
        name: attributes[name] for name in own & attributes.keys()
    }
    header = {
        "format": "netcdf4",
        "attributes": {name: value for name, value in attributes.items() if name not in own},
        "variables": [{"name": "temp", "attributes": temp}],
        "file": {"path": "sst.nc", "size": 1},
    }
    document = Document(source="s", native_id="sst.nc", content=b"x")
    assert appraise(acdd.read_header(document, header)).gaps == ()


# --- a source


def test_a_source_has_the_mean_score_and_what_costs_most():
    appraisals = [scored(FULL), scored(without("doi")), scored(without("landing_page")), scored(BARE)]
    found = summarise("s", 9, appraisals, "2026-01-01T00:00:00Z")
    assert found.score == round((100 + 97 + 98 + 0) / 4, 1)
    assert (found.records, found.assessed) == (9, 4)
    shares = {gap.code: gap.share for gap in found.gaps}
    assert shares == {"summary": 0.25, "licence": 0.25, "place": 0.25, "units": 0.25, "identifier": 0.5}
    assert summarise("none", 0, [], "2026-01-01T00:00:00Z").score == 0


def test_the_page_about_it_lists_what_is_expected():
    page = (FilePath(__file__).parents[2] / "docs" / "reference" / "quality.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \|$", page, re.MULTILINE))
    assert told == {(e.code, str(e.points), "; ".join(e.sources)) for e in expectations().values()}
