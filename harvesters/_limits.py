"""How much one source may give in one harvest, by options of the source."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from catalog.errors import BadSource, LimitExceeded
from catalog.source import Document, Source

MOST_DATASETS = 1_000_000
MOST_HOURS = 12.0
_HOUR = 3_600


def number(source: Source, name: str, default: float) -> float:
    """Return an option of a source that is a number, zero or more. Raises BadSource."""
    try:
        value = float(source.options.get(name, default))
    except (TypeError, ValueError) as error:
        raise BadSource(f"{name} of source {source.id!r} is no number") from error
    if math.isnan(value) or value < 0:
        raise BadSource(f"{name} of source {source.id!r} is {value:g}, not zero or more")
    return value


@dataclass(frozen=True)
class Limits:
    """The limits of a harvest that begins now: datasets, hours, and the end by `time.monotonic`."""

    datasets: float
    hours: float
    until: float

    @classmethod
    def of(cls, source: Source) -> Self:
        """Take a source's `most_datasets` and `most_hours`. Raises BadSource."""
        hours = number(source, "most_hours", MOST_HOURS)
        return cls(number(source, "most_datasets", MOST_DATASETS), hours, time.monotonic() + hours * _HOUR)

    def within(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Let documents through up to the limits. Raises LimitExceeded beyond them."""
        for count, document in enumerate(documents):
            if count >= self.datasets:
                raise LimitExceeded(f"the source gave more than most_datasets = {self.datasets:,.0f}")
            if time.monotonic() >= self.until:
                raise LimitExceeded(f"the harvest took longer than most_hours = {self.hours:g}")
            yield document
