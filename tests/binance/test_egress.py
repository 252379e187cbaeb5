"""KLINES_EGRESS: the address that all requests leave by, and whose weight and bans are its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from klines import settings
from klines.cli import exit_status
from klines.errors import BadParameter
from klines.reading.status import status
from klines.settings import Address
from klines.storage.access import settings_to_write
from tests.drive import Fixed, backfill_once, collect_once, query
from tests.exchange import StandIn
from tests.proxies import ProxyServer

OURS, OTHER = "127.0.0.2", "127.0.0.3"


@pytest.mark.usefixtures("in_settings")
def test_everything_leaves_by_it(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REST, the archive and its listing are asked from it, by every kind of run."""
    monkeypatch.setenv("KLINES_EGRESS", f" {OURS} ")
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"], egress=OURS).state
    loaded = backfill_once(exchange, database, ["BTCUSDT"], "2025-12-01", "2025-12-03")
    assert "0 monthly and 2 daily files" in loaded.message
    assert {OURS} == {request.address for request in exchange.requests}
    assert {"api", "data", ""} <= {request.path.split("/")[1] for request in exchange.requests}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("203.0.113.77", "KLINES_EGRESS: 203.0.113.77 is no address of this machine"),
        ("2001:db8::77", "KLINES_EGRESS: 2001:db8::77 is no address of this machine"),
        ("eth0", "KLINES_EGRESS: 'eth0' is no IP address; write one of this machine's"),
    ],
)
@pytest.mark.usefixtures("in_settings")
def test_what_is_no_address_of_this_machine(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by name before anything is asked; readers, who ask nothing, mind only what is no address at all."""
    monkeypatch.setenv("KLINES_EGRESS", value)
    with pytest.raises(BadParameter) as refused:
        settings_to_write()
    assert str(refused.value).startswith(said)
    if value != "eth0":
        assert value == settings.load().egress


def test_a_proxy_is_asked_from_it(exchange: StandIn, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a proxy it is the socket to that which is bound; a SOCKS proxy can't be asked so, which is said."""
    away = Fixed(exchange.url.replace("127.0.0.1", "binance.example"))
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert "Completed" == collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms, egress=OURS).state
        assert {OURS} == proxy.clients
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "socks5://"))
        outcome = collect_once(away, database, ["BTCUSDT"], clock=exchange.now_ms, egress=OURS)
    assert ("Failed", True) == (outcome.state, outcome.message.startswith("KLINES_EGRESS: a SOCKS proxy"))


@pytest.mark.usefixtures("in_settings")
@pytest.mark.parametrize("code", [418, 403])
def test_a_ban_is_of_an_address(
    exchange: StandIn,
    database: Path,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What one address is banned for keeps no other from asking; status says whose it is, and unban ends that of this
    machine's, or the one that is named."""
    exchange.fault(None, "status", status=code, path="time")
    banned = collect_once(exchange, database, ["BTCUSDT"], egress=OURS).state
    exchange.clear()
    exchange.forget()
    assert banned == collect_once(exchange, database, ["BTCUSDT"], egress=OURS).state != "Completed"
    assert [] == exchange.requests
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"], egress=OTHER).state
    assert {OTHER} == {request.address for request in exchange.requests}
    [said] = [ban.said for ban in status(database).bans]
    assert said.startswith(f"spot of {OURS} is {banned} until ")

    assert 0 == exit_status(["unban", "spot"])
    none, others = capsys.readouterr().out.splitlines()
    assert "no ban holds of spot" == none
    assert f"--egress {OURS} would lift that" in others
    monkeypatch.setenv("KLINES_EGRESS", OURS)
    assert 0 == exit_status(["unban"])
    assert capsys.readouterr().out.startswith(f"spot of {OURS}: the silence until ")
    assert "Completed" == collect_once(exchange, database, ["BTCUSDT"], egress=OURS).state


@pytest.mark.parametrize("database", ["lake"], indirect=True)
def test_two_machines_enter_a_ban_into_a_lake(exchange: StandIn, database: Address) -> None:
    """Each of its own address, under the lock that unban takes; both are heeded."""
    exchange.fault(None, "status", status=418, path="time")
    for address in (OURS, OTHER):
        collect_once(exchange, database, ["BTCUSDT"], egress=address)
    exchange.forget()
    for address in (OURS, OTHER):
        assert "RateLimited" == collect_once(exchange, database, ["BTCUSDT"], egress=address).state
    assert [] == exchange.requests
    until = f"until > epoch_ms({time.time_ns() // 1_000_000})"
    assert [(OURS,), (OTHER,)] == query(database, f"SELECT egress FROM bans WHERE {until} ORDER BY egress")
