"""The programs by the names that users call them."""

from __future__ import annotations

from klines.errors import BadParameter
from klines.exports.archive import MonthlyCsv
from klines.exports.frames import Frames
from klines.exports.freqtrade import Freqtrade
from klines.exports.hive import Hive
from klines.exports.jesse import Jesse
from klines.exports.names import ProgramName
from klines.exports.nautilus import Nautilus
from klines.exports.target import Target

TARGETS: dict[ProgramName, Target] = {
    "freqtrade": Freqtrade(),
    "nautilus": Nautilus(),
    "jesse": Jesse(),
    "pandas": Frames(),
    "parquet": Hive(),
    "csv": MonthlyCsv(),
}


def target_named(name: str) -> Target:
    """The program of that name; raises BadParameter."""
    if not isinstance(name, str) or name not in TARGETS:
        raise BadParameter(f"to: {name!r:.100} is none of {', '.join(TARGETS)}")
    return TARGETS[name]
