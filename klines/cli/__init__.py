"""The command `klines`: its sub-commands, their options and help. What they do is elsewhere.

Nothing heavy (Prefect, polars, duckdb, pydantic) is imported before a command that needs it runs, so that help comes at
once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

from klines.checkout import how_to_install

_KEPT = {
    "export": "stopped; what is written stays, and another export writes the rest",
    "move": "stopped; what is copied stays, and the same command goes on from there",
}
"""What is said after Ctrl-C, by the command; those that collect say it themselves, and those that read keep nothing."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the arguments name, else those of the shell, and exit: 0 when all is well, 1 when not, 2 for
    a bad parameter or setting, 130 after Ctrl-C. What went wrong is one line."""
    be_lean()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal's encoding lacks is escaped, as a name of a file
            stream.reconfigure(errors="backslashreplace")
    sys.exit(exit_status(sys.argv[1:] if arguments is None else list(arguments)))


def be_lean() -> None:
    """Spare this process what nothing of ours needs: DuckDB would import pandas before the first statement with a
    parameter (0.4 s), and pyarrow.dataset with the first frame that it is given (0.14 s). Python looks for garbage each
    50,000 objects, not each 700: of the time that Prefect takes to be imported, that was a fourteenth. Nor does it at
    the end, which takes half a second of CPU once Prefect is imported: who opens a thing has closed it before."""
    for name in ("pandas", "pyarrow.dataset"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's own sign of a module that there is not
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def exit_status(arguments: list[str]) -> int:
    """Run the command, and return its exit status."""
    from cyclopts import CycloptsError

    from klines.cli.app import app
    from klines.errors import BadParameter, KlinesError

    try:
        return int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except CycloptsError as error:
        command = " ".join(["klines", *(error.command_chain or ())])
        text = " ".join(str(error).split())
        return refuse(f"{text.rstrip('.')}; see {command} --help", 2)
    except KlinesError as error:
        return refuse(str(error), 2 if isinstance(error, BadParameter) else 1)
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("klines"):
            raise
        return refuse(f"this needs the package {error.name}: {_advice(*arguments[:1])}", 1)
    except KeyboardInterrupt:
        return refuse(_KEPT.get(arguments[0] if arguments else "", "stopped"), 130)
    except BrokenPipeError:  # who reads us has gone; nor is there anybody for what Python would flush at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def refuse(text: str, number: int) -> int:
    """Say in one line what is wrong; the exit status `number`."""
    print(f"klines: {text}", file=sys.stderr)
    return number


def _advice(command: str) -> str:
    """How to install what a command needs."""
    return how_to_install({"explore": "[explore]", "export": "", "read": "", "status": ""}.get(command, "[collect]"))
