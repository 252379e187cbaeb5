"""Whether everything is as klines takes it to be: this machine, the way to Binance, and Binance itself."""
