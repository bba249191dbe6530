"""One trial in one process: `Engine.train(Trial)` gives each `Epoch`, then a `Result`.

Importing this package imports no Keras; the engine does, when it first needs it.
"""

from normsweep.training.diagnosis import diagnose
from normsweep.training.engine import Engine, Finished, Training
from normsweep.training.environment import Device, environment
from normsweep.training.keeping import Keep
from normsweep.training.splits import Split, split
from normsweep.training.state import ModelState, Snapshot
from normsweep.training.survey import Findings, Question, network_digest, survey

__all__ = [
    "Device",
    "Engine",
    "Findings",
    "Finished",
    "Keep",
    "ModelState",
    "Question",
    "Snapshot",
    "Split",
    "Training",
    "diagnose",
    "environment",
    "network_digest",
    "split",
    "survey",
]
