"""The loop: ask → train → record → tell; repair, interrupt, deliver."""

from normsweep.driver.session import (
    STORAGE,
    TRACKING,
    ExecutorName,
    Settings,
    plan_study,
    run_study,
)

__all__ = [
    "STORAGE",
    "TRACKING",
    "ExecutorName",
    "Settings",
    "plan_study",
    "run_study",
]
