"""A client that does next to nothing, as one far away would on this machine: what it is sent is dropped by the kernel.

Run as `python taker.py PORT`; for each line of paths (with blanks between) on its input it asks for them one after
another, and says how many bytes came. MSG_TRUNC: tcp(7) drops what is received without copying it.
"""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_MOST = 1 << 22
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")


class Taker:
    """A client in a process of its own.

    Args:
        process: What runs this module's `main`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._asking, self._said = process.stdin, process.stdout
        self._said.readline()

    def begin(self, paths: Sequence[str]) -> None:
        """Let it ask for some paths, one after another."""
        self._asking.write(" ".join(paths) + "\n")
        self._asking.flush()

    def wait(self) -> int:
        """Return how many bytes came, when all have come. Raises OSError where an answer was no good one."""
        said = self._said.readline().strip()
        if not said.isdigit():
            raise OSError(said or "the client has ended")
        return int(said)


@contextmanager
def taker(port: int) -> Iterator[Taker]:
    """Run a client of a port of loopback."""
    command = (sys.executable, __file__, str(port))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Taker(process)
        finally:
            process.kill()


def take(wire: socket.socket, path: str, room: bytearray) -> tuple[int, bool]:
    """GET a path; return the bytes of the body, and whether more can be asked. Raises OSError for any bad answer."""
    wire.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    head = b""
    while (end := head.find(b"\r\n\r\n") + 4) < 4:
        head = wire.recv(1 << 16, socket.MSG_PEEK)
    wire.recv(end, socket.MSG_WAITALL)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answers {head[:100]!r}")
    told = _LENGTH.search(head[:end])
    if told is None:
        raise OSError("says no length")
    size, left = int(told[1]), int(told[1])
    while left:
        got = wire.recv_into(room, min(left, _MOST), socket.MSG_TRUNC)
        if not got:
            raise OSError(f"ends {left} bytes before its end")
        left -= got
    return size, b"\r\nconnection: close" not in head[:end].lower()


def main() -> None:
    """Take what the lines ask for."""
    port, room = int(sys.argv[1]), bytearray(_MOST)
    print("ready", flush=True)
    for line in sys.stdin:
        wire, size = socket.create_connection(("127.0.0.1", port)), 0
        try:
            for path in line.split():
                got, more = take(wire, path, room)
                size += got
                if not more:
                    wire.close()
                    wire = socket.create_connection(("127.0.0.1", port))
            print(size, flush=True)
        except OSError as error:
            print("failed:", error, flush=True)
        finally:
            wire.close()


if __name__ == "__main__":
    main()
