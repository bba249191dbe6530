"""Where trials run: in this process, or in worker processes that may crash or hang."""

from normsweep.execution.inline import Inline
from normsweep.execution.processes import Processes
from normsweep.execution.protocol import Event, Executor

__all__ = ["Event", "Executor", "Inline", "Processes"]
