"""What a dataset is called whose name is an address: the part of it that people know it by."""

import re
from urllib.parse import unquote, urlsplit

_ENDING = re.compile(r"\.(?:jsonld|json|html?|php|aspx?|ttl|rdf|xml)$", re.IGNORECASE)


def called(name: str) -> str:
    """Return the last part of an address's path, without its ending, and its query; other names as they are."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return name
    if not parts.scheme or not parts.netloc:
        return name
    last = unquote(_ENDING.sub("", parts.path.rstrip("/").rpartition("/")[2]))
    return "-".join(part for part in (last, unquote(parts.query), unquote(parts.fragment)) if part) or name
