"""Catalog: the only object that interfaces, commands and notebooks talk to."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

from catalog import formats, tabling
from catalog.data import opening, places, subset
from catalog.data.spools import Spools
from catalog.data.strikes import STRIKE_SECONDS
from catalog.data.workers import Spool, Workers
from catalog.errors import NotFound, NotSubsettable
from catalog.record import Distribution, Model, Record
from catalog.search import Page, Query
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores import Run, Store, Version, sqlite

LOCAL = ("file", "zarr", tabling.PROTOCOL)
OPENABLE = (*LOCAL, "griddap", "opendap")
"""The protocols that can be cut, the cheapest first."""

REMOTE_SLOW_SECONDS = 60.0
"""How long a remote server that was twice too slow is left alone."""


class SourceSummary(Model):
    """A source, configured or once harvested: how many records it has, and its last run."""

    id: str
    protocol: str | None = None
    url: str | None = None
    title: str = ""
    licence_note: str = ""
    enabled: bool = False
    records: int = 0
    last_run: Run | None = None


class Result(NamedTuple):
    """A finished subset: its bytes in an anonymous file, their media type, and a name to save them under."""

    spool: Spool
    media_type: str
    filename: str


class Catalog:
    """Search, get and cut what a store holds; a context manager that ends its reading processes.

    Args:
        store: Where the records are.
        settings: Limits and places.
        sources: The configured sources, for `sources`.
    """

    def __init__(self, store: Store, settings: Settings, sources: Sequence[Source] = ()) -> None:
        self.store = store
        self.settings = settings
        self._sources = tuple(sources)

    @cached_property
    def workers(self) -> Workers:
        """The processes that read data, begun at their first use."""
        known = self.settings
        return Workers(
            known.readers,
            seconds=known.read_seconds,
            memory=known.read_memory,
            queue=known.queue,
            max_answer_bytes=known.max_answer_bytes,
            spools=Spools(known.spool_bytes),
        )

    def __enter__(self) -> Self:
        """Return the catalog itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the catalog."""
        self.close()

    def close(self) -> None:
        """End the reading processes, and let go of the store."""
        if "workers" in vars(self):
            self.workers.close()
        self.store.close()

    def warm(self) -> None:
        """Begin the reading processes, so that no request waits for their start."""
        self.workers.run(len, ())

    def search(self, query: Query) -> Page:
        """Return the page of public records that answers a query."""
        page = self.store.search(query)
        return page.model_copy(update={"items": tuple(map(public, page.items))})

    def get(self, record_id: str) -> Record:
        """Return a public record. Raises NotFound or Withdrawn."""
        return public(self.store.get(record_id))

    def history(self, record_id: str) -> tuple[Version, ...]:
        """Return the newest hundred versions of a record in public form, oldest first. Raises NotFound."""
        return tuple(
            version.model_copy(update={"record": version.record and public(version.record)})
            for version in self.store.history(record_id)
        )

    def sources(self) -> tuple[SourceSummary, ...]:
        """Return the sources, configured ones first in their order, then others that the store has records of."""
        counts = self.store.sources()
        configured = {source.id: source for source in self._sources}
        return tuple(
            self._summary(name, configured.get(name), counts)
            for name in dict.fromkeys((*configured, *counts))
        )

    def _summary(self, name: str, source: Source | None, counts: Mapping[str, int]) -> SourceSummary:
        run = next(iter(self.store.runs(name, limit=1, quarantine=0)), None)
        known: dict[str, Any] = {}
        if source is not None:
            local = source.protocol == "files"
            known = {
                "protocol": source.protocol,
                "url": None if local else source.url,
                "title": source.title,
                "licence_note": source.licence_note,
                "enabled": source.enabled,
            }
        return SourceSummary(id=name, records=counts.get(name, 0), last_run=run, **known)

    def runs(self, source: str | None = None, *, limit: int = 50) -> tuple[Run, ...]:
        """Return runs, newest first. Raises NotFound for a source that is neither configured nor harvested."""
        if source is not None and source not in {known.id for known in self.sources()}:
            raise NotFound(f"there is no source {source[:60]!r}", hint="see /api/sources for those there are")
        return self.store.runs(source, limit=limit)

    def subset(self, record_id: str, cut: subset.Cut, suffix: str) -> Result:
        """Cut a record's data, and write them in the format with this file suffix.

        The answer is complete before it is returned, so it never breaks off in the middle.

        Raises:
            NotFound: No such record or format.
            NotSubsettable: The record has no data that can be cut.
            BadRequest, OutsideDomain, TooLarge: As `catalog.data.subset` says.
            DataError: The data could not be read.
            TooBusy: No reader is free.
        """
        chosen = formats.named(suffix)
        record = self.store.get(record_id)
        distribution = openable(record)
        reach = opening.Reach(
            allow_hosts=self.settings.allow_hosts,
            user_agent=self.settings.user_agent,
            stall_seconds=self.settings.fetch_stall_seconds,
            seconds=self.settings.fetch_seconds,
            max_bytes=self.settings.max_result_bytes,
        )
        limits = subset.Limits(
            result_bytes=self.settings.max_result_bytes, decoded_bytes=self.settings.max_decoded_bytes
        )
        spool = self.workers.spool(
            _cut_and_write,
            distribution,
            cut,
            suffix,
            record.id,
            reach,
            limits,
            key=_key(distribution),
            slow_seconds=STRIKE_SECONDS if distribution.protocol in LOCAL else REMOTE_SLOW_SECONDS,
        )
        return Result(spool, chosen.MEDIA_TYPE, f"{record.id}.{suffix}")

    def table(self, record_id: str, query: str, suffix: str) -> Result:
        """Answer a query of a record's data as rows (`catalog.data.constraints`), in a format of rows.

        The answer is complete before it is returned.

        Raises:
            NotFound: No such record or format, or no row answers.
            NotSubsettable: The record has no data that are rows.
            BadRequest, TooLarge: As `catalog.data.tabular.answer` says.
            DataError: The data could not be read.
            TooBusy: No reader is free.
        """
        asked = tabling.parse(query, suffix)
        record = self.store.get(record_id)
        distribution = openable(record)
        spool = self.workers.spool(
            tabling.written,
            distribution,
            asked,
            suffix,
            tabling.credits_of(record, query),
            tabling.types(record),
            opening.Reach(
                allow_hosts=self.settings.allow_hosts,
                user_agent=self.settings.user_agent,
                stall_seconds=self.settings.fetch_stall_seconds,
                seconds=self.settings.fetch_seconds,
                max_bytes=self.settings.max_result_bytes,
            ),
            self.settings.max_result_bytes,
            key=_key(distribution),
            slow_seconds=STRIKE_SECONDS if distribution.protocol in LOCAL else REMOTE_SLOW_SECONDS,
        )
        return Result(spool, tabling.FORMATS[suffix], f"{record.id}.{suffix}")


def _cut_and_write(  # noqa: PLR0913 - one flat, picklable call into a worker process
    distribution: Distribution,
    cut: subset.Cut,
    suffix: str,
    record_id: str,
    reach: opening.Reach,
    limits: subset.Limits,
) -> Iterator[bytes]:
    """Open, cut and write, in a worker process."""
    with opening.opened(distribution, reach) as dataset:
        yield from formats.named(suffix).write(subset.cut(dataset, cut, record_id, limits))


def _key(distribution: Distribution) -> tuple[str | int, ...]:
    """What crashes are counted against: the address, and for a local one the very file that is there now."""
    if distribution.protocol not in LOCAL:
        return (distribution.address,)
    try:
        facts = places.place(distribution.address).stat()
    except OSError:
        return (distribution.address,)
    return (distribution.address, facts.st_size, facts.st_mtime_ns)


def openable(record: Record) -> Distribution:
    """Return the record's cheapest distribution that can be cut.

    Raises:
        NotSubsettable: It has none; the message says what it has instead.
    """
    found = [d for protocol in OPENABLE for d in record.distributions if d.protocol == protocol]
    if found:
        return found[0]
    others = sorted({d.protocol for d in record.distributions})
    has = f"only {', '.join(others)}" if others else "no distribution at all"
    raise NotSubsettable(
        f"{record.id} cannot be cut: it has {has}",
        hint=f"data can be cut from: {', '.join(OPENABLE)}; see the record's distributions for the source's own way",
    )


def public(record: Record) -> Record:
    """Return the record without this machine's paths: a local distribution's address is its file name."""
    if not any(d.protocol in LOCAL for d in record.distributions):
        return record
    shown = tuple(
        d.model_copy(update={"address": d.address.rstrip("/").rpartition("/")[2]})
        if d.protocol in LOCAL
        else d
        for d in record.distributions
    )
    return record.model_copy(update={"distributions": shown})


def open_catalog(settings: Settings, sources: Sequence[Source] = ()) -> Catalog:
    """Open the catalog in the data home, making it where it is not there yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    return Catalog(sqlite.open_store(settings.home), settings, sources)
