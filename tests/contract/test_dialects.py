"""The laws of every dialect: it reads whatever bytes there are, and reading what it wrote does not drift."""

import importlib
import json
import pkgutil
from types import ModuleType
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import dialects
from catalog.dialects import native
from catalog.errors import BadDocument
from catalog.instant import of_seconds
from catalog.record import (
    BBox,
    Distribution,
    Extent,
    Kind,
    Licence,
    Party,
    QualityNote,
    Record,
    Resolution,
    Role,
    Text,
    TimeRange,
    Variable,
    VerticalRange,
)
from catalog.source import Document

DIALECTS = sorted(found.name for found in pkgutil.iter_modules(dialects.__path__) if found.name[0] != "_")

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.dictionaries(st.sampled_from(["und", "vi", "en", "fra", "zh-Hant"]), words, min_size=1).map(
    lambda said: Text(words=said)
)
link = (
    st.builds("https://{}.example/{}".format, st.text("abc", min_size=1), st.text("xy/?&=.,)", max_size=5))
    | words
)
instants = st.floats(-1e12, 1e12).map(of_seconds)
box = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90)).map(
    lambda b: BBox(west=b[0], south=min(b[1], b[3]), east=b[2], north=max(b[1], b[3]))
)


def ordered(a: Any, b: Any) -> tuple[Any, Any]:
    return (a, b) if a <= b else (b, a)


vertical = st.builds(ordered, finite, finite).map(lambda r: VerticalRange(minimum=r[0], maximum=r[1]))
times = st.builds(ordered, st.floats(-1e12, 1e12), st.floats(-1e12, 1e12)).map(
    lambda r: TimeRange(start=of_seconds(r[0]), end=of_seconds(r[1]))
) | st.builds(TimeRange, start=instants, calendar=st.sampled_from(["standard", "360_day"]))
step = st.none() | st.floats(0, exclude_min=True, allow_infinity=False)
extent = st.builds(
    Extent,
    boxes=st.lists(box, max_size=3).map(tuple),
    vertical=st.none() | vertical,
    time=st.none() | times,
    resolution=st.none() | st.builds(Resolution, longitude=step, latitude=step, depth=step, time=step),
)


@st.composite
def variables(draw: st.DrawFn) -> Variable:
    shape = draw(st.lists(st.integers(0, 2**40), max_size=3))
    axes = tuple(draw(words) for _ in shape)
    return Variable(
        name=draw(words),
        standard_name=draw(st.none() | words),
        title=draw(st.none() | text),
        units=draw(st.none() | words),
        dtype=draw(st.none() | words),
        dimensions=axes,
        shape=draw(st.sampled_from([(), tuple(shape)])),
        coordinate=draw(st.booleans()),
    )


def tuples(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


records = st.builds(
    Record,
    id=st.just("s-x"),
    source=st.just("s"),
    native_id=st.just("x"),
    title=text,
    summary=st.none() | text,
    keywords=tuples(text),
    themes=tuples(words),
    kind=st.sampled_from(get_args(Kind)),
    variables=st.lists(variables(), max_size=3, unique_by=lambda v: v.name).map(tuple),
    extent=extent,
    parties=tuples(
        st.builds(
            Party,
            name=words,
            roles=st.lists(st.sampled_from(get_args(Role)), min_size=1, max_size=3).map(tuple),
            organisation=st.booleans(),
            email=st.none() | words,
            url=st.none() | link,
        )
    ),
    licence=st.none()
    | st.builds(
        Licence,
        spdx=st.none() | st.sampled_from(["CC-BY-4.0", "CC0-1.0", "no identifier"]),
        title=words
        | st.sampled_from(["CC BY 4.0", "see https://creativecommons.org/licenses/by-nc/4.0/", "PDDL"]),
        url=st.none() | link,
    ),
    citation=st.none() | words,
    doi=st.none() | st.just("10.1234/ab.c"),
    lineage=st.none() | words,
    update_frequency=st.none() | words,
    created=st.none() | instants,
    modified=st.none() | instants,
    distributions=tuples(
        st.builds(
            Distribution,
            protocol=st.sampled_from(["file", "zarr", "opendap", "http"]),
            address=words,
            format=st.sampled_from(["netcdf", "csv"]),
            media_type=st.none() | words,
            title=st.none() | words,
            size=st.none() | st.integers(0, 2**62),
        )
    ),
    quality=tuples(st.builds(QualityNote, code=st.sampled_from(["a-b", "title-missing"]), text=words)),
    landing_page=st.none() | link,
    document_hash=st.just("0" * 64),
)


def module(dialect: str) -> ModuleType:
    return importlib.import_module(f"catalog.dialects.{dialect}")


def document(content: bytes) -> Document:
    return Document(source="s", native_id="x", content=content)


def again(dialect: str, record: Record) -> Record:
    """The record as read from what the dialect wrote of it, but for the hash of that document."""
    read = module(dialect).read(document(module(dialect).write(record)))
    assert isinstance(read, Record)
    return read.model_copy(update={"document_hash": record.document_hash})


def test_there_are_dialects() -> None:
    assert {"acdd", "native"} <= set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(records)
def test_reading_what_was_written_does_not_drift(dialect: str, record: Record) -> None:
    once = again(dialect, record)
    assert again(dialect, once) == once


@given(records)
def test_native_forgets_nothing(record: Record) -> None:
    assert native.read(document(native.write(record))) == record


@given(records)
def test_acdd_keeps_where_when_and_what(record: Record) -> None:
    once = again("acdd", record)
    assert once.extent.boxes == tuple(dict.fromkeys(record.extent.boxes))
    assert (once.extent.time, once.extent.vertical) == (record.extent.time, record.extent.vertical)
    assert (once.kind, once.created, once.modified) == (record.kind, record.created, record.modified)
    assert [note.code for note in once.quality if note.code.endswith("-differs")] == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | finite | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


def attempt(dialect: str, content: bytes) -> Record | None:
    """What the dialect reads: a record, or None for a BadDocument; anything else that is raised fails the test."""
    try:
        read = module(dialect).read(document(content))
    except BadDocument:
        return None
    assert isinstance(read, Record)
    return read


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    st.binary(max_size=100)
    | (VALUES | st.floats() | st.text(st.characters())).map(lambda value: json.dumps(value).encode())
)
def test_reads_any_bytes(dialect: str, content: bytes) -> None:
    attempt(dialect, content)


ATTRIBUTES = (
    "title", "title_vi", "summary", "keywords", "keywords_vi", "license", "license_url", "history",
    "citation", "references", "doi", "id", "institution", "creator_name", "creator_email", "creator_url",
    "creator_type", "contributor_name", "contributor_role", "featureType", "date_created",
    "geospatial_lat_min", "geospatial_lat_max", "geospatial_lon_min", "geospatial_lon_max",
    "geospatial_vertical_min", "geospatial_vertical_max", "geospatial_vertical_positive",
    "time_coverage_start", "time_coverage_end", "metadata_link",
)  # fmt: skip
COVERAGE = ("kind", "boxes", "vertical", "time", "resolution", "coordinates", "problems")
odd = VALUES | st.lists(st.lists(finite, min_size=4, max_size=4)) | finite | finite.map(str) | instants
headers = st.fixed_dictionaries(
    {"attributes": st.dictionaries(st.sampled_from(ATTRIBUTES), odd)},
    optional={
        "format": odd,
        "variables": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["a", "a\x00", ""]) | odd},
                optional={"dimensions": odd, "shape": odd, "dtype": odd, "attributes": odd},
            )
        ),
        "coverage": st.dictionaries(st.sampled_from(COVERAGE), odd)
        | st.fixed_dictionaries({"time": st.fixed_dictionaries({"start": odd, "end": odd})}),
        "file": st.fixed_dictionaries({"path": odd, "size": odd, "checksum": odd}),
        "distributions": odd,
    },
)


@given(headers)
def test_acdd_reads_any_header_and_does_not_drift(header: dict[str, Any]) -> None:
    """Every value of a header document may be anything; what is read survives being written and read again."""
    read = attempt("acdd", json.dumps(header).encode())
    if read is not None:
        assert again("acdd", read) == read
