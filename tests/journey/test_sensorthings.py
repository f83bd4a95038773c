"""SensorThings services: Things page by page and part by part, complete or marked incomplete."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import IncompleteListing, SourceError, Unreachable
from catalog.record import BBox, Record
from catalog.settings import Settings
from catalog.source import Document, Source
from catalog.stores.memory import open_store
from harvesters import sensorthings
from harvesters._run import harvest_source
from portals import Asked, answer
from replay import asking, recorded

ROOT = "/frost/v1.1"
SERVICE = Source(id="buoys", protocol="sensorthings", url=f"https://things.example{ROOT}")


@dataclass
class Service:
    """A small SensorThings service: pages of Things, and pages of the Datastreams of each.

    Args:
        things: How many Datastreams each has, by its id.
        size: Things on a page.
        inner: Datastreams of a Thing on a page.
        expands: Whether it knows `$expand`.
        claims: How many Things it says to have beside those that it has.
        lead: Where the next link of an offset leads instead.
        circle: The Thing whose Datastreams lead in a circle.
    """

    things: dict[Any, int]
    size: int = 4
    inner: int = 2
    expands: bool = True
    claims: int = 0
    lead: dict[int, int] = field(default_factory=dict)
    circle: Any = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> list[bytes]:
        path = unquote(asked.path)
        self.asked.append(path)
        if "$expand" in asked.query and not self.expands:
            return [answer(b'{"code": 400, "message": "Unknown query option"}', 400)]
        start = int(asked.query.get("$skip", 0))
        owner = re.fullmatch(r".*/Things\((.+)\)/(\w+)", path)
        if path == ROOT:
            value: Any = {
                "value": [{"name": name, "url": f"{ROOT}/{name}"} for name in ("Things", "Datastreams")]
            }
        elif path == f"{ROOT}/Things":
            value = self.page(start, expanded="$expand" in asked.query)
        elif owner and owner[2] == "Datastreams":
            value = self.streams(json.loads(owner[1].replace("'", '"')), start)
        else:
            value = {"value": []}
        return [answer(json.dumps(value).encode())]

    def page(self, start: int, *, expanded: bool) -> dict[str, Any]:
        names = list(self.things)[start : start + self.size]
        value: dict[str, Any] = {"@iot.count": len(self.things) + self.claims}
        value["value"] = [self.thing(name, expanded=expanded) for name in names]
        following = self.lead.get(start, start + self.size)
        if following < len(self.things):
            wish = "&$expand=Locations" if expanded else ""
            value["@iot.nextLink"] = f"{ROOT}/Things?$skip={following}{wish}"
        return value

    def thing(self, name: Any, *, expanded: bool) -> dict[str, Any]:
        said = {"@iot.id": name, "name": f"Thing {name}"}
        if not expanded:
            return said | {"Datastreams@iot.navigationLink": f"{ROOT}/Things({name!r})/Datastreams"}
        first = self.streams(name, 0)
        more = {"Datastreams@iot.nextLink": first["@iot.nextLink"]} if "@iot.nextLink" in first else {}
        return said | {"Locations": [], "Datastreams": first["value"], **more}

    def streams(self, name: Any, start: int) -> dict[str, Any]:
        numbers = range(self.things[name])[start : start + self.inner]
        value: dict[str, Any] = {"value": [{"@iot.id": at, "name": f"series {at}"} for at in numbers]}
        if start + self.inner < self.things[name]:
            onward = 0 if name == self.circle else start + self.inner
            value["@iot.nextLink"] = f"{ROOT}/Things({name!r})/Datastreams?$skip={onward}"
        return value


def listed(service: Service, home: Path, **source: Any) -> tuple[list[Document], SourceError | None]:
    """What is listed, and the error that ended it."""
    documents: list[Document] = []
    with asking(SERVICE.model_copy(update=source), service, home) as (near, fetch):
        try:
            documents.extend(sensorthings.harvest(near, fetch))
        except SourceError as error:
            return documents, error
    return documents, None


def test_recorded_things(tmp_path: Path) -> None:
    with recorded("sensorthings", tmp_path) as (source, fetch):
        found = [sensorthings.read(document) for document in sensorthings.harvest(source, fetch)]
        wanted = {"bbox": BBox(west=108, south=10, east=110, north=16), "search": "gio"}
        (near,) = sensorthings.harvest(source.model_copy(update={**wanted, "search": "gió"}), fetch)
    buoy, station, drawer, tides = found
    assert {one.kind for one in found} == {"timeseries"}
    assert [(one.name, one.standard_name, one.units) for one in buoy.variables] == [
        ("Nhiệt độ nước 1 m", "sea_water_temperature", "Cel"),
        ("Sóng", "sea_surface_wave_significant_height", "m"),
        ("Sóng (13)", None, "s"),
    ]
    assert (buoy.extent.boxes, buoy.doi) == (
        (BBox(west=107.34, south=17.16, east=107.34, north=17.16),),
        "10.1234/open.sea.9",
    )
    assert buoy.extent.time is not None
    assert (buoy.extent.time.start, buoy.extent.time.end) == ("2019-02-23T00:00:00Z", "2024-07-01T00:00:00Z")
    assert [(one.standard_name, one.units) for one in station.variables] == [
        ("wind_speed", "m/s"),
        ("wind_from_direction", "degree"),
    ]
    ways = {way.address.partition("/v1.1/")[2]: (way.protocol, way.format) for way in station.distributions}
    assert ways == {
        "Things('tram-2')": ("other", "sensorthings"),
        "MultiDatastreams(21)/Observations": ("other", "sensorthings"),
        "MultiDatastreams(21)/Observations?$resultFormat=CSV": ("http", "csv"),
    }
    assert (drawer.variables, drawer.extent.boxes) == ((), ())
    assert tides.extent.boxes == (BBox(west=106.7, south=20.6, east=106.9, north=20.8),)  # what was observed
    assert tides.extent.time is not None
    assert (tides.extent.time.start, tides.extent.time.end) == ("2024-01-01T00:00:00Z", None)
    assert near.native_id == "tram-2"


def variables(documents: list[Document]) -> dict[str, int]:
    found: list[Record] = [sensorthings.read(document) for document in documents]
    return {record.native_id: len(record.variables) for record in found}


@settings(max_examples=20)
@given(
    things=st.dictionaries(
        st.integers(0, 10**18) | st.text("abc-é d", min_size=1).filter(str.strip), st.integers(0, 5), max_size=9
    ),
    size=st.integers(1, 5),
    inner=st.integers(1, 5),
    expands=st.booleans(),
)  # fmt: skip
def test_every_thing_comes_once_and_whole(
    things: dict[Any, int], size: int, inner: int, expands: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is expanded, and however it is paged; ids are numbers or words."""
    things = {str(key).strip() if isinstance(key, str) else key: many for key, many in things.items()}
    service = Service(things, size, inner, expands)
    documents, error = listed(service, tmp_path_factory.mktemp("s"))
    assert error is None
    assert variables(documents) == {str(key): many for key, many in things.items()}


LIES = {
    "counts more than it has": {"claims": 3},
    "next links in a circle": {"lead": {8: 0}},
    "a page that leads to itself": {"lead": {4: 4}},
    "pages that are passed over": {"lead": {4: 12}},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_listing_that_is_not_whole_says_so(lie: str, tmp_path: Path) -> None:
    """FAULTS row 12: what came before is kept, and the listing ends."""
    service = Service(dict.fromkeys(range(20), 1), **LIES[lie])  # type: ignore[arg-type]
    documents, error = listed(service, tmp_path)
    assert isinstance(error, IncompleteListing)
    names = [document.native_id for document in documents]
    assert len(names) == len(set(names)) >= 8
    assert len(service.asked) < 40


def test_a_thing_whose_datastreams_lead_in_a_circle_is_the_only_one_lost(tmp_path: Path) -> None:
    documents, error = listed(Service(dict.fromkeys(range(6), 5), circle=3), tmp_path)
    assert error is None
    problems = [document.native_id for document in documents if document.problem]
    assert (len(documents), problems) == (6, ["3"])


def test_what_is_no_service_is_told(tmp_path: Path) -> None:
    with (
        asking(SERVICE, lambda _: [answer(b'{"value": [{"name": "Dogs", "url": "/d"}]}')], tmp_path) as (
            source,
            fetch,
        ),
        pytest.raises(Unreachable, match="has no Things"),
    ):
        list(sensorthings.harvest(source, fetch))


def test_a_source_that_changes_at_each_page_loses_nothing(tmp_path: Path) -> None:
    """A run over 200 Things of which one comes and one goes at each page: each that stays is kept."""
    service = Service(dict.fromkeys(range(200), 1), size=10)
    away = iter(range(500, 600))

    def changing(asked: Asked) -> list[bytes]:
        told = service(asked)
        if "$skip" in asked.query:
            service.things[next(away)] = 1
        return told

    known = Settings(home=tmp_path, allow_hosts=("127.0.0.1",), fetch_tries=1)
    store = open_store(tmp_path)
    with asking(SERVICE, changing, tmp_path) as (source, _):
        run = harvest_source(source, store, known, workers=None)
    assert (run.state, run.counts.quarantined) == ("complete", 0)
    assert run.counts.new >= 200
