"""What exchangeInfo says of a market's symbols. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from klines.errors import BadAnswer


class SymbolInfo(NamedTuple):
    """A symbol in exchangeInfo: its status and assets, and of futures the type of contract and when it ends."""

    status: str
    delivery_ms: int | None
    base: str | None = None
    quote: str | None = None
    contract_type: str | None = None


def symbol_infos(info: Any) -> dict[str, SymbolInfo]:
    """The symbols of an answer to exchangeInfo, of any market; raises BadAnswer where it is none."""
    try:
        return {
            listed["symbol"]: SymbolInfo(
                str(listed.get("status", listed.get("contractStatus"))),
                listed.get("deliveryDate"),
                *(listed.get(name) for name in ("baseAsset", "quoteAsset", "contractType")),
            )
            for listed in info["symbols"]
        }
    except (TypeError, KeyError, AttributeError):
        raise BadAnswer(f"the answer is no exchangeInfo: {info!r:.200}") from None
