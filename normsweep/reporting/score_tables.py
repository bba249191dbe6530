"""The test scores of the confirmation as data frames: by seed, their means, and what they are worth in epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from normsweep.analysis.exchange import Exchange
from normsweep.analysis.seed_scores import SeedScore, spreads
from normsweep.parts.metrics import ACCURACY, Metric
from normsweep.sweep.study_record import Configuration

__all__ = ["exchange_table", "seeds_table", "summary_table"]

SETTINGS = ["optimizer", "learning_rate"]


def summary_table(scores: Sequence[SeedScore], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row an arm, configuration and number of epochs: mean and standard deviation over the seeds."""
    tested = f"test_{by.name}"
    columns = ["arm", "configuration", "epochs", tested, "sd", "lowest", "highest", "trained", "seeds"]  # fmt: skip
    rows = [
        (
            *_key(s.configuration, s.epochs),
            *(s.mean, s.deviation, s.lowest, s.highest, s.trained, s.seeds),
            *_settings(s.configuration),
        )
        for s in spreads(scores)
    ]
    return pd.DataFrame(rows, columns=[*columns, *SETTINGS])


def seeds_table(scores: Sequence[SeedScore], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row an arm, configuration, number of epochs and seed: the values that `summary_table` averages."""
    columns = ["arm", "configuration", "epochs", "slot", "trial", f"test_{by.name}", "ended"]
    rows = [
        (
            *_key(s.configuration, s.epochs),
            *(s.slot, s.trial, s.value, s.ended.value),
            *_settings(s.configuration),
        )
        for s in scores
    ]
    return pd.DataFrame(rows, columns=[*columns, *SETTINGS]).astype({"trial": "Int64"})


def exchange_table(found: Sequence[Exchange], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row an arm, configuration and level: how many of its epochs reach that level of the reference."""
    columns = [
        "arm", "reference", "configuration", "reference_epochs", by.name, "epochs", "low", "high", "longest",
        "seeds",
    ]  # fmt: skip
    rows = [
        (
            *(e.arm, e.reference, e.configuration, e.after, e.level),
            *map(_known, (e.worth.value, e.worth.low, e.worth.high)),
            *(e.longest, e.seeds),
        )
        for e in found
    ]
    return pd.DataFrame(rows, columns=columns)


def _key(configuration: Configuration, epochs: int) -> tuple[str, str, int]:
    return configuration.arm, configuration.name, epochs


def _settings(configuration: Configuration) -> tuple[str, float]:
    params = configuration.params
    return str(params["optimizer"]), float(params["learning_rate"])


def _known(epochs: float) -> float:
    """A bound that is not known is missing."""
    return epochs if 0 < epochs < math.inf else math.nan
