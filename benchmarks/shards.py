"""A simulation: hours of many series, shared by shards with an address each, against Binance's limits.

    python -m benchmarks.shards [--shards 20] [--spot 14000 --usdm 5400 --coinm 600] [--again 0.02] [--seed 1]

No request is made. Every minute each shard asks for what its series lack, as collect does: a request a series, some
of them twice because a kline was late, exchangeInfo once an hour, up to 0.9 of the limit of its address; what has no
room waits for the next minute. After five such hours an address is silent for an hour; then a machine is gone for an
hour, and another has both shards.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, field

from benchmarks.table import line, machine
from klines.market import MARKETS, Market
from klines.shard import Shard

SHARE = 0.9
"""How much of an address's limit klines uses."""
KNOWN = 3
"""Klines that are asked for again beside the new ones, to see corrections."""
HOUR_MINUTES = 60
SILENT_FROM, GONE_FROM = 300, 900
"""The minutes in which an address falls silent, and a machine goes."""


@dataclass(slots=True)
class Address:
    """One address, which asks for the series of its shards; `lacks` counts each one's missing minutes."""

    lacks: dict[tuple[str, str], int]
    most: dict[str, int] = field(default_factory=dict)
    waited: int = 0

    def ask(self, minute: int, again: float, chance: random.Random) -> None:
        """A minute's requests, within the limits."""
        used = dict.fromkeys((market.pool for market in MARKETS.values()), 0)
        if minute % HOUR_MINUTES == 0:
            for market in MARKETS.values():
                used[market.pool] += market.info_weight
        left = 0
        for (name, symbol), lacking in self.lacks.items():
            market = MARKETS[name]
            weight = cost(market, lacking + 1) * (2 if chance.random() < again else 1)
            if used[market.pool] + weight <= SHARE * market.weight_per_minute:
                used[market.pool] += weight
                self.lacks[name, symbol] = 0
            else:
                self.lacks[name, symbol] += 1
                left += 1
        self.waited += left > 0
        self.most = {pool: max(self.most.get(pool, 0), weight) for pool, weight in used.items()}

    def sleep(self) -> None:
        """A minute without a request."""
        for series in self.lacks:
            self.lacks[series] += 1


def cost(market: Market, minutes: int) -> int:
    """The weight of the pages for so many missing minutes."""
    pages, rest = divmod(minutes + KNOWN, market.most_rows)
    return pages * market.weight(market.most_rows) + (market.weight(rest) if rest else 0)


def main() -> None:
    """Run it and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=20)
    for name, count in (("spot", 14_000), ("usdm", 5_400), ("coinm", 600)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--again", type=float, default=0.02, help="the part of requests that are made twice")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(machine())
    series = [(name, f"S{number}{name.upper()}") for name in MARKETS for number in range(getattr(options, name))]
    shards = [Shard(number + 1, options.shards) for number in range(options.shards)]
    addresses = [Address({one: 0 for one in series if shard.takes(one[1])}) for shard in shards]
    chance = random.Random(options.seed)
    for minute in range(SILENT_FROM):
        for address in addresses:
            address.ask(minute, options.again, chance)
    show(addresses, len(series))
    silent(addresses[0], options.again, chance)
    gone(addresses[1], addresses[2], options.again, chance)


def show(addresses: list[Address], series: int) -> None:
    """What an ordinary five hours cost."""
    counts = sorted(len(address.lacks) for address in addresses)
    line("series of the fullest address", counts[-1], "", peer="an even share", other=series / len(addresses))
    for pool, per_minute in {market.pool: market.weight_per_minute for market in MARKETS.values()}.items():
        most = max(address.most[pool] for address in addresses)
        line(f"weight of its fullest minute: {pool}", most, "", peer="the limit", other=per_minute, limit="≤ 0.9")
    late = sum(address.waited for address in addresses)
    line("minutes in which a series had to wait for the next one, of all addresses", late, "", limit="= 0")


def silent(address: Address, again: float, chance: random.Random) -> None:
    """An address is asked to be silent for an hour, and then catches up."""
    for _ in range(HOUR_MINUTES):
        address.sleep()
    minutes = 0
    while any(address.lacks.values()):
        address.ask(SILENT_FROM + HOUR_MINUTES + minutes, again, chance)
        minutes += 1
    line("minutes until an address has all of an hour in which it was silent", minutes, "min", limit="≤ 5")


def gone(lost: Address, other: Address, again: float, chance: random.Random) -> None:
    """A machine is gone; three minutes later another has its shard beside its own, for an hour."""
    for _ in range(3):
        lost.sleep()
    both = Address(lost.lacks | other.lacks)
    minutes = 0
    for minute in range(GONE_FROM, GONE_FROM + HOUR_MINUTES):
        both.ask(minute, again, chance)
        minutes += any(both.lacks.values())
    line("minutes of an hour in which an address with two shards leaves a series for the next", minutes, "min")


if __name__ == "__main__":
    main()
