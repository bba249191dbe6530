"""Diagnosis of an arm: what its first layer learns from, and its network at the start of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normsweep.parts.metrics import metric
from normsweep.sweep.study_record import Diagnosis, Stage
from normsweep.sweep.trial import Trial
from normsweep.training.compiled_epoch import Batches
from normsweep.training.compiled_network import CompiledModel
from normsweep.training.curvature import layer_norms
from normsweep.training.epochs import batch_size
from normsweep.training.forward_pass import dead, forward, network_of
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.own_steps import kernel_step
from normsweep.training.precision import FLOAT32
from normsweep.training.preprocessing import Inputs, batch_order
from normsweep.training.second_moment import Spectrum, Window, first_layer, spectrum
from normsweep.training.snapshot import ModelState
from normsweep.training.stability import adaptive, denominators, rate_factor
from normsweep.training.targets import Targets, targets_of

__all__ = ["STEPS", "diagnose", "diagnose_start"]

Array = np.ndarray[Any, Any]

IMAGES = 1024
"""Number of training images of a diagnosis, the same ones for every arm."""
CURVED = 256
"""Number of training images of the Hessian: the first ones of the first epoch.

The first steps see them, so no weight has a curvature and an adaptive optimizer's denominator of 0.
"""
STEPS = (10, 100)
"""Steps of training after which a network is measured, beside its start and its first epoch."""
SURE = 0.99
"""A softmax output from which on it is saturated."""
UNKNOWN = Spectrum(math.nan, math.nan)
"""Of a first layer that is neither dense nor a convolution."""


def diagnose(engine: KerasEngine, trial: Trial) -> Diagnosis:
    """Diagnose an arm on 1,024 images of its training split.

    Runs in a worker. One epoch is trained, or 100 steps if these are more, whatever the trial's number of epochs.
    """
    course = _Course.of(engine, trial)
    begun = _stage(course)
    epoch = course.inputs.split.steps(course.size)
    found: dict[int, Stage] = {}
    for step in sorted({*STEPS, epoch}):
        if not course.trained(step):
            break
        found[step] = _stage(course)
    later = tuple(stage for step, stage in found.items() if step in STEPS)
    return Diagnosis(begun, found.get(epoch), later, trial.optimizer, _guess(course, trial))


def diagnose_start(engine: KerasEngine, trial: Trial) -> Diagnosis:
    """The same of the untrained network and after ten steps alone, without an epoch."""
    course = _Course.of(engine, trial)
    begun = _stage(course)
    later = (_stage(course),) if course.trained(STEPS[0]) else ()
    return Diagnosis(begun, None, later, trial.optimizer, _guess(course, trial))


def _guess(course: _Course, trial: Trial) -> float:
    guessing = course.targets.guessing(course.inputs, metric(trial.metric))
    return math.nan if guessing is None else guessing.loss


@dataclass
class _Course:
    """A training in steps, each epoch's batches as in any trial, and a look into its network."""

    compiled: CompiledModel
    probe: CompiledModel
    """The same network in float32, for measuring."""
    inputs: Inputs
    targets: Targets
    seed: int
    size: int
    """Images in a batch."""
    done: int = 0
    """Steps so far."""
    _entering: Array | None = None
    _moment: Spectrum = UNKNOWN

    @classmethod
    def of(cls, engine: KerasEngine, trial: Trial) -> _Course:
        inputs = engine.inputs_of(trial)
        probe = engine.compiled(replace(trial, precision=FLOAT32), inputs)
        compiled = engine.compiled(trial, inputs)
        size = batch_size(trial, inputs.split)
        return cls(compiled, probe, inputs, targets_of(trial, inputs), trial.seed, size)

    @property
    def model(self) -> Any:
        """The network in float32, with the weights of now."""
        if self.probe is not self.compiled:
            ModelState.of(self.compiled.model).restore_network(self.probe.model)
        return self.probe.model

    @property
    def optimizer(self) -> Any:
        """The optimizer of now, without the wrapper that scales losses."""
        optimizer = self.compiled.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)

    def trained(self, until: int) -> bool:
        """Train up to a step, counted from 0; whether all losses were finite."""
        split, loop = self.inputs.split, self.compiled.loop(self.size)
        images = loop.images(split.x_train, self.targets.encoded(split.y_train))
        a_epoch = split.steps(self.size)
        while self.done < until:
            epoch, first = divmod(self.done, a_epoch)
            last = min(first + until - self.done, a_epoch)
            order = batch_order(len(split.y_train), self.seed, epoch + 1)
            losses = loop.train(
                Batches(images, order[first * self.size : last * self.size], self.size)
            )
            if not np.isfinite(losses[:, 0]).all():
                return False
            self.done += last - first
        return True

    def first_images(self, count: int) -> tuple[Array, Array]:
        """The images that are trained first."""
        images, labels = self.inputs.split.first(count, self.seed)
        return images, self.targets.encoded(labels)

    def moment(self, entering: Array | None) -> Spectrum:
        """Second moment of the first layer's inputs, computed again only if they have changed."""
        if entering is None or (
            self._entering is not None and np.array_equal(entering, self._entering)
        ):
            return self._moment
        window = Window.of(first_layer(network_of(self.probe.model)))
        self._entering = entering
        self._moment = UNKNOWN if window is None else spectrum(entering, window)
        return self._moment

    def update(self) -> float:
        """Size of the next step in the first layer's kernel, relative to the kernel; takes the step."""
        layer = first_layer(self.compiled.model)
        if layer is None:
            return math.nan
        before = np.array(layer.kernel, np.float64)
        self.trained(self.done + 1)
        moved = np.linalg.norm(np.array(layer.kernel, np.float64) - before)
        return float(moved / (np.linalg.norm(before) or math.nan))


def _stage(course: _Course) -> Stage:
    """Measure a training where it is, and take a step."""
    model = course.model
    images, labels = _images(course)
    slope = course.probe.curvature.slope(images, labels)
    seen = forward(model, images)
    moment = course.moment(seen.first)
    sharpness, preconditioned = _sharpness(course)
    factor = rate_factor(course.optimizer)
    return Stage(
        input_mean=float(np.mean(seen.fed, dtype=np.float64)),
        input_std=float(np.std(seen.fed, dtype=np.float64)),
        loss=slope.loss,
        dead_relus=dead(seen.units),
        gradients=_renumbered(layer_norms(model, slope)),
        step=course.done,
        moment=moment.largest,
        condition=moment.condition,
        sharpness=sharpness,
        stable_rate=factor / preconditioned if preconditioned > 0 else math.nan,
        saturated=_saturated(slope.outputs, course.targets),
        update=course.update(),
    )


def _images(course: _Course) -> tuple[Array, Array]:
    split = course.inputs.split
    indices = np.unique(np.linspace(0, len(split.y_train) - 1, IMAGES).astype(int))
    return split.x_train[indices], course.targets.encoded(split.y_train[indices])


def _saturated(outputs: Array, targets: Targets) -> float:
    """The share of images for which the network is sure of a class; NaN in a regression."""
    if not targets.classes:
        return math.nan
    return float(np.mean(targets.decoded(outputs).max(axis=1) >= SURE))


def _sharpness(course: _Course) -> tuple[float, float]:
    """Largest eigenvalue of the Hessian, and of the one that the optimizer sees; NaN: not measured.

    Before its first step an adaptive optimizer has none, and later the plain one says nothing about it.
    """
    curvature, data = course.probe.curvature, course.first_images(CURVED)
    if not adaptive(course.optimizer):
        plain = curvature.sharpness(*data)
        if kernel_step(course.optimizer) is None:
            return plain, plain
        return plain, curvature.sharpness(*data, denominators(course.optimizer))
    if course.done == 0:
        return curvature.sharpness(*data), math.nan
    return math.nan, curvature.sharpness(*data, denominators(course.optimizer))


def _renumbered(norms: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Layers renumbered from 1 within the network: Keras numbers them per process."""
    kinds = [name.rstrip("0123456789").rstrip("_") for name, _ in norms]
    return tuple(
        (f"{kind}_{kinds[: i + 1].count(kind)}", norm)
        for i, (kind, (_, norm)) in enumerate(zip(kinds, norms, strict=True))
    )
