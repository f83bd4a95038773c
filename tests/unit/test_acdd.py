"""What header documents say, attribute by attribute."""

from typing import Any

import orjson
import pytest

from catalog.dialects import acdd
from catalog.errors import BadDocument
from catalog.record import BBox, Record, Variable
from catalog.source import Document


def read(header: Any, name: str = "sst_2019-02") -> Record:
    content = orjson.dumps(header)
    return acdd.read(Document(source="s", native_id=f"deep/{name}.nc", name=name, content=content))


def attributes(**said: Any) -> Record:
    return read({"attributes": said})


def test_a_whole_header() -> None:
    record = read(
        {
            "format": "netcdf3",
            "attributes": {
                "Title": "Gulf of Tonkin temperature",
                "title_vi": "Nhiệt độ vịnh Bắc Bộ",
                "keywords": "ocean, Oceans > Temperature; ocean",
                "license": "CC BY 4.0",
                "creator_name": "Lê Sóng",
                "creator_type": "person",
                "institution": "Viện Biển",
                "publisher_name": "Viện Biển",
                "references": "https://doi.org/10.1234/ab.c.",
                "history": "made\x00 by hand",
                "featureType": "timeSeries",
                "time_coverage_start": "2019-02",
                "date_created": "2019-03-01T00:00:00+07:00",
            },
            "variables": [
                {"name": "time", "dtype": "float64", "dimensions": ["time"], "shape": [3]},
                {
                    "name": "sst",
                    "dtype": "int16",
                    "dimensions": ["time"],
                    "shape": [3],
                    "attributes": {
                        "standard_name": "sea_surface_temperature",
                        "units": "degC",
                        "long_name": "SST",
                    },
                },
            ],
            "coverage": {"boxes": [[107, 20, 107, 20]], "coordinates": ["time"], "vertical": [0, 2.5]},
            "file": {"path": "/data/sst.nc", "size": 12, "checksum": "sha256:" + "0" * 64},
        }
    )
    assert record.title.words == {"und": "Gulf of Tonkin temperature", "vi": "Nhiệt độ vịnh Bắc Bộ"}
    assert [keyword.words["und"] for keyword in record.keywords] == ["ocean", "Oceans > Temperature"]
    assert record.licence is not None
    assert record.licence.spdx == "CC-BY-4.0"
    assert [(party.name, party.roles, party.organisation) for party in record.parties] == [
        ("Lê Sóng", ("creator",), False),
        ("Viện Biển", ("publisher", "originator"), True),
    ]
    assert (record.doi, record.lineage, record.kind) == ("10.1234/ab.c", "made by hand", "timeseries")
    assert record.created == "2019-02-28T17:00:00Z"
    assert record.extent.boxes == (BBox(west=107, south=20, east=107, north=20),)
    assert record.extent.time is not None
    assert (record.extent.time.start, record.extent.time.end) == ("2019-02-01T00:00:00Z", None)
    (sst,) = record.data_variables()
    assert (sst.standard_name, sst.units, sst.shape) == ("sea_surface_temperature", "degC", (3,))
    (way,) = record.distributions
    assert (way.protocol, way.format, way.address, way.size) == ("file", "netcdf", "/data/sst.nc", 12)
    assert record.quality == ()


def test_a_title_that_is_missing_is_made_of_the_file_name() -> None:
    record = read({"attributes": {"title": " \x00\x07 "}})
    assert record.title.words == {"und": "sst 2019-02"}
    assert [note.code for note in record.quality] == ["title-missing"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\x00b\x07c\x9b", "abc"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        (["one", 2, None], "one, 2"),
        (2.5, "2.5"),
        ([["nested"]], None),
        ({"an": "object"}, None),
        ("\ufeff", None),
    ],
)
def test_words_are_cleaned(said: Any, kept: str | None) -> None:
    assert attributes(summary=said).summary == (None if kept is None else attributes(summary=kept).summary)
    assert (attributes(history=said).lineage) == kept


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "https://", 7]
)
def test_only_web_addresses_are_let_in(link: Any) -> None:
    record = attributes(
        metadata_link=link, creator_name="x", creator_url=link, license_url=link, license="own"
    )
    assert (record.landing_page, record.parties[0].url) == (None, None)
    assert record.licence is not None
    assert record.licence.url is None


def test_variables_of_one_name_and_shapes_that_do_not_fit() -> None:
    record = read(
        {
            "variables": [
                {"name": "a", "dimensions": ["x", "y"], "shape": [1]},
                {"name": "a\x00", "dimensions": [], "shape": []},
                {"dimensions": []},
                "no variable",
            ]
        }
    )
    assert record.variables == (Variable(name="a", dimensions=("x", "y")),)
    assert "variable-left-out" in [note.code for note in record.quality]


@pytest.mark.parametrize("header", [[], 1, None, "x", {}, {"coverage": {}}])
def test_what_is_no_header_document_is_refused(header: Any) -> None:
    with pytest.raises(BadDocument, match="no header document"):
        read(header)


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        ("processor, funder", [("An", "processor"), ("Bình", "funder")]),
        (["processor"], [("An, Bình", "processor")]),
        ([], [("An, Bình", "contributor")]),
        (None, [("An, Bình", "contributor")]),
    ],
)
def test_contributors_are_split_where_their_roles_are(roles: Any, found: list[tuple[str, str]]) -> None:
    record = attributes(contributor_name="An, Bình", contributor_role=roles)
    assert [(party.name, *party.roles) for party in record.parties] == found
