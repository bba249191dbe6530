"""The test scores of the confirmation as data frames: by seed, their means, and what they are worth in epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from normsweep.analysis.exchange import Exchange
from normsweep.analysis.factorial import Factorial
from normsweep.analysis.seed_scores import SeedScore, spreads
from normsweep.parts.metrics import ACCURACY, Metric
from normsweep.sweep.study_record import Configuration

__all__ = ["exchange_table", "mechanism_table", "seeds_table", "summary_table"]

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


def seeds_table(
    scores: Sequence[SeedScore], by: Metric = ACCURACY, level: float = math.nan
) -> pd.DataFrame:
    """One row an arm, configuration, number of epochs and seed: the values that `summary_table` averages.

    `level` is that of the verdicts' intervals, which `normsweep judge` takes from there.
    """
    tested = f"test_{by.name}"
    columns = ["arm", "configuration", "epochs", "slot", "trial", tested, "ended"]
    beside = ["window", f"mean_{tested}", "paired", "level"]
    rows = [
        (
            *_key(s.configuration, s.epochs),
            *(s.slot, s.trial, s.value, s.ended.value),
            *_settings(s.configuration),
            *(s.window, s.mean, s.paired, level),
        )
        for s in scores
    ]
    return pd.DataFrame(rows, columns=[*columns, *SETTINGS, *beside]).astype({"trial": "Int64"})


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


def mechanism_table(found: Sequence[Factorial]) -> pd.DataFrame:
    """One row a configuration, number of epochs and effect: the gap, its parts and the controls, as arm − `other`.

    The joint part is what the other two do not add up to.
    """
    columns = [
        "arm", "other", "reference", "configuration", "epochs", "effect", "value", "low", "high", "most",
        "trained", "other_trained", "seeds", "images", "window", "level", "scale",
    ]  # fmt: skip
    rows = [row for each in found for row in _effects(each)]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"trained": "Int64", "other_trained": "Int64"})


def _effects(factorial: Factorial) -> Iterator[tuple[object, ...]]:
    cells = factorial.cells
    counts = {arm: cell.trained for arm, cell in zip(cells.arms, factorial.trained, strict=True)}
    for each in factorial.compared:
        estimate = each.estimate
        yield (
            *(each.arm, each.other, cells.reference, factorial.configuration, factorial.epochs),
            *(each.effect, estimate.value, estimate.low, estimate.high),
            *(each.effect in factorial.most, counts.get(each.arm), counts.get(each.other or "")),
            *(estimate.n, factorial.images, factorial.window, factorial.level, cells.scale),
        )


def _key(configuration: Configuration, epochs: int) -> tuple[str, str, int]:
    return configuration.arm, configuration.name, epochs


def _settings(configuration: Configuration) -> tuple[str, float]:
    params = configuration.params
    return str(params["optimizer"]), float(params["learning_rate"])


def _known(epochs: float) -> float:
    """A bound that is not known is missing."""
    return epochs if 0 < epochs < math.inf else math.nan
