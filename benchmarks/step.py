"""One training step by normsweep's engine and by plain `fit`, in the same process.

Both train LeNet with Adam in batches of 128 on the same float32 images, two epochs at a time, alternately,
after two epochs for compilation. The time of a step is the second epoch's time divided by its batches,
which excludes what is done once per training; both include the validation.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.trials import lenet_trial, saved, threads
from normsweep.shell import run

if TYPE_CHECKING:
    from normsweep.sweep.trial import Trial
    from normsweep.training.keras_engine import KerasEngine
    from normsweep.training.preprocessing import Split

GOALS = {"float32": 0.9, "mixed_bfloat16": 0.55}
BATCH = 128

app = App(
    name="python -m benchmarks.step",
    help="Measure one training step by normsweep's engine and by plain fit.",
    help_format="plaintext",
    help_formatter="plain",
    result_action="return_value",
)


@app.default
def step(
    *,
    repeats: Annotated[int, Parameter(help="Measurements of each, alternately.")] = 7,
    images: Annotated[int, Parameter(help="Number of training images of MNIST.")] = 6400,
    precision: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="Precisions to measure.")
    ] = (),
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure both and print the table."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", threads()))
    found = step_seconds(precisions(precision), images, repeats)
    rows = [
        Row(f"{name}, {each}", Measure("ms", tuple(1000 * v for v in values)))
        for (name, each), values in found.items()
    ]
    for each, goal in GOALS.items():
        ours = "normsweep", each
        if ours in found:
            if ("fit", "float32") in found:
                rows.append(_ratio(found, ours, ("fit", "float32"), Goal(goal)))
            if each != "float32":
                rows.append(_ratio(found, ours, ("fit", each), None))
            rows.append(_ratio(found, (GRAPH, each), ours, None))
    write(f"a training step of LeNet, batches of {BATCH}", "step", rows, output)
    return 0


def precisions(asked: Sequence[str]) -> list[str]:
    """The requested precisions; default: float32, and bfloat16 if the CPU supports it natively.

    Otherwise a step in bfloat16 takes about ten times as long as one in float32.
    """
    from normsweep.training.precision import processor_computes_bfloat16

    return list(asked) or ["float32", *["mixed_bfloat16"] * processor_computes_bfloat16()]


Found = dict[tuple[str, str], list[float]]
"""Seconds per step, by name and precision."""
GRAPH = "normsweep, normalized in the graph"
MANY = 20
"""Value of `steps_per_execution` for `fit`."""


def step_seconds(
    measured: Sequence[str], images: int, repeats: int, validation: int = BATCH, test: int = 0
) -> Found:
    """Steps of the engine and of plain `fit`, in each precision, measured alternately.

    With `test` images the engine's trials are those of a confirmation, tested after each epoch.
    """
    from normsweep.parts import datasets
    from normsweep.sweep.trial import CONFIRM, SEARCH
    from normsweep.training.keras_engine import KerasEngine

    folder = os.environ.get("NORMSWEEP_DATA")
    whole = datasets.load("mnist", Path(folder) if folder else None)
    tests = {"x_test": whole.x_test[: test or BATCH], "y_test": whole.y_test[: test or BATCH]}
    dataset = replace(whole.subset(images + validation, 0), **tests)
    with tempfile.TemporaryDirectory() as work:
        share = validation / (images + validation)
        data = replace(saved(dataset, Path(work)), validation_split=share)
        engine = KerasEngine(Path(work))
        split = engine.inputs(data, 0, "unit").split
        measures: dict[tuple[str, str], Callable[[], float]] = {}
        for precision in measured:
            trial = replace(
                lenet_trial(data, 2), precision=precision, phase=CONFIRM if test else SEARCH
            )
            measures["normsweep", precision] = _engine_epochs(engine, trial)
            measures["fit", precision] = _plain_epochs(split, precision)
            if not test:
                measures[GRAPH, precision] = _graph_epochs(engine, trial)
                many = f"fit with steps_per_execution = {MANY}"
                measures[many, precision] = _plain_epochs(split, precision, MANY)
        for measure in measures.values():
            measure()
        found: Found = {name: [] for name in measures}
        for repeat in range(repeats):
            for name in sorted(measures, reverse=bool(repeat % 2)):
                found[name].append(measures[name]() / (len(split.y_train) // BATCH))
    return found


def _ratio(found: Found, one: tuple[str, str], other: tuple[str, str], goal: Goal | None) -> Row:
    ratios = tuple(a / b for a, b in zip(found[one], found[other], strict=True))
    return Row(
        f"a step, {' in '.join(one)} relative to {' in '.join(other)}", Measure("×", ratios), goal
    )


def _engine_epochs(engine: KerasEngine, trial: Trial) -> Callable[[], float]:
    def measure() -> float:
        training = engine.train(trial)
        next(training)
        began = time.perf_counter()
        next(training)
        took = time.perf_counter() - began
        training.close()
        return took

    return measure


def _graph_epochs(engine: KerasEngine, trial: Trial) -> Callable[[], float]:
    """The engine's loop with a network that takes raw images and normalizes each batch."""
    from normsweep.parts.dataset import Dataset
    from normsweep.training.compiled_network import compile_model
    from normsweep.training.epochs import train_epochs
    from normsweep.training.preprocessing import split

    stored = Dataset.open(engine.data_root, trial.data.digest)
    images = split(stored, trial.data.validation_split, trial.seed)
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    preprocessing = replace(inputs.preprocessing, fixed=False)
    compiled = compile_model(trial, replace(inputs, preprocessing=preprocessing, split=images))

    def measure() -> float:
        _, second = train_epochs(compiled.model, trial, images)
        return second.seconds

    return measure


def _plain_epochs(data: Split, precision: str, steps: int = 1) -> Callable[[], float]:
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
    model.compile(
        "adam", "categorical_crossentropy", metrics=["accuracy"], steps_per_execution=steps
    )
    y_train, y_val = (keras.utils.to_categorical(y, 10) for y in (data.y_train, data.y_val))
    options: dict[str, Any] = {"validation_data": (data.x_val, y_val), "verbose": 0}

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.took = time.perf_counter() - self.began

    def measure() -> float:
        clock = Clock()
        model.fit(data.x_train, y_train, batch_size=BATCH, epochs=2, callbacks=[clock], **options)
        return clock.took

    return measure


if __name__ == "__main__":
    sys.exit(run(app))
