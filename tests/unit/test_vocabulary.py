"""Names of variables: the table holds together, and both languages lead to the sample's variables."""

import re

import pytest

from catalog import vocabulary
from catalog.record import Record, Text, Variable
from catalog.search import Query, matches
from catalog.words import tokens

ALL = tuple(vocabulary.vocabulary().values())


def variable(
    name: str, title: str | None = None, standard_name: str | None = None, *, coordinate: bool = False
) -> Variable:
    text = Text.of(title) if title else None
    return Variable(name=name, title=text, standard_name=standard_name, coordinate=coordinate)


def named(*variables: Variable) -> list[str]:
    return [concept.standard_name for concept in vocabulary.concepts(variables)]


def test_the_table_holds_together() -> None:
    assert len(ALL) >= 90
    for concept in ALL:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", concept.standard_name)
        assert concept.theme in vocabulary.THEMES
        assert concept.label_vi != concept.label_en
        assert not any("\t" in word or word != word.strip() for word in concept.words())
        assert all(tokens(word) for word in (*concept.words(), *concept.aliases))
    labels = [tokens(concept.label_vi) for concept in ALL] + [tokens(concept.label_en) for concept in ALL]
    assert len(labels) == len(set(labels)), "two concepts have one label"


@pytest.mark.parametrize("concept", ALL, ids=lambda concept: concept.standard_name)
def test_every_name_of_its_own_leads_to_the_concept(concept: vocabulary.Concept) -> None:
    for name in (concept.standard_name, concept.label_vi, concept.label_en):
        assert named(variable("x", name)) == [concept.standard_name]
    assert named(variable("x", standard_name=concept.standard_name)) == [concept.standard_name]


@pytest.mark.parametrize("question", ["nhiet do", "nhiệt độ", "NHIỆT ĐỘ", "temperature", '"nhiệt độ"'])
@pytest.mark.parametrize(
    ("name", "title"),
    [("SST", "SEA SURFACE TEMPERATURE"), ("TEMP", "TEMPERATURE"), ("AIRT", "AIR TEMPERATURE")],
)
def test_a_question_in_one_language_finds_the_other(question: str, name: str, title: str) -> None:
    record = Record(
        id="a",
        source="a",
        native_id="a",
        title=Text.of("x"),
        variables=(variable(name, title),),
        document_hash="0" * 64,
    )
    assert matches(record, Query(q=question))
    assert matches(record, Query(variable=vocabulary.concepts(record.variables)[0].label_vi))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (variable("UWND", "ZONAL WIND"), "eastward_wind"),
        (variable("SLP", "SEA LEVEL PRESSURE"), "air_pressure_at_mean_sea_level"),
        (variable("SALT", "SALINITY"), "sea_water_salinity"),
        (variable("ROSE", "Relief Of the Surface of the Earth"), "height_above_mean_sea_level"),
        (variable("x", "Zonal wind stress, monthly"), "surface_downward_eastward_stress"),
        (
            variable("x", "Absolute geostrophic velocity: zonal component"),
            "surface_geostrophic_eastward_sea_water_velocity",
        ),
        (variable("Analysed_SST"), "sea_surface_temperature"),
        (variable("temp", standard_name="air_temperature"), "air_temperature"),
        (variable("x", "Nhiệt độ không khí trung bình ngày"), "air_temperature"),
        (variable("temp", standard_name="sensor_temperature"), None),
        (variable("TEMP_QC", "quality flag of sea water temperature"), None),
        (variable("u", standard_name="eastward_sea_water_velocity status_flag"), None),
        (variable("x", "brightness temperature"), None),
        (variable("SST", coordinate=True), None),
    ],
)
def test_a_variable_is_known_by_standard_name_then_title_then_name(
    asked: Variable, found: str | None
) -> None:
    assert named(asked) == ([found] if found else [])


def test_each_concept_once_in_order() -> None:
    assert named(variable("SST"), variable("salt"), variable("tos")) == [
        "sea_surface_temperature",
        "sea_water_salinity",
    ]


def test_labels() -> None:
    assert vocabulary.label("variable", "sea_surface_temperature", "vi") == "Nhiệt độ mặt biển"
    assert vocabulary.label("theme", "waves", "en") == "Waves"
    assert vocabulary.label("kind", "grid", "vi") == "Lưới"
    assert vocabulary.label("organisation", "waves", "vi") == "waves"
    assert vocabulary.label("theme", "made up", "en") == "made up"


def test_only_short_names_are_remembered() -> None:
    vocabulary._remembered.cache_clear()
    for number in range(3):
        long = variable("sst", title="sea surface temperature " + "x" * 300 + str(number))
        assert named(long) == ["sea_surface_temperature"]
    assert vocabulary._remembered.cache_info().currsize == 0
    assert named(variable("sst")) == named(variable("sst"))
    assert vocabulary._remembered.cache_info().currsize == 1


def test_a_component_along_the_grid_is_not_called_eastward() -> None:
    assert named(variable("u", "u-momentum component")) == ["sea_water_x_velocity"]
    along = variable("v_sur", "surface v-momentum component", "sea_water_surface_y_velocity")
    assert named(along) == ["sea_water_y_velocity"]
