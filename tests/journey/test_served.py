"""A real `bienmo serve`, asked over real sockets as curl asks."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from journey.command import served


def ask(base, target, method=b"GET"):
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port), timeout=20) as link:
        link.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := link.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture(scope="module")
def base(sample_home):
    with served(home=sample_home) as (address, _):
        yield address


def test_letters_in_an_address_need_no_encoding(base):
    status, body = ask(base, "/api/datasets?q=nhiệt+độ".encode())
    assert (status, json.loads(body)["numberMatched"]) == (200, 2)


def test_an_address_that_is_no_utf8_is_answered_with_a_page_or_problem(base):
    assert ask(base, b"/api/datasets?q=\xff\xfe")[0] < 500
    assert ask(base, b"/\xff")[0] == 404


def test_head_is_get_without_its_body(base):
    assert ask(base, b"/health", b"HEAD") == (200, b"")
    assert ask(base, b"/api/datasets/none", b"HEAD") == (404, b"")
