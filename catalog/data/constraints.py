"""What is asked of a table, as ERDDAP's tabledap writes it: columns, then constraints and functions, each after an `&`.

    station,time,temperature&time>=2020-01-01&temperature<5&station=~"HN.*"&orderByMax("station,time")

The whole query may be percent-encoded, `&` included. A text value stands in double quotes, in which a backslash
protects a quote or a backslash; quotes may be left out where the value has no `&`. Columns may be quoted, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal as OneOf
from typing import get_args
from urllib.parse import unquote_plus

from catalog.errors import BadRequest

Operator = OneOf["=", "!=", "<", "<=", ">", ">=", "=~", "!~"]
Name = OneOf[
    "distinct", "orderBy", "orderByDescending", "orderByMax", "orderByMin", "orderByMean", "orderByCount",
    "orderByLimit", "orderByClosest",
]  # fmt: skip
FUNCTIONS: tuple[str, ...] = get_args(Name)
MAX_QUERY = 20_000
MAX_PARTS = 100
MAX_REGEX = 1_000
MAX_LIMIT = 1_000_000_000
_STEPPED = frozenset({"orderByMean", "orderByCount", "orderByClosest", "orderByMax", "orderByMin"})
_FORM = (
    'write station,time&time>=2020-01-01&station="HN1"&orderBy("time"); operators: = != < <= > >= =~ !~; '
    f"functions: {', '.join(FUNCTIONS)}"
)
_OPERATOR = re.compile(r"!=|<=|>=|=~|!~|=|<|>")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECES = re.compile(rf"(?:{_QUOTED}|[^&\"])+|&|\"", re.DOTALL)
_LISTED = re.compile(rf"(?:{_QUOTED}|[^,\"])+|,|\"", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_STEP = re.compile(r"(?P<size>\d+(?:\.\d+)?)?\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_UNITS = {
    **dict.fromkeys(("millisecond", "milliseconds", "ms"), "millisecond"),
    **dict.fromkeys(("second", "seconds", "sec", "s"), "second"),
    **dict.fromkeys(("minute", "minutes", "min"), "minute"),
    **dict.fromkeys(("hour", "hours", "hr", "h"), "hour"),
    **dict.fromkeys(("day", "days", "d"), "day"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("month", "months", "mon"), "month"),
    **dict.fromkeys(("year", "years", "yr"), "year"),
}


@dataclass(frozen=True)
class Constraint:
    """A column, an operator, and the value as it was written, without its quotes."""

    column: str
    operator: Operator
    value: str
    quoted: bool = False

    def __str__(self) -> str:
        """Return the constraint as it is written in a query."""
        return f"{_written(self.column)}{self.operator}{_quoted(self.value) if self.quoted else self.value}"


@dataclass(frozen=True)
class Step:
    """An interval of a column: `size` of a unit of time, or, without unit, a number."""

    size: float
    unit: str = ""


@dataclass(frozen=True)
class Key:
    """A column that rows are ordered or grouped by, in steps where there is one (`time/1day`)."""

    column: str
    step: Step | None = None


@dataclass(frozen=True)
class Function:
    """What is done to the rows that were found; `limit` is the number that orderByLimit ends with."""

    name: Name
    keys: tuple[Key, ...] = ()
    limit: int = 0


@dataclass(frozen=True)
class TableQuery:
    """Columns (none: all), constraints that all hold, and functions, one after another."""

    columns: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    functions: tuple[Function, ...] = field(default=())


def parse(text: str) -> TableQuery:
    """Read a query as it stands in an address after the question mark.

    Raises:
        BadRequest: A part cannot be read; the message names it.
    """
    if len(text) > MAX_QUERY:
        raise BadRequest(f"the query has {len(text)} letters, more than {MAX_QUERY}", hint=_FORM)
    try:
        plain = unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("the query is no UTF-8 text", hint="percent-encode UTF-8") from error
    first, *parts = _split(plain, _PIECES, "&")
    if len(parts) > MAX_PARTS:
        raise BadRequest(f"the query has {len(parts)} constraints, more than {MAX_PARTS}")
    columns: tuple[str, ...] = ()
    if first.strip() and (_operator(first) or _CALL.fullmatch(first.strip())):
        parts = [first, *parts]
    else:
        columns = tuple(dict.fromkeys(_name(part) for part in _split(first, _LISTED, ",") if part.strip()))
    constraints: list[Constraint] = []
    functions: list[Function] = []
    for part in parts:
        if not part.strip():
            continue
        call = _CALL.fullmatch(part.strip())
        if call and call[1] in FUNCTIONS:
            functions.append(_function(call[1], call[2]))
        else:
            constraints.append(_constraint(part))
    return TableQuery(columns, tuple(constraints), tuple(functions))


def _split(text: str, pieces: re.Pattern[str], mark: str) -> list[str]:
    """The parts between marks that stand in no quotes."""
    parts = [""]
    for piece in pieces.findall(text):
        if piece == '"':
            raise BadRequest(f"a quote is not closed in {text[:80]!r}", hint=_FORM)
        if piece == mark:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def _operator(text: str) -> re.Match[str] | None:
    """The first operator outside a quoted name."""
    name = re.match(rf"\s*{_QUOTED}", text, re.DOTALL)
    return _OPERATOR.search(text, name.end() if name else 0)


def _name(text: str) -> str:
    plain = text.strip()
    return _unquoted(plain)[0] if plain.startswith('"') else plain


def _constraint(text: str) -> Constraint:
    found = _operator(text)
    if found is None or not text[: found.start()].strip():
        raise BadRequest(f"{text[:80]!r} is neither a constraint nor a function", hint=_FORM)
    value, quoted = _unquoted(text[found.end() :].strip())
    operator: Operator = found[0]  # type: ignore[assignment]
    if operator in {"=~", "!~"} and len(value) > MAX_REGEX:
        raise BadRequest(
            f"the expression of {text[:40]!r} has {len(value)} letters, more than {MAX_REGEX}", hint=_FORM
        )
    return Constraint(_name(text[: found.start()]), operator, value, quoted)


def _unquoted(text: str) -> tuple[str, bool]:
    """The value without its quotes; other backslashes are kept, for they belong to an expression."""
    if not text.startswith('"'):
        return text, False
    if not re.fullmatch(_QUOTED, text, re.DOTALL):
        raise BadRequest(f"there is something after the quotes in {text[:80]!r}", hint=_FORM)
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]), True


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _written(name: str) -> str:
    return _quoted(name) if re.search(r'[&,"=<>!~\s(]', name) else name


def _function(name: str, arguments: str) -> Function:
    plain, _ = _unquoted(arguments.strip())
    listed = [part.strip() for part in plain.split(",") if part.strip()]
    known: Name = name  # type: ignore[assignment]
    if known == "distinct":
        if listed:
            raise BadRequest(f"distinct() takes no column, not {plain[:60]!r}", hint=_FORM)
        return Function(known)
    limit = 0
    if known == "orderByLimit":
        if not listed or not re.fullmatch(r"\d{1,9}", listed[-1], re.ASCII) or not int(listed[-1]):
            raise BadRequest(
                f"orderByLimit({plain[:60]}) does not end with a number of rows",
                hint='write orderByLimit("station,10")',
            )
        limit = int(listed.pop())
    keys = tuple(_keys(known, listed))
    if not keys and known != "orderByLimit":
        raise BadRequest(f"{name}() names no column", hint=_FORM)
    if known == "orderByClosest" and (keys[-1].step is None or any(key.step for key in keys[:-1])):
        raise BadRequest(
            f"orderByClosest({plain[:60]}) needs an interval of its last column, and of no other",
            hint='write orderByClosest("station,time/2hours")',
        )
    return Function(known, keys, limit)


def _keys(function: Name, listed: list[str]) -> Iterator[Key]:
    for part in listed:
        column, slash, step = part.rpartition("/")
        found = _step(step) if slash else None
        if found is None:
            yield Key(part)
        elif function not in _STEPPED:
            raise BadRequest(
                f"{function} takes no interval: {part[:60]!r}",
                hint=f"with one: {', '.join(sorted(_STEPPED))}",
            )
        else:
            yield Key(column.strip(), found)


def _step(text: str) -> Step | None:
    """The interval `1day`, `12 hours`, `0.5`; None where the text is none."""
    match = _STEP.fullmatch(text.strip())
    if match is None or not match[0]:
        return None
    size = float(match["size"] or 1)
    unit = _UNITS.get(match["unit"].lower()) if match["unit"] else ""
    if unit is None:
        return None
    if not 1e-9 <= size <= 1e9:  # noqa: PLR2004 - intervals beyond are a mistake
        raise BadRequest(f"the interval {text[:40]!r} is too small or too large", hint="write time/1day")
    if unit in {"month", "year"} and size != int(size):
        raise BadRequest(f"the interval {text[:40]!r} is no whole number of {unit}s")
    return Step(size, unit)
