"""What the search found, as the frames that its figures are drawn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from normsweep.analysis.tunability import best_so_far, expected_best, expected_best_band
from normsweep.spec import Record, Status

__all__ = ["learning_rates_table", "progress_table", "tunability_table"]


def learning_rates_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a search trial with a score: its learning rate and its validation accuracy."""
    columns = ["trial", "arm", "optimizer", "learning_rate", "val_accuracy", "epochs", "diverged"]
    rows = [
        {
            "trial": r.trial.number,
            "arm": r.trial.arm,
            "optimizer": r.trial.optimizer,
            "learning_rate": r.trial.learning_rate,
            "val_accuracy": r.result.score,
            "epochs": r.trial.epochs,
            "diverged": r.result.status is Status.DIVERGED,
        }
        for r in records
        if r.result is not None and r.result.status.scored
    ]
    return pd.DataFrame(rows, columns=columns)


def tunability_table(
    records: Sequence[Record], arms: Sequence[str], sampler: str, seed: int
) -> pd.DataFrame:
    """Validation accuracy against the number of trials, per arm.

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
        rows += [{"arm": arm, **row} for row in make(np.array(scores), seed)] if scores else []
    return pd.DataFrame(rows, columns=columns)


def _expected(scores: np.ndarray[Any, Any], seed: int) -> list[dict[str, Any]]:
    band = expected_best_band(scores, np.random.default_rng(seed))
    kind = "expected best"
    return [
        {"trials": k, "expected": expected_best(scores, k), "low": low, "high": high, "kind": kind}
        for k, (low, high) in enumerate(band.tolist(), start=1)
    ]


def _so_far(scores: np.ndarray[Any, Any], seed: int) -> list[dict[str, Any]]:
    nan, kind = math.nan, "best so far"
    return [
        {"trials": k + 1, "expected": float(value), "low": nan, "high": nan, "kind": kind}
        for k, value in enumerate(best_so_far(scores))
    ]


def progress_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a search trial with a score, by the time at which it ended."""
    columns = ["arm", "trial", "hours", "done", "val_accuracy", "best"]
    ended = [(r, r.result) for r in records if r.result is not None and r.result.status.scored]
    begun = min((result.started for _, result in ended), default=0.0)
    ended.sort(key=lambda pair: pair[1].started + pair[1].seconds)
    done: Counter[str] = Counter()
    best: dict[str, float] = {}
    rows = []
    for record, result in ended:
        arm = record.trial.arm
        done[arm] += 1
        best[arm] = max(best.get(arm, -math.inf), result.score)
        rows.append(
            {
                "arm": arm,
                "trial": record.trial.number,
                "hours": (result.started + result.seconds - begun) / 3600,
                "done": done[arm],
                "val_accuracy": result.score,
                "best": best[arm],
            }
        )
    return pd.DataFrame(rows, columns=columns)
