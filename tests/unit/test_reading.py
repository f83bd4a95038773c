"""Documents are read alike in this process and in others, and a hostile one costs itself only."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import breaking
from benchmarks.replaying import package
from catalog.settings import Settings
from catalog.source import Document
from catalog.stores import Entry
from harvesters import ckan
from harvesters._reading import HERE, Readers, entered


def documents(*contents: str, source: str = "here") -> list[Document]:
    return [
        Document(source=source, native_id=f"n{number}", content=content.encode())
        for number, content in enumerate(contents)
    ]


@pytest.fixture
def readers(tmp_path: Path) -> Iterator[Readers]:
    with Readers(Settings(home=tmp_path, read_seconds=2, read_memory=500_000_000)) as readers:
        yield readers


def elsewhere(readers: Readers, group: Sequence[Document]) -> list[Entry]:
    """Read documents as those are read that come after many."""
    before = documents(*["so many"] * HERE)
    return [entered(reading) for reading in readers.read(breaking, [before, group])][HERE:]


def test_few_documents_begin_no_process(readers: Readers) -> None:
    found = [entered(reading) for reading in readers.read(breaking, [documents("one", "two")])]
    assert [entry.record.title.best("en") for entry in found if entry.record] == ["one", "two"]
    assert readers._workers._nursery is None


def test_documents_are_read_alike_here_and_elsewhere(readers: Readers) -> None:
    given = [
        Document(source="portal", native_id=f"n{number}", content=content)
        for number in range(HERE + 230)
        for content in [b"[]" if number % 50 == 9 else json.dumps(package(number)).encode()]
    ]
    given[HERE + 3] = given[HERE + 3].model_copy(update={"problem": "it was not given", "content": b""})
    given[HERE + 4] = given[HERE + 4].model_copy(update={"deleted": True})
    groups = [given[:HERE], given[HERE : HERE + 1], given[HERE + 1 :]]
    found = [entered(reading) for reading in readers.read(ckan, groups)]
    here = [entered(reading) for reading in readers.read(object_of(ckan), groups)]
    assert readers._workers._nursery is not None
    assert [entry.model_copy(update={"text": None}) for entry in found] == here
    assert [entry.text is not None for entry in found] == [
        entry.record is not None and number >= HERE for number, entry in enumerate(found)
    ]
    assert all(
        entry.text == entry.record.model_dump_json().encode()
        for entry in found
        if entry.text and entry.record
    )
    assert found[HERE + 3].reason == "it was not given"


def object_of(module: object) -> object:
    """The same harvester as an object, which other processes cannot load."""
    return type(
        "Harvester", (), {"harvest": staticmethod(module.harvest), "read": staticmethod(module.read)}
    )()


def test_four_sources_at_once_share_the_processes_and_get_their_own(readers: Readers) -> None:
    def found(source: str) -> list[str]:
        groups = [documents(*[f"{source} {part}"] * 150, source=source) for part in range(6)]
        read = [entered(reading).record for reading in readers.read(breaking, groups)]
        return [record.title.best("en") for record in read if record]

    names = ["one", "two", "three", "four"]
    with ThreadPoolExecutor(4) as pool:
        for source, titles in zip(names, pool.map(found, names), strict=True):
            assert titles == [f"{source} {part}" for part in range(6) for _ in range(150)]


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        ("die", "worker-crashed: the data crashed their reader"),
        ("hang", "worker-timeout: the data were not read within 2 seconds"),
        ("eat", "MemoryError"),
        ("err", "ZeroDivisionError: of this reader"),
        ("refuse", "this is no dataset"),
        ("lie", "does not carry the id, source and hash"),
    ],
)
def test_a_hostile_document_costs_itself_only(
    readers: Readers, hostile: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        found = elsewhere(readers, documents("before", hostile, "after", "and more"))
    assert [entry.document.native_id for entry in found] == ["n0", "n1", "n2", "n3"]
    assert [entry.record is None for entry in found] == [False, True, False, False]
    assert reason in (found[1].reason or "")
    assert ("Traceback" in caplog.text) == (hostile in {"err", "eat"})
