"""Strict JSON: what strangers send is read whole and one way only, or refused with a reason."""

import json
import math
import re
from itertools import accumulate, pairwise
from typing import Any

from catalog.errors import BadDocument

MAX_DEPTH = 200
MAX_DIGITS = 4_000
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def read_json(content: bytes) -> Any:
    """Read JSON (RFC 8259) strictly, in UTF-8, a byte order mark allowed.

    Raises:
        BadDocument: It is no JSON, or has NaN or an infinity, a number that no float holds, an integer of
        more than
            4,000 digits, nesting deeper than 200, a name twice in one object, or half of a surrogate pair.
    """
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _depth(content) > MAX_DEPTH:
        raise BadDocument(f"the JSON is nested deeper than {MAX_DEPTH}")
    try:
        value = _STRICT.decode(content.decode("utf-8-sig"))
        if b"\\ud" in content.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BadDocument(f"the JSON is not in UTF-8: {error.reason} at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise BadDocument("the JSON has half of a surrogate pair") from error
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"this is no JSON: {str(error)[:200]}") from error
    return value


def _depth(content: bytes) -> int:
    """The deepest nesting, found without recursion; of what is no JSON, some number."""
    brackets = _STRING.sub(b"", _ESCAPE.sub(b"", content).translate(None, _NO_BRACKETS)).replace(b'"', b"")
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(name for name, following in pairwise(names) if name == following)
        raise BadDocument(f"the JSON has the name {twice[:100]!r} twice in one object")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadDocument(f"the JSON has an integer of {len(digits):,} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadDocument(f"the JSON has the number {digits[:40]}, which no float holds")
    return value


def _constant(name: str) -> float:
    raise BadDocument(f"the JSON has {name}, which is no JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
