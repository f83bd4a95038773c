"""What is needed next, begun while something else is done."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


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
