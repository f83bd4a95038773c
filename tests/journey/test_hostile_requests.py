"""FAULTS row 19: a malformed request is a named problem, never a 5xx and never a stack trace."""

from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

SEA_LEVEL = "sample-cmems_sea_level_20190223_bien_dong"
PATHS = [
    "/api/datasets", "/api/datasets/{}", "/api/datasets/{}/history", "/api/datasets/{}/subset.nc",
    "/api/datasets/{}/subset.csv", "/api/datasets/{}/subset.{}", "/api/datasets/{}/subset.csv/estimate",
    "/api/datasets/{}/subset.nc3", "/api/datasets/{}/table.csv", "/api/datasets/{}/table.{}",
    "/api/datasets/{}/zarr/{}", "/api/datasets/{}/zarr/adt/{}", "/api/sources", "/api/runs", "/api/runs/{}/diff/{}",
    "/health", "/{}", "/", "/datasets/{}", "/sources", "/runs", "/docs",
]  # fmt: skip
NAMES = ["q", "bbox", "time", "variable", "organisation", "source", "theme", "kind", "format", "sort", "limit",
         "offset", "lang", "variables", "depth", "stride", "indices", "coords", "method", "qc", "reduce",
         "asof", "colour", ""]  # fmt: skip
nasty = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["nan", "1e999", "-1", "0", "9" * 30, "a/b", "../..", "%00", "\x00", "'", '"', "* OR 1", "1,2,3,4",
                     "0,0,360,90", "0/1", "2:3", "latitude:0", "-0", "0x10", "١٢", "{{7*7}}", "<script>", "adt,adt"]),
    st.sampled_from(["time[0:1:99]", "latitude[5:0]", "time[0],time[0]", "longitude[0:0:1]", "nearest", "linear",
                     "good", "mean(time)", "p90(time)", "p101(time)", "mean(time:month)", "max(latitude,longitude)",
                     "mean(time),mean(time)", "POINT(110 10)", "POINT(110 10 5)", "POINT(nan 1)", "POINT EMPTY",
                     "MULTIPOINT((110 10),(500 0))", "LINESTRING(105 5,110 10)", "LINESTRING(1 1,1 1)",
                     "LINESTRING(0 0,180 0)", "POLYGON((105 5,110 5,110 10,105 5))", "POLYGON((0 0,1 1,0 1,1 0,0 0))",
                     "GEOMETRYCOLLECTION(POINT(1 1))", '{"type":"Point","coordinates":[110,10]}', '{"type":[]}',
                     '{"type":"Polygon","coordinates":[[[105,5],[110,5],[110,10],[105,5]]]}', "[" * 2000, "{" * 2000,
                     'adt&orderBy("adt")', "adt,time&adt>=nan", "&distinct()", '&adt=~"(a+)+$"', ".zgroup", "0.0.0",
                     "9.9.9", "-1.0.0", "1e3"]),
    st.floats().map(str),
    st.lists(st.integers(-400, 400), min_size=3, max_size=5).map(lambda xs: ",".join(map(str, xs))),
)  # fmt: skip


def sound(answer):
    assert answer.status_code < 500, (answer.request.url, answer.text[:500])
    assert "Traceback" not in answer.text
    if answer.status_code >= 400 and answer.request.url.path.startswith("/api"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


def ask(client, path, pieces, pairs, known):
    for piece in pieces:
        path = path.replace("{}", SEA_LEVEL if known else quote(piece, safe=""), 1)
        known = False
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    sound(client.get(f"{path.replace('{}', 'x')}?{query}"))


requests = {
    "path": st.sampled_from(PATHS),
    "pieces": st.lists(nasty, min_size=2, max_size=2),
    "pairs": st.lists(st.tuples(st.sampled_from(NAMES), nasty), max_size=4),
    "known": st.booleans(),
}


@given(**requests)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_malformed_requests_are_named(client, path, pieces, pairs, known):
    ask(client, path, pieces, pairs, known)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@given(**requests)
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ten_thousand_malformed_requests_are_named(client, path, pieces, pairs, known):
    ask(client, path, pieces, pairs, known)


@pytest.mark.parametrize(
    "target",
    ["/api/datasets?q=%ff%fe", "/api/datasets?%zz", "/api/datasets/%2e%2e%2f", "/datasets/%00", "//", "/%ff"],
)
def test_malformed_encodings_are_named(client, target):
    sound(client.get(target))


def test_what_the_api_says_of_itself_holds(own_app):
    schema = schemathesis.openapi.from_asgi("/openapi.json", own_app)
    tried = 0
    for operation in schema.get_all_operations():

        @given(case=operation.ok().as_strategy())
        @settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
        def one(case):
            answer = case.call()
            assert answer.status_code < 500, (case.formatted_path, case.query, answer.text[:300])
            case.validate_response(answer, checks=[status_code_conformance, content_type_conformance])

        one()
        tried += 1
    assert tried >= 7
