"""What a harvest writes to: the store, under a lease that is kept alive, or, in a rehearsal, nothing."""

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from catalog.errors import CatalogError, LeaseLost, NotFound
from catalog.instant import now, seconds
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Document, Source, slug
from catalog.stores import (
    MAX_QUARANTINE_SHOWN,
    Counts,
    Entry,
    Lease,
    Quarantined,
    Run,
    State,
    Store,
)

LONGEST_LEASE = 60.0
_LOG = logging.getLogger(__name__)


class Ledger(Protocol):
    """Keeps what a harvest finds, and ends its run."""

    run: Run

    def keep(self, entries: Sequence[Entry], page: str) -> Counts:
        """Keep the entries of a page, or a part of it."""

    def leave(self) -> None:
        """Leave the run as it is, for the next harvest to go on with at its page."""

    def end(self, state: State, note: str) -> Run:
        """End the run."""


class Books:
    """The store, written under a lease of one run.

    Raises:
        LeaseHeld: Another harvest of the source is running.
    """

    def __init__(self, source: Source, store: Store, settings: Settings, *, incremental: bool) -> None:
        self._store, self._settings = store, settings
        self._seconds = min(settings.lease_seconds, LONGEST_LEASE)
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease, self.run = store.begin(
            source.id, holder=holder, lease_seconds=self._seconds, incremental=incremental
        )

    @contextlib.contextmanager
    def alive(self) -> Iterator[Self]:
        """Give signs of life while the block runs, so that a slow page does not end the lease."""
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(self._lease, done), name="lease", daemon=True)
        renewing.start()
        try:
            yield self
        finally:
            done.set()
            renewing.join()

    def _renew(self, lease: Lease, done: threading.Event) -> None:
        while not done.wait(self._seconds / 4):
            try:
                self._store.renew(lease, self._seconds)
            except LeaseLost as error:
                _LOG.warning("%s", error)  # the next write is refused, and ends the harvest
                return
            except CatalogError as error:
                _LOG.warning("no sign of life for run %d: %s", lease.run, error)

    def keep(self, entries: Sequence[Entry], page: str) -> Counts:
        """Keep the entries and the page reached, in one transaction. Raises LeaseLost."""
        return self._store.put(entries, lease=self._lease, page=page)

    def leave(self) -> None:
        """Give the lease back, as if its time were over: the next harvest takes the run up. Raises LeaseLost."""
        self._store.renew(self._lease, 0.0)

    def end(self, state: State, note: str) -> Run:
        """End the run and the lease, and retire what is gone. Raises LeaseLost."""
        return self._store.finish(
            self._lease,
            state,
            missed_runs=self._settings.missed_runs,
            shrink_hold=self._settings.shrink_hold,
            note=note,
        )


class Rehearsal:
    """Says what a harvest would do to the store, and does nothing; its run has the id 0."""

    def __init__(self, source: Source, store: Store) -> None:
        self._store = store
        self._left = store.sources().get(source.id, 0)
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._quarantine: list[Quarantined] = []
        self.run = Run(id=0, source=source.id, state="running", started=now())

    def keep(self, entries: Sequence[Entry], page: str) -> Counts:  # noqa: ARG002 - nothing is kept
        """Compare the entries with what the store has."""
        fresh = {entry.document.native_id: entry for entry in entries if not entry.document.deleted}
        counted = Counter(self._would(entry) for name, entry in fresh.items() if name not in self._seen)
        self._seen |= fresh.keys()
        self._counts += counted
        return Counts(**counted)

    def _would(self, entry: Entry) -> str:
        document, record = entry.document, entry.record
        kept, known = self._kept(document)
        self._left -= kept is not None
        if record is None:
            if len(self._quarantine) < MAX_QUARANTINE_SHOWN:
                line = Quarantined(native_id=document.native_id, reason=entry.reason or "", url=document.url)
                self._quarantine.append(line)
            return "quarantined"
        if kept is None:
            return "changed" if known else "new"
        return "unchanged" if kept.same(record.model_copy(update={"id": kept.id})) else "changed"

    def _kept(self, document: Document) -> tuple[Record | None, bool]:
        """The dataset's record as it is kept, under its own id or one made distinct, and whether it ever was."""
        distinct = slug(document.source, document.name or document.native_id, distinct_by=document.native_id)
        for record_id in (document.id, distinct):
            with contextlib.suppress(NotFound):
                versions = self._store.history(record_id, limit=2)  # a withdrawal follows a record
                told = [version.record for version in versions if version.record][-1]
                if (told.source, told.native_id) == (document.source, document.native_id):
                    return versions[-1].record, True
        return None, False

    def leave(self) -> None:
        """Leave nothing: nothing was begun."""

    def end(self, state: State, note: str) -> Run:
        """Return the run as it would be, but for what it would retire."""
        ended = now()
        return self.run.model_copy(
            update={
                "state": state,
                "ended": ended,
                "seconds": seconds(ended) - seconds(self.run.started),
                "seen": len(self._seen),
                "counts": Counts(**self._counts),
                "missing": self._left,
                "note": note or "a rehearsal: nothing was written",
                "quarantine": tuple(self._quarantine),
            }
        )
