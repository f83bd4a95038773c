"""What is asked for beforehand, and batches that are kept while the next is made."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import LeaseLost, Unreachable
from catalog.source import Document
from catalog.stores import Counts, Entry
from harvesters._behind import Batch, behind
from harvesters._soon import soon


def batch(number: int) -> Batch:
    return str(number), [Entry(document=Document(source="s", native_id=f"{number}"), record=None)]


def made(count: int, *, broken: bool = False) -> Iterator[Batch]:
    yield from map(batch, range(count))
    if broken:
        raise Unreachable("gone")


def test_soon_gives_the_result_or_raises() -> None:
    assert soon(lambda: 5).result(5) == 5
    with pytest.raises(ZeroDivisionError):
        soon(lambda: 1 / 0).result(5)


@given(st.integers(0, 6), st.booleans(), st.none() | st.integers(0, 5))
def test_batches_are_kept_in_order_up_to_the_first_fault(
    count: int, broken: bool, lost_at: int | None
) -> None:
    kept: list[str] = []
    told: list[str] = []

    def keep(entries: Sequence[Entry], page: str) -> Counts:
        if lost_at is not None and page == str(lost_at):
            raise LeaseLost("lost")
        kept.append(page)
        return Counts(new=len(entries))

    lost = lost_at is not None and lost_at < count
    try:
        for page, entries, counts in behind(keep, made(count, broken=broken)):
            assert counts.new == len(entries) == 1
            told.append(page)
    except LeaseLost:
        assert lost
    except Unreachable:
        assert broken
        assert not lost
    else:
        assert not lost
        assert not broken
    assert (
        kept == told == [str(number) for number in range(lost_at if lost and lost_at is not None else count)]
    )


def test_a_batch_is_made_while_the_one_before_is_kept() -> None:
    making, go = threading.Event(), threading.Event()

    def batches() -> Iterator[Batch]:
        yield batch(0)
        making.set()
        assert go.wait(5)
        yield batch(1)

    def keep(entries: Sequence[Entry], page: str) -> Counts:
        if page == "0":
            assert making.wait(5), "the second batch was not begun while the first was kept"
            go.set()
        return Counts(new=len(entries))

    assert [page for page, _, _ in behind(keep, batches())] == ["0", "1"]


def test_who_leaves_waits_for_what_is_being_kept() -> None:
    kept: list[str] = []

    def keep(entries: Sequence[Entry], page: str) -> Counts:
        kept.append(page)
        return Counts(new=len(entries))

    def batches() -> Iterator[Batch]:
        yield batch(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(behind(keep, batches()))
    assert kept == ["0"]
