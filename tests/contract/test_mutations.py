"""Recorded answers with random damage: no error that nobody handles, and what does not depend on them is all kept.

In the slow form 2,000 mutations a protocol; else a few.
"""

import importlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from catalog.errors import BadDocument, SourceError
from catalog.record import Record
from contract.test_harvesters import ASKED
from portals import Answering, Asked, answer
from replay import RECORDED, recorded

SEED = 20_261_123
Spoil = Callable[[bytes], bytes | None]
"""Gives another body; None for no answer but 404."""


@dataclass
class Spoiled:
    """A recorded source of which one answer is spoiled at a time."""

    listing: Callable[[], tuple[dict[str, Record], Exception | None]]
    path: str = ""
    spoil: Spoil = bytes

    def by(self, path: str, spoil: Spoil) -> tuple[dict[str, Record], Exception | None]:
        """The records that are read while one answer is spoiled, and the error that ended the listing."""
        self.path, self.spoil = path, spoil
        return self.listing()


@contextmanager
def spoiling(protocol: str, home: Path) -> Iterator[Spoiled]:
    module = importlib.import_module(f"harvesters.{protocol}")
    folder = RECORDED / protocol
    bodies = {urlsplit(item["uri"]).path: folder / item["file"] for item in indexed(protocol)}

    def through(answering: Answering) -> Answering:
        def spoiled(asked: Asked) -> Any:
            if asked.path != state.path or asked.path not in bodies:
                return answering(asked)
            body = state.spoil(bodies[asked.path].read_bytes())
            return [answer(b"gone", 404) if body is None else answer(body)]

        return spoiled

    def listing() -> tuple[dict[str, Record], Exception | None]:
        found: dict[str, Record] = {}
        try:
            for document in module.harvest(source, fetch):
                if document.problem is None and (record := read(module, document)) is not None:
                    found[document.native_id] = record
        except SourceError as error:
            return found, error
        return found, None

    state = Spoiled(listing)
    with recorded(protocol, home, through) as (source, fetch):
        yield state


def read(module: Any, document: Any) -> Record | None:
    try:
        return module.read(document)
    except BadDocument:
        return None


def indexed(protocol: str) -> list[dict[str, Any]]:
    return json.loads((RECORDED / protocol / "_index.json").read_text("utf-8"))


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The body with one to four places cut out, said twice, overwritten, or all after them gone."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        end = min(len(body), at + chance.choice((1, 1, 4, 40, 400)))
        part = body[at:end]
        other = chance.choice(
            (b"", part * 2, chance.randbytes(len(part)), b"9" * 40, b"<", b"{", b'"', b"\x00", b"-1", b"null")
        )
        body = body[:at] + other + (b"" if chance.random() < 0.05 else body[end:])
    return body


def check(protocol: str, home: Path, times: int) -> None:
    chance = random.Random(f"{SEED} {protocol}")
    paths = sorted({urlsplit(item["uri"]).path for item in indexed(protocol)})
    with spoiling(protocol, home) as source:
        whole, failure = source.by("", bytes)
        assert whole
        assert failure is None
        survivors = {path: source.by(path, lambda _: None) for path in paths}
        for _ in range(times):
            path = chance.choice(paths)
            found, failure = source.by(path, lambda body: mutated(body, chance))
            if failure is None and survivors[path][1] is None:
                kept = {name for name, record in survivors[path][0].items() if whole.get(name) == record}
                assert {name: found.get(name) for name in kept} == {name: whole[name] for name in kept}


@pytest.mark.parametrize("protocol", ASKED)
def test_mutated_answers_break_nothing(protocol: str, tmp_path: Path) -> None:
    check(protocol, tmp_path, 40)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("protocol", ASKED)
def test_2000_mutated_answers_break_nothing(protocol: str, tmp_path: Path) -> None:
    check(protocol, tmp_path, 2_000)
