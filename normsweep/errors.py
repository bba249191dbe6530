"""The exceptions of normsweep, and how they are reported.

    NormsweepError
    ├── UserError           an error that the user can fix; printed in one line each, exit status 2
    │   ├── SweepError      a sweep file or an option of the command line
    │   ├── DataError       a dataset that cannot be loaded or used
    │   ├── DeviceError     a device that is not available
    │   ├── ClusterError    a Ray cluster that is not reachable or too small
    │   └── StoreError      a database or tracking server that cannot be opened
    │       └── StudyLocked a study that another process runs
    └── StudyStopped        the study cannot continue; all results so far are stored
    KeyboardInterrupt
    └── Interrupted         the study was asked to stop, by SIGINT or SIGTERM

A trial that fails is not an exception: it is a status (`normsweep.sweep.trial.Status`).
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from normsweep.text import masked, one_line, printable

__all__ = [
    "ClusterError",
    "DataError",
    "DeviceError",
    "Interrupted",
    "LockLost",
    "NormsweepError",
    "StoreError",
    "StudyLocked",
    "StudyStopped",
    "SweepError",
    "TrackingFailed",
    "UserError",
]


class NormsweepError(Exception):
    """Base class of the exceptions of normsweep; passwords in the text are masked."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(masked(text)))


class UserError(NormsweepError):
    """An error that the user can fix: a line for each, with what was expected and what was found."""

    def __init__(self, lines: str | Sequence[str]) -> None:
        given = (lines,) if isinstance(lines, str) else lines
        self.lines: tuple[str, ...] = tuple(one_line(masked(line)) for line in given)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[str, ...]]]:
        return type(self), (self.lines,)


class SweepError(UserError):
    """A sweep file, or an option for one of its keys, is invalid."""


class DataError(UserError):
    """A dataset cannot be loaded, or its four arrays are invalid."""


class DeviceError(UserError):
    """The requested device is not available on this machine."""


class ClusterError(UserError):
    """A Ray cluster cannot be reached, or none of its nodes has the resources of a trial."""


class StoreError(UserError):
    """A database or a tracking server cannot be opened, or does not have the requested study."""


class StudyLocked(StoreError):
    """Another process runs the study."""


class StudyStopped(NormsweepError):
    """The study cannot continue; all results so far are stored."""


class LockLost(StudyStopped):
    """Another process has taken over the study, which this one must not write to any more."""


class Interrupted(KeyboardInterrupt):
    """The study was stopped by a signal; all results so far are stored.

    A KeyboardInterrupt, so that `except Exception` does not treat it as a failed trial.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """128 plus the signal, as in shells: 130 for SIGINT, 143 for SIGTERM."""


class TrackingFailed(NormsweepError):
    """Logging to MLflow failed; the trial is stored, and can be logged later."""
