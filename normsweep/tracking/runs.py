"""The name, parameters, tags and metrics of a run, as MLflow's entities."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from collections.abc import Mapping, Sequence

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    RunTag,
)

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.verdicts import Verdict
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import (
    CONFIRM,
    SEARCH,
    SELECT,
    Epoch,
    Result,
    Trial,
    kind_of,
    repeat_of,
)
from normsweep.text import as_markdown, counted, quoted

__all__ = [
    "ARM",
    "BEST",
    "CONFIGURATION",
    "DESCRIPTION",
    "LABEL",
    "LOG_RATE",
    "MEAN",
    "PHASE",
    "datasets",
    "described",
    "epoch_metrics",
    "final_metrics",
    "machine_tags",
    "mean_metrics",
    "metrics",
    "model_metrics",
    "params",
    "redescribed",
    "relabelled",
    "run_name",
    "trial_tags",
    "verdict_metrics",
    "verdict_tags",
]


ARM, LABEL = "normsweep.arm", "normsweep.label"
"""Tags: the arm's key, which never changes, and its label, if that is another text."""

BEST, CONFIGURATION, PHASE = (
    "normsweep.best_of_arm",
    "normsweep.configuration",
    "normsweep.phase",
)
"""Tags: of the best trial of an arm; the configuration in the confirmation; the phase of a trial."""

MEAN = "mean"
"""The phase of a run that has the mean of the confirmation over its seeds."""

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run or an experiment, in Markdown."""

LOG_RATE = "log10_learning_rate"
"""The parameter that shows learning rates on MLflow's axes, which are linear."""

DOING = {SEARCH: "search", SELECT: "selection round", CONFIRM: "confirmation"}

PARTS = {"train": "training", "val": "validation", "test": "test"}
"""What a metric is measured on, by the beginning of its name, and MLflow's context of that dataset."""


def run_name(trial: Trial, label: str) -> str:
    """The name of a run: number and arm first, because the table of runs shows about 18 characters."""
    head = f"{trial.number:03d} {label}"
    if kind_of(trial.phase) != SEARCH:
        return f"{head} {trial.configuration} seed {trial.seed}"
    return f"{head} {trial.optimizer} {trial.learning_rate:.2g}"


def relabelled(name: str, was: str, label: str) -> str:
    """The name of a run whose arm has another label now; a name that a user gave it stays."""
    number, _, rest = name.partition(" ")
    return f"{number} {label}{rest[len(was) :]}" if rest.startswith(f"{was} ") else name


def described(trial: Trial, study: str, label: str) -> str:
    """The description of a trial's run: a sentence, in Markdown."""
    repeat = repeat_of(trial.phase)
    phase = DOING[kind_of(trial.phase)] + (f" of repeat {repeat}" if repeat > 1 else "")
    configuration = (
        f", in the configuration {as_markdown(trial.configuration)}" if trial.configuration else ""
    )
    return (
        f"Trial {trial.number} of the study {as_markdown(study)} belongs to its {phase}: it trains "
        f"{as_markdown(trial.model)} on {as_markdown(trial.data.name)} for "
        f"{counted(trial.epochs, 'epoch')} with {_of_arm(label)}{configuration}, by "
        f"{as_markdown(trial.optimizer)} at a learning rate of {trial.learning_rate:g}, in batches of "
        f"{trial.batch_size} and with seed {trial.seed}."
    )


def _of_arm(label: str) -> str:
    return f"the arm {as_markdown(quoted(label))}"


def redescribed(text: str, was: str, label: str) -> str:
    """The description of a run whose arm has another label now; what a user wrote stays."""
    return text.replace(_of_arm(was), _of_arm(label))


def params(trial: Trial) -> list[Param]:
    """The searched parameters, and everything else that determines the curve."""
    content = {
        "normalization": trial.normalization,
        "optimizer": trial.optimizer,
        "learning_rate": trial.learning_rate,
        LOG_RATE: round(math.log10(trial.learning_rate), 6),
        "epochs": trial.epochs,
        "batch_size": trial.batch_size,
        **trial.optimizer_options,
        **trial.changed,
        **{f"model.{name}": value for name, value in trial.model_options.items()},
        "model": trial.model,
        "seed": trial.seed,
        "dataset": trial.data.name,
        "validation_split": trial.data.validation_split,
        "precision": trial.precision,
    }
    return [Param(name, str(value)[:500]) for name, value in content.items()]


def trial_tags(trial: Trial, study: str, label: str) -> dict[str, str]:
    """Tags that are known when a trial starts; `label`: the arm's."""
    configuration = {CONFIGURATION: trial.configuration} if trial.configuration else {}
    return {
        **configuration,
        DESCRIPTION: described(trial, study, label),
        "normsweep.study": study,
        "normsweep.trial": str(trial.number),
        ARM: trial.arm,
        PHASE: trial.phase,
        "normsweep.fingerprint": trial.fingerprint,
        "normsweep.data_digest": trial.data.digest,
        "normsweep.status": "running",
    }


def machine_tags(result: Result) -> list[RunTag]:
    """Tags that are known when a trial has ended; `normsweep.complete` marks a complete run."""
    tags = {f"normsweep.{key}": value for key, value in result.machine.items()}
    tags["normsweep.status"] = result.status.value
    if result.loop:
        tags["normsweep.loop"] = result.loop
    if result.reused:
        tags["normsweep.reused_epochs"] = str(result.reused)
        tags["normsweep.reused_from"] = str(result.origin)
        if result.origin_study:
            tags["normsweep.reused_study"] = result.origin_study
    if result.error:
        tags["normsweep.error"] = result.error[:4000]
    tags["normsweep.complete"] = "true"
    return [RunTag(key, value) for key, value in tags.items()]


def epoch_metrics(epoch: Epoch, metric: str) -> list[Metric]:
    """Metrics of an epoch, from step 1; the part before the slash is the section of the chart."""
    values = {
        "train/loss": epoch.train_loss,
        "train/accuracy": epoch.train_accuracy,
        "val/loss": epoch.val_loss,
        "val/accuracy": epoch.val_accuracy,
        "time/epoch_seconds": epoch.seconds,
    }
    if epoch.tested is not None:
        values["test/accuracy"] = epoch.tested.accuracy
    if epoch.usage is not None:  # MLflow shows what begins like this on a page of its own
        values["system/worker_cpu_percent"] = epoch.usage.cpu
        values["system/worker_memory_mib"] = epoch.usage.memory
    values |= _by_metric(epoch, metric, "val/", "test/")
    return metrics(_of_task(values, epoch), epoch.epoch)


def _of_task(values: dict[str, float], epoch: Epoch) -> dict[str, float]:
    """The values without accuracies if the training has none, as that of a regression."""
    if not math.isnan(epoch.train_accuracy):
        return values
    return {name: value for name, value in values.items() if not name.endswith("accuracy")}


def _by_metric(epoch: Epoch, metric: str, val: str, test: str) -> dict[str, float]:
    """An epoch's values of the metric, unless it is accuracy, which every epoch has."""
    if metric == "accuracy":
        return {}
    tested = {} if epoch.tested is None else {test + metric: epoch.tested.value}
    return {val + metric: epoch.value, **tested}


def final_metrics(record: TrialRecord) -> list[Metric]:
    """Metrics with one value per run, at step 0: the score, and those of the last epoch."""
    result = record.result
    assert result is not None
    values = {"final/seconds": result.seconds, "final/epochs": float(len(result.curve))}
    metric = record.trial.metric
    if result.curve:
        last = result.last
        if result.restores:
            values["final/restored_epoch"] = float(last.epoch)
        values["final/val_loss"] = last.val_loss
        values["final/train_loss"] = last.train_loss
        values["final/train_accuracy"] = last.train_accuracy
        if last.tested is not None:
            values["final/test_accuracy"] = last.tested.accuracy
        if metric != "accuracy" and math.isfinite(last.val_accuracy):
            values["final/val_accuracy"] = last.val_accuracy
        values |= _by_metric(last, metric, "final/val_", "final/test_")
    if math.isfinite(result.score):
        values[f"final/val_{metric}"] = result.score
    return metrics(_of_task(values, result.curve[-1]) if result.curve else values, 0)


def mean_metrics(curve: Curve, metric: str) -> list[Metric]:
    """The mean over the seeds after each epoch with its interval, and those of the last epoch at step 0."""
    drawn = [(i, f"test/{metric}", each) for i, each in enumerate(curve.epochs, start=1)]
    drawn += [(0, f"final/test_{metric}", each) for each in curve.epochs[-1:]]
    return [
        point
        for step, name, each in drawn
        for point in metrics(
            {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}, step
        )
    ]


def model_metrics(known: Sequence[Metric], model: str, data: DataFacts) -> list[Metric]:
    """Final metrics of a run as those of its model, each with the dataset that it is measured on.

    They keep time and step, so that the run has no point twice.
    """
    return [
        Metric(
            m.key, m.value, m.timestamp, m.step,
            model_id=model, dataset_name=_part(data, part), dataset_digest=_short(data),
        )
        for m in known
        for part in PARTS
        if m.key.startswith(f"final/{part}_") and math.isfinite(m.value)
    ]  # fmt: skip


def verdict_metrics(verdicts: Sequence[Verdict], keys: Mapping[str, str]) -> dict[str, float]:
    """The gaps of one question and the bounds of their intervals; `keys`: of the arms, by label."""
    return {
        f"{name}/{_legal(keys.get(v.arm, v.arm))}": value
        for v in verdicts
        for name, value in (("gap", v.gap.value), ("low", v.gap.low), ("high", v.gap.high))
    }


def verdict_tags(verdicts: Sequence[Verdict], keys: Mapping[str, str]) -> dict[str, str]:
    """The outcomes of one question; `keys`: of the arms, by label."""
    named = ((_legal(keys.get(v.arm, v.arm)), v) for v in verdicts)
    return {f"normsweep.outcome.{key}": verdict.outcome.value for key, verdict in named}


def _legal(arm: str) -> str:
    """The key of an arm with the characters that MLflow accepts in keys."""
    return re.sub(r"[^A-Za-z0-9_. -]", "_", arm)


def metrics(values: dict[str, float], step: int) -> list[Metric]:
    """Values at one step as MLflow's metrics."""
    now = int(time.time() * 1000)
    # MLflow stores NaN, but replaces infinity by the largest float.
    return [
        Metric(name, value if math.isfinite(value) else math.nan, now, step)
        for name, value in values.items()
    ]


def datasets(data: DataFacts, trial: Trial) -> list[DatasetInput]:
    """The datasets of a trial: training and validation images, and test images if it confirms."""
    split = {"validation_split": trial.data.validation_split}
    predicted = {"classes": data.classes} if data.classes else {"outputs": data.outputs}
    content: dict[str, dict[str, float]] = {
        "train": {"train": data.train_images, "test": data.test_images, **predicted},
        "val": {**predicted, **split},
    }
    if trial.confirms:
        content["test"] = {"images": data.test_images, **predicted}
    return [_dataset(data, part, profile) for part, profile in content.items()]


def _dataset(data: DataFacts, part: str, profile: Mapping[str, float]) -> DatasetInput:
    own = {} if part == "train" else {"part": PARTS[part]}
    dataset = Dataset(
        name=_part(data, part),
        digest=_short(data),  # shown in the table of runs; the complete digest is in the source
        source_type="normsweep",
        source=json.dumps({"source": data.source, "sha256": data.digest, **own}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", PARTS[part])])


def _part(data: DataFacts, part: str) -> str:
    """The name of a part of the data: MLflow tells datasets apart by name and digest alone."""
    return data.name if part == "train" else f"{data.name} {PARTS[part]}"


def _short(data: DataFacts) -> str:
    return data.digest[:12]


def _source_tags() -> dict[str, str]:
    tags = {"mlflow.source.name": "normsweep.study", "mlflow.source.type": "LOCAL"}
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return tags
    return (
        {**tags, "mlflow.source.git.commit": done.stdout.strip()} if done.returncode == 0 else tags
    )
