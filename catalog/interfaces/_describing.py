"""What interfaces say of their addresses in OpenAPI: parameters, media types, problems."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import Path

PROBLEM = "application/problem+json"
Id = Annotated[str, Path(description="The record's id, as the search gives it.")]
Suffix = Annotated[str, Path(description="The format: nc, csv, parquet, … (docs/reference/subsets.md).")]
PROBLEMS: Mapping[int, str] = {
    400: "a parameter cannot be read",
    404: "there is no such thing",
    410: "withdrawn",
    413: "the answer would be too large",
    422: "outside the data, or no data that can be cut",
    429: "too busy",
    502: "the data could not be read",
    503: "the file is not the one that was harvested",
    504: "the reader did not finish",
}


def answers(media: Iterable[str], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an address answers, for OpenAPI: media types of a success, and the problems there may be."""
    return {
        200: {"content": {kind: {} for kind in media}},
        **{status: {"description": PROBLEMS[status], "content": {PROBLEM: {}}} for status in statuses},
    }
