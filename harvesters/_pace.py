"""How a process harvests fast: what it asks for next is asked while it works, and Python does not stand in the way."""

import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

from catalog.stores import Counts, Entry

T = TypeVar("T")
Batch = tuple[str, list[Entry]]
Keep = Callable[[Sequence[Entry], str], Counts]
_NEW = 20_000
_SECONDS = 0.0005


def settle() -> None:
    """Set up this process for long harvests; called once, when everything is loaded.

    The collector of cycles looks at what comes and goes, not at what was loaded for good (`gc.freeze`), and not after
    every 700 new objects; a thread that has an answer of the network to take waits half a millisecond for the one that
    reads records, not five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, 10, 10)
    sys.setswitchinterval(_SECONDS)


def soon(call: Callable[[], T]) -> Future[T]:
    """Begin a call in a thread of its own, which ends with the process; return what will be its result."""
    coming: Future[T] = Future()

    def run() -> None:
        try:
            coming.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            coming.set_exception(error)

    threading.Thread(target=run, name="soon", daemon=True).start()
    return coming


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
