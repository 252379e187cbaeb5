"""The flow of funding rates: what lacks is asked for, written with its ledger, and summed up."""
