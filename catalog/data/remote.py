"""The guarded way to the servers of remote data: every request goes through `catalog.addresses.session`."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from catalog.errors import AddressRefused, DataUnreadable, Unreachable

_TOO_MANY = 429
_FAILURES = range(500, 600)


@dataclass(frozen=True)
class Reach:
    """How remote data are reached.

    Args:
        allow_hosts: Hosts on private addresses that may be reached.
        user_agent: Who asks.
        stall_seconds: Longest silence of a server.
        max_bytes: Largest answer.
        seconds: Longest time of one answer.
        whole_bytes: Largest file that is read whole where its server gives no part of it.
    """

    allow_hosts: tuple[str, ...] = ()
    user_agent: str = "bienmo"
    stall_seconds: float = 15
    max_bytes: int = 1_000_000_000
    seconds: float = 60
    whole_bytes: int = 100_000_000


class Link:
    """Requests to remote servers; usable from any thread of the process that made it.

    Args:
        session: What `catalog.addresses.session` made.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, stream: bool = False, head: bool = False
    ) -> Any:
        """Return the answer to a GET (or HEAD), whatever its status below 500; redirects are followed.

        Args:
            url: The whole address.
            headers: Of the request.
            stream: The body is not read yet: close the answer.
            head: Ask for the header alone.

        Raises:
            Unreachable: No answer, or the server says that it cannot answer (429, 5xx).
            AddressRefused: It is at no public address; which, is not told.
            LimitExceeded: It took too long, or is too large.
        """
        ask = self._session.head if head else self._session.get
        with reached():
            answer = ask(url, headers=dict(headers or {}), stream=stream, allow_redirects=True)
        if answer.status_code == _TOO_MANY or answer.status_code in _FAILURES:
            answer.close()
            raise Unreachable(
                f"the data's server answered with status {answer.status_code}",
                hint="try again later",
                details={"status": answer.status_code},
            )
        return answer

    def content(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer with status 200. Raises as `get`; DataUnreadable for another status."""
        answer = self.get(url, headers)
        if answer.status_code != HTTPStatus.OK:
            raise refused(answer.status_code)
        body: bytes = answer.content
        return body


@contextlib.contextmanager
def linked(reach: Reach) -> Iterator[Link]:
    """Open the way to remote servers."""
    from catalog.addresses import session  # noqa: PLC0415 - the network is not for whoever reads files only

    with session(
        reach.allow_hosts,
        stall_seconds=reach.stall_seconds,
        user_agent=reach.user_agent,
        seconds=reach.seconds,
        max_bytes=reach.max_bytes,
    ) as opened:
        yield Link(opened)


@contextlib.contextmanager
def reached() -> Iterator[None]:
    """Say errors of a connection as those of the catalog."""
    try:
        yield
    except AddressRefused:  # which private address it is, is not for whoever asks
        raise AddressRefused(
            "the data's server is at no public address",
            hint="an operator can allow a host by name: BIENMO_ALLOW_HOSTS",
        ) from None
    except OSError as error:  # every error of the connection is one
        raise Unreachable(
            f"the data's server gave no answer: {type(error).__name__}", hint="try again later"
        ) from error


def refused(status: int) -> DataUnreadable:
    """Return the error that says that the server answered, but gave no data."""
    return DataUnreadable(f"the remote server answered with status {status}", details={"status": status})


def host(address: str) -> str:
    """Return the host of an address, with its port where it has one, in lower case."""
    return urlsplit(address).netloc.rpartition("@")[2].lower()
