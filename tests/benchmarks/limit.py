"""The limit: a plain socket server that reads and inflates the chunks a cut touches, and sends as many bytes.

Run as `python limit.py PORT NAME=PATH …`; it speaks just enough HTTP for the benchmarks' client:
/NAME?time=0:30&lat=428:448&lon=1142:1160&send=12345. A thread and a reused buffer for each client, no numbers
unpacked: whatever serves the same cut from the same file must do at least this.
"""

import itertools
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import h5py
import imagecodecs
import numpy as np
import numpy.typing as npt

_PIECE = memoryview(bytes(1 << 20))


class Chunks(NamedTuple):
    """Where a variable's chunks are in its file."""

    file: int
    shape: tuple[int, ...]
    places: dict[tuple[int, ...], tuple[int, int]]
    buffer: npt.NDArray[np.uint8]


def chunks(path: str) -> Chunks:
    """List the chunks of the variable `sst` of a NetCDF-4 file."""
    with h5py.File(path) as file:
        sst = file["sst"]
        places: dict[tuple[int, ...], tuple[int, int]] = {}

        def keep(chunk: h5py.h5d.StoreInfo) -> None:
            at = tuple(first // size for first, size in zip(chunk.chunk_offset, sst.chunks, strict=True))
            places[at] = (chunk.byte_offset, chunk.size)

        sst.id.chunk_iter(keep)
        buffer = np.empty(int(np.prod(sst.chunks)) * sst.dtype.itemsize, np.uint8)
        return Chunks(os.open(path, os.O_RDONLY), sst.chunks, places, buffer)


def inflate(known: Chunks, cut: Sequence[tuple[int, int]]) -> None:
    """Read and inflate the chunks that a cut (first and stop by axis) touches."""
    touched = [
        range(first // size, (stop - 1) // size + 1)
        for (first, stop), size in zip(cut, known.shape, strict=True)
    ]
    for at in itertools.product(*touched):
        offset, size = known.places[at]
        imagecodecs.deflate_decode(os.pread(known.file, size, offset), raw=False, out=known.buffer)


def answer(client: socket.socket, files: dict[str, Chunks], path: str) -> None:
    """Answer one request."""
    split = urlsplit(path)
    asked = dict(parse_qsl(split.query))
    size = int(asked.get("send", 0))
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, socket.MSG_MORE if size else 0)
    if split.path != "/":
        axes = [[int(number) for number in asked[axis].split(":")] for axis in ("time", "lat", "lon")]
        inflate(files[split.path.strip("/")], [(first, stop) for first, stop in axes])
    while size:
        size -= client.send(_PIECE[: min(size, len(_PIECE))])


def converse(client: socket.socket, files: dict[str, Chunks]) -> None:
    """Answer a client as long as it stays."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own = {name: known._replace(buffer=np.empty_like(known.buffer)) for name, known in files.items()}
    with client, client.makefile("rb") as lines:
        while line := lines.readline():
            while lines.readline() not in {b"\r\n", b""}:
                pass
            answer(client, own, line.split()[1].decode("ascii"))


def serve(port: int, files: dict[str, Chunks]) -> None:
    """Serve clients, each in a thread of its own."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=converse, args=(client, files), daemon=True).start()


if __name__ == "__main__":
    port, *pairs = sys.argv[1:]
    serve(int(port), {name: chunks(path) for name, path in (pair.split("=", 1) for pair in pairs)})
