"""`Evidence`: all that a study found, as data frames; tables, figures and pages are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from normsweep.analysis.cautions import cautions, general_cautions
from normsweep.analysis.confirm_runs import Confirmed, confirmed
from normsweep.analysis.curves import configurations_table, curves_table, speed_table
from normsweep.analysis.insides import gradients_table, inputs_table
from normsweep.analysis.questions import Declared, judged, verdict_table
from normsweep.analysis.searched import learning_rates_table, progress_table, tunability_table
from normsweep.analysis.verdicts import LEAST_SEEDS
from normsweep.sweep.study_record import Analysis, TrialRecord
from normsweep.sweep.trial import SEARCH

__all__ = ["Evidence", "evidence"]


@dataclass(frozen=True)
class Evidence:
    """The frames of a study; those of the confirmation are empty until a verdict was given."""

    declared: Declared
    arms: tuple[str, ...]
    seeds: int
    """Seeds of the latest look; 0 before the first."""
    verdicts: pd.DataFrame
    curves: pd.DataFrame
    configurations: pd.DataFrame
    speed: pd.DataFrame
    learning_rates: pd.DataFrame
    tunability: pd.DataFrame
    inputs: pd.DataFrame
    gradients: pd.DataFrame
    progress: pd.DataFrame
    warnings: tuple[str, ...]
    """What holds for the study as a whole."""


def evidence(
    sweep: Mapping[str, Any],
    arms: Sequence[str],
    looks: Sequence[Analysis],
    diagnoses: Mapping[str, Mapping[str, Any]],
    classes: int,
    records: Sequence[TrialRecord],
    test_counts: Sequence[int] = (),
) -> Evidence:
    """Everything, from the record of a study.

    Args:
        sweep: by dotted key.
        arms: those that ran, in the sweep's order.
        looks: at the confirmation, the latest last; its runs are the ones that count.
        diagnoses: of the arms' networks.
        classes: of the data.
        records: of both phases.
        test_counts: test images of each class; older records have none.
    """
    searched = [r for r in records if r.trial.phase == SEARCH]
    # A look at fewer seeds than a verdict needs gave none, and so cost none.
    decided = sum(look.seeds >= LEAST_SEEDS for look in looks)
    declared = Declared.of(sweep, max(decided, 1))
    look = looks[-1] if looks else Analysis(0, ())
    found = confirmed(look, records)
    curves = curves_table(found, declared.confidence)
    general = general_cautions(sweep, arms, searched, test_counts)
    return Evidence(
        declared=declared,
        arms=tuple(arms),
        seeds=look.seeds,
        verdicts=_verdicts(sweep, declared, found, arms if looks else (), general),
        curves=curves,
        configurations=configurations_table(look.configurations),
        speed=speed_table(found, curves, searched, declared),
        learning_rates=learning_rates_table(searched),
        tunability=tunability_table(searched, arms, sweep["search.sampler"], sweep["seed"]),
        inputs=inputs_table(diagnoses, arms, classes),
        gradients=gradients_table(diagnoses, arms),
        progress=progress_table(searched),
        warnings=tuple(general),
    )


def _verdicts(
    sweep: Mapping[str, Any],
    declared: Declared,
    found: Confirmed,
    arms: Sequence[str],
    general: Sequence[str],
) -> pd.DataFrame:
    verdicts = [
        replace(v, warnings=(*cautions(sweep, declared, found, v), *general))
        for v in (judged(declared, found, arms) if arms else ())
    ]
    return verdict_table(verdicts, declared.metric)
