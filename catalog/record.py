"""The one model of a dataset: what ISO 19115, DCAT, ACDD and STAC agree on; frozen, valid or nonexistent."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from catalog.instant import Instant, seconds

Kind = Literal[
    "grid", "timeseries", "profile", "trajectory", "points", "mesh", "features", "document",
]  # fmt: skip
"""What the data are: CF discrete sampling geometries, grids, meshes (UGRID), vector features, or documents."""

Role = Literal[
    "publisher", "creator", "owner", "pointOfContact", "distributor", "processor", "custodian", "contributor",
    "funder", "principalInvestigator", "author", "user", "resourceProvider", "originator",
]  # fmt: skip
"""Roles of a party: ISO 19115-1 CI_RoleCode."""

MOST: Mapping[str, int] = MappingProxyType(
    {
        "boxes": 1_000, "keywords": 1_000, "themes": 100, "variables": 10_000, "parties": 500,
        "distributions": 2_000, "quality": 1_000,
    }
)  # fmt: skip
"""How many of each a record has at most; a dialect that meets more leaves the rest out, with a note."""

Words = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
RecordId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,100}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")]
Address = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]


class Model(BaseModel):
    """A frozen model that knows all its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Text(Model):
    """Words by language (BCP 47; `und` where the source does not say); in JSON a plain object."""

    words: Mapping[Language, Words]

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"words": value} if isinstance(value, Mapping) and "words" not in value else value

    @field_validator("words", mode="after")
    @classmethod
    def _frozen(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if not value:
            raise ValueError("a text has words in at least one language")
        return MappingProxyType(dict(sorted(value.items())))

    @model_serializer
    def _object(self) -> dict[str, str]:
        return dict(self.words)

    def __hash__(self) -> int:
        """Hash by words, so that records can be hashed."""
        return hash(tuple(self.words.items()))

    @classmethod
    def of(cls, words: str, language: str = "und") -> Self:
        """Make a text of words in one language."""
        return cls(words={language: words})

    def best(self, language: str) -> str:
        """Return the words in `language`, else in English, else in the first language there is."""
        for wanted in (language, "en", "und"):
            if wanted in self.words:
                return self.words[wanted]
        return next(iter(self.words.values()))


def longitude(value: float) -> float:
    """Return a longitude in degrees east brought into −180…180 (180 stays 180)."""
    return value if -180 <= value <= 180 else (value + 180) % 360 - 180  # noqa: PLR2004


class BBox(Model):
    """A box in degrees, longitudes −180…180; west exceeds east where it crosses the antimeridian; in JSON a list.

    Zero width or height is legal (a station).
    """

    west: float = Field(ge=-180, le=180)
    south: float = Field(ge=-90, le=90)
    east: float = Field(ge=-180, le=180)
    north: float = Field(ge=-90, le=90)

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if len(value) != 4:  # noqa: PLR2004
                raise ValueError("a box has four numbers: west, south, east, north")
            return dict(zip(("west", "south", "east", "north"), value, strict=True))
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.south > self.north:
            raise ValueError(f"south {self.south} is north of north {self.north}")
        return self

    @model_serializer
    def _list(self) -> list[float]:
        return [self.west, self.south, self.east, self.north]

    @classmethod
    def of(cls, west: float, south: float, east: float, north: float) -> Self:
        """Make a box of liberally written degrees: 0…360 or beyond; 360 or more wide is the whole circle.

        Raises:
            ValueError: A number is not finite, a latitude is beyond a pole, or south is north of north.
        """
        if not all(map(math.isfinite, (west, south, east, north))):
            raise ValueError("a box has four finite numbers: west, south, east, north")
        if east - west >= 360:  # noqa: PLR2004
            return cls(west=-180, south=south, east=180, north=north)
        return cls(west=longitude(west), south=south, east=longitude(east), north=north)

    def parts(self) -> tuple[tuple[float, float, float, float], ...]:
        """Return the box as one or, across the antimeridian, two plain (west, south, east, north) tuples."""
        if self.west <= self.east:
            return ((self.west, self.south, self.east, self.north),)
        return ((self.west, self.south, 180.0, self.north), (-180.0, self.south, self.east, self.north))

    def intersects(self, other: "BBox") -> bool:
        """Tell whether two boxes share a point, edges included; −180 and 180 are the same meridian."""
        return any(
            a[0] <= b[2] + turn and b[0] + turn <= a[2] and a[1] <= b[3] and b[1] <= a[3]
            for a in self.parts()
            for b in other.parts()
            for turn in (-360.0, 0.0, 360.0)
        )


class VerticalRange(Model):
    """Depth range in metres, positive down, first ≤ last (a height above the sea is negative)."""

    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum depth {self.minimum} exceeds maximum {self.maximum}")
        return self


class TimeRange(Model):
    """First and last instant, both included, in the data's own calendar (CF §4.4.1); None is an open end."""

    start: Instant | None = None
    end: Instant | None = None
    calendar: Name = "standard"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start and self.end and seconds(self.start) > seconds(self.end):
            raise ValueError(f"the time range starts at {self.start}, after its end {self.end}")
        return self

    def bounds(self) -> tuple[float, float]:
        """Return (first, last) in seconds since 1970, open ends as ∓infinity."""
        return (
            seconds(self.start) if self.start else -math.inf,
            seconds(self.end) if self.end else math.inf,
        )


class Resolution(Model):
    """Mean spacing along the axes: degrees, metres, seconds."""

    longitude: float | None = Field(default=None, gt=0)
    latitude: float | None = Field(default=None, gt=0)
    depth: float | None = Field(default=None, gt=0)
    time: float | None = Field(default=None, gt=0)


class Extent(Model):
    """Where and when the data are."""

    boxes: tuple[BBox, ...] = Field(default=(), max_length=MOST["boxes"])
    vertical: VerticalRange | None = None
    time: TimeRange | None = None
    resolution: Resolution | None = None


class Variable(Model):
    """A variable of the data; `dimensions` and `shape` in storage order (slowest first)."""

    name: Name
    standard_name: Name | None = None
    title: Text | None = None
    units: str | None = Field(default=None, max_length=1_000)
    dtype: str | None = Field(default=None, max_length=100)
    dimensions: tuple[Name, ...] = ()
    shape: tuple[Annotated[int, Field(ge=0)], ...] = ()
    coordinate: bool = False

    @model_validator(mode="after")
    def _shaped(self) -> Self:
        if self.shape and len(self.shape) != len(self.dimensions):
            raise ValueError(f"{self.name} has {len(self.dimensions)} dimensions and {len(self.shape)} sizes")
        return self


class Party(Model):
    """A person or organisation with its roles."""

    name: Name
    roles: tuple[Role, ...] = ("pointOfContact",)
    organisation: bool = True
    email: str | None = Field(default=None, max_length=1_000)
    url: Address | None = None


class Licence(Model):
    """Terms of use: an SPDX identifier where one is known, else the source's own words."""

    spdx: str | None = Field(default=None, max_length=100)
    title: Words | None = None
    url: Address | None = None

    @model_validator(mode="after")
    def _says(self) -> Self:
        if not (self.spdx or self.title or self.url):
            raise ValueError("a licence says something: spdx, title or url")
        return self


class Distribution(Model):
    """A way to the data: protocol, address, media type, size in bytes, and what tells a changed file.

    The address of a `collection` is that of its index (`catalog.data.collecting`); size and checksum are of all files.
    """

    protocol: Literal[
        "file", "zarr", "collection", "table", "opendap", "griddap", "tabledap", "http", "wms", "other"
    ]
    address: Address
    format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+_-]{1,40}$")] = "unknown"
    media_type: str | None = Field(default=None, max_length=200)
    title: Words | None = None
    size: int | None = Field(default=None, ge=0)
    checksum: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")


class QualityNote(Model):
    """Something to know before use: a stable code and a sentence (a wrong attribute, a repaired extent)."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,60}$")]
    text: Words


class Record(Model):
    """A dataset's description. An invalid record cannot exist.

    `id` is given by the runner: a slug of source and native id, the same in every interface. `document_hash` is the
    sha256 of the document that the record was read from.
    """

    id: RecordId
    source: Name
    native_id: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    title: Text
    summary: Text | None = None
    keywords: tuple[Text, ...] = Field(default=(), max_length=MOST["keywords"])
    themes: tuple[Name, ...] = Field(default=(), max_length=MOST["themes"])
    kind: Kind = "document"
    variables: tuple[Variable, ...] = Field(default=(), max_length=MOST["variables"])
    extent: Extent = Extent()
    parties: tuple[Party, ...] = Field(default=(), max_length=MOST["parties"])
    licence: Licence | None = None
    citation: Words | None = None
    doi: Annotated[str, StringConstraints(pattern=r"^10\.\d{4,9}/\S+$")] | None = None
    lineage: Words | None = None
    update_frequency: str | None = Field(default=None, max_length=200)
    created: Instant | None = None
    modified: Instant | None = None
    distributions: tuple[Distribution, ...] = Field(default=(), max_length=MOST["distributions"])
    quality: tuple[QualityNote, ...] = Field(default=(), max_length=MOST["quality"])
    landing_page: Address | None = None
    document_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("variables")
    @classmethod
    def _distinct(cls, value: tuple[Variable, ...]) -> tuple[Variable, ...]:
        names = [variable.name for variable in value]
        if len(names) != len(set(names)):
            raise ValueError("two variables have the same name")
        return value

    def same(self, other: "Record") -> bool:
        """Tell whether two records say the same, be they read from documents of different bytes."""
        return self == other.model_copy(update={"document_hash": self.document_hash})

    def data_variables(self) -> tuple[Variable, ...]:
        """Return the variables that are data, not coordinates."""
        return tuple(variable for variable in self.variables if not variable.coordinate)
