"""The only door to the network: polite, retrying, limited in size and time, address-checked, ETag-aware."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError

from catalog import addresses
from catalog.data.workers import Workers
from catalog.errors import BadSource, CatalogError, DataError, DataUnreadable, LimitExceeded, Unreachable
from catalog.settings import MEGABYTE, Settings
from catalog.source import Source
from harvesters._kept import Kept
from harvesters._limits import number
from harvesters._polite import Hosts, Stop
from harvesters._robots import Robots

KEPT_BYTES = 500 * MEGABYTE
_WHOLE = {200, 203}  # 206 and 204 are not the document that was asked for
_NOT_MODIFIED = 304
_AGAIN = {408, 425, 429}  # RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4
_LONGEST_BACKOFF = 60.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a source answered: status 200, or 304 with the body kept from before."""

    status: int
    url: str
    headers: Mapping[str, str]
    content: bytes


class Fetch:
    """The door of one source's harvest. Several threads may `ask`; the rest is for one at a time.

    Args:
        settings: The limits, the allowed hosts, the data home.
        source: Who is asked; named in errors.
        workers: Processes that read files; None where no header will be asked for.
        until: When the harvest must have ended, by `time.monotonic`; nobody is asked after it.
        hosts: Who is being asked by all sources; this one only, if not given.
        stop: Ends what waits; never, if not given.
        robots: Whether the sites' robots.txt is honoured: where people's pages are read, not an interface for programs.
        sleep: Waits, given seconds; `stop.sleep` if not given.
        chance: A random number in 0…1, for the jitter.

    Raises:
        BadSource: The source's `delay` is no number of seconds.
    """

    def __init__(  # noqa: PLR0913 - options by name
        self,
        settings: Settings,
        source: Source,
        workers: Workers | None,
        *,
        until: float = math.inf,
        hosts: Hosts | None = None,
        stop: Stop | None = None,
        robots: bool = False,
        sleep: Callable[[float], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._source, self._workers = settings, source, workers
        self._stop, self._hosts = stop or Stop(), hosts or Hosts()
        self._until, self._sleep, self._chance = until, sleep or self._stop.sleep, chance
        self._delay = number(source, "delay", 0.0)
        self._answers = Kept(settings.home / "cache" / "fetch", KEPT_BYTES)
        self._headers = Kept(settings.home / "cache" / "headers", KEPT_BYTES)
        self._robots = Robots(settings.user_agent, self._answers, self._rules) if robots else None
        self._session = addresses.session(
            settings.allow_hosts,
            stall_seconds=settings.fetch_stall_seconds,
            user_agent=settings.user_agent,
            seconds=settings.fetch_seconds,
            max_bytes=settings.fetch_bytes,
        )

    def get(self, url: str, params: Mapping[str, str] | None = None) -> Reply:
        """Get an address; what has not changed since it was kept is not sent again.

        Raises:
            Unreachable: No whole answer after all tries, or one that says no (`details["status"]`).
            AddressRefused: The address, or one it redirects to, may not be reached.
            LimitExceeded: The answer was too large, too slow (`details["seconds"]`), or redirected too often.
        """
        key = url + ("?" + urlencode(params) if params else "")
        kept = self._answers.get(key)
        conditions = {
            name: value for name, value in (kept[0] if kept else {}).items() if name.startswith("If-")
        }
        response = self.ask("GET", url, params=params, headers=conditions)
        if response.status_code == _NOT_MODIFIED and kept:
            return Reply(
                _NOT_MODIFIED, response.url, {**response.headers, "Content-Type": kept[0]["type"]}, kept[1]
            )
        reply = self._whole(response)
        validators = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
        facts = {ours: reply.headers[name] for ours, name in validators.items() if name in reply.headers}
        if facts:
            self._answers.put(key, {**facts, "type": reply.headers.get("Content-Type", "")}, reply.content)
        return reply

    def header(self, path: Path) -> bytes:
        """Describe a local data file as a header document, in a worker process.

        Raises:
            DataError: The file cannot be read; the message is the reason.
        """
        from catalog.data import opening  # noqa: PLC0415 - heavy, and only for sources of files

        return self._described(opening.describe, path)

    def collection(
        self, name: str, folder: Path, paths: Sequence[Path], along: Sequence[str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Describe files that are one dataset as one header document, and tell why some of them are not in it.

        Raises:
            DataError: They cannot be joined; the message is the reason.
        """
        from catalog.data import harvesting  # noqa: PLC0415 - heavy, and only for sources of files

        home = self._settings.home / "cache" / "collections" / self._source.id / name
        return harvesting.gather(name, folder, paths, along, home, self._described)

    def cover(self, header: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say where and when data are that a source described, by the values of their coordinates."""
        from catalog.data import described  # noqa: PLC0415 - heavy, and only for sources that describe data

        return described.cover(header, values)

    def _described(self, job: Callable[..., Any], path: Path, *args: str) -> bytes:
        """What a job says of a file in a worker process, as JSON; of an unchanged file what it said before."""
        from catalog.data.parts import stamp  # noqa: PLC0415 - only for sources of files

        if self._workers is None:
            raise BadSource(f"source {self._source.id!r} has files, and no workers to read them")
        try:
            facts = (version("bienmo"), path.absolute(), *stamp(path))
            named = () if job.__name__ == "describe" else (job.__name__, *args)
            key = "\n".join(map(str, (*facts, *named)))
            kept = self._headers.get(key)
            if kept:
                return kept[1]
            said = orjson.dumps(self._workers.run(job, str(path), *args, key=key))
        except DataError:
            raise
        except OSError as error:
            raise DataUnreadable(f"{path.name} cannot be described: {error.strerror}") from error
        except (CatalogError, TypeError) as error:
            raise DataUnreadable(f"{path.name} cannot be described: {error}") from error
        self._headers.put(key, {}, said)
        return said

    @property
    def requests_session(self) -> "PoliteSession":
        """A session for libraries that bring their own client over `requests`, under the same limits."""
        return PoliteSession(self)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        """Use the door in a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def ask(self, method: str, url: str, **request: Any) -> requests.Response:
        """Ask politely, several times if need be; gives an answer that says yes, or no for good (4xx).

        The tries share the time of one fetch (the waits between them not counted). Raises as `get`, and Stopped.
        """
        asked = self._robots.delay(url) if self._robots else 0.0
        return self._ask(method, url, max(asked, self._delay), request)

    def _rules(self, url: str) -> tuple[int, bytes]:
        """A site's robots.txt: status and body."""
        response = self._ask("GET", url, self._delay, {})
        return response.status_code, response.content

    def _ask(self, method: str, url: str, delay: float, request: Mapping[str, Any]) -> requests.Response:
        if time.monotonic() >= self._until:
            raise LimitExceeded("the harvest took longer than the source's most_hours")
        failure, spent, status = "", 0.0, None
        for attempt in range(1, self._settings.fetch_tries + 1):
            with self._turn(url, delay):
                begun, wait = time.monotonic(), None
                left = max(self._settings.fetch_seconds - spent, 0.001)
                try:
                    response = self._sent(method, url, left, request)
                except (requests.RequestException, HTTPError) as error:
                    failure, status = f"{type(error).__name__}: {error}"[:300], None
                else:
                    status = response.status_code
                    if status not in _AGAIN and status < 500:  # noqa: PLR2004
                        return response
                    failure, wait = f"status {status}", self._retry_after(response)
            spent += time.monotonic() - begun
            self._pause(url, attempt, wait, failure, spent)
        raise Unreachable(
            f"{url[:300]} gave no answer in {self._settings.fetch_tries} tries: {failure}",
            details={"url": url, "status": status},
        )

    @contextmanager
    def _turn(self, url: str, delay: float) -> Iterator[None]:
        """Hold one of the few turns with a host while the block runs."""
        host, longest = _host(url), self._settings.retry_after_seconds + 1  # and the jitter
        with self._hosts.turn(host, self._stop, self._sleep, delay=delay, longest=longest):
            yield

    def _sent(self, method: str, url: str, seconds: float, request: Mapping[str, Any]) -> requests.Response:
        """Send a request once."""
        self._stop.check()
        try:
            response = self._session.request(
                method, url, timeout=seconds, allow_redirects=method == "GET", **request
            )
        except LimitExceeded as error:
            details = {**error.details, "url": url}
            raise LimitExceeded(f"{url[:300]}: {error.message}", error.hint, details) from error
        if response.is_redirect:
            raise Unreachable(
                f"{url[:300]} moved to {response.headers['Location'][:300]!r}",
                hint="put the new address into sources.toml",
                details={"url": url, "status": response.status_code},
            )
        return response

    def _pause(self, url: str, attempt: int, wait: float | None, failure: str, spent: float) -> None:
        """Wait before the next try: as long as the source asks, else twice as long as before, with jitter.

        What a host asks for holds for every source on it; its next turn comes after it.
        """
        if wait is not None:
            self._hosts.rest(_host(url), wait + self._chance())
        if spent >= self._settings.fetch_seconds:
            raise LimitExceeded(
                f"{url[:300]} gave no answer in {self._settings.fetch_seconds:g} s: {failure}",
                hint="the limit is BIENMO_FETCH_SECONDS",
                details={"url": url, "seconds": self._settings.fetch_seconds},
            )
        if attempt == self._settings.fetch_tries:
            return
        if wait is not None and wait > self._settings.retry_after_seconds:
            raise Unreachable(
                f"{url[:300]} asks to come back in {wait:.0f} s ({failure})",
                hint="harvest it again later; the longest wait is BIENMO_RETRY_AFTER_SECONDS",
                details={"url": url, "retry_after": wait},
            )
        backoff = min(2.0 ** (attempt - 1), _LONGEST_BACKOFF) * (0.5 + self._chance() / 2)
        _LOG.info("%s: %s; try %d in %.1f s", url, failure, attempt + 1, backoff if wait is None else wait)
        if wait is None:
            self._sleep(backoff)

    def _retry_after(self, response: requests.Response) -> float | None:
        """The seconds of a Retry-After header (RFC 9110 §10.2.3: seconds or a date), None without one."""
        said = response.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return float(said[:12])
        try:
            moment = parsedate_to_datetime(said)
            return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError, OverflowError):
            return None

    def _whole(self, response: requests.Response) -> Reply:
        if response.status_code not in _WHOLE:
            raise Unreachable(
                f"{response.url[:300]} answered with status {response.status_code}",
                details={"url": response.url, "status": response.status_code},
            )
        return Reply(response.status_code, response.url, response.headers, response.content)


def _host(url: str) -> str:
    """The host of an address, with its port: what is asked politely; the address itself where it has none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower() or url[:200]
    except ValueError:
        return url[:200]


class PoliteSession:
    """The part of `requests.Session` that client libraries use, over a Fetch.

    A refusal for good (4xx) is returned for the library to read; everything else raises as `Fetch.get`. Who
    asks and how long it may take is ours to say, so a `User-Agent` and a `timeout` given by the library do
    not count.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request with `params`, `data`, `json` and `headers` as in `requests`."""
        headers = {
            name: value
            for name, value in (options.get("headers") or {}).items()
            if name.lower() != "user-agent"
        }
        sent = {name: options[name] for name in ("params", "data", "json") if options.get(name) is not None}
        return self._fetch.ask(method.upper(), url, headers=headers, **sent)

    def get(self, url: str, **options: Any) -> requests.Response:
        """Get an address."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        """Post to an address."""
        return self.request("POST", url, **options)

    def close(self) -> None:
        """Do nothing: the runner closes the door."""
