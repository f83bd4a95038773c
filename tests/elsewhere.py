"""A web server of files on loopback, as others run them: ranges, entity tags, and what may be wrong with it."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Site:
    """What the server serves, what it was asked, and how it behaves.

    Args:
        folder: The files.
        ranges: Answer a range with 206.
        tags: Tell the state of files by entity tags.
        sent: Bytes of bodies that were sent.
        asked: (method, path, Range) of each request.
        before: Called before each answer.
        instead: Answers a request instead, if it returns True.
    """

    folder: Path
    ranges: bool = True
    tags: bool = True
    sent: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    instead: Callable[[Any], bool] = lambda _: False
    address: str = ""

    def forget(self) -> None:
        self.sent, self.asked = 0, []


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1") -> Iterator[str]:
    """Run a handler; its address."""
    with ThreadingHTTPServer((host, 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def files(folder: Path) -> Iterator[Site]:
    """Serve a folder."""
    site = Site(folder)

    class Handler(_Quiet):
        def do_GET(self) -> None:  # noqa: N802
            path = unquote(urlsplit(self.path).path)
            wanted = self.headers.get("Range", "")
            site.asked.append((self.command, path, wanted))
            site.before(path)
            if site.instead(self):
                return
            file = site.folder / path.lstrip("/")
            if not file.is_file():
                self._answer(404, b"")
                return
            whole = file.read_bytes()
            tag = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
            headers = {"ETag": tag} if site.tags else {}
            part = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
            same = self.headers.get("If-Range", tag) == tag
            if part is None or not site.ranges or not same:
                self._answer(200, whole, headers)
                return
            if part[1]:
                start, stop = int(part[1]), min(int(part[2] or len(whole) - 1) + 1, len(whole))
            else:
                start, stop = max(0, len(whole) - int(part[2])), len(whole)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(whole)}"
            self._answer(206, whole[start:stop], headers)

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
                    site.sent += len(body)

        do_HEAD = do_GET  # noqa: N815

    with listening(Handler) as address:
        site.address = address
        yield site


@contextlib.contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody may reach, on another address of loopback; what reached it."""
    hits: list[str] = []

    class Handler(_Quiet):
        def do_GET(self) -> None:  # noqa: N802
            hits.append(self.path)
            self.send_response(204)
            self.end_headers()

    with listening(Handler, "127.0.0.2") as address:
        yield address, hits
