"""The survey: what must be known of data, arms and network before the first trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from normsweep.errors import SweepError
from normsweep.parts import Dataset, models
from normsweep.spec import Trial
from normsweep.training.cores import model_digest
from normsweep.training.engine import Engine
from normsweep.training.environment import Device, machine, require, simulated_machine
from normsweep.training.fronts import Front, fit_front
from normsweep.training.splits import split

__all__ = ["Findings", "Question", "survey"]

PROBE = 256


@dataclass(frozen=True)
class Question:
    """What to look at: a trial like those to come, and the normalizations to compare."""

    trial: Trial
    normalizations: tuple[str, ...]
    """In order of preference: of two that do the same, the first is kept."""
    device: Device
    measure: bool = False
    """Whether to time a training step."""


@dataclass(frozen=True)
class Findings:
    """What the survey found."""

    same: dict[str, str]
    """Normalizations that do on this data what another one does: the other one's name."""
    machine: dict[str, str]
    parameters: int = 0
    """Trainable parameters of the network."""
    train_images: int = 0
    val_images: int = 0
    seconds_per_step: float = 0.0
    """Wall time of one training step, where it was measured."""


def survey(engine: Engine, question: Question) -> Findings:
    """Fit every normalization and build the network once, so that no trial meets a mistake first.

    Raises:
        UserError: a device that is not there, a normalization that refuses the data, a network
            that cannot be built for it.
    """
    trial = question.trial
    dataset = Dataset.open(engine.data_root, trial.data.digest)
    parts = split(dataset, trial.data.validation_split, trial.seed)
    counts = {"train_images": len(parts.y_train), "val_images": len(parts.y_val)}
    if trial.model == models.SIMULATED:
        return Findings({}, simulated_machine(), **counts)
    require(question.device)
    fronts = {name: fit_front(name, parts.x_train) for name in question.normalizations}
    same = _same(fronts, parts.x_train[:PROBE])
    model = _built(engine, trial)
    seconds = _step_seconds(engine, trial) if question.measure else 0.0
    where = {**machine(), "model_digest": model_digest(model)}
    return Findings(same, where, model.count_params(), **counts, seconds_per_step=seconds)


def _same(fronts: dict[str, Front], probe: np.ndarray[Any, Any]) -> dict[str, str]:
    """Which fixed fronts give the outputs of an earlier one, up to rounding."""
    kept: dict[str, np.ndarray[Any, Any]] = {}
    same: dict[str, str] = {}
    for name, front in fronts.items():
        if not front.fixed:
            continue
        outputs = front.apply(probe)
        tolerance = 1e-5 * float(np.abs(outputs).max() or 1.0)
        twins = [
            k for k, other in kept.items() if np.allclose(outputs, other, rtol=0, atol=tolerance)
        ]
        if twins:
            same[name] = twins[0]
        else:
            kept[name] = outputs
    return same


def _built(engine: Engine, trial: Trial) -> Any:
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    try:
        return engine.core(trial, inputs).model
    except Exception as error:
        options = ", ".join(f"{k} = {v}" for k, v in trial.model_options.items()) or "no options"
        raise SweepError(
            f"model {trial.model}: cannot be built for images of {inputs.shape} with {options}: "
            f"{type(error).__name__}: {error}".replace("\n", " ")
        ) from None


def _step_seconds(engine: Engine, trial: Trial) -> float:
    """Median wall time of a training step over up to ten steps, tracing left out."""
    inputs = engine.inputs(trial.data, trial.seed, trial.normalization)
    model = engine.core(trial, inputs).model
    x, y = (a[: trial.batch_size] for a in (inputs.split.x_train, inputs.split.y_train))
    model.train_on_batch(x, y)
    seconds: list[float] = []
    while len(seconds) < 10 and sum(seconds) < 2.0:
        started = time.perf_counter()
        model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
