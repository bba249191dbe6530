"""One training step by normsweep's engine beside one by plain `fit`, in the same process.

Both train LeNet with Adam in batches of 128 on the same float32 images, an epoch in turn, after one
that compiles. A step is the epoch's time by its batches; a little validation is in both.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from cyclopts import App, Parameter

from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.trials import lenet_trial, saved, threads
from normsweep.shell import run

if TYPE_CHECKING:
    from normsweep.spec import Trial
    from normsweep.training import Engine, Split

GOALS = {"float32": 0.9, "mixed_bfloat16": 0.55}
BATCH = 128

app = App(
    name="python -m benchmarks.step",
    help="Time one training step by normsweep's engine and by plain fit.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def step(
    *,
    repeats: Annotated[int, Parameter(help="Epochs of each, in turn.")] = 7,
    images: Annotated[int, Parameter(help="Images of MNIST to train on.")] = 6400,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure both and print the table."""
    from normsweep.training import environment

    os.environ.update(environment("cpu", threads()))
    found = step_seconds(legal_precisions(), images, repeats)
    rows = [
        Row(f"{name}, {precision}", Measure("ms", tuple(1000 * v for v in values)))
        for (name, precision), values in found.items()
    ]
    for precision, goal in GOALS.items():
        if ("normsweep", precision) in found:
            rows.append(_ratio(found, precision, "float32", Goal(goal)))
            if precision != "float32":
                rows.append(_ratio(found, precision, precision, None))
    write(f"a training step of LeNet, batches of {BATCH}", "step", rows, output)
    return 0


def legal_precisions() -> list[str]:
    """Those of the goals that a sweep may ask for."""
    from normsweep.spec.sweep import Model

    legal = get_args(get_type_hints(Model)["precision"])
    return [precision for precision in GOALS if precision in legal]


Found = dict[tuple[str, str], list[float]]
"""Seconds a step, by name and precision."""


def step_seconds(precisions: Sequence[str], images: int, repeats: int) -> Found:
    """By the engine and by plain `fit`, in each precision, measured in turn."""
    from normsweep.parts import datasets
    from normsweep.training import Engine

    folder = os.environ.get("NORMSWEEP_DATA")
    dataset = datasets.load("mnist", Path(folder) if folder else None).subset(images + BATCH, 0)
    with tempfile.TemporaryDirectory() as work:
        data = replace(saved(dataset, Path(work)), validation_split=BATCH / (images + BATCH))
        engine = Engine(Path(work))
        split = engine.inputs(data, 0, "unit").split
        measures: dict[tuple[str, str], Callable[[], float]] = {}
        for precision in precisions:
            trial = replace(lenet_trial(data, 2), precision=precision)
            measures["normsweep", precision] = _engine_epochs(engine, trial)
            measures["fit", precision] = _plain_epochs(split, precision)
        for measure in measures.values():
            measure()
        found: Found = {name: [] for name in measures}
        for repeat in range(repeats):
            for name in sorted(measures, reverse=bool(repeat % 2)):
                found[name].append(measures[name]() / (len(split.y_train) // BATCH))
    return found


def _ratio(found: Found, precision: str, other: str, goal: Goal | None) -> Row:
    pairs = zip(found["normsweep", precision], found["fit", other], strict=True)
    ratios = tuple(a / b for a, b in pairs)
    return Row(f"normsweep in {precision} to fit in {other}", Measure("×", ratios), goal)


def _engine_epochs(engine: Engine, trial: Trial) -> Callable[[], float]:
    """The second epoch of a trial, so that nothing is measured that happens once a trial."""

    def measure() -> float:
        training = engine.train(trial)
        while True:
            try:
                last = next(training)
            except StopIteration:
                return last.seconds

    return measure


def _plain_epochs(data: Split, precision: str) -> Callable[[], float]:
    import keras
    from keras import layers

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    model = keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.Conv2D(20, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    keras.config.set_dtype_policy(before)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    y_train, y_val = (keras.utils.to_categorical(y, 10) for y in (data.y_train, data.y_val))
    options: dict[str, Any] = {"validation_data": (data.x_val, y_val), "verbose": 0}

    def measure() -> float:
        began = time.perf_counter()
        model.fit(data.x_train, y_train, batch_size=BATCH, **options)
        return time.perf_counter() - began

    return measure


if __name__ == "__main__":
    sys.exit(run(app))
