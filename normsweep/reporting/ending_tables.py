"""How trainings ended, as data frames: by arm, and by trial of the search."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normsweep.analysis.endings import ArmEndings, Ending
from normsweep.analysis.stuck import Kind
from normsweep.parts.metrics import ACCURACY, Metric

__all__ = ["endings_table", "trial_endings_table"]


def endings_table(groups: Sequence[ArmEndings]) -> pd.DataFrame:
    """One row an arm in the search, and an arm and configuration in the confirmation."""
    kinds = [kind.replace(" ", "_") for kind in Kind]
    columns = ["arm", "phase", "configuration", "trials", "trained", "stuck", "diverged", "failed", "untrained_at_most"]  # fmt: skip
    rows = [
        (
            *(group.arm, group.phase, group.configuration, group.counts.seeds),
            *(group.counts.trained, group.counts.stuck, group.counts.diverged, group.failed),
            group.lost_at_most,
            *(group.kinds.get(kind, 0) for kind in Kind),
        )
        for group in groups
    ]
    return pd.DataFrame(rows, columns=[*columns, *kinds])


def trial_endings_table(searched: Sequence[Ending], by: Metric = ACCURACY) -> pd.DataFrame:
    """One row a trial of the search that did not fail: its learning rate, and how it ended."""
    columns = ["trial", "arm", "optimizer", "learning_rate", "epochs", f"val_{by.name}", "ended", "kind"]  # fmt: skip
    rows = [
        (
            *(t.number, t.arm, t.optimizer, t.learning_rate, t.epochs),
            ending.record.result.score if ending.record.result is not None else None,
            *(ending.ended.value, ending.kind.value if ending.kind else ""),
        )
        for ending in searched
        for t in (ending.record.trial,)
    ]
    return pd.DataFrame(rows, columns=columns)
