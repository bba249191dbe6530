"""Preparation of a study: data on disk, distinct arms, the plan."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from normsweep.errors import DataError, StoreError
from normsweep.executors.protocol import Executor
from normsweep.parts import datasets, models
from normsweep.parts.catalog import for_task, resolve_trial
from normsweep.parts.dataset import Dataset
from normsweep.parts.input_checks import narrow_range, pixels_in_columns, too_coarse
from normsweep.parts.metrics import metric
from normsweep.parts.tables import Table
from normsweep.runner.interrupts import Signals
from normsweep.search.plan import Plan, halving_trials, mean_epochs, without
from normsweep.search.samplers import asha_share
from normsweep.search.selection import budgets, most_configurations
from normsweep.sweep import schemes
from normsweep.sweep.parameters import INPUT_RATE, MATCHED, REGRESSION
from normsweep.sweep.rungs import LEAST_EPOCHS, epochs_of_halving
from normsweep.sweep.schema import AUTO, Sweep, in_precision
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import DataFacts, StudyRecord, TrialRecord
from normsweep.sweep.trial import DataKey, Trial
from normsweep.text import counted, milliseconds
from normsweep.training import engine
from normsweep.training.engine import preflight
from normsweep.training.keras_engine import network_digest
from normsweep.training.precision import BFLOAT16, FLOAT32
from normsweep.training.preflight import Findings, PreflightRequest
from normsweep.training.reproducibility import Device

__all__ = [
    "check_device",
    "data_key",
    "decided",
    "device_warning",
    "example_trial",
    "identified",
    "load_data",
    "loaded",
    "precision_warning",
    "prepare",
    "scale_warning",
]


def load_data(
    sweep: Sweep, names: Sequence[str], data_dir: Path | None, root: Path
) -> tuple[Sweep, DataFacts]:
    """Load, check and subset the data, and write it below `root` for the workers.

    Returns:
        The sweep for the task of the data, and what the data is.

    Args:
        sweep: says how many images to take.
        names: datasets, of which the first that is available is loaded.
        data_dir: folder with files of datasets.
        root: folder of the workers' data.

    Raises:
        DataError: the data cannot be loaded or used.
        SweepError: a key of the sweep does not fit the task.
        StoreError: `root` cannot be written.
    """
    dataset = loaded(sweep, names, data_dir)
    sweep = for_task(sweep, dataset.task)
    _check_classes(sweep.metric, dataset)
    try:
        digest = dataset.save(root)
    except OSError as error:
        raise StoreError(f"{root}: cannot be written: {error.strerror}") from None
    return sweep, _facts(dataset, digest)


def loaded(sweep: Sweep, names: Sequence[str], data_dir: Path | None) -> Dataset:
    """The first of these datasets that is available, as the sweep's `[data]` says.

    Raises:
        DataError: the data cannot be loaded or used.
    """
    data = sweep.data
    table = Table(data.target_column, data.test_split, numbers=sweep.task == REGRESSION)
    dataset = datasets.load_first(names, data_dir, table, data.task)
    by_column = any(schemes.as_table(str(name)) for name in sweep.space.choices("normalization"))
    dataset = dataset.seen_as(data.kind, data.full_scale, by_column)
    return dataset if data.train_size is None else dataset.subset(data.train_size, sweep.seed)


def data_key(sweep: Sweep, facts: DataFacts) -> DataKey:
    """The identity of the data in trials."""
    return DataKey(facts.name, facts.digest, sweep.data.validation_split)


def prepare(
    sweep: Sweep,
    facts: DataFacts,
    executor: Executor,
    device: Device,
    signals: Signals,
    measure: bool = False,
) -> Plan:
    """Fit every normalization once, build the network, drop arms that are equivalent to another.

    `measure`: measure a training step, and estimate the time of the study.

    Raises:
        UserError: the device, a normalization or the network cannot be used.
        DataError: all images are the same after the normalization of the reference.
        SweepError: fewer than two arms are left.
    """
    names = [str(name) for name in sweep.space.choices("normalization")]
    first = sweep.arm(str(sweep.reference)).params.get("normalization")
    names.sort(key=lambda name: name != first)  # of equivalent arms the reference is kept
    examples = _examples(sweep, data_key(sweep, facts), names[0])
    with signals.waiting():
        findings = executor.call(
            preflight, PreflightRequest(examples, tuple(names), device, measure)
        )
    if first in findings.empty:
        raise DataError(
            f"reference: all training images are the same after the normalization {first}, so that no network "
            "can learn from them; check its divisor and the dtype of the data"
        )
    plan = Plan(without(sweep, findings.same), facts, findings)
    return _timed(plan, _epoch_seconds(findings, examples[0])) if measure else plan


def _timed(plan: Plan, epoch: float) -> Plan:
    """The plan with its time estimate; `epoch`: wall seconds of an epoch."""
    sweep = plan.sweep
    searched = sweep.total_trials * mean_epochs(sweep) * epoch
    prunable = sweep.search.pruner == "none" and not sweep.samples_epochs
    fewest, most = (searched + again for again in _times(epoch, _reselected(sweep)))
    confirmed = sweep.confirm.seeds.first * len(sweep.arms) * sweep.confirm_epochs * epoch
    further = sweep.search.repeats - 1
    return replace(
        plan,
        seconds=searched,
        select_seconds=_times(epoch, _reselected(sweep)),
        repeat_seconds=(further * (fewest + confirmed), further * (most + confirmed)),
        confirm_seconds=_times(epoch, _confirmed(sweep)),
        halving_seconds=(1 - _halved(sweep)) * searched if prunable else None,
    )


def _halved(sweep: Sweep) -> float:
    """Share of the search's epochs that halving would train, of a ladder with as many points."""
    each, longest = sweep.trials_per_arm, sweep.longest
    if sweep.sampler != "ladder" or longest < LEAST_EPOCHS:
        return asha_share(each, longest)
    fewer = halving_trials(sweep) // len(sweep.arms)
    return epochs_of_halving(fewer, longest) / (each * longest)


def _reselected(sweep: Sweep) -> tuple[int, int]:
    """Fewest and most epochs of the selection round."""
    epochs = {min(budget.epochs, sweep.longest) for budget in budgets(sweep)}
    each = len(sweep.selection_seeds) * len(sweep.arms) * max(epochs)
    fewest, most = sweep.select.top, len(epochs) * sweep.select.top + 1
    return min(fewest, sweep.points_per_arm) * each, min(most, sweep.points_per_arm) * each


def _confirmed(sweep: Sweep) -> tuple[int, int]:
    """Fewest and most epochs of the confirmation; each further seed trains one configuration of each arm."""
    seeds, each = sweep.confirm.seeds, len(sweep.arms) * sweep.confirm_epochs
    fewest = most_configurations(sweep) * seeds.first
    return fewest * each, (fewest + seeds.most - seeds.first) * each


def _times(epoch: float, epochs: tuple[int, int]) -> tuple[float, float]:
    return epochs[0] * epoch, epochs[1] * epoch


def check_device(executor: Executor, device: Device, signals: Signals) -> dict[str, str]:
    """The machine on which trials run, for a study that is already prepared.

    Raises:
        DeviceError: the requested device is not available.
    """
    with signals.waiting():
        return executor.call(engine.check_device, device)


def device_warning(machine: Mapping[str, str], records: Sequence[TrialRecord]) -> str:
    """A warning if earlier trials of the study ran on another device; otherwise empty.

    A study keeps its number of threads, which determines the exact bits of a curve; the device is the user's choice.
    """
    before = Counter(r.result.machine.get("device", "") for r in records if r.result is not None)
    others = {name: n for name, n in before.items() if name and name != machine["device"]}
    if not others:
        return ""
    ran = ", ".join(f"{counted(n, 'trial')} on {name}" for name, n in others.items())
    return (
        f"warning: --device: this command trains on {machine['device']}, but the study has {ran}; the "
        "curves of a trial differ slightly between devices"
    )


def decided(
    sweep: Sweep, stored: StudyRecord | None, executor: Executor, signals: Signals
) -> Sweep:
    """The sweep in which the precision `auto` is that of the stored study, or else of a worker's machine."""
    if sweep.model.precision != AUTO:
        return sweep
    if stored is not None:
        return in_precision(sweep, stored.precision or stored.sweep.model.precision)
    with signals.waiting():
        return in_precision(sweep, executor.call(engine.automatic_precision))


def precision_warning(trial: Trial, executor: Executor, signals: Signals) -> str:
    """A warning with the cost if a worker's machine does not compute in a trial's precision; otherwise empty."""
    if trial.precision != BFLOAT16:
        return ""
    with signals.waiting():
        seconds = executor.call(engine.slow_precision, trial)
    if not seconds:
        return ""
    slow, fast = (milliseconds(seconds[name]) for name in (BFLOAT16, FLOAT32))
    return (
        f"warning: model.precision: the study trains in {BFLOAT16}, which this machine does not compute in: "
        f"a training step takes {slow} instead of {fast} in float32"
    )


def scale_warning(sweep: Sweep, facts: DataFacts, root: Path) -> str:
    """A warning if the inputs have another scale than a scheme divides by, or than float32 holds; otherwise empty."""
    names = {
        scheme.name
        for each in sweep.space.choices("normalization")
        for scheme in schemes.all_in(str(each))
        if scheme.value is None
    }
    data = Dataset.open(root, facts.digest)
    images, full_scale, wrong = data.x_train, sweep.data.full_scale, ""
    if images.ndim < 4 and not data.facts.tokens:
        wrong = too_coarse(images)
    if not wrong and names & {"unit", "symmetric"} and images.ndim > 2:
        wrong = narrow_range(images, full_scale)
    if not wrong and "unit" in names and not data.facts.tokens:
        wrong = pixels_in_columns(images, full_scale)
    return f"warning: data {facts.name}: {wrong}" if wrong else ""


def identified(sweep: Sweep, facts: DataFacts, executor: Executor, signals: Signals) -> Sweep:
    """The sweep in which a network from Python code is named by the digest of its configuration.

    Raises:
        SweepError: the network cannot be built for this data.
    """
    if sweep.model.name != models.OWN:
        return sweep
    with signals.waiting():
        digest = executor.call(network_digest, example_trial(sweep, facts))
    named = sweep.model.model_copy(update={"name": f"{models.OWN}@{digest[:12]}"})
    return sweep.model_copy(update={"model": named})


def _check_classes(name: str, dataset: Dataset) -> None:
    missing = [k for k, images in enumerate(dataset.test_counts) if not images]
    if missing and metric(name).every_class:
        label = dataset.labels[missing[0]] if dataset.labels else missing[0]
        raise DataError(
            f"metric: {name} needs test images of every class, but {dataset.source} has none of class "
            f"{label}; use accuracy or log_loss, or a test set with every class"
        )


def _facts(dataset: Dataset, digest: str) -> DataFacts:
    return DataFacts(
        name=dataset.name,
        source=dataset.source,
        digest=digest,
        train_images=len(dataset.y_train),
        test_images=len(dataset.y_test),
        classes=dataset.classes,
        labels=tuple(dataset.labels),
        class_counts=tuple(dataset.counts.tolist()),
        test_class_counts=tuple(dataset.test_counts.tolist()),
        task=dataset.task,
        outputs=dataset.outputs,
        sample=dataset.sample,
    )


def example_trial(sweep: Sweep, facts: DataFacts) -> Trial:
    """A trial of the sweep, with its first optimizer and normalization; it is not stored."""
    normalization = str(sweep.space.choices("normalization")[0])
    return _examples(sweep, data_key(sweep, facts), normalization)[0]


def _examples(sweep: Sweep, data: DataKey, normalization: str) -> tuple[Trial, ...]:
    """Trials at both ends of each arm's space for each optimizer, to validate all of its values."""
    found: dict[str, Trial] = {}
    for end, arm in itertools.product((0.0, 1.0 - 1e-9), sweep.arms):
        space = arm.space(sweep.search.space)
        for optimizer in space.choices("optimizer"):
            params: dict[str, Scalar] = {"optimizer": optimizer}
            for dimension in space.active(params):
                params.setdefault(dimension.name, dimension.from_unit(end))
            if params.get(INPUT_RATE) != MATCHED:  # which is fitted to the arm's own
                params["normalization"] = normalization
            trial = resolve_trial(sweep, data, arm.key, params, number=-1, slot=-1)
            found.setdefault(trial.fingerprint, trial)
    return tuple(found.values())


def _epoch_seconds(findings: Findings, trial: Trial) -> float:
    """Wall seconds of an epoch, if each step takes as long as the measured one and validation a third."""
    steps = trial.steps_per_epoch or math.ceil(findings.train_images / trial.batch_size)
    return (steps + findings.val_images / trial.batch_size / 3) * findings.seconds_per_step
