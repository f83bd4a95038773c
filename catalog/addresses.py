"""Which addresses may be reached, and a `requests` session that reaches no other.

Harvesters and the opener of remote data go through `session`: a name is resolved once, every address it has
must be public, the connection is made to exactly such an address, and each redirect is a new connection under
the same rule. Hosts on private addresses are reached only when the operator names them. Silence, whole time
and size are limited.
"""

import http.client
import io
import ipaddress
import math
import re
import socket
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.poolmanager import PoolManager

from catalog.errors import AddressRefused, LimitExceeded

MAX_REDIRECTS = 5
_PIECE = 65_536
_HINT = "limits: BIENMO_FETCH_SECONDS, BIENMO_FETCH_STALL_SECONDS, BIENMO_FETCH_BYTES"
_ALLOW = "an operator can allow a host by name: BIENMO_ALLOW_HOSTS"
_UNREADABLE = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    LocationParseError,
    UnicodeError,
)

_UNICAST = ipaddress.IPv6Network("2000::/3")  # IANA: the only global unicast space given out
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1: the last 32 bits are an IPv4 address
_CLOSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.64.0.0/10",  # shared by carriers (RFC 6598)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "240.0.0.0/4",  # reserved (RFC 1112)
            "2001::/23",  # protocol assignments, Teredo among them (RFC 2928, RFC 4380)
            "2002::/16",  # 6to4: an IPv4 address in a tunnel (RFC 3056)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


def is_public(address: str) -> bool:
    """Tell whether an IP address (without a zone) is one that everybody can reach, seen through tunnels.

    Follows the IANA special-purpose address registries (RFC 6890): private, loopback, link-local, multicast,
    reserved and unspecified addresses are not public, nor are 6to4 and Teredo tunnels.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in _UNICAST:
            return False
    closed = ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_unspecified
    return ip.is_global and not closed and not any(ip in network for network in _CLOSED)


def session(
    allow_hosts: Collection[str],
    *,
    stall_seconds: float,
    user_agent: str,
    seconds: float = 60,
    max_bytes: int = 50_000_000,
) -> requests.Session:
    """Make a session that reaches public addresses and the allowed hosts only, within its limits.

    Whole bodies are read and inflated under `max_bytes`; a caller that streams gets them as sent, at most
    `max_bytes` on the wire. Nothing is taken from the environment (proxies, certificates, passwords). A body
    that is shorter than the server says, or whose compression is cut, is a `requests` error, never a short
    body. A redirect is followed at most five times. The `timeout` of a request, where given, stands for
    `seconds`.

    Args:
        allow_hosts: Hosts that may be on private addresses: names or literals, optionally with a port.
        stall_seconds: Longest silence of a server.
        user_agent: Who asks.
        seconds: Longest time of one request, redirects and body included.
        max_bytes: Largest body, in bytes.

    Returns:
        A session whose requests raise AddressRefused for an address that may not be reached and LimitExceeded
        for an answer beyond a limit, besides what `requests` raises.
    """
    return _Session(_Door(allow_hosts, stall_seconds, max_bytes), user_agent, seconds)


def _literal(host: str) -> str:
    """The host as it is compared: lower case, no brackets, no final dot, an address in its canonical form."""
    plain = host.strip().strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return plain


class _Door(threading.local):
    """What a session's connections share: who may be reached, and until when (each thread its own)."""

    def __init__(self, allow_hosts: Collection[str], stall_seconds: float, max_bytes: int) -> None:
        self.stall_seconds = stall_seconds
        self.max_bytes = max_bytes
        self.until = math.inf
        self.seconds = math.inf
        parts = [re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", host.strip()) for host in allow_hosts]
        self._allowed = {
            (_literal(part[1]), int(part[2])) if part else (_literal(host), None)
            for part, host in zip(parts, allow_hosts, strict=True)
        }

    @contextmanager
    def request(self, seconds: float) -> Iterator[None]:
        """Count the time of a request; the redirects within it share its time."""
        if self.until < math.inf:
            yield
            return
        self.seconds, self.until = seconds, time.monotonic() + seconds
        try:
            yield
        finally:
            self.until = math.inf

    def patience(self, until: float) -> float:
        """The longest that the next wait may take, in seconds. Raises LimitExceeded when the time is over."""
        left = until - time.monotonic()
        if left <= 0:
            said = f"the answer took longer than {self.seconds:.3g} s"
            raise LimitExceeded(said, hint=_HINT, details={"seconds": self.seconds})
        return min(self.stall_seconds, left)

    def resolve(self, host: str, port: int) -> list[tuple[int, Any]]:
        """Resolve a host once, to (family, socket address) pairs that may all be connected to."""
        name = _literal(host)
        if "%" in name:
            raise AddressRefused(f"{host} is an address of this machine's own network", hint=_ALLOW)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not self._allowed & {(name, None), (name, port)}:
            for *_, address in found:
                if not is_public(str(address[0]).partition("%")[0]):
                    raise AddressRefused(
                        f"{host} is at {address[0]}, which is not a public address", hint=_ALLOW
                    )
        return [(family, address) for family, *_, address in found]


class _Connection(HTTPConnection):
    """A connection to an address that the door let through."""

    def __init__(self, *args: Any, door: _Door, **options: Any) -> None:
        super().__init__(*args, **options)
        self._door = door
        self.response_class = partial(_Response, door=door)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        try:
            addresses = self._door.resolve(self._dns_host.strip("[]"), self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        failure: OSError = OSError("the name has no address")
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self._door.patience(self._door.until))
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            except LimitExceeded:
                sock.close()
                raise
            else:
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} did not answer: {failure}") from failure
        raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure


class _SecureConnection(_Connection, HTTPSConnection):
    """The same under TLS; the certificate is checked against the name, not the address."""


class _Response(http.client.HTTPResponse):
    """An answer whose head and body are read under the door's limits."""

    def __init__(self, sock: socket.socket, *args: Any, door: _Door, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Wire(sock, self.fp.detach(), door), _PIECE)


class _Wire(io.RawIOBase):
    """The bytes of one answer as they come, limited in silence, whole time and number."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, door: _Door) -> None:
        self._sock, self._raw, self._door = sock, raw, door
        self._until = door.until
        self._left = door.max_bytes + 1_000_000  # the head, and what framing and compression add

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(self._door.patience(self._until))
        try:
            got = self._raw.readinto(buffer)
        except TimeoutError:
            self._door.patience(self._until)
            raise
        self._left -= got or 0
        if self._left < 0:
            raise _too_large(self._door.max_bytes)
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


def _too_large(limit: int) -> LimitExceeded:
    return LimitExceeded(f"the answer is larger than {limit:,} bytes", hint=_HINT)


class _Pools(PoolManager):
    """Connection pools whose connections go through the door."""

    def __init__(self, door: _Door, **options: Any) -> None:
        super().__init__(**options)
        self._door = door

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        kind = _SecureConnection if scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, door=self._door)  # type: ignore[assignment]
        return pool


class _Adapter(HTTPAdapter):
    """Sends requests through the door, and reads whole bodies under its limits."""

    def __init__(self, door: _Door) -> None:
        self._door = door
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, *_: Any, **options: Any) -> None:
        self.poolmanager = _Pools(self._door, num_pools=connections, maxsize=maxsize, **options)

    def send(  # noqa: PLR0913 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature of requests
        timeout: Any = None,  # noqa: ARG002 - the door counts the time
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - a proxy would reach for us what we may not
    ) -> requests.Response:
        response = super().send(
            request, stream=True, timeout=self._door.stall_seconds, verify=verify, cert=cert, proxies=None
        )
        if not stream or response.is_redirect:
            try:
                body = b"" if request.method == "HEAD" else _whole(response, self._door.max_bytes)
            except HTTPError as error:
                raise requests.exceptions.ConnectionError(error, request=request) from error
            finally:
                response.close()
            response.raw = io.BytesIO(body)
        return response


def _whole(response: requests.Response, limit: int) -> bytes:
    """Read a body whole, inflated, at most `limit` bytes."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise requests.exceptions.ContentDecodingError(
            f"the answer is coded as {coding[:60]!r}, not as asked"
        )
    pieces = response.raw.stream(_PIECE, decode_content=False)
    body: list[bytes] = []  # a buffer that grows is held twice while it moves
    size = 0
    for piece in pieces if coding in {"identity", ""} else _inflate(pieces):
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        body.append(piece)
    return b"".join(body)


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate gzip (all members) or zlib in small pieces; the compressed data must come to their end."""
    inflater, begun = zlib.decompressobj(wbits=47), False  # 47: gzip or zlib, found from the head
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(wbits=47)
                begun = True
                yield inflater.decompress(rest, _PIECE)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    except zlib.error as error:
        raise requests.exceptions.ContentDecodingError(
            f"the compressed answer is damaged: {error}"
        ) from error
    if begun and not inflater.eof:
        raise requests.exceptions.ContentDecodingError("the compressed answer is cut short")


class _Session(requests.Session):
    """A session with one way out."""

    def __init__(self, door: _Door, user_agent: str, seconds: float) -> None:
        super().__init__()
        self._door, self._seconds = door, seconds
        self.trust_env = False
        self.max_redirects = MAX_REDIRECTS
        self.headers.update({"User-Agent": user_agent, "Accept-Encoding": "gzip"})
        self.adapters.clear()
        self.mount("http://", _Adapter(door))
        self.mount("https://", _Adapter(door))

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().request(method, url, *args, **options)
        except _UNREADABLE as error:
            raise AddressRefused(f"{str(url)[:200]!r} leads to no address: {error}") from error
        except requests.exceptions.TooManyRedirects as error:
            raise LimitExceeded(f"{str(url)[:200]!r} redirects more than {MAX_REDIRECTS} times") from error

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        timeout = options.get("timeout")
        with self._door.request(timeout if isinstance(timeout, int | float) else self._seconds):
            return super().send(request, **options)


__all__ = ["MAX_REDIRECTS", "is_public", "session"]
