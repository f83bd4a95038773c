"""DCAT: what is written meets DCAT-AP's shapes, every form says the same, hostile RDF is refused or read in bounds."""

import json
import re

import pyshacl
import pytest
import rdflib
from hypothesis import given, settings
from lxml import etree

from catalog.dialects import dcat
from catalog.dialects._contexts import PREFIXES as PREFIX
from catalog.dialects._rdf import read_feed
from catalog.errors import BadDocument
from catalog.record import BBox, Record, Text
from catalog.source import Document
from contract.test_dialects import records
from strangers import record

SHAPES = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix dcat: <http://www.w3.org/ns/dcat#> .
@prefix dct: <http://purl.org/dc/terms/> .
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix vcard: <http://www.w3.org/2006/vcard/ns#> .
@prefix spdx: <http://spdx.org/rdf/terms#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix geosparql: <http://www.opengis.net/ont/geosparql#> .
[] a sh:NodeShape ; sh:targetClass dcat:Dataset ;
    sh:property [ sh:path dct:title ; sh:minCount 1 ; sh:nodeKind sh:Literal ; sh:uniqueLang true ] ;
    sh:property [ sh:path dct:description ; sh:minCount 1 ; sh:nodeKind sh:Literal ] ;
    sh:property [ sh:path dct:publisher ; sh:maxCount 1 ; sh:class foaf:Agent ] ;
    sh:property [ sh:path dcat:contactPoint ; sh:class vcard:Kind ] ;
    sh:property [ sh:path dcat:keyword ; sh:nodeKind sh:Literal ] ;
    sh:property [ sh:path dct:spatial ; sh:class dct:Location ] ;
    sh:property [ sh:path dct:temporal ; sh:class dct:PeriodOfTime ] ;
    sh:property [ sh:path dcat:landingPage ; sh:nodeKind sh:IRI ; sh:class foaf:Document ] ;
    sh:property [ sh:path dct:issued ; sh:maxCount 1 ; sh:nodeKind sh:Literal ] ;
    sh:property [ sh:path dcat:distribution ; sh:class dcat:Distribution ] .
[] a sh:NodeShape ; sh:targetClass dcat:Distribution ;
    sh:property [ sh:path dcat:accessURL ; sh:minCount 1 ; sh:nodeKind sh:IRI ] ;
    sh:property [ sh:path dcat:downloadURL ; sh:nodeKind sh:IRI ] ;
    sh:property [ sh:path dct:license ; sh:maxCount 1 ; sh:class dct:LicenseDocument ] ;
    sh:property [ sh:path dcat:byteSize ; sh:maxCount 1 ; sh:datatype xsd:nonNegativeInteger ] ;
    sh:property [ sh:path spdx:checksum ; sh:maxCount 1 ; sh:class spdx:Checksum ] .
[] a sh:NodeShape ; sh:targetClass foaf:Agent ; sh:property [ sh:path foaf:name ; sh:minCount 1 ] .
[] a sh:NodeShape ; sh:targetClass dct:Location ;
    sh:property [ sh:path dcat:bbox ; sh:minCount 1 ; sh:datatype geosparql:wktLiteral ] .
"""
PREFIXES = (
    b"@prefix dcat: <http://www.w3.org/ns/dcat#> . @prefix dct: <http://purl.org/dc/terms/> . "
    b"@prefix xsd: <http://www.w3.org/2001/XMLSchema#> . "
    b"@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> . <http://a.example/x> a dcat:Dataset ; dct:title "
)
ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
BOMB = f'<!DOCTYPE l [<!ENTITY a "{"x" * 100}">{ENTITIES}]><l>&j;</l>'

IN_A_LITERAL = b'"T" ; dct:x """' + BOMB.replace('"', "'").encode() + b'"""^^rdf:XMLLiteral .'
MANY_PREFIXES = b"".join(b"@prefix p%d: <http://x/%d#> .\n" % (at, at) for at in range(30_000))
OUTSIDE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'


def read(content: bytes | str, **fields: str) -> Record:
    whole = content if isinstance(content, bytes) else content.encode()
    return dcat.read(Document(source="s", native_id="x", content=whole, **fields))


@pytest.fixture(scope="module")
def shapes() -> rdflib.Graph:
    return rdflib.Graph().parse(data=SHAPES, format="turtle")


def test_what_is_written_meets_the_shapes_of_dcat_ap(shapes: rdflib.Graph) -> None:
    @settings(max_examples=15)
    @given(records)
    def check(said: Record) -> None:
        graph = rdflib.Graph().parse(data=dcat.write(said, "turtle"), format="turtle")
        conforms, _, report = pyshacl.validate(graph, shacl_graph=shapes)
        assert conforms, report

    check()
    assert not pyshacl.validate(
        rdflib.Graph().parse(data=PREFIXES + b'"T" .', format="turtle"), shacl_graph=shapes
    )[0]


@settings(max_examples=15)
@given(records)
def test_every_form_says_the_same(said: Record) -> None:
    plain = read(dcat.write(said))
    for form in ("turtle", "xml"):
        assert read(dcat.write(said, form)).same(plain)


@pytest.mark.parametrize("address", ["https://b.example/x?", "http://b.example/x;?#", "HTTPS://b.example/?"])
def test_every_form_writes_an_address_alike(address: str) -> None:
    """RDF/XML joins addresses with a base, which loses what is empty, and folds the scheme."""
    said = Record(
        id="s-x", source="s", native_id="x", title=Text.of("t"), landing_page=address, document_hash="0" * 64
    )
    assert len({read(dcat.write(said, form)).landing_page for form in ("json-ld", "turtle", "xml")}) == 1


def test_keeps_what_dcat_has_words_for() -> None:
    said = record("x", doi="10.1234/x", extent={"boxes": [[170, -10, -170, 10], [100, 5, 101, 6]]})
    found = read(dcat.write(said))
    assert (found.title, found.doi, found.parties) == (said.title, said.doi, said.parties)
    assert found.extent.boxes == (
        BBox(west=100, south=5, east=101, north=6),
        BBox(west=170, south=-10, east=-170, north=10),
    )
    assert not found.distributions  # a file of this server is nobody's business


def test_a_context_is_never_fetched() -> None:
    """The closed network would raise; the address that is not known is named."""
    node = {
        "@id": "http://a.example/x",
        "@type": "http://www.w3.org/ns/dcat#Dataset",
        "http://purl.org/dc/terms/title": "T",
    }
    for context in (
        "http://127.0.0.2:9/c.jsonld",
        "file:///etc/hostname",
        {"@import": "http://127.0.0.2:9/c.jsonld"},
    ):
        found = read(json.dumps({**node, "@context": context}))
        assert found.title.words == {"und": "T"}
        assert [each.code for each in found.quality] == (
            [] if isinstance(context, dict) else ["context-unknown"]
        )
    with pytest.raises(BadDocument, match=re.escape("http://c.example/ is not known here")):
        read('{"@context": "http://c.example/", "@type": "Dataset", "title": "T"}')
    known = {
        "@context": "https://project-open-data.cio.gov/v1.1/schema/catalog.jsonld",
        "@type": "dcat:Dataset",
    }
    assert read(json.dumps({**known, "title": "T", "spatial": "-1,2,3,4"})).extent.boxes == (
        BBox(west=-1, south=2, east=3, north=4),
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PREFIXES + b'"T" ; dct:x "1e999999999"^^xsd:decimal .', id="decimal written out"),
        pytest.param(PREFIXES + b'"T" ; dct:x "' + b"9" * 1_000_000 + b'"^^xsd:integer .', id="digits"),
        pytest.param(PREFIXES + b'"T" ; dct:x "P' + b"9" * 1_000_000 + b'Y"^^xsd:duration .', id="duration"),
        pytest.param(PREFIXES + b'"T" ; dct:x "' + b"a" * 3_000_000 + b'" .', id="huge literal"),
        pytest.param(PREFIXES + b'"T" ; dct:x "99999-13-41T99:00:00Z"^^xsd:dateTime .', id="no date"),
        pytest.param(PREFIXES + IN_A_LITERAL, id="bomb in a literal"),
        pytest.param(MANY_PREFIXES + PREFIXES + b'"T" .', id="prefixes"),
    ],
)  # fmt: skip
def test_heavy_literals_are_read_in_bounds(content: bytes) -> None:
    assert read(content).title.words == {"und": "T"}


CIRCLE = json.dumps({"@context": {"a": "b:x", "b": "a:x"}, "@type": "a", "a": 1}).encode()
INNER = {f"t{at}": {"@id": f"http://x/{at}", "@context": {"y": "http://y/"}} for at in range(100)}
SCOPED = json.dumps({"@context": INNER, "t1": [{"t2": {"t3": 1}}] * 30_000})
DOUBLING = json.dumps(
    {"@context": {"d": "http://www.w3.org/ns/dcat#"}, "@graph": [
        {"@id": "http://a/", "@type": "d:Dataset", "d:a": {"@id": "_:b0"}},
        *({"@id": f"_:b{i}", **{f"d:k{k}": {"@id": f"_:b{i + 1}"} for k in range(20)}} for i in range(40)),
    ]}
)  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(PREFIXES + b"[ dct:x " * 100_000, "nested too deep", id="deep nodes"),
        pytest.param(PREFIXES + b"( " * 100_000, "nested too deep", id="deep lists"),
        pytest.param(PREFIXES + b"9" * 1_000_000, "no turtle", id="a bare number"),
        pytest.param(PREFIXES + b'"' + b"a" * 3_000_000, "no turtle", id="no end"),
        pytest.param(f'<?xml version="1.0"?>{BOMB}'.encode(), "no XML|entities", id="entity bomb"),
        pytest.param(OUTSIDE, "entities|no RDF", id="external entity"),
        pytest.param(b'<?xml version="1.0"?>' + b"<a>" * 200_000, "no XML", id="deep elements"),
        pytest.param(CIRCLE, "nested too deep", id="terms in a circle"),
        pytest.param(SCOPED.encode(), "contexts of their own", id="contexts of terms"),
        pytest.param(DOUBLING.encode(), "more than 5,000 nodes", id="nodes that double"),
        pytest.param(b'{"a": NaN}', "NaN", id="NaN"),
        pytest.param(b"\x00\x01", "no RDF", id="binary"),
    ],
)  # fmt: skip
def test_hostile_rdf_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadDocument, match=reason):
        read(content)


def test_a_document_type_is_never_seen_by_the_reader() -> None:
    """RDF/XML that names an outer document type is read without it."""
    graph = rdflib.Graph().parse(data=PREFIXES + b'"T" .', format="turtle")
    root = etree.fromstring(graph.serialize(format="xml").encode())
    content = b'<!DOCTYPE rdf:RDF SYSTEM "http://127.0.0.2:9/x.dtd">' + etree.tostring(root)
    assert read(content, media_type="application/rdf+xml").title.words == {"und": "T"}


@pytest.mark.parametrize(
    ("doctype", "title", "reads"),
    [
        pytest.param('SYSTEM "http://127.0.0.2:9/x.dtd"', "Sóng &x; biển", None, id="outer entity"),
        pytest.param('[<!ATTLIST dcat:Dataset dct:description CDATA "no">]', "Sóng", "Sóng", id="defaults"),
    ],
)
def test_a_document_type_changes_no_words(doctype: str, title: str, reads: str | None) -> None:
    """An entity that only an outer one could declare is not left out of a text; a default is nobody's word."""
    names = "".join(f' xmlns:{prefix}="{PREFIX[prefix]}"' for prefix in ("rdf", "dcat", "dct"))
    node = f'<dcat:Dataset rdf:about="http://a.example/x"><dct:title>{title}</dct:title></dcat:Dataset>'
    content = f"<!DOCTYPE rdf:RDF {doctype}><rdf:RDF{names}>{node}</rdf:RDF>"
    if reads is None:
        with pytest.raises(BadDocument, match="undefined entity"):
            read(content)
        return
    found = read(content)
    assert found.title.words == {"und": reads}
    assert found.summary is None


@pytest.mark.parametrize(
    "said",
    [
        '"1E+9999999"^^xsd:decimal',
        '"0012"^^xsd:integer',
        '"1e5"^^xsd:double',
        '"2020-01-01T00:00:00.000Z"^^xsd:dateTime',
    ],
)
def test_literals_stay_as_they_are_written(said: str) -> None:
    """Else the first one becomes ten million digits, and the others another document than was sent."""
    ((_, node),) = read_feed(PREFIXES + f'"T" ; dct:x {said} .'.encode()).datasets()
    (value,) = node["http://purl.org/dc/terms/x"]
    assert value["@value"] == said.split('"')[1]


def test_the_same_bytes_give_the_same_nodes() -> None:
    """Blank nodes and sets have no order; nodes do, whatever names a reading gives them."""
    content = dcat.write(record("x", parties=[{"name": f"P{at}"} for at in range(20)]), "turtle")
    first, second = (json.dumps(list(read_feed(content).datasets())) for _ in range(2))
    assert first == second
