"""Harvests by schedule: `due_now` for cron, and `Watch`, which waits for what is next, for years."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from catalog.errors import BadSource
from catalog.settings import Settings
from catalog.source import Source
from catalog.stores import Run, Store
from harvesters._events import Event, Tell
from harvesters._polite import Stop
from harvesters._schedule import HOUR, RUNS_LOOKED_BACK, Due, due, moment, rest

_SLICE = 0.5  # seconds from one look at whether to stop to the next
_LOOK = 5.0  # seconds from one look at sources.toml to the next
_AGAIN = 60.0  # seconds from one look at the runs, which another process may have made, to the next
_LOG = logging.getLogger(__name__)

Load = Callable[[], Sequence[Source]]
"""Reads the sources in use. Raises BadSource."""


class Planned(NamedTuple):
    """A source, and when it is due."""

    source: Source
    due: Due


def plan(sources: Sequence[Source], store: Store, settings: Settings) -> list[Planned]:
    """Return the enabled sources with a schedule, each with the time when it is due, those due first before others."""
    found = []
    for source in sources:
        runs = store.runs(source.id, limit=RUNS_LOOKED_BACK, quarantine=0) if source.schedule else ()
        at = due(source, runs, settings.failures_before_rest) if source.enabled else None
        if at is not None:
            found.append(Planned(source, at))
    return sorted(found, key=lambda planned: planned.due.at)


def due_now(sources: Sequence[Source], store: Store, settings: Settings, tell: Tell) -> list[Source]:
    """Return the sources that are due now, the longest due first; that others are not is told."""
    now = time.time()
    planned = plan(sources, store, settings)
    for source, at in planned:
        if at.at > now:
            reason = at.resting or "it is not due"
            tell(Event(event="skipped", source=source.id, reason=reason, until=moment(at.at)))
    return [source for source, at in planned if at.at <= now]


class Watch:
    """Harvests each source when it is due, some at once, until it is told to stop; nothing that fails ends it.

    Args:
        load: Reads the sources; asked again when `stamp` is another.
        stamp: Tells whether the file of the sources changed.
        harvest: Harvests a source, and returns a run whatever happens; one that could not begin has the id 0.
        store: Tells which runs there were.
        settings: How many at once, and after how many failures a source rests.
        stop: Ends it.
        tell: Told of what happens.
        clock: Tells the time, in seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - options by name
        self,
        load: Load,
        stamp: Callable[[], object],
        harvest: Callable[[Source], Run],
        store: Store,
        settings: Settings,
        *,
        stop: Stop,
        tell: Tell,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._load, self._stamp, self._harvest = load, stamp, harvest
        self._store, self._settings, self._clock = store, settings, clock
        self._stop, self._tell = stop, tell
        self._wake = threading.Event()
        self._under_way: dict[str, Future[Run]] = {}
        self._held_back: dict[
            str, tuple[int, float]
        ] = {}  # sources that could not begin: how often, until when
        self._said: dict[str, float] = {}

    def run(self) -> None:
        """Harvest until `stop` is set; what is under way then goes on at its page the next time."""
        sources, stamp = self._read((), None)
        planned: list[Planned] = []
        looked = -math.inf
        with ThreadPoolExecutor(self._settings.harvests, thread_name_prefix="harvest") as pool:
            while not self._stop.is_set():
                changed = self._stamp()
                if changed != stamp:
                    sources, stamp = self._read(sources, stamp)
                    looked = -math.inf
                if self._ended() or time.monotonic() - looked >= _AGAIN:
                    planned, looked = self._planned(sources), time.monotonic()
                self._begin(planned, pool)
                self._rest(planned)

    def _read(self, sources: Sequence[Source], stamp: object) -> tuple[Sequence[Source], object]:
        """Read the sources; those that were read before stand while the file cannot be read."""
        changed = self._stamp()
        try:
            read = self._load()
        except BadSource as error:
            if stamp is None:
                raise
            _LOG.error("the sources are as before: %s", error.message)
            return sources, changed
        self._held_back.clear()
        _LOG.info("%d sources with a schedule", sum(bool(source.schedule) for source in read))
        return read, changed

    def _planned(self, sources: Sequence[Source]) -> list[Planned]:
        """What is to be done; nothing while the runs cannot be read."""
        try:
            return plan(sources, self._store, self._settings)
        except Exception:  # noqa: BLE001 - a store that is locked or full may be well again
            _LOG.exception("the runs cannot be read; they are tried again in a minute")
            return []

    def _ended(self) -> bool:
        """Put away harvests that ended; tell whether there were some."""
        ended = [name for name, future in self._under_way.items() if future.done()]
        for name in ended:
            future = self._under_way.pop(name)
            run = None if future.exception() else future.result()
            if run is not None and run.id != 0:
                self._held_back.pop(name, None)
                continue
            held = run is not None and run.note.startswith("lease-held")
            times = 0 if held else self._held_back.get(name, (0, 0.0))[0] + 1
            length = _AGAIN if held else max(rest(times, self._settings.failures_before_rest), HOUR / 4)
            self._held_back[name] = times, self._clock() + length
        return bool(ended)

    def _when(self, planned: Planned) -> float:
        return max(planned.due.at, self._held_back.get(planned.source.id, (0, 0.0))[1])

    def _begin(self, planned: list[Planned], pool: ThreadPoolExecutor) -> None:
        """Begin what is due; as many as are harvested at once, so that the next is chosen when one ended."""
        now = self._clock()
        for each in planned:
            name = each.source.id
            if name in self._under_way:
                continue
            if self._when(each) > now:
                self._tell_rest(each)
            elif len(self._under_way) < self._settings.harvests:
                self._under_way[name] = pool.submit(self._harvest, each.source)
                self._under_way[name].add_done_callback(lambda _: self._wake.set())

    def _tell_rest(self, planned: Planned) -> None:
        """Tell once that a source rests after failures."""
        name, at = planned.source.id, planned.due.at
        if planned.due.resting and self._said.get(name) != at:
            self._said[name] = at
            self._tell(Event(event="skipped", source=name, reason=planned.due.resting, until=moment(at)))

    def _rest(self, planned: list[Planned]) -> None:
        """Wait until something is due, a harvest ended, or it is time to look at the file again."""
        now = self._clock()
        waiting = [self._when(each) - now for each in planned if each.source.id not in self._under_way]
        full = len(self._under_way) >= self._settings.harvests
        soonest = _LOOK if full else min([_LOOK, *waiting])
        end = time.monotonic() + max(soonest, 0.05)
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._wake.wait(min(left, _SLICE)):
                break
        self._wake.clear()


def next_times(sources: Sequence[Source], store: Store, settings: Settings) -> Mapping[str, str]:
    """Return what people read of when each source with a schedule is due: a time, `now`, or until when it rests."""
    now = time.time()
    return {
        source.id: "now" if at.at <= now else f"{'rests until ' if at.resting else ''}{moment(at.at)[:16]}"
        for source, at in plan(sources, store, settings)
    }
