"""The loop: ask → train → record → tell; repair, interrupt, deliver.

Only what starts a study is imported here: its workers are to be under way soon. The rest is asked of its
modules.
"""

from normsweep.driver.session import plan_study, run_study
from normsweep.driver.settings import ExecutorName, Settings
from normsweep.sweep.trial import PhaseName

__all__ = ["ExecutorName", "PhaseName", "Settings", "plan_study", "run_study"]
