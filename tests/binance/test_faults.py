"""The border's dictionary: one table of answers and what they mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klines.binance.faults import translate
from klines.errors import Blocked, KlinesError, Overloaded, RateLimited, RequestRefused, ServerFault, UnknownSymbol

NOW = 1_763_881_200_000
GEO = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in https://www.binance.com/en/terms."
)
HTML = "<html><head><title>403 Forbidden</title></head></html>"


def said(code: int, msg: str = "…") -> str:
    """Binance's error body."""
    return json.dumps({"code": code, "msg": msg})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said(-1121, "Invalid symbol."), UnknownSymbol),
        (400, said(-1122), UnknownSymbol),
        (400, said(-1220), UnknownSymbol),
        *((400, said(code), ServerFault) for code in (-1000, -1001, -1006, -1007, -1016, -1034)),
        *((400, said(code), RequestRefused) for code in (-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108)),
        *((400, said(code), RequestRefused) for code in (-1120, -1128, -1130, -1023, -1127, -4088, -1002, -1022, 0)),
        (503, said(-1008, "Server is currently overloaded with other requests."), Overloaded),
        (429, said(-1008), RateLimited),
        *((status, "", ServerFault) for status in (500, 502, 503, 504, 520, 599, 408)),
        (504, said(-1007, "Timeout waiting for response from backend server."), ServerFault),
        (502, "<html><body>Bad Gateway</body></html>", ServerFault),
        (503, "Unknown error, please check your request or try again later.", ServerFault),
        (503, "[]", ServerFault),
        (400, "[]", RequestRefused),
        (400, '[{"code":-1121,"msg":"Invalid symbol."}]', RequestRefused),
        (400, "null", RequestRefused),
        (400, '"-1121"', RequestRefused),
        (400, '{"code":null,"msg":"x"}', RequestRefused),
        (400, '{"code":[],"msg":"x"}', RequestRefused),
        (400, '{"code":Infinity,"msg":"x"}', RequestRefused),
        (400, '{"code":-1121}', RequestRefused),
        (400, '{"code":"-1121","msg":"Invalid symbol."}', UnknownSymbol),
        (400, '{"code":' + "9" * 5000 + ',"msg":"x"}', RequestRefused),
        (400, "[" * 100_000, RequestRefused),
        (400, "", RequestRefused),
        (401, said(-1002), RequestRefused),
        (404, HTML, RequestRefused),
        (301, "", ServerFault),
        (302, HTML, ServerFault),
        (
            429,
            said(-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."),
            RateLimited,
        ),
        (429, "", RateLimited),
        (429, HTML, RateLimited),
        (418, said(-1003, "Way too much request weight used; IP banned until 1763881920000."), RateLimited),
        (418, "[]", RateLimited),
        (400, said(-1003), RateLimited),
        (403, HTML, Blocked),
        (403, "", Blocked),
        (403, said(-1121), Blocked),
        (451, said(0, GEO), Blocked),
        (451, said(-1121), Blocked),
        (451, "", Blocked),
    ],
)
def test_an_answer_becomes_one_error(status: int, body: str, kind: type[KlinesError]) -> None:
    """The status decides first, then the code; a body of any other shape decides nothing and breaks nothing."""
    error = translate(status, body, {}, NOW)
    assert kind is type(error)
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize(
    ("status", "message", "headers", "wait_ms"),
    [
        (429, "…", {"Retry-After": "7"}, 7_000),
        (418, "…", {"Retry-After": "720"}, 720_000),
        (429, "…", {}, 60_000),
        (418, "…", {}, 120_000),
        (429, "…", {"Retry-After": ""}, 60_000),
        (429, "…", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60_000),
        (429, "…", {"Retry-After": "-5"}, 60_000),
        (429, "…", {"Retry-After": "1.5"}, 60_000),
        (418, "…", {"Retry-After": "٣"}, 120_000),  # a digit, but not ASCII
        (418, "…", {"Retry-After": "²"}, 120_000),
        (418, "…", {"Retry-After": "9" * 100}, 3 * 86_400_000),
        (418, f"IP banned until {NOW + 5_000}. Please use WebSocket Streams.", {"Retry-After": "720"}, 5_000),
        (418, "IP banned until tomorrow", {"Retry-After": "720"}, 720_000),
        (418, "IP banned until 17638819", {}, 120_000),
        (429, "…", {"Retry-After": "1000000000"}, 300_000),
        (429, "…", {"Retry-After": "720"}, 300_000),
        (503, f"Way too much; IP banned until {NOW + 2 * 86_400_000}.", {}, 300_000),
        (400, "…", {"Retry-After": "86400"}, 300_000),
    ],
)
def test_silence_has_a_known_end(status: int, message: str, headers: dict[str, str], wait_ms: int) -> None:
    """The message's own time first, then Retry-After, else a minute or, after 418, two; only a 418 deserves days: after
    anything else it is five minutes at most."""
    error = translate(status, said(-1003, message), headers, NOW)
    assert isinstance(error, RateLimited)
    assert (NOW + wait_ms, status == 418) == (error.until_ms, error.banned)


def test_only_a_403_is_remembered() -> None:
    """A firewall's block lifts by itself and is remembered; a place that is not served stays so, and is not."""
    errors = [translate(status, "", {}, NOW) for status in (403, 451)]
    assert [True, False] == [error.remember for error in errors if isinstance(error, Blocked)]


def test_the_message_is_readable() -> None:
    """Binance's code and words, or the beginning of what came instead, in one line."""
    assert "HTTP 400, code -1121: Invalid symbol." == str(translate(400, said(-1121, "Invalid symbol."), {}, NOW))
    assert "HTTP 500: an empty body" == str(translate(500, " \n", {}, NOW))
    assert "HTTP 502: <p> Bad </p>" == str(translate(502, "<p>\n  Bad\r\n</p>", {}, NOW))
    assert 400 > len(str(translate(502, "x" * 10**6, {}, NOW)))
    assert 400 > len(str(translate(400, said(-1, "x" * 10**6), {}, NOW)))


@settings(max_examples=50)
@given(st.integers(201, 599), st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_every_answer_is_translated(status: int, body: str) -> None:
    """Whatever the exchange answers, the caller learns what to do; only a 418, a 429 and -1003 ask for silence."""
    error = translate(status, body, {"Retry-After": body}, NOW)
    assert "Klines" not in type(error).__name__
    assert (status in (418, 429)) == isinstance(error, RateLimited)
    assert (status in (403, 451)) == isinstance(error, Blocked)


def test_an_absurd_retry_after_is_three_days() -> None:
    """Python refuses to convert more than 4,300 digits; a header of aiohttp's may have 8,190."""
    error = translate(418, "", {"Retry-After": "9" * 5000}, NOW)
    assert isinstance(error, RateLimited)
    assert NOW + 3 * 86_400_000 == error.until_ms


@pytest.mark.parametrize(
    ("message", "headers"),
    [("…", {"Retry-After": "0"}), (f"IP banned until {NOW - 60_000}.", {}), ("…", {"Retry-After": "00"})],
)
def test_silence_is_never_over_at_once(message: str, headers: dict[str, str]) -> None:
    """After a 429 nobody asks for a second at least, whatever end was told: else it is answered with a 418."""
    error = translate(429, said(-1003, message), headers, NOW)
    assert isinstance(error, RateLimited)
    assert NOW + 1000 <= error.until_ms


def test_no_ban_is_longer_than_three_days() -> None:
    """Binance's bans last 2 minutes to 3 days; a longer one is a slip that must not silence us for ever."""
    error = translate(418, said(-1003, "IP banned until 9999999999999."), {}, NOW)
    assert isinstance(error, RateLimited)
    assert NOW + 3 * 86_400_000 >= error.until_ms


@pytest.mark.parametrize("status", [403, 451])
def test_the_code_of_a_block_means_nothing(status: int) -> None:
    """A 403 or 451 is a block, whatever code its body has, -1003 too."""
    assert Blocked is type(translate(status, said(-1003), {}, NOW))


def test_a_success_without_an_answer_is_asked_again() -> None:
    """A firewall's challenge is a 202 with no or an HTML body: as a 200 with such a body, it is worth another try."""
    assert ServerFault is type(translate(202, "", {}, NOW))
