"""One training step by normsweep's engine and by Keras's own loops, in the same process.

All train with Adam on the same float32 images, two epochs at a time, in turn, after two epochs for
compilation: LeNet on digits in batches of 32 and on MNIST in batches of 128. The time of a step is the
second epoch's time divided by its batches, which excludes what is done once per training; all include the
validation.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from benchmarks.measured import Goal, Measure, Row, write
from benchmarks.trials import lenet_trial, saved, threads
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.parts.dataset import Dataset
    from normsweep.sweep.trial import Trial
    from normsweep.training.keras_engine import KerasEngine
    from normsweep.training.preprocessing import Split

GOALS = {"float32": 0.9, "mixed_bfloat16": 0.6}
"""A step of normsweep on MNIST relative to one of `fit` in float32, by normsweep's precision."""
BATCHES = {"digits": 32, "mnist": 128}
"""Images in a batch by dataset."""
FIT, MANY, XLA, SINGLE, GRAPH, OURS = (
    "fit", "fit with steps_per_execution = 20", "fit, compiled by XLA", "train_on_batch",
    "normsweep, normalized in the graph", "normsweep",
)  # fmt: skip

app = command(
    "python -m benchmarks.step",
    "Measure one training step by normsweep's engine and by Keras's own loops.",
)


@app.default
def step(
    *,
    repeats: Annotated[int, Parameter(help="Measurements of each, in turn.")] = 7,
    images: Annotated[int, Parameter(help="Number of training images of MNIST.")] = 6400,
    dataset: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="digits, mnist or both.")
    ] = tuple(BATCHES),
    precision: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="Precisions to measure.")
    ] = (),
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A folder for the measured values.")
    ] = None,
) -> int:
    """Measure all and print the table."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", threads()))
    rows: list[Row] = []
    for name in dataset:
        data = _mnist(images, BATCHES[name], BATCHES[name]) if name == "mnist" else _digits()
        found = _in_turn(data, BATCHES[name], precisions(precision), repeats)
        rows += _rows(name, found)
    write("a training step of LeNet", "step", rows, output)
    return 0


def precisions(asked: Sequence[str]) -> list[str]:
    """The requested precisions; default: float32, and bfloat16 if the CPU supports it natively.

    Otherwise a step in bfloat16 takes about ten times as long as one in float32.
    """
    from normsweep.training.precision import processor_computes_bfloat16

    return list(asked) or ["float32", *["mixed_bfloat16"] * processor_computes_bfloat16()]


Found = dict[tuple[str, str], list[float]]
"""Seconds per step, by name and precision."""


def step_seconds(
    measured: Sequence[str], images: int, repeats: int, validation: int, test: int
) -> Found:
    """Steps of the engine and of plain `fit` on MNIST, in each precision, measured in turn.

    The engine's trials are those of a confirmation, evaluated on the test data after each epoch.
    """
    data = _mnist(images, validation, test)
    return _in_turn(data, BATCHES["mnist"], measured, repeats, confirming=True)


@dataclass(frozen=True)
class _Data:
    dataset: Dataset
    validation: float
    """Share of the training images."""


def _mnist(images: int, validation: int, test: int) -> _Data:
    from normsweep.parts import datasets

    folder = os.environ.get("NORMSWEEP_DATA")
    whole = datasets.load("mnist", Path(folder) if folder else None)
    tests = {"x_test": whole.x_test[:test], "y_test": whole.y_test[:test]}
    dataset = replace(whole.subset(images + validation, 0), **tests)
    return _Data(dataset, validation / (images + validation))


def _digits() -> _Data:
    from normsweep.parts import datasets

    return _Data(datasets.load("digits"), 0.2)


def _in_turn(
    data: _Data, size: int, measured: Sequence[str], repeats: int, *, confirming: bool = False
) -> Found:
    from normsweep.sweep.trial import CONFIRM, SEARCH
    from normsweep.training.keras_engine import KerasEngine

    with tempfile.TemporaryDirectory() as work:
        key = replace(saved(data.dataset, Path(work)), validation_split=data.validation)
        engine = KerasEngine(Path(work))
        split = engine.inputs(key, 0, "unit").split
        measures: dict[tuple[str, str], Callable[[], float]] = {}
        for precision in measured:
            phase = CONFIRM if confirming else SEARCH
            trial = replace(lenet_trial(key, 2), batch_size=size, precision=precision, phase=phase)
            measures[OURS, precision] = _engine_epochs(engine, trial)
            measures[FIT, precision] = _fit_epochs(split, size, precision)
            if not confirming:
                measures[GRAPH, precision] = _graph_epochs(engine, trial)
            if not confirming and precision == "float32":
                measures[SINGLE, precision] = _single_batches(engine, trial)
                measures[MANY, precision] = _fit_epochs(split, size, precision, 20)
                measures[XLA, precision] = _fit_epochs(split, size, precision, xla=True)
        for measure in measures.values():
            measure()
        found: Found = {name: [] for name in measures}
        for repeat in range(repeats):
            for name in sorted(measures, reverse=bool(repeat % 2)):
                found[name].append(measures[name]() / -(-len(split.y_train) // size))
    return found


def _rows(dataset: str, found: Found) -> list[Row]:
    where = f"{dataset}, batches of {BATCHES[dataset]}"
    rows = [
        Row(f"{where}: {name}, {precision}", Measure("ms", tuple(1000 * v for v in values)))
        for (name, precision), values in found.items()
    ]
    usual = FIT, "float32"
    for each in [each for each in found if usual in found and each != usual]:
        goal = Goal(GOALS[each[1]]) if dataset == "mnist" and each[0] == OURS else None
        ratios = tuple(a / b for a, b in zip(found[each], found[usual], strict=True))
        what = f"{where}: {' in '.join(each)} relative to fit in float32"
        rows.append(Row(what, Measure("×", ratios), goal))
    return rows


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
    from normsweep.training.epochs import Alone, train_epochs
    from normsweep.training.preprocessing import split
    from normsweep.training.targets import targets_of

    stored = Dataset.open(engine.data_root, trial.data.digest)
    images = split(stored, trial.data.validation_split, trial.seed)
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    preprocessing = replace(inputs.preprocessing, fixed=False)
    compiled = compile_model(trial, replace(inputs, preprocessing=preprocessing, split=images))

    def measure() -> float:
        targets = targets_of(trial, inputs)
        passes = Alone(compiled.loop(trial.batch_size), trial, images, targets)
        _, second = train_epochs(passes, trial, targets, images.y_val)
        return second.seconds

    return measure


def _single_batches(engine: KerasEngine, trial: Trial) -> Callable[[], float]:
    """The engine's epochs with Keras's `train_on_batch` and `test_on_batch`."""
    from normsweep.training.compiled_epoch import OneByOne
    from normsweep.training.compiled_network import compile_model
    from normsweep.training.epochs import Alone, train_epochs
    from normsweep.training.targets import targets_of

    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    loop = OneByOne(compile_model(trial, inputs).model)

    def measure() -> float:
        targets = targets_of(trial, inputs)
        passes = Alone(loop, trial, inputs.split, targets)
        _, second = train_epochs(passes, trial, targets, inputs.split.y_val)
        return second.seconds

    return measure


def _fit_epochs(
    data: Split, size: int, precision: str, steps: int = 1, *, xla: bool = False
) -> Callable[[], float]:
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
    how: dict[str, Any] = {"steps_per_execution": steps, "jit_compile": xla}
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], **how)
    y_train, y_val = (keras.utils.to_categorical(y, 10) for y in (data.y_train, data.y_val))
    options: dict[str, Any] = {"validation_data": (data.x_val, y_val), "verbose": 0}

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.took = time.perf_counter() - self.began

    def measure() -> float:
        clock = Clock()
        model.fit(data.x_train, y_train, batch_size=size, epochs=2, callbacks=[clock], **options)
        return clock.took

    return measure


if __name__ == "__main__":
    sys.exit(run(app))
