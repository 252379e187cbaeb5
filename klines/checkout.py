"""Where klines is: in a checkout, with its `.env`, or installed without one."""

from __future__ import annotations

import io
from pathlib import Path

from klines.errors import BadParameter

DISTRIBUTION = "everykline"
"""The name under which klines is installed, as pyproject.toml has it."""


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[1]
    is_one = (folder / "flows" / "collect.py").is_file() and (folder / "prefect.yaml").is_file()
    return folder if is_one else None


CHECKOUT = _checkout()
"""The folder with flows, deployments and `.env`; None where the package alone is installed."""
ENV_FILE = CHECKOUT / ".env" if CHECKOUT else None


def how_to_install(extra: str) -> str:
    """What brings the packages of an extra, as in `[lake]`; a checkout is installed as it is, so that it stays one."""
    return f"pip install -e '.{extra}' in {CHECKOUT}" if CHECKOUT else f"pip install '{DISTRIBUTION}{extra}'"


def env_file() -> dict[str, str]:
    """The variables of the checkout's `.env`; raises BadParameter where that is no text of lines NAME=value."""
    if ENV_FILE is None or not ENV_FILE.exists():
        return {}
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    text = _text(ENV_FILE)
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            raise BadParameter(f"{ENV_FILE}: line {line.original.line} can't be read; write NAME=value")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _text(path: Path) -> str:
    if not path.is_file():
        raise BadParameter(f"{path} is no file; move it away, and write the settings into a file of that name")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadParameter(f"{path} can't be read ({error.strerror}); let this user read it") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadParameter(f"{path} is no text in UTF-8; save it in that encoding (many editors call it 'plain text')")
    return text
