"""Whom and what an answer names: what a record knows and its file may not say, as global attributes (ACDD 1.3)."""

from collections.abc import Mapping

import xarray as xr

from catalog.data.places import LOCAL
from catalog.record import Record


def credits_of(record: Record) -> dict[str, str]:
    """Return the title, licence, citation, makers, landing page and source of a record, those that it has."""
    licence = record.licence
    there = [d.address for d in record.distributions if d.protocol not in LOCAL]
    known = {
        "title": record.title.best("en"),
        "license": licence and (licence.url or licence.title or licence.spdx),
        "citation": record.citation or (record.doi and f"https://doi.org/{record.doi}"),
        "institution": "; ".join(party.name for party in record.parties if party.organisation),
        "metadata_link": record.landing_page,
        "source_url": there[0] if there else None,
    }
    return {name: value for name, value in known.items() if value}


def credited(dataset: xr.Dataset, known: Mapping[str, str]) -> xr.Dataset:
    """Return the dataset with what is known and its attributes do not say."""
    said = {str(name).lower() for name in dataset.attrs}
    return dataset.assign_attrs({name: value for name, value in known.items() if name not in said})
