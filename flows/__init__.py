"""Prefect flows, one file each. `python -m flows.collect …` is `klines collect …`."""

import contextlib
import ctypes
import gc
import os
import re
import sys

# While Python looks for flows.collect; the command then sets what must stand before Prefect is imported.
if sys.argv[0] == "-m" and (asked := re.search(r" -m ?flows\.(\w+)", " ".join(sys.orig_argv))):
    os.execv(sys.executable, [sys.executable, "-m", "klines.cli", asked[1], *sys.argv[1:]])

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # of a temporary server, too: nobody is told
os.environ.setdefault("DO_NOT_TRACK", "1")
# polars' allocator gives memory back after 0.2 s, not 10: a sixth of what a backfill takes
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:200,muzzy_decay_ms:0")
if (
    sys.platform == "linux"
):  # and glibc's keeps two arenas, not eight a core, of which each thread leaves one half empty
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(-8, 2)  # M_ARENA_MAX
# not 700: nearly all that an import makes stays, so that looking for garbage takes a twelfth of its time and finds none
gc.set_threshold(50_000, 20, 100)
