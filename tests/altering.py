"""Documents with something in them changed: JSON by its values, XML by its elements and attributes."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from lxml import etree

MARK = "the hostile value"
_MOST = 60


def is_xml(content: bytes) -> bool:
    return content.lstrip()[:1] == b"<"


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every node of JSON values."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from paths(part, (*at, key))


def changed(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    """The values with the node at the end of a way replaced, or left out where `new` is `...`."""
    if not way:
        return None if new is ... else new
    key, rest = way[0], way[1:]
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    kept = [
        (k, changed(v, rest, new) if k == key else v) for k, v in pairs if k != key or rest or new is not ...
    ]
    return dict(kept) if isinstance(value, dict) else [v for _, v in kept]


def altered(content: bytes, chance: random.Random, new: Any) -> bytes:
    """The document with one thing in it replaced by a value, or left out where `new` is `...`."""
    if is_xml(content):
        return _altered_xml(content, chance, new)
    value = json.loads(content)
    return json.dumps(changed(value, chance.choice(list(paths(value))), new)).encode()


def _altered_xml(content: bytes, chance: random.Random, new: Any) -> bytes:
    """An element left out, said twice or emptied, or its words or an attribute replaced."""
    root = etree.fromstring(content)
    one = chance.choice(list(root.iter(etree.Element)))
    said = "".join(letter for letter in str(new) if letter.isprintable())
    parent = one.getparent()
    if new is ... and parent is not None:
        parent.remove(one)
    elif new is None and parent is not None:
        parent.insert(parent.index(one), deepcopy(one))
    elif new is True:
        one.clear()
    elif one.attrib and chance.random() < 0.3:
        one.set(chance.choice(list(one.attrib)), said)
    else:
        one.text = said
    return bytes(etree.tostring(root))


def marked(content: bytes) -> Iterator[bytes]:
    """The document with `MARK` (in quotation marks in JSON) in one place, for each place near the top."""
    if is_xml(content):
        many = len(list(etree.fromstring(content).iter(etree.Element)))
        for at in range(0, many, max(1, many // _MOST)):
            root = etree.fromstring(content)
            list(root.iter(etree.Element))[at].text = MARK
            yield bytes(etree.tostring(root))
        return
    value = json.loads(content)
    for way in [way for way in paths(value) if 1 <= len(way) <= 2][:_MOST]:
        yield json.dumps(changed(value, way, MARK)).encode()
