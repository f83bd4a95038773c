"""The tests' own guard: no socket leaves the machine."""

import socket

import pytest


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("192.0.2.1", 80)),
        (socket.AF_INET, ("example.org", 80)),
        (socket.AF_INET6, ("2001:db8::1", 80)),
    ],
)
@pytest.mark.parametrize("way", ["connect", "connect_ex"])
def test_only_loopback_can_be_reached(family, address, way):
    with (
        socket.socket(family, socket.SOCK_STREAM) as client,
        pytest.raises(Exception, match="tests may not connect"),
    ):
        getattr(client, way)(address)


def test_loopback_can_be_reached():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5),
    ):
        pass
