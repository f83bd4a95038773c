"""Politeness: few requests at once to a host over all sources, its rests, delays, and robots.txt."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import AddressRefused, BadSource, LimitExceeded, Unreachable
from catalog.settings import Settings
from catalog.source import Source
from harvesters._fetch import Fetch
from harvesters._kept import Kept
from harvesters._polite import Hosts, Stop, Stopped
from harvesters._robots import A_DAY, Robots
from portals import Asked, Piece, answer, portal

SOURCE = Source(id="portal", protocol="paged", url="http://127.0.0.1/")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_seconds=5, fetch_tries=3)


def together(*jobs: Callable[[], object]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_requests_at_once_to_a_host_over_all_sources(settings: Settings) -> None:
    active, most, lock = [0], [0], threading.Lock()

    def slow(_: Asked) -> Iterator[Piece]:
        with lock:
            active[0] += 1
            most[0] = max(most[0], active[0])
        yield 0.03
        with lock:
            active[0] -= 1
        yield answer(b"[]")

    hosts = Hosts()

    def harvest() -> None:
        with Fetch(settings, SOURCE, None, hosts=hosts) as door:
            for _ in range(5):
                door.get(running.url)

    with portal(slow) as running:
        together(*[harvest] * 6)
        assert len(running.asked) == 30
    assert most[0] == 2


def test_a_rest_that_a_host_asks_for_holds_for_all_its_sources(settings: Settings) -> None:
    answers = iter([answer(b"", 503, Retry_After="1")])
    times: list[float] = []

    def busy(_: Asked) -> list[bytes]:
        times.append(time.monotonic())
        return [next(answers, answer(b"[]"))]

    hosts = Hosts()
    with (
        portal(busy) as running,
        portal(lambda _: [answer(b"[]")]) as other,
        Fetch(settings, SOURCE, None, hosts=hosts, chance=lambda: 0.0) as first,
        Fetch(settings, SOURCE, None, hosts=hosts) as second,
    ):
        begun = time.monotonic()
        asking = threading.Thread(target=first.get, args=(running.url,))
        asking.start()
        while not times:
            time.sleep(0.01)
        time.sleep(0.05)
        second.get(other.url)
        assert time.monotonic() - begun < 0.9, "another host does not rest"
        second.get(running.url)
        asking.join()
    assert all(at - times[0] >= 1 for at in times[1:])
    assert len(times) == 3


def test_a_long_rest_is_told_to_other_sources_without_asking_again(settings: Settings) -> None:
    hosts = Hosts()
    with portal(lambda _: [answer(b"", 429, Retry_After="7200")]) as closed:
        for _ in range(2):
            with (
                Fetch(settings, SOURCE, None, hosts=hosts) as door,
                pytest.raises(Unreachable, match="come back in"),
            ):
                door.get(closed.url)
        assert len(closed.asked) == 1


def test_a_rest_is_a_day_at_most() -> None:
    now = [0.0]
    hosts = Hosts(clock=lambda: now[0])
    hosts.rest("h", 1e12)
    with pytest.raises(Unreachable), hosts.turn("h", Stop(), time.sleep, delay=0, longest=600):
        pass
    now[0] = 86_400
    with hosts.turn("h", Stop(), pytest.fail, delay=0, longest=600):
        pass


def test_a_source_s_delay_keeps_requests_apart(settings: Settings) -> None:
    slow = SOURCE.model_copy(update={"options": {"delay": 0.2}})
    with portal(lambda _: [answer(b"[]")]) as running, Fetch(settings, slow, None) as door:
        begun = time.monotonic()
        for _ in range(4):
            door.get(running.url)
        assert 0.6 <= time.monotonic() - begun < 2
    with pytest.raises(BadSource, match="delay"):
        Fetch(settings, SOURCE.model_copy(update={"options": {"delay": "long"}}), None)


def test_a_stop_ends_waiting_at_once(settings: Settings) -> None:
    above = Stop()
    stop = Stop(above)
    with (
        portal(lambda _: [answer(b"", 503, Retry_After="300")]) as busy,
        Fetch(settings, SOURCE, None, stop=stop) as door,
    ):
        begun = time.monotonic()
        threading.Timer(0.3, above.set).start()
        with pytest.raises(Stopped):
            door.get(busy.url)
        with pytest.raises(Stopped):
            door.get(busy.url)
    assert time.monotonic() - begun < 2


# --- robots.txt


RULES = b"""\xef\xbb\xbfUser-agent: *
Disallow: /private
Disallow: /*?secret
Allow: /private/open$
Crawl-delay: 0.2

User-agent: other
Disallow: /
"""
PIECES = [
    b"User-agent: ",
    b"*",
    b"Disallow: ",
    b"Allow: /",
    b"Crawl-delay: ",
    b"1e999",
    b"-1",
    b"nan",
    b"\n",
    b"$",
    b"%z",
    b"\xff",
]


def site(rules: Callable[[Asked], list[bytes]]) -> Callable[[Asked], list[bytes]]:
    return lambda asked: rules(asked) if asked.path == "/robots.txt" else [answer(b"<html>")]


def test_robots_txt_is_honoured_where_asked_for(settings: Settings) -> None:
    with (
        portal(site(lambda _: [answer(RULES)])) as running,
        Fetch(settings, SOURCE, None, robots=True) as door,
    ):
        begun = time.monotonic()
        for path in ("/", "/private/open", "/page"):
            assert door.get(running.url + path).status == 200
        assert time.monotonic() - begun >= 0.4, "Crawl-delay"
        for path in ("/private/x", "/a?secret=1"):
            with pytest.raises(AddressRefused, match="robots"):
                door.get(running.url + path)
            with pytest.raises(AddressRefused):
                door.requests_session.get(running.url + path)
        paths = [asked.path for asked in running.asked]
        assert paths == ["/robots.txt", "/", "/private/open", "/page"]
        with Fetch(settings, SOURCE, None) as programs:
            assert programs.get(f"{running.url}/private/x").status == 200
        with Fetch(settings, SOURCE, None, robots=True) as later:
            later.get(f"{running.url}/page")
        assert [asked.path for asked in running.asked].count("/robots.txt") == 1, "kept for a day"


@pytest.mark.parametrize(("status", "opened"), [(404, True), (403, True), (500, False), (503, False)])
def test_a_site_without_rules_is_open_and_one_that_fails_is_closed(
    status: int, opened: bool, settings: Settings
) -> None:
    quick = settings.model_copy(update={"fetch_tries": 1})
    with (
        portal(site(lambda _: [answer(b"", status)])) as running,
        Fetch(quick, SOURCE, None, robots=True) as door,
    ):
        if opened:
            assert door.get(f"{running.url}/x").status == 200
        else:
            with pytest.raises(Unreachable, match="without it nothing may be fetched"):
                door.get(f"{running.url}/x")
            assert [asked.path for asked in running.asked] == ["/robots.txt"]


def test_rules_are_asked_for_once_a_day_and_old_ones_stand_while_the_site_is_down(tmp_path: Path) -> None:
    now, said, asked = [1e9], [(200, b"User-agent: *\nDisallow: /a")], []

    def get(url: str) -> tuple[int, bytes]:
        asked.append(url)
        if not said[0]:
            raise LimitExceeded("it drips")
        return said[0]

    robots = Robots("bienmo/0.1 (x)", Kept(tmp_path, 1_000_000), get, lambda: now[0])
    for _ in range(3):
        with pytest.raises(AddressRefused):
            robots.delay("http://h/a")
    assert asked == ["http://h/robots.txt"]
    now[0] += A_DAY + 1
    said[0] = ()
    with pytest.raises(AddressRefused):
        robots.delay("http://h/a")
    now[0] += A_DAY + 1
    said[0] = (200, b"User-agent: bienmo\nDisallow: /b")
    assert robots.delay("http://h/a") == 0
    with pytest.raises(AddressRefused):
        robots.delay("http://h/b")
    assert len(asked) == 3


@given(
    body=st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
    path=st.text(max_size=40),
)
def test_any_rules_and_addresses_are_answered(
    body: bytes, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    robots = Robots("bienmo", Kept(tmp_path_factory.getbasetemp() / "kept", -1), lambda _: (200, body))
    with suppress(AddressRefused):
        assert 0 <= robots.delay(f"http://h/{path}") <= 30


def test_wildcards_cannot_make_a_match_take_long(tmp_path: Path) -> None:
    body = b"User-agent: *\n" + b"Disallow: /" + b"*a" * 5_000 + b"*b$\n"
    robots = Robots("bienmo", Kept(tmp_path, 1_000_000), lambda _: (200, body * 10))
    begun = time.monotonic()
    assert robots.delay("http://h/" + "a" * 4_000) == 0
    assert time.monotonic() - begun < 1
