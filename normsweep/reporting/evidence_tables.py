"""What a study found, as data frames: the verdicts and the numbers behind a report's figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from normsweep.analysis.confirm_runs import Curve, Speed
from normsweep.analysis.outcomes import earlier_word
from normsweep.analysis.repeats import Repeated
from normsweep.analysis.trials import (
    TuningCurve,
    best_by_epochs,
    longest_curve,
    metric_of,
    progress,
    settled,
)
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import ACCURACY, Metric
from normsweep.reporting.outcome_words import chosen_words, outcome_text
from normsweep.sweep.study_record import BASELINE, BASELINE_SHORT, Configuration, TrialRecord
from normsweep.sweep.trial import Status
from normsweep.text import counted

__all__ = [
    "COLUMNS",
    "budget_table",
    "configurations_table",
    "curves_table",
    "learning_rates_table",
    "progress_table",
    "speed_table",
    "tunability_table",
    "verdict_table",
]

COLUMNS = [
    "question", "arm", "reference", "outcome", "verdict", "word", "epoch", "epoch_low", "horizon", "gap",
    "low", "high", "plain_low", "plain_high", "seeds_low", "seeds_high", "gap_last_epoch", "window",
    "accuracy", "reference_accuracy", "seeds", "trained", "reference_trained", "images", "margin",
    "confidence", "level", "analysis", "look", "method", "diverged", "reference_diverged", "stuck",
    "reference_stuck", "untrained_at_most", "more_seeds", "among", "repeats", "gap_repeats",
    "low_repeats", "high_repeats", "primary", "rules", "warnings",
]  # fmt: skip


def verdict_table(verdicts: Sequence[Verdict], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row a question and arm.

    For metrics other than accuracy, the two columns of means are named after the metric.
    """
    table = pd.DataFrame([_verdict(v) for v in verdicts], columns=COLUMNS)
    if by is not ACCURACY:
        own = {"accuracy": by.name, "reference_accuracy": f"reference_{by.name}"}
        table = table.rename(columns=own).assign(metric=by.name)
    if share := max((verdict.share for verdict in verdicts), default=0.0):
        table = table.assign(margin_share=share)
    return table.astype({"epoch": "Int64", "epoch_low": "Int64", "primary": bool})


def _verdict(verdict: Verdict) -> dict[str, Any]:
    arm, reference = verdict.trained
    return {
        "question": verdict.question,
        "arm": verdict.arm,
        "reference": verdict.reference,
        "outcome": verdict.outcome.value,
        "verdict": outcome_text(verdict),
        "word": earlier_word(verdict.outcome).value,
        "epoch": _or_missing(verdict.epoch),
        "epoch_low": _or_missing(verdict.epoch_low),
        "horizon": verdict.horizon,
        "gap": verdict.gap.value,
        "low": verdict.gap.low,
        "high": verdict.gap.high,
        "plain_low": verdict.plain.low,
        "plain_high": verdict.plain.high,
        "seeds_low": verdict.on_these_images.low,
        "seeds_high": verdict.on_these_images.high,
        "gap_last_epoch": verdict.last_epoch.value,
        "window": verdict.window,
        "accuracy": verdict.value,
        "reference_accuracy": verdict.reference_value,
        "seeds": verdict.seeds,
        "trained": arm.trained,
        "reference_trained": reference.trained,
        "images": verdict.images,
        "margin": verdict.margin,
        "confidence": verdict.confidence,
        "level": verdict.level,
        "analysis": verdict.analysis,
        "look": verdict.analysis,
        "method": verdict.method,
        "diverged": arm.diverged,
        "reference_diverged": reference.diverged,
        "stuck": arm.stuck,
        "reference_stuck": reference.stuck,
        "untrained_at_most": arm.lost_at_most,
        "more_seeds": verdict.more_seeds,
        "among": chosen_words(verdict.chosen),
        **_over_repeats(verdict.repeated),
        "primary": verdict.primary,
        "rules": verdict.rules,
        "warnings": "; ".join(verdict.warnings),
    }


def _over_repeats(repeated: Repeated | None) -> dict[str, Any]:
    """How often the whole tuning was done, and the gap over these; 1 without repeats."""
    gap = repeated.gap if repeated else None
    return {
        "repeats": repeated.ended if repeated else 1,
        "gap_repeats": gap.value if gap else math.nan,
        "low_repeats": gap.low if gap else math.nan,
        "high_repeats": gap.high if gap else math.nan,
    }


def curves_table(curves: Sequence[Curve], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row an arm, configuration and epoch: the metric's mean and its two-way interval."""
    columns = ["arm", "configuration", "epoch", by.name, "low", "high", "seeds"]
    rows = [
        (curve.arm, curve.configuration, epoch, e.value, e.low, e.high, e.n)
        for curve in curves
        for epoch, e in enumerate(curve.epochs, start=1)
    ]
    return pd.DataFrame(rows, columns=columns)


def configurations_table(configurations: Sequence[Configuration]) -> pd.DataFrame:
    """One row an arm and configuration: what it is, and how it was chosen."""
    columns = [
        "arm", "configuration", "label", "optimizer", "learning_rate", "params", "trial",
        "selected_at", "trials",
    ]  # fmt: skip
    rows = [
        {
            "arm": c.arm,
            "configuration": c.name,
            "label": _label(c),
            "optimizer": str(c.params["optimizer"]),
            "learning_rate": float(c.params["learning_rate"]),
            "params": ", ".join(
                f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"
                for name, value in c.params.items()
            ),
            "trial": _or_missing(c.trial),
            "selected_at": _or_missing(c.selected_at),
            "trials": c.among,
        }
        for c in configurations
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"trial": "Int64", "selected_at": "Int64"})


def _label(configuration: Configuration) -> str:
    if configuration.name == BASELINE:
        return "baseline"
    if configuration.name == BASELINE_SHORT:
        return f"baseline, {counted(int(configuration.params['epochs']), 'epoch')}"
    epochs = "epoch" if configuration.selected_at == 1 else "epochs"
    return f"tuned for {configuration.selected_at} {epochs}{_among(configuration)}"


def _among(configuration: Configuration) -> str:
    """Of how many trials it is the best; studies of earlier versions do not tell."""
    among, of = configuration.among, configuration.of
    seeds = (
        f" on {counted(1 + configuration.reselected, 'seed')}" if configuration.reselected else ""
    )
    return f", chosen among {among} of {counted(of, 'trial')}{seeds}" if of else ""


def speed_table(speeds: Sequence[Speed]) -> pd.DataFrame:
    """One row an arm and configuration: epochs and seconds to the reference's level, and of tuning."""
    columns = [
        "arm", "configuration", "epochs_to_level", "seconds_to_level", "tuning_seconds",
        "tuning_epochs",
    ]  # fmt: skip
    rows = [
        (
            s.arm,
            s.configuration,
            _or_missing(s.epochs),
            s.seconds,
            s.tuning_seconds,
            s.tuning_epochs,
        )
        for s in speeds
    ]
    return pd.DataFrame(rows, columns=columns).astype({"epochs_to_level": "Int64"})


def learning_rates_table(searched: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a search trial with a score: its learning rate and its score on validation.

    A trial that was pruned or paused has that of its last epoch.
    """
    score = f"val_{metric_of(searched).name}"
    columns = ["trial", "arm", "optimizer", "learning_rate", score, "epochs", "diverged"]
    rows = []
    for record in sorted(settled(searched), key=lambda record: record.trial.number):
        trial, result = record.trial, record.result
        assert result is not None
        if result.status.scored:
            last = result.score, trial.epochs
        elif result.status is Status.PRUNED and result.curve:
            last = result.last.value, len(result.curve)
        else:
            continue
        settings = trial.number, trial.arm, trial.optimizer, trial.learning_rate
        rows.append((*settings, *last, result.status is Status.DIVERGED))
    return pd.DataFrame(rows, columns=columns)


def tunability_table(curves: Sequence[TuningCurve]) -> pd.DataFrame:
    """One row an arm and number of trials: the score on validation after so many, and their seconds."""
    columns = ["arm", "trials", "expected", "low", "high", "kind", "seconds"]
    rows = [
        (curve.arm, trials, *values, curve.kind, seconds)
        for curve in curves
        for trials, (*values, seconds) in enumerate(
            zip(curve.scores, curve.low, curve.high, curve.seconds, strict=True), start=1
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def budget_table(searched: Sequence[TrialRecord], arms: Sequence[str]) -> pd.DataFrame:
    """One row an arm and number of epochs: the best score on validation after so many, and its trial."""
    columns = ["arm", "epochs", f"val_{metric_of(searched).name}", "trial", "among", "reached_by"]
    every = range(1, longest_curve(searched) + 1)
    rows = [
        (best.arm, best.epochs, best.score, best.record.trial.number, best.among, best.reached_by)
        for best in best_by_epochs(searched, arms, every)
    ]
    return pd.DataFrame(rows, columns=columns)


def progress_table(searched: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a search trial with a score, by the time at which it ended."""
    score = f"val_{metric_of(searched).name}"
    columns = ["arm", "trial", "hours", "done", "score", "best"]
    table = pd.DataFrame([asdict(step) for step in progress(searched)], columns=columns)
    return table.rename(columns={"score": score})


def _or_missing(value: int | None) -> Any:
    return pd.NA if value is None else value
