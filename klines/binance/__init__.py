"""What Binance is: its REST interface and its archive, and how their answers become rows or our errors."""
