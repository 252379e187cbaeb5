"""Prefect flows, one file each."""

import os

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # of a temporary server, too: nobody is told
os.environ.setdefault("DO_NOT_TRACK", "1")
# polars' allocator gives memory back after 0.2 s, not 10: a sixth of what a backfill takes
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:200,muzzy_decay_ms:0")
