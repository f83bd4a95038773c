"""Catalog: the only object that interfaces, commands and notebooks talk to."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Self

from catalog import cutting, estimating, formats, tabling
from catalog.answers import Answer, of_spool, read_end
from catalog.appraisals import Appraisals
from catalog.crediting import credited, credits_of
from catalog.data import opening, places, subset
from catalog.data.grids import Grid
from catalog.data.places import LOCAL
from catalog.data.shelf import Shelf
from catalog.data.spools import Spools
from catalog.data.subset import Cut, Limits
from catalog.data.tallies import Tallies
from catalog.data.turns import Turns
from catalog.data.ways import OPENABLE, openables
from catalog.data.workers import Nursery, Workers
from catalog.errors import NotSubsettable, TooBusy, TooLarge
from catalog.estimating import Estimate
from catalog.healths import Healths
from catalog.histories import Histories, SourceSummary, past
from catalog.reaching import Remote
from catalog.record import Distribution, Record
from catalog.search import Page, Query
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores import Run, Store, Version, sqlite
from catalog.tying import Tying

CHUNKED = ("file", "zarr", "collection")
"""The protocols whose data the server reads itself, by their chunk index."""

ESTIMATES = 16
"""Estimates that are made at once, or wait: they need no turn among the subsets, and must not take every thread."""

LARGE_BYTES = 4_000_000
"""Raw bytes of a cut from which on it is large: few of them are made at once."""


class Catalog:
    """Search, get and cut what a store holds; a context manager that ends its reading processes.

    Args:
        store: Where the records are.
        settings: Limits and places.
        sources: The configured sources, for `sources`.
        nursery: What makes its reading processes, if that is begun already; the catalog ends it.
    """

    def __init__(
        self, store: Store, settings: Settings, sources: Sequence[Source] = (), nursery: Nursery | None = None
    ) -> None:
        self.store = store
        self.settings = settings
        self.tallies = Tallies(settings.home / "tallies")
        self.histories = Histories(store, sources)
        self.healths = Healths(store)
        self.appraisals = Appraisals(store, settings.home)
        self.tying = Tying(store, settings.home)
        self._spools = Spools(settings.spool_bytes)
        self._turns = Turns(
            settings.client_active, settings.client_waiting, settings.queue, settings.readers + settings.queue
        )
        self._estimates = Turns(settings.client_active, settings.client_waiting, ESTIMATES, ESTIMATES)
        self._makers = threading.BoundedSemaphore(settings.makers)
        self.workers = Workers(
            settings.readers,
            seconds=settings.read_seconds,
            memory=settings.read_memory,
            queue=settings.queue,
            max_answer_bytes=settings.max_answer_bytes,
            spools=self._spools,
            begun=nursery,
        )

    @cached_property
    def remote(self) -> Remote:
        """Data on other servers, read by processes of their own: a slow server holds nobody else up."""
        return Remote(self.settings, self._spools)

    @cached_property
    def shelf(self) -> Shelf:
        """The local files that are at hand."""
        known = self.settings
        return Shelf(known.home, self.workers, known.chunk_cache_bytes, known.twin_bytes, known.grid_bytes)

    def __enter__(self) -> Self:
        """Return the catalog itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the catalog."""
        self.close()

    def close(self) -> None:
        """End the reading processes, and let go of the store."""
        self.workers.close()
        if "remote" in vars(self):
            self.remote.close()
        self.tallies.flush()
        self.store.close()

    def warm(self) -> None:
        """Wait until a reading process is there, so that no request does; remove twins of no use."""
        self.workers.run(len, ())
        self.shelf.twins.sweep()

    def search(self, query: Query) -> Page:
        """Return the page of public records that answers a query, as of an instant that it may name.

        Raises:
            BadRequest: The instant lies in the future.
            TooBusy: Finding them took too long.
        """
        past(query.asof)
        page = self.store.search(query)
        return page.model_copy(update={"items": tuple(map(public, page.items))})

    def get(self, record_id: str, *, asof: str | None = None) -> Record:
        """Return a public record with notes of its data's health, or as it was at an instant if one is given.

        Raises:
            NotFound: There is no such record, or was none yet.
            Withdrawn: It is no more, or was withdrawn then.
            BadRequest: The instant cannot be read, or lies in the future.
        """
        found = public(self.store.get(record_id, asof=past(asof)))
        return found if asof else self.healths.noted(found)

    def history(self, record_id: str) -> tuple[Version, ...]:
        """Return the newest hundred versions of a record in public form, oldest first. Raises NotFound."""
        return tuple(
            version.model_copy(update={"record": version.record and public(version.record)})
            for version in self.store.history(record_id)
        )

    def sources(self) -> tuple[SourceSummary, ...]:
        """Return the sources, configured ones first in their order, then others that the store has records of."""
        found = self.histories.sources()
        known = self.appraisals.known(source.id for source in found)
        return tuple(source.model_copy(update={"quality": known.get(source.id)}) for source in found)

    def runs(self, source: str | None = None, *, limit: int = 50) -> tuple[Run, ...]:
        """Return runs, newest first. Raises NotFound for a source that is neither configured nor harvested."""
        return self.histories.runs(source, limit=limit)

    def subset(self, record_id: str, cut: Cut, suffix: str, *, client: str = "") -> Answer:
        """Cut a record's data, and write them in the format with this file suffix.

        Local files that the chunk index covers are read here, and large answers sent while they are made; all else is
        done in a worker, and complete before this returns.

        Args:
            record_id: The record.
            cut: What is asked for.
            suffix: The format.
            client: Who asks (an address): a client's requests wait for each other, not for those of others.

        Raises:
            NotFound: No such record or format.
            NotSubsettable: The record has no data that can be cut, or not in this format.
            BadRequest, OutsideDomain, TooLarge: As `catalog.data.subset` says.
            DataError: The data could not be read.
            TooBusy: No reader is free, or too many requests of this client wait.
        """
        formats.named(suffix)
        record = self.store.get(record_id)
        distribution = self.way(record)
        with self.turn(client) as give_back:
            grid = self._grid(distribution)
            if grid is None or not _is_light(suffix, cut):
                self.tallies.note(record_id, grid, cut, self._limits)
                answer = self._by_worker(record, distribution, cut, suffix)
                give_back()
                return answer
            return self._here(record, grid, cut, suffix, give_back)

    def way(self, record: Record) -> Distribution:
        """Return what is cut of a record: its cheapest distribution that is not broken. Raises NotSubsettable."""
        ways = openables(record)
        found = self.store.health(record.id) if len(ways) > 1 else ()
        broken = {one.address for one in found if one.state == "broken"}
        return next((way for way in ways if way.address not in broken), None) or openable(record)

    def table(self, record_id: str, query: str, suffix: str, *, client: str = "") -> Answer:
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
        distribution = self.way(record)
        with self.turn(client) as give_back:
            if distribution.protocol not in LOCAL:
                answer = self.remote.table(record, distribution, query, asked, suffix)
                give_back()
                return answer
            spool = self.workers.spool(
                tabling.written,
                distribution,
                asked,
                suffix,
                {**credits_of(record), "history": f"rows of {record.id} by ?{query[:2_000]}"},
                tabling.types(record),
                self._reach,
                self.settings.max_result_bytes,
                self.settings.max_decoded_bytes,
                key=(*_key(distribution), "rows"),
            )
            give_back()
            return of_spool(
                spool,
                media_type=tabling.FORMATS[suffix],
                filename=f"{record.id}.{suffix}",
            )

    def estimate(self, record_id: str, cut: Cut, suffix: str, *, client: str = "") -> Estimate:
        """Return what a cut would cost, before anything but coordinates is read. Raises as `subset`."""
        give_back = self._estimates.take(client) if client else lambda: None
        try:
            return self._estimated(record_id, cut, suffix)
        finally:
            give_back()

    def _estimated(self, record_id: str, cut: Cut, suffix: str) -> Estimate:
        chosen = formats.named(suffix)
        record = self.store.get(record_id)
        distribution = self.way(record)
        limits = self._limits
        if grid := self._grid(distribution):
            return estimating.estimate(grid, cut, chosen, limits, record)
        if distribution.protocol not in LOCAL:
            return self.remote.estimate(distribution, cut, suffix, limits)
        found = self.workers.run(
            cutting.estimated, distribution, cut, suffix, self._reach, limits, key=_key(distribution)
        )
        return Estimate.model_validate(found)

    @contextlib.contextmanager
    def turn(self, client: str) -> Iterator[Callable[[], None]]:
        """Wait for a client's turn; what it yields gives it back, and an error gives it back at once.

        Raises:
            TooBusy: Too many requests of the client wait.
        """
        give_back = self._turns.take(client) if client else lambda: None
        try:
            yield give_back
        except BaseException:
            give_back()
            raise

    def _grid(self, distribution: Distribution) -> Grid | None:
        return self.shelf.grid(distribution) if distribution.protocol in CHUNKED else None

    @property
    def _limits(self) -> Limits:
        known = self.settings
        return Limits(
            result_bytes=known.max_result_bytes,
            decoded_bytes=known.max_decoded_bytes,
            seconds=known.read_seconds,
        )

    @property
    def _reach(self) -> opening.Reach:
        return self.remote.reach

    def _here(
        self, record: Record, grid: Grid, cut: Cut, suffix: str, give_back: Callable[[], None]
    ) -> Answer:
        """Cut in this thread; what is large is sent while it is made, a few at once."""
        chosen = formats.named(suffix)
        try:
            part = credited(subset.cut(grid, cut, record.id, self._limits), credits_of(record))
        except TooLarge:
            self.tallies.note(record.id, grid, cut, self._limits)
            raise
        self.tallies.add(record.id, part.encoding["cost"])
        is_large = sum(int(variable.nbytes) for variable in part.variables.values()) > LARGE_BYTES
        if is_large and not self._makers.acquire(timeout=self.settings.read_seconds):
            raise TooBusy(
                "too many large subsets are being made",
                hint="try again in a minute, or ask for less",
                details={"retry_after": 60, "setting": "BIENMO_MAKERS"},
            )

        def closed() -> None:
            give_back()
            if is_large:
                self._makers.release()

        return Answer(
            chosen.write(part),
            size=lambda: formats.length(chosen, part),
            media_type=chosen.MEDIA_TYPE,
            filename=f"{record.id}.{suffix}",
            notes=part.encoding.get("notes", ()),
            spools=self._spools,
            closed=closed,
        )

    def _by_worker(
        self,
        record: Record,
        distribution: Distribution,
        cut: Cut,
        suffix: str,
    ) -> Answer:
        """Cut in a worker; a reduction that takes too long, as a query of rows, says nothing of the file for others."""
        if distribution.protocol not in LOCAL:
            return self.remote.subset(record, distribution, cut, suffix, self._limits)
        spool = self.workers.spool(
            cutting.written,
            distribution,
            cut,
            suffix,
            record.id,
            credits_of(record),
            self._reach,
            self._limits,
            self.shelf.index(distribution) if distribution.protocol in CHUNKED else None,
            self.shelf.twins.folder if distribution.protocol in CHUNKED else None,
            key=(*_key(distribution), "reduced") if cut.reduce else _key(distribution),
        )
        notes = read_end(spool)
        media_type = formats.named(suffix).MEDIA_TYPE
        filename = f"{record.id}.{suffix}"
        return of_spool(spool, media_type=media_type, filename=filename, notes=notes)


def _is_light(suffix: str, cut: Cut) -> bool:
    """Tell whether a cut may be made in a thread of the server: its format streams, and it is no long reckoning."""
    return formats.named(suffix).STREAMS and not cut.reduce


def _key(distribution: Distribution) -> tuple[str | int, ...]:
    """What crashes are counted against: the address, and the very file that is there now."""
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
    if found := openables(record):
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
        d
        if d.protocol not in LOCAL
        else d.model_copy(update={"address": d.address.rstrip("/").rpartition("/")[2]})
        for d in record.distributions
    )
    return record.model_copy(update={"distributions": shown})


def open_catalog(
    settings: Settings, sources: Sequence[Source] = (), nursery: Nursery | None = None
) -> Catalog:
    """Open the catalog in the data home, making it where it is not there yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    return Catalog(sqlite.open_store(settings.home), settings, sources, nursery)
