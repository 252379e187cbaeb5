"""What is said once everything serves: where what is, and what to do next."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from klines.settings import Settings
from klines.symbol import is_pattern


def greeting(loaded: Settings, ui: str, logs: Path, env_file: Path | None, more: str = "") -> str:
    """The lines, with one `more`; those of a demo name the file that points a shell at it, `env_file`."""
    symbols = [entry for entry in loaded.symbols if not is_pattern(entry)] or ["BTCUSDT"]
    klines = command()
    lines = [f"Prefect's UI   {ui}", f"database       {loaded.database}", f"logs           {logs}"]
    lines += [more] if more else []
    if env_file:
        faults = f"{loaded.spot_url}/faults?symbol={symbols[-1]}"
        lines += [f"a fault        curl -X POST '{faults}&kind=status&status=500'"]
        lines += [f"and its end    curl -X DELETE '{faults}'"]
        lines += [f"in a shell     . {shlex.quote(str(env_file))}"]
        klines = "klines"  # that puts it on the path
    return "\n".join([*lines, f"next           {klines} status · {klines} read {symbols[0]} · {klines} explore"])


def command() -> str:
    """What to type for `klines` in a shell here."""
    if shutil.which("klines"):
        return "klines"
    script = Path(sys.executable).with_name("klines")
    return os.path.relpath(script) if script.exists() else f"{os.path.relpath(sys.executable)} -m klines.cli"


@contextlib.contextmanager
def demo_shell(file: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """A file that a shell reads to have the demo's settings, and, while this lasts, its Prefect server."""
    programs = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    lasting = {**settings, "PREFECT_HOME": os.environ["PREFECT_HOME"]}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in lasting.items()]
    server = f"export PREFECT_API_URL={shlex.quote(os.environ['PREFECT_API_URL'])}"
    file.write_text("\n".join([*lines, server, programs, ""]))
    try:
        yield
    finally:
        file.write_text("\n".join([*lines, "unset PREFECT_API_URL", programs, ""]))
