"""A strategy of freqtrade: in when the close crosses its mean upwards, out when downwards."""

from typing import ClassVar

from freqtrade.strategy import IStrategy
from pandas import DataFrame


class Crossing(IStrategy):  # type: ignore[misc] # freqtrade is not installed where this is checked
    """Long only, on a mean of 20 klines."""

    INTERFACE_VERSION = 3
    minimal_roi: ClassVar[dict[str, float]] = {"0": 0.05}
    stoploss = -0.1
    startup_candle_count = 20

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:  # noqa: ARG002
        """The mean."""
        dataframe["mean"] = dataframe["close"].rolling(20).mean()
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:  # noqa: ARG002
        """In."""
        dataframe.loc[dataframe["close"] > dataframe["mean"], "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, str]) -> DataFrame:  # noqa: ARG002
        """Out."""
        dataframe.loc[dataframe["close"] < dataframe["mean"], "exit_long"] = 1
        return dataframe
