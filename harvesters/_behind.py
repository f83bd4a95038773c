"""Batches are kept while the next is made."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial

from catalog.stores import Counts, Entry
from harvesters._soon import soon

Batch = tuple[str, list[Entry]]
Keep = Callable[[Sequence[Entry], str], Counts]


def behind(keep: Keep, batches: Iterable[Batch]) -> Iterator[tuple[str, list[Entry], Counts]]:
    """Keep batches in order, each while the next one is made; yield each with its page and what keeping it did.

    What came before a fault of the batches is kept, and comes before it. Where keeping a batch fails, nothing that came
    after it is kept.
    """
    made = iter(batches)
    keeping: Future[Counts] | None = None
    kept: Batch | None = None
    failure: Exception | None = None
    try:
        while True:
            try:
                following = next(made, None)
            except Exception as error:  # noqa: BLE001 - raised when what came before it is kept
                following, failure = None, error
            if kept is not None and keeping is not None:
                yield *kept, keeping.result()
            if following is None:
                break
            page, entries = kept = following
            keeping = soon(partial(keep, entries, page))
    finally:
        if keeping is not None:
            wait([keeping])
    if failure is not None:
        raise failure
