"""The loop of a harvest: list, read, keep page by page, quarantine, retire, report; for many sources at once.

What is kept is kept in transactions, each with the page it reached, under a lease. A harvest that was killed or told to
stop goes on at its page; one that a source's fault ended is carried on at its page by the next run, which then lists
what comes before it, too.
"""

import contextlib
import importlib
import logging
import pkgutil
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import harvesters
from catalog.data.workers import Workers
from catalog.errors import BadSource, CatalogError, LeaseHeld, LeaseLost, StoreError
from catalog.instant import now
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores import Counts, Entry, Run, State, Store
from harvesters import Fetch as Door
from harvesters import Harvester
from harvesters._events import Event, Tell, silent
from harvesters._fetch import Fetch
from harvesters._ledger import Books, Ledger, Rehearsal
from harvesters._limits import Limits
from harvesters._listing import Listing, batches, carried_on, changed_since
from harvesters._polite import Hosts, Stop, Stopped
from harvesters._reading import LONGEST, Readers, told
from harvesters._schedule import RUNS_LOOKED_BACK, told_rest

_LOG = logging.getLogger(__name__)


class _Protocols(Mapping[str, Harvester]):
    """The modules of `harvesters` by name, loaded when asked for: one that cannot be loaded fails its sources only."""

    def __init__(self) -> None:
        names = [found.name for found in pkgutil.iter_modules(harvesters.__path__) if not found.ispkg]
        self._names = sorted(name for name in names if not name.startswith("_"))

    def __getitem__(self, name: str) -> Harvester:
        if name not in self._names:
            raise KeyError(name)
        return cast("Harvester", importlib.import_module(f"harvesters.{name}"))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def protocols() -> Mapping[str, Harvester]:
    """Return the harvesters by protocol: every module of `harvesters` without a leading underscore."""
    return _Protocols()


def harvest_all(  # noqa: PLR0913 - options by name
    sources: Iterable[Source],
    store: Store,
    settings: Settings,
    *,
    workers: Workers | None,
    tell: Tell = silent,
    stop: Stop | None = None,
    dry_run: bool = False,
    known: Mapping[str, Harvester] | None = None,
) -> list[Run]:
    """Harvest sources, some at once; one that fails never stops the others.

    Args:
        sources: What to harvest; they begin in this order.
        store: Where it is kept.
        settings: The limits.
        workers: Processes that read files; None where no source has files.
        tell: Told of what happens.
        stop: Ends it all: what is under way goes on at its page in the next harvest.
        dry_run: Read everything, and write nothing.
        known: Harvesters by protocol; `protocols()` if not given.

    Returns:
        A run for each source, in their order; a harvest that could not begin is a failed run with the id 0, and its
        reason, one that was stopped a running one.
    """
    ending = Stop(stop)
    options: dict[str, Any] = {
        "workers": workers,
        "tell": tell,
        "stop": ending,
        "dry_run": dry_run,
        "known": protocols() if known is None else known,
        "hosts": Hosts(),
    }
    with (
        Readers(settings) as readers,
        ThreadPoolExecutor(settings.harvests, thread_name_prefix="harvest") as pool,
    ):
        options["readers"] = readers
        begun = [pool.submit(harvest_safely, source, store, settings, **options) for source in sources]
        try:
            return [each.result() for each in begun]
        except BaseException:
            ending.set()
            raise


def harvest_safely(source: Source, store: Store, settings: Settings, *, tell: Tell, **options: Any) -> Run:
    """Harvest one source as `harvest_source` does, and return a run whatever happens; every end is told."""
    begun = now()
    try:
        run = harvest_source(source, store, settings, tell=tell, **options)
    except Stopped:
        note = "it was stopped; the next harvest goes on"
        run = Run(id=0, source=source.id, state="running", started=begun, note=note)
    except LeaseHeld as error:
        tell(Event(event="skipped", source=source.id, reason=told(error)))
        return Run(id=0, source=source.id, state="failed", started=begun, ended=now(), note=told(error))
    except Exception as error:  # noqa: BLE001 - told in the run
        if not isinstance(error, CatalogError):
            _LOG.exception("the harvest of %s broke", source.id)
        note = told(error)
        run = Run(id=0, source=source.id, state="failed", started=begun, ended=now(), note=note)
    if run.id == 0 and run.state == "failed":
        _LOG.warning("%s was not harvested: %s", source.id, run.note)
    tell(Event(event="finished", source=source.id, run=run))
    return run


def harvest_source(  # noqa: PLR0913 - options by name
    source: Source,
    store: Store,
    settings: Settings,
    *,
    workers: Workers | None,
    tell: Tell = silent,
    stop: Stop | None = None,
    hosts: Hosts | None = None,
    dry_run: bool = False,
    fetch: Door | None = None,
    known: Mapping[str, Harvester] | None = None,
    readers: Readers | None = None,
) -> Run:
    """Harvest one source and return the run's report.

    A listing that breaks ends the run `incomplete` (`failed` if nothing was seen), with all that was kept.
    An incremental run is made where the protocol can tell what changed and a complete full run of the last
    `full_every_days` (an option of the source, 7 if not given) exists. A source that goes on beyond its
    `most_datasets` (1,000,000) or `most_hours` (12) ends the run `incomplete`.

    Args:
        source: What to harvest.
        store: Where it is kept.
        settings: The limits.
        workers: Processes that read files; None where the source has none.
        tell: Told when it begins, and of what was done after each write.
        stop: Ends it, at its page.
        hosts: Who is being asked by all sources of this process.
        dry_run: Read everything, and write nothing.
        fetch: The door to the network; one by the settings if not given.
        known: Harvesters by protocol; `protocols()` if not given.
        readers: Read the documents; this harvest's own if not given.

    Raises:
        BadSource: There is no such protocol, or an option of the runner is wrong.
        LeaseHeld: Another harvest of the source is running.
        LeaseLost: This harvest was so slow that another took over; what it kept until then is kept.
        Stopped: `stop` was set: the run is left as it is, and the next harvest goes on with it.
    """
    harvester = _harvester(source, protocols() if known is None else known)
    since = changed_since(source, store, incremental=getattr(harvester, "INCREMENTAL", False))
    limits, ending = Limits.of(source), Stop(stop)
    ending.check()
    robots = bool(getattr(harvester, "ROBOTS", False))
    with contextlib.ExitStack() as stack:
        readers = readers or stack.enter_context(Readers(settings))
        door = fetch or stack.enter_context(
            Fetch(settings, source, workers, until=limits.until, hosts=hosts, stop=ending, robots=robots)
        )
        if dry_run:
            whole = source.model_copy(update={"resume": None, "changed_since": None})
            listing = Listing(harvester, whole, door, limits, ending, readers=readers)
            return _harvest(listing, Rehearsal(source, store), tell)
        before = store.runs(source.id, limit=RUNS_LOOKED_BACK, quarantine=0)
        books = Books(source, store, settings, incremental=since is not None)
        carried = carried_on(books.run, before)
        asked = _begun(source, books.run, carried, since)
        listing = Listing(harvester, asked, door, limits, ending, readers=readers, carried=carried)
        expected = None if books.run.incremental else store.sources().get(source.id, 0)
        tell(Event(event="started", source=source.id, expected=expected))
        with books.alive():
            resting = told_rest(before, settings.failures_before_rest, time.time())
            return _harvest(listing, books, tell, resting)


def _harvester(source: Source, known: Mapping[str, Harvester]) -> Harvester:
    if source.protocol not in known:
        raise BadSource(
            f"source {source.id!r} has the protocol {source.protocol!r}, which there is not",
            hint="protocols: " + ", ".join(known),
        )
    return known[source.protocol]


def _begun(source: Source, run: Run, carried: str | None, since: str | None) -> Source:
    """The source as a run asks it: from the page it was cut off at or carries on at, for what it is due."""
    start = run.checkpoint or carried
    _LOG.info("%s: run %d begins%s", source.id, run.id, f" at page {start}" if start else "")
    return source.model_copy(
        update={"resume": start or None, "changed_since": since if run.incremental else None}
    )


def _harvest(listing: Listing, ledger: Ledger, tell: Tell, resting: str = "") -> Run:
    """Keep batch after batch, end the run by how the listing ended, and return it."""
    seen = 0
    state: State = "complete"
    note = ""
    try:
        for seen in _kept(listing.entries(), ledger, tell):  # noqa: B007 - the last counts
            pass
    except LeaseLost:
        raise
    except CatalogError as error:
        state = "failed" if isinstance(error, BadSource | StoreError) else "incomplete"
        note = told(error)
    except Exception as error:  # noqa: BLE001 - told in the run
        _LOG.exception("%s: the listing broke", ledger.run.source)
        state, note = "incomplete", told(error)
    except BaseException:
        with contextlib.suppress(CatalogError):
            ledger.leave()
        raise
    if state == "incomplete" and not (seen or ledger.run.seen):
        state = "failed"
    if listing.deleted:
        note = f"{note}; {listing.deleted} deleted at the source".removeprefix("; ")
    run = ledger.end(state, (note + resting)[:LONGEST] if state == "failed" else note)
    level = logging.INFO if run.state == "complete" else logging.WARNING
    _LOG.log(
        level, "%s: run %d %s, %d seen, %s %s", run.source, run.id, run.state, run.seen, run.counts, run.note
    )
    return run


def _kept(entries: Iterator[Entry], ledger: Ledger, tell: Tell) -> Iterator[int]:
    """Keep batch after batch; yield how many datasets were seen so far, by this call."""
    seen, tally = 0, Counts()
    with contextlib.closing(entries):  # type: ignore[type-var]
        for page, batch in batches(entries):
            tally = _added(tally, ledger.keep(batch, page))
            seen += sum(not entry.document.deleted for entry in batch)
            tell(Event(event="page", source=ledger.run.source, page=page, seen=seen, **tally.model_dump()))
            yield seen


def _added(first: Counts, second: Counts) -> Counts:
    return Counts(**{name: count + getattr(second, name) for name, count in first.model_dump().items()})
