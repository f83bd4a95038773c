r"""What a constraint means for a column.

- Numbers are compared in the column's own type: 5.1 finds the float32 that is written 5.1.
- Times are written in ISO 8601 (naive is UTC; a day is its first moment) or in seconds since 1970, or told from the
  clock or the data: `now-7days`, `max(time)-1day`; they are compared to the microsecond, in the data's own calendar.
- Text is compared by code points, letter by letter; `=~` and `!~` ask whether an expression (RE2 syntax, which takes
  linear time) fits the whole value, of numbers and times as CSV writes them.
- A missing value fulfils `!=` and nothing else, `!~` included; `=NaN` (of text `=""`) asks for missing values, `!=NaN`
  for those that are there; a comparison `<`, `<=`, `>` or `>=` with NaN holds for none.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.data import columns
from catalog.data.clock import position
from catalog.data.constraints import Constraint
from catalog.errors import BadRequest
from catalog.instant import canonical, now, of_seconds, seconds

Extreme = Callable[[str, str], Any]
"""Gives the least or greatest value (`min`, `max`) of a column by name, None where all are missing."""

_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_MISSING = frozenset({"nan", "null", ""})
_RELATIVE = re.compile(
    r"(?:now|(?P<end>min|max)\((?P<of>.+)\))"
    r"\s*(?:(?P<sign>[+ -])\s*(?P<size>\d{1,12}(?:\.\d{1,9})?)\s*(?P<unit>[a-z]*))?",
    re.ASCII,
)
_SECONDS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1), **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600), **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("week", "weeks"), 604_800), **dict.fromkeys(("month", "months"), 30 * 86400),
    **dict.fromkeys(("year", "years"), 365 * 86400),
}  # fmt: skip
_COMPARE: Mapping[str, Any] = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal
}  # fmt: skip
_PLAIN: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
_MOST = (1 << 63) - 2


@dataclass(frozen=True)
class Condition:
    """A constraint on a column whose type is known.

    Args:
        column: The column's name.
        operator: As in the query; `missing`, `present`, `all` (of what is there) or `none` where that is what it means.
        value: What it is compared with, in the column's type; an expression; a position in another calendar.
        positions: The column is text that holds instants of another calendar, compared by their positions.
    """

    column: str
    operator: str
    value: Any = None
    positions: bool = False

    def mask(self, column: Any) -> Any:
        """Return for each value of a column (`catalog.data.columns`) whether it fulfils the condition; no nulls."""
        if self.operator in {"missing", "present", "all"}:
            return pc.is_null(column) if self.operator == "missing" else pc.is_valid(column)
        if self.operator == "none":
            return pa.array(np.zeros(len(column), bool))
        if self.operator in {"=~", "!~"}:
            found = pc.match_substring_regex(columns.texts(column), _whole(self.value))
            return (pc.invert(found) if self.operator == "!~" else found).fill_null(False)  # noqa: FBT003
        found = self._by_position(column) if self.positions else _COMPARE[self.operator](column, self.value)
        return found.fill_null(self.operator == "!=")

    def _by_position(self, column: Any) -> Any:
        known = column.dictionary_encode()
        holds = [_PLAIN[self.operator](position(text), self.value) for text in known.dictionary.to_pylist()]
        return pa.array(holds, pa.bool_()).take(known.indices)

    def expression(self) -> Any:
        """Return the condition for a scanner to leave rows out by; None where it could leave out too many."""
        if self.positions or self.operator not in {"=", "<", "<=", ">", ">="}:
            return None
        return _COMPARE[self.operator](pc.field(self.column), self.value)


def bind(constraint: Constraint, described: Any, extreme: Extreme) -> Condition:
    """Return what a constraint means for the column of a field.

    Raises:
        BadRequest: The value is no value of such a column; the message names the constraint.
    """
    name, sign = described.name, constraint.operator
    if sign in {"=~", "!~"}:
        return Condition(name, sign, _checked(constraint))
    if _is_missing(constraint, described):
        return Condition(name, {"=": "missing", "!=": "present"}.get(sign, "none"))
    if pa.types.is_timestamp(described.type) or columns.has_instants(described):
        return _time(constraint, described, extreme)
    if columns.is_number(described.type):
        return _number(constraint, described, extreme)
    return Condition(name, sign, pa.scalar(constraint.value, pa.string()))


def _is_missing(constraint: Constraint, described: Any) -> bool:
    if pa.types.is_string(described.type) and not columns.has_instants(described):
        return constraint.value == "" or (constraint.value in {"NaN", "null"} and not constraint.quoted)
    return constraint.value.strip().lower() in _MISSING


def _whole(expression: str) -> str:
    return rf"\A(?:{expression})\z"


def _checked(constraint: Constraint) -> str:
    """The expression, after RE2 has read it alone and as it is used."""
    try:
        for form in (constraint.value, _whole(constraint.value)):
            pc.match_substring_regex(pa.array([""]), form)
    except pa.ArrowInvalid as error:
        raise BadRequest(
            f"the expression of {str(constraint)[:120]} cannot be read: {str(error)[:200]}",
            hint="RE2 syntax, without look-around and back references: github.com/google/re2/wiki/Syntax",
        ) from error
    return constraint.value


def _wrong(constraint: Constraint, what: str, hint: str) -> BadRequest:
    return BadRequest(f"{str(constraint)[:120]} does not compare with a {what}", hint=hint)


def _number(constraint: Constraint, described: Any, extreme: Extreme) -> Condition:
    text = re.sub(
        r"(?<=[eE]) (?=\d)", "+", constraint.value.strip()
    )  # a plus in an address is read as a space
    relative = _RELATIVE.fullmatch(text)
    value: int | float
    if relative and relative["end"]:
        found = extreme(relative["of"], relative["end"])
        if relative["unit"] or not isinstance(found, int | float):
            raise _wrong(constraint, "number", "write depth>=max(depth)-10, with a column of numbers")
        value = found + _shift(relative)
    elif _WHOLE.fullmatch(text):
        value = int(text)
    elif _NUMBER.fullmatch(text):
        value = float(text)
    else:
        raise _wrong(constraint, "number", f"{described.name} is a column of numbers ({described.type})")
    if pa.types.is_integer(described.type):
        return _integer(described.name, constraint.operator, value, described.type)
    return Condition(described.name, constraint.operator, _scalar(float(value), described.type))


def _scalar(value: float, kind: Any) -> Any:
    with np.errstate(over="ignore"):
        return pa.scalar(float(np.float32(value)) if kind == pa.float32() else value, kind)


def _integer(name: str, sign: str, value: float, kind: Any) -> Condition:
    """The comparison of whole numbers with any number, within the range of their type."""
    least, most = (
        int(end) for end in (np.iinfo(kind.to_pandas_dtype()).min, np.iinfo(kind.to_pandas_dtype()).max)
    )
    if sign in {"=", "!="}:
        if math.isinf(value) or value != int(value) or not least <= value <= most:
            return Condition(name, "none") if sign == "=" else Condition(name, "!=", pa.scalar(None, kind))
        return Condition(name, sign, pa.scalar(int(value), kind))
    if math.isinf(value):
        return Condition(name, "all" if (value > 0) == (sign[0] == "<") else "none")
    upper = sign[0] == "<"
    if upper:
        limit = math.ceil(value) - 1 if sign == "<" else math.floor(value)
    else:
        limit = math.floor(value) + 1 if sign == ">" else math.ceil(value)
    if (limit >= most) if upper else (limit <= least):
        return Condition(name, "all")
    if (limit < least) if upper else (limit > most):
        return Condition(name, "none")
    return Condition(name, "<=" if upper else ">=", pa.scalar(limit, kind))


def _time(constraint: Constraint, described: Any, extreme: Extreme) -> Condition:
    name, text = described.name, constraint.value.strip()
    relative = _RELATIVE.fullmatch(text)
    if relative:
        instant = _relative(constraint, relative, extreme)
    elif _NUMBER.fullmatch(text) and not re.fullmatch(r"\d{4}", text):
        instant = of_seconds(float(text)) if abs(float(text)) < 3e13 else ""  # noqa: PLR2004
    else:
        # a plus in an address is read as a space
        instant = canonical(re.sub(r" (?=\d\d:?\d\d$)", "+", text) if text.count(":") > 1 else text)
    if not instant:
        raise _wrong(constraint, "time", "write time>=2020-01-01T00:00:00Z, or seconds since 1970")
    if columns.has_instants(described):
        return Condition(name, constraint.operator, position(instant), positions=True)
    micros = round(seconds(instant) * 1_000_000)
    return Condition(name, constraint.operator, pa.scalar(min(max(micros, -_MOST), _MOST), columns.TIME))


def _relative(constraint: Constraint, match: re.Match[str], extreme: Extreme) -> str:
    """The instant of `now-7days` or `max(time)-1day`; a month counts 30 days here, a year 365."""
    unit = _SECONDS.get(match["unit"] or "")
    if unit is None:
        raise _wrong(constraint, "time", "write time>=now-7days")
    found = extreme(match["of"], match["end"]) if match["end"] else now()
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _wrong(constraint, "time", "write time>=max(time)-7days, with a column of times")
    return of_seconds(seconds(found) + _shift(match) * unit)


def _shift(match: re.Match[str]) -> float:
    size = float(match["size"] or 0)
    whole = int(size) if size == int(size) else size
    return -whole if match["sign"] == "-" else whole
