"""What a site lets robots fetch: robots.txt (RFC 9309), asked for once a day."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from protego import Protego

from catalog.errors import AddressRefused, SourceError, Unreachable
from harvesters._kept import Kept

A_DAY = 86_400.0
MOST_BYTES = 500 * 1024  # RFC 9309 §2.5: the least that a robot must read
LONGEST_DELAY = 30.0
_FINE = range(200, 300)
_REFUSED = range(400, 500)


class Robots:
    """The rules of the sites that one harvest meets.

    Args:
        agent: The User-Agent header; what stands before its first `/` is the robot's name.
        kept: Where the answers of sites are kept.
        get: Gets an address, to a status and a body; raises SourceError.
        clock: Tells the time, in seconds since 1970.
    """

    def __init__(
        self,
        agent: str,
        kept: Kept,
        get: Callable[[str], tuple[int, bytes]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = agent.partition("/")[0].split(" ")[0] or "bienmo"
        self._kept, self._get, self._clock = kept, get, clock
        self._rules: dict[str, tuple[float, Protego]] = {}

    def delay(self, url: str) -> float:
        """Return the seconds from one request to the next that the site of an address asks for.

        Raises:
            AddressRefused: Its rules close the address to robots.
            Unreachable: Its rules cannot be had: then nothing may be fetched (RFC 9309 §2.3.1.4).
        """
        rules = self._of(url)
        if not rules.can_fetch(url, self._name):
            raise AddressRefused(
                f"{url[:300]} is closed to robots by its site's robots.txt",
                hint=f"ask the site's owner to open it to {self._name!r}",
                details={"url": url},
            )
        return min(rules.crawl_delay(self._name) or 0.0, LONGEST_DELAY)

    def _of(self, url: str) -> Protego:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        at, rules = self._rules.get(site, (0.0, None))
        if rules is None or self._clock() - at > A_DAY:
            at, text = self._text(f"{site}/robots.txt")
            rules = Protego.parse(text)
            self._rules[site] = at, rules
        return rules

    def _text(self, address: str) -> tuple[float, str]:
        """When a site was asked for its rules, and what it said; an old answer stands where it says nothing now."""
        kept = self._kept.get(f"robots {address}")
        at = float(kept[0].get("at", 0)) if kept else 0.0
        if kept and self._clock() - at <= A_DAY:
            return at, _decoded(kept[1])
        try:
            status, body = self._get(address)
        except SourceError as error:
            if kept:
                return self._clock(), _decoded(kept[1])
            raise Unreachable(
                f"{address[:300]} cannot be had, and without it nothing may be fetched there: {error.message}",
                details={**error.details, "url": address},
            ) from error
        body = b"" if status in _REFUSED else body[:MOST_BYTES]
        self._kept.put(f"robots {address}", {"at": str(self._clock())}, body)
        return self._clock(), _decoded(body)


def _decoded(body: bytes) -> str:
    return body.decode("utf-8-sig", "replace")
