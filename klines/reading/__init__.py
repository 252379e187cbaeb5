"""For who uses the data: klines, what there is, what there is not and why."""
