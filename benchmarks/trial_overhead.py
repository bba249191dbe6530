"""A trial by normsweep's engine and the same one by plain Keras: `make bench`.

Both train the same LeNet on the same normalized digits for the same number of epochs, alternately, in
one process, with a different learning rate each time. The engine resets its compiled model; plain Keras
builds, compiles and fits a new one.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from benchmarks.trials import NORMALIZATION, lenet_trial, saved, threads
from normsweep.errors import StudyStopped
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.sweep.trial import DataKey
    from normsweep.training.keras_engine import KerasEngine
    from normsweep.training.preprocessing import Split

Train = Callable[[int], None]
"""Trains the trial with the given number."""

app = command(
    "python -m benchmarks.trial_overhead",
    "Measure trials by normsweep's engine and by plain Keras, on digits.",
)


@app.default
def trial_overhead(
    *,
    repeats: Annotated[int, Parameter(help="Pairs of measurements.")] = 7,
    trials: Annotated[int, Parameter(help="Trials in each measurement.")] = 2,
    epochs: Annotated[int, Parameter(help="Epochs of each trial.")] = 4,
) -> int:
    """Measure both and print the table."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", threads()))
    from normsweep.parts import datasets
    from normsweep.training.keras_engine import KerasEngine

    with tempfile.TemporaryDirectory() as work:
        data = saved(datasets.load("digits"), Path(work))
        engine = KerasEngine(Path(work))
        split = engine.inputs(data, 0, NORMALIZATION).split
        both: dict[str, Train] = {
            "normsweep's engine": lambda number: _engine(engine, data, epochs, number),
            "plain Keras": lambda number: _plain(split, epochs, number),
        }
        first = {name: _seconds(train, [0]) for name, train in both.items()}
        measured: dict[str, list[float]] = {name: [] for name in both}
        for repeat in range(repeats):
            numbers = range(1 + repeat * trials, 1 + (repeat + 1) * trials)
            for name in sorted(both, reverse=bool(repeat % 2)):
                measured[name].append(_seconds(both[name], numbers) / trials)
    _print(first, measured, f"digits, LeNet, {epochs} epochs: seconds per trial")
    return 0


def _engine(engine: KerasEngine, data: DataKey, epochs: int, number: int) -> None:
    training = engine.train(lenet_trial(data, epochs, learning_rate=_learning_rate(number)))
    while True:
        try:
            next(training)
        except StopIteration as end:
            if end.value.result.status != "complete":
                raise StudyStopped(end.value.result.error) from None
            return


def _plain(data: Split, epochs: int, number: int) -> None:
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.Conv2D(20, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(_learning_rate(number))
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    validation = (data.x_val, data.y_val)
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=128,
        epochs=epochs,
        verbose=0,
        validation_data=validation,
    )


def _learning_rate(number: int) -> float:
    return 1e-3 / (1 + number % 5)


def _seconds(train: Train, numbers: Any) -> float:
    """Wall time of the trials, one after another."""
    started = time.perf_counter()
    for number in numbers:
        train(number)
    return time.perf_counter() - started


def _print(first: dict[str, float], measured: dict[str, list[float]], title: str) -> None:
    """Print the median and range of each, and of the ratio within a pair."""
    import pandas as pd
    from rich.console import Console

    from normsweep.console.screen import table_view

    engine, plain = measured.values()
    ratios = [p / e for e, p in zip(engine, plain, strict=True)]
    rows = {**measured, "ratio, plain to engine": ratios}
    table = pd.DataFrame(
        [
            [name, first.get(name), statistics.median(values), min(values), max(values)]
            for name, values in rows.items()
        ],
        columns=["", "first", "median", "lowest", "highest"],
    )
    Console().print(table_view(table, f"{title}, {len(ratios)} pairs"))


if __name__ == "__main__":
    sys.exit(run(app))
