"""`SyntheticEngine`: learning curves from a formula with known true effects, without training."""

from __future__ import annotations

import inspect
import json
import math
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from normsweep.parts import models
from normsweep.parts.dataset import Dataset
from normsweep.parts.influence import quantized
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.parameters import MATCHED
from normsweep.sweep.trial import Epoch, Guessing, Result, Status, Tested, Trial
from normsweep.training.engine import Engine, Run
from normsweep.training.precision import FLOAT32
from normsweep.training.preflight import Findings, PreflightRequest, build_error
from normsweep.training.preprocessing import split
from normsweep.training.reproducibility import Device, package_versions
from normsweep.training.snapshot import Snapshot

__all__ = ["SyntheticEngine", "synthetic_curve"]


HALF = 0.5
RAW, LARGER = 255.0, 2.0
"""How much larger raw pixels are than those in [0, 1], and what counts as larger."""
NO_MACHINE = {"device": "none (simulated)", "threads": "1", "backend": "none"}


class SyntheticEngine(Engine):
    """Computes trials of the synthetic model; never imports a backend."""

    def warm(self) -> None:
        """Nothing to import."""

    def start(self, trial: Trial, snapshot: Snapshot | None) -> Run:
        """Set up the trial's curve, always from its first epoch.

        Raises:
            ValueError: the trial has another model.
        """
        if trial.model != models.SYNTHETIC:
            raise ValueError(f"expected the model synthetic, got {trial.model}, which is trained")
        data = self.dataset(trial.data)
        confirming = trial.confirms
        result = Result(
            trial.number,
            Status.INTERRUPTED,
            chance=_chance(trial, data),
            machine=self.identity(trial),
            test_digest=data.test_digest if confirming else "",
            guessing=None if data.classes else _guessing(trial),
        )
        images = len(data.y_test) if confirming else 0
        return Run(synthetic_curve(trial, data.classes, images), result)

    def identity(self, trial: Trial) -> dict[str, str]:
        """Only versions, as results do not depend on the machine."""
        return {**NO_MACHINE, **package_versions()}

    def check_device(self, device: Device) -> dict[str, str]:
        """Accept any device, as none is used."""
        return {**NO_MACHINE, **package_versions()}

    def automatic_precision(self) -> str:
        """float32, as nothing is computed by a network."""
        return FLOAT32

    def step_seconds(self, trial: Trial, precisions: Iterable[str]) -> dict[str, float]:
        """Empty, as there are no training steps."""
        return {}

    def preflight(self, request: PreflightRequest) -> Findings:
        """Compute the first epoch of each trial; normalizations are never reported as equivalent."""
        trial = request.trials[0]
        parts = split(self.dataset(trial.data), trial.data.validation_split, trial.seed)
        for example in request.trials:
            _try_curve(example)
        return Findings(
            {},
            self.identity(trial),
            train_images=len(parts.y_train),
            val_images=len(parts.y_val),
            automatic=self.automatic_precision(),
        )


def _try_curve(trial: Trial) -> None:
    try:
        float(trial.model_options.get("seconds", 0))
        options = {**trial.model_options, "seconds": 0.0}  # checked, but without waiting
        next(synthetic_curve(replace(trial, model_options=options), classes=2))
    except Exception as error:
        raise build_error("model", trial.model, trial.model_options, error) from None


def synthetic_curve(trial: Trial, classes: int, test_images: int = 0) -> Iterator[Epoch]:
    """The epochs of a trial of the synthetic model; see its docstring for the formula.

    With `test_images`, each epoch is tested on that many: an image is classified correctly if its
    difficulty, uniform in [0, 1) and the same in every trial, is below the epoch's test accuracy. A
    metric to be maximized equals the accuracy, one to be minimized −ln of it. In a regression, of 0
    classes, the accuracy is not recorded, and that of guessing is a half.
    """
    by = metric(trial.metric)
    options = _options(trial)
    chance = 1 / classes if classes else HALF
    ceiling, trains = options["ceiling"] - _lost(trial, options), not _is_stuck(trial, options)
    offset = math.log10(trial.learning_rate / options["best_learning_rate"]) / options["width"]
    fit = math.exp(-(offset**2))
    noise = np.random.default_rng([trial.seed, _configuration_seed(trial)])
    test_noise = np.random.default_rng([trial.seed, _configuration_seed(trial), 1])
    for epoch in range(1, trial.epochs + 1):
        started = time.perf_counter()
        time.sleep(options["seconds"])
        reached = trains * (1 - math.exp(-options["speed"] * fit * epoch))
        level = chance + (ceiling * fit - chance) * reached
        jitter = options["noise"] * noise.standard_normal(2)
        train, val = (float(np.clip(level + j, 0, 1)) for j in jitter)
        test = level + options["noise"] * test_noise.standard_normal()
        diverged = trial.learning_rate > options["diverge_above"]
        yield Epoch(
            trial=trial.number,
            epoch=epoch,
            train_loss=math.nan if diverged else -math.log(max(train, 1e-7)),
            train_accuracy=train if classes else math.nan,
            val_loss=math.nan if diverged else -math.log(max(val, 1e-7)),
            val_accuracy=val if classes else math.nan,
            seconds=time.perf_counter() - started,
            tested=None if diverged or not test_images else _tested(test, test_images, by, classes),
            score=None if by is ACCURACY else math.nan if diverged else _score(val, by),
        )


def _lost(trial: Trial, options: Mapping[str, float]) -> float:
    """What the size of the first layer's start and steps costs, which raw pixels make larger."""
    size = trial.input_scale * (RAW if trial.normalization == "none" else 1.0)
    start, step = size * trial.input_weights > LARGER, size > LARGER and trial.input_rate != MATCHED
    lost = (start, options["start"]), (step, options["step"]), (start or step, options["joint"])
    return sum(cost for applies, cost in lost if applies)


def _is_stuck(trial: Trial, options: Mapping[str, float]) -> bool:
    """Whether this seed of the configuration stays at chance."""
    drawn = np.random.default_rng([trial.seed, _configuration_seed(trial), 2]).random()
    return bool(drawn < options["stuck"])


def _score(accuracy: float, by: Metric) -> float:
    return accuracy if by.sign > 0 else -math.log(min(max(accuracy, 1e-7), 1.0))


def _chance(trial: Trial, data: Dataset) -> float:
    by = metric(trial.metric)
    return by.guessing(data.counts) if data.classes else _score(HALF, by)


def _guessing(trial: Trial) -> Guessing:
    """The level of guessing in a regression."""
    score = _score(HALF, metric(trial.metric))
    return Guessing(-math.log(HALF), score=score, test_score=score)


def _tested(accuracy: float, images: int, by: Metric, classes: int) -> Tested:
    difficulty = np.random.default_rng(images).random(images)
    correct = difficulty < accuracy
    bits = np.packbits(correct).tobytes() if classes else b""
    if by is ACCURACY:
        return Tested(images, bits)
    each = correct if by.sign > 0 else 2 * difficulty * _score(accuracy, by)
    score = float(each.mean())
    if by.influence is None:
        return Tested(images, bits, score)
    return Tested(images, bits, score, *quantized(each - score))


def _options(trial: Trial) -> Mapping[str, float]:
    """The model's options; those given as tables are looked up for the trial's arm."""
    signature = inspect.signature(models.registry[models.SYNTHETIC].function)
    defaults = {
        p.name: p.default for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY
    }
    return {
        name: _of_arm(trial.model_options.get(name, default), trial.arm, default)
        for name, default in defaults.items()
    }


def _of_arm(value: Any, arm: str, default: float) -> float:
    if isinstance(value, Mapping):
        return float(value.get(arm, value.get("default", default)))
    return float(value)


def _configuration_seed(trial: Trial) -> int:
    """A seed from the configuration without its epochs, so that longer curves extend shorter ones."""
    content = [trial.arm, trial.optimizer, dict(trial.optimizer_options), trial.learning_rate]
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
