"""What every test stands on: the real files, a closed network, and fixed random numbers."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[2] / "shared"

settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("slow", settings.get_profile("default"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        reason = f"the folder ../shared/{name} beside the checkout is missing"
        if os.environ.get("BIENMO_REQUIRE_REAL") == "1":
            pytest.fail(f"{reason}, and BIENMO_REQUIRE_REAL=1 asks for it")
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """The folder of real files and recorded answers."""
    return _folder("real")


@pytest.fixture(scope="session")
def shared_faults() -> Path:
    """The folder of files made to crash, hang or flood a reader."""
    return _folder("faults")


@pytest.fixture(scope="session")
def shared_sample() -> Path:
    """The folder of the sample collection as its producers gave it."""
    return _folder("sample")


class NetworkRefused(Exception):
    """A test reached beyond loopback; no OSError, so that no code under test swallows it."""


def _is_local(family: int, address: Any) -> bool:
    if family not in {socket.AF_INET, socket.AF_INET6}:
        return family == socket.AF_UNIX
    host = address[0]
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: socket.socket, address: Any) -> Any:
        if not _is_local(self.family, address):
            raise NetworkRefused(f"tests may not connect to {address!r}")
        return original(self, address)

    return connect


@pytest.fixture(scope="session", autouse=True)
def closed_network() -> Iterator[None]:
    """Refuse sockets to anything but loopback and Unix addresses."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings and the data home of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("BIENMO_") and name != "BIENMO_REQUIRE_REAL":
                patch.delenv(name)
        patch.setenv("BIENMO_HOME", str(tmp_path_factory.mktemp("home")))
        yield
