"""A web server of files on loopback, as others run them: ranges, entity tags, and what may be wrong with it."""

import contextlib
import hashlib
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import netCDF4
import numpy as np

SHAPE = (7, 40, 50)


@dataclass
class Site:
    """What the server serves, what it was asked, and how it behaves.

    Args:
        folder: The files.
        ranges: Answer a range with 206.
        tags: Tell the state of files by entity tags.
        heeds: Give a range only of the state that is asked for.
        sent: Bytes of bodies that were sent.
        asked: (method, path, Range) of each request.
        before: Called before each answer.
        instead: Answers a request instead, if it returns True.
    """

    folder: Path
    ranges: bool = True
    tags: bool = True
    heeds: bool = True
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """Say nothing of a client that left."""


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1") -> Iterator[str]:
    """Run a handler; its address."""
    with _Server((host, 0), handler) as server:
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
        def do_GET(self) -> None:
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
            same = self.headers.get("If-Range", tag) == tag or not site.heeds
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


def grid(path: Path, form: str = "NETCDF4") -> Path:
    """A grid with what files have: packed and plain numbers, text, attributes of all kinds."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in zip(("time", "lat", "lon"), SHAPE, strict=True):
            file.createDimension(name, None if name == "time" else size)
        file.createDimension("letters", 6)
        units = ("days since 2000-01-01", "degrees_north", "degrees_east")
        for name, size, unit in zip(("time", "lat", "lon"), SHAPE, units, strict=True):
            file.createVariable(name, "f8", (name,)).units = unit
            file[name][:] = np.linspace(0, 30, size)
        random = np.random.default_rng(0)
        four = form == "NETCDF4"
        options = {"zlib": True, "chunksizes": (2, 15, 20), "fletcher32": True} if four else {}
        packed = file.createVariable("sst", "i2", ("time", "lat", "lon"), fill_value=-9, **options)
        packed.setncatts(
            {"scale_factor": 0.01, "add_offset": np.float32(3), "flags": np.arange(3, dtype="i2")}
        )
        packed.set_auto_maskandscale(False)
        packed[:] = random.integers(0, 3000, SHAPE)
        plain = file.createVariable("wind", "f4", ("time", "lat", "lon"))
        plain[:] = random.random(SHAPE)
        names = file.createVariable("station", "S1", ("lat", "letters"))
        names[:] = np.array([[*f"HN{number:04}"] for number in range(SHAPE[1])], "S1")
        file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        file.title = "Vịnh Bắc Bộ"
        if four:
            file.createVariable("note", str, ("lat",))[:] = np.array(
                [f"ghi chú {n}" for n in range(40)], object
            )
            file.createVariable("big", ">f8", ("lat", "lon"), endian="big")[:] = random.random(SHAPE[1:])
            file.words = ["một", "hai"]
            file.createGroup("inside")
    return path


@dataclass
class Hyperslabs:
    """A DAP2 server: where it is, what it was asked (path and query), the bytes it sent, what it takes queries for."""

    address: str = ""
    sent: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    understood: Callable[[str], str] = str


@contextlib.contextmanager
def hyperslabs(path: Path, names: Sequence[str]) -> Iterator[Hyperslabs]:
    """Serve variables of a file by pydap's server."""
    with warnings.catch_warnings(action="ignore"):  # a module that it needs is deprecated
        from pydap.handlers.lib import BaseHandler  # noqa: PLC0415
        from pydap.model import BaseType, DatasetType, GridType  # noqa: PLC0415

    served, seen = DatasetType("data"), Hyperslabs()
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        for d in dict.fromkeys(d for name in names for d in file[name].dimensions):
            served[d] = BaseType(d, file[d][:], dims=(d,), attributes=dict(file[d].__dict__))
        for name in names:
            dims, known = file[name].dimensions, dict(file[name].__dict__)
            served[name] = GridType(name, attributes=known)
            served[name][name] = BaseType(name, file[name][:], dims=dims, attributes=known)
            for d in dims:
                served[name][d] = BaseType(d, file[d][:], dims=(d,))
    inner = BaseHandler(served)

    def counting(environ: Any, start_response: Any) -> Iterator[bytes]:
        seen.asked.append((environ["PATH_INFO"], unquote(environ["QUERY_STRING"])))
        query = seen.understood(unquote(environ["QUERY_STRING"]))
        for piece in inner({**environ, "QUERY_STRING": query}, start_response):
            seen.sent += len(piece)
            yield piece

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with make_server("127.0.0.1", 0, counting, Server, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        seen.address = f"http://127.0.0.1:{server.server_port}/data"
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody may reach, on another address of loopback; what reached it."""
    hits: list[str] = []

    class Handler(_Quiet):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(204)
            self.end_headers()

    with listening(Handler, "127.0.0.2") as address:
        yield address, hits
