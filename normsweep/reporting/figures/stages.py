"""The moments at which the networks were looked into."""

from __future__ import annotations

from normsweep.reporting.figures.rows import Rows

__all__ = ["STAGES", "stages"]

STAGES = ("initialization", "after epoch 1")


def stages(rows: Rows) -> list[str]:
    """The stages among the rows, the earlier first."""
    present = rows.each("stage")
    known = [stage for stage in STAGES if stage in present]
    return known + [stage for stage in present if stage not in STAGES]
