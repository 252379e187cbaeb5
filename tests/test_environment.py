"""Where settings come from, and the environment that our processes have before Prefect reads it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from klines.cli import environment
from klines.cli.environment import LOOPBACK, PIDS, hold, noted, running, spare_loopback
from klines.cli.server import ASK_VERSION, chosen_api
from klines.settings import Settings
from stack.greeting import demo_shell, greeting
from tests import CHECKOUT
from tests.listener import Listener

OURS = ("KLINES_", "PREFECT_", "NO_PROXY", "no_proxy")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the test's own, as far as settings go, with a `.env` that the test may write."""
    folder = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "klines", folder / "klines", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "flows").mkdir()
    (folder / "flows" / "collect.py").touch()
    (folder / "prefect.yaml").touch()
    return folder


def told(checkout: Path, code: str, **variables: str) -> tuple[Any, str]:
    """What code in that checkout prints, as JSON, with nothing of ours in the environment but these variables; and the
    error, if it is ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    lines = [
        "import json, os",
        "from klines import settings",
        "from klines.cli import environment",
        "from klines.errors",
    ]
    lines[-1] += " import KlinesError\ntry:"
    lines += [f"    print(json.dumps({code}, default=str))", "except KlinesError as error:", "    exit(str(error))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=checkout, env=clean | variables, capture_output=True, text=True)
    return (json.loads(done.stdout) if done.stdout else None), done.stderr.rstrip("\n")


SETTINGS = "settings.load().model_dump()"
COMPLETED = "(environment.complete(), dict(os.environ))[1]"


def test_a_checkout_has_a_file_of_settings(checkout: Path) -> None:
    """What `.env` says counts, whatever folder the caller is in; the environment wins."""
    (checkout / ".env").write_text("KLINES_SYMBOLS=BTCUSDT 币安人生USDT\nexport KLINES_SINCE='2024-01-01'\n", "utf-8")
    found, _ = told(checkout, f"(os.chdir('/'), {SETTINGS})[1]", KLINES_SINCE="2025-02-02")
    assert ["BTCUSDT", "币安人生USDT"] == found["symbols"]
    assert "2025-02-02" == found["since"]
    assert str(checkout / "klines.duckdb") == found["database"]


def test_a_byte_order_mark_is_no_part_of_a_name(checkout: Path) -> None:
    """Some editors begin a file in UTF-8 with a mark."""
    (checkout / ".env").write_text("KLINES_SYMBOLS=ETHUSDT\n", "utf-8-sig")
    found, _ = told(checkout, SETTINGS)
    assert ["ETHUSDT"] == found["symbols"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("KLINES_SYMBOLS=ETHUSDT\n".encode("utf-16"), "is no text in UTF-8; save it in that encoding"),
        ("KLINES_SYMBOLS=ETHUSDT\n".encode("utf-16-le"), "is no text in UTF-8; save it in that encoding"),
        (b"KLINES_SYMBOLS=\xff\xfe\n", "is no text in UTF-8; save it in that encoding"),
        (b"KLINES_SYMBOLS=ETHUSDT\n= 'secret'\n", ": line 2 can't be read; write NAME=value"),
        (b"KLINES_SYMBOL=ETHUSDT\n", "KLINES_SYMBOL: there is no such setting; did you mean KLINES_SYMBOLS?"),
        (None, "is no file; move it away"),
    ],
)
def test_a_file_of_settings_that_can_not_be_used(checkout: Path, content: bytes | None, wrong: str) -> None:
    """What can't be read as text, has a line that is none, or a setting that does not exist, is one line."""
    file = checkout / ".env"
    file.mkdir() if content is None else file.write_bytes(content)
    _, error = told(checkout, SETTINGS)
    assert wrong in error
    assert "\n" not in error
    assert "secret" not in error


@pytest.mark.skipif(os.geteuid() == 0, reason="this user may read everything")
def test_a_file_of_settings_of_somebody_else(checkout: Path) -> None:
    """What may not be read is one line, too."""
    (checkout / ".env").write_text("KLINES_SYMBOLS=ETHUSDT\n")
    (checkout / ".env").chmod(0)
    _, error = told(checkout, SETTINGS)
    assert "can't be read (Permission denied)" in error


def test_prefects_settings_are_in_the_file_too(checkout: Path) -> None:
    """A PREFECT_ line of `.env` is in the environment of our processes; the environment's own wins."""
    (checkout / ".env").write_text("PREFECT_SERVER_API_PORT=4300\nPREFECT_API_URL=http://a/api\nOTHER=1\n")
    found, _ = told(checkout, COMPLETED, PREFECT_API_URL="http://b/api")
    assert ("4300", "http://b/api", None) == tuple(
        found.get(name) for name in ("PREFECT_SERVER_API_PORT", "PREFECT_API_URL", "OTHER")
    )


@pytest.mark.slow
def test_no_other_prefect_decides(checkout: Path, tmp_path: Path) -> None:
    """Prefect's things are in the checkout, whatever profile is active and wherever the user's own are; a PREFECT_HOME
    of ours is another place."""
    foreign = {
        "PREFECT_PROFILE": "work",
        "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
        "HOME": str(tmp_path),
    }
    (tmp_path / "profiles.toml").write_text(
        'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://foreign/api"\n'
    )
    (tmp_path / ".prefect").mkdir()
    shutil.copy(tmp_path / "profiles.toml", tmp_path / ".prefect")
    found, _ = told(checkout, COMPLETED, **foreign)
    assert str(checkout / ".prefect") == found["PREFECT_HOME"]
    assert "PREFECT_PROFILE" not in found
    told_by_prefect = "__import__('prefect.settings').settings.PREFECT_API_URL.value()"
    url, _ = told(checkout, f"(environment.complete(), {told_by_prefect})[1]", **foreign)
    assert url is None
    found, _ = told(checkout, COMPLETED, PREFECT_HOME=str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") == found["PREFECT_HOME"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, []),
        ({"NO_PROXY": "corp.example"}, ["corp.example"]),
        ({"no_proxy": "corp.example, .local"}, ["corp.example", ".local"]),
        ({"NO_PROXY": "a.example", "no_proxy": "127.0.0.1,b.example"}, ["127.0.0.1", "b.example"]),
    ],
)
def test_loopback_is_spared(given: dict[str, str], kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user exempts from the proxy stays so, and loopback is, too, by either name of the variable."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, given[name]) if name in given else None
    spare_loopback()
    assert kept == os.environ["no_proxy"].split(",")[: len(kept)]
    assert set(LOOPBACK) <= set(os.environ["no_proxy"].split(",")) & set(os.environ["NO_PROXY"].split(","))


def test_no_proxy_at_all_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The star alone means that nothing goes through a proxy; beside other names it would mean nothing."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    spare_loopback()
    assert ("*", "*") == (os.environ["NO_PROXY"], os.environ["no_proxy"])


def test_a_socks_proxy_as_desktops_spell_it(checkout: Path) -> None:
    """Prefect's client reads these variables even where it would not use them, and knows socks5:// alone."""
    found, _ = told(checkout, COMPLETED, ALL_PROXY="socks://127.0.0.1:1080", http_proxy="http://proxy.example:3128")
    assert ("socks5://127.0.0.1:1080", "http://proxy.example:3128") == (found["ALL_PROXY"], found["http_proxy"])


@pytest.mark.slow
def test_a_proxy_that_can_not_be_used(checkout: Path) -> None:
    """What is none, and what needs a package that is missing, is one line before Prefect reads it."""
    check = "__import__('klines.binance.proxies').binance.proxies.check_proxies()"
    for name in ("ALL_PROXY", "all_proxy", "https_proxy", "HTTP_PROXY"):
        _, error = told(checkout, check, **{name: "socks5://127.0.0.1:1080"})
        has_packages = find_spec("socksio") and find_spec("aiohttp_socks")
        assert (error == "") if has_packages else ("pip install aiohttp-socks socksio" in error)
        _, error = told(checkout, check, **{name: "socks4://127.0.0.1:1080"})
        assert error.startswith(f"{name.upper()}: 'socks4://127.0.0.1:1080' is no proxy; write")


def test_a_stack_that_runs_is_found(tmp_path: Path) -> None:
    """A stack holds a lock in its home, and notes the address of its server there; what a dead one left is ignored."""
    assert running(tmp_path) is None
    (tmp_path / PIDS).write_text("1\n")
    (tmp_path / environment.URL).write_text("http://127.0.0.1:4200/api")
    assert running(tmp_path) is None
    with (tmp_path / PIDS).open("a") as pids:
        assert hold(pids.fileno())
        with (tmp_path / PIDS).open("a") as others:
            assert not hold(others.fileno())
        (tmp_path / environment.URL).unlink()
        assert "" == running(tmp_path)
        with noted(tmp_path, "http://127.0.0.1:4201/api"):
            assert "http://127.0.0.1:4201/api" == running(tmp_path)
        assert "" == running(tmp_path)
    assert running(tmp_path) is None


@pytest.mark.parametrize(("version", "asks_again"), [(version("prefect"), False), ("3.0.0", True)])
def test_a_server_of_our_version_is_asked_for_that_once(
    version: str, asks_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect, too, asks each server for its version, which tells people of one that does not fit; not where it is
    known already that it is ours."""
    with Listener() as server:
        server.said = json.dumps(version).encode()
        monkeypatch.setenv("PREFECT_API_URL", server.url)
        monkeypatch.delenv(ASK_VERSION, raising=False)
        assert server.url == chosen_api()
    assert asks_again == (os.environ.pop(ASK_VERSION, "true") == "true")


def test_a_shell_is_pointed_at_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that a shell reads gives it the demo's data, and its server for as long as that runs; `klines` is on the
    path."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "it's"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4210/api")
    file = tmp_path / "env"

    def seen() -> list[str]:
        script = (
            f". {shlex.quote(str(file))}; echo $KLINES_DATABASE; echo $PREFECT_HOME; echo $PREFECT_API_URL; echo $PATH"
        )
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    with demo_shell(file, {"KLINES_DATABASE": "/demo/klines.duckdb"}):
        database, home, url, path = seen()
        assert ("/demo/klines.duckdb", str(tmp_path / "it's")) == (database, home)
        assert "http://127.0.0.1:4210/api" == url
        assert str(Path(sys.executable).parent) == path.split(":")[0]
    assert ["/demo/klines.duckdb", ""] == seen()[::2][:2]


def test_what_is_said_when_all_serves(tmp_path: Path) -> None:
    """The address of the UI, the database, the logs, and three commands to go on with; in a demo also how to break it,
    and the file for a shell."""
    loaded = Settings(database=tmp_path / "k.duckdb", symbols=["*BTC", "ETHUSDT"])
    lines = greeting(loaded, "http://127.0.0.1:4200", tmp_path / "logs", None).splitlines()
    heads = [
        "Prefect's UI   http://127.0.0.1:4200",
        f"database       {tmp_path}/k.duckdb",
        f"logs           {tmp_path}/logs",
    ]
    assert heads == lines[:3]
    assert 4 == len(lines)
    assert lines[3].startswith("next           ")
    assert ["status", "read ETHUSDT", "explore"] == [
        part.partition("klines")[2].removeprefix(".cli").strip() for part in lines[3].split(" · ")
    ]
    demo = greeting(loaded, "http://127.0.0.1:4210", tmp_path / "logs", tmp_path / "env")
    assert (
        f"in a shell     . {tmp_path}/env\nnext           klines status · klines read ETHUSDT · klines explore" in demo
    )
