"""The address that the server listens on, its password, and the files of its home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from klines.errors import BadParameter
from klines.explorer.door import LOOPBACK
from stack.home import close_env, make_private
from stack.opening import binding, check_password, is_loopback, names, reached_at, weak
from tests import CHECKOUT

GOOD = "klines:correct horse battery"
WEAK = [
    *("", ":", " ", "  :  ", "x", "name:", ":pw", ":correct horse battery", "name", "name:short", "name:1234567"),
    *("name:        ", "name:\t\t\t\t\t\t\t\t", "name:aaaaaaaa", "name:abababab", "name:password", "name:Password"),
    *("administrator:administrator", "name:12345678", "name:  1234  ", "correct horse battery", "\x01:\x01"),
]


@pytest.mark.parametrize("auth", WEAK)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "klines.example", "0", "127.0.0.1.evil.example"])
def test_an_open_address_needs_a_password(monkeypatch: pytest.MonkeyPatch, host: str, auth: str) -> None:
    """What others reach is refused with a password that is none, or the first that they try; what to set is said."""
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", host)
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, auth)
    with pytest.raises(BadParameter, match=r"^PREFECT_SERVER_API_HOST: .*PREFECT_SERVER_API_AUTH_STRING and .*$"):
        binding()
    with pytest.raises(BadParameter):
        check_password(host, auth)


@pytest.mark.parametrize("auth", [GOOD, "a:bcdefghi", "name:pass:word", "ключ:пароль от всего", "n:0123456789abcdef"])
def test_a_password_that_is_one(monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    """Eight characters that are not of a kind will do, a colon among them, too."""
    assert "" == weak(auth)
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", "0.0.0.0")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", auth)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", auth)
    assert "0.0.0.0" == binding()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("given", [None, "", "klines:another battery", GOOD.upper()])
def test_our_own_processes_give_the_same(monkeypatch: pytest.MonkeyPatch, host: str, given: str | None) -> None:
    """A server that asks for a password which worker and runs do not give is not started; no password is printed."""
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", host)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", GOOD)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    if given is not None:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", given)
    with pytest.raises(BadParameter, match=r"^PREFECT_API_AUTH_STRING: ") as refused:
        binding()
    assert "battery" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("host", "is_ours", "at"),
    [("127.0.0.1", True, "127.0.0.1"), ("127.0.0.2", True, "127.0.0.2"), ("localhost", True, "127.0.0.1"),
     ("::1", True, "[::1]"), ("0.0.0.0", False, "127.0.0.1"), ("::", False, "[::1]"), ("fd00::1", False, "[fd00::1]"),
     ("192.168.0.7", False, "192.168.0.7"), ("yourhost", False, "yourhost"), ("0", False, "0")],
)  # fmt: skip
def test_addresses(host: str, is_ours: bool, at: str) -> None:
    """Which addresses this machine alone reaches, and where our own processes find the server."""
    assert (is_ours, at) == (is_loopback(host), reached_at(host))


def test_names_are_what_the_user_says() -> None:
    """Without a password the server goes by the names of loopback alone; with one, by those that the user gave it, too:
    the address it listens on, and those of the URLs."""
    urls = [
        "https://klines.example/api",
        "/api",
        "",
        "http://user:pw@other.example:4200/api",
        "http://127.0.0.1:4200/api",
    ]
    assert {*LOOPBACK} == names("0.0.0.0", "x", urls).hosts
    assert {*LOOPBACK, "127.0.0.2"} == names("127.0.0.2", "", urls).hosts
    behind = names("127.0.0.1", GOOD, urls)
    assert {*LOOPBACK, "klines.example", "other.example"} == behind.hosts
    assert {("https", "klines.example", 443), ("http", "other.example", 4200)} == behind.origins
    assert not behind.any_address
    assert names("0.0.0.0", GOOD, []).has("192.168.0.7")
    assert names("MyBox", GOOD, []).has("mybox")
    assert not names("0.0.0.0", GOOD, []).has("0.0.0.0")


def test_nothing_is_started(tmp_path: Path) -> None:
    """The server by itself ends with status 2 and one line before anything is made; but Prefect makes its home while it
    is imported. `klines run` is in test_stack."""
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_API_HOST": "0.0.0.0",
        "PREFECT_SERVER_API_AUTH_STRING": WEAK[-1],
        "PREFECT_API_AUTH_STRING": WEAK[-1],
        "PREFECT_API_URL": "",
    }
    command = [sys.executable, "-m", "stack.serve"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("klines: PREFECT_SERVER_API_HOST: ")
    assert 1 == done.stderr.count("\n")
    assert [tmp_path / "prefect"] == list(tmp_path.rglob("*"))


def mode(path: Path) -> str:
    """The permissions of a file, in octal."""
    return f"{path.stat().st_mode & 0o777:03o}"


def test_a_home_is_made_private(tmp_path: Path) -> None:
    """A home is made for its owner alone, whatever the umask, and one that others could read is mended; what a link
    leads to stays as it is."""
    before = os.umask(0)
    try:
        make_private(tmp_path / "new")
        (tmp_path / "old" / "storage").mkdir(parents=True)
        for name in ("prefect.db", "stack.pids", "storage/result"):
            (tmp_path / "old" / name).touch(mode=0o666)
        (tmp_path / "klines.duckdb").touch(mode=0o644)
        (tmp_path / "old" / "link").symlink_to(tmp_path / "klines.duckdb")
        make_private(tmp_path / "old")
    finally:
        os.umask(before)
    assert ["700", "700"] == [mode(tmp_path / "new"), mode(tmp_path / "new" / "logs")]
    assert ["700", "700"] == [mode(tmp_path / "old"), mode(tmp_path / "old" / "storage")]
    assert ["600"] * 3 == [mode(tmp_path / "old" / name) for name in ("prefect.db", "stack.pids", "storage/result")]
    assert "644" == mode(tmp_path / "klines.duckdb")


@pytest.mark.parametrize("was", ["644", "660", "604", "777"])
def test_settings_that_others_could_read(tmp_path: Path, was: str) -> None:
    """A `.env` that others could read is closed, which is said once; the owner may do with it what he could."""
    path = tmp_path / ".env"
    path.touch()
    path.chmod(int(was, 8))
    assert f"{path} could be read by others (0{was}); now only by you" == close_env(path)
    assert f"{was[0]}00" == mode(path)
    assert "" == close_env(path)


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    """No `.env`, and one that is a link to elsewhere, is left as it is."""
    assert "" == close_env(tmp_path / ".env")
    (tmp_path / "elsewhere").touch(mode=0o644)
    (tmp_path / ".env").symlink_to(tmp_path / "elsewhere")
    assert "" == close_env(tmp_path / ".env")
    assert "644" == mode(tmp_path / "elsewhere")
