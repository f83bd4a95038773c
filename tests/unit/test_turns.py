"""Each client waits for itself."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from catalog.data.turns import Turns
from catalog.errors import TooBusy


def test_a_client_works_in_turn_and_waits_for_itself_only():
    turns, most, now, lock = Turns(2, 15, 100), {}, {}, threading.Lock()

    def work(client):
        back = turns.take(client)
        with lock:
            now[client] = now.get(client, 0) + 1
            most[client] = max(most.get(client, 0), now[client])
        time.sleep(0.002)
        with lock:
            now[client] -= 1
        back()
        back()  # twice does no harm

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(work, [f"client {number % 4}" for number in range(60)]))
    assert most == {f"client {number}": 2 for number in range(4)}


def test_what_one_client_has_waiting_is_limited_and_others_are_not_refused():
    turns = Turns(2, 3, 4)
    held = [turns.take("greedy"), turns.take("greedy")]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(turns.take, "greedy") for _ in range(3)]
        deadline = time.monotonic() + 10
        while turns._standing.total() < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        with pytest.raises(TooBusy) as refused:
            turns.take("greedy")
        assert refused.value.details["retry_after"] > 0
        turns.take("polite")()
        for back in held:
            back()
        for future in as_completed(waiting, 10):  # whichever has its turn gives it back to the next
            future.result()()
    assert not turns._at_work
    assert not turns._standing


def test_of_all_clients_together_no_more_are_let_in_than_there_are_threads_for():
    turns = Turns(2, 3, 10, most=4)
    held = [turns.take(f"client {number}") for number in range(4)]
    with pytest.raises(TooBusy, match="4 requests"):
        turns.take("another")
    held.pop()()
    turns.take("another")
