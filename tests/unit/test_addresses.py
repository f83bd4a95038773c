"""Which addresses may be reached: FAULTS row 8. A canary on 127.0.0.2 counts who comes."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from catalog.addresses import is_public, session
from catalog.errors import AddressRefused, LimitExceeded
from portals import Portal, answer, endless, portal, silent

LIMITS = {"stall_seconds": 1.0, "user_agent": "bienmo/test", "seconds": 2.0}


@dataclass
class Canary:
    """Ears on one port of every loopback address that a spelling may lead to."""

    port: int
    ears: list[Portal]

    @property
    def connections(self) -> int:
        return sum(ear.connections for ear in self.ears)


@pytest.fixture
def canary() -> Iterator[Canary]:
    with ExitStack() as stack:
        first = stack.enter_context(portal(lambda _: [answer(b"secret")], "127.0.0.2"))
        ears = [first]
        for host in ("127.0.0.1", "::1"):
            with suppress(OSError):  # the port is taken there, or there is no IPv6
                ears.append(stack.enter_context(portal(lambda _: [answer(b"secret")], host, first.port)))
        yield Canary(first.port, ears)


SPELLINGS = [
    "http://127.0.0.2:{port}/",
    "https://127.0.0.2:{port}/",
    "HTTP://127.0.0.2:{port}",
    "http://127.0.0.2.:{port}/",
    "http://2130706434:{port}/",
    "http://0x7f000002:{port}/",
    "http://017700000002:{port}/",
    "http://0177.0.0.2:{port}/",
    "http://0x7f.0.0.2:{port}/",
    "http://127.2:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://LOCALHOST:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://[::ffff:7f00:2]:{port}/",
    "http://[::127.0.0.2]:{port}/",
    "http://[64:ff9b::7f00:2]:{port}/",
    "http://[2002:7f00:2::]:{port}/",
    "http://[2001:0:7f00:2::80ff:fffd]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fc00::1]:{port}/",
    "http://portal.example@127.0.0.2:{port}/",
    "http://portal.example:80@127.0.0.2:{port}/",
    "http://127.0.0.2:{port}\\@portal.example/",
    "http://127.0.0.2:{port}#@portal.example/",
    "http://①②⑦.⓪.⓪.②:{port}/",
    "http://１２７.0.0.2:{port}/",
    "http://127。0。0。2:{port}/",
    "http://127.0.0.2%00.portal.example:{port}/",
    "http:127.0.0.2:{port}/",
    "//127.0.0.2:{port}/",
    "http:///127.0.0.2:{port}/",
    "http://:{port}/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "file://127.0.0.2:{port}/etc/passwd",
    "ftp://127.0.0.2:{port}/",
    "gopher://127.0.0.2:{port}/",
    "data:text/plain,x",
    "",
    "http://",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_leads_inside(spelling: str, canary: Canary) -> None:
    # with a final dot, a resolver that knows no such name is the end of it
    refused = (AddressRefused, requests.ConnectionError) if ".:" in spelling else AddressRefused
    with session((), **LIMITS) as door, pytest.raises(refused):
        door.get(spelling.format(port=canary.port))
    assert canary.connections == 0


@pytest.mark.parametrize("spelling", [*SPELLINGS[:2], "http://localhost:{port}/", "file:///etc/passwd"])
def test_a_redirect_is_under_the_same_rule(spelling: str, canary: Canary) -> None:
    target = spelling.format(port=canary.port)
    with (
        portal(lambda _: [answer(b"", 302, Location=target)], "127.0.0.3") as leading,
        session(("127.0.0.3",), **LIMITS) as door,
        pytest.raises(AddressRefused),
    ):
        door.get(leading.url)
    assert canary.connections == 0


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to each list of addresses in turn; returns what was asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_is_resolved_once_and_pinned(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    asked, reached = resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.2"]), []

    def connect(_: socket.socket, address: object) -> None:
        reached.append(address)
        raise ConnectionRefusedError

    with monkeypatch.context() as patch, session((), **LIMITS) as door:
        patch.setattr(socket.socket, "connect", connect)
        with pytest.raises(requests.ConnectionError):
            door.get(f"http://portal.example:{canary.port}/")
    assert (asked, reached) == (["portal.example"], [("93.184.216.34", canary.port)])


def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    resolving(monkeypatch, ["93.184.216.34", "127.0.0.2"])
    with session((), **LIMITS) as door, pytest.raises(AddressRefused, match=r"127\.0\.0\.2"):
        door.get(f"http://portal.example:{canary.port}/")
    assert canary.connections == 0


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, canary: Canary, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.3 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    proxy = f"http://127.0.0.2:{canary.port}"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    with portal(lambda _: [answer(b"open")], "127.0.0.3") as good, session(("127.0.0.3",), **LIMITS) as door:
        assert door.get(good.url).content == b"open"
        assert door.get(good.url, proxies={"http": proxy, "https": proxy}).content == b"open"
        assert door.get(good.url, stream=True, timeout=1).raw.read() == b"open"
        assert not any("authorization" in asked.headers for asked in good.asked)
    assert canary.connections == 0


def test_an_operator_allows_hosts_by_name(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    port = canary.port
    resolving(monkeypatch, ["127.0.0.2"])
    reached = {
        ("portal.example",): True,
        ("Portal.Example.",): True,
        (f"portal.example:{port}",): True,
        ("other.example", "portal.example"): True,
        ("portal.example:1",): False,
        ("127.0.0.2",): False,
        ("example",): False,
        ("",): False,
    }
    for allowed, open_ in reached.items():
        with session(allowed, **LIMITS) as door:
            if open_:
                assert door.get(f"http://portal.example:{port}/").content == b"secret"
            else:
                with pytest.raises(AddressRefused, match="not a public address") as caught:
                    door.get(f"http://portal.example:{port}/")
                assert "BIENMO_ALLOW_HOSTS" in caught.value.hint
    assert canary.connections == 4


def test_literal_addresses_are_allowed_as_written_or_not() -> None:
    with portal(lambda _: [answer(b"open")], "127.0.0.3") as good:
        for allowed, open_ in (
            (good.url.removeprefix("http://"), True),
            ("127.0.0.3", True),
            ("127.0.0.4", False),
        ):
            with session((allowed,), **LIMITS) as door:
                if open_:
                    assert door.get(good.url).content == b"open"
                else:
                    with pytest.raises(AddressRefused):
                        door.get(good.url)


def test_a_stall_before_the_first_word_ends_in_time() -> None:
    begun = time.monotonic()
    with portal(silent) as mute, session(("127.0.0.1",), **{**LIMITS, "stall_seconds": 5}) as door:
        with pytest.raises((requests.RequestException, LimitExceeded)):
            door.get(mute.url.replace("http", "https"), timeout=0.5)
        with pytest.raises((requests.RequestException, LimitExceeded)):
            door.get(mute.url, timeout=0.5)
    assert time.monotonic() - begun < 2


def test_a_streaming_caller_gets_no_more_than_the_limit() -> None:
    with (
        portal(endless) as flood,
        session(("127.0.0.1",), **LIMITS, max_bytes=2_000_000) as door,
        pytest.raises(LimitExceeded, match="2,000,000 bytes"),
    ):
        sum(map(len, door.get(flood.url, stream=True).iter_content(65_536)))


V4 = st.ip_addresses(v=4)


@given(V4)
def test_no_tunnel_hides_a_private_address(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    nat64 = ipaddress.IPv6Address(0x64FF9B << 96 | number)
    assert is_public(str(mapped)) == is_public(str(nat64)) == is_public(str(inner))
    for hidden in (
        0x2002 << 112 | number << 80,
        0x20010000 << 96 | number << 64 | number ^ 0xFFFFFFFF,
        number,
    ):
        assert not is_public(str(ipaddress.IPv6Address(hidden)))


@given(st.ip_addresses(v=4) | st.integers(0, 2**125 - 1).map(lambda n: ipaddress.IPv6Address(1 << 125 | n)))
def test_public_addresses_are_global_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_loopback
    assert not (special and is_public(str(address)))


SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2001:10::1", "2002::1", "3fff::1",
    "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_not_public(address: str) -> None:
    """The IANA IPv4 and IPv6 special-purpose address registries, and multicast."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]
)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(address)
