"""The training engine: what one process keeps between trials, and `train`."""

from __future__ import annotations

import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from normsweep.parts import models, optimizers
from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import metric
from normsweep.sweep.trial import CONFIRM, DataKey, Epoch, Result, Status, Trial
from normsweep.text import masked
from normsweep.training.compiled_network import (
    Core,
    Weights,
    assemble,
    build_core,
    core_key,
    initial_weights,
)
from normsweep.training.epochs import TestSet, prepare_test, train_epochs
from normsweep.training.preprocessing import Inputs, prepare
from normsweep.training.reproducibility import limit_gpu_memory, machine, simulated_machine
from normsweep.training.snapshot import Keep, ModelState, Occasions, Snapshot
from normsweep.training.synthetic_engine import synthetic_curve

__all__ = ["Engine", "Finished", "Training"]

V = TypeVar("V")
INPUTS_KEPT = 2**30
"""Bytes of normalized images that an engine keeps; the least recently used go first."""
CORES_KEPT = 12
TESTS_KEPT = 4


@dataclass(frozen=True)
class Finished:
    """What a training gives back: the result, and the model's state where it was asked for."""

    result: Result
    state: ModelState | None = None


Training = Generator[Epoch | Snapshot, bool | None, Finished]
"""A training under way: gives epochs, takes whether to go on, returns what came of it."""


class Engine:
    """Trains trials one after another, reusing data, fronts and compiled cores."""

    def __init__(self, data_root: Path) -> None:
        """`data_root` holds the datasets by their digest, as `Dataset.save` writes them."""
        self.data_root = data_root
        self._inputs: OrderedDict[tuple[DataKey, int, str], Inputs] = OrderedDict()
        self._cores: OrderedDict[tuple[Any, ...], Core] = OrderedDict()
        self._weights: OrderedDict[tuple[Any, ...], Weights] = OrderedDict()
        self._tests: OrderedDict[tuple[DataKey, int, str], TestSet] = OrderedDict()

    def warm(self) -> None:
        """Import the backend, which takes seconds, before there is anything to train."""
        import keras  # noqa: F401

        limit_gpu_memory()

    def train(
        self, trial: Trial, keep: Keep | None = None, start: Snapshot | None = None
    ) -> Training:
        """Train a trial epoch by epoch; a failure is a status, not an exception.

        Args:
            trial: what to train.
            keep: which states to give back; None: none.
            start: a state of the same lineage to go on from. Where it was trained otherwise (another
                device, number of threads, version), the trial is trained from its first epoch.

        Yields:
            Each epoch as it ends, those of `start` first; send False to end the trial as pruned.
            Snapshots between them, as far as they were asked for.

        Returns:
            The result, with the state where it was asked for.
        """
        keep = keep or Keep()
        started, clock = time.time(), time.perf_counter()
        curve: list[Epoch] = []
        status, fields, model = Status.COMPLETE, {}, None
        by = metric(trial.metric)
        occasions = Occasions(keep, by)
        try:
            run = self._start(trial, start)
            fields, model = run.fields, run.model
            for epoch in run.epochs:
                curve.append(epoch)
                go_on = yield epoch
                if not epoch.finite:
                    status = Status.DIVERGED
                    break
                if go_on is False and epoch.epoch < trial.epochs:
                    status = Status.PRUNED
                    break
                new = fields["reused"] < epoch.epoch < trial.epochs
                if new and model is not None and occasions.take(epoch):
                    so_far = Result(trial.number, Status.INTERRUPTED, tuple(curve), **fields)
                    yield Snapshot(so_far, ModelState.of(model))
                    occasions.taken()
        except Exception as error:
            status, fields = Status.CRASHED, {**fields, "error": _explained(error)}
        if "reused" in fields:  # pruned before the end of what it was to go on from
            fields["reused"] = min(fields["reused"], len(curve))
        seconds = time.perf_counter() - clock
        result = Result(
            trial.number, status, tuple(curve), seconds=seconds, started=started, **fields
        )
        wanted = status is Status.COMPLETE and keep.wants(by.sign * result.score)
        return Finished(result, ModelState.of(model) if wanted and model is not None else None)

    def inputs(self, data: DataKey, seed: int, normalization: str) -> Inputs:
        """The images of an arm as its network is fed them, from the seed's split."""
        key = (data, seed, normalization)
        if key not in self._inputs:
            dataset = Dataset.open(self.data_root, data.digest)
            self._inputs[key] = prepare(dataset, data.validation_split, seed, normalization)
        self._inputs.move_to_end(key)
        while len(self._inputs) > 1 and sum(i.nbytes for i in self._inputs.values()) > INPUTS_KEPT:
            self._inputs.popitem(last=False)
        return self._inputs[key]

    def core(self, trial: Trial, inputs: Inputs) -> Core:
        """The compiled core of a trial, reset to the trial's seed and learning rate."""
        key = (*core_key(trial, inputs), inputs.shape, inputs.classes)
        core = _cached(self._cores, key, lambda: build_core(trial, inputs), CORES_KEPT)
        weights = _cached(
            self._weights, (*key, trial.seed), lambda: initial_weights(trial, inputs), CORES_KEPT
        )
        settings = optimizers.settings(trial.optimizer, trial.optimizer_options)
        core.reset(weights, trial.learning_rate, settings)
        return core

    def deployable(self, trial: Trial, state: ModelState) -> tuple[Any, Dataset]:
        """The trained network behind its normalization, taking images as the dataset has them.

        Returns:
            A Keras model of built-in layers, and the dataset it was trained on.
        """
        import keras

        inputs = self.inputs(trial.data, trial.seed, trial.normalization)
        model = assemble(trial, inputs)  # without its optimizer, which may be one of our own
        state.restore_network(model)
        data = Dataset.open(self.data_root, trial.data.digest)
        raw: Any = keras.Input(data.sample_shape, dtype=data.x_train.dtype.name, name="images")
        images = keras.layers.Reshape(data.input_shape, dtype=raw.dtype)(raw)
        outputs = model(inputs.front.attach(images) if inputs.front.fixed else images)
        return keras.Model(raw, outputs, name=models.registry[trial.model].name), data

    def identity(self, trial: Trial) -> dict[str, str]:
        """What a trial's bits depend on here, beside the trial: machine, versions, network."""
        if trial.model == models.SIMULATED:
            return simulated_machine()
        inputs = self.inputs(trial.data, trial.seed, trial.normalization)
        return _bits(self.core(trial, inputs), inputs)

    def _start(self, trial: Trial, start: Snapshot | None) -> _Run:
        if trial.model == models.SIMULATED:
            return self._start_simulated(trial)
        inputs = self.inputs(trial.data, trial.seed, trial.normalization)
        core = self.core(trial, inputs)
        test = self._test_set(trial, inputs) if trial.phase == CONFIRM else None
        fields = {
            "chance": metric(trial.metric).guessing(inputs.counts),
            "machine": _bits(core, inputs),
            "test_digest": test.digest if test else "",
            "reused": 0,
        }
        before: tuple[Epoch, ...] = ()
        if start is not None and continues(trial, start.so_far, fields):
            start.state.restore(core.model)
            before = tuple(replace(epoch, trial=trial.number) for epoch in start.so_far.curve)
            origin = start.so_far.trial
            fields |= {"reused": len(before), "origin": origin}
        rest = train_epochs(core.model, trial, inputs.split, test, first=len(before) + 1)
        return _Run(chain(before, rest), fields, core.model)

    def _start_simulated(self, trial: Trial) -> _Run:
        data = Dataset.open(self.data_root, trial.data.digest)
        confirming = trial.phase == CONFIRM
        fields = {
            "chance": metric(trial.metric).guessing(data.counts),
            "machine": simulated_machine(),
            "test_digest": data.test_digest if confirming else "",
            "reused": 0,
        }
        images = len(data.y_test) if confirming else 0
        return _Run(synthetic_curve(trial, data.classes, images), fields)

    def _test_set(self, trial: Trial, inputs: Inputs) -> TestSet:
        """The test images of an arm; only a trial of the confirmation comes here."""

        def make() -> TestSet:
            return prepare_test(Dataset.open(self.data_root, trial.data.digest), inputs.front)

        key = (trial.data, trial.seed, trial.normalization)
        return _cached(self._tests, key, make, TESTS_KEPT)


def continues(trial: Trial, before: Result, here: Mapping[str, Any]) -> bool:
    """Whether a curve may begin with that of `before`, of the same lineage: as it would be here."""
    if trial.phase == CONFIRM and not all(epoch.tested for epoch in before.curve):
        return False
    alike = before.machine == here["machine"]
    return alike and (trial.phase != CONFIRM or before.test_digest == here["test_digest"])


@dataclass(frozen=True)
class _Run:
    epochs: Iterator[Epoch]
    fields: dict[str, Any]
    """What the result says of the run as a whole."""
    model: Any = None


def _bits(core: Core, inputs: Inputs) -> dict[str, str]:
    """What bits depend on beside a trial's settings: the machine, and what the names stand for."""
    return {
        **machine(),
        "model_digest": core.digest,
        "normalization_digest": inputs.front.digest,
        "optimizer_digest": core.optimizer_digest,
    }


def _cached(cache: OrderedDict[Any, V], key: Any, make: Callable[[], V], kept: int) -> V:
    if key not in cache:
        cache[key] = make()
        if len(cache) > kept:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


def _explained(error: Exception) -> str:
    """The error, and where it was raised, on a few lines."""
    return masked("".join(traceback.format_exception(error)[-4:]))[-2000:]
