"""What a symbol is made of, for programs that write BTC/USDT: as exchangeInfo has it, or else as the symbol ends."""

from __future__ import annotations

from klines.exports.stored import Subject

QUOTES = (
    *("USDT", "FDUSD", "USDC", "USD1", "TUSD", "BUSD", "USDP", "PAX", "USDS", "UST", "DAI", "EURI", "AEUR", "BIDR"),
    *("IDRT", "BVND", "BKRW", "TRY", "EUR", "GBP", "AUD", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS"),
    *("MXN", "CZK", "COP", "JPY", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "VAI"),
)
"""Assets in which Binance quotes prices, or did: for symbols whose exchangeInfo was not kept."""


def assets_of(subject: Subject) -> tuple[str, str]:
    """Base and quote asset; both empty where nothing tells them."""
    base, quote = subject.rules.get("base"), subject.rules.get("quote")
    if base and quote:
        return base, quote
    quotes = [name for name in QUOTES if subject.symbol.endswith(name) and subject.symbol != name]
    longest = max(quotes, key=len, default="")
    return (subject.symbol.removesuffix(longest), longest) if longest else ("", "")


def is_perpetual(subject: Subject) -> bool:
    """Whether it is a future that does not end: those that do are named as BTCUSDT_260327."""
    return subject.market.name != "spot" and "_" not in subject.symbol


def why_no_pair(subject: Subject) -> str:
    """Why such a program has no name for the symbol; empty where it has one."""
    if subject.market.name != "spot" and not is_perpetual(subject):
        return "of futures it takes perpetual ones alone"
    return "" if assets_of(subject)[0] else "what its base and quote asset are was not kept; klines audit keeps it"
