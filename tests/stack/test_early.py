"""Programs that are started before they are needed, and the database that Prefect begins with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack import template
from tests import CHECKOUT


@pytest.mark.parametrize(("line", "said"), [(json.dumps(["platform", "--terse"]), True), ("", False)])
def test_a_program_that_waits(line: str, said: bool) -> None:
    """It is the program that the line names once it is told, and ends with its input where it is told nothing."""
    command = [sys.executable, "-m", "stack.early", "stack.home"]
    done = subprocess.run(command, cwd=CHECKOUT, input=line, capture_output=True, text=True)
    assert (0, said, "") == (done.returncode, bool(done.stdout), done.stderr)


def test_a_home_begins_once(prefect_db: Path, tmp_path: Path) -> None:
    """Only a home without a database begins, with or without one that is kept; what it has stays."""
    assert template.begin(tmp_path, tmp_path / "kept.db")
    assert [] == list(tmp_path.iterdir())
    assert template.begin(tmp_path, prefect_db)
    assert prefect_db.read_bytes() == (tmp_path / "prefect.db").read_bytes()
    assert 0 == (tmp_path / "prefect.db").stat().st_mode & 0o077
    (tmp_path / "prefect.db").write_bytes(b"mine")
    assert not template.begin(tmp_path, prefect_db)
    assert b"mine" == (tmp_path / "prefect.db").read_bytes()
