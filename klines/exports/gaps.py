"""What is not in an export, and why: a CSV for each series, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from klines.exports.stored import Subject
from klines.exports.target import series_in_paths


def gaps_file(subject: Subject, gaps: pl.DataFrame) -> tuple[str, bytes]:
    """The path below the folder, and the text: of which interval, from when to before when (UTC), and the reason."""
    path = f"gaps/{series_in_paths(subject)}-{subject.symbol}.csv"
    text = gaps.drop("symbol").write_csv(datetime_format="%Y-%m-%d %H:%M:%S")
    return path, text.encode()


def in_words(gaps: Sequence[pl.DataFrame]) -> str:
    """`; gaps/ has 3 exchange_outage, 1 due`; nothing where all is stored."""
    reasons = pl.concat([pl.Series("reason", [], pl.String), *(rows["reason"] for rows in gaps)])
    counts = reasons.value_counts(sort=True).sort("count", "reason", descending=[True, False])
    listed = ", ".join(f"{count:,} {reason}" for reason, count in counts.iter_rows())
    return f"; gaps/ names what is not stored: {listed}" if listed else ""
