"""Prefect's database as it is at a first start: made once, while klines is installed, as that takes ten seconds.

python -m stack.template
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from stack.home import private

NAME = "prefect.db"
"""Of Prefect's database in its home."""


def place() -> Path:
    """Where the one that this version of Prefect begins with is kept."""
    return Path(sys.prefix) / f"prefect-{version('prefect')}.db"


def make(path: Path) -> None:
    """Make it there, unless it is there. Raises OSError, and subprocess.CalledProcessError."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / NAME
        ours = {
            "PREFECT_HOME": folder,
            "PREFECT_PROFILES_PATH": str(Path(folder) / "no-profiles.toml"),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{made}",
        }
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        subprocess.run(command, env=os.environ | ours, capture_output=True, check=True)
        _copy(made, path)


def begin(home: Path, kept: Path | None = None) -> bool:
    """Whether Prefect has no database in its home yet; it then begins with a copy of the one that is kept, if any."""
    database = home / NAME
    if database.exists():
        return False
    with contextlib.suppress(OSError):
        _copy(kept or place(), database)
    return True


def _copy(source: Path, target: Path) -> None:
    """A copy that is its owner's alone, and there whole or not at all."""
    part = target.with_suffix(".part")
    with source.open("rb") as whole, open(part, "wb", opener=private) as copy:
        shutil.copyfileobj(whole, copy)
    part.replace(target)


if __name__ == "__main__":
    make(place())
