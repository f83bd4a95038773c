"""STAC as servers write it is read for what it says, and what is written satisfies pystac."""

import json
import warnings
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import given, settings
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.scientific import ScientificExtension
from pystac.extensions.version import CollectionVersionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from catalog.dialects import stac
from catalog.record import BBox, QualityNote, Record
from catalog.source import Document
from contract.test_dialects import records
from strangers import PAYLOADS, hostile
from strangers import record as sample

SCHEMAS = JsonSchemaSTACValidator()
URL = "https://stac.example/catalog/sst/collection.json"


def reading(given: Any, url: str = URL) -> Record:
    return stac.read(Document(source="s", native_id="x", url=url, content=json.dumps(given).encode()))


def validated(record: Record) -> pystac.Collection:
    """The collection as pystac reads it, after the schemas that it carries."""
    given = json.loads(stac.write(record))
    SCHEMAS.validate_core(given, pystac.STACObjectType.COLLECTION, "1.1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pystac.DeprecatedWarning)
        return pystac.Collection.from_dict(given)


@settings(max_examples=25)
@given(records)
def test_pystac_validates_every_collection(record: Record) -> None:
    """The core by pystac's own schemas; extensions, whose schemas are on the network, by their classes."""
    collection = validated(record)
    assert collection.id == record.id
    if DatacubeExtension.has_extension(collection):
        cube = DatacubeExtension.ext(collection)
        assert {*cube.dimensions, *cube.variables} == {variable.name for variable in record.variables}
        assert all(axis.dim_type for axis in cube.dimensions.values())
    if ScientificExtension.has_extension(collection):
        assert ScientificExtension.ext(collection).doi == record.doi
    for asset in collection.assets.values():
        if FileExtension.has_extension(collection):
            assert FileExtension.ext(asset).size is None or FileExtension.ext(asset).size >= 0


def test_a_written_collection_says_where_when_and_what() -> None:
    record = sample(
        "sst",
        variables=[
            {"name": "sst", "units": "K", "dimensions": ["time", "lat", "lon"], "shape": [3, 4, 5],
             "standard_name": "sea_surface_temperature", "title": {"vi": "Nhiệt độ", "en": "Temperature"}},
            *({"name": axis, "standard_name": name, "units": units, "dimensions": [axis], "coordinate": True}
              for axis, name, units in (("time", "time", "days since 1970-01-01"), ("lat", "latitude", "degrees_north"),
                                        ("lon", "longitude", "degrees_east"))),
        ],
        doi="10.1234/sst", citation="Author (2020)", modified="2020-01-01T00:00:00Z",
        licence={"spdx": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
        quality=[{"code": "deprecated", "text": "a newer one"}],
        distributions=[{"protocol": "http", "address": "https://data.example/sst.nc", "format": "netcdf",
                        "size": 99, "checksum": "sha256:" + "ab" * 32}],
    )  # fmt: skip
    collection = validated(record)
    cube = DatacubeExtension.ext(collection)
    assert {name: (axis.dim_type, axis.to_dict()["extent"]) for name, axis in cube.dimensions.items()} == {
        "time": ("temporal", ["2019-02-23T00:00:00Z", "2019-03-01T06:00:00Z"]),
        "lat": ("spatial", [-1.0, 25.0]),
        "lon": ("spatial", [99.0, 122.0]),
    }
    assert cube.variables["sst"].dimensions == ["time", "lat", "lon"]
    assert (collection.extent.spatial.bboxes, collection.license) == ([[99, -1, 122, 25]], "CC-BY-4.0")
    assert CollectionVersionExtension.ext(collection).deprecated is True
    file = FileExtension.ext(collection.assets["data"])
    assert (file.size, file.checksum) == (99, "1220" + "ab" * 32)
    assert ScientificExtension.ext(collection).citation == "Author (2020)"
    again = reading(json.loads(stac.write(record)))
    assert {variable.name: variable for variable in again.variables} == {
        variable.name: variable for variable in record.variables
    }
    assert again.same(
        record.model_copy(
            update={"id": again.id, "source": "s", "native_id": "x", "variables": again.variables}
        )
    )


def test_no_path_of_this_machine_is_written() -> None:
    assert b"/secret" not in stac.write(sample("sst"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_record_is_still_a_valid_collection(payload: str) -> None:
    validated(hostile(1, payload))


COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "sst",
    "description": "Sea surface temperature",
    "license": "other",
    "extent": {
        "spatial": {"bbox": [[95, -12, -40, 130, 30, 0], [95, -12, 110, 30], [350, 0, 370, 1]]},
        "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
    },
    "providers": [
        {"name": "Viện Hải dương học", "roles": ["producer", "host"], "url": "https://vien.example"},
        {"name": "Kho", "roles": ["licensor"]},
    ],
    "contacts": [{"name": "Nguyễn Văn A", "emails": [{"value": "a@vien.example"}], "roles": ["author"]}],
    "sci:doi": "10.1234/sst",
    "deprecated": True,
    "links": [
        {"rel": "license", "href": "../terms.html", "title": "Our terms"},
        {"rel": "about", "href": "https://vien.example/sst", "type": "text/html"},
        {"rel": "wms", "href": "https://maps.example/wms", "wms:layers": ["sst"]},
    ],
    "cube:dimensions": {
        "time": {"type": "temporal", "extent": ["2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"]},
        "depth": {"type": "spatial", "axis": "z", "extent": [0.5, 300], "unit": "m"},
        "lat": {"type": "spatial", "axis": "y", "extent": [-12, 30], "step": 0.25},
        "lon": {"type": "spatial", "axis": "x", "extent": [95, 130], "step": 0.25},
    },
    "cube:variables": {
        "thetao": {
            "type": "data", "dimensions": ["time", "depth", "lat", "lon"], "shape": [9, 5, 7, 8], "unit": "degC",
            "attrs": {"standard_name": "sea_water_potential_temperature", "long_name": "Temperature"},
        },
        "so": {"dimensions": [], "standardName": "sea_water_salinity", "name": {"en": "Salinity", "vi": "Độ mặn"}},
        "area": {"type": "auxiliary", "dimensions": ["lat", "lon"]},
    },
    "assets": {
        "map": {"href": "map.png", "roles": ["thumbnail"]},
        "file": {"href": "../files/sst 1.nc", "type": "application/netcdf", "file:size": 12,
                 "file:checksum": "1220" + "0f" * 32},
        "store": {"href": "s3://sea-bucket/arco/sst.zarr", "type": "application/vnd+zarr"},
        "endpoint": {"href": "s3://mdl/arco/sst", "type": "application/vnd.zarr; version=2",
                     "xarray:storage_options": {"client_kwargs": {"endpoint_url": "https://s3.example"}}},
        "azure": {"href": "abfs://cil/v1.1", "xarray:open_kwargs":
                  {"engine": "zarr", "storage_options": {"account_name": "rhgeuwest"}}},
        "google": {"href": "gs://bucket/x.nc"},
        "mirror": {"href": "s3://private/x.nc", "alternate": {"web": {"href": "https://web.example/x.nc"}}},
        "paid": {"href": "s3://paid-bucket/x.nc", "storage:requester_pays": True},
        "dap": {"href": "https://thredds.example/thredds/dodsC/sst.nc.html"},
        "elsewhere": {"href": "ftp://old.example/x.nc"},
    },
}  # fmt: skip


def test_reads_what_a_collection_says() -> None:
    record = reading(COLLECTION)
    assert record.title.words == {"und": "sst"}
    assert record.extent.boxes == (BBox.of(95, -12, 110, 30), BBox.of(-10, 0, 10, 1))
    assert record.extent.model_dump(exclude={"boxes"}) == {
        "vertical": {"minimum": 0.5, "maximum": 300},
        "time": {"start": "2019-01-01T00:00:00Z", "end": None, "calendar": "standard"},
        "resolution": {"longitude": 0.25, "latitude": 0.25, "depth": None, "time": None},
    }
    assert [(v.name, v.standard_name, v.units, v.coordinate, v.shape) for v in record.variables] == [
        ("thetao", "sea_water_potential_temperature", "degC", False, (9, 5, 7, 8)),
        ("so", "sea_water_salinity", None, False, ()),
        ("area", None, None, True, ()),
        ("time", None, None, True, ()),
        ("depth", None, "m", True, ()),
        ("lat", None, None, True, ()),
        ("lon", None, None, True, ()),
    ]
    assert record.kind == "grid"
    assert [(party.name, party.roles, party.email) for party in record.parties] == [
        ("Nguyễn Văn A", ("author",), "a@vien.example"),
        ("Viện Hải dương học", ("creator", "distributor"), None),
        ("Kho", ("owner",), None),
    ]
    assert record.licence is not None
    assert record.licence.title == "Our terms"
    assert (record.doi, record.landing_page) == ("10.1234/sst", "https://vien.example/sst")
    assert {note.code for note in record.quality} == {"title-missing", "deprecated", "distribution-left-out"}


def test_assets_are_ways_that_can_be_opened() -> None:
    ways = {way.title: way for way in reading(COLLECTION).distributions}
    assert {title: (way.protocol, way.format, way.address) for title, way in ways.items()} == {
        "file": ("http", "netcdf", "https://stac.example/catalog/files/sst%201.nc"),
        "store": ("http", "zarr", "https://sea-bucket.s3.amazonaws.com/arco/sst.zarr"),
        "endpoint": ("http", "zarr", "https://s3.example/mdl/arco/sst"),
        "azure": ("http", "zarr", "https://rhgeuwest.blob.core.windows.net/cil/v1.1"),
        "google": ("http", "netcdf", "https://storage.googleapis.com/bucket/x.nc"),
        "mirror": ("http", "netcdf", "https://web.example/x.nc"),
        "paid": ("other", "netcdf", "https://paid-bucket.s3.amazonaws.com/x.nc"),
        "dap": ("opendap", "opendap", "https://thredds.example/thredds/dodsC/sst.nc"),
        None: ("wms", "wms", "https://maps.example/wms"),
    }
    assert (ways["file"].size, ways["file"].checksum) == (12, "sha256:" + "0f" * 32)


def test_an_item_says_what_its_collection_says_for_it() -> None:
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "sst-2019", "bbox": [170, -5, -170, 5],
        "geometry": None, "links": [], "assets": {},
        "properties": {"datetime": None, "start_datetime": "2019-01-01T00:00:00Z", "end_datetime": "2019-12-31",
                       "keywords": ["own"]},
    }  # fmt: skip
    document = Document(source="s", native_id="x", url=URL)
    titled = {**COLLECTION, "title": "Sea", "keywords": ["shared"]}
    record = stac.read_object(document, item, stac.shared(titled))
    assert record.title.words == {"und": "Sea: sst-2019"}
    assert [word.best("en") for word in record.keywords] == ["own"]
    assert record.doi == "10.1234/sst"
    assert record.extent.boxes == (BBox(west=170, south=-5, east=-170, north=5),)
    assert record.extent.time is not None
    assert record.extent.time.end == "2019-12-31T23:59:59.999999Z"
    assert (
        QualityNote(code="title-missing", text="the source gives no title; it is made of its id")
        in record.quality
    )


def test_real_objects_are_read(shared_real: Path) -> None:
    """Every Collection and Item that pystac reads in the recorded answers of public portals."""
    found = 0
    for path in sorted((shared_real / "responses" / "stac").rglob("*.*")):
        if path.name == "_index.json" or path.suffix not in {".json", ".txt"}:
            continue
        value = json.loads(path.read_bytes())
        listed = (
            value
            if isinstance(value, list)
            else [value, *value.get("features", ()), *value.get("collections", ())]
        )
        for item in listed:
            if not isinstance(item, dict) or item.get("type") not in {"Collection", "Feature"}:
                continue
            if "stac_version" not in item or "invalid" in path.name:
                continue
            record = reading(item)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = pystac.read_dict(item)
            assert record.native_id == "x"
            assert len(record.distributions) <= len(theirs.assets) + len(theirs.links)
            found += 1
    assert found == 267
