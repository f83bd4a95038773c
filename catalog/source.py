"""Source, an entry of sources.toml, and Document, the bytes that a source gave."""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, ValidationError, field_validator

from catalog.errors import BadSource
from catalog.instant import Instant, now
from catalog.record import BBox, Model

SLUG_LENGTH = 100
_HASH_LENGTH = 8


class Source(Model):
    """A portal to harvest: a `[[source]]` table of sources.toml.

    `schedule` says when it is harvested: a cron expression of five fields, or `@hourly`, `@daily`, `@weekly`,
    `@monthly`, in UTC or in the time zone (an IANA name) that stands after it; never by itself where it is empty.
    `options` holds the protocol's own options. `changed_since` and `resume` are set by the runner, never by the file:
    list only what changed since (an incremental run), or start at the page with this cursor.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    protocol: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,30}$")]
    url: Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
    title: str = ""
    enabled: bool = True
    schedule: Annotated[str, StringConstraints(max_length=200)] = ""
    licence_note: str = ""
    comment: str = ""
    bbox: BBox | None = None
    search: str = ""
    options: Mapping[str, Any] = Field(default_factory=dict)
    changed_since: Instant | None = None
    resume: str | None = None

    @field_validator("bbox", mode="before")
    @classmethod
    def _liberal(cls, value: Any) -> Any:
        return BBox.of(*value) if isinstance(value, list | tuple) and len(value) == 4 else value  # noqa: PLR2004

    @field_validator("schedule")
    @classmethod
    def _comes(cls, value: str) -> str:
        if value:
            _next(value, 0.0)
        return value

    def next_time(self, after: float) -> float | None:
        """Return the first time of the schedule after a time, both in seconds since 1970; None without a schedule."""
        return _next(self.schedule, after) if self.schedule else None


_EVERY = frozenset({"@hourly", "@daily", "@weekly", "@monthly"})
_CRON_FIELDS = 5
_BY_CHANCE = re.compile(r"(?i)(?<![a-z])[hr](?![a-z])")  # of croniter: another time each time it is asked


def _next(schedule: str, after: float) -> float:
    """The first time of a schedule after a time. Raises ValueError for what is no schedule, or one without a time."""
    from croniter import croniter  # noqa: PLC0415 - slow to load, and only for sources with a schedule

    words = schedule.split()
    length = 1 if words and words[0] in _EVERY else _CRON_FIELDS
    if len(words) not in {length, length + 1} or any(map(_BY_CHANCE.search, words[:length])):
        raise ValueError(f"{schedule!r} is no schedule such as '30 3 * * *' or '30 3 * * * Asia/Ho_Chi_Minh'")
    name = words[length] if len(words) > length else "UTC"
    try:
        begin = datetime.fromtimestamp(after, ZoneInfo(name))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error
    moment: datetime = croniter(" ".join(words[:length]), begin).get_next(datetime)
    return moment.timestamp()


_FIELDS = set(Source.model_fields) - {"options", "changed_since", "resume"}


def read_sources(path: Path) -> tuple[Source, ...]:
    """Read the `[[source]]` tables of a sources.toml; what is no field of Source is an option of its protocol.

    A relative `url` of protocol `files` is taken from the folder that holds the file.

    Raises:
        BadSource: The file is not TOML, an entry is wrong, or two entries have one id.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8")).get("source", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSource(f"{path} cannot be read as TOML: {error}") from error
    sources: dict[str, Source] = {}
    for table in tables:
        options = {key: value for key, value in table.items() if key not in _FIELDS}
        try:
            entry = Source(**{k: v for k, v in table.items() if k in _FIELDS}, options=options)
        except (ValidationError, TypeError, ValueError) as error:
            raise BadSource(
                f"a source of {path.name} is wrong: {error}", hint="see docs/reference/sources.md"
            ) from error
        if entry.id in sources:
            raise BadSource(f"two sources of {path.name} have the id {entry.id!r}")
        if entry.protocol == "files" and "://" not in entry.url:
            entry = entry.model_copy(update={"url": str((path.parent / entry.url).resolve())})
        sources[entry.id] = entry
    return tuple(sources.values())


class Document(Model):
    """What a source gave for one dataset, as given.

    Args:
        source: The source's id.
        native_id: The dataset's id at the source, never used as a path.
        name: What the record's id is made of, with the source's id; the native id where empty.
        content: The bytes (empty where `problem` is set).
        media_type: IANA media type of the content.
        url: Where it came from.
        fetched_at: When, UTC.
        page: Cursor of the listing's page that it belongs to; given back as `Source.resume` to start there again.
        problem: Why the document could not be had: it is quarantined with this reason, and is not missing.
        deleted: Whether the source says that it has deleted the dataset (OAI-PMH §2.5.1): nothing is read of it, and it
            is withdrawn as the run ends; only what a source that tells deletions says is one.
    """

    source: str
    native_id: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    name: str = ""
    content: bytes = b""
    media_type: str = "application/json"
    url: str = ""
    fetched_at: Instant = Field(default_factory=now)
    page: str = ""
    problem: str | None = None
    deleted: bool = False

    @field_validator("problem", mode="before")
    @classmethod
    def _told(cls, value: Any) -> Any:
        return printable(value) if isinstance(value, str) else value

    @property
    def hash(self) -> str:
        """The sha256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def id(self) -> str:
        """The record's id: a slug of source and name."""
        return slug(self.source, self.name or self.native_id)


def printable(text: str) -> str:
    """Return text that can be kept and sent; a byte of a file's name that is no UTF-8 is written as its code."""
    return text.encode("utf-8", "backslashreplace").decode()


def slug(source: str, name: str, *, distinct_by: str | None = None) -> str:
    """Return a stable id of `[a-z0-9_-]`, at most 100 characters, from a source's id and a name in it.

    Letter case and runs of other characters are folded; where that loses more than case, or `distinct_by` asks for it
    (two names that fold to one slug), a short sha256 of the name is appended.
    """
    return _slug(source, name, distinct_by)


@lru_cache(maxsize=1_024)
def _slug(source: str, name: str, distinct_by: str | None) -> str:
    plain = name.lower()
    if not name.isascii():
        plain = unicodedata.normalize("NFKD", name.replace("đ", "d").replace("Đ", "D")).lower()
        plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    folded = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-")
    whole = f"{source}-{folded}"
    if folded == name.lower() and len(whole) <= SLUG_LENGTH and distinct_by is None:
        return whole
    told = hashlib.sha256((distinct_by or name).encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{whole[: SLUG_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{told}"
