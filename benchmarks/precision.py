"""What bfloat16 changes in LeNet's test accuracy on MNIST: pairs of trainings that differ in nothing else.

    NORMSWEEP_DATA=FOLDER python -m benchmarks.precision --runs precision.jsonl

LeNet, Adam with its defaults, batches of 128, 4 epochs, without and with division by 255: each seed is trained in
float32 and in bfloat16, from the same initial weights with the same split and batches. Each finished training is a
line of the file, so that the command can be stopped and run again.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from benchmarks.trials import lenet_trial, saved, threads
from normsweep.analysis.estimates import Estimate, interval, moments
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.parts.dataset import Dataset
    from normsweep.sweep.trial import Trial
    from normsweep.training.keras_engine import KerasEngine

NORMALIZATIONS = ("none", "unit")
PRECISIONS = ("float32", "mixed_bfloat16")
TAIL = 0.025
"""Error probability of each bound: intervals of 95 %."""

app = command(
    "python -m benchmarks.precision",
    "Compare test accuracies in bfloat16 and in float32, seed by seed.",
)

Key = tuple[str, str, int]
"""Normalization, precision, seed."""


@dataclass(frozen=True)
class Trained:
    """A finished training: a line of the file."""

    normalization: str
    precision: str
    seed: int
    train_images: int
    """Images of the dataset's training set that were used, validation included."""
    epochs: int
    accuracies: tuple[float, ...]
    """Test accuracy after each epoch."""
    bits: str
    """Which test images are classified correctly after the last epoch: `Tested.bits` in base64."""
    test_images: int
    seconds: float
    device: str

    @property
    def key(self) -> Key:
        """What distinguishes it from the others of the file."""
        return self.normalization, self.precision, self.seed

    @property
    def correct(self) -> np.ndarray[Any, Any]:
        """int8 of shape (test images,): 1 where classified correctly."""
        packed = np.frombuffer(base64.b64decode(self.bits), np.uint8)
        return np.unpackbits(packed, count=self.test_images).astype(np.int8)


@app.default
def precision(
    *,
    runs: Annotated[Path, Parameter(help="File of the finished trainings.")],
    seeds: Annotated[int, Parameter(help="Number of seeds.")] = 5,
    epochs: Annotated[int, Parameter(help="Epochs of each training.")] = 4,
    images: Annotated[
        int | None, Parameter(help="Number of training images; default: all.")
    ] = None,
) -> int:
    """Train the runs that are not in the file yet and print the table."""
    from normsweep.training.reproducibility import environment

    os.environ.update(environment("cpu", threads()))
    asked = [(n, p, seed) for seed in range(seeds) for n in NORMALIZATIONS for p in PRECISIONS]
    done = finished(runs)
    if missing := [key for key in asked if key not in done]:
        with tempfile.TemporaryDirectory() as work:
            for trained in trainings(missing, Path(work), epochs, images):
                with runs.open("a") as lines:
                    lines.write(json.dumps(asdict(trained)) + "\n")
                print(*trained.key, trained.accuracies, f"{trained.seconds:.0f} s", flush=True)
    print(table({key: trained for key, trained in finished(runs).items() if key in asked}))
    return 0


def finished(runs: Path) -> dict[Key, Trained]:
    """The trainings of the file."""
    if not runs.exists():
        return {}
    trained = [Trained(**json.loads(line)) for line in runs.read_text().splitlines()]
    return {each.key: each for each in trained}


def trainings(keys: list[Key], root: Path, epochs: int, images: int | None) -> Iterator[Trained]:
    """Train with the project's engine, as trials of a confirmation, which are tested after each epoch."""
    from normsweep.parts import datasets
    from normsweep.training.keras_engine import KerasEngine

    whole = datasets.load("mnist", Path(os.environ["NORMSWEEP_DATA"]))
    dataset = whole if images is None else whole.subset(images, seed=0)
    base = lenet_trial(saved(dataset, root), epochs)
    engine = KerasEngine(root)
    for normalization, policy, seed in keys:
        trial = replace(
            base, arm=normalization, normalization=normalization, precision=policy, seed=seed
        )
        yield trained(engine, trial, dataset)


def trained(engine: KerasEngine, trial: Trial, dataset: Dataset) -> Trained:
    """Train one trial to its end."""
    from normsweep.sweep.trial import CONFIRM, Epoch
    from normsweep.training.engine import Finished

    training, curve = engine.train(replace(trial, phase=CONFIRM)), list[Epoch]()
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            done: Finished = end.value
            break
        if isinstance(event, Epoch):
            curve.append(event)
    tested = [epoch.tested for epoch in curve if epoch.tested is not None]
    if len(tested) < trial.epochs:
        raise RuntimeError(f"{trial} ended as {done.result.status}: {done.result.error}")
    return Trained(
        trial.normalization,
        trial.precision,
        trial.seed,
        len(dataset.y_train),
        trial.epochs,
        tuple(each.accuracy for each in tested),
        base64.b64encode(tested[-1].bits).decode(),
        tested[-1].images,
        sum(epoch.seconds for epoch in curve),
        done.result.machine["device"],
    )


def table(runs: Mapping[Key, Trained]) -> str:
    """Markdown: accuracies, their paired differences, the spread of the seeds, in percentage points.

    The interval is for new seeds and new test images.
    """
    lines = [
        "|  | seeds | float32 | bfloat16 | bfloat16 − float32 | 95 % interval | range "
        "| standard deviation between seeds: float32 | bfloat16 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for normalization in NORMALIZATIONS:
        seeds = sorted(
            seed
            for name, policy, seed in runs
            if (name, policy) == (normalization, PRECISIONS[0])
            and (normalization, PRECISIONS[1], seed) in runs
        )
        if len(seeds) > 1:
            full, half = (
                np.stack([runs[normalization, policy, seed].correct for seed in seeds])
                for policy in PRECISIONS
            )
            lines.append(_row(normalization, full, half))
    return "\n".join(lines)


def _row(name: str, full: np.ndarray[Any, Any], half: np.ndarray[Any, Any]) -> str:
    paired = moments(half - full)
    each = [100 * mean for mean in paired.seed_means]
    spreads = (statistics.stdev(100 * table.mean(axis=1)) for table in (full, half))
    cells = [
        f"`{name}`",
        str(len(full)),
        *(f"{100 * table.mean():.2f} %" for table in (full, half)),
        f"{100 * paired.mean:+.2f}",
        _bounds(interval(paired, TAIL)),
        f"{min(each):+.2f} to {max(each):+.2f}",
        *(f"{spread:.2f}" for spread in spreads),
    ]
    return "| " + " | ".join(cells).replace("-", "−") + " |"


def _bounds(estimate: Estimate) -> str:
    return f"{100 * estimate.low:+.2f} to {100 * estimate.high:+.2f}"


if __name__ == "__main__":
    sys.exit(run(app))
