"""The servers that are measured: this catalog, the limit, and the peers, all over the same two files."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.process import Server, free_port, served
from benchmarks.questions import SOURCE
from benchmarks.sst import Sst

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "tests" / "peers" / "servers"
SCRIPTS = {
    "plain xarray": "xarray_server.py",
    "xpublish": "xpublish_server.py",
    "pydap": "pydap_server.py",
    "pygeoapi": "pygeoapi_server.py",
}
QUIET = {"GUNICORN_CMD_ARGS": "--no-control-socket"}  # else it writes into the user's own folder


def peers_python() -> Path | None:
    """Return the Python of the peers' environment, `make peers`; None where it was not made."""
    found = ROOT / ".venv-peers" / "bin" / "python"
    return found if found.exists() else None


@contextmanager
def ours(sst: Sst, folder: Path, *, twin: str = "", workers: int = 1, **environment: str) -> Iterator[Server]:
    """Harvest the files into a home of their own, and serve it with `bienmo serve`; the layout `twin` with its twin."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.toml"
    entry = f'[[source]]\nid = "{SOURCE}"\nprotocol = "files"\nurl = "{sst.folder}"\ntitle = "made"\n'
    sources.write_text(entry, "utf-8")
    given = ("--home", str(folder / "home"), "--sources", str(sources))
    command = (sys.executable, "-m", "catalog")
    subprocess.run([*command, "harvest", SOURCE, *given], check=True, cwd=ROOT, capture_output=True)
    if twin:
        made = (*command, "optimize", f"{SOURCE}-sst_{twin}", *given[:2])
        subprocess.run(made, check=True, cwd=ROOT, capture_output=True)
    port = free_port()
    serve = (*command, "serve", "--port", str(port), "--workers", str(workers), *given)
    with served(
        "ours", serve, port, environment=environment, ready="/health", log=folder / "ours.log"
    ) as server:
        await_all(server, workers)
        yield server


def await_all(server: Server, workers: int) -> None:
    """Wait until each of a server's processes takes connections. Raises RuntimeError where that takes a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with ExitStack() as clients:
            for _ in range(4 * workers):
                clients.enter_context(server.client()).ask("/health")
            if len(server.connections()) == workers:
                return
        time.sleep(0.2)
    raise RuntimeError(f"not all of {workers} processes take connections")


@contextmanager
def limit(sst: Sst, folder: Path) -> Iterator[Server]:
    """Serve the limit."""
    with _script("limit", sys.executable, Path(__file__).with_name("limit.py"), sst, folder) as server:
        yield server


@contextmanager
def peer(name: str, sst: Sst, folder: Path) -> Iterator[Server]:
    """Serve a peer from the peers' environment. Raises RuntimeError where that was not made."""
    python = peers_python()
    if python is None:
        raise RuntimeError("the peers' environment .venv-peers is missing: make peers")
    with _script(name, str(python), PEERS / SCRIPTS[name], sst, folder) as server:
        yield server


@contextmanager
def all_of(names: tuple[str, ...], sst: Sst, folder: Path) -> Iterator[Mapping[str, Server]]:
    """Serve the catalog, and the limit and peers that are named; by name."""
    with ExitStack() as stack:
        found = {"ours": stack.enter_context(ours(sst, folder / "ours"))}
        for name in names:
            chosen = limit(sst, folder) if name == "limit" else peer(name, sst, folder)
            found[name] = stack.enter_context(chosen)
        yield found


@contextmanager
def _script(name: str, python: str, script: Path, sst: Sst, folder: Path) -> Iterator[Server]:
    port = free_port()
    pairs = [f"{layout}={path}" for layout, path in sst.files.items()]
    log = folder / f"{script.stem}.log"
    command = (python, str(script), str(port), *pairs)
    with served(name, command, port, environment=QUIET, log=log) as server:
        yield server
