"""What a process that works for long sets for itself: the turns of threads, the look for cycles, memory."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAPPED_BYTES = 16 << 20
_FREE_BYTES = 8 << 20
NEW_OBJECTS = 20_000
"""Objects that come before the collector of cycles looks at them; Python's own 700 suit short programs."""
HARVESTED_OBJECTS = 100_000
"""The same where some hundred records are in hand at any time, which are no cycles: a fifth of the time was its."""
_TURN_SECONDS = 0.001


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Look for no cycles in the block, which imports much: all that it makes stays, and each look went through it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle(new_objects: int = NEW_OBJECTS) -> None:
    """Set up a process for long work; called when everything is loaded.

    The collector of cycles looks at what comes and goes, not at what was loaded for good (`gc.freeze`), and not after
    every 700 new objects. A thread whose answer from the network is there waits a millisecond for one that
    reckons, not five: two requests at once hold each other up less.
    """
    gc.freeze()
    gc.set_threshold(new_objects, 10, 10)
    sys.setswitchinterval(_TURN_SECONDS)


def frugal() -> None:
    """Have the C library use memory again, and keep little of it (mallopt(3)).

    Each thread's own arena would keep what it once used, so there are few. Pieces of answers come from the arenas, of
    whose free end a few megabytes stay: what is given back is taken again, page by page, at each piece.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_ARENA_MAX, _ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES)
