"""The loop: ask → train → record → tell; repair, interrupt, deliver."""

from normsweep.driver.session import (
    ExecutorName,
    Settings,
    plan_study,
    run_study,
)
from normsweep.driver.sync import sync_study

__all__ = [
    "ExecutorName",
    "Settings",
    "plan_study",
    "run_study",
    "sync_study",
]
