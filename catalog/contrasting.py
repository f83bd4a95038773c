"""What two records agree in, and by what they contradict: measured in places, times, variables and titles."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from catalog import vocabulary
from catalog.instant import canonical
from catalog.record import BBox, Party, Record, Resolution, TimeRange, Variable
from catalog.vocabulary.titles import Number, Title, read_title

_DAY = 86_400.0
_OPEN = 3_652.5 * _DAY  # what two series that both go on have in common after the later began
_ROUND = 0.05  # degrees by which catalogues round boxes; stations nearer than that are one place
_ROUND_DEPTH = 2.0  # metres between the surface and the first level
_STEP = 1.5  # a step is another one from this ratio on
_KILOMETRE = 1 / 111.2  # degrees of latitude
_MOST_VARIABLES = 300
_MOST_BOXES = 50
_OFTEN_LEFT_OUT = frozenset({"level"})  # what one of two titles of one dataset may name alone
_NUMBER_TOLERANCE = 0.02
_STEP_TOLERANCE = 0.1
_SECONDS: Mapping[str, float] = MappingProxyType(
    {
        "hourly": 3_600, "daily": _DAY, "weekly": 7 * _DAY, "monthly": 30.4 * _DAY, "seasonal": 91.3 * _DAY,
        "annual": 365.25 * _DAY, "hour": 3_600, "day": _DAY, "week": 7 * _DAY, "month": 30.4 * _DAY,
        "year": 365.25 * _DAY,
    }
)  # fmt: skip
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two records side by side; the same whichever comes first.

    Args:
        facts: By what is measured in them they contradict, a sentence each.
        product: By what they say of themselves they are different products, a sentence each.
        unexplained: Whether a title names a size, year, rhythm or statistic that nothing of the other record has.
        title: Share of what the titles say that is the same, by weight.
        shared: Names that stand in both titles.
        place: Share of the area that either covers which is common to both; None where one does not say.
        time: The same of time.
        variables: The same of variables.
        common: The variables in common.
        organisations: The organisations in common.
    """

    facts: tuple[str, ...]
    product: tuple[str, ...]
    unexplained: bool
    title: float
    shared: tuple[str, ...]
    place: float | None
    time: float | None
    variables: float | None
    common: tuple[str, ...]
    organisations: tuple[str, ...]


def contrast(a: Record, b: Record) -> Contrast:
    """Return what two records agree in, and by what they contradict."""
    ours, theirs = titles_of(a), titles_of(b)
    title, shared = _titles(a, b, ours, theirs)
    place, time = _place(a, b), _time(a.extent.time, b.extent.time)
    variables, common = _variables(a.data_variables(), b.data_variables())
    both = (_together(ours), _together(theirs))
    return Contrast(
        facts=tuple(_facts(a, b, place, time, variables)),
        product=tuple(_products(a, b, *both)),
        unexplained=_unexplained(*both, b) or _unexplained(both[1], both[0], a),
        title=title,
        shared=shared,
        place=place,
        time=time,
        variables=variables,
        common=common,
        organisations=_organisations(a.parties, b.parties),
    )


def titles_of(record: Record) -> tuple[Title, ...]:
    """Return what the record's titles say, by language."""
    return tuple(read_title(words) for words in record.title.words.values())


# --- what is measured


def _facts(
    a: Record, b: Record, place: float | None, time: float | None, variables: float | None
) -> Iterator[str]:
    if time == 0:
        yield "their times have no day in common"
    if place == 0:
        yield "their boxes have no place in common"
    if variables == 0:
        yield "both list variables, and have none in common"
    upper, lower = a.extent.vertical, b.extent.vertical
    if upper and lower:
        gap = max(upper.minimum, lower.minimum) - min(upper.maximum, lower.maximum)
        if gap > _ROUND_DEPTH:
            yield "their depths have nothing in common"
    for axis, (one, other) in _steps(a.extent.resolution, b.extent.resolution).items():
        if max(one, other) > _STEP * min(one, other):
            yield f"their steps along {axis} differ"


def _steps(a: Resolution | None, b: Resolution | None) -> Mapping[str, tuple[float, float]]:
    """The steps along the axes that both records tell."""
    told = {
        axis: (getattr(a, axis, None), getattr(b, axis, None)) for axis in ("longitude", "latitude", "time")
    }
    return {axis: (one, other) for axis, (one, other) in told.items() if one and other}


def _place(a: Record, b: Record) -> float | None:
    """The area common to both over the area of either, of boxes widened by what catalogues round them by."""
    if not a.extent.boxes or not b.extent.boxes:
        return None
    ours, theirs = _parts(a.extent.boxes), _parts(b.extent.boxes)
    common = sum(_overlap(one, other) for one, other in product(ours, theirs))
    whole = sum(map(_area, ours)) + sum(map(_area, theirs)) - common
    return min(1.0, common / whole) if whole > 0 else 0.0


def _parts(boxes: Sequence[BBox]) -> tuple[Box, ...]:
    """Plain boxes, widened: those of one box, or the one around several."""
    plain = [part for box in boxes[:_MOST_BOXES] for part in box.parts()]
    if len(boxes) > 1:
        west, south, east, north = zip(*plain, strict=True)
        plain = [(min(west), min(south), max(east), max(north))]
    return tuple((w - _ROUND, s - _ROUND, e + _ROUND, n + _ROUND) for w, s, e, n in plain)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(a: Box, b: Box) -> float:
    """The area common to two plain boxes; −180 and 180 are one meridian."""
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    widths = (min(a[2], b[2] + turn) - max(a[0], b[0] + turn) for turn in (-360.0, 0.0, 360.0))
    return height * sum(width for width in widths if width > 0)


def _time(a: TimeRange | None, b: TimeRange | None) -> float | None:
    """The days common to both over the days of either; an open end goes as far as the other's."""
    if a is None or b is None:
        return None
    (first, last), (start, end) = a.bounds(), b.bounds()
    begins = [value for value in (first, start) if value > -math.inf]
    ends = [value for value in (last, end) if value < math.inf]
    bottom = min(begins) if begins else min(ends, default=0.0)
    first, start = (
        min(bottom, stop) if begin == -math.inf else begin for begin, stop in ((first, last), (start, end))
    )
    top = max(ends) if ends else max(first, start) + _OPEN
    last, end = (
        max(top, begin) if stop == math.inf else stop for begin, stop in ((first, last), (start, end))
    )
    common = min(last // _DAY, end // _DAY) - max(first // _DAY, start // _DAY) + 1
    whole = max(last // _DAY, end // _DAY) - min(first // _DAY, start // _DAY) + 1
    return max(0.0, common) / whole


def _variables(a: Sequence[Variable], b: Sequence[Variable]) -> tuple[float | None, tuple[str, ...]]:
    """How many variables are common, between those of both and those of the shorter list; and which."""
    ours, theirs = _named(a), _named(b)
    if not ours or not theirs:
        return None, ()
    met = sum(any(one & other for other in theirs) for one in ours)
    known = sum(any(one & other for other in ours) for one in theirs)
    common = min(met, known)
    said = frozenset[str]().union(*ours) & frozenset[str]().union(*theirs)
    standard = sorted(name for name in said if name in vocabulary.vocabulary()) or sorted(said)
    either = len(ours) + len(theirs) - common
    share = (common / either + common / min(len(ours), len(theirs))) / 2
    return share, tuple(standard[:5])


def _named(variables: Sequence[Variable]) -> tuple[frozenset[str], ...]:
    """The names of each variable: its own, its standard name, and that of what it is."""
    return tuple(
        frozenset(
            {
                variable.name.casefold(),
                *([variable.standard_name] if variable.standard_name else []),
                *(concept.standard_name for concept in vocabulary.concepts([variable])),
            }
        )
        for variable in variables[:_MOST_VARIABLES]
    )


# --- what they say


def _titles(
    a: Record, b: Record, ours: Sequence[Title], theirs: Sequence[Title]
) -> tuple[float, tuple[str, ...]]:
    """The share of what the titles say that is the same, in the languages in which it is most; and the names in both.

    Words of the records' organisations that only one title has do not count, unless these are known to be others.
    """
    strangers = a.parties and b.parties and not _organisations(a.parties, b.parties)
    parties = () if strangers else (*a.parties, *b.parties)
    neutral = {word for party in parties if party.organisation for word in _words(party)}
    best, names = 0.0, frozenset[str]()
    for one, other in product(ours, theirs):
        common = one.words.keys() & other.words.keys()
        apart = (one.words.keys() ^ other.words.keys()) - neutral
        weight = sum(one.words[word] for word in sorted(common))
        whole = weight + sum(one.words.get(word) or other.words[word] for word in sorted(apart))
        share = weight / whole if whole else 0.0
        best = max(best, share)
        names |= one.names & other.names
    return best, tuple(sorted(names))


def _words(party: Party) -> frozenset[str]:
    return frozenset(read_title(party.name).words)


def _organisations(a: Sequence[Party], b: Sequence[Party]) -> tuple[str, ...]:
    """Organisations of both, as the one of them writes it that is the shorter: the words of one are in the other's."""
    found = set()
    for one, other in product(a[:20], b[:20]):
        ours, theirs = _words(one), _words(other)
        least = min(len(ours), len(theirs))
        if ours == theirs != frozenset() or (least > 1 and (ours <= theirs or theirs <= ours)):
            found.add(min(one.name, other.name, key=lambda name: (len(name), name)))
    return tuple(sorted(found))


def _together(titles: Sequence[Title]) -> Title:
    """What titles of one record in several languages say together."""
    if len(titles) == 1:
        return titles[0]
    kinds = {kind for title in titles for kind in title.marks}
    return Title(
        words={word: weight for title in titles for word, weight in title.words.items()},
        names=frozenset[str]().union(*(title.names for title in titles)),
        marks={
            kind: frozenset[str]().union(*(title.marks.get(kind, ()) for title in titles)) for kind in kinds
        },
        versions=frozenset[str]().union(*(title.versions for title in titles)),
        dates=frozenset[str]().union(*(title.dates for title in titles)),
        numbers=frozenset[Number]().union(*(title.numbers for title in titles)),
        order=titles[0].order,
        letters=frozenset[str]().union(*(title.letters for title in titles)),
    )


def _products(a: Record, b: Record, ours: Title, theirs: Title) -> Iterator[str]:
    """By what the titles, and a title and the other's step in time, contradict."""
    for kind in sorted(ours.marks.keys() & theirs.marks.keys()):
        if ours.marks[kind] != theirs.marks[kind]:
            yield f"their titles name another {kind}"
    if ours.versions and theirs.versions and ours.versions != theirs.versions:
        yield "their titles name another version"
    if _apart(ours.dates, theirs.dates):
        yield "their titles name other years or days"
    if not (_within(ours.numbers, theirs.numbers) or _within(theirs.numbers, ours.numbers)):
        yield "their titles name other sizes or numbers"
    if sorted(ours.order) == sorted(theirs.order) and ours.order != theirs.order:
        yield "their titles name numbers in another order"
    if _apart(ours.letters, theirs.letters):
        yield "their titles name other letters"
    for title, record in ((ours, b), (theirs, a)):
        if _another_rhythm(title, record):
            yield "the title of one names another rhythm than the steps of the other have"
            break


def _apart(a: frozenset[str], b: frozenset[str]) -> bool:
    return not (a <= b or b <= a)


def _within(a: frozenset[Number], b: frozenset[Number]) -> bool:
    """Tell whether every number is among the others, near enough, of the same unit or of none."""
    return all(any(_equal(one, other) for other in b) for one in a)


def _equal(a: Number, b: Number) -> bool:
    near = abs(a[0] - b[0]) <= _NUMBER_TOLERANCE * max(abs(a[0]), abs(b[0]))
    whole = a[0].is_integer() and b[0].is_integer()
    return (a[0] == b[0] if whole else near) and (a[1] == b[1] or not a[1] or not b[1])


def _another_rhythm(title: Title, record: Record) -> bool:
    step = record.extent.resolution.time if record.extent.resolution else None
    said = title.marks.get("cadence", frozenset())
    if (
        step is None
        or len(said) != 1
        or {"climatology", "running-mean"} & title.marks.get("statistic", frozenset())
    ):
        return False
    (cadence,) = said
    wanted = _seconds_of(cadence)
    return max(step, wanted) > _STEP * min(step, wanted)


def _seconds_of(cadence: str) -> float:
    count, dash, unit = cadence.rpartition("-")
    return float(count) * _SECONDS[unit] if dash else _SECONDS[cadence]


def _unexplained(title: Title, other: Title, record: Record) -> bool:
    """Tell whether a title names what the other title does not, and nothing else of that record is."""
    for kind, values in title.marks.items():
        if kind in other.marks:
            continue
        if kind not in _OFTEN_LEFT_OUT and not (kind == "cadence" and _steps_so(values, record)):
            return True
    if title.versions - other.versions or title.letters - other.letters:
        return True
    if any(date not in _ends(record.extent.time) for date in title.dates - other.dates):
        return True
    known = other.numbers | _resolutions(record.extent.resolution)
    return any(
        not any(_equal(number, one) or _about(number, one) for one in known) for number in title.numbers
    )


def _about(a: Number, b: Number) -> bool:
    """Tell whether a size that a title names is a step that was measured."""
    return a[1] == b[1] != "" and abs(a[0] - b[0]) <= _STEP_TOLERANCE * max(a[0], b[0])


def _steps_so(cadences: frozenset[str], record: Record) -> bool:
    step = record.extent.resolution.time if record.extent.resolution else None
    return step is not None and all(
        max(step, wanted) <= _STEP * min(step, wanted) for wanted in map(_seconds_of, cadences)
    )


def _ends(time: TimeRange | None) -> frozenset[str]:
    """The years, months and days in which a time range begins and ends, as titles name them."""
    ends = [canonical(end) for end in (time.start, time.end) if end] if time else []
    return frozenset(end[:length] for end in ends for length in (4, 7, 10))


def _resolutions(resolution: Resolution | None) -> frozenset[Number]:
    steps = [resolution.longitude, resolution.latitude] if resolution else []
    return frozenset(
        number
        for step in steps
        if step
        for number in ((step, "degree"), (step, ""), (step / _KILOMETRE, "km"))
    )


__all__ = ["Contrast", "contrast", "titles_of"]
