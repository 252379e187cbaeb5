"""What the backfill is measured against, each run as a process of its own that prints what it took."""
