"""The loop of a phase: ask for a trial, train it, store and log its result."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from normsweep.analysis.trials import best_of_arms
from normsweep.console.display import Display
from normsweep.errors import Interrupted, LockLost, NormsweepError, StudyStopped
from normsweep.executors.protocol import Event, Executor
from normsweep.parts.metrics import metric
from normsweep.runner.checkpoints import Checkpoints, Curves
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Signals
from normsweep.search.phase import Phase
from normsweep.store.locks import StudyLock
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import masked, printable
from normsweep.training.engine import Finished, identity
from normsweep.training.snapshot import CheckpointPolicy, ModelState, Snapshot

__all__ = ["PhaseContext", "run_phase"]

POLL = 0.5
"""Seconds that one wait for events lasts at most."""

FAILURES = 10
"""Consecutive failures of one kind after which the study stops, to save its budget."""


@dataclass(frozen=True)
class PhaseContext:
    """What the loop of a phase works with."""

    executor: Executor
    logger: TrialLogger
    """Logs trials to MLflow."""
    checkpoints: Checkpoints
    """States that trials can resume from, and the best state of each arm."""
    display: Display
    signals: Signals
    """Allows interrupts between writes to the storage, but not within them."""
    lock: StudyLock
    reuse: StudyRecord | None = None
    """Another study, whose trials need not be trained again."""


def run_phase(
    phase: Phase, context: PhaseContext, default: Result, deadline: float = math.inf
) -> None:
    """Run the remaining trials of a phase and store their results.

    Args:
        phase: the planned trials and the study's storage.
        context: the executor, and what is notified of results.
        default: machine and chance level of trials whose worker is lost before it reports them.
        deadline: monotonic time after which no new trial is started.

    Raises:
        Interrupted: the study was interrupted; running trials are stored as interrupted.
        StudyStopped: ten trials in a row failed in the same way.
        LockLost: another process has taken over the study; nothing more is stored.
    """
    loop = _Loop(phase, context, default)
    try:
        while loop.step(deadline):
            context.logger.collect()
            context.signals.check()
            context.lock.check()
    except LockLost:
        loop.leave()
        raise
    except (Interrupted, StudyStopped, OSError):
        with context.signals.closing():
            loop.interrupt()
        raise


class _Loop:
    def __init__(self, phase: Phase, context: PhaseContext, default: Result) -> None:
        self._phase, self._default = phase, default
        self._executor, self._signals = context.executor, context.signals
        self._checkpoints = context.checkpoints
        self._logger, self._display = context.logger, context.display
        self.running: dict[int, Trial] = {}
        self._starts: dict[int, Snapshot] = {}
        records = phase.records()
        self._best = best_of_arms(records)
        self._curves = Curves(records, self._identity, context.reuse)
        self._too_slow = {
            r.trial.lineage for r in records if r.result and r.result.status is Status.TIMED_OUT
        }
        self._failures: list[str] = []

    def step(self, deadline: float) -> bool:
        """Start a trial if a slot is free, and handle new events; returns whether the phase goes on."""
        started = time.monotonic() < deadline and self._start_next()
        if not started and not self.running:
            return False
        # Events are also handled between starts, as many reused trials may follow one another.
        if self.running and not (started and self._executor.blocks):
            # A short poll is not interruptible: the events that it has received would be lost.
            with self._signals.waiting() if self._executor.blocks else nullcontext():
                events = self._executor.poll(0.0 if started else POLL)
            self._handle(events)
        return True

    def _start_next(self) -> bool:
        """Start a trial or reuse its result; returns whether a slot was free and a trial left."""
        if not self._executor.free:
            return False
        trial = self._phase.ask({running.lineage for running in self.running.values()})
        if trial is None:
            return False
        self.running[trial.number] = trial
        self._display.started(trial)
        self._logger.started(trial)
        started = time.time()
        if (known := self._curves.result(trial, self._phase.until(trial))) is not None:
            self._reuse(trial, replace(known, started=started, seconds=time.time() - started))
            return True
        # A trial that timed out must not complete by resuming at each retry.
        slow = trial.lineage in self._too_slow
        start = None if slow else self._checkpoints.start(trial)
        if start is not None:
            self._starts[trial.number] = start
        self._executor.submit(trial, self._policy(trial), start)
        return True

    def _handle(self, events: list[Event]) -> None:
        for kind, group in itertools.groupby(events, type):
            alike = list(group)
            # Epochs in one transaction: each trial stores its whole curve at its end.
            joined = kind is Epoch and len(alike) > 1
            with self._phase.store.together() if joined else nullcontext():
                for event in alike:
                    self._handle_one(event)

    def _handle_one(self, event: Event) -> None:
        match event:
            case Epoch():
                self._epoch(event)
            case Snapshot():
                self._snapshot(event)
            case Finished():
                self._finished(event)

    def interrupt(self) -> None:
        """Stop running trials; each is stored with the epochs it has reported."""
        try:
            events: list[Event] = []
            with suppress(OSError):  # workers may be lost with their cluster
                for number in list(self.running):
                    self._executor.cancel(number)
                events = self._executor.poll(POLL)
            self._handle(events)
            for number in list(self.running):  # its result was lost when the signal arrived
                self._finished(Finished(Result(number, Status.INTERRUPTED)))
            self._phase.store.repair()
        finally:
            self._logger.abandon()

    def leave(self) -> None:
        """Stop running trials, and leave study and runs to the process that has taken over."""
        self._logger.leave()
        with suppress(OSError):
            for number in list(self.running):
                self._executor.cancel(number)

    def _reuse(self, trial: Trial, known: Result) -> None:
        """Store a known result as if the trial had been trained."""
        for epoch in known.curve:
            if not self._reported(epoch) and epoch.epoch < trial.epochs and epoch.finite:
                curve = known.curve[: epoch.epoch]
                known = replace(known, status=Status.PRUNED, curve=curve, reused=len(curve))
                break
        self._finished(Finished(known))

    def _epoch(self, epoch: Epoch) -> None:
        self._executor.reply(epoch.trial, self._reported(epoch))

    def _reported(self, epoch: Epoch) -> bool:
        """Report an epoch; returns whether its trial continues."""
        self._display.epoch(self.running[epoch.trial], epoch)
        self._logger.epoch(epoch)
        return self._phase.report(epoch)

    def _snapshot(self, snapshot: Snapshot) -> None:
        trial = self.running[snapshot.so_far.trial]
        if snapshot.epoch in self._phase.budgets(trial):
            self._checkpoints.save(trial, snapshot)
        else:
            self._checkpoints.save_running(trial, snapshot)

    def _finished(self, event: Finished) -> None:
        trial = self.running.pop(event.result.trial)
        result = self._with_start(trial, event.result)
        result = replace(result, error=printable(masked(result.error)))
        if result.status is Status.TIMED_OUT:
            self._too_slow.add(trial.lineage)
        if not result.machine:
            default = self._default
            result = replace(result, machine=default.machine, chance=default.chance)
        record = self._phase.tell(result)
        if event.result.machine:  # otherwise unknown, as the worker was lost
            self._curves.add(record)
        self._save_final(record, event.state)
        self._logger.finished(record)
        self._display.finished(record, self._phase.outlook)
        self._count_failures(event.result)

    def _policy(self, trial: Trial) -> CheckpointPolicy:
        """Which states of a trial to save."""
        if not self._checkpoints.enabled:
            return CheckpointPolicy()
        if self._phase.extendable:
            return CheckpointPolicy(-math.inf, self._phase.budgets(trial), self._checkpoints.every)
        best, sign = self._best.get(trial.arm), metric(trial.metric).sign
        least = sign * best.result.score if best and best.result else -math.inf
        return CheckpointPolicy(least, every=self._checkpoints.every)

    def _save_final(self, record: TrialRecord, state: ModelState | None) -> None:
        """Save a final state; without extensions only that of each arm's best trial is kept."""
        trial, result = record.trial, record.result
        assert result is not None
        if result.status not in (Status.CRASHED, Status.INTERRUPTED):
            self._checkpoints.drop_running(trial)
        before = self._best
        self._best = best_of_arms([*before.values(), record])
        if state is None:
            return
        best = self._best.get(trial.arm) is record
        if best or self._phase.extendable:
            self._checkpoints.save(trial, Snapshot(result, state))
        if best and not self._phase.extendable:
            self._checkpoints.keep_only(r.trial for r in self._best.values())

    def _with_start(self, trial: Trial, result: Result) -> Result:
        """The result with the epochs it resumed from; prints a note if it did not use its snapshot."""
        start = self._starts.pop(trial.number, None)
        if start is None or result.reused:
            return result
        before = start.so_far
        resumed = tuple(replace(e, trial=trial.number) for e in before.curve[: len(result.curve)])
        # Its worker was lost before it reported that it had resumed.
        if resumed and result.curve[: len(resumed)] == resumed:
            return replace(result, reused=len(resumed), origin=before.trial)
        if result.status.scored:
            was, now = before.machine, result.machine
            changes = [
                f"{key} {was.get(key)}, now {now[key]}" for key in now if was.get(key) != now[key]
            ]
            self._display.note(
                f"trial {trial.number}: trained from epoch 1, because the checkpoint of trial "
                f"{before.trial} is from {'; '.join(changes) or 'another network'}"
            )
        return result

    def _identity(self, trial: Trial) -> Mapping[str, str]:
        """What the trial's results depend on; empty if that is unknown, so that it is trained."""
        try:
            with self._signals.waiting():
                return self._executor.call(identity, trial)
        except NormsweepError:
            return {}

    def _count_failures(self, result: Result) -> None:
        if not result.status.failed:
            self._failures.clear()
            return
        kind = _kind(result)
        self._failures = [k for k in self._failures if k == kind] + [kind]
        if len(self._failures) >= FAILURES:
            raise StudyStopped(
                f"{FAILURES} trials in a row {result.status.value}; the last error: "
                f"{result.error.strip()[-600:]}"
            )


def _kind(result: Result) -> str:
    """The kind of a failure: the trial's status and the name of the error."""
    lines = result.error.strip().splitlines() or [""]
    named = lines[-1] if result.status is Status.CRASHED else ""
    return f"{result.status} {named.partition(':')[0]}"
