"""Lists that lead on by `next`: complete, or marked incomplete, each dataset once, and they end (FAULTS row 12)."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import IncompleteListing, Unreachable
from catalog.settings import Settings
from catalog.source import Source
from harvesters import Fetch as Door
from harvesters._fetch import Fetch
from harvesters._links import Ask, Pages, absolute, following, get, link
from portals import Asked, answer, portal

Making = Callable[[str, Asked], Any]


@contextmanager
def serving(home: Path, page: Making) -> Iterator[tuple[str, Door, list[Asked]]]:
    """Serve what `page` makes of the server's address and a request; the address, a door, and what was asked."""

    def answering(asked: Asked) -> list[bytes]:
        made = page(f"http://{asked.headers['host']}", asked)
        if isinstance(made, int):
            return [answer(b"no", made)]
        return [answer(made if isinstance(made, bytes) else json.dumps(made).encode())]

    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with (
        portal(answering) as running,
        Fetch(settings, Source(id="s", protocol="stac", url="x"), None) as fetch,
    ):
        yield running.url, fetch, running.asked


def page(names: Sequence[str], following: str | None = None, **also: Any) -> dict[str, Any]:
    links = [{"rel": "next", "href": following}] if following else []
    return {"features": [{"id": name} for name in names], "links": links, **also}


def listed(pages: Pages, resume: str | None = None) -> tuple[list[str], IncompleteListing | None]:
    found: list[str] = []
    try:
        found.extend(one.native_id for one in pages.list(resume))
    except IncompleteListing as error:
        return found, error
    return found, None


def test_an_empty_page_with_a_next_link_is_not_the_end(tmp_path: Path) -> None:
    def made(_: str, asked: Asked) -> Any:
        at = int(asked.query.get("at", 0))
        return page(["a"] if at == 0 else ["b"] if at == 5 else [], f"?at={at + 1}" if at < 5 else None)

    with serving(tmp_path, made) as (url, fetch, asked):
        assert listed(Pages(fetch, Ask(f"{url}/items"), "features")) == (["a", "b"], None)
        assert len(asked) == 6


def test_next_links_without_an_end_come_to_one(tmp_path: Path) -> None:
    """New tokens for ever, for nothing or the same page; and a page that leads to itself."""

    def endless(_: str, asked: Asked) -> Any:
        return page(["a"] if asked.path == "/same" else [], f"?at={int(asked.query.get('at', 0)) + 1}")

    with serving(tmp_path, endless) as (url, fetch, asked):
        for path in ("/same", "/empty"):
            found, error = listed(Pages(fetch, Ask(url + path), "features"))
            assert found == (["a"] if path == "/same" else [])
            assert error is not None
        assert len(asked) < 70
    with serving(tmp_path, lambda _, __: page(["a"], "/items")) as (url, fetch, asked):
        found, error = listed(Pages(fetch, Ask(f"{url}/items"), "features"))
        assert (found, len(asked)) == (["a"], 1)
        assert error is not None


def test_a_last_page_that_leads_to_itself_is_the_end_where_all_were_given(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _, __: page(["a"], "/items", numberMatched=1)) as (url, fetch, _):
        assert listed(Pages(fetch, Ask(f"{url}/items"), "features")) == (["a"], None)


@pytest.mark.parametrize("count", [{"numberMatched": 5}, {"context": {"matched": 5}}])
def test_fewer_than_are_counted_is_incomplete(count: dict[str, Any], tmp_path: Path) -> None:
    """Offsets that lie: the next link passes over some, or there is none although more are counted."""

    def made(_: str, asked: Asked) -> Any:
        return page(["d", "e"], **count) if asked.query else page(["a", "b"], "?offset=3", **count)

    with serving(tmp_path, made) as (url, fetch, _):
        found, error = listed(Pages(fetch, Ask(f"{url}/items"), "features"))
        assert found == ["a", "b", "d", "e"]
        assert error is not None
        assert error.details == {"count": 5, "given": 4}


@pytest.mark.parametrize(("counts", "whole"), [((2, 4, 4), True), ((3, 3, 3), True), ((2, 4, 3), False)])
def test_a_source_that_grew_is_complete_and_one_that_shrank_is_not(
    counts: tuple[int, ...], whole: bool, tmp_path: Path
) -> None:
    """What is added only moves others on; what is removed moves others to pages that were read before."""

    def made(_: str, asked: Asked) -> Any:
        at = int(asked.query.get("at", 0))
        return page([f"r{at}"], f"?at={at + 1}" if at < 2 else None, numberMatched=counts[at])

    with serving(tmp_path, made) as (url, fetch, _):
        found, error = listed(Pages(fetch, Ask(f"{url}/items"), "features"))
    assert len(found) == 3
    assert (error is None) == whole


def test_a_name_twice_on_a_page_is_given_twice_and_listed_once(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _, __: page(["a", "a", "b"], numberMatched=3)) as (url, fetch, _):
        assert listed(Pages(fetch, Ask(f"{url}/items"), "features")) == (["a", "b"], None)


@given(st.integers(0, 2**32), st.integers(0, 8), st.integers(0, 8))
def test_a_source_that_changes_while_it_is_listed(seed: int, added: int, removed: int) -> None:
    """1,000 records by offset, some added and removed at each page: none twice; incomplete where any may be lost."""
    chance, here = random.Random(seed), [f"r{number:04}" for number in range(1_000)]
    kept, new = set(here), iter(f"n{number:04}" for number in range(10_000))
    fetch = _Changing(here, kept, new, chance, added, removed)
    found, error = listed(Pages(fetch, Ask("https://records.example/items"), "features"))
    assert len(found) == len(set(found))
    if removed > added:
        assert error is not None or kept <= set(found)
    if removed == 0:
        assert kept <= set(found)
        assert error is None


class _Changing:
    """A door to a source of pages of 100 by offset, that changes after each."""

    requests_session = None

    def __init__(
        self, here: list[str], kept: set[str], new: Any, chance: Any, added: int, removed: int
    ) -> None:
        self.here, self.kept, self.new, self.chance, self.added, self.removed = (
            here,
            kept,
            new,
            chance,
            added,
            removed,
        )

    def get(self, url: str, params: Any = None) -> Any:
        at = int(url.partition("offset=")[2] or 0)
        names, count = self.here[at : at + 100], len(self.here)
        more = f"?offset={at + 100}" if at + 100 < count else None
        for _ in range(min(self.removed, len(self.here))):
            self.kept.discard(self.here.pop(self.chance.randrange(len(self.here))))
        for _ in range(self.added):
            self.here.insert(self.chance.randrange(len(self.here) + 1), next(self.new))
        body = json.dumps(page(names, more, numberMatched=count)).encode()
        return type("Answer", (), {"url": url, "content": body, "status": 200, "headers": {}})


def test_a_post_is_followed_with_its_body_laid_over_the_one_before(tmp_path: Path) -> None:
    def made(_: str, asked: Asked) -> Any:
        body = json.loads(asked.body) if asked.body else {}
        token = body.get("token", 0)
        next_ = {
            "rel": "next",
            "method": "POST",
            "href": "/search",
            "body": {"token": token + 1},
            "merge": token > 0,
        }
        first = {**next_, "body": {"token": 1, "limit": 2}}
        return page([f"{token}{body.get('limit', '')}"]) | {
            "links": [first if not body else next_] if token < 2 else []
        }

    with serving(tmp_path, made) as (url, fetch, _):
        assert listed(Pages(fetch, Ask(f"{url}/items"), "features")) == (["0", "12", "22"], None)


def test_resumes_a_page_before_and_anew_where_the_page_is_gone(tmp_path: Path) -> None:
    def made(_: str, asked: Asked) -> Any:
        at = int(asked.query.get("at", 0))
        return (
            410
            if asked.query.get("token") == "old"
            else page([f"r{at}"], f"?at={at + 1}" if at < 4 else None)
        )

    with serving(tmp_path, made) as (url, fetch, _):
        first = list(Pages(fetch, Ask(f"{url}/items"), "features").list())
        cursor = first[3].cursor
        assert listed(Pages(fetch, Ask(f"{url}/items"), "features"), cursor)[0] == ["r2", "r3", "r4"]
        gone = f"3 {url}/items?token=old"
        assert len(listed(Pages(fetch, Ask(f"{url}/items"), "features"), gone)[0]) == 5


SPOILT = {
    "NaN": b'{"id": "bad", "x": NaN}',
    "number beyond floats": b'{"id": "bad", "x": 1e999}',
    "name twice": b'{"id": "bad", "x": {"a": 1, "a": 2}}',
    "bad UTF-8": b'{"id": "bad", "x": "\xff"}',
    "100k digits": b'{"id": "bad", "x": ' + b"9" * 100_000 + b"}",
    "deep": b'{"id": "bad", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
    "no id": b'{"x": 1}',
    "no object": b"7",
}


@pytest.mark.parametrize("shape", SPOILT)
def test_a_spoilt_element_spoils_only_itself(shape: str, tmp_path: Path) -> None:
    body = b'{"features": [{"id": "a"}, ' + SPOILT[shape] + b', {"id": "b"}], "links": []}'
    with serving(tmp_path, lambda _, __: body) as (url, fetch, _):
        found = list(Pages(fetch, Ask(f"{url}/items"), "features").list())
    problems = {
        one.native_id: one.document(Source(id="s", protocol="stac", url="x")).problem for one in found
    }
    assert len(problems) == 3
    assert (problems.pop("a"), problems.pop("b")) == (None, None)
    (reason,) = problems.values()
    assert (reason or "").startswith("bad-document: ")


def test_a_server_that_calls_itself_localhost_is_the_one_that_was_asked() -> None:
    base = "https://records.example/api/items"
    assert (
        absolute("http://localhost:5000/api/items?offset=10", base)
        == "https://records.example/api/items?offset=10"
    )
    assert absolute("http://10.0.0.5/x", base) == "https://records.example/x"
    assert absolute("http://pygeoapi:80/x", base) == "https://records.example/x"
    assert absolute("http://127.0.0.1:5000/x", "http://127.0.0.1:1/y") == "http://127.0.0.1:5000/x"
    assert absolute("https://other.example/x#y", base) == "https://other.example/x"
    assert absolute("javascript:alert(1)", base) is None
    assert absolute("http://[broken", base) is None


def test_links_that_lead_to_pages_for_people_are_passed_over() -> None:
    value = {"links": [{"rel": "data", "type": "text/html", "href": "/h"}, {"rel": "data", "href": "/j"}]}
    assert link(value, "https://x.example", "data") == "https://x.example/j"
    shown = {"links": [{"rel": "next", "type": "text/html", "href": "/h"}]}
    assert following(shown, "https://x.example", Ask("https://x.example")) is None


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"features": {}}', b"\xff\xfe"])
def test_what_is_no_list_is_no_answer(body: bytes, tmp_path: Path) -> None:
    with serving(tmp_path, lambda _, __: body) as (url, fetch, _), pytest.raises(Unreachable):
        listed(Pages(fetch, Ask(f"{url}/items"), "features"))


def test_a_refused_post_is_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path, lambda _, __: 403) as (url, fetch, _), pytest.raises(Unreachable) as caught:
        get(fetch, Ask(f"{url}/search", "{}"))
    assert caught.value.details["status"] == 403
