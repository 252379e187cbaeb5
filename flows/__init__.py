"""Prefect flows, one file each."""

import os

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # of a temporary server, too: nobody is told
os.environ.setdefault("DO_NOT_TRACK", "1")
