"""`ModelState` and `Snapshot`: where a training stands, as an `.npz`.

A `.keras` file would not do: it does not restore the state of a Dropout's seed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.sweep.trial import Result

__all__ = ["ModelState", "Snapshot"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ModelState:
    """Variables as arrays: the model's (seed states included), then the optimizer's."""

    model: tuple[Array, ...]
    optimizer: tuple[Array, ...]

    @classmethod
    def of(cls, model: Any) -> ModelState:
        """The state of a compiled Keras model."""
        return cls(
            tuple(np.array(v) for v in model.variables),
            tuple(np.array(v) for v in model.optimizer.variables),
        )

    def restore(self, model: Any) -> None:
        """Put the state back into a compiled model of the same architecture and optimizer."""
        self.restore_network(model)
        for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
            variable.assign(value)

    def restore_network(self, model: Any) -> None:
        """Put the model's part back into one of the same architecture, compiled or not."""
        for variable, value in zip(model.variables, self.model, strict=True):
            variable.assign(value)


@dataclass(frozen=True)
class Snapshot:
    """A training after an epoch: all that it takes to go on from there."""

    so_far: Result
    """The trial that was trained so, its curve up to the epoch, the machine."""
    state: ModelState

    @property
    def epoch(self) -> int:
        """The epoch, counted from 1."""
        return len(self.so_far.curve)

    def save(self, path: Path) -> None:
        """Write the snapshot to an `.npz` that appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"model_{i}": a for i, a in enumerate(self.state.model)}
        arrays |= {f"optimizer_{i}": a for i, a in enumerate(self.state.optimizer)}
        so_far = np.frombuffer(self.so_far.to_json().encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, so_far=so_far, **arrays)  # type: ignore[arg-type]
        work = path.with_suffix(".writing")
        try:
            work.write_bytes(buffer.getbuffer())
            work.replace(path)
        except OSError:  # half a file would keep a full disk full
            work.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """The snapshot that `save` wrote.

        Raises:
            OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile: it is no snapshot.
        """
        with np.load(path, allow_pickle=False) as archive:
            so_far = Result.from_json(archive["so_far"].tobytes().decode())
            return cls(so_far, ModelState(_part(archive, "model"), _part(archive, "optimizer")))


def _part(archive: Mapping[str, Array], name: str) -> tuple[Array, ...]:
    count = sum(key.startswith(f"{name}_") for key in archive)
    return tuple(archive[f"{name}_{i}"] for i in range(count))
