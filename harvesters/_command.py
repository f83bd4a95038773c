"""What `bienmo harvest` does: once, what is due, or for years."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from catalog.appraisals import Appraisals
from catalog.data.workers import Workers
from catalog.settings import Settings
from catalog.source import Source, read_sources
from catalog.stores import Run, Store, sqlite
from catalog.tuning import HARVESTED_OBJECTS, settle
from catalog.tying import Tying
from harvesters._events import Tell, bars, lines
from harvesters._polite import Hosts, Stop
from harvesters._reading import Readers
from harvesters._run import harvest_all, harvest_safely, protocols
from harvesters._watch import Watch, due_now

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """How a harvest is told of and ended.

    Args:
        console: Where bars are shown to people.
        as_json: Whether events are written to the standard output instead, a JSON object a line.
        dry_run: Read everything, and write nothing.
    """

    console: Console
    as_json: bool = False
    dry_run: bool = False


def once(settings: Settings, sources: Sequence[Source], asked: Asked, *, due: bool = False) -> list[Run]:
    """Harvest sources, or those of them that are due by their schedule, and return their runs."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite.open_store(settings.home)) as store,
        _workers(settings) as workers,
        _told(asked) as tell,
        stopping() as stop,
    ):
        settle(HARVESTED_OBJECTS)
        chosen = due_now(sources, store, settings, tell) if due else sources
        runs = harvest_all(
            chosen, store, settings, workers=workers, tell=tell, stop=stop, dry_run=asked.dry_run
        )
        return runs if asked.dry_run else [followed(store, settings, run, stop) for run in runs]


def _workers(settings: Settings) -> Workers:
    """The processes that read files, begun where a source has some."""
    return Workers(
        settings.readers, seconds=settings.read_seconds, memory=settings.read_memory, queue=settings.queue
    )


def followed(store: Store, settings: Settings, run: Run, stop: Stop) -> Run:
    """Do what follows a harvest, and return its run: what changed is appraised, and tied to what is the same."""
    Appraisals(store, settings.home).follow(run)
    Tying(store, settings.home).follow(run, stop.is_set)
    return run


def watch(settings: Settings, path: Callable[[], Path], asked: Asked) -> None:
    """Harvest sources by their schedule until the process is told to end (SIGTERM, SIGINT).

    Args:
        settings: The settings.
        path: Tells which sources.toml is in use; it is read again when it changes.
        asked: How it is told of.

    Raises:
        BadSource: The sources cannot be read at the beginning.
    """
    from catalog.probing import by_schedule  # noqa: PLC0415 - brings all that reads data: `once` has no need of it
    from catalog.service import open_catalog  # noqa: PLC0415

    sources = read_sources(path())
    if settings.user_agent == Settings.model_fields["user_agent"].default:
        _LOG.warning("portals cannot reach you: put your address into BIENMO_USER_AGENT")
    with ExitStack() as stack:
        catalog = stack.enter_context(open_catalog(settings, sources))
        tell = stack.enter_context(_told(asked))
        stop = Stop()
        harvest = partial(
            harvest_safely,
            store=catalog.store,
            settings=settings,
            workers=catalog.workers,
            tell=tell,
            stop=stop,
            hosts=Hosts(),
            known=protocols(),
            readers=stack.enter_context(Readers(settings)),
        )
        watching = Watch(
            lambda: read_sources(path()),
            lambda: _stamp(path()),
            lambda source: followed(catalog.store, settings, harvest(source), stop),
            catalog.store,
            settings,
            stop=stop,
            tell=tell,
        )
        stack.enter_context(by_schedule(catalog))
        stack.enter_context(stopping(stop))
        settle(HARVESTED_OBJECTS)
        watching.run()


def _stamp(path: Path) -> object:
    """What tells that a file is another."""
    try:
        found = path.stat()
    except OSError:
        return path, None
    return path, found.st_mtime_ns, found.st_size, found.st_ino


@contextmanager
def _told(asked: Asked) -> Iterator[Tell]:
    if asked.as_json:
        yield lines(sys.stdout.buffer)
    else:
        with bars(asked.console) as tell:
            yield tell


@contextmanager
def stopping(stop: Stop | None = None) -> Iterator[Stop]:
    """End harvests cleanly at SIGTERM and SIGINT while the block runs; at the second signal as without it."""
    stop = stop or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
