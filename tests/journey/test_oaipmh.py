"""OAI-PMH on loopback: what is listed equals what Sickle lists; tokens, deletions, changes, and damaged pages."""

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sickle import Sickle
from sickle.oaiexceptions import NoRecordsMatch

from catalog.dialects import datacite, iso19115
from catalog.errors import BadDocument, BadSource, IncompleteListing, SourceError, Unreachable
from catalog.instant import now
from catalog.record import Record
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from contract.test_stores import opened
from harvesters import Fetch, oaipmh
from harvesters._fetch import Fetch as Door
from harvesters._run import harvest_source
from oai import DAYS, SECONDS, Item, Repository, dublin_core, items
from portals import Answering, Asked, Portal, answer, portal
from replay import RECORDED, asking, replaying

SIXTY = items(60, deleted=lambda at: at % 7 == 3)


@contextmanager
def serving(answering: Answering, home: Path, **fields: Any) -> Iterator[tuple[Source, Fetch, Portal]]:
    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        source = Source(id="r", protocol="oaipmh", url=f"{running.url}/oai", **fields)
        with Door(settings, source, None) as fetch:
            yield source, fetch, running


def identifiers(documents: Sequence[Document]) -> list[str]:
    return [document.native_id for document in documents]


def by_sickle(url: str, **asked: str) -> list[tuple[str, bool]]:
    """What a client of the repository lists: the identifiers of the records, and whether they are deleted."""
    try:
        found = Sickle(url, timeout=20).ListRecords(metadataPrefix="oai_dc", **asked)
        return [(record.header.identifier, record.deleted) for record in found]
    except NoRecordsMatch:
        return []


@pytest.mark.parametrize("granularity", [SECONDS, DAYS])
@pytest.mark.parametrize("set_", ["", "odd"])
@pytest.mark.parametrize("since", [None, "2026-02-03T11:50:00.5Z", "2027-01-01T00:00:00Z"])
def test_lists_what_sickle_lists(granularity: str, set_: str, since: str | None, tmp_path: Path) -> None:
    repository = Repository(SIXTY, granularity=granularity)
    options = {"set": set_} if set_ else {}
    with serving(repository, tmp_path, options=options, changed_since=since) as (source, fetch, running):
        found = list(oaipmh.harvest(source, fetch))
        asked = {"from": since[:10] if granularity == DAYS else since[:19] + "Z"} if since else {}
        assert [(each.native_id, each.deleted) for each in found] == by_sickle(source.url, **asked, **options)
        assert not any("resumptionToken" in each.query and len(each.query) > 2 for each in running.asked)
    records = [oaipmh.read(document) for document in found if not document.deleted]
    assert len(records) == len({record.id for record in records})
    if not (set_ or since):
        assert (len(found), len(records)) == (60, sum(not item.deleted for item in SIXTY)) == (60, 51)


def test_begins_at_any_page_and_anew_where_its_token_has_expired(tmp_path: Path) -> None:
    repository = Repository(SIXTY)
    with serving(repository, tmp_path) as (source, fetch, _):
        found = list(oaipmh.harvest(source, fetch))
        pages = list(dict.fromkeys(document.page for document in found))
        assert len(pages) == 6
        for page in pages:
            rest = list(oaipmh.harvest(source.model_copy(update={"resume": page}), fetch))
            start = next(at for at, document in enumerate(found) if document.page == page)
            assert identifiers(rest) == identifiers(found[start:])
        repository.tokens.clear()
        anew = list(oaipmh.harvest(source.model_copy(update={"resume": pages[3]}), fetch))
        assert identifiers(anew) == identifiers(found)


def test_a_token_that_expires_on_the_way_leaves_the_listing_incomplete(tmp_path: Path) -> None:
    repository = Repository(SIXTY)

    def forgetful(asked: Asked) -> list[bytes]:
        if len(repository.tokens) == 3:
            repository.tokens.clear()
        return repository(asked)

    with serving(forgetful, tmp_path) as (source, fetch, _):
        kept: list[Document] = []
        with pytest.raises(IncompleteListing, match="badResumptionToken"):
            kept.extend(each for each in oaipmh.harvest(source, fetch) if kept.append(each))
    assert len(kept) == 30  # three pages of ten


def test_a_repository_as_pycsw_is_one_is_listed_to_its_end(tmp_path: Path) -> None:
    """It refuses tokens without a prefix, counts its cursor from the end, and gives a last token that it refuses."""
    repository = Repository(SIXTY[:25])

    def answering(asked: Asked) -> list[bytes]:
        token = asked.query.get("resumptionToken", "")
        if token and (token == "0" or "metadataPrefix" not in asked.query):
            wrong = '<error code="badArgument">Missing metadataPrefix parameter</error>'
            return [answer(repository.envelope(wrong), Content_Type="text/xml")]
        plain = {"resumptionToken": token, "verb": "ListRecords"} if token else asked.query
        (whole,) = repository(replace(asked, query=plain))
        body = re.sub(rb'cursor="\d+"', b'cursor="24"', whole.partition(b"\r\n\r\n")[2])
        return [
            answer(body.replace(b'"></resumptionToken>', b'">0</resumptionToken>'), Content_Type="text/xml")
        ]

    with serving(answering, tmp_path) as (source, fetch, _):
        found = list(oaipmh.harvest(source, fetch))
    assert len({document.native_id for document in found}) == len(found) == 25


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda body: re.sub(rb"token/\d+", b"token/0", body), "leads nowhere", id="repeats"),
        pytest.param(
            lambda body: body.replace(b'cursor="20"', b'cursor="40"').replace(b'completeListSize="60"', b""),
            "is at record 40",
            id="skips",
        ),
        pytest.param(lambda body: body.replace(b'ListSize="60"', b'ListSize="90"'), "counts 90", id="short"),
        pytest.param(
            lambda body: body[: len(body) // 2] if b'"30"' in body else body, "breaks off", id="cut"
        ),
        pytest.param(lambda body: b"<html/>" if b'"30"' in body else body, "did not answer", id="page"),
    ],
)
def test_what_came_out_shorter_is_incomplete_with_all_that_was_given(
    spoil: Any, reason: str, tmp_path: Path
) -> None:
    repository = Repository(SIXTY)

    def answering(asked: Asked) -> list[bytes]:
        (whole,) = repository(asked)
        return [answer(spoil(whole.partition(b"\r\n\r\n")[2]), Content_Type="text/xml")]

    with serving(answering, tmp_path) as (source, fetch, _):
        kept: list[Document] = []
        with pytest.raises(IncompleteListing, match=reason):
            kept.extend(each for each in oaipmh.harvest(source, fetch) if kept.append(each))
    assert len(kept) >= 17
    assert len(set(identifiers(kept))) == len(kept)


def test_an_estimate_is_no_promise_where_the_operator_says_so(tmp_path: Path) -> None:
    repository = Repository(SIXTY, count=lambda many: many + 100)
    with serving(repository, tmp_path, options={"estimated": True}) as (source, fetch, _):
        assert len(list(oaipmh.harvest(source, fetch))) == 60


def test_a_list_without_counts_is_taken_as_it_is(tmp_path: Path) -> None:
    with serving(Repository(SIXTY, count=lambda _: None), tmp_path) as (source, fetch, _):
        assert len(list(oaipmh.harvest(source, fetch))) == 60


def test_pages_without_records_that_go_on_for_ever_end(tmp_path: Path) -> None:
    repository, turn = Repository(SIXTY), iter(range(1_000_000))

    def answering(asked: Asked) -> list[bytes]:
        if asked.query["verb"] != "ListRecords":
            return repository(asked)
        more = f"<ListRecords><resumptionToken>{next(turn)}</resumptionToken></ListRecords>"
        return [answer(repository.envelope(more), Content_Type="text/xml")]

    with serving(answering, tmp_path) as (source, fetch, running):
        with pytest.raises(IncompleteListing, match="for ever"):
            list(oaipmh.harvest(source, fetch))
        assert len(running.asked) < 20


@pytest.mark.parametrize("status", [200, 404, 422])
def test_that_nothing_matches_is_an_empty_list_also_where_the_status_refuses(
    status: int, tmp_path: Path
) -> None:
    repository = Repository(SIXTY, status=status)
    with serving(repository, tmp_path, changed_since="2030-01-01T00:00:00Z") as (source, fetch, _):
        assert list(oaipmh.harvest(source, fetch)) == []


def test_refusals_are_told(tmp_path: Path) -> None:
    with serving(Repository(SIXTY, prefixes=("marcxml",)), tmp_path / "a") as (source, fetch, _):
        with pytest.raises(BadSource, match="no format") as caught:
            list(oaipmh.harvest(source, fetch))
        assert "marcxml" in caught.value.hint
    with (
        serving(lambda _: [answer(b"<html>hello</html>")], tmp_path / "b") as (source, fetch, _),
        pytest.raises(Unreachable, match="did not answer"),
    ):
        list(oaipmh.harvest(source, fetch))


def test_the_richest_format_is_taken_and_each_is_read(tmp_path: Path) -> None:
    record = Record(
        id="s-x", source="s", native_id="x", title={"en": "Waves"}, doi="10.1234/x",
        extent={"boxes": [[105, 17, 110, 22]]}, document_hash="0" * 64,
    )  # fmt: skip
    bare = {"datacite": datacite.write(record), "iso19139": iso19115.write(record)}
    metadata = {key: re.sub(rb"^<\?xml[^>]*>\s*", b"", whole) for key, whole in bare.items()}
    metadata["oai_dc"] = dublin_core(
        "Waves", coverage="northlimit=22; southlimit=17; westlimit=105; eastlimit=110"
    )
    item = Item("oai:r:1", "2026-01-01T00:00:00Z", metadata)
    for prefixes in (("oai_dc", "datacite", "iso19139"), ("oai_dc", "datacite"), ("oai_dc",)):
        repository = Repository([item], prefixes=prefixes)
        with serving(repository, tmp_path / prefixes[-1]) as (source, fetch, _):
            (document,) = oaipmh.harvest(source, fetch)
        assert repository.asked[-1]["metadataPrefix"] == prefixes[-1]
        back = oaipmh.read(document)
        assert dict(back.title.words) in ({"en": "Waves"}, {"und": "Waves"})
        assert [box.model_dump() for box in back.extent.boxes] == [[105, 17, 110, 22]]
        assert (back.id, back.document_hash) == (document.id, document.hash)
    with serving(Repository([item], prefixes=tuple(metadata)), tmp_path / "w", options={"prefix": "oai_dc"}) as (
        source, fetch, running,
    ):  # fmt: skip
        assert len(list(oaipmh.harvest(source, fetch))) == 1
        assert running.asked[-1].query["metadataPrefix"] == "oai_dc"


BAD_RECORDS = {
    "control character": (b"s\xe1\xbb\x91 5<", b"s\x00\x0b&#x1F;5<", True),
    "no UTF-8": (b"s\xe1\xbb\x91 5<", b"s\xff5<", False),
    "unknown entity": (b"s\xe1\xbb\x91 5<", b"&so; 5<", False),
    "tag that is not closed": (b"s\xe1\xbb\x91 5</dc:title>", b"five", False),
    "record that is not closed": (b"s\xe1\xbb\x91 5</dc:title>", b"five</record>", False),
}


@pytest.mark.parametrize("shape", BAD_RECORDS)
def test_one_bad_record_does_not_cost_its_page(shape: str, tmp_path: Path) -> None:
    good, bad, readable = BAD_RECORDS[shape]
    repository = Repository(items(30))

    def answering(asked: Asked) -> list[bytes]:
        (whole,) = repository(asked)
        return [answer(whole.partition(b"\r\n\r\n")[2].replace(good, bad), Content_Type="text/xml")]

    with serving(answering, tmp_path) as (source, fetch, _):
        found = {document.native_id: document for document in oaipmh.harvest(source, fetch)}
    assert list(found) == [f"oai:r:{at}" for at in range(30)]
    assert (found["oai:r:5"].problem is None) is readable
    assert [each.problem for name, each in found.items() if name != "oai:r:5"] == [None] * 29


def test_a_page_of_tags_without_end_is_refused_quickly(tmp_path: Path) -> None:
    repository = Repository(SIXTY)

    def answering(asked: Asked) -> list[bytes]:
        if asked.query["verb"] != "ListRecords":
            return repository(asked)
        return [answer(repository.envelope("<record " * 1_000_000), Content_Type="text/xml")]

    with serving(answering, tmp_path) as (source, fetch, _), pytest.raises(SourceError):
        list(oaipmh.harvest(source, fetch))


def mutated(body: bytes, chance: random.Random) -> tuple[bytes, int, int]:
    """The body with one place in it changed, cut out or doubled; and which bytes of it that was."""
    at = chance.randrange(len(body))
    end = min(len(body), at + chance.choice((1, 1, 4, 40)))
    new = chance.choice((b"", bytes([chance.randrange(256)]), b"<", b"&", b'"', body[at:end] * 2, b"<x>"))
    return body[:at] + new + body[end:], at, end


def untouched(body: bytes, start: int, end: int) -> set[str]:
    """The identifiers of the records that are not deleted and lie wholly outside some bytes."""
    spans = [found.span() for found in re.finditer(rb"<record>.*?</record>", body, re.DOTALL)]
    outside = [
        body[a:b] for a, b in spans if not (a < end and start < b) and b'status="deleted"' not in body[a:b]
    ]
    return {
        found[1].decode()
        for each in outside
        if (found := re.search(rb"<identifier>(.*?)</identifier>", each))
    }


@pytest.mark.parametrize("many", [300, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutations_of_recorded_answers_cost_only_what_was_mutated(many: int, tmp_path: Path) -> None:
    """A mutated page keeps every record that was not touched; what goes wrong else is a SourceError, told."""
    folder, chance = RECORDED / "oaipmh", random.Random(4)
    recorded, kept_all = replaying(folder), 0
    source = Source(id="archive", protocol="oaipmh", url="https://repository.example/oai")
    bodies = {name: (folder / f"{name}.xml").read_bytes() for name in ("page_1", "page_2", "page_3")}
    state: dict[str, Any] = {}

    def answering(asked: Asked) -> list[bytes]:
        (whole,) = recorded(asked)
        body = whole.partition(b"\r\n\r\n")[2]
        return [answer(state["new"], Content_Type="text/xml")] if body == state["old"] else [whole]

    with asking(source, answering, tmp_path) as (near, fetch):
        for _ in range(many):
            name = chance.choice(list(bodies))
            new, start, end = mutated(bodies[name], chance)
            state.update(old=bodies[name], new=new)
            found: dict[str, Document] = {}
            with suppress(SourceError):
                for document in oaipmh.harvest(near, fetch):
                    found[document.native_id] = document
                kept_all += 1
            pages = list(bodies)[: list(bodies).index(name) + 1]
            wanted = set().union(
                *(untouched(bodies[page], *((start, end) if page == name else (0, 0))) for page in pages)
            )
            lost = {each for each in wanted if each not in found or found[each].problem}
            assert not lost, (name, start, end, new[max(0, start - 20) : end + 20], lost)
            for document in found.values():
                if not document.problem:
                    with suppress(BadDocument):
                        oaipmh.read(document)
    assert kept_all > many / 2


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_what_a_repository_deletes_is_withdrawn_by_the_next_listing_of_changes(
    kind: str, tmp_path: Path
) -> None:
    repository = Repository(items(20))
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    with opened(kind) as store, serving(repository, tmp_path) as (source, _, _):
        assert harvest_source(source, store, settings, workers=None).counts.new == 20
        repository.items = recently(items(20, deleted=lambda at: at == 7))
        changes = harvest_source(source, store, settings, workers=None)
        assert (changes.incremental, changes.state, changes.seen, changes.withdrawn) == (
            True,
            "complete",
            19,
            1,
        )
        assert changes.note == "1 deleted at the source"
        gone = Sickle(source.url, timeout=20).ListRecords(metadataPrefix="oai_dc", ignore_deleted=True)
        assert store.sources() == {"r": len(list(gone))} == {"r": 19}
        repository.items = recently(items(20))
        assert harvest_source(source, store, settings, workers=None).restored == 1


@pytest.mark.parametrize("full_every_days", [0, 7])
def test_too_many_deletions_are_held(full_every_days: int, tmp_path: Path) -> None:
    repository = Repository(items(20))
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    store = open_store(tmp_path)
    with serving(repository, tmp_path, options={"full_every_days": full_every_days}) as (source, _, _):
        harvest_source(source, store, settings, workers=None)
        repository.items = recently(items(20, deleted=lambda at: at < 5))
        held = harvest_source(source, store, settings, workers=None)
        assert (held.incremental, held.state, held.held) == (full_every_days > 0, "held", 5)
        assert store.sources() == {"r": 20}
        assert store.release(held.id).withdrawn == 5
        assert harvest_source(source, store, settings, workers=None).state == "complete"
        assert store.sources() == {"r": 15}


def test_what_a_repository_forgets_is_withdrawn_by_full_listings_that_miss_it(tmp_path: Path) -> None:
    """One that keeps no deletions tells none; `full_every_days` is when the next full listing is due."""
    repository = Repository(items(20))
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    store = open_store(tmp_path)
    with serving(repository, tmp_path) as (source, _, _):
        harvest_source(source, store, settings, workers=None)
        repository.items = [item for item in items(20) if item.identifier != "oai:r:7"]
        changes = harvest_source(source, store, settings, workers=None)
        assert (changes.incremental, changes.state, changes.withdrawn) == (True, "complete", 0)
        full = source.model_copy(update={"options": {"full_every_days": 0}})
        runs = [harvest_source(full, store, settings, workers=None) for _ in range(3)]
        assert [(run.incremental, run.state, run.missing) for run in runs] == [(False, "complete", 1)] * 3
        assert runs[-1].withdrawn == 1


def recently(changed: Sequence[Item]) -> list[Item]:
    """Items that changed a moment ago."""
    return [replace(item, datestamp=now()[:19] + "Z") for item in changed]
