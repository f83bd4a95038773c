"""Data on other servers: cut by processes of their own, and small answers kept for repeats.

No server holds up the others: its requests have half of the processes at most, and when it did not answer three times
it is left alone for a minute, after which one request tries it again.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catalog import estimating, formats, tabling
from catalog.answers import Answer, of_spool, read_end, written_end
from catalog.crediting import credited, credits_of
from catalog.data import afar, dap, farther, repeats, subset, ways
from catalog.data.constraints import TableQuery
from catalog.data.grids import Grid
from catalog.data.remote import Reach, host
from catalog.data.repeats import Repeats
from catalog.data.spools import Spool, Spools
from catalog.data.strikes import Strikes
from catalog.data.subset import Cut, Limits
from catalog.data.workers import Workers
from catalog.errors import NotSubsettable
from catalog.estimating import Estimate
from catalog.record import Distribution, Record
from catalog.settings import Settings

MOST_FAILURES = 3
"""Requests that a server may leave without answer before it is left alone."""

REST_SECONDS = 60.0
"""How long a server that does not answer is left alone."""

_SAID = "the data's server did not answer {number} times, and is left alone for now"


class Remote:
    """Cuts and answers of data on other servers.

    Args:
        settings: Limits and places.
        spools: The finished answers that are not yet sent.
    """

    def __init__(self, settings: Settings, spools: Spools) -> None:
        self._settings, self._spools = settings, spools
        self._repeats = Repeats(settings.home / "cache", settings.remote_cache_bytes)
        self._strikes = Strikes(most=MOST_FAILURES, said=_SAID, trial_seconds=settings.read_seconds)

    @cached_property
    def workers(self) -> Workers:
        """The processes, begun at their first use."""
        known = self._settings
        return Workers(
            known.remote_readers,
            seconds=known.read_seconds,
            memory=known.read_memory,
            queue=known.queue,
            max_answer_bytes=known.max_answer_bytes,
            spools=self._spools,
            strikes=self._strikes,
            most_of_one=max(1, known.remote_readers // 2),
        )

    def close(self) -> None:
        """End the processes."""
        if "workers" in vars(self):
            self.workers.close()

    @property
    def reach(self) -> Reach:
        """How remote data are reached."""
        return Reach(
            allow_hosts=self._settings.allow_hosts,
            user_agent=self._settings.user_agent,
            stall_seconds=self._settings.fetch_stall_seconds,
            seconds=self._settings.fetch_seconds,
            max_bytes=self._settings.max_result_bytes,
            whole_bytes=self._settings.remote_file_bytes,
        )

    def subset(
        self,
        record: Record,
        distribution: Distribution,
        cut: Cut,
        suffix: str,
        limits: Limits,
    ) -> Answer:
        """Cut remote data, or give again what was made of the same cut; as `Catalog.subset`.

        Raises:
            Unreachable: Their server does not answer; also where an answer was kept. Others as `Catalog.subset`.
        """
        state = self._state(distribution)
        asked = [f"{name}={value}" for name, value in sorted(cut.parameters().items())]

        def make() -> tuple[Spool, tuple[str, ...]]:
            spool = self._spool(
                distribution,
                written,
                cut,
                suffix,
                record.id,
                credits_of(record),
                self.reach,
                limits,
                self._index(distribution, state),
            )
            return spool, read_end(spool)

        answer = partial(_answer, record, suffix, formats.named(suffix).MEDIA_TYPE)
        return self._given(("subset", record, distribution, suffix, state), asked, make, answer)

    def table(
        self,
        record: Record,
        distribution: Distribution,
        query: str,
        asked: TableQuery,
        suffix: str,
    ) -> Answer:
        """Answer a query of remote rows, or give again what was made of it; as `Catalog.table`. Raises as `subset`."""
        state = self._state(distribution)

        def make() -> tuple[Spool, tuple[str, ...]]:
            spool = self._spool(
                distribution,
                tabling.written,
                asked,
                suffix,
                {**credits_of(record), "history": f"rows of {record.id} by ?{query[:2_000]}"},
                tabling.types(record),
                self.reach,
                self._settings.max_result_bytes,
                self._settings.max_decoded_bytes,
            )
            return spool, ()

        answer = partial(_answer, record, suffix, tabling.FORMATS[suffix])
        return self._given(("table", record, distribution, suffix, state), [repr(asked)], make, answer)

    def estimate(self, distribution: Distribution, cut: Cut, suffix: str, limits: Limits) -> Estimate:
        """Return what a cut would cost; as `Catalog.estimate`. Raises as `subset`."""
        index = self._index(distribution, self._state(distribution))
        found = self._run(distribution, estimated, cut, suffix, self.reach, limits, index)
        return Estimate.model_validate(found)

    def _run(self, distribution: Distribution, job: Callable[..., Any], *args: Any) -> Any:
        key = host(distribution.address)
        return self.workers.run(job, distribution, *args, key=key, slow_seconds=REST_SECONDS)

    def _spool(self, distribution: Distribution, job: Callable[..., Any], *args: Any) -> Spool:
        key = host(distribution.address)
        return self.workers.spool(job, distribution, *args, key=key, slow_seconds=REST_SECONDS)

    def _state(self, distribution: Distribution) -> str:
        """What the server tells of the state of the data now; nothing where it has no way to tell that."""
        if ways.file_form(distribution) == "netcdf":
            return str(self._run(distribution, afar.state, self.reach))
        self._strikes.refuse(host(distribution.address))
        return ""

    def _index(self, distribution: Distribution, state: str) -> Path | None:
        """The index of a file in this state, made where it is not there; None where the file has none."""
        if not state:
            return None
        key = ("index", distribution.address, state)
        found = self._repeats.file(key)
        if found is not None:
            return found
        with (
            contextlib.suppress(NotSubsettable),
            self._spool(distribution, farther.indexed, self.reach) as spool,
        ):
            return self._repeats.put_file(key, b"".join(spool.pieces()))
        return None

    def _given(
        self,
        known: tuple[str, Record, Distribution, str, str],
        asked: list[str],
        make: Callable[[], tuple[Spool, tuple[str, ...]]],
        answer: Callable[..., Answer],
    ) -> Answer:
        """An answer that was kept, else a new one, kept where it is small."""
        kind, record, distribution, suffix, state = known
        longest = self._settings.remote_cache_seconds
        key = [kind, record.id, record.document_hash, distribution.address, suffix, state, *asked]
        found = self._repeats.get(key, longest) if longest else None
        if found is not None:
            said = f"this answer was kept for repeats: {urlsplit(distribution.address).hostname} was asked "
            return answer(found.body, (*found.notes, f"{said}{repeats.age(found.age)} ago"), found.age)
        spool, notes = make()
        if not longest or spool.size > repeats.MOST_BYTES:
            return answer(spool, notes)
        with spool:
            body = b"".join(spool.pieces())
        self._repeats.put(key, body, notes)
        return answer(body, notes)


def _answer(  # noqa: PLR0913 - what is known of an answer
    record: Record,
    suffix: str,
    media_type: str,
    content: Spool | bytes,
    notes: tuple[str, ...],
    age: float | None = None,
) -> Answer:
    known: dict[str, Any] = {
        "media_type": media_type,
        "filename": f"{record.id}.{suffix}",
        "notes": notes,
    }
    if isinstance(content, Spool):
        return of_spool(content, **known)
    return Answer([content], size=lambda: len(content), age=age, **known)


def written(  # noqa: PLR0913 - one flat, picklable call into a worker process
    distribution: Distribution,
    cut: Cut,
    suffix: str,
    record_id: str,
    known: Mapping[str, str],
    reach: Reach,
    limits: Limits,
    index: Path | None,
) -> Iterator[bytes]:
    """Open, cut and write in a worker; the notes are the end (`answers.read_end`). Raises as `Catalog.subset`."""
    with afar.opened(distribution, reach, index, cut) as dataset:
        grid = Grid(dataset)
        if afar.is_asked_together(distribution):
            plain = cut.model_copy(update={"qc": "", "reduce": ""})
            dap.ask_together(subset.part(grid, plain, record_id, limits))
        part = credited(subset.cut(grid, cut, record_id, limits), known)
        yield from formats.named(suffix).write(part)
        yield written_end(part.encoding.get("notes", ()))


def estimated(  # noqa: PLR0913 - as `written`
    distribution: Distribution, cut: Cut, suffix: str, reach: Reach, limits: Limits, index: Path | None
) -> dict[str, Any]:
    """Return the estimate of a cut as JSON values, in a worker. Raises as `Catalog.estimate`."""
    with afar.opened(distribution, reach, index, cut) as dataset:
        found = estimating.estimate(Grid(dataset), cut, formats.named(suffix), limits)
        return found.model_dump(mode="json")
