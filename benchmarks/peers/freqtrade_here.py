"""freqtrade, run by the Python of its own environment, with the archive at another address.

    python freqtrade_here.py URL download-data …

Where REST is, ccxt takes from the configuration; the archive's address is a constant of freqtrade.
"""

import sys

from freqtrade.exchange import binance_public_data
from freqtrade.main import main

url = sys.argv.pop(1)
theirs = binance_public_data.binance_vision_ohlcv_zip_url
binance_public_data.binance_vision_ohlcv_zip_url = lambda *argument: theirs(*argument).replace(
    "https://data.binance.vision", url
)
main()
