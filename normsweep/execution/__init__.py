"""Where trials run: in this process, in worker processes that may crash or hang, on a cluster."""

from normsweep.execution.cluster import Cluster, Share
from normsweep.execution.inline import Inline
from normsweep.execution.processes import Processes
from normsweep.execution.protocol import Event, Executor

__all__ = ["Cluster", "Event", "Executor", "Inline", "Processes", "Share"]
