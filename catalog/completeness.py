"""How well a record is described: a score of a hundred points, and what is missing in words its provider can act on.

What is expected, what it is worth and which documents ask for it stands in `expectations.toml` (ACDD 1.3, CF 1.11,
ISO 19115, INSPIRE, WMO's core profile). Every expectation counts for every record, so that scores can be compared, and
saying more never lowers one: a field that was empty, a language, a keyword, a party, a way to the data, what a variable
is called or measured in. The variables themselves are the data: one more without units is one more to describe.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType

from pydantic import Field

from catalog import vocabulary
from catalog.data.ways import openables
from catalog.instant import Instant
from catalog.record import Model, Record, Role, Text, Variable
from catalog.words import tokens

ENOUGH_LETTERS = 100
"""Letters of a summary from which on it is one; fewer are worth their share."""

ENOUGH_KEYWORDS = 3
MOST_NAMED = 20
"""Variables that a gap names at most."""

COMMON_GAPS = 5
"""Gaps that are told of a source."""

_MAKERS: frozenset[Role] = frozenset(
    {"creator", "author", "originator", "principalInvestigator", "processor", "owner"}
)
_GIVERS: frozenset[Role] = frozenset({"publisher", "distributor", "custodian", "resourceProvider"})
_STANDARD_NAME = re.compile(r"[a-z][a-z0-9_]*( [a-z_]+)?")  # CF §3.3: a name, and a modifier of Appendix C
_TEXTUAL = re.compile(r"(?i)[<>|=]?[SU]\d*|str.*|char.*|object.*|\|O")
_NO_QUANTITY = frozenset(
    {"crs", "flag", "flags", "mapping", "projection", "qc", "quality", "spatial", "status"}
)


class Expectation(Model):
    """Something that a description is expected to say.

    Args:
        code: What it is called.
        points: What it is worth, of a hundred for all.
        text: What to do where it is missing, in Vietnamese and English.
        sources: The documents that ask for it, with the section or the name there.
    """

    code: str
    points: int
    text: Text
    sources: tuple[str, ...]


class Gap(Model):
    """What a description or a file lacks.

    Args:
        code: The expectation, or the checker that found it.
        points: What filling it would add to the score; 0 for what a checker found in a file.
        text: What to do; a checker's own words are English.
        about: The variables that lack it, at most twenty, where it is about variables.
        lacking: How many variables lack it.
        sources: The documents that ask for it, with the section or the name there.
    """

    code: str
    points: float
    text: Text
    about: tuple[str, ...] = ()
    lacking: int = 0
    sources: tuple[str, ...] = ()


class FileCheck(Model):
    """What the IOOS compliance checker found in one NetCDF file.

    Args:
        file: The file's name.
        checker: The checker's version.
        scores: Points got and points there are, by convention (`CF 1.8`, `ACDD 1.3`).
        gaps: What it found, the gravest first; those after the first few hundred are left out.
        left_out: How many.
    """

    file: str
    checker: str
    scores: Mapping[str, tuple[int, int]]
    gaps: tuple[Gap, ...]
    left_out: int = 0


class Appraisal(Model):
    """How well a record is described: 0 to 100, what is missing, and what checkers found in its files.

    The gaps are ordered by what filling them would add.
    """

    id: str
    score: int = Field(ge=0, le=100)
    gaps: tuple[Gap, ...]
    files: tuple[FileCheck, ...] = ()


class CommonGap(Model):
    """An expectation that records of a source miss: in what share of them, and what that costs on average."""

    code: str
    share: float
    points: float
    text: Text
    sources: tuple[str, ...]


class SourceAppraisal(Model):
    """How well a source describes its datasets: the mean score, and what is missing most.

    `assessed` of its `records` were looked at, spread evenly where they are not all of them.
    """

    source: str
    score: float
    records: int
    assessed: int
    at: Instant
    gaps: tuple[CommonGap, ...]


@cache
def expectations() -> Mapping[str, Expectation]:
    """Return what a description is expected to say, by code; the points of all are a hundred."""
    tables = tomllib.loads(resources.files("catalog").joinpath("expectations.toml").read_text("utf-8"))
    return MappingProxyType(
        {
            code: Expectation(
                code=code,
                points=table["points"],
                text=Text(words={language: table[language] for language in ("vi", "en")}),
                sources=tuple(table["sources"]),
            )
            for code, table in tables.items()
        }
    )


def appraise(record: Record) -> Appraisal:
    """Return how well a record is described."""
    gaps: list[Gap] = []
    got = 0.0
    for code, expected in expectations().items():
        share = min(1.0, _MEASURES[code](record))
        got += expected.points * share
        if share < 1:
            gaps.append(_gap(expected, share, record))
    ordered = sorted(gaps, key=lambda gap: -gap.points)
    return Appraisal(id=record.id, score=int(got + 1e-6), gaps=tuple(ordered))


def _gap(expected: Expectation, share: float, record: Record) -> Gap:
    said = _OF_VARIABLES.get(expected.code)
    lacking = [v.name for v in record.data_variables() if not said(v)] if said else []
    return Gap(
        code=expected.code,
        points=round(expected.points * (1 - share), 1),
        text=expected.text,
        about=tuple(lacking[:MOST_NAMED]),
        lacking=len(lacking),
        sources=expected.sources,
    )


def summarise(source: str, records: int, appraisals: Sequence[Appraisal], at: Instant) -> SourceAppraisal:
    """Return how well a source describes its datasets, by appraisals of some or all of them.

    Args:
        source: Its id.
        records: How many records it has.
        appraisals: Those of the records that were looked at.
        at: When.
    """
    many = len(appraisals)
    lost: dict[str, list[float]] = {}
    for appraisal in appraisals:
        for gap in appraisal.gaps:
            lost.setdefault(gap.code, []).append(gap.points)
    costly = sorted(lost.items(), key=lambda item: -sum(item[1]))[:COMMON_GAPS]
    return SourceAppraisal(
        source=source,
        score=round(sum(appraisal.score for appraisal in appraisals) / many, 1) if many else 0.0,
        records=records,
        assessed=many,
        at=at,
        gaps=tuple(
            CommonGap(
                code=code,
                share=round(len(points) / many, 3),
                points=round(sum(points) / many, 1),
                text=expectations()[code].text,
                sources=expectations()[code].sources,
            )
            for code, points in costly
        ),
    )


# --- what of an expectation is met, as a share


def _titled(record: Record) -> float:
    """Whether there is a title that is no name of a file: not made by us, and not the native id."""
    made = any(note.code == "title-missing" for note in record.quality)
    name = tokens(record.native_id)
    stem = tokens(record.native_id.rpartition("/")[2].rpartition(".")[0])
    return not made and any(tokens(words) not in {name, stem} for words in record.title.words.values())


def _longest(text: Text | None) -> int:
    return max(map(len, text.words.values())) if text else 0


def _with_role(record: Record, roles: Iterable[Role]) -> float:
    return any(set(party.roles) & set(roles) for party in record.parties)


def _themed(record: Record) -> float:
    return bool(record.themes) or any(v.standard_name in vocabulary.vocabulary() for v in record.variables)


def _standard(variable: Variable) -> bool:
    """Whether a variable has a name that CF's table could hold, or is no quantity."""
    name = variable.standard_name
    return not _is_quantity(variable) or (name is not None and bool(_STANDARD_NAME.fullmatch(name)))


def _measured(variable: Variable) -> bool:
    return not _is_quantity(variable) or bool(variable.units)


def _called(variable: Variable) -> bool:
    return variable.title is not None


def _is_quantity(variable: Variable) -> bool:
    """Whether a variable has units and a standard name: text, flags and map projections have none."""
    if variable.dtype is not None and _TEXTUAL.fullmatch(variable.dtype):
        return False
    return not _NO_QUANTITY.intersection(tokens(variable.name))


def _share(said: Callable[[Variable], bool]) -> Callable[[Record], float]:
    def share(record: Record) -> float:
        variables = record.data_variables()
        return sum(map(said, variables)) / len(variables) if variables else 0.0

    return share


_OF_VARIABLES: Mapping[str, Callable[[Variable], bool]] = MappingProxyType(
    {"standard-names": _standard, "units": _measured, "long-names": _called}
)
_MEASURES: Mapping[str, Callable[[Record], float]] = MappingProxyType(
    {
        "title": _titled,
        "summary": lambda record: _longest(record.summary) / ENOUGH_LETTERS,
        "keywords": lambda record: len(set(record.keywords)) / ENOUGH_KEYWORDS,
        "theme": _themed,
        "language": lambda record: any(code != "und" for code in record.title.words),
        "creator": lambda record: _with_role(record, _MAKERS),
        "contact": lambda record: any(party.email or party.url for party in record.parties),
        "publisher": lambda record: _with_role(record, _GIVERS),
        "licence": lambda record: record.licence is not None,
        "licence-known": lambda record: bool(record.licence and (record.licence.spdx or record.licence.url)),
        "identifier": lambda record: record.doi is not None,
        "citation": lambda record: record.citation is not None,
        "place": lambda record: bool(record.extent.boxes),
        "time": lambda record: bool(
            record.extent.time and (record.extent.time.start or record.extent.time.end)
        ),
        "depth": lambda record: record.extent.vertical is not None,
        "spacing": lambda record: bool(
            record.extent.resolution
            and (record.extent.resolution.longitude or record.extent.resolution.latitude)
        ),
        "step": lambda record: bool(record.extent.resolution and record.extent.resolution.time),
        "lineage": lambda record: record.lineage is not None,
        "frequency": lambda record: bool(record.update_frequency),
        "created": lambda record: record.created is not None,
        "modified": lambda record: record.modified is not None,
        "variables": lambda record: bool(record.data_variables()),
        "standard-names": _share(_standard),
        "units": _share(_measured),
        "long-names": _share(_called),
        "access": lambda record: bool(record.distributions),
        "open-format": lambda record: bool(openables(record)),
        "format": lambda record: any(
            way.format != "unknown" or way.media_type for way in record.distributions
        ),
        "page": lambda record: record.landing_page is not None,
    }
)

__all__ = [
    "Appraisal", "CommonGap", "Expectation", "FileCheck", "Gap", "SourceAppraisal", "appraise", "expectations",
    "summarise",
]  # fmt: skip
