"""`Inline`: trials run in the driver's own process, for notebooks and debugging."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from normsweep.errors import SweepError
from normsweep.executors.protocol import (
    Call,
    Event,
    Raised,
    Returned,
    WorkerOptions,
    answer,
    make_engine,
)
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.training.engine import Finished, Training
from normsweep.training.reproducibility import environment
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

__all__ = ["Inline"]


class Inline:
    """One trial at a time, one epoch per poll; a time limit acts between the parts of an epoch."""

    blocks = True

    def __init__(self, options: WorkerOptions) -> None:
        """Set the backend's environment variables, unless it is already imported; `close` restores them.

        Raises:
            SweepError: a memory limit is set, which cannot be enforced on the process itself.
        """
        if options.trial_memory is not None:
            raise SweepError(
                f"--executor: inline cannot limit memory, got execution.trial_memory = "
                f"{options.trial_memory:g}; use --executor processes or ray, or remove trial_memory"
            )
        # If the caller has already imported the backend, its own settings stay in effect.
        needed = options.trained and "keras" not in sys.modules
        settings = environment(options.device, options.threads) if needed else {}
        self._before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        self._engine = make_engine(options)
        self._engine.trial_timeout = options.trial_timeout
        self._trial: Trial | None = None
        self._training: Training | None = None
        self._curve: list[Epoch] = []
        self._go_on: bool | None = None
        self._started = 0.0
        self._cancelled: list[Finished] = []

    @property
    def free(self) -> bool:
        """Whether no trial is running."""
        return self._trial is None

    def provide(self, digest: str) -> None:
        """Nothing to do: the data folder is local."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        """Accept a trial; it runs in `poll`."""
        self._trial, self._curve, self._go_on = trial, [], None
        self._training = self._engine.train(trial, policy, start)
        self._started = time.time()

    def poll(self, timeout: float) -> list[Event]:
        """Train for one epoch."""
        if self._trial is None or self._training is None:
            events: list[Event] = [*self._cancelled]
            self._cancelled.clear()
            return events
        try:
            event = self._training.send(self._go_on)
        except StopIteration as end:
            self._trial = self._training = None
            return [end.value]
        self._go_on = True
        if isinstance(event, Epoch):
            self._curve.append(event)
        return [] if event is None else [event]

    def reply(self, trial: int, go_on: bool) -> None:
        """Decide whether the trial continues at the next poll."""
        self._go_on = go_on

    def cancel(self, trial: int) -> None:
        """End the trial at the next poll."""
        if self._trial is not None:
            self._cancelled.append(self._interrupted())

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the function in this process."""
        match answer(self._engine, Call(function, args, kwargs)):
            case Returned(value):
                return value
            case Raised(error):
                raise error

    def close(self) -> None:
        """Stop the trial and restore the environment."""
        self._trial = self._training = None
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}

    def _interrupted(self) -> Finished:
        assert self._trial is not None
        seconds, number = time.time() - self._started, self._trial.number
        self._trial = self._training = None
        return Finished(
            Result(
                number,
                Status.INTERRUPTED,
                tuple(self._curve),
                seconds=seconds,
                started=self._started,
            )
        )
