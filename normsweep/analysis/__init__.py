"""Records in, numbers out: tables with stated columns. Pure; no store, no page, no training."""

from normsweep.analysis.selection import chosen_configurations
from normsweep.analysis.tables import (
    arms_table,
    best_of_arms,
    best_table,
    epochs_table,
    trials_table,
)

__all__ = [
    "arms_table",
    "best_of_arms",
    "best_table",
    "chosen_configurations",
    "epochs_table",
    "trials_table",
]
