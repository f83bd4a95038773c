"""The door to the network: limits (FAULTS row 7), tries (row 13), kept answers, strict JSON (row 9)."""

import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from ckanapi import RemoteCKAN
from ckanapi.errors import CKANAPIError
from hypothesis import given
from hypothesis import strategies as st

import harvesters
from catalog.data.workers import Workers
from catalog.dialects._json import read_json
from catalog.errors import AddressRefused, BadDocument, DataError, LimitExceeded, SourceError, Unreachable
from catalog.settings import Settings
from catalog.source import Source
from harvesters._fetch import Fetch
from harvesters._kept import Kept
from portals import FAULTS, Answering, Asked, answer, head, portal

SOURCE = Source(id="portal", protocol="paged", url="http://127.0.0.1/")
DEADLINE = 2.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        allow_hosts=("127.0.0.1",),
        fetch_seconds=DEADLINE,
        fetch_stall_seconds=1.0,
        fetch_tries=3,
    )


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetch(settings: Settings, waits: list[float]) -> Iterator[Fetch]:
    with Fetch(settings, SOURCE, None, sleep=waits.append) as door:
        yield door


def resident() -> int:
    fields = Path("/proc/self/statm").read_text("ascii").split()
    return int(fields[1]) * 4096


@pytest.fixture
def growth(fetch: Fetch) -> Iterator[Callable[[], int]]:
    """The most memory that the process has held beyond what it had, sampled every 5 ms."""
    with portal(lambda _: [answer(b"[]")]) as good:
        fetch.get(good.url)  # what the first request loads is not the fault's
    before, most, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], resident() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    yield lambda: most[0]
    done.set()
    watching.join()


@pytest.mark.parametrize("fault", FAULTS)
def test_misbehaving_sources_are_refused_in_time(fault: str, fetch: Fetch, growth: Callable[[], int]) -> None:
    with portal(FAULTS[fault]) as bad, portal(lambda _: [answer(b"[]")]) as good:
        begun = time.monotonic()
        with pytest.raises(SourceError):
            fetch.get(bad.url)
        assert time.monotonic() - begun <= DEADLINE + 1
        assert growth() < 64_000_000
        assert fetch.get(good.url).content == b"[]"


def test_silence_is_not_waited_out(settings: Settings) -> None:
    patient = settings.model_copy(update={"fetch_seconds": 30, "fetch_tries": 1})
    with portal(FAULTS["stall"]) as bad, Fetch(patient, SOURCE, None) as door:
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            door.get(bad.url)
    assert time.monotonic() - begun <= settings.fetch_stall_seconds + 1


def test_a_bomb_is_refused_as_it_inflates(settings: Settings, growth: Callable[[], int]) -> None:
    patient = settings.model_copy(update={"fetch_seconds": 30})
    with portal(FAULTS["gzip bomb"]) as bad, Fetch(patient, SOURCE, None) as door:
        with pytest.raises(LimitExceeded, match="40,000,000 bytes"):
            door.get(bad.url)
        with pytest.raises(LimitExceeded, match="40,000,000 bytes"):
            door.requests_session.get(bad.url)
    assert growth() < 64_000_000


def test_the_body_of_a_redirect_is_limited_too(settings: Settings, growth: Callable[[], int]) -> None:
    bomb = answer(gzip.compress(bytes(1_000_000)) * 200, 302, Location="/x", Content_Encoding="gzip")
    patient = settings.model_copy(update={"fetch_seconds": 30})
    with (
        portal(lambda asked: [bomb if asked.path == "/" else answer(b"[]")]) as bad,
        Fetch(patient, SOURCE, None) as door,
        pytest.raises(LimitExceeded),
    ):
        door.get(bad.url)
    assert growth() < 64_000_000


def test_whole_answers_come_through(fetch: Fetch) -> None:
    body = json.dumps(list(range(1_000))).encode()
    halves = gzip.compress(body[:500]) + gzip.compress(body[500:])
    chunked = head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for sent in (answer(body), answer(halves, Content_Encoding="gzip"), chunked):
        with portal(lambda _, sent=sent: [sent]) as good:
            reply = fetch.get(good.url + "/list", {"q": "nhiệt độ"})
            assert (reply.status, reply.content) == (200, body)
            assert good.asked[0].query == {"q": "nhiệt độ"}
            assert good.asked[0].headers["user-agent"].startswith("bienmo/")


def test_five_redirects_are_followed_and_a_post_is_not(fetch: Fetch) -> None:
    def hop(asked: Asked) -> list[bytes]:
        left = int(asked.path[1:])
        return [answer(b"[]") if left == 0 else answer(b"", 302, Location=f"/{left - 1}")]

    with portal(hop) as hops:
        assert fetch.get(f"{hops.url}/5").url == f"{hops.url}/0"
        with pytest.raises(LimitExceeded, match="redirects more than 5 times"):
            fetch.get(f"{hops.url}/6")
        with pytest.raises(Unreachable, match="moved to '/0'"):
            fetch.requests_session.post(f"{hops.url}/1", json={"q": 1})


def scripted(*answers: bytes) -> Answering:
    left = iter(answers)
    return lambda _: [next(left)]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again_with_backoff(status: int, fetch: Fetch, waits: list[float]) -> None:
    with portal(scripted(answer(b"", status), answer(b"", status), answer(b"[]"))) as shaky:
        assert fetch.get(shaky.url).content == b"[]"
    assert 0.5 <= waits[0] <= 1
    assert 1 <= waits[1] <= 2


def test_tries_end(fetch: Fetch, waits: list[float]) -> None:
    with portal(lambda _: [answer(b"", 503)]) as down:
        with pytest.raises(Unreachable, match="3 tries: status 503") as caught:
            fetch.get(down.url)
        assert (len(down.asked), len(waits)) == (3, 2)
    assert caught.value.details["status"] == 503
    with pytest.raises(Unreachable, match="3 tries"):
        fetch.get(down.url)  # now nobody listens there


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410])
def test_refusals_for_good_are_not_tried_again(status: int, fetch: Fetch) -> None:
    with portal(lambda _: [answer(b"", status)]) as refusing:
        with pytest.raises(Unreachable) as caught:
            fetch.get(refusing.url)
        assert len(refusing.asked) == 1
    assert caught.value.details["status"] == status


def test_retry_after_is_honoured_up_to_its_limit(fetch: Fetch, waits: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with portal(
        scripted(answer(b"", 429, Retry_After="7"), answer(b"", 503, Retry_After=later), answer(b"[]"))
    ) as busy:
        fetch.get(busy.url)
    assert 7 <= waits[0] <= 8
    assert 85 <= waits[1] <= 91
    with portal(lambda _: [answer(b"", 429, Retry_After="601")]) as closed:
        with pytest.raises(Unreachable, match="come back in 601 s"):
            fetch.get(closed.url)
        assert len(closed.asked) == 1


@pytest.mark.parametrize(
    "said",
    ["", "-1", "soon", "1e9", "٣", "9" * 5_000, "Thu, 99 Foo 2020", "0", "Mon, 01 Jan 0001 00:00:00 -2359"],
)
def test_any_retry_after_ends(said: str, fetch: Fetch) -> None:
    sent = answer(b"", 503).replace(b"\r\n\r\n", b"\r\nRetry-After: " + said.encode() + b"\r\n\r\n")
    with portal(lambda _: [sent]) as odd, pytest.raises(Unreachable):
        fetch.get(odd.url)


def test_unchanged_answers_are_kept(settings: Settings, fetch: Fetch) -> None:
    def conditional(asked: Asked) -> list[bytes]:
        if asked.headers.get("if-none-match") == '"1"':
            return [head("Connection: close", status=304)]
        return [answer(b"[1]", ETag='"1"')]

    with portal(conditional) as careful:
        assert (fetch.get(careful.url).status, fetch.get(careful.url).status) == (200, 304)
        with Fetch(settings, SOURCE, None) as later:
            assert later.get(careful.url, {}).content == b"[1]"
        for path in (settings.home / "cache" / "fetch").iterdir():
            path.write_bytes(path.read_bytes()[:-1])
        assert (fetch.get(careful.url).status, fetch.get(careful.url).content) == (200, b"[1]")


def test_kept_answers_are_bounded(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 10_000)
    for number in range(50):
        kept.put(str(number), {}, bytes(900))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    assert kept.get("49") == ({}, bytes(900))
    assert kept.get("0") is None
    kept.put("large", {}, bytes(5_000))
    assert kept.get("large") is None


def test_keeping_looks_through_the_folder_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *args: looked.append(args) or scandir(*args))
    kept = Kept(tmp_path, 1_000_000)
    for number in range(400):
        kept.put(str(number), {}, bytes(900))
    assert len(looked) == 1
    assert kept.get("0") is not None


def test_what_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 10_000)
    kept.put("a", {}, b"")
    (place,) = tmp_path.iterdir()
    place.unlink()
    place.mkdir()  # no file can take its place
    kept.put("a", {}, b"")
    assert list(tmp_path.iterdir()) == [place]


def test_nobody_is_asked_when_the_harvest_is_over(settings: Settings) -> None:
    with (
        portal(lambda _: [answer(b"[]")]) as good,
        Fetch(settings, SOURCE, None, until=time.monotonic() + 0.2) as door,
    ):
        assert door.get(good.url).content == b"[]"
        time.sleep(0.25)
        with pytest.raises(LimitExceeded, match="most_hours"):
            door.get(good.url)
        assert len(good.asked) == 1


def test_a_file_that_is_gone_is_named_without_its_folder(settings: Settings, tmp_path: Path) -> None:
    with (
        Workers(1, seconds=60, memory=2_000_000_000, queue=1) as workers,
        Fetch(settings, SOURCE, workers) as door,
        pytest.raises(DataError) as caught,
    ):
        door.header(tmp_path / "gone.nc")
    assert caught.value.message == "gone.nc cannot be described: No such file or directory"


def test_a_header_is_described_once_until_its_file_changes(settings: Settings, tmp_path: Path) -> None:
    sample = Path(harvesters.__file__).parent / "sample"
    path = tmp_path / "a.nc"
    path.write_bytes(next(iter(sorted(sample.glob("*.nc")))).read_bytes())
    with (
        Workers(1, seconds=60, memory=2_000_000_000, queue=1) as workers,
        Fetch(settings, SOURCE, workers) as door,
    ):
        first = door.header(path)
        assert json.loads(first)["file"]["size"] == path.stat().st_size
        asked: list[object] = []
        run = workers.run
        workers.run = lambda *args, **named: asked.append(args) or run(*args, **named)
        assert door.header(path) == first
        assert not asked
        path.write_bytes(b"no data file")
        with pytest.raises(DataError):
            door.header(path)
        assert len(asked) == 1
        with pytest.raises(DataError, match="gone"):
            door.header(tmp_path / "gone.nc")


def test_ckanapi_asks_through_the_door(fetch: Fetch, waits: list[float]) -> None:
    found = answer(json.dumps({"success": True, "result": {"count": 2}}).encode())
    refused = answer(b'{"success": false, "error": {"__type": "Validation Error"}}', 409)
    with portal(scripted(answer(b"", 503), found, found, refused)) as ckan:
        for get_only in (False, True):
            remote = RemoteCKAN(ckan.url, session=fetch.requests_session, get_only=get_only)
            assert remote.action.package_search(rows=0) == {"count": 2}
        with pytest.raises(CKANAPIError):
            remote.action.package_search(rows=-1)
    assert [asked.body[:4] for asked in ckan.asked] == [b'{"ro', b'{"ro', b"", b""]
    assert all(asked.headers["user-agent"].startswith("bienmo/") for asked in ckan.asked)
    with pytest.raises(AddressRefused):
        RemoteCKAN("http://127.0.0.2:9/", session=fetch.requests_session).action.site_read()


HOSTILE = {
    "NaN": b'{"a": NaN}',
    "infinity": b"[-Infinity]",
    "no float holds it": b"[1e999]",
    "200k deep": b"[" * 200_000 + b"]" * 200_000,
    "200k deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "201 deep": b"[" * 201 + b"]" * 201,
    "100k digits": b"[" + b"9" * 100_000 + b"]",
    "bad UTF-8": b'["\xff\xfe"]',
    "UTF-16": '["a"]'.encode("utf-16"),
    "twice": b'{"a": 1, "b": 2, "a": 3}',
    "half a pair": b'["\\ud800"]',
    "cut": b'{"a": [1, 2',
    "empty": b"",
    "more after it": b"[] []",
    "control character": b'["\x00"]',
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_json_is_refused_with_a_reason(shape: str) -> None:
    with pytest.raises(BadDocument) as caught:
        read_json(HOSTILE[shape])
    assert caught.value.message


def test_brackets_in_strings_are_no_depth() -> None:
    for text in ("[" * 1_000, '\\"[{' * 1_000, "\\", '"'):
        assert read_json(json.dumps([text, text]).encode()) == [text, text]
    assert read_json(b"[" * 200 + b"]" * 200)
    assert read_json(b'\xef\xbb\xbf["\\ud83c\\udf0a"]') == ["🌊"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_json_is_read_back(value: object) -> None:
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.binary()
    | st.builds("".join, st.lists(st.sampled_from([*'[]{}":,\\1e-', "NaN", "null"]))).map(str.encode)
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(BadDocument):
        read_json(content)


def test_a_header_is_described_anew_by_a_new_version(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Describer:
        calls = 0

        def run(self, *_: object, **__: object) -> dict[str, int]:
            self.calls += 1
            return {"call": self.calls}

    (tmp_path / "a.nc").touch()
    with Fetch(settings, SOURCE, Describer()) as door:
        assert door.header(tmp_path / "a.nc") == door.header(tmp_path / "a.nc") == b'{"call":1}'
        monkeypatch.setattr("harvesters._fetch.version", lambda _: "another")
        assert door.header(tmp_path / "a.nc") == b'{"call":2}'
