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

from normsweep.analysis.verdicts import Verdict
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import SEARCH, Epoch, Result, Trial, kind_of

__all__ = [
    "ARM",
    "LABEL",
    "epoch_metrics",
    "final_metrics",
    "machine_tags",
    "metrics",
    "params",
    "relabelled",
    "run_name",
    "trial_tags",
    "verdict_metrics",
    "verdict_tags",
]


ARM, LABEL = "normsweep.arm", "normsweep.label"
"""Tags: the arm's key, which never changes, and its label, if that is another text."""


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


def params(trial: Trial) -> list[Param]:
    """The searched parameters, and everything else that determines the curve."""
    content = {
        "normalization": trial.normalization,
        "optimizer": trial.optimizer,
        "learning_rate": trial.learning_rate,
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


def trial_tags(trial: Trial, study: str, label: str | None = None) -> dict[str, str]:
    """Tags that are known when a trial starts."""
    configuration = {"normsweep.configuration": trial.configuration} if trial.configuration else {}
    return {
        **configuration,
        **({} if label is None else {LABEL: label}),
        "normsweep.study": study,
        "normsweep.trial": str(trial.number),
        ARM: trial.arm,
        "normsweep.phase": trial.phase,
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
    return metrics(values | _by_metric(epoch, metric, "val/", "test/"), epoch.epoch)


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
    return metrics(values, 0)


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


def _dataset(data: DataFacts) -> DatasetInput:
    shape = {"train": data.train_images, "test": data.test_images, "classes": data.classes}
    dataset = Dataset(
        name=data.name,
        digest=data.digest[:12],  # shown in the table of runs; the complete digest is in the source
        source_type="normsweep",
        source=json.dumps({"source": data.source, "sha256": data.digest}),
        profile=json.dumps(shape),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training")])


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
