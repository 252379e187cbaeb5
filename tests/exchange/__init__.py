"""A stand-in of Binance's market-data REST API, for tests, the demo and benchmarks."""

from tests.exchange.faults import KINDS
from tests.exchange.market import FIELDS, Row, floor, following
from tests.exchange.rules import Request
from tests.exchange.server import StandIn

__all__ = ["FIELDS", "KINDS", "Request", "Row", "StandIn", "floor", "following"]
