"""What is sent to an address of the user's."""

from __future__ import annotations

import json
import socket

import pytest

from stack.temporary import free_port
from tasks.outgoing import name_of, send
from tests.listener import Listener


def test_what_is_taken_and_what_is_not() -> None:
    """An address is asked by GET, or is given a body as JSON; a status that is no success is why it was not taken."""
    with Listener() as listener:
        assert ("", "") == (send(listener.url), send(listener.url, {"text": "ä"}))
        listener.status = 404
        assert "HTTP 404" == send(listener.url)
    assert ("GET", "/secret?key=secret", "") == listener.asked[0]
    assert {"text": "ä"} == json.loads(listener.asked[1][2])


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:{free_port()}/secret", "http://[/secret", "gopher://x/secret"],
    ids=["nobody", "no host", "no web"],  # the same in every process
)
def test_no_secret_is_said(url: str) -> None:
    """Why nobody could be asked says nothing of the address, and the name of an address is its host."""
    assert send(url)
    assert "secret" not in send(url)
    assert "hc-ping.com" == name_of("https://you:secret@hc-ping.com/secret?key=secret")


def test_an_address_that_does_not_answer() -> None:
    """It is waited for as long as is allowed in all, and nothing is raised."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert send(f"http://127.0.0.1:{server.getsockname()[1]}/", longest_s=0.2).startswith(("no answer", "ReadTime"))
