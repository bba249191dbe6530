"""What the search found, as the frames that its figures are drawn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from normsweep.analysis.tunability import best_so_far, expected_best, expected_best_band
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status

__all__ = ["learning_rates_table", "progress_table", "tunability_table"]


def learning_rates_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a search trial with a score: its learning rate and its score on validation."""
    score = f"val_{_metric(records).name}"
    columns = ["trial", "arm", "optimizer", "learning_rate", score, "epochs", "diverged"]
    rows = [
        {
            "trial": r.trial.number,
            "arm": r.trial.arm,
            "optimizer": r.trial.optimizer,
            "learning_rate": r.trial.learning_rate,
            score: r.result.score,
            "epochs": r.trial.epochs,
            "diverged": r.result.status is Status.DIVERGED,
        }
        for r in records
        if r.result is not None and r.result.status.scored
    ]
    return pd.DataFrame(rows, columns=columns)


def tunability_table(
    records: Sequence[TrialRecord], arms: Sequence[str], sampler: str, seed: int
) -> pd.DataFrame:
    """The score on validation against the number of trials, per arm.

    The expected best of so many trials, with a band, where the sampler drew them independently
    (`random`); the best so far, without one, where it learned from the ones before.
    """
    columns = ["arm", "trials", "expected", "low", "high", "kind"]
    rows: list[dict[str, Any]] = []
    for arm in arms:
        scores = [
            r.result.score
            for r in sorted(records, key=lambda r: r.trial.slot)
            if r.trial.arm == arm and r.result is not None and r.result.status.scored
        ]
        make = _expected if sampler == "random" else _so_far
        found = make(np.array(scores), seed, _metric(records)) if scores else []
        rows += [{"arm": arm, **row} for row in found]
    return pd.DataFrame(rows, columns=columns)


def _expected(scores: np.ndarray[Any, Any], seed: int, by: Metric) -> list[dict[str, Any]]:
    upward = by.sign * scores
    band = by.sign * expected_best_band(upward, np.random.default_rng(seed))
    kind = "expected best"
    return [
        {
            "trials": k,
            "expected": by.sign * expected_best(upward, k),
            "low": min(bounds),
            "high": max(bounds),
            "kind": kind,
        }
        for k, bounds in enumerate(band.tolist(), start=1)
    ]


def _so_far(scores: np.ndarray[Any, Any], seed: int, by: Metric) -> list[dict[str, Any]]:
    nan, kind = math.nan, "best so far"
    return [
        {"trials": k + 1, "expected": by.sign * float(value), "low": nan, "high": nan, "kind": kind}
        for k, value in enumerate(best_so_far(by.sign * scores))
    ]


def progress_table(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row a search trial with a score, by the time at which it ended."""
    by = _metric(records)
    score = f"val_{by.name}"
    columns = ["arm", "trial", "hours", "done", score, "best"]
    ended = [(r, r.result) for r in records if r.result is not None and r.result.status.scored]
    begun = min((result.started for _, result in ended), default=0.0)
    ended.sort(key=lambda pair: pair[1].started + pair[1].seconds)
    done: Counter[str] = Counter()
    best: dict[str, float] = {}
    rows = []
    for record, result in ended:
        arm = record.trial.arm
        done[arm] += 1
        best[arm] = max(best.get(arm, result.score), result.score, key=lambda v: by.sign * v)
        rows.append(
            {
                "arm": arm,
                "trial": record.trial.number,
                "hours": (result.started + result.seconds - begun) / 3600,
                "done": done[arm],
                score: result.score,
                "best": best[arm],
            }
        )
    return pd.DataFrame(rows, columns=columns)


def _metric(records: Sequence[TrialRecord]) -> Metric:
    """That of all trials of a study."""
    return metric(records[0].trial.metric) if records else ACCURACY
