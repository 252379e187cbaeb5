"""`klines doctor` as it is typed: a line for each check and one for all, JSON, and the exit status."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from klines.cli import exit_status
from klines.cli.consultation import door_is_closed, prefect_answers
from klines.doctor.diagnosis import Differs
from klines.interval import MINUTE
from stack.temporary import free_port
from tests.exchange import StandIn


@pytest.fixture
def exchange() -> Iterator[StandIn]:
    """The stand-in with the symbols that the doctor asks for, at this machine's time."""
    with StandIn(["BTCUSDT", "BTCUSD_PERP"]) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A home in which no server runs, and a free port for one."""
    port = free_port()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", str(port))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return port


@pytest.mark.usefixtures("in_settings")
def test_a_line_for_each_check(capsys: pytest.CaptureFixture[str], exchange: StandIn) -> None:
    """Each line begins with the state; what differs is said with what to do; the last line counts them; 1 where
    anything differs."""
    exchange.break_rule("endTime is included")
    assert 1 == exit_status(["doctor"])
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) > 70
    assert all(line.startswith(("ok        ", "differs   ", "not asked ")) for line in lines)
    [said] = [line for line in lines if line.startswith("differs   spot ends ")]
    assert "from 00:00 to 00:02 come 00:00 00:01: each request would miss a kline at its ends" in said
    differ = sum(line.startswith("differs ") for line in lines)
    assert last.startswith(f"{len(lines)} checks: {differ} differ; ")


@pytest.mark.usefixtures("in_settings")
def test_all_of_it_as_json(capsys: pytest.CaptureFixture[str], exchange: StandIn) -> None:
    """One object: whether all is ok, the weight, the seconds, and the findings; what is said of Binance is all ok."""
    minute = exchange.now_ms() // MINUTE
    status = exit_status(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert {"ok", "weight", "seconds", "findings"} == told.keys()
    assert (status == 0) == told["ok"] == all(one["state"] == "ok" for one in told["findings"])
    odd = [one for one in told["findings"] if one["state"] != "ok" and not one["check"].startswith("machine ")]
    assert [] == odd
    counted = exchange.used_weight("spot") + exchange.used_weight("futures")
    assert counted == told["weight"] or (counted < told["weight"] <= 100 and exchange.now_ms() // MINUTE > minute)


def test_settings_that_can_not_be_used(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is wrong is a line, too, and nothing is asked."""
    monkeypatch.setenv("KLINES_SPOT_URL", "nowhere")
    assert 1 == exit_status(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    [said] = [line for line in lines if "machine settings" in line]
    assert said.startswith("differs   machine settings       KLINES_SPOT_URL: 'nowhere' is no http://")
    assert not any(" spot " in line for line in lines)


class _Open(BaseHTTPRequestHandler):
    """A Prefect server without a door: it answers whoever asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'"3.9.1"')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


def test_a_server_without_a_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of this machine that answers to a foreign name is named: any page in the browser reaches it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Open) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        assert "the one that PREFECT_API_URL names, Prefect 3.9.1 at" in prefect_answers()
        with pytest.raises(Differs, match=r"whoever asks with Host: rebound\.example"):
            door_is_closed()
        server.shutdown()


def test_a_port_that_is_taken(no_server: int) -> None:
    """Where no server of ours runs, its port must be free."""
    assert f"none runs, and port {no_server} is free" in prefect_answers()
    with socket.socket() as other:
        other.bind(("127.0.0.1", no_server))
        other.listen()
        with pytest.raises(Differs, match=f"another program listens on port {no_server}"):
            prefect_answers()
