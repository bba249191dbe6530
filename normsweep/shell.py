"""Options that commands share, and how a command ends: its exit status and its last messages."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from normsweep import version
from normsweep.errors import Interrupted, NormsweepError, UserError
from normsweep.text import masked, printable, reason

__all__ = [
    "DataDir",
    "DeviceName",
    "OutputFormat",
    "Overrides",
    "Plugins",
    "Storage",
    "StudyName",
    "StudyNames",
    "SweepFile",
    "TrackingUri",
    "command",
    "finish",
    "print_json",
    "run",
]

Storage = Annotated[str, Parameter(env_var="OPTUNA_STORAGE", help="URL of Optuna's database.")]
TrackingUri = Annotated[str, Parameter(env_var="MLFLOW_TRACKING_URI", help="MLflow tracking URI.")]
StudyName = Annotated[
    str | None, Parameter(help="Name of the study; optional if there is only one.")
]
StudyNames = Annotated[
    tuple[str, ...],
    Parameter(
        name="--study-name",
        negative=(),
        help="Name of the study, or of several, each with the option; optional if there is only one.",
    ),
]

Plugins = Annotated[
    tuple[str, ...],
    Parameter(negative=(), consume_multiple=True, help="Modules of the study's plug-ins."),
]

SweepFile = Annotated[str, Parameter(help="Sweep file, or name of an included sweep.")]
Overrides = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative=(),
        consume_multiple=True,
        help="KEY=VALUE: override keys of the sweep file, as in the study command.",
    ),
]
DataDir = Annotated[
    Path | None,
    Parameter(env_var="NORMSWEEP_DATA", help="Folder with mnist.npz and other datasets."),
]
DeviceName = Annotated[
    Literal["auto", "cpu", "gpu"],
    Parameter(help="Device to train on; auto uses a GPU if there is one."),
]

OutputFormat = Annotated[
    Literal["text", "json"], Parameter(help="Text for people, or JSON for programs.")
]

USAGE_ERROR = 2


LONGEST = 1000
"""Characters of a message about the command line, which may list many values."""


def command(name: str, help_text: str) -> App:
    """A command whose errors, exit status and Ctrl-C are handled by `run`."""
    return App(
        name=name,
        help=help_text,
        version=version,
        help_format="plaintext",
        help_formatter="plain",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )


VARIABLES = (
    "OPTUNA_STORAGE",
    "MLFLOW_TRACKING_URI",
    "NORMSWEEP_MLFLOW_PAGE",
    "NORMSWEEP_DATA",
    "RAY_ADDRESS",
)
"""Variables that options are read from."""


def run(app: App, arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors of the user are lines on standard error, never a traceback.

    Returns:
        0 done; 1 ended early; 2 an error of the user; 130 and 143 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for variable in VARIABLES:
        if os.environ.get(variable) == "":  # is not set, as it is for MLflow and Ray
            del os.environ[variable]
    try:
        return int(app(given, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        _print_error([reason(error, most=LONGEST), f"see {app.name[0]} --help"])
        return USAGE_ERROR
    except UserError as error:
        _print_error(error.lines)
        return USAGE_ERROR
    except Interrupted as error:
        shown = [masked(token) for token in given]
        hidden = "" if shown == given else ", with the password instead of ***"
        _print_error(
            [
                f"stopped by {error}: everything so far is stored; run the command again to resume{hidden}:",
                f"  {shlex.join([*app.name[0].split(), *shown])}",
            ]
        )
        return error.exit_status
    except BrokenPipeError:  # the reader of the output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (NormsweepError, OSError) as error:
        _print_error([reason(error) if isinstance(error, OSError) else str(error)])
        return 1
    except Exception:  # a bug: Python's traceback, with passwords masked
        print(printable(masked(traceback.format_exc().rstrip())), file=sys.stderr)
        return 1


def print_json(content: object) -> None:
    """Print plain values as JSON, numbers that are not finite as null."""
    print(json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(content: object) -> object:
    match content:
        case Mapping():
            return {str(key): _finite(value) for key, value in content.items()}
        case list() | tuple():
            return [_finite(value) for value in content]
        case float() if not math.isfinite(content):
            return None
        case _:
            return content


def finish(app: App) -> NoReturn:
    """Run a command and exit; once it has ended, signals are ignored."""
    _open_streams()
    _listen()
    status = run(app)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def _open_streams() -> None:
    """Open standard streams that are closed, and replace characters that their encoding cannot represent.

    Without it, the next file that is opened, such as a database, would become standard output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
        elif number and isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            with contextlib.suppress(OSError):  # a stream that cannot be changed stays as it is
                stream.reconfigure(errors="plainly")


def _listen() -> None:
    """Raise `Interrupted` for SIGINT and SIGTERM, from the first import of a command on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _print_error(lines: Sequence[str]) -> None:
    for line in lines:
        text = printable(masked(line))
        print(f"normsweep: {text}" if not text.startswith(" ") else text, file=sys.stderr)
