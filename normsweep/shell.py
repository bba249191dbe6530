"""How a command ends: its exit status, and what a person is told."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter

from normsweep import version
from normsweep.errors import Interrupted, NormsweepError, UserError
from normsweep.text import masked, printable, reason

__all__ = ["Plugins", "Storage", "StudyName", "TrackingUri", "command", "finish", "run"]

Storage = Annotated[str, Parameter(env_var="OPTUNA_STORAGE", help="Optuna's database: the record.")]
TrackingUri = Annotated[
    str, Parameter(env_var="MLFLOW_TRACKING_URI", help="MLflow's tracking store.")
]
StudyName = Annotated[
    str | None, Parameter(help="Name of the study; not needed where there is one only.")
]

Plugins = Annotated[
    tuple[str, ...],
    Parameter(negative=(), consume_multiple=True, help="Modules of the study's plug-ins."),
]

MISTAKE = 2


WORDY = 1000
"""Characters of a message about the command line, which lists what is legal."""


def command(name: str, help_text: str) -> App:
    """A command whose mistakes, status and Ctrl-C are left to `run`."""
    return App(
        name=name,
        help=help_text,
        version=version,
        help_format="plaintext",
        help_formatter="plain",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )


def run(app: App, arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes are lines on standard error, never a traceback.

    Returns:
        0 done; 1 ended early; 2 a mistake of the user's; 130 and 143 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(app(given, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        _tell([reason(error, most=WORDY), f"{app.name[0]} --help lists what is legal"])
        return MISTAKE
    except UserError as error:
        _tell(error.lines)
        return MISTAKE
    except Interrupted as error:
        shown = [masked(token) for token in given]
        hidden = "" if shown == given else ", with the password in place of ***"
        _tell([f"stopped by {error}: everything so far is recorded; to go on{hidden}:"])
        _tell([f"  {shlex.join([*app.name[0].split(), *shown])}"])
        return error.exit_status
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NormsweepError, OSError) as error:
        _tell([reason(error) if isinstance(error, OSError) else str(error)])
        return 1
    except Exception:  # an accident of ours: Python's own report, without passwords
        print(printable(masked(traceback.format_exc().rstrip())), file=sys.stderr)
        return 1


def finish(app: App) -> NoReturn:
    """Run a command and leave; from here on nothing is worth an interruption."""
    _listen()
    status = run(app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def _listen() -> None:
    """Have both signals end a command in the same way, from its first import on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        text = printable(masked(line))
        print(f"normsweep: {text}" if not text.startswith(" ") else text, file=sys.stderr)
