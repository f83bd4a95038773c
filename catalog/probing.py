"""Probing whether data are there: a real cell of each distribution is read, within a budget, politely.

A pass takes the records that were not probed for longest, and stops when its time is over; the next one goes on. No
host has more than two probes at once, nor one begun within a quarter of a second of another. A host that does not
answer is asked once a minute, and one that asks to be left alone is, for the rest of the pass; what was not asked is
not told of.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from typing import Any

from catalog.data import probes
from catalog.data.places import LOCAL
from catalog.data.remote import Reach, host
from catalog.errors import (
    CatalogError,
    LimitExceeded,
    NotSubsettable,
    TooBusy,
    Unreachable,
    Withdrawn,
    WorkerTimeout,
)
from catalog.freshness import late
from catalog.instant import now, of_seconds, seconds
from catalog.reaching import REST_SECONDS
from catalog.record import Distribution, Record
from catalog.service import Catalog
from catalog.stores import Health

MOST_OF_ONE = 2
"""Probes of one host at once."""

PAUSE_SECONDS = 0.25
"""From the beginning of one probe of a host to that of the next."""

AGAIN_SECONDS = 5.0
"""After so long what was well before is probed again, before silence is taken for its end."""

MOST_PUT_OFFS = 10
"""How often a host that does not answer is tried again in a pass, after the minute that it is left alone."""

MOST_WAYS = 10
"""Distributions of one record that a pass probes; of more, those not probed for longest."""

MOST_WAITING = 2_000
"""Distributions of one host that wait in a pass; more than a pass comes to. Further ones are left for the next."""

WHOLE_BYTES = 10_000_000
"""Largest file that is read whole for one cell, where its server gives no parts of it; of larger ones, a beginning."""

_ANSWER_BYTES = 50_000_000
_AT_ONCE, _SOME = 6, 100
_SLICE, _MOST_SAID = 0.1, 1_000
_DAY, _HOUR = 86_400.0, 3_600.0
_UNNEEDED = {
    "summary": None,
    "keywords": (),
    "variables": (),
    "parties": (),
    "lineage": None,
    "citation": None,
}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """A distribution to probe, what was known of it, whether it is probed again, and when it may begin."""

    record: Record
    way: Distribution
    known: Health | None
    is_again: bool = False
    begin: float = 0.0

    @property
    def place(self) -> str:
        """Whom it is asked of; nobody for local files."""
        return "" if self.way.protocol in LOCAL else host(self.way.address)


@dataclass
class _Host:
    """What waits for a host, how many probes it has, when the next may begin, and whether it is left alone."""

    waiting: deque[_Job] = field(default_factory=deque)
    active: int = 0
    ready: float = 0.0
    put_offs: int = 0
    rests: bool = False

    def turn(self, moment: float) -> _Job | None:
        """Take the next job that may begin, if one may."""
        most = 1 if self.put_offs else MOST_OF_ONE
        if not self.waiting or self.active >= most or moment < max(self.ready, self.waiting[0].begin):
            return None
        self.active += 1
        self.ready = moment + (PAUSE_SECONDS if self.waiting[0].place else 0)
        return self.waiting.popleft()

    def refused(self, job: _Job, seconds: float | None) -> None:
        """Ask again after so many seconds, one at a time; where that is not told, or came often, not in this pass."""
        self.put_offs += 1
        if seconds is None or self.put_offs > MOST_PUT_OFFS:
            self.rests = True
            self.waiting.clear()
        else:
            self.waiting.appendleft(job)
            self.ready = time.monotonic() + seconds


@dataclass
class _Pass:
    """What is to be done in a pass until a moment, and what is under way."""

    until: float
    jobs: Iterator[_Job]
    under_way: dict[Future[Any], _Job] = field(default_factory=dict)
    hosts: dict[str, _Host] = field(default_factory=dict)
    has_more: bool = True

    def host(self, job: _Job) -> _Host:
        return self.hosts.setdefault(job.place, _Host())

    def look(self) -> None:
        """See who else could be asked: some jobs more, each with its host."""
        some = list(islice(self.jobs, _SOME))
        self.has_more = len(some) == _SOME
        for job in some:
            known = self.host(job)
            if not known.rests and len(known.waiting) < MOST_WAITING:
                known.waiting.append(job)

    def is_over(self) -> bool:
        """Tell whether there is nothing under way, and nothing that may still begin."""
        waits = self.has_more or any(known.waiting for known in self.hosts.values())
        return not self.under_way and not (waits and time.monotonic() < self.until)


class Prober:
    """Probes what a catalog's records lead to, and keeps what it finds in its store.

    Args:
        catalog: The catalog; its processes read.
        stop: Tells that it is to end now; what is under way is then not waited for.
    """

    def __init__(self, catalog: Catalog, stop: Callable[[], bool] = lambda: False) -> None:
        self._catalog, self._store, self._stop = catalog, catalog.store, stop

    def run(
        self, ids: Sequence[str] = (), *, seconds: float | None = None, limit: int | None = None
    ) -> Iterator[Health]:
        """Probe records, and yield what is found, each when it is kept.

        Args:
            ids: The records, whenever they were probed; none: those that are due, the longest due first.
            seconds: After so long nothing more is begun; None: BIENMO_HEALTH_SECONDS.
            limit: Most records.

        Raises:
            NotFound: There is no such record. Withdrawn: It is no more.
        """
        length = self._catalog.settings.health_seconds if seconds is None else seconds
        records = self._named(ids[:limit]) if ids else self._due(limit)
        state = _Pass(time.monotonic() + length, self._jobs(records))
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe")
        try:
            while not self._stop() and not state.is_over():
                self._begin(state, pool)
                found = self._ended(state)
                if found and not self._stop():
                    self._store.note_health(found)
                    yield from found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # at most, what nobody asks for any more

    def _named(self, ids: Sequence[str]) -> Iterator[Record]:
        yield from [
            self._given(record_id) for record_id in ids
        ]  # one that is not there is told before any is probed

    def _due(self, limit: int | None) -> Iterator[Record]:
        """Records that are due, each once, whether something of them could be kept or not."""
        before = of_seconds(seconds(now()) - self._catalog.settings.health_days * _DAY)
        seen: set[str] = set()
        while limit is None or len(seen) < limit:
            found = self._store.to_probe(before, limit=max(_SOME, 2 * len(seen)))
            fresh = [record_id for record_id in found if record_id not in seen]
            if not fresh:
                return
            for record_id in fresh[: None if limit is None else limit - len(seen)]:
                seen.add(record_id)
                with contextlib.suppress(Withdrawn):  # meanwhile
                    yield self._given(record_id)

    def _given(self, record_id: str) -> Record:
        """What is needed of the record as its source gave it: a leader's members are probed as themselves."""
        record = self._store.history(record_id, limit=1)[-1].record
        if record is None:
            raise Withdrawn(f"{record_id} was withdrawn")
        return record.model_copy(update=_UNNEEDED)

    def _jobs(self, records: Iterator[Record]) -> Iterator[_Job]:
        for record in records:
            known = {one.address: one for one in self._store.health(record.id)}
            ways = {way.address: way for way in record.distributions if probes.can_be_probed(way)}
            oldest = sorted(ways, key=lambda address: known[address].checked if address in known else "")
            short = record.model_copy(update={"distributions": ()})
            for address in oldest[:MOST_WAYS]:
                yield _Job(short, ways[address], known.get(address))

    def _begin(self, state: _Pass, pool: ThreadPoolExecutor) -> None:
        """Begin what may begin: there is time, a place, and its host has one."""
        moment = time.monotonic()
        if moment >= state.until:
            return
        if state.has_more and len(state.under_way) < _AT_ONCE:
            state.look()
        for place, known in [*state.hosts.items()]:
            while len(state.under_way) < _AT_ONCE and (job := known.turn(moment)):
                state.under_way[pool.submit(self._probe, job.way, state.until - moment)] = job
                state.hosts[place] = state.hosts.pop(place)  # others come first the next time

    def _probe(self, way: Distribution, left: float) -> probes.Found:
        """Read a cell in a process. Raises CatalogError where none could be read."""
        reach = self._reach(left)
        if way.protocol in LOCAL:
            return self._catalog.workers.run(probes.probed, way, reach, key=("probe", way.address))
        key = host(way.address)
        return self._catalog.remote.workers.run(probes.probed, way, reach, key=key, slow_seconds=REST_SECONDS)

    def _reach(self, left: float) -> Reach:
        known = self._catalog.remote.reach
        return replace(
            known,
            seconds=min(known.seconds, max(left, known.stall_seconds)),
            max_bytes=min(known.max_bytes, _ANSWER_BYTES),
            whole_bytes=min(known.whole_bytes, WHOLE_BYTES),
        )

    def _ended(self, state: _Pass) -> list[Health]:
        """Wait a little, and take what came to its end."""
        if not state.under_way:
            time.sleep(_SLICE)
            return []
        ended, _ = wait(state.under_way, timeout=_SLICE, return_when=FIRST_COMPLETED)
        taken = [(state.under_way.pop(future), future) for future in ended]
        found = []
        for job, future in taken:
            state.host(job).active -= 1
            if (health := self._taken(state, job, future)) is not None:
                found.append(health)
        return found

    def _taken(self, state: _Pass, job: _Job, future: Future[Any]) -> Health | None:
        """What a probe found; None where nothing was asked, or it is asked again."""
        error = future.exception()
        if error is None:
            return judged(job.record, job.way, future.result(), now())
        if not isinstance(error, CatalogError):
            raise error
        if _is_unasked(error):
            if job.place:
                state.host(job).refused(job, error.details.get("retry_after"))
            return None
        if isinstance(error, NotSubsettable):
            return None
        was_well = job.known is not None and job.known.state != "broken"
        begin = time.monotonic() + AGAIN_SECONDS
        if was_well and not job.is_again and begin < state.until and _is_silence(error):
            state.host(job).waiting.append(replace(job, is_again=True, begin=begin))
            return None
        newest = job.known.newest if job.known else None
        return _health(job.record, job.way, "broken", now(), newest=newest, reason=error.message)


def judged(record: Record, way: Distribution, found: probes.Found, moment: str) -> Health:
    """Return what a probe that read a cell (`catalog.data.probes.probed`) tells at a moment of a distribution."""
    newest, led = found["newest"], found["moved"]
    reason = late(record, way, newest, found["step"], moment) if newest else ""
    state = "stale" if reason else "moved" if led else "fresh"
    said = "; ".join([*([reason] if reason else []), *([f"it is at {led} now"] if led else [])])
    return _health(record, way, state, moment, newest=newest, reason=said)


def _health(  # noqa: PLR0913 - what is known of a distribution
    record: Record, way: Distribution, state: Any, moment: str, *, newest: str | None, reason: str
) -> Health:
    return Health(
        id=record.id,
        address=way.address,
        state=state,
        since=moment,
        checked=moment,
        newest=newest,
        reason=reason[:_MOST_SAID],
    )


def _is_unasked(error: CatalogError) -> bool:
    """Tell whether an error says nothing of the data: there was no reader, or their host is to be left alone."""
    asked_to_wait = error.details.get("status") == HTTPStatus.TOO_MANY_REQUESTS
    return isinstance(error, TooBusy) or "retry_after" in error.details or asked_to_wait


def _is_silence(error: CatalogError) -> bool:
    return isinstance(error, Unreachable | WorkerTimeout) or (
        isinstance(error, LimitExceeded) and "seconds" in error.details
    )


@contextlib.contextmanager
def by_schedule(catalog: Catalog) -> Iterator[None]:
    """Probe beside what the block does, in a thread: a pass every BIENMO_HEALTH_HOURS; at its end stop at once."""
    hours = catalog.settings.health_hours
    if not hours:
        yield
        return
    ended = threading.Event()

    def passes() -> None:
        while not ended.is_set():
            try:
                states = [one.state for one in Prober(catalog, ended.is_set).run()]
                told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
                _LOG.info("health: %s", told or "nothing is due")
            except Exception:  # noqa: BLE001 - a store that is locked or full may be well again the next time
                if not ended.is_set():
                    _LOG.exception("health could not be probed; it is tried again in %g hours", hours)
            ended.wait(hours * _HOUR)

    thread = threading.Thread(target=passes, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_SLICE * 20)


__all__ = ["Prober", "by_schedule", "judged"]
