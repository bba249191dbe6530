"""Latency of the commands: `--help`, `check`, and the first training step of a study."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from benchmarks.commands import seconds
from benchmarks.measured import Goal, Measure, Row, write
from normsweep.shell import run

SWEEP = """
name = "NAME"
reference = "unit"
[data]
dataset = "digits"
train_size = 160
[search]
trials = 2
[search.space]
normalization = ["none", "unit"]
learning_rate = 0.001
optimizer = "adam"
epochs = 1
"""
"""One step of 128 images per epoch; the other 32 are for validation."""

app = App(
    name="python -m benchmarks.latency",
    help="Measure the latency of --help, check and the first training step.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def latency(
    *,
    repeats: Annotated[int, Parameter(help="Measurements of each, alternately.")] = 5,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure all and print the table."""
    with tempfile.TemporaryDirectory() as work:
        folder, script = Path(work), str(Path(sys.executable).with_name("normsweep"))
        commands: dict[str, Callable[[], float]] = {
            "--help": lambda: seconds(folder, [script, "--help"]),
            "check": lambda: seconds(folder, [script, "check", "quickstart"]),
            "import tensorflow": lambda: seconds(folder, ["-c", "import tensorflow"]),
            "first step": lambda: _first_step(folder),
        }
        for measure in commands.values():
            measure()
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, measure in commands.items():
                found[name].append(measure())
    beyond = [a - b for a, b in zip(found["first step"], found["import tensorflow"], strict=True)]
    rows = [
        Row("--help", Measure("s", tuple(found["--help"])), Goal(0.5)),
        Row("check quickstart", Measure("s", tuple(found["check"])), Goal(0.8)),
        Row("import tensorflow", Measure("s", tuple(found["import tensorflow"]))),
        Row(
            "from the command to the end of the first step",
            Measure("s", tuple(found["first step"])),
        ),
        Row("first step, beyond import tensorflow", Measure("s", tuple(beyond)), Goal(3)),
    ]
    write("latency of the commands", "latency", rows, output)
    return 0


def _first_step(folder: Path) -> float:
    """Seconds from the command to the end of the first trial, which is one step and a short validation."""
    from normsweep.store.storage import read_study

    name = f"s{time.monotonic_ns()}"
    (folder / "first.toml").write_text(SWEEP.replace("NAME", name))
    began = time.time()
    seconds(folder, ["-m", "normsweep.study", "first.toml", "--phase", "search"])
    records = read_study(f"sqlite:///{folder}/mlruns/optuna.db", name).trials
    first = records[0].result
    assert first is not None
    return first.started + first.seconds - began


if __name__ == "__main__":
    sys.exit(run(app))
