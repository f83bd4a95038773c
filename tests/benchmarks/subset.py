"""A box of the sample's sea level: through the service and its reading process, against plain xarray here."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import xarray

import harvesters
from benchmarks.case import Case, measure
from catalog.data.subset import Cut, parse
from catalog.service import Catalog, open_catalog
from catalog.settings import Settings
from catalog.source import read_sources
from harvesters._run import harvest_all

BUILT_IN = Path(harvesters.__path__[0])
RECORD = "sample-cmems_sea_level_20190223_bien_dong"
ASKED = {"variables": "adt", "bbox": "105.5,17,110,22"}
ROUNDS = 20


def by_the_service(catalog: Catalog, cut: Cut, suffix: str) -> bytes:
    """Cut through the service: a process that reads, and the whole answer."""
    return b"".join(catalog.subset(RECORD, cut, suffix).pieces())


def by_xarray(suffix: str, target: Path) -> None:
    """Cut in this process, as a user who has the file would."""
    with xarray.open_dataset(BUILT_IN / "sample" / "cmems_sea_level_20190223_bien_dong.nc") as dataset:
        box = dataset[["adt"]].sel(longitude=slice(105.5, 110), latitude=slice(17, 22))
        if suffix == "nc":
            box.to_netcdf(target)
        else:
            box.to_dataframe().to_csv(io.StringIO())


def cases(home: Path) -> Iterator[Case]:
    """Yield a case a format."""
    settings = Settings(home=home, readers=1)
    sources = [source for source in read_sources(BUILT_IN / "sources.toml") if source.id == "sample"]
    with open_catalog(settings, sources) as catalog:
        for _ in harvest_all(sources, catalog.store, settings, workers=catalog.workers):
            pass
        for suffix, peer in (("nc", "xarray, to_netcdf"), ("csv", "xarray, pandas to_csv")):
            yield measure(
                f"sea level, Gulf of Tonkin, as {suffix}",
                partial(by_the_service, catalog, parse(ASKED), suffix),
                peer,
                partial(by_xarray, suffix, home / "peer.nc"),
                ROUNDS,
            )
