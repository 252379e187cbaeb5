"""Logs are bounded while they are written; a stack that runs sees to it: tests/stack/test_stack.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stack.home import private
from stack.logs import LOG_BYTES, put_aside

WRITES = """
import sys
for _ in sys.stdin:
    print('x' * 99, flush=True)
    print('heard', file=sys.stderr, flush=True)
"""


def test_a_log_that_is_too_long_is_put_aside_while_it_is_written(tmp_path: Path) -> None:
    """Its end is kept, its owner's alone, in the place of the one before; who writes it goes on at its beginning."""
    log, old = tmp_path / "server.log", tmp_path / "server.old.log"
    log.write_text("first\n")
    old.write_text("of before\n")
    os.truncate(log, 3 * LOG_BYTES)
    with (
        open(log, "ab", opener=private) as output,
        subprocess.Popen(
            [sys.executable, "-c", WRITES], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE, text=True
        ) as writer,
    ):
        assert writer.stdin is not None
        assert writer.stderr is not None

        def write() -> None:
            print("go", file=writer.stdin, flush=True)
            assert writer.stderr.readline() == "heard\n"  # type: ignore[union-attr]

        write()
        put_aside(log)
        assert 0 == log.stat().st_size
        assert LOG_BYTES == old.stat().st_size
        assert old.read_bytes().endswith(b"x" * 99 + b"\n")
        write()
        put_aside(log)
        assert "x" * 99 + "\n" == log.read_text()


def test_what_can_not_be_put_aside_is_emptied(tmp_path: Path) -> None:
    """Where the copy can't be made, such as on a full disk, the log is bounded all the same; no file, nothing done."""
    log = tmp_path / "server.log"
    (tmp_path / "server.old.log").mkdir()
    log.touch()
    os.truncate(log, LOG_BYTES + 1)
    put_aside(log)
    assert 0 == log.stat().st_size
    put_aside(tmp_path)
    put_aside(tmp_path / "none.log")
    assert {log, tmp_path / "server.old.log"} == set(tmp_path.iterdir())
