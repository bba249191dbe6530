"""The loop: ask → train → record → tell; repair, interrupt, deliver."""

from normsweep.driver.session import (
    ExecutorName,
    Settings,
    plan_study,
    run_study,
)

__all__ = [
    "ExecutorName",
    "Settings",
    "plan_study",
    "run_study",
]
