"""What goes on ahead in a thread ends with what it made, and stops nobody else."""

import time
from collections.abc import Generator, Iterator

import pytest

from harvesters import _ahead
from harvesters._ahead import ahead
from harvesters._polite import Stop


def numbers(count: int, fault: Exception | None = None) -> Generator[int]:
    yield from range(count)
    if fault:
        raise fault


def twice(stop: Stop, made: Generator[int]) -> Iterator[int]:
    """Two threads, one ahead of the other, as a harvest has them."""

    def between() -> Generator[int]:
        for group in ahead(made, lambda _: 1, stop):
            yield from group

    for group in ahead(between(), lambda _: 1, stop):
        yield from group


def test_an_end_or_a_fault_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a thread has said that nothing more comes, and lives a little longer."""
    end = _ahead._Shelf.end

    def slowly(self: _ahead._Shelf[int], failure: BaseException | None) -> None:
        end(self, failure)
        time.sleep(0.02)

    monkeypatch.setattr(_ahead._Shelf, "end", slowly)
    for _ in range(5):
        stop, found = Stop(), list[int]()
        assert list(twice(stop, numbers(3))) == [0, 1, 2]
        assert not stop.is_set()
        with pytest.raises(KeyError):
            found.extend(twice(stop, numbers(3, KeyError("a fault"))))
        assert found == [0, 1, 2]
        assert not stop.is_set()


def test_who_leaves_early_ends_what_goes_on() -> None:
    stop = Stop()
    left = twice(stop, numbers(1_000_000))
    assert next(left) == 0
    left.close()  # type: ignore[attr-defined]
    assert stop.is_set()
