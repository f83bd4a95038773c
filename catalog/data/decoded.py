"""What was inflated last, kept for whoever asks for it again: chunks, or few cells of many chunks."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_SHARE = 4
_REMEMBERED = 4096
_PASSING = ContextVar("passing", default=False)


class Inflated(NamedTuple):
    """A chunk without its filters, read-only: its bytes, whether its items are shuffled still, and how to undo that.

    The `frame` is the chunk as `catalog.data.inflating.unframed` takes it, None where it does not.
    """

    data: npt.NDArray[np.uint8]
    shuffled: bool
    frame: npt.NDArray[np.uint8] | None = None


class Decoded:
    """Chunks by key that were asked for twice, those not used for longest leave first; usable from any thread.

    Most are asked for once: to keep them would cost memory that is not at hand, and drive out others.

    Args:
        budget_bytes: How many bytes are kept at most. A request that inflates more than a quarter of it at once is not
            kept: it would only drive out what others ask for again.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._held = 0
        self._chunks: OrderedDict[Hashable, Inflated] = OrderedDict()
        self._missed: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """How many bytes are kept now."""
        return self._held

    def takes(self, size: int) -> bool:
        """Tell whether chunks of `size` bytes together would be kept."""
        return size * _SHARE <= self._budget

    def get(self, key: Hashable) -> Inflated | None:
        """Return a chunk; None where it is not kept."""
        with self._lock:
            found = self._chunks.get(key)
            if found is not None:
                self._chunks.move_to_end(key)
            return found

    def wants(self, key: Hashable) -> bool:
        """Tell whether a chunk that is not kept was asked for before, not long ago: then it is to be kept."""
        with self._lock:
            if key in self._missed:
                del self._missed[key]
                return True
            self._missed[key] = None
            if len(self._missed) > _REMEMBERED:
                self._missed.popitem(last=False)
            return False

    def put(self, key: Hashable, chunk: Inflated) -> None:
        """Keep a chunk, whose bytes nobody else may write to."""
        for part in (chunk.data, chunk.frame):
            if part is not None:
                part.flags.writeable = False
        with self._lock:
            before = self._chunks.pop(key, None)
            self._held += chunk.data.size - (before.data.size if before else 0)
            self._chunks[key] = chunk
            while self._held > self._budget and self._chunks:
                _, gone = self._chunks.popitem(last=False)
                self._held -= gone.data.size

    def clear(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._chunks.clear()
            self._missed.clear()
            self._held = 0


@contextlib.contextmanager
def passing() -> Iterator[None]:
    """Keep no chunk that is read meanwhile: it is a part of much, which would drive out what others ask for again."""
    token = _PASSING.set(True)
    try:
        yield
    finally:
        _PASSING.reset(token)


def is_passing() -> bool:
    """Tell whether what is read now is a part of much (`passing`)."""
    return _PASSING.get()
