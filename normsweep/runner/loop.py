"""The loop of a phase: ask, train, record, tell."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace

from normsweep.analysis.trials import best_of_arms
from normsweep.console.display import Display
from normsweep.errors import Interrupted, NormsweepError, StudyStopped
from normsweep.executors.protocol import Event, Executor
from normsweep.parts.metrics import metric
from normsweep.runner.checkpoints import Checkpoints, Curves
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Signals
from normsweep.search.phase import Phase
from normsweep.store.locks import StudyLock
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Epoch, Result, Status, Trial
from normsweep.text import masked, printable
from normsweep.training.engine import Finished, identity
from normsweep.training.snapshot import CheckpointPolicy, ModelState, Snapshot

__all__ = ["run_phase"]

POLL = 0.5
"""Seconds that one wait for news lasts at most."""


FAILURES = 10
"""Failures of one kind in a row after which the study stops rather than burn its budget."""


def run_phase(
    phase: Phase,
    executor: Executor,
    delivery: TrialLogger,
    checkpoints: Checkpoints,
    display: Display,
    signals: Signals,
    lock: StudyLock,
    where: Result,
    timeout: float | None = None,
) -> None:
    """Run what is left of the plan, and record all of it.

    Args:
        phase: the plan and the record.
        executor: where trials run.
        delivery: logs trials to MLflow.
        checkpoints: where states are kept that trials can go on from, and the best of each arm.
        display: told what happens.
        signals: interrupts between, never within, writes.
        lock: the study, that no other process may drive meanwhile.
        where: machine and chance level, for trials whose process is lost with them.
        timeout: seconds after which no new trial is started; None: no limit.

    Raises:
        Interrupted: the study was asked to stop; what ran is recorded as interrupted.
        StudyStopped: ten trials in a row failed in the same way.
    """
    loop = _Loop(phase, executor, delivery, checkpoints, display, signals, where)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            begun = (deadline is None or time.monotonic() < deadline) and loop.take_up()
            if not begun and not loop.running:
                return
            # News are looked for between trials, too: many answers may follow one another.
            if loop.running and not (begun and executor.blocks):
                # A poll that ends soon is not interrupted: what it had taken in would be lost.
                with signals.waiting() if executor.blocks else nullcontext():
                    events = executor.poll(0.0 if begun else POLL)
                loop.handle(events)
            delivery.collect()
            signals.check()
            lock.check()
    except (Interrupted, StudyStopped, OSError):
        with signals.closing():
            loop.interrupt()
        raise


class _Loop:
    def __init__(
        self,
        phase: Phase,
        executor: Executor,
        delivery: TrialLogger,
        checkpoints: Checkpoints,
        display: Display,
        signals: Signals,
        where: Result,
    ) -> None:
        self._phase, self._executor, self._delivery = phase, executor, delivery
        self._signals, self._where = signals, where
        self._checkpoints, self._display = checkpoints, display
        self.running: dict[int, Trial] = {}
        self._starts: dict[int, Snapshot] = {}
        records = phase.records()
        self._best = best_of_arms(records)
        self._curves = Curves(records, self._identity)
        self._too_slow = {
            r.trial.lineage for r in records if r.result and r.result.status is Status.TIMED_OUT
        }
        self._failures: list[str] = []

    def take_up(self) -> bool:
        """Start a trial, or answer it from the record; whether there was room and something to try."""
        if len(self.running) >= self._executor.slots:
            return False
        trial = self._phase.ask({running.lineage for running in self.running.values()})
        if trial is None:
            return False
        self.running[trial.number] = trial
        self._display.started(trial)
        self._delivery.started(trial)
        began = time.time()
        if (known := self._curves.result(trial)) is not None:
            self._answer(trial, replace(known, started=began, seconds=time.time() - began))
            return True
        # One that was too slow, or hung, is not to come to its end by being tried again.
        slow = trial.lineage in self._too_slow
        start = None if slow else self._checkpoints.start(trial)
        if start is not None:
            self._starts[trial.number] = start
        self._executor.submit(trial, self._policy(trial), start)
        return True

    def handle(self, events: list[Event]) -> None:
        """Record what happened."""
        for event in events:
            match event:
                case Epoch():
                    self._epoch(event)
                case Snapshot():
                    self._snapshot(event)
                case Finished():
                    self._finished(event)

    def interrupt(self) -> None:
        """Stop what runs; each trial is recorded with the epochs it had."""
        try:
            events: list[Event] = []
            with suppress(OSError):  # workers may be gone with their cluster
                for number in list(self.running):
                    self._executor.cancel(number)
                events = self._executor.poll(POLL)
            self.handle(events)
            for number in list(self.running):  # its end was lost where the signal came
                self._finished(Finished(Result(number, Status.INTERRUPTED)))
            self._phase.store.repair()
        finally:
            self._delivery.abandon()

    def _answer(self, trial: Trial, known: Result) -> None:
        """Record what the record has already, as if it had been trained."""
        for epoch in known.curve:
            if not self._reported(epoch) and epoch.epoch < trial.epochs and epoch.finite:
                curve = known.curve[: epoch.epoch]
                known = replace(known, status=Status.PRUNED, curve=curve, reused=len(curve))
                break
        self._finished(Finished(known))

    def _epoch(self, epoch: Epoch) -> None:
        self._executor.reply(epoch.trial, self._reported(epoch))

    def _reported(self, epoch: Epoch) -> bool:
        """Take an epoch down; whether its trial goes on."""
        self._display.epoch(self.running[epoch.trial], epoch)
        self._delivery.epoch(epoch)
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
            where = self._where
            result = replace(result, machine=where.machine, chance=where.chance)
        record = self._phase.tell(result)
        if event.result.machine:  # what was lost with its worker did not say what it was trained by
            self._curves.add(record)
        self._keep(record, event.state)
        self._delivery.finished(record)
        self._display.finished(record)
        self._count_failures(event.result)

    def _policy(self, trial: Trial) -> CheckpointPolicy:
        """The states of a trial that are worth having."""
        if not self._checkpoints.enabled:
            return CheckpointPolicy()
        if self._phase.extendable:
            return CheckpointPolicy(-math.inf, self._phase.budgets(trial), self._checkpoints.every)
        best, sign = self._best.get(trial.arm), metric(trial.metric).sign
        least = sign * best.result.score if best and best.result else -math.inf
        return CheckpointPolicy(least, every=self._checkpoints.every)

    def _keep(self, record: TrialRecord, state: ModelState | None) -> None:
        """Keep a last state; where it is there for the arm's best alone, in the place of the one before."""
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
        """The result with where it began; says so where that is not the state that it was given."""
        start = self._starts.pop(trial.number, None)
        if start is None or result.reused:
            return result
        before = start.so_far
        taken = tuple(replace(e, trial=trial.number) for e in before.curve[: len(result.curve)])
        if taken and result.curve[: len(taken)] == taken:  # its process was lost before it said so
            return replace(result, reused=len(taken), origin=before.trial)
        if result.status.scored:
            was, now = before.machine, result.machine
            other = [
                f"{key} {was.get(key)}, now {now[key]}" for key in now if was.get(key) != now[key]
            ]
            self._display.note(
                f"trial {trial.number}: trained from its first epoch: the state of trial "
                f"{before.trial} is from {'; '.join(other) or 'another network'}"
            )
        return result

    def _identity(self, trial: Trial) -> Mapping[str, str]:
        """What the trial's bits would depend on; nothing where that cannot be told: it is trained."""
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
                f"{FAILURES} trials in a row {result.status.value}; the last one: "
                f"{result.error.strip()[-600:]}"
            )


def _kind(result: Result) -> str:
    """What failures in a row have in common: how they ended, and the name of the error."""
    lines = result.error.strip().splitlines() or [""]
    named = lines[-1] if result.status is Status.CRASHED else ""
    return f"{result.status} {named.partition(':')[0]}"
