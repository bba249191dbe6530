"""The state of a training, and when it is saved."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.parts.metrics import Metric
from normsweep.sweep.trial import Epoch, Result

__all__ = ["CheckpointPolicy", "CheckpointSchedule", "ModelState", "Snapshot"]

Array = np.ndarray[Any, Any]


SHARE = 50
"""Between two timed snapshots at least so many times what one took: they cost 2 % at most."""


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


@dataclass(frozen=True)
class CheckpointPolicy:
    """What is wanted of a training's states. Scores are times the metric's sign: higher is better."""

    final: float | None = None
    """The state after the last epoch, where the score is at least this; None: not."""
    epochs: frozenset[int] = frozenset()
    """Of these epochs the state after each that is the best so far, where it is above `final`."""
    every: float | None = None
    """A state each so many seconds, from which a trial that is stopped can go on; None: none."""

    @classmethod
    def last(cls) -> CheckpointPolicy:
        """The state after the last epoch, whatever the score."""
        return cls(final=-math.inf)

    def wants(self, score: float) -> bool:
        """Whether the last state is wanted."""
        return self.final is not None and score >= self.final


class CheckpointSchedule:
    """When, in the course of a training, a snapshot is due."""

    def __init__(self, policy: CheckpointPolicy, metric: Metric) -> None:
        self._policy, self._sign = policy, metric.sign
        self._best = -math.inf if policy.final is None else policy.final
        self._begun = time.monotonic()
        self._due = float("inf") if policy.every is None else self._begun + policy.every

    def due(self, epoch: Epoch) -> bool:
        """Whether the state after this epoch is wanted."""
        score = self._sign * epoch.value
        best = epoch.epoch in self._policy.epochs and score > self._best
        if best:
            self._best = score
        self._begun = time.monotonic()
        return best or self._begun >= self._due

    def taken(self) -> None:
        """A snapshot has been handed over; the next is due the later the longer that took."""
        if self._policy.every is not None:
            now = time.monotonic()
            self._due = now + max(self._policy.every, SHARE * (now - self._begun))
