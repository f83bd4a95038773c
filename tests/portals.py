"""Loopback servers that misbehave: an answer is a function from a request to pieces of bytes and pauses."""

import gzip
import json
import math
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Piece = bytes | float
"""Bytes to send, or seconds to wait."""


@dataclass(frozen=True)
class Asked:
    """A request as a portal got it."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


Answering = Callable[[Asked], Iterable[Piece]]


@dataclass
class Portal:
    """A running portal: its address, and what was asked of it."""

    url: str
    port: int
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


@contextmanager
def portal(answering: Answering, host: str = "127.0.0.1", port: int = 0) -> Iterator[Portal]:
    """Serve answers on a loopback address, one request a connection, until the block ends."""
    closing = threading.Event()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as server:
        server.settimeout(0.01)
        port = server.getsockname()[1]
        running = Portal(f"http://{host}:{port}", port)

        def serve() -> None:
            while not closing.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    running.connections += 1
                    threading.Thread(target=_speak, args=(connection, answering, running, closing)).start()

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield running
        finally:
            closing.set()
            accepting.join()


def _speak(
    connection: socket.socket, answering: Answering, running: Portal, closing: threading.Event
) -> None:
    with connection, suppress(OSError):
        connection.settimeout(10)
        asked = _read(connection)
        if asked is None:
            return
        running.asked.append(asked)
        for piece in answering(asked):
            if isinstance(piece, bytes):
                connection.sendall(piece)
            elif closing.wait(piece):
                break
            if closing.is_set():
                break


def _read(connection: socket.socket) -> Asked | None:
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65_536)
        if not more:
            return None
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    address = urlsplit(first.split(" ")[1])
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    return Asked(address.path, query, headers, body)


# --- answers


def answer(body: bytes, status: int = 200, **headers: str) -> bytes:
    """A whole answer; an underscore in a header's name is a hyphen, None leaves the header out."""
    said = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in said.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode() + body


def head(*lines: str, status: int = 200) -> bytes:
    """The head of an answer with just these header lines."""
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode()


def gzip_bomb(size: int) -> Answering:
    """Zeros that inflate a thousandfold to `size` bytes."""
    member = gzip.compress(bytes(10_000_000))
    body = member * math.ceil(size / 10_000_000)
    return lambda _: [answer(body, Content_Encoding="gzip")]


def endless(_: Asked) -> Iterator[Piece]:
    """A body without an end."""
    yield head("Transfer-Encoding: chunked")
    while True:
        yield b"10000\r\n" + bytes(65_536) + b"\r\n"


def dripping_body(_: Asked) -> Iterator[Piece]:
    """A byte at a time, faster than any limit on silence."""
    yield head("Content-Length: 1000000")
    while True:
        yield b"x"
        yield 0.05


def dripping_head(_: Asked) -> Iterator[Piece]:
    """A head that never ends, a byte at a time."""
    yield b"HTTP/1.1 200 Said\r\nX-Slow: "
    while True:
        yield b"x"
        yield 0.05


def dripping_chunk_size(_: Asked) -> Iterator[Piece]:
    """A chunk whose size never comes to its end, a byte at a time."""
    yield head("Transfer-Encoding: chunked")
    yield b"5;"
    while True:
        yield b"x"
        yield 0.05


def stalling(_: Asked) -> Iterator[Piece]:
    """Some bytes, then silence."""
    yield head("Content-Length: 1000") + b"[1, 2"
    yield 60.0


def silent(_: Asked) -> Iterator[Piece]:
    """Nothing at all."""
    yield 60.0


def redirecting(asked: Asked) -> Iterator[Piece]:
    """A redirect to the next address, for ever."""
    yield answer(b"", 302, Location=f"{asked.path}x")


def short(_: Asked) -> Iterator[Piece]:
    """Fewer bytes than the head says."""
    yield answer(b'{"a": 1}', Content_Length="9")


def cut_chunk(_: Asked) -> Iterator[Piece]:
    """A chunk that breaks off."""
    yield head("Transfer-Encoding: chunked") + b'20\r\n{"a": 1}'


def missing_last_chunk(_: Asked) -> Iterator[Piece]:
    """Whole chunks without the last, empty one."""
    yield head("Transfer-Encoding: chunked") + b'8\r\n{"a": 1}\r\n'


def cut_gzip(_: Asked) -> Iterator[Piece]:
    """A compressed body that breaks off, under a head that does not say how long it is."""
    yield head("Content-Encoding: gzip", "Connection: close") + gzip.compress(b"[1, 2, 3]" * 100)[:-9]


FAULTS: Mapping[str, Answering] = {
    "gzip bomb": gzip_bomb(2_000_000_000),
    "endless body": endless,
    "dripping body": dripping_body,
    "dripping head": dripping_head,
    "dripping chunk size": dripping_chunk_size,
    "stall": stalling,
    "silence": silent,
    "redirect loop": redirecting,
    "wrong length": short,
    "cut chunk": cut_chunk,
    "missing last chunk": missing_last_chunk,
    "cut gzip": cut_gzip,
}
"""Answers that must be refused within the limits."""


# --- a portal that lists records page by page, as the test protocol `paged` reads it


Spoiling = Callable[[int, bytes], Iterable[Piece] | None]


def listing(
    names: Callable[[], Iterable[str]], *, size: int = 10, spoil: Spoiling | None = None
) -> Answering:
    """Answer `?start=N` with a page of `size` names and the count; `spoil(N, answer)` may give another."""

    def answering(asked: Asked) -> Iterable[Piece]:
        start, everything = int(asked.query.get("start", 0)), list(names())
        page = {"count": len(everything), "results": everything[start : start + size]}
        whole = answer(json.dumps(page).encode())
        spoiled = spoil(start, whole) if spoil else None
        return [whole] if spoiled is None else spoiled

    return answering
