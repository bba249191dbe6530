"""What can go wrong by a user's hand, and how it is told.

    NormsweepError
    ├── UserError           a mistake that the user can mend; told in one line each, exit status 2
    │   ├── SweepError      a sweep file or an option of the command line
    │   ├── DataError       a dataset that cannot be had or cannot be used
    │   ├── DeviceError     a device that is not there
    │   ├── ClusterError    a Ray cluster that is not there, or has no room
    │   └── StoreError      a database or tracking server that cannot be opened
    │       └── StudyLocked a study that another process runs
    └── StudyStopped        the study cannot go on; everything done so far is recorded
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
    "NormsweepError",
    "StoreError",
    "StudyLocked",
    "StudyStopped",
    "SweepError",
    "TrackingFailed",
    "UserError",
]


class NormsweepError(Exception):
    """Everything that normsweep raises by itself; no password is in its text."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(masked(text)))


class UserError(NormsweepError):
    """A mistake of the user's: one line for each, with what was received and what is legal."""

    def __init__(self, lines: str | Sequence[str]) -> None:
        given = (lines,) if isinstance(lines, str) else lines
        self.lines: tuple[str, ...] = tuple(one_line(masked(line)) for line in given)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[str, ...]]]:
        return type(self), (self.lines,)


class SweepError(UserError):
    """A sweep file, or an option that stands for one of its keys, is not legal."""


class DataError(UserError):
    """A dataset cannot be had, or is not what its four arrays should be."""


class DeviceError(UserError):
    """A device was asked for that this machine does not have."""


class ClusterError(UserError):
    """A Ray cluster cannot be reached, or none of its nodes has what a trial wants."""


class StoreError(UserError):
    """A database or a tracking server cannot be opened or does not hold what was asked for."""


class StudyLocked(StoreError):
    """Another process runs the study."""


class StudyStopped(NormsweepError):
    """The study cannot go on; what was done is recorded."""


class Interrupted(KeyboardInterrupt):
    """The study was asked to stop; what was done is recorded.

    A KeyboardInterrupt, so that no `except Exception` on its way takes it for a failed trial.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """As shells count it: 130 for SIGINT, 143 for SIGTERM."""


class TrackingFailed(NormsweepError):
    """The tracking store did not take what was written; the record has it still."""
