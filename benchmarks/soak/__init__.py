"""The soak: hours of the whole stack against the stand-in, with random faults, kills and readers; then every kline is
compared with the truth."""
