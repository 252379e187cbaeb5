"""Where a minute's time goes, beside its bare requests."""
