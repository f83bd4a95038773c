"""Pages of a CKAN portal are asked for beforehand: each once, full ones two at once."""

import threading
import time
from collections import Counter

import pytest

from harvesters._packages import ROWS, Pages


class Portal:
    """Gives pages of so many rows, slowly; counts what is asked of it, and how much at once."""

    def __init__(self, count: int, rows: int) -> None:
        self.count, self.rows = count, rows
        self.asked: Counter[int] = Counter()
        self.most = self._active = 0
        self._lock = threading.Lock()

    def page(self, start: int) -> tuple[int, list[int]]:
        with self._lock:
            self.asked[start] += 1
            self._active += 1
            self.most = max(self.most, self._active)
        time.sleep(0.01)
        with self._lock:
            self._active -= 1
        return self.count, list(range(start, min(start + self.rows, self.count)))


@pytest.mark.parametrize("rows", [ROWS, 30, 1])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 350])
def test_every_page_is_asked_for_once_and_full_ones_two_at_once(count: int, rows: int) -> None:
    portal = Portal(min(count, 12 * rows), rows)
    pages, start, found = Pages(portal.page), 0, list[int]()
    while True:
        told, packages = pages.at(start)
        found += packages
        start += len(packages)
        if start >= told:
            break
        pages.ask(start, told, len(packages))
    assert found == list(range(portal.count))
    assert portal.asked == Counter(range(0, max(portal.count, 1), rows))
    assert portal.most == (2 if rows == ROWS and portal.count > 2 * rows else 1)


def test_a_page_that_cannot_be_had_raises_where_it_is_needed() -> None:
    def page(start: int) -> tuple[int, list[int]]:
        if start == ROWS:
            raise OSError("no answer")
        return 3 * ROWS, list(range(start, start + ROWS))

    pages = Pages(page)
    assert pages.at(0)[0] == 3 * ROWS
    pages.ask(ROWS, 3 * ROWS, ROWS)
    assert pages.at(2 * ROWS)[1][0] == 2 * ROWS
    with pytest.raises(OSError, match="no answer"):
        pages.at(ROWS)
