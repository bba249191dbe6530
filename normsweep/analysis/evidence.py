"""`Evidence`: all that a study found, as data frames; tables, figures and pages are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from normsweep.analysis.cautions import cautions, general_cautions
from normsweep.analysis.confirm_runs import Confirmed, confirmed
from normsweep.analysis.curves import configurations_table, curves_table, speed_table
from normsweep.analysis.insides import gradients_table, inputs_table
from normsweep.analysis.questions import Declared, judged, verdict_table
from normsweep.analysis.searched import learning_rates_table, progress_table, tunability_table
from normsweep.analysis.verdicts import LEAST_SEEDS
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Analysis, StudyRecord

__all__ = ["Evidence", "evidence"]


@dataclass(frozen=True)
class Evidence:
    """The frames of a study; those of the confirmation are empty until a verdict was given."""

    record: StudyRecord
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


def evidence(record: StudyRecord) -> Evidence:
    """Everything, from the record of a study: the runs of its latest analysis are the ones that count."""
    sweep, arms, searched = record.sweep, record.arms, record.searched
    # An analysis of fewer seeds than a verdict needs gave none, and so cost none.
    decided = sum(analysis.seeds >= LEAST_SEEDS for analysis in record.analyses)
    declared = Declared.of(sweep, max(decided, 1))
    latest = record.analyses[-1] if record.analyses else Analysis(0, ())
    found = confirmed(latest, record.trials)
    curves = curves_table(found, declared.confidence)
    general = general_cautions(
        sweep, arms, searched, record.data.test_class_counts if record.data else ()
    )
    diagnoses = {arm: diagnosis.to_plain() for arm, diagnosis in record.diagnoses.items()}
    return Evidence(
        record=record,
        declared=declared,
        arms=arms,
        seeds=latest.seeds,
        verdicts=_verdicts(sweep, declared, found, arms if record.analyses else (), general),
        curves=curves,
        configurations=configurations_table(latest.configurations),
        speed=speed_table(found, curves, searched, declared),
        learning_rates=learning_rates_table(searched),
        tunability=tunability_table(searched, arms, sweep.search.sampler, sweep.seed),
        inputs=inputs_table(diagnoses, arms, record.data.classes if record.data else 0),
        gradients=gradients_table(diagnoses, arms),
        progress=progress_table(searched),
        warnings=tuple(general),
    )


def _verdicts(
    sweep: Sweep,
    declared: Declared,
    found: Confirmed,
    arms: Sequence[str],
    general: Sequence[str],
) -> pd.DataFrame:
    verdicts = list(judged(declared, found, arms)) if arms else []
    warnings = {
        (v.question, v.arm): [*cautions(sweep, declared, found, v), *general] for v in verdicts
    }
    return verdict_table(declared, verdicts, warnings)
