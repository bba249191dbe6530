"""The loop: ask → train → record → tell; repair, interrupt, deliver."""

from normsweep.driver.registering import model_uris
from normsweep.driver.removal import Doomed, doomed_study, orphans
from normsweep.driver.rerun import Rerun, rerun
from normsweep.driver.session import (
    ExecutorName,
    Settings,
    plan_study,
    run_study,
)
from normsweep.driver.sync import sync_study

__all__ = [
    "Doomed",
    "ExecutorName",
    "Rerun",
    "Settings",
    "doomed_study",
    "model_uris",
    "orphans",
    "plan_study",
    "rerun",
    "run_study",
    "sync_study",
]
