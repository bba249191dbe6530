"""Given runs as data frames: verdicts, scores of the runs, their summary, curves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from normsweep.analysis.given import ArmRuns, Judgement
from normsweep.reporting.evidence_tables import curves_table, verdict_table

__all__ = ["judged_tables"]


def judged_tables(found: Judgement) -> dict[str, pd.DataFrame]:
    """The tables beside a page: verdicts, runs, their summary, and curves of several epochs."""
    by, runs = found.metric, found.runs
    tables = {
        "verdicts": verdict_table(found.verdicts, by),
        "summary": pd.DataFrame([_summary(arm, by.name) for arm in runs.arms]),
        "runs": pd.DataFrame([row for arm in runs.arms for row in _runs(arm, by.name)]),
    }
    return tables | ({"curves": curves_table(found.curves, by)} if runs.epochs else {})


def _runs(arm: ArmRuns, name: str) -> Iterator[dict[str, object]]:
    for place, value in enumerate(arm.finals):
        seed = arm.seeds[place] if arm.seeds else pd.NA
        yield {"arm": arm.arm, "seed": seed, name: value, "trained": place in arm.trained}


def _summary(arm: ArmRuns, name: str) -> dict[str, object]:
    values = pd.Series([value for value in arm.finals if math.isfinite(value)], dtype=float)
    return {
        "arm": arm.arm,
        name: values.mean(),
        "sd": values.std(),
        "lowest": values.min(),
        "highest": values.max(),
        "trained": len(arm.trained),
        "runs": len(arm.scores),
    }
