"""What happens in harvests, told while it happens: to a program as JSON lines, to people as bars."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

from pydantic import Field
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from catalog.instant import Instant, now
from catalog.record import Model
from catalog.stores import Run


class Event(Model):
    """Something that happened to a source.

    Args:
        event: `started`; `page`, after each write; `finished`, with the run; `skipped`, with the reason.
        source: The source's id.
        at: When, UTC.
        expected: Of `started`: the records that the catalog has of the source; None for an incremental run.
        page: Of `page`: the cursor of the page that was reached.
        seen: Of `page`: datasets that this call saw so far; so are the counts after it.
        reason: Of `skipped`: why.
        until: Of `skipped`: when it is due again, where that is known.
        run: Of `finished`: the run.
    """

    event: Literal["started", "page", "finished", "skipped"]
    source: str
    at: Instant = Field(default_factory=now)
    expected: int | None = None
    page: str | None = None
    seen: int | None = None
    new: int | None = None
    changed: int | None = None
    unchanged: int | None = None
    quarantined: int | None = None
    reason: str | None = None
    until: Instant | None = None
    run: Run | None = None


Tell = Callable[[Event], None]
"""Told of each event, by several threads at once."""


def silent(_: Event) -> None:
    """Tell nobody."""


def lines(stream: BinaryIO) -> Tell:
    """Return what writes events to a stream: a JSON object a line, without what an event does not have."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        line = event.model_dump_json(exclude_none=True).encode() + b"\n"
        with lock:
            stream.write(line)
            stream.flush()

    return tell


@contextmanager
def bars(console: Console) -> Iterator[Tell]:
    """Show a bar for each source that is being harvested, while the block runs; a source that ended has none."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        shown = _Bars(progress)
        yield shown.tell


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._tasks: dict[str, tuple[TaskID, int]] = {}

    def tell(self, event: Event) -> None:
        with self._lock:
            if event.event == "started":
                self._drop(event.source)
                task = self._progress.add_task(event.source, total=event.expected or None, said="")
                self._tasks[event.source] = task, event.expected or 0
            elif event.event == "page" and event.source in self._tasks:
                task, expected = self._tasks[event.source]
                said = f"{event.new} new, {event.changed} changed, {event.quarantined} quarantined"
                seen = event.seen or 0
                total = max(expected, seen) if expected else None
                self._progress.update(task, completed=seen, total=total, said=said)
            else:
                self._drop(event.source)

    def _drop(self, source: str) -> None:
        if source in self._tasks:
            self._progress.remove_task(self._tasks.pop(source)[0])


__all__ = ["Event", "Tell", "bars", "lines", "silent"]
