"""DCAT feeds on loopback: what is listed equals what rdflib counts, in every form; pages that lie; pages for people."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rdflib
from rdflib.namespace import DCAT, DCTERMS, RDF

from catalog.errors import IncompleteListing, SourceError, Unreachable
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from harvesters import Fetch as Door
from harvesters import dcat
from harvesters._fetch import Fetch
from harvesters._run import harvest_source
from portals import Answering, Asked, Portal, answer, portal

HYDRA = rdflib.Namespace("http://www.w3.org/ns/hydra/core#")
FORMS = {
    "turtle": "text/turtle",
    "xml": "application/rdf+xml",
    "json-ld": "application/ld+json",
    "nt": "text/plain",
}
COUNT = 95
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


def graph(start: int, end: int, following: str = "", total: int | None = None) -> rdflib.Graph:
    """A catalog with some datasets, made by rdflib; every tenth has no address."""
    made = rdflib.Graph()
    catalog = rdflib.URIRef("http://feed.example/catalog")
    made.add((catalog, RDF.type, DCAT.Catalog))
    for at in range(start, end):
        node = rdflib.URIRef(f"http://feed.example/d/{at}") if at % 10 else rdflib.BNode()
        made.add((catalog, DCAT.dataset, node))
        made.add((node, RDF.type, DCAT.Dataset))
        made.add((node, DCTERMS.title, rdflib.Literal(f"Dữ liệu {at}", lang="vi")))
        made.add((node, DCTERMS.identifier, rdflib.Literal(f"id-{at}")))
        made.add((node, DCTERMS.publisher, publisher := rdflib.BNode()))
        made.add((publisher, rdflib.FOAF.name, rdflib.Literal("Open Sea Station")))
    if following:
        made.add((rdflib.URIRef("http://feed.example/page"), HYDRA.next, rdflib.URIRef(following)))
    if total is not None:
        made.add((rdflib.URIRef("http://feed.example/page"), HYDRA.totalItems, rdflib.Literal(total)))
    return made


@contextmanager
def feed(home: Path, answering: Answering, **fields: str) -> Iterator[tuple[Source, Door, Portal]]:
    settings = Settings(home=home, allow_hosts=("127.0.0.1",), fetch_tries=1, fetch_seconds=20)
    with portal(answering) as running:
        source = Source(id="feed", protocol="dcat", url=f"{running.url}/feed", **fields)
        with Fetch(settings, source, None) as fetch:
            yield source, fetch, running


def listed(source: Source, fetch: Door) -> tuple[list[Document], SourceError | None]:
    found: list[Document] = []
    try:
        found.extend(dcat.harvest(source, fetch))
    except SourceError as error:
        return found, error
    return found, None


def paged(form: str, size: int = 20, total: Callable[[int], int | None] = lambda _: COUNT) -> Answering:
    def answering(asked: Asked) -> list[bytes]:
        start = int(asked.query.get("start", 0))
        end = min(start + size, COUNT)
        following = f"http://{asked.headers['host']}/feed?start={end}" if end < COUNT else ""
        body = graph(start, end, following, total(start)).serialize(format=form, encoding="utf-8")
        return [answer(body, Content_Type=FORMS[form])]

    return answering


def counted(bodies: list[bytes], form: str) -> int:
    """How many datasets rdflib sees in some pages."""
    return sum(
        len(set(rdflib.Graph().parse(data=body, format=form).subjects(RDF.type, DCAT.Dataset)))
        for body in bodies
    )


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # rdflib's own reading of JSON-LD
@pytest.mark.parametrize("form", FORMS)
def test_lists_what_rdflib_counts_and_resumes_at_any_page(form: str, tmp_path: Path) -> None:
    with feed(tmp_path, paged(form)) as (source, fetch, running):
        documents, error = listed(source, fetch)
        asked = [each for each in running.asked if each.path == "/feed"]
        bodies = [
            graph(at, min(at + 20, COUNT)).serialize(format=form, encoding="utf-8")
            for at in range(0, COUNT, 20)
        ]
        assert (error, len(asked)) == (None, len(bodies))
        assert len(documents) == counted(bodies, form) == COUNT
        titles = {dcat.read(document).title.best("vi") for document in documents}
        assert titles == {f"Dữ liệu {at}" for at in range(COUNT)}
        names = [document.native_id for document in documents]
        assert "id-10" in names
        assert "http://feed.example/d/11" in names
        for cursor in dict.fromkeys(document.page for document in documents):
            rest, problem = listed(source.model_copy(update={"resume": cursor}), fetch)
            start = next(at for at, document in enumerate(documents) if document.page == cursor)
            assert problem is None
            assert [one.native_id for one in rest][-(COUNT - start) :] == names[start:]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_documents(form: str, tmp_path: Path) -> None:
    hashes = {}
    for each in (form, "turtle"):
        with feed(tmp_path / each, paged(each)) as (source, fetch, _):
            hashes[each] = {document.native_id: document.hash for document in listed(source, fetch)[0]}
    assert hashes[form] == hashes["turtle"]


def test_fewer_than_it_counts_is_incomplete(tmp_path: Path) -> None:
    with feed(tmp_path, paged("turtle", total=lambda _: COUNT + 1)) as (source, fetch, _):
        documents, error = listed(source, fetch)
    assert len(documents) == COUNT
    assert isinstance(error, IncompleteListing)
    assert error.details == {"count": COUNT + 1, "given": COUNT}


@pytest.mark.parametrize(
    "leads", ["/feed", "/feed?start=1", "/feed?start={}"], ids=["back", "circle", "for ever"]
)
def test_pages_that_lead_nowhere_end(leads: str, tmp_path: Path) -> None:
    def answering(asked: Asked) -> list[bytes]:
        following = leads.format(int(asked.query.get("start", 0)) + 1)
        body = graph(1, 4, f"http://{asked.headers['host']}{following}").serialize(
            format="turtle", encoding="utf-8"
        )
        return [answer(body, Content_Type="text/turtle")]

    with feed(tmp_path, answering) as (source, fetch, running):
        documents, error = listed(source, fetch)
    assert len(documents) == 3
    assert isinstance(error, IncompleteListing)
    assert len(running.asked) < 50


def test_an_empty_page_that_is_not_the_last_is_passed(tmp_path: Path) -> None:
    def answering(asked: Asked) -> list[bytes]:
        start = int(asked.query.get("start", 0))
        following = f"http://{asked.headers['host']}/feed?start={start + 1}" if start < 4 else ""
        made = graph(start, start + start % 2, following)
        return [answer(made.serialize(format="turtle", encoding="utf-8"), Content_Type="text/turtle")]

    with feed(tmp_path, answering) as (source, fetch, _):
        documents, error = listed(source, fetch)
    assert (len(documents), error) == (2, None)


@pytest.mark.parametrize("refusal", [200, 406])
def test_a_page_for_people_is_asked_again_for_rdf(refusal: int, tmp_path: Path) -> None:
    def answering(asked: Asked) -> list[bytes]:
        if "text/turtle" not in asked.headers.get("accept", ""):
            return [answer(b"<!DOCTYPE html><html>A catalog</html>", refusal, Content_Type="text/html")]
        return [answer(graph(0, 5).serialize(format="turtle", encoding="utf-8"), Content_Type="text/turtle")]

    with feed(tmp_path, answering) as (source, fetch, _):
        documents, error = listed(source, fetch)
    assert (len(documents), error) == (5, None)


def test_a_data_json_of_dcat_us_is_taken_dataset_by_dataset(tmp_path: Path) -> None:
    value = {
        "@context": "https://project-open-data.cio.gov/v1.1/schema/catalog.jsonld",
        "conformsTo": "https://project-open-data.cio.gov/v1.1/schema",
        "@type": "dcat:Catalog",
        "dataset": [
            {
                "@type": "dcat:Dataset", "title": f"T{at}", "description": "D", "identifier": f"gov.example:{at}",
                "keyword": ["sea"], "modified": "2024-01-02", "publisher": {"name": "NODC"},
                "contactPoint": {"@type": "vcard:Contact", "fn": "Desk", "hasEmail": "mailto:desk@gov.example"},
                "spatial": "105.5,17,110,22", "temporal": "2000-01-01/2010-12-31", "license": CC0,
                "distribution": [{"downloadURL": f"https://gov.example/{at}.nc", "mediaType": "application/x-netcdf"}],
            }
            for at in range(7)
        ] + ["no object"],
    }  # fmt: skip
    content = json.dumps(value).encode()
    with feed(tmp_path, lambda _: [answer(content)]) as (source, fetch, _):
        documents, error = listed(source, fetch)
    assert error is None
    assert [document.problem for document in documents if document.problem] == [
        "bad-document: a dataset that is no object"
    ]
    found = dcat.read(documents[3])
    assert (found.native_id, found.title.best("en"), found.modified) == (
        "gov.example:3",
        "T3",
        "2024-01-02T00:00:00Z",
    )
    assert found.licence is not None
    assert found.licence.spdx == "CC0-1.0"
    assert found.extent.boxes[0].west == 105.5
    assert [(way.protocol, way.format) for way in found.distributions] == [("http", "netcdf")]
    assert {party.name for party in found.parties} == {"NODC", "Desk"}


def test_a_context_that_is_not_known_is_named(tmp_path: Path) -> None:
    content = b'{"@context": "https://odd.example/c.jsonld", "@type": "Catalog", "dataset": [{"title": "T"}]}'
    with feed(tmp_path, lambda _: [answer(content)]) as (source, fetch, _):
        error = listed(source, fetch)[1]
    assert isinstance(error, Unreachable)
    assert "https://odd.example/c.jsonld" in error.message


def test_a_run_over_a_feed_counts_what_rdflib_counts(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    settings = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    with feed(tmp_path, paged("xml")) as (source, _, _):
        run = harvest_source(source, store, settings, workers=None)
        again = harvest_source(source, store, settings, workers=None)
    assert (run.state, run.seen, run.counts.new) == ("complete", COUNT, COUNT)
    assert (again.state, again.counts.new, again.counts.changed) == ("complete", 0, 0)
    store.close()
