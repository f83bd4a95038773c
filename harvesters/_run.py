"""The loop of a harvest: list, read, keep page by page, quarantine, retire, report.

What is kept is kept in transactions, each with the page it reached, under a lease. A killed harvest goes on
at its page; one that a source's fault ended is carried on at its page by the next run, which then lists
what comes before it, too.
"""

import contextlib
import importlib
import logging
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, takewhile
from types import MappingProxyType
from typing import Any, cast

import harvesters
from catalog.data.workers import Workers
from catalog.errors import (
    BadDocument,
    BadSource,
    CatalogError,
    IncompleteListing,
    LeaseLost,
    StoreError,
)
from catalog.instant import canonical, now, seconds
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Document, Source, printable
from catalog.stores import Counts, Entry, Run, State, Store
from harvesters import Fetch as Door
from harvesters import Harvester
from harvesters._fetch import Fetch
from harvesters._ledger import Books, Ledger, Rehearsal
from harvesters._limits import Limits, number

Progress = Callable[[str, int, int, int, int], None]
"""Told of a source's id and what this call saw, and found new, changed and in need of quarantine, so far."""

BATCH = 500
_BATCH_BYTES = 16_000_000
_BATCH_SECONDS = 2.0
_OVERLAP_SECONDS = 600  # clocks differ, and a portal's index lags behind its changes
_DAY = 86_400
_LONGEST = 2_000  # letters of a reason or a note
_FULL_EVERY_DAYS = 7
_RUNS_LOOKED_BACK = 400
_LOG = logging.getLogger(__name__)


def protocols() -> Mapping[str, Harvester]:
    """Return the harvesters by protocol: every module of `harvesters` without a leading underscore."""
    names = [found.name for found in pkgutil.iter_modules(harvesters.__path__) if not found.ispkg]
    modules = {
        name: cast("Harvester", importlib.import_module(f"harvesters.{name}"))
        for name in sorted(names)
        if not name.startswith("_")
    }
    return MappingProxyType(modules)


def harvest_all(  # noqa: PLR0913 - options by name
    sources: Iterable[Source],
    store: Store,
    settings: Settings,
    *,
    workers: Workers | None,
    progress: Progress | None = None,
    dry_run: bool = False,
    known: Mapping[str, Harvester] | None = None,
) -> list[Run]:
    """Harvest one source after another; one that fails never stops the next.

    Args:
        sources: What to harvest, in this order.
        store: Where it is kept.
        settings: The limits.
        workers: Processes that read files; None where no source has files.
        progress: Told of what was done, after each write.
        dry_run: Read everything, and write nothing.
        known: Harvesters by protocol; `protocols()` if not given.

    Returns:
        A run for each source; a harvest that could not begin is a failed run with the id 0, and its reason.
    """
    known = protocols() if known is None else known
    options = {"workers": workers, "progress": progress, "dry_run": dry_run, "known": known}
    return [_harvest_safely(source, store, settings, options) for source in sources]


def _harvest_safely(source: Source, store: Store, settings: Settings, options: Mapping[str, Any]) -> Run:
    try:
        return harvest_source(source, store, settings, **options)
    except CatalogError as error:
        note = _told(error)
    except Exception as error:  # noqa: BLE001 - told in the run
        _LOG.exception("the harvest of %s broke", source.id)
        note = _told(error)
    _LOG.warning("%s was not harvested: %s", source.id, note)
    return Run(id=0, source=source.id, state="failed", started=now(), ended=now(), note=note)


def _told(error: Exception) -> str:
    """What everybody may read of an error: never a path of this machine, nor what cannot be kept."""
    if isinstance(error, CatalogError):
        said = f"{error.code}: {error.message}"
    else:
        said = f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"
    return printable(said)[:_LONGEST]


def harvest_source(  # noqa: PLR0913 - options by name
    source: Source,
    store: Store,
    settings: Settings,
    *,
    workers: Workers | None,
    progress: Progress | None = None,
    dry_run: bool = False,
    fetch: Door | None = None,
    known: Mapping[str, Harvester] | None = None,
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
        progress: Told of what was done, after each write.
        dry_run: Read everything, and write nothing.
        fetch: The door to the network; one by the settings if not given.
        known: Harvesters by protocol; `protocols()` if not given.

    Raises:
        BadSource: There is no such protocol, or an option of the runner is wrong.
        LeaseHeld: Another harvest of the source is running.
        LeaseLost: This harvest was so slow that another took over; what it kept until then is kept.
    """
    harvester = _harvester(source, protocols() if known is None else known)
    since = _since(source, store, incremental=getattr(harvester, "INCREMENTAL", False))
    limits = Limits.of(source)
    with contextlib.ExitStack() as stack:
        door = fetch or stack.enter_context(Fetch(settings, source, workers, until=limits.until))
        if dry_run:
            whole = source.model_copy(update={"resume": None, "changed_since": None})
            return _harvest(_entries(harvester, whole, door, limits), Rehearsal(source, store), progress)
        books = Books(source, store, settings, incremental=since is not None)
        carried = _carried(books.run, store.runs(source.id, limit=3, quarantine=0))
        begun = _begun(source, books.run, carried, since)
        with books.alive():
            return _harvest(_entries(harvester, begun, door, limits, carried), books, progress)


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


def _since(source: Source, store: Store, *, incremental: bool) -> str | None:
    """Since when changes are asked for; None for a full listing."""
    days = number(source, "full_every_days", _FULL_EVERY_DAYS)
    last = store.last_complete(source.id)
    if not incremental or last is None:
        return None
    runs = store.runs(source.id, limit=_RUNS_LOOKED_BACK, quarantine=0)
    if runs[0].state == "running" and not runs[0].incremental:
        return None  # a full listing was cut off: it goes on
    full = [run.started for run in runs if run.state == "complete" and not run.incremental]
    if not full or seconds(now()) - seconds(full[0]) > days * _DAY:
        return None
    moment = datetime.fromtimestamp(seconds(last) - _OVERLAP_SECONDS, UTC)
    return canonical(moment.isoformat())


def _carried(run: Run, runs: Sequence[Run]) -> str | None:
    """The page at which a run carries on the listing that broke in the run before it; None for a new listing.

    A page at which the listing broke twice is not carried on a third time: what comes before it is due.
    """
    earlier = [other for other in runs if other.id < run.id]
    if run.incremental or not earlier or earlier[0].incremental or earlier[0].state != "incomplete":
        return None
    page = earlier[0].checkpoint
    if not page or seconds(run.started) - seconds(earlier[0].started) > _DAY:
        return None
    twice = len(earlier) > 1 and earlier[1].state == "incomplete" and earlier[1].checkpoint == page
    return None if twice else page


def _entries(
    harvester: Harvester, source: Source, door: Door, limits: Limits, carried: str | None = None
) -> Iterator[Entry]:
    """List and read; a listing that was carried on is listed from its start, too, up to where it began."""
    documents = _forward(harvester.harvest(source, door))
    if carried is not None:
        whole = source.model_copy(update={"resume": None})
        before = _forward(harvester.harvest(whole, door))
        documents = chain(documents, takewhile(lambda document: document.page != carried, before))
    return (_entry(harvester, document) for document in limits.within(documents))


def _forward(documents: Iterable[Document]) -> Iterator[Document]:
    """Let documents through while their pages go on: a page that comes back would come for ever."""
    left: set[str] = set()
    page = ""
    for document in documents:
        if document.page != page:
            left.add(page)
            page = document.page
            if page in left and page:
                raise IncompleteListing(f"the listing came back to its page {page[:200]!r}")
        yield document


def _entry(harvester: Harvester, document: Document) -> Entry:
    """Read a document; whatever goes wrong with it is its quarantine, not the end of the run."""
    record, reason = None, document.problem
    if reason is None:
        try:
            record = harvester.read(document)
            reason = _misnamed(record, document)
        except BadDocument as error:
            reason = printable(error.message)
        except Exception as error:  # noqa: BLE001 - told in quarantine
            _LOG.exception("%s: reading %s broke", document.source, document.native_id[:200])
            reason = _told(error)
    return Entry(
        document=document, record=None if reason else record, reason=reason[:_LONGEST] if reason else None
    )


def _misnamed(record: Record, document: Document) -> str | None:
    said = (record.id, record.source, record.native_id, record.document_hash)
    if said == (document.id, document.source, document.native_id, document.hash):
        return None
    return "the record that was read does not carry the id, source and hash of its document"


def _harvest(entries: Iterator[Entry], ledger: Ledger, progress: Progress | None) -> Run:
    """Keep batch after batch, end the run by how the listing ended, and return it."""
    seen, tally = 0, Counts()
    state: State = "complete"
    note = ""
    try:
        for page, batch in _batches(entries):
            tally = _added(tally, ledger.keep(batch, page))
            seen += len(batch)
            if progress:
                progress(ledger.run.source, seen, tally.new, tally.changed, tally.quarantined)
    except LeaseLost:
        raise
    except CatalogError as error:
        state = "failed" if isinstance(error, BadSource | StoreError) else "incomplete"
        note = _told(error)
    except Exception as error:  # noqa: BLE001 - told in the run
        _LOG.exception("%s: the listing broke", ledger.run.source)
        state, note = "incomplete", _told(error)
    except BaseException:
        with contextlib.suppress(CatalogError):
            ledger.end("incomplete", "it was interrupted")
        raise
    if state == "incomplete" and not (seen or ledger.run.seen):
        state = "failed"
    run = ledger.end(state, note)
    level = logging.INFO if run.state == "complete" else logging.WARNING
    _LOG.log(
        level, "%s: run %d %s, %d seen, %s %s", run.source, run.id, run.state, run.seen, run.counts, run.note
    )
    return run


def _added(first: Counts, second: Counts) -> Counts:
    return Counts(**{name: count + getattr(second, name) for name, count in first.model_dump().items()})


def _batches(entries: Iterator[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Gather the entries of a page into batches; what came before a fault comes out before it."""
    batch: list[Entry] = []
    page, size, begun = "", 0, time.monotonic()
    try:
        for entry in entries:
            slow = time.monotonic() - begun > _BATCH_SECONDS
            full = len(batch) >= BATCH or size >= _BATCH_BYTES or slow
            if batch and (full or entry.document.page != page):
                yield page, batch
                batch, size, begun = [], 0, time.monotonic()
            page = entry.document.page
            batch.append(entry)
            size += len(entry.document.content)
    except Exception:
        if batch:
            yield page, batch
        raise
    if batch:
        yield page, batch
