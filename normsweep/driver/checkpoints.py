"""The weights of each arm's best trial so far, on disk until they are logged as models."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from normsweep.training import ModelState

__all__ = ["Checkpoints"]


class Checkpoints:
    """One `.npz` a trial below a folder of the study's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, trial: int, state: ModelState) -> None:
        """Keep a trial's state."""
        state.save(self._path(trial))

    def load(self, trial: int) -> ModelState | None:
        """A trial's state, or None where it is not kept."""
        path = self._path(trial)
        return ModelState.load(path) if path.is_file() else None

    def keep_only(self, trials: Collection[int]) -> None:
        """Drop the states of all other trials."""
        kept = {self._path(trial) for trial in trials}
        for path in self._folder.glob("*.npz"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _path(self, trial: int) -> Path:
        return self._folder / f"{trial}.npz"
