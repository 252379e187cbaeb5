"""The border's dictionary: an answer that is no success, as one of our errors (facts of Binance's errors.md).

The HTTP status decides first, then Binance's code: the code of a 451 or a 403 means nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from klines.binance.silence import LONGEST_BAN_MS
from klines.errors import (
    Blocked,
    KlinesError,
    Overloaded,
    RateLimited,
    RequestRefused,
    ServerFault,
    UnknownSymbol,
    Unreachable,
)
from klines.interval import MINUTE
from klines.outcome import plain

RETRYABLE = {-1000, -1001, -1006, -1007, -1016, -1034}
"""Codes that blame the exchange's side: UNKNOWN, DISCONNECTED, UNEXPECTED_RESP, TIMEOUT, SHUTTING_DOWN, CONNECTIONS."""
UNKNOWN = {-1121, -1122, -1220}
"""BAD_SYMBOL, INVALID_SYMBOLSTATUS, SYMBOL_DOES_NOT_MATCH_STATUS."""
LONGEST_SILENCE_MS = 5 * MINUTE
"""For how long any answer but a 418 may silence us: then one request asks whether it still holds."""
PROXY_PASSWORD = "; the proxy wants a password: set HTTPS_PROXY, or what names it, to http://name:password@host:port"
_WAYS = {
    "CERTIFICATE_VERIFY_FAILED": "; in a network with a certificate authority of its own, set SSL_CERT_FILE to a file "
    "with its certificate and the others, in PEM",
    "407, message=": PROXY_PASSWORD,
}
"""What stands between this machine and Binance, by what is said of it, and what to set then."""
_SECONDS = re.compile(r"[0-9]+")
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


def translate(status: int, body: str, headers: Mapping[str, str], now_ms: int) -> KlinesError:
    """What the caller should do about an answer with this HTTP `status`; `now_ms` is the exchange's clock."""
    code, message = _code(body)
    said = f"HTTP {status}, code {code}: {message}" if code else f"HTTP {status}: {message}"
    if status == 407:
        return no_answer(Exception(f"{said}{PROXY_PASSWORD}"))
    if status in (403, 451):
        return Blocked(said, remember=status == 403)
    if status in (418, 429) or code == -1003:
        return RateLimited(said, _until(status, message, headers, now_ms), banned=status == 418)
    if code == -1008:
        return Overloaded(said)
    if code in UNKNOWN:
        return UnknownSymbol(said)
    if status >= 500 or status == 408 or code in RETRYABLE or status < 400:
        return ServerFault(said)
    return RequestRefused(said)


def no_answer(error: Exception, of: str = "") -> Unreachable:
    """What a connection that fails means, in one line, and what to set where the way there is the cause."""
    said = plain(str(error)) or type(error).__name__
    advice = next((advice for sign, advice in _WAYS.items() if sign in said), "")
    return Unreachable(f"no answer{of}: {said}{advice}")


def _code(body: str) -> tuple[int, str]:
    """Binance's code, 0 where the body has none, and its message, or the body's beginning."""
    try:
        answer = json.loads(body)
        return int(answer["code"]), plain(str(answer["msg"]))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return 0, plain(body, 200) or "an empty body"


def _until(status: int, message: str, headers: Mapping[str, str], now_ms: int) -> int:
    """When asking may go on, in ms: the message's own time, else Retry-After, else a minute (429) or two (418).

    At least a second from now; at most LONGEST_BAN_MS after a 418, and LONGEST_SILENCE_MS after anything else.
    """
    told = _BANNED_UNTIL.search(message)
    retry_after = headers.get("Retry-After", "")
    if told:
        until_ms = int(told[1])
    elif _SECONDS.fullmatch(retry_after):
        until_ms = now_ms + int(retry_after[:9]) * 1000
    else:
        until_ms = now_ms + (120_000 if status == 418 else 60_000)
    longest_ms = LONGEST_BAN_MS if status == 418 else LONGEST_SILENCE_MS
    return min(max(until_ms, now_ms + 1000), now_ms + longest_ms)
