"""Every setting, read from the environment with the prefix BIENMO_ (so `readers` is BIENMO_READERS)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MEGABYTE = 1_000_000


class Settings(BaseSettings):
    """Settings of one run of a command or server; each is listed in docs/reference/settings.md."""

    model_config = SettingsConfigDict(env_prefix="BIENMO_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path("~/.local/share/bienmo"), description="data home: the catalog's database and caches"
    )
    allow_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="comma-separated hosts on private addresses that may be reached",
    )  # fmt: skip
    sources: Path | None = Field(
        default=None, description="the sources.toml in use; else HOME/sources.toml, else the built-in"
    )
    readers: int = Field(
        default=3, ge=1, le=64, description="processes that read data, for each server process"
    )
    queue: int = Field(default=64, ge=0, le=10_000, description="requests that may wait for a reader")
    read_seconds: float = Field(
        default=60, gt=0, description="longest reading of one request, or of harvested documents together"
    )
    read_memory: int = Field(
        default=2_000 * MEGABYTE, gt=0, description="address space of a reader beyond its start, bytes"
    )
    max_result_bytes: int = Field(default=500 * MEGABYTE, gt=0, description="largest decoded subset, bytes")
    max_decoded_bytes: int = Field(
        default=2_000 * MEGABYTE, gt=0, description="most bytes of chunks inflated for one subset"
    )
    max_answer_bytes: int = Field(
        default=2_000 * MEGABYTE,
        gt=0,
        description="largest subset that a reader writes whole before it is sent, bytes",
    )
    spool_bytes: int = Field(
        default=8_000 * MEGABYTE, gt=0, description="most bytes of finished subsets that wait to be sent"
    )
    chunk_cache_bytes: int = Field(
        default=64 * MEGABYTE, ge=0, description="decoded chunks that are kept for repeats, bytes"
    )
    grid_bytes: int = Field(
        default=500 * MEGABYTE,
        ge=0,
        description="what files at hand keep in memory (indexes, coordinates); those not used for longest go first, "
        "bytes",
    )
    twin_bytes: int = Field(
        default=20_000 * MEGABYTE,
        ge=0,
        description="disk for twins, which `bienmo optimize` makes; those not used for longest go first, bytes",
    )
    makers: int = Field(
        default=2, ge=1, le=64, description="large subsets that the server makes at once, while they are sent"
    )
    client_active: int = Field(
        default=2, ge=1, description="subsets of one client that are made at once, in each server process"
    )
    client_waiting: int = Field(
        default=15, ge=0, description="requests of one client that may wait for that; further ones get 429"
    )
    remote_readers: int = Field(
        default=4, ge=1, le=64, description="processes that read remote data, apart from those for files"
    )
    remote_file_bytes: int = Field(
        default=100 * MEGABYTE,
        ge=0,
        description="largest remote file that is read whole where its server gives no parts of it, bytes",
    )
    remote_cache_seconds: float = Field(
        default=3_600,
        ge=0,
        description="longest that a small result of remote data is given again; 0: never",
    )
    remote_cache_bytes: int = Field(
        default=500 * MEGABYTE, ge=0, description="results and indexes of remote data that are kept, bytes"
    )
    write_seconds: float = Field(
        default=30, gt=0, description="longest wait for a client that takes nothing of its answer"
    )
    fetch_seconds: float = Field(
        default=60, gt=0, description="longest fetch of one address, redirects included"
    )
    fetch_stall_seconds: float = Field(default=15, gt=0, description="longest silence of a source")
    fetch_bytes: int = Field(
        default=40 * MEGABYTE, gt=0, description="largest answer of a source, inflated, bytes"
    )
    fetch_tries: int = Field(default=5, ge=1, le=10, description="tries of one address")
    retry_after_seconds: float = Field(
        default=600, ge=0, description="longest Retry-After that is waited for"
    )
    user_agent: str = Field(
        default="bienmo/0.1 (marine open-data catalog; +https://bienmo.example/)",
        description="who asks: put a contact address of the operator here",
    )
    shrink_hold: float = Field(
        default=0.2, ge=0, le=1, description="share of a source that may go missing unheld"
    )
    missed_runs: int = Field(
        default=3, ge=1, description="complete runs that miss a record before it is withdrawn"
    )
    lease_seconds: float = Field(
        default=60, gt=0, description="life of a harvest's lease between two signs of life"
    )
    harvests: int = Field(default=4, ge=1, le=64, description="sources that are harvested at once")
    failures_before_rest: int = Field(
        default=3,
        ge=1,
        description="failed runs in a row after which a source rests an hour, two, four … a day",
    )
    health_hours: float = Field(
        default=24,
        ge=0,
        description="hours between passes of health probes beside `bienmo harvest --watch`; 0: none",
    )
    health_seconds: float = Field(default=900, gt=0, description="longest pass of health probes")
    health_days: float = Field(default=7, ge=0, description="days after which a record is probed again")

    @field_validator("allow_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser().absolute()
