"""The environment of our processes: whose Prefect server they ask, where its things are, and no proxy on loopback.

Prefect reads its settings while it is imported, so all of this is done before. What the user's environment says stays;
then comes the `.env` of the checkout. A profile of Prefect's, which another project may have made, never counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from klines.binance.proxies import VARIABLES
from klines.checkout import CHECKOUT, env_file

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PIDS, URL = "stack.pids", "stack.url"
"""In a home: the processes of the stack that runs there, which holds a lock on this file, and its server's address."""
_TRIES, _LOOK_S = 10, 0.05


def complete() -> None:
    """Complete this process's environment, and so that of its children; raises BadParameter for a bad `.env`."""
    given = {name.upper(): value for name, value in env_file().items()}
    for name in given.keys() - os.environ.keys():
        if name.startswith("PREFECT_"):
            os.environ[name] = given[name]
    os.environ["PREFECT_HOME"] = str(home())
    os.environ["PREFECT_PROFILES_PATH"] = str(home() / "no-profiles.toml")  # where there are none: Prefect's defaults
    os.environ.pop("PREFECT_PROFILE", None)
    os.environ.setdefault("DO_NOT_TRACK", "1")
    spare_loopback()
    spell_socks()


def heed_interrupts() -> None:
    """Let Ctrl-C reach who waits for another thread; call it when polars is imported. polars takes the signal, and has
    what was waited for waited for again: nobody hears of it then before that has come, which may take minutes."""
    signal.siginterrupt(signal.SIGINT, True)


def home() -> Path:
    """Where Prefect's things are: PREFECT_HOME, else in the checkout, else (only to look) in the user's home."""
    named = os.environ.get("PREFECT_HOME")
    return Path(named).expanduser().absolute() if named else (CHECKOUT or Path.home()) / ".prefect"


def spare_loopback() -> None:
    """Let no proxy have what our processes say to each other; Binance is still asked through it."""
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        kept = [host.strip() for host in (os.environ.get(name) or os.environ.get(other) or "").split(",")]
        if "*" not in kept:
            os.environ[name] = ",".join(dict.fromkeys([*filter(None, kept), *LOOPBACK]))


def spell_socks() -> None:
    """`socks://`, as desktops write it, is `socks5://`: Prefect's client, which reads these even where it uses none,
    knows that alone."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        value = os.environ.get(name, "")
        if value.lower().startswith("socks://"):
            os.environ[name] = f"socks5{value[len('socks') :]}"


def running(folder: Path) -> str | None:
    """The API of the Prefect server of the stack that runs with this home: empty while it starts, None if none does."""
    try:
        with (folder / PIDS).open() as pids:
            if _is_free(pids.fileno()):
                return None
        return (folder / URL).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "" if (folder / PIDS).exists() else None
    except OSError:
        return None


def hold(descriptor: int) -> bool:
    """Take the lock, which `running` takes for a moment, too; False where somebody has it. Raises OSError where a file
    system has no locks."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOOK_S)
    return False


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where no stack can run
        return True
    return True


@contextlib.contextmanager
def noted(folder: Path, api_url: str) -> Iterator[None]:
    """While this lasts, `running` finds the server; for who holds the lock."""
    path = folder / URL
    path.touch(0o600)
    path.write_text(api_url, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
