"""`ModelState`: all variables of a model and its optimizer, in order, as an `.npz`.

A `.keras` file would not do: it does not restore the state of a Dropout's seed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ModelState"]


@dataclass(frozen=True)
class ModelState:
    """Variables as arrays: the model's (seed states included), then the optimizer's."""

    model: tuple[np.ndarray[Any, Any], ...]
    optimizer: tuple[np.ndarray[Any, Any], ...]

    @classmethod
    def of(cls, model: Any) -> ModelState:
        """The state of a compiled Keras model."""
        return cls(
            tuple(np.array(v) for v in model.variables),
            tuple(np.array(v) for v in model.optimizer.variables),
        )

    def restore(self, model: Any) -> None:
        """Put the state back into a compiled model of the same architecture and optimizer."""
        for variable, value in zip(model.variables, self.model, strict=True):
            variable.assign(value)
        for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
            variable.assign(value)

    def save(self, path: Path) -> None:
        """Write the state to an `.npz` that appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"model_{i}": a for i, a in enumerate(self.model)}
        arrays |= {f"optimizer_{i}": a for i, a in enumerate(self.optimizer)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        work = path.with_suffix(".writing")
        try:
            work.write_bytes(buffer.getvalue())
            work.replace(path)
        except OSError:  # half a file would keep a full disk full
            work.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> ModelState:
        """The state that `save` wrote."""
        with np.load(path, allow_pickle=False) as archive:

            def part(name: str) -> tuple[np.ndarray[Any, Any], ...]:
                count = sum(key.startswith(name) for key in archive.files)
                return tuple(archive[f"{name}_{i}"] for i in range(count))

            return cls(part("model"), part("optimizer"))
