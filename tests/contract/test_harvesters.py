"""The laws of every harvester: it lists alike twice, resumes at any page, and reads whatever bytes there are."""

import importlib
import pkgutil
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harvesters
from altering import MARK, altered, is_xml, marked
from catalog.errors import BadDocument, SourceError
from catalog.record import Record
from catalog.source import Document
from portals import Answering, Asked, answer
from replay import RECORDED, recorded

PROTOCOLS = sorted(found.name for found in pkgutil.iter_modules(harvesters.__path__) if found.name[0] != "_")
ASKED = [protocol for protocol in PROTOCOLS if (RECORDED / protocol / "_index.json").is_file()]
HOSTILE: Mapping[str, bytes] = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "number beyond floats": b"1e999",
    "deep lists": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "100k digits": b"9" * 100_000,
    "bad UTF-8": b'"\xff\xfe\x80"',
    "name twice": b'{"a": 1, "a": 2}',
    "half a surrogate": b'"\\ud800"',
    "NUL and control characters": b'"a\\u0000\\u0007b"',
    "cut off": b'{"a": [1, 2',
    "nothing": b"",
    "entity bomb": b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><a>&b;</a>',
    "external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
    "deep elements": b"<a>" * 200_000 + b"</a>" * 200_000,
}


def module(protocol: str) -> ModuleType:
    return importlib.import_module(f"harvesters.{protocol}")


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Document, ...]]:
    """The documents of a protocol's recorded source, listed once."""
    known: dict[str, tuple[Document, ...]] = {}

    def listing(protocol: str) -> tuple[Document, ...]:
        if protocol not in known:
            with recorded(protocol, tmp_path_factory.mktemp(protocol)) as (source, fetch):
                known[protocol] = tuple(module(protocol).harvest(source, fetch))
        return known[protocol]

    return listing


def told(documents: Iterator[Document] | tuple[Document, ...]) -> list[tuple[Any, ...]]:
    return [(document.native_id, document.name, document.hash, document.problem) for document in documents]


def read(protocol: str, document: Document) -> Record | None:
    """The record, or None for a BadDocument; anything else that is raised fails the test."""
    try:
        record = module(protocol).read(document)
    except BadDocument:
        return None
    assert isinstance(record, Record)
    assert (record.id, record.document_hash) == (document.id, document.hash)
    assert Record.model_validate_json(record.model_dump_json()) == record
    return record


def test_there_are_protocols() -> None:
    assert {"ckan", "erddap", "files"} <= set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_lists_the_same_twice_and_resumes_at_any_page(protocol: str, tmp_path: Path) -> None:
    with recorded(protocol, tmp_path) as (source, fetch):
        first = tuple(module(protocol).harvest(source, fetch))
        assert told(module(protocol).harvest(source, fetch)) == told(first)
        assert len({document.native_id for document in first}) == len(first) > 0
        for page in dict.fromkeys(document.page for document in first):
            at = next(n for n, document in enumerate(first) if document.page == page)
            rest = module(protocol).harvest(source.model_copy(update={"resume": page}), fetch)
            again = told(rest)
            assert again[max(0, len(again) - len(first[at:])) :] == told(first[at:])  # it may begin earlier


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_recorded_document_is_a_record_or_has_a_problem(
    protocol: str, listed: Callable[[str], tuple[Document, ...]]
) -> None:
    for document in listed(protocol):
        assert document.problem or document.deleted or read(protocol, document)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(st.binary(max_size=200))
def test_reads_any_bytes(protocol: str, content: bytes) -> None:
    read(protocol, Document(source="s", native_id="x", content=content))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(data=st.data())
def test_reads_recorded_documents_with_anything_changed(
    protocol: str, data: st.DataObject, listed: Callable[[str], tuple[Document, ...]]
) -> None:
    sound = [found for found in listed(protocol) if not (found.problem or found.deleted)]
    document = data.draw(st.sampled_from(sound))
    content = document.content
    for _ in range(data.draw(st.integers(1, 4))):
        chance = random.Random(data.draw(st.integers(0, 2**32)))
        content = altered(content, chance, data.draw(st.just(...) | VALUES))
    read(protocol, document.model_copy(update={"content": content}))


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reads_hostile_bytes(
    protocol: str, shape: str, listed: Callable[[str], tuple[Document, ...]]
) -> None:
    """FAULTS row 9: a hostile document, and a hostile value at each place near the top of a good one."""
    document = next(found for found in listed(protocol) if not found.problem)
    plain = MARK if is_xml(document.content) else f'"{MARK}"'
    contents = [whole.replace(plain.encode(), HOSTILE[shape]) for whole in marked(document.content)]
    for content in (HOSTILE[shape], *contents):
        read(protocol, document.model_copy(update={"content": content}))


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("protocol", ASKED)
def test_lists_hostile_bytes(protocol: str, shape: str, tmp_path: Path) -> None:
    """FAULTS row 9: a hostile answer ends the listing with a reason, or is a document with a problem."""

    def spoil_from(number: int) -> Callable[[Answering], Answering]:
        def spoil(answering: Answering) -> Answering:
            count = iter(range(1_000))

            def spoiled(asked: Asked) -> Any:
                return [answer(HOSTILE[shape])] if next(count) >= number else answering(asked)

            return spoiled

        return spoil

    with recorded(protocol, tmp_path / "0", spoil_from(0)) as (source, fetch):
        with pytest.raises(SourceError) as caught:
            list(module(protocol).harvest(source, fetch))
        assert caught.value.message
    with recorded(protocol, tmp_path / "1", spoil_from(1)) as (source, fetch):
        found: list[Document] = []
        with suppress(SourceError):
            found.extend(module(protocol).harvest(source, fetch))
        for document in found:
            if not document.problem:
                read(protocol, document)
