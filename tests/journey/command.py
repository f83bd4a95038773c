"""The real command: run to its end, or served on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def bienmo(
    *words: str, home: Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "catalog", *words, "--home", str(home)],
        capture_output=True,
        check=check,
        timeout=120,
        env=os.environ | environment,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(*words: str, home: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `bienmo serve` (or other words) until it is ready; yield its address and process; end it."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "catalog",
        *(words or ("serve",)),
        "--port",
        str(port),
        "--home",
        str(home),
    ]
    process = subprocess.Popen(
        command, env=os.environ | environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended: {process.stderr.read()!r}")
            try:
                with urllib.request.urlopen(f"{base}/health", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("not ready after 30 s")
        yield base, process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
