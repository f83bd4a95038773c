"""What an answer says of itself in any format: title, makers, licence, citation, source, request and notes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import xarray as xr

from catalog.data.plain import plain_attributes, words

_SAID_AS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "title": ("title", "name"),
        "institution": ("institution", "publisher_name"),
        "creator": ("creator_name", "creator", "author"),
        "license": ("license", "licence", "rights"),
        "citation": ("citation", "bibliographicCitation", "references", "acknowledgement", "acknowledgment"),
        "source": ("source_url", "sourceUrl", "infoUrl", "metadata_link", "source"),
    }
)
"""Under what names files say it (ACDD 1.3, CF §2.6.2, ERDDAP); the first that is there counts."""

_PACKING = frozenset({"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"})


def described(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the attributes of a variable that hold for its unpacked numbers, as JSON has them."""
    return {name: value for name, value in plain_attributes(attributes).items() if name not in _PACKING}


def said(dataset: xr.Dataset) -> dict[str, str]:
    """Return title, institution, creator, license, citation, source, request and notes, those that are there.

    The request is the last line of `history`, which the cut has written; notes are one text, joined by spaces.
    """
    attributes = {str(name): value for name, value in dataset.attrs.items()}
    found = {
        key: text
        for key, names in _SAID_AS.items()
        if (text := next(filter(None, (words(attributes.get(name, "")).strip() for name in names)), ""))
    }
    lines = words(attributes.get("history", "")).strip().splitlines()
    if lines:
        found["request"] = lines[-1].strip()
    notes = " ".join(map(str, dataset.encoding.get("notes", ())))
    return found | ({"notes": notes} if notes else {})
