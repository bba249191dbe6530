"""normsweep: does un-normalized input catch up, with more epochs or a tuned learning rate?

    import normsweep
    study = normsweep.run("quickstart")     # or a Sweep, a path, a dict; data and network of your own
    study.answer

What is heavy is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normsweep.api import Answer, JudgedRuns, Study, diagnose, judge, load, run
    from normsweep.sweep.schema import Sweep

__all__ = ["Answer", "JudgedRuns", "Study", "Sweep", "diagnose", "judge", "load", "run", "version"]

HOMES = {
    "Answer": "normsweep.api",
    "JudgedRuns": "normsweep.api",
    "Study": "normsweep.api",
    "Sweep": "normsweep.sweep.schema",
    "diagnose": "normsweep.api",
    "judge": "normsweep.api",
    "load": "normsweep.api",
    "run": "normsweep.api",
}


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("normsweep")


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'normsweep' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
