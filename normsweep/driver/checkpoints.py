"""The weights of each arm's best trial so far, on disk until they are logged as models."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from normsweep.errors import StudyStopped
from normsweep.spec import Trial
from normsweep.training import ModelState

__all__ = ["Checkpoints"]

OURS = re.compile(r"[0-9a-f]{32}\.npz")


class Checkpoints:
    """One `.npz` a trial, by its fingerprint: trials that share one have the same weights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, trial: Trial, state: ModelState) -> None:
        """Keep a trial's state.

        Raises:
            StudyStopped: it cannot be written: on a full disk the record is next.
        """
        try:
            state.save(self._path(trial))
        except OSError as error:
            raise StudyStopped(
                f"{self._path(trial)}: cannot be written: {error.strerror}; mend that, and run the "
                "same command again"
            ) from None

    def load(self, trial: Trial) -> ModelState | None:
        """A trial's state, or None where it is not kept or cannot be read."""
        try:
            return ModelState.load(self._path(trial))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def keep_only(self, trials: Iterable[Trial]) -> None:
        """Drop the states of all other trials."""
        kept = {self._path(trial) for trial in trials}
        for path in self._folder.glob("*.npz"):
            if path not in kept and OURS.fullmatch(path.name):  # the folder may be a link
                path.unlink(missing_ok=True)

    def _path(self, trial: Trial) -> Path:
        return self._folder / f"{trial.fingerprint[:32]}.npz"
