"""Snapshots of a training, and the policy that says when they are taken."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.parts.metrics import Metric
from normsweep.sweep.trial import Epoch, Result, lower_loss

__all__ = ["Best", "CheckpointPolicy", "CheckpointSchedule", "ModelState", "Snapshot"]

Array = np.ndarray[Any, Any]


INTERVAL_FACTOR = 50
"""Minimum time between timed snapshots, relative to the time of one: they cost at most 2 %.

All trials of a stack wait for each one's snapshot, so that it is this many times their number there.
"""


@dataclass(frozen=True)
class ModelState:
    """The variables of a model (including seed states) and of its optimizer, as arrays."""

    model: tuple[Array, ...]
    optimizer: tuple[Array, ...]
    best: tuple[Array, ...] = ()
    """With early stopping: the model's variables after the best epoch so far, otherwise empty."""

    @classmethod
    def of(cls, model: Any) -> ModelState:
        """The state of a compiled Keras model."""
        return cls(_arrays(model.variables), _arrays(model.optimizer.variables))

    def restore(self, model: Any, kept: Iterable[Any] = ()) -> None:
        """Restore the state in a compiled model of the same architecture and optimizer.

        `kept`: variables of the optimizer that stay as they are.
        """
        own = {id(variable) for variable in kept}
        for variable, value in zip(model.variables, self.model, strict=True):
            variable.assign(value)
        for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
            if id(variable) not in own:
                variable.assign(value)

    def restore_network(self, model: Any) -> None:
        """Restore only what the training returns, in a model that need not be compiled."""
        for variable, value in zip(model.variables, self.best or self.model, strict=True):
            variable.assign(value)


class Best:
    """The variables of a model after the epoch that early stopping restores."""

    def __init__(self, state: Callable[[], ModelState], before: Snapshot | None = None) -> None:
        """`state`: returns the present one; `before`: the snapshot that the training resumes from."""
        self._state = state
        self._epoch = before.so_far.last if before else None
        self._variables: tuple[Array, ...] = before.state.best if before else ()

    def watch(self, epochs: Iterable[Epoch]) -> Iterator[Epoch]:
        """The epochs, each kept if it is the best so far."""
        for epoch in epochs:
            if self._epoch is None or lower_loss(self._epoch, epoch) is epoch:
                self._epoch, self._variables = epoch, self._state().model
            yield epoch

    def state(self) -> ModelState:
        """The present state, with the best variables."""
        return replace(self._state(), best=self._variables)


def _arrays(variables: Iterable[Any]) -> tuple[Array, ...]:
    return tuple(np.array(variable) for variable in variables)


@dataclass(frozen=True)
class Snapshot:
    """A training after an epoch: everything needed to resume from there."""

    so_far: Result
    """The result up to this epoch: trial, curve, machine."""
    state: ModelState

    @property
    def epoch(self) -> int:
        """The epoch, counted from 1."""
        return len(self.so_far.curve)

    def save(self, path: Path) -> None:
        """Write the snapshot to an `.npz` file, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"model_{i}": a for i, a in enumerate(self.state.model)}
        arrays |= {f"optimizer_{i}": a for i, a in enumerate(self.state.optimizer)}
        arrays |= {f"best_{i}": a for i, a in enumerate(self.state.best)}
        so_far = np.frombuffer(self.so_far.to_json().encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, so_far=so_far, **arrays)  # type: ignore[arg-type]
        work = path.with_suffix(".writing")
        try:
            work.write_bytes(buffer.getbuffer())
            work.replace(path)
        except OSError:  # a partial file would occupy a full disk
            work.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a snapshot that `save` wrote.

        Raises:
            OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile: not a valid snapshot.
        """
        with np.load(path, allow_pickle=False) as archive:
            so_far = Result.from_json(archive["so_far"].tobytes().decode())
            parts = (_part(archive, name) for name in ("model", "optimizer", "best"))
            return cls(so_far, ModelState(*parts))


def _part(archive: Mapping[str, Array], name: str) -> tuple[Array, ...]:
    count = sum(key.startswith(f"{name}_") for key in archive)
    return tuple(archive[f"{name}_{i}"] for i in range(count))


@dataclass(frozen=True)
class CheckpointPolicy:
    """Which states of a training to save. Scores are multiplied by the metric's sign: higher is better."""

    final: float | None = None
    """Save the state after the last epoch if its score is at least this; None: do not."""
    epochs: frozenset[int] = frozenset()
    """Save the state after each of these epochs if its score is the best so far and above `final`."""
    every: float | None = None
    """Save a state every so many seconds, from which a stopped trial can resume; None: never."""

    @classmethod
    def last(cls) -> CheckpointPolicy:
        """Save the state after the last epoch, whatever the score."""
        return cls(final=-math.inf)

    def keeps(self, score: float) -> bool:
        """Whether to save the state after the last epoch, given its score."""
        return self.final is not None and score >= self.final


class CheckpointSchedule:
    """Decides during a training when a snapshot is due."""

    def __init__(self, policy: CheckpointPolicy, metric: Metric, stack: int = 1) -> None:
        """`stack`: how many trials wait while a snapshot is taken."""
        self._policy, self._sign, self._factor = policy, metric.sign, INTERVAL_FACTOR * stack
        self._best = -math.inf if policy.final is None else policy.final
        self._started = time.monotonic()
        self._due = float("inf") if policy.every is None else self._started + policy.every

    def due(self, epoch: Epoch, stopped: bool = False) -> bool:
        """Whether to take a snapshot after this epoch; if the trial is `stopped` there, only one that was asked for."""
        score = self._sign * epoch.value
        best = epoch.epoch in self._policy.epochs and score > self._best
        if best:
            self._best = score
        self._started = time.monotonic()
        return best or (self._started >= self._due and not stopped)

    def taken(self) -> None:
        """Schedule the next timed snapshot: the longer this one took, the later."""
        if self._policy.every is not None:
            now = time.monotonic()
            self._due = now + max(self._policy.every, self._factor * (now - self._started))
